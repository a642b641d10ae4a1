package anchorhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrInvalidAnswer is returned when Anchor's answer is successful but malformed: it
// is not JSON, it is larger than 1 MiB, it lacks an id or has that of something
// else, or a token lacks what its use requires. It is not retried.
var ErrInvalidAnswer = errors.New("the answer is invalid")

// Maximum lengths of texts from outside, in bytes.
const (
	maxMessage   = 300
	maxRequestID = 100
)

// An Error is an answer from Anchor with a status other than 2xx.
type Error struct {
	// StatusCode is the HTTP status.
	StatusCode int
	// Message is Anchor's error message: one printable line of at most 300 bytes,
	// which Anchor or another party wrote. It is empty if the answer has no message
	// in a known form.
	Message string
	// RequestID is the header X-Request-Id (or Request-Id), for Anchor's support. It
	// may be empty.
	RequestID string
	// RetryAfter is how long to wait before the next call, from the header
	// retry-after-ms or Retry-After. It is at most a day, and zero if the answer has
	// neither.
	RetryAfter time.Duration
	// Date is when Anchor answered, by Anchor's clock: the Date header, in whole
	// seconds. It is zero if the answer has none. Events and identities are dated by
	// the same clock, so the error can be ordered with them.
	Date time.Time

	// foreign is true if the body is not JSON, so the answer comes from a gateway.
	foreign bool
}

// IsNotFound reports whether err is Anchor's answer that something does not exist: a
// 404 with a JSON body or no body. A gateway's 404 page does not qualify, because
// treating it as such would discard what still exists.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound && !e.foreign
}

// Error returns the status, the message and the request id.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Anchor answered %d", e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		b.WriteString(" " + text)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// newError reads an answer other than 2xx. redact removes what must not be repeated.
func newError(status int, h http.Header, body []byte, now time.Time, redact func(string) string) *Error {
	e := &Error{StatusCode: status, Date: dateOf(h), foreign: len(bytes.TrimSpace(body)) > 0 && !json.Valid(body)}
	if status/100 == 3 {
		e.Message = "redirects are never followed: use the API's own address as the base URL"
	} else {
		e.Message = printable(redact(message(body)), maxMessage)
	}
	id := h.Get("X-Request-Id")
	if id == "" {
		id = h.Get("Request-Id")
	}
	e.RequestID = printable(redact(id), maxRequestID)
	if wait, ok := askedWait(h, now); ok {
		e.RetryAfter = max(wait, 0)
	}
	return e
}

// dateOf returns the Date header, by the server's clock, or the zero time.
func dateOf(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// message returns the message in the forms that Anchor is known to use: {"error":
// {"message": "…"}}, {"message": "…"} and {"error": "…"}. If the last two occur
// together, the error is often only the text of the status.
func message(body []byte) string {
	var outer struct{ Error, Message json.RawMessage }
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	var inner struct{ Message json.RawMessage }
	// A value that is not an object leaves inner empty.
	_ = json.Unmarshal(outer.Error, &inner)
	for _, raw := range []json.RawMessage{inner.Message, outer.Message, outer.Error} {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// printable returns s as one line of at most limit bytes, without characters that a
// terminal or a log does not show as they are.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return ' '
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
