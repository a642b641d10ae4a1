package connect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// An EventKind says what has happened.
type EventKind string

const (
	// Connected: a connection was stored, a new one or one that the user has signed in
	// to again.
	Connected EventKind = "connected"
	// Disconnected: a connection was ended.
	Disconnected EventKind = "disconnected"
	// Refused: a callback failed a proof, or was refused although everything was proved:
	// by Config.Accept, by the limit of connections, or because of the connection to
	// renew.
	Refused EventKind = "refused"
	// Tagged: the identity's metadata names the user.
	Tagged EventKind = "tagged"
	// Renamed: a connection has another label.
	Renamed EventKind = "renamed"
	// HealthChanged: a connection's health has changed, because of a webhook event, a
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
	// TaskRefused: Anchor refused the call of a task in a way that a retry seldom changes
	// (400, 401, 403, 422). It is retried at growing intervals of up to an hour, and each
	// refusal is an event.
	TaskRefused EventKind = "task_refused"
)

// An Event is something that has happened: what Config.OnEvent receives. It has enough for
// an audit log, and no secrets.
type Event struct {
	// Kind is what has happened.
	Kind EventKind
	// Time is when, by the app's clock.
	Time time.Time
	// UserID is the owner. For a refused callback it is that of the user who is signed in,
	// or empty.
	UserID string
	// ActorID is the actor, if that was another than the owner, of Started, Connected,
	// Cancelled, SignInFailed, Expired, Refused, Renamed and Disconnected. It is empty if
	// the app itself acted.
	ActorID string
	// ConnectionID is the connection. For Started, Cancelled, SignInFailed and Expired it is
	// the one that the flow was to renew, or empty. For Refused and TaskRefused it is empty.
	ConnectionID string
	// Application and ApplicationID are the short name and the id of the
	// application. The name is empty for Config.ApplicationID. Both are empty if a
	// callback is refused before its application is known.
	Application, ApplicationID string
	// IdentityID is the identity. For a refused callback it is the id from the URL. It is
	// empty if that is not a UUID, or if one of proofs 1 to 4 has failed: a reader of the
	// event could claim an identity that nobody owns yet.
	IdentityID string
	// Replaced is the identity that a renewal has replaced, of Connected. It will be
	// deleted at Anchor.
	Replaced string
	// Label is the connection's label, of Connected and Renamed.
	Label string
	// Health is the connection's new health, of HealthChanged.
	Health Health
	// Proof is the number, 1 to 8, of the proof that has failed, of Refused and Expired. It
	// is 0 if all of them held. docs/flow.md lists the proofs.
	Proof int
	// Reason is one of this package's errors for Refused, Cancelled, SignInFailed and
	// Expired, the error of NewSession for SessionRefused, and Anchor's answer, an
	// [*anchorhttp.Error], for TaskRefused.
	Reason error
	// SessionID is the browser session, of SessionOpened.
	SessionID string
	// Task is the kind of the refused task, of TaskRefused.
	Task TaskKind
}

// event returns an event about an application, which may be nil.
func (a *Application) event(kind EventKind, userID, identityID string) Event {
	e := Event{Kind: kind, UserID: userID, IdentityID: identityID}
	if a != nil {
		e.Application, e.ApplicationID = a.name, a.id
	}
	return e
}

// connectionEvent returns an event about a connection, which may be of an application that
// this handler does not serve.
func (h *Handler) connectionEvent(kind EventKind, c Connection) Event {
	e := h.applications.withID(c.ApplicationID).event(kind, c.UserID, c.IdentityID)
	e.ApplicationID, e.ConnectionID = c.ApplicationID, c.ID
	if kind == Connected || kind == Renamed {
		e.Label = c.Label
	}
	return e
}

// taskEvent returns the event of a task that Anchor refuses.
func (h *Handler) taskEvent(t Task) Event {
	e := h.connectionEvent(TaskRefused, Connection{ApplicationID: t.ApplicationID, UserID: t.UserID, IdentityID: t.IdentityID})
	e.Task = t.Kind
	if e.UserID == orphanOwner {
		e.UserID = ""
	}
	return e
}

// refusal returns the event of a refused callback. Faults, and a sign-in that is not
// finished, have none.
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
		// Otherwise a reader of the event could claim an identity that nobody owns.
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
	// eventTimeout is how long the ctx of OnEvent lasts.
	eventTimeout = 10 * time.Second
)

// events calls OnEvent for one event after the other, in their order, in a goroutine that
// exists only while there are any. So no request waits for the app's code or fails by it.
type events struct {
	handle func(context.Context, Event) // nil: there is no OnEvent
	log    *slog.Logger

	mu      sync.Mutex
	waiting []eventCall
	count   [eventShares]int // of those that wait, by share
	idle    chan struct{}    // closed when the goroutine ends; nil without one
}

// An eventShare is a part of the queue.
type eventShare int

const (
	shareUsers     eventShare = iota
	shareFlows                // Flows and labels: a signed-in user can cause any number.
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
	// The event keeps the values of ctx, but outlives the request.
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
		q.waiting[0] = eventCall{} // Release what it references.
		q.waiting = q.waiting[1:]
		q.count[call.event.share()]--
		q.mu.Unlock()

		ctx, cancel := context.WithTimeout(call.ctx, eventTimeout)
		err := recovered(func() error { q.handle(ctx, call.event); return nil })
		cancel()
		if err != nil {
			q.log.ErrorContext(call.ctx, "connect: OnEvent panicked", "kind", call.event.Kind, "error", err)
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
