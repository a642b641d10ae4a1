package connect

import (
	"context"
	"time"
)

// A Store keeps what must outlive a request: pending flows, connections, and the
// calls that are owed to Anchor. [NewMemoryStore] is enough for tests. The sqlstore
// module serves SQLite, PostgreSQL and MySQL, and can run a hook of the app's inside
// its transactions. An app with another kind of database writes its own. Package
// storetest tests any implementation against the rules below.
//
// The rules that every method follows:
//
//   - It is safe for concurrent use by any number of goroutines and replicas.
//   - A method that returns an error has changed nothing. If ctx ends while a
//     transaction is being committed, the call may have taken effect as a whole, but
//     never in part. Repeating Complete is then a reload.
//   - If the answer is "no", the error is one that the method names, possibly
//     wrapped. Any other error is a system fault: the user is asked to try again
//     (503), the cause is logged, and the flow stays open.
//   - A cancelled or expired ctx is such a fault. The method returns in bounded
//     time, with an error that wraps ctx.Err().
//   - Concurrent calls are not a fault. A store waits for them, or repeats what the
//     database broke off because of them.
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
//   - An empty TokenHash, ApplicationID, UserID or IdentityID is an error, so is an
//     empty ID of a connection to store, and an unknown Health. The other strings may
//     be empty. [Pending.Validate], [Connection.Validate], [Health.Validate] and
//     [Task.Validate] make these checks.
//   - A user is identified by an application's id together with a user's id. What
//     belongs to one pair is never seen or changed through another.
type Store interface {
	// Bind records a pending flow, which is live until p.ExpiresAt. If the token
	// hash is recorded already, Bind returns an error and the flow that has it stays
	// unchanged. p.Spent and p.IdentityID are ignored: a flow begins live.
	//
	// In the same transaction, other flows of the same user and actor in this
	// application make room, so that nobody can fill the table. Of those that are
	// not spent, expired ones included, the limit-1 with the latest ExpiresAt stay
	// unchanged and the others are spent, as by Spend. Of those that were spent
	// before the call, completed ones included, the limit with the latest ExpiresAt
	// stay unchanged and the others are removed, as by Sweep. Which of several that
	// expire at the same moment go is undefined. p itself always stays, even if it
	// expires first. Racing calls may leave more than that; the next call removes
	// them. limit is at least one.
	//
	// So a flow may be spent, or unknown, when its user comes back. A connection and
	// its task outlive the flow that made them.
	Bind(ctx context.Context, p Pending, limit int) error

	// Pending returns the flow with this token hash, whether it is live, spent or
	// expired. If it was never bound, or was swept, the error is [ErrStateUnknown].
	Pending(ctx context.Context, tokenHash string) (Pending, error)

	// Spend ends a flow without a connection, so that it can never be completed.
	// Spending one that is spent, completed or unknown changes nothing and is no
	// error.
	Spend(ctx context.Context, tokenHash string) error

	// Complete spends the flow with this token hash and stores c, in one
	// transaction. It judges by the moment c.ConnectedAt. Which connection c becomes
	// depends on the flow and on the user's connections in c.ApplicationID:
	//
	//   - If one of them has c.IdentityID, c renews that one.
	//   - Otherwise, if the flow has a ConnectionID, c renews that connection.
	//   - Otherwise, if the flow does not add a connection (Pending.Adds) and there is
	//     exactly one, c renews that one.
	//   - Otherwise c is one more connection, with c.ID.
	//
	// A renewed connection keeps its ID and CreatedAt, and its Label if c.Label is
	// empty. Everything else becomes that of c, also Health and HealthAt, even if the
	// old ones are known from later. A new connection has c.ConnectedAt as its
	// CreatedAt; c.CreatedAt is ignored.
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
	//     in this application has c.IdentityID at this moment. A call that replaces or
	//     ends the connection at the same time comes wholly before or wholly after.
	//   - [ErrConnectionUnknown]: the flow has a ConnectionID, and the user has no
	//     such connection in this application at this moment.
	//   - [ErrIdentityConnected]: the flow has a ConnectionID, and another connection
	//     of the user has c.IdentityID.
	//   - [ErrConnectionLimit]: c would be one more connection, and the user has
	//     how.MaxConnections or more; or the flow neither has a ConnectionID nor adds,
	//     and the user has several, none of which has c.IdentityID. Calls that race to add connections never exceed
	//     the limit.
	//   - [ErrConnectionChanged]: how.Accepted is not nil, and c would renew another
	//     connection than that, or one whose identity is another by now, or be one more.
	//
	// Whether a string that cannot be stored or an unknown Health is refused before
	// or after these is undefined.
	Complete(ctx context.Context, tokenHash string, c Connection, how Completion) (Completed, error)

	// Connections returns the user's connections in an application, ordered by
	// CreatedAt and then ID. None is an empty answer and no error. It is the method
	// on an app's own request path: one look-up by key.
	Connections(ctx context.Context, applicationID, userID string) ([]Connection, error)

	// SetHealth records what was learned about an identity: that the connection
	// which has it, whoever's it is and in whatever application, has this health
	// since the moment at, by Anchor's clock. It returns the connection as it is
	// afterwards, and reports whether its Health has changed. If no connection has
	// this identity, because it was replaced, has ended or never existed, the error
	// is [ErrNotConnected].
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
	// and spends all flows. If there is no connection the answer is empty, which is no
	// error. It also remembers d.At until Sweep forgets it: a flow that began before
	// d.At cannot be completed, even if it is bound after the call; see Complete. Of
	// several calls the latest moment counts, in whatever order they arrive. A call
	// that fails may have remembered its moment.
	//
	// A flow that Disconnect spends, whether it is live or completed, becomes Spent
	// with an empty IdentityID. A callback that arrives later, or a reload, is
	// [ErrStateSpent].
	Disconnect(ctx context.Context, d Disconnection) ([]Connection, error)

	// ApplicationsOf returns the ids of the applications in which the user has a
	// connection or a flow that is not spent, expired ones included. Each id is
	// returned once, in any order. None is no error.
	ApplicationsOf(ctx context.Context, userID string) ([]string, error)

	// Applications returns the ids of all applications that have a connection or
	// a task. Each id is returned once, in any order. [Handler.Run] calls it once,
	// to find those that no handler serves any more.
	Applications(ctx context.Context) ([]string, error)

	// Queue queues a task, not before t.NotBefore and with no attempts, if the
	// identity's owner is who it should be at this moment:
	//
	//   - [TagIdentity] needs a connection of t.UserID in t.ApplicationID that has
	//     the identity. Otherwise the error is [ErrNotConnected].
	//   - [DeleteIdentity] needs that no connection has the identity, whoever's it
	//     would be. Otherwise the error is [ErrIdentityTaken]. From then on Complete
	//     refuses the identity.
	//
	// A task of this kind that is queued for the identity already is replaced. A
	// Complete or Disconnect that races for the identity comes wholly before or
	// wholly after.
	Queue(ctx context.Context, t Task) error

	// Claim takes up to limit tasks of one application whose NotBefore is not
	// after now, the longest due first, and sets their NotBefore to until. Until then
	// nobody else is given them: until is a lease, and a task whose worker died is
	// given out again when it ends. Tasks of other applications stay unchanged. Each
	// returned task has the new NotBefore and one more in Attempts than before. Of
	// several calls at once no two return the same task, and none waits long for
	// another. If none is due the answer is empty and no error; so it is for a limit
	// below one. Tasks are returned in any order.
	Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]Task, error)

	// Done removes a task, found by its Kind and IdentityID. If there is none, that
	// is no error.
	Done(ctx context.Context, t Task) error

	// Postpone sets a task's NotBefore, found by its Kind and IdentityID. If there is
	// none, that is no error and none is made.
	Postpone(ctx context.Context, t Task, notBefore time.Time) error

	// Sweep removes up to limit flows whose ExpiresAt is before the moment
	// given, whatever their state, and returns how many. Connections and tasks
	// are never swept. A limit below one removes nothing. Afterwards the token
	// hash is unknown, and may be bound again.
	//
	// It also forgets up to limit moments of Disconnect that are before the one
	// given. They do not count in what it returns. The moment given must be longer
	// ago than any live flow began, or a flow could outlast the Disconnect that
	// ended it.
	Sweep(ctx context.Context, before time.Time, limit int) (int, error)
}

