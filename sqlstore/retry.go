package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

const (
	// maxAttempts is how often an operation is tried. No attempt begins later than
	// patience after the first: a database that has itself waited for a lock that long
	// would only do so again.
	maxAttempts = 10
	patience    = 5 * time.Second
	// firstWait is the longest wait after the first attempt. It doubles up to maxWait.
	firstWait = 10 * time.Millisecond
	maxWait   = 250 * time.Millisecond
)

// errOvertaken is returned by an operation that must begin again because another
// transaction was faster.
var errOvertaken = errors.New("overtaken by other transactions")

// do runs op, and retries it after the errors of reactions. If op returns an error, it must
// have changed nothing.
func (s *Store) do(ctx context.Context, doing string, op func() error) error {
	begun := time.Now()
	attempt := 1
	stale := -1 // how many connections of the pool may be useless; -1 is unknown
	for {
		err := op()
		if err == nil || isAnswer(err) {
			return err
		}
		how := reactionTo(err)
		if how == giveUp || time.Since(begun) >= patience || ctx.Err() != nil {
			return failed(ctx, doing, err)
		}
		if how == tryElsewhere {
			// After a restart or a failover every connection of the pool fails once.
			// Trying the next one needs no wait.
			if stale < 0 {
				stale = s.db.Stats().OpenConnections
			}
			if stale--; stale >= 0 {
				continue
			}
		}
		if attempt == maxAttempts || !wait(ctx, attempt) {
			return failed(ctx, doing, err)
		}
		attempt++
	}
}

// maxOvertaken is how often a call begins again because another call was faster. Each
// time another one has succeeded, so this many calls may race.
const maxOvertaken = 50

// doOver is do for an operation that returns errOvertaken when another call was faster.
func (s *Store) doOver(ctx context.Context, doing string, op func() error) error {
	return s.do(ctx, doing, func() error {
		for n := 1; ; n++ {
			err := op()
			if !errors.Is(err, errOvertaken) || n == maxOvertaken || !wait(ctx, min(n, 3)) {
				return err
			}
		}
	})
}

