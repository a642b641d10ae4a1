package anchortest

import (
	"fmt"
	"net/http"

	"github.com/anchorconnect/connect/anchorhttp"
)

// A SessionRefusal is a reason to refuse a session. Anchor documents the last two.
// Its clients have seen the others.
type SessionRefusal int

const (
	// NoRefusal opens the session.
	NoRefusal SessionRefusal = iota
	// RefuseGone answers as if the identity did not exist: see
	// [Server.SetGoneStatus].
	RefuseGone
	// RefuseNoCredentials answers 412: the identity has no credentials.
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

// refusals has the settings of refusals.
type refusals struct {
	sessions   SessionRefusal // of all sessions
	sessionsOf map[string]SessionRefusal
	killed     map[string]bool // identities whose sign-in has stopped working silently
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

// RefuseSessions refuses all sessions from now on, including those without an
// identity. Call it with [NoRefusal] to end that. A session that skips the
// validation is not refused for its sign-in.
func (s *Server) RefuseSessions(r SessionRefusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.sessions = r
}

// RefuseSessionsOf is like [Server.RefuseSessions], for the sessions of one
// identity.
func (s *Server) RefuseSessionsOf(identityID string, r SessionRefusal) {
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.sessionsOf[id] = r
}

// SetGoneStatus sets the status of a session whose identity does not exist: 400,
// which is the default, 404 or 422. Anchor does not document it. SetGoneStatus
// panics for any other status.
func (s *Server) SetGoneStatus(status int) {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
	default:
		panic(fmt.Errorf("anchortest: a session whose identity is gone cannot have status %d", status))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.gone = status
}

// SetDeadSignIn sets how a session is refused whose sign-in does not work, for
// example after [Server.FailIdentity] or [Server.KillSignIn]. Defaults to
// [RefuseSignInFailed]. With [NoRefusal] it is opened. A session that skips the
// validation is always opened.
func (s *Server) SetDeadSignIn(r SessionRefusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.dead = r
}

// KillSignIn makes the saved sign-in of an identity stop working silently: its
// status stays, and the webhook receives no event. Only sessions are refused, as
// [Server.SetDeadSignIn] specifies. [Server.Reauthenticate], the API's
// reauthenticate call and a new sign-in on the hosted page make it work again. It
// reports whether the identity exists.
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

// RefuseReauthentication makes the API's reauthenticate call fail from now on, for
// all identities. Status 412 means no credentials. After 422 the identity is
// [StatusFailed] and the webhook receives an event. Zero, which is the default,
// makes it succeed. It panics for any other status.
func (s *Server) RefuseReauthentication(status int) {
	checkReauthentication(status)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals.reauthentication = status
}

// RefuseReauthenticationOf is like [Server.RefuseReauthentication], for one
// identity.
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
		panic(fmt.Errorf("anchortest: reauthenticate cannot be refused with status %d", status))
	}
}

// refusalOf returns why a session with this identity is refused. The caller holds
// the lock.
func (s *Server) refusalOf(identity *Identity, skipValidation bool) SessionRefusal {
	r := s.refusals.sessionsOf[identity.ID]
	// A backend finds out itself whether a failed sign-in works again.
	failed := s.backend == nil && anchorhttp.SignInOf(string(identity.Status)) == anchorhttp.SignInBad
	if r == NoRefusal && (s.refusals.killed[identity.ID] || failed) {
		r = s.refusals.dead
	}
	if skipValidation && r.isSignIn() {
		return NoRefusal
	}
	return r
}

// isSignIn reports whether only a validation of the sign-in reveals the reason.
func (r SessionRefusal) isSignIn() bool {
	return r == RefuseNoCredentials || r == RefuseSignInFailed || r == RefuseNotAuthenticated
}

// Messages about a sign-in that does not work.
const (
	noCredentials = "Identity has no credentials."
	signInFailed  = "Identity authentication failed."
)

// writeRefusal answers a refused session.
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
