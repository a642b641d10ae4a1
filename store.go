package connect

import (
	"context"
	"time"
)

// A Store keeps what must outlive a request: starts that have not come back
// yet, connections, and the calls that are still owed to Anchor. It is the one
// part of connect that an app may want to write itself, on the users table it
// already has; [NewMemoryStore] is enough for tests, and the sqlstore module
// serves SQLite, PostgreSQL and MySQL. Package storetest proves any
// implementation against the rules below.
//
// What every method keeps to:
//
//   - It may be called concurrently, by any number of goroutines and replicas.
//   - A method that returns an error has changed nothing. When ctx ends while
//     a transaction is being committed, the call may have happened wholly, but
//     never in part; repeating Complete is then a reload.
//   - The error is one of those the method names, possibly wrapped, when the
//     answer is "no". Any other error is a fault of the system: the person is
//     told to try again (503), the log gets the cause and the flow stays open.
//   - A cancelled or expired ctx is such a fault: the method returns in bounded
//     time, with an error that wraps ctx.Err().
//   - What other calls do at the same time is no fault: a store waits for them,
//     or repeats by itself what the database broke off for their sake.
//   - A store has no clock. Every moment it compares with comes as an argument,
//     keeps at least microseconds, and is the same instant in whatever zone it
//     was given. Moments from 1970 to the end of 9999 are kept. What is finer
//     than a microsecond may be cut or rounded, in what is kept as in what it is
//     compared with, so that equal moments stay equal. A moment may come back in
//     any zone.
//   - Texts are compared byte by byte: case, accents and trailing spaces tell
//     two users apart. A text that cannot be kept exactly (a NUL byte, bytes
//     that are no UTF-8, more than a column holds) is an error, never a
//     shortened or altered text, and looking one up finds nothing that is
//     there. 1024 bytes must fit in ReturnTo, 255 elsewhere; a longer text is
//     kept exactly or refused. An IdentityID is a UUID in lower case, and may be
//     kept in a column of that type.
//   - An empty TokenHash, ApplicationID, UserID or IdentityID is an error too, and
//     so is a Health that is none of the two; ReturnTo may be empty.
//     [Pending.Validate], [Connection.Validate] and [Health.Validate] are these
//     checks.
//   - A user is known by an application's id and a user's id together. What one
//     pair owns is never seen or changed through another.
type Store interface {
	// Bind records a start, live until p.ExpiresAt. A token hash that is
	// already there is an error, and the start that has it stays as it was.
	// p.Spent and p.IdentityID are ignored: a start begins live.
	//
	// In the same transaction the other starts of the user in this application
	// make room for it, so that nobody can fill the table. Of those that are not
	// spent, expired ones too, the limit-1 with the latest ExpiresAt stay as they
	// are and the others are spent, as by Spend. Of those that were spent before
	// the call, completed ones too, the limit with the latest ExpiresAt are kept
	// as they are and the others removed, as by Sweep. Which of those go that
	// expire at one moment is open. p itself always stays, though it expires
	// first. Calls that race may leave some more, which the next call makes up
	// for. limit is one or more.
	//
	// So a start may be spent, or unknown, by the time its person comes back. A
	// connection and its task outlive the start they came with.
	Bind(ctx context.Context, p Pending, limit int) error

	// Pending returns the start with this token hash, whether it is live, spent
	// or expired: which of them it is the caller reads from the answer. One
	// that was never bound, or has been swept, is [ErrStateUnknown].
	Pending(ctx context.Context, tokenHash string) (Pending, error)

	// Spend ends a start without a connection, so that it can never be
	// completed. Spending one that is spent, completed or unknown changes
	// nothing and is no error.
	Spend(ctx context.Context, tokenHash string) error

	// Complete spends the start with this token hash and stores c as the
	// connection of its user, in one transaction. The moment it judges by is
	// c.ConnectedAt. In that same transaction it
	//
	//   - queues the task [TagIdentity] for c, not before how.TagAfter;
	//   - when c replaces a connection with another identity, queues
	//     [DeleteIdentity] for that identity, not before c.ConnectedAt, and
	//     drops its task [TagIdentity].
	//
	// With the identity that the user has already, c is the newer connection,
	// tagged again, and nothing is to be deleted. Either way the connection is c
	// with its Health and HealthAt, though the old one's be known from later.
	//
	// first is true for the call that stored c. Of any number of calls that
	// race for one start exactly one returns true. A call for a start that was
	// completed before by this user and with this identity returns false and no
	// error, and changes nothing, even after the start has expired: it is the
	// same return again, a reload.
	//
	// Otherwise it is refused, with the first of these that holds:
	//
	//   - [ErrStateUnknown]: no start has this token hash.
	//   - [ErrAnotherUser]: the start was bound to another c.UserID or
	//     c.ApplicationID.
	//   - [ErrStateSpent]: it is spent, was completed with another identity, or
	//     began before a Disconnect of its user: its BegunAt is not zero and is
	//     before the latest moment that Disconnect was given for this user and
	//     application. That holds for a start bound after that call too.
	//   - [ErrStateExpired]: c.ConnectedAt is not before its ExpiresAt.
	//   - [ErrIdentityRetired]: [DeleteIdentity] is queued for c.IdentityID, for
	//     everybody, its former user too, and also while the task is claimed or
	//     postponed. After Done the identity is like any other.
	//   - [ErrIdentityTaken]: c.IdentityID is the connection of any other user,
	//     in this application or another (where the same user id counts as another
	//     user). Two calls that race for one identity must not both pass.
	//   - [ErrIdentityTooOld]: how.SameIdentity, and c.IdentityID is not the
	//     identity of the user's connection at this moment, or there is none. A
	//     call that replaces or ends the connection at the same time comes wholly
	//     before or wholly after.
	//
	// Where among these a text that cannot be kept or a Health that is none is
	// refused is open.
	Complete(ctx context.Context, tokenHash string, c Connection, how Completion) (first bool, err error)

	// Connection returns the user's connection, or [ErrNotConnected]. It is the
	// method on an app's own request path: one look-up by key.
	Connection(ctx context.Context, applicationID, userID string) (Connection, error)

	// SetHealth records what an event said of an identity: that the connection
	// which has it, whoever's it is and in whatever application, has this health
	// since the moment at, by Anchor's clock. It returns the connection as it is
	// afterwards, and whether its Health is another than before. No connection
	// with this identity, because it was replaced or has ended or never was, is
	// [ErrNotConnected].
	//
	// An event counts when it is later than the connection's HealthAt, or when at
	// that very moment it says [HealthNeedsSignIn] and the connection
	// [HealthOK]. One that counts sets both Health and HealthAt, also when Health
	// is what it was, and nothing else of the connection; any other changes
	// nothing. So however often and in whatever order events come, the end is the
	// same. Of any number of calls that race to make one change, exactly one
	// returns true.
	SetHealth(ctx context.Context, identityID string, health Health, at time.Time) (c Connection, changed bool, err error)

	// Disconnect ends the user's connection and returns it, in one transaction
	// that also queues [DeleteIdentity] for its identity, not before
	// deleteAfter, and drops its task [TagIdentity]. No connection is
	// [ErrNotConnected].
	//
	// Either way it spends every start of the user in this application, live or
	// completed: each becomes Spent with an empty IdentityID, so that nothing
	// begun earlier outlives it. A return that is still under way is
	// [ErrStateSpent], and so is a reload. (This is the one method that changes
	// something beside returning an error: the starts, beside [ErrNotConnected].)
	//
	// It also remembers at, the moment of the call by the app's clock, until Sweep
	// forgets it. A start that began before at cannot be completed, even when it is
	// bound after the call: see Complete. Of several calls the latest moment counts,
	// in whatever order they come. A call that fails may have remembered its moment.
	Disconnect(ctx context.Context, applicationID, userID string, at, deleteAfter time.Time) (Connection, error)

	// ApplicationsOf returns the ids of the applications in which the user has a
	// connection or a start that is not spent, expired ones too. Each id is returned
	// once, in any order. A user who has none is no error.
	ApplicationsOf(ctx context.Context, userID string) ([]string, error)

	// Applications returns the ids of all applications that have a connection or
	// a task. Each id is returned once, in any order. [Handler.Run] calls it once,
	// to find those that nobody serves any more.
	Applications(ctx context.Context) ([]string, error)

	// Claim takes up to limit tasks of one application whose NotBefore is not
	// after now, the longest due first, and sets their NotBefore to until, so
	// that nobody else is given them before: until is a lease, and a task whose
	// worker died is given out again when it ends. Tasks of other applications
	// stay as they are. Each returned task has the new NotBefore and one more in
	// Attempts than before. Of several that claim at once no two are given the
	// same task, and neither waits long for the other. None due is an empty
	// answer and no error; so is a limit below one. They come in no particular
	// order.
	Claim(ctx context.Context, applicationID string, now, until time.Time, limit int) ([]Task, error)

	// Done removes a task, found by its Kind and IdentityID. One that is not
	// there is no error.
	Done(ctx context.Context, t Task) error

	// Postpone sets a task's NotBefore, found by its Kind and IdentityID. One
	// that is not there is no error and is not made.
	Postpone(ctx context.Context, t Task, notBefore time.Time) error

	// Sweep removes up to limit starts whose ExpiresAt is before the moment
	// given, whatever their state, and returns how many. Connections and tasks
	// are never swept. A limit below one removes nothing. Afterwards the token
	// hash is unknown, and may be bound again.
	//
	// It also forgets up to limit moments of Disconnect that are before the one
	// given. They do not count in what it returns. The moment given must be longer
	// ago than any live start began, or a start could outlast the Disconnect that
	// ended it.
	Sweep(ctx context.Context, before time.Time, limit int) (int, error)
}

