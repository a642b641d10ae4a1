package connect

import (
	"errors"
	"fmt"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// clockAllowance is how much older than its token an identity may look. The token's
// moment is a Date header: whole seconds, rounded down, and perhaps written by another
// machine of Anchor's than the one that dates identities.
const clockAllowance = 5 * time.Second

// proveFlow holds proofs 1 to 4 against the evidence, in this order:
//
//  1. Somebody is signed in.
//  2. The state in the address is ours.
//  3. This browser began the flow.
//  4. The flow is known, was bound to this user for an application of ours, is unspent
//     and has not expired.
//
// A flow that was completed with the very identity that returns passes: it is a reload,
// and leads to no write.
func proveFlow(e flowEvidence) error {
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
//  7. It was made with this token: it is no older than the token and has no mark yet. Or
//     a connection of this user has it. This user's mark alone proves nothing, since
//     another environment may have the same user ids.
//  8. Nobody else owns it, by its metadata. That no other user has it in the store is for
//     [Store].Complete to prove, in its transaction.
//  6. It belongs to our application. This comes last, since it may cost calls.
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

// isFresh reports whether an identity may have been made with a token. One without a
// date is not fresh.
func isFresh(created, issued time.Time) bool {
	return !created.Before(issued.Add(-clockAllowance))
}

// ownedBy reports whether metadata names this user, or nobody, as the identity's owner.
// Any other value under the key is somebody else's mark.
func ownedBy(metadata map[string]any, userID string) bool {
	return isUnmarked(metadata) || metadata[externalUserID] == userID
}

// isUnmarked reports whether metadata names no owner.
func isUnmarked(metadata map[string]any) bool {
	owner := metadata[externalUserID]
	return owner == nil || owner == ""
}

// proofs are the errors of a callback that fails a proof, with the proof's number.
var proofs = []struct {
	number int
	err    error
}{
	{1, ErrNotSignedIn},
	{2, ErrStateMissing},
	{3, ErrNoStateCookie},
	{3, ErrStateInvalid},
	{4, ErrStateUnknown},
	{4, ErrAnotherUser},
	{4, ErrStateSpent},
	{4, ErrStateExpired},
	{5, ErrBadIdentityID},
	{5, ErrIdentityNotFound},
	{5, ErrIdentityFailed},
	{6, ErrWrongApplication},
	{7, ErrIdentityTooOld},
	{8, ErrIdentityTaken},
	{8, ErrIdentityRetired},
}

// failedProof returns the number of the proof that err says has failed, and the error
// that stands for it. The number is 0 if err is not about a proof: a fault, or a
// cancelled sign-in.
func failedProof(err error) (number int, reason error) {
	for _, proof := range proofs {
		if errors.Is(err, proof.err) {
			return proof.number, proof.err
		}
	}
	return 0, nil
}
