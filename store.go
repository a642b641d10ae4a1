package connect

import (
	"context"
	"time"
)

// A Store stores pending flows, connections, and tasks: calls to Anchor that are still to be
// made. [NewMemoryStore] suffices for tests. The module sqlstore serves SQLite, PostgreSQL,
// MySQL and MariaDB, and can run a hook of the app in its transactions. An app with another kind of
// database implements Store. Package storetest tests any implementation.
//
// The rules that every method follows:
//
//   - It is safe for concurrent use by any number of goroutines and replicas.
//   - A method that returns an error has changed nothing. If ctx ends while a
//     transaction is being committed, the call may have taken effect as a whole, but
//     never in part. Repeating Complete is then a reload.
//   - A refusal is an error that the method names, possibly wrapped. Any other error
//     is a system fault: the user is asked to try again (503), the cause is logged, and
//     the flow stays pending.
//   - A cancelled or expired ctx is such a fault: the method soon returns an error that
//     wraps ctx.Err().
//   - Concurrent calls are not a fault. A store waits for them, or retries what the
//     database aborted because of them.
//   - A store has no clock. Every moment it compares with is an argument, has at
//     least microseconds, and denotes the same instant in any zone. Moments from
//     1970 to the end of 9999 can be stored, and may be returned in any zone. A
//     store may truncate or round times to microseconds, if it treats stored values
//     and arguments alike.
//   - Strings are compared byte by byte: case, accents and trailing spaces
//     distinguish two users. A string that cannot be stored exactly (a NUL byte,
//     invalid UTF-8, longer than a column) must be rejected, never truncated or
//     altered. Looking one up finds nothing. ReturnTo may have 1024 bytes, Label 100
//     characters, and any other string 255 bytes; a store may reject longer ones. An
//     IdentityID is a lower-case UUID and may be stored in a column of that type.
//   - An empty TokenHash, ApplicationID, UserID or IdentityID is an error, and so are an
//     empty ID of a connection to store and an unknown Health. Other strings may be
//     empty. [Pending.Validate], [Connection.Validate], [Health.Validate] and
//     [Task.Validate] make these checks.
//   - A user is identified by an application's id together with a user's id. What
//     belongs to one pair is never seen or changed through another.
type Store interface {
	// Bind records a pending flow, which is live until p.ExpiresAt. If the token
	// hash is recorded already, Bind returns an error and the flow that has it stays
	// unchanged. p.Spent and p.IdentityID are ignored: a flow begins live.
	//
	// In the same transaction, other flows of the same user and actor in this
	// application are spent or removed, so that nobody can fill the table. Of those that
	// are not spent, expired ones included, the limit-1 with the latest ExpiresAt stay
	// unchanged and the others are spent, as by Spend. Of those that were spent before
	// the call, completed ones included, the limit with the latest ExpiresAt stay
	// unchanged and the others are removed, as by Sweep. Among flows that expire at the
	// same moment the choice is undefined. p itself always stays, even if it expires
	// first. Racing calls may leave more flows; the next call removes them. limit is at
	// least one.
	//
	// So a flow may be spent, or unknown, when its callback arrives. A connection and its
	// task outlive the flow that made them.
	Bind(ctx context.Context, p Pending, limit int) error

	// Pending returns the flow with this token hash, whether it is live, spent or
	// expired. If it was never bound, or was swept, the error is [ErrStateUnknown].
	Pending(ctx context.Context, tokenHash string) (Pending, error)

	// Spend ends a flow without a connection, so that it can never be completed. It is
	// idempotent: it does not change a flow that is spent or completed, and an unknown
	// one is not an error.
	Spend(ctx context.Context, tokenHash string) error

	// Complete spends the flow with this token hash and stores c, in one transaction, as
	// of the moment c.ConnectedAt. Which connection c becomes depends on the flow and on
	// the user's connections in c.ApplicationID:
	//
	//   - If one of them has c.IdentityID, c renews that one.
	//   - Otherwise, if the flow has a ConnectionID, c renews that connection.
	//   - Otherwise, if the flow does not add a connection (Pending.Adds) and there is
	//     exactly one, c renews that one.
	//   - Otherwise c is one more connection, with c.ID.
	//
	// A renewed connection keeps its ID and CreatedAt, and its Label if c.Label is empty.
	// Every other field is set to that of c, Health and HealthAt included, even if the
	// old HealthAt is later. A new connection has c.ConnectedAt as its CreatedAt;
	// c.CreatedAt is ignored.
	//
	// In the same transaction Complete
	//
	//   - queues the task [TagIdentity] for c, not before how.TagAfter;
	//   - if a renewal replaces an identity with another one, queues
	//     [DeleteIdentity] for the old identity, not before c.ConnectedAt, and
	//     removes its task [TagIdentity].
	//
	// The call that stored c returns it as stored, with First set. Of any number of
	// calls that race for one flow exactly one does. A call for a flow that this user
	// has completed with this identity returns the zero Completed and no error, and
	// changes nothing, even after the flow has expired: it is a reload.
	//
	// Otherwise the call is refused with the first of these errors that applies:
	//
	//   - [ErrStateUnknown]: no flow has this token hash.
	//   - [ErrAnotherUser]: the flow was bound to another c.UserID, c.ActorID or
	//     c.ApplicationID.
	//   - [ErrStateSpent]: it is spent, was completed with another identity, or
	//     began before a Disconnect of all connections of its user: its BegunAt is not
	//     zero and is before the latest moment that such a Disconnect was given for
	//     this user and application. That includes a flow bound after that call.
	//   - [ErrStateExpired]: c.ConnectedAt is not before its ExpiresAt.
	//   - [ErrIdentityRetired]: [DeleteIdentity] is queued for c.IdentityID. That
	//     applies to everybody, its former user included, and also while the task is
	//     claimed or postponed. After Done the identity is like any other.
	//   - [ErrIdentityTaken]: c.IdentityID belongs to a connection of any other user,
	//     in this application or another, where the same user id counts as another
	//     user. Of two calls that race for one identity only one may succeed.
	//   - [ErrIdentityTooOld]: how.SameIdentity is set, and no connection of the user
	//     in this application has c.IdentityID at this moment. A concurrent call that
	//     replaces or ends the connection takes effect wholly before or wholly after.
	//   - [ErrConnectionUnknown]: the flow has a ConnectionID, and the user has no
	//     such connection in this application at this moment.
	//   - [ErrIdentityConnected]: the flow has a ConnectionID, and another connection
	//     of the user has c.IdentityID.
	//   - [ErrConnectionLimit]: c would be one more connection, and the user has
	//     how.MaxConnections or more; or the flow neither has a ConnectionID nor adds,
	//     and the user has several, none of which has c.IdentityID. Racing calls never
	//     exceed the limit.
	//   - [ErrConnectionChanged]: how.Accepted is not nil, and c would renew another
	//     connection than that, or one whose identity is another by now, or be one more.
	//
	// Whether a string that cannot be stored or an unknown Health is refused before
	// or after these is undefined.
	Complete(ctx context.Context, tokenHash string, c Connection, how Completion) (Completed, error)

	// Connections returns the user's connections in an application, ordered by CreatedAt
	// and then ID. No connection is not an error. Apps call it on their own request path,
	// so it should be one look-up by key.
	Connections(ctx context.Context, applicationID, userID string) ([]Connection, error)

	// SetHealth records the health of the connection that has this identity, of any user
	// and application, as of the moment at by Anchor's clock. It returns the connection as
	// it is afterwards, and reports whether its Health has changed. The error is
	// [ErrNotConnected] if no connection has this identity.
	//
	// News counts if it is later than the connection's HealthAt, or if it is of that
	// very moment and says [HealthNeedsSignIn] where the connection says [HealthOK].
	// News that counts sets both Health and HealthAt, even if Health stays the same,
	// and nothing else; other news changes nothing. So the result does not depend on
	// the order of the calls or their number. Of any number of calls that race to
	// make one change exactly one returns true.
	SetHealth(ctx context.Context, identityID string, health Health, at time.Time) (c Connection, changed bool, err error)

	// SetLabel sets the Label of one connection of the user, and nothing else, and
	// returns the connection. If the user has no connection with this ID in this
	// application, the error is [ErrConnectionUnknown]. An empty label removes it.
	SetLabel(ctx context.Context, applicationID, userID, connectionID, label string) (Connection, error)

	// Disconnect ends one connection of the user, or all, and returns those that it
	// ended, in the order of Connections. In the same transaction it queues
	// [DeleteIdentity] for their identities, not before d.DeleteAfter, and removes
	// their tasks [TagIdentity].
	//
	// With d.ConnectionID it ends that connection alone. If the user has no such
	// connection in this application, it changes nothing and the error is
	// [ErrConnectionUnknown]. It spends the flows of the user in this application
	// that could renew the connection: those with this ConnectionID, and those that
	// neither have a ConnectionID nor add. It also spends the flow that was completed
	// with the connection's identity, so that a reload does not call it connected.
	//
	// Without d.ConnectionID it ends all connections of the user in this application,
	// and spends all flows. No connection is not an error. It also records d.At until
	// Sweep removes it: a flow that began before d.At cannot be completed, even if it is
	// bound after the call; see Complete. Of several calls the latest d.At counts, in
	// any order. A call that fails may have recorded its d.At.
	//
	// A flow that Disconnect spends, live or completed, becomes Spent with an empty
	// IdentityID, so a later callback or a reload is [ErrStateSpent].
	Disconnect(ctx context.Context, d Disconnection) ([]Connection, error)

	// ApplicationsOf returns the ids of the applications in which the user has a
	// connection or a flow that is not spent, expired ones included. Each id is returned
	// once, in any order. No application is not an error.
	ApplicationsOf(ctx context.Context, userID string) ([]string, error)

	// Applications returns the ids of all applications that have a connection or
	// a task. Each id is returned once, in any order. [Handler.Run] calls it once, to
	// find applications that the handler does not serve.
	Applications(ctx context.Context) ([]string, error)

	// Queue queues a task, not before t.NotBefore and with no attempts, if its condition
	// holds at this moment:
	//
	//   - [TagIdentity] needs a connection of t.UserID in t.ApplicationID that has
	//     the identity. Otherwise the error is [ErrNotConnected].
	//   - [DeleteIdentity] needs that no connection of any user has the identity.
	//     Otherwise the error is [ErrIdentityTaken]. From then on Complete refuses the
	//     identity.
	//
	// It replaces a task of this kind that is queued for the identity already. A
	// concurrent Complete or Disconnect takes effect wholly before or wholly after.
	Queue(ctx context.Context, t Task) error

	// Claim returns up to limit tasks of one application whose NotBefore is not after
	// now, those that are due longest first, and sets their NotBefore to until. That is a
	// lease: no other call returns them until then, and a task whose worker has died is
	// returned again afterwards. Each returned task has the new NotBefore, and Attempts
	// incremented by one. Concurrent calls never return the same task, and do not wait
	// long for each other. No due task is not an error, nor is a limit below one. Tasks
	// are returned in any order.
	Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]Task, error)

	// Done removes a task, by its Kind and IdentityID. It is idempotent.
	Done(ctx context.Context, t Task) error

	// Postpone sets the NotBefore of a task, by its Kind and IdentityID. If there is no
	// such task, it does nothing and returns no error.
	Postpone(ctx context.Context, t Task, notBefore time.Time) error

	// Sweep removes up to limit flows, live or spent, whose ExpiresAt is before a moment,
	// and returns how many. It never removes connections or tasks. A limit below one
	// removes nothing. Afterwards the token hash is unknown, and may be bound again.
	//
	// It also removes up to limit of the times that Disconnect has recorded, if they are
	// before that moment; they do not count in the result. The moment must be earlier than
	// the BegunAt of any live flow, or a flow could outlast the Disconnect that ended it.
	Sweep(ctx context.Context, before time.Time, limit int) (int, error)
}

