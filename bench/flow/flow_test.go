package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

var tables = map[string][]row{"Start": startRows, "Callback": callbackRows, "Guard": guardRows}

// Benchmark runs the same steps, to profile one of them:
//
//	go test ./bench/flow -run - -bench '/Callback/connect$' -cpu 1 -benchtime 20000x -cpuprofile cpu.out
func Benchmark(b *testing.B) {
	for name, rows := range tables {
		for _, r := range rows {
			b.Run(name+"/"+r.name, func(b *testing.B) {
				if err := r.run(b); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// Not parallel: goth's providers and session store are global.
func TestStepsDoWhatIsMeasured(t *testing.T) {
	for name, rows := range tables {
		for _, r := range rows {
			t.Run(name+"/"+r.name, func(t *testing.T) {
				do, err := r.prepare(3)
				require.NoError(t, err)
				for i := range 3 {
					require.NoError(t, do(i))
				}
			})
		}
	}
}

func TestCallbacksConnect(t *testing.T) {
	t.Parallel()
	a := newAnchor()
	a.remember = true
	h, store, err := newConnect(a)
	require.NoError(t, err)
	_, cookies, err := begin(h, startVisits(1)[0], http.StatusSeeOther)
	require.NoError(t, err)
	back := newVisit(http.MethodGet, a.callbackURL+"?identityId="+identityID(0), userID(0), cookies...)
	require.NoError(t, newTraffic().send(back, h, http.StatusSeeOther))
	connections, err := store.Connections(t.Context(), applicationID, userID(0))
	require.NoError(t, err)
	require.Len(t, connections, 1)
	require.Equal(t, identityID(0), connections[0].IdentityID)

	b := newBare(newAnchor())
	back = newVisit(http.MethodGet, publicURL+"/identity-callback?identityId="+identityID(0), userID(0))
	require.NoError(t, newTraffic().send(back, http.HandlerFunc(b.Callback), http.StatusSeeOther))
	require.Equal(t, identityID(0), b.Identity(userID(0)))
}
