package connect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
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

	// repeated marks the request that our own page repeats.
	repeated = "repeated"
)

// callback finishes a flow. Everything is proved before anything is written;
// the state cookie and the start outlive it until the connection is stored, so
// a reload after a crash or an outage goes on where this stopped.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, state string) {
	ctx := r.Context()
	result := readReturn(r.URL.Query())

	start, err := h.gatherStart(r, state, result)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if start.user.ID == "" && start.cookieErr == nil && !result.repeated && !acceptsJSON(r.Header) {
		// A session cookie that is SameSite=Strict stays behind when another
		// site sends the browser here. It comes along when one of our own pages
		// does, so let one, once.
		h.pages.render(w, http.StatusOK, repeatName, RepeatPage{URL: result.repeat()})
		return
	}
	if err := proveStart(start); err != nil {
		if errors.Is(err, ErrAnotherUser) {
			// The browser changed hands between start and return: nobody may
			// finish this any more. What was finished stays so.
			for _, tokenHash := range start.anothers {
				if err := h.store.Spend(ctx, tokenHash); err != nil {
					h.fail(w, r, concerning(start.application, storeError("spend the start", err)))
					return
				}
			}
		}
		h.refuse(w, r, start, err)
		return
	}
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
		h.refuse(w, r, start, err)
		return
	}

	c := Connection{
		ApplicationID: start.application.id,
		UserID:        start.user.ID,
		IdentityID:    identity.identity.ID,
		ConnectedAt:   h.now(),
		Health:        HealthOK,
		HealthAt:      identity.signedInAt(),
	}
	first, err := h.store.Complete(ctx, start.pending.TokenHash, c, Completion{
		TagAfter:     c.ConnectedAt.Add(taskLease),
		SameIdentity: !isFresh(identity.identity.CreatedAt, identity.issuedAt),
	})
	if err != nil {
		h.refuse(w, r, start, storeError("complete the start", err))
		return
	}
	if first {
		h.log.InfoContext(ctx, "connect: connected", "application", c.ApplicationID, "user", c.UserID, "identity", c.IdentityID)
		h.happened(ctx, h.connectionEvent(Connected, c))
		h.tagNow(ctx, start.user, c, identity.identity)
	}
	h.succeed(w, r, start)
}

// refuse answers a return that did not lead to a connection. Where that is for
// lack of a proof the app is told too.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, start startEvidence, err error) {
	if number, reason := failedProof(err); number > 0 {
		e := start.application.event(Refused, start.user.ID, start.identityID)
		e.Proof, e.Reason = number, reason
		h.happened(r.Context(), e)
	}
	if start.application != nil {
		err = &applicationError{err, start.application, start.pending.ReturnTo}
	}
	if popup := start.popup(); popup != "" && endsPopup(err) && !acceptsJSON(r.Header) {
		h.logRefusal(r, err)
		h.endPopup(w, popup, err)
		return
	}
	h.fail(w, r, err)
}

// succeed sends the browser on, or ends the popup.
func (h *Handler) succeed(w http.ResponseWriter, r *http.Request, start startEvidence) {
	if popup := start.popup(); popup != "" && !acceptsJSON(r.Header) {
		h.endPopup(w, popup, nil)
		return
	}
	sendTo(w, r, cmp.Or(start.pending.ReturnTo, h.successURL))
}

// returned is what a callback's query says. It is the browser's word: nothing
// in it is believed before it is proved.
type returned struct {
	identityID string
	err        error // why there is no identityID
	repeated   bool
	query      url.Values // as it was sent; see known
}

// returnParameters are those that the hosted page may add: identity_id and
// status today, identityId before, error and error_description by the custom of
// OAuth (RFC 6749, section 4.1.2.1).
var returnParameters = []string{"identity_id", "identityId", "status", "error", "error_description"}

// readReturn reads the query of a callback.
func readReturn(query url.Values) returned {
	result := returned{repeated: query.Has(repeated), query: query}
	result.identityID, result.err = readOutcome(query)
	return result
}

