package anchorhttp_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// sign is the v1 of an event, as Anchor's documentation says it.
func sign(secret, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + timestamp + ":" + body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestSignature(t *testing.T) {
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

		{name: "more than two minutes ago", now: noon.Add(2*time.Minute + time.Second), header: http.Header{"Anchor-Signature": {good}}, want: anchorhttp.ErrSignatureExpired},
		{name: "more than two minutes ahead", now: noon.Add(-2*time.Minute - time.Second), header: http.Header{"Anchor-Signature": {good}}, want: anchorhttp.ErrSignatureExpired},
		{name: "another secret", secrets: []string{"other"}, header: http.Header{"Anchor-Signature": {good}}, want: anchorhttp.ErrSignatureWrong},
		{name: "an empty secret, though it signed", secrets: []string{""}, header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=" + sign("", at, body)}}, want: anchorhttp.ErrSignatureWrong},
		{name: "no secret", secrets: []string{}, header: http.Header{"Anchor-Signature": {good}}, want: anchorhttp.ErrSignatureWrong},
		{name: "another body", body: body + " ", header: http.Header{"Anchor-Signature": {good}}, want: anchorhttp.ErrSignatureWrong},
		{name: "another time than the one signed", header: http.Header{"Anchor-Signature": {"t=" + fmt.Sprint(noon.Unix()+1) + ",v1=" + sign("new", at, body)}}, want: anchorhttp.ErrSignatureWrong},
		{name: "the beginning of a signature", header: http.Header{"Anchor-Signature": {good[:len(good)-2]}}, want: anchorhttp.ErrSignatureMissing},
		{name: "the signature of another version", header: http.Header{"Anchor-Signature": {strings.Replace(good, "v1=", "v0=", 1)}}, want: anchorhttp.ErrSignatureMissing},
		{name: "no header", header: http.Header{}, want: anchorhttp.ErrSignatureMissing},
		{name: "an empty header", header: http.Header{"Anchor-Signature": {""}}, want: anchorhttp.ErrSignatureMissing},
		{name: "no time", header: http.Header{"Anchor-Signature": {"v1=" + sign("new", at, body)}}, want: anchorhttp.ErrSignatureMissing},
		{name: "no signature", header: http.Header{"Anchor-Signature": {"t=" + at}}, want: anchorhttp.ErrSignatureMissing},
		{name: "a signature that is no hex", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1=zz"}}, want: anchorhttp.ErrSignatureMissing},
		{name: "an empty signature", header: http.Header{"Anchor-Signature": {"t=" + at + ",v1="}}, want: anchorhttp.ErrSignatureMissing},
		{name: "a time that is no number", header: http.Header{"Anchor-Signature": {"t=now,v1=" + sign("new", "now", body)}}, want: anchorhttp.ErrSignatureMissing},
		{name: "two times that differ", header: http.Header{"Anchor-Signature": {good + ",t=1"}}, want: anchorhttp.ErrSignatureMissing},
		{name: "two headers whose times differ", header: http.Header{"Anchor-Signature": {good}, "Anchor-Timestamp": {"1"}}, want: anchorhttp.ErrSignatureMissing},
		{name: "the right signature behind too many others", header: http.Header{"Anchor-Signature": {
			"t=" + at + strings.Repeat(",v1="+sign("old", at, body), 10) + ",v1=" + sign("new", at, body),
		}}, want: anchorhttp.ErrSignatureWrong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			secrets := []string{"new"}
			if test.secrets != nil {
				secrets = test.secrets
			}
			if test.body == "" {
				test.body = body
			}
			if test.now.IsZero() {
				test.now = noon
			}
			s, err := anchorhttp.ReadSignature(test.header, test.now)
			if err == nil {
				err = s.Verify([]byte(test.body), secrets...)
			}
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
				return
			}
			require.NoError(t, err)
			require.True(t, noon.Equal(s.SignedAt))
		})
	}
}

