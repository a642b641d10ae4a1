package connect

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadWebhookEventOfEachShape(t *testing.T) {
	t.Parallel()
	early := noon.Add(-time.Minute)
	const works, fails = `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":`, `{"type":"identity.authentication_failed","created":"2026-05-04T11:59:00Z","data":`
	tests := []struct {
		name, body string
		want       webhookEvent
		fails      string // what the error says
	}{
		{"a sign-in that works", works + `{"identity_id":"` + identityA + `"}}`, webhookEvent{identityA, HealthOK, early}, ""},
		{"a sign-in that failed", fails + `{"identity_id":"` + identityA + `"}}`, webhookEvent{identityA, HealthNeedsSignIn, early}, ""},
		{"the id under identityId", fails + `{"identityId":"` + identityA + `"}}`, webhookEvent{identityA, HealthNeedsSignIn, early}, ""},
		{"the id under identity", fails + `{"identity":{"id":"` + identityA + `"}}}`, webhookEvent{identityA, HealthNeedsSignIn, early}, ""},
		{"the id as the identity", fails + `{"identity":"` + identityA + `"}}`, webhookEvent{identityA, HealthNeedsSignIn, early}, ""},
		{"the id alone", fails + `{"id":"` + identityA + `"}}`, webhookEvent{identityA, HealthNeedsSignIn, early}, ""},
		{"no time is the signature's", `{"type":"identity.authenticated","data":{"identity_id":"` + identityA + `"}}`, webhookEvent{identityA, HealthOK, noon}, ""},

		{"another event", `{"type":"session.completed","created":1777895940,"data":{"identity_id":"` + identityA + `"}}`, webhookEvent{}, ""},
		{"another event without data", `{"type":"session.completed"}`, webhookEvent{}, ""},
		{"no type", `{}`, webhookEvent{}, ""},
		{"no identity", works + `{"identity":{"uuid":"` + identityA + `"},"account":"ada@example.com"}}`, webhookEvent{}, "an event identity.authenticated names no identity: the fields of its data are [account identity identity.uuid]"},
		{"an id that is no UUID", fails + `{"id":"7"}}`, webhookEvent{}, "an event identity.authentication_failed names no identity: the fields of its data are [id]"},
		{"data that is no object", works + `"x"}`, webhookEvent{}, "names no identity: the fields of its data are []"},
		{"no data", `{"type":"identity.authenticated"}`, webhookEvent{}, "names no identity"},
		{"two identities", works + `{"identity_id":"` + identityA + `","identityId":"` + identityB + `"}}`, webhookEvent{}, "ambiguous: the fields of its data are [identityId identity_id]"},
		{"an identity that is no UUID", works + `{"identity_id":"../x"}}`, webhookEvent{}, "malformed"},
		{"no JSON", `type=identity.authenticated`, webhookEvent{}, "invalid"},
		{"an empty body", ``, webhookEvent{}, "invalid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := readWebhookEvent([]byte(test.body), noon)
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
				require.NotContains(t, err.Error(), "ada@example.com", "names only")
				require.NotContains(t, err.Error(), identityA, "names only")
				return
			}
			require.NoError(t, err)
			require.True(t, test.want.at.Equal(got.at), "%v", got.at)
			got.at = test.want.at
			require.Equal(t, test.want, got)
		})
	}
}

func TestWebhookNeedsASecret(t *testing.T) {
	t.Parallel()
	h, err := New(goodConfig())
	require.NoError(t, err)
	require.Panics(t, func() { h.Webhook() })
	require.Panics(t, func() { h.Webhook("", "") }, "anybody could sign with an empty secret")
	require.NotPanics(t, func() { h.Webhook("", "whsec_of_the_tests") })
	for name, secret := range map[string]string{
		"a space": " ", "a letter": "x", "15 bytes": "whsec_123456789", "a line break at its end": "whsec_of_the_tests\n",
		"spaces around it": " whsec_of_the_tests ", "quotes around it": `"whsec_of_the_tests"`, "single quotes": "'whsec_of_the_tests'",
		"one letter 32 times": strings.Repeat("a", 32), "three letters": strings.Repeat("abc", 11), "another script": "whsec_of_the_tésts",
	} {
		func() {
			defer func() {
				require.Regexp(t, `^connect: Webhook's secret at index 1 .*: copy the webhook's secret from Anchor's dashboard unchanged$`, recover(), name)
			}()
			h.Webhook("", secret)
		}()
	}
}

// An event that its headers refuse is refused before its body is read.
func TestWebhookJudgesTheHeadersFirst(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Now = func() time.Time { return noon }
	h, err := New(cfg)
	require.NoError(t, err)
	now := fmt.Sprint(noon.Unix())
	old := fmt.Sprint(noon.Unix() - 121)
	read := &readCounter{}
	r := httptest.NewRequest("POST", "/", read)
	r.Header.Set("Anchor-Signature", "t="+now+",v1="+sign("x", now, ""))
	h.Webhook("whsec_of_the_tests").ServeHTTP(httptest.NewRecorder(), r)
	require.Positive(t, read.reads, "what the headers do not refuse is read")
	for name, header := range map[string]string{
		"no signature": "", "one that cannot be read": "t=" + now + ",v1=zz", "no time": "v1=" + sign("x", now, ""),
		"an empty one": ",", "an old one": "t=" + old + ",v1=" + sign("x", old, ""), "two times": "t=" + now + ",t=1,v1=" + sign("x", now, ""),
		"a time of a megabyte": "t=" + strings.Repeat("0", 1<<20) + now + ",v1=" + sign("x", now, ""),
	} {
		body := &readCounter{}
		r := httptest.NewRequest("POST", "/", body)
		r.Header.Set("Anchor-Signature", header)
		w := httptest.NewRecorder()
		h.Webhook("whsec_of_the_tests").ServeHTTP(w, r)
		require.Equal(t, http.StatusUnauthorized, w.Code, name)
		require.Zero(t, body.reads, name)
	}
}

// readCounter is an empty body that counts how often it is read.
type readCounter struct{ reads int }

func (c *readCounter) Read([]byte) (int, error) { c.reads++; return 0, io.EOF }

// FuzzWebhook gives the webhook any signed event: what it would store is valid.
func FuzzWebhook(f *testing.F) {
	f.Add(`{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity_id":"` + identityA + `"}}`)
	f.Add(`{"created":1e99,"type":"identity.authentication_failed","data":{"identity":{"id":7}}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		event, err := readWebhookEvent([]byte(body), noon)
		if err != nil || event.health == "" {
			require.Empty(t, event.identityID)
			return
		}
		require.NoError(t, event.health.Validate())
		require.True(t, event.at.Before(noon.Add(time.Second)), "no event lies ahead: %v", event.at)
		require.True(t, event.at.After(time.Unix(0, 0)), "a store keeps moments since 1970: %v", event.at)
		require.Len(t, event.identityID, 36)
		require.Equal(t, strings.ToLower(event.identityID), event.identityID)
	})
}
