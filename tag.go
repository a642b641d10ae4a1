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
	delete(tagged, connectedBy)
	if c.ActorID != "" {
		tagged[connectedBy] = c.ActorID
	}
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
		err = recovered(func() error { return h.anchor.UpdateIdentity(ctx, c.IdentityID, update) })
	}
	if err == nil {
		h.happened(ctx, h.connectionEvent(Tagged, c))
	}
	h.settle(ctx, task, err)
}
