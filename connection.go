package connect

import (
	"context"
	"maps"
	"net/http"
	"time"
)

// status answers GET /connect/status with the user's own connections.
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

// statusBody returns the answer of the status route. It repeats the fields of the first
// connection at the top, for apps whose users have one.
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

// Connection returns the user's connection. If the user has several, it returns the oldest
// one that works, or else the oldest. It takes one look-up in the store. The error is
// [ErrNotConnected] if there is none, and [ErrStoreFailed] if the store fails.
func (h *Handler) Connection(ctx context.Context, userID string) (Connection, error) {
	a, err := h.defaultApplication()
	if err != nil {
		return Connection{}, err
	}
	return a.Connection(ctx, userID)
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
// application.
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

// Connections returns the user's connections in this application, the oldest first. No
// connection is not an error. It takes one look-up in the store. The error is
// [ErrStoreFailed] if the store fails.
func (a *Application) Connections(ctx context.Context, userID string) ([]Connection, error) {
	connections, err := a.h.store.Connections(ctx, a.id, userID)
	if err != nil {
		return nil, storeError("look up the connections", err)
	}
	return connections, nil
}

// AllConnections returns the user's connections in all applications of this handler,
// ordered by the applications' names, Config.ApplicationID first. No connection is not an
// error. It takes one look-up for each application. The error is [ErrStoreFailed] if the
// store fails.
func (h *Handler) AllConnections(ctx context.Context, userID string) ([]Connection, error) {
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