func readOutcome(query url.Values) (identityID string, err error) {
	for _, name := range returnParameters {
		if len(query[name]) > 1 {
			return "", fmt.Errorf("%w: %s stands there %d times", ErrBadIdentityID, name, len(query[name]))
		}
	}
	switch status, failure := query.Get("status"), query.Get("error"); {
	case isCancel(status) || isCancel(failure):
		return "", ErrCancelled
	case status != "" && status != "success" || failure != "":
		// Even with an identity beside it.
		return "", ErrSignInFailed
	}
	current, older := query.Get("identity_id"), query.Get("identityId")
	if current != "" && older != "" && !strings.EqualFold(current, older) {
		return "", fmt.Errorf("%w: identity_id and identityId differ", ErrBadIdentityID)
	}
	if current == "" {
		current = older
	}
	if current == "" {
		return "", ErrNotFinished
	}
	id, ok := anchorhttp.ParseID(current)
	if !ok {
		return "", fmt.Errorf("%w: it is no UUID", ErrBadIdentityID)
	}
	return id, nil
}

func isCancel(s string) bool {
	switch strings.ToLower(s) {
	case "cancel", "canceled", "cancelled", "access_denied":
		return true
	}
	return false
}

// known are the parameters that we know, to make the request with once more.
func (r returned) known() url.Values {
	known := url.Values{}
	for _, name := range returnParameters {
		if r.query.Has(name) {
			known[name] = r.query[name]
		}
	}
	return known
}

// repeat is the address, relative to the callback's own, that makes the same
// request once more.
func (r returned) repeat() string {
	query := r.known()
	query.Set(repeated, "1")
	return "?" + query.Encode()
}

// startEvidence is what is known of a start when its callback arrives: the
// proofs 1 to 4.
type startEvidence struct {
	now  time.Time
	user User // zero: nobody is signed in

	state     string // from the path; unused with a fixed callback address
	fixed     bool
	cookie    sealedState
	cookieErr error
	cookies   []sealedState // with a fixed address: all that this browser has

	pending     Pending
	pendingErr  error        // ErrStateUnknown
	application *Application // the start's; nil when this handler does not serve it
	later       []Pending    // with a fixed address: more that prove, in order of age
	anothers    []string     // the token hashes of starts of another user that come back

	identityID string // what the return names, if anything
}

// gatherStart collects the evidence. An error is a fault, not a refusal.
func (h *Handler) gatherStart(r *http.Request, state string, result returned) (startEvidence, error) {
	e := startEvidence{
		now:        h.now(),
		state:      state,
		fixed:      h.fixedCallback && state == "",
		identityID: result.identityID,
	}
	user, err := h.signedIn(r)
	if err != nil && !errors.Is(err, ErrNotSignedIn) {
		return e, err
	}
	e.user = user

	if e.fixed {
		return h.gatherFixed(r, e)
	}
	if e.cookie, e.cookieErr = h.cookies.find(r, state); e.cookieErr != nil || e.user.ID == "" {
		return e, nil
	}
	return h.gatherPending(r.Context(), e)
}

// gatherPending adds what the store knows of the start that the cookie names.
func (h *Handler) gatherPending(ctx context.Context, e startEvidence) (startEvidence, error) {
	p, err := h.store.Pending(ctx, e.cookie.tokenHash)
	if errors.Is(err, ErrStateUnknown) {
		e.pendingErr = err
		return e, nil
	}
	if err != nil {
		return e, storeError("look up the start", err)
	}
	e.pending, e.application = p, h.applications.withID(p.ApplicationID)
	if p.UserID != e.user.ID {
		e.anothers = append(e.anothers, p.TokenHash)
	}
	return e, nil
}

// gatherFixed finds the start of a callback whose address carries no state,
// among those that this browser has open: the one that was completed with this
// very identity, or else every one that proves. Where none does, the newest
// tells why.
func (h *Handler) gatherFixed(r *http.Request, e startEvidence) (startEvidence, error) {
	cookies := h.cookies.all(r)
	if len(cookies) == 0 {
		e.cookieErr = ErrNoStateCookie
		return e, nil
	}
	if e.user.ID == "" {
		return e, nil
	}
	e.cookies = cookies
	var best startEvidence
	var anothers []string
	for _, cookie := range cookies {
		candidate := e
		candidate.cookie = cookie
		candidate, err := h.gatherPending(r.Context(), candidate)
		if err != nil {
			return e, err
		}
		anothers = append(anothers, candidate.anothers...)
		switch proves := proveStart(candidate) == nil; {
		case proves && candidate.pending.Spent:
			return candidate, nil
		case proves && proveStart(best) == nil:
			best.later = append(best.later, candidate.pending)
		case proves || proveStart(best) != nil:
			best = candidate
		}
	}
	best.anothers = anothers
	return best, nil
}

