package connect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// An EventKind is what has happened.
type EventKind string

const (
	// Connected: a connection was stored, a new one or one that the user has signed in
	// to again.
	Connected EventKind = "connected"
	// Disconnected: a connection was ended.
	Disconnected EventKind = "disconnected"
	// Refused: a callback was refused for lack of a proof; or everything was proved, and
	// Config.Accept, the number of the user's connections or the connection to renew
	// stood against it.
	Refused EventKind = "refused"
	// Tagged: the identity's metadata names the user.
	Tagged EventKind = "tagged"
	// Renamed: a connection has another label.
	Renamed EventKind = "renamed"
	// HealthChanged: a connection's health has changed, by an event of Anchor's, a
	// refused session or a check.
	HealthChanged EventKind = "health_changed"
	// Started: a flow has begun.
	Started EventKind = "started"
	// Cancelled: a user has cancelled on the hosted page.
	Cancelled EventKind = "cancelled"
	// SignInFailed: the hosted page reports that the sign-in failed.
	SignInFailed EventKind = "sign_in_failed"
	// Expired: a user has come back after the flow's time.
	Expired EventKind = "expired"
	// SessionOpened: a browser session was opened with a connection.
	SessionOpened EventKind = "session_opened"
	// SessionRefused: Anchor refused a browser session, or did not answer.
	SessionRefused EventKind = "session_refused"
	// TaskRefused: Anchor refuses a call that is owed to it, in a way that trying
	// again seldom changes (400, 401, 403, 422). It is tried again all the same,
	// ever more rarely, up to once an hour, and each time is an event.
	TaskRefused EventKind = "task_refused"
)

// An Event is something that has happened, told to Config.OnEvent: enough for an
// audit log, and free of secrets.
type Event struct {
	// Kind is what has happened.
	Kind EventKind
	// Time is when, by the app's clock.
	Time time.Time
	// UserID is the owner whom it concerns. Of a return that was refused it is that of
	// who is signed in, empty for nobody.
	UserID string
	// ActorID is who acted for the owner, if that was another: of Started, Connected,
	// Cancelled, SignInFailed, Expired, Refused, Renamed and Disconnected only. It is
	// empty if the app itself acted.
	ActorID string
	// ConnectionID is the connection. It is empty of Refused and TaskRefused. Of Started,
	// Cancelled, SignInFailed and Expired it is the one that the flow was to renew, empty
	// for none in particular.
	ConnectionID string
	// Application and ApplicationID are the short name and the id of the
	// application. The name is empty for Config.ApplicationID. Both are empty
	// when a return is refused before it is known which application it is for.
	Application, ApplicationID string
	// IdentityID is the identity. Of a return that was refused it is what the
	// browser said, and empty when that was no UUID or when one of proofs 1 to 4
	// failed: an identity that nobody owns yet could be claimed by whoever learns
	// its id.
	IdentityID string
	// Replaced is the identity that the connection had before, if a renewal replaced it
	// with another one: of Connected only. It will be deleted at Anchor.
	Replaced string
	// Label is the connection's label, of Connected and Renamed.
	Label string
	// Health is the connection's health since now: of HealthChanged only.
	Health Health
	// Proof is the number, 1 to 8, of the proof that failed, as README.md counts
	// them: of Refused and Expired only. It is 0 if all of them held.
	Proof int
	// Reason is why: of Refused, Cancelled, SignInFailed and Expired one of this
	// package's errors; of SessionRefused the error
	// that NewSession returned; of TaskRefused what Anchor answered, an
	// [*anchorhttp.Error].
	Reason error
	// SessionID is the browser session: of SessionOpened only.
	SessionID string
	// Task is the call that was refused: of TaskRefused only.
	Task TaskKind
}

// event is an event that concerns an application, which may be nil.
func (a *Application) event(kind EventKind, userID, identityID string) Event {
	e := Event{Kind: kind, UserID: userID, IdentityID: identityID}
	if a != nil {
		e.Application, e.ApplicationID = a.name, a.id
	}
	return e
}

// connectionEvent is an event that concerns a connection, which may be that of an
// application which this handler does not serve.
func (h *Handler) connectionEvent(kind EventKind, c Connection) Event {
	e := h.applications.withID(c.ApplicationID).event(kind, c.UserID, c.IdentityID)
	e.ApplicationID, e.ConnectionID = c.ApplicationID, c.ID
	if kind == Connected || kind == Renamed {
		e.Label = c.Label
	}
	return e
}

// taskEvent is an event of a task that Anchor refuses.
func (h *Handler) taskEvent(t Task) Event {
	e := h.connectionEvent(TaskRefused, Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: t.IdentityID})
	e.Task = t.Kind
	if e.UserID == orphanOwner {
		e.UserID = ""
	}
	return e
}

