package anchortest

import (
	"fmt"
	"net/http"

	"github.com/anchorconnect/connect/anchorhttp"
)

// A SessionRefusal is a reason for which the fake opens no session. Anchor documents
// the last two; the others are what its clients have seen.
type SessionRefusal int

const (
	// NoRefusal opens the session.
	NoRefusal SessionRefusal = iota
	// RefuseGone answers as if the identity were not there: see
	// [Server.SetGoneStatus].
	RefuseGone
	// RefuseNoCredentials answers 412: the identity has nothing to sign in with.
	RefuseNoCredentials
	// RefuseSignInFailed answers 422: the saved sign-in does not work.
	RefuseSignInFailed
	// RefuseNotAuthenticated answers 400 with the message "Profile is not
	// authenticated."
	RefuseNotAuthenticated
	// RefuseNoCredit answers 402.
	RefuseNoCredit
	// RefuseRateLimited answers 429, with Retry-After and the RateLimit headers.
	RefuseRateLimited
)

// refusals is what the fake refuses, and how.
type refusals struct {
	sessions   SessionRefusal // of all sessions
	sessionsOf map[string]SessionRefusal
	killed     map[string]bool // identities whose sign-in died unnoticed
	dead       SessionRefusal
	gone       int

	reauthentication   int // status; 0 is success
	reauthenticationOf map[string]int
}

func newRefusals() refusals {
	return refusals{
		sessionsOf: make(map[string]SessionRefusal), killed: make(map[string]bool),
		dead: RefuseSignInFailed, gone: http.StatusBadRequest,
		reauthenticationOf: make(map[string]int),
	}
}

// RefuseSessions refuses all sessions from now on, those without an identity too,
// until it is called with [NoRefusal]. A session that is to skip the validation is not
// refused for its sign-in.
func (s *Server) RefuseSessions(r SessionRefusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.sessions = r
}

// RefuseSessionsOf is [Server.RefuseSessions] for the sessions of one identity.
func (s *Server) RefuseSessionsOf(identityID string, r SessionRefusal) {
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.sessionsOf[id] = r
}

// SetGoneStatus chooses the status of a session that names an identity that is not
// there: 400, which is the default, 404 or 422. What Anchor answers is undocumented. It
// panics at any other status.
func (s *Server) SetGoneStatus(status int) {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
	default:
		panic(fmt.Errorf("anchortest: an identity that is gone cannot be a %d", status))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.gone = status
}

// SetDeadSignIn chooses how a session is refused whose identity's sign-in does not
// work, after [Server.FailIdentity] or [Server.KillSignIn], say. It defaults to
// [RefuseSignInFailed]. [NoRefusal] opens it all the same. A session that is to skip
// the validation is always opened.
func (s *Server) SetDeadSignIn(r SessionRefusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.dead = r
}

// KillSignIn makes the saved sign-in of an identity stop working without anybody
// noticing: its status stays, and the webhook is not told. Only sessions are refused,
// as by [Server.SetDeadSignIn]. [Server.Reauthenticate], the API's call of that name
// and a new sign-in on the hosted page make it work again. It reports whether there is
// such an identity.
func (s *Server) KillSignIn(identityID string) bool {
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identities.get(id) == nil {
		return false
	}
	s.refusals.killed[id] = true
	return true
}

// RefuseReauthentication makes the API's reauthenticate call fail from now on, for all
// identities: with 412, no credentials, or with 422, after which the identity is
// [StatusFailed] and the webhook is told. Zero lets it succeed again, which is the
// default. It panics at any other status.
func (s *Server) RefuseReauthentication(status int) {
	checkReauthentication(status)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.reauthentication = status
}

// RefuseReauthenticationOf is [Server.RefuseReauthentication] for one identity.
func (s *Server) RefuseReauthenticationOf(identityID string, status int) {
	checkReauthentication(status)
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.reauthenticationOf[id] = status
}

func checkReauthentication(status int) {
	switch status {
	case 0, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
	default:
		panic(fmt.Errorf("anchortest: reauthenticate cannot be refused with %d", status))
	}
}

// refusalOf returns why a session with this identity is refused. It is called with the
// lock held.
func (s *Server) refusalOf(identity *Identity, skipValidation bool) SessionRefusal {
	r := s.refusals.sessionsOf[identity.ID]
	// Whether a sign-in that has failed works again, a backend finds out.
	failed := s.backend == nil && anchorhttp.SignInOf(string(identity.Status)) == anchorhttp.SignInBad
	if r == NoRefusal && (s.refusals.killed[identity.ID] || failed) {
		r = s.refusals.dead
	}
	if skipValidation && r.isSignIn() {
		return NoRefusal
	}
	return r
}

// isSignIn reports whether only a check of the sign-in finds out.
func (r SessionRefusal) isSignIn() bool {
	return r == RefuseNoCredentials || r == RefuseSignInFailed || r == RefuseNotAuthenticated
}

// The messages of a sign-in that does not work.
const (
	noCredentials = "Identity has no credentials."
	signInFailed  = "Identity authentication failed."
)

// writeRefusal answers a session that is refused.
func writeRefusal(w http.ResponseWriter, r SessionRefusal, gone int) {
	switch r {
	case RefuseGone:
		writeError(w, gone, noIdentity)
	case RefuseNoCredentials:
		writeError(w, http.StatusPreconditionFailed, noCredentials)
	case RefuseSignInFailed:
		writeError(w, http.StatusUnprocessableEntity, signInFailed)
	case RefuseNotAuthenticated:
		writeError(w, http.StatusBadRequest, "Profile is not authenticated.")
	case RefuseNoCredit:
		writeError(w, http.StatusPaymentRequired, "Insufficient credits to allocate a new browser.")
	case RefuseRateLimited:
		w.Header().Set("Retry-After", "58")
		w.Header().Set("RateLimit", `"5-in-1min"; r=0; t=58`)
		w.Header().Set("RateLimit-Policy", `"5-in-1min"; q=5; w=60; pk=:ZGQ0YzBjYzVhZjQ1:`)
		writeError(w, http.StatusTooManyRequests, "Session creation rate limit exceeded.")
	}
}
