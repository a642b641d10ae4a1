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
		"Sign in first", "You are not signed in to this site. Sign in, then open this page again: nothing is lost until then.")

	// ErrUserLookup: the app's User function failed, or gave an id that cannot
	// be kept (over 255 bytes, a NUL byte, no UTF-8).
	ErrUserLookup = cause("user_lookup", http.StatusServiceUnavailable,
		"the signed-in user could not be looked up",
		"Please try again", "We could not find out who is signed in. Try again in a moment.")

	// ErrCrossOrigin: a page of another origin sent the request.
	ErrCrossOrigin = cause("cross_origin", http.StatusForbidden,
		"the request came from a page of another origin",
		"Stopped for your safety", "Another website asked for this, so it was not done. If it is what you want, start it from here.")

	// ErrWrongOrigin is returned if a request comes from a page at another address
	// than the one that it is sent to, where the state cookie would be lost, or if its
	// host is none of the app's: see Config.PublicURLOf.
	ErrWrongOrigin = cause("wrong_origin", http.StatusBadRequest,
		"the page's origin is not that of the public URL",
		"Open this site at its own address", "This page was opened at an address where connecting does not work. Open the site at its own address and try again.")

	// ErrHostLookup is returned if Config.PublicURLOf failed, or returned an address
	// that cannot be used. A pending flow stays open.
	ErrHostLookup = cause("host_lookup", http.StatusServiceUnavailable,
		"the address of the request could not be looked up",
		"Please try again", "We could not find out which site this is. Try again in a moment.")

	// ErrFramed is returned if a flow begins where the browser does not keep the state
	// cookie: in a frame, such as another site's, or with cookies switched off. It
	// comes before an identity token is issued.
	ErrFramed = cause("framed", http.StatusForbidden,
		"the page is in a frame, or keeps no cookies",
		"Open this in a window of its own", "This browser keeps no cookies of this site here, because the page is shown inside another one or cookies are switched off. Open it in a tab of its own, and connect your account there.")

	// ErrBadRequest: a form or JSON body that cannot be read, or is too large.
	ErrBadRequest = cause("bad_request", http.StatusBadRequest,
		"the request could not be read",
		"That did not work", "What the page sent could not be read. Go back, reload the page and try again.")

	// ErrReturnTo: return_to is not a local path.
	ErrReturnTo = cause("bad_return_to", http.StatusBadRequest,
		"return_to is not a local path",
		"This link does not work", "It would not lead back to this site afterwards, so it was stopped. Start again from here.")

	// ErrStateMissing: the callback's address carries no state.
	ErrStateMissing = cause("state_missing", http.StatusBadRequest,
		"the callback address carries no state",
		"This link is incomplete", "A part of its address is missing. Start again to connect your account.")

	// ErrNoStateCookie: this browser has no cookie for the state in the
	// callback's address. Either it did not begin the flow, or more than an hour
	// has gone by, or its cookies are blocked.
	ErrNoStateCookie = cause("no_state_cookie", http.StatusForbidden,
		"this browser holds no state cookie for the callback",
		"Finish in the browser you started in", "This was not started in this browser, or more than an hour ago, or cookies are switched off. Go back to the browser you started in, or start again here.")

	// ErrStateInvalid: the state cookie was not sealed by any of Config.Secrets,
	// or holds another state than the callback's address.
	ErrStateInvalid = cause("state_invalid", http.StatusForbidden,
		"the state cookie does not belong to the callback address",
		"This link is not valid", "It does not belong to anything that was started in this browser. Start again to connect your account.")

	// ErrStateUnknown: the store has no start for the token's hash.
	ErrStateUnknown = cause("state_unknown", http.StatusForbidden,
		"no start is known for the state",
		"This link is no longer valid", "It belongs to an attempt that is long over. Start again to connect your account.")

	// ErrAnotherUser: the start was bound to another user than the one signed
	// in. The handler spends it.
	ErrAnotherUser = cause("another_user", http.StatusForbidden,
		"the start was bound to another user",
		"Somebody else started this", "Another person was signed in to this site when it was started, so it was stopped. Start again to connect your own account.")

	// ErrBrowserInUse: with Config.FixedCallbackURL, another user has begun a flow in
	// this browser within the last hour. The callback could not tell the two
	// apart. It passes when the other one's state cookie ends, an hour after the
	// flow began.
	ErrBrowserInUse = cause("browser_in_use", http.StatusConflict,
		"another user has begun a flow in this browser",
		"Another person is connecting an account here", "Somebody else has begun to connect an account in this browser. Try again in an hour, or use another browser.")

	// ErrStateSpent: the start was finished, ended or replaced before.
	ErrStateSpent = cause("state_spent", http.StatusConflict,
		"the start was spent before",
		"This link was used already", "It works only once, and a newer one takes its place. If your account is not connected, start again.")

	// ErrStateExpired: the identity token's time was over.
	ErrStateExpired = cause("state_expired", http.StatusGone,
		"the start has expired",
		"That took too long", "There is a time limit for signing in, and it is over. Your account was not connected. Start again whenever you are ready.")

	// ErrCancelled: the person cancelled on the hosted page.
	ErrCancelled = cause("cancelled", http.StatusBadRequest,
		"the sign-in was cancelled",
		"You cancelled", "Your account was not connected. You can start again whenever you like.")

	// ErrSignInFailed: the hosted page reported another status than success.
	ErrSignInFailed = cause("sign_in_failed", http.StatusBadRequest,
		"the sign-in failed on the hosted page",
		"The sign-in did not work", "Signing in to your account did not succeed, so nothing was connected. Start again to give it another try.")

	// ErrNotFinished: the browser came back with neither an identity nor an
	// error. The flow stays open.
	ErrNotFinished = cause("not_finished", http.StatusBadRequest,
		"the callback carries neither an identity nor an error",
		"Not finished yet", "You came back before the sign-in was complete. Go back to finish it, or start again.")

	// ErrBadIdentityID: the identity's id is no UUID, is repeated, or stands
	// there twice with different values.
	ErrBadIdentityID = cause("bad_identity_id", http.StatusBadRequest,
		"the callback's identity id is malformed or ambiguous",
		"This link is not valid", "A part of its address is damaged. Start again to connect your account.")

	// ErrIdentityNotFound: Anchor knows no such identity under the app's key.
	ErrIdentityNotFound = cause("identity_not_found", http.StatusForbidden,
		"Anchor knows no such identity",
		"That sign-in could not be found", "We looked for the sign-in that you came back from and did not find it. Start again to connect your account.")

	// ErrIdentityFailed: the identity's status is bad, by anchorhttp.SignInOf.
	ErrIdentityFailed = cause("identity_failed", http.StatusForbidden,
		"the identity is not usable",
		"The sign-in did not work", "Signing in to your account did not succeed, so it cannot be used. Start again to give it another try.")

	// ErrWrongApplication: the identity belongs to another application.
	ErrWrongApplication = cause("wrong_application", http.StatusForbidden,
		"the identity belongs to another application",
		"That account is of another site", "You signed in at another site than the one that was asked for. Start again to connect the right account.")

	// ErrIdentityTooOld: the identity was there before the identity token was
	// issued, and is not this user's already.
	ErrIdentityTooOld = cause("identity_too_old", http.StatusForbidden,
		"the identity is older than the identity token",
		"That is not the sign-in you started", "What came back does not belong to the sign-in that you started just now, so it was not used. Start again to connect your account.")

	// ErrIdentityTaken: the identity is another user's, by its metadata or by
	// the store.
	ErrIdentityTaken = cause("identity_taken", http.StatusForbidden,
		"the identity belongs to another user",
		"That account is taken", "It is connected for another user of this site already. Start again to connect an account of your own.")

	// ErrIdentityRetired: the identity was disconnected or replaced and is about
	// to be deleted.
	ErrIdentityRetired = cause("identity_retired", http.StatusConflict,
		"the identity is about to be deleted",
		"That sign-in was disconnected", "It was disconnected before and is being removed. Start again to connect your account.")

	// ErrConnectionUnknown is returned if the user has no connection with the id
	// that was given: it was ended, is somebody else's, is of another application, or
	// never existed. Nothing tells these apart.
	ErrConnectionUnknown = cause("connection_unknown", http.StatusNotFound,
		"the user has no such connection",
		"That account is not connected", "It may have been disconnected in the meantime. Go back and look at your connected accounts.")

	// ErrConnectionLimit is returned if the user has as many connections as
	// Config.MaxConnections allows.
	ErrConnectionLimit = cause("connection_limit", http.StatusConflict,
		"the user has as many connections as are allowed",
		"You cannot connect more accounts", "You have connected as many accounts as this site allows. Disconnect one first, or sign in to one of them again.")

	// ErrIdentityConnected is returned if a flow was to renew one connection, and its
	// user signed in to the account of another connection.
	ErrIdentityConnected = cause("identity_connected", http.StatusConflict,
		"the identity belongs to another connection of the user",
		"That is another of your accounts", "You signed in to an account that is connected already, not to the one that you wanted to sign in to again. Start again and choose the other account.")

	// ErrWhichConnection is returned if a method needs one connection and the user has
	// several: name it by its id.
	ErrWhichConnection = cause("which_connection", http.StatusConflict,
		"the user has several connections",
		"Choose an account", "You have connected several accounts. Choose the one to use.")

	// ErrConnectionChanged is returned if the user's connections have changed since
	// Config.Accept was asked, several times in a row. The flow stays open.
	ErrConnectionChanged = cause("connection_changed", http.StatusConflict,
		"the user's connections have changed since the app accepted the account",
		"Please try again", "Your connected accounts have changed in the meantime. Try again: nothing that you have done is lost.")

	// ErrBadLabel is returned if a label has more than 100 characters or a control
	// character.
	ErrBadLabel = cause("bad_label", http.StatusBadRequest,
		"the label is too long or has a control character",
		"That name does not work", "Choose a name of at most 100 characters, on one line.")

	// ErrAcceptFailed is returned if Config.Accept failed. The flow stays open.
	ErrAcceptFailed = cause("accept_failed", http.StatusServiceUnavailable,
		"Config.Accept failed",
		"Please try again", "Your account could not be checked just now. Try again in a moment: nothing that you have done is lost.")

	// ErrNotAccepted is returned if Config.Accept refused the account: see
	// [NotAccepted].
	ErrNotAccepted = cause("not_accepted", http.StatusConflict,
		"the app did not accept the account",
		"That account cannot be used", "This site did not accept the account, so it was not connected. Start again to connect another one.")

	// ErrUpstreamUnavailable: Anchor cannot be reached, or answers that it is
	// down or busy. The flow stays open.
	ErrUpstreamUnavailable = cause("upstream_unavailable", http.StatusServiceUnavailable,
		"Anchor is unavailable",
		"Please try again", "The sign-in service cannot be reached right now. Try again in a moment: nothing that you have done is lost.")

	// ErrUpstreamInvalid: Anchor answered something that cannot be right: a
	// refused key, a redirect, markup, an endless body. The flow stays open.
	ErrUpstreamInvalid = cause("upstream_invalid", http.StatusBadGateway,
		"Anchor gave an unusable answer",
		"Please try again", "The sign-in service gave an answer that we cannot use. Try again in a moment: nothing that you have done is lost.")

	// ErrUpstreamTimeout: Anchor did not answer in time. The flow stays open.
	ErrUpstreamTimeout = cause("upstream_timeout", http.StatusGatewayTimeout,
		"Anchor did not answer in time",
		"Please try again", "The sign-in service takes too long to answer. Try again in a moment: nothing that you have done is lost.")

	// ErrStoreFailed: the store failed. The flow stays open.
	ErrStoreFailed = cause("store_failed", http.StatusServiceUnavailable,
		"the store failed",
		"Please try again", "Your connection could not be saved or read just now. Try again in a moment: nothing that you have done is lost.")

	// ErrNotConnected: the user has no connection.
	ErrNotConnected = cause("not_connected", http.StatusForbidden,
		"the user is not connected",
		"Connect your account first", "This needs an account of yours that is not connected yet. Connect it, and go on from there.")

	// ErrNeedsSignIn: the user is connected, but the identity is not signed in
	// any more, as far as Anchor has said.
	ErrNeedsSignIn = cause("needs_sign_in", http.StatusForbidden,
		"the identity needs a new sign-in",
		"Sign in to your account again", "Your account is connected, but its sign-in does not work any more. Connect it again to go on.")

	// ErrNoCredit: the app's project at Anchor has no credit left.
	ErrNoCredit = cause("no_credit", http.StatusServiceUnavailable,
		"Anchor refused for lack of credit",
		"Not available right now", "This cannot be done at the moment. It has nothing to do with your account: please tell us if it lasts.")

	// ErrRateLimited: the app has made too many calls to Anchor. It is a
	// [*RateLimitError].
	ErrRateLimited = cause("rate_limited", http.StatusTooManyRequests,
		"Anchor refused because of too many calls",
		"Too busy right now", "There is too much to do at the moment. Please wait a minute, then try again.")
)

