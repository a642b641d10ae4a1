package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// externalUserID and connectedAt are the metadata keys of Anchor's own documentation.
// connectedBy is ours: the actor, if that is another than the owner.
const (
	externalUserID = "externalUserId"
	connectedAt    = "connectedAt"
	connectedBy    = "connectedBy"
)

// taggedMetadata returns the metadata with the tag. The API may replace metadata as a
// whole, so the result keeps what was there.
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
	// Last, so that Config.Metadata cannot name another owner.
	tagged[externalUserID] = c.UserID
	delete(tagged, connectedBy)
	if c.ActorID != "" {
		tagged[connectedBy] = c.ActorID
	}
	tagged[connectedAt] = c.ConnectedAt.UTC().Format(time.RFC3339)
	return tagged, nil
}

// sameJSON reports whether two metadata are the same JSON.
func sameJSON(a, b map[string]any) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}

// tagNow writes the tag in the callback, into the identity that was just read, and sets
// its name to the user's. The task is queued already, so [Handler.Run] retries a failure.
func (h *Handler) tagNow(ctx context.Context, user User, c Connection, identity anchorhttp.Identity) {
	// Even if the user closes the page.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	task := Task{Kind: TagIdentity, ApplicationID: c.ApplicationID, UserID: c.UserID, IdentityID: c.IdentityID}
	metadata, err := h.taggedMetadata(ctx, user, identity.Metadata, c)
	if err == nil {
		update := anchorhttp.IdentityUpdate{Metadata: metadata}
		if user.Name != identity.Name {
			update.Name = user.Name // An empty one is not sent.
		}
		err = recovered(func() error { return h.anchor.UpdateIdentity(ctx, c.IdentityID, update) })
	}
	if err == nil {
		h.happened(ctx, h.connectionEvent(Tagged, c))
	}
	h.settle(ctx, task, err)
}
