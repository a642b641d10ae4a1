package connect

import (
	"errors"
	"fmt"
	"net/http"
)

// Each cause has an error of its own, to be matched with [errors.Is]. The handler wraps
// it with what was being done and passes it to Config.ErrorHandler. [Explain] returns
// its HTTP status and what to say to the user. Where a comment says that the flow stays
// pending, the same request may succeed later.

// The user and the request.
var (
	// ErrNotSignedIn is returned when nobody is signed in to the app. A User function
	// returns it, or a User with an empty ID. A callback's flow stays pending: after
	// signing in, the same address completes it.
	ErrNotSignedIn = cause("not_signed_in", http.StatusUnauthorized, "nobody is signed in")

	// ErrUserLookup is returned when Config.User fails, or returns an id that cannot be
	// stored: over 255 bytes, with a NUL byte, or not UTF-8.
	ErrUserLookup = cause("user_lookup", http.StatusServiceUnavailable, "the signed-in user could not be looked up")

	// ErrCrossOrigin is returned when a page of another origin sent the request.
	ErrCrossOrigin = cause("cross_origin", http.StatusForbidden, "the request came from a page of another origin")

	// ErrWrongOrigin is returned when a page sends a request to another address than its
	// own, where the state cookie would be lost, and when the request's host is none of
	// the app's: see Config.PublicURLOf.
	ErrWrongOrigin = cause("wrong_origin", http.StatusBadRequest, "the page's origin is not that of the public URL")

	// ErrHostLookup is returned when Config.PublicURLOf fails, or returns an address
	// that cannot be used. A pending flow stays pending.
	ErrHostLookup = cause("host_lookup", http.StatusServiceUnavailable, "the address of the request could not be looked up")

	// ErrFramed is returned when a flow would begin where the browser keeps no state
	// cookie: in a frame on another site, or with cookies switched off. No identity
	// token has been issued.
	ErrFramed = cause("framed", http.StatusForbidden, "the page is in a frame, or keeps no cookies")

	// ErrBadRequest is returned when a form or JSON body cannot be parsed, or is too
	// large.
	ErrBadRequest = cause("bad_request", http.StatusBadRequest, "the request could not be read")

	// ErrReturnTo is returned when return_to is not a local path.
	ErrReturnTo = cause("bad_return_to", http.StatusBadRequest, "return_to is not a local path")
)

// The state and its flow.
var (
	// ErrStateMissing is returned when the callback's address has no state.
	ErrStateMissing = cause("state_missing", http.StatusBadRequest, "the callback address carries no state")

	// ErrNoStateCookie is returned when this browser has no cookie for the state in the
	// callback's address: it did not begin the flow, or began it more than an hour ago,
	// or blocks cookies.
	ErrNoStateCookie = cause("no_state_cookie", http.StatusForbidden, "this browser holds no state cookie for the callback")

	// ErrStateInvalid is returned when the state cookie was not sealed by any of
	// Config.Secrets, or holds another state than the callback's address.
	ErrStateInvalid = cause("state_invalid", http.StatusForbidden, "the state cookie does not belong to the callback address")

	// ErrStateUnknown is returned when the store has no flow for the token's hash.
	ErrStateUnknown = cause("state_unknown", http.StatusForbidden, "no pending flow is known for the state")

	// ErrAnotherUser is returned when the flow was bound to another user than the one
	// who is signed in. The handler spends the flow.
	ErrAnotherUser = cause("another_user", http.StatusForbidden, "the flow belongs to another user")

	// ErrBrowserInUse is returned, only with Config.FixedCallbackURL, when another user
	// began a flow in this browser less than an hour ago: the callback could not tell
	// the two apart. It passes when the other state cookie expires.
	ErrBrowserInUse = cause("browser_in_use", http.StatusConflict, "another user has begun a flow in this browser")

	// ErrStateSpent is returned when the flow is completed, ended or replaced.
	ErrStateSpent = cause("state_spent", http.StatusConflict, "the flow is over")

	// ErrStateExpired is returned when the identity token has expired.
	ErrStateExpired = cause("state_expired", http.StatusGone, "the flow has expired")
)

