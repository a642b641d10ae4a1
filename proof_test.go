package connect

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// Evidence for which every proof holds. The tables change it.

func goodFlow() flowEvidence {
	return flowEvidence{
		now:         noon.Add(time.Minute),
		user:        User{ID: "ada"},
		state:       "STATE",
		cookie:      sealedState{state: "STATE", tokenHash: "hash"},
		application: &Application{id: testApp},
		result:      returned{identityID: identityA},
		pending: Pending{
			TokenHash: "hash", ApplicationID: testApp, UserID: "ada",
			IssuedAt: noon, ExpiresAt: noon.Add(15 * time.Minute),
		},
	}
}

func goodIdentity() identityEvidence {
	return identityEvidence{
		user:     User{ID: "ada"},
		issuedAt: noon,
		identity: anchorhttp.Identity{
			ID: identityA, Status: anchorhttp.StatusValidated, CreatedAt: noon.Add(time.Minute),
		},
		inApplication: true,
	}
}

func TestProofsOfACallback(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		start    func(*flowEvidence)
		identity func(*identityEvidence)
		want     error
	}{
		{name: "evidence for all eight proofs passes"},

		// 1. Somebody is signed in.
		{name: "1: nobody is signed in", start: func(e *flowEvidence) { e.user = User{} }, want: ErrNotSignedIn},
		{name: "1: nobody is signed in comes before a missing cookie", start: func(e *flowEvidence) { e.user = User{}; e.cookieErr = ErrNoStateCookie }, want: ErrNotSignedIn},

		// 2. The state in the address is ours.
		{name: "2: the address has no state", start: func(e *flowEvidence) { e.state = "" }, want: ErrStateMissing},
		{name: "2: the address has another state than the cookie", start: func(e *flowEvidence) { e.state = "OTHER" }, want: ErrStateInvalid},
		{name: "2: the address has the beginning of the state", start: func(e *flowEvidence) { e.state = "STAT" }, want: ErrStateInvalid},
		{name: "2: the state in another case is another state", start: func(e *flowEvidence) { e.state = "state" }, want: ErrStateInvalid},
		{name: "2: a fixed callback address needs no state", start: func(e *flowEvidence) { e.state, e.fixed = "", true }},

		// 3. The flow began in this browser.
		{name: "3: the browser has no cookie", start: func(e *flowEvidence) { e.cookie, e.cookieErr = sealedState{}, ErrNoStateCookie }, want: ErrNoStateCookie},
		{name: "3: the cookie is forged", start: func(e *flowEvidence) { e.cookie, e.cookieErr = sealedState{}, ErrStateInvalid }, want: ErrStateInvalid},
		{name: "3: a fixed callback address needs the cookie all the same", start: func(e *flowEvidence) { e.fixed, e.cookieErr = true, ErrNoStateCookie }, want: ErrNoStateCookie},

		// 4. The flow is known, bound to this user, pending and unexpired.
		{name: "4: the store does not know the flow", start: func(e *flowEvidence) { e.pending, e.pendingErr = Pending{}, ErrStateUnknown }, want: ErrStateUnknown},
		{name: "4: another user began", start: func(e *flowEvidence) { e.pending.UserID = "eve" }, want: ErrAnotherUser},
		{name: "4: a user whose id differs in case began", start: func(e *flowEvidence) { e.pending.UserID = "Ada" }, want: ErrAnotherUser},
		{name: "4: another user began, though it is expired", start: func(e *flowEvidence) { e.pending.UserID = "eve"; e.now = noon.Add(time.Hour) }, want: ErrAnotherUser},
		{name: "4: another user finished it with this identity", start: func(e *flowEvidence) {
			e.pending.UserID, e.pending.Spent, e.pending.IdentityID = "eve", true, identityA
		}, want: ErrAnotherUser},
		{name: "4: this browser also holds a pending flow of another user", start: func(e *flowEvidence) { e.fixed, e.othersOpen = true, true }, want: ErrAnotherUser},
		{name: "4: another user's pending flow counts though this one is completed", start: func(e *flowEvidence) {
			e.fixed, e.othersOpen, e.pending.Spent, e.pending.IdentityID = true, true, true, identityA
		}, want: ErrAnotherUser},
		{name: "4: it belongs to an application that is not served", start: func(e *flowEvidence) { e.application = nil }, want: ErrStateUnknown},
		{name: "4: it is over", start: func(e *flowEvidence) { e.pending.Spent = true }, want: ErrStateSpent},
		{name: "4: it is over, and the callback names no identity", start: func(e *flowEvidence) { e.pending.Spent, e.result.identityID = true, "" }, want: ErrStateSpent},
		{name: "4: it was completed with another identity", start: func(e *flowEvidence) { e.pending.Spent, e.pending.IdentityID = true, identityB }, want: ErrStateSpent},
		{name: "4: it was completed with this identity, which is a reload", start: func(e *flowEvidence) { e.pending.Spent, e.pending.IdentityID = true, identityA }},
		{name: "4: a reload may come after the expiry", start: func(e *flowEvidence) {
			e.pending.Spent, e.pending.IdentityID, e.now = true, identityA, noon.Add(time.Hour)
		}},
		{name: "4: it expires at this very moment", start: func(e *flowEvidence) { e.now = e.pending.ExpiresAt }, want: ErrStateExpired},
		{name: "4: it expires in a moment", start: func(e *flowEvidence) { e.now = e.pending.ExpiresAt.Add(-time.Nanosecond) }},

		// 5. Anchor knows the identity, and it is usable.
		{name: "5: Anchor does not know the identity", identity: func(e *identityEvidence) { e.identityErr = ErrIdentityNotFound }, want: ErrIdentityNotFound},
		{name: "5: the identity failed", identity: func(e *identityEvidence) { e.identity.Status = "failed" }, want: ErrIdentityFailed},
		{name: "5: the identity failed for Anchor's agent", identity: func(e *identityEvidence) { e.identity.Status = "agent_failed" }, want: ErrIdentityFailed},
		{name: "5: the identity is invalid for Anchor's agent", identity: func(e *identityEvidence) { e.identity.Status = "agent_invalid" }, want: ErrIdentityFailed},
		{name: "5: the identity's status is a new one", identity: func(e *identityEvidence) { e.identity.Status = "suspended" }},
		{name: "5: the identity has no status", identity: func(e *identityEvidence) { e.identity.Status = "" }},
		{name: "5: a pending identity is usable", identity: func(e *identityEvidence) { e.identity.Status = anchorhttp.StatusPending }},
		{name: "5: an active identity is usable", identity: func(e *identityEvidence) { e.identity.Status = anchorhttp.StatusActive }},

		// 6. It belongs to our application. That may cost calls, so it comes last.
		{name: "6: the identity is another application's", identity: func(e *identityEvidence) { e.inApplication = false }, want: ErrWrongApplication},
		{name: "6: its age comes before its application", identity: func(e *identityEvidence) { e.inApplication, e.identity.CreatedAt = false, time.Time{} }, want: ErrIdentityTooOld},
		{name: "6: another's mark comes before its application", identity: func(e *identityEvidence) {
			e.inApplication, e.identity.Metadata = false, map[string]any{externalUserID: "eve"}
		}, want: ErrIdentityTaken},

		// 7. It is fresh, or this user's already.
		{name: "7: the identity is older than the token", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-time.Minute) }, want: ErrIdentityTooOld},
		{name: "7: the identity has no date", identity: func(e *identityEvidence) { e.identity.CreatedAt = time.Time{} }, want: ErrIdentityTooOld},
		{name: "7: the identity is five seconds older", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-5 * time.Second) }},
		{name: "7: the identity is six seconds older", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-6 * time.Second) }, want: ErrIdentityTooOld},
		{name: "7: the identity is older by just the allowance", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-clockAllowance) }},
		{name: "7: the identity is older by a little more", identity: func(e *identityEvidence) {
			e.identity.CreatedAt = noon.Add(-clockAllowance - time.Millisecond)
		}, want: ErrIdentityTooOld},
		{name: "7: an old identity that is connected already is this user's", identity: func(e *identityEvidence) {
			e.identity.CreatedAt, e.connected = noon.Add(-time.Hour), true
		}},
		{name: "7: the user's mark alone makes an old identity no fresher", identity: func(e *identityEvidence) {
			e.identity.CreatedAt = noon.Add(-time.Hour)
			e.identity.Metadata = map[string]any{externalUserID: "ada"}
		}, want: ErrIdentityTooOld},

		// 8. Nobody else owns it.
		{name: "8: the identity is marked as another user's", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "eve"} }, want: ErrIdentityTaken},
		{name: "8: the mark of another user counts though it is connected", identity: func(e *identityEvidence) {
			e.connected, e.identity.Metadata = true, map[string]any{externalUserID: "eve"}
		}, want: ErrIdentityTaken},
		{name: "8: the mark differs in case", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "ADA"} }, want: ErrIdentityTaken},
		{name: "8: the mark is a number", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: float64(7)} }, want: ErrIdentityTaken},
		{name: "8: the mark is a list with the user in it", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: []any{"ada"}} }, want: ErrIdentityTaken},
		{name: "7: the mark is this user's, who has no connection with it", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "ada"} }, want: ErrIdentityTooOld},
		{name: "7: the mark is this user's, who has a connection with it", identity: func(e *identityEvidence) {
			e.identity.Metadata, e.connected = map[string]any{externalUserID: "ada"}, true
		}},
		{name: "8: the mark is empty", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: ""} }},
		{name: "8: the mark is null", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: nil} }},
		{name: "8: other metadata is no mark", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{"plan": "pro"} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start, identity := goodFlow(), goodIdentity()
			if test.start != nil {
				test.start(&start)
			}
			if test.identity != nil {
				test.identity(&identity)
			}
			err := proveFlow(start)
			if err == nil {
				err = proveIdentity(identity)
			}
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
		})
	}
}

