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

// The tests stand still at one moment.
var (
	noon      = time.Date(2044, time.May, 17, 12, 0, 0, 123_456_000, time.UTC)
	signedIn  = noon.Add(-3 * time.Second)
	tagDue    = noon.Add(time.Minute)
	deleteDue = noon.Add(2 * time.Minute)
	// begun is when starts began. disconnectedAt is earlier: it ends none of them.
	begun          = noon.Add(-2 * time.Minute)
	disconnectedAt = noon.Add(-time.Hour)
)

// tagged completes with any identity, and its tag is due at tagDue. same allows
// only the identity that the user has.
var (
	tagged = connect.Completion{TagAfter: tagDue}
	same   = connect.Completion{TagAfter: tagDue, SameIdentity: true}
)

const (
	application = "application"
	// plenty is a limit of starts that no test reaches by the way.
	plenty = 100
)

// connectionValues are what a statement stores for connection.
func connectionValues(user, identity string) string {
	return fmt.Sprintf("('application', '%s', '%s', %d, 'ok', %d)", user, identity, micros(noon), micros(signedIn))
}

// olderValues are what it stores for another one of before.
func olderValues(user, identity string) string {
	return fmt.Sprintf("('application', '%s', '%s', 0, 'needs_sign_in', 0)", user, identity)
}

// start is a start that is live at noon.
func start(user, tokenHash string) connect.Pending {
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

// connection is what completes a start of user at noon.
func connection(user, identity string) connect.Connection {
	return connect.Connection{
		ApplicationID: application,
		UserID:        user,
		IdentityID:    identity,
		ConnectedAt:   noon,
		Health:        connect.HealthOK,
		HealthAt:      signedIn,
	}
}

func tag(user, identity string) connect.Task {
	return connect.Task{Kind: connect.TagIdentity, ApplicationID: application, UserID: user, IdentityID: identity, Attempts: 1}
}

func deletion(user, identity string) connect.Task {
	t := tag(user, identity)
	t.Kind = connect.DeleteIdentity
	return t
}

func bind(t *testing.T, s *Store, starts ...connect.Pending) {
	t.Helper()
	for _, p := range starts {
		require.NoError(t, s.Bind(t.Context(), p, plenty))
	}
}

// complete completes a start and requires that it is the first to.
func complete(t *testing.T, s *Store, p connect.Pending, identity string) {
	t.Helper()
	first, err := s.Complete(t.Context(), p.TokenHash, connection(p.UserID, identity), tagged)
	require.NoError(t, err)
	require.True(t, first)
}

// connected makes a user that is connected, its tag done.
func connected(t *testing.T, s *Store, user, identity string) {
	t.Helper()
	p := start(user, "start of "+user+" with "+identity)
	bind(t, s, p)
	complete(t, s, p, identity)
	require.NoError(t, s.Done(t.Context(), tag(user, identity)))
}

func disconnect(t *testing.T, s *Store, user string) {
	t.Helper()
	_, err := s.Disconnect(t.Context(), application, user, disconnectedAt, deleteDue)
	require.NoError(t, err)
}

// requireConnection requires that a user is connected with an identity, or
// with none when it is empty.
func requireConnection(t *testing.T, s *Store, user, identity string) {
	t.Helper()
	c, err := s.Connection(t.Context(), application, user)
	if identity == "" {
		require.ErrorIs(t, err, connect.ErrNotConnected)
		return
	}
	require.NoError(t, err)
	require.Equal(t, connection(user, identity), c)
}

// requireTasks requires that exactly these tasks are queued. It claims them.
func requireTasks(t *testing.T, s *Store, want ...connect.Task) {
	t.Helper()
	got, err := s.Claim(t.Context(), application, noon.AddDate(1, 0, 0), noon.AddDate(2, 0, 0), 1000)
	require.NoError(t, err)
	for i := range got {
		got[i].NotBefore = time.Time{}
	}
	require.ElementsMatch(t, want, got)
}

// meanwhile runs f while another transaction holds the locks that the
// statements take, requires that f waits for it, and then commits it.
func meanwhile(t *testing.T, s *Store, f func(), statements ...string) {
	t.Helper()
	meanwhileThen(t, s, f, func() {}, statements...)
}

// meanwhileThen is meanwhile, with something else to be done before the commit.
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

// holding runs f while a transaction has sent statements and not committed.
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

// prefixed puts the table prefix of s into a statement.
func prefixed(s *Store, statement string) string {
	return strings.ReplaceAll(statement, defaultPrefix, s.prefix)
}

// scalar reads one value.
func scalar[T any](t *testing.T, db runner, query string, args ...any) (value T) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&value))
	return value
}

// identityNumber and number turn a number into an identity and back.
func identityNumber(i int) string { return "identity " + strconv.Itoa(i) }

func number(t *testing.T, identity string) int {
	t.Helper()
	i, err := strconv.Atoi(strings.TrimPrefix(identity, "identity "))
	require.NoError(t, err)
	return i
}

// queueTags queues n tags, due at so many microseconds since 1970, and lets the
// planner know.
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

// analyze counts the rows of tables for the planner.
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
