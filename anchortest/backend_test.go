package anchortest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// backend notes what it is asked for, and fails when it is told to.
type backend struct {
	mu    sync.Mutex
	asked []string
	err   error
}

func (b *backend) note(what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, what)
	return b.err
}

func (b *backend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *backend) ServeHostedPage(w http.ResponseWriter, r *http.Request) {
	_ = b.note("page")
	w.WriteHeader(http.StatusTeapot)
}

func (b *backend) OpenSession(_ context.Context, s Session) (SessionURLs, error) {
	return SessionURLs{CDP: "ws://drive", LiveView: "http://watch"}, b.note("open " + s.ID)
}

func (b *backend) EndSession(_ context.Context, id string) { _ = b.note("end " + id) }

func (b *backend) SignInAgain(_ context.Context, id string) error { return b.note("again " + id) }

func (b *backend) ForgetIdentity(id string) { _ = b.note("forget " + id) }

func TestBackendReplacesTheSimulation(t *testing.T) {
	t.Parallel()

	t.Run("sessions", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		data := call(t, s, "POST", "/v1/sessions", "").data(t)
		id := data["id"].(string)
		require.Equal(t, map[string]any{"id": id, "cdp_url": "ws://drive", "live_view_url": "http://watch"}, data)
		require.Equal(t, 200, call(t, s, "DELETE", "/v1/sessions/"+id, "").status)
		call(t, s, "DELETE", "/v1/sessions/"+id, "").requireError(t, 401)
		require.Equal(t, []string{"open " + id, "end " + id}, b.asked)
	})

	t.Run("a session that the backend refuses is not there", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		b.fail(&APIError{Status: 422, Message: "Not signed in."})
		r := call(t, s, "POST", "/v1/sessions", "")
		r.requireError(t, 422)
		require.Contains(t, r.body, "Not signed in.")
		b.fail(errors.New("out of memory"))
		call(t, s, "POST", "/v1/sessions", "").requireError(t, 500)
		require.Empty(t, s.Sessions())
	})

	t.Run("a session whose browser was closed has ended", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		id := call(t, s, "POST", "/v1/sessions", "").data(t)["id"].(string)
		require.True(t, s.EndSession(id))
		require.False(t, s.EndSession(id))
		require.False(t, s.EndSession("x"))
		require.Equal(t, "ended", call(t, s, "GET", "/v1/sessions/"+id, "").data(t)["status"])
		require.Equal(t, []string{"open " + id}, b.asked)
	})

	t.Run("a repeated sign-in has the backend's outcome", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		identity := s.PutIdentity(Identity{})
		b.fail(&APIError{Status: 412, Message: "A code is needed."})
		call(t, s, "POST", "/v1/identities/"+identity.ID+"/reauthenticate", "").requireError(t, 412)
		failed, _ := s.Identity(identity.ID)
		require.Equal(t, StatusFailed, failed.Status)
		b.fail(nil)
		require.Equal(t, 200, call(t, s, "POST", "/v1/identities/"+identity.ID+"/reauthenticate", "").status)
		works, _ := s.Identity(identity.ID)
		require.Equal(t, StatusValidated, works.Status)
		call(t, s, "POST", "/v1/identities/"+unknownID+"/reauthenticate", "").requireError(t, 404)
		require.Equal(t, []string{"again " + identity.ID, "again " + identity.ID}, b.asked)
	})

	t.Run("it finds out by itself whether a sign-in that has failed works again", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		identity := s.PutIdentity(Identity{Status: StatusFailed})
		asked := `{"identities":[{"id":"` + identity.ID + `"}]}`
		require.Equal(t, 200, call(t, s, "POST", "/v1/sessions", asked).status)
		require.True(t, s.KillSignIn(identity.ID))
		call(t, s, "POST", "/v1/sessions", asked).requireError(t, 422)
		require.Len(t, b.asked, 1)
	})

	t.Run("a deleted identity is forgotten", func(t *testing.T) {
		t.Parallel()
		b := &backend{}
		s := start(t, WithBackend(b))
		identity := s.PutIdentity(Identity{})
		require.Equal(t, 200, call(t, s, "DELETE", "/v1/identities/"+identity.ID, "").status)
		call(t, s, "DELETE", "/v1/identities/"+identity.ID, "").requireError(t, 404)
		require.Equal(t, []string{"forget " + identity.ID}, b.asked)
	})

	t.Run("the hosted page", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithBackend(&backend{}))
		require.Equal(t, 418, call(t, s, "GET", "/identity/create?token=x", "").status)
		require.Equal(t, 418, call(t, s, "POST", "/identity/create", "").status)
	})
}

func TestVisitReturnsWhatATokenIsFor(t *testing.T) {
	t.Parallel()
	s := start(t, WithApplication("Letters", "https://letters.example"))
	token := newToken(t, s, callback)
	visit, err := s.Visit(token)
	require.NoError(t, err)
	require.Equal(t, s.ApplicationID(), visit.ApplicationID)
	require.Equal(t, "Letters", visit.ApplicationName)
	require.Equal(t, "https://letters.example", visit.Site)
	require.Equal(t, "https://app.example", visit.ReturnTo)
	require.Equal(t, "https://app.example", visit.FormTarget)

	_, err = s.Cancel(t.Context(), s.HostedPageURL(token, "Ann Ä"))
	require.NoError(t, err)
	_, err = s.Visit(token)
	require.ErrorIs(t, err, ErrTokenUsed)
	_, err = s.Visit("x")
	require.ErrorIs(t, err, ErrTokenUnknown)
}
