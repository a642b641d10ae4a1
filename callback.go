package connect

import (
	"cmp"
	"context"
	"errors"
	"net/http"
)

// repeated is the parameter of a request that our own page repeats.
const repeated = "repeated"

// callback finishes a flow. It writes nothing before everything is proved. The state
// cookie and the pending flow stay until the connection is stored, so a reload after a
// crash or an outage continues where this stopped.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, state string) {
	result := readReturn(r.URL.Query())
	if !result.says() {
		result = h.keptReturn(r, state, result)
	}
	flow, err := h.gatherFlow(r, state, result)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if flow.user.ID == "" && flow.cookieErr == nil && !result.repeated && clientOf(r) == clientPage {
		h.repeat(w, r, result)
		return
	}
	if err := proveFlow(flow); err != nil {
		h.refuseFlow(w, r, flow, err)
		return
	}
	flow.proved = true
	switch {
	case result.err != nil:
		h.refuse(w, r, flow, result.err)
	case flow.pending.Spent:
		h.succeed(w, r, flow) // A reload: the flow was completed with this very identity.
	default:
		h.finish(w, r, flow)
	}
}

// repeat answers with a page that makes the same request once more. Another site sent the
// browser here, which keeps a SameSite=Strict session cookie back. A page of ours does
// not have that effect.
func (h *Handler) repeat(w http.ResponseWriter, r *http.Request, result returned) {
	l := h.answerIn(w, r)
	h.pages.render(w, http.StatusOK, repeatName, RepeatPage{Locale: l, Title: l.text("repeat.title"), URL: result.repeat()})
}

// finish proves the identity of a flow that is proved, and connects it.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, flow flowEvidence) {
	flow, identity, err := h.gatherIdentity(r.Context(), flow, flow.result.identityID)
	if err != nil {
		h.fail(w, r, concerning(flow.application, err))
		return
	}
	if err := proveIdentity(identity); err != nil {
		if errors.Is(err, ErrWrongApplication) && !flow.fixed {
			// Reading the application's list may have taken calls, so it must not be
			// repeated. The hosted page never returns another application's identity,
			// so no proper return is lost. With a fixed callback address a stranger's
			// link could end the flow this way; there the list itself remembers.
			if err := h.spend(r.Context(), []string{flow.pending.TokenHash}); err != nil {
				h.fail(w, r, concerning(flow.application, err))
				return
			}
		}
		h.refuse(w, r, flow, err)
		return
	}
	h.connect(w, r, flow, identity)
}

// connect stores the connection of a return that is proved, and answers.
func (h *Handler) connect(w http.ResponseWriter, r *http.Request, flow flowEvidence, identity identityEvidence) {
	ctx := r.Context()
	c := Connection{
		ID:            newConnectionID(), // Unless it renews another.
		ApplicationID: flow.application.id,
		UserID:        flow.user.ID,
		ActorID:       flow.user.Actor,
		IdentityID:    identity.identity.ID,
		Label:         flow.pending.Label,
		ConnectedAt:   h.now(),
		Health:        HealthOK,
		HealthAt:      identity.signedInAt(),
	}
	h.logUnknownStatus(ctx, identity.identity)
	completed, page, err := h.complete(r, flow, identity, c)
	if page != "" {
		// The page must not learn what the hosted page returned.
		if err := h.cookiesAt(r).keepReturn(w, flow.state, flow.result.known()); err != nil {
			h.fail(w, r, err)
			return
		}
		sendTo(w, r, page)
		return
	}
	over := errors.Is(err, ErrStateSpent) || errors.Is(err, ErrStateExpired) // Since it was proved.
	switch {
	case endsFlow(err), over && !flow.fixed:
		h.discard(w, r, flow, identity, err)
		return
	case err != nil:
		h.refuse(w, r, flow, err)
		return
	case !completed.First:
		h.succeed(w, r, flow)
		return
	}
	c = completed.Connection
	h.log.InfoContext(ctx, "connect: connected", "application", c.ApplicationID, "user", c.UserID,
		"connection", c.ID, "identity", c.IdentityID, "replaced", completed.Replaced)
	e := h.connectionEvent(Connected, c)
	e.ActorID, e.Replaced = c.ActorID, completed.Replaced
	h.happened(ctx, e)
	// The user does not wait for the tag. The request does, and with it a graceful
	// shutdown.
	answerFirst(w, r, func() { h.succeed(w, r, flow) }, func() { h.tagNow(ctx, flow.user, c, identity.identity) })
}

