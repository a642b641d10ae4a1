package anchortest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func start(t *testing.T, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// noRedirects is a browser that shows where it is sent.
var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type response struct {
	status int
	header http.Header
	body   string
}

// object is the answer as a JSON object.
func (r response) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// data is what the answer wraps in "data".
func (r response) data(t *testing.T) map[string]any {
	t.Helper()
	v, ok := r.object(t)["data"].(map[string]any)
	require.True(t, ok, r.body)
	return v
}

// requireError wants the documented error body.
func (r response) requireError(t *testing.T, status int) {
	t.Helper()
	require.Equal(t, status, r.status, r.body)
	v := r.object(t)
	require.Equal(t, []string{"error"}, keys(v))
	e, ok := v["error"].(map[string]any)
	require.True(t, ok, r.body)
	require.ElementsMatch(t, []string{"code", "message"}, keys(e))
	require.EqualValues(t, status, e["code"])
	require.NotEmpty(t, e["message"])
	require.Contains(t, r.header.Get("Content-Type"), "application/json")
}

func keys(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// try sends a request and gives back what went wrong on the way.
func try(ctx context.Context, req *http.Request) (response, error) {
	res, err := noRedirects.Do(req.WithContext(ctx))
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return response{res.StatusCode, res.Header, string(body)}, err
}

// request is an API call with the key.
func request(t *testing.T, s *Server, method, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, s.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("anchor-api-key", s.APIKey())
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// call makes an API call with the key and wants an answer.
func call(t *testing.T, s *Server, method, path, body string) response {
	t.Helper()
	r, err := try(t.Context(), request(t, s, method, path, body))
	require.NoError(t, err)
	return r
}

const callback = "https://app.example/identity-callback/st4te"

// newToken issues an identity token for the fake's own application.
func newToken(t *testing.T, s *Server, callbackURL string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"callbackUrl": callbackURL})
	require.NoError(t, err)
	r := call(t, s, "POST", "/v1/applications/"+s.ApplicationID()+"/tokens", string(body))
	require.Equal(t, http.StatusCreated, r.status, r.body)
	return r.data(t)["token"].(string)
}

// hosted is the address that an app would send the browser to.
func hosted(t *testing.T, s *Server, callbackURL string) string {
	t.Helper()
	return s.URL() + "/identity/create?token=" + url.QueryEscape(newToken(t, s, callbackURL))
}

// identityIn is the id that a callback brings.
func identityIn(t *testing.T, callbackURL string) string {
	t.Helper()
	u, err := url.Parse(callbackURL)
	require.NoError(t, err)
	return u.Query().Get("identity_id")
}

// soon is a deadline for what must happen, so that a test fails instead of
// hanging.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const (
	uuidPattern = `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	timePattern = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`
	unknownID   = "00000000-0000-4000-8000-000000000000"
)
