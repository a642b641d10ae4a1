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

// ErrInvalidAnswer says that Anchor answered with success and something that
// cannot be right: no JSON, more than 1 MiB, no id or that of something else, a
// token without what is needed to use it. It is not retried.
var ErrInvalidAnswer = errors.New("the answer is invalid")

// Texts from outside are cut to these many bytes.
const (
	maxMessage   = 300
	maxRequestID = 100
)

// Error is an answer of Anchor with any other status than 2xx.
type Error struct {
	// StatusCode is the HTTP status.
	StatusCode int
	// Message is what Anchor says about it: one printable line of at most 300
	// bytes, written by others. It is empty when the answer has no message in a
	// form that is known.
	Message string
	// RequestID is what the header X-Request-Id (or Request-Id) says, for
	// Anchor's support; empty without one.
	RequestID string
	// RetryAfter is how long Anchor asks to wait before the next call, by
	// retry-after-ms or Retry-After: at most a day, zero when it does not say.
	RetryAfter time.Duration
	// Date is when Anchor answered, by its own clock: the Date header, in whole
	// seconds. It is zero if the answer has none. Events and identities are dated by
	// the same clock, so what this error says can be put in order with them.
	Date time.Time

	// foreign says that the body is no JSON: the answer of something between
	// here and Anchor.
	foreign bool
}

// IsNotFound tells whether err is Anchor saying that what was asked for is not
// there: a 404 with a JSON body, or none. The 404 page of a gateway on the way
// says nothing of the kind, and to take it for that would lose what is there.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound && !e.foreign
}

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

// newError reads an answer that is not 2xx. redact takes out what must not be
// repeated.
func newError(status int, h http.Header, body []byte, now time.Time, redact func(string) string) *Error {
	e := &Error{StatusCode: status, Date: dateOf(h), foreign: len(bytes.TrimSpace(body)) > 0 && !json.Valid(body)}
	if status/100 == 3 {
		e.Message = "a redirect, which is never followed: the base URL should be the API's own address"
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

// dateOf returns the moment of an answer by the server's clock, or the zero time.
func dateOf(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// message finds the message in the forms that Anchor is known to use:
// {"error": {"message": "…"}}, {"message": "…"} and {"error": "…"}. With the last
// two together the error is often no more than the status in words.
func message(body []byte) string {
	var outer struct{ Error, Message json.RawMessage }
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	var inner struct{ Message json.RawMessage }
	// What is no object leaves inner empty.
	_ = json.Unmarshal(outer.Error, &inner)
	for _, raw := range []json.RawMessage{inner.Message, outer.Message, outer.Error} {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// printable makes one line of s, of at most limit bytes, without anything that a
// terminal or a log would not show as it is.
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
