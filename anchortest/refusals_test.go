package anchortest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// open asks for a session with an identity.
func open(t *testing.T, s *Server, identityID string, more ...string) response {
	t.Helper()
	body := `{"identities":[{"id":"` + identityID + `"}]`
	for _, field := range more {
		body += "," + field
	}
	return call(t, s, "POST", "/v1/sessions", body+"}")
}

const skipValidation = `"identity_skip_validation":true`

// Each refusal, and what the client makes of it.
func TestSessionRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		refusal     SessionRefusal
		status      int
		message     string
		needsSignIn bool
		skips       bool // it is not noticed without a check of the sign-in
	}{
		{"gone", RefuseGone, 400, "Identity not found.", true, false},
		{"no credentials", RefuseNoCredentials, 412, "Identity has no credentials.", true, true},
		{"sign-in failed", RefuseSignInFailed, 422, "Identity authentication failed.", true, true},
		{"not authenticated", RefuseNotAuthenticated, 400, "Profile is not authenticated.", true, true},
		{"no credit", RefuseNoCredit, 402, "Insufficient credits to allocate a new browser.", false, false},
		{"rate limited", RefuseRateLimited, 429, "Session creation rate limit exceeded.", false, false},
	} {
		for scope, refuse := range map[string]func(*Server, string, SessionRefusal){
			"all sessions":         func(s *Server, _ string, r SessionRefusal) { s.RefuseSessions(r) },
			"those of an identity": (*Server).RefuseSessionsOf,
		} {
			t.Run(test.name+", "+scope, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				ann, bob := s.PutIdentity(Identity{}), s.PutIdentity(Identity{})
				refuse(s, ann.ID, test.refusal)
				r := open(t, s, ann.ID)
				r.requireError(t, test.status)
				require.Contains(t, r.body, test.message)
				if test.refusal == RefuseRateLimited {
					require.Equal(t, "58", r.header.Get("Retry-After"))
					require.Equal(t, `"5-in-1min"; r=0; t=58`, r.header.Get("RateLimit"))
				}
				_, err := s.Client(anchorhttp.WithMaxRetries(0)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(ann.ID))
				require.Equal(t, test.needsSignIn, anchorhttp.NeedsSignIn(err), "%v", err)
				require.Equal(t, test.skips, open(t, s, ann.ID, skipValidation).status == 200)
				require.Equal(t, scope != "all sessions", open(t, s, bob.ID).status == 200)
				require.Equal(t, scope != "all sessions", call(t, s, "POST", "/v1/sessions", "").status == 200)

				refuse(s, ann.ID, NoRefusal)
				require.Equal(t, 200, open(t, s, ann.ID).status)
			})
		}
	}

	t.Run("an identity that is gone has the status that is chosen", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, status := range []int{400, 404, 422} {
			if status != 400 {
				s.SetGoneStatus(status)
			}
			r := open(t, s, unknownID)
			r.requireError(t, status)
			require.Contains(t, r.body, "Identity not found.")
			open(t, s, unknownID, skipValidation).requireError(t, status)
		}
		require.Panics(t, func() { s.SetGoneStatus(410) })
		require.Equal(t, 200, call(t, s, "POST", "/v1/sessions", "").status, "and the lock is free")
	})
}

