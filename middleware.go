package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

type connectionKey struct{}

// FromContext returns the connection that [Handler.RequireIdentity] put into a
// request's context.
func FromContext(ctx context.Context) (Connection, bool) {
	c, ok := ctx.Value(connectionKey{}).(Connection)
	return c, ok
}

// RequireIdentity lets a request through to next when its user is connected,
// with the [Connection] in its context ([FromContext]). It costs one look-up in
// the store and no call to Anchor.
//
// Otherwise a page request (GET or HEAD that does not ask for JSON) is sent to
// the connect page, or to Config.SignInURL when nobody is signed in, and comes
// back afterwards. Everything else gets an error: [ErrNotConnected] or
// [ErrNotSignedIn].
func (h *Handler) RequireIdentity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := h.signedIn(r)
		if err != nil {
			if errors.Is(err, ErrNotSignedIn) && h.signInURL != "" && isPageRequest(r) {
				h.sendAway(w, r, h.signInURL)
				return
			}
			h.fail(w, r, err)
			return
		}
		c, err := h.Connection(r.Context(), user.ID)
		if err != nil {
			if errors.Is(err, ErrNotConnected) && isPageRequest(r) {
				h.sendAway(w, r, h.prefix+routeConnect)
				return
			}
			h.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionKey{}, c)))
	})
}

// isPageRequest tells whether a redirect can be answered and come back from.
func isPageRequest(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !acceptsJSON(r.Header)
}

// sendAway redirects to an address of the app's with the way back.
func (h *Handler) sendAway(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, withReturnTo(to, r.URL), http.StatusSeeOther)
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
