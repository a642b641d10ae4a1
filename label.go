package connect

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"unicode"
)

// label answers POST /connect/label: it sets the label of one of the user's connections.
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

// SetLabel sets the label of one of the user's connections: a name of at most 100
// characters on one line. Space around it is trimmed. An empty label removes it. The error
// is [ErrConnectionUnknown] if the user has no such
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

// cleanLabel trims space around a label. The error is ErrBadLabel if the rest cannot be
// shown on one line, or is too long.
func cleanLabel(label string) (string, error) {
	label = strings.TrimSpace(label)
	breaks := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	if strings.ContainsFunc(label, breaks) || validateLabel(label) != nil {
		return "", ErrBadLabel
	}
	return label, nil
}
