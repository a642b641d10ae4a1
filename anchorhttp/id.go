package anchorhttp

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidID is returned when an identity's or application's id is not a UUID (see
// [ParseID]), or a session's id cannot be one. Nothing was sent.
var ErrInvalidID = errors.New("the id is invalid")

var (
	errNoUUID    = fmt.Errorf("%w: it is not a UUID", ErrInvalidID)
	errNoSession = fmt.Errorf("%w: it cannot be a session's", ErrInvalidID)
)

// isSessionID reports whether s can stand in a path as a session's id. Anchor's are
// UUIDs, but it calls them strings, so anything is accepted that is a path segment
// without escapes (RFC 3986, section 3.3) and not a step in a path.
func isSessionID(s string) bool {
	if s == "." || s == ".." || !visible(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("-._~!$&'()*+,;=:@", r)
	})
}

// ParseID returns the UUID s in lower case, and whether s is one in the form
// 8-4-4-4-12 hexadecimal digits of RFC 9562, section 4. Other spellings (braces,
// "urn:uuid:", no hyphens) are refused, so that an id has one spelling and is
// safe in a path.
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