// A Lister is a [Store] that can list connections, for support pages, nightly jobs
// and reconciling. It is optional; MemoryStore and sqlstore implement it.
type Lister interface {
	// List returns up to q.Limit connections of an application, ordered by ID byte by
	// byte, that come after q.After. With q.Health it returns only those that have
	// this health; an unknown one is an error. An answer with fewer than q.Limit
	// connections is the last page. A limit below one is an empty answer. Over all
	// pages, a connection that exists throughout is returned exactly once.
	List(ctx context.Context, q ListQuery) ([]Connection, error)

	// WithIdentities returns the connections that have one of these identities, of any
	// user and application, in any order. None is an empty answer and no error. It is
	// called with up to a few hundred identities.
	WithIdentities(ctx context.Context, identityIDs []string) ([]Connection, error)
}

// A ListQuery says which connections [Lister].List returns.
type ListQuery struct {
	// ApplicationID is the application.
	ApplicationID string
	// Health selects connections that have this health; empty selects all.
	Health Health
	// After is the ID of the last connection of the previous page; empty begins at
	// the start.
	After string
	// Limit is how many connections a page has at most.
	Limit int
}

// Pending is a pending flow: what was promised to a user when an identity token was
// issued. It is stored under the token's hash; the token itself is never stored.
type Pending struct {
	// TokenHash is Anchor's hash of the identity token, the key.
	TokenHash string
	// ApplicationID is the Anchor application that the token was issued for.
	ApplicationID string
	// UserID is the owner of the connection to be made: see [User].
	UserID string
	// ActorID is who acts for the owner, the only one who may finish the flow. It is
	// empty if the owner acts.
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
	// BegunAt is when the flow began, by the app's clock: before the app was asked
	// who is signed in. A Disconnect after it ends the flow. The zero time means
	// unknown; then only a Disconnect after Bind does.
	BegunAt time.Time
	// IssuedAt is when Anchor issued the token, by Anchor's clock. An identity
	// that is older was not made with it.
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
	// ActorID is who signed in last, if that was another than the owner.
	ActorID string
	// IdentityID is Anchor's id of the identity, a UUID in lower case.
	IdentityID string
	// Label is the user's or the app's own word for the account, such as "work": at
	// most 100 characters. It may be empty.
	Label string
	// CreatedAt is when the connection began, by the app's clock.
	CreatedAt time.Time
	// ConnectedAt is when the user last signed in, by the app's clock.
	ConnectedAt time.Time
	// Health says whether the identity is still signed in, as far as is known: see
	// Handler.Webhook.
	Health Health
	// HealthAt is the moment that Health is known from, by Anchor's clock: that
	// of the last news, or of the sign-in.
	HealthAt time.Time
}

// Health says whether an identity still opens browser sessions that are signed in. A
// connection begins as [HealthOK].
type Health string

const (
	// HealthOK: nothing is known against it.
	HealthOK Health = "ok"
	// HealthNeedsSignIn: Anchor could not sign in again. The user has to connect
	// once more.
	HealthNeedsSignIn Health = "needs_sign_in"
)

// TaskKind names a call that is owed to Anchor.
type TaskKind string

const (
	// TagIdentity writes the user's id into the metadata of the identity.
	TagIdentity TaskKind = "tag"
	// DeleteIdentity deletes an identity that no connection uses any more.
	DeleteIdentity TaskKind = "delete"
)

// A Task is a call owed to Anchor, stored in the transaction that makes it
// necessary and kept until it has been made: an outbox. There is at most one
// of each Kind for an identity. Queuing it again leaves one, with the newer
// values and no attempts.
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
