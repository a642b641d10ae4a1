package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// bind binds flows with a limit that none of them reaches.
func bind(t tb, s connect.Store, flows ...connect.Pending) {
	t.Helper()
	bindWithin(t, s, plenty, flows...)
}

// bindWithin binds flows, one after another, with a limit.
func bindWithin(t tb, s connect.Store, limit int, flows ...connect.Pending) {
	t.Helper()
	for _, p := range flows {
		require.NoError(t, s.Bind(t.Context(), p, limit), "Bind")
	}
}

// spend spends flows, and returns them as they are afterwards.
func spend(t tb, s connect.Store, flows ...connect.Pending) []connect.Pending {
	t.Helper()
	var ended []connect.Pending
	for _, p := range flows {
		require.NoError(t, s.Spend(t.Context(), p.TokenHash), "Spend")
		ended = append(ended, spent(p))
	}
	return ended
}

// complete completes a bound flow with a new connection, the user's only one.
func complete(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	return completeWith(t, s, p, finished(p, identityID), single)
}

// completeWith completes a bound flow with the new connection c.
func completeWith(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	sent := c
	sent.CreatedAt = noon.AddDate(-3, 0, 0) // is ignored
	requireComplete(t, s, p, sent, how, connect.Completed{First: true, Connection: c})
	return c
}

// renew completes a bound flow, which renews the user's only connection.
func renew(t tb, s connect.Store, old connect.Connection, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	return renewWith(t, s, old, p, finished(p, identityID), single)
}

// renewWith completes a bound flow with c, which renews old. It returns the connection
// as it is afterwards.
func renewWith(t tb, s connect.Store, old connect.Connection, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	want := connect.Completed{First: true, Connection: renewal(old, c)}
	if old.IdentityID != c.IdentityID {
		want.Replaced = old.IdentityID
	}
	requireComplete(t, s, p, c, how, want)
	return want.Connection
}

// connected binds and completes a flow like complete.
func connected(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return complete(t, s, p, identityID)
}

// connectedWith binds and completes a flow like completeWith.
func connectedWith(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return completeWith(t, s, p, c, how)
}

// renewed binds and completes a flow like renew.
func renewed(t tb, s connect.Store, old connect.Connection, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return renew(t, s, old, p, identityID)
}

// renewedWith binds and completes a flow like renewWith.
func renewedWith(t tb, s connect.Store, old connect.Connection, p connect.Pending, c connect.Connection, how connect.Completion) connect.Connection {
	t.Helper()
	bind(t, s, p)
	return renewWith(t, s, old, p, c, how)
}

// added binds and completes a flow that adds a connection.
func added(t tb, s connect.Store, p connect.Pending, identityID string) connect.Connection {
	t.Helper()
	p = adds(p)
	return connectedWith(t, s, p, finished(p, identityID), several)
}

// pair connects a user twice. The first connection is older, and no task is queued.
func pair(t tb, s connect.Store, user string) (first, second connect.Connection) {
	t.Helper()
	p := flow(user, user+", the first of two")
	first = connectedWith(t, s, p, createdAt(finished(p, identity(user+", the first of two")), noon.Add(-time.Minute)), single)
	second = added(t, s, flow(user, user+", the second of two"), identity(user+", the second of two"))
	markDone(t, s, tag(first), tag(second))
	return first, second
}

// requireComplete completes a flow.
func requireComplete(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion, want connect.Completed) {
	t.Helper()
	got, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete of a pending flow")
	require.True(t, got.First, "First, which Complete returns for a pending flow")
	got.Connection, want.Connection = alike(want.Connection, got.Connection), inUTC(want.Connection)
	require.Equal(t, want, got, "the result of Complete")
}

// requireReload completes a flow again. A store that does not take it for a reload
// queues the tag at another moment.
func requireReload(t tb, s connect.Store, p connect.Pending, c connect.Connection) {
	t.Helper()
	requireReloadWith(t, s, p, c, tagAfter(tagDue.Add(time.Hour)))
}

// requireReloadWith completes a flow again, in any way.
func requireReloadWith(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion) {
	t.Helper()
	done, err := s.Complete(t.Context(), p.TokenHash, c, how)
	require.NoError(t, err, "Complete of a reload")
	require.False(t, done.First, "First, which Complete returns for a reload")
	require.Zero(t, done, "the result of Complete for a reload")
}

