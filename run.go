package connect

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// taskInterval is how often Run claims an application's tasks. If there were none for
	// quietAfter, it claims every quietInterval.
	taskInterval  = time.Second
	quietInterval = 3 * time.Second
	quietAfter    = 10 * time.Second

	// taskTimeout bounds the calls of one task, and taskLease is how long nobody else can
	// claim the task. A process that dies delays a task by no more than that.
	taskTimeout = 5 * time.Second
	taskLease   = 6 * time.Second

	// maxTaskDelay is the longest wait before one of the first patientAttempts of a failed
	// task, so that tasks are done within ten seconds after a restart or a short outage.
	// Later attempts wait up to maxLateDelay, and those that Anchor refuses for good up to
	// maxRefusedDelay. maxAskedDelay is the longest wait that Anchor may ask for with a
	// 429.
	maxTaskDelay    = 3 * time.Second
	patientAttempts = 5
	maxLateDelay    = time.Minute
	maxRefusedDelay = time.Hour
	maxAskedDelay   = time.Minute

	// sweepInterval is how often Run removes expired flows. sweepAfter is how long they
	// stay, so that a late callback is told that the flow has expired, rather than that it
	// is unknown. sweepBatch is how many are removed at once, without delaying others.
	sweepInterval = time.Minute
	sweepAfter    = stateCookieLife
	sweepBatch    = 100
)

// Run retries work that an outage or a crash interrupted: it tags identities and deletes
// retired ones. It also sweeps expired flows. Run it as long as the app serves:
//
//	go h.Run(ctx)
//
// Any number of replicas may run it on one store; no task is given to two of them at once.
// A panic in the app's transport, hooks or store ends an attempt, not the process. If the
// store has connections or tasks of an application that this handler does not serve, Run
// logs it once, and does not work on them.
//
// Run returns the cause of ctx once ctx has ended and Config.OnEvent has received the
// events until then, for which it waits up to ten seconds. To lose no event, cancel ctx
// when the server has shut down, and wait for Run before the process exits or the database
// is closed.
func (h *Handler) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, a := range h.applications {
		loops.Go(func() { a.workOff(ctx) })
	}
	loops.Go(func() { h.every(ctx, sweepInterval, h.sweep) }) // In a loop of its own, so that no task waits for it.
	loops.Go(func() {
		known, cancel := context.WithCancel(ctx)
		defer cancel()
		h.every(known, sweepInterval, func(ctx context.Context) {
			if h.logUnserved(ctx) {
				cancel()
			}
		})
	})
	loops.Wait()

	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
	defer cancel()
	h.events.settled(settling)
	return context.Cause(ctx)
}

