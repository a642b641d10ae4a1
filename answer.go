package connect

import (
	"encoding/json"
	"net/http"
)

// sendTo redirects the browser to another page. A redirect would make htmx put that page
// into the current one, so htmx gets its own header instead (htmx's reference,
// "HX-Redirect"). http.Redirect would clean the path, but "/a//b" may be another page of
// the app's than "/a/b".
func sendTo(w http.ResponseWriter, r *http.Request, address string) {
	address = inASCII(address)
	w.Header().Set("Content-Length", "0") // The answer is complete once it is flushed.
	if clientOf(r) == clientHTMX {
		w.Header().Set("HX-Redirect", address)
		return // htmx follows it only with a status outside of 3xx.
	}
	w.Header().Set("Location", address)
	w.WriteHeader(http.StatusSeeOther)
}

// writeJSON answers with a JSON object.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // The client has gone away.
}

// answerFirst sends the answer to a request, and then does what nobody waits for. If the
// ResponseWriter cannot flush, as that of http.TimeoutHandler, the answer is sent when
// the request ends, so then comes first. No Content-Length is set on a page, because
// middleware may change the page; browsers show it without waiting for its end.
func answerFirst(w http.ResponseWriter, r *http.Request, answer, then func()) {
	if !canFlush(w) {
		then()
		answer()
		return
	}
	if r.ProtoMajor < 2 {
		// The server reads this connection's next request when this one ends. A browser
		// that follows the redirect must open another connection.
		w.Header().Set("Connection", "close")
	}
	answer()
	_ = http.NewResponseController(w).Flush() // The browser has gone away.
	then()
}

// canFlush reports whether [http.ResponseController.Flush] will work.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}
