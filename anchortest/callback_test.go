package anchortest

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCallbackParameters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		style   CallbackStyle
		outcome outcome
		want    string
	}{
		{CurrentCallback, approve, "identity_id=ID&status=success"},
		{OlderCallback, approve, "identityId=ID"},
		{BothCallback, approve, "identity_id=ID&status=success&identityId=ID"},
		{CurrentCallback, cancel, "status=cancelled&error=access_denied&error_description=The+user+cancelled."},
		{OlderCallback, cancel, "error=access_denied&error_description=The+user+cancelled."},
		{BothCallback, cancel, "status=cancelled&error=access_denied&error_description=The+user+cancelled."},
		{CurrentCallback, fail, "status=failed&error=authentication_failed&error_description=The+sign-in+failed."},
		{OlderCallback, fail, "error=authentication_failed&error_description=The+sign-in+failed."},
		{BothCallback, fail, "status=failed&error=authentication_failed&error_description=The+sign-in+failed."},
	} {
		require.Equal(t, test.want, callbackParameters(test.style, test.outcome, "ID"), "%d %s", test.style, test.outcome)
	}
}

func TestCallbackParametersAreAdded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, address, properly, blindly string }{
		{"a path", "https://a.example/cb/state", "https://a.example/cb/state?p=1", "https://a.example/cb/state?p=1"},
		{"no path", "https://a.example", "https://a.example?p=1", "https://a.example?p=1"},
		{"a query", "https://a.example/cb?s=x%2F", "https://a.example/cb?s=x%2F&p=1", "https://a.example/cb?s=x%2F?p=1"},
		{"an empty query", "https://a.example/cb?", "https://a.example/cb?p=1", "https://a.example/cb??p=1"},
		{"an open query", "https://a.example/cb?s=x&", "https://a.example/cb?s=x&p=1", "https://a.example/cb?s=x&?p=1"},
		{"a fragment", "https://a.example/cb#f?g", "https://a.example/cb?p=1#f?g", "https://a.example/cb#f?g?p=1"},
		{"query and fragment", "https://a.example/cb?s=x#f", "https://a.example/cb?s=x&p=1#f", "https://a.example/cb?s=x#f?p=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.properly, addParameters(test.address, "p=1", false))
			require.Equal(t, test.blindly, addParameters(test.address, "p=1", true))
			require.Equal(t, test.address, addParameters(test.address, "", false))
			require.Equal(t, test.address, addParameters(test.address, "", true))
		})
	}
}

func TestCallbackOfASignIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	finish := func(t *testing.T, f func(context.Context, string) (string, error)) string {
		t.Helper()
		at, err := f(t.Context(), hosted(t, s, callback+"?s=1"))
		require.NoError(t, err)
		return at
	}
	success := func(ctx context.Context, at string) (string, error) { return s.Approve(ctx, at) }

	require.Contains(t, finish(t, s.Cancel), callback+"?s=1&status=cancelled&error=")
	require.Contains(t, finish(t, s.Fail), callback+"?s=1&status=failed&error=")
	require.Empty(t, s.Identities())

	s.SetSilentFailure(true)
	require.Equal(t, callback+"?s=1", finish(t, s.Cancel))
	require.Equal(t, callback+"?s=1", finish(t, s.Fail))
	require.Contains(t, finish(t, success), "?s=1&identity_id=")

	s.SetSilentFailure(false)
	s.SetCallbackAppend(true)
	require.Contains(t, finish(t, s.Fail), "?s=1?status=failed")
	s.SetCallbackStyle(OlderCallback)
	require.Contains(t, finish(t, success), "?s=1?identityId=")
	s.SetCallbackAppend(false)
	s.SetCallbackStyle(BothCallback)
	u, err := url.Parse(finish(t, success))
	require.NoError(t, err)
	require.Equal(t, u.Query().Get("identity_id"), u.Query().Get("identityId"))
	require.NotEmpty(t, u.Query().Get("identityId"))
}
