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

// Connection strings that a host or another language's driver hands out have parameters
// that the drivers of Go do not know: they would send them to the server as settings.
// ParseURL translates those that mean something here, drops those that mean nothing, and
// refuses the others. One about encryption is never dropped.

// plainName is how parameters of other drivers are compared: ssl-mode, ssl_mode and
// sslMode are one.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

const (
	onPool    = "no driver of Go has it: take it out, and limit the pool with db.SetMaxOpenConns and its neighbors"
	onPgxpool = "it is pgxpool's: use pgxpool.New and stdlib.OpenDBFromPool, or take it out"
	onTimeout = "the driver has no such parameter: give each ctx a deadline"
	onTLS     = "it is about encryption, and the driver has no such parameter"
	onMySQL   = onTLS + ": register a tls.Config with mysql.RegisterTLSConfig, and name it in tls="
)

// refusedByBoth are parameters of other drivers that neither driver can follow.
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

// refusedOn are those that one of the drivers knows, and the other cannot follow.
var refusedOn = map[Dialect]map[string]string{
	MySQL: {
		"sslcert":         onMySQL,
		"sslkey":          onMySQL,
		"sslpassword":     onMySQL,
		"sslrootcert":     onMySQL,
		"channelbinding":  onMySQL,
		"schema":          "the database is the path of the URL: take it out",
		"targetsessattrs": "the driver has no such parameter: name the server that takes writes",
	},
	PostgreSQL: {
		"gssencmode":         onTLS,
		"keepalives":         onTimeout,
		"keepalivesidle":     onTimeout,
		"keepalivesinterval": onTimeout,
		"keepalivescount":    onTimeout,
		"tcpusertimeout":     onTimeout,
		"socket":             "PostgreSQL takes the folder of its socket as host=",
		"charset":            "PostgreSQL calls it client_encoding, which must be UTF8: take it out",
	},
}

// meaningless are parameters that change nothing here.
var meaningless = map[Dialect][]string{
	MySQL: {
		"reconnect", "autoreconnect", // ClearDB: database/sql always does
	},
	PostgreSQL: {
		"pgbouncer",        // Prisma, Supabase: it is what default_query_exec_mode=exec is for
		"supa",             // Vercel and Supabase
		"workaround",       // Vercel
		"uselibpqcompat",   // node-postgres: pgx reads sslmode as libpq does
		"binaryparameters", // lib/pq: see pgbouncer
	},
}

func refuseForeign(d Dialect, name string) error {
	plain := plainName(name)
	for _, known := range []map[string]string{refusedByBoth, refusedOn[d]} {
		if why, ok := known[plain]; ok {
			// The name is one of the list, and no part of a password.
			return fmt.Errorf("its parameter %s: %s", plain, why)
		}
	}
	return nil
}

// tlsModes are the driver's tls= on MySQL, from the weakest on, and sslModes the
// sslmode= on PostgreSQL. Of several parameters the strictest counts.
var (
	tlsModes = []string{"false", "preferred", "skip-verify", "true"}
	sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
)

// invalid is for a parameter about encryption, whose value may be a piece of a password.
func invalid(plain string) error { return fmt.Errorf("its parameter %s is invalid", plain) }

// tlsModeOf translates a parameter about encryption for MySQL.
func tlsModeOf(plain, value string) (mode string, ok bool, err error) {
	value = strings.ToLower(value)
	switch plain {
	case "sslmode": // MySQL's own clients, DigitalOcean, Aiven, Azure; PostgreSQL's words too
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
	case "ssl": // Node.js: a boolean, or an object in JSON
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

// sslModeOf translates a parameter about encryption for PostgreSQL.
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

// mysqlURL is what mysqlParameters has read of a URL.
type mysqlURL struct {
	given     map[string]string // the driver's parameters and the variables
	variables map[string]string // the variables, as judgeMySQL takes them
	all       []string          // the parameters for the driver
	tls       int               // the strictest of tlsModes that another driver's parameter asks for, or -1
	socket    string
}

// mysqlParameters checks the parameters of a URL, translates those of other drivers, and
// adds those that the store works best with. Like go-sql-driver/mysql it decodes no name,
// and only some of the values. It also returns the path of a socket, if one takes the
// place of the address.
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
	// The server would report the same, but not before the app connects.
	if err := judgeMySQL(u.variables); err != nil {
		return "", "", err
	}
	if err := u.complete(); err != nil {
		return "", "", err
	}
	return strings.Join(u.all, "&"), u.socket, nil
}

// read checks one parameter and adds it, translated if it is another driver's.
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

// complete adds the parameters that the URL does not give.
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

// A foreignParameter is what one of another driver means to go-sql-driver/mysql.
type foreignParameter struct {
	tls       string // one of tlsModes
	socket    string // the path of a socket, for the address
	parameter string // another parameter, or none
}

// foreignMySQL translates a parameter of another driver. It reports whether it is one.
func foreignMySQL(name, rawValue string) (f foreignParameter, ok bool, err error) {
	if name == "tls" {
		return f, false, nil
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil {
		return f, false, errVariable
	}
	if strings.EqualFold(name, "timezone") { // Node.js. MySQL's variable is time_zone.
		return f, false, errors.New("its parameter timezone: the driver has none, and the store needs none: take it out")
	}
	plain := plainName(name)
	switch plain {
	case "socket", "unixsocket", "socketpath": // Cloud SQL, Prisma, Node.js
		if !strings.HasPrefix(value, "/") || strings.ContainsAny(value, "()?") {
			return f, true, errors.New("its socket is not a path from the root on")
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

// driverParameters are those that go-sql-driver/mysql takes for itself.
var driverParameters = []string{
	"allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords", "allowOldPasswords", "charset",
	"checkConnLiveness", "clientFoundRows", "collation", "columnsWithAlias", "compress", "connectionAttributes", "interpolateParams",
	"loc", "maxAllowedPacket", "multiStatements", "parseTime", "readTimeout", "rejectReadOnly", "serverPubKey", "timeTruncate",
	"timeout", "tls", "writeTimeout",
}
