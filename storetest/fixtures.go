package storetest

import (
	"cmp"
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
	// begun is when the flows of the checks began. disconnectedAt is earlier, so
	// that it ends none of them unless a check moves one of the two.
	begun          = noon.Add(-2*time.Second - 3*micro)
	disconnectedAt = noon.Add(-time.Hour)
	// tagDue and deleteDue are when the tasks that the checks queue are due.
	tagDue    = noon.Add(time.Minute)
	deleteDue = noon.Add(2 * time.Minute)
)

// tagged completes with any identity for a user who may have one connection, and
// its tag is due at tagDue. same allows only an identity that the user has. several
// allows more connections than any check makes.
var (
	tagged  = connect.Completion{TagAfter: tagDue, MaxConnections: 1}
	same    = connect.Completion{TagAfter: tagDue, MaxConnections: 1, SameIdentity: true}
	several = upTo(plenty)
)

// upTo allows so many connections.
func upTo(limit int) connect.Completion {
	return connect.Completion{TagAfter: tagDue, MaxConnections: limit}
}

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

// flow is a pending flow of a user at noon, who acts alone. It is for the only
// connection. Its token hash comes from the label, which no other flow of the check
// has.
func flow(user, label string) connect.Pending {
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

// flowIn is flow in any application.
func flowIn(application, user, label string) connect.Pending {
	p := flow(user, label)
	p.ApplicationID = application
	return p
}

// adds, renews and actedBy are p, but for another connection or with an actor.
func adds(p connect.Pending) connect.Pending {
	p.Adds = true
	return p
}

func renews(p connect.Pending, connectionID string) connect.Pending {
	p.ConnectionID = connectionID
	return p
}

func actedBy(p connect.Pending, actor string) connect.Pending {
	p.ActorID = actor
	return p
}

// finished is the new connection that completes p at noon.
func finished(p connect.Pending, identityID string) connect.Connection {
	return connect.Connection{
		ID:            "connection-" + hash(p.TokenHash)[:20],
		ApplicationID: p.ApplicationID,
		UserID:        p.UserID,
		ActorID:       p.ActorID,
		IdentityID:    identityID,
		Label:         p.Label,
		CreatedAt:     noon,
		ConnectedAt:   noon,
		Health:        connect.HealthOK,
		HealthAt:      signedIn,
	}
}

// createdAt is a new connection that began at another moment.
func createdAt(c connect.Connection, moment time.Time) connect.Connection {
	c.CreatedAt, c.ConnectedAt = moment, moment
	return c
}

// renewal is c as it is stored if it renews old.
func renewal(old, c connect.Connection) connect.Connection {
	c.ID, c.CreatedAt, c.Label = old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	return c
}

// completed and spent are p as it reads afterwards.
func completed(p connect.Pending, identityID string) connect.Pending {
	p.Spent, p.IdentityID = true, identityID
	return p
}

func spent(p connect.Pending) connect.Pending { return completed(p, "") }

// bind binds flows, and there is room for all of them.
func bind(t tb, s connect.Store, flows ...connect.Pending) {
	t.Helper()
	bindWithin(t, s, plenty, flows...)
}

// bindWithin binds flows, one after the other, within a limit.
func bindWithin(t tb, s connect.Store, limit int, flows ...connect.Pending) {
	t.Helper()
	for _, p := range flows {
		require.NoError(t, s.Bind(t.Context(), p, limit), "Bind")
	}
}

// complete completes a bound flow at noon with the user's first connection.
func complete(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	return completeAs(t, s, p, finished(p, identityID))
}

// completeAs completes a bound flow with any first connection.
func completeAs(t tb, s connect.Store, p connect.Pending, c connect.Connection) connect.Connection {
	t.Helper()
	return completeHow(t, s, p, c, tagged)
}

// completeHow completes a bound flow with any new connection, in any way.
func completeHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	sent := c
	sent.CreatedAt = noon.AddDate(-3, 0, 0) // it is ignored
	done, err := s.Complete(t.Context(), p.TokenHash, sent, how)
	require.NoError(t, err, "Complete of a pending flow")
	requireDone(t, connect.Completed{First: true, Connection: c}, done)
	return c
}

