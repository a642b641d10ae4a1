package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// Another transaction changes the rows that a call has read, while the call waits for a
// lock. On SQLite the other transaction always comes first as a whole.
func TestCompleteOvertaken(t *testing.T) {
	t.Parallel()

	const (
		lockAnnasFlow = "UPDATE connect_pending SET return_to = '/locked' WHERE token_hash = 'annas'"
		lockAnna      = "UPDATE connect_connections SET connected_at = connected_at - 1 WHERE user_id = 'anna'"
	)
	for _, row := range []struct {
		name string
		// before creates the rows besides anna's flow. It may be nil.
		before func(t *testing.T, s *Store)
		// locked is what the other transaction sends before the call, and commits
		// during it. then runs while the call waits.
		locked []string
		then   func(t *testing.T, s *Store)
		// identity and how are the arguments of Complete. A zero how means tagged.
		identity string
		how      connect.Completion
		// flow changes anna's flow. It may be nil.
		flow  func(p *connect.Pending)
		want  error
		after func(t *testing.T, s *Store)
	}{
		{
			name:     "by a disconnect that retires the identity, before the flow is spent",
			locked:   []string{lockAnnasFlow},
			then:     func(t *testing.T, s *Store) { connected(t, s, "ben", "1"); disconnect(t, s, "ben") },
			identity: "1",
			want:     connect.ErrIdentityRetired,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s, deletion("ben", "1")) },
		},
		{
			name:     "by a deletion that is queued at the same time",
			locked:   []string{"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'ben', 0, 0)"},
			identity: "1",
			want:     connect.ErrIdentityRetired,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s, deletion("ben", "1")) },
		},
		{
			name:     "by a deletion that is queued at the same time, when it is to replace a connection",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'ben', 0, 0)"},
			identity: "1",
			want:     connect.ErrIdentityRetired,
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "0")
				requireTasks(t, s, deletion("ben", "1"))
			},
		},
		{
			name:   "by the user's other tabs, which retire the identity",
			locked: []string{lockAnnasFlow},
			then: func(t *testing.T, s *Store) {
				connected(t, s, "anna", "1")
				connected(t, s, "anna", "2")
			},
			identity: "1",
			want:     connect.ErrIdentityRetired,
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "1"))
			},
		},
		{
			name:     "by another user with the same identity, before the flow is spent",
			locked:   []string{lockAnnasFlow},
			then:     func(t *testing.T, s *Store) { connected(t, s, "ben", "1") },
			identity: "1",
			want:     connect.ErrIdentityTaken,
			after:    func(t *testing.T, s *Store) { requireConnection(t, s, "ben", "1"); requireTasks(t, s) },
		},
		{
			name: "by another user with the same identity, whose tag is due",
			locked: []string{
				insertOlder("ben", "1"),
				"INSERT INTO connect_tasks VALUES ('1', 'tag', 'application', 'ben', 7, 3)",
			},
			identity: "1",
			want:     connect.ErrIdentityTaken,
			after: func(t *testing.T, s *Store) {
				tagOfBen := tag("ben", "1")
				tagOfBen.Attempts = 4
				requireTasks(t, s, tagOfBen)
			},
		},
		{
			name:     "by another user with the same identity, at the last moment",
			locked:   []string{insertOlder("ben", "1")},
			identity: "1",
			want:     connect.ErrIdentityTaken,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s) },
		},
		{
			name:     "by another user with the same identity, when it is to replace one",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{insertOlder("ben", "1")},
			identity: "1",
			want:     connect.ErrIdentityTaken,
			after:    func(t *testing.T, s *Store) { requireConnection(t, s, "anna", "0"); requireTasks(t, s) },
		},
		{
			name:     "by the user's other tab, before the flow is spent",
			locked:   []string{lockAnnasFlow},
			then:     func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			identity: "2",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, at the last moment",
			locked:   []string{insertOlder("anna", "1")},
			identity: "2",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, before the flow is spent, when both replace a connection",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{lockAnnasFlow},
			then:     func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			identity: "2",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "0"), deletion("anna", "1"), tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, at the last moment, when both replace a connection",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{"UPDATE connect_connections SET identity_id = '1' WHERE user_id = 'anna'"},
			identity: "2",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				// The other transaction has not queued the deletion of 0.
				requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, with the same identity",
			locked:   []string{insertOlder("anna", "1")},
			identity: "1",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "1")
				requireTasks(t, s, tag("anna", "1"))
			},
		},
		{
			name:     "by the same return, which has stored just the same",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked:   []string{lockAnnasFlow},
			then:     func(t *testing.T, s *Store) {},
			identity: "1",
			after:    func(t *testing.T, s *Store) { requireTasks(t, s, tag("anna", "1")) },
		},
		{
			name:     "by the end of the flow",
			locked:   []string{"UPDATE connect_pending SET spent = TRUE WHERE token_hash = 'annas'"},
			identity: "1",
			want:     connect.ErrStateSpent,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s) },
		},
		{
			name:     "by the sweeping of the flow",
			locked:   []string{"DELETE FROM connect_pending WHERE token_hash = 'annas'"},
			identity: "1",
			want:     connect.ErrStateUnknown,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s) },
		},
		{
			name:   "by the end of the connection that it is to replace",
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked: []string{
				"DELETE FROM connect_connections WHERE user_id = 'anna'",
				"INSERT INTO connect_tasks VALUES ('0', 'delete', 'application', 'anna', 0, 0)",
			},
			identity: "1",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "1")
				requireTasks(t, s, deletion("anna", "0"), tag("anna", "1"))
			},
		},
		{
			name:     "by the user's other tab, which replaces the identity that has to be the user's",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked:   []string{"UPDATE connect_connections SET identity_id = '2' WHERE user_id = 'anna'"},
			identity: "1",
			how:      same,
			want:     connect.ErrIdentityTooOld,
			after:    func(t *testing.T, s *Store) { requireConnection(t, s, "anna", "2"); requireTasks(t, s) },
		},
		{
			name:   "by the user's other tab, which replaces that identity and queues its deletion",
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked: []string{
				"UPDATE connect_connections SET identity_id = '2' WHERE user_id = 'anna'",
				"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'anna', 0, 0)",
			},
			identity: "1",
			how:      same,
			want:     connect.ErrIdentityRetired,
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "1"))
			},
		},
		{
			name:   "by the user's other tab, which replaces that identity before the flow is spent, and its deletion is done",
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked: []string{lockAnnasFlow},
			then: func(t *testing.T, s *Store) {
				connected(t, s, "anna", "2")
				require.NoError(t, s.Done(t.Context(), deletion("anna", "1")))
			},
			identity: "1",
			how:      same,
			want:     connect.ErrIdentityTooOld,
			after:    func(t *testing.T, s *Store) { requireConnection(t, s, "anna", "2"); requireTasks(t, s) },
		},
		{
			name:   "by the user's other tab, which replaces that identity before the flow is spent, and its deletion is queued",
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked: []string{lockAnnasFlow},
			then:   func(t *testing.T, s *Store) { connected(t, s, "anna", "2") },

			identity: "1",
			how:      same,
			want:     connect.ErrIdentityRetired,
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "2")
				requireTasks(t, s, deletion("anna", "1"))
			},
		},
		{
			name:     "by the end of the connection whose identity has to be the user's",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked:   []string{"DELETE FROM connect_connections WHERE user_id = 'anna'"},
			identity: "1",
			how:      same,
			want:     connect.ErrIdentityTooOld,
			after:    func(t *testing.T, s *Store) { requireConnection(t, s, "anna", ""); requireTasks(t, s) },
		},
		{
			name:   "by the end of that connection, and another one with that identity",
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked: []string{
				"DELETE FROM connect_connections WHERE user_id = 'anna'",
				insertOlder("anna", "1"),
			},
			identity: "1",
			how:      same,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s, tag("anna", "1")) },
		},
		{
			name:     "by the user's other tab, which adds the last connection allowed, when this one adds too",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{insertInSlot("anna", "1", 1)},
			identity: "2",
			how:      connect.Completion{TagAfter: tagDue, MaxConnections: 2},
			flow:     func(p *connect.Pending) { p.Adds = true },
			want:     connect.ErrConnectionLimit,
			after:    func(t *testing.T, s *Store) { requireSlots(t, s, "anna", 0, 1); requireTasks(t, s) },
		},
		{
			name:     "by the user's other tab, which adds a connection, when this one adds too",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{insertInSlot("anna", "1", 1)},
			identity: "2",
			how:      connect.Completion{TagAfter: tagDue, MaxConnections: 3},
			flow:     func(p *connect.Pending) { p.Adds = true },
			after: func(t *testing.T, s *Store) {
				requireSlots(t, s, "anna", 0, 1, 2)
				requireTasks(t, s, tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, which makes the first connection, when this one adds too",
			locked:   []string{insertInSlot("anna", "1", 0)},
			identity: "2",
			how:      connect.Completion{TagAfter: tagDue, MaxConnections: 2},
			flow:     func(p *connect.Pending) { p.Adds = true },
			after: func(t *testing.T, s *Store) {
				requireSlots(t, s, "anna", 0, 1)
				requireTasks(t, s, tag("anna", "2"))
			},
		},
		{
			name:     "by the user's other tab, which adds the same identity, when this one adds too",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{insertInSlot("anna", "1", 1)},
			identity: "1",
			how:      connect.Completion{TagAfter: tagDue, MaxConnections: 2},
			flow:     func(p *connect.Pending) { p.Adds = true },
			after: func(t *testing.T, s *Store) {
				requireSlots(t, s, "anna", 0, 1)
				requireTasks(t, s, tag("anna", "1"))
			},
		},
		{
			name:     "by the end of the connection that the flow names",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{"DELETE FROM connect_connections WHERE user_id = 'anna'"},
			identity: "1",
			flow:     func(p *connect.Pending) { p.ConnectionID = idOf("anna", "0") },
			want:     connect.ErrConnectionUnknown,
			after:    func(t *testing.T, s *Store) { requireSlots(t, s, "anna"); requireTasks(t, s) },
		},
		{
			name:     "by the user's other tab, which gives another connection the identity, when the flow names one",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{insertInSlot("anna", "1", 1)},
			identity: "1",
			flow:     func(p *connect.Pending) { p.ConnectionID = idOf("anna", "0") },
			want:     connect.ErrIdentityConnected,
			after:    func(t *testing.T, s *Store) { requireSlots(t, s, "anna", 0, 1); requireTasks(t, s) },
		},
		{
			name: "by the end of one of two connections, when the flow is for the only one",
			before: func(t *testing.T, s *Store) {
				connected(t, s, "anna", "0")
				beside(t, s, "anna", "1")
			},
			locked:   []string{"DELETE FROM connect_connections WHERE identity_id = '0'"},
			identity: "2",
			after: func(t *testing.T, s *Store) {
				requireSlots(t, s, "anna", 1)
				requireTasks(t, s, deletion("anna", "1"), tag("anna", "2"))
			},
		},
		{
			name: "by the end of one of two connections, when this one adds",
			before: func(t *testing.T, s *Store) {
				connected(t, s, "anna", "0")
				beside(t, s, "anna", "1")
			},
			locked:   []string{"DELETE FROM connect_connections WHERE identity_id = '0'"},
			identity: "2",
			how:      connect.Completion{TagAfter: tagDue, MaxConnections: 2},
			flow:     func(p *connect.Pending) { p.Adds = true },
			after: func(t *testing.T, s *Store) {
				requireSlots(t, s, "anna", 0, 1)
				requireTasks(t, s, tag("anna", "2"))
			},
		},
		{
			name:     "by nothing that matters to the identity that has to be the user's",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			locked:   []string{lockAnna},
			identity: "1",
			how:      same,
			after:    func(t *testing.T, s *Store) { requireTasks(t, s, tag("anna", "1")) },
		},
		{
			name:     "by nothing that matters to the connection that it replaces",
			before:   func(t *testing.T, s *Store) { connected(t, s, "anna", "0") },
			locked:   []string{lockAnna},
			identity: "1",
			after: func(t *testing.T, s *Store) {
				requireConnection(t, s, "anna", "1")
				requireTasks(t, s, deletion("anna", "0"), tag("anna", "1"))
			},
		},
	} {
		for name, options := range hooked {
			t.Run("a return is overtaken "+row.name+", "+name, func(t *testing.T) {
				t.Parallel()
				on := onEach
				if row.then != nil {
					on = onServers // SQLite has one writer at a time.
				}
				on(t, func(t *testing.T, d *database) {
					s := d.migrated(t, options...)
					if s.sql.dropIndexOne != "" {
						_, err := s.db.Exec(s.sql.dropIndexOne)
						require.NoError(t, err)
					}
					if row.before != nil {
						row.before(t, s)
					}
					annas := flow("anna", "annas")
					if row.flow != nil {
						row.flow(&annas)
					}
					bind(t, s, annas)
					var done connect.Completed
					var err error
					complete := func() {
						how := cmp.Or(row.how, tagged)
						done, err = s.Complete(t.Context(), annas.TokenHash, connection("anna", row.identity), how)
					}
					meanwhileThen(t, s, complete, func() {
						if row.then != nil {
							row.then(t, s)
						}
					}, row.locked...)

					require.ErrorIs(t, err, row.want)
					require.Equal(t, row.want == nil, done.First)
					if row.want == nil && row.flow == nil {
						requireConnection(t, s, "anna", row.identity)
					}
					row.after(t, s)
				})
			})
		}
	}
}

