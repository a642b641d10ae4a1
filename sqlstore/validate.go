package sqlstore

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxKeyBytes is the size of a key column.
	maxKeyBytes = 255
	// maxLabel is the longest label, in characters.
	maxLabel = 100
)

// validKey returns an error if no column can hold the text. So looking one up is an error in
// every dialect, rather than a missing row in some. The error does not contain the text.
func validKey(name, text string) error {
	if len(text) > maxKeyBytes {
		return fmt.Errorf("the %s has %d bytes, over the limit of %d", name, len(text), maxKeyBytes)
	}
	return validText(name, text)
}

// validNewKey is validKey for a text that must not be empty either.
func validNewKey(name, text string) error {
	if text == "" {
		return fmt.Errorf("the %s is empty", name)
	}
	return validKey(name, text)
}

func validLabel(label string) error {
	if n := utf8.RuneCountInString(label); n > maxLabel {
		return fmt.Errorf("the label has %d characters, over the limit of %d", n, maxLabel)
	}
	return validText("label", label)
}

func validText(name, text string) error {
	switch {
	case strings.Contains(text, "\x00"):
		return fmt.Errorf("the %s has a NUL byte", name)
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not valid UTF-8", name)
	}
	return nil
}

// validNewUser is validUser for IDs that must not be empty either.
func validNewUser(applicationID, userID string) error {
	return cmp.Or(validNewKey("application id", applicationID), validNewKey("user id", userID))
}

func validUser(applicationID, userID string) error {
	return cmp.Or(validKey("application id", applicationID), validKey("user id", userID))
}