// wait waits before the next attempt. It returns false if ctx ends first.
func wait(ctx context.Context, attempt int) bool {
	longest := min(firstWait<<(attempt-1), maxWait)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// failed wraps err with what could not be done. If ctx has ended, it also wraps that
// error, which the driver may have hidden.
func failed(ctx context.Context, doing string, err error) error {
	err = withRemedy(err)
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("sqlstore: %s: %w: %w", doing, ended, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", doing, err)
}

// answers are connect's errors, by which a store refuses a call. They are returned as they
// are.
var answers = []error{
	connect.ErrStateUnknown, connect.ErrAnotherUser, connect.ErrStateSpent, connect.ErrStateExpired,
	connect.ErrIdentityRetired, connect.ErrIdentityTaken, connect.ErrIdentityTooOld, connect.ErrNotConnected,
	connect.ErrConnectionUnknown, connect.ErrIdentityConnected, connect.ErrConnectionLimit, connect.ErrConnectionChanged,
}

// isAnswer reports whether err is one of answers.
func isAnswer(err error) bool { return slices.Contains(answers, err) }

// A reaction is what the store does after an error of the database.
type reaction int

const (
	// giveUp returns the error. It would recur, or the statement may have taken effect.
	giveUp reaction = iota
	// tryAgain retries the operation on any connection. The database has undone the
	// statement, and its transaction is rolled back.
	tryAgain
	// tryElsewhere discards the connection and retries on another one. This one is
	// closed, or its server does not accept writes.
	tryElsewhere
)

// reactions are the errors after which the store retries, by their code in codeOf. Each
// means that the statement changed nothing. An error after which a write may have taken
// effect, such as a lost connection, is never among them.
var reactions = map[string]reaction{
	// PostgreSQL rolls the transaction back.
	"40001": tryAgain, // serialization_failure
	"40P01": tryAgain, // deadlock_detected
	"55P03": tryAgain, // lock_not_available: lock_timeout
	// It closes the session and rolls back. It reports none of these once a commit has
	// begun, but only closes the connection. A session that was idle reports it instead
	// of reading the next statement.
	"57P01": tryElsewhere, // admin_shutdown: a restart, a failover, pg_terminate_backend
	"57P02": tryElsewhere, // crash_shutdown
	"57P05": tryElsewhere, // idle_session_timeout
	"25P03": tryElsewhere, // idle_in_transaction_session_timeout
	// It accepts no connections, and was sent nothing.
	"57P03": tryAgain, // cannot_connect_now: it is starting up or shutting down
	// It refuses the write: after a failover the session is on a replica.
	"25006": tryElsewhere, // read_only_sql_transaction

	// MySQL and MariaDB. The whole transaction is rolled back.
	"mysql 1213": tryAgain, // deadlock; on Galera also a conflict with another node
	"mysql 1205": tryAgain, // lock wait timeout
	"mysql 1020": tryAgain, // record changed since last read: MariaDB's innodb_snapshot_isolation
	"mysql 3101": tryAgain, // rolled back during commit: group replication
	"mysql 1412": tryAgain, // table definition has changed
	"mysql 1615": tryAgain, // prepared statement needs to be re-prepared
	// As 25006: a read-only transaction, --read-only, innodb_read_only.
	"mysql 1792": tryElsewhere,
	"mysql 1290": tryElsewhere,
	"mysql 1836": tryElsewhere,
	// It closed the idle session before it read the statement.
	"mysql 4031": tryElsewhere,
	// The node of a Galera cluster is not ready, and has not run the statement.
	"mysql 1047": tryElsewhere,

	// SQLite has not run the statement.
	"sqlite 5":  tryAgain, // busy; also SQLITE_BUSY_SNAPSHOT and SQLITE_BUSY_RECOVERY
	"sqlite 6":  tryAgain, // locked, in a shared cache
	"sqlite 15": tryAgain, // protocol: too many connections opened the WAL at once
}

// reactionTo returns what to do after an error.
func reactionTo(err error) reaction {
	switch {
	case errors.Is(err, errOvertaken):
		return tryAgain
	case errors.Is(err, driver.ErrBadConn): // Nothing was sent.
		return tryElsewhere
	}
	code := codeOf(err)
	// A migration changed a column of a prepared statement, which pgx then discards. The
	// code alone means any missing feature.
	if code == "0A000" && strings.Contains(err.Error(), "cached plan must not change result type") {
		return tryAgain
	}
	return reactions[code]
}

// isDuplicate reports whether a unique key refused a row.
func isDuplicate(err error) bool {
	switch codeOf(err) {
	case "23505", "mysql 1062":
		return true
	}
	return false
}

// isRepeated reports whether a statement of a migration has been run before: the column or
// index exists already, or is dropped already. MySQL has no IF NOT EXISTS for them.
func isRepeated(err error) bool {
	switch codeOf(err) {
	case "mysql 1060", "mysql 1061", "mysql 1091":
		return true
	}
	return false
}

// isUnprepared reports whether the session's prepared statements are not those that the
// driver expects.
func isUnprepared(err error) bool {
	switch codeOf(err) {
	case "42P05", "26000": // The statement exists already, or does not exist.
		return true
	case "08P01":
		return strings.Contains(err.Error(), "prepared statement")
	}
	return false
}

// withRemedy adds a remedy to errors that do not name their cause.
func withRemedy(err error) error {
	remedy := ""
	switch {
	case isUnprepared(err):
		remedy = poolerRemedy
	case strings.Contains(err.Error(), "unsupported startup parameter"):
		remedy = "PgBouncer refuses this parameter of the connection string: set it with ALTER ROLE … SET, or name it in ignore_startup_parameters"
	}
	if remedy == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, remedy)
}

// poolerRemedy is for prepared statements that are lost behind a pooler.
const poolerRemedy = "there seems to be a pooler such as PgBouncer in transaction mode in front of the database: with pgx add default_query_exec_mode=exec to the connection string, with lib/pq binary_parameters=yes"

// codeOf returns the database's code of an error: PostgreSQL's SQLSTATE, or "mysql" or
// "sqlite" and the number. It recognizes the drivers' error types by their shape, because
// importing a driver would add it to every app.
func codeOf(err error) string {
	var state interface{ SQLState() string } // pgx, lib/pq
	if errors.As(err, &state) {
		return state.SQLState()
	}
	var code interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &code) {
		return sqliteCode(int64(code.Code()))
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if code := codeByShape(reflect.ValueOf(err)); code != "" {
			return code
		}
	}
	return ""
}

// sqliteCode reduces an extended result code of SQLite to its primary one.
func sqliteCode(code int64) string { return fmt.Sprint("sqlite ", code&0xff) }

// codeByShape returns the code of errors that have no method for it, or a method whose
// result has a type of the driver's.
func codeByShape(v reflect.Value) string {
	// github.com/ncruces/go-sqlite3: an *Error, or one of its two types of codes.
	if v.MethodByName("Temporary").IsValid() {
		if v.Kind() == reflect.Uint8 || v.Kind() == reflect.Uint16 {
			return sqliteCode(int64(v.Uint()))
		}
		method := v.MethodByName("Code")
		if method.IsValid() && method.Type().NumIn() == 0 && method.Type().NumOut() == 1 && method.Type().Out(0).Kind() == reflect.Uint8 &&
			!(v.Kind() == reflect.Pointer && v.IsNil()) {
			return sqliteCode(int64(method.Call(nil)[0].Uint()))
		}
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return ""
	}
	// github.com/go-sql-driver/mysql
	if number := v.FieldByName("Number"); number.Kind() == reflect.Uint16 {
		return fmt.Sprint("mysql ", number.Uint())
	}
	// github.com/mattn/go-sqlite3
	if code, extended := v.FieldByName("Code"), v.FieldByName("ExtendedCode"); code.Kind() == reflect.Int && extended.Kind() == reflect.Int {
		return sqliteCode(code.Int())
	}
	return ""
}
