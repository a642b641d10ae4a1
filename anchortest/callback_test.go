package anchortest

import (
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

func TestAddParameters(t *testing.T) {
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
