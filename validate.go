package connect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxKeyBytes is the longest text that every [Store] keeps, ReturnTo aside.
const maxKeyBytes = 255

// Validate tells whether every [Store] can keep p exactly as it is; if not, the
// error names the field. It is the check that Store.Bind begins with: TokenHash,
// ApplicationID and UserID must not be empty and hold at most 255 bytes,
// ReturnTo at most 1024, and none may hold a NUL byte or invalid UTF-8.
// IdentityID is not looked at, because a start begins without one.
//
// A store that is able to keep longer texts may do so, and then has no use for
// this method.
func (p Pending) Validate() error {
	return cmp.Or(
		validateKey("TokenHash", p.TokenHash),
		validateKey("ApplicationID", p.ApplicationID),
		validateKey("UserID", p.UserID),
		validateText("ReturnTo", p.ReturnTo, maxReturnTo),
	)
}

// Validate tells whether every [Store] can keep c exactly as it is; if not, the
// error names the field. It is the check that Store.Complete begins with:
// ApplicationID, UserID and IdentityID must not be empty, hold at most 255 bytes
// each, and neither a NUL byte nor invalid UTF-8; Health is one of the two.
func (c Connection) Validate() error {
	return cmp.Or(
		validateKey("ApplicationID", c.ApplicationID),
		validateKey("UserID", c.UserID),
		validateKey("IdentityID", c.IdentityID),
		c.Health.Validate(),
	)
}

// Validate is the check of a Health that Store.SetHealth begins with: it is one
// of the two that there are.
func (h Health) Validate() error {
	switch h {
	case HealthOK, HealthNeedsSignIn:
		return nil
	}
	return fmt.Errorf("Health is %q, neither %q nor %q", string(h), HealthOK, HealthNeedsSignIn)
}

// validateKey is validateText for a text that something is found by.
func validateKey(field, text string) error {
	if text == "" {
		return errors.New(field + " is empty")
	}
	return validateText(field, text, maxKeyBytes)
}

// validateText names the field but never quotes it: what it holds may be
// secret, and is of no use in a log when it is no text.
func validateText(field, text string, maxBytes int) error {
	switch {
	case len(text) > maxBytes:
		return fmt.Errorf("%s has %d bytes, over the limit of %d", field, len(text), maxBytes)
	case strings.Contains(text, "\x00"):
		return errors.New(field + " holds a NUL byte")
	case !utf8.ValidString(text):
		return errors.New(field + " is not valid UTF-8")
	}
	return nil
}
