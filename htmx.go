package connect

import "net/http"

// isHTMX tells a request that htmx made from within a page. It cannot be sent to
// another page by a redirect, which the browser would follow within the request,
// so that htmx puts the other page into this one; a header is its way (htmx's
// reference, "HX-Redirect").
func isHTMX(r *http.Request) bool { return r.Header.Get("Hx-Request") == "true" }

// sendTo redirects the browser to another page, whatever made the request. It
// leaves the address as it is, where http.Redirect cleans its path: "/a//b" may be
// another page of the app's than "/a/b".
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