func TestParseEvent(t *testing.T) {
	t.Parallel()
	early := noon.Add(-time.Minute)
	got, err := anchorhttp.ParseEvent([]byte(`{"id":"evt_1","type":"session.completed","created":"2026-05-04T11:59:00Z","project_id":"p-1","text":"It is done.","data":{"a":1},"more":true}`), noon)
	require.NoError(t, err)
	require.Equal(t, anchorhttp.Event{
		ID: "evt_1", Type: "session.completed", CreatedAt: early, SignedAt: noon, ProjectID: "p-1", Text: "It is done.", Data: []byte(`{"a":1}`),
	}, got)

	got, err = anchorhttp.ParseEvent([]byte(`{"id":7,"type":"x","project_id":{},"text":[],"data":"d"}`), noon)
	require.NoError(t, err, "what is of another type is left out")
	require.Equal(t, anchorhttp.Event{Type: "x", CreatedAt: noon, SignedAt: noon, Data: []byte(`"d"`)}, got)

	for _, tt := range []struct {
		name, created string
		want          time.Time
	}{
		{"a text", `"2026-05-04T11:59:00Z"`, early},
		{"another zone", `"2026-05-04T13:59:00+02:00"`, early},
		{"seconds", `1777895940`, early},
		{"seconds as a text", `"1777895940"`, early},
		{"seconds with a fraction", `1777895940.25`, early.Add(250 * time.Millisecond)},
		{"milliseconds", `1777895940250`, early.Add(250 * time.Millisecond)},
		{"a time within the second of the signature", `"2026-05-04T12:00:00.9Z"`, noon.Add(900 * time.Millisecond)},
		{"a time ahead of the signature is the signature's", `"2026-05-04T12:00:01Z"`, noon},
		{"null is the signature's", `null`, noon},
		{"a time that is none is the signature's", `"yesterday"`, noon},
		{"an object is none", `{"at":1}`, noon},
		{"a time in the year 1 is none", `"0001-01-01T00:00:00Z"`, noon},
		{"a time before 1970 is none", `-1`, noon},
		{"zero is none", `0`, noon},
		{"the first second is none", `0.0001`, noon},
		{"a time that no clock will ever show is none", `1e99`, noon},
		{"a time that is not finite is none", `"NaN"`, noon},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := anchorhttp.ParseEvent([]byte(`{"type":"x","created":`+tt.created+`}`), noon)
			require.NoError(t, err)
			require.True(t, tt.want.Equal(got.CreatedAt), "%v", got.CreatedAt)
			require.True(t, noon.Equal(got.SignedAt))
		})
	}
	for name, body := range map[string]string{
		"no JSON": `type=x`, "an empty body": ``, "a list": `[]`, "a text": `"x"`, "half of one": `{"type":"x"`, "two of them": `{} {}`, "a type of another type": `{"type":7}`,
	} {
		_, err := anchorhttp.ParseEvent([]byte(body), noon)
		require.ErrorIs(t, err, anchorhttp.ErrInvalidEvent, name)
	}
}