// Another call runs before each step of a call. If it waits for a lock, the first call goes
// on meanwhile. In any order of their steps, no connection outlives a Disconnect that came
// after its flow began.
func TestDisconnectIsOutlivedByNoConnection(t *testing.T) {
	t.Parallel()
	type call func(ctx context.Context, s *Store) error
	disconnect := func(ctx context.Context, s *Store) error {
		_, err := s.Disconnect(ctx, connect.Disconnection{ApplicationID: application, UserID: "anna", At: noon, DeleteAfter: deleteDue})
		return err
	}
	bind := func(ctx context.Context, s *Store) error { return s.Bind(ctx, flow("anna", "annas"), plenty) }
	complete := func(ctx context.Context, s *Store) error {
		_, err := s.Complete(ctx, "annas", connection("anna", "1"), tagged)
		return err
	}
	both := func(ctx context.Context, s *Store) error { return errors.Join(bind(ctx, s), complete(ctx, s)) }
	nothing := func(context.Context, *Store) error { return nil }
	// disconnectOne ends the only connection, and spends the flow that could renew it.
	disconnectOne := func(ctx context.Context, s *Store) error {
		d := all("anna")
		d.ConnectionID = idOf("anna", "0")
		_, err := s.Disconnect(ctx, d)
		return err
	}

	for name, row := range map[string]struct {
		before, call, other, after call
	}{
		"Disconnect of one beside Complete": {bind, complete, disconnectOne, nothing},
		"Complete beside Disconnect of one": {bind, disconnectOne, complete, nothing},

		"Disconnect beside Bind and Complete": {nothing, both, disconnect, nothing},
		"Disconnect beside Bind":              {nothing, bind, disconnect, complete},
		"Disconnect beside Complete":          {bind, complete, disconnect, nothing},
		"Bind and Complete beside Disconnect": {nothing, disconnect, both, nothing},
		"Bind beside Disconnect":              {nothing, disconnect, bind, complete},
		"Complete beside Disconnect":          {bind, disconnect, complete, nothing},
	} {
		for old, options := range map[string][]Option{"": nil, "0": nil, "0 ": {WithHook(idle)}} {
			if old == "" && strings.Contains(name, "of one") {
				continue // there is none to disconnect
			}
			t.Run(fmt.Sprintf("%s, the user connected with %q", name, old), func(t *testing.T) {
				t.Parallel()
				old := strings.TrimSuffix(old, " ")
				onEach(t, func(t *testing.T, d *database) {
					databaseURL := d.url(t)
					db, w := watchedAt(t, databaseURL)
					s := d.emptyIn(t, db, options...)
					besides := New(d.open(t, databaseURL), d.dialect, WithTablePrefix(s.prefix))
					require.NoError(t, besides.Migrate(t.Context()))
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()

					for step, more := 0, true; more; step++ {
						empty(t, besides)
						if old != "" {
							connected(t, besides, "anna", old)
						}
						require.NoError(t, row.before(ctx, besides))
						var err, other error
						err, other, more = overtakenAt(w, step,
							func() error { return row.call(ctx, s) }, func() error { return row.other(ctx, besides) })
						err = errors.Join(err, other, row.after(ctx, besides))
						requireOnly(t, err, connect.ErrStateSpent)
						requireConnection(t, besides, "anna", "")
						require.Zero(t, scalar[int](t, besides.db, prefixed(s, "SELECT COUNT(*) FROM connect_tasks WHERE kind <> 'delete'")))
					}
				})
			})
		}
	}

	// On MySQL the statement that finds the flow may have looked for a Disconnect before
	// the flow was bound. A later statement looks again.
	t.Run("Disconnect when Complete has looked for one, on MySQL", func(t *testing.T) {
		t.Parallel()
		d := on(t, MySQL)
		db, w := watched(t, d)
		s := d.emptyIn(t, db)
		besides := d.emptyIn(t, d.open(t, d.url(t)), WithTablePrefix(s.prefix))
		require.NoError(t, s.Migrate(t.Context()))
		require.NoError(t, bind(t.Context(), s))
		w.setBefore(func(sending string) error {
			if sending != s.sql.facts {
				return nil
			}
			_, err := besides.write(t.Context(), besides.sql.recordDisconnect, application, "anna", micros(noon))
			return err
		})
		require.ErrorIs(t, complete(t.Context(), s), connect.ErrStateSpent)
		w.setBefore(nil)
		requireConnection(t, s, "anna", "")
		requireTasks(t, s)
	})
}

