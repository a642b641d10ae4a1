package sqlstore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// A task is queued for the owner that the identity has when the call ends.
func TestQueueOvertaken(t *testing.T) {
	t.Parallel()
	tagOf := func(user, identity string) connect.Task {
		task := tag(user, identity)
		task.NotBefore = tagDue
		return task
	}
	for name, row := range map[string]struct {
		before func(t *testing.T, s *Store)
		task   connect.Task
		locked []string
		want   error
		after  []connect.Task
	}{
		"a tag, by the end of the connection": {
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			task:   tagOf("anna", "1"),
			locked: []string{
				"DELETE FROM connect_connections WHERE identity_id = '1'",
				"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'anna', 0, 0)",
			},
			want:  connect.ErrNotConnected,
			after: []connect.Task{deletion("anna", "1")},
		},
		"a tag, by another identity in its place": {
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			task:   tagOf("anna", "1"),
			locked: []string{"UPDATE connect_connections SET identity_id = '2' WHERE identity_id = '1'"},
			want:   connect.ErrNotConnected,
		},
		"a tag, by nothing that matters": {
			before: func(t *testing.T, s *Store) { connected(t, s, "anna", "1") },
			task:   tagOf("anna", "1"),
			locked: []string{"UPDATE connect_connections SET label = 'work' WHERE identity_id = '1'"},
			after:  []connect.Task{tag("anna", "1")},
		},
		"a deletion, by a connection that gets the identity": {
			before: func(t *testing.T, s *Store) {},
			task:   deletion("anna", "1"),
			locked: []string{
				insertConnection("ben", "1"),
				"INSERT INTO connect_tasks VALUES ('1', 'tag', 'application', 'ben', 0, 0)",
			},
			want:  connect.ErrIdentityTaken,
			after: []connect.Task{tag("ben", "1")},
		},
		"a deletion, by another one": {
			before: func(t *testing.T, s *Store) {},
			task:   deletion("anna", "1"),
			locked: []string{"INSERT INTO connect_tasks VALUES ('1', 'delete', 'application', 'ben', 0, 7)"},
			after:  []connect.Task{deletion("anna", "1")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				s := d.migrated(t)
				row.before(t, s)
				task := row.task
				task.Attempts = 7
				if task.NotBefore.IsZero() {
					task.NotBefore = deleteDue
				}
				var err error
				meanwhile(t, s, func() { err = s.Queue(t.Context(), task) }, row.locked...)
				require.ErrorIs(t, err, row.want)
				requireTasks(t, s, row.after...)
			})
		})
	}

	// The other call runs before each step of a call. Either the identity is connected,
	// or its deletion is queued.
	for _, options := range [][]Option{nil, {WithHook(idle)}} {
		t.Run(fmt.Sprintf("Queue of a deletion beside Complete, with %d options", len(options)), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				databaseURL := d.url(t)
				db, w := watchedAt(t, databaseURL)
				s := d.emptyIn(t, db, options...)
				besides := New(d.open(t, databaseURL), d.dialect, append(options, WithTablePrefix(s.prefix))...)
				require.NoError(t, besides.Migrate(t.Context()))
				queue := func(s *Store) error {
					task := deletion("anna", "1")
					task.NotBefore = deleteDue
					return s.Queue(t.Context(), task)
				}
				complete := func(s *Store) error {
					_, err := s.Complete(t.Context(), "annas", connection("anna", "1"), tagged)
					return err
				}
				for i, calls := range [][2]func(s *Store) error{{queue, complete}, {complete, queue}} {
					for step, more := 0, true; more; step++ {
						empty(t, besides)
						bind(t, besides, flow("anna", "annas"))
						var err, other error
						err, other, more = overtakenAt(w, step,
							func() error { return calls[0](s) }, func() error { return calls[1](besides) })
						queued, completed := err, other
						if i == 1 {
							queued, completed = other, err
						}
						if queued == nil {
							require.ErrorIs(t, completed, connect.ErrIdentityRetired)
							requireConnection(t, besides, "anna", "")
							requireTasks(t, besides, deletion("anna", "1"))
						} else {
							require.ErrorIs(t, queued, connect.ErrIdentityTaken)
							require.NoError(t, completed)
							requireConnection(t, besides, "anna", "1")
							requireTasks(t, besides, tag("anna", "1"))
						}
					}
				}
			})
		})
	}
}
