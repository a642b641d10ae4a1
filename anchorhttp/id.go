package anchorhttp

import (
	"errors"
	"strings"
)

// ErrInvalidID says that an id is no UUID (see [ParseID]). Nothing was sent.
var ErrInvalidID = errors.New("the id is not a UUID")

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
