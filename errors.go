package connect

import (
	"errors"
	"fmt"
	"net/http"
)

// One error for each cause, to be told apart with [errors.Is]. The handler
// passes them, wrapped with what was being done, to Config.ErrorHandler; what
// each means to the person, and the HTTP status it is answered with, is told by
// [Explain].
var (
	// ErrNotSignedIn: nobody is signed in to the app. A User function returns
	// it, or a User with an empty ID. On the callback the flow stays open: after
	// signing in the same address completes it.
	ErrNotSignedIn = cause("not_signed_in", http.StatusUnauthorized,
		"nobody is signed in",
		"Sign in first", "Sign in and open this page again. Nothing is lost until then.")

	// ErrUserLookup: the app's User function failed, or gave an id that cannot
	// be kept (over 255 bytes, a NUL byte, no UTF-8).
	ErrUserLookup = cause("user_lookup", http.StatusServiceUnavailable,
		"the signed-in user could not be looked up",
		"Please try again", "We could not tell who is signed in. Please try again in a moment.")

	// ErrCrossOrigin: a page of another origin sent the request.
	ErrCrossOrigin = cause("cross_origin", http.StatusForbidden,
		"the request came from a page of another origin",
		"That did not come from here", "This was started by another site, so it was not carried out. Start from this site instead.")

	// ErrWrongOrigin: the start came from another address of the app than
	// Config.PublicURL, where the state cookie would be lost on the way back.
	ErrWrongOrigin = cause("wrong_origin", http.StatusBadRequest,
		"the page's origin is not that of the public URL",
		"Open this site at its own address", "This page was opened at another address than the one that Connect returns to. Open the site at its own address and try again.")

	// ErrBadRequest: a form or JSON body that cannot be read, or is too large.
	ErrBadRequest = cause("bad_request", http.StatusBadRequest,
		"the request could not be read",
		"That did not work", "The request could not be read. Go back and try again.")

	// ErrReturnTo: return_to is not a local path.
	ErrReturnTo = cause("bad_return_to", http.StatusBadRequest,
		"return_to is not a local path",
		"That did not work", "The page to return to is not on this site. Go back and try again.")

	// ErrStateMissing: the callback's address carries no state.
	ErrStateMissing = cause("state_missing", http.StatusBadRequest,
		"the callback address carries no state",
		"This link is incomplete", "Part of the address is missing. Connect your account again from the start.")

	// ErrNoStateCookie: this browser has no cookie for the state in the
	// callback's address. Either it did not begin the flow, or more than an hour
	// has gone by, or its cookies are blocked.
	ErrNoStateCookie = cause("no_state_cookie", http.StatusForbidden,
		"this browser holds no state cookie for the callback",
		"Finish in the browser you began with", "This browser did not begin connecting this account, or it was too long ago. Connect your account again from here, with cookies allowed.")

	// ErrStateInvalid: the state cookie was not sealed by any of Config.Secrets,
	// or holds another state than the callback's address.
	ErrStateInvalid = cause("state_invalid", http.StatusForbidden,
		"the state cookie does not belong to the callback address",
		"This link is not valid", "The address does not belong to what this browser began. Connect your account again.")

	// ErrStateUnknown: the store has no start for the token's hash.
	ErrStateUnknown = cause("state_unknown", http.StatusForbidden,
		"no start is known for the state",
		"This link is not valid any more", "We do not know this attempt any more. Connect your account again.")

	// ErrAnotherUser: the start was bound to another user than the one signed
	// in. The handler spends it.
	ErrAnotherUser = cause("another_user", http.StatusForbidden,
		"the start was bound to another user",
		"Somebody else began this", "Connecting was begun by another user of this browser, so it was stopped. To connect your own account, start again.")

	// ErrStateSpent: the start was finished, ended or replaced before.
	ErrStateSpent = cause("state_spent", http.StatusConflict,
		"the start was spent before",
		"This was finished already", "This attempt has already been used. If your account is not connected, connect it again.")

	// ErrStateExpired: the identity token's time was over.
	ErrStateExpired = cause("state_expired", http.StatusGone,
		"the start has expired",
		"That took too long", "The time for signing in is over. Connect your account again.")

	// ErrCancelled: the person cancelled on the hosted page.
	ErrCancelled = cause("cancelled", http.StatusBadRequest,
		"the sign-in was cancelled",
		"You cancelled", "Nothing was connected. You can start again whenever you like.")

	// ErrSignInFailed: the hosted page reported another status than success.
	ErrSignInFailed = cause("sign_in_failed", http.StatusBadRequest,
		"the sign-in failed on the hosted page",
		"The sign-in did not work", "Signing in to your account failed, so nothing was connected. Try again.")

	// ErrNotFinished: the browser came back with neither an identity nor an
	// error. The flow stays open.
	ErrNotFinished = cause("not_finished", http.StatusBadRequest,
		"the callback carries neither an identity nor an error",
		"Not finished yet", "You came back before the sign-in was complete. Go back to finish it, or start again.")

	// ErrBadIdentityID: the identity's id is no UUID, is repeated, or stands
	// there twice with different values.
	ErrBadIdentityID = cause("bad_identity_id", http.StatusBadRequest,
		"the callback's identity id is malformed or ambiguous",
		"This link is not valid", "The address is damaged. Connect your account again.")

	// ErrIdentityNotFound: Anchor knows no such identity under the app's key.
	ErrIdentityNotFound = cause("identity_not_found", http.StatusForbidden,
		"Anchor knows no such identity",
		"That account could not be found", "The account you signed in to is not known to us. Connect it again.")

	// ErrIdentityFailed: the identity's status is neither pending nor validated.
	ErrIdentityFailed = cause("identity_failed", http.StatusForbidden,
		"the identity is not usable",
		"The sign-in did not work", "Signing in to your account failed, so it cannot be used. Connect it again.")

	// ErrWrongApplication: the identity belongs to another application.
	ErrWrongApplication = cause("wrong_application", http.StatusForbidden,
		"the identity belongs to another application",
		"That is another kind of account", "The account you signed in to is not of the kind that was asked for. Connect your account again.")

	// ErrIdentityTooOld: the identity was there before the identity token was
	// issued, and is not this user's already.
	ErrIdentityTooOld = cause("identity_too_old", http.StatusForbidden,
		"the identity is older than the identity token",
		"That account was not connected just now", "What came back was not made by the sign-in you began. Connect your account again.")

	// ErrIdentityTaken: the identity is another user's, by its metadata or by
	// the store.
	ErrIdentityTaken = cause("identity_taken", http.StatusForbidden,
		"the identity belongs to another user",
		"That account belongs to somebody else", "This sign-in is already connected for another user. Connect your own account.")

	// ErrIdentityRetired: the identity was disconnected or replaced and is about
	// to be deleted.
	ErrIdentityRetired = cause("identity_retired", http.StatusConflict,
		"the identity is about to be deleted",
		"That sign-in was disconnected", "This sign-in was disconnected before and is being removed. Connect your account again.")

	// ErrUpstreamUnavailable: Anchor cannot be reached, or answers that it is
	// down or busy. The flow stays open.
	ErrUpstreamUnavailable = cause("upstream_unavailable", http.StatusServiceUnavailable,
		"Anchor is unavailable",
		"Please try again", "The sign-in service cannot be reached right now. Try again in a moment: what you have done so far is kept.")

	// ErrUpstreamInvalid: Anchor answered something that cannot be right: a
	// refused key, a redirect, markup, an endless body. The flow stays open.
	ErrUpstreamInvalid = cause("upstream_invalid", http.StatusBadGateway,
		"Anchor gave an unusable answer",
		"Please try again", "The sign-in service gave an answer we cannot use. Try again in a moment: what you have done so far is kept.")

	// ErrUpstreamTimeout: Anchor did not answer in time. The flow stays open.
	ErrUpstreamTimeout = cause("upstream_timeout", http.StatusGatewayTimeout,
		"Anchor did not answer in time",
		"Please try again", "The sign-in service takes too long to answer. Try again in a moment: what you have done so far is kept.")

	// ErrStoreFailed: the store failed. The flow stays open.
	ErrStoreFailed = cause("store_failed", http.StatusServiceUnavailable,
		"the store failed",
		"Please try again", "Your connection could not be saved or read. Try again in a moment: what you have done so far is kept.")

	// ErrNotConnected: the user has no connection.
	ErrNotConnected = cause("not_connected", http.StatusForbidden,
		"the user is not connected",
		"Connect your account first", "This needs your account. Connect it, and come back.")

	// ErrNeedsSignIn: the user is connected, but the identity is not signed in
	// any more, as far as Anchor has said.
	ErrNeedsSignIn = cause("needs_sign_in", http.StatusForbidden,
		"the identity needs a new sign-in",
		"Sign in to your account again", "Your account is connected, but its sign-in does not work any more. Connect it again.")

	// ErrNoCredit: the app's project at Anchor has no credit left.
	ErrNoCredit = cause("no_credit", http.StatusServiceUnavailable,
		"Anchor refused for lack of credit",
		"Not available right now", "This cannot be done at the moment. It is not your account's fault: please tell us.")

	// ErrRateLimited: the app has made too many calls to Anchor. It is a
	// [*RateLimitError].
	ErrRateLimited = cause("rate_limited", http.StatusTooManyRequests,
		"Anchor refused because of too many calls",
		"Too much at once", "There is too much to do at the moment. Please try again in a little while.")
)

