package connect_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// accounts fakes what a browser session reveals about an identity: the name of the
// account at the site.
type accounts struct {
	mu    sync.Mutex
	names map[string]string // by identity
}

func (a *accounts) set(identityID, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names = map[string]string{}
	}
	a.names[identityID] = name
}

func (a *accounts) of(identityID string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[identityID]
}

func TestAcceptKeepsARenewalToTheSameAccount(t *testing.T) {
	t.Parallel()
	var at accounts
	h := newHook(t, upTo(2), func(c *connect.Config) {
		c.Accept = func(_ *http.Request, c connect.Candidate) error {
			if c.Replaces.ID != "" && at.of(c.Replaces.IdentityID) != at.of(c.Identity.ID) {
				return connect.NotAccepted("Sign in as " + at.of(c.Replaces.IdentityID) + ", not as " + at.of(c.Identity.ID) + ".")
			}
			return nil
		}
	})
	ada := h.signedIn("ada")
	signIn := func(name string, fields ...string) (callback string) {
		callback = h.approve(ada.startWith(fields...))
		at.set(identityIn(callback), name)
		return callback
	}
	h.finished(ada.get(signIn("ada@site")))
	h.finished(ada.get(signIn("countess@site")))
	before := h.connections("ada")

	wrong := signIn("<eve@site>", "connection", before[0].ID)
	a := ada.get(wrong)
	ada.refused(connect.ErrNotAccepted, a)
	require.Contains(t, a.body, "Sign in as ada@site, not as &lt;eve@site&gt;.", "the page says why")
	<-a.over
	require.Equal(t, before, h.connections("ada"))
	_, there := h.fake.Identity(identityIn(wrong))
	require.False(t, there, "it was made for this flow, and is deleted")
	ada.refused(connect.ErrStateSpent, ada.get(wrong))

	h.finished(ada.get(signIn("ada@site", "connection", before[0].ID)))
	require.Equal(t, before[0].ID, h.connections("ada")[0].ID)
	require.NotEqual(t, before[0].IdentityID, h.connections("ada")[0].IdentityID)
}