// requireRefused completes a flow, and requires an error.
func requireRefused(t tb, s connect.Store, p connect.Pending, c connect.Connection, how connect.Completion, want error) {
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

// requireFlows reads flows that are stored, and looks for others that are not.
func requireFlows(t tb, s connect.Store, stored, removed []connect.Pending) {
	t.Helper()
	for _, p := range stored {
		requireFlow(t, s, p)
	}
	for _, p := range removed {
		requireNoFlow(t, s, p.TokenHash)
	}
}

// requireNoFlow looks for a flow that is not stored.
func requireNoFlow(t tb, s connect.Store, tokenHash string) {
	t.Helper()
	_, err := s.Pending(t.Context(), tokenHash)
	require.ErrorIs(t, err, connect.ErrStateUnknown, "Pending of an unknown flow")
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

// onlyConnection returns the only connection of a user in app.
func onlyConnection(t tb, s connect.Store, user string) connect.Connection {
	t.Helper()
	got, err := s.Connections(t.Context(), app, user)
	require.NoError(t, err, "Connections")
	require.Len(t, got, 1, "the result of Connections")
	return got[0]
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

// disconnect ends all connections of one user, which are given.
func disconnect(t tb, s connect.Store, want ...connect.Connection) {
	t.Helper()
	requireDisconnect(t, s, endAll(want[0].ApplicationID, want[0].UserID, disconnectedAt), want...)
}

// disconnectOne ends one connection.
func disconnectOne(t tb, s connect.Store, want connect.Connection) {
	t.Helper()
	requireDisconnect(t, s, endOne(want), want)
}

// disconnectNone disconnects a user who has no connection.
func disconnectNone(t tb, s connect.Store, application, user string) {
	t.Helper()
	requireDisconnect(t, s, endAll(application, user, disconnectedAt))
}

// requireDisconnect ends connections, which are given in order.
func requireDisconnect(t tb, s connect.Store, d connect.Disconnection, want ...connect.Connection) {
	t.Helper()
	got, err := s.Disconnect(t.Context(), d)
	require.NoError(t, err, "Disconnect")
	requireSame(t, want, got, "the result of Disconnect")
}

// markDone removes tasks.
func markDone(t tb, s connect.Store, tasks ...connect.Task) {
	t.Helper()
	for _, task := range tasks {
		require.NoError(t, s.Done(t.Context(), task), "Done")
	}
}

// postpone postpones a task.
func postpone(t tb, s connect.Store, task connect.Task, notBefore time.Time) {
	t.Helper()
	require.NoError(t, s.Postpone(t.Context(), task, notBefore), "Postpone")
}

// claim claims tasks of app for one lease.
func claim(t tb, s connect.Store, now time.Time, limit int) []connect.Task {
	t.Helper()
	return claimIn(t, s, app, now, now.Add(lease), limit)
}

// claimIn claims tasks of any application.
func claimIn(t tb, s connect.Store, application string, now, until time.Time, limit int) []connect.Task {
	t.Helper()
	got, err := s.Claim(t.Context(), application, now, until, limit)
	require.NoError(t, err, "Claim")
	require.LessOrEqual(t, len(got), max(limit, 0), "the number of tasks that Claim returns")
	for _, task := range got {
		require.Equal(t, application, task.ApplicationID, "the ApplicationID of a task that Claim returns")
		require.Equal(t, until.UTC(), task.NotBefore.UTC(), "the NotBefore of a task that Claim returns")
	}
	return got
}

// requireDue claims all due tasks of both applications, and of those of the tasks that
// are wanted, for one lease.
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

// requireTasks claims all tasks, as long after every other moment. It comes last in a
// check.
func requireTasks(t tb, s connect.Store, want ...connect.Task) {
	t.Helper()
	requireDue(t, s, noon.AddDate(10, 0, 0), want...)
}

// requireSameTasks compares tasks in any order. It ignores NotBefore.
func requireSameTasks(t tb, want, got []connect.Task, what string) {
	t.Helper()
	require.Equal(t, described(want), described(got), what)
}

// described returns a line for each task, sorted.
func described(tasks []connect.Task) []string {
	lines := make([]string, 0, len(tasks))
	for _, t := range tasks {
		lines = append(lines, fmt.Sprintf("%s %q of %q in %q, claimed %d times", t.Kind, t.IdentityID, t.UserID, t.ApplicationID, t.Attempts))
	}
	slices.Sort(lines)
	return lines
}
