package connect

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// minOrphanAge is how old an orphan must be: older than any pending flow, and than a
	// tag that an outage of a day has delayed.
	minOrphanAge = 24 * time.Hour

	// defaultReconcileRate is how many calls a minute [Application.Reconcile] makes.
	defaultReconcileRate = 60
)

// ReconcileOptions configure [Application.Reconcile]. The zero value changes nothing, in
// the store or at Anchor.
type ReconcileOptions struct {
	// Repair stores the health of connections whose identity is gone or has a bad
	// status, and queues missing tags.
	Repair bool
	// DeleteOrphans deletes orphans at Anchor. An identity that only another system knows
	// is an orphan, too, also one of another environment that shares the application: see
	// [Application.Adopt] first.
	DeleteOrphans bool
	// CallsPerMinute bounds the calls to Anchor. Defaults to 60.
	CallsPerMinute int
	// After is the Cursor of an earlier report, to continue where it stopped. Empty means
	// from the beginning.
	After string
	// Found is called for each finding, in the goroutine that called Reconcile. Defaults
	// to nil: findings are only counted.
	Found func(Finding)
}

// A FindingKind is what [Application.Reconcile] has found.
type FindingKind string

const (
	// FoundGone: the identity of a connection no longer exists at Anchor.
	FoundGone FindingKind = "gone"
	// FoundBadStatus: Anchor calls the identity of a connection unusable.
	FoundBadStatus FindingKind = "bad_status"
	// FoundUntagged: the metadata of a connection's identity does not name its user.
	FoundUntagged FindingKind = "untagged"
	// FoundForeignMark: the metadata of a connection's identity names another user. It is
	// never changed: an operator has to look at it.
	FoundForeignMark FindingKind = "foreign_mark"
	// FoundUnknownMark: an identity of the application has metadata, and no connection has
	// the identity. It may be another environment's, and is never changed.
	FoundUnknownMark FindingKind = "unknown_mark"
	// FoundOrphan: an identity of the application has no metadata and is older than a day,
	// and no connection has it. A late, refused or lost callback leaves such an identity.
	FoundOrphan FindingKind = "orphan"
)

// A Finding is a difference between the store and Anchor.
type Finding struct {
	// Kind is what was found.
	Kind FindingKind
	// IdentityID is the identity.
	IdentityID string
	// Connection is the connection that has the identity; its ID is empty if none has.
	Connection Connection
	// Repaired reports whether Reconcile has repaired it, or queued a task that will.
	Repaired bool
}

// A ReconcileReport says what [Application.Reconcile] has compared and found. String
// formats it for people.
type ReconcileReport struct {
	// Connections and Identities are how many of each were compared.
	Connections, Identities int
	// Found is how many findings there were of each kind, and Repaired how many of them
	// were repaired.
	Found, Repaired map[FindingKind]int
	// Calls is how many calls to Anchor were made.
	Calls int
	// Cursor is where to continue, for ReconcileOptions.After. It is empty if Reconcile has
	// reached the end.
	Cursor string
}

// String returns the report in a few lines of text.
func (r ReconcileReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "compared %d connections and %d other identities, with %d calls\n", r.Connections, r.Identities, r.Calls)
	for _, kind := range []FindingKind{FoundGone, FoundBadStatus, FoundUntagged, FoundForeignMark, FoundUnknownMark, FoundOrphan} {
		if n := r.Found[kind]; n > 0 {
			fmt.Fprintf(&b, "%s: %d, of which %d repaired\n", kind, n, r.Repaired[kind])
		}
	}
	if r.Cursor != "" {
		fmt.Fprintf(&b, "stopped early: continue after %q\n", r.Cursor)
	}
	return b.String()
}

// The two halves of a cursor.
const (
	atConnection = "connection:" // followed by the ID of the last one
	atIdentities = "identities"
)

