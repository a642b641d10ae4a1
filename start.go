package connect

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxTokenLife is the longest life of an identity token that is believed. Anchor's
	// live 15 minutes. One that seems to live longer was dated by a gateway whose clock
	// is slow, and by that clock an older identity would look fresh.
	maxTokenLife = 16 * time.Minute

	// maxClockDifference is how far Anchor's clock and the app's may differ before it is
	// logged.
	maxClockDifference = 2 * time.Minute
)

// start answers POST /connect: it starts a flow and sends the browser to the hosted page.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, a *Application) {
	begun, err := h.begin(w, r, a)
	switch {
	case err != nil:
		a.fail(w, r, err)
	case begun.again != "":
		// fetch and XMLHttpRequest follow it, with the same method and body.
		w.Header().Set("Location", begun.again)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case clientOf(r) == clientJSON:
		body := map[string]any{"redirectUrl": begun.hostedPage}
		if begun.popup != "" {
			body["popup"] = begun.popup
		}
		writeJSON(w, http.StatusOK, body)
	default:
		sendTo(w, r, begun.hostedPage)
	}
}

// begun is a flow that has begun.
type begun struct {
	hostedPage string // the address to send the browser to
	popup      string // the popup's id, if the flow runs in one
	again      string // set alone: first the request has to be repeated there
}

// begin starts a flow: it issues an identity token, binds its hash to the user, and
// gives the browser the state cookie.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, a *Application) (begun, error) {
	// The moment comes before the question who is signed in: a Disconnect after it ends
	// the flow.
	at := h.now()
	user, form, err := h.readPost(w, r)
	if err != nil {
		return begun{}, err
	}
	again, err := h.cookiesAt(r).try(w, r)
	if err != nil || again != "" {
		return begun{again: again}, err
	}
	if h.fixedCallback && ofAnother(h.cookiesAt(r).all(r), user) {
		return begun{}, ErrBrowserInUse
	}
	pending, err := a.plan(r.Context(), user, form)
	if err != nil {
		return begun{}, err
	}
	pending.BegunAt = at

	state := newState()
	if form.Popup && clientOf(r) == clientJSON {
		state = newPopupState()
	}
	token, err := a.issue(r, &pending, state)
	if err != nil {
		return begun{}, err
	}
	if err := h.store.Bind(r.Context(), pending, maxPendingFlows); err != nil {
		return begun{}, storeError("bind the flow", err)
	}
	sealed := sealedState{state: state, tokenHash: pending.TokenHash, user: user.mark()}
	if err := h.cookiesAt(r).set(w, r, sealed, at); err != nil {
		return begun{}, err
	}

	e := a.event(Started, user.ID, "")
	e.ActorID, e.ConnectionID = user.Actor, pending.ConnectionID
	h.happened(r.Context(), e)
	return begun{hostedPage: h.anchor.HostedPageURL(token, user.Name), popup: popupID(state)}, nil
}

// plan decides what a flow is for: to renew the connection that the form names, to add
// one, or, if a user may have only one, for that one. It returns [ErrConnectionUnknown],
// [ErrConnectionLimit] or [ErrBadLabel] if the flow is sure to fail.
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
	// The empty identity, which no connection has, stands for a new one.
	if _, err := p.place(connections, "", a.h.maxConnections); err != nil {
		return Pending{}, err
	}
	if a.h.fixedCallback && len(connections) > 1 {
		// The callback could not tell which of the user's flows returns.
		return Pending{}, fmt.Errorf("%w: with FixedCallbackURL a user has one", ErrConnectionLimit)
	}
	return p, nil
}

// issue issues the identity token of a flow, and sets the flow's hash and times by it.
func (a *Application) issue(r *http.Request, p *Pending, state string) (token string, err error) {
	h, ctx := a.h, r.Context()
	t, err := h.anchor.CreateIdentityToken(ctx, a.id, h.callbackURL(r, state))
	if err != nil {
		return "", upstreamError("issue an identity token", err)
	}
	// The token's life is read from Anchor's own clock and counted on the app's, so the
	// two need not agree.
	now := h.now()
	h.compareClocks(ctx, t.IssuedAt, now)
	life := t.ExpiresAt.Sub(t.IssuedAt)
	if life <= 0 || life > maxTokenLife {
		// Two clocks disagree, and one of them decides whether an identity is fresh.
		return "", fmt.Errorf("%w: an identity token that lives %v by the answer's Date, where at most %v is believed: "+
			"perhaps the clock of a gateway before Anchor is wrong", ErrUpstreamInvalid, life, maxTokenLife)
	}
	p.TokenHash, p.IssuedAt, p.ExpiresAt = t.Hash, t.IssuedAt, now.Add(life)
	return t.Token, nil
}

// compareClocks logs from time to time that Anchor's clock and the app's differ. Flows
// do not depend on it, since they compare only moments of one clock.
func (h *Handler) compareClocks(ctx context.Context, anchors, ours time.Time) {
	difference := ours.Sub(anchors).Round(time.Second)
	if difference.Abs() > maxClockDifference && h.clockLogged.allows(ours) {
		h.log.WarnContext(ctx, "connect: the app's clock and Anchor's differ", "ahead", difference)
	}
}

// callbackURL returns the address that the hosted page returns to, at the host where the
// flow begins. The state is a segment of the path, because the path survives however the
// hosted page adds its own parameters.
func (h *Handler) callbackURL(r *http.Request, state string) string {
	address := h.originAt(r) + h.hosts.prefix + callbackPath
	if h.fixedCallback {
		return address
	}
	return address + "/" + state
}
