// Package report formats the results of benchmarks.
package report

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Percentile returns the smallest of took that is at least as long as percent
// percent of them (the nearest-rank method), or 0 if there are none.
func Percentile(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}

// At formats a percentile in milliseconds. It returns "" if took is empty.
func At(took []time.Duration, percent int) string {
	if len(took) == 0 {
		return ""
	}
	return Milliseconds(Percentile(took, percent))
}

// Milliseconds formats a duration.
func Milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// Table returns a Markdown table. The first column is aligned to the left, the
// others to the right.
func Table(columns []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			if cell != "" {
				cell = " " + cell
			}
			b.WriteString(cell + " |")
		}
		b.WriteString("\n")
	}
	line(columns)
	b.WriteString("|---|" + strings.Repeat("---:|", len(columns)-1) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// Machine describes the machine and the Go version.
func Machine() string {
	return fmt.Sprintf("%s, %s/%s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