// Reconcile compares each of this application's connections with Anchor, and then Anchor's
// list of the application's identities with the connections. By default it only reports:
// see [ReconcileOptions].
//
// Its memory is bounded. It makes one call for each connection, one for each page of
// Anchor's list, and one for each old identity on it that no connection has. It may run
// beside traffic, replicas and [Handler.Run]: the transaction that queues the deletion of
// an orphan checks again that no connection has it.
//
// If ctx ends or a call fails, it returns what it has found so far, with a Cursor, and the
// error: [errors.ErrUnsupported] if Config.Store is not a [Lister], [ErrStoreFailed], one
// of the errors of an upstream failure, or that of ctx.
func (a *Application) Reconcile(ctx context.Context, options ReconcileOptions) (ReconcileReport, error) {
	r := &reconciler{
		a: a, options: options,
		report: ReconcileReport{Found: map[FindingKind]int{}, Repaired: map[FindingKind]int{}, Cursor: options.After},
	}
	var err error
	if r.lister, err = a.h.lister(); err != nil {
		return r.report, err
	}
	rate := options.CallsPerMinute
	if rate <= 0 {
		rate = defaultReconcileRate
	}
	r.pause = time.Minute / time.Duration(rate)
	// The key of another project finds no identities at all.
	err = r.call(ctx, func() error { _, err := a.h.anchor.Application(ctx, a.id); return err })
	if err != nil {
		return r.report, upstreamError("look up the application", err)
	}
	if options.After != atIdentities {
		after, ok := strings.CutPrefix(options.After, atConnection)
		if !ok && options.After != "" {
			return r.report, fmt.Errorf("connect: Reconcile: After is %q, not the Cursor of a report", clip(options.After))
		}
		if err := r.connections(ctx, after); err != nil {
			return r.report, err
		}
		r.report.Cursor = atIdentities
	}
	if err := r.identities(ctx); err != nil {
		return r.report, err
	}
	r.report.Cursor = ""
	return r.report, nil
}

// reconciler is one call of [Application.Reconcile].
type reconciler struct {
	a       *Application
	options ReconcileOptions
	lister  Lister
	pause   time.Duration // between two calls to Anchor
	next    time.Time     // when the next call may be made
	report  ReconcileReport
}

// connections compares each connection after the one with an ID.
func (r *reconciler) connections(ctx context.Context, after string) error {
	for c, err := range r.a.List(ctx, ListOptions{After: after}) {
		if err != nil {
			return err
		}
		if err := r.connection(ctx, c); err != nil {
			return err
		}
		r.report.Connections++
		r.report.Cursor = atConnection + c.ID
	}
	return nil
}

// connection compares a connection with its identity.
func (r *reconciler) connection(ctx context.Context, c Connection) error {
	var identity anchorhttp.Identity
	var at time.Time
	err := r.call(ctx, func() (err error) {
		identity, at, err = r.a.h.askIdentity(ctx, c)
		return err
	})
	finding := Finding{IdentityID: c.IdentityID, Connection: c}
	switch {
	case anchorhttp.IsNotFound(err):
		finding.Kind = FoundGone
		return r.found(finding, r.options.Repair, func() error { return r.learn(ctx, c, at) })
	case err != nil:
		return upstreamError("get the identity", err)
	}
	if !ownedBy(identity.Metadata, c.UserID) {
		finding.Kind = FoundForeignMark
		return r.found(finding, false, nil)
	}
	if identity.SignIn() == anchorhttp.SignInBad {
		finding.Kind = FoundBadStatus
		err := r.found(finding, r.options.Repair, func() error { return r.learn(ctx, c, at) })
		if err != nil {
			return err
		}
	}
	r.a.h.logUnknownStatus(ctx, identity)
	if isUnmarked(identity.Metadata) {
		finding.Kind = FoundUntagged
		return r.found(finding, r.options.Repair, func() error {
			err := r.a.h.queue(ctx, Task{
				Kind: TagIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID, NotBefore: r.a.h.now(),
			})
			if errors.Is(err, ErrNotConnected) {
				return errOvertaken
			}
			return err
		})
	}
	return nil
}

// learn stores that a connection needs a new sign-in.
func (r *reconciler) learn(ctx context.Context, c Connection, at time.Time) error {
	_, err := r.a.h.learn(ctx, c.IdentityID, HealthNeedsSignIn, at)
	if errors.Is(err, ErrNotConnected) {
		return errOvertaken
	}
	return err
}

// errOvertaken is returned if there is nothing left to repair.
var errOvertaken = errors.New("overtaken")

