package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
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
	for attempt := 1; ; attempt++ {
		err := op()
		switch {
		case err == nil || isAnswer(err):
			return err
		case isTransient(err) && attempt < maxAttempts && time.Since(begun) < patience && wait(ctx, attempt):
		default:
			return failed(ctx, doing, err)
		}
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

// isTransient tells the errors that go away by trying again.
func isTransient(err error) bool {
	if errors.Is(err, errOvertaken) || errors.Is(err, driver.ErrBadConn) { // ErrBadConn: nothing was sent
		return true
	}
	switch codeOf(err) {
	case "40001", "40P01", // PostgreSQL: serialization failure, deadlock
		"mysql 1213", "mysql 1205", // deadlock, lock wait timeout
		"sqlite 5", "sqlite 6": // busy, locked
		return true
	}
	return false
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

// codeOf returns the database's code of an error: PostgreSQL's SQLSTATE, or the
// number of MySQL or SQLite after its name. It knows the drivers' error types by
// their shape alone, since importing one driver would import it into every app.
func codeOf(err error) string {
	var state interface{ SQLState() string } // pgx, lib/pq
	if errors.As(err, &state) {
		return state.SQLState()
	}
	if number, ok := mysqlNumber(err); ok {
		return fmt.Sprint("mysql ", number)
	}
	var code interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &code) {
		return fmt.Sprint("sqlite ", code.Code()&0xff) // without the extension
	}
	return ""
}

// mysqlNumber finds the error of go-sql-driver/mysql, a struct with the server's
// number in a field of its own and no method that tells it.
func mysqlNumber(err error) (uint16, bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.ValueOf(err)
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			continue
		}
		if number := v.FieldByName("Number"); number.Kind() == reflect.Uint16 {
			return uint16(number.Uint()), true
		}
	}
	return 0, false
}
