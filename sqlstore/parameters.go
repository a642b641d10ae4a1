package sqlstore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Hosts and drivers of other languages write parameters that Go's drivers do not know and
// would send to the server as settings. ParseURL translates those that have a meaning here,
// drops those that have none, and refuses the others. It never drops one about encryption.

// plainName returns the name of a parameter for comparison: ssl-mode, ssl_mode and sslMode
// have the same.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

const (
	onPool    = "Go's drivers do not have it: remove it, and limit the pool with db.SetMaxOpenConns and related methods"
	onPgxpool = "it is for pgxpool: use pgxpool.New and stdlib.OpenDBFromPool, or remove it"
	onTimeout = "the driver has no such parameter: give each ctx a deadline"
	onTLS     = "it is about encryption, and the driver has no such parameter"
	onMySQL   = onTLS + ": register a tls.Config with mysql.RegisterTLSConfig, and name it in tls="
)

// refusedByBoth are parameters of other drivers without an equivalent in either driver.
var refusedByBoth = map[string]string{
	"connectionlimit":           onPool,
	"pooltimeout":               onPool,
	"poolsize":                  onPool,
	"poolmaxconns":              onPgxpool,
	"poolminconns":              onPgxpool,
	"poolmaxconnlifetime":       onPgxpool,
	"poolmaxconnidletime":       onPgxpool,
	"poolhealthcheckperiod":     onPgxpool,
	"maxidleconnectionlifetime": onPool,
	"maxconnectionlifetime":     onPool,
	"statementcachesize":        onPool,
	"sockettimeout":             onTimeout,
	"sslidentity":               onTLS,
	"sslca":                     onTLS,
	"sslcapath":                 onTLS,
	"sslcipher":                 onTLS,
	"sslcrl":                    onTLS,
	"sslcrldir":                 onTLS,
	"sslminprotocolversion":     onTLS,
	"sslmaxprotocolversion":     onTLS,
	"tlsversion":                onTLS,
	"tlsca":                     onTLS,
	"usessl":                    onTLS,
	"requiressl":                onTLS,
	"verifyservercertificate":   onTLS,
	"allowpublickeyretrieval":   onTLS,
	"enabledtlsprotocols":       onTLS,
}

// refusedOn are parameters without an equivalent in the driver of one dialect.
var refusedOn = map[Dialect]map[string]string{
	MySQL: {
		"sslcert":         onMySQL,
		"sslkey":          onMySQL,
		"sslpassword":     onMySQL,
		"sslrootcert":     onMySQL,
		"channelbinding":  onMySQL,
		"schema":          "the path of the URL names the database: remove it",
		"targetsessattrs": "the driver has no such parameter: name the server that accepts writes",
	},
	PostgreSQL: {
		"gssencmode":         onTLS,
		"keepalives":         onTimeout,
		"keepalivesidle":     onTimeout,
		"keepalivesinterval": onTimeout,
		"keepalivescount":    onTimeout,
		"tcpusertimeout":     onTimeout,
		"socket":             "use host= with the directory of the socket",
		"charset":            "PostgreSQL calls it client_encoding, which must be UTF8: remove it",
	},
}

// meaningless are parameters that are dropped because they change nothing here.
var meaningless = map[Dialect][]string{
	MySQL: {
		"reconnect", "autoreconnect", // ClearDB: database/sql always does
	},
	PostgreSQL: {
		"pgbouncer",        // Prisma, Supabase: see default_query_exec_mode=exec
		"supa",             // Vercel and Supabase
		"workaround",       // Vercel
		"uselibpqcompat",   // node-postgres: pgx reads sslmode as libpq does
		"binaryparameters", // lib/pq: see pgbouncer
	},
}

// refuseForeign returns an error if the parameter is another driver's without an equivalent.
func refuseForeign(d Dialect, name string) error {
	plain := plainName(name)
	for _, known := range []map[string]string{refusedByBoth, refusedOn[d]} {
		if why, ok := known[plain]; ok {
			// A known name is no part of a password, so the error may contain it.
			return fmt.Errorf("its parameter %s: %s", plain, why)
		}
	}
	return nil
}

// tlsModes are the values of tls= on MySQL, the weakest first, and sslModes those of
// sslmode= on PostgreSQL. Of several parameters the strictest counts.
var (
	tlsModes = []string{"false", "preferred", "skip-verify", "true"}
	sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
)

// invalid returns an error without the value, which may be a part of a password.
func invalid(plain string) error { return fmt.Errorf("its parameter %s is invalid", plain) }

