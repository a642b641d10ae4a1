package connect

import "net/http"

// answerFirst answers a request, sends the answer off, and then does what nobody
// needs to wait for. A redirect is whole then. Of a page only its end is still to
// come, without which browsers show it and run its script; no length is announced,
// since a middleware may change the page. A ResponseWriter that cannot flush, such as that of
// http.TimeoutHandler, sends it when the request is over, so there the answer
// comes last.
func answerFirst(w http.ResponseWriter, r *http.Request, answer, then func()) {
	if !canFlush(w) {
		then()
		answer()
		return
	}
	if r.ProtoMajor < 2 {
		// On this connection the server reads the next request when this one is
		// over. A browser that follows the redirect must take another.
		w.Header().Set("Connection", "close")
	}
	answer()
	_ = http.NewResponseController(w).Flush() // Whoever hung up needs no answer.
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
