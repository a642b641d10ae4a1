package connect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sign is the v1 of an event, as Anchor's documentation says it.
func sign(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":" + body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestTheSignatureOfAnEvent(t *testing.T) {
	t.Parallel()
	const body = `{"type":"identity.authenticated"}`
	at := fmt.Sprint(noon.Unix())
	good := "t=" + at + ",v1=" + sign("new", at, body)
	tests := []struct {
		name    string
		header  http.Header
		secrets []string // defaults to "new"
		body    string   // defaults to body
		now     time.Time
		want    error
	}{
		{name: "one signature by the one secret", header: http.Header{"Anchor-Signature": {good}}},
		{name: "the time in the other header too", header: http.Header{"Anchor-Signature": {good}, "Anchor-Timestamp": {at}}},
		{name: "the time in the other header alone", header: http.Header{"Anchor-Signature": {"v1=" + sign("new", at, body)}, "Anchor-Timestamp": {at}}},
		{name: "spaces between the parts", header: http.Header{"Anchor-Signature": {"t=" + at + ", v1=" + sign("new", at, body)}}},
		{name: "the hex in capitals", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=" + strings.ToUpper(sign("new", at, body))}}},
		{name: "the second of two secrets", secrets: []string{"newer", "new"}, header: http.Header{"Anchor-Signature": {good}}},
		{name: "the second of two signatures", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=" + sign("old", at, body) + ",v1=" + sign("new", at, body)}}},
		{name: "the signatures in two headers", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=" + sign("old", at, body), "v1=" + sign("new", at, body)}}},
		{name: "a version that is not known beside it", header: http.Header{"Anchor-Signature": {good + ",v2=abcd"}}},
		{name: "two minutes ago", now: noon.Add(2 * time.Minute), header: http.Header{"Anchor-Signature": {good}}},
		{name: "two minutes ahead", now: noon.Add(-2 * time.Minute), header: http.Header{"Anchor-Signature": {good}}},

		{name: "more than two minutes ago", now: noon.Add(2*time.Minute + time.Second), header: http.Header{"Anchor-Signature": {good}}, want: errSignatureOld},
		{name: "more than two minutes ahead", now: noon.Add(-2*time.Minute - time.Second), header: http.Header{"Anchor-Signature": {good}}, want: errSignatureOld},
		{name: "another secret", secrets: []string{"other"}, header: http.Header{"Anchor-Signature": {good}}, want: errSignatureWrong},
		{name: "another body", body: body + " ", header: http.Header{"Anchor-Signature": {good}}, want: errSignatureWrong},
		{name: "another time than the one signed", header: http.Header{"Anchor-Signature": {"t=" + fmt.Sprint(noon.Unix()+1) + ",v1=" + sign("new", at, body)}}, want: errSignatureWrong},
		{name: "the beginning of a signature", header: http.Header{"Anchor-Signature": {good[:len(good)-2]}}, want: errSignatureMissing},
		{name: "the signature of another version", header: http.Header{"Anchor-Signature": {strings.Replace(good, "v1=", "v0=", 1)}}, want: errSignatureMissing},
		{name: "no header", header: http.Header{}, want: errSignatureMissing},
		{name: "an empty header", header: http.Header{"Anchor-Signature": {""}}, want: errSignatureMissing},
		{name: "no time", header: http.Header{"Anchor-Signature": {"v1=" + sign("new", at, body)}}, want: errSignatureMissing},
		{name: "no signature", header: http.Header{"Anchor-Signature": {"t=" + at}}, want: errSignatureMissing},
		{name: "a signature that is no hex", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=zz"}}, want: errSignatureMissing},
		{name: "an empty signature", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1="}}, want: errSignatureMissing},
		{name: "a time that is no number", header: http.Header{"Anchor-Signature": {"t=now,v1=" + sign("new", "now", body)}}, want: errSignatureMissing},
		{name: "two times that differ", header: http.Header{"Anchor-Signature": {good + ",t=1"}}, want: errSignatureMissing},
		{name: "two headers whose times differ", header: http.Header{"Anchor-Signature": {good}, "Anchor-Timestamp": {"1"}}, want: errSignatureMissing},
		{name: "the right signature behind too many others", header: http.Header{"Anchor-Signature": {
			"t=" + at + strings.Repeat(",v1="+sign("old", at, body), maxSignatures) + ",v1=" + sign("new", at, body),
		}}, want: errSignatureWrong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			secrets := [][]byte{[]byte("new")}
			if test.secrets != nil {
				secrets = nil
				for _, s := range test.secrets {
					secrets = append(secrets, []byte(s))
				}
			}
			if test.body == "" {
				test.body = body
			}
			if test.now.IsZero() {
				test.now = noon
			}
			s, err := readSignature(test.header, test.now)
			if err == nil && !s.signs([]byte(test.body), secrets) {
				err = errSignatureWrong
			}
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
				return
			}
			require.NoError(t, err)
			require.True(t, noon.Equal(s.at))
		})
	}
}

func TestWhatAnEventSays(t *testing.T) {
	t.Parallel()
	early := noon.Add(-time.Minute)
	tests := []struct {
		name, body string
		want       webhookEvent
		fails      bool
	}{
		{"a sign-in that works", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"a sign-in that failed", `{"type":"identity.authentication_failed","created":"2026-05-04T11:59:00Z","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthNeedsSignIn, early}, false},
		{"the id under identityId", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identityId":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"the id under identity", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity":{"id":"` + identityA + `"}}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"the id everywhere", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identityId":"` + identityA + `","identity_id":"` + strings.ToUpper(identityA) + `","identity":{"id":"` + identityA + `"}}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"the identity's name beside its id", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity":"Ada","identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"seconds", `{"type":"identity.authenticated","created":1777895940,"data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"seconds as a text", `{"type":"identity.authenticated","created":"1777895940","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early}, false},
		{"seconds with a fraction", `{"type":"identity.authenticated","created":1777895940.25,"data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early.Add(250 * time.Millisecond)}, false},
		{"milliseconds", `{"type":"identity.authenticated","created":1777895940250,"data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, early.Add(250 * time.Millisecond)}, false},
		{"a time within the second of the signature", `{"type":"identity.authenticated","created":"2026-05-04T12:00:00.9Z","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon.Add(900 * time.Millisecond)}, false},
		{"a time ahead of the signature is the signature's", `{"type":"identity.authenticated","created":"2026-05-04T12:00:01Z","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"no time is the signature's", `{"type":"identity.authenticated","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"a time that is none is the signature's", `{"type":"identity.authenticated","created":"yesterday","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"a time in the year 1 is none", `{"type":"identity.authenticated","created":"0001-01-01T00:00:00Z","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"a time before 1970 is none", `{"type":"identity.authenticated","created":-1,"data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"a time that no clock will ever show is none", `{"type":"identity.authenticated","created":1e99,"data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},
		{"a time that is not finite is none", `{"type":"identity.authenticated","created":"NaN","data":{"identity_id":"` + identityA + `"}}`,
			webhookEvent{identityA, HealthOK, noon}, false},

		{"another event", `{"type":"session.completed","created":1777895940,"data":{"identity_id":"` + identityA + `"}}`, webhookEvent{}, false},
		{"no type", `{}`, webhookEvent{}, false},
		{"no identity", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{}}`, webhookEvent{"", HealthOK, early}, false},
		{"data that is no object", `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":"x"}`, webhookEvent{"", HealthOK, early}, false},
		{"two identities", `{"type":"identity.authenticated","data":{"identity_id":"` + identityA + `","identityId":"` + identityB + `"}}`, webhookEvent{}, true},
		{"an identity that is no UUID", `{"type":"identity.authenticated","data":{"identity_id":"../x"}}`, webhookEvent{}, true},
		{"no data", `{"type":"identity.authenticated"}`, webhookEvent{}, true},
		{"no JSON", `type=identity.authenticated`, webhookEvent{}, true},
		{"an empty body", ``, webhookEvent{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := readWebhookEvent([]byte(test.body), noon)
			if test.fails {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want.identityID, got.identityID)
			require.Equal(t, test.want.health, got.health)
			require.True(t, test.want.at.Equal(got.at), "%v", got.at)
		})
	}
}

func TestAWebhookNeedsASecret(t *testing.T) {
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
				require.Regexp(t, `^connect: Webhook's secret at index 1 .*: copy the webhook's from Anchor's dashboard as it is$`, recover(), name)
			}()
			h.Webhook("", secret)
		}()
	}
}

// patientWriter is a server's ResponseWriter that is told how long to read.
type patientWriter struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *patientWriter) SetReadDeadline(t time.Time) error {
	w.set = append(w.set, t)
	return nil
}

func TestABodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Now = func() time.Time { return noon }
	h, err := New(cfg)
	require.NoError(t, err)
	at := fmt.Sprint(noon.Unix())
	event := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	event.Header.Set("Anchor-Signature", "t="+at+",v1="+sign("another secret", at, "{}"))
	form := httptest.NewRequest("POST", "/connect", strings.NewReader("return_to=//evil.test"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, test := range map[string]struct {
		handler http.Handler
		r       *http.Request
		limit   time.Duration
	}{
		"an event": {h.Webhook("whsec_of_the_tests"), event, webhookTimeout},
		"a form":   {h, form, formTimeout},
	} {
		w := &patientWriter{ResponseRecorder: httptest.NewRecorder()}
		test.handler.ServeHTTP(w, test.r)
		require.GreaterOrEqual(t, len(w.set), 2, name)
		require.WithinRange(t, w.set[0], time.Now(), time.Now().Add(test.limit), name)
		require.Zero(t, w.set[len(w.set)-1], "a deadline that stays would end the request when it has been read")
	}
}

// What is refused for its headers is refused before its body is read.
func TestAWebhookJudgesTheHeadersFirst(t *testing.T) {
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

func FuzzAWebhook(f *testing.F) {
	at := fmt.Sprint(noon.Unix())
	body := `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity_id":"` + identityA + `"}}`
	f.Add("t="+at+",v1="+sign("secret", at, body), at, body)
	f.Add("t="+at, "", `{"created":1e99,"type":"identity.authentication_failed","data":{"identity":{"id":7}}}`)
	f.Add("v1=,,=,t=", "x", `null`)
	f.Fuzz(func(t *testing.T, signature, timestamp, body string) {
		header := http.Header{"Anchor-Signature": {signature}}
		if timestamp != "" {
			header.Set("Anchor-Timestamp", timestamp)
		}
		// Nobody has this secret, so nothing opens it.
		if s, err := readSignature(header, noon); err == nil {
			require.False(t, s.signs([]byte(body), [][]byte{[]byte("a secret that signs nothing")}))
		}

		event, err := readWebhookEvent([]byte(body), noon)
		if err != nil || event.health == "" {
			return
		}
		require.NoError(t, event.health.Validate())
		require.True(t, event.at.Before(noon.Add(time.Second)), "no event lies ahead: %v", event.at)
		require.True(t, event.at.After(time.Unix(0, 0)), "a store keeps moments since 1970: %v", event.at)
		if event.identityID != "" {
			require.Len(t, event.identityID, 36)
			require.Equal(t, strings.ToLower(event.identityID), event.identityID)
		}
	})
}
