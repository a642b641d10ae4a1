package connect

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// adoptTime is how long the flow of an adoption is live.
const adoptTime = 10 * time.Minute

// Adopt makes an existing identity a connection of a user, and tags it. It is for
// mappings that an app stored before it used this package, and for support. The caller
// vouches that the identity is this user's, in place of proofs 1 to 4 and 7. The others
// hold: Anchor knows the identity and does not call it unusable, it belongs to this
// application, and no other user has it, in the store or by its metadata.
//
// Adopt is idempotent: if the user has the identity already, it returns that connection
// unchanged. It never replaces another one. The label may be empty.
//
// The error is [ErrBadIdentityID], [ErrNotSignedIn] for a user's id that is nobody's,
// [ErrIdentityNotFound], [ErrIdentityFailed], [ErrWrongApplication],
// [ErrIdentityTaken], [ErrIdentityRetired], [ErrConnectionLimit] or [ErrBadLabel] if
// the identity cannot be adopted, and [ErrStateSpent] if the user is disconnected
// meanwhile; otherwise [ErrStoreFailed] or one of the errors of an upstream failure.
func (a *Application) Adopt(ctx context.Context, user User, identityID, label string) (Connection, error) {
	h := a.h
	now := h.now() // A Disconnect from here on ends the adoption.
	id, ok := anchorhttp.ParseID(identityID)
	if !ok {
		return Connection{}, fmt.Errorf("%w: it is not a UUID", ErrBadIdentityID)
	}
	label, err := cleanLabel(label)
	if err != nil {
		return Connection{}, err
	}
	if isNobody(user.ID) {
		return Connection{}, ErrNotSignedIn
	}
	connections, err := a.Connections(ctx, user.ID)
	if err != nil {
		return Connection{}, err
	}
	for _, c := range connections {
		if c.IdentityID == id {
			return c, nil
		}
	}
	identity, err := h.proveAdopted(ctx, a, user, id)
	if err != nil {
		return Connection{}, err
	}

	c, err := h.storeAdopted(ctx, Connection{
		ID:            newConnectionID(),
		ApplicationID: a.id,
		UserID:        user.ID,
		ActorID:       user.Actor,
		IdentityID:    id,
		Label:         label,
		ConnectedAt:   now,
		Health:        HealthOK,
		HealthAt:      identityEvidence{identity: identity, issuedAt: time.Unix(0, 0)}.signedInAt(), // There is no token.
	})
	if err != nil {
		return Connection{}, err
	}
	h.log.InfoContext(ctx, "connect: adopted", "application", c.ApplicationID, "user", c.UserID, "connection", c.ID, "identity", c.IdentityID)
	e := h.connectionEvent(Connected, c)
	e.ActorID = c.ActorID
	h.happened(ctx, e)
	h.tagNow(ctx, user, c, identity)
	return c, nil
}

// storeAdopted stores an adopted connection by a flow of its own, which adds it.
func (h *Handler) storeAdopted(ctx context.Context, c Connection) (Connection, error) {
	flow := Pending{
		TokenHash:     "adopt-" + rand.Text(), // No token has this hash.
		ApplicationID: c.ApplicationID,
		UserID:        c.UserID,
		ActorID:       c.ActorID,
		Adds:          true,
		BegunAt:       c.ConnectedAt,
		IssuedAt:      c.ConnectedAt,
		ExpiresAt:     c.ConnectedAt.Add(adoptTime),
	}
	if err := h.store.Bind(ctx, flow, maxMaxConnections); err != nil { // The limit ends none of the user's flows.
		return Connection{}, storeError("bind the flow", err)
	}
	completed, err := h.store.Complete(ctx, flow.TokenHash, c, Completion{
		TagAfter:       c.ConnectedAt.Add(taskLease),
		MaxConnections: h.maxConnections,
	})
	if err != nil {
		return Connection{}, errors.Join(storeError("adopt the identity", err), h.spend(ctx, []string{flow.TokenHash}))
	}
	return completed.Connection, nil
}

// proveAdopted holds proofs 5, 6 and 8, as far as Anchor knows. The store does the rest.
func (h *Handler) proveAdopted(ctx context.Context, a *Application, user User, identityID string) (anchorhttp.Identity, error) {
	identity, err := h.anchor.Identity(ctx, identityID)
	if anchorhttp.IsNotFound(err) {
		return anchorhttp.Identity{}, ErrIdentityNotFound
	}
	if err != nil {
		return anchorhttp.Identity{}, upstreamError("get the identity", err)
	}
	e := identityEvidence{user: user, identity: identity, connected: true, inApplication: true}
	if err := proveIdentity(e); err != nil {
		return anchorhttp.Identity{}, err
	}
	if e.inApplication, err = a.holds(ctx, "adopt-"+identityID, identity); err != nil {
		return anchorhttp.Identity{}, upstreamError("find the identity's application", err)
	}
	return identity, proveIdentity(e)
}
