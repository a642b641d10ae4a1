package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxKeyBytes is the longest text that a key column keeps.
const maxKeyBytes = 255

// validKey refuses a text that no column can hold, so that looking for it is an
// error in every dialect rather than a row not found in some. It never quotes
// the text.
func validKey(name, text string) error {
	switch {
	case len(text) > maxKeyBytes:
		return fmt.Errorf("the %s has %d bytes, over the limit of %d", name, len(text), maxKeyBytes)
	case strings.Contains(text, "\x00"):
		return fmt.Errorf("the %s holds a NUL byte", name)
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not valid UTF-8", name)
	}
	return nil
}

// validNewUser is validUser for a user of whom something is to be stored.
func validNewUser(applicationID, userID string) error {
	switch "" {
	case applicationID:
		return errors.New("the application id is empty")
	case userID:
		return errors.New("the user id is empty")
	}
	return validUser(applicationID, userID)
}

func validUser(applicationID, userID string) error {
	return cmp.Or(validKey("application id", applicationID), validKey("user id", userID))
}
