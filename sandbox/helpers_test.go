package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// start starts a sandbox for one test. It skips the test without a browser.
func start(t *testing.T, options ...Option) *Server {
	t.Helper()
	s, err := Start(t.Context(), options...)
	if errors.Is(err, ErrNoBrowser) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

const callback = "https://app.example/identity-callback/st4te"

// hosted returns the URL to which an app would redirect the browser.
func hosted(t *testing.T, s *Server) string {
	t.Helper()
	token, err := s.Client().CreateIdentityToken(t.Context(), s.ApplicationID(), callback)
	require.NoError(t, err)
	return s.Client().HostedPageURL(token.Token, "")
}

// identity signs in on the hosted page and returns the new identity.
func identity(t *testing.T, s *Server, account, password string) (id string) {
	t.Helper()
	callbackURL, err := s.SignIn(t.Context(), hosted(t, s), account, password)
	require.NoError(t, err)
	id, err = identityOf(callbackURL)
	require.NoError(t, err)
	return id
}

// open opens a session with an identity.
func open(t *testing.T, s *Server, identityID string) anchorhttp.Session {
	t.Helper()
	session, err := s.Client().CreateSession(t.Context(), anchorhttp.AuthenticatedSession(identityID))
	require.NoError(t, err)
	return session
}

// refusal returns the API's response in an error.
func refusal(t *testing.T, err error) *anchorhttp.Error {
	t.Helper()
	var answer *anchorhttp.Error
	require.ErrorAs(t, err, &answer)
	return answer
}

// drive connects chromedp to a session.
func drive(t *testing.T, session anchorhttp.Session) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = remote.NewAllocator(ctx, session.CDPURL)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// subjects reads the inbox.
func subjects(t *testing.T, ctx context.Context, s *Server) []string {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(s.Site().URL()+"/inbox")))
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".subject")].map((e) => e.textContent)`))
	require.NoError(t, err)
	return found
}

// inbox returns the subjects of an account's letters at the site.
func inbox(t *testing.T, s *Server, account string) (subjects []string) {
	t.Helper()
	for _, a := range s.Site().Accounts() {
		if a.Name == account {
			for _, letter := range a.Letters {
				subjects = append(subjects, letter.Subject)
			}
		}
	}
	require.NotEmpty(t, subjects)
	return subjects
}

// statusOf returns the status of an identity.
func statusOf(t *testing.T, s *Server, id string) anchortest.Status {
	t.Helper()
	found, ok := s.Fake().Identity(id)
	require.True(t, ok)
	return found.Status
}

type response struct {
	status   int
	header   http.Header
	body     string
	location string
}

// do sends a request and follows no redirect.
func do(t *testing.T, r *http.Request) response {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(r.WithContext(t.Context()))
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return response{res.StatusCode, res.Header, string(body), res.Header.Get("Location")}
}

func get(t *testing.T, address string) response {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	require.NoError(t, err)
	return do(t, r)
}

func post(t *testing.T, address string, form url.Values) response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, r)
}

// call makes an API call and requires this status.
func call(t *testing.T, s *Server, status int, method, path, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequest(method, s.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("anchor-api-key", s.APIKey())
	res := do(t, r)
	require.Equal(t, status, res.status, res.body)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(res.body), &v))
	return v
}

// waitGone waits until a file no longer exists.
func waitGone(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	}, 10*time.Second, 5*time.Millisecond)
}
