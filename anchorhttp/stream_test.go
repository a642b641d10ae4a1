package anchorhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// whole is more identities than one answer may have outside of a list: 1.6 MiB.
const whole = 8000

// parts reads the list of an application's identities, and returns how many came in
// each part. It wants them in order, without a gap.
func parts(t *testing.T, c *anchorhttp.Client) (parts []int, err error) {
	t.Helper()
	var pages [][]anchorhttp.ApplicationIdentity
	for page, pageErr := range c.ApplicationIdentityPages(t.Context(), appID, anchorhttp.IdentityFilter{}) {
		if err = pageErr; err != nil {
			require.Empty(t, page)
			break
		}
		pages = append(pages, page)
	}
	// Checked after the loop, because a caller may keep the pages.
	n := 0
	for _, page := range pages {
		for _, item := range page {
			n++
			require.Equal(t, nthID(n), item.ID)
			require.Equal(t, fmt.Sprintf("n%d", n), item.Name)
			requireDated(t, &item.Date)
		}
		parts = append(parts, len(page))
	}
	return parts, err
}

func times(n, of int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = of
	}
	return all
}

func TestStreamOfAListWithoutPages(t *testing.T) {
	t.Parallel()
	list := listOf(1, whole)
	require.Greater(t, len(list), 1<<20)
	padding := `"padding":[` + strings.Repeat(`{"a":[1,{"identities":[]}]},`, 100_000) + `null],`
	tests := []struct {
		name  string
		h     http.HandlerFunc
		want  []int
		calls int
		fails string
	}{
		{"of a server that knows no pages", says(200, list), times(8, 1000), 2, ""},
		{"wrapped", says(200, `{"data":`+list+`}`), times(8, 1000), 2, ""},
		{"behind something else that is long", says(200, `{`+padding+list[1:]), times(8, 1000), 2, ""},
		{"before something else that is long", says(200, list[:len(list)-1]+`,`+padding+`"data":[]}`), times(8, 1000), 2, ""},
		{"with an end that fills no part", says(200, listOf(1, whole+1)), append(times(8, 1000), 1), 2, ""},
		{"in long pages", paged(whole, 2*whole+3), append(times(16, 1000), 3), 4, ""},
		{"once, and then again with one more", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "1" {
				says(200, list)(w, r)
				return
			}
			says(200, listOf(1, whole+1))(w, r)
		}, times(8, 1000), 2, ""},

		{"a list that is long and null", says(200, `{`+padding+`"identities":null}`), nil, 1, "no list of identities"},
		{"no list, at length", says(200, `{`+padding+`"items":[]}`), nil, 1, "no list of identities"},
		{"no object, at length", says(200, `[`+strings.Repeat("1,", 1<<20)+`1]`), nil, 1, "not the expected JSON"},
		{"a page, at length", says(200, `<html>`+strings.Repeat(" ", 1<<20)), nil, 1, "not the expected JSON"},
		{"one item that is long", says(200, `{"identities":[{"id":"`+strings.Repeat("a", 3<<20)+`"}]}`), nil, 1, "larger than 1 MiB"},
		{"one text that is long", says(200, `{"x":"`+strings.Repeat("a", 3<<20)+`","identities":[]}`), nil, 1, "larger than 1 MiB"},
		{"an item without an id", says(200, list[:len(list)-2]+`,{"name":"x"}]}`), times(7, 1000), 1, "has no id"},
		{"an item of another type", says(200, list[:len(list)-2]+`,7]}`), times(7, 1000), 1, "not the expected JSON"},
		{"an end that is missing", says(200, list[:len(list)-1]), times(8, 1000), 1, "unexpected EOF"},
		{"an end that is no JSON", says(200, list[:len(list)-1]+`]`), times(8, 1000), 1, "not the expected JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, tt.h)
			got, err := parts(t, srv.client(anchorhttp.WithMaxRetries(2)))
			if tt.fails != "" {
				require.ErrorContains(t, err, tt.fails)
				require.ErrorContains(t, err, "anchorhttp: GET /v1/applications/{id}/identities: ")
				// What comes before the error may be a part that is not full.
				require.LessOrEqual(t, len(tt.want), len(got))
				require.Equal(t, tt.want, got[:len(tt.want):len(tt.want)])
			} else {
				require.NoError(t, err)
				require.Equal(t, tt.want, got)
			}
			require.Len(t, srv.requests(), tt.calls, "and no retry")
		})
	}
}

