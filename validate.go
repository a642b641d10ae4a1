package connect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxKeyBytes is the longest string that every [Store] keeps, ReturnTo and Label
	// aside, in bytes.
	maxKeyBytes = 255

	// maxLabel is the longest label, in characters.
	maxLabel = 100
)

// Validate returns an error if some [Store] may be unable to store p exactly; the
// error names the field. Store.Bind begins with this check: TokenHash, ApplicationID
// and UserID must not be empty. They, ActorID and ConnectionID have at most 255
// bytes, ReturnTo 1024, and Label 100 characters. None may have a NUL byte or invalid
// UTF-8. IdentityID is not checked, because a flow begins without one.
//
// A store that can store longer strings may accept them, and then does not need this
// method.
func (p Pending) Validate() error {
	return cmp.Or(
		validateKey("TokenHash", p.TokenHash),
		validateKey("ApplicationID", p.ApplicationID),
		validateKey("UserID", p.UserID),
		validateText("ActorID", p.ActorID, maxKeyBytes),
		validateText("ConnectionID", p.ConnectionID, maxKeyBytes),
		validateLabel(p.Label),
		validateText("ReturnTo", p.ReturnTo, maxReturnTo),
	)
}

// Validate returns an error if some [Store] may be unable to store c exactly; the
// error names the field. Store.Complete begins with this check: ID, ApplicationID,
// UserID and IdentityID must not be empty. They and ActorID have at most 255 bytes,
// and Label 100 characters. None may have a NUL byte or invalid UTF-8. Health is one
// of the two.
func (c Connection) Validate() error {
	return cmp.Or(
		validateKey("ID", c.ID),
		validateKey("ApplicationID", c.ApplicationID),
		validateKey("UserID", c.UserID),
		validateText("ActorID", c.ActorID, maxKeyBytes),
		validateKey("IdentityID", c.IdentityID),
		validateLabel(c.Label),
		c.Health.Validate(),
	)
}

// Validate is the check that Store.Queue begins with: Kind is one of the two,
// ApplicationID, UserID and IdentityID are strings that every [Store] can find
// something by.
func (t Task) Validate() error {
	if t.Kind != TagIdentity && t.Kind != DeleteIdentity {
		return fmt.Errorf("%s is %q, neither %q nor %q", "Kind", string(t.Kind), TagIdentity, DeleteIdentity)
	}
	return cmp.Or(
		validateKey("ApplicationID", t.ApplicationID),
		validateKey("UserID", t.UserID),
		validateKey("IdentityID", t.IdentityID),
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

// validateLabel returns an error if some [Store] may be unable to store a label.
func validateLabel(label string) error {
	if n := utf8.RuneCountInString(label); n > maxLabel {
		return fmt.Errorf("%s has %d characters, over the limit of %d", "Label", n, maxLabel)
	}
	return validateText("Label", label, maxLabel*utf8.UTFMax)
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