// tlsModeOf translates a parameter about encryption for MySQL. It reports whether the
// parameter is one.
func tlsModeOf(plain, value string) (mode string, ok bool, err error) {
	value = strings.ToLower(value)
	switch plain {
	case "sslmode": // MySQL's own clients, DigitalOcean, Aiven, Azure; also PostgreSQL's values
		switch strings.ReplaceAll(value, "-", "_") {
		case "disabled", "disable":
			mode = "false"
		case "preferred", "prefer", "allow":
			mode = "preferred"
		case "required", "require":
			mode = "skip-verify"
		case "verify_ca", "verify_identity", "verify_full":
			mode = "true"
		}
	case "sslaccept": // Prisma, PlanetScale
		switch value {
		case "strict":
			mode = "true"
		case "accept_invalid_certs":
			mode = "skip-verify"
		}
	case "ssl": // Node.js: a boolean or a JSON object
		switch value {
		case "true", "1":
			mode = "true"
		case "false", "0":
			mode = "false"
		default:
			var object map[string]any
			if json.Unmarshal([]byte(value), &object) != nil || len(object) > 1 {
				break
			}
			mode = "true"
			for name, value := range object {
				verify, isBool := value.(bool)
				switch {
				case name != "rejectunauthorized" || !isBool:
					mode = ""
				case !verify:
					mode = "skip-verify"
				}
			}
		}
	default:
		return "", false, nil
	}
	if mode == "" {
		return "", true, invalid(plain)
	}
	return mode, true, nil
}

// sslModeOf translates a parameter about encryption for PostgreSQL. It reports whether the
// parameter is one.
func sslModeOf(plain, value string) (mode string, ok bool, err error) {
	switch plain {
	case "sslmode":
		if mode = value; value == "no-verify" { // node-postgres
			mode = "require"
		}
	case "sslaccept": // Prisma
		switch value {
		case "strict":
			mode = "verify-full"
		case "accept_invalid_certs":
			mode = "prefer"
		}
	case "ssl": // node-postgres, JDBC, asyncpg
		switch value {
		case "true", "1":
			mode = "verify-full"
		case "false", "0":
			mode = "disable"
		case "no-verify":
			mode = "require"
		default:
			mode = value
		}
	default:
		return "", false, nil
	}
	if !slices.Contains(sslModes, mode) {
		return "", true, invalid(plain)
	}
	return mode, true, nil
}

var (
	errParameters = errors.New("its parameters cannot be read")
	errTwice      = errors.New("it has one parameter twice")
)

// postgresParameters translates the parameters of a URL for pgx.
func postgresParameters(query string) (string, error) {
	if _, err := url.ParseQuery(query); err != nil {
		return "", errParameters
	}
	var all []string
	seen := make(map[string]bool)
	strictest := -1
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(parameter, "=")
		name, _ := url.QueryUnescape(rawName)
		value, _ := url.QueryUnescape(rawValue)
		if seen[name] {
			return "", errTwice
		}
		seen[name] = true
		plain := plainName(name)
		mode, isSSL, err := sslModeOf(plain, value)
		if err != nil {
			return "", err
		}
		switch {
		case isSSL:
			strictest = max(strictest, slices.Index(sslModes, mode))
		case slices.Contains(meaningless[PostgreSQL], plain):
		case plain == "schema": // Prisma
			all = append(all, "search_path="+rawValue)
		case name == "default_query_exec_mode" && value == "describe_exec":
			return "", errors.New("with default_query_exec_mode=describe_exec a pooler can run another client's statement: use exec or cache_describe")
		default:
			if err := refuseForeign(PostgreSQL, name); err != nil {
				return "", err
			}
			all = append(all, parameter)
		}
	}
	if strictest >= 0 {
		all = append(all, "sslmode="+sslModes[strictest])
	}
	if !seen["default_query_exec_mode"] {
		all = append(all, "default_query_exec_mode=exec")
	}
	return strings.Join(all, "&"), nil
}

// mysqlURL collects the parameters of a URL.
type mysqlURL struct {
	given     map[string]string // those that are not another driver's
	variables map[string]string // session variables, for judgeMySQL
	all       []string          // all that the driver gets
	tls       int               // the index in tlsModes that another driver's parameters ask for, or -1
	socket    string
}

