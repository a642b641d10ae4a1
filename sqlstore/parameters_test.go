package sqlstore

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Connection strings of hosts and of other languages' drivers.
func TestParseURLTranslates(t *testing.T) {
	t.Parallel()
	const mysqlRest = "&charset=utf8mb4&interpolateParams=true"
	for url, want := range map[string]string{
		// PlanetScale
		`mysql://u:pscale_pw_x@aws.connect.psdb.cloud/app?sslaccept=strict`:                "u:pscale_pw_x@tcp(aws.connect.psdb.cloud:3306)/app?tls=true&charset=utf8mb4&interpolateParams=true",
		`mysql://u:p@aws.connect.psdb.cloud/app?ssl={"rejectUnauthorized":true}`:           "tls=true",
		`mysql://u:p@aws.connect.psdb.cloud/app?ssl=%7B%22rejectUnauthorized%22%3Atrue%7D`: "tls=true",
		`mysql://u:p@h/app?ssl={"rejectUnauthorized":false}`:                               "tls=skip-verify",
		`mysql://u:p@h/app?ssl={}`:                          "tls=true",
		`mysql://u:p@h/app?tls=true&interpolateParams=true`: "tls=true",
		`mysql://u:p@h/app?ssl=true`:                        "tls=true",
		`mysql://u:p@h/app?ssl=false`:                       "tls=false",
		`mysql://doadmin:p@db-mysql.b.db.ondigitalocean.com:25060/defaultdb?ssl-mode=REQUIRED`:                  "tls=skip-verify", // DigitalOcean, Aiven
		`mysql://u%40server:p@server.mysql.database.azure.com:3306/app?ssl-mode=VERIFY_IDENTITY`:                "tls=true",
		`mysql://u:p@h/app?ssl-mode=VERIFY_CA`:                                                                  "tls=true",
		`mysql://u:p@h/app?sslMode=PREFERRED`:                                                                   "tls=preferred",
		`mysql://u:p@h/app?ssl_mode=disabled`:                                                                   "tls=false",
		`mysql://u:p@h/app?sslmode=require`:                                                                     "tls=skip-verify",
		`mysql://u:p@h/app?sslmode=verify-full`:                                                                 "tls=true",
		`mysql://u:p@h/app?ssl-mode=REQUIRED&sslaccept=strict`:                                                  "tls=true", // the strictest
		`mysql://u:p@h/app?sslaccept=strict&ssl-mode=DISABLED`:                                                  "tls=true",
		`mysql://b0:p@us-cdbr-east-06.cleardb.net/heroku_1?reconnect=true`:                                      "b0:p@tcp(us-cdbr-east-06.cleardb.net:3306)/heroku_1?charset=utf8mb4&interpolateParams=true",
		`mysql://u:p@localhost/app?socket=/cloudsql/project:region:instance`:                                    "u:p@unix(/cloudsql/project:region:instance)/app?charset=utf8mb4&interpolateParams=true",
		`mysql://u:p@/app?unix_socket=/cloudsql/p:r:i`:                                                          "u:p@unix(/cloudsql/p:r:i)/app?",
		`mysql://u:p@localhost/app?socketPath=%2Fvar%2Frun%2Fmysqld%2Fmysqld.sock`:                              "unix(/var/run/mysqld/mysqld.sock)/app?",
		`mysql://u:p@h/app?connect_timeout=15`:                                                                  "timeout=15s",
		`mysql://u:p@h/app?connectTimeout=10000`:                                                                "timeout=10000ms",
		`mysql://u:p@h/app?connect_timeout=0`:                                                                   "u:p@tcp(h:3306)/app?charset=utf8mb4&interpolateParams=true",
		`mysql://u:p@h/app?wsrep_sync_wait=3`:                                                                   "wsrep_sync_wait=3" + mysqlRest,
		`postgresql://doadmin:p@db.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require`:                     "sslmode=require&default_query_exec_mode=exec",
		`postgresql://u:p@ep-x-pooler.eu.aws.neon.tech/app?sslmode=require&channel_binding=require`:             "channel_binding=require&sslmode=require&default_query_exec_mode=exec",
		`postgresql://u:p@ep-x.neon.tech/app?options=endpoint%3Dep-x&sslmode=require`:                           "options=endpoint%3Dep-x&sslmode=require&",
		`postgres://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true`:                   "postgres://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?default_query_exec_mode=exec",
		`postgres://u:p@h:6543/postgres?sslmode=require&supa=base-pooler.x`:                                     "postgres?sslmode=require&default_query_exec_mode=exec",
		`postgres://u:p@h/app?pgbouncer=true&connect_timeout=15&sslmode=require`:                                "connect_timeout=15&sslmode=require&",
		`postgresql://u:p@h/app?schema=tenant`:                                                                  "search_path=tenant&",
		`postgres://u:p@h/app?ssl=true`:                                                                         "sslmode=verify-full&",
		`postgres://u:p@h/app?ssl=0`:                                                                            "sslmode=disable&",
		`postgres://u:p@h/app?ssl=require`:                                                                      "sslmode=require&",
		`postgres://u:p@h/app?sslmode=no-verify`:                                                                "sslmode=require&",
		`postgres://u:p@h/app?sslmode=disable&ssl=true`:                                                         "sslmode=verify-full&",
		`postgres://u:p@h/app?sslmode=require&sslaccept=strict`:                                                 "sslmode=verify-full&",
		`postgres://u:p@h/app?sslmode=require&sslaccept=accept_invalid_certs`:                                   "sslmode=require&",
		`postgres://u:p@h/app?sslmode=require&uselibpqcompat=true`:                                              "?sslmode=require&",
		`postgres://u:p@h/app?binary_parameters=yes`:                                                            "app?default_query_exec_mode=exec",
		`postgres://u:p@/app?host=/cloudsql/project:region:instance`:                                            "host=/cloudsql/project:region:instance&",
		`postgres://u:p@h1:5432,h2:5433/app?target_session_attrs=read-write`:                                    "h1:5432,h2:5433/app?target_session_attrs=read-write&",
		`postgres://u:p@h/app?application_name=a&statement_timeout=5000&default_query_exec_mode=cache_describe`: "application_name=a&statement_timeout=5000&default_query_exec_mode=cache_describe",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			driver, dsn, _, err := ParseURL(url)
			require.NoError(t, err)
			require.Contains(t, dsn+"&", want)
			if driver == "mysql" {
				_, err = mysql.ParseDSN(dsn)
			} else {
				_, err = pgx.ParseConfig(dsn)
			}
			require.NoError(t, err, "the driver takes it")
		})
	}
}