func TestSignInsThatStopWorking(t *testing.T) {
	t.Parallel()

	t.Run("one that failed refuses sessions, with the refusal that is chosen", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		ann := s.PutIdentity(Identity{})
		require.NoError(t, s.FailIdentity(t.Context(), ann.ID))
		open(t, s, ann.ID).requireError(t, 422)
		for refusal, status := range map[SessionRefusal]int{RefuseNoCredentials: 412, RefuseNotAuthenticated: 400, RefuseSignInFailed: 422, NoRefusal: 200} {
			s.SetDeadSignIn(refusal)
			require.Equal(t, status, open(t, s, ann.ID).status)
		}
		s.SetDeadSignIn(RefuseSignInFailed)
		require.Equal(t, 200, open(t, s, ann.ID, skipValidation).status)
		require.NoError(t, s.Reauthenticate(t.Context(), ann.ID))
		require.Equal(t, 200, open(t, s, ann.ID).status)
	})

	t.Run("statuses that are bad refuse sessions, others do not", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		ann := s.PutIdentity(Identity{})
		for status, want := range map[Status]int{
			StatusActive: 200, StatusValidated: 200, StatusPending: 200, "suspended": 200,
			StatusFailed: 422, StatusAgentFailed: 422, StatusAgentInvalid: 422,
		} {
			require.True(t, s.SetStatus(ann.ID, status))
			require.Equal(t, want, open(t, s, ann.ID).status, status)
			got, err := s.Client().Identity(t.Context(), ann.ID)
			require.NoError(t, err)
			require.Equal(t, string(status), got.Status)
			require.Equal(t, want == 422, got.SignIn() == anchorhttp.SignInBad)
		}
		require.False(t, s.SetStatus(unknownID, StatusFailed))
	})

	t.Run("one that died unnoticed shows in sessions alone, until it works again", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		for how, again := range map[string]func(*testing.T, string){
			"a test says so":   func(t *testing.T, id string) { require.NoError(t, s.Reauthenticate(t.Context(), id)) },
			"the API signs in": func(t *testing.T, id string) { require.NoError(t, s.Client().Reauthenticate(t.Context(), id)) },
			"the user signs in": func(t *testing.T, id string) {
				_, err := s.Approve(t.Context(), hosted(t, s, callback), WithExistingIdentity(id))
				require.NoError(t, err)
			},
			"a button of the control": func(t *testing.T, id string) { require.Equal(t, 303, press(t, s, id, "approve").status) },
		} {
			ann := s.PutIdentity(Identity{})
			require.True(t, s.KillSignIn(ann.ID), how)
			kept, _ := s.Identity(ann.ID)
			require.Equal(t, ann, kept, how)
			require.NoError(t, s.WaitDelivered(soon(t)))
			before := len(s.Deliveries())
			open(t, s, ann.ID).requireError(t, 422)
			require.NoError(t, s.WaitDelivered(soon(t)))
			require.Len(t, s.Deliveries(), before, "nobody is told")
			require.Equal(t, 200, open(t, s, ann.ID, skipValidation).status, how)
			again(t, ann.ID)
			require.Equal(t, 200, open(t, s, ann.ID).status, how)
		}
		require.False(t, s.KillSignIn(unknownID))
	})
}

func TestReauthentication(t *testing.T) {
	t.Parallel()
	for scope, refuse := range map[string]func(*Server, string, int){
		"all":    func(s *Server, _ string, status int) { s.RefuseReauthentication(status) },
		"of one": (*Server).RefuseReauthenticationOf,
	} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			s := start(t, WithWebhook(h.URL, "s"))
			ann, bob := s.PutIdentity(Identity{}), s.PutIdentity(Identity{})
			again := func(id string) error { return s.Client().Reauthenticate(t.Context(), id) }

			refuse(s, ann.ID, http.StatusPreconditionFailed)
			err := again(ann.ID)
			require.ErrorContains(t, err, "412 Precondition Failed: Identity has no credentials.")
			require.True(t, anchorhttp.NeedsSignIn(err))
			kept, _ := s.Identity(ann.ID)
			require.Equal(t, ann, kept)

			refuse(s, ann.ID, http.StatusUnprocessableEntity)
			err = again(ann.ID)
			require.ErrorContains(t, err, "422 Unprocessable Entity: Identity authentication failed.")
			require.True(t, anchorhttp.NeedsSignIn(err))
			kept, _ = s.Identity(ann.ID)
			require.Equal(t, StatusFailed, kept.Status)
			require.NoError(t, s.WaitDelivered(soon(t)))
			require.Len(t, s.Deliveries(), 1)
			require.Equal(t, anchorhttp.EventIdentityAuthenticationFailed, s.Deliveries()[0].Event.Type)
			require.Equal(t, scope == "of one", again(bob.ID) == nil)

			refuse(s, ann.ID, 0)
			require.NoError(t, again(ann.ID))
			require.True(t, anchorhttp.NeedsSignIn(again(unknownID)))
			require.Panics(t, func() { refuse(s, ann.ID, 500) })
		})
	}
}
