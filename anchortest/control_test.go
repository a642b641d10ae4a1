package anchortest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// look opens the control page without a key, as a browser does.
func look(t *testing.T, s *Server) response {
	t.Helper()
	req, err := http.NewRequest("GET", s.ControlURL(), nil)
	require.NoError(t, err)
	r, err := try(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, 200, r.status, r.body)
	return r
}

// press presses a button of the control page, with headers in pairs.
func press(t *testing.T, s *Server, identityID, button string, headers ...string) response {
	t.Helper()
	form := url.Values{"identity": {identityID}, "outcome": {button}}
	req, err := http.NewRequest("POST", s.ControlURL(), strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	r, err := try(t.Context(), req)
	require.NoError(t, err)
	return r
}

// inOrder wants the parts in the page, one behind the other.
func inOrder(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		_, rest, found := strings.Cut(page, part)
		require.True(t, found, "%q is not there, or not in this place of\n%s", part, page)
		page = rest
	}
}

func TestControlPage(t *testing.T) {
	t.Parallel()

	t.Run("it lists the identities, the newest first", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithApplication("My Shop", "https://shop.example"))
		other := s.AddApplication("Ledger", "https://ledger.example")
		ann := s.PutIdentity(Identity{Name: "Ann", Metadata: map[string]any{"externalUserId": "user-42"}})
		bob := s.PutIdentity(Identity{Name: "Bob", ApplicationID: other, Status: StatusFailed, Metadata: map[string]any{"externalUserId": 7}})
		cy := s.PutIdentity(Identity{Name: "Cy", Status: StatusPending})
		require.Equal(t, s.URL()+"/fake", s.ControlURL())
		r := look(t, s)
		inOrder(t, r.body, "a fake of Anchor",
			"Cy", ">pending<", "My Shop", "none yet", `value="`+cy.ID+`"`, `value="fail"`, `value="approve"`,
			"Bob", ">failed<", "Ledger", "<dd>7</dd>", `value="`+bob.ID+`"`,
			"Ann", ">validated<", "My Shop", "user-42", `value="`+ann.ID+`"`,
			"No webhook is set")
		require.NotContains(t, r.body, "<script")
		require.NotContains(t, r.body, `http-equiv="refresh"`)
	})

	t.Run("without identities it says so", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithWebhook("https://user:pa55@app.example/hook", "s3cret"))
		r := look(t, s)
		inOrder(t, r.body, "There are no identities yet", "https://user:xxxxx@app.example/hook", "No event has been sent yet")
		require.NotContains(t, r.body, `name="identity"`)
		require.NotContains(t, r.body, "pa55")
		require.NotContains(t, r.body, "s3cret")
	})

	t.Run("its buttons change the sign-in, tell the webhook, and lead back", func(t *testing.T) {
		t.Parallel()
		h := newHook(t, 503, 202)
		s := start(t, WithWebhook(h.URL, "s"))
		now := time.Date(2026, 5, 24, 12, 18, 5, 0, time.UTC)
		s.SetNow(func() time.Time { return now })
		ann, bob := s.PutIdentity(Identity{Name: "Ann"}), s.PutIdentity(Identity{Name: "Bob"})

		for _, button := range []string{"fail", "approve"} {
			r := press(t, s, ann.ID, button)
			require.Equal(t, http.StatusSeeOther, r.status, r.body)
			require.Equal(t, "fake#i-"+ann.ID, r.header.Get("Location"))
			require.Equal(t, "no-store", r.header.Get("Cache-Control"))
			kept, _ := s.Identity(ann.ID)
			require.Equal(t, map[string]Status{"fail": StatusFailed, "approve": StatusValidated}[button], kept.Status)
			require.NoError(t, s.WaitDelivered(soon(t)))
		}
		kept, _ := s.Identity(bob.ID)
		require.Equal(t, bob, kept)
		inOrder(t, look(t, s).body, "Events go to <strong>"+h.URL,
			"identity.authenticated", ">204<", "Ann", "2026-05-24 12:18:05 UTC",
			"identity.authentication_failed", ">202<", "Ann", "attempt 2",
			"identity.authentication_failed", ">503<", "Ann")
		require.NotContains(t, look(t, s).body, "No event has been sent yet")
	})

	t.Run("while an event is on its way it comes again by itself", func(t *testing.T) {
		t.Parallel()
		released := make(chan struct{})
		release := sync.OnceFunc(func() { close(released) })
		app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
		t.Cleanup(app.Close)
		t.Cleanup(release)
		s := start(t, WithWebhook(app.URL, "s"))
		ann := s.PutIdentity(Identity{Name: "Ann"})
		require.Equal(t, http.StatusSeeOther, press(t, s, ann.ID, "fail").status)
		require.Contains(t, look(t, s).body, `http-equiv="refresh"`)
		release()
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.NotContains(t, look(t, s).body, `http-equiv="refresh"`)
	})

	t.Run("it shows the last 20 deliveries", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		for i := range 21 {
			_, err := s.SendEvent(t.Context(), Event{Type: fmt.Sprintf("type.%d.", i)})
			require.NoError(t, err)
		}
		body := look(t, s).body
		inOrder(t, body, "type.20.", "type.19.", "type.1.")
		require.NotContains(t, body, "type.0.")
	})

	t.Run("a button on another site's page changes nothing", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		ann := s.PutIdentity(Identity{})
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			r := press(t, s, ann.ID, "fail", header...)
			require.Equal(t, 403, r.status)
			require.Contains(t, r.body, "<h1>The request came from another page</h1>")
		}
		kept, _ := s.Identity(ann.ID)
		require.Equal(t, ann, kept)
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.Empty(t, s.Deliveries())

		require.Equal(t, http.StatusSeeOther, press(t, s, ann.ID, "fail", "Origin", s.URL()).status)
		require.Equal(t, http.StatusSeeOther, press(t, s, ann.ID, "fail", "Sec-Fetch-Site", "same-origin").status)
	})

	t.Run("no button, another one and an unknown identity are pages that say so", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		ann := s.PutIdentity(Identity{})
		for _, button := range []string{"", "cancel", "delete"} {
			r := press(t, s, ann.ID, button)
			require.Equal(t, 400, r.status)
			require.Contains(t, r.body, "<h1>That did not work</h1>")
		}
		for _, id := range []string{"", "x", unknownID} {
			r := press(t, s, id, "fail")
			require.Equal(t, 404, r.status)
			require.Contains(t, r.body, "<h1>This identity is gone</h1>")
		}
		req, err := http.NewRequest("POST", s.ControlURL()+"?outcome=fail&identity="+ann.ID, nil)
		require.NoError(t, err)
		r, err := try(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 400, r.status, "what stands in the address does not count")
		kept, _ := s.Identity(ann.ID)
		require.Equal(t, ann, kept)
	})

	t.Run("its headers let nothing in and nothing out", func(t *testing.T) {
		t.Parallel()
		r := look(t, start(t))
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(r.body)
		require.NotNil(t, style)
		sum := sha256.Sum256([]byte(style[1]))
		require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
			"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			r.header.Get("Content-Security-Policy"))
		require.Equal(t, "text/html; charset=utf-8", r.header.Get("Content-Type"))
		require.Equal(t, "no-store", r.header.Get("Cache-Control"))
		require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
	})

	t.Run("what others wrote is escaped", func(t *testing.T) {
		t.Parallel()
		evil := `"><script>alert(1)</script>`
		h := newHook(t)
		s := start(t, WithApplication(evil, ""), WithWebhook(h.URL+"/<script>", "s"))
		s.PutIdentity(Identity{Name: evil, Metadata: map[string]any{"externalUserId": map[string]any{"a": evil}}})
		_, err := s.SendEvent(t.Context(), Event{Type: "<script>"})
		require.NoError(t, err)
		body := look(t, s).body
		require.NotContains(t, body, "<script")
		require.Equal(t, 2, strings.Count(body, "&gt;&lt;script&gt;"), "name and application")
	})

	t.Run("its addresses are relative, so it works behind a prefix", func(t *testing.T) {
		t.Parallel()
		s := New()
		server := httptest.NewServer(http.StripPrefix("/anchor", s))
		t.Cleanup(server.Close)
		s.SetURL(server.URL + "/anchor")
		ann := s.PutIdentity(Identity{})
		for _, action := range regexp.MustCompile(`(?:action|href)="([^"]*)"`).FindAllStringSubmatch(look(t, s).body, -1) {
			require.Contains(t, []string{"fake", "data:,"}, action[1])
		}
		require.Equal(t, "fake#i-"+ann.ID, press(t, s, ann.ID, "fail").header.Get("Location"))
	})
}

