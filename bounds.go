package connect

import (
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
)

// What bounds what others send.

// maxClip is how much of a text that others wrote goes into an error, a log or a
// page, in bytes.
const maxClip = 200

// clip makes one printable line of a text that others wrote, of at most maxClip
// bytes and a mark that says that there was more.
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

// clipError is an error's text for the log, which may quote what others wrote
// where the app's own code does.
func clipError(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// maxErrorText is how much of an error goes into the log, in bytes. A panic's
// stack fits.
const maxErrorText = 8 << 10

// limitReading gives the rest of a request's body a time to arrive. The deadline
// stands until hasRead, because the server waits for the rest of a body that was
// not read before it answers. A writer that has no deadlines leaves all of it to
// the server's own ReadTimeout.
func limitReading(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d))
}

// hasRead lifts the deadline when the body has been read to its end. The server
// reads on to notice that the client hangs up, and would take the deadline for that.
func hasRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// logRate lets something be logged now and then. Its zero value is ready.
type logRate struct {
	mu   sync.Mutex
	last time.Time
}

// logInterval is how often the same thing is logged at most.
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

// looksRandom reports whether a secret is not plainly something else: a byte that
// repeats, or a few. Of 32 random bytes about 30 are different, and of as many
// hex digits about 14.
func looksRandom(secret []byte) bool {
	different := make(map[byte]bool)
	for _, b := range secret {
		different[b] = true
	}
	return len(different) >= 8
}
