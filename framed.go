package connect

import (
	"net/http"
	"time"
)

// A page in another site's frame cannot finish a flow. The hosted page comes back in a
// window or a frame, to which the browser brings no cookie that was set in the frame:
// a SameSite=Lax one is not even stored there, and a partitioned one is the frame's
// alone. No header says that a script runs in a frame, so a cookie is tried first.

// isFramed reports whether the browser shows the answer in a frame (Fetch Metadata,
// section 2.1).
func isFramed(header http.Header) bool {
	switch header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "fencedframe", "embed", "object":
		return true
	}
	return false
}

const (
	// triedParameter marks the request that a script's request is redirected to.
	triedParameter = "cookie-tried"
	// trialLife is how long a browser keeps the cookie that is tried.
	trialLife = time.Minute
)

// try finds out whether the browser keeps state cookies where a script's request is
// made. It returns where to send the request again, or "" if the browser does. If it
// does not, the error is ErrFramed.
func (c stateCookies) try(w http.ResponseWriter, r *http.Request) (again string, err error) {
	if isFramed(r.Header) {
		return "", ErrFramed
	}
	if r.Header.Get("Sec-Fetch-Dest") != "empty" || len(c.sent(r)) > 0 {
		return "", nil // Forms lead to a page, where cookies are kept; no other client says so.
	}
	name := c.prefix + "trial"
	if _, err := r.Cookie(name); err == nil {
		return "", nil
	}
	query := r.URL.Query()
	if query.Has(triedParameter) {
		return "", ErrFramed
	}
	c.give(w, name, "1", trialLife)
	query.Set(triedParameter, "1")
	return "?" + query.Encode(), nil
}
