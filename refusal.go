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

// Error answers a request of the app's own with an error of this package, as the
// handler's routes do: the log gets it, and Config.ErrorHandler answers.
//
//	session, err := h.NewSession(r.Context(), user.ID)
//	if err != nil {
//		h.Error(w, r, err)
//		return
//	}
func (h *Handler) Error(w http.ResponseWriter, r *http.Request, err error) { h.fail(w, r, err) }

// fail logs an error and has it answered.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.logRefusal(r, err)
	h.errorHandler(w, r, err)
}

func (h *Handler) logRefusal(r *http.Request, err error) {
	e := Explain(err)
	level := slog.LevelWarn
	switch {
	case r.Context().Err() != nil:
		level = slog.LevelInfo // Somebody closed the tab.
	case e.Status >= 500:
		level = slog.LevelError
	case errors.Is(err, ErrNotSignedIn), errors.Is(err, ErrNotConnected),
		errors.Is(err, ErrNeedsSignIn), errors.Is(err, ErrCancelled), errors.Is(err, ErrNotFinished),
		errors.Is(err, ErrConnectionLimit), errors.Is(err, ErrWhichConnection), errors.Is(err, ErrBadLabel), errors.Is(err, ErrNotAccepted),
		errors.Is(err, ErrConnectionChanged), errors.Is(err, ErrFramed):
		level = slog.LevelInfo
	}
	// Not the URL: a callback's path is a state.
	args := []any{"code", e.Code, "status", e.Status, "error", clipError(err)}
	if origin, ok := r.Context().Value(originKey{}).(string); ok {
		args = append(args, "origin", origin)
	}
	if a := aboutOf(err).application; a != nil {
		args = append(args, "application", a.id)
	}
	h.log.Log(r.Context(), level, "connect: refused", args...)
}

// defaultErrorHandler says what happened and what to do next, as JSON or as a
// page, and keeps the rest to the log.
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
	address, step := h.nextStep(r, err)
	if errors.Is(err, ErrNotSignedIn) && address != "" {
		e.Help = l.text("error.not_signed_in.step")
		if findRoute(r.URL.Path, h.prefix).kind == routeCallback {
			e.Help = l.text("error.not_signed_in.finish")
		}
	}
	page := NoticePage{Locale: l, Explanation: e, NextURL: address}
	if step != "" {
		page.NextText = l.text(step)
	}
	switch {
	case isHTMX(r):
		if errors.Is(err, ErrNotSignedIn) && address != "" {
			sendTo(w, r, address)
		}
		h.pages.render(w, e.Status, alertName, page)
	case acceptsJSON(r.Header) || findRoute(r.URL.Path, h.prefix).kind == routeStatus:
		body := map[string]any{"error": e.Code, "message": l.sentence(e)}
		if errors.Is(err, ErrNotConnected) || errors.Is(err, ErrNeedsSignIn) || errors.Is(err, ErrWhichConnection) || errors.Is(err, ErrFramed) {
			body["connectUrl"] = e.ConnectURL
		}
		writeJSON(w, e.Status, body)
	default:
		h.pages.render(w, e.Status, noticeName, page)
	}
}

// nextStep is the one thing to do after an error. step is the key of its text.
func (h *Handler) nextStep(r *http.Request, err error) (address, step string) {
	at := findRoute(r.URL.Path, h.prefix)
	var wrong *WrongOriginError
	switch {
	case errors.Is(err, ErrWrongOrigin) && !errors.As(err, &wrong):
		return "", "" // The host is none of the app's, so which one was meant is not known.
	case errors.Is(err, ErrNotSignedIn):
		return h.signInStep(r, at, err)
	case at.kind == routeCallback && mayRepeat(err):
		return readReturn(r.URL.Query()).repeat(), "step.again"
	case errors.Is(err, ErrNoCredit), errors.Is(err, ErrRateLimited):
		return "", ""
	case at.kind == noRoute && mayRepeat(err):
		// A route of the app's own. Only what is read can be asked for anew by a link.
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
		return "/", "step.on" // Which account it was about is not known.
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
	case errors.Is(err, ErrFramed):
		return connect, "step.tab"
	case errors.Is(err, ErrNotConnected):
		return connect, "step.connect"
	case errors.Is(err, ErrConnectionUnknown), errors.Is(err, ErrConnectionLimit), errors.Is(err, ErrWhichConnection), errors.Is(err, ErrBadLabel):
		return connect, "step.accounts"
	case errors.Is(err, ErrNeedsSignIn):
		return connect, "step.reconnect"
	}
	return connect, "step.start"
}

// wantedReturn is where a request that failed wanted to end, a local path; empty
// for nowhere in particular.
func wantedReturn(r *http.Request, err error) string {
	returnTo := cmp.Or(aboutOf(err).returnTo, r.PostForm.Get("return_to"), r.URL.Query().Get("return_to"))
	if !isLocalPath(returnTo) {
		return ""
	}
	return returnTo
}

// signInStep leads to the app's sign-in page, and from there back to what was
// wanted. The way back is the public address, whatever was stripped off it.
func (h *Handler) signInStep(r *http.Request, at route, err error) (address, step string) {
	if h.signInURL == "" {
		return "", ""
	}
	back, step := &url.URL{}, "step.sign_in"
	switch {
	case isHTMX(r) && at.kind != routeCallback:
		back = requestedURL(r)
	case at.kind == routeCallback:
		// Signing in leads back to this very return. What came back stays in the
		// browser: see stateCookies.keepReturn.
		step = "step.finish"
		back.Path = h.prefix + at.path()
	case at.kind == routeConnect && r.Method != http.MethodPost:
		back.Path, back.RawQuery = h.prefix+at.path(), r.URL.RawQuery
	case connectURLOf(err) != "":
		back.Path = connectURLOf(err)
	default:
		return h.signInURL, step
	}
	return withReturnTo(h.signInURL, back), step
}

// mayRepeat tells whether the same return can still succeed.
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