func TestControlPageDeliveries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 24, 12, 18, 5, 123_000_000, time.UTC)
	names := map[string]string{unknownID: "Ann"}
	event := Event{Type: anchorhttp.EventIdentityAuthenticated, IdentityID: unknownID}
	shown := func(status, mood, reason string) controlDelivery {
		return controlDelivery{
			Type: anchorhttp.EventIdentityAuthenticated, About: "Ann", At: "2026-05-24T12:18:05Z", When: "2026-05-24 12:18:05 UTC",
			Attempt: 2, Status: status, Mood: mood, Reason: reason,
		}
	}
	for name, test := range map[string]struct {
		delivery Delivery
		want     controlDelivery
	}{
		"under way":    {Delivery{}, shown("in progress", moodNone, "")},
		"taken":        {Delivery{Status: 204}, shown("204", moodGood, "")},
		"refused":      {Delivery{Status: 401}, shown("401", moodBad, "")},
		"redirected":   {Delivery{Status: 302}, shown("302", moodBad, "")},
		"not answered": {Delivery{Err: fmt.Errorf("anchortest: no answer: %w", errors.New("refused"))}, shown("no answer", moodBad, "refused")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.delivery.Event, test.delivery.Attempt, test.delivery.At = event, 2, at
			require.Equal(t, test.want, showDelivery(&test.delivery, names))
		})
	}
	require.Equal(t, "an unknown identity", showDelivery(&Delivery{}, names).About)
}