// The app asks the user on a page of its own before anything is stored. The page does
// not learn which identity came back.
func TestAskFirstRedirectsBeforeAnythingIsStored(t *testing.T) {
	t.Parallel()
	var answers sync.Map // What the app keeps in its sessions.
	s := newSite(t, func(c *connect.Config) {
		c.Accept = func(_ *http.Request, c connect.Candidate) error {
			if c.Replaces.ID == "" {
				return nil
			}
			switch answer, _ := answers.Load(c.User.ID); answer {
			case "yes":
				return nil
			case "no":
				return connect.NotAccepted("")
			}
			return connect.AskFirst("/replace?step=1")
		}
	})
	ada := s.signedIn("ada")
	ada.connect()
	before := s.connection("ada")
	callback := s.approve(ada.start())
	path, _, _ := strings.Cut(strings.TrimPrefix(callback, s.server.URL), "?")

	for range 2 { // And a reload.
		a := ada.get(callback)
		require.Equal(t, http.StatusSeeOther, a.status)
		require.Equal(t, "/replace?step=1&return_to="+url.QueryEscape(path), a.location)
		require.NotContains(t, a.location, identityIn(callback))
		require.Equal(t, before, s.connection("ada"), "nothing is stored yet")
	}
	answers.Store("ada", "yes")
	s.finished(ada.get(path)) // The page redirects back without the parameters from Anchor.
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Equal(t, before.ID, s.connection("ada").ID)

	answers.Store("ada", "")
	refused := s.approve(ada.start())
	ada.get(refused)
	answers.Store("ada", "no")
	path, _, _ = strings.Cut(strings.TrimPrefix(refused, s.server.URL), "?")
	a := ada.get(path)
	ada.refused(connect.ErrNotAccepted, a)
	<-a.over
	_, there := s.fake.Identity(identityIn(refused))
	require.False(t, there)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

// asStored has the moments of c as the memory store returns them.
func asStored(c connect.Connection) connect.Connection {
	for _, at := range []*time.Time{&c.CreatedAt, &c.ConnectedAt, &c.HealthAt} {
		*at = at.UTC().Round(0)
	}
	return c
}

func TestAcceptSeesWhatWouldBeStored(t *testing.T) {
	t.Parallel()
	var candidates []connect.Candidate
	s := newSite(t, upTo(2), withMembers, func(c *connect.Config) {
		c.Accept = func(r *http.Request, c connect.Candidate) error {
			deadline, ok := r.Context().Deadline()
			if !ok || time.Until(deadline) > 31*time.Second {
				return errors.New("without a deadline")
			}
			candidates = append(candidates, c)
			return nil
		}
	})
	ada := s.signedIn("acme/ada")
	ada.connectWith("label", "work")
	stored := s.connections("acme")[0]
	require.Len(t, candidates, 1)
	require.Equal(t, connect.User{ID: "acme", Actor: "ada"}, candidates[0].User)
	require.Equal(t, stored, asStored(candidates[0].Connection))
	require.Equal(t, stored.IdentityID, candidates[0].Identity.ID)
	require.Zero(t, candidates[0].Replaces)

	s.clock.advance(time.Minute)
	callback := ada.connectWith("connection", stored.ID)
	require.Len(t, candidates, 2)
	require.Equal(t, stored, candidates[1].Replaces)
	require.Equal(t, s.connections("acme")[0], asStored(candidates[1].Connection))
	ada.get(callback)
	require.Len(t, candidates, 2, "Accept is not called for a reload")
}

func TestAcceptThatFailsLeavesTheFlowPending(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func() error{
		"an error":                 func() error { return errors.New("the directory is down") },
		"a panic":                  func() error { panic("the directory is down") },
		"a page of another site":   func() error { return connect.AskFirst("https://evil.example/?the directory is down") },
		"a page without a path":    func() error { return connect.AskFirst("") },
		"a context that has ended": func() error { return context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fails = true
			s := newSite(t, func(c *connect.Config) {
				c.Accept = func(*http.Request, connect.Candidate) error {
					if fails {
						return accept()
					}
					return nil
				}
			})
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			a := ada.get(callback)
			ada.refused(connect.ErrAcceptFailed, a)
			require.NotContains(t, a.body, "directory")
			require.Empty(t, a.location)
			require.Empty(t, s.connections("ada"))
			s.log.forget("panic")
			fails = false
			s.finished(ada.get(callback))
		})
	}
}

// If the deletion of the identity cannot be queued, the identity stays and the flow stays
// pending. The next callback is refused again.
func TestAcceptRefusesAgainWhenTheRefusalCannotBeStored(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	s := newSite(t, func(c *connect.Config) {
		c.Store = store
		c.Accept = func(*http.Request, connect.Candidate) error { return connect.NotAccepted("No.") }
	})
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	for _, method := range []string{"Queue", "Spend"} {
		store.set(method, errors.New("the disk is full"))
		ada.refused(connect.ErrStoreFailed, ada.get(callback))
		_, there := s.fake.Identity(identityIn(callback))
		require.True(t, there)
		store.set(method, nil)
	}
	s.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	a := ada.get(callback)
	<-a.over
	s.fake.ClearFaults()
	s.run()
	require.Eventually(t, func() bool { _, there := s.fake.Identity(identityIn(callback)); return !there }, 10*time.Second, 10*time.Millisecond)
}

