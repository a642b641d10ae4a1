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
	// maxAttempts is how often an operation is tried that the database breaks
	// off for another's sake. No attempt begins later than patience after the
	// first: a database that has waited for a lock that long itself would only
	// do so again.
	maxAttempts = 10
	patience    = 5 * time.Second
	// firstWait is the longest wait after the first attempt, doubling up to
	// maxWait.
	firstWait = 10 * time.Millisecond
	maxWait   = 250 * time.Millisecond
)

// errOvertaken says that another transaction was faster and that the answer has
// to be found anew.
var errOvertaken = errors.New("overtaken by other transactions")

// do runs op, and again while the database breaks it off for another's sake. op
// must have changed nothing when it returns an error.
func (s *Store) do(ctx context.Context, doing string, op func() error) error {
	begun := time.Now()
	attempt := 1
	stale := -1 // how many connections of the pool may be useless, unknown at first
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
			// After a restart or a failover every connection of the pool fails
			// once. To go on to the next one is no reason to wait.
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

// wait waits before the next attempt, and returns false when ctx ends first.
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

// failed says what could not be done. When ctx has ended that is the cause,
// whatever the driver makes of it.
func failed(ctx context.Context, doing string, err error) error {
	err = withRemedy(err)
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("sqlstore: %s: %w: %w", doing, ended, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", doing, err)
}

// answers are the errors that a store answers "no" with.
var answers = []error{
	connect.ErrStateUnknown, connect.ErrAnotherUser, connect.ErrStateSpent, connect.ErrStateExpired,
	connect.ErrIdentityRetired, connect.ErrIdentityTaken, connect.ErrIdentityTooOld, connect.ErrNotConnected,
	connect.ErrConnectionUnknown, connect.ErrIdentityConnected, connect.ErrConnectionLimit, connect.ErrConnectionChanged,
}

// isAnswer reports whether err is one of them.
func isAnswer(err error) bool { return slices.Contains(answers, err) }

// A reaction is what the store does about an error of the database.
type reaction int

const (
	// giveUp returns the error: it would come again, or nobody knows whether the
	// statement has taken place.
	giveUp reaction = iota
	// tryAgain repeats the operation, on any connection. The database has undone the
	// statement, and the transaction that it was part of is rolled back.
	tryAgain
	// tryElsewhere does the same on another connection, because this one is closed or
	// leads to a server that takes no writes.
	tryElsewhere
)

// reactions are all errors that the store tries again after, by their code in
// codeOf. Each of them says that the statement has changed nothing: an error after
// which a write may have taken place, such as a lost connection, is never among them.
var reactions = map[string]reaction{
	// PostgreSQL rolls the transaction back.
	"40001": tryAgain, // serialization_failure
	"40P01": tryAgain, // deadlock_detected
	"55P03": tryAgain, // lock_not_available: lock_timeout
	// It closes the session and rolls back. None of them is reported once a commit has
	// begun: from then on the connection is closed without a word. A session that was
	// idle reports it in answer to the next statement, which it has not read.
	"57P01": tryElsewhere, // admin_shutdown: a restart, a failover, pg_terminate_backend
	"57P02": tryElsewhere, // crash_shutdown
	"57P05": tryElsewhere, // idle_session_timeout
	"25P03": tryElsewhere, // idle_in_transaction_session_timeout
	// It lets nobody in, and was sent nothing.
	"57P03": tryAgain, // cannot_connect_now: it is starting up or shutting down
	// It refuses the write: after a failover the session is on a replica.
	"25006": tryElsewhere, // read_only_sql_transaction

	// MySQL and MariaDB. What the transaction did before is rolled back with it.
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
	// It closed the session, which was idle, before it read the statement.
	"mysql 4031": tryElsewhere,
	// The node of a Galera cluster is not ready, and has not run the statement.
	"mysql 1047": tryElsewhere,

	// SQLite has not run the statement.
	"sqlite 5":  tryAgain, // busy; also SQLITE_BUSY_SNAPSHOT and SQLITE_BUSY_RECOVERY
	"sqlite 6":  tryAgain, // locked, in a shared cache
	"sqlite 15": tryAgain, // protocol: too many began to use the WAL at one moment
}

// reactionTo returns what to do about an error.
func reactionTo(err error) reaction {
	switch {
	case errors.Is(err, errOvertaken):
		return tryAgain
	case errors.Is(err, driver.ErrBadConn): // Nothing was sent.
		return tryElsewhere
	}
	code := codeOf(err)
	// A migration has changed a column under a prepared statement. pgx forgets the
	// statement by itself. The code alone means any feature that is missing.
	if code == "0A000" && strings.Contains(err.Error(), "cached plan must not change result type") {
		return tryAgain
	}
	return reactions[code]
}

// isDuplicate tells a row that a unique key has refused.
func isDuplicate(err error) bool {
	switch codeOf(err) {
	case "23505", "mysql 1062":
		return true
	}
	return false
}

// isRepeated reports whether a statement of a migration has been run before: its
// column or index exists, or is gone. MySQL has no IF NOT EXISTS for them.
func isRepeated(err error) bool {
	switch codeOf(err) {
	case "mysql 1060", "mysql 1061", "mysql 1091":
		return true
	}
	return false
}

// isUnprepared reports whether a session has another set of prepared statements than
// the driver believes.
func isUnprepared(err error) bool {
	switch codeOf(err) {
	case "42P05", "26000": // It exists already, or does not exist.
		return true
	case "08P01":
		return strings.Contains(err.Error(), "prepared statement")
	}
	return false
}

// withRemedy adds what to do to errors whose cause is far from what they say.
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

// poolerRemedy is for prepared statements that a pooler gives to other sessions.
const poolerRemedy = "a pooler such as PgBouncer in transaction mode seems to stand before the database: with pgx add default_query_exec_mode=exec to the connection string, with lib/pq binary_parameters=yes"

// codeOf returns the database's code of an error: PostgreSQL's SQLSTATE, or the
// number of MySQL or SQLite after its name. It knows the drivers' error types by
// their shape alone, since importing one driver would import it into every app.
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

// sqliteCode drops what extends a result code of SQLite.
func sqliteCode(code int64) string { return fmt.Sprint("sqlite ", code&0xff) }

// codeByShape finds the code in errors that have no method for it, or one with a type
// of the driver's own.
func codeByShape(v reflect.Value) string {
	// github.com/ncruces/go-sqlite3: an *Error, or one of its two kinds of codes alone.
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
