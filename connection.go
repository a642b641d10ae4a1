package connect

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// status answers the user's own connection.
func (h *Handler) status(w http.ResponseWriter, r *http.Request, a *Application) {
	user, err := h.signedIn(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	c, err := a.Connection(r.Context(), user.ID)
	if err != nil && !errors.Is(err, ErrNotConnected) {
		a.fail(w, r, err)
		return
	}
	body := map[string]any{"connected": err == nil, "applicationId": a.id}
	if a.name != "" {
		body["application"] = a.name
	}
	if err == nil {
		body["identityId"] = c.IdentityID
		body["connectedAt"] = c.ConnectedAt.UTC().Format(time.RFC3339)
		body["health"] = c.Health
	}
	writeJSON(w, http.StatusOK, body)
}

// disconnect ends the user's connection.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request, a *Application) {
	user, form, err := h.readPost(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.Disconnect(r.Context(), user.ID); err != nil {
		a.fail(w, r, err)
		return
	}
	if acceptsJSON(r.Header) && !isHTMX(r) {
		writeJSON(w, http.StatusOK, map[string]any{"connected": false})
		return
	}
	sendTo(w, r, cmp.Or(form.ReturnTo, a.connectURL()))
}

// Connection returns the user's connection, for the app's own pages and jobs:
// one look-up in the store. No connection is [ErrNotConnected], a store that
// failed [ErrStoreFailed].
//
// Like [Handler.RequireIdentity] and [Handler.NewSession] it is about the
// application of Config.ApplicationID, and panics where that is not set:
// [Handler.Application] gives the others.
func (h *Handler) Connection(ctx context.Context, userID string) (Connection, error) {
	return h.Application("").Connection(ctx, userID)
}

// Connection is [Handler.Connection] for this application.
func (a *Application) Connection(ctx context.Context, userID string) (Connection, error) {
	c, err := a.h.store.Connection(ctx, a.id, userID)
	if err != nil && !errors.Is(err, ErrNotConnected) {
		return Connection{}, storeError("look up the connection", err)
	}
	return c, err
}

// Connections returns all connections of the user in the applications of this
// handler, in the order of their names, Config.ApplicationID first. It is one
// look-up for each application; none is an empty answer and no error. A store
// that failed is [ErrStoreFailed].
func (h *Handler) Connections(ctx context.Context, userID string) ([]Connection, error) {
	var all []Connection
	for _, a := range h.applications {
		switch c, err := a.Connection(ctx, userID); {
		case errors.Is(err, ErrNotConnected):
		case err != nil:
			return nil, err
		default:
			all = append(all, c)
		}
	}
	return all, nil
}

// Disconnect ends all connections of the user in the applications of this
// handler, as an account's deletion has to, and whatever the user has begun. It
// is [Application.Disconnect] for each of them. An error leaves the rest to be
// done: call it again.
func (h *Handler) Disconnect(ctx context.Context, userID string) error {
	var failed []error
	for _, a := range h.applications {
		failed = append(failed, a.Disconnect(ctx, userID))
	}
	return errors.Join(failed...)
}

// Disconnect ends the user's connection, if there is one, and whatever the user
// has begun in this application. The connection goes first; the identity is
// deleted at Anchor at once when that can be reached, and otherwise by
// [Handler.Run]. To do it twice is fine. A store that failed is
// [ErrStoreFailed], and nothing has changed.
func (a *Application) Disconnect(ctx context.Context, userID string) error {
	h := a.h
	now := h.now()
	c, err := h.store.Disconnect(ctx, a.id, userID, now, now.Add(taskLease))
	if errors.Is(err, ErrNotConnected) {
		return nil
	}
	if err != nil {
		return storeError("disconnect", err)
	}
	h.log.InfoContext(ctx, "connect: disconnected", "application", c.ApplicationID, "user", c.UserID, "identity", c.IdentityID)
	h.happened(ctx, h.connectionEvent(Disconnected, c))
	// Whoever asked may leave now; the identity is deleted all the same.
	h.work(context.WithoutCancel(ctx), Task{
		Kind: DeleteIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID,
	})
	return nil
}
