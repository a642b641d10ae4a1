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

const (
	// clockAllowance is how much older than its token an identity may look.
	// The token's moment is a Date header: whole seconds, cut off, and perhaps
	// written by another machine of Anchor's than the one that dates identities.
	clockAllowance = 5 * time.Second

	// gatherTimeout bounds what a person waits for Anchor's answers.
	gatherTimeout = 30 * time.Second

	// externalUserID and connectedAt are the metadata keys of Anchor's own
	// documentation.
	externalUserID = "externalUserId"
	connectedAt    = "connectedAt"
	// connectedBy is our own: who connected, if that is another than the owner.
	connectedBy = "connectedBy"

	// repeated marks the request that our own page repeats.
	repeated = "repeated"
)

// callback finishes a flow. Everything is proved before anything is written;
// the state cookie and the start outlive it until the connection is stored, so
// a reload after a crash or an outage goes on where this stopped.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, state string) {
	ctx := r.Context()
	result := readReturn(r.URL.Query())

	if !result.says() {
		result = h.keptReturn(r, state, result)
	}

	start, err := h.gatherStart(r, state, result)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if start.user.ID == "" && start.cookieErr == nil && !result.repeated && !acceptsJSON(r.Header) {
		// A session cookie that is SameSite=Strict stays behind when another
		// site sends the browser here. It comes along when one of our own pages
		// does, so let one, once.
		l := h.answerIn(w, r)
		h.pages.render(w, http.StatusOK, repeatName, RepeatPage{Locale: l, Title: l.text("repeat.title"), URL: result.repeat()})
		return
	}
	if err := proveStart(start); err != nil {
		switch {
		case errors.Is(err, ErrAnotherUser):
			// The browser changed hands between start and return: nobody may
			// finish this any more. What was finished stays so.
			if err := h.spend(ctx, start.doomed); err != nil {
				h.fail(w, r, concerning(start.application, err))
				return
			}
		case errors.Is(err, ErrNotSignedIn) && start.cookieErr == nil && result.says():
			// The way back leads through the app's sign-in page, which must not be
			// told what came back.
			if err := h.cookiesAt(r).keepReturn(w, state, result.known()); err != nil {
				h.fail(w, r, err)
				return
			}
		}
		if errors.Is(err, ErrStateExpired) || errors.Is(err, ErrStateSpent) {
			h.clearUp(w, r, start, err)
			return
		}
		h.refuse(w, r, start, err)
		return
	}
	start.proved = true
	if result.err != nil {
		h.refuse(w, r, start, result.err)
		return
	}
	if start.pending.Spent {
		// The same return again: proved before, changes nothing.
		h.succeed(w, r, start)
		return
	}

	start, identity, err := h.gatherIdentity(ctx, start, result.identityID)
	if err != nil {
		h.fail(w, r, concerning(start.application, err))
		return
	}
	if err := proveIdentity(identity); err != nil {
		if errors.Is(err, ErrWrongApplication) && !start.fixed {
			// It took the application's list to find out. No hosted page comes
			// back with another application's identity, so this start has no
			// second one to come. Behind a fixed address a link that a stranger
			// made could end it this way: there the list itself remembers.
			if err := h.spend(ctx, []string{start.pending.TokenHash}); err != nil {
				h.fail(w, r, concerning(start.application, err))
				return
			}
		}
		h.refuse(w, r, start, err)
		return
	}

	h.connect(w, r, start, identity)
}

// connect stores the connection of a return that is proved, and answers.
func (h *Handler) connect(w http.ResponseWriter, r *http.Request, start startEvidence, identity identityEvidence) {
	ctx := r.Context()
	c := Connection{
		ID:            newConnectionID(), // Unless it renews another.
		ApplicationID: start.application.id,
		UserID:        start.user.ID,
		ActorID:       start.user.Actor,
		IdentityID:    identity.identity.ID,
		Label:         start.pending.Label,
		ConnectedAt:   h.now(),
		Health:        HealthOK,
		HealthAt:      identity.signedInAt(),
	}
	h.logUnknownStatus(ctx, identity.identity)
	completed, page, err := h.complete(r, start, identity, c)
	if page != "" {
		// The page must not be told what came back.
		if err := h.cookiesAt(r).keepReturn(w, start.state, start.result.known()); err != nil {
			h.fail(w, r, err)
			return
		}
		sendTo(w, r, page)
		return
	}
	over := errors.Is(err, ErrStateSpent) || errors.Is(err, ErrStateExpired) // Since it was proved.
	switch {
	case endsFlow(err), over && !start.fixed:
		h.discard(w, r, start, identity, err)
		return
	case err != nil:
		h.refuse(w, r, start, err)
		return
	case !completed.First:
		h.succeed(w, r, start)
		return
	}
	c = completed.Connection
	h.log.InfoContext(ctx, "connect: connected", "application", c.ApplicationID, "user", c.UserID,
		"connection", c.ID, "identity", c.IdentityID, "replaced", completed.Replaced)
	e := h.connectionEvent(Connected, c)
	e.ActorID, e.Replaced = c.ActorID, completed.Replaced
	h.happened(ctx, e)
	// Nobody waits for the tag, but the request does, so that a graceful shutdown
	// waits for it too.
	answerFirst(w, r, func() { h.succeed(w, r, start) }, func() { h.tagNow(ctx, start.user, c, identity.identity) })
}

// maxAsked is how often Config.Accept is asked in one callback, because the user's
// connections have changed meanwhile.
const maxAsked = 3

