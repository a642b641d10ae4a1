package anchorhttp

import (
	"errors"
	"net/http"
	"regexp"
)

// The statuses of an identity. Anchor's API reference lists pending, validated and
// failed; its service uses the other three too.
const (
	// StatusPending means that the sign-in has not been tried yet.
	StatusPending = "pending"
	// StatusValidated means that the sign-in works.
	StatusValidated = "validated"
	// StatusActive means that the sign-in works.
	StatusActive = "active"
	// StatusFailed means that the sign-in does not work.
	StatusFailed = "failed"
	// StatusAgentFailed means that Anchor's agent could not sign in.
	StatusAgentFailed = "agent_failed"
	// StatusAgentInvalid means that Anchor's agent cannot sign in with what is
	// saved.
	StatusAgentInvalid = "agent_invalid"
)

// A SignIn is the meaning of an identity's status for its sign-in.
type SignIn int

const (
	// SignInUnknown means that the status is empty or none of the Status constants.
	// Since Anchor may add statuses, accept such an identity, but log its status.
	SignInUnknown SignIn = iota
	// SignInGood means that the sign-in works, or has not been tried yet.
	SignInGood
	// SignInBad means that the sign-in does not work. The user has to sign in again.
	SignInBad
)

// SignInOf interprets the status of an identity. No other code decides which
// statuses are good and which are bad.
func SignInOf(status string) SignIn {
	switch status {
	case StatusActive, StatusValidated, StatusPending:
		return SignInGood
	case StatusFailed, StatusAgentFailed, StatusAgentInvalid:
		return SignInBad
	}
	return SignInUnknown
}

// String returns "good", "bad" or "unknown".
func (s SignIn) String() string {
	switch s {
	case SignInGood:
		return "good"
	case SignInBad:
		return "bad"
	}
	return "unknown"
}

// SignIn interprets the identity's status.
func (i Identity) SignIn() SignIn { return SignInOf(i.Status) }

// SignIn interprets the identity's status.
func (i ApplicationIdentity) SignIn() SignIn { return SignInOf(i.Status) }

// NeedsSignIn reports whether err, from [Client.CreateSession] or
// [Client.Reauthenticate], means that the user has to sign in again: the saved
// sign-in does not work, or the identity does not exist any more. A retry does not
// help.
//
// Anchor documents neither case, so NeedsSignIn looks at status and message of the
// [*Error]. It reports true for:
//
//   - status 412
//   - status 404 or 422, unless the message is about another part of the request
//   - status 400, if the message says that the identity was not found or that its sign-in
//     failed
//
// It reports false for answers that are not JSON, because they come from a gateway.
func NeedsSignIn(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.foreign {
		return false
	}
	switch e.StatusCode {
	case http.StatusPreconditionFailed:
		return true
	case http.StatusNotFound, http.StatusUnprocessableEntity:
		return !saysInvalidRequest.MatchString(e.Message)
	case http.StatusBadRequest:
		return saysNeedsSignIn.MatchString(e.Message) && !saysInvalidRequest.MatchString(e.Message)
	}
	return false
}

var (
	// saysNeedsSignIn matches messages such as "Identity not found.", "identity
	// authentication failed" and "profile is not authenticated". An id or a name may
	// follow the noun. It does not match a profile that was not found: that is the
	// request's own profile.
	saysNeedsSignIn = regexp.MustCompile(`(?i)\bidentit(y|ies)\b.{0,80}?\b(not found|not exist|no longer exists?|deleted|authentication failed|not authenticated|no credentials|sign-?in failed|login failed)\b` +
		`|\bprofile\b.{0,80}?\b(authentication failed|not authenticated)\b` +
		`|\b(no such|unknown) identity\b` +
		`|\bfailed to authenticate (the )?(identity|profile)\b`)

	// saysInvalidRequest matches messages about a part of the request other than the
	// identity.
	saysInvalidRequest = regexp.MustCompile(`(?i)\b(field|property|parameter|schema|body|required|must|url|proxy|captcha|viewport|extension)\b|\bidentities[.\[]` +
		`|\b(profile|session|project|application|route|endpoint)\b.{0,80}?\b(not found|not exist)\b`)
)