func TestParseURLRefusesParameters(t *testing.T) {
	t.Parallel()
	for parameters, says := range map[string]string{
		"mysql ssl-ca=/secret.pem":                           "its parameter sslca: it is about encryption",
		"mysql sslcert=/secret.pem":                          "register a tls.Config with mysql.RegisterTLSConfig",
		"mysql sslidentity=secret.p12":                       "its parameter sslidentity",
		"mysql ssl=Amazon+RDS":                               " is invalid",
		`mysql ssl={"ca":"secret"}`:                          " is invalid",
		`mysql ssl={"rejectUnauthorized":"no"}`:              " is invalid",
		"mysql ssl-mode=secret":                              " is invalid",
		"mysql sslaccept=secret":                             " is invalid",
		"mysql sslaccept=strict&tls=custom":                  "another parameter about encryption",
		"mysql tls=true&tls=false":                           "one parameter twice",
		"mysql useSSL=true":                                  "its parameter usessl",
		"mysql allowPublicKeyRetrieval=true":                 "its parameter allowpublickeyretrieval",
		"mysql connection_limit=5":                           "limit the pool with db.SetMaxOpenConns",
		"mysql pool_timeout=5":                               "limit the pool with db.SetMaxOpenConns",
		"mysql socket_timeout=5":                             "give each ctx a deadline",
		"mysql timezone=Z":                                   "its parameter timezone",
		"mysql schema=secret":                                "the path of the URL names the database",
		"mysql dateStrings=true":                             "neither the driver's nor a variable",
		"mysql socket=secret":                                "not an absolute path",
		"mysql connect_timeout=secret":                       "not a number of seconds",
		"mysql autocommit=0":                                 "has autocommit = 0",
		"mysql AUTOCOMMIT=OFF":                               "has autocommit = 0",
		"mysql autocommit=%27off%27":                         "has autocommit = 0",
		"mysql completion_type=1":                            "has completion_type = 1",
		"mysql unique_checks=0":                              "has unique_checks = 0",
		"mysql sql_select_limit=5":                           "has sql_select_limit = 5",
		"mysql sql_mode=%27ANSI,EMPTY_STRING_IS_NULL%27":     "sql_mode EMPTY_STRING_IS_NULL",
		"mysql transaction_isolation=%27READ-UNCOMMITTED%27": "READ UNCOMMITTED",
		"postgres sslmode=secret":                            " is invalid",
		"postgres ssl=secret":                                " is invalid",
		"postgres sslmode=require&sslmode=disable":           "one parameter twice",
		"postgres ssl_min_protocol_version=TLSv1.3":          "its parameter sslminprotocolversion: it is about encryption",
		"postgres sslcrl=/secret":                            "its parameter sslcrl",
		"postgres sslidentity=/secret":                       "its parameter sslidentity",
		"postgres gssencmode=require":                        "its parameter gssencmode",
		"postgres connection_limit=1":                        "limit the pool with db.SetMaxOpenConns",
		"postgres pool_max_conns=10":                         "it is for pgxpool",
		"postgres keepalives_idle=10":                        "give each ctx a deadline",
		"postgres default_query_exec_mode=describe_exec":     "use exec or cache_describe",
		"postgres x=%zz":                                     "parameters cannot be read",
		"file immutable=1":                                   "damage the file",
		"file nolock=1":                                      "damage the file",
		"file mode=ro":                                       "nothing can be written",
	} {
		t.Run(parameters, func(t *testing.T) {
			t.Parallel()
			scheme, parameters, _ := strings.Cut(parameters, " ")
			url := scheme + "://u:hunter2@h/app?" + parameters
			if scheme == "file" {
				url = "file:app.db?" + parameters
			}
			_, dsn, _, err := ParseURL(url)
			require.ErrorContains(t, err, says)
			require.Empty(t, dsn)
			for _, part := range []string{"hunter2", "secret", "\n"} {
				require.NotContains(t, err.Error(), part)
			}
		})
	}
}

// The drivers interpret the translated parameters as intended.
func TestParseURLEncryption(t *testing.T) {
	t.Parallel()
	config := func(parameters string) *tls.Config {
		_, dsn, _, err := ParseURL("postgres://u@h/app?" + parameters)
		require.NoError(t, err)
		c, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		return c.TLSConfig
	}
	require.Nil(t, config("ssl=false"))
	require.True(t, config("sslmode=no-verify").InsecureSkipVerify)
	require.False(t, config("ssl=true").InsecureSkipVerify)
	require.Equal(t, "h", config("ssl=true").ServerName)

	for parameters, verifies := range map[string]bool{"sslaccept=strict": true, "ssl-mode=REQUIRED": false} {
		_, dsn, _, err := ParseURL("mysql://u@h/app?connect_timeout=7&" + parameters)
		require.NoError(t, err)
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		require.Equal(t, verifies, !c.TLS.InsecureSkipVerify)
		require.False(t, c.AllowFallbackToPlaintext)
		require.Equal(t, 7*time.Second, c.Timeout)
	}
}
