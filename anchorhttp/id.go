package anchorhttp

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidID is returned when the id of an identity or application is not a UUID
// (see [ParseID]), or when the id of a session cannot be one. Nothing was sent.
var ErrInvalidID = errors.New("the id is invalid")

var (
	errNoUUID    = fmt.Errorf("%w: it is not a UUID", ErrInvalidID)
	errNoSession = fmt.Errorf("%w: it cannot be a session id", ErrInvalidID)
)

// isSessionID reports whether s can be a session's id in a path. Anchor's are UUIDs
// but documented as strings, so any path segment without escapes (RFC 3986, section
// 3.3) is accepted, except "." and "..".
func isSessionID(s string) bool {
	if s == "." || s == ".." || !visible(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("-._~!$&'()*+,;=:@", r)
	})
}

// ParseID parses the UUID s in the form of RFC 9562, section 4: 8-4-4-4-12
// hexadecimal digits. It returns the UUID in lower case, and reports whether s is
// one. Other spellings (braces, "urn:uuid:", no hyphens) are rejected, so that an id
// has one spelling and is safe in a path.
func ParseID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return "", false
		}
	}
	return strings.ToLower(s), true
}
