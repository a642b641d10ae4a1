package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestTagKeepsOtherMetadata(t *testing.T) {
	t.Parallel()
	for _, merge := range []bool{false, true} {
		t.Run(fmt.Sprint("merge ", merge), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.fake.SetMetadataMerge(merge)
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			identity, _ := s.fake.Identity(identityIn(callback))
			identity.Metadata = map[string]any{"plan": "pro"}
			s.fake.PutIdentity(identity)
			s.finished(ada.get(callback))
			identity, _ = s.fake.Identity(identity.ID)
			require.Equal(t, "pro", identity.Metadata["plan"])
			require.Equal(t, "ada", identity.Metadata["externalUserId"])
		})
	}
}

func TestTagIsWrittenThoughTheBrowserHangsUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	hold := s.fake.Hold("PUT", "/v1/identities/")
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NoError(t, hold.Wait(t.Context(), 1))
	s.server.CloseClientConnections()
	time.Sleep(100 * time.Millisecond) // The server notices.
	hold.Release()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 3*time.Second, 10*time.Millisecond)
}

func TestTagNamesTheIdentityAfterTheUser(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada Lovelace"
			return u, err
		}
	})
	ada := s.signedIn("ada")
	// Whether the hosted page takes the name from its address is undocumented.
	callback := s.approve(ada.start(), anchortest.WithName("Unnamed Identity"))
	s.finished(ada.get(callback))
	identity, _ := s.fake.Identity(identityIn(callback))
	require.Equal(t, "Ada Lovelace", identity.Name)
}

func TestTagHasTheAppsOwnMetadata(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []connect.User
	fails := errors.New("the billing service is down")
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada Lovelace"
			return u, err
		}
		c.Metadata = func(ctx context.Context, u connect.User) (map[string]any, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, u)
			if len(asked) == 2 {
				return nil, fails
			}
			if len(asked) == 3 {
				panic("nobody expects this")
			}
			return map[string]any{"plan": "pro", "externalUserId": "eve", "connectedAt": "never"}, nil
		}
	})
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithMetadata(map[string]any{"plan": "free", "other": "stays"}))
	s.finished(ada.get(callback))
	identity, _ := s.fake.Identity(identityIn(callback))
	require.Equal(t, map[string]any{
		"plan": "pro", "other": "stays", "externalUserId": "ada",
		"connectedAt": s.connection("ada").ConnectedAt.UTC().Format(time.RFC3339),
	}, identity.Metadata, "the owner cannot be changed")

	// If Metadata fails, the user is connected nonetheless, and Run retries the tag.
	callback = ada.connect()
	require.Nil(t, s.tag(identityIn(callback)))
	require.Contains(t, s.log.String(), "the billing service is down")
	s.run()
	require.Eventually(t, func() bool { return s.tag(identityIn(callback)) == "ada" }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, "pro", func() any { i, _ := s.fake.Identity(identityIn(callback)); return i.Metadata["plan"] }())
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []connect.User{
		{ID: "ada", Name: "Ada Lovelace"}, {ID: "ada", Name: "Ada Lovelace"}, {ID: "ada"}, {ID: "ada"},
	}, asked, "Run knows no name")
	s.log.forget("panic") // It was meant.
}

// Writing our tag changes UpdatedAt at Anchor. That is no sign-in.
func TestTagThatIsLateDoesNotReviveADeadConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: 503, Times: 1})
	callback := s.approve(ada.start())
	s.finished(ada.get(callback))
	s.clock.advance(time.Minute)
	require.True(t, s.fake.KillSignIn(identityIn(callback)))
	_, err := s.handler.NewSession(t.Context(), "ada")
	require.ErrorIs(t, err, connect.ErrNeedsSignIn)
	s.clock.advance(time.Minute)
	s.run()
	_, err = s.fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	c, err := s.handler.Check(t.Context(), s.connection("ada"), connect.CheckStatus)
	require.NoError(t, err)
	require.Equal(t, connect.HealthNeedsSignIn, c.Health)
}
