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

// A Hook writes the app's own tables in the transaction that changes a connection,
// so that the two never differ, whatever crashes. See [WithHook].
//
// Write with tx alone, and pass ctx to it. Another connection would not see what the
// transaction has written, and can wait for its locks forever.
//
// The hook may run more than once for one change, because the store repeats what the
// database breaks off, such as a deadlock. Of these runs one is committed, or none.
// So do nothing in a hook that cannot be rolled back: no call over the network, no
// message to a queue outside of the database. It holds locks, so it must be quick.
//
// Return the errors of the statements on tx. An error rolls back the whole
// transaction: nothing has changed, and the store's method returns an error that
// wraps it, unless it is an error of connect's. A panic does the same. In a callback
// the user is asked to try again (503), and the flow stays open. Do not commit tx, and
// roll it back only by an error.
//
// The store has locked its own rows before it calls the hook: first the flow, then
// the user's connections, then tasks. A transaction of the app's that locks a row
// which the hook writes, and then calls a method of the store, waits for itself until
// ctx ends. Call the method first, or outside of the transaction.
//
// It is called concurrently.
type Hook func(ctx context.Context, tx *sql.Tx, change Change) error

// A Change is what happens to a connection.
type Change struct {
	Kind ChangeKind
	// Before is the connection as it was. It is zero if the connection began.
	Before connect.Connection
	// After is the connection as it is. It is zero if the connection ended.
	After connect.Connection
}

// ChangeKind names what happened to a connection.
type ChangeKind string

const (
	// ConnectionBegan: the user has connected one more account.
	ConnectionBegan ChangeKind = "began"
	// ConnectionRenewed: the user has signed in again. The identity may be another one.
	ConnectionRenewed ChangeKind = "renewed"
	// ConnectionChanged: its Health, HealthAt or Label is another one.
	ConnectionChanged ChangeKind = "changed"
	// ConnectionEnded: it was disconnected.
	ConnectionEnded ChangeKind = "ended"
)

// WithHook has [New] call a hook inside the transaction in which a connection begins,
// is renewed, changes or ends. Calls of Complete, SetHealth, SetLabel and Disconnect
// that change nothing do not call it. If a call ends several connections, the hook
// runs once for each.
//
// Every process that uses the tables needs the hook: what one without it changes is
// not told to any. [Schema] and [SchemaSince] ignore it. WithHook panics if hook is nil.
func WithHook(hook Hook) Option {
	if hook == nil {
		panic("sqlstore: WithHook: the hook is nil")
	}
	return func(s *settings) { s.hook = hook }
}

// tell calls the hook, if there is one.
func (s *Store) tell(ctx context.Context, tx *sql.Tx, change Change) (err error) {
	if s.hook == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the hook has panicked: %v\n%s", v, debug.Stack())
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
		// A deadlock rolls back the whole transaction there, and a COMMIT afterwards
		// succeeds. If the hook has ignored it, the savepoint is gone.
		if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT connect_hook"); err != nil {
			return fmt.Errorf("the hook has returned no error, though its transaction has ended: %w", err)
		}
		return nil
	case err == nil:
		return nil
	case slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) }):
		// The hook may have called connect itself. Wrapped, its error would pass for an
		// answer of this store.
		return fmt.Errorf("the hook: %v", err)
	}
	return fmt.Errorf("the hook: %w", err)
}