// overtakenAt runs a call, and another one before its step. If the other one waits for a
// lock, the call goes on meanwhile. If the call has no such step, the other one runs after it,
// and there are no more steps.
func overtakenAt(w *traffic, step int, call, other func() error) (err, otherErr error, more bool) {
	errs := make(chan error, 1)
	sending := 0
	w.setBefore(func(string) error {
		if sending++; sending == step+1 {
			over := make(chan struct{})
			go func() {
				defer close(over)
				errs <- other()
			}()
			select {
			case <-over:
			case <-time.After(50 * time.Millisecond):
			}
		}
		return nil
	})
	err = call()
	w.setBefore(nil)
	if sending > step {
		return err, <-errs, true
	}
	return err, other(), false
}

// requireOnly requires that an error has no other causes than those allowed.
func requireOnly(t *testing.T, err error, allowed ...error) {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			requireOnly(t, err, allowed...)
		}
		return
	}
	if !slices.ContainsFunc(allowed, func(want error) bool { return errors.Is(err, want) }) {
		require.NoError(t, err)
	}
}

// Disconnect locks flows, then the connection, then tasks. A Complete with another order
// could deadlock with it.
func TestCompleteLocksAsDisconnectDoes(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]connect.Completion{"any identity": tagged, "the user's identity": same} {
		t.Run("Complete with "+name+" waits for the connection before it queues a task, on PostgreSQL", func(t *testing.T) {
			t.Parallel()
			s := on(t, PostgreSQL).migrated(t)
			connected(t, s, "anna", "1")
			bind(t, s, flow("anna", "annas"))
			meanwhileThen(t, s, func() {
				done, err := s.Complete(t.Context(), "annas", connection("anna", "1"), how)
				require.NoError(t, err)
				require.True(t, done.First)
			}, func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := s.db.ExecContext(ctx, prefixed(s, "INSERT INTO connect_tasks VALUES ('1', 'tag', 'application', 'anna', 0, 0)"))
				require.NoError(t, err)
			}, "UPDATE connect_connections SET connected_at = 1 WHERE user_id = 'anna'")
			requireTasks(t, s, tag("anna", "1"))
		})
	}
}

