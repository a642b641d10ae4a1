package connect

import "net/http"

// isHTMX tells a request that htmx made from within a page. It cannot be sent to
// another page by a redirect, which the browser would follow within the request,
// so that htmx puts the other page into this one; a header is its way (htmx's
// reference, "HX-Redirect").
func isHTMX(r *http.Request) bool { return r.Header.Get("Hx-Request") == "true" }

// sendTo sends the browser to another page, whatever made the request. The
// address is a local path or an absolute one, so it needs nothing of what
// http.Redirect does for others; nor is there anybody to read a page in between.
func sendTo(w http.ResponseWriter, r *http.Request, address string) {
	address = inASCII(address)
	w.Header().Set("Content-Length", "0") // So that it is whole when it is flushed.
	if isHTMX(r) {
		w.Header().Set("HX-Redirect", address)
		return // 200: htmx asks for a status that is no redirect's.
	}
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
}
