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
	// Identity is the identity that has returned, as Anchor describes it. It fits the flow
	// and has nobody else's mark. If Config.Store is a [Lister], no other user has it;
	// otherwise that is known only when it is stored.
	Identity anchorhttp.Identity
	// Connection is the connection as it would be stored.
	Connection Connection
	// Replaces is the connection as it is now, if the flow renews one. Its ID is empty
	// if the account is one more. Its IdentityID may be that of Identity.
	Replaces Connection
}

// NotAccepted returns an error with which Config.Accept refuses an account. The message
// is shown to the user as plain text; if it is empty, a general one is shown. The error
// wraps [ErrNotAccepted].
func NotAccepted(message string) error { return &notAcceptedError{message} }

type notAcceptedError struct{ message string }

func (e *notAcceptedError) Error() string {
	if e.message == "" {
		return ErrNotAccepted.Error()
	}
	return fmt.Sprintf("%v: %s", ErrNotAccepted, e.message)
}

func (e *notAcceptedError) Unwrap() error { return ErrNotAccepted }

// AskFirst returns an error with which Config.Accept redirects the browser to a page of
// the app's own, a local path. The page's parameter return_to is the local path of the
// callback. Once the user has decided, store the decision, for example in the session, and
// redirect to return_to: Accept is called again.
func AskFirst(path string) error { return &askFirstError{path} }

type askFirstError struct{ path string }

func (e *askFirstError) Error() string { return "connect: the user is asked first" }

// ask calls Config.Accept, and returns what it has agreed to, or nil if there is no
// Config.Accept. A refusal or a fault is an error. A path is a page to redirect the
// browser to.
func (h *Handler) ask(r *http.Request, flow flowEvidence, identity anchorhttp.Identity, c Connection) (accepted *Connection, path string, err error) {
	if h.accept == nil {
		return nil, "", nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), gatherTimeout)
	defer cancel()
	if err := h.isElsewhere(ctx, c); err != nil {
		return nil, "", err
	}
	connections, err := flow.application.Connections(ctx, c.UserID)
	if err != nil {
		return nil, "", err
	}
	at, err := flow.pending.place(connections, c.IdentityID, h.maxConnections)
	if err != nil {
		return nil, "", err
	}
	candidate := Candidate{User: flow.user, Identity: identity, Connection: c}
	candidate.Connection.CreatedAt = c.ConnectedAt
	if at >= 0 {
		candidate.Replaces = connections[at]
		candidate.Connection = c.renewing(connections[at])
	}
	err = recovered(func() error { return h.accept(r.WithContext(ctx), candidate) })
	var first *askFirstError
	switch {
	case err == nil:
		return &candidate.Replaces, "", nil
	case errors.Is(err, ErrNotAccepted):
		return nil, "", err
	case !errors.As(err, &first):
		return nil, "", fmt.Errorf("%w: %w", ErrAcceptFailed, err)
	case !isLocalPath(first.path):
		return nil, "", fmt.Errorf("%w: AskFirst needs a local path", ErrAcceptFailed)
	}
	back := url.URL{Path: h.hosts.prefix + route{kind: routeCallback, state: flow.state}.path()}
	return nil, withReturnTo(first.path, &back), nil
}

// isElsewhere returns [ErrIdentityTaken] if another user has the identity, so that the
// app is not asked about somebody else's account. Store.Complete proves it again. It
// returns nil if the store is not a [Lister].
func (h *Handler) isElsewhere(ctx context.Context, c Connection) error {
	lister, err := h.lister()
	if err != nil {
		return nil
	}
	held, err := lister.WithIdentities(ctx, []string{c.IdentityID})
	if err != nil {
		return storeError("look up connections by identity", err)
	}
	for _, other := range held {
		if other.UserID != c.UserID || other.ApplicationID != c.ApplicationID {
			return ErrIdentityTaken
		}
	}
	return nil
}

// renewing returns c as it is stored in place of an old connection.
func (c Connection) renewing(old Connection) Connection {
	c.ID, c.CreatedAt = old.ID, old.CreatedAt
	if c.Label == "" {
		c.Label = old.Label
	}
	return c
}
