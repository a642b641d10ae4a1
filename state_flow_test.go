package connect_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestStateCookiesOfAbandonedFlowsDoNoHarm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	for range 8 {
		ada.start()
		s.clock.advance(time.Second)
	}
	u, err := url.Parse(s.server.URL)
	require.NoError(t, err)
	require.LessOrEqual(t, len(ada.client.Jar.Cookies(u)), 5+1, "five and the session")
	ada.connect()
	require.NotZero(t, s.connection("ada"))
}

func TestStateCookieSecretsRotateUnderAPendingFlow(t *testing.T) {
	t.Parallel()
	store := connect.NewMemoryStore()
	older, newer := []byte("the older secret of the tests, 32 bytes"), []byte("the newer secret of the tests, 32 bytes")
	s := newSite(t, func(c *connect.Config) { c.Store, c.Secrets = store, [][]byte{older} })
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())

	rotated, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{newer, older},
	})
	require.NoError(t, err)
	u, err := url.Parse(callback)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, u.RequestURI(), nil)
	for _, cookie := range ada.client.Jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	rotated.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "/", w.Header().Get("Location"), "the default success address")
	require.NotZero(t, s.connection("ada"))
}

// Replicas are updated one by one. So a new secret is added last on all of them, and then
// moved first: every replica opens the cookies that another has sealed.
func TestStateCookieSecretsRotateInTwoStepsOnSeveralReplicas(t *testing.T) {
	t.Parallel()
	older, newer := []byte("the older secret of the tests, 32 bytes"), []byte("the newer secret of the tests, 32 bytes")
	comesBack := func(seals, opens [][]byte) int {
		s := newSite(t)
		var replicas [2]*connect.Handler
		var ada *browser
		for i, secrets := range [][][]byte{seals, opens} {
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: s.store,
				User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets: secrets, Logger: s.logger(),
			})
			require.NoError(t, err)
			replicas[i] = h
		}
		ada = s.browser()
		s.server.Config.Handler = replicas[0]
		callback := s.approve(ada.start())
		s.server.Config.Handler = replicas[1]
		return ada.get(callback).status
	}
	both := [][][]byte{{older}, {older, newer}, {newer, older}}
	for step := range both[:2] {
		require.Equal(t, http.StatusSeeOther, comesBack(both[step], both[step+1]), "step %d", step)
		require.Equal(t, http.StatusSeeOther, comesBack(both[step+1], both[step]), "step %d, back on the old replica", step)
	}
	require.Equal(t, http.StatusForbidden, comesBack([][]byte{newer, older}, [][]byte{older}), "in one step it breaks flows")
}