// every calls do at once and then at an interval until ctx ends.
func (h *Handler) every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		h.guard(ctx, func() { do(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// guard logs a panic.
func (h *Handler) guard(ctx context.Context, do func()) {
	if err := recovered(func() error { do(); return nil }); err != nil {
		h.log.ErrorContext(ctx, "connect: background work panicked", "error", clipError(err))
	}
}

// logUnserved logs each application that is in the store and that this handler does not
// serve. It reports whether the store has answered.
func (h *Handler) logUnserved(ctx context.Context) bool {
	ids, err := h.store.Applications(ctx)
	if err != nil {
		h.logFault(ctx, "connect: cannot list the applications in the store", err)
		return false
	}
	for _, id := range ids {
		if h.applications.withID(id) == nil {
			h.log.ErrorContext(ctx, "connect: the store has connections or tasks of an application that is not in Config, and this handler does not work on them. "+
				"If no other handler serves it, restore it in Config until its users are disconnected", "application", id)
		}
	}
	return true
}

// workOff works on the application's due tasks until ctx ends.
func (a *Application) workOff(ctx context.Context) {
	calls := lane{freed: make(chan struct{}, 1), running: make(map[string]bool)}
	defer calls.working.Wait()
	ticker := time.NewTicker(taskInterval) // In step with the other applications, so that they share the calls.
	defer ticker.Stop()
	var busy time.Time // when there last were tasks
	for {
		none, more := false, false
		a.h.guard(ctx, func() { none, more = a.workOn(ctx, &calls) })
		looked := time.Now()
		if !none {
			busy = looked
		}
		quiet := looked.Sub(busy) >= quietAfter
		freed := calls.freed
		if !more {
			freed = nil
		}
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				wait = quiet && now.Sub(looked) < quietInterval
			case <-freed:
				wait = false
			}
		}
	}
}

// workOn claims and starts as many tasks as there is room for. It reports whether there
// were none, and whether there may be more.
func (a *Application) workOn(ctx context.Context, calls *lane) (none, more bool) {
	limit := a.h.pace.limit()
	room := calls.room(limit)
	// Claiming in batches, so that a backlog does not take a query for each task.
	if ctx.Err() != nil || room < 1 || room < limit/2 {
		return false, true
	}
	now := a.h.now()
	tasks, err := a.h.store.Claim(ctx, a.id, now, now.Add(taskLease), room)
	if err != nil {
		a.h.logFault(ctx, "connect: cannot claim tasks", err)
		return false, false
	}
	for _, task := range tasks {
		calls.run(task, func() { a.h.work(ctx, task) })
	}
	return len(tasks) == 0, len(tasks) == room
}

const (
	// maxCalls is how many tasks of an application run at once. One that takes longer than
	// slowCall makes room for another, up to maxSlowCalls, so that calls that hang do not
	// delay others.
	maxCalls     = 10
	maxSlowCalls = 50
	slowCall     = time.Second

	// minPause is the least time that all tasks rest after a 429.
	minPause = time.Second
)

// pace is how many tasks a handler works on at once. All its applications share it, since
// they share a key. Each may make as many calls as the others, so that none waits for
// another's backlog. After a 429 all rest for as long as Anchor asks, and continue with
// half as many calls, which leaves room for the calls that users wait for. Successes
// raise the number again.
type pace struct {
	now func() time.Time

	mu        sync.Mutex
	calls     int // at once, in each application
	successes int // since calls last changed
	restUntil time.Time
}

func newPace(now func() time.Time) *pace { return &pace{now: now, calls: maxCalls} }

// limit returns how many calls an application may make at once now. Zero means a rest.
func (p *pace) limit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Before(p.restUntil) {
		return 0
	}
	return p.calls
}

// note adapts the pace to the outcome of a call.
func (p *pace) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var answer *anchorhttp.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests:
		now := p.now()
		if now.Before(p.restUntil) {
			return // The call was under way when the rest began.
		}
		p.restUntil = now.Add(min(max(answer.RetryAfter, minPause), maxAskedDelay))
		p.calls, p.successes = max(p.calls/2, 1), 0
	case err == nil:
		if p.successes++; p.successes >= 2*p.calls && p.calls < maxCalls {
			p.calls, p.successes = p.calls+1, 0
		}
	}
}

// lane bounds how many tasks of an application run at once.
type lane struct {
	working sync.WaitGroup
	freed   chan struct{} // receives a value when there is more room

	mu         sync.Mutex
	quick, all int
	running    map[string]bool // tasks, by their identities
}

// room returns how many more tasks may begin, if limit may run at once.
func (l *lane) room(limit int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(limit-l.quick, limit+maxSlowCalls-l.all)
}

// run works on a task in a goroutine of its own. If the task is running already, it has
// outlived its lease, in a hook that ignores its ctx, and is not started again.
func (l *lane) run(task Task, work func()) {
	l.mu.Lock()
	again := l.running[task.IdentityID]
	l.running[task.IdentityID] = true
	l.mu.Unlock()
	if again {
		return
	}
	l.count(1, 1)
	l.working.Go(func() {
		slow := time.AfterFunc(slowCall, func() { l.count(-1, 0) })
		defer func() {
			l.mu.Lock()
			delete(l.running, task.IdentityID)
			l.mu.Unlock()
			if slow.Stop() {
				l.count(-1, -1)
			} else {
				l.count(0, -1)
			}
		}()
		work()
	})
}

