package anchortest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const eventPattern = `^evt_[0-9a-f]{24}$`

// signature is what the documentation says of v1, written down once more.
func signature(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, "v0:"+timestamp+":"+body)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestEventSignature(t *testing.T) {
	t.Parallel()
	// From: printf 'v0:1716544084:{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec-one
	const (
		one = "f009e482e3ef0b4e12611e89e5e4105e0d541cb17d83b48cb52c93bb12301aa6"
		two = "ce7e698f54bee72767dfef8a16670b781ad8ec78e6ffd82a79e5e542d93d1c8d"
	)
	body := []byte(`{"id":"evt_1"}`)
	require.Equal(t, "t=1716544084,v1="+one, sign([]string{"whsec-one"}, "1716544084", body))
	require.Equal(t, "t=1716544084,v1="+two+",v1="+one, sign([]string{"whsec-two", "whsec-one"}, "1716544084", body))
}

func TestEventShape(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 5, 24, 12, 18, 5, 123_000_000, time.UTC)
	event := Event{ID: "evt_1", Type: anchorhttp.EventIdentityAuthenticated, IdentityID: unknownID, Created: created}
	const text = `"text":"Identity ` + unknownID + ` is signed in."`
	for _, test := range []struct {
		name  string
		shape eventShape
		event Event
		want  string
	}{
		{"by default", eventShape{}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"identity_id":"` + unknownID + `"}}`},
		{"in seconds", eventShape{time: UnixEventTime}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":1779625085,"project_id":"` + teamID + `",` + text + `,"data":{"identity_id":"` + unknownID + `"}}`},
		{"in camel case", eventShape{identity: CamelEventIdentity}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"identityId":"` + unknownID + `"}}`},
		{"nested", eventShape{identity: NestedEventIdentity}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"identity":{"id":"` + unknownID + `"}}}`},
		{"as a text", eventShape{identity: TextEventIdentity}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"identity":"` + unknownID + `"}}`},
		{"as id", eventShape{identity: BareEventIdentity}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"id":"` + unknownID + `"}}`},
		{"unreadable", eventShape{identity: UnreadableEventIdentity}, event,
			`{"id":"evt_1","type":"identity.authenticated","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `",` + text + `,"data":{"account":{"ref":"` + unknownID + `"}}}`},
		{"a failure", eventShape{}, Event{ID: "evt_2", Type: anchorhttp.EventIdentityAuthenticationFailed, IdentityID: "x", Created: created},
			`{"id":"evt_2","type":"identity.authentication_failed","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `","text":"Identity x could not be signed in.","data":{"identity_id":"x"}}`},
		{"another type, without an identity", eventShape{identity: NestedEventIdentity}, Event{ID: "evt_3", Type: "task.completed", Created: created},
			`{"id":"evt_3","type":"task.completed","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `","text":"Event task.completed.","data":{}}`},
		{"another type", eventShape{}, Event{ID: "evt_3", Type: "identity.deleted", IdentityID: "x", Created: created},
			`{"id":"evt_3","type":"identity.deleted","created":"2026-05-24T12:18:05.123Z","project_id":"` + teamID + `","text":"Event identity.deleted of identity x.","data":{"identity_id":"x"}}`},
		{"a body of its own", eventShape{}, Event{ID: "evt_4", Type: "x", Body: []byte("{")}, `{`},
		{"an empty body of its own", eventShape{}, Event{ID: "evt_5", Type: "x", Body: []byte{}}, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, string(test.shape.write(test.event)))
		})
	}
}

func TestEventTypeOfAStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]string{
		StatusValidated: anchorhttp.EventIdentityAuthenticated, StatusActive: anchorhttp.EventIdentityAuthenticated, StatusPending: "", "new": "",
		StatusFailed: anchorhttp.EventIdentityAuthenticationFailed, StatusAgentFailed: anchorhttp.EventIdentityAuthenticationFailed, StatusAgentInvalid: anchorhttp.EventIdentityAuthenticationFailed,
	} {
		eventType, made := signInEvent(status)
		require.Equal(t, want, eventType, status)
		require.Equal(t, want != "", made, status)
	}
}