// Each cause is either the failure of a numbered proof, or is listed here.
func TestFailedProofKnowsEveryCause(t *testing.T) {
	t.Parallel()
	none := []error{
		ErrUserLookup, ErrHostLookup, ErrFramed, ErrCrossOrigin, ErrWrongOrigin, ErrBadRequest, ErrReturnTo, ErrBrowserInUse, ErrCancelled, ErrSignInFailed, ErrNotFinished,
		ErrUpstreamUnavailable, ErrUpstreamInvalid, ErrUpstreamTimeout, ErrStoreFailed,
		ErrConnectionUnknown, ErrConnectionLimit, ErrIdentityConnected, ErrWhichConnection, ErrBadLabel, ErrConnectionChanged, ErrAcceptFailed, ErrNotAccepted,
		ErrNotConnected, ErrNeedsSignIn, ErrNoCredit, ErrRateLimited,
	}
	for _, c := range causes {
		number, reason := failedProof(fmt.Errorf("doing something: %w", c))
		if number == 0 {
			require.Contains(t, none, error(c))
			continue
		}
		require.NotContains(t, none, error(c))
		require.Equal(t, error(c), reason)
	}
	for i, proof := range proofs[1:] {
		require.GreaterOrEqual(t, proof.number, proofs[i].number, "the proofs are in order")
	}
}
