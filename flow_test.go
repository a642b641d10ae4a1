package connect_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestFlowConnectsAnAccount(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")

	a := ada.post("/connect", nil)
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "map[Bind:1 Connections:1]", store.count(), "starting a flow is one write to the store")
	require.Len(t, s.fake.Calls(), 1, "starting a flow is one call")
	require.Len(t, a.header.Values("Set-Cookie"), 1)

	var sent struct {
		CallbackURL string `json:"callbackUrl"`
	}
	require.NoError(t, json.Unmarshal(s.fake.Calls()[0].Body, &sent))
	require.Regexp(t, `^`+s.server.URL+`/identity-callback/[A-Z2-7]{32}$`, sent.CallbackURL)

	callback := s.approve(a.location)
	require.True(t, strings.HasPrefix(callback, sent.CallbackURL+"?"))
	require.Zero(t, s.connection("ada"), "nothing is connected before the callback")

	s.fake.ForgetCalls()
	a = ada.get(callback)
	s.finished(a)
	require.Equal(t, "/dashboard?connected=true", a.location)

	id := identityIn(callback)
	require.Equal(t, id, s.connection("ada").IdentityID)
	require.WithinDuration(t, time.Now(), s.connection("ada").ConnectedAt, time.Minute)
	identity, _ := s.fake.Identity(id)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
	require.Equal(t, s.connection("ada").ConnectedAt.UTC().Format(time.RFC3339), identity.Metadata["connectedAt"])
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("PUT", "/v1/identities/"))
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications"))
	require.Len(t, s.fake.Calls(), 3, "the application's site is asked for once")
	for _, call := range s.fake.Calls() {
		require.NotContains(t, string(call.Body), "credentials")
	}

	tasks, err := store.Claim(context.Background(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
	require.NoError(t, err)
	require.Empty(t, tasks, "the tag leaves no task")

	// The second flow knows the application's site.
	grace := s.signedIn("grace")
	callback = s.approve(grace.start())
	s.fake.ForgetCalls()
	s.finished(grace.get(callback))
	require.Len(t, s.fake.Calls(), 2, "a callback is two calls")
}

func TestFlowsConnectSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	work := identityIn(ada.connectWith("label", "  work "))
	s.clock.advance(time.Minute)
	home := identityIn(ada.connectWith("label", "home"))
	s.clock.advance(time.Minute)
	third := identityIn(ada.connect())

	connections := s.connections("ada")
	require.Equal(t, []string{"work", "home", ""}, s.labels("ada"))
	for i, id := range []string{work, home, third} {
		require.Equal(t, id, connections[i].IdentityID)
		require.Equal(t, "ada", s.tag(id), "each is tagged")
	}
	require.Len(t, map[string]bool{connections[0].ID: true, connections[1].ID: true, connections[2].ID: true}, 3)
	require.Zero(t, s.fake.CountCalls("DELETE", ""), "none replaces another")

	var status struct {
		Connected      bool   `json:"connected"`
		ConnectionID   string `json:"connectionId"`
		MaxConnections int    `json:"maxConnections"`
		Connections    []struct{ ID, Label, IdentityID, Health string }
	}
	require.NoError(t, json.Unmarshal([]byte(ada.get("/connect/status").body), &status))
	require.True(t, status.Connected)
	require.Equal(t, 3, status.MaxConnections)
	require.Equal(t, connections[0].ID, status.ConnectionID)
	require.Len(t, status.Connections, 3)
	require.Equal(t, struct{ ID, Label, IdentityID, Health string }{connections[1].ID, "home", home, "ok"}, status.Connections[1])
}

func TestReplicasShareAStore(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	first := newSite(t, func(c *connect.Config) { c.Store = store })
	var second *connect.Handler
	_ = newSite(t, func(c *connect.Config) {
		c.Store, c.Anchor, c.ApplicationID, c.PublicURL = store, first.fake.Client(), first.fake.ApplicationID(), first.server.URL
		h, err := connect.New(*c)
		require.NoError(t, err)
		second = h
	})
	first.run()
	ada := first.signedIn("ada")
	callback := ada.connect()
	c, err := second.Connection(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, identityIn(callback), c.IdentityID)
	require.NoError(t, second.DisconnectAll(t.Context(), "ada"))
	require.Contains(t, ada.get("/connect/status").body, `"connected":false`)
}

// Callbacks, webhooks, sessions and Disconnect at once, on two replicas that both run Run.
func TestReplicasRaceWithoutHarm(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	second := newSite(t, func(c *connect.Config) {
		c.Store, c.Anchor, c.ApplicationID, c.PublicURL = h.store, h.fake.Client(), h.fake.ApplicationID(), h.server.URL
	})
	h.run()
	second.run()
	ada := h.signedIn("ada")
	for round := range 8 {
		id := identityIn(ada.connect())
		h.clock.advance(6 * time.Second)
		returns := []string{h.approve(ada.start()), h.approve(ada.start())}
		at := h.clock.now()
		var meet sync.WaitGroup
		for _, callback := range returns {
			meet.Go(func() { _, _ = ada.try("GET", callback, "", "") })
		}
		meet.Go(func() { _, _ = h.trySend(webhookSecret, event(failed, id, at)) })
		meet.Go(func() { _, _ = h.trySend(webhookSecret, event(works, id, at.Add(-time.Second))) })
		meet.Go(func() { _, _ = second.handler.NewSession(t.Context(), "ada") })
		if round%2 == 0 {
			meet.Go(func() { _ = second.handler.DisconnectAll(t.Context(), "ada") })
		}
		meet.Wait()

		c := h.connection("ada")
		if c == (connect.Connection{}) {
			require.Zero(t, round%2, "a round without a Disconnect")
			continue
		}
		require.Contains(t, []string{identityIn(returns[0]), identityIn(returns[1])}, c.IdentityID)
		require.Equal(t, connect.HealthOK, c.Health, "events of the old identity do not concern the new one")
		_, there := h.fake.Identity(c.IdentityID)
		require.True(t, there, "the connected identity is never deleted")
	}
	require.NoError(t, second.handler.DisconnectAll(t.Context(), "ada"))
	require.Eventually(t, func() bool {
		for _, identity := range h.fake.Identities() {
			if identity.Metadata["externalUserId"] != nil {
				return false
			}
		}
		return true
	}, 10*time.Second, 20*time.Millisecond, "every identity that was connected is deleted")
}
