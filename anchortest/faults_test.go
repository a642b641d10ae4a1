package anchortest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	const at = "/v1/applications"

	t.Run("a status comes with the documented error body and no effect", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		s.Fault(Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}})
		r := call(t, s, "DELETE", "/v1/identities/"+kept.ID, "")
		r.requireError(t, 503)
		require.Equal(t, "7", r.header.Get("Retry-After"))
		require.NotEmpty(t, r.header.Get("Date"))
		require.Len(t, s.Identities(), 1)
		require.Equal(t, 503, s.Calls()[0].Status)
	})

	t.Run("it strikes without a key too", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Status: 502})
		req := request(t, s, "GET", at, "")
		req.Header.Del("anchor-api-key")
		r, err := try(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 502, r.status)
	})

	t.Run("method and path choose the calls", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Method: "GET", Path: "/v1/identities/", Status: 500})
		s.Fault(Fault{Path: "/v1/applications/*/tokens", Status: 501})
		for route, want := range map[string]int{
			"GET /v1/identities/" + unknownID:            500,
			"GET /v1/identities/x/y":                     500,
			"DELETE /v1/identities/" + unknownID:         404,
			"GET /v1/applications":                       200,
			"GET /v1/applications/" + s.ApplicationID():  200,
			"POST /v1/applications/x/tokens":             501,
			"PATCH /v1/applications/x/tokens":            501,
			"POST /v1/applications/x/tokens/y":           404,
			"POST /v1/applications/x/y/tokens":           404,
			"GET /other/v1/identities/" + unknownID + "": 404,
		} {
			method, path, _ := strings.Cut(route, " ")
			require.Equal(t, want, call(t, s, method, path, "").status, route)
		}
	})

	t.Run("faults with Times make a sequence", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Times: 2, Status: 503})
		s.Fault(Fault{Times: 1, Status: 429})
		var got []int
		for range 5 {
			got = append(got, call(t, s, "GET", at, "").status)
		}
		require.Equal(t, []int{503, 503, 429, 200, 200}, got)
	})

	t.Run("without Times it stays until cleared", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Status: 500})
		for range 3 {
			require.Equal(t, 500, call(t, s, "GET", at, "").status)
		}
		s.ClearFaults()
		require.Equal(t, 200, call(t, s, "GET", at, "").status)
	})

	t.Run("the caller's struct may be used again", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		f := Fault{Times: 1, Status: 500, Header: http.Header{"X-A": {"1"}}}
		s.Fault(f)
		f.Header.Set("X-A", "2")
		require.Equal(t, "1", call(t, s, "GET", at, "").header.Get("X-A"))
		s.Fault(f)
		require.Equal(t, 500, call(t, s, "GET", at, "").status)
	})

	t.Run("markup, a redirect and any body can be answered", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Times: 1, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}})
		r := call(t, s, "GET", at, "")
		require.Equal(t, 200, r.status)
		require.Equal(t, "<html>", r.body)
		require.Equal(t, "text/html", r.header.Get("Content-Type"))
		s.Fault(Fault{Times: 1, Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}})
		r = call(t, s, "GET", at, "")
		require.Equal(t, 307, r.status)
		require.Equal(t, "https://elsewhere.example/", r.header.Get("Location"))
		require.Empty(t, r.body)
		s.Fault(Fault{Times: 1, Status: 404, Body: `{"message":"gone"}`})
		require.JSONEq(t, `{"message":"gone"}`, call(t, s, "GET", at, "").body)
	})

	t.Run("headers alone change a real answer, and can be taken away", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Times: 1, Header: http.Header{"Date": nil, "X-A": {"1"}}})
		r := call(t, s, "GET", at, "")
		require.Equal(t, 200, r.status)
		require.Contains(t, r.object(t), "applications")
		require.Equal(t, "1", r.header.Get("X-A"))
		require.NotContains(t, r.header, "Date")
		s.Fault(Fault{Times: 1, Header: http.Header{"Date": {"Tue, 06 May 2031 06:08:09 GMT"}}})
		require.Equal(t, "Tue, 06 May 2031 06:08:09 GMT", call(t, s, "GET", at, "").header.Get("Date"))
	})

	t.Run("a dropped call has no answer and no effect", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		s.Fault(Fault{Drop: true})
		_, err := try(t.Context(), request(t, s, "PUT", "/v1/identities/"+kept.ID, `{"name":"x"}`))
		require.ErrorContains(t, err, "EOF")
		now, _ := s.Identity(kept.ID)
		require.Equal(t, kept, now)
		require.Zero(t, s.Calls()[0].Status)
	})

	t.Run("an answer can be lost after the effect", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		s.Fault(Fault{Times: 1, Drop: true, AfterEffect: true})
		_, err := try(t.Context(), request(t, s, "PUT", "/v1/identities/"+kept.ID, `{"name":"x"}`))
		require.ErrorContains(t, err, "EOF")
		now, _ := s.Identity(kept.ID)
		require.Equal(t, "x", now.Name)

		s.Fault(Fault{Times: 1, Status: 504, AfterEffect: true})
		call(t, s, "DELETE", "/v1/identities/"+kept.ID, "").requireError(t, 504)
		require.Empty(t, s.Identities())
	})

	t.Run("an answer can be cut in the middle", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Drop: true, Body: `{"applications":`})
		r, err := try(t.Context(), request(t, s, "GET", at, ""))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, 200, r.status)
		require.Equal(t, `{"applications":`, r.body)
	})

	t.Run("a body without end lasts until the caller hangs up", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for body, want := range map[string]string{"": " ", "ab": "ab"} {
			s.Fault(Fault{Times: 1, Endless: true, Body: body})
			ctx, cancel := context.WithCancel(soon(t))
			res, err := noRedirects.Do(request(t, s, "GET", at, "").WithContext(ctx))
			require.NoError(t, err)
			text := make([]byte, 5<<20)
			_, err = io.ReadFull(res.Body, text)
			require.NoError(t, err)
			require.Equal(t, strings.Repeat(want, 10/len(want)), string(text[:10]))
			cancel()
			res.Body.Close()
		}
		require.NoError(t, s.Shutdown(soon(t)))
	})

	t.Run("latency delays the real answer", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Latency: 60 * time.Millisecond})
		began := time.Now()
		require.Equal(t, 200, call(t, s, "GET", at, "").status)
		require.GreaterOrEqual(t, time.Since(began), 60*time.Millisecond)
	})

	t.Run("a caller who gives up during the latency leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		s.Fault(Fault{Latency: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := try(ctx, request(t, s, "DELETE", "/v1/identities/"+kept.ID, ""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, s.Shutdown(soon(t)), "the call has ended")
		require.Len(t, s.Identities(), 1)
	})

	t.Run("a fault that makes no sense panics", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		require.Panics(t, func() { s.Fault(Fault{Path: "/*/[", Status: 500}) })
		require.Panics(t, func() { s.Fault(Fault{Status: 100}) })
		require.Panics(t, func() { s.Fault(Fault{Status: 1000}) })
		require.Panics(t, func() { s.Fault(Fault{Status: 500, Times: -1}) })
		require.Panics(t, func() { s.CountCalls("", "/*/[") })
		require.Panics(t, func() { s.Hold("", "/*/[") })
		require.Equal(t, 200, call(t, s, "GET", at, "").status)
	})

	t.Run("the documented rate limit can be answered", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.Fault(Fault{Method: "POST", Path: "/v1/sessions", Status: 429, Header: http.Header{
			"Retry-After": {"58"}, "Ratelimit": {`"5-in-1min"; r=0; t=58`},
		}})
		r := call(t, s, "POST", "/v1/sessions", "{}")
		r.requireError(t, 429)
		require.Equal(t, "58", r.header.Get("Retry-After"))
		require.True(t, json.Valid([]byte(r.body)))
	})
}
