package connect_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// Staging beside production: the project has two applications for one site, and the
// handler serves one of them.
func TestProjectHasApplicationsThatAreNotServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	staging := s.fake.AddApplication("Staging", "https://www.example.com/staging")
	ada := s.signedIn("ada")
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: staging, Source: "https://example.com", CreatedAt: s.clock.now().Add(time.Second)})
	ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(s.approve(ada.start()), foreign.ID)))
	require.Zero(t, s.connection("ada"))
	require.NoError(t, s.handler.DisconnectAll(t.Context(), "ada"))
	_, there := s.fake.Identity(foreign.ID)
	require.True(t, there)
	ada.connect() // Its own is found in the list.
}

// The project's applications are listed once in ten minutes, not for each callback.
func TestProjectIsAskedOnceInTenMinutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	ada.connect()
	staging := s.fake.AddApplication("Staging", "https://example.com")
	foreign := func() string {
		return s.fake.PutIdentity(anchortest.Identity{ApplicationID: staging, Source: "https://example.com", CreatedAt: s.clock.now().Add(time.Second)}).ID
	}
	for range 3 {
		ada.connect()
	}
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications"))
	s.clock.advance(10 * time.Minute)
	ada.refused(connect.ErrWrongApplication, ada.get(withIdentity(s.approve(ada.start()), foreign())))
}

// manyIdentities fills an application.
func (s *site) manyIdentities(n int, applicationID string) {
	for range n {
		s.fake.PutIdentity(anchortest.Identity{ApplicationID: applicationID})
	}
}

// Checks that cost no call come first, so that an identity that is refused anyway causes
// no listing.
func TestListingIsNotReadForAnIdentityThatIsRefusedAnyway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manyIdentities(500, s.fake.ApplicationID())
	ada := s.signedIn("ada")
	for want, identity := range map[error]anchortest.Identity{
		connect.ErrIdentityTooOld: {ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(-time.Hour)},
		connect.ErrIdentityTaken:  {ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second), Metadata: map[string]any{"externalUserId": "eve"}},
	} {
		id := s.fake.PutIdentity(identity).ID
		callback := s.approve(ada.start())
		for range 3 {
			s.fake.ForgetCalls()
			ada.refused(want, ada.get(withIdentity(callback, id)))
			require.LessOrEqual(t, len(s.fake.Calls()), 2)
		}
		require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "the flow is still pending for the right identity")
	}
}

// A flow causes one listing at most, however many requests try it, at once or later, and
// though they hang up.
func TestListingIsReadOnceForAFlow(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(map[bool]string{false: "with a state", true: "fixed"}[fixed], func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *connect.Config) { c.FixedCallbackURL = fixed })
			s.manyIdentities(500, s.fake.ApplicationID())
			ada := s.signedIn("ada")
			callback := s.approve(ada.start())
			foreign := func() string {
				return s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, Name: "foreign", CreatedAt: s.clock.now().Add(time.Second)}).ID
			}
			hold := s.fake.Hold("GET", "/v1/applications/"+s.fake.ApplicationID()+"/identities")
			ctx, hangUp := context.WithCancel(t.Context())
			var tabs sync.WaitGroup
			for range 10 {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, withIdentity(callback, foreign()), nil)
				require.NoError(t, err)
				tabs.Go(func() {
					if res, err := ada.client.Do(r); err == nil {
						_ = res.Body.Close()
					}
				})
			}
			require.NoError(t, hold.Wait(t.Context(), 1))
			require.Eventually(t, func() bool { return s.fake.CountCalls("GET", "/v1/identities/") == 10 }, 5*time.Second, 5*time.Millisecond)
			hangUp()
			hold.Release()
			tabs.Wait()
			spent := func() bool {
				a := ada.get(withIdentity(callback, foreign()))
				return a.status == connect.Explain(connect.ErrStateSpent).Status || a.status == connect.Explain(connect.ErrWrongApplication).Status
			}
			require.Eventually(t, spent, 5*time.Second, 5*time.Millisecond)
			for range 5 {
				ada.get(withIdentity(callback, foreign()))
			}
			listed := s.fake.CountCalls("GET", "/v1/applications/"+s.fake.ApplicationID()+"/identities")
			require.LessOrEqual(t, listed, 500/50+3, "the search by name, the pages, and one that is empty")
			require.Positive(t, listed)
		})
	}
}

func answered(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// An endless list is given up after a number of pages, and is not read again and again.
func TestListingWithoutAnEndIsReadOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var pages atomic.Int32
	_, app := s.replica(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/identities") {
			return answered(fmt.Sprintf(`{"identities":[{"id":"22222222-2222-4222-8222-%012d"}]}`, pages.Add(1))), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	ada := s.browser()
	callback := s.approve(ada.post(app+"/connect", nil).location)
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second)})
	callback = withIdentity(callback, foreign.ID)
	for range 5 {
		require.Equal(t, http.StatusBadGateway, ada.get(callback).status)
	}
	require.EqualValues(t, 3*(2+200), pages.Load(), "three times, since it is not the user's fault")
}

// If the list cannot be read, nothing is refused: the flow stays pending.
func TestListingThatDoesNotComeRefusesNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.AddApplication("Staging", "https://example.com")
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/" + s.fake.ApplicationID() + "/identities", Latency: time.Minute})
	ada.refused(connect.ErrUpstreamTimeout, ada.get(callback))
	s.fake.ClearFaults()
	s.finished(ada.get(callback))
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

