package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// The times of the tests.
var (
	noon      = time.Date(2044, time.May, 17, 12, 0, 0, 123_456_000, time.UTC)
	signedIn  = noon.Add(-3 * time.Second)
	tagDue    = noon.Add(time.Minute)
	deleteDue = noon.Add(2 * time.Minute)
	// begun is when flows began. disconnectedAt is earlier, so it ends none of them.
	begun          = noon.Add(-2 * time.Minute)
	disconnectedAt = noon.Add(-time.Hour)
)

// tagged allows any identity. same allows only the identity that the user has.
var (
	tagged = connect.Completion{TagAfter: tagDue, MaxConnections: 1}
	same   = connect.Completion{TagAfter: tagDue, MaxConnections: 1, SameIdentity: true}
)

const (
	application = "application"
	// plenty is a limit of flows that no test reaches by accident.
	plenty = 100
)

// olderColumns are the columns of connections before schema version 3.
const olderColumns = "(application_id, user_id, identity_id, connected_at, health, health_at)"

// insertConnection returns SQL that stores connection(user, identity) as an older release
// does.
func insertConnection(user, identity string) string {
	return fmt.Sprintf("INSERT INTO connect_connections %s VALUES ('application', '%s', '%s', %d, 'ok', %d)",
		olderColumns, user, identity, micros(noon), micros(signedIn))
}

// insertOlder returns SQL that stores an earlier connection.
func insertOlder(user, identity string) string {
	return fmt.Sprintf("INSERT INTO connect_connections %s VALUES ('application', '%s', '%s', 0, 'needs_sign_in', 0)",
		olderColumns, user, identity)
}

// insertInSlot returns SQL that stores a connection in a slot.
func insertInSlot(user, identity string, slot int) string {
	return fmt.Sprintf("INSERT INTO connect_connections (id, application_id, user_id, identity_id, connected_at, health, health_at, slot) VALUES ('%s', 'application', '%s', '%s', 1, 'ok', 1, %d)",
		idOf(user, identity), user, identity, slot)
}

// beside adds a connection of a user who has others, and does its tag.
func beside(t *testing.T, s *Store, user, identity string) {
	t.Helper()
	p := flow(user, "flow of "+user+" beside, with "+identity)
	p.Adds = true
	bind(t, s, p)
	how := tagged
	how.MaxConnections = plenty
	done, err := s.Complete(t.Context(), p.TokenHash, connection(user, identity), how)
	require.NoError(t, err)
	require.True(t, done.First)
	require.NoError(t, s.Done(t.Context(), tag(user, identity)))
}

// requireSlots requires that a user's connections have these slots.
func requireSlots(t *testing.T, s *Store, user string, slots ...int) {
	t.Helper()
	found, err := queryConnections(t.Context(), s.db, s.sql.connections, application, user)
	require.NoError(t, err)
	var got []int
	for _, c := range found {
		got = append(got, c.slot)
	}
	require.ElementsMatch(t, slots, got)
}

// flow returns a flow that is live at noon.
func flow(user, tokenHash string) connect.Pending {
	return connect.Pending{
		TokenHash:     tokenHash,
		ApplicationID: application,
		UserID:        user,
		ReturnTo:      "/reports",
		BegunAt:       begun,
		IssuedAt:      noon.Add(-time.Minute),
		ExpiresAt:     noon.Add(15 * time.Minute),
	}
}

// connection returns a connection that completes a flow of user at noon.
func connection(user, identity string) connect.Connection {
	return connect.Connection{
		ID:            idOf(user, identity),
		ApplicationID: application,
		UserID:        user,
		IdentityID:    identity,
		CreatedAt:     noon,
		ConnectedAt:   noon,
		Health:        connect.HealthOK,
		HealthAt:      signedIn,
	}
}

// idOf returns the ID of a connection that begins with an identity.
func idOf(user, identity string) string { return "of " + user + " with " + identity }

func tag(user, identity string) connect.Task {
	return connect.Task{Kind: connect.TagIdentity, ApplicationID: application, UserID: user, IdentityID: identity, Attempts: 1}
}

func deletion(user, identity string) connect.Task {
	t := tag(user, identity)
	t.Kind = connect.DeleteIdentity
	return t
}

func bind(t *testing.T, s *Store, flows ...connect.Pending) {
	t.Helper()
	for _, p := range flows {
		require.NoError(t, s.Bind(t.Context(), p, plenty))
	}
}

// complete completes a flow and requires that it is the first call to do so.
func complete(t *testing.T, s *Store, p connect.Pending, identity string) connect.Connection {
	t.Helper()
	done, err := s.Complete(t.Context(), p.TokenHash, connection(p.UserID, identity), tagged)
	require.NoError(t, err)
	require.True(t, done.First)
	return done.Connection
}

