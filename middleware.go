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
// [Handler.RequireConnection] put into a request's context: the oldest that works, or
// else the oldest. Where one application is required inside another it is that of the
// inner one; [Application.Connection] looks the other up.
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

// RequireIdentity lets a request through to next if its user has a connection that
// works, with the user's connections in its context ([FromContext], [AllFromContext]).
// It costs one look-up in the store and no call to Anchor.
//
// Otherwise a page request (GET or HEAD that does not ask for JSON) is sent to
// the connect page, or to Config.SignInURL when nobody is signed in, and comes
// back afterwards. htmx is sent there by HX-Redirect, and comes back to the page
// that it asked from. Everything else gets an error: [ErrNotConnected],
// [ErrNeedsSignIn] when the connection's [Health] says so, or [ErrNotSignedIn].
// As JSON the first two have the connect page in connectUrl. A User function or a
// store that fails is [ErrUserLookup] or [ErrStoreFailed], for pages too.
//
// It goes around what needs the connection, not around a whole mux: behind it the
// handler's own routes and the sign-in page would be out of everybody's reach.
//
// It is about the application of Config.ApplicationID, and panics where that is
// not set: [Handler.Application] gives the others.
func (h *Handler) RequireIdentity(next http.Handler) http.Handler {
	return h.Application("").RequireIdentity(next)
}

// RequireConnection is RequireIdentity but that a connection whose health is
// [HealthNeedsSignIn] passes too, for pages and jobs that can do without a
// browser session.
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

// isPageRequest tells whether a redirect can be answered and come back from.
func isPageRequest(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && clientOf(r) != clientJSON
}

// sendAway redirects to an address of the app's with the way back.
func sendAway(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	sendTo(w, r, withReturnTo(to, requestedURL(r)))
}

// requestedURL is what the browser asked for. A router that strips a path leaves
// the request line as it came. Where the app has changed the path otherwise, the
// app knows better.
func requestedURL(r *http.Request) *url.URL {
	if clientOf(r) == clientHTMX {
		// A piece of a page was asked for: the way back is to the whole.
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

// withReturnTo adds return_to to an address, where the way back is one that can
// be taken.
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