// renew completes a bound flow at noon, which renews a connection.
func renew(t tb, s connect.Store, old connect.Connection, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	return renewAs(t, s, old, p, finished(p, identityID))
}

// renewAs completes a bound flow with anything, which renews a connection.
func renewAs(t tb, s connect.Store, old connect.Connection, p connect.Pending, c connect.Connection) connect.Connection {
	t.Helper()
	return renewHow(t, s, old, p, c, tagged)
}

// renewHow is renewAs in any way. It returns the connection as it is now.
func renewHow(t tb, s connect.Store, old connect.Connection, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	want := connect.Completed{First: true, Connection: renewal(old, c)}
	if old.IdentityID != c.IdentityID {
		want.Replaced = old.IdentityID
	}
	done, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete of a pending flow")
	requireDone(t, want, done)
	return want.Connection
}

// requireDone compares what Complete returns.
func requireDone(t tb, want, got connect.Completed) {
	t.Helper()
	require.True(t, got.First, "First, which Complete returns for a pending flow")
	got.Connection, want.Connection = alike(want.Connection, got.Connection), inUTC(want.Connection)
	require.Equal(t, want, got, "the result of Complete")
}

// connected binds and completes a flow with the user's first connection.
func connected(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return complete(t, s, p, identityID)
}

// renewed binds and completes a flow that renews a connection.
func renewed(t tb, s connect.Store, old connect.Connection, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return renew(t, s, old, p, identityID)
}

// added binds and completes a flow that adds a connection.
func added(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	p = adds(p)
	bind(t, s, p)
	return completeHow(t, s, p, finished(p, identityID), several)
}

// requireReload repeats a callback, which changes nothing.
func requireReload(t tb, s connect.Store, p connect.Pending, c connect.Connection) {
	t.Helper()
	requireReloadHow(t, s, p, c, connect.Completion{TagAfter: tagDue.Add(time.Hour)})
}

// requireReloadHow is requireReload in any way.
func requireReloadHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	t.Helper()
	done, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete of a reload")
	require.False(t, done.First, "First, which Complete returns for a reload")
	require.Zero(t, done, "the result of Complete for a reload")
}

// requireRefused completes a flow that cannot be completed.
func requireRefused(t tb, s connect.Store, p connect.Pending, c connect.Connection, want error) {
	t.Helper()
	requireRefusedHow(t, s, p, c, tagged, want)
}

// requireRefusedHow is requireRefused in any way.
func requireRefusedHow(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion, want error) {
	t.Helper()
	done, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.ErrorIs(t, err, want, "a Complete that the contract refuses")
	require.Zero(t, done, "the result of a refused Complete")
}

// requireFlow reads a flow.
func requireFlow(t tb, s connect.Store, want connect.Pending) {
	t.Helper()
	got, err := s.Pending(t.Context(), want.TokenHash)
	require.NoError(t, err, "Pending")
	got.BegunAt, want.BegunAt = got.BegunAt.UTC(), want.BegunAt.UTC()
	got.IssuedAt, want.IssuedAt = got.IssuedAt.UTC(), want.IssuedAt.UTC()
	got.ExpiresAt, want.ExpiresAt = got.ExpiresAt.UTC(), want.ExpiresAt.UTC()
	require.Equal(t, want, got, "the result of Pending")
}

// requireNoFlow looks for a flow that is not there.
func requireNoFlow(t tb, s connect.Store, tokenHash string) {
	t.Helper()
	_, err := s.Pending(t.Context(), tokenHash)
	require.ErrorIs(t, err, connect.ErrStateUnknown, "Pending of an unknown flow")
}

// requireConnection reads the only connection of a user.
func requireConnection(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	requireConnections(t, s, want)
}

// requireConnections reads all connections of one user, in order.
func requireConnections(t tb, s connect.Store, want ...connect.Connection) {
	t.Helper()
	got, err := s.Connections(t.Context(), want[0].ApplicationID, want[0].UserID)
	require.NoError(t, err, "Connections")
	requireSame(t, want, got, "the result of Connections")
}

