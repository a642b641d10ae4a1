package anchorhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignInOf(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]SignIn{
		"active": SignInGood, "validated": SignInGood, "pending": SignInGood,
		"failed": SignInBad, "agent_failed": SignInBad, "agent_invalid": SignInBad,
		"": SignInUnknown, "suspended": SignInUnknown, "Failed": SignInUnknown, "failed ": SignInUnknown,
	} {
		require.Equal(t, want, SignInOf(status), "%q", status)
		require.Equal(t, want, Identity{Status: status}.SignIn(), "%q", status)
		require.Equal(t, want, ApplicationIdentity{Status: status}.SignIn(), "%q", status)
	}
	require.Equal(t, "good bad unknown unknown", fmt.Sprint(SignInGood, SignInBad, SignInUnknown, SignIn(7)))
}

func TestNeedsSignIn(t *testing.T) {
	t.Parallel()
	says := func(message string) string {
		return fmt.Sprintf(`{"error":{"code":1,"message":%q}}`, message)
	}
	const id = "123e4567-e89b-12d3-a456-426614174000"
	tests := []struct {
		name   string
		status int
		body   string
		want   bool
	}{
		{"412", 412, says("Identity has no credentials"), true},
		{"412 without a body", 412, "", true},
		{"422", 422, says("Identity authentication failed"), true},
		{"422 with another body", 422, `{"message":"no"}`, true},
		{"404", 404, says("Identity not found."), true},
		{"404 without a message", 404, `{}`, true},
		{"404 for a profile that is not there", 404, says("Profile 'work' not found"), false},
		{"404 for a route", 404, says("Route not found"), false},
		{"422 for a field", 422, says("identities[0].id: field not found"), false},
		{"404, 412 or 422 from a gateway: 404", 404, "<html>", false},
		{"404, 412 or 422 from a gateway: 412", 412, "<html>", false},
		{"404, 412 or 422 from a gateway: 422", 422, "<html>", false},

		{"400 for an identity that is gone", 400, says("Identity not found."), true},
		{"400 in the older form", 400, `{"message":"identity not found"}`, true},
		{"400 with the error as a text", 400, `{"error":"Identity not found"}`, true},
		{"400 that names the identity", 400, says("Identity " + id + " was not found"), true},
		{"400 that names the identity in quotes", 400, says(`Identity "` + id + `" does not exist`), true},
		{"400 for several", 400, says("One or more identities not found"), true},
		{"400 for an identity that was deleted", 400, says("The identity has been deleted."), true},
		{"400 for an identity of no use any more", 400, says("This identity no longer exists"), true},
		{"400 for no such identity", 400, says("No such identity: " + id), true},
		{"400 for an unknown identity", 400, says("Unknown identity"), true},
		{"400 for a sign-in that failed", 400, says("identity authentication failed"), true},
		{"400 for a sign-in that failed, with the cause", 400, says("Identity authentication failed: wrong password"), true},
		{"400 for a sign-in that failed, the other way about", 400, says("Failed to authenticate identity " + id), true},
		{"400 for a profile that is not signed in", 400, says("profile is not authenticated"), true},
		{"400 for a profile with a name", 400, says("Profile 'work' is not authenticated"), true},
		{"400 for an identity that is not signed in", 400, says("Identity is not authenticated."), true},
		{"400 for no credentials", 400, says("Identity has no credentials"), true},

		{"400 for a solver without a proxy", 400, says("CAPTCHA solver requires proxy to be active."), false},
		{"400 without a message", 400, `{}`, false},
		{"400 without a body", 400, "", false},
		{"400 from a gateway", 400, "<html>Identity not found.</html>", false},
		{"400 for the form of an id", 400, says("Invalid identity id: must be a UUID"), false},
		{"400 for a field", 400, says("identities[0].id: field not found"), false},
		{"400 for a field, with dots", 400, says("identities.0.id not found"), false},
		{"400 for a field, in words", 400, says("Identity field not found in the request"), false},
		{"400 for a missing id", 400, says("identity_id is required, not found"), false},
		{"400 for a profile that is not there", 400, says("Profile 'work' not found"), false},
		{"400 for an extension that is not there", 400, says("Extension not found"), false},
		{"400 for a proxy's password", 400, says("Proxy authentication failed"), false},
		{"400 for the wrong key", 400, says("Authentication failed"), false},
		{"400 for too many identities", 400, says("Only one identity is supported"), false},
		{"400 for something else beside an identity", 400, says("identityproxy not found"), false},

		{"401 for the key", 401, says("Identity authentication failed"), false},
		{"402", 402, says("Insufficient credits"), false},
		{"403", 403, says("Identity not found"), false},
		{"409", 409, says("Identity is busy"), false},
		{"429", 429, says("Session creation rate limit exceeded."), false},
		{"500", 500, says("Identity not found."), false},
		{"503", 503, says("identity authentication failed"), false},
		{"a redirect", 302, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newError(tt.status, http.Header{}, []byte(tt.body), time.Now(), func(s string) string { return s })
			require.Equal(t, tt.want, NeedsSignIn(fmt.Errorf("anchorhttp: POST /v1/sessions: %w", e)))
		})
	}
	for _, err := range []error{nil, ErrInvalidAnswer, ErrInvalidID, context.DeadlineExceeded, errors.New("Identity not found.")} {
		require.False(t, NeedsSignIn(err), "%v", err)
	}
}