// mysqlParameters checks the parameters of a URL, translates those of other drivers, and
// adds the defaults of ParseURL. Like go-sql-driver/mysql it decodes no names and only some
// values. It also returns the path of the socket that replaces the address, or "".
func mysqlParameters(query string) (parameters, socket string, err error) {
	if _, err := url.ParseQuery(query); err != nil {
		return "", "", errParameters
	}
	u := mysqlURL{
		given:     make(map[string]string),
		variables: map[string]string{"character_set_client": utf8Charsets[0], "character_set_connection": utf8Charsets[0]},
		tls:       -1,
	}
	for parameter := range strings.SplitSeq(query, "&") {
		if parameter == "" {
			continue
		}
		if err := u.read(parameter); err != nil {
			return "", "", err
		}
	}
	// Verify would find these too, but only when the app connects.
	if err := judgeMySQL(u.variables); err != nil {
		return "", "", err
	}
	if err := u.complete(); err != nil {
		return "", "", err
	}
	return strings.Join(u.all, "&"), u.socket, nil
}

// read checks and adds one parameter. It translates another driver's.
func (u *mysqlURL) read(parameter string) error {
	name, value, found := strings.Cut(parameter, "=")
	if !found {
		return errVariable // The driver would ignore it.
	}
	foreign, ok, err := foreignMySQL(name, value)
	if err != nil {
		return err
	}
	if ok {
		u.tls = max(u.tls, slices.Index(tlsModes, foreign.tls))
		u.socket = cmp.Or(foreign.socket, u.socket)
		if foreign.parameter != "" {
			u.all = append(u.all, foreign.parameter)
		}
		return nil
	}
	if err := checkParameter(name, value); err != nil {
		return err
	}
	if !slices.Contains(driverParameters, name) {
		decoded, _ := url.QueryUnescape(value)
		u.variables[strings.ToLower(name)] = strings.Trim(decoded, `'"`)
	}
	if _, twice := u.given[name]; twice {
		return errTwice
	}
	u.given[name] = value
	u.all = append(u.all, parameter)
	return nil
}

// complete adds the parameters that the URL lacks.
func (u *mysqlURL) complete() error {
	if u.tls >= 0 {
		if _, ok := u.given["tls"]; ok {
			return errors.New("it has tls and another parameter about encryption: leave one of them out")
		}
		u.all = append(u.all, "tls="+tlsModes[u.tls])
	}
	if _, ok := u.given["charset"]; !ok {
		charset, _, ok := strings.Cut(u.given["collation"], "_")
		if !ok {
			charset = utf8Charsets[0]
		}
		u.all = append(u.all, "charset="+charset)
	}
	_, interpolates := u.given["interpolateParams"]
	_, multiplies := u.given["multiStatements"]
	if !interpolates && !multiplies {
		u.all = append(u.all, "interpolateParams=true")
	}
	return nil
}

// A foreignParameter is another driver's parameter, translated for go-sql-driver/mysql.
type foreignParameter struct {
	tls       string // one of tlsModes
	socket    string // the path of a socket, or ""
	parameter string // a parameter of the driver's, or ""
}

// foreignMySQL translates a parameter of another driver. It reports whether the parameter
// is one.
func foreignMySQL(name, rawValue string) (f foreignParameter, ok bool, err error) {
	if name == "tls" {
		return f, false, nil
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil {
		return f, false, errVariable
	}
	if strings.EqualFold(name, "timezone") { // Node.js. MySQL's variable is time_zone.
		return f, false, errors.New("its parameter timezone: the driver has none, and the store needs none: remove it")
	}
	plain := plainName(name)
	switch plain {
	case "socket", "unixsocket", "socketpath": // Cloud SQL, Prisma, Node.js
		if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, "()?") {
			return f, true, errors.New("its socket is not an absolute path")
		}
		f.socket = value
		return f, true, nil
	case "connecttimeout":
		seconds, err := strconv.Atoi(value)
		if err != nil || seconds < 0 {
			return f, true, errors.New("its connect_timeout is not a number of seconds")
		}
		unit := "s"
		if name == "connectTimeout" { // Node.js
			unit = "ms"
		}
		if seconds > 0 {
			f.parameter = "timeout=" + strconv.Itoa(seconds) + unit
		}
		return f, true, nil
	}
	if slices.Contains(meaningless[MySQL], plain) {
		return f, true, nil
	}
	if f.tls, ok, err = tlsModeOf(plain, value); ok || err != nil {
		return f, true, err
	}
	return f, false, refuseForeign(MySQL, name)
}

// driverParameters are the parameters of go-sql-driver/mysql. It sends others to the server.
var driverParameters = []string{
	"allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords", "allowOldPasswords", "charset",
	"checkConnLiveness", "clientFoundRows", "collation", "columnsWithAlias", "compress", "connectionAttributes", "interpolateParams",
	"loc", "maxAllowedPacket", "multiStatements", "parseTime", "readTimeout", "rejectReadOnly", "serverPubKey", "timeTruncate",
	"timeout", "tls", "writeTimeout",
}