// A Lister is a [Store] that can list connections, for support pages, nightly jobs
// and reconciling. It is optional; MemoryStore and sqlstore implement it.
type Lister interface {
	// List returns up to q.Limit connections of an application, ordered by ID byte by
	// byte, that come after q.After. With q.Health it returns only those that have
	// this health; an unknown one is an error. A page with fewer than q.Limit connections
	// is the last one. A limit below one returns none. Over all pages, a connection that
	// exists throughout is returned exactly once.
	List(ctx context.Context, q ListQuery) ([]Connection, error)

	// WithIdentities returns the connections that have one of these identities, of any
	// user and application, in any order. No connection is not an error. It is called
	// with up to a few hundred identities.
	WithIdentities(ctx context.Context, identityIDs []string) ([]Connection, error)
}

// A ListQuery says which connections [Lister].List returns.
type ListQuery struct {
	// ApplicationID is the application.
	ApplicationID string
	// Health selects connections that have this health; empty selects all.
	Health Health
	// After is the ID of the last connection of the previous page. Empty means from the
	// beginning.
	After string
	// Limit is how many connections a page has at most.
	Limit int
}

// Pending is a pending flow: what is known when its identity token is issued. It is stored
// under the token's hash; the token itself is never stored.
type Pending struct {
	// TokenHash is Anchor's hash of the identity token, the key.
	TokenHash string
	// ApplicationID is the Anchor application that the token was issued for.
	ApplicationID string
	// UserID is the owner of the connection to be made: see [User].
	UserID string
	// ActorID is the actor, who alone may finish the flow. It is empty if the owner acts.
	ActorID string
	// ConnectionID is the connection that the flow renews. It is empty if the flow
	// adds a connection, or is for the user's only one.
	ConnectionID string
	// Adds reports whether the flow adds a connection beside those that the user has.
	// If it is false and ConnectionID is empty, the flow renews the user's only
	// connection, or adds the first one.
	Adds bool
	// Label is the Label that the connection gets. Empty keeps the one it has.
	Label string
	// ReturnTo is the local path to redirect to afterwards; empty means
	// Config.SuccessURL.
	ReturnTo string
	// BegunAt is when the flow began, by the app's clock: before Config.User was called. A
	// Disconnect after it ends the flow. The zero time means unknown: then only a
	// Disconnect after Bind does.
	BegunAt time.Time
	// IssuedAt is when Anchor issued the token, by Anchor's clock. An older identity was
	// not made with it.
	IssuedAt time.Time
	// ExpiresAt is when the flow stops being live, by the app's clock.
	ExpiresAt time.Time

	// Spent reports whether the flow is over: completed, or ended without a
	// connection.
	Spent bool
	// IdentityID is the identity that the flow was completed with. It is empty while
	// the flow is live, if it ended without a connection, and after Disconnect.
	IdentityID string
}