// Pending is a start: what was promised to a user when an identity token was
// issued. It is kept under the token's hash, never the token.
type Pending struct {
	// TokenHash is Anchor's hash of the identity token, the key.
	TokenHash string
	// ApplicationID is the Anchor application that the token was issued for.
	ApplicationID string
	// UserID is the app's user who began, the only one who may finish.
	UserID string
	// ReturnTo is the local path to go to afterwards; empty means
	// Config.SuccessURL.
	ReturnTo string
	// BegunAt is when the flow began, by the app's clock: before the app was asked
	// who is signed in. A Disconnect after it ends the flow. The zero time means
	// unknown; then only a Disconnect after Bind does.
	BegunAt time.Time
	// IssuedAt is when Anchor issued the token, by Anchor's clock. An identity
	// that is older was not made with it.
	IssuedAt time.Time
	// ExpiresAt is when the start stops being live, by the app's clock.
	ExpiresAt time.Time

	// Spent says that the start can no longer be completed.
	Spent bool
	// IdentityID is the identity that it was completed with. It is empty while
	// the start is live, when it was spent without a connection, and after
	// Disconnect.
	IdentityID string
}

// A Completion says how [Store].Complete stores a connection.
type Completion struct {
	// TagAfter is the earliest moment at which the task [TagIdentity] may be
	// claimed.
	TagAfter time.Time
	// SameIdentity allows no identity but the one that the user's connection
	// already has. It is set for an identity that is not fresh.
	SameIdentity bool
}

// Connection is a user's account at the application's site, held by Anchor as
// an identity. A user has at most one for an application.
type Connection struct {
	// ApplicationID is the Anchor application.
	ApplicationID string
	// UserID is the app's user.
	UserID string
	// IdentityID is Anchor's id of the identity, a UUID in lower case.
	IdentityID string
	// ConnectedAt is when the connection was stored, by the app's clock.
	ConnectedAt time.Time
	// Health tells whether the identity is still signed in, as far as Anchor has
	// said: see Handler.Webhook.
	Health Health
	// HealthAt is the moment that Health is known from, by Anchor's clock: that
	// of the last event, or of the sign-in.
	HealthAt time.Time
}

// Health tells whether an identity still opens browser sessions that are signed
// in. A connection begins as [HealthOK].
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
// of each Kind for an identity; queuing it again leaves one, with the newer
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
