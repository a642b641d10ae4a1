package connect

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxTokenLife is the longest that an identity token is believed to live.
	// Anchor's live 15 minutes. One that seems to live longer was dated by a
	// gateway whose clock is slow, and by that clock an identity that was there
	// before would look fresh.
	maxTokenLife = 16 * time.Minute

	// maxClockDifference is how far Anchor's clock and the app's may differ before
	// the log says so.
	maxClockDifference = 2 * time.Minute
)

// start issues an identity token, binds its hash to the user and sends the
// browser to the hosted page.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, a *Application) {
	// A Disconnect from here on ends what begins here, so this comes before it is
	// asked who is signed in.
	begun := h.now()
	user, form, err := h.readPost(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	again, err := h.cookiesAt(r).try(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if again != "" {
		// fetch and XMLHttpRequest follow it, with the same method and body.
		w.Header().Set("Location", again)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	if h.fixedCallback && ofAnother(h.cookiesAt(r).all(r), user) {
		a.fail(w, r, ErrBrowserInUse)
		return
	}
	ctx := r.Context()
	pending, err := a.plan(ctx, user, form)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	state := newState()
	asJSON := acceptsJSON(r.Header) && !isHTMX(r)
	if form.Popup && asJSON {
		state = newPopupState()
	}
	token, err := h.anchor.CreateIdentityToken(ctx, a.id, h.callbackURL(r, state))
	if err != nil {
		a.fail(w, r, upstreamError("issue an identity token", err))
		return
	}
	// How long the token lives is read off Anchor's own clock and counted on
	// ours, so that the two need not agree.
	issued := h.now()
	h.compareClocks(ctx, token.IssuedAt, issued)
	life := token.ExpiresAt.Sub(token.IssuedAt)
	if life <= 0 || life > maxTokenLife {
		// The clocks behind the two do not agree, and by one of them it is
		// judged whether an identity is fresh.
		a.fail(w, r, fmt.Errorf("%w: an identity token that lives %v by the answer's Date, where at most %v are believed: "+
			"perhaps the clock of a gateway before Anchor is wrong", ErrUpstreamInvalid, life, maxTokenLife))
		return
	}
	pending.TokenHash = token.Hash
	pending.BegunAt, pending.IssuedAt, pending.ExpiresAt = begun, token.IssuedAt, issued.Add(life)
	if err := h.store.Bind(ctx, pending, maxPendingFlows); err != nil {
		a.fail(w, r, storeError("bind the flow", err))
		return
	}
	if err := h.cookiesAt(r).set(w, r, sealedState{state: state, tokenHash: token.Hash, user: user.mark()}, begun); err != nil {
		a.fail(w, r, err)
		return
	}

	e := a.event(Started, user.ID, "")
	e.ActorID, e.ConnectionID = user.Actor, pending.ConnectionID
	h.happened(ctx, e)

	hosted := h.anchor.HostedPageURL(token.Token, user.Name)
	if asJSON {
		body := map[string]any{"redirectUrl": hosted}
		if popup := popupID(state); popup != "" {
			body["popup"] = popup
		}
		writeJSON(w, http.StatusOK, body)
		return
	}
	sendTo(w, r, hosted)
}

// plan decides what a flow is for: to renew the connection that the form names, to add
// one, or, if one is all that there may be, for the only one. It is an error if that is
// sure to fail: [ErrConnectionUnknown], [ErrConnectionLimit] or [ErrBadLabel].
func (a *Application) plan(ctx context.Context, user User, form postForm) (Pending, error) {
	label, err := cleanLabel(form.Label)
	if err != nil {
		return Pending{}, err
	}
	connections, err := a.Connections(ctx, user.ID)
	if err != nil {
		return Pending{}, err
	}
	p := Pending{
		ApplicationID: a.id,
		UserID:        user.ID,
		ActorID:       user.Actor,
		ConnectionID:  form.Connection,
		Adds:          form.Connection == "" && a.h.maxConnections > 1,
		Label:         label,
		ReturnTo:      form.ReturnTo,
	}
	// No connection has an empty identity: it stands for one that is new.
	if _, err := p.place(connections, "", a.h.maxConnections); err != nil {
		return Pending{}, err
	}
	if a.h.fixedCallback && len(connections) > 1 {
		// Nothing would say which of the user's flows comes back.
		return Pending{}, fmt.Errorf("%w: with FixedCallbackURL a user has one", ErrConnectionLimit)
	}
	return p, nil
}

// compareClocks logs that Anchor's clock and the app's differ, now and then. Both
// are taken as they are: what is compared comes from one of them.
func (h *Handler) compareClocks(ctx context.Context, anchors, ours time.Time) {
	difference := ours.Sub(anchors).Round(time.Second)
	if difference.Abs() > maxClockDifference && h.clockLogged.allows(ours) {
		h.log.WarnContext(ctx, "connect: the app's clock and Anchor's differ", "ahead", difference)
	}
}

// callbackURL returns where the hosted page shall return to: the host that the flow
// begins at. The state is a segment of the path, because a path survives however the
// hosted page adds its own parameters.
func (h *Handler) callbackURL(r *http.Request, state string) string {
	address := h.originAt(r) + h.prefix + callbackPath
	if h.fixedCallback {
		return address
	}
	return address + "/" + state
}
