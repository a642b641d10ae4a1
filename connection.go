package connect

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// status answers the user's own connection.
func (h *Handler) status(w http.ResponseWriter, r *http.Request) {
	user, err := h.signedIn(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	c, err := h.Connection(r.Context(), user.ID)
	switch {
	case errors.Is(err, ErrNotConnected):
		writeJSON(w, http.StatusOK, map[string]any{"connected": false, "applicationId": h.applicationID})
	case err != nil:
		h.fail(w, r, err)
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"connected":     true,
			"applicationId": c.ApplicationID,
			"identityId":    c.IdentityID,
			"connectedAt":   c.ConnectedAt.UTC().Format(time.RFC3339),
		})
	}
}

// disconnect ends the user's connection. The row goes first; the identity
// follows at once when Anchor can be reached, and otherwise by [Handler.Run].
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request) {
	user, returnTo, err := h.readPost(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	c, err := h.store.Disconnect(r.Context(), h.applicationID, user.ID, h.now().Add(taskLease))
	switch {
	case errors.Is(err, ErrNotConnected):
		// Doing it twice is fine.
	case err != nil:
		h.fail(w, r, storeError("disconnect", err))
		return
	default:
		h.work(context.WithoutCancel(r.Context()), Task{
			Kind: DeleteIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID,
		})
	}
	if acceptsJSON(r.Header) {
		writeJSON(w, http.StatusOK, map[string]any{"connected": false})
		return
	}
	if returnTo == "" {
		returnTo = h.prefix + routeConnect
	}
	http.Redirect(w, r, returnTo, http.StatusSeeOther)
}

// Connection returns the user's connection, for the app's own pages and jobs:
// one look-up in the store. No connection is [ErrNotConnected], a store that
// failed [ErrStoreFailed].
func (h *Handler) Connection(ctx context.Context, userID string) (Connection, error) {
	c, err := h.store.Connection(ctx, h.applicationID, userID)
	if err != nil && !errors.Is(err, ErrNotConnected) {
		return Connection{}, storeError("look up the connection", err)
	}
	return c, err
}
