package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

func TestOutageQueuedWorkIsDoneAfterwards(t *testing.T) {
	t.Parallel()
	for name, postgres := range map[string]string{"SQLite": "", "PostgreSQL": os.Getenv("CONNECT_TEST_POSTGRES")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "PostgreSQL" && postgres == "" {
				t.Skip("CONNECT_TEST_POSTGRES is not set")
			}
			r, err := run(t.Context(), settings{
				postgres: postgres, replicas: 2, calm: time.Second, outage: 4 * time.Second, limit: time.Minute,
				rate: 10, disconnects: 20, answer: time.Millisecond, perSecond: 100,
			})
			require.NoError(t, err)
			require.Equal(t, name, r.database)
			require.InDelta(t, 20, r.queued[""].deletions, 5)
			require.InDelta(t, 2, r.queued[small].deletions, 1)
			require.Positive(t, r.queued[""].tags)
			require.Positive(t, r.queued[small].tags)
			for _, application := range []string{"", small} {
				require.Positive(t, r.all[application])
				require.LessOrEqual(t, r.half[application], r.all[application])
			}
			require.Zero(t, r.neverWritten)
			require.Positive(t, r.statuses[http.StatusOK])
			for _, request := range []string{start, callback} {
				require.NotEmpty(t, r.waits[kind{calm, request}].took)
			}
			require.Positive(t, r.waits[kind{down, start}].failed)
			require.Contains(t, r.String(), "| before: start |")
			require.Contains(t, r.String(), "| large | ")
		})
	}
}

func TestAnchorInEachPhase(t *testing.T) {
	t.Parallel()
	a := newAnchor(settings{perSecond: 2})
	call := func(method, id string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/v1/identities/"+id, nil)
		if method == http.MethodPut {
			r = httptest.NewRequest(method, "/v1/identities/"+id, http.NoBody)
		}
		r.Header.Set("anchor-api-key", a.fake.APIKey())
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	one := a.fake.PutIdentity(anchortest.Identity{}).ID

	a.begin(writesFail)
	require.Equal(t, http.StatusOK, call(http.MethodGet, one).Code)
	require.Equal(t, http.StatusServiceUnavailable, call(http.MethodDelete, one).Code)
	a.begin(down)
	require.Equal(t, http.StatusServiceUnavailable, call(http.MethodGet, one).Code)
	require.False(t, a.has(write{http.MethodDelete, one}))

	a.begin(recovering)
	require.Equal(t, http.StatusOK, call(http.MethodDelete, one).Code)
	require.True(t, a.has(write{http.MethodDelete, one}))
	require.False(t, a.has(write{http.MethodPut, one}))
	require.Equal(t, http.StatusNotFound, call(http.MethodGet, one).Code)
	refused := call(http.MethodGet, one)
	require.Equal(t, http.StatusTooManyRequests, refused.Code)
	require.Equal(t, "1", refused.Header().Get("Retry-After"))
	require.Equal(t, map[int]int{200: 1, 404: 1, 429: 1}, a.statuses(recovering))
	require.Equal(t, 1, a.mostRefused())
}

func TestBucket(t *testing.T) {
	t.Parallel()
	b, now := newBucket(10), time.Unix(1_800_000_000, 0)
	take := func(n int) (taken int) {
		for range n {
			if b.take(now) {
				taken++
			}
		}
		return taken
	}
	require.Equal(t, 10, take(20), "a burst of a second's calls")
	now = now.Add(500 * time.Millisecond)
	require.Equal(t, 5, take(20))
	now = now.Add(time.Hour)
	require.Equal(t, 10, take(20))
}

func TestPhaseOfARequestIsTheWorse(t *testing.T) {
	t.Parallel()
	require.Equal(t, calm, worse(calm, calm))
	require.Equal(t, writesFail, worse(calm, writesFail))
	require.Equal(t, down, worse(writesFail, down))
	require.Equal(t, down, worse(down, recovering))
	require.Equal(t, preparing, worse(preparing, calm))
}

func TestTables(t *testing.T) {
	t.Parallel()
	text := result{
		queued:   map[string]queue{"": {3, 10}, small: {2, 1}},
		half:     map[string]time.Duration{"": 2 * time.Second, small: time.Second},
		all:      map[string]time.Duration{small: 1500 * time.Millisecond},
		took:     4 * time.Second,
		best:     3 * time.Second,
		statuses: map[int]int{200: 390, 404: 10, 429: 7}, mostRefused: 5, perSecond: 100, largeLeft: 6, neverWritten: 1,
		waits: map[kind]waits{{down, start}: {nil, 4}},
	}.String()
	for _, want := range []string{
		"| large | 3 | 10 | 2.0 s | never |\n", "| small | 2 | 1 | 1.0 s | 1.5 s |\n",
		"Recovery took 4.0 s; the limit alone makes it take at least 3.0 s.", "Anchor allowed 400 calls, 100 per second", "refused 7 with 429, at most 5 in one second",
		"the large one had 6 of 13", "Writes missing half a minute later: 1.",
		"| everything fails: start | 0 | 4 | | |\n",
	} {
		require.Contains(t, text, want)
	}
}
