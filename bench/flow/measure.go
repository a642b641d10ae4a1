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
	// prepare gets everything ready for doing the step n times, for flows 0 to
	// n-1, outside of what is measured.
	prepare func(n int) (do func(i int) error, err error)
}

// run is the step as a benchmark. It returns what went wrong, since a benchmark
// outside of go test keeps that to itself.
func (s step) run(b *testing.B) error {
	do, err := s.prepare(b.N)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	runtime.GC() // What the preparation left behind is not the step's to sweep up.
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

// cpuMetric is the time that the process took of a processor. The machine's other
// work changes it less than the time of day.
const cpuMetric = "cpu-ns/op"

// A figure is what a step costs.
type figure struct{ ns, allocs, bytes int64 }

func (f figure) minus(g figure) figure {
	return figure{f.ns - g.ns, f.allocs - g.allocs, f.bytes - g.bytes}
}

// measure does every step a number of times in each of some rounds, and returns
// the least that each took in a round: whatever else the machine does can only
// add to that. The steps take turns, so that it happens to all of them.
func measure(steps []step, rounds, times int) (map[string]figure, error) {
	// With one processor the collector does no more than it has to, and whatever it
	// does counts.
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
