package connect

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// gatherTimeout bounds how long a user waits for Anchor's answers.
const gatherTimeout = 30 * time.Second

// flowEvidence is what is known of a flow when its callback arrives: the evidence for
// proofs 1 to 4.
type flowEvidence struct {
	now  time.Time
	user User // zero: nobody is signed in

	state     string // from the path; unused with a fixed callback address
	cookie    sealedState
	cookieErr error // ErrNoStateCookie or ErrStateInvalid

	pending     Pending
	pendingErr  error        // ErrStateUnknown
	application *Application // the flow's; nil if this handler does not serve it

	// doomed are the token hashes of the flows that ErrAnotherUser ends.
	doomed []string

	result returned
	proved bool // proofs 1 to 4 hold

	fixedEvidence
}

// gatherFlow collects the evidence. An error is a fault, not a refusal.
func (h *Handler) gatherFlow(r *http.Request, state string, result returned) (flowEvidence, error) {
	e := flowEvidence{now: h.now(), state: state, result: result}
	user, err := h.signedIn(r)
	if err != nil && !errors.Is(err, ErrNotSignedIn) {
		return e, err
	}
	e.user = user
	if h.fixedCallback && state == "" {
		return h.gatherFixed(r, e)
	}
	if e.cookie, e.cookieErr = h.cookiesAt(r).find(r, state); e.cookieErr != nil || e.user.ID == "" {
		return e, nil
	}
	return h.gatherPending(r.Context(), e)
}

// gatherPending adds what the store knows of the flow that the cookie names.
func (h *Handler) gatherPending(ctx context.Context, e flowEvidence) (flowEvidence, error) {
	p, err := h.store.Pending(ctx, e.cookie.tokenHash)
	if errors.Is(err, ErrStateUnknown) {
		e.pendingErr = err
		return e, nil
	}
	if err != nil {
		return e, storeError("look up the flow", err)
	}
	e.pending, e.application = p, h.applications.withID(p.ApplicationID)
	if !isOf(p, e.user) {
		e.doomed = []string{p.TokenHash}
	}
	return e, nil
}

// identityEvidence is what is known of an identity that returns: the evidence for proofs
// 5 to 8.
type identityEvidence struct {
	user     User
	issuedAt time.Time // the token's, by Anchor's clock

	identity    anchorhttp.Identity
	identityErr error // ErrIdentityNotFound

	// inApplication reports whether the identity's site is the application's alone, or
	// the application's own list has the identity.
	inApplication bool
	// connected reports whether a connection of this user has the identity.
	connected bool
}

// signedInAt returns the latest moment, by Anchor's clock, at which the identity is known
// to have signed in. News about the time before it no longer counts.
func (e identityEvidence) signedInAt() time.Time {
	if e.identity.UpdatedAt.After(e.issuedAt) {
		return e.identity.UpdatedAt
	}
	return e.issuedAt
}

// gatherIdentity collects the evidence, and decides which of the flow's candidates the
// identity is for. An error is a fault, not a refusal.
func (h *Handler) gatherIdentity(ctx context.Context, flow flowEvidence, id string) (flowEvidence, identityEvidence, error) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	e := identityEvidence{user: flow.user}

	identity, err := h.anchor.Identity(ctx, id)
	if anchorhttp.IsNotFound(err) {
		e.identityErr = ErrIdentityNotFound
		return flow, e, nil
	}
	if err != nil {
		return flow, e, upstreamError("get the identity", err)
	}
	e.identity = identity
	if !isUsable(identity) {
		return flow, e, nil // It is refused already: no further call is needed.
	}
	if len(flow.later) > 0 {
		return h.gatherCandidates(ctx, flow, e)
	}
	e, err = h.gatherFor(ctx, flow, e)
	return flow, e, err
}

// gatherFor adds what is known of an identity that returns for one flow. What is free to
// judge is judged first: the application is asked only about an identity that nothing
// else refuses.
func (h *Handler) gatherFor(ctx context.Context, flow flowEvidence, e identityEvidence) (identityEvidence, error) {
	e.issuedAt = flow.pending.IssuedAt
	if !isFresh(e.identity.CreatedAt, e.issuedAt) || !isUnmarked(e.identity.Metadata) {
		connections, err := flow.application.Connections(ctx, flow.user.ID)
		if err != nil {
			return e, err
		}
		e.connected = slices.ContainsFunc(connections, func(c Connection) bool { return c.IdentityID == e.identity.ID })
	}
	e.inApplication = true // Unless it is asked.
	if proveIdentity(e) != nil {
		return e, nil
	}
	var err error
	if e.inApplication, err = flow.application.holds(ctx, flow.pending.TokenHash, e.identity); err != nil {
		return e, upstreamError("look up the identity's application", err)
	}
	return e, nil
}
