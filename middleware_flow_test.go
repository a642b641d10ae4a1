package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestRequireIdentityPassesWithAnyWorkingConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	var got connect.Connection
	var all []connect.Connection
	s.mux.Handle("GET /inbox", s.handler.RequireIdentity(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = connect.FromContext(r.Context())
		all = connect.AllFromContext(r.Context())
	})))
	ada := s.signedIn("ada")
	first := identityIn(ada.connectWith("label", "first"))
	s.clock.advance(time.Minute)
	second := identityIn(ada.connectWith("label", "second"))
	require.Equal(t, http.StatusOK, ada.get("/inbox").status)
	require.Equal(t, "first", got.Label)
	require.Len(t, all, 2)

	fail := func(identityID string) {
		_, _, err := s.store.SetHealth(t.Context(), identityID, connect.HealthNeedsSignIn, s.clock.now().Add(time.Hour))
		require.NoError(t, err)
	}
	fail(first)
	require.Equal(t, http.StatusOK, ada.get("/inbox").status)
	require.Equal(t, "second", got.Label, "the oldest that works")
	require.Equal(t, "first", all[0].Label)
	fail(second)
	require.Equal(t, "/connect?return_to=%2Finbox", ada.get("/inbox").location)
	require.Contains(t, ada.asJSON().get("/inbox").body, `"needs_sign_in"`)
}

func TestRequireIdentityThroughHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	passed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := connect.FromContext(r.Context())
		_, _ = fmt.Fprint(w, "reached with ", c.IdentityID)
	})
	mux := s.mux
	mux.Handle("/reports", s.handler.RequireIdentity(passed))
	mux.Handle("/settings", s.handler.RequireConnection(passed))
	mux.Handle("/events", s.handler.Application("calendar").RequireIdentity(passed))
	mux.Handle("/old/", http.StripPrefix("/old", s.handler.RequireIdentity(passed)))
	ada := s.signedIn("ada")
	callback := ada.connect()
	require.Equal(t, "reached with "+identityIn(callback), ada.get("/reports").body)
	require.Equal(t, "/connect/calendar?return_to=%2Fevents%3Fa%3Db", ada.get("/events?a=b").location)
	require.Equal(t, "/connect?return_to=%2Fold%2Fx%3Fy", s.signedIn("eve").get("/old/x?y").location, "the return path includes a prefix that a router stripped")
	s.fake.ForgetCalls()

	_, _, err := s.store.SetHealth(t.Context(), identityIn(callback), connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, "/connect?return_to=%2Freports", ada.get("/reports").location)
	require.Equal(t, "reached with "+identityIn(callback), ada.get("/settings").body, "RequireConnection lets it pass")
	require.Contains(t, ada.get("/connect").body, "its sign-in no longer works")
	require.Contains(t, ada.get("/connect/status").body, `"health":"needs_sign_in"`)
	a := ada.post("/reports", url.Values{})
	ada.refused(connect.ErrNeedsSignIn, a)
	ada.header.Set("Accept", "application/json")
	require.JSONEq(t, `{"error":"needs_sign_in","connectUrl":"/connect","message":"`+
		connect.Explain(connect.ErrNeedsSignIn).Title+". "+connect.Explain(connect.ErrNeedsSignIn).Help+`"}`, ada.get("/reports").body)
	require.Contains(t, ada.get("/events").body, `"connectUrl":"/connect/calendar"`)
	require.Empty(t, s.fake.Calls(), "no call to Anchor")

	// A new sign-in restores the connection, even with the same identity.
	ada.header.Set("Accept", "text/html")
	again := s.approve(ada.start(), anchortest.WithExistingIdentity(identityIn(callback)))
	require.Equal(t, http.StatusSeeOther, ada.get(again).status)
	require.True(t, strings.HasPrefix(ada.get("/reports").body, "reached with"))
}
