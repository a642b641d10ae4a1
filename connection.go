package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
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

// Disconnect ends all connections of the user, as an account's deletion has to,
// and whatever the user has begun: what began before the call cannot be
// completed after it. It is [Application.Disconnect] for each application of this
// handler, and covers applications that the store holds something of and the
// handler does not serve any more: there the identity is deleted at Anchor first,
// since [Handler.Run] would not retry that.
//
// An error leaves the rest to be done: call it again. It is also an error, once,
// when a connection was of an application that this handler's API key does not
// know. It is ended in the store, and the deletion at Anchor is queued for the
// handler that serves the application.
func (h *Handler) Disconnect(ctx context.Context, userID string) error {
	var failed []error
	ids, err := h.store.ApplicationsOf(ctx, userID)
	if err != nil {
		failed = append(failed, storeError("list the user's applications", err))
	}
	for _, a := range h.applications {
		failed = append(failed, a.Disconnect(ctx, userID))
	}
	for _, id := range ids {
		if h.applications.withID(id) == nil {
			failed = append(failed, h.disconnectUnserved(ctx, id, userID))
		}
	}
	return errors.Join(failed...)
}

// disconnectUnserved ends the user's connection in an application that this
// handler does not serve.
func (h *Handler) disconnectUnserved(ctx context.Context, applicationID, userID string) error {
	c, err := h.store.Connection(ctx, applicationID, userID)
	if err != nil && !errors.Is(err, ErrNotConnected) {
		return storeError("look up the connection", err)
	}
	if err == nil {
		// The key of another project finds nothing to delete, which would look
		// like a success.
		_, err := h.anchor.Application(ctx, applicationID)
		if anchorhttp.IsNotFound(err) {
			now := h.now()
			if _, err := h.store.Disconnect(ctx, applicationID, userID, now, now); err != nil && !errors.Is(err, ErrNotConnected) {
				return storeError("disconnect", err)
			}
			return fmt.Errorf("connect: the user is disconnected in application %s, which is not in Config and not known to this API key. "+
				"Identity %s is left to the handler that serves it, if there is one", applicationID, c.IdentityID)
		}
		if err != nil {
			return upstreamError("look up the application", err)
		}
		if err := h.anchor.DeleteIdentity(ctx, c.IdentityID); err != nil {
			return upstreamError("delete the identity", err)
		}
	}
	return h.disconnectIn(ctx, applicationID, userID)
}

// Disconnect ends the user's connection, if there is one, and whatever the user
// has begun in this application. The connection goes first; the identity is
// deleted at Anchor at once when that can be reached, and otherwise by
// [Handler.Run]. To do it twice is fine. A store that failed is
// [ErrStoreFailed]: call it again.
func (a *Application) Disconnect(ctx context.Context, userID string) error {
	return a.h.disconnectIn(ctx, a.id, userID)
}

func (h *Handler) disconnectIn(ctx context.Context, applicationID, userID string) error {
	now := h.now()
	c, err := h.store.Disconnect(ctx, applicationID, userID, now, now.Add(taskLease))
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
