package connect_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestActorsShareTheConnectionsOfTheirOrganisation(t *testing.T) {
	t.Parallel()
	h := newHook(t, withMembers, upTo(2))
	ada, grace := h.signedIn("acme/ada"), h.signedIn("acme/grace")
	id := identityIn(ada.connectWith("label", "support"))

	c := h.connections("acme")[0]
	require.Equal(t, "ada", c.ActorID)
	require.Equal(t, "acme", h.tag(id))
	identity, _ := h.fake.Identity(id)
	require.Equal(t, "ada", identity.Metadata["connectedBy"])
	e := h.waitForEvents(connect.Connected, 1)[0]
	require.Equal(t, "acme", e.UserID)
	require.Equal(t, "ada", e.ActorID)

	require.Contains(t, grace.get("/connect/status").body, `"connectedBy":"ada"`)
	require.Equal(t, http.StatusSeeOther, grace.post("/connect/label", form("connection", c.ID, "label", "help desk")).status)
	require.Equal(t, "grace", h.waitForEvents(connect.Renamed, 1)[0].ActorID)

	renewed := identityIn(grace.connectWith("connection", c.ID))
	require.Equal(t, "grace", h.connections("acme")[0].ActorID, "the actor who signed in last")
	identity, _ = h.fake.Identity(renewed)
	require.Equal(t, "grace", identity.Metadata["connectedBy"])

	require.Equal(t, http.StatusSeeOther, grace.post("/disconnect", form("connection", c.ID)).status)
	require.Equal(t, "grace", h.waitForEvents(connect.Disconnected, 1)[0].ActorID)
	require.Empty(t, h.connections("acme"))
	require.Contains(t, h.signedIn("other/ada").get("/connect/status").body, `"connected":false`)
}

// Two members use one browser, so the second has the cookie and the callback of the
// first one's flow.
func TestActorDoesNotFinishTheFlowOfAnother(t *testing.T) {
	t.Parallel()
	for name, colleague := range map[string]string{
		"another member": "acme/grace", "the organisation itself": "acme", "the same member for another organisation": "other/ada", "the member as an owner": "ada",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t, withMembers)
			b := h.signedIn("acme/ada")
			callback := h.approve(b.start())
			b.signIn(colleague)
			b.refused(connect.ErrAnotherUser, b.get(callback))
			b.signIn("acme/ada")
			b.refused(connect.ErrStateSpent, b.get(callback))
			for _, owner := range []string{"acme", "other", "ada"} {
				require.Empty(t, h.connections(owner))
			}
			e := h.waitForEvents(connect.Refused, 2)[0]
			require.Equal(t, 4, e.Proof)
			owner, actor, ok := strings.Cut(colleague, "/")
			require.Equal(t, owner, e.UserID)
			if ok {
				require.Equal(t, actor, e.ActorID)
			}
		})
	}
}

func TestActorsDifferBehindAFixedCallback(t *testing.T) {
	t.Parallel()
	s := newSite(t, withMembers, func(c *connect.Config) { c.FixedCallbackURL = true })
	b := s.signedIn("acme/ada")
	callback := s.approve(b.start())
	b.signIn("acme/grace")
	b.refused(connect.ErrBrowserInUse, b.post("/connect", nil))
	b.refused(connect.ErrAnotherUser, b.get(callback))
	require.Empty(t, s.connections("acme"))
}

// A member who begins flow after flow does not end those of the others.
func TestActorsHavePendingFlowsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, withMembers)
	ada, grace := s.signedIn("acme/ada"), s.signedIn("acme/grace")
	callback := s.approve(ada.start())
	for range 7 {
		grace.start()
	}
	s.finished(ada.get(callback))
}

func TestActorWhoIsNobodyIsNotSignedIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, withMembers)
	for _, nobody := range []string{"acme/0", "acme/ ", "acme/00000000-0000-0000-0000-000000000000"} {
		b := s.signedIn(nobody)
		b.refused(connect.ErrNotSignedIn, b.post("/connect", nil))
	}
	b := s.signedIn("acme/" + strings.Repeat("a", 256))
	b.refused(connect.ErrUserLookup, b.post("/connect", nil))

	b = s.signedIn("ada/ada") // The owner acts.
	b.connect()
	require.Empty(t, s.connection("ada").ActorID)
}

// The tag that a crash prevented names the member too.
func TestRunNamesTheActor(t *testing.T) {
	t.Parallel()
	s := newSite(t, withMembers, func(c *connect.Config) {
		c.Metadata = func(_ context.Context, user connect.User) (map[string]any, error) {
			return map[string]any{"by": user.Actor}, nil
		}
	})
	ada := s.signedIn("acme/ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
	callback := s.approve(ada.start())
	s.finished(ada.get(callback))
	require.Nil(t, s.tag(identityIn(callback)))
	s.fake.ClearFaults()
	s.run()
	identity, err := s.fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	require.Equal(t, "ada", identity.Metadata["connectedBy"])
	require.Equal(t, "ada", identity.Metadata["by"])
}
