package sqlstore

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// utf8Charsets are the character sets that a connection to MySQL may have. With
// interpolateParams the driver escapes quotes byte by byte. In gbk, big5, sjis and
// others a letter's last byte can be a backslash, or take the escaping one for its
// own, and then the text ends where its author wants. Among those in which that
// cannot happen only UTF-8 is what the texts are.
var utf8Charsets = []string{"utf8mb4", "utf8mb3", "utf8"}

func isUTF8(charset string) bool {
	return slices.Contains(utf8Charsets, strings.ToLower(charset))
}

var (
	errCharset  = errors.New("its charset is not UTF-8: use charset=utf8mb4, or leave the parameter out")
	errCollate  = errors.New("its collation is not one of UTF-8: use one of utf8mb4, or leave the parameter out")
	errSession  = errors.New("a parameter sets a character set or collation of the session: use charset=utf8mb4 instead")
	errVariable = errors.New("a parameter is not name=value with a session variable's name and a single number, word or quoted string")
)

// mysqlParameters checks the parameters of a URL, and adds those that the store
// works best with. It reads them as go-sql-driver/mysql does, which decodes no
// name, and only some of the values.
func mysqlParameters(query string) (string, error) {
	if _, err := url.ParseQuery(query); err != nil {
		return "", errors.New("its parameters cannot be read")
	}
	given := make(map[string]string)
	var all []string
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		name, value, found := strings.Cut(parameter, "=")
		if !found {
			return "", errVariable // The driver would ignore it.
		}
		if err := checkParameter(name, value); err != nil {
			return "", err
		}
		given[name] = value
		all = append(all, parameter)
	}
	if _, ok := given["charset"]; !ok {
		charset, _, ok := strings.Cut(given["collation"], "_")
		if !ok {
			charset = utf8Charsets[0]
		}
		all = append(all, "charset="+charset)
	}
	_, interpolates := given["interpolateParams"]
	_, multiplies := given["multiStatements"]
	if !interpolates && !multiplies {
		all = append(all, "interpolateParams=true")
	}
	return strings.Join(all, "&"), nil
}

var (
	charsetVariable = regexp.MustCompile(`(?i)^(character_set|charset|collation|names)`)
	variableName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	variableValue   = regexp.MustCompile(`^([A-Za-z0-9_.-]+|'[^'\\]*'|"[^"\\]*")$`)
)

// checkParameter refuses a parameter that can give the connection another
// character set than UTF-8. What the driver does not know it sends as it is, as
// SET name = value.
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
		return nil // The driver's own. They are no SQL.
	}
	decoded, err := url.QueryUnescape(value)
	switch {
	case charsetVariable.MatchString(name):
		return errSession
	case err != nil || !variableName.MatchString(name) || !variableValue.MatchString(decoded):
		return errVariable
	}
	return nil
}