func (l *lane) count(quick, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quick, l.all = l.quick+quick, l.all+all
	if quick > 0 {
		return
	}
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// work makes a task's call, and settles the task.
func (h *Handler) work(ctx context.Context, task Task) {
	h.guard(ctx, func() {
		upstream, cancel := context.WithTimeout(ctx, taskTimeout)
		defer cancel()
		var do func() error
		switch task.Kind {
		case TagIdentity:
			do = func() error { return h.tag(upstream, task) }
		case DeleteIdentity:
			do = func() error { return h.anchor.DeleteIdentity(upstream, task.IdentityID) }
		default:
			// A task of a newer release, for a newer replica.
			return
		}
		err := recovered(do)
		h.pace.note(err)
		h.settle(ctx, task, err)
	})
}

// tag reads the identity's metadata and writes it back with the tag.
func (h *Handler) tag(ctx context.Context, task Task) error {
	connections, err := h.store.Connections(ctx, task.ApplicationID, task.UserID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(connections, func(c Connection) bool { return c.IdentityID == task.IdentityID })
	if i < 0 {
		return nil // It was disconnected or replaced meanwhile.
	}
	c := connections[i]
	identity, err := h.anchor.Identity(ctx, task.IdentityID)
	if anchorhttp.IsNotFound(err) {
		h.log.WarnContext(ctx, "connect: the identity to tag is gone", "user", task.UserID, "identity", task.IdentityID)
		return nil
	}
	if err != nil {
		return err
	}
	if !ownedBy(identity.Metadata, task.UserID) {
		// Another mark is never overwritten: an operator has to look at this.
		h.log.ErrorContext(ctx, "connect: the identity to tag is marked as another user's", "user", task.UserID, "identity", task.IdentityID)
		return nil
	}
	// The user's name is not stored, so only the callback can name the identity.
	metadata, err := h.taggedMetadata(ctx, User{ID: c.UserID, Actor: c.ActorID}, identity.Metadata, c)
	if err != nil {
		return err
	}
	// It is the same if a process has died between tagging and settling.
	if !sameJSON(metadata, identity.Metadata) {
		if err := h.anchor.UpdateIdentity(ctx, task.IdentityID, anchorhttp.IdentityUpdate{Metadata: metadata}); err != nil {
			return err
		}
	}
	h.happened(ctx, h.connectionEvent(Tagged, c))
	return nil
}

// settle removes a task that was done, and postpones one that failed.
func (h *Handler) settle(ctx context.Context, task Task, err error) {
	// The outcome is stored even if ctx has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	if err == nil {
		h.done(ctx, task)
		return
	}
	delay := taskDelay(task.Attempts, err)
	level, message := slog.LevelWarn, "connect: a task failed and will be retried"
	if isRefused(err) {
		level, message = slog.LevelError, "connect: Anchor refuses a task"
		e := h.taskEvent(task)
		e.Reason = err
		h.happened(ctx, e)
	}
	h.log.Log(ctx, level, message, "kind", task.Kind, "application", task.ApplicationID, "user", task.UserID,
		"identity", task.IdentityID, "attempts", task.Attempts, "in", delay, "error", clipError(err))
	if err := h.store.Postpone(ctx, task, h.now().Add(delay)); err != nil {
		h.logFault(ctx, "connect: cannot postpone a task", err, "kind", task.Kind, "identity", task.IdentityID)
	}
}

// done removes a task that was done.
func (h *Handler) done(ctx context.Context, task Task) {
	if err := h.store.Done(ctx, task); err != nil {
		h.logFault(ctx, "connect: cannot remove a task that was done", err, "kind", task.Kind, "identity", task.IdentityID)
	}
}

// isRefused reports whether Anchor refused a call in a way that a retry seldom changes.
func isRefused(err error) bool {
	var answer *anchorhttp.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// taskDelay returns the wait before a failed task is retried: one second, doubling with
// each attempt, or longer if Anchor asks for it.
func taskDelay(attempts int, err error) time.Duration {
	attempts = min(max(attempts, 0), 20)
	delay := min(time.Second<<attempts, maxTaskDelay)
	switch {
	case isRefused(err):
		delay = min(time.Second<<attempts, maxRefusedDelay)
	case attempts > patientAttempts:
		delay = min(maxTaskDelay<<(attempts-patientAttempts), maxLateDelay)
	}
	var answer *anchorhttp.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests {
		delay = max(delay, min(answer.RetryAfter, maxAskedDelay))
	}
	return delay
}

// sweep removes flows that expired long ago, in batches. After each batch it rests for as
// long as that took, so that a replica sweeps at most half of the time.
func (h *Handler) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		begun := time.Now()
		n, err := h.store.Sweep(ctx, h.now().Add(-sweepAfter), sweepBatch)
		if err != nil {
			h.logFault(ctx, "connect: cannot sweep", err)
			return
		}
		if n < sweepBatch {
			return
		}
		_ = sleepUntil(ctx, time.Now().Add(time.Since(begun)))
	}
}

// logFault logs a failure of the store, unless ctx has ended.
func (h *Handler) logFault(ctx context.Context, message string, err error, args ...any) {
	if ctx.Err() == nil {
		h.log.ErrorContext(ctx, message, append(args, "error", clipError(err))...)
	}
}