// complete asks the app and stores the connection. If the app has the user decide first,
// it returns the page to redirect to.
func (h *Handler) complete(r *http.Request, start startEvidence, identity identityEvidence, c Connection) (completed Completed, page string, err error) {
	for range maxAsked {
		how := Completion{
			TagAfter:       c.ConnectedAt.Add(taskLease),
			SameIdentity:   !isFresh(identity.identity.CreatedAt, identity.issuedAt),
			MaxConnections: h.maxConnections,
		}
		how.Accepted, page, err = h.ask(r, start, identity.identity, c)
		if err != nil || page != "" {
			return Completed{}, page, err
		}
		completed, err = h.store.Complete(r.Context(), start.pending.TokenHash, c, how)
		if !errors.Is(err, ErrConnectionChanged) {
			break
		}
	}
	if err != nil {
		return Completed{}, "", storeError("complete the flow", err)
	}
	return completed, "", nil
}

// spend ends starts without a connection, though the person leaves meanwhile.
func (h *Handler) spend(ctx context.Context, tokenHashes []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	for _, tokenHash := range tokenHashes {
		if err := h.store.Spend(ctx, tokenHash); err != nil {
			return storeError("spend the start", err)
		}
	}
	return nil
}

// refuse answers a return that did not lead to a connection. Where that is for
// lack of a proof the app is told too.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, start startEvidence, err error) {
	if e, ok := start.refusal(err); ok {
		h.happened(r.Context(), e)
	}
	if start.proved && !mayRepeat(err) {
		h.cookiesAt(r).dropReturn(w, r, start.state)
	}
	if start.application != nil {
		about := &applicationError{error: err, application: start.application}
		if isOf(start.pending, start.user) {
			about.returnTo = start.pending.ReturnTo
		}
		err = about
	}
	if popup := start.popup(); popup != "" && endsPopup(err) && !acceptsJSON(r.Header) {
		h.logRefusal(r, err)
		h.endPopup(w, r, popup, err)
		return
	}
	h.fail(w, r, err)
}

// succeed sends the browser on, or ends the popup.
func (h *Handler) succeed(w http.ResponseWriter, r *http.Request, start startEvidence) {
	h.cookiesAt(r).dropReturn(w, r, start.state)
	if popup := start.popup(); popup != "" && !acceptsJSON(r.Header) {
		h.endPopup(w, r, popup, nil)
		return
	}
	sendTo(w, r, cmp.Or(start.pending.ReturnTo, h.successURL))
}

// proveStart holds proofs 1 to 4 against the evidence, in this order:
//
//  1. Somebody is signed in.
//  2. The state in the address is ours.
//  3. This browser is the one that started.
//  4. The start is known, bound to this user, for an application of ours,
//     unspent and unexpired.
//
// A start that was completed with the very identity that comes back passes: it
// is a reload, and leads to no write.
func proveStart(e startEvidence) error {
	switch {
	case e.user.ID == "":
		return ErrNotSignedIn
	case e.othersOpen:
		return ErrAnotherUser
	case !e.fixed && e.state == "":
		return ErrStateMissing
	case e.cookieErr != nil:
		return e.cookieErr
	case !e.fixed && !sameState(e.state, e.cookie.state):
		return ErrStateInvalid
	case e.pendingErr != nil:
		return e.pendingErr
	case !isOf(e.pending, e.user):
		return ErrAnotherUser
	case e.application == nil:
		return ErrStateUnknown
	case e.pending.IdentityID != "" && e.pending.IdentityID == e.result.identityID:
		return nil
	case e.pending.Spent:
		return ErrStateSpent
	case !e.now.Before(e.pending.ExpiresAt):
		return ErrStateExpired
	}
	return nil
}

// proveIdentity holds proofs 5 to 8 against the evidence, in this order:
//
//  5. Anchor knows the identity, and it is usable.
//  7. It was made with this token, so is no older than it and has no mark yet; or a
//     connection of this user has it. The mark of this user alone may be that of
//     another environment with the same user ids.
//  8. Nobody else owns it, by its metadata. That no other user has it in the
//     store is for [Store].Complete to prove, where nothing can come between.
//  6. It belongs to our application, which may cost calls to find out.
func proveIdentity(e identityEvidence) error {
	switch {
	case e.identityErr != nil:
		return e.identityErr
	case !isUsable(e.identity):
		return fmt.Errorf("%w: its status is %q", ErrIdentityFailed, clip(e.identity.Status))
	case !isFresh(e.identity.CreatedAt, e.issuedAt) && !e.connected:
		return ErrIdentityTooOld
	case !ownedBy(e.identity.Metadata, e.user.ID):
		return ErrIdentityTaken
	case !isUnmarked(e.identity.Metadata) && !e.connected:
		return ErrIdentityTooOld
	case !e.inApplication:
		return ErrWrongApplication
	}
	return nil
}

// isOf reports whether a flow is bound to a user, and to the actor.
func isOf(p Pending, user User) bool { return p.UserID == user.ID && p.ActorID == user.Actor }

// isUsable reports whether an identity's status is not one that is known to be bad.
func isUsable(identity anchorhttp.Identity) bool {
	return identity.SignIn() != anchorhttp.SignInBad
}

// isFresh tells whether an identity may have been made with a token. One without
// a date is not.
func isFresh(created, issued time.Time) bool {
	return !created.Before(issued.Add(-clockAllowance))
}

// ownedBy tells whether metadata names this user, or nobody, as the identity's
// owner. Whatever else stands under the key is somebody else's mark.
func ownedBy(metadata map[string]any, userID string) bool {
	return isUnmarked(metadata) || metadata[externalUserID] == userID
}