// candidates are the starts that an identity of this age may have come from, the
// likeliest first, one for each application. With a fixed callback address those
// that had begun by then come before the others, which an identity that is the
// user's already may come back to; of each the last one. There is always one.
func (e startEvidence) candidates(created time.Time) []Pending {
	if len(e.later) == 0 {
		return []Pending{e.pending}
	}
	var begun, others []Pending
	for _, p := range slices.Backward(append([]Pending{e.pending}, e.later...)) {
		if isFresh(created, p.IssuedAt) {
			begun = append(begun, p)
		} else {
			others = append(others, p)
		}
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(append(begun, others...), func(p Pending) bool {
		again := seen[p.ApplicationID]
		seen[p.ApplicationID] = true
		return again
	})
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
	case !e.fixed && e.state == "":
		return ErrStateMissing
	case e.cookieErr != nil:
		return e.cookieErr
	case !e.fixed && !sameState(e.state, e.cookie.state):
		return ErrStateInvalid
	case e.pendingErr != nil:
		return e.pendingErr
	case e.pending.UserID != e.user.ID:
		return ErrAnotherUser
	case e.application == nil:
		return ErrStateUnknown
	case e.pending.IdentityID != "" && e.pending.IdentityID == e.identityID:
		return nil
	case e.pending.Spent:
		return ErrStateSpent
	case !e.now.Before(e.pending.ExpiresAt):
		return ErrStateExpired
	}
	return nil
}

// identityEvidence is what is known of an identity that comes back: the proofs
// 5 to 8.
type identityEvidence struct {
	user     User
	issuedAt time.Time // the token's, by Anchor's clock

	identity    anchorhttp.Identity
	identityErr error // ErrIdentityNotFound

	// inApplication: the identity's site is the application's, or the
	// application's own list has it.
	inApplication bool
	// connected: the store has this identity as this user's connection.
	connected bool
}

// signedInAt is the latest moment, by Anchor's clock, that the identity is known
// to have signed in at. What an event says of the time before counts no more.
func (e identityEvidence) signedInAt() time.Time {
	if e.identity.UpdatedAt.After(e.issuedAt) {
		return e.identity.UpdatedAt
	}
	return e.issuedAt
}

// gatherIdentity collects the evidence, and settles which start it is for. An
// error is a fault, not a refusal.
func (h *Handler) gatherIdentity(ctx context.Context, start startEvidence, id string) (startEvidence, identityEvidence, error) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	e := identityEvidence{user: start.user}

	identity, err := h.anchor.Identity(ctx, id)
	if anchorhttp.IsNotFound(err) {
		e.identityErr = ErrIdentityNotFound
		return start, e, nil
	}
	if err != nil {
		return start, e, upstreamError("get the identity", err)
	}
	e.identity = identity
	if !isUsable(identity) {
		return start, e, nil // Refused already: worth no further call.
	}
	for _, p := range start.candidates(identity.CreatedAt) {
		start.pending, start.application = p, h.applications.withID(p.ApplicationID)
		if e.inApplication, err = start.application.site.holds(ctx, identity); err != nil {
			return start, e, upstreamError("tell the identity's application", err)
		}
		if e.inApplication {
			break
		}
	}
	e.issuedAt = start.pending.IssuedAt
	if !isFresh(identity.CreatedAt, e.issuedAt) {
		c, err := start.application.Connection(ctx, start.user.ID)
		if err != nil && !errors.Is(err, ErrNotConnected) {
			return start, e, err
		}
		e.connected = err == nil && c.IdentityID == identity.ID
	}
	return start, e, nil
}

