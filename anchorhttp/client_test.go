package anchorhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	base, app := anchorhttp.WithBaseURL, anchorhttp.WithAppURL
	tests := []struct {
		name string
		key  string
		opt  anchorhttp.Option
		want []string // in the error; none means that there is no error
	}{
		{"the defaults are fine", testKey, nil, nil},
		{"an empty key", "", nil, []string{"API key", "ANCHORBROWSER_API_KEY"}},
		{"a key with a line break", "sk-abc\n", nil, []string{"API key", "byte 6", "remove"}},
		{"a key with a space", "sk abc", nil, []string{"API key", "byte 2"}},
		{"a key with a DEL", "sk-abc\x7f", nil, []string{"API key"}},
		{"a key that is not ASCII", "sk-äbc", nil, []string{"API key"}},

		{"https with a port and a path", testKey, base("https://gateway.example:8443/anchor/"), nil},
		{"upper case", testKey, base("HTTPS://API.Example"), nil},
		{"http on localhost", testKey, base("http://localhost:8080"), nil},
		{"http on 127.0.0.1", testKey, base("http://127.0.0.1:8080"), nil},
		{"http on another loopback address", testKey, base("http://127.8.8.8"), nil},
		{"http on ::1", testKey, base("http://[::1]:8080"), nil},
		{"https on an address", testKey, base("https://[2001:db8::1]"), nil},
		{"http on a host", testKey, base("http://api.example"), []string{"base URL", `"http://api.example"`, "https", "clear text"}},
		{"http on a host that begins like localhost", testKey, base("http://localhost.example"), []string{"clear text"}},
		{"http on a host that begins like 127.", testKey, base("http://127.0.0.1.example"), []string{"clear text"}},
		{"http on a private address", testKey, base("http://10.0.0.1"), []string{"clear text"}},
		{"http on all addresses", testKey, base("http://0.0.0.0:80"), []string{"clear text"}},
		{"another scheme", testKey, base("ftp://localhost"), []string{"not https"}},
		{"no scheme", testKey, base("api.example"), []string{"base URL", "absolute", "https://"}},
		{"no host", testKey, base("https:///v1"), []string{"base URL", "absolute"}},
		{"no URL", testKey, base("https://api.example:port"), []string{"base URL", "absolute"}},
		{"empty", testKey, base(""), []string{"base URL", "absolute"}},
		{"a query", testKey, base("https://api.example?x=1"), []string{"base URL", "query"}},
		{"an empty query", testKey, base("https://api.example?"), []string{"base URL", "query"}},
		{"a fragment", testKey, base("https://api.example#"), []string{"base URL", "fragment"}},
		{"a user", testKey, base("https://user@api.example"), []string{"base URL", "user"}},
		{"an empty port", testKey, base("https://api.example:"), []string{"base URL", "port"}},
		{"port 0", testKey, base("https://api.example:0"), []string{"base URL", "port"}},
		{"a port too high", testKey, base("https://api.example:65536"), []string{"base URL", "port"}},
		{"a host that would end a directive", testKey, app("https://app.example;script-src"), []string{"app URL", "host"}},
		{"a host that is a wildcard", testKey, app("https://*.example"), []string{"app URL", "host"}},
		{"a host in another script", testKey, app("https://bücher.example"), []string{"app URL", "xn--"}},
		{"a zone", testKey, app("https://[fe80::1%25eth0]"), []string{"app URL", "host"}},
		{"the hosted page over http", testKey, app("http://app.example"), []string{"app URL", "clear text"}},
		{"the hosted page on localhost", testKey, app("http://localhost:9090"), nil},

		{"a negative timeout", testKey, anchorhttp.WithTimeout(-time.Second), []string{"timeout is -1s", "must not be negative"}},
		{"a negative attempt timeout", testKey, anchorhttp.WithAttemptTimeout(-1), []string{"attempt timeout", "must not be negative"}},
		{"a negative number of retries", testKey, anchorhttp.WithMaxRetries(-1), []string{"number of retries is -1", "must not be negative"}},
		{"zeros", testKey, anchorhttp.WithMaxRetries(0), nil},
		{"no limits", testKey, anchorhttp.WithTimeout(0), nil},
		{"no HTTP client", testKey, anchorhttp.WithHTTPClient(nil), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var opts []anchorhttp.Option
			if tt.opt != nil {
				opts = append(opts, tt.opt)
			}
			err := anchorhttp.New(tt.key, opts...).Validate()
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}

	t.Run("a client that was not made with New", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, new(anchorhttp.Client).Validate(), "anchorhttp.New")
		require.ErrorContains(t, (*anchorhttp.Client)(nil).Validate(), "anchorhttp.New")
		_, err := new(anchorhttp.Client).Identity(t.Context(), idA)
		require.ErrorContains(t, err, "anchorhttp.New")
	})
}

