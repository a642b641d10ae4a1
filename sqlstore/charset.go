package sqlstore

import (
	"cmp"
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
	errTwice    = errors.New("it has one parameter twice")
	errForeign  = errors.New("a parameter is neither one of the driver's nor a variable of the server: take it out")
	errVariable = errors.New("a parameter is not name=value with a session variable's name and a single number, word or quoted string")
)

// mysqlParameters checks the parameters of a URL, translates those of other drivers, and
// adds those that the store works best with. It reads them as go-sql-driver/mysql does,
// which decodes no name, and only some of the values. It also returns the path of a
// socket, if one takes the place of the address.
func mysqlParameters(query string) (parameters, socket string, err error) {
	if _, err := url.ParseQuery(query); err != nil {
		return "", "", errors.New("its parameters cannot be read")
	}
	given := make(map[string]string)
	variables := map[string]string{"character_set_client": utf8Charsets[0], "character_set_connection": utf8Charsets[0]}
	var all []string
	strictest := -1
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		name, value, found := strings.Cut(parameter, "=")
		if !found {
			return "", "", errVariable // The driver would ignore it.
		}
		foreign, ok, err := foreignMySQL(name, value)
		switch {
		case err != nil:
			return "", "", err
		case ok:
			strictest = max(strictest, slices.Index(tlsModes, foreign.tls))
			socket = cmp.Or(foreign.socket, socket)
			if foreign.parameter != "" {
				all = append(all, foreign.parameter)
			}
			continue
		}
		if err := checkParameter(name, value); err != nil {
			return "", "", err
		}
		if !slices.Contains(driverParameters, name) {
			decoded, _ := url.QueryUnescape(value)
			variables[strings.ToLower(name)] = strings.Trim(decoded, `'"`)
		}
		if _, twice := given[name]; twice {
			return "", "", errTwice
		}
		given[name] = value
		all = append(all, parameter)
	}
	// The server would report the same, but not before the app connects.
	if err := judgeMySQL(variables); err != nil {
		return "", "", err
	}
	if strictest >= 0 {
		if _, ok := given["tls"]; ok {
			return "", "", errors.New("it has tls and another parameter about encryption: leave one of them out")
		}
		all = append(all, "tls="+tlsModes[strictest])
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
	return strings.Join(all, "&"), socket, nil
}

var (
	charsetVariable = regexp.MustCompile(`(?i)^(character_set|charset|collation|names)`)
	camelCase       = regexp.MustCompile(`^[a-z]+[A-Z]`)
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
	case camelCase.MatchString(name) && !slices.Contains(driverParameters, name):
		return errForeign
	}
	return nil
}