func TestControlPageButtons(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	s := start(t, WithWebhook(h.URL, "s"))
	ann := s.PutIdentity(Identity{Name: "Ann", Status: StatusActive})
	inOrder(t, look(t, s).body, "Ann", `<span class="badge good">active</span>`)

	r := press(t, s, ann.ID, "kill")
	require.Equal(t, "fake#i-"+ann.ID, r.header.Get("Location"))
	inOrder(t, look(t, s).body, "Ann", ">active<", "has stopped working silently")
	open(t, s, ann.ID).requireError(t, 422)

	r = press(t, s, ann.ID, "forget")
	require.Equal(t, http.StatusSeeOther, r.status)
	require.Equal(t, "fake", r.header.Get("Location"))
	require.Empty(t, s.Identities())
	for _, button := range []string{"kill", "forget"} {
		require.Equal(t, http.StatusNotFound, press(t, s, ann.ID, button).status)
	}

	r = press(t, s, "", "orphan")
	require.Equal(t, http.StatusSeeOther, r.status)
	orphans := s.Identities()
	require.Len(t, orphans, 1)
	require.Equal(t, "fake#i-"+orphans[0].ID, r.header.Get("Location"))
	require.WithinDuration(t, time.Now().Add(-48*time.Hour), orphans[0].CreatedAt, time.Minute)
	require.NoError(t, s.WaitDelivered(soon(t)))
	require.Empty(t, s.Deliveries(), "none of it is told to the webhook")
}
