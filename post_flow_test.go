package connect_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestPostFromAnotherOriginIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct {
		name   string
		header http.Header
		want   error
	}{
		{"a page of this origin", http.Header{"Origin": {s.server.URL}, "Sec-Fetch-Site": {"same-origin"}}, nil},
		{"an older browser's page of this origin", http.Header{"Origin": {s.server.URL}}, nil},
		{"an app's page under no-referrer", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"same-origin"}}, nil},
		{"typed or bookmarked", http.Header{"Sec-Fetch-Site": {"none"}}, nil},
		{"no browser", http.Header{}, nil},
		{"a page of another site", http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}, connect.ErrCrossOrigin},
		{"a page of a sibling domain", http.Header{"Origin": {"https://evil.app.example"}, "Sec-Fetch-Site": {"same-site"}}, connect.ErrCrossOrigin},
		{"an older browser's page of another site", http.Header{"Origin": {"https://evil.test"}}, connect.ErrCrossOrigin},
		{"a sandboxed frame in an older browser", http.Header{"Origin": {"null"}}, connect.ErrCrossOrigin},
		{"a sandboxed frame", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, connect.ErrCrossOrigin},
		{"this app at another address", http.Header{"Origin": {"https://localhost:1"}, "Sec-Fetch-Site": {"same-origin"}}, connect.ErrWrongOrigin},
		{"this app without TLS", http.Header{"Origin": {strings.Replace(s.server.URL, "https", "http", 1)}, "Sec-Fetch-Site": {"same-origin"}}, connect.ErrWrongOrigin},
	}
	for _, test := range tests {
		for _, path := range []string{"/connect", "/disconnect"} {
			t.Run(test.name+path, func(t *testing.T) {
				t.Parallel()
				b := s.signedIn("ada " + test.name + path)
				b.header = test.header.Clone()
				a := b.post(path, nil)
				if test.want == nil {
					require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
					return
				}
				b.refused(test.want, a)
				require.Empty(t, a.header.Get("Set-Cookie"))
				if errors.Is(test.want, connect.ErrWrongOrigin) {
					require.Contains(t, a.body, test.header.Get("Origin"), "the message names both")
					require.Contains(t, a.body, s.server.URL)
				}
			})
		}
	}
}

func TestPostTakesOnlyALocalReturnPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")

	a := ada.post("/connect", url.Values{"return_to": {"/reports?x=y"}})
	a = ada.get(s.approve(a.location))
	require.Equal(t, "/reports?x=y", a.location)
	s.finished(a)

	a = ada.do(http.MethodPost, "/connect", "multipart/form-data; boundary=X",
		"--X\r\nContent-Disposition: form-data; name=\"return_to\"\r\n\r\n/multipart\r\n--X--\r\n")
	a = ada.get(s.approve(a.location))
	require.Equal(t, "/multipart", a.location)
	s.finished(a)

	s.fake.ForgetCalls()
	for _, bad := range []string{"//evil.test", "https://evil.test", `/\evil.test`, "javascript:alert(1)", "/\t/evil.test", "/a\r\nX: y"} {
		ada.refused(connect.ErrReturnTo, ada.post("/connect", url.Values{"return_to": {bad}}))
		ada.refused(connect.ErrReturnTo, ada.get("/connect?return_to="+url.QueryEscape(bad)))
		ada.refused(connect.ErrReturnTo, ada.post("/disconnect", url.Values{"return_to": {bad}}))
	}
	for name, body := range map[string][2]string{
		"a bad multipart": {"multipart/form-data; boundary=X", "--Y"},
		"a bad form":      {"application/x-www-form-urlencoded", "return_to=%zz"},
		"a large form":    {"application/x-www-form-urlencoded", strings.Repeat("a", 20<<10)},
	} {
		require.Equal(t, http.StatusBadRequest, ada.do(http.MethodPost, "/connect", body[0], body[1]).status, name)
	}
	require.Empty(t, s.fake.Calls())
}
