package connect

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestTaggedMetadataKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	before := map[string]any{"plan": "pro", externalUserID: "", "deep": map[string]any{"x": "y"}}
	h := new(Handler)
	after, err := h.taggedMetadata(t.Context(), User{ID: "ada"}, before, Connection{UserID: "ada", ConnectedAt: noon.In(time.FixedZone("", 3600))})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"plan": "pro", "deep": map[string]any{"x": "y"}, "externalUserId": "ada", "connectedAt": "2026-05-04T12:00:00Z",
	}, after)
	require.Empty(t, before[externalUserID], "what was read is not written to")
	after, err = h.taggedMetadata(t.Context(), User{ID: "ada"}, nil, Connection{UserID: "ada"})
	require.NoError(t, err)
	require.Len(t, after, 2)
}

// The store has time for the outcome of a tag, however long the tag took, and though the
// browser has hung up.
func TestTagNowStoresTheOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		takes    time.Duration
		done     bool
		timeLeft time.Duration
	}{
		{"at once", 0, true, 5 * time.Second},
		{"soon", 2 * time.Second, true, 5 * time.Second},
		{"late", 3 * time.Second, true, 5 * time.Second},
		{"never", time.Hour, false, 5 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &outcomeStore{Store: NewMemoryStore()}
				transport := roundTripper(func(r *http.Request) (*http.Response, error) {
					select {
					case <-time.After(test.takes):
						return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})
				cfg := goodConfig()
				cfg.Store = store
				cfg.Anchor = anchorhttp.New("test-key", anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
				h, err := New(cfg)
				require.NoError(t, err)
				ctx, leave := context.WithCancel(t.Context())
				leave()

				h.tagNow(ctx, User{ID: "ada"}, Connection{ApplicationID: testApp, UserID: "ada", IdentityID: identityA}, anchorhttp.Identity{ID: identityA})
				require.Equal(t, test.done, store.done)
				require.Equal(t, !test.done, store.postponed)
				require.Equal(t, test.timeLeft, store.timeLeft)
			})
		})
	}
}
