package connect

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// With Config.FixedCallbackURL the callback's address has no state, so several pending
// flows of the browser may be the one that returns. What the common case does not need
// is here.

// maxLookups bounds how many flows of a browser are looked up. Flows that begin at the
// same moment may leave it more cookies than maxStateCookies.
const maxLookups = 4 * maxStateCookies

// fixedEvidence is what a callback with a fixed address adds to the evidence.
type fixedEvidence struct {
	fixed   bool
	cookies []sealedState // all that this browser has
	later   []Pending     // further flows that prove, the oldest first

	// othersOpen reports whether this browser holds a pending flow of another user:
	// nothing tells which of them returns.
	othersOpen bool
}

// gatherFixed finds the flow of a callback whose address has no state, among those that
// this browser has open: the one that was completed with this very identity, or else
// every one that proves. If none does, the newest one decides the error.
func (h *Handler) gatherFixed(r *http.Request, e flowEvidence) (flowEvidence, error) {
	e.fixed = true
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
	var best, completed flowEvidence
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
		switch proves := proveFlow(candidate) == nil; {
		case proves && candidate.pending.Spent:
			completed = candidate
		case proves && proveFlow(best) == nil:
			best.later = append(best.later, candidate.pending)
		case proves || proveFlow(best) != nil:
			best = candidate
		}
	}
	if completed.user.ID != "" {
		best = completed
	}
	best.doomed = found // A reload must not finish for one user what this return could not.
	return best, nil
}

// gatherCandidates gathers the evidence for each flow that the identity may be for, and
// returns the first one that proves, or else the likeliest.
func (h *Handler) gatherCandidates(ctx context.Context, flow flowEvidence, e identityEvidence) (flowEvidence, identityEvidence, error) {
	var best flowEvidence
	var bestEvidence identityEvidence
	candidates := flow.candidates(e.identity.CreatedAt)
	for i, p := range candidates {
		candidate := flow
		candidate.pending, candidate.application = p, h.applications.withID(p.ApplicationID)
		evidence, err := h.gatherFor(ctx, candidate, e)
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

// candidates returns the flows that an identity of this age may be for, the likeliest
// first: the last one of each application. Flows that had begun when the identity was
// made come before the others, which an identity that the user has already may return
// to.
func (e flowEvidence) candidates(created time.Time) []Pending {
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