// calls is every call of the API, by name. id is used for all ids.
func calls(c *anchorhttp.Client, id string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"CreateIdentityToken": func(ctx context.Context) error {
			_, err := c.CreateIdentityToken(ctx, id, "https://app.example/cb/state-secret")
			return err
		},
		"Identity": func(ctx context.Context) error { _, err := c.Identity(ctx, id); return err },
		"UpdateIdentity": func(ctx context.Context) error {
			return c.UpdateIdentity(ctx, id, anchorhttp.IdentityUpdate{Name: "x"})
		},
		"DeleteIdentity": func(ctx context.Context) error { return c.DeleteIdentity(ctx, id) },
		"Reauthenticate": func(ctx context.Context) error { return c.Reauthenticate(ctx, id) },
		"Application":    func(ctx context.Context) error { _, err := c.Application(ctx, id); return err },
		"ApplicationIdentities": func(ctx context.Context) error {
			for _, err := range c.ApplicationIdentities(ctx, id, anchorhttp.IdentityFilter{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"CreateSession": func(ctx context.Context) error {
			_, err := c.CreateSession(ctx, anchorhttp.AuthenticatedSession(id))
			return err
		},
		"EndSession": func(ctx context.Context) error { return c.EndSession(ctx, id) },
	}
}

func TestValidateStopsEveryCall(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	c := anchorhttp.New("", anchorhttp.WithHTTPClient(&http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		sent.Add(1)
		return nil, errors.New("sent")
	})}))
	want := c.Validate()
	require.Error(t, want)
	for name, call := range calls(c, "no id") {
		require.Same(t, want, call(t.Context()), name)
	}
	require.Zero(t, sent.Load())
}

func TestIDThatIsInvalidSendsNothing(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	c := through(func(*http.Request) (*http.Response, error) {
		sent.Add(1)
		return nil, errors.New("sent")
	}, anchorhttp.WithMaxRetries(0))
	for _, id := range []string{"", "../applications", idA + "/credentials", "{" + idA + "}", idA + "?x"} {
		for name, call := range calls(c, id) {
			err := call(t.Context())
			require.ErrorIs(t, err, anchorhttp.ErrInvalidID, "%s %q", name, id)
			require.ErrorContains(t, err, "anchorhttp: ", name)
		}
	}
	require.Zero(t, sent.Load())
}

func TestHostedPageURL(t *testing.T) {
	t.Parallel()
	c := anchorhttp.New(testKey)
	require.Equal(t, "https://app.anchorbrowser.io/identity/create?token=abc", c.HostedPageURL("abc", ""))
	require.Equal(t, "https://app.anchorbrowser.io/identity/create?token=a%2Bb%2F%3D%26c&userName=J%C3%BCrgen+%26+Co",
		c.HostedPageURL("a+b/=&c", "Jürgen & Co"))
	require.Equal(t, "https://app.anchorbrowser.io", c.AppOrigin())

	c = anchorhttp.New(testKey, anchorhttp.WithAppURL("HTTPS://App.Example:8443/Anchor//"))
	require.Equal(t, "https://app.example:8443/Anchor/identity/create?token=abc", c.HostedPageURL("abc", ""))
	require.Equal(t, "https://app.example:8443", c.AppOrigin())

	require.Empty(t, anchorhttp.New(testKey, anchorhttp.WithAppURL("http://app.example;x")).AppOrigin())
}