func TestWebhookThatIsInvalid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		url     string
		secrets []string
	}{
		"no URL":               {"app.example/webhook", []string{"s"}},
		"another scheme":       {"ftp://app.example/webhook", []string{"s"}},
		"no host":              {"https:///webhook", []string{"s"}},
		"no secret":            {"https://app.example/webhook", nil},
		"an empty secret":      {"https://app.example/webhook", []string{"s", ""}},
		"only an empty secret": {"", []string{""}},
	} {
		t.Run(name+" is an error from Start and a panic otherwise", func(t *testing.T) {
			t.Parallel()
			_, err := Start(WithWebhook(test.url, test.secrets...))
			require.ErrorContains(t, err, "anchortest: ")
			require.Panics(t, func() { New(WithWebhook(test.url, test.secrets...)) })
			s := New(WithWebhook("https://app.example", "kept"))
			require.Panics(t, func() { s.SetWebhook(test.url, test.secrets...) })
			require.Equal(t, []string{"kept"}, s.webhook.secrets, "and the lock is free")
		})
	}

	t.Run("the caller's secrets are copied", func(t *testing.T) {
		t.Parallel()
		secrets := []string{"one"}
		s := New(WithWebhook("https://app.example", secrets...))
		secrets[0] = "changed"
		require.Equal(t, []string{"one"}, s.webhook.secrets)
	})
}

func TestWebhookRequest(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 24, 12, 18, 5, 123_456_789, time.UTC)

	// through has a handler answer a request, without a server.
	through := func(r *http.Request) (header http.Header, body string) {
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			header, body = r.Header, string(text)
		}).ServeHTTP(httptest.NewRecorder(), r)
		return header, body
	}

	t.Run("it is signed, dated and named", func(t *testing.T) {
		t.Parallel()
		s := New()
		s.SetNow(func() time.Time { return now })
		s.SetWebhook("", "new", "old")
		r, err := s.NewWebhookRequest(t.Context(), "/webhooks/anchor?x=1", Event{Type: anchorhttp.EventIdentityAuthenticated, IdentityID: unknownID})
		require.NoError(t, err)
		require.Equal(t, "POST", r.Method)
		require.Equal(t, "/webhooks/anchor", r.URL.Path)
		header, body := through(r)
		require.Equal(t, "application/json", header.Get("Content-Type"))
		require.Equal(t, "Anchor-Webhooks/1.0", header.Get("User-Agent"))
		require.Equal(t, "identity.authenticated", header.Get("Anchor-Event"))
		require.Regexp(t, uuidPattern, header.Get("Anchor-Delivery-Id"))
		require.Equal(t, "1779625085", header.Get("Anchor-Timestamp"))
		require.Equal(t, "t=1779625085,v1="+signature("new", "1779625085", body)+",v1="+signature("old", "1779625085", body), header.Get("Anchor-Signature"))

		var event map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		require.Regexp(t, eventPattern, event["id"])
		require.Equal(t, "2026-05-24T12:18:05.123Z", event["created"])
		require.Empty(t, s.Deliveries(), "nothing is sent")
	})

	t.Run("what the event says counts", func(t *testing.T) {
		t.Parallel()
		s := New()
		s.SetWebhook("", "s")
		s.SetEventTime(UnixEventTime)
		s.SetEventIdentity(CamelEventIdentity)
		event := Event{ID: "evt_again", Type: anchorhttp.EventIdentityAuthenticationFailed, IdentityID: "x", Created: now, SentAt: now.Add(-3 * time.Minute)}
		r, err := s.NewWebhookRequest(t.Context(), "https://app.example/hook", event)
		require.NoError(t, err)
		header, body := through(r)
		require.Equal(t, "1779624905", header.Get("Anchor-Timestamp"))
		require.Equal(t, "t=1779624905,v1="+signature("s", "1779624905", body), header.Get("Anchor-Signature"))
		require.Contains(t, body, `"id":"evt_again"`)
		require.Contains(t, body, `"created":1779625085`)
		require.Contains(t, body, `"data":{"identityId":"x"}`)

		again, err := s.NewWebhookRequest(t.Context(), "https://app.example/hook", event)
		require.NoError(t, err)
		require.NotEqual(t, header.Get("Anchor-Delivery-Id"), again.Header.Get("Anchor-Delivery-Id"))
	})

	t.Run("a body of its own is signed as it is", func(t *testing.T) {
		t.Parallel()
		s := New()
		s.SetWebhook("", "s")
		large := bytes.Repeat([]byte("a"), 2<<20)
		r, err := s.NewWebhookRequest(t.Context(), "/", Event{Type: "x", Body: large, SentAt: now})
		require.NoError(t, err)
		header, body := through(r)
		require.Equal(t, string(large), body)
		require.Equal(t, "t=1779625085,v1="+signature("s", "1779625085", body), header.Get("Anchor-Signature"))
	})

	t.Run("without a secret, or to no URL, it is an error", func(t *testing.T) {
		t.Parallel()
		s := New()
		_, err := s.NewWebhookRequest(t.Context(), "/", Event{})
		require.ErrorContains(t, err, "call SetWebhook")
		s.SetWebhook("", "s")
		_, err = s.NewWebhookRequest(t.Context(), "http://a b/", Event{})
		require.ErrorContains(t, err, "anchortest: ")
	})
}
