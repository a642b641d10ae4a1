package storetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

const (
	app      = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"
	otherApp = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"

	healthOK    = connect.HealthOK
	needsSignIn = connect.HealthNeedsSignIn

	// micro is the precision that every store must have.
	micro = time.Microsecond
	// lease is how long a claim lasts.
	lease = time.Hour
	// plenty is a limit that no check reaches.
	plenty = 1000
)

// A store has no clock, so time stands still in the checks. noon is decades ahead: a
// store that uses a clock of its own finds nothing expired and nothing due.
var (
	noon = time.Date(2061, time.May, 17, 12, 0, 0, 123_456_000, time.UTC)
	// signedIn is when the user signed in, by Anchor's clock.
	signedIn = noon.Add(-3*time.Second - 5*micro)
	// begun is the BegunAt of flows. disconnectedAt is earlier, so that a Disconnect ends
	// no later flow unless a check changes one of the two.
	begun          = noon.Add(-2*time.Second - 3*micro)
	disconnectedAt = noon.Add(-time.Hour)
	// tagDue and deleteDue are the NotBefore of tasks.
	tagDue    = noon.Add(time.Minute)
	deleteDue = noon.Add(2 * time.Minute)
)

// later returns a moment some minutes after signedIn.
func later(minutes int) time.Time {
	return signedIn.Add(time.Duration(minutes) * time.Minute)
}

// single allows one connection, and several allows more than any check makes.
var (
	single  = upTo(1)
	several = upTo(plenty)
)

// upTo allows a number of connections.
func upTo(limit int) connect.Completion {
	return connect.Completion{TagAfter: tagDue, MaxConnections: limit}
}

// sameIdentity returns how with SameIdentity set.
func sameIdentity(how connect.Completion) connect.Completion {
	how.SameIdentity = true
	return how
}

// accepted returns how with the connection that the app has accepted to renew, or with
// addition.
func accepted(how connect.Completion, c connect.Connection) connect.Completion {
	how.Accepted = &c
	return how
}

// addition is what an app accepts that has been asked about one more connection.
var addition connect.Connection

// tagAfter allows one connection, whose tag is due at a moment.
func tagAfter(due time.Time) connect.Completion {
	how := single
	how.TagAfter = due
	return how
}

// hash returns a token hash made from a label.
func hash(label string) string {
	sum := sha256.Sum256([]byte(label))
	return hex.EncodeToString(sum[:])
}

// identity returns an identity's id made from a label.
func identity(label string) string {
	sum := sha256.Sum256([]byte(label))
	sum[6] = sum[6]&0x0f | 0x40
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// flow returns a pending flow of a user in app, without an actor, ConnectionID or Adds.
// Its token hash is made from the label, which must be unique in the check.
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

// flowIn returns a flow in any application.
func flowIn(application, user, label string) connect.Pending {
	p := flow(user, label)
	p.ApplicationID = application
	return p
}

// begunAt returns a flow that began at a moment.
func begunAt(user, label string, begun time.Time) connect.Pending {
	p := flow(user, label)
	p.BegunAt = begun
	return p
}

// expiring returns a flow that expires some minutes after noon.
func expiring(user, label string, minutes int) connect.Pending {
	p := flow(user, label)
	p.ExpiresAt = noon.Add(time.Duration(minutes) * time.Minute)
	return p
}

// adds returns p with Adds set.
func adds(p connect.Pending) connect.Pending {
	p.Adds = true
	return p
}

// renews returns p with a ConnectionID.
func renews(p connect.Pending, connectionID string) connect.Pending {
	p.ConnectionID = connectionID
	return p
}

// actedBy returns p with an ActorID.
func actedBy(p connect.Pending, actor string) connect.Pending {
	p.ActorID = actor
	return p
}

// completed returns p as it is after Complete.
func completed(p connect.Pending, identityID string) connect.Pending {
	p.Spent, p.IdentityID = true, identityID
	return p
}

// spent returns p as it is after Spend.
func spent(p connect.Pending) connect.Pending { return completed(p, "") }

// finished returns the new connection that completes p at noon.
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

// createdAt returns the new connection c with another moment.
func createdAt(c connect.Connection, moment time.Time) connect.Connection {
	c.CreatedAt, c.ConnectedAt = moment, moment
	return c
}

// connectedAt returns c with another ConnectedAt.
func connectedAt(c connect.Connection, moment time.Time) connect.Connection {
	c.ConnectedAt = moment
	return c
}

// withHealth returns c with a health.
func withHealth(c connect.Connection, health connect.Health, at time.Time) connect.Connection {
	c.Health, c.HealthAt = health, at
	return c
}

// withLabel returns c with a label.
func withLabel(c connect.Connection, label string) connect.Connection {
	c.Label = label
	return c
}

// renewal returns c as it is stored when it renews old.
func renewal(old, c connect.Connection) connect.Connection {
	c.ID, c.CreatedAt, c.Label = old.ID, old.CreatedAt, cmp.Or(c.Label, old.Label)
	return c
}

// inUTC returns c with its times in UTC.
func inUTC(c connect.Connection) connect.Connection {
	c.CreatedAt, c.ConnectedAt, c.HealthAt = c.CreatedAt.UTC(), c.ConnectedAt.UTC(), c.HealthAt.UTC()
	return c
}

// sortByID sorts connections that have the same CreatedAt.
func sortByID(connections ...connect.Connection) []connect.Connection {
	slices.SortFunc(connections, func(a, b connect.Connection) int { return strings.Compare(a.ID, b.ID) })
	return connections
}

// alike returns got in UTC. Where a time of want is finer than a microsecond and got
// is nearer to it than that, it has the time of want.
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

// newTask returns a task as the first Claim returns it.
func newTask(kind connect.TaskKind, application, user, identityID string) connect.Task {
	return connect.Task{Kind: kind, ApplicationID: application, UserID: user, IdentityID: identityID, Attempts: 1}
}

// tag returns the task that tags the identity of c, as the first Claim returns it.
func tag(c connect.Connection) connect.Task {
	return newTask(connect.TagIdentity, c.ApplicationID, c.UserID, c.IdentityID)
}

// deletion returns the task that deletes the identity of c, as the first Claim returns
// it.
func deletion(c connect.Connection) connect.Task {
	return newTask(connect.DeleteIdentity, c.ApplicationID, c.UserID, c.IdentityID)
}

// attempted returns a task as the n-th Claim returns it.
func attempted(t connect.Task, n int) connect.Task {
	t.Attempts = n
	return t
}

// endAll ends all connections of a user.
func endAll(application, user string, at time.Time) connect.Disconnection {
	return connect.Disconnection{ApplicationID: application, UserID: user, At: at, DeleteAfter: deleteDue}
}

// endOne ends one connection. Its At does not count, and is after all flows began.
func endOne(c connect.Connection) connect.Disconnection {
	d := endAll(c.ApplicationID, c.UserID, noon)
	d.ConnectionID = c.ID
	return d
}
