// Package bare is the baseline of the benchmarks: the shortest handler in the style of
// Anchor's example. It trusts all parameters of the callback. Do not use it.
package bare

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// A Handler starts with POST /connect and finishes with GET /identity-callback.
type Handler struct {
	Anchor        *anchorhttp.Client
	ApplicationID string
	PublicURL     string
	SuccessURL    string
	User          func(*http.Request) string

	mu         sync.Mutex
	identities map[string]string // by user
}

// Start issues an identity token and redirects to the hosted page.
func (h *Handler) Start(w http.ResponseWriter, r *http.Request) {
	token, err := h.Anchor.CreateIdentityToken(r.Context(), h.ApplicationID, h.PublicURL+"/identity-callback")
	if err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, h.Anchor.HostedPageURL(token.Token, ""), http.StatusSeeOther)
}

// Callback tags the identity in the request and stores it for the user.
func (h *Handler) Callback(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	user := h.User(r)
	identity, err := h.Anchor.Identity(ctx, r.URL.Query().Get("identityId"))
	if err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	metadata := map[string]any{"externalUserId": user, "connectedAt": time.Now().UTC().Format(time.RFC3339)}
	maps.Copy(metadata, identity.Metadata)
	err = h.Anchor.UpdateIdentity(ctx, identity.ID, anchorhttp.IdentityUpdate{Metadata: metadata})
	if err != nil {
		http.Error(w, "cannot connect", http.StatusBadGateway)
		return
	}
	h.save(user, identity.ID)
	http.Redirect(w, r, h.SuccessURL, http.StatusSeeOther)
}

func (h *Handler) save(user, identityID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.identities == nil {
		h.identities = make(map[string]string)
	}
	h.identities[user] = identityID
}

// Identity returns the user's identity, or "".
func (h *Handler) Identity(user string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.identities[user]
}
