package anchorhttp

import (
	"errors"
	"net/http"
	"regexp"
)

// The statuses of an identity. Anchor's API reference lists pending, validated and
// failed; its service uses the other three too.
const (
	// StatusPending: the sign-in has not been tried yet.
	StatusPending = "pending"
	// StatusValidated: the sign-in works.
	StatusValidated = "validated"
	// StatusActive: the sign-in works.
	StatusActive = "active"
	// StatusFailed: the sign-in does not work.
	StatusFailed = "failed"
	// StatusAgentFailed: Anchor's agent could not sign in.
	StatusAgentFailed = "agent_failed"
	// StatusAgentInvalid: Anchor's agent cannot sign in with what is saved.
	StatusAgentInvalid = "agent_invalid"
)

// A SignIn is what an identity's status says about its sign-in.
type SignIn int

const (
	// SignInUnknown means that the status is empty or not one of the constants
	// above. Do not refuse such an identity, since Anchor may add statuses, but log
	// the status.
	SignInUnknown SignIn = iota
	// SignInGood means that the sign-in works, or has not been tried yet.
	SignInGood
	// SignInBad means that the sign-in does not work. The user has to sign in again.
	SignInBad
)

// SignInOf returns what an identity's status says. It is the one place that
// decides which statuses are good and which are bad.
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

// SignIn returns what the identity's status says.
func (i Identity) SignIn() SignIn { return SignInOf(i.Status) }

// SignIn returns what the identity's status says.
func (i ApplicationIdentity) SignIn() SignIn { return SignInOf(i.Status) }

// NeedsSignIn reports whether err, which [Client.CreateSession] or
// [Client.Reauthenticate] returned, means that the user has to sign in again: the
// saved sign-in does not work, or the identity is gone. A retry is of no use then.
//
// It judges by status and message, because Anchor documents neither. An [*Error]
// with status 404, 412 or 422 qualifies, and one with status 400 if its message
// says that the identity was not found or that the sign-in failed. Other 400s are
// invalid requests. Answers that are not JSON come from a gateway and never
// qualify.
func NeedsSignIn(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.foreign {
		return false
	}
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
		return true
	case http.StatusBadRequest:
		return saysNeedsSignIn.MatchString(e.Message) && !saysInvalidRequest.MatchString(e.Message)
	}
	return false
}

var (
	// saysNeedsSignIn matches messages such as "Identity not found.", "identity
	// authentication failed" and "profile is not authenticated". An id or a name may
	// stand between the noun and what is said of it. A profile that was not found
	// is something else: the request names one of its own.
	saysNeedsSignIn = regexp.MustCompile(`(?i)\bidentit(y|ies)\b.{0,80}?\b(not found|not exist|no longer exists?|deleted|authentication failed|not authenticated|no credentials|sign-?in failed|login failed)\b` +
		`|\bprofile\b.{0,80}?\b(authentication failed|not authenticated)\b` +
		`|\b(no such|unknown) identity\b` +
		`|\bfailed to authenticate (the )?(identity|profile)\b`)

	// saysInvalidRequest matches messages about a part of the request rather than
	// about the identity that it names.
	saysInvalidRequest = regexp.MustCompile(`(?i)\b(field|property|parameter|schema|body|required|must)\b|\bidentities[.\[]`)
)
