package anchortest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCalls(t *testing.T) {
	t.Parallel()

	t.Run("a call is kept with method, path, query, body and status", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		call(t, s, "GET", "/v1/applications?search=a", "")
		call(t, s, "PUT", "/v1/identities/"+unknownID, `{"name":"x"}`)
		calls := s.Calls()
		require.Len(t, calls, 2)
		require.Equal(t, Call{Method: "GET", Path: "/v1/applications", Query: url.Values{"search": {"a"}}, Body: calls[0].Body, Authorized: true, At: calls[0].At, Status: 200}, calls[0])
		require.Empty(t, calls[0].Body)
		require.Equal(t, Call{Method: "PUT", Path: "/v1/identities/" + unknownID, Query: url.Values{}, Body: []byte(`{"name":"x"}`), Authorized: true, At: calls[1].At, Status: 404}, calls[1])
	})

	t.Run("no key, no token and nothing typed is kept", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		token := newToken(t, s, callback)
		show(t, s, "token="+token)
		submit(t, s, url.Values{"token": {token}, "account": {"Ann"}, "password": {"s3cret"}, "outcome": {"approve"}})
		require.Len(t, s.Calls(), 3)
		var all string
		for _, c := range s.Calls() {
			all += fmt.Sprintf("%+v %s\n", c, c.Body)
		}
		for _, secret := range []string{s.APIKey(), token, "s3cret", "Ann"} {
			require.NotContains(t, all, secret)
		}
		require.Equal(t, 303, s.Calls()[2].Status)
		require.False(t, s.Calls()[2].Authorized)
	})

	t.Run("calls are counted by method and path", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		newToken(t, s, callback)
		call(t, s, "GET", "/v1/identities/"+unknownID, "")
		call(t, s, "DELETE", "/v1/identities/"+unknownID, "")
		require.Equal(t, 3, s.CountCalls("", ""))
		require.Equal(t, 2, s.CountCalls("", "/v1/identities/"))
		require.Equal(t, 1, s.CountCalls("GET", "/v1/identities/"))
		require.Equal(t, 1, s.CountCalls("POST", "/v1/applications/*/tokens"))
		require.Equal(t, 0, s.CountCalls("POST", "/v1/applications/*"))
		s.ForgetCalls()
		require.Zero(t, s.CountCalls("", ""))
		require.Empty(t, s.Calls())
	})

	t.Run("what Calls returns may be changed", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		call(t, s, "PUT", "/v1/identities/"+unknownID, `{"name":"x"}`)
		s.Calls()[0].Body[0] = '!'
		require.Equal(t, `{"name":"x"}`, string(s.Calls()[0].Body))
	})
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()

	t.Run("in number", func(t *testing.T) {
		t.Parallel()
		var l callLog
		for i := range maxCalls + 5 {
			l.add(&Call{Path: fmt.Sprint(i)})
		}
		require.Len(t, l.kept, maxCalls)
		require.Equal(t, "5", l.kept[0].Path)
		require.Equal(t, fmt.Sprint(maxCalls+4), l.kept[maxCalls-1].Path)
	})

	t.Run("in bytes", func(t *testing.T) {
		t.Parallel()
		var l callLog
		body := []byte(strings.Repeat("a", maxBody))
		for range 40 {
			l.add(&Call{Body: body})
		}
		require.Len(t, l.kept, maxCallsBytes/maxBody)
		require.Equal(t, maxCallsBytes, l.bytes)
	})
}
