package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/anchorconnect/connect/anchorhttp"
)

// status answers the user's own connections.
func (h *Handler) status(w http.ResponseWriter, r *http.Request, a *Application) {
	user, err := h.signedIn(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	connections, err := a.Connections(r.Context(), user.ID)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, a.statusBody(connections))
}

// statusBody is the answer of the status route. The fields of the first connection
// stand at the top too, for apps whose users have one.
func (a *Application) statusBody(connections []Connection) map[string]any {
	body := map[string]any{
		"connected":      len(connections) > 0,
		"applicationId":  a.id,
		"maxConnections": a.h.maxConnections,
	}
	if a.name != "" {
		body["application"] = a.name
	}
	if c, ok := first(connections); ok {
		maps.Copy(body, c.statusBody())
		delete(body, "id")
		delete(body, "label")
		body["connectionId"] = c.ID
	}
	list := []map[string]any{}
	for _, c := range connections {
		list = append(list, c.statusBody())
	}
	body["connections"] = list
	return body
}

func (c Connection) statusBody() map[string]any {
	body := map[string]any{
		"id":          c.ID,
		"label":       c.Label,
		"identityId":  c.IdentityID,
		"createdAt":   c.CreatedAt.UTC().Format(time.RFC3339),
		"connectedAt": c.ConnectedAt.UTC().Format(time.RFC3339),
		"health":      c.Health,
	}
	if c.ActorID != "" {
		body["connectedBy"] = c.ActorID
	}
	return body
}

// label sets the label of one of the user's connections.
func (h *Handler) label(w http.ResponseWriter, r *http.Request, a *Application) {
	user, form, err := h.readPost(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	c, err := a.setLabel(r.Context(), user, form.Connection, form.Label)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if clientOf(r) == clientJSON {
		writeJSON(w, http.StatusOK, c.statusBody())
		return
	}
	sendTo(w, r, cmp.Or(form.ReturnTo, a.connectURL()))
}

// disconnect ends one of the user's connections, or all.
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

// Connection returns the user's connection, for the app's own pages and jobs: one
// look-up in the store. If the user has several, it returns the oldest that works, or
// else the oldest. The error is [ErrNotConnected] if there is none, and
// [ErrStoreFailed] if the store failed.
//
// Like [Handler.RequireIdentity] and [Handler.NewSession] it is about the
// application of Config.ApplicationID, and panics where that is not set:
// [Handler.Application] returns the others.
func (h *Handler) Connection(ctx context.Context, userID string) (Connection, error) {
	return h.Application("").Connection(ctx, userID)
}

// Connection is [Handler.Connection] for this application.
func (a *Application) Connection(ctx context.Context, userID string) (Connection, error) {
	connections, err := a.Connections(ctx, userID)
	if err != nil {
		return Connection{}, err
	}
	c, ok := first(connections)
	if !ok {
		return Connection{}, ErrNotConnected
	}
	return c, nil
}

// ConnectionByID returns one of the user's connections. The error is
// [ErrConnectionUnknown] if the user has no connection with this id in this
// application, whoever else may have it.
func (a *Application) ConnectionByID(ctx context.Context, userID, connectionID string) (Connection, error) {
	connections, err := a.Connections(ctx, userID)
	if err != nil {
		return Connection{}, err
	}
	i := indexByID(connections, connectionID)
	if i < 0 {
		return Connection{}, ErrConnectionUnknown
	}
	return connections[i], nil
}

// Connections returns the user's connections in this application, the oldest first:
// one look-up in the store. None is an empty answer and no error. The error is
// [ErrStoreFailed] if the store failed.
func (a *Application) Connections(ctx context.Context, userID string) ([]Connection, error) {
	connections, err := a.h.store.Connections(ctx, a.id, userID)
	if err != nil {
		return nil, storeError("look up the connections", err)
	}
	return connections, nil
}

// Connections returns all connections of the user in the applications of this
// handler, in the order of their names, Config.ApplicationID first. It is one
// look-up for each application. None is an empty answer and no error. The error is
// [ErrStoreFailed] if the store failed.
func (h *Handler) Connections(ctx context.Context, userID string) ([]Connection, error) {
	var all []Connection
	for _, a := range h.applications {
		connections, err := a.Connections(ctx, userID)
		if err != nil {
			return nil, err
		}
		all = append(all, connections...)
	}
	return all, nil
}

// SetLabel sets the label of one of the user's connections: a word to tell it from the
// others by, of at most 100 characters on one line. Space around it is removed. An
// empty label removes it. The error is [ErrConnectionUnknown] if the user has no such
// connection in this application, [ErrBadLabel] for a label that cannot be one, and
// [ErrStoreFailed] if the store failed.
func (a *Application) SetLabel(ctx context.Context, userID, connectionID, label string) error {
	_, err := a.setLabel(ctx, User{ID: userID}, connectionID, label)
	return err
}

func (a *Application) setLabel(ctx context.Context, user User, connectionID, label string) (Connection, error) {
	label, err := cleanLabel(label)
	if err != nil {
		return Connection{}, err
	}
	if connectionID == "" || validateText("", connectionID, maxKeyBytes) != nil {
		return Connection{}, ErrConnectionUnknown
	}
	c, err := a.h.store.SetLabel(ctx, a.id, user.ID, connectionID, label)
	if err != nil {
		return Connection{}, storeError("set the label of a connection", err)
	}
	e := a.h.connectionEvent(Renamed, c)
	e.ActorID = user.Actor
	a.h.happened(ctx, e)
	return c, nil
}

// cleanLabel removes space around a label. It is ErrBadLabel if what is left cannot be
// shown on one line, or is too long.
func cleanLabel(label string) (string, error) {
	label = strings.TrimSpace(label)
	breaks := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	if strings.ContainsFunc(label, breaks) || validateLabel(label) != nil {
		return "", ErrBadLabel
	}
	return label, nil
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

// disconnectUnserved ends the user's connections in an application that this
// handler does not serve.
func (h *Handler) disconnectUnserved(ctx context.Context, applicationID, userID string) error {
	connections, err := h.store.Connections(ctx, applicationID, userID)
	if err != nil {
		return storeError("look up the connections", err)
	}
	if len(connections) > 0 {
		// The key of another project finds nothing to delete, which would look
		// like a success.
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

// Disconnect ends all connections of the user in this application, and whatever flow
// the user has begun in it. The connections go first. Their identities are deleted at
// Anchor at once, for which it takes five seconds at most. What is left by then is
// deleted by [Handler.Run]. It is idempotent. If the store failed, the error is
// [ErrStoreFailed]: call it again.
func (a *Application) Disconnect(ctx context.Context, userID string) error {
	return a.disconnect(ctx, User{ID: userID}, "")
}

// DisconnectByID ends one of the user's connections, as Disconnect does, and the flows
// that the user has begun to renew it. The error is [ErrConnectionUnknown] if the user
// has no such connection in this application.
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
		// Where there is only one, flows are bound to none by name: all of them end.
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
	// Whoever asked may leave now; the identities are deleted all the same. However many
	// they are, nobody waits longer than for one, and Run deletes the rest.
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

// endIn ends connections, tells the app, and returns them. Whoever calls it has their
// tasks for as long as a lease. It sets the moments of d.
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
