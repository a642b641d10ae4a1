package connect

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// taskInterval is how often Run looks for tasks.
	taskInterval = time.Second

	// taskBatch is how many tasks Run takes at once, and works on side by side.
	taskBatch = 10

	// taskTimeout bounds the upstream work on one task, and taskLease is how
	// long the task is nobody else's meanwhile. A process that dies holds a task
	// up no longer than that.
	taskTimeout = 5 * time.Second
	taskLease   = 6 * time.Second

	// maxTaskDelay is the longest wait before a failed task is tried again. It
	// is short enough that what is owed is made up for within ten seconds after a
	// restart or a short outage (a long one's backlog takes as long as the calls
	// do), and with taskBatch it bounds what an outage costs. maxAskedDelay is as
	// long as Anchor may ask to wait instead, when there were too many calls.
	maxTaskDelay  = 3 * time.Second
	maxAskedDelay = time.Minute

	// sweepInterval is how often Run removes starts whose time is long over;
	// sweepAfter is how long an expired one is kept, so that who comes back late
	// is told that it has expired rather than that it is unknown. sweepBatch is
	// how many go at once: few enough to hold nobody up.
	sweepInterval = time.Minute
	sweepAfter    = stateCookieLife
	sweepBatch    = 100
)

// Run makes up for what a request could not do: it tags identities and deletes
// retired ones when Anchor was down or the process died, and it sweeps starts
// that expired. An app needs it running as long as it serves:
//
//	go h.Run(ctx)
//
// Any number of replicas may run it on one store; no task is given to two of
// them at once. It returns when ctx ends, with the cause, and after
// Config.OnEvent has been told of what had happened by then, for which it waits
// ten seconds at most. So that none is lost, end ctx when the server has shut
// down, and wait for Run before the process exits or the database is closed.
func (h *Handler) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, a := range h.applications {
		loops.Go(func() { every(ctx, taskInterval, a.workOff) })
	}
	loops.Go(func() { every(ctx, sweepInterval, h.sweep) }) // However long it takes, no task waits for it.
	loops.Wait()

	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
	defer cancel()
	h.events.settled(settling)
	return context.Cause(ctx)
}

// every does something now and then until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// workOff works on the application's due tasks until there are no more.
func (a *Application) workOff(ctx context.Context) {
	h := a.h
	for ctx.Err() == nil {
		now := h.now()
		tasks, err := h.store.Claim(ctx, a.id, now, now.Add(taskLease), taskBatch)
		if err != nil {
			h.logFault(ctx, "connect: claim tasks", err)
			return
		}
		var working sync.WaitGroup
		for _, task := range tasks {
			working.Go(func() { h.work(ctx, task) })
		}
		working.Wait()
		if len(tasks) < taskBatch {
			return
		}
	}
}

// work makes the call that a task stands for, and settles it.
func (h *Handler) work(ctx context.Context, task Task) {
	upstream, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	var err error
	switch task.Kind {
	case TagIdentity:
		err = h.tag(upstream, task)
	case DeleteIdentity:
		err = h.anchor.DeleteIdentity(upstream, task.IdentityID)
	default:
		// A newer release's task, for a newer replica to work off.
		return
	}
	h.settle(ctx, task, err)
}

// tag reads the identity's metadata and writes it back with the tag.
func (h *Handler) tag(ctx context.Context, task Task) error {
	c, err := h.store.Connection(ctx, task.ApplicationID, task.UserID)
	if errors.Is(err, ErrNotConnected) || err == nil && c.IdentityID != task.IdentityID {
		return nil // Disconnected or replaced meanwhile: nothing is left to tag.
	}
	if err != nil {
		return err
	}
	identity, err := h.anchor.Identity(ctx, task.IdentityID)
	if anchorhttp.IsNotFound(err) {
		h.log.WarnContext(ctx, "connect: the identity to tag is gone", "user", task.UserID, "identity", task.IdentityID)
		return nil
	}
	if err != nil {
		return err
	}
	if !ownedBy(identity.Metadata, task.UserID) {
		// Another mark is never overwritten: a person has to look at this.
		h.log.ErrorContext(ctx, "connect: the identity to tag is marked as another user's", "user", task.UserID, "identity", task.IdentityID)
		return nil
	}
	// The person's name is not kept, so only the request that connected gives the
	// identity its name.
	metadata, err := h.taggedMetadata(ctx, User{ID: c.UserID}, identity.Metadata, c)
	if err != nil {
		return err
	}
	// It is the same when a process that died had tagged it before it could say so.
	if !sameJSON(metadata, identity.Metadata) {
		if err := h.anchor.UpdateIdentity(ctx, task.IdentityID, anchorhttp.IdentityUpdate{Metadata: metadata}); err != nil {
			return err
		}
	}
	h.happened(ctx, h.connectionEvent(Tagged, c))
	return nil
}

// settle removes a task that was done and puts one off that failed.
func (h *Handler) settle(ctx context.Context, task Task, err error) {
	// Whoever ends ctx now, the outcome is worth writing down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	if err == nil {
		h.done(ctx, task)
		return
	}
	delay := taskDelay(task.Attempts, err)
	h.log.WarnContext(ctx, "connect: a task failed and will be tried again",
		"kind", task.Kind, "user", task.UserID, "identity", task.IdentityID, "attempts", task.Attempts, "in", delay, "error", err)
	if err := h.store.Postpone(ctx, task, h.now().Add(delay)); err != nil {
		h.logFault(ctx, "connect: postpone a task", err, "kind", task.Kind, "identity", task.IdentityID)
	}
}

// done removes a task that was done.
func (h *Handler) done(ctx context.Context, task Task) {
	if err := h.store.Done(ctx, task); err != nil {
		h.logFault(ctx, "connect: remove a task that was done", err, "kind", task.Kind, "identity", task.IdentityID)
	}
}

// taskDelay is the wait after a task failed: one second, doubling, or longer
// where Anchor asks for it.
func taskDelay(attempts int, err error) time.Duration {
	delay := min(time.Second<<min(max(attempts, 0), 10), maxTaskDelay)
	var answer *anchorhttp.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests {
		delay = max(delay, min(answer.RetryAfter, maxAskedDelay))
	}
	return delay
}

// sweep removes what expired long ago, a batch at a time. After each it rests as
// long as that took, so that a replica sweeps half of the time at most.
func (h *Handler) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		begun := time.Now()
		n, err := h.store.Sweep(ctx, h.now().Add(-sweepAfter), sweepBatch)
		if err != nil {
			h.logFault(ctx, "connect: sweep", err)
			return
		}
		if n < sweepBatch {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Since(begun)):
		}
	}
}

// logFault logs a failure of the store, unless it is only that ctx ended.
func (h *Handler) logFault(ctx context.Context, message string, err error, args ...any) {
	if ctx.Err() == nil {
		h.log.ErrorContext(ctx, message, append(args, "error", err)...)
	}
}