// The loop runs while the answer arrives: it is not kept.
func TestStreamIsReadAsItArrives(t *testing.T) {
	t.Parallel()
	list := listOf(1, 3*whole)
	half := strings.Index(list, nthID(2*whole))
	seen := make(chan struct{})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, list[:half])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-seen:
			_, _ = io.WriteString(w, list[half:])
		case <-r.Context().Done():
		}
	})
	n := 0
	for _, err := range srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
		require.NoError(t, err)
		if n++; n == whole {
			close(seen)
		}
	}
	require.Equal(t, 3*whole, n)
}

func TestStreamMayBeStoppedAtAnyTime(t *testing.T) {
	t.Parallel()
	for _, end := range []int{1, 1000, 1001, 5000} {
		var closed atomic.Bool
		calls := 0
		c := through(func(*http.Request) (*http.Response, error) {
			calls++
			r := response(200, listOf(1, whole))
			r.Body = tellsClosed{r.Body, &closed}
			return r, nil
		})
		n := 0
		for _, err := range c.ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
			require.NoError(t, err)
			if n++; n == end {
				break
			}
		}
		require.Equal(t, end, n)
		require.Equal(t, 1, calls)
		require.True(t, closed.Load())
	}
}

type tellsClosed struct {
	io.ReadCloser
	closed *atomic.Bool
}

func (c tellsClosed) Close() error { c.closed.Store(true); return c.ReadCloser.Close() }

// brokenAfter is a body that goes wrong after so many bytes.
func brokenAfter(body string, n int, wrong func() error) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(body[:n]), readerFunc(func([]byte) (int, error) { return 0, wrong() })))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// What follows runs in a synctest bubble, so the times are exact.
func TestStreamTimeouts(t *testing.T) {
	t.Parallel()
	list := listOf(1, whole)
	late := len(list) - 100
	run := func(t *testing.T, ctx context.Context, body func(r *http.Request) io.ReadCloser, pause time.Duration, opts ...anchorhttp.Option) (n, calls int, took time.Duration, last error) {
		t.Helper()
		c := through(func(r *http.Request) (*http.Response, error) {
			calls++
			res := response(200, "")
			res.Body = body(r)
			return res, nil
		}, opts...)
		begin := time.Now()
		for page, err := range c.ApplicationIdentityPages(ctx, appID, anchorhttp.IdentityFilter{}) {
			if last = err; err != nil {
				break
			}
			n += len(page)
			time.Sleep(pause)
		}
		return n, calls, time.Since(begin), last
	}
	fine := func(r *http.Request) io.ReadCloser {
		// Like that of a connection, it can be read only until the request's context ends.
		rest := strings.NewReader(list)
		return io.NopCloser(readerFunc(func(b []byte) (int, error) {
			if err := context.Cause(r.Context()); err != nil {
				return 0, err
			}
			return rest.Read(b)
		}))
	}
	waits := func(r *http.Request) io.ReadCloser {
		return brokenAfter(list, late, func() error { <-r.Context().Done(); return context.Cause(r.Context()) })
	}

	t.Run("the loop may take as long as it likes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n, calls, took, err := run(t, t.Context(), fine, time.Hour)
			require.NoError(t, err)
			require.Equal(t, whole, n)
			require.Equal(t, 2, calls)
			require.Equal(t, 8*time.Hour, took)
		})
	})
	t.Run("an answer that stalls is given up after the time of an attempt", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n, calls, took, err := run(t, t.Context(), waits, 0, anchorhttp.WithAttemptTimeout(7*time.Second))
			require.ErrorContains(t, err, "the answer stalled for 7s")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 7000, n)
			require.Equal(t, 1, calls)
			require.Equal(t, 7*time.Second, took)
		})
	})
	t.Run("the end of the caller's context ends it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, calls, took, err := run(t, ctx, waits, 0)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "stalled")
			require.Equal(t, 3*time.Second, took)
			require.Equal(t, 1, calls)
		})
	})
	t.Run("so does its cancellation", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			time.AfterFunc(3*time.Second, func() { cancel(errShutdown) })
			_, _, took, err := run(t, ctx, waits, 0)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 3*time.Second, took)
		})
	})
	t.Run("a connection that breaks is an error, without the key", func(t *testing.T) {
		t.Parallel()
		n, calls, _, err := run(t, t.Context(), func(r *http.Request) io.ReadCloser {
			return brokenAfter(list, late, func() error { return errors.New("broken: " + r.Header.Get("Anchor-Api-Key")) })
		}, 0)
		require.ErrorContains(t, err, "broken: ")
		require.NotContains(t, err.Error(), testKey)
		require.Equal(t, 7000, n)
		require.Equal(t, 1, calls)
	})
}
