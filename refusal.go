package connect

import (
	"cmp"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
)

// Error answers a request to the app with an error of this package, as the handler's own
// routes do: it logs the error, and Config.ErrorHandler answers. Any other error answers
// 500.
//
//	session, err := h.NewSession(r.Context(), user.ID)
//	if err != nil {
//		h.Error(w, r, err)
//		return
//	}
func (h *Handler) Error(w http.ResponseWriter, r *http.Request, err error) { h.fail(w, r, err) }

// fail logs an error and answers with it.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.logError(r, err)
	h.errorHandler(w, r, err)
}

// fail is [Handler.fail] with an error that is about this application.
func (a *Application) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.h.fail(w, r, concerning(a, err))
}

// logError logs an error that a request ends in. Config.Logger documents the messages.
func (h *Handler) logError(r *http.Request, err error) {
	e := Explain(err)
	level, message := logClass(err, e.Status)
	if r.Context().Err() != nil { // The user has closed the tab.
		if level == slog.LevelError {
			message = "connect: request cancelled"
		}
		level = slog.LevelInfo
	}
	// The URL is left out: a callback's path holds the state.
	args := []any{"code", e.Code, "status", e.Status, "error", clipError(err)}
	if origin, ok := r.Context().Value(originKey{}).(string); ok {
		args = append(args, "origin", origin)
	}
	if a := aboutOf(err).application; a != nil {
		args = append(args, "application", a.id)
	}
	h.log.Log(r.Context(), level, message, args...)
}

// logClass returns the level and the message of an error's log entry: a fault, a request
// that was refused for safety, or one that the user did not finish.
func logClass(err error, status int) (slog.Level, string) {
	if status >= 500 {
		return slog.LevelError, "connect: fault"
	}
	for _, usual := range []error{
		ErrNotSignedIn, ErrNotConnected, ErrNeedsSignIn, ErrCancelled, ErrNotFinished, ErrSignInFailed, ErrConnectionLimit,
		ErrWhichConnection, ErrBadLabel, ErrNotAccepted, ErrConnectionChanged, ErrFramed, ErrStateExpired,
	} {
		if errors.Is(err, usual) {
			return slog.LevelInfo, "connect: not finished"
		}
	}
	return slog.LevelWarn, "connect: refused"
}

// defaultErrorHandler answers with a page or JSON that says what happened and what to do
// next. Internals are only logged.
func (h *Handler) defaultErrorHandler(w http.ResponseWriter, r *http.Request, err error) {
	l := h.answerIn(w, r)
	e := l.Explain(err)
	// RequireIdentity brings requests here from any route of the app.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	var limit *RateLimitError
	if errors.As(err, &limit) && limit.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limit.RetryAfter.Seconds()))))
	}
	at, client := findRoute(r.URL.Path, h.hosts.prefix), clientOf(r)
	address, step := h.nextStep(r, at, err)
	if errors.Is(err, ErrNotSignedIn) && address != "" {
		e.Help = l.text("error.not_signed_in.step")
		if at.kind == routeCallback {
			e.Help = l.text("error.not_signed_in.finish")
		}
	}
	page := NoticePage{Locale: l, Explanation: e, NextURL: address}
	if step != "" {
		page.NextText = l.text(step)
	}
	switch {
	case client == clientHTMX:
		if errors.Is(err, ErrNotSignedIn) && address != "" {
			sendTo(w, r, address)
		}
		h.pages.render(w, e.Status, alertName, page)
	case client == clientJSON, at.kind == routeStatus:
		body := map[string]any{"error": e.Code, "message": l.sentence(e)}
		if errors.Is(err, ErrNotConnected) || errors.Is(err, ErrNeedsSignIn) || errors.Is(err, ErrWhichConnection) || errors.Is(err, ErrFramed) {
			body["connectUrl"] = e.ConnectURL
		}
		writeJSON(w, e.Status, body)
	default:
		h.pages.render(w, e.Status, noticeName, page)
	}
}

