package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var errEnough = errors.New("enough")

// parallel calls do n times with this many workers, and returns the durations. errEnough
// from do ends all workers without an error.
func parallel(workers, n int, do func(i int) (time.Duration, error)) ([]time.Duration, error) {
	var (
		mu    sync.Mutex
		took  []time.Duration
		first error
		next  = make(chan int)
		done  = make(chan struct{})
		group sync.WaitGroup
	)
	for range workers {
		group.Go(func() {
			for i := range next {
				d, err := do(i)
				mu.Lock()
				if err != nil {
					if !errors.Is(err, errEnough) && first == nil {
						first = err
					}
					select {
					case <-done:
					default:
						close(done)
					}
					mu.Unlock()
					return
				}
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-done:
			break feed
		}
	}
	close(next)
	group.Wait()
	return took, first
}

// header prints the header of report's rows. first is the first column's.
func header(first string) {
	align := "---:"
	if first == "" {
		align = "---"
	} else {
		first += " "
	}
	fmt.Println("| " + first + "| p50 | p99 | per second | process memory |")
	fmt.Println("|" + align + "|---:|---:|---:|---:|")
}

// timed returns a function that returns the duration of do.
func timed(do func(i int) error) func(i int) (time.Duration, error) {
	return func(i int) (time.Duration, error) {
		begun := time.Now()
		err := do(i)
		return time.Since(begun), err
	}
}

// report calls do n times with this many workers, and prints a row of the durations.
func report(name string, workers, n int, do func(i int) (time.Duration, error)) error {
	begun := time.Now()
	took, err := parallel(workers, n, do)
	if err != nil {
		return err
	}
	perSecond := float64(n) / time.Since(begun).Seconds()
	fmt.Printf("| %s | %s | %s | %s | %s |\n", name, at(took, 50), at(took, 99), thousands(int(perSecond)), memory())
	return nil
}

// at formats a percentile in milliseconds.
func at(took []time.Duration, percent int) string {
	if len(took) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.3f ms", float64(percentile(took, percent).Microseconds())/1000)
}

func percentile(took []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

// memory returns the resident memory of the process.
func memory() string {
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				return "unknown"
			}
			return fmt.Sprintf("%d MiB", kb/1024)
		}
	}
	return "unknown"
}

func megabytes(bytes float64) string { return thousands(int(bytes/1e6)) + " MB" }

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