// printed is v in every way in which values are printed and logged, also from
// within other values.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%20v"} {
		fmt.Fprintf(&b, verb+"\n", v)
		fmt.Fprintf(&b, verb+"\n", []any{v})
		fmt.Fprintf(&b, verb+"\n", struct{ V any }{v})
	}
	fmt.Fprintln(&b, v)
	if s, ok := v.(fmt.Stringer); ok {
		b.WriteString(s.String())
	}
	if s, ok := v.(fmt.GoStringer); ok {
		b.WriteString(s.GoString())
	}
	for _, v := range []any{v, []any{v}, map[string]any{"v": v}} {
		if text, err := json.Marshal(v); err == nil {
			b.Write(text)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).Info("x", "v", v)
			slog.New(h).With("v", v).WithGroup("g").Info("x", slog.Any("v", v))
		}
	}
	return b.String()
}

// requireHidden checks that no secret, and no hex of one, is in text.
func requireHidden(t *testing.T, text string, secrets ...string) {
	t.Helper()
	require.NotEmpty(t, text)
	for _, secret := range secrets {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
			require.NotContains(t, text, form)
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	opts := []anchorhttp.Option{anchorhttp.WithTimeout(time.Second)}
	c := anchorhttp.New(testKey, opts...)
	requireHidden(t, printed(t, c), testKey)
	requireHidden(t, printed(t, *c), testKey)
	requireHidden(t, printed(t, opts), testKey)

	broken := testKey + "\n"
	c = anchorhttp.New(broken)
	requireHidden(t, printed(t, c), testKey)
	requireHidden(t, printed(t, c.Validate()), testKey)

	// A verb that does not fit makes fmt follow a pointer in a field: into the
	// transport, and what it is busy with.
	t.Run("nor while a request is under way", func(t *testing.T) {
		t.Parallel()
		arrived, done := make(chan struct{}), make(chan struct{})
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-done
			says(200, identity(idA))(w, r)
		})
		busy := &busyTransport{next: srv.Client().Transport}
		c := srv.client(anchorhttp.WithHTTPClient(&http.Client{Transport: busy}))
		result := make(chan error)
		go func() { _, err := c.Identity(t.Context(), idA); result <- err }()
		<-arrived
		text := printed(t, c) + printed(t, *c)
		close(done)
		require.NoError(t, <-result)
		requireHidden(t, text, testKey)
	})

	t.Run("nor in the error when it stands in the wrong place", func(t *testing.T) {
		t.Parallel()
		for _, wrong := range []string{testKey, "https://" + testKey + "@api.example", "https://user:" + testKey + "@api.example",
			"https://api.example/?key=" + testKey, "http://api.example/" + testKey, "://" + testKey, "sk:" + testKey} {
			err := anchorhttp.New(testKey, anchorhttp.WithBaseURL(wrong)).Validate()
			require.Error(t, err)
			requireHidden(t, printed(t, err), testKey)
		}
	})
}

// busyTransport keeps what it is busy with, as transports do.
type busyTransport struct {
	next    http.RoundTripper
	current http.Header
}

func (b *busyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	b.current = r.Header
	return b.next.RoundTrip(r)
}