// A user's connections are locked in the order of slots. On PostgreSQL their physical order
// differs once one of them was changed.
func TestDisconnectAndCompleteLockConnectionsBySlot(t *testing.T) {
	t.Parallel()
	adding := flow("anna", "adding")
	adding.Adds = true
	how := connect.Completion{TagAfter: tagDue, MaxConnections: 3}
	for name, call := range map[string]func(ctx context.Context, s *Store) error{
		"Disconnect": func(ctx context.Context, s *Store) error { _, err := s.Disconnect(ctx, all("anna")); return err },
		"Complete": func(ctx context.Context, s *Store) error {
			_, err := s.Complete(ctx, adding.TokenHash, connection("anna", "3"), how)
			return err
		},
	} {
		for hookName, options := range hooked {
			t.Run(name+" "+hookName, func(t *testing.T) {
				t.Parallel()
				onServers(t, func(t *testing.T, d *database) {
					databaseURL := d.url(t)
					if d.dialect == PostgreSQL { // As it chooses for few rows, and for many at times.
						databaseURL = withParameters(databaseURL, "enable_indexscan=off&enable_bitmapscan=off")
					}
					s := d.emptyIn(t, d.open(t, databaseURL), options...)
					require.NoError(t, s.Migrate(t.Context()))
					connected(t, s, "anna", "1")
					beside(t, s, "anna", "2")
					bind(t, s, adding)
					_, err := s.SetLabel(t.Context(), application, "anna", idOf("anna", "1"), "moved")
					require.NoError(t, err)
					meanwhileThen(t, s, func() { require.NoError(t, call(t.Context(), s)) }, func() {
						waiting(t, d, s)
						tx, err := s.db.BeginTx(t.Context(), s.tx)
						require.NoError(t, err)
						defer tx.Rollback()
						var slot int
						err = tx.QueryRow(prefixed(s, "SELECT slot FROM connect_connections WHERE application_id = 'application' AND user_id = 'anna' AND slot = 1 FOR UPDATE NOWAIT")).Scan(&slot)
						require.NoError(t, err, "the second one is not locked while the first one is waited for")
					}, "UPDATE connect_connections SET label = 'locked' WHERE user_id = 'anna' AND slot = 0")
				})
			})
		}
	}
}
