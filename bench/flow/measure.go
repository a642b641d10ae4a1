package main

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/anchorconnect/connect/bench/internal/usage"
)

// A step is one thing that is measured.
type step struct {
	name string
	// prepare prepares the step for flows 0 to n-1. It is not measured.
	prepare func(n int) (do func(i int) error, err error)
}

// run runs the step as a benchmark. It returns the error, which a benchmark outside of go
// test does not report.
func (s step) run(b *testing.B) error {
	do, err := s.prepare(b.N)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	runtime.GC() // So that the garbage of the preparation is not measured.
	b.ReportAllocs()
	b.ResetTimer()
	before := usage.Process()
	for i := range b.N {
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.ReportMetric(float64(usage.Process()-before)/float64(b.N), cpuMetric)
	return nil
}

// cpuMetric is the processor time of the process. The machine's other work affects it less
// than the elapsed time.
const cpuMetric = "cpu-ns/op"

// A figure is the cost of a step.
type figure struct{ ns, allocs, bytes int64 }

func (f figure) minus(g figure) figure {
	return figure{f.ns - g.ns, f.allocs - g.allocs, f.bytes - g.bytes}
}

// measure runs every step in each round, and returns the lowest cost of each: the
// machine's other work can only add to it. The steps take turns, so that it affects all of
// them.
func measure(steps []step, rounds, times int) (map[string]figure, error) {
	// With one processor, all garbage collection is in the processor time.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	testing.Init()
	if err := flag.Set("test.benchtime", strconv.Itoa(times)+"x"); err != nil {
		return nil, err
	}
	all := make(map[string][]figure)
	for range rounds {
		for _, s := range steps {
			var failed error
			r := testing.Benchmark(func(b *testing.B) {
				if failed = s.run(b); failed != nil {
					b.FailNow()
				}
			})
			if failed != nil {
				return nil, failed
			}
			all[s.name] = append(all[s.name], figure{int64(r.Extra[cpuMetric]), r.AllocsPerOp(), r.AllocedBytesPerOp()})
		}
	}
	best := make(map[string]figure)
	for name, figures := range all {
		best[name] = figure{
			ns:     least(figures, func(f figure) int64 { return f.ns }),
			allocs: least(figures, func(f figure) int64 { return f.allocs }),
			bytes:  least(figures, func(f figure) int64 { return f.bytes }),
		}
	}
	return best, nil
}

func least(figures []figure, of func(figure) int64) int64 {
	return of(slices.MinFunc(figures, func(a, b figure) int { return cmp.Compare(of(a), of(b)) }))
}