// A project that does not answer delays callbacks only briefly.
func TestProjectThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications", Latency: time.Minute, Times: 1})
	_, app := s.replica(http.DefaultTransport.RoundTrip)
	for _, patience := range []time.Duration{5 * time.Second, 5 * time.Second} {
		ada := s.browser()
		callback := s.approve(ada.post(app+"/connect", nil).location)
		begun := time.Now()
		require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "the list decides")
		require.Less(t, time.Since(begun), patience)
	}
}

func TestListingDecidesAboutAnotherSite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithSource("https://accounts.elsewhere.example"))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
	require.Positive(t, s.fake.CountCalls("GET", "/v1/applications/*/identities"))
}

func TestProjectIsAskedOnceForManyCallbacks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := "/v1/applications"
	hold := s.fake.Hold("GET", path)
	const users = 6
	answers := make(chan answer, users)
	var first context.CancelFunc
	for i := range users {
		b := s.signedIn(fmt.Sprint("user", i))
		callback := s.approve(b.start())
		if i == 0 {
			// The first browser hangs up before there is an answer.
			ctx, cancel := context.WithCancel(context.Background())
			first = cancel
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
			require.NoError(t, err)
			go func() {
				if res, err := b.client.Do(r); err == nil {
					_ = res.Body.Close()
				}
			}()
			require.NoError(t, hold.Wait(t.Context(), 1))
			continue
		}
		go func() {
			a, _ := b.try(http.MethodGet, callback, "", "")
			answers <- a
		}()
	}
	require.Eventually(t, func() bool { return s.fake.CountCalls("GET", "/v1/identities/") == users }, 5*time.Second, 5*time.Millisecond)
	first()
	hold.Release()
	for range users - 1 {
		require.Equal(t, http.StatusSeeOther, (<-answers).status)
	}
	require.Equal(t, 1, s.fake.CountCalls("GET", path))
}

func TestListingDistinguishesApplicationsWithoutASite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ours, other := s.fake.AddApplication("Ours", ""), s.fake.AddApplication("Other", "")
	h, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: ours, PublicURL: s.server.URL, Store: s.store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")},
	})
	require.NoError(t, err)
	app := httptest.NewTLSServer(h)
	t.Cleanup(app.Close)
	ada := s.browser()
	a := ada.post(app.URL+"/connect", nil)
	require.Equal(t, http.StatusSeeOther, a.status)
	callback := strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
	foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: other, CreatedAt: time.Now().Add(time.Second)})
	require.Equal(t, http.StatusForbidden, ada.get(withIdentity(callback, foreign.ID)).status)
	require.Equal(t, http.StatusConflict, ada.get(callback).status, "a flow that caused a listing is over")
	a = ada.post(app.URL+"/connect", nil)
	callback = strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}

func TestListingIsReadToTheEndBeforeARefusal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start(), anchortest.WithSource("https://accounts.elsewhere.example"), anchortest.WithName("Ada"))
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/*/identities", Times: 1, Body: `{"identities":[]}`})
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status, "the search found nothing, the list has it")
	require.NotZero(t, s.connection("ada"))
}

// Two applications for one site: only the applications' lists tell their identities
// apart.
func TestListingDistinguishesApplicationsOfOneSite(t *testing.T) {
	t.Parallel()
	for _, fixed := range []bool{false, true} {
		t.Run(fmt.Sprint("fixed callback ", fixed), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: s.store,
				Applications: map[string]string{"work": s.fake.AddApplication("Work", "https://example.com/work")},
				User:         func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets:      [][]byte{[]byte("a secret of the tests, not random")}, FixedCallbackURL: fixed, Now: s.clock.now, Logger: slog.New(slog.DiscardHandler),
			})
			require.NoError(t, err)
			app := httptest.NewTLSServer(h)
			t.Cleanup(app.Close)
			ada := s.browser()
			begin := func(path string) (callback string) {
				a := ada.post(app.URL+path, nil)
				require.Equal(t, http.StatusSeeOther, a.status)
				s.clock.advance(time.Second)
				return strings.Replace(s.approve(a.location), s.server.URL, app.URL, 1)
			}
			home, work := begin("/connect"), begin("/connect/work")
			if !fixed {
				a := ada.get(withIdentity(work, identityIn(home)))
				require.Equal(t, http.StatusForbidden, a.status)
				require.Contains(t, a.body, connect.Explain(connect.ErrWrongApplication).Title)
				work = begin("/connect/work")
			}
			require.Equal(t, http.StatusSeeOther, ada.get(home).status)
			require.Equal(t, http.StatusSeeOther, ada.get(work).status)
			all, err := h.AllConnections(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, identityIn(home), all[0].IdentityID)
			require.Equal(t, identityIn(work), all[1].IdentityID)
		})
	}
}

// An application that cannot be read does not affect another.
func TestProjectWithoutOneApplicationHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar)
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/" + s.calendar, Status: http.StatusNotFound})
	s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications", Status: http.StatusForbidden, Times: 1})
	ada := s.signedIn("ada")
	calendar := s.approve(ada.post("/connect/calendar", nil).location)
	require.Equal(t, http.StatusBadGateway, ada.get(calendar).status)
	ada.connect()
	require.Equal(t, 1, s.fake.CountCalls("GET", "/v1/applications/"+s.fake.ApplicationID()+"/identities"), "its list is asked instead")
}