// WrongOriginError is [ErrWrongOrigin] with the two addresses that differ.
type WrongOriginError struct {
	// Origin is where the page was opened, from the Origin header.
	Origin string
	// PublicOrigin is the origin of Config.PublicURL.
	PublicOrigin string
}

func (e *WrongOriginError) Error() string {
	return fmt.Sprintf("%v: the page was opened at %q, Config.PublicURL is at %q", ErrWrongOrigin, e.Origin, e.PublicOrigin)
}

// Unwrap makes errors.Is(err, ErrWrongOrigin) true.
func (e *WrongOriginError) Unwrap() error { return ErrWrongOrigin }

// An Explanation is what an error means to the person in front of the browser.
// All of its texts are safe to show: they hold no internals, and nothing of the
// request but, for [ErrWrongOrigin], its origin. They are plain text: escape
// them in HTML.
type Explanation struct {
	// Status is the HTTP status.
	Status int
	// Code is a short machine-readable name, such as "state_expired".
	Code string
	// Title and Help say what happened and what to do next.
	Title, Help string
	// ConnectURL is the connect page of the application that the error is about,
	// a local path. It is empty when the error does not tell.
	ConnectURL string
}

// Explain tells what an error that reached Config.ErrorHandler means to the
// person. An error that wraps none of this package's errors is a fault of
// ours: status 500, code "internal".
func Explain(err error) Explanation {
	var c *causeError
	if errors.As(err, &c) {
		e := c.Explanation
		e.ConnectURL = connectURLOf(err)
		var origins *WrongOriginError
		if errors.As(err, &origins) {
			e.Help = fmt.Sprintf("This page was opened at %s, but connecting returns to %s, where this browser would not be recognised. Open %s and try again.",
				origins.Origin, origins.PublicOrigin, origins.PublicOrigin)
		}
		return e
	}
	return Explanation{
		Status: http.StatusInternalServerError,
		Code:   "internal",
		Title:  "Something went wrong",
		Help:   "This is our fault. Please try again in a moment.",
	}
}

// causeError is the type of all sentinels above.
type causeError struct {
	Explanation
	text string
}

func (c *causeError) Error() string { return "connect: " + c.text }

// causes holds every sentinel, in the order of the source.
var causes []*causeError

func cause(code string, status int, text, title, help string) error {
	c := &causeError{Explanation{Status: status, Code: code, Title: title, Help: help}, text}
	causes = append(causes, c)
	return c
}