// An identity that a connection has is never deleted for a refusal.
func TestAcceptRefusalSparesAnIdentityInUse(t *testing.T) {
	t.Parallel()
	refuse := false
	s := newSite(t, func(c *connect.Config) {
		c.Accept = func(*http.Request, connect.Candidate) error {
			if refuse {
				return connect.NotAccepted("No.")
			}
			return nil
		}
	})
	ada := s.signedIn("ada")
	id := identityIn(ada.connect())
	refuse = true
	s.clock.advance(time.Minute)
	a := ada.get(s.approve(ada.start(), anchortest.WithExistingIdentity(id)))
	ada.refused(connect.ErrNotAccepted, a)
	<-a.over
	s.run()
	time.Sleep(50 * time.Millisecond)
	_, there := s.fake.Identity(id)
	require.True(t, there)
	require.Equal(t, id, s.connection("ada").IdentityID)

	// Not even one that looks fresh by its date, with its mark or without.
	for _, metadata := range []map[string]any{{"externalUserId": "ada"}, nil} {
		identity, _ := s.fake.Identity(id)
		identity.CreatedAt, identity.Metadata = s.clock.now().Add(time.Hour), metadata
		s.fake.PutIdentity(identity)
		a = ada.get(s.approve(ada.start(), anchortest.WithExistingIdentity(id)))
		ada.refused(connect.ErrNotAccepted, a)
		<-a.over
		_, there = s.fake.Identity(id)
		require.True(t, there)
	}
}

func TestAcceptRefusalBehindAFixedCallbackEndsNoFlow(t *testing.T) {
	t.Parallel()
	refuse := true
	s := newSite(t, func(c *connect.Config) {
		c.FixedCallbackURL = true
		c.Accept = func(*http.Request, connect.Candidate) error {
			if refuse {
				return connect.NotAccepted("No.")
			}
			return nil
		}
	})
	ada := s.signedIn("ada")
	hosted := ada.start()
	planted := s.fake.PutIdentity(anchortest.Identity{CreatedAt: s.clock.now().Add(time.Second)})
	ada.refused(connect.ErrNotAccepted, ada.get("/identity-callback?identity_id="+planted.ID+"&status=success"))
	refuse = false
	s.finished(ada.get(s.approve(hosted)))
}

// Two tabs, and no connection yet: when the first is stored, the app's answer about the
// second is outdated.
func TestAcceptIsAskedAgainWhenConnectionsHaveChanged(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	var asked atomic.Int32
	s := newSite(t, func(c *connect.Config) {
		c.Accept = func(_ *http.Request, c connect.Candidate) error {
			if c.Replaces.ID != "" {
				return connect.NotAccepted("Disconnect the other one first.")
			}
			if asked.Add(1) <= 2 {
				both.Done()
				both.Wait()
			}
			return nil
		}
	})
	ada := s.signedIn("ada")
	callbacks := []string{s.approve(ada.start()), s.approve(ada.start())}
	answers := make([]answer, 2)
	var wait sync.WaitGroup
	for i, callback := range callbacks {
		wait.Go(func() { answers[i], _ = ada.try(http.MethodGet, callback, "", "") })
	}
	wait.Wait()
	connected := s.connection("ada").IdentityID
	for i, a := range answers {
		<-a.over
		_, there := s.fake.Identity(identityIn(callbacks[i]))
		won := identityIn(callbacks[i]) == connected
		require.Equal(t, won, there, "what was accepted stays, what was refused goes")
		if won {
			require.Equal(t, http.StatusSeeOther, a.status)
		} else {
			ada.refused(connect.ErrNotAccepted, a)
		}
	}
}

// Before it is tagged, an identity of another user may hold that user's account. The app
// is not asked about it.
func TestAcceptIsNotAskedAboutAnotherUsersIdentity(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := newSite(t, func(c *connect.Config) {
		c.Metadata = func(context.Context, connect.User) (map[string]any, error) { return nil, errors.New("no tags") }
		c.Accept = func(*http.Request, connect.Candidate) error { asked.Add(1); return nil }
	})
	eve := s.signedIn("eve")
	open := s.approve(eve.start())
	hers := identityIn(s.signedIn("ada").connect())
	require.EqualValues(t, 1, asked.Load())
	eve.refused(connect.ErrIdentityTaken, eve.get(withIdentity(open, hers)))
	require.EqualValues(t, 1, asked.Load())
	require.Equal(t, hers, s.connection("ada").IdentityID)
}
