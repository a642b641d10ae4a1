package connect

import (
	"net/http"
	"time"
)

// A page in another site's frame cannot finish a flow. The hosted page returns in a window
// or a frame where the browser does not send a cookie that was set in the frame: a
// SameSite=Lax cookie is not even stored there, and a partitioned one belongs to the frame
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

// try finds out whether the browser keeps state cookies for a script's request. It returns
// where to repeat the request, or "" if the browser keeps them. The error is ErrFramed if
// it does not.
func (c stateCookies) try(w http.ResponseWriter, r *http.Request) (again string, err error) {
	if isFramed(r.Header) {
		return "", ErrFramed
	}
	if r.Header.Get("Sec-Fetch-Dest") != "empty" || len(c.sent(r)) > 0 {
		return "", nil // A form leads to a page, where cookies are kept. Only browsers send the header.
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
