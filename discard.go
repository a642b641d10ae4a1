package connect

import (
	"context"
	"errors"
	"net/http"
)

// An identity that a user has made and that is not connected is deleted if it is proved to
// come from a flow of this very user, so that no saved sign-in is left at Anchor. Any
// other one is left to Application.Reconcile.

// endsFlow reports whether an error means that a proved identity is not connected, and
// that repeating the callback would not change it.
func endsFlow(err error) bool {
	for _, end := range []error{ErrNotAccepted, ErrConnectionUnknown, ErrConnectionLimit} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// isDisposable reports whether a proved identity was made for the flow and has no mark. An
// older identity belongs to a connection, and one with a mark perhaps to a connection of
// another environment.
func (e identityEvidence) isDisposable() bool {
	return isFresh(e.identity.CreatedAt, e.issuedAt) && isUnmarked(e.identity.Metadata)
}

// discard answers a callback whose proved identity is not connected, ends the flow, and
// has the identity deleted.
func (h *Handler) discard(w http.ResponseWriter, r *http.Request, flow flowEvidence, identity identityEvidence, err error) {
	deletion, fault := h.queueDeletion(r.Context(), flow, identity)
	if fault == nil && !flow.fixed { // Behind a fixed address a stranger's link could end it.
		fault = h.spend(r.Context(), []string{flow.pending.TokenHash})
	}
	if fault != nil {
		h.fail(w, r, concerning(flow.application, fault))
		return
	}
	answerFirst(w, r, func() { h.refuse(w, r, flow, err) }, deletion)
}

// clearUp answers a callback whose flow is over, and has the identity deleted that it
// brings, if everything else about it can be proved. If that fails, it is only logged.
func (h *Handler) clearUp(w http.ResponseWriter, r *http.Request, flow flowEvidence, err error) {
	deletion := func() {}
	if flow.result.err == nil && !flow.fixed {
		_, identity, fault := h.gatherIdentity(r.Context(), flow, flow.result.identityID)
		if fault == nil && proveIdentity(identity) == nil {
			deletion, fault = h.queueDeletion(r.Context(), flow, identity)
		}
		if fault != nil {
			h.logFault(r.Context(), "connect: a saved sign-in may be left at Anchor", fault, "application", flow.application.id, "user", flow.user.ID)
			deletion = func() {}
		}
	}
	answerFirst(w, r, func() { h.refuse(w, r, flow, err) }, deletion)
}

// queueDeletion queues the deletion of a proved identity that is not connected, and
// returns a function that deletes it at once. It does nothing if the identity is not
// disposable, or if another callback has connected it.
func (h *Handler) queueDeletion(ctx context.Context, flow flowEvidence, identity identityEvidence) (deletion func(), err error) {
	if !identity.isDisposable() {
		return func() {}, nil
	}
	ctx = context.WithoutCancel(ctx) // Even if the browser goes away.
	task := Task{
		Kind: DeleteIdentity, ApplicationID: flow.application.id, UserID: flow.user.ID,
		IdentityID: identity.identity.ID, NotBefore: h.now().Add(taskLease),
	}
	switch err := h.queue(ctx, task); {
	case errors.Is(err, ErrIdentityTaken):
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	return func() { h.work(ctx, task) }, nil
}

// queue queues a task, even if ctx ends meanwhile.
func (h *Handler) queue(ctx context.Context, task Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	if err := h.store.Queue(ctx, task); err != nil {
		return storeError("queue a task", err)
	}
	return nil
}
