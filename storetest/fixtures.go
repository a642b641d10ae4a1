package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

const (
	app      = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"
	otherApp = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"

	// micro is the least difference between two moments that a store keeps.
	micro = time.Microsecond
	// lease is how long a claim lasts in the checks.
	lease = time.Hour
	// plenty is a limit that no check reaches.
	plenty = 1000
)

// A store has no clock, so the checks stand still at one moment. It lies years
// ahead: a store that asks a clock of its own finds nothing expired and nothing
// due.
var (
	noon = time.Date(2061, time.May, 17, 12, 0, 0, 123_456_000, time.UTC)
	// signedIn is when the identities that come back at noon were signed in, by
	// Anchor's clock.
	signedIn = noon.Add(-3*time.Second - 5*micro)
	// begun is when the starts of the checks began. disconnectedAt is earlier, so
	// that it ends none of them unless a check moves one of the two.
	begun          = noon.Add(-2*time.Second - 3*micro)
	disconnectedAt = noon.Add(-time.Hour)
	// tagDue and deleteDue are when the tasks that the checks queue are due.
	tagDue    = noon.Add(time.Minute)
	deleteDue = noon.Add(2 * time.Minute)
)

// tagged completes with any identity, and its tag is due at tagDue. same allows
// only the identity that the user has.
var (
	tagged = connect.Completion{TagAfter: tagDue}
	same   = connect.Completion{TagAfter: tagDue, SameIdentity: true}
)

// hash and identity make ids of the usual form out of a label.
func hash(label string) string {
	sum := sha256.Sum256([]byte(label))
	return hex.EncodeToString(sum[:])
}

func identity(label string) string {
	sum := sha256.Sum256([]byte(label))
	sum[6] = sum[6]&0x0f | 0x40
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// start is a start of a user that is live at noon. Its token hash comes from
// the label, which no other start of the check has.
func start(user, label string) connect.Pending {
	return connect.Pending{
		TokenHash:     hash(label),
		ApplicationID: app,
		UserID:        user,
		ReturnTo:      "/reports?month=5",
		BegunAt:       begun,
		IssuedAt:      noon.Add(-time.Second - 7*micro),
		ExpiresAt:     noon.Add(15*time.Minute + 7*micro),
	}
}

// startIn is start in any application.
func startIn(application, user, label string) connect.Pending {
	p := start(user, label)
	p.ApplicationID = application
	return p
}

// finished is the connection that completes p at noon.
func finished(p connect.Pending, identityID string) connect.Connection {
	return connect.Connection{
		ApplicationID: p.ApplicationID,
		UserID:        p.UserID,
		IdentityID:    identityID,
		ConnectedAt:   noon,
		Health:        connect.HealthOK,
		HealthAt:      signedIn,
	}
}

// completed and spent are p as it reads afterwards.
func completed(p connect.Pending, identityID string) connect.Pending {
	p.Spent, p.IdentityID = true, identityID
	return p
}

func spent(p connect.Pending) connect.Pending { return completed(p, "") }

// bind binds starts, and there is room for all of them.
func bind(t tb, s connect.Store, starts ...connect.Pending) {
	t.Helper()
	bindWithin(t, s, plenty, starts...)
}

// bindWithin binds starts, one after the other, within a limit.
func bindWithin(t tb, s connect.Store, limit int, starts ...connect.Pending) {
	t.Helper()
	for _, p := range starts {
		require.NoError(t, s.Bind(t.Context(), p, limit), "Bind")
	}
}

// complete completes a bound start at noon; the tag is due at tagDue.
func complete(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	c := finished(p, identityID)
	completeAs(t, s, p, c)
	return c
}

// completeAs completes a bound start with any connection.
func completeAs(t tb, s connect.Store, p connect.Pending, c connect.Connection) {
	t.Helper()
	completeHow(t, s, p, c, tagged)
}

// completeHow completes a bound start with any connection, in any way.
func completeHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	t.Helper()
	first, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete of a live start")
	require.True(t, first, "Complete of a live start says that it is not the first")
}

// connected binds and completes a start.
func connected(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return complete(t, s, p, identityID)
}

// requireReload repeats a return, which changes nothing.
func requireReload(t tb, s connect.Store, p connect.Pending, c connect.Connection) {
	t.Helper()
	requireReloadHow(t, s, p, c, connect.Completion{TagAfter: tagDue.Add(time.Hour)})
}

// requireReloadHow is requireReload in any way.
func requireReloadHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	t.Helper()
	first, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete once more, a reload")
	require.False(t, first, "Complete once more, a reload, says that it is the first")
}

