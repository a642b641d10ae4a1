package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// returned is what a callback's query says. It is the browser's word: nothing
// in it is believed before it is proved.
type returned struct {
	identityID string
	err        error // why there is no identityID
	repeated   bool
	query      url.Values // as it was sent; see known
}

// returnParameters are those that the hosted page may add and that we read:
// identity_id and status today, identityId before, error by the custom of OAuth
// (RFC 6749, section 4.1.2.1).
var returnParameters = []string{"identity_id", "identityId", "status", "error"}

// maxReturnValue bounds what is kept of a parameter's value, in bytes. None that
// is believed is longer: they are a UUID or a word.
const maxReturnValue = 64

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

// says reports whether the query says anything of the sign-in.
func (r returned) says() bool {
	return slices.ContainsFunc(returnParameters, r.query.Has)
}

// keptReturn is what the hosted page said when nobody was signed in, if this
// browser has it for this state. Otherwise it is the result that is given.
func (h *Handler) keptReturn(r *http.Request, state string, result returned) returned {
	query, ok := h.cookiesAt(r).keptReturn(r, state)
	if !ok {
		return result
	}
	kept := readReturn(query)
	kept.repeated = result.repeated
	return kept
}

// known are the parameters that we know, to make the request with once more. They
// are bounded, since they go into a page or a cookie: what is cut off makes them
// neither good nor bad.
func (r returned) known() url.Values {
	known := url.Values{}
	for _, name := range returnParameters {
		for _, value := range r.query[name][:min(len(r.query[name]), 2)] {
			known.Add(name, value[:min(len(value), maxReturnValue)])
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

	// othersOpen says, of a fixed address, that this browser holds a start of
	// another user: which of them comes back is not to be known.
	othersOpen bool
	// doomed are the token hashes of the starts that ErrAnotherUser ends.
	doomed []string

	result returned
	proved bool // proofs 1 to 4 hold
}

// gatherStart collects the evidence. An error is a fault, not a refusal.
func (h *Handler) gatherStart(r *http.Request, state string, result returned) (startEvidence, error) {
	e := startEvidence{
		now:    h.now(),
		state:  state,
		fixed:  h.fixedCallback && state == "",
		result: result,
	}
	user, err := h.signedIn(r)
	if err != nil && !errors.Is(err, ErrNotSignedIn) {
		return e, err
	}
	e.user = user

	if e.fixed {
		return h.gatherFixed(r, e)
	}
	if e.cookie, e.cookieErr = h.cookiesAt(r).find(r, state); e.cookieErr != nil || e.user.ID == "" {
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
	if !isOf(p, e.user) {
		e.doomed = []string{p.TokenHash}
	}
	return e, nil
}

// maxLookups bounds how many starts of a browser are looked up. Starts that race
// may leave it more cookies than maxStateCookies.
const maxLookups = 4 * maxStateCookies

// gatherFixed finds the start of a callback whose address carries no state,
// among those that this browser has open: the one that was completed with this
// very identity, or else every one that proves. Where none does, the newest
// tells why.
func (h *Handler) gatherFixed(r *http.Request, e startEvidence) (startEvidence, error) {
	cookies := h.cookiesAt(r).all(r)
	if len(cookies) == 0 {
		e.cookieErr = ErrNoStateCookie
		return e, nil
	}
	if e.user.ID == "" {
		return e, nil
	}
	e.othersOpen = ofAnother(cookies, e.user)
	e.cookies = cookies[max(len(cookies)-maxLookups, 0):]
	var best, completed startEvidence
	var found []string
	for _, cookie := range e.cookies {
		candidate := e
		candidate.cookie = cookie
		candidate, err := h.gatherPending(r.Context(), candidate)
		if err != nil {
			return e, err
		}
		if candidate.pendingErr == nil {
			found = append(found, candidate.pending.TokenHash)
		}
		switch proves := proveStart(candidate) == nil; {
		case proves && candidate.pending.Spent:
			completed = candidate
		case proves && proveStart(best) == nil:
			best.later = append(best.later, candidate.pending)
		case proves || proveStart(best) != nil:
			best = candidate
		}
	}
	if completed.user.ID != "" {
		best = completed
	}
	best.doomed = found // Of nobody's may a reload finish what this return could not.
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

// identityEvidence is what is known of an identity that comes back: the proofs
// 5 to 8.
type identityEvidence struct {
	user     User
	issuedAt time.Time // the token's, by Anchor's clock

	identity    anchorhttp.Identity
	identityErr error // ErrIdentityNotFound

	// inApplication: the identity's site is the application's alone, or the
	// application's own list has it.
	inApplication bool
	// connected reports whether a connection of this user has the identity.
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
	var best startEvidence
	var bestEvidence identityEvidence
	candidates := start.candidates(identity.CreatedAt)
	for i, p := range candidates {
		candidate, evidence := start, e
		candidate.pending, candidate.application = p, h.applications.withID(p.ApplicationID)
		evidence, err = h.gatherFor(ctx, candidate, evidence)
		if err != nil {
			return candidate, evidence, err
		}
		if proveIdentity(evidence) == nil {
			for _, other := range candidates[:i] {
				h.applications.withID(other.ApplicationID).listing.pardon(other.TokenHash)
			}
			return candidate, evidence, nil
		}
		if i == 0 {
			best, bestEvidence = candidate, evidence
		}
	}
	return best, bestEvidence, nil
}

// gatherFor adds what is known of an identity that comes back for one start. What
// is free to judge is judged first: the application is asked only about an
// identity that nothing else refuses.
func (h *Handler) gatherFor(ctx context.Context, start startEvidence, e identityEvidence) (identityEvidence, error) {
	e.issuedAt = start.pending.IssuedAt
	if !isFresh(e.identity.CreatedAt, e.issuedAt) || !isUnmarked(e.identity.Metadata) {
		connections, err := start.application.Connections(ctx, start.user.ID)
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
	if e.inApplication, err = start.application.holds(ctx, start.pending.TokenHash, e.identity); err != nil {
		return e, upstreamError("tell the identity's application", err)
	}
	return e, nil
}
