package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/anchorconnect/connect/anchorhttp"
)

// disconnect answers POST /disconnect: it ends one of the user's connections, or all.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request, a *Application) {
	user, form, err := h.readPost(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if err := a.disconnect(r.Context(), user, form.Connection); err != nil {
		a.fail(w, r, err)
		return
	}
	if clientOf(r) == clientJSON {
		connections, err := a.Connections(r.Context(), user.ID)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, a.statusBody(connections))
		return
	}
	sendTo(w, r, cmp.Or(form.ReturnTo, a.connectURL()))
}

// DisconnectAll ends all connections of a user in all applications, and all pending flows:
// a flow that began before the call cannot be completed after it. Call it when the user's
// account is deleted. It is [Application.Disconnect] for each application of this handler.
// It also covers applications in the store that the handler no longer serves: their
// identities are deleted at Anchor first, since [Handler.Run] would not retry that.
//
// It is idempotent. After an error something is left: call it again. If a connection is of
// an application that this handler's API key does not know, it returns an error once: the
// connection is ended in the store, and the deletion at Anchor is queued for the handler
// that serves the application.
func (h *Handler) DisconnectAll(ctx context.Context, userID string) error {
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

// disconnectUnserved ends the user's connections in an application that this
// handler does not serve.
func (h *Handler) disconnectUnserved(ctx context.Context, applicationID, userID string) error {
	connections, err := h.store.Connections(ctx, applicationID, userID)
	if err != nil {
		return storeError("look up the connections", err)
	}
	if len(connections) > 0 {
		// The key of another project finds no identity to delete, which would look like a
		// success.
		_, err := h.anchor.Application(ctx, applicationID)
		if anchorhttp.IsNotFound(err) {
			ended, err := h.endIn(ctx, Disconnection{ApplicationID: applicationID, UserID: userID}, "")
			if err != nil {
				return err
			}
			return fmt.Errorf("connect: the user is disconnected in application %s, which is not in Config and not known to this API key. "+
				"The identities %s are left to the handler that serves it, if there is one", applicationID, strings.Join(identitiesOf(ended), ", "))
		}
		if err != nil {
			return upstreamError("look up the application", err)
		}
		for _, c := range connections {
			if err := h.anchor.DeleteIdentity(ctx, c.IdentityID); err != nil {
				return upstreamError("delete the identity", err)
			}
		}
	}
	return h.disconnectIn(ctx, Disconnection{ApplicationID: applicationID, UserID: userID}, "")
}

func identitiesOf(connections []Connection) []string {
	var ids []string
	for _, c := range connections {
		ids = append(ids, c.IdentityID)
	}
	return ids
}

// Disconnect ends all connections and pending flows of a user in this application, and
// then deletes the identities at Anchor, for at most five seconds. [Handler.Run] retries
// the rest. It is idempotent. The error is [ErrStoreFailed] if the store fails: call it
// again.
func (a *Application) Disconnect(ctx context.Context, userID string) error {
	return a.disconnect(ctx, User{ID: userID}, "")
}

// DisconnectByID ends one of the user's connections, as Disconnect does, and the pending
// flows that would renew it. The error is [ErrConnectionUnknown] if the user has no such
// connection in this application.
func (a *Application) DisconnectByID(ctx context.Context, userID, connectionID string) error {
	if connectionID == "" {
		return ErrConnectionUnknown
	}
	return a.disconnect(ctx, User{ID: userID}, connectionID)
}

func (a *Application) disconnect(ctx context.Context, user User, connectionID string) error {
	if validateText("", connectionID, maxKeyBytes) != nil {
		return ErrConnectionUnknown
	}
	if connectionID != "" && a.h.maxConnections == 1 {
		// A user who has only one connection has flows without a ConnectionID: all end.
		connections, err := a.Connections(ctx, user.ID)
		if err != nil {
			return err
		}
		if len(connections) == 1 && connections[0].ID == connectionID {
			connectionID = ""
		}
	}
	return a.h.disconnectIn(ctx, Disconnection{ApplicationID: a.id, UserID: user.ID, ConnectionID: connectionID}, user.Actor)
}

// disconnectIn ends connections and has their identities deleted.
func (h *Handler) disconnectIn(ctx context.Context, d Disconnection, actorID string) error {
	ended, err := h.endIn(ctx, d, actorID)
	if err != nil {
		return err
	}
	// The identities are deleted even if the caller goes away. However many there are, the
	// caller waits only taskTimeout, and Run deletes the rest.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	for _, c := range ended {
		if ctx.Err() != nil {
			break
		}
		h.work(ctx, Task{
			Kind: DeleteIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID,
		})
	}
	return nil
}

// endIn ends connections in the store, reports them to Config.OnEvent, and returns them.
// The caller has the lease of their tasks. It sets the times of d.
func (h *Handler) endIn(ctx context.Context, d Disconnection, actorID string) ([]Connection, error) {
	d.At = h.now()
	d.DeleteAfter = d.At.Add(taskLease)
	ended, err := h.store.Disconnect(ctx, d)
	if err != nil {
		return nil, storeError("disconnect", err)
	}
	for _, c := range ended {
		h.log.InfoContext(ctx, "connect: disconnected", "application", c.ApplicationID, "user", c.UserID, "connection", c.ID, "identity", c.IdentityID)
		e := h.connectionEvent(Disconnected, c)
		e.ActorID = actorID
		h.happened(ctx, e)
	}
	return ended, nil
}