// refusal returns the event of a callback that was refused, if it is one: a fault and a
// return that may still come are none.
func (e flowEvidence) refusal(err error) (Event, bool) {
	number, reason := failedProof(err)
	event := e.application.event(Refused, e.user.ID, "")
	event.ActorID, event.Proof, event.Reason = e.user.Actor, number, reason
	switch {
	case errors.Is(err, ErrStateExpired):
		event.Kind = Expired
	case errors.Is(err, ErrCancelled) && e.proved:
		event.Kind, event.Reason = Cancelled, ErrCancelled
	case errors.Is(err, ErrSignInFailed) && e.proved:
		event.Kind, event.Reason = SignInFailed, ErrSignInFailed
	case endsFlow(err), errors.Is(err, ErrIdentityConnected):
		event.Reason = err
	case number == 0:
		return Event{}, false
	}
	if event.Kind != Refused {
		event.ConnectionID = e.pending.ConnectionID
	} else if number == 0 || number > 4 {
		// Before that whoever reads it could claim an identity that nobody owns.
		event.IdentityID = e.result.identityID
	}
	return event, true
}

// happened passes an event on. It never waits.
func (h *Handler) happened(ctx context.Context, e Event) {
	if h.events.handle == nil {
		return
	}
	e.Time = h.now()
	h.events.add(ctx, e)
}

const (
	// maxEvents is how many events wait for OnEvent at most. maxShare is how many of
	// them may be of one eventShare other than shareUsers: none crowds out the others,
	// nor what users do.
	maxEvents = 1000
	maxShare  = maxEvents / 5
	// eventTimeout is the time that the ctx of OnEvent has.
	eventTimeout = 10 * time.Second
)

// events hands events to OnEvent, one after the other in the order in which they
// happened, in a goroutine that is there only while there are any: no request
// waits for the app's code or fails by it.
type events struct {
	handle func(context.Context, Event) // nil: nobody wants to know
	log    *slog.Logger

	mu      sync.Mutex
	waiting []eventCall
	count   [eventShares]int // of those that wait, by share
	idle    chan struct{}    // closed when the goroutine ends; nil without one
}

// An eventShare is the part of the queue that an event counts for.
type eventShare int

const (
	shareUsers     eventShare = iota
	shareFlows                // Flows and labels: a signed-in user causes as many as they like.
	shareSessions             // The app itself causes them.
	shareRefusals             // A user with a pending flow causes them.
	shareStrangers            // Anybody causes them: proofs 1 to 3.
	eventShares
)

// share returns the part of the queue that an event counts for.
func (e Event) share() eventShare {
	switch e.Kind {
	case Started, Cancelled, SignInFailed, Expired, Renamed:
		return shareFlows
	case SessionOpened, SessionRefused:
		return shareSessions
	case TaskRefused:
		return shareRefusals
	case Refused:
		if e.Proof >= 1 && e.Proof <= 3 {
			return shareStrangers
		}
		return shareRefusals
	}
	return shareUsers
}

// limit returns how many events of a share may wait.
func (s eventShare) limit() int {
	if s == shareUsers {
		return maxEvents
	}
	return maxShare
}

type eventCall struct {
	ctx   context.Context
	event Event
}

func (q *events) add(ctx context.Context, e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	share := e.share()
	if len(q.waiting) >= maxEvents || q.count[share] >= share.limit() {
		q.log.ErrorContext(ctx, "connect: an event was dropped: OnEvent is too slow", "kind", e.Kind, "user", e.UserID, "identity", e.IdentityID)
		return
	}
	// The values of ctx may serve the app; that the request ends is no matter.
	q.waiting = append(q.waiting, eventCall{context.WithoutCancel(ctx), e})
	q.count[share]++
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.work()
	}
}

func (q *events) work() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			close(q.idle)
			q.idle, q.waiting = nil, nil
			q.mu.Unlock()
			return
		}
		call := q.waiting[0]
		q.waiting[0] = eventCall{} // Nothing of the request is kept.
		q.waiting = q.waiting[1:]
		q.count[call.event.share()]--
		q.mu.Unlock()

		ctx, cancel := context.WithTimeout(call.ctx, eventTimeout)
		err := recovered(func() error { q.handle(ctx, call.event); return nil })
		cancel()
		if err != nil {
			q.log.ErrorContext(call.ctx, "connect: OnEvent", "kind", call.event.Kind, "error", err)
		}
	}
}

// settled waits until no event is left, or ctx ends.
func (q *events) settled(ctx context.Context) {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
