package anchortest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestSessions(t *testing.T) {
	t.Parallel()

	t.Run("a session with an identity is made, read and ended", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		kept := s.PutIdentity(Identity{})
		asked := `{"session":{"proxy":{"active":true}},"browser":{"captcha_solver":{"active":true},"extra_stealth":{"active":true}},"identities":[{"id":"` + kept.ID + `"}]}`
		r := call(t, s, "POST", "/v1/sessions", asked)
		require.Equal(t, 200, r.status, r.body)
		data := r.data(t)
		require.ElementsMatch(t, []string{"id", "cdp_url", "live_view_url"}, keys(data))
		id := data["id"].(string)
		require.Equal(t, "ws"+s.URL()[len("http"):]+"/cdp?sessionId="+id, data["cdp_url"])
		require.Equal(t, s.URL()+"/live?sessionId="+id, data["live_view_url"])
		require.Equal(t, []Session{{ID: id, IdentityIDs: []string{kept.ID}, Configuration: []byte(asked), CreatedAt: now}}, s.Sessions())

		s.SetNow(func() time.Time { return now.Add(90 * time.Second) })
		r = call(t, s, "GET", "/v1/sessions/"+id, "")
		require.Equal(t, 200, r.status)
		data = r.data(t)
		require.ElementsMatch(t, []string{"session_id", "team_id", "duration", "status", "credits_used", "configuration",
			"playground", "proxy_bytes", "tokens", "steps", "tags", "created_at"}, keys(data))
		require.Equal(t, id, data["session_id"])
		require.EqualValues(t, 90, data["duration"])
		require.Equal(t, "running", data["status"])

		r = call(t, s, "DELETE", "/v1/sessions/"+id, "")
		require.Equal(t, 200, r.status)
		require.Equal(t, map[string]any{"status": "success"}, r.data(t))
		s.SetNow(func() time.Time { return now.Add(time.Hour) })
		data = call(t, s, "GET", "/v1/sessions/"+id, "").data(t)
		require.Equal(t, "ended", data["status"])
		require.EqualValues(t, 90, data["duration"])
		require.Equal(t, now.Add(90*time.Second), s.Sessions()[0].EndedAt)
		call(t, s, "DELETE", "/v1/sessions/"+id, "").requireError(t, 401)
	})

	t.Run("a session needs no body", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, body := range []string{"", "{}"} {
			id := call(t, s, "POST", "/v1/sessions", body).data(t)["id"].(string)
			require.Equal(t, map[string]any{}, call(t, s, "GET", "/v1/sessions/"+id, "").data(t)["configuration"])
		}
	})

	t.Run("an identity is only taken at the top level", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		r := call(t, s, "POST", "/v1/sessions", `{"browser":{"identities":[{"id":"`+kept.ID+`"}]}}`)
		require.Equal(t, 200, r.status)
		require.Empty(t, s.Sessions()[0].IdentityIDs)
	})

	t.Run("what cannot be is refused", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		r := call(t, s, "POST", "/v1/sessions", `{"browser":{"captcha_solver":{"active":true}}}`)
		r.requireError(t, 400)
		require.Contains(t, r.body, "CAPTCHA solver requires proxy to be active.")
		call(t, s, "POST", "/v1/sessions", `{"session":{"proxy":{"active":false}},"browser":{"captcha_solver":{"active":true}}}`).requireError(t, 400)
		call(t, s, "POST", "/v1/sessions", `{"identities":[{"id":"`+unknownID+`"}]}`).requireError(t, 400)
		call(t, s, "POST", "/v1/sessions", `{"identities":[{"id":"x"}]}`).requireError(t, 400)
		call(t, s, "POST", "/v1/sessions", `{"identities":"x"}`).requireError(t, 400)
		call(t, s, "POST", "/v1/sessions", `x`).requireError(t, 400)
		call(t, s, "GET", "/v1/sessions/x", "").requireError(t, 404)
		call(t, s, "DELETE", "/v1/sessions/x", "").requireError(t, 401)
		require.Empty(t, s.Sessions())
	})
}

func TestSessionsKeepTheirTags(t *testing.T) {
	t.Parallel()
	s := start(t)
	ann := s.PutIdentity(Identity{})
	request := anchorhttp.AuthenticatedSession(ann.ID)
	request.Session.Tags, request.IdentitySkipValidation = []string{"user:ada", "task:report"}, true
	session, err := s.Client().CreateSession(t.Context(), request)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), session.Date, 5*time.Second)
	kept := s.Sessions()[0]
	require.Equal(t, []string{"user:ada", "task:report"}, kept.Tags)
	require.True(t, kept.SkipValidation)
	kept.Tags[0] = "changed"
	require.Equal(t, "user:ada", s.Sessions()[0].Tags[0])

	for range 2 {
		require.NoError(t, s.Client().EndSession(t.Context(), session.ID))
	}
	require.False(t, s.Sessions()[0].EndedAt.IsZero())
	require.NoError(t, s.Client().EndSession(t.Context(), "unknown"))
	other := s.Client(anchorhttp.WithBaseURL(s.URL()))
	require.NoError(t, other.EndSession(t.Context(), session.ID))
	wrong := anchorhttp.New("sk-other", anchorhttp.WithBaseURL(s.URL()))
	require.ErrorContains(t, wrong.EndSession(t.Context(), session.ID), "401", "a wrong key ends nothing")
}