// identities reports the identities of the application that no connection has.
func (r *reconciler) identities(ctx context.Context) error {
	next, stop := iter.Pull2(r.a.h.anchor.ApplicationIdentityPages(ctx, r.a.id, anchorhttp.IdentityFilter{}))
	defer stop()
	for {
		var page []anchorhttp.ApplicationIdentity
		more := false
		err := r.once(ctx, func() (err error) {
			page, err, more = next()
			return err
		})
		switch {
		case err != nil:
			return upstreamError("list the application's identities", err)
		case !more:
			return nil
		}
		for part := range slices.Chunk(page, listPage) { // Anchor may answer with the whole list.
			if err := r.identitiesOf(ctx, part); err != nil {
				return err
			}
		}
	}
}

// identitiesOf reports which of some identities no connection has.
func (r *reconciler) identitiesOf(ctx context.Context, items []anchorhttp.ApplicationIdentity) error {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.ID
	}
	connections, err := r.lister.WithIdentities(ctx, ids)
	if err != nil {
		return storeError("look up connections by identity", err)
	}
	held := make(map[string]bool, len(connections))
	for _, c := range connections {
		held[c.IdentityID] = true
	}
	for _, item := range items {
		if held[item.ID] || !isOrphanAge(item.CreatedAt, item.Date) {
			continue
		}
		if err := r.identity(ctx, item.ID); err != nil {
			return err
		}
		r.report.Identities++
	}
	return nil
}

// isOrphanAge reports whether an identity is old enough to be an orphan at a moment of
// Anchor's clock. One without a date is not.
func isOrphanAge(created, at time.Time) bool {
	return !created.IsZero() && at.Sub(created) > minOrphanAge
}

// identity reports an identity that no connection has.
func (r *reconciler) identity(ctx context.Context, identityID string) error {
	var identity anchorhttp.Identity
	err := r.call(ctx, func() (err error) {
		identity, err = r.a.h.anchor.Identity(ctx, identityID)
		return err
	})
	switch {
	case anchorhttp.IsNotFound(err):
		return nil // Deleted meanwhile.
	case err != nil:
		return upstreamError("get the identity", err)
	case !isOrphanAge(identity.CreatedAt, identity.Date):
		return nil
	}
	finding := Finding{Kind: FoundOrphan, IdentityID: identityID}
	if len(identity.Metadata) > 0 {
		finding.Kind = FoundUnknownMark
		return r.found(finding, false, nil)
	}
	return r.found(finding, r.options.DeleteOrphans, func() error {
		task := Task{
			Kind: DeleteIdentity, ApplicationID: r.a.id, UserID: orphanOwner,
			IdentityID: identityID, NotBefore: r.a.h.now().Add(taskLease),
		}
		// Once it is queued, no callback can connect the identity.
		if err := r.a.h.queue(ctx, task); errors.Is(err, ErrIdentityTaken) {
			return errOvertaken
		} else if err != nil {
			return err
		}
		return r.call(ctx, func() error {
			r.a.h.work(ctx, task) // Run retries it.
			return nil
		})
	})
}

// orphanOwner is the user of a task about an identity without an owner: a store requires
// one.
const orphanOwner = "-"

// found counts a finding, repairs it if that is wanted, and reports it.
func (r *reconciler) found(finding Finding, wanted bool, repair func() error) error {
	if wanted {
		err := repair()
		if errors.Is(err, errOvertaken) {
			return nil
		}
		if err != nil {
			return err
		}
		finding.Repaired = true
		r.report.Repaired[finding.Kind]++
	}
	r.report.Found[finding.Kind]++
	if r.options.Found != nil {
		r.options.Found(finding)
	}
	return nil
}

// call makes a call to Anchor when it is due. After a 429 it waits as long as Anchor asks,
// and retries.
func (r *reconciler) call(ctx context.Context, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := r.once(ctx, do)
		var answer *anchorhttp.Error
		if attempt == maxReconcileRests || !errors.As(err, &answer) || answer.StatusCode != http.StatusTooManyRequests {
			return err
		}
		r.next = time.Now().Add(max(r.pause, min(answer.RetryAfter, maxAskedDelay)))
	}
}

// once is call without retries.
func (r *reconciler) once(ctx context.Context, do func() error) error {
	if err := sleepUntil(ctx, r.next); err != nil {
		return err
	}
	r.next = time.Now().Add(r.pause)
	r.report.Calls++
	return do()
}

// maxReconcileRests is how often one call is retried after a 429.
const maxReconcileRests = 5

// sleepUntil waits until a moment, or returns the error of ctx.
func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