// proveIdentity holds proofs 5 to 8 against the evidence, in this order:
//
//  5. Anchor knows the identity, and it is usable.
//  6. It belongs to our application.
//  7. It was made with this token, so is no older than it; or it is this
//     user's connection already.
//  8. Nobody else owns it, by its metadata. That no other user has it in the
//     store is for [Store].Complete to prove, where nothing can come between.
func proveIdentity(e identityEvidence) error {
	switch {
	case e.identityErr != nil:
		return e.identityErr
	case !isUsable(e.identity):
		return fmt.Errorf("%w: its status is %q", ErrIdentityFailed, e.identity.Status)
	case !e.inApplication:
		return ErrWrongApplication
	case !isFresh(e.identity.CreatedAt, e.issuedAt) && !e.connected:
		return ErrIdentityTooOld
	case !ownedBy(e.identity.Metadata, e.user.ID):
		return ErrIdentityTaken
	}
	return nil
}

func isUsable(identity anchorhttp.Identity) bool {
	return identity.Status == anchorhttp.StatusPending || identity.Status == anchorhttp.StatusValidated
}

// isFresh tells whether an identity may have been made with a token. One without
// a date is not.
func isFresh(created, issued time.Time) bool {
	return !created.Before(issued.Add(-clockAllowance))
}

// ownedBy tells whether metadata names this user, or nobody, as the identity's
// owner. Whatever else stands under the key is somebody else's mark.
func ownedBy(metadata map[string]any, userID string) bool {
	owner := metadata[externalUserID]
	return owner == nil || owner == "" || owner == userID
}

// taggedMetadata is the metadata with the tag put in. The API may replace
// metadata whole, so what was there stays.
func (h *Handler) taggedMetadata(ctx context.Context, user User, metadata map[string]any, c Connection) (map[string]any, error) {
	tagged := maps.Clone(metadata)
	if tagged == nil {
		tagged = make(map[string]any, 2)
	}
	if h.metadata != nil {
		err := recovered(func() error {
			own, err := h.metadata(ctx, user)
			maps.Copy(tagged, own)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("Config.Metadata: %w", err)
		}
	}
	// Last, so that the owner is never another than the one who was proved.
	tagged[externalUserID] = c.UserID
	tagged[connectedAt] = c.ConnectedAt.UTC().Format(time.RFC3339)
	return tagged, nil
}

// sameJSON tells whether two metadata are the same to Anchor.
func sameJSON(a, b map[string]any) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}

// tagNow writes the tag in the request that connected, over the identity just
// read, and names it after the user. What fails here is made up for by
// [Handler.Run]: the task is queued.
func (h *Handler) tagNow(ctx context.Context, user User, c Connection, identity anchorhttp.Identity) {
	// The person may close the page now; the tag is made all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	task := Task{Kind: TagIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID}
	metadata, err := h.taggedMetadata(ctx, user, identity.Metadata, c)
	if err == nil {
		update := anchorhttp.IdentityUpdate{Metadata: metadata}
		if user.Name != identity.Name {
			update.Name = user.Name // An empty one is not sent.
		}
		err = h.anchor.UpdateIdentity(ctx, c.IdentityID, update)
	}
	if err == nil {
		h.happened(ctx, h.connectionEvent(Tagged, c))
		if deadline, _ := ctx.Deadline(); time.Until(deadline) > taskTimeout/2 {
			h.done(ctx, task) // The usual case: what is left is plenty for the store.
			return
		}
	}
	h.settle(ctx, task, err)
}

// upstreamError tells what a failed call to Anchor means to the person.
func upstreamError(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", upstreamCause(err), doing, err)
}

func upstreamCause(err error) error {
	var answer *anchorhttp.Error
	var network net.Error
	switch {
	case errors.Is(err, anchorhttp.ErrInvalidAnswer):
		return ErrUpstreamInvalid
	case errors.As(err, &answer):
		switch code := answer.StatusCode; {
		case code == http.StatusGatewayTimeout || code == http.StatusRequestTimeout:
			return ErrUpstreamTimeout
		case code == http.StatusTooManyRequests || code >= 500:
			return ErrUpstreamUnavailable
		}
		// A refused key, an unknown application, a redirect.
		return ErrUpstreamInvalid
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return ErrUpstreamTimeout
	}
	return ErrUpstreamUnavailable
}

// storeError passes on what the contract of [Store] names as an answer, and
// calls everything else a fault.
func storeError(doing string, err error) error {
	var answer *causeError
	if errors.As(err, &answer) {
		return fmt.Errorf("%w: %s", err, doing)
	}
	return fmt.Errorf("%w: %s: %w", ErrStoreFailed, doing, err)
}