// unwrapAll is err and everything that it wraps.
func unwrapAll(err error) []error {
	all := []error{err}
	switch x := err.(type) { //nolint:errorlint // It unwraps by itself.
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			all = append(all, unwrapAll(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			all = append(all, unwrapAll(inner)...)
		}
	}
	return all
}

func TestKeyIsInNoError(t *testing.T) {
	t.Parallel()
	// What a server or a transport may do with the key that it was sent.
	echo := func(r *http.Request) string { return r.Header.Get("Anchor-Api-Key") }
	transports := map[string]transport{
		"the message repeats it": func(r *http.Request) (*http.Response, error) {
			return response(401, `{"error":{"message":"Invalid API key: `+echo(r)+`"}}`), nil
		},
		"the request's id repeats it": func(r *http.Request) (*http.Response, error) {
			return response(401, ``, "X-Request-Id", echo(r)), nil
		},
		"the transport's error repeats it": func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("malformed header line: Anchor-Api-Key: %s", echo(r))
		},
		"an error within it repeats it": func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("proxy: %w", fmt.Errorf("request was %v", r.Header))
		},
		"the answer is the key": func(r *http.Request) (*http.Response, error) {
			return response(200, `{"id":"`+echo(r)+`","identities":[{"id":"`+echo(r)+`"}],"token":"`+echo(r)+`\n","created_at":"`+echo(r)+`"}`), nil
		},
		"the answer begins with the key": func(r *http.Request) (*http.Response, error) {
			return response(200, echo(r)), nil
		},
		"a redirect to it": func(r *http.Request) (*http.Response, error) {
			return response(302, ``, "Location", "https://evil.example/"+echo(r)), nil
		},
	}
	for name, rt := range transports {
		c := through(rt, anchorhttp.WithMaxRetries(0))
		for call, do := range calls(c, idA) {
			if name == "the answer is the key" && (call == "CreateSession" || call == "EndSession") {
				continue // Any id is a session's id, and any JSON says that one has ended.
			}
			t.Run(name+", "+call, func(t *testing.T) {
				t.Parallel()
				err := do(t.Context())
				require.Error(t, err)
				for _, err := range unwrapAll(err) {
					requireHidden(t, printed(t, err), testKey)
				}
			})
		}
	}
}

func TestWithHTTPClient(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "affinity", Value: "1", Path: "/"})
		says(200, identity(idA))(w, r)
	})
	jar := new(countingJar)
	hc := &http.Client{Transport: srv.Client().Transport, Jar: jar, Timeout: time.Minute}
	before := *hc
	c := srv.client(anchorhttp.WithHTTPClient(hc))
	for range 2 {
		_, err := c.Identity(t.Context(), idA)
		require.NoError(t, err)
	}
	require.Zero(t, jar.used.Load(), "its cookie jar is not used")
	for _, r := range srv.requests() {
		require.Empty(t, r.header.Values("Cookie"))
	}
	require.Equal(t, before, *hc, "it is not changed")
}

// TestWithHTTPClientDefaults uses no HTTP client of the caller's.
func TestWithHTTPClientDefaults(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(200, identity(idA)))
	for name, opt := range map[string]anchorhttp.Option{
		"no option":                  anchorhttp.WithMaxRetries(0),
		"nil":                        anchorhttp.WithHTTPClient(nil),
		"a client without transport": anchorhttp.WithHTTPClient(new(http.Client)),
		"the default client of Go":   anchorhttp.WithHTTPClient(http.DefaultClient),
	} {
		_, err := anchorhttp.New(testKey, anchorhttp.WithBaseURL(srv.URL), opt).Identity(t.Context(), idA)
		require.NoError(t, err, name)
	}
}

func TestWithBaseURLWithAPath(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(200, identity(idA)))
	_, err := srv.client(anchorhttp.WithBaseURL(srv.URL+"/a%2Fb/c/")).Identity(t.Context(), idA)
	require.NoError(t, err)
	require.Equal(t, "/a%2Fb/c/v1/identities/"+idA, srv.requests()[0].path)
}

func TestErrorNamesTheCall(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(403, `{"message":"no"}`))
	want := map[string]string{
		"CreateIdentityToken":   "anchorhttp: POST /v1/applications/{id}/tokens: ",
		"Identity":              "anchorhttp: GET /v1/identities/{id}: ",
		"UpdateIdentity":        "anchorhttp: PUT /v1/identities/{id}: ",
		"DeleteIdentity":        "anchorhttp: DELETE /v1/identities/{id}: ",
		"Reauthenticate":        "anchorhttp: POST /v1/identities/{id}/reauthenticate: ",
		"Application":           "anchorhttp: GET /v1/applications/{id}: ",
		"ApplicationIdentities": "anchorhttp: GET /v1/applications/{id}/identities: ",
		"CreateSession":         "anchorhttp: POST /v1/sessions: ",
		"EndSession":            "anchorhttp: DELETE /v1/sessions/{session}: ",
	}
	for name, call := range calls(srv.client(), idA) {
		err := call(t.Context())
		require.EqualError(t, err, want[name]+"Anchor answered 403 Forbidden: no")
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 403, e.StatusCode)
	}
}
