package connect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plainWriter is a middleware's ResponseWriter that hides the one that it wraps.
type plainWriter struct{ http.ResponseWriter }

// unwrapping is a ResponseWriter with an Unwrap method.
type unwrapping struct{ http.ResponseWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// gzipped compresses the answer, and can flush.
type gzipped struct {
	http.ResponseWriter
	zip *gzip.Writer
}

func (w gzipped) Write(p []byte) (int, error) { return w.zip.Write(p) }

func (w gzipped) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w gzipped) Flush() {
	_ = w.zip.Flush()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// The browser waits only for the answer. Whatever wraps the handler, the request that
// answered writes the tag, once.
func TestAnswerComesBeforeTheTag(t *testing.T) {
	t.Parallel()
	around := map[string]struct {
		wrap   func(http.Handler) http.Handler
		waits  bool // the answer comes after the tag
		encode bool
	}{
		"nothing around it": {wrap: func(h http.Handler) http.Handler { return h }},
		"behind a writer that unwraps": {wrap: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapping{unwrapping{w}}, r) })
		}},
		"behind a writer that does not": {waits: true, wrap: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(plainWriter{w}, r) })
		}},
		"behind http.TimeoutHandler": {waits: true, wrap: func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "too late") }},
		"behind gzip": {encode: true, wrap: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				zip := gzip.NewWriter(w)
				defer zip.Close()
				h.ServeHTTP(gzipped{w, zip}, r)
			})
		}},
	}
	for name, a := range around {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			for way, start := range map[string]func(b *browser) string{
				"form":  func(b *browser) string { return b.start() },
				"popup": func(b *browser) string { return b.startInPopup("/connect").RedirectURL },
			} {
				t.Run(fmt.Sprint(name, ", ", protocol, ", ", way), func(t *testing.T) {
					t.Parallel()
					s := newSite(t)
					server := httptest.NewUnstartedServer(a.wrap(s.server.Config.Handler))
					server.EnableHTTP2 = protocol == "HTTP/2.0"
					server.StartTLS()
					t.Cleanup(server.Close)
					ada := s.signedIn("ada")
					hosted := start(ada)
					callback := strings.Replace(s.approve(hosted), s.server.URL, server.URL, 1)
					there := moved(t, ada, s.server.URL, server)

					hold := s.fake.Hold("PUT", "/v1/identities/")
					answers := make(chan *http.Response, 1)
					bodies := make(chan string, 1)
					go func() {
						res, err := there.Get(callback)
						if err != nil {
							close(answers)
							return
						}
						answers <- res
						// The end of the stream may come with the end of the request, which
						// no browser waits for: all of the page is there before.
						var content []byte
						for part := make([]byte, 8<<10); way == "popup" && !bytes.Contains(content, []byte("</html>")); {
							n, err := res.Body.Read(part)
							if content = append(content, part[:n]...); err != nil {
								break
							}
						}
						bodies <- string(content)
					}()
					require.NoError(t, hold.Wait(t.Context(), 1))
					if a.waits {
						select {
						case <-answers:
							t.Error("what cannot be flushed was answered")
						case <-time.After(50 * time.Millisecond):
						}
						hold.Release()
					}
					res := <-answers
					require.NotNil(t, res)
					require.Equal(t, protocol, res.Proto)
					require.Equal(t, map[string]int{"form": http.StatusSeeOther, "popup": http.StatusOK}[way], res.StatusCode)
					if !a.encode {
						body := <-bodies
						require.Equal(t, way == "popup", strings.Contains(body, `data-outcome="connected"`))
					}
					if !a.waits {
						// The next page does not wait either.
						next, err := there.Get(server.URL + "/connect/status")
						require.NoError(t, err)
						content, err := io.ReadAll(next.Body)
						require.NoError(t, err)
						if !a.encode {
							require.Contains(t, string(content), `"connected":true`)
						}
						require.Nil(t, s.tag(identityIn(callback)), "the tag is still held up")
						hold.Release()
					}
					short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					identity, err := s.fake.WaitTagged(short, callback)
					require.NoError(t, err, "%s", s.log)
					require.Equal(t, "ada", identity.Metadata["externalUserId"])
					require.Equal(t, 1, s.fake.CountCalls("PUT", "/v1/identities/"))
				})
			}
		}
	}
}

// moved returns a client of another server of the site, with the browser's cookies.
func moved(t *testing.T, b *browser, from string, server *httptest.Server) *http.Client {
	u, err := url.Parse(from)
	require.NoError(t, err)
	to, err := url.Parse(server.URL)
	require.NoError(t, err)
	client := server.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	for _, cookie := range b.client.Jar.Cookies(u) {
		cookie.Path, cookie.Secure = "/", true
		client.Jar.SetCookies(to, []*http.Cookie{cookie})
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 10 * time.Second
	return client
}

func TestAnswerToARecorderComesWithTheTag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	r := httptest.NewRequest(http.MethodGet, callback, nil)
	for _, cookie := range ada.client.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "ada", s.tag(identityIn(callback)))
}

// On HTTP/1.1 a server reads the next request when the one before is over. So only this
// redirect closes its TCP connection.
func TestAnswerClosesTheConnectionOfHTTP1(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	conn, err := tls.Dial("tcp", s.server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer conn.Close()
	u, err := url.Parse(callback)
	require.NoError(t, err)
	var cookies []string
	for _, cookie := range ada.client.Jar.Cookies(u) {
		cookies = append(cookies, cookie.String())
	}
	hold := s.fake.Hold("PUT", "/v1/identities/")
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\nCookie: %s\r\n\r\n", u.RequestURI(), u.Host, strings.Join(cookies, "; "))
	require.NoError(t, hold.Wait(t.Context(), 1))
	head := make([]byte, 4096)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, err := conn.Read(head)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(head[:n], []byte("\r\n\r\n")), "all of it is there: %q", head[:n])
	require.Contains(t, string(head[:n]), "HTTP/1.1 303 ")
	require.Contains(t, string(head[:n]), "\r\nContent-Length: 0\r\n")
	require.Contains(t, string(head[:n]), "\r\nConnection: close\r\n")
	hold.Release()
	require.Empty(t, ada.get(callback).header.Get("Connection"), "a reload has nothing to do afterwards")
}

// A graceful shutdown waits for the tag.
func TestAnswerIsWaitedForByShutdown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	hold := s.fake.Hold("PUT", "/v1/identities/")
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.NoError(t, hold.Wait(t.Context(), 1))
	down := make(chan error, 1)
	go func() { down <- s.server.Config.Shutdown(context.Background()) }()
	select {
	case <-down:
		t.Error("it did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	hold.Release()
	require.NoError(t, <-down)
	require.Equal(t, "ada", s.tag(identityIn(callback)))
	tasks, err := s.store.Claim(t.Context(), s.fake.ApplicationID(), time.Now().Add(time.Hour), time.Now(), 10)
	require.NoError(t, err)
	require.Empty(t, tasks)
}
