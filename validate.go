package connect

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxKeyBytes is the length of the longest string that every [Store] can store, except
	// ReturnTo and Label, in bytes.
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

// Validate returns an error if Kind is unknown, or if some [Store] may be unable to store
// ApplicationID, UserID or IdentityID, which must not be empty. Store.Queue begins with this
// check.
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

// Validate returns an error if h is neither [HealthOK] nor [HealthNeedsSignIn].
// Store.SetHealth begins with this check.
func (h Health) Validate() error {
	switch h {
	case HealthOK, HealthNeedsSignIn:
		return nil
	}
	return fmt.Errorf("Health is %q, neither %q nor %q", string(h), HealthOK, HealthNeedsSignIn)
}

// validateKey is validateText for a text that must not be empty.
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

// validateText returns an error if some [Store] may be unable to store a text. The error
// never quotes the text, which may be secret.
func validateText(field, text string, maxBytes int) error {
	switch {
	case len(text) > maxBytes:
		return fmt.Errorf("%s has %d bytes, over the limit of %d", field, len(text), maxBytes)
	case strings.Contains(text, "\x00"):
		return errors.New(field + " has a NUL byte")
	case !utf8.ValidString(text):
		return errors.New(field + " is not valid UTF-8")
	}
	return nil
}
