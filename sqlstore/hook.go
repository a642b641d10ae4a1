package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/anchorconnect/connect"
)

// A Hook writes the app's own tables in the transaction that changes a connection, so that
// the two never differ, even after a crash. See [WithHook]. It must be safe for concurrent
// use.
//
// Use only tx and ctx. Another connection does not see what tx has written, and can wait
// for its locks until ctx ends.
//
// A hook may run more than once for a change, because the store retries after errors such
// as a deadlock. At most one run is committed. So do nothing that cannot be rolled back, such
// as a network call or a message to a queue outside of the database. The hook holds locks,
// so it must be fast.
//
// Return the errors of statements on tx. An error or a panic rolls back the transaction,
// and the store's method returns an error that wraps it, unless it is an error of connect.
// In a callback the user is asked to try again (503), and the flow stays pending. Do not
// commit tx or roll it back.
//
// Before it calls the hook, the store locks the flow, then the user's connections, then
// tasks. If a transaction of the app locks a row that the hook writes, and then calls a
// method of the store, it waits for itself until ctx ends. Call the method first, or outside
// of the transaction.
type Hook func(ctx context.Context, tx *sql.Tx, change Change) error

// A Change is a change of a connection.
type Change struct {
	Kind ChangeKind
	// Before is the connection before the change. It is zero if the connection began.
	Before connect.Connection
	// After is the connection after the change. It is zero if the connection ended.
	After connect.Connection
}

// ChangeKind is the kind of a [Change].
type ChangeKind string

const (
	// ConnectionBegan: the user connected one more account.
	ConnectionBegan ChangeKind = "began"
	// ConnectionRenewed: the user signed in again. The identity may differ.
	ConnectionRenewed ChangeKind = "renewed"
	// ConnectionChanged: Health, HealthAt or Label changed.
	ConnectionChanged ChangeKind = "changed"
	// ConnectionEnded: the connection was disconnected.
	ConnectionEnded ChangeKind = "ended"
)

// WithHook makes the store call hook inside the transaction in which a connection begins,
// is renewed, changes or ends. Complete, SetHealth, SetLabel and Disconnect do not call it
// if they change nothing. If a call ends several connections, the hook runs once for each.
//
// Give the hook to every process that uses the tables: a change by a process without it
// runs no hook. [Schema] and [SchemaSince] ignore the option. WithHook panics if hook is
// nil.
func WithHook(hook Hook) Option {
	if hook == nil {
		panic("sqlstore: WithHook: the hook is nil")
	}
	return func(s *settings) { s.hook = hook }
}

// callHook calls the hook, if there is one.
func (s *Store) callHook(ctx context.Context, tx *sql.Tx, change Change) (err error) {
	if s.hook == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the hook panicked: %v\n%s", v, debug.Stack())
		}
	}()
	if s.dialect == MySQL {
		if _, err := tx.ExecContext(ctx, "SAVEPOINT connect_hook"); err != nil {
			return err
		}
	}
	err = s.hook(ctx, tx, change)
	switch {
	case err == nil && s.dialect == MySQL:
		// On MySQL a deadlock rolls back the whole transaction, and a COMMIT then
		// succeeds. The missing savepoint shows that the hook ignored the error.
		if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT connect_hook"); err != nil {
			return fmt.Errorf("the hook returned no error although its transaction has ended: %w", err)
		}
		return nil
	case err == nil:
		return nil
	case slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) }):
		// The hook may have called connect. If wrapped, the error would look like this
		// store's own.
		return fmt.Errorf("the hook: %v", err) //nolint:errorlint // See above.
	}
	return fmt.Errorf("the hook: %w", err)
}
