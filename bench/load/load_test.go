package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// TestMain is also the app: measure starts its own program again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		if err := serveApp(context.Background(), os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

func TestLoadFlowsEndAndLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"bare", "connect"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r, err := measure(t.Context(), kind, 100, 8)
			require.NoError(t, err)
			require.Len(t, r.starts, 100)
			for i := range r.starts {
				require.Positive(t, r.starts[i])
				require.Positive(t, r.callbacks[i])
			}
			require.Equal(t, r.before.Goroutines, r.full.Goroutines)
			require.Equal(t, r.before.Goroutines, r.emptied.Goroutines)
			require.Greater(t, r.full.Processor, r.before.Processor)
			require.Positive(t, r.full.Peak)
		})
	}
}

func TestLoadEndsWhenAFlowFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	defer fake.Close()
	_, _, err = newBrowsers("http://127.0.0.1:1", fake, 4).connect(ctx, 1000) // Nobody listens there.
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.NoError(t, ctx.Err())
}
