package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

type connectionsKey struct{}

// FromContext returns the connection that [Handler.RequireIdentity] or
// [Handler.RequireConnection] has put into a request's context: the oldest one that works,
// or else the oldest. If one middleware is inside another, it is the connection of the
// inner one's application.
func FromContext(ctx context.Context) (Connection, bool) {
	return first(AllFromContext(ctx))
}

// AllFromContext returns all connections of the user that [Handler.RequireIdentity] or
// [Handler.RequireConnection] put into a request's context, the oldest first, whatever
// their health.
func AllFromContext(ctx context.Context) []Connection {
	connections, _ := ctx.Value(connectionsKey{}).([]Connection)
	return connections
}

// RequireIdentity calls next if the user has a connection that works, with the user's
// connections in the request's context ([FromContext], [AllFromContext]). It takes one
// look-up in the store and no call to Anchor.
//
// Otherwise a page request (GET or HEAD that does not ask for JSON) is redirected to the
// connect page, and back afterwards. If nobody is signed in, it is redirected to
// Config.SignInURL. htmx is redirected by HX-Redirect, and returns to the page that made
// the request. Every other request ends in an error: [ErrNotConnected], [ErrNeedsSignIn]
// if the connection's [Health] says so, or [ErrNotSignedIn]. As JSON, the first two have
// the address of the connect page in connectUrl. If Config.User or the store fails, every
// request ends in [ErrUserLookup] or [ErrStoreFailed].
//
// Wrap the handlers that need a connection, not a whole mux: the connect page and the
// sign-in page must stay reachable without one.
//
// It panics if Config.ApplicationID is not set: call the method of [Handler.Application].
func (h *Handler) RequireIdentity(next http.Handler) http.Handler {
	return h.Application("").RequireIdentity(next)
}

// RequireConnection is RequireIdentity, but a connection whose health is
// [HealthNeedsSignIn] suffices. It is for pages that do not need a browser session.
func (h *Handler) RequireConnection(next http.Handler) http.Handler {
	return h.Application("").RequireConnection(next)
}

func (a *Application) require(next http.Handler, whateverHealth bool) http.Handler {
	h := a.h
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := h.signedIn(r)
		if err != nil {
			if errors.Is(err, ErrNotSignedIn) && h.signInURL != "" && isPageRequest(r) {
				sendAway(w, r, h.signInURL)
				return
			}
			h.fail(w, r, err)
			return
		}
		connections, err := a.Connections(r.Context(), user.ID)
		if err == nil {
			switch c, ok := first(connections); {
			case !ok:
				err = ErrNotConnected
			case !c.works() && !whateverHealth:
				err = ErrNeedsSignIn
			}
		}
		if err != nil {
			if (errors.Is(err, ErrNotConnected) || errors.Is(err, ErrNeedsSignIn)) && isPageRequest(r) {
				sendAway(w, r, a.connectURL())
				return
			}
			a.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionsKey{}, connections)))
	})
}

// isPageRequest reports whether a redirect can answer a request and lead back to it.
func isPageRequest(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && clientOf(r) != clientJSON
}

// sendAway redirects to an address of the app with the return path.
func sendAway(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	sendTo(w, r, withReturnTo(to, requestedURL(r)))
}

// requestedURL returns the address that the browser requested. A router that strips a
// prefix leaves the request line unchanged. If the app has changed the path otherwise, its
// own path is right.
func requestedURL(r *http.Request) *url.URL {
	if clientOf(r) == clientHTMX {
		// A part of a page was requested: the return path is that of the page.
		if u, err := url.Parse(r.Header.Get("HX-Current-URL")); err == nil && u.Path != "" {
			return u // Only its path and query are ever used.
		}
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	if err == nil && strings.HasSuffix(u.Path, r.URL.Path) {
		return u
	}
	return r.URL
}

// withReturnTo adds return_to to an address, if the return path is a local one.
func withReturnTo(address string, back *url.URL) string {
	path := back.RequestURI()
	if !isLocalPath(path) {
		return address
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + "return_to=" + url.QueryEscape(path)
}