// nextStep returns the one thing to do after an error on a route, and the key of its text.
func (h *Handler) nextStep(r *http.Request, at route, err error) (address, step string) {
	var wrong *WrongOriginError
	switch {
	case errors.Is(err, ErrWrongOrigin) && !errors.As(err, &wrong):
		return "", "" // The host is none of the app's, so the right one is not known.
	case errors.Is(err, ErrNotSignedIn):
		return h.signInStep(r, at, err)
	case at.kind == routeCallback && mayRepeat(err):
		return readReturn(r.URL.Query()).repeat(), "step.again"
	case errors.Is(err, ErrNoCredit), errors.Is(err, ErrRateLimited):
		return "", ""
	case at.kind == noRoute && mayRepeat(err):
		// A route of the app's own. A link can only repeat a request that reads.
		if again := requestedURL(r).RequestURI(); isPageRequest(r) && isLocalPath(again) {
			return again, "step.again"
		}
		return "", ""
	}
	a := aboutOf(err).application
	if a == nil {
		a = h.applications.named(at.application)
	}
	if a == nil {
		return "/", "step.on" // The error is about no application.
	}
	returnTo := wantedReturn(r, err)
	connect := a.connectPage(returnTo)
	switch {
	case wrong != nil:
		return wrong.PublicOrigin + connect, "step.there"
	case at.kind == routeDisconnect, at.kind == routeLabel:
		return cmp.Or(returnTo, connect), "step.back"
	case mayRepeat(err):
		return connect, "step.again"
	}
	return connect, connectStep(err)
}

// connectStep returns the key of what a link to the connect page says after an error.
func connectStep(err error) string {
	switch {
	case errors.Is(err, ErrFramed):
		return "step.tab"
	case errors.Is(err, ErrNotConnected):
		return "step.connect"
	case errors.Is(err, ErrConnectionUnknown), errors.Is(err, ErrConnectionLimit), errors.Is(err, ErrWhichConnection), errors.Is(err, ErrBadLabel):
		return "step.accounts"
	case errors.Is(err, ErrNeedsSignIn):
		return "step.reconnect"
	}
	return "step.start"
}

// wantedReturn returns the local path that a failed request was to redirect to, or "".
func wantedReturn(r *http.Request, err error) string {
	returnTo := cmp.Or(aboutOf(err).returnTo, r.PostForm.Get("return_to"), r.URL.Query().Get("return_to"))
	if !isLocalPath(returnTo) {
		return ""
	}
	return returnTo
}

// signInStep leads to the app's sign-in page, and from there back to what was requested.
// The return path is that of the public address, even if a router has stripped a prefix.
func (h *Handler) signInStep(r *http.Request, at route, err error) (address, step string) {
	if h.signInURL == "" {
		return "", ""
	}
	back, step := &url.URL{}, "step.sign_in"
	switch {
	case clientOf(r) == clientHTMX && at.kind != routeCallback:
		back = requestedURL(r)
	case at.kind == routeCallback:
		// Signing in leads back to this callback. The browser keeps what the hosted page
		// returned: see stateCookies.keepReturn.
		step = "step.finish"
		back.Path = h.hosts.prefix + at.path()
	case at.kind == routeConnect && r.Method != http.MethodPost:
		back.Path, back.RawQuery = h.hosts.prefix+at.path(), r.URL.RawQuery
	case connectURLOf(err) != "":
		back.Path = connectURLOf(err)
	default:
		return h.signInURL, step
	}
	return withReturnTo(h.signInURL, back), step
}

// mayRepeat reports whether the same request can still succeed.
func mayRepeat(err error) bool {
	for _, open := range []error{
		ErrHostLookup, ErrUserLookup, ErrAcceptFailed, ErrConnectionChanged, ErrUpstreamUnavailable, ErrUpstreamInvalid, ErrUpstreamTimeout, ErrStoreFailed,
	} {
		if errors.Is(err, open) {
			return true
		}
	}
	return false
}

// applicationError is an error about one application. Its text is the error's own.
type applicationError struct {
	error
	application *Application
	returnTo    string // where the flow was to redirect to; empty if that is not known
}

func (e *applicationError) Unwrap() error { return e.error }

// concerning records which application an error is about, so that the answer can link to
// its connect page. Either may be nil.
func concerning(a *Application, err error) error {
	if a == nil || err == nil {
		return err
	}
	return &applicationError{error: err, application: a}
}

// aboutOf returns the application that an error is about. The zero value means none.
func aboutOf(err error) applicationError {
	var about *applicationError
	if errors.As(err, &about) {
		return *about
	}
	return applicationError{}
}

// connectURLOf returns the connect page of the application that err is about, or "".
func connectURLOf(err error) string {
	if a := aboutOf(err).application; a != nil {
		return a.connectURL()
	}
	return ""
}
