package connect_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// However large a request is, only a little of it reaches the log, a page or an error.
func TestClipBoundsWhatARequestLogs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 400<<10)
	for name, send := range map[string]func(b *browser) answer{
		"equal Host and Origin headers": func(b *browser) answer {
			r, err := http.NewRequest(http.MethodPost, b.site.server.URL+"/connect", nil)
			require.NoError(b.site.t, err)
			r.Host = long + ".example"
			r.Header.Set("Origin", "https://"+r.Host)
			res, err := b.client.Do(r)
			require.NoError(b.site.t, err)
			defer res.Body.Close()
			content := make([]byte, 1<<20)
			n, _ := res.Body.Read(content)
			return answer{status: res.StatusCode, body: string(content[:n])}
		},
		"a number in JSON": func(b *browser) answer {
			return b.do(http.MethodPost, "/connect", "application/json", `{"popup":`+strings.Repeat("1", 16000)+`}`)
		},
		"a field in JSON": func(b *browser) answer {
			return b.do(http.MethodPost, "/connect", "application/json", `{"return_to":{"`+strings.Repeat("a", 16000)+`":1}}`)
		},
		"a form's escape": func(b *browser) answer {
			return b.do(http.MethodPost, "/connect", "application/x-www-form-urlencoded", strings.Repeat("a", 16000)+"=%zz")
		},
		"a content type": func(b *browser) answer {
			return b.do(http.MethodPost, "/connect", "multipart/form-data; boundary="+long, "x")
		},
		"a return path": func(b *browser) answer { return b.get("/connect?return_to=//" + long) },
		"a state":       func(b *browser) answer { return b.get("/identity-callback/" + long) },
		"an identity's id": func(b *browser) answer {
			return b.get(strings.SplitN(b.site.approve(b.start()), "?", 2)[0] + "?identity_id=" + long)
		},
		"a failure": func(b *browser) answer {
			return b.get(strings.SplitN(b.site.approve(b.start()), "?", 2)[0] + "?error=" + long + "&status=" + long)
		},
		"the page that htmx is on": func(b *browser) answer { return b.withHTMX("/" + long).get("/connect/status") },
		"a cookie": func(b *browser) answer {
			b.header.Set("Cookie", "__Host-connect-0000000000-AAAAAAAA="+long)
			return b.get("/identity-callback/AAAAAAAA")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.server.Config.MaxHeaderBytes = 4 << 20
			before := len(s.log.String())
			a := send(s.signedIn("ada"))
			require.NotEqual(t, http.StatusRequestHeaderFieldsTooLarge, a.status)
			require.Less(t, len(s.log.String())-before, 2000, "%d", a.status)
			require.Less(t, len(a.body), 8000)
		})
	}
	t.Run("what Anchor says", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		b := s.signedIn("ada")
		callback := s.approve(b.start())
		s.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/identities/", Body: fmt.Sprintf(`{"id":%q,"status":%q}`, identityIn(callback), long)})
		b.refused(connect.ErrIdentityTooOld, b.get(callback)) // An unknown status passes, no date does not.
		require.Less(t, len(s.log.String()), 2000)
	})
}

// The server gives up a body that trickles, and closes the TCP connection. That includes
// bodies that the handler does not read, because net/http reads the rest before it answers.
func TestLimitReadingGivesUpASlowBody(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	u, err := url.Parse(h.server.URL)
	require.NoError(t, err)
	session := ""
	for _, cookie := range h.signedIn("ada").client.Jar.Cookies(u) {
		session = cookie.String()
	}
	for name, test := range map[string]struct {
		head, status string
		within       time.Duration
	}{
		"a form":                         {"POST /connect HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nCookie: " + session, "400 ", 10 * time.Second},
		"a form without a session":       {"POST /connect HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded", "401 ", 10 * time.Second},
		"another origin's form":          {"POST /disconnect HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: cross-site\r\nCookie: " + session, "403 ", 10 * time.Second},
		"a callback with a body":         {"GET /identity-callback/STATE HTTP/1.1\r\nHost: x\r\nCookie: " + session, "403 ", 10 * time.Second},
		"an event with a forged header":  {"POST /webhooks/anchor HTTP/1.1\r\nHost: x", "401 ", 8 * time.Second},
		"an event with a header that is": {"POST /webhooks/anchor HTTP/1.1\r\nHost: x\r\nAnchor-Signature: " + h.signature(), "400 ", 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, err)
			defer conn.Close()
			begun := time.Now()
			fmt.Fprint(conn, test.head+"\r\nContent-Length: 100\r\n\r\nreturn_to=")
			require.NoError(t, conn.SetReadDeadline(begun.Add(test.within+3*time.Second)))
			answer, err := io.ReadAll(conn)
			require.NoError(t, err, "the server waits on: %s", answer)
			require.Regexp(t, "^HTTP/1.1 "+test.status, string(answer))
			require.WithinDuration(t, begun.Add(test.within), time.Now(), 3*time.Second)
		})
	}
}
