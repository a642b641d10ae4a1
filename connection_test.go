package connect_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// The answer is the same whoever has the id, and whether it exists at all. Nothing is
// changed.
func TestConnectionThatIsNotTheUsersIsUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(2), withCalendar)
	ada, grace := s.signedIn("ada"), s.signedIn("grace")
	ada.connectWith("label", "mine")
	grace.connect()
	ada.connectTo("/connect/calendar")
	ended := identityIn(ada.connect())
	var endedID string
	for _, c := range s.connections("ada") {
		if c.IdentityID == ended {
			endedID = c.ID
		}
	}
	require.Equal(t, http.StatusSeeOther, ada.post("/disconnect", form("connection", endedID)).status)
	before, gracesBefore := s.connections("ada"), s.connections("grace")
	s.fake.ForgetCalls()

	var bodies []string
	for name, id := range map[string]string{
		"another user's":             gracesBefore[0].ID,
		"of another application":     s.connectionsIn(s.calendar, "ada")[0].ID,
		"one that has ended":         endedID,
		"an unknown one":             "aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"with a NUL byte":            "a\x00",
		"no UTF-8":                   "\xff",
		"too long":                   strings.Repeat("a", 3000),
		"with spaces around it":      " " + before[0].ID + " ",
		"in capital letters":         strings.ToUpper(before[0].ID),
		"an identity's":              before[0].IdentityID,
		"a part of one":              before[0].ID[:20],
		"with SQL's wild card in it": "%",
	} {
		for _, path := range []string{"/connect", "/connect/label", "/disconnect"} {
			a := ada.post(path, form("connection", id, "label", "x"))
			ada.refused(connect.ErrConnectionUnknown, a)
			require.Equal(t, http.StatusNotFound, a.status, "%s %s", name, path)
			a = ada.asJSON().post(path, form("connection", id, "label", "x"))
			require.Equal(t, http.StatusNotFound, a.status, "%s %s", name, path)
			require.Contains(t, a.body, `"connection_unknown"`)
			bodies = append(bodies, a.body)
			require.Equal(t, http.StatusNotFound, ada.withHTMX("/settings").post(path, form("connection", id)).status)
		}
	}
	for _, body := range bodies {
		require.Equal(t, bodies[0], body, "the answers are equal")
	}
	ada.refused(connect.ErrConnectionUnknown, ada.post("/connect/label", form("label", "x")))
	require.Empty(t, s.fake.Calls())
	require.Equal(t, before, s.connections("ada"))
	require.Equal(t, gracesBefore, s.connections("grace"))
}

func TestAllConnectionsReturnsTheStoresError(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) { c.Store = store })
	store.set("Connections", errors.New("the disk is full"))
	_, err := s.handler.AllConnections(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrStoreFailed)
}

// A database answers such an id with an error of its own, which must not become a 503.
func TestConnectionIDThatNoStoreKeepsIsUnknown(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		store := newCountingStore()
		s := newSite(t, upTo(n), func(c *connect.Config) { c.Store = store })
		ada := s.signedIn("ada")
		ada.connect()
		a := s.handler.Application("")
		for name, id := range map[string]string{
			"empty": "", "with a NUL byte": "a\x00", "no UTF-8": "\xff", "of 256 bytes": strings.Repeat("a", 256),
		} {
			require.ErrorIs(t, a.DisconnectByID(t.Context(), "ada", id), connect.ErrConnectionUnknown, name)
			require.ErrorIs(t, a.SetLabel(t.Context(), "ada", id, "x"), connect.ErrConnectionUnknown, name)
			if id != "" { // A form without an id is about all connections.
				ada.refused(connect.ErrConnectionUnknown, ada.post("/disconnect", form("connection", id)))
			}
		}
		require.Zero(t, store.counted("Disconnect")+store.counted("SetLabel"), "the store is not asked")
		require.Len(t, s.connections("ada"), 1)
	}
}