// connected connects a user, and does the tag.
func connected(t *testing.T, s *Store, user, identity string) {
	t.Helper()
	p := flow(user, "flow of "+user+" with "+identity)
	bind(t, s, p)
	complete(t, s, p, identity)
	require.NoError(t, s.Done(t.Context(), tag(user, identity)))
}

func disconnect(t *testing.T, s *Store, user string) {
	t.Helper()
	_, err := s.Disconnect(t.Context(), all(user))
	require.NoError(t, err)
}

// all returns a Disconnection of all connections of a user. It ends no flow that began at
// begun.
func all(user string) connect.Disconnection {
	return connect.Disconnection{ApplicationID: application, UserID: user, At: disconnectedAt, DeleteAfter: deleteDue}
}

// requireConnection requires that a user is connected with one identity, or not at all if it
// is empty. It does not compare ID and CreatedAt.
func requireConnection(t *testing.T, s *Store, user, identity string) connect.Connection {
	t.Helper()
	got, err := s.Connections(t.Context(), application, user)
	require.NoError(t, err)
	if identity == "" {
		require.Empty(t, got)
		return connect.Connection{}
	}
	require.Len(t, got, 1)
	want := connection(user, identity)
	want.ID, want.CreatedAt = got[0].ID, got[0].CreatedAt
	require.Equal(t, want, got[0])
	require.NotEmpty(t, got[0].ID)
	return got[0]
}

// requireTasks claims all tasks, and requires that they are these.
func requireTasks(t *testing.T, s *Store, want ...connect.Task) {
	t.Helper()
	got, err := s.Claim(t.Context(), application, noon.AddDate(1, 0, 0), noon.AddDate(2, 0, 0), 1000)
	require.NoError(t, err)
	for i := range got {
		got[i].NotBefore = time.Time{}
	}
	require.ElementsMatch(t, want, got)
}

// meanwhile runs f while another transaction holds the locks of statements, requires that f
// waits, and then commits the transaction.
func meanwhile(t *testing.T, s *Store, f func(), statements ...string) {
	t.Helper()
	meanwhileThen(t, s, f, func() {}, statements...)
}

// meanwhileThen is meanwhile, and calls then before the commit.
func meanwhileThen(t *testing.T, s *Store, f, then func(), statements ...string) {
	t.Helper()
	done := make(chan struct{})
	holding(t, s, func(commit func()) {
		go func() {
			defer close(done)
			f()
		}()
		select {
		case <-done:
			require.Fail(t, "it did not wait for the other transaction")
		case <-time.After(200 * time.Millisecond):
		}
		then()
		commit()
	}, statements...)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		require.Fail(t, "it has not come to an end")
	}
}

// holding runs f while a transaction has sent statements but not committed.
func holding(t *testing.T, s *Store, f func(commit func()), statements ...string) {
	t.Helper()
	tx, err := s.db.BeginTx(context.Background(), s.tx)
	require.NoError(t, err)
	defer tx.Rollback()
	for _, statement := range statements {
		_, err := tx.Exec(prefixed(s, statement))
		require.NoError(t, err)
	}
	f(func() { require.NoError(t, tx.Commit()) })
}

// prefixed replaces the default table prefix in a statement with that of s.
func prefixed(s *Store, statement string) string {
	return strings.ReplaceAll(statement, defaultPrefix, s.prefix)
}

// scalar reads one value.
func scalar[T any](t *testing.T, db runner, query string, args ...any) (value T) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&value))
	return value
}

// identityNumber converts a number to an identity, and number converts it back.
func identityNumber(i int) string { return "identity " + strconv.Itoa(i) }

func number(t *testing.T, identity string) int {
	t.Helper()
	i, err := strconv.Atoi(strings.TrimPrefix(identity, "identity "))
	require.NoError(t, err)
	return i
}

// queueTags queues n tags that are due at these microseconds since 1970, and updates the
// planner's statistics.
func queueTags(t *testing.T, s *Store, n int, due func(i int) int) {
	t.Helper()
	tx, err := s.db.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	insert := prefixed(s, "INSERT INTO connect_tasks VALUES (?, 'tag', 'application', 'anna', ?, 0)")
	if s.dialect == PostgreSQL {
		insert = numbered(insert)
	}
	for i := range n {
		_, err := tx.Exec(insert, identityNumber(i), due(i))
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	analyze(t, s, "tasks")
}

// analyze updates the planner's statistics of tables.
func analyze(t *testing.T, s *Store, tables ...string) {
	t.Helper()
	for _, table := range tables {
		statement := "ANALYZE " + s.prefix + table
		if s.dialect == MySQL {
			statement = "ANALYZE TABLE " + s.prefix + table
		}
		_, err := s.db.Exec(statement)
		require.NoError(t, err)
	}
}