func TestEventIdentityID(t *testing.T) {
	t.Parallel()
	quoted := func(ids ...any) func(string) string {
		return func(s string) string { return fmt.Sprintf(s, ids...) }
	}
	one, two := quoted(idA), quoted(idA, idB)
	tests := []struct {
		name, data string
		want       string
		named      bool
		fails      bool
	}{
		{"identity_id", one(`{"identity_id":%q}`), idA, true, false},
		{"identityId", one(`{"identityId":%q}`), idA, true, false},
		{"identity.id", one(`{"identity":{"id":%q,"name":"Ada"}}`), idA, true, false},
		{"identity as a text", one(`{"identity":%q}`), idA, true, false},
		{"in capitals", `{"identity":"` + strings.ToUpper(idA) + `"}`, idA, true, false},
		{"everywhere", quoted(idA, idA, strings.ToUpper(idA))(`{"identity_id":%q,"identityId":%q,"identity":{"id":%q}}`), idA, true, false},
		{"the identity's name beside its id", one(`{"identity":"Ada","identity_id":%q}`), idA, true, false},
		{"the id of something else beside it", two(`{"identity_id":%q,"id":%q}`), idA, true, false},
		{"a number in another place", one(`{"identityId":7,"identity_id":%q}`), idA, true, false},
		{"id alone", one(`{"id":%q}`), idA, false, false},
		{"id alone, in capitals", `{"id":"` + strings.ToUpper(idA) + `"}`, idA, false, false},
		{"id beside the identity's name", one(`{"id":%q,"identity":"Ada"}`), idA, false, false},

		{"id that is no UUID", `{"id":"acct_7"}`, "", false, false},
		{"id that is a number", `{"id":7}`, "", false, false},
		{"the identity's name alone", `{"identity":"Ada"}`, "", false, false},
		{"an identity that is a number", `{"identity":7}`, "", false, false},
		{"an identity that is null", `{"identity":null,"identity_id":null}`, "", false, false},
		{"nothing", `{}`, "", false, false},
		{"another name", one(`{"account":{"id":%q}}`), "", false, false},
		{"data that is no object", `"x"`, "", false, false},
		{"data that is a list", one(`[{"identity_id":%q}]`), "", false, false},
		{"no data", ``, "", false, false},

		{"two that differ", two(`{"identity_id":%q,"identityId":%q}`), "", false, true},
		{"a text and an object that differ", two(`{"identity":%q,"identity_id":%q}`), "", false, true},
		{"one that is no UUID", `{"identity_id":"../x"}`, "", false, true},
		{"one that is no UUID beside one that is", one(`{"identity_id":%q,"identityId":"7"}`), "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, named, err := anchorhttp.Event{Data: []byte(tt.data)}.IdentityID()
			require.Equal(t, tt.want, id)
			require.Equal(t, tt.named, named)
			if tt.fails {
				require.ErrorIs(t, err, anchorhttp.ErrInvalidEvent)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestEventFields(t *testing.T) {
	t.Parallel()
	fields := func(data string) []string { return anchorhttp.Event{Data: []byte(data)}.Fields() }
	require.Equal(t, []string{"a b", "id", "identity", "identity.ref", "more"},
		fields(`{"more":{"secret":"s3cret"},"identity":{"ref":"s3cret"},"id":7,"a\nb":"s3cret"}`), "no values")
	for _, data := range []string{``, `null`, `{}`, `[1]`, `"x"`, `{`} {
		require.Empty(t, fields(data), data)
	}
	var many []string
	for n := range 1000 {
		many = append(many, fmt.Sprintf("%q:1", strings.Repeat("x", 5000)+fmt.Sprint(n)))
	}
	clipped := fields("{" + strings.Join(many, ",") + "}")
	require.Len(t, clipped, 20)
	require.Len(t, clipped[0], 40)
}

// unread is a body that fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("the body is read"); return 0, io.EOF }

func TestReadEvent(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt_1","type":"identity.authenticated","data":{"identity_id":"` + idA + `"}}`
	request := func(body io.Reader, signature string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/webhook", body)
		r.Header.Set("Anchor-Signature", signature)
		return r
	}
	signed := func(secret, body string, ago time.Duration) string {
		at := fmt.Sprint(time.Now().Add(-ago).Unix())
		return "t=" + at + ",v1=" + sign(secret, at, body)
	}

	e, err := anchorhttp.ReadEvent(request(strings.NewReader(body), signed("old", body, 0)), "", "new", "old")
	require.NoError(t, err)
	require.Equal(t, "evt_1", e.ID)
	require.Equal(t, anchorhttp.EventIdentityAuthenticated, e.Type)
	require.WithinDuration(t, time.Now(), e.CreatedAt, 10*time.Second)

	_, err = anchorhttp.ReadEvent(request(strings.NewReader(body), signed("other", body, 0)), "new")
	require.ErrorIs(t, err, anchorhttp.ErrSignatureWrong)
	_, err = anchorhttp.ReadEvent(request(unread{t}, signed("new", body, 3*time.Minute)), "new")
	require.ErrorIs(t, err, anchorhttp.ErrSignatureExpired)
	_, err = anchorhttp.ReadEvent(request(unread{t}, "v1=zz"), "new")
	require.ErrorIs(t, err, anchorhttp.ErrSignatureMissing)
	for _, secrets := range [][]string{nil, {""}, {"", ""}} {
		_, err = anchorhttp.ReadEvent(request(unread{t}, signed("", body, 0)), secrets...)
		require.ErrorContains(t, err, "no secret", "anybody could sign with an empty one")
	}
	_, err = anchorhttp.ReadEvent(request(strings.NewReader("x"), signed("new", "x", 0)), "new")
	require.ErrorIs(t, err, anchorhttp.ErrInvalidEvent)

	long := strings.Repeat(" ", 256<<10) + body
	_, err = anchorhttp.ReadEvent(request(strings.NewReader(long), signed("new", long, 0)), "new")
	var tooLarge *http.MaxBytesError
	require.ErrorAs(t, err, &tooLarge)
	long = strings.Repeat(" ", 256<<10-len(body)) + body
	_, err = anchorhttp.ReadEvent(request(strings.NewReader(long), signed("new", long, 0)), "new")
	require.NoError(t, err)

	broken := errors.New("broken")
	_, err = anchorhttp.ReadEvent(request(io.MultiReader(strings.NewReader("{"), failing{broken}), signed("new", body, 0)), "new")
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzEvent gives the reader any event: it never panics, opens nothing that was not
// signed, and dates nothing ahead of its signature.
func FuzzEvent(f *testing.F) {
	at := fmt.Sprint(noon.Unix())
	body := `{"type":"identity.authenticated","created":"2026-05-04T11:59:00Z","data":{"identity_id":"` + idA + `"}}`
	f.Add("t="+at+",v1="+sign("secret", at, body), at, body)
	f.Add("t="+at, "", `{"created":1e99,"type":"identity.authentication_failed","data":{"identity":{"id":7}}}`)
	f.Add("v1=,,=,t=", "x", `null`)
	f.Fuzz(func(t *testing.T, signature, timestamp, body string) {
		header := http.Header{"Anchor-Signature": {signature}}
		if timestamp != "" {
			header.Set("Anchor-Timestamp", timestamp)
		}
		if s, err := anchorhttp.ReadSignature(header, noon); err == nil {
			require.Error(t, s.Verify([]byte(body), "a secret that signs nothing"))
		}
		e, err := anchorhttp.ParseEvent([]byte(body), noon)
		if err != nil {
			require.ErrorIs(t, err, anchorhttp.ErrInvalidEvent)
			return
		}
		require.True(t, e.CreatedAt.Before(noon.Add(time.Second)), "no event lies ahead: %v", e.CreatedAt)
		require.True(t, e.CreatedAt.After(time.Unix(0, 0)), "a store keeps moments since 1970: %v", e.CreatedAt)
		require.LessOrEqual(t, len(e.Fields()), 20)
		id, named, err := e.IdentityID()
		if id != "" {
			require.NoError(t, err)
			parsed, ok := anchorhttp.ParseID(id)
			require.True(t, ok)
			require.Equal(t, parsed, id)
		} else {
			require.False(t, named)
		}
	})
}