// The return from the hosted page.
var (
	// ErrCancelled is returned when the user cancelled on the hosted page.
	ErrCancelled = cause("cancelled", http.StatusBadRequest, "the sign-in was cancelled")

	// ErrSignInFailed is returned when the hosted page reported another status than
	// success.
	ErrSignInFailed = cause("sign_in_failed", http.StatusBadRequest, "the sign-in failed on the hosted page")

	// ErrNotFinished is returned when the browser came back with neither an identity nor
	// an error. The flow stays pending.
	ErrNotFinished = cause("not_finished", http.StatusBadRequest, "the callback carries neither an identity nor an error")

	// ErrBadIdentityID is returned when the identity's id is not a UUID, is repeated, or
	// is given twice with different values.
	ErrBadIdentityID = cause("bad_identity_id", http.StatusBadRequest, "the callback's identity id is malformed or ambiguous")
)

// The identity.
var (
	// ErrIdentityNotFound is returned when Anchor knows no such identity under the app's
	// key.
	ErrIdentityNotFound = cause("identity_not_found", http.StatusForbidden, "Anchor knows no such identity")

	// ErrIdentityFailed is returned when the identity's status is bad, by
	// [anchorhttp.SignInOf].
	ErrIdentityFailed = cause("identity_failed", http.StatusForbidden, "the identity is not usable")

	// ErrWrongApplication is returned when the identity belongs to another application.
	ErrWrongApplication = cause("wrong_application", http.StatusForbidden, "the identity belongs to another application")

	// ErrIdentityTooOld is returned when the identity existed before the identity token
	// was issued, and is not this user's already.
	ErrIdentityTooOld = cause("identity_too_old", http.StatusForbidden, "the identity is older than the identity token")

	// ErrIdentityTaken is returned when the identity is another user's, by its metadata
	// or by the store.
	ErrIdentityTaken = cause("identity_taken", http.StatusForbidden, "the identity belongs to another user")

	// ErrIdentityRetired is returned when the identity was disconnected or replaced, and
	// its deletion is queued.
	ErrIdentityRetired = cause("identity_retired", http.StatusConflict, "the identity is about to be deleted")
)

// The user's connections.
var (
	// ErrNotConnected is returned when the user has no connection.
	ErrNotConnected = cause("not_connected", http.StatusForbidden, "the user is not connected")

	// ErrNeedsSignIn is returned when the user has a connection, but its identity is no
	// longer signed in, as far as Anchor has reported.
	ErrNeedsSignIn = cause("needs_sign_in", http.StatusForbidden, "the identity needs a new sign-in")

	// ErrConnectionUnknown is returned when the user has no connection with the given
	// id. A connection that has ended, is somebody else's, is of another application or
	// never existed gives the same answer.
	ErrConnectionUnknown = cause("connection_unknown", http.StatusNotFound, "the user has no such connection")

	// ErrWhichConnection is returned when a method needs one connection and the user has
	// several: name it by its id.
	ErrWhichConnection = cause("which_connection", http.StatusConflict, "the user has several connections")

	// ErrConnectionLimit is returned when the user has as many connections as
	// Config.MaxConnections allows.
	ErrConnectionLimit = cause("connection_limit", http.StatusConflict, "the user has as many connections as are allowed")

	// ErrIdentityConnected is returned when a flow was to renew one connection, and the
	// user signed in to the account of another one.
	ErrIdentityConnected = cause("identity_connected", http.StatusConflict, "the identity belongs to another connection of the user")

	// ErrConnectionChanged is returned when the user's connections kept changing while
	// Config.Accept was asked. The flow stays pending.
	ErrConnectionChanged = cause("connection_changed", http.StatusConflict, "the user's connections have changed since the app accepted the account")

	// ErrBadLabel is returned when a label has more than 100 characters or a control
	// character.
	ErrBadLabel = cause("bad_label", http.StatusBadRequest, "the label is too long or has a control character")
)

// Config.Accept.
var (
	// ErrNotAccepted is returned when Config.Accept refuses the account: see
	// [NotAccepted].
	ErrNotAccepted = cause("not_accepted", http.StatusConflict, "the app did not accept the account")

	// ErrAcceptFailed is returned when Config.Accept fails. The flow stays pending.
	ErrAcceptFailed = cause("accept_failed", http.StatusServiceUnavailable, "Config.Accept failed")
)