// A Completion says how [Store].Complete stores a connection.
type Completion struct {
	// TagAfter is the earliest moment at which the task [TagIdentity] may be
	// claimed.
	TagAfter time.Time
	// SameIdentity allows no identity but one that a connection of the user already
	// has. It is set for an identity that is not fresh.
	SameIdentity bool
	// MaxConnections is how many connections a user may have in the application. A
	// value below one counts as one.
	MaxConnections int
	// Accepted is what the app has agreed to, if it was asked: the connection that is
	// renewed, as it was then, or the zero Connection for one more. Its ID and
	// IdentityID count. It is nil if the app was not asked.
	Accepted *Connection
}

// Completed is what [Store].Complete has stored.
type Completed struct {
	// First reports whether this call stored the connection. If it is false, nothing
	// has changed and the other fields are zero.
	First bool
	// Connection is the connection as it is now.
	Connection Connection
	// Replaced is the identity that the connection had before, if it had another one.
	Replaced string
}

// A Disconnection says what [Store].Disconnect ends.
type Disconnection struct {
	// ApplicationID and UserID are whose connections end.
	ApplicationID, UserID string
	// ConnectionID is the connection to end; empty means all.
	ConnectionID string
	// At is the moment of the call, by the app's clock. It counts only without a
	// ConnectionID.
	At time.Time
	// DeleteAfter is the earliest moment at which the tasks [DeleteIdentity] may be
	// claimed.
	DeleteAfter time.Time
}

