package connect

import (
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Bounds on what others send.

// maxClip is how many bytes of a foreign text go into an error, a log or a page.
const maxClip = 200

// clip returns a foreign text as one printable line of at most maxClip bytes, with an
// ellipsis if it was longer.
func clip(s string) string {
	cut := len(s) > maxClip
	if cut {
		s = strings.ToValidUTF8(s[:maxClip], "")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	if cut {
		s += "…"
	}
	return s
}

// clipError returns an error's text for the log. An error of the app's own code may quote
// a foreign text of any length.
func clipError(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// maxErrorText is how many bytes of an error are logged. A panic's stack fits.
const maxErrorText = 8 << 10

// limitReading sets a deadline for the rest of a request's body, until hasRead: before it
// answers, the server waits for a body that has not been read. If the ResponseWriter has
// no deadlines, the server's own ReadTimeout applies.
func limitReading(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d))
}

// hasRead removes the deadline once the body has been read to its end. The server reads
// on to notice that the client hangs up, and would take the deadline for that.
func hasRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// logRate limits how often the same thing is logged. Its zero value is ready for use.
type logRate struct {
	mu   sync.Mutex
	last time.Time
}

// logInterval is the least time between two logs of the same thing.
const logInterval = 10 * time.Minute

func (l *logRate) allows(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last) < logInterval {
		return false
	}
	l.last = now
	return true
}

// looksRandom reports whether a secret has more than a few different bytes. Of 32 random
// bytes about 30 differ, and of 32 random hex digits about 14.
func looksRandom(secret []byte) bool {
	different := make(map[byte]bool)
	for _, b := range secret {
		different[b] = true
	}
	return len(different) >= 8
}