// Anchor and the store.
var (
	// ErrUpstreamUnavailable is returned when Anchor cannot be reached, or answers that
	// it is down or busy. The flow stays pending.
	ErrUpstreamUnavailable = cause("upstream_unavailable", http.StatusServiceUnavailable, "Anchor is unavailable")

	// ErrUpstreamInvalid is returned when Anchor's answer cannot be right: a refused
	// key, a redirect, markup, an endless body. The flow stays pending.
	ErrUpstreamInvalid = cause("upstream_invalid", http.StatusBadGateway, "Anchor gave an unusable answer")

	// ErrUpstreamTimeout is returned when Anchor does not answer in time. The flow stays
	// pending.
	ErrUpstreamTimeout = cause("upstream_timeout", http.StatusGatewayTimeout, "Anchor did not answer in time")

	// ErrNoCredit is returned when the app's project at Anchor has no credit left.
	ErrNoCredit = cause("no_credit", http.StatusServiceUnavailable, "Anchor refused for lack of credit")

	// ErrRateLimited is returned when the app has made too many calls to Anchor. It is a
	// [*RateLimitError].
	ErrRateLimited = cause("rate_limited", http.StatusTooManyRequests, "Anchor refused because of too many calls")

	// ErrStoreFailed is returned when the store fails. The flow stays pending.
	ErrStoreFailed = cause("store_failed", http.StatusServiceUnavailable, "the store failed")
)

// WrongOriginError is [ErrWrongOrigin] with the two origins that differ.
type WrongOriginError struct {
	// Origin is the page's origin, from the Origin header.
	Origin string
	// PublicOrigin is the origin that the request was sent to: that of
	// Config.PublicURL, or one of several.
	PublicOrigin string
}

func (e *WrongOriginError) Error() string {
	return fmt.Sprintf("%v: the page was opened at %q, the app is at %q", ErrWrongOrigin, e.Origin, e.PublicOrigin)
}

// Unwrap makes errors.Is(err, ErrWrongOrigin) true.
func (e *WrongOriginError) Unwrap() error { return ErrWrongOrigin }

// An Explanation is an error as a user may see it. Its texts reveal no internals, and
// nothing of the request but the origin of [ErrWrongOrigin]. They are plain text: escape
// them in HTML.
type Explanation struct {
	// Status is the HTTP status.
	Status int
	// Code is a short machine-readable name, such as "state_expired".
	Code string
	// Title and Help say what happened and what to do next.
	Title, Help string
	// ConnectURL is the connect page of the application that the error is about, a
	// local path. It is empty if the error is not about one application.
	ConnectURL string
}

// Explain returns the explanation of an error in English. [Locale.Explain] returns it in
// the language of a request. An error that wraps none of this package's errors is a
// fault of the app's: status 500, code "internal".
func Explain(err error) Explanation { return explain(Locale{}, err) }

func explain(l Locale, err error) Explanation {
	e := Explanation{Status: http.StatusInternalServerError, Code: "internal"}
	var c *causeError
	if errors.As(err, &c) {
		e.Status, e.Code, e.ConnectURL = c.Status, c.Code, connectURLOf(err)
	}
	e.Title, e.Help = l.text(titleKey(e.Code)), l.text(helpKey(e.Code))

	var refusal *notAcceptedError
	if errors.As(err, &refusal) && refusal.message != "" {
		e.Help = refusal.message
	}
	var origins *WrongOriginError
	if errors.As(err, &origins) {
		e.Help = l.text("error.wrong_origin.where", "origin", origins.Origin, "public", origins.PublicOrigin)
	}
	return e
}

// A causeError is one of the errors above.
type causeError struct {
	Code   string
	Status int
	text   string
}

func (c *causeError) Error() string { return "connect: " + c.text }

// causes are the errors above, in the order of the source.
var causes []*causeError

// cause declares an error. Its text is for logs. What the user sees is in pages/texts,
// under titleKey and helpKey of the code.
func cause(code string, status int, text string) error {
	c := &causeError{code, status, text}
	causes = append(causes, c)
	return c
}
