package sqlstore

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// utf8Charsets are the character sets that a connection to MySQL may have. With
// interpolateParams the driver escapes quotes byte by byte. In gbk, big5, sjis and others
// a character can end with the byte of a backslash, or swallow the one that escapes a
// quote, so a string can end early: SQL injection. The remaining character sets are safe
// but alter strings.
var utf8Charsets = []string{"utf8mb4", "utf8mb3", "utf8"}

func isUTF8(charset string) bool {
	return slices.Contains(utf8Charsets, strings.ToLower(charset))
}

var (
	errCharset  = errors.New("its charset is not UTF-8: use charset=utf8mb4, or remove the parameter")
	errCollate  = errors.New("its collation is not one of UTF-8: use one of utf8mb4, or remove the parameter")
	errSession  = errors.New("a parameter sets a character set or collation of the session: use charset=utf8mb4 instead")
	errForeign  = errors.New("a parameter is neither the driver's nor a variable of the server: remove it")
	errVariable = errors.New("a parameter is not name=value with a session variable's name and a single number, word or quoted string")
)

var (
	charsetVariable = regexp.MustCompile(`(?i)^(character_set|charset|collation|names)`)
	camelCase       = regexp.MustCompile(`^[a-z]+[A-Z]`)
	variableName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	variableValue   = regexp.MustCompile(`^([A-Za-z0-9_.-]+|'[^'\\]*'|"[^"\\]*")$`)
)

// checkParameter returns an error if a parameter can give the connection another character
// set than UTF-8. The driver sends a parameter that it does not know as SET name = value.
func checkParameter(name, value string) error {
	switch name {
	case "charset":
		// A list: the driver takes the first that the server knows.
		for charset := range strings.SplitSeq(value, ",") {
			if !isUTF8(charset) {
				return errCharset
			}
		}
		return nil
	case "collation":
		if charset, _, found := strings.Cut(value, "_"); !found || !isUTF8(charset) || !variableName.MatchString(value) {
			return errCollate
		}
		return nil
	case "loc", "tls", "serverPubKey", "connectionAttributes":
		return nil // The driver does not send them as SQL.
	}
	decoded, err := url.QueryUnescape(value)
	switch {
	case charsetVariable.MatchString(name):
		return errSession
	case err != nil || !variableName.MatchString(name) || !variableValue.MatchString(decoded):
		return errVariable
	case camelCase.MatchString(name) && !slices.Contains(driverParameters, name):
		return errForeign
	}
	return nil
}
