package connect

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	identityA = "11111111-1111-4111-8111-111111111111"
	identityB = "22222222-2222-4222-8222-222222222222"
	testApp   = "33333333-3333-4333-8333-333333333333"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func goodConfig() Config {
	return Config{
		Anchor:        anchorhttp.New("test-key"),
		ApplicationID: testApp,
		PublicURL:     "https://app.example",
		Store:         NewMemoryStore(),
		User:          func(*http.Request) (User, error) { return User{ID: "ada"}, nil },
		Secrets:       [][]byte{secretA},
	}
}

func jsonBody(t *testing.T, body []byte) map[string]any {
	var v map[string]any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	return v
}

// connected stores a connection the way a callback does.
func connected(t *testing.T, store Store, userID, identityID string) {
	ctx, at := context.Background(), time.Now()
	require.NoError(t, store.Bind(ctx, Pending{
		TokenHash: userID + identityID, ApplicationID: testApp, UserID: userID, IssuedAt: at, ExpiresAt: at.Add(time.Minute),
	}, 5))
	completed, err := store.Complete(ctx, userID+identityID, Connection{
		ID: "connection of " + identityID, ApplicationID: testApp, UserID: userID, IdentityID: identityID, ConnectedAt: at, Health: HealthOK,
	}, Completion{TagAfter: at})
	require.NoError(t, err)
	require.True(t, completed.First)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var (
	secretA = []byte("the first secret of the tests, A")
	secretB = []byte("the second secret of the tests, B")
)

// sign is the v1 of an event, as Anchor's documentation says it.
func sign(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":" + body))
	return hex.EncodeToString(mac.Sum(nil))
}