// requireRefused completes a start that cannot be completed.
func requireRefused(t tb, s connect.Store, p connect.Pending, c connect.Connection, want error) {
	t.Helper()
	requireRefusedHow(t, s, p, c, tagged, want)
}

// requireRefusedHow is requireRefused in any way.
func requireRefusedHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion, want error) {
	t.Helper()
	first, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.ErrorIs(t, err, want, "Complete that must be refused")
	require.False(t, first, "Complete that was refused says that it is the first")
}

// requireStart reads a start.
func requireStart(t tb, s connect.Store, want connect.Pending) {
	t.Helper()
	got, err := s.Pending(t.Context(), want.TokenHash)
	require.NoError(t, err, "Pending")
	got.BegunAt, want.BegunAt = got.BegunAt.UTC(), want.BegunAt.UTC()
	got.IssuedAt, want.IssuedAt = got.IssuedAt.UTC(), want.IssuedAt.UTC()
	got.ExpiresAt, want.ExpiresAt = got.ExpiresAt.UTC(), want.ExpiresAt.UTC()
	require.Equal(t, want, got, "the start that Pending returns")
}

// requireNoStart looks for a start that is not there.
func requireNoStart(t tb, s connect.Store, tokenHash string) {
	t.Helper()
	_, err := s.Pending(t.Context(), tokenHash)
	require.ErrorIs(t, err, connect.ErrStateUnknown, "Pending of a start that is not there")
}

// requireConnection reads a user's connection.
func requireConnection(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	got, err := s.Connection(t.Context(), want.ApplicationID, want.UserID)
	require.NoError(t, err, "Connection")
	require.Equal(t, inUTC(want), inUTC(got), "the connection that Connection returns")
}

// requireNoConnection reads the connection of a user who has none.
func requireNoConnection(t tb, s connect.Store, application, user string) {
	t.Helper()
	_, err := s.Connection(t.Context(), application, user)
	require.ErrorIs(t, err, connect.ErrNotConnected, "Connection of a user who has none")
}

// disconnect ends a connection; the deletion is due at deleteDue.
func disconnect(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	disconnectAt(t, s, want, disconnectedAt)
}

// disconnectAt is disconnect at any moment.
func disconnectAt(t tb, s connect.Store, want connect.Connection, at time.Time) {
	t.Helper()
	got, err := s.Disconnect(t.Context(), want.ApplicationID, want.UserID, at, deleteDue)
	require.NoError(t, err, "Disconnect")
	require.Equal(t, inUTC(want), inUTC(got), "the connection that Disconnect returns")
}

// requireNothingToDisconnect disconnects a user who has no connection.
func requireNothingToDisconnect(t tb, s connect.Store, application, user string) {
	t.Helper()
	requireNothingToDisconnectAt(t, s, application, user, disconnectedAt)
}

// requireNothingToDisconnectAt is requireNothingToDisconnect at any moment.
func requireNothingToDisconnectAt(t tb, s connect.Store, application, user string, at time.Time) {
	t.Helper()
	_, err := s.Disconnect(t.Context(), application, user, at, deleteDue)
	require.ErrorIs(t, err, connect.ErrNotConnected, "Disconnect of a user who has no connection")
}

func inUTC(c connect.Connection) connect.Connection {
	c.ConnectedAt, c.HealthAt = c.ConnectedAt.UTC(), c.HealthAt.UTC()
	return c
}

// tag and deletion are a task for c, as it is returned when it is claimed for
// the first time.
func tag(c connect.Connection) connect.Task {
	return connect.Task{
		Kind:          connect.TagIdentity,
		ApplicationID: c.ApplicationID,
		UserID:        c.UserID,
		IdentityID:    c.IdentityID,
		Attempts:      1,
	}
}

func deletion(c connect.Connection) connect.Task {
	t := tag(c)
	t.Kind = connect.DeleteIdentity
	return t
}

// again is a task as it is returned when it is claimed for the n-th time.
func again(t connect.Task, n int) connect.Task {
	t.Attempts = n
	return t
}

// claim claims what is due in app, up to limit, for one lease.
func claim(t tb, s connect.Store, now time.Time, limit int) []connect.Task {
	t.Helper()
	return claimIn(t, s, app, now, now.Add(lease), limit)
}

// claimIn claims in any application, for a lease of any length.
func claimIn(t tb, s connect.Store, application string, now, until time.Time, limit int) []connect.Task {
	t.Helper()
	got, err := s.Claim(t.Context(), application, now, until, limit)
	require.NoError(t, err, "Claim")
	require.LessOrEqual(t, len(got), max(limit, 0), "how many tasks Claim returns")
	for i := range got {
		require.Equal(t, application, got[i].ApplicationID, "the application of a task that Claim returns is the one it was asked for")
		require.Equal(t, until.UTC(), got[i].NotBefore.UTC(), "NotBefore of a task that Claim returns is the end of its lease")
	}
	return got
}