// Connection is a user's account at the application's site, which Anchor keeps as
// an identity.
type Connection struct {
	// ID is the connection's own id: opaque, random, usable in URLs and as a foreign
	// key. It stays the same if the user signs in again, though the identity may
	// change.
	ID string
	// ApplicationID is the Anchor application.
	ApplicationID string
	// UserID is the owner: see [User].
	UserID string
	// ActorID is the actor who signed in last, if that was another than the owner.
	ActorID string
	// IdentityID is Anchor's id of the identity, a UUID in lower case.
	IdentityID string
	// Label is the user's or the app's own name for the account, such as "work": at most
	// 100 characters. It may be empty.
	Label string
	// CreatedAt is when the connection began, by the app's clock.
	CreatedAt time.Time
	// ConnectedAt is when the user last signed in, by the app's clock.
	ConnectedAt time.Time
	// Health says whether the identity is still signed in, as far as is known.
	Health Health
	// HealthAt is since when Health is known, by Anchor's clock: the last news, or the
	// sign-in.
	HealthAt time.Time
}

// Health says whether an identity still opens browser sessions that are signed in. It comes
// from webhook events, sessions and checks. A new connection has [HealthOK].
type Health string

const (
	// HealthOK: the identity is signed in, as far as is known.
	HealthOK Health = "ok"
	// HealthNeedsSignIn: Anchor could not sign in. The user has to connect again.
	HealthNeedsSignIn Health = "needs_sign_in"
)

// TaskKind says which call to Anchor a [Task] is.
type TaskKind string

const (
	// TagIdentity writes the user's id into the metadata of the identity.
	TagIdentity TaskKind = "tag"
	// DeleteIdentity deletes an identity that no connection has.
	DeleteIdentity TaskKind = "delete"
)

// A Task is a call to Anchor that is still to be made. It is stored in the transaction that
// makes it necessary, and removed when the call has succeeded (an outbox). An identity has
// at most one task of each Kind; queuing another one replaces it, with no attempts.
type Task struct {
	Kind          TaskKind
	ApplicationID string
	UserID        string
	IdentityID    string
	// NotBefore is when the task may be claimed (again).
	NotBefore time.Time
	// Attempts is how often it has been claimed.
	Attempts int
}
