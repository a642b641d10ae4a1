package e2e

import (
	"bytes"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// An app is an app with connect and a fake of Anchor. All URLs and paths are those that
// browsers see, whatever a proxy or a router strips.
type app struct {
	fake *anchortest.Server
	// origin is scheme, host and port.
	origin string
	// base is the path that the whole app is under, and prefix the one that
	// connect is under. Both may be empty.
	base, prefix string
	// reports is the path of a page that RequireIdentity guards.
	reports string
	// client trusts the server's certificate.
	client *http.Client
	// proto is the major version of HTTP that is spoken.
	proto int
}

// parts are the handlers that a wiring mounts on a router.
type parts struct {
	connect *connect.Handler
	// login signs in the user of the form field "user".
	login http.Handler
	// reports, which RequireIdentity guards, answers "reports of" and the identity's ID.
	reports http.Handler
}

// A wiring is a way to mount connect in an app.
type wiring struct {
	name string
	// base, prefix and reports are the paths of an app.
	base, prefix, reports string
	wire                  func(parts) http.Handler
}

// newFake starts a fake of Anchor.
func newFake(t *testing.T) *anchortest.Server {
	t.Helper()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	return fake
}

// newParts returns the parts of an app whose connect is at publicURL. The options change
// its configuration.
func newParts(t *testing.T, fake *anchortest.Server, publicURL string, options ...func(*connect.Config)) parts {
	t.Helper()
	store := sessions.NewCookieStore(bytes.Repeat([]byte("s"), 32))
	store.Options = &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	cfg := connect.Config{
		Anchor:        fake.Client(anchorhttp.WithMaxRetries(0)),
		ApplicationID: fake.ApplicationID(),
		PublicURL:     publicURL,
		Store:         connect.NewMemoryStore(),
		User:          connect.SessionUser(store, "session", "user_id"),
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		Logger:        slog.New(slog.DiscardHandler),
	}
	for _, option := range options {
		option(&cfg)
	}
	h, err := connect.New(cfg)
	require.NoError(t, err)
	return parts{
		connect: h,
		login: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, _ := store.Get(r, "session")
			session.Values["user_id"] = r.FormValue("user")
			if err := session.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}),
		reports: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			connection, _ := connect.FromContext(r.Context())
			_, _ = io.WriteString(w, "reports of "+connection.IdentityID)
		}),
	}
}

// startApp serves an app over TLS and a major version of HTTP, 1 or 2.
func startApp(t *testing.T, w wiring, proto int, options ...func(*connect.Config)) app {
	t.Helper()
	fake := newFake(t)
	server := httptest.NewUnstartedServer(nil)
	origin := "https://" + server.Listener.Addr().String()
	server.Config.Handler = w.wire(newParts(t, fake, origin+w.prefix, options...))
	server.EnableHTTP2 = proto == 2
	server.StartTLS()
	t.Cleanup(server.Close)
	return app{
		fake: fake, origin: origin, base: w.base, prefix: w.prefix, reports: w.reports,
		client: server.Client(), proto: proto,
	}
}

// A visitor is a user's HTTP client, with a cookie jar. It follows no redirects.
type visitor struct {
	t      *testing.T
	app    app
	client http.Client
}

func (a app) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &visitor{t: t, app: a, client: *a.client}
	v.client.Jar = jar
	v.client.Timeout = 30 * time.Second
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}

// answer is a response with its body.
type answer struct {
	status   int
	body     string
	location string // the Location, made absolute
}

// do makes a request. A path is relative to the app. header has names and values.
func (v *visitor) do(method, address, body string, header ...string) answer {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.app.origin + address
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(body))
	require.NoError(v.t, err)
	r.Header.Set("Accept", "text/html")
	// Any client can send these headers, and connect must ignore them.
	r.Header.Set("X-Forwarded-Host", "evil.test")
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("X-Forwarded-Prefix", "/evil")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := v.client.Do(r)
	require.NoError(v.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	if strings.HasPrefix(address, v.app.origin) {
		require.Equal(v.t, v.app.proto, res.ProtoMajor)
	}
	a := answer{status: res.StatusCode, body: string(content)}
	if res.Header.Get("Location") != "" {
		location, err := res.Location()
		require.NoError(v.t, err)
		a.location = location.String()
	}
	return a
}

func (v *visitor) get(address string) answer {
	v.t.Helper()
	return v.do(http.MethodGet, address, "")
}

// submit sends a form as a page of the app does.
func (v *visitor) submit(address string, form url.Values) answer {
	v.t.Helper()
	return v.do(http.MethodPost, address, form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", v.app.origin, "Sec-Fetch-Site", "same-origin")
}

// signIn signs a user in to the app.
func (v *visitor) signIn(user string) {
	v.t.Helper()
	a := v.submit(v.app.base+"/login", url.Values{"user": {user}})
	require.Equal(v.t, http.StatusOK, a.status, a.body)
}

// approve signs in on the fake's hosted page, as a user does, and returns the callback
// URL.
func (v *visitor) approve(hosted string) string {
	v.t.Helper()
	a := v.get(hosted)
	require.Equal(v.t, http.StatusOK, a.status, a.body)
	action, form := readForm(v.t, a.body)
	form.Set("outcome", "approve")
	page, err := url.Parse(hosted)
	require.NoError(v.t, err)
	page, err = page.Parse(action)
	require.NoError(v.t, err)
	a = v.do(http.MethodPost, page.String(), form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(v.t, http.StatusSeeOther, a.status, a.body)
	return a.location
}

var (
	formTag   = regexp.MustCompile(`<form[^>]*>`)
	inputTag  = regexp.MustCompile(`<input[^>]*>`)
	attribute = regexp.MustCompile(`(name|value|action)="([^"]*)"`)
)

// readForm returns the action and the fields of the first form of a page.
func readForm(t *testing.T, page string) (action string, fields url.Values) {
	t.Helper()
	attributes := func(tag string) map[string]string {
		found := map[string]string{}
		for _, match := range attribute.FindAllStringSubmatch(tag, -1) {
			found[match[1]] = html.UnescapeString(match[2])
		}
		return found
	}
	form := formTag.FindString(page)
	require.NotEmpty(t, form, page)
	fields = url.Values{}
	for _, tag := range inputTag.FindAllString(page, -1) {
		input := attributes(tag)
		fields.Set(input["name"], input["value"])
	}
	return attributes(form)["action"], fields
}