// WrongOriginError is [ErrWrongOrigin] with the two addresses that differ.
type WrongOriginError struct {
	// Origin is where the page was opened, from the Origin header.
	Origin string
	// PublicOrigin is the origin that the request was sent to: that of
	// Config.PublicURL, or the one of several.
	PublicOrigin string
}

func (e *WrongOriginError) Error() string {
	return fmt.Sprintf("%v: the page was opened at %q, the app is at %q", ErrWrongOrigin, e.Origin, e.PublicOrigin)
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
// person, in English: [Locale.Explain] uses the language of a request. An error that
// wraps none of this package's errors is a fault of ours: status 500, code "internal".
func Explain(err error) Explanation { return explain(Locale{}, err) }

func explain(l Locale, err error) Explanation {
	var c *causeError
	if errors.As(err, &c) {
		e := l.explanation(c.Status, c.Code)
		e.ConnectURL = connectURLOf(err)
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
	return l.explanation(http.StatusInternalServerError, "internal")
}

// explanation has the texts of a code.
func (l Locale) explanation(status int, code string) Explanation {
	return Explanation{Status: status, Code: code, Title: l.text(titleKey(code)), Help: l.text(helpKey(code))}
}

// causeError is the type of all sentinels above.
type causeError struct {
	Explanation
	text string
}

func (c *causeError) Error() string { return "connect: " + c.text }

// causes holds every sentinel, in the order of the source.
var causes []*causeError

// cause makes a sentinel. title and help are in English; pages/texts has the other
// languages.
func cause(code string, status int, text, title, help string) error {
	c := &causeError{Explanation{Status: status, Code: code, Title: title, Help: help}, text}
	causes = append(causes, c)
	return c
}