// requireAmong reads one connection of a user, who may have others.
func requireAmong(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	got, err := s.Connections(t.Context(), want.ApplicationID, want.UserID)
	require.NoError(t, err, "Connections")
	got = slices.DeleteFunc(got, func(c connect.Connection) bool { return c.ID != want.ID })
	requireSame(t, []connect.Connection{want}, got, "the result of Connections")
}

// requireNoConnection reads the connections of a user who has none.
func requireNoConnection(t tb, s connect.Store, application, user string) {
	t.Helper()
	got, err := s.Connections(t.Context(), application, user)
	require.NoError(t, err, "Connections for a user without a connection")
	require.Empty(t, got, "the result of Connections for a user without a connection")
}

// requireSame compares connections, in order.
func requireSame(t tb, want, got []connect.Connection, what string) {
	t.Helper()
	wanted, returned := make([]connect.Connection, 0, len(want)), make([]connect.Connection, 0, len(got))
	for _, c := range want {
		wanted = append(wanted, inUTC(c))
	}
	for _, c := range got {
		returned = append(returned, inUTC(c))
	}
	require.Equal(t, wanted, returned, what)
}

// disconnect ends all connections of one user; the deletions are due at deleteDue.
func disconnect(t tb, s connect.Store, want ...connect.Connection) {
	t.Helper()
	disconnectAt(t, s, disconnectedAt, want...)
}

// disconnectAt is disconnect at any moment.
func disconnectAt(t tb, s connect.Store, at time.Time, want ...connect.Connection) {
	t.Helper()
	got, err := s.Disconnect(t.Context(), endAll(want[0].ApplicationID, want[0].UserID, at))
	require.NoError(t, err, "Disconnect")
	requireSame(t, want, got, "the result of Disconnect")
}

// disconnectOne ends one connection.
func disconnectOne(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	got, err := s.Disconnect(t.Context(), endOne(want))
	require.NoError(t, err, "Disconnect of one connection")
	requireSame(t, []connect.Connection{want}, got, "the result of Disconnect")
}

// endAll ends all connections of a user.
func endAll(application, user string, at time.Time) connect.Disconnection {
	return connect.Disconnection{ApplicationID: application, UserID: user, At: at, DeleteAfter: deleteDue}
}

// endOne ends one connection. Its moment, which does not count, is later than all
// flows of the checks began.
func endOne(c connect.Connection) connect.Disconnection {
	d := endAll(c.ApplicationID, c.UserID, noon)
	d.ConnectionID = c.ID
	return d
}

// requireNothingToDisconnect disconnects a user who has no connection.
func requireNothingToDisconnect(t tb, s connect.Store, application, user string) {
	t.Helper()
	requireNothingToDisconnectAt(t, s, application, user, disconnectedAt)
}

// requireNothingToDisconnectAt is requireNothingToDisconnect at any moment.
func requireNothingToDisconnectAt(t tb, s connect.Store, application, user string, at time.Time) {
	t.Helper()
	got, err := s.Disconnect(t.Context(), endAll(application, user, at))
	require.NoError(t, err, "Disconnect for a user without a connection")
	require.Empty(t, got, "the result of Disconnect for a user without a connection")
}

func inUTC(c connect.Connection) connect.Connection {
	c.CreatedAt, c.ConnectedAt, c.HealthAt = c.CreatedAt.UTC(), c.ConnectedAt.UTC(), c.HealthAt.UTC()
	return c
}

// alike is got in UTC, with the moments of want where they differ only in what a
// store may lose.
func alike(want, got connect.Connection) connect.Connection {
	got = inUTC(got)
	for _, moment := range []struct {
		want time.Time
		got  *time.Time
	}{{want.CreatedAt, &got.CreatedAt}, {want.ConnectedAt, &got.ConnectedAt}, {want.HealthAt, &got.HealthAt}} {
		fine := !moment.want.Equal(moment.want.Truncate(micro))
		if fine && moment.got.Sub(moment.want).Abs() < micro {
			*moment.got = moment.want.UTC()
		}
	}
	return got
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
	require.LessOrEqual(t, len(got), max(limit, 0), "the number of tasks that Claim returns")
	for i := range got {
		require.Equal(t, application, got[i].ApplicationID, "the ApplicationID of a task that Claim returns")
		require.Equal(t, until.UTC(), got[i].NotBefore.UTC(), "the NotBefore of a task that Claim returns")
	}
	return got
}

