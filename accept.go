package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/anchorconnect/connect/anchorhttp"
)

// A Candidate is an account that is about to be connected: see Config.Accept.
type Candidate struct {
	// User is who is signed in to the app.
	User User
	// Identity is the identity that has come back, as Anchor describes it. It fits the
	// flow and is nobody else's.
	Identity anchorhttp.Identity
	// Connection is the connection as it would be stored.
	Connection Connection
	// Replaces is the connection as it is now, if the flow renews one. Its ID is empty
	// if the account is one more. Its IdentityID may be that of Identity.
	Replaces Connection
}

// NotAccepted returns an error for Config.Accept to refuse an account with. Its
// message is shown to the user, as plain text; an empty one is replaced by a general
// one. The error wraps [ErrNotAccepted].
func NotAccepted(message string) error { return &notAcceptedError{message} }

type notAcceptedError struct{ message string }

func (e *notAcceptedError) Error() string {
	if e.message == "" {
		return ErrNotAccepted.Error()
	}
	return fmt.Sprintf("%v: %s", ErrNotAccepted, e.message)
}

func (e *notAcceptedError) Unwrap() error { return ErrNotAccepted }

// AskFirst returns an error for Config.Accept to redirect the browser to a page of
// the app's own, a local path. The page gets a parameter return_to, the local path of
// the callback. When the user has decided, remember the decision, for example in the
// session, and redirect to return_to: Accept is called again.
func AskFirst(path string) error { return &askFirstError{path} }

type askFirstError struct{ path string }

func (e *askFirstError) Error() string { return "connect: the user is asked first" }

// ask calls Config.Accept. A refusal or a fault is an error; a path is a page that the
// browser is to be redirected to.
func (h *Handler) ask(r *http.Request, start startEvidence, identity anchorhttp.Identity, c Connection) (path string, err error) {
	if h.accept == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), gatherTimeout)
	defer cancel()
	connections, err := start.application.Connections(ctx, c.UserID)
	if err != nil {
		return "", err
	}
	at, err := start.pending.place(connections, c.IdentityID, h.maxConnections)
	if err != nil {
		return "", err
	}
	candidate := Candidate{User: start.user, Identity: identity, Connection: c}
	candidate.Connection.CreatedAt = c.ConnectedAt
	if at >= 0 {
		candidate.Replaces = connections[at]
		candidate.Connection = c.renewing(connections[at])
	}
	err = recovered(func() error { return h.accept(r.WithContext(ctx), candidate) })
	var first *askFirstError
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, ErrNotAccepted):
		return "", err
	case !errors.As(err, &first):
		return "", fmt.Errorf("%w: %w", ErrAcceptFailed, err)
	case !isLocalPath(first.path):
		return "", fmt.Errorf("%w: AskFirst needs a local path", ErrAcceptFailed)
	}
	back := url.URL{Path: h.prefix + route{kind: routeCallback, state: start.state}.path()}
	return withReturnTo(first.path, &back), nil
}

// renewing returns c as it is stored in place of an old connection.
func (c Connection) renewing(old Connection) Connection {
	c.ID, c.CreatedAt = old.ID, old.CreatedAt
	if c.Label == "" {
		c.Label = old.Label
	}
	return c
}

// endsFlow reports whether an error means that a proved identity is not connected and
// that repeating the callback would not change it. The identity can then be deleted.
func endsFlow(err error) bool {
	for _, end := range []error{ErrNotAccepted, ErrConnectionUnknown, ErrConnectionLimit} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// discard answers a callback whose proved identity is not connected, and ends the
// flow. The identity is deleted: proof 7 shows that it was made for this very flow.
// If it is older, it belongs to a connection and stays.
func (h *Handler) discard(w http.ResponseWriter, r *http.Request, start startEvidence, identity identityEvidence, err error) {
	ctx := context.WithoutCancel(r.Context()) // The browser may leave now.
	task := Task{
		Kind: DeleteIdentity, ApplicationID: start.application.id, UserID: start.user.ID,
		IdentityID: identity.identity.ID, NotBefore: h.now().Add(taskLease),
	}
	queued := false
	if isFresh(identity.identity.CreatedAt, identity.issuedAt) {
		fault := h.queue(ctx, task)
		if fault != nil && !errors.Is(fault, ErrIdentityTaken) { // Another callback may have connected it.
			h.fail(w, r, concerning(start.application, fault))
			return
		}
		queued = fault == nil
	}
	if !start.fixed { // Behind a fixed address a stranger's link could end it.
		if fault := h.spend(ctx, []string{start.pending.TokenHash}); fault != nil {
			h.fail(w, r, concerning(start.application, fault))
			return
		}
	}
	answerFirst(w, r, func() { h.refuse(w, r, start, err) }, func() {
		if queued {
			h.work(ctx, task)
		}
	})
}

// queue queues a task, though the user leaves meanwhile.
func (h *Handler) queue(ctx context.Context, task Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	if err := h.store.Queue(ctx, task); err != nil {
		return storeError("queue a task", err)
	}
	return nil
}