// requireDue claims all that is due, in both applications and in any other that
// a task is wanted of. The order is left open: no rule says it.
func requireDue(t tb, s connect.Store, now time.Time, want ...connect.Task) {
	t.Helper()
	applications := []string{app, otherApp}
	for _, task := range want {
		if !slices.Contains(applications, task.ApplicationID) {
			applications = append(applications, task.ApplicationID)
		}
	}
	var got []connect.Task
	for _, application := range applications {
		got = append(got, claimIn(t, s, application, now, now.Add(lease), plenty)...)
	}
	requireSameTasks(t, want, got, fmt.Sprintf("the tasks that are due at %v", now))
}

// requireSameTasks compares tasks in any order, but for NotBefore.
func requireSameTasks(t tb, want, got []connect.Task, what string) {
	t.Helper()
	require.Equal(t, described(want), described(got), what)
}

// described are tasks as lines, to be compared and read by people.
func described(tasks []connect.Task) []string {
	lines := make([]string, 0, len(tasks))
	for _, t := range tasks {
		lines = append(lines, fmt.Sprintf("%s %q of %q in %q, claimed %d times", t.Kind, t.IdentityID, t.UserID, t.ApplicationID, t.Attempts))
	}
	slices.Sort(lines)
	return lines
}

// requireTasks claims all there is, with moments of long after everything else.
// It comes last in a check.
func requireTasks(t tb, s connect.Store, want ...connect.Task) {
	t.Helper()
	requireDue(t, s, noon.AddDate(10, 0, 0), want...)
}

// A scene is a store with something of everything, to see that it stays as it
// is.
type scene struct {
	live    connect.Pending // of anna, who is connected
	done    connect.Pending // of anna, completed
	expired connect.Pending // of ben, who is connected too
	bens    connect.Pending // of ben, completed; he needs to sign in
	ended   connect.Pending // of carl, spent
	gone    connect.Pending // of dora, who has disconnected
	fresh   connect.Pending // of emil, who has nothing else

	anna, ben, dora connect.Connection
}

func newScene(t tb, s connect.Store) scene {
	t.Helper()
	c := scene{
		live:    start("anna", "live"),
		done:    start("anna", "done"),
		expired: start("ben", "expired"),
		bens:    start("ben", "bens"),
		ended:   start("carl", "ended"),
		gone:    start("dora", "gone"),
		fresh:   start("emil", "fresh"),
	}
	c.expired.ExpiresAt = noon.Add(-time.Hour)
	bind(t, s, c.live, c.done, c.expired, c.bens, c.ended, c.gone, c.fresh)
	c.anna = complete(t, s, c.done, identity("anna"))
	c.ben = withHealth(finished(c.bens, identity("ben")), needsSignIn, signedIn)
	completeAs(t, s, c.bens, c.ben)
	require.NoError(t, s.Spend(t.Context(), c.ended.TokenHash), "Spend")
	c.dora = complete(t, s, c.gone, identity("dora"))
	disconnect(t, s, c.dora)
	return c
}

// requireUnchanged looks at everything but the tasks, and may come often.
func (c scene) requireUnchanged(t tb, s connect.Store) {
	t.Helper()
	requireStart(t, s, c.live)
	requireStart(t, s, completed(c.done, c.anna.IdentityID))
	requireStart(t, s, c.expired)
	requireStart(t, s, completed(c.bens, c.ben.IdentityID))
	requireStart(t, s, spent(c.ended))
	requireStart(t, s, spent(c.gone))
	requireStart(t, s, c.fresh)
	requireConnection(t, s, c.anna)
	requireConnection(t, s, c.ben)
	requireNoConnection(t, s, app, "carl")
	requireNoConnection(t, s, app, "dora")
	requireNoConnection(t, s, app, "emil")
}

// requireTasksUnchanged claims the tasks, so it comes last.
func (c scene) requireTasksUnchanged(t tb, s connect.Store) {
	t.Helper()
	requireDue(t, s, tagDue.Add(-micro))
	requireDue(t, s, tagDue, tag(c.anna), tag(c.ben))
	requireDue(t, s, deleteDue.Add(-micro))
	requireDue(t, s, deleteDue, deletion(c.dora))
	requireTasks(t, s, again(tag(c.anna), 2), again(tag(c.ben), 2), again(deletion(c.dora), 2))
}