// requireDue claims all that is due, in both applications and in any other that
// a task is wanted of. The order is undefined.
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
	live     connect.Pending // of anna, who is connected
	done     connect.Pending // of anna, completed
	expired  connect.Pending // of ben, who is connected too
	bens     connect.Pending // of ben, completed; he needs to sign in
	ended    connect.Pending // of carl, spent
	gone     connect.Pending // of dora, who has disconnected
	fresh    connect.Pending // of emil, who has nothing else
	first    connect.Pending // of fred, who has two connections, completed
	second   connect.Pending // of fred, completed by gina, who acts for him
	renewing connect.Pending // of fred, to renew his first connection
	adding   connect.Pending // of fred, begun by gina, to add a third one

	anna, ben, dora connect.Connection
	home, work      connect.Connection // of fred; nothing is owed for them
}

func newScene(t tb, s connect.Store) scene {
	t.Helper()
	c := scene{
		live:     flow("anna", "live"),
		done:     flow("anna", "done"),
		expired:  flow("ben", "expired"),
		bens:     flow("ben", "bens"),
		ended:    flow("carl", "ended"),
		gone:     flow("dora", "gone"),
		fresh:    flow("emil", "fresh"),
		first:    flow("fred", "first of fred"),
		second:   actedBy(adds(flow("fred", "second of fred")), "gina"),
		renewing: flow("fred", "renewing"),
		adding:   actedBy(adds(flow("fred", "adding")), "gina"),
	}
	c.expired.ExpiresAt = noon.Add(-time.Hour)
	c.second.Label = "work"
	bind(t, s, c.live, c.done, c.expired, c.bens, c.ended, c.gone, c.fresh, c.first, c.second)
	c.anna = complete(t, s, c.done, identity("anna"))
	c.ben = completeAs(t, s, c.bens, withHealth(finished(c.bens, identity("ben")), needsSignIn, signedIn))
	require.NoError(t, s.Spend(t.Context(), c.ended.TokenHash), "Spend")
	c.dora = complete(t, s, c.gone, identity("dora"))
	disconnect(t, s, c.dora)

	c.home = completeAs(t, s, c.first, createdAt(finished(c.first, identity("home")), noon.Add(-time.Minute)))
	c.work = completeHow(t, s, c.second, finished(c.second, identity("work")), several)
	for _, connection := range []connect.Connection{c.home, c.work} {
		require.NoError(t, s.Done(t.Context(), tag(connection)), "Done")
	}
	c.renewing.ConnectionID = c.home.ID
	bind(t, s, c.renewing, c.adding)
	return c
}

// sceneFlows is how many flows a scene has.
const sceneFlows = 11

// requireUnchanged looks at everything but the tasks, and may come often.
func (c scene) requireUnchanged(t tb, s connect.Store) {
	t.Helper()
	requireFlow(t, s, c.live)
	requireFlow(t, s, completed(c.done, c.anna.IdentityID))
	requireFlow(t, s, c.expired)
	requireFlow(t, s, completed(c.bens, c.ben.IdentityID))
	requireFlow(t, s, spent(c.ended))
	requireFlow(t, s, spent(c.gone))
	requireFlow(t, s, c.fresh)
	requireFlow(t, s, completed(c.first, c.home.IdentityID))
	requireFlow(t, s, completed(c.second, c.work.IdentityID))
	requireFlow(t, s, c.renewing)
	requireFlow(t, s, c.adding)
	requireConnection(t, s, c.anna)
	requireConnection(t, s, c.ben)
	requireConnections(t, s, c.home, c.work)
	requireNoConnection(t, s, app, "carl")
	requireNoConnection(t, s, app, "dora")
	requireNoConnection(t, s, app, "emil")
	requireNoConnection(t, s, app, "gina")
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