// maxAsked is how often one callback asks Config.Accept, if the user's connections keep
// changing.
const maxAsked = 3

// complete asks the app and stores the connection. If the user has to decide first, it
// returns the page to redirect to.
func (h *Handler) complete(r *http.Request, flow flowEvidence, identity identityEvidence, c Connection) (completed Completed, page string, err error) {
	for range maxAsked {
		how := Completion{
			TagAfter:       c.ConnectedAt.Add(taskLease),
			SameIdentity:   !isFresh(identity.identity.CreatedAt, identity.issuedAt),
			MaxConnections: h.maxConnections,
		}
		how.Accepted, page, err = h.ask(r, flow, identity.identity, c)
		if err != nil || page != "" {
			return Completed{}, page, err
		}
		completed, err = h.store.Complete(r.Context(), flow.pending.TokenHash, c, how)
		if !errors.Is(err, ErrConnectionChanged) {
			break
		}
	}
	if err != nil {
		return Completed{}, "", storeError("complete the flow", err)
	}
	return completed, "", nil
}

// refuseFlow answers a callback whose flow is not proved.
func (h *Handler) refuseFlow(w http.ResponseWriter, r *http.Request, flow flowEvidence, err error) {
	switch {
	case errors.Is(err, ErrAnotherUser):
		// The browser changed hands since the flow began: nobody may finish it any more.
		if err := h.spend(r.Context(), flow.doomed); err != nil {
			h.fail(w, r, concerning(flow.application, err))
			return
		}
	case errors.Is(err, ErrNotSignedIn) && flow.cookieErr == nil && flow.result.says():
		// The user goes through the app's sign-in page, which must not learn what the
		// hosted page returned.
		if err := h.cookiesAt(r).keepReturn(w, flow.state, flow.result.known()); err != nil {
			h.fail(w, r, err)
			return
		}
	case errors.Is(err, ErrStateExpired), errors.Is(err, ErrStateSpent):
		h.clearUp(w, r, flow, err)
		return
	}
	h.refuse(w, r, flow, err)
}

// refuse answers a callback that did not lead to a connection, and reports it to
// Config.OnEvent.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, flow flowEvidence, err error) {
	if e, ok := flow.refusal(err); ok {
		h.happened(r.Context(), e)
	}
	if flow.proved && !mayRepeat(err) {
		h.cookiesAt(r).dropReturn(w, r, flow.state)
	}
	if flow.application != nil {
		about := &applicationError{error: err, application: flow.application}
		if isOf(flow.pending, flow.user) {
			about.returnTo = flow.pending.ReturnTo
		}
		err = about
	}
	if popup := flow.popup(); popup != "" && endsPopup(err) && clientOf(r) == clientPage {
		h.logError(r, err)
		h.endPopup(w, r, popup, err)
		return
	}
	h.fail(w, r, err)
}

// succeed sends the browser on, or ends the popup.
func (h *Handler) succeed(w http.ResponseWriter, r *http.Request, flow flowEvidence) {
	h.cookiesAt(r).dropReturn(w, r, flow.state)
	if popup := flow.popup(); popup != "" && clientOf(r) == clientPage {
		h.endPopup(w, r, popup, nil)
		return
	}
	sendTo(w, r, cmp.Or(flow.pending.ReturnTo, h.successURL))
}

// spend ends flows without a connection, even if the browser goes away meanwhile.
func (h *Handler) spend(ctx context.Context, tokenHashes []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	for _, tokenHash := range tokenHashes {
		if err := h.store.Spend(ctx, tokenHash); err != nil {
			return storeError("spend the flow", err)
		}
	}
	return nil
}
