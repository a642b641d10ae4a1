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
	// minOrphanAge is how old an identity must be to count as an orphan. No flow lasts
	// longer, nor does a tag that an outage of a day put off.
	minOrphanAge = 24 * time.Hour

	// defaultReconcileRate is how many calls a minute [Application.Reconcile] makes.
	defaultReconcileRate = 60
)

// ReconcileOptions say what [Application.Reconcile] does. The zero value changes
// nothing, here or at Anchor.
type ReconcileOptions struct {
	// Repair stores the health of connections whose identity is gone or has a bad
	// status, and queues missing tags.
	Repair bool
	// DeleteOrphans deletes orphans at Anchor. Adopt first what an app has connected by
	// other means: an identity that only another system knows is an orphan here. That
	// includes other environments that share the application.
	DeleteOrphans bool
	// CallsPerMinute bounds the calls to Anchor. Defaults to 60.
	CallsPerMinute int
	// After is the Cursor of an earlier report, to go on where it stopped; empty begins
	// at the start.
	After string
	// Found is called for each finding, by the goroutine that called Reconcile. Defaults
	// to counting alone.
	Found func(Finding)
}

// A FindingKind is what [Application.Reconcile] has found.
type FindingKind string

const (
	// FoundGone: the identity of a connection does not exist at Anchor any more.
	FoundGone FindingKind = "gone"
	// FoundBadStatus: Anchor calls the identity of a connection unusable.
	FoundBadStatus FindingKind = "bad_status"
	// FoundUntagged: the identity of a connection does not name its user.
	FoundUntagged FindingKind = "untagged"
	// FoundForeignMark: the identity of a connection names another user. It is never
	// changed: a person has to look at it.
	FoundForeignMark FindingKind = "foreign_mark"
	// FoundUnknownMark: no connection has an identity of the application, and its
	// metadata has something. It may be that of another environment, and is never
	// changed.
	FoundUnknownMark FindingKind = "unknown_mark"
	// FoundOrphan: no connection has an identity of the application, its metadata is
	// empty, and it is older than a day. Users whose return was late, refused or lost
	// leave such identities behind.
	FoundOrphan FindingKind = "orphan"
)

// A Finding is something that the store and Anchor do not agree about.
type Finding struct {
	// Kind is what was found.
	Kind FindingKind
	// IdentityID is the identity.
	IdentityID string
	// Connection is the connection that has the identity; its ID is empty if none has.
	Connection Connection
	// Repaired reports whether Reconcile has stored, queued or deleted something
	// because of it.
	Repaired bool
}

// A ReconcileReport says what [Application.Reconcile] has looked at and found. Its
// String method is for people.
type ReconcileReport struct {
	// Connections and Identities are how many of each were looked at.
	Connections, Identities int
	// Found is how many findings there were of each kind, and Repaired how many of them
	// were repaired.
	Found, Repaired map[FindingKind]int
	// Calls is how many calls to Anchor were made.
	Calls int
	// Cursor is where to go on, for ReconcileOptions.After. It is empty if Reconcile has
	// come to the end.
	Cursor string
}

// String returns the report in a few lines of text.
func (r ReconcileReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "looked at %d connections and %d other identities, with %d calls\n", r.Connections, r.Identities, r.Calls)
	for _, kind := range []FindingKind{FoundGone, FoundBadStatus, FoundUntagged, FoundForeignMark, FoundUnknownMark, FoundOrphan} {
		if n := r.Found[kind]; n > 0 {
			fmt.Fprintf(&b, "%s: %d, of which %d repaired\n", kind, n, r.Repaired[kind])
		}
	}
	if r.Cursor != "" {
		fmt.Fprintf(&b, "stopped early: go on after %q\n", r.Cursor)
	}
	return b.String()
}

// The two halves of a cursor.
const (
	atConnection = "connection:" // followed by the ID of the last one
	atIdentities = "identities"
)

// Reconcile compares this application's connections with Anchor, one by one, and then
// Anchor's list of the application's identities with the connections. By default it
// only reports: see [ReconcileOptions] for what else it does.
//
// Memory is bounded, whatever the numbers. It makes one call for each connection, one
// for each page of Anchor's list and one for each identity on it that no connection
// has, at CallsPerMinute. It may run beside traffic, replicas and [Handler.Run]: what
// changes meanwhile comes before or after it, and an orphan is checked against the
// store again in the transaction that decides to delete it.
//
// If it stops early, because ctx ends or something fails, it returns what it has found
// so far, with a Cursor, and the error: [errors.ErrUnsupported] if Config.Store is not
// a [Lister], [ErrStoreFailed], one of the errors of an upstream failure, or that of
// ctx.
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
	// The key of another project finds no identity at all.
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

// connections looks at each connection after the one with an ID.
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

// errOvertaken says that there is nothing to repair any more.
var errOvertaken = errors.New("overtaken")

// identities looks at each identity of the application that no connection has.
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
		for part := range slices.Chunk(page, listPage) { // A server may answer everything at once.
			if err := r.identitiesOf(ctx, part); err != nil {
				return err
			}
		}
	}
}

// identitiesOf looks at those of some identities that no connection has.
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

// isOrphanAge reports whether an identity is old enough to be an orphan, at a moment by
// Anchor's clock. One without a date is not.
func isOrphanAge(created, at time.Time) bool {
	return !created.IsZero() && !at.IsZero() && at.Sub(created) > minOrphanAge
}

// identity looks at an identity that no connection has.
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
		// From here on no callback can connect it.
		if err := r.a.h.queue(ctx, task); errors.Is(err, ErrIdentityTaken) {
			return errOvertaken
		} else if err != nil {
			return err
		}
		return r.call(ctx, func() error {
			r.a.h.work(ctx, task) // What fails is left to Run.
			return nil
		})
	})
}

// orphanOwner is the user of a task that concerns nobody's identity: a store needs one.
const orphanOwner = "-"

// found counts a finding, repairs it if that is wanted, and tells the app of it.
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

// call makes a call to Anchor when it is due. After a 429 it waits as long as Anchor
// asks, and calls again.
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

// once is call without a second attempt.
func (r *reconciler) once(ctx context.Context, do func() error) error {
	if err := sleepUntil(ctx, r.next); err != nil {
		return err
	}
	r.next = time.Now().Add(r.pause)
	r.report.Calls++
	return do()
}

// maxReconcileRests is how often one call is made again after a 429.
const maxReconcileRests = 5

// sleepUntil waits for a moment, or returns the error of ctx.
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
