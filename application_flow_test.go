package connect_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestApplicationsHaveConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	mail := ada.connect()
	require.Contains(t, ada.get("/connect/calendar").body, `action="/connect/calendar"`)
	require.Contains(t, ada.get("/connect/calendar/status").body, `"connected":false`)
	calendar := ada.connectTo("/connect/calendar")

	require.Equal(t, identityIn(mail), s.connection("ada").IdentityID, "each application has a connection of its own")
	c, err := s.handler.Application("calendar").Connection(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, identityIn(calendar), c.IdentityID)
	require.Equal(t, s.calendar, c.ApplicationID)
	require.Equal(t, "ada", s.tag(identityIn(calendar)))
	both, err := s.handler.AllConnections(t.Context(), "ada")
	require.NoError(t, err)
	require.Equal(t, []connect.Connection{s.connection("ada"), c}, both)
	none, err := s.handler.AllConnections(t.Context(), "eve")
	require.NoError(t, err)
	require.Empty(t, none, "never another user's")

	var status map[string]any
	require.NoError(t, json.Unmarshal([]byte(ada.get("/connect/calendar/status").body), &status))
	require.Equal(t, "calendar", status["application"])
	require.Equal(t, s.calendar, status["applicationId"])
	require.Equal(t, identityIn(calendar), status["identityId"])

	session, err := s.handler.Application("calendar").NewSession(t.Context(), "ada")
	require.NoError(t, err)
	require.NotEmpty(t, session.ID)
	require.Equal(t, []string{identityIn(calendar)}, s.fake.Sessions()[0].IdentityIDs)

	require.Equal(t, "/connect/calendar", ada.post("/disconnect/calendar", nil).location)
	require.Contains(t, ada.get("/connect/calendar/status").body, `"connected":false`)
	require.Equal(t, identityIn(mail), s.connection("ada").IdentityID)
	require.Equal(t, http.StatusSeeOther, ada.get(mail).status, "flows of the other application are untouched: this is a reload")
}

func TestApplicationThatIsNotNamedIsNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	ada := s.signedIn("ada")
	for _, path := range []string{"/connect/mail", "/connect/mail/status", "/connect/CALENDAR", "/connect/" + s.calendar, "/connect/calendar/", "/connect/calendar/status/"} {
		require.Equal(t, http.StatusNotFound, ada.get(path).status, path)
		require.Equal(t, http.StatusNotFound, ada.post(path, nil).status, path)
	}
	require.Equal(t, http.StatusNotFound, ada.post("/disconnect/mail", nil).status)
	require.Empty(t, s.fake.Calls())
}

func TestApplicationsWithoutADefaultHaveNoShortRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, func(c *connect.Config) { c.ApplicationID = "" })
	ada := s.signedIn("ada")
	for _, path := range []string{"/connect", "/connect/status", "/disconnect"} {
		require.Equal(t, http.StatusNotFound, ada.post(path, nil).status, path)
		require.Equal(t, http.StatusNotFound, ada.get(path).status, path)
	}
	ada.connectTo("/connect/calendar")
	require.Panics(t, func() { s.handler.RequireIdentity(http.NotFoundHandler()) })
	require.Panics(t, func() { s.handler.Application("mail") })
	// An error of an unknown application still has a link.
	a := ada.get("/identity-callback/STATE")
	ada.refused(connect.ErrNoStateCookie, a)
	require.Contains(t, a.body, `href="/"`)
}
