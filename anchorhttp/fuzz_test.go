package anchorhttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// FuzzAnAnswer gives every call any answer: it never panics, an error never holds
// the key, and what comes back without an error is whole.
func FuzzAnAnswer(f *testing.F) {
	f.Add(200, `{"data":{"id":"`+idA+`","name":"x","status":"validated","metadata":{"n":1e400}}}`, "application/json")
	f.Add(201, `{"data":{"token":"t","token_hash":"h","expires_at":"2031-05-17T12:00:00Z"}}`, "application/json")
	f.Add(200, `{"identities":[{"id":"`+idB+`"},null,{}]}`, "application/json")
	f.Add(200, `{"id":"s","cdp_url":7}`, "application/json")
	f.Add(404, `{"error":{"code":404,"message":"`+testKey+`\u202e"}}`, "text/html")
	f.Add(200, `[]`, "")
	f.Add(301, "", "")
	f.Fuzz(func(t *testing.T, status int, body, contentType string) {
		transport := transportFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r,
				Header: http.Header{"Content-Type": {contentType}, "Date": {"Sat, 17 May 2031 11:45:00 GMT"}, "X-Request-Id": {body}},
			}, nil
		})
		c := anchorhttp.New(testKey, anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
		check := func(err error) bool {
			if err == nil {
				require.Equal(t, 2, status/100)
				return true
			}
			require.NotContains(t, err.Error(), testKey)
			require.NotContains(t, err.Error(), "\n")
			var answer *anchorhttp.Error
			require.True(t, errors.Is(err, anchorhttp.ErrInvalidAnswer) || errors.As(err, &answer), "%v", err)
			return false
		}
		ctx := t.Context()
		if identity, err := c.Identity(ctx, idA); check(err) {
			require.Equal(t, idA, identity.ID)
		}
		if token, err := c.CreateIdentityToken(ctx, appID, "https://app.example/identity-callback/STATE"); check(err) {
			require.NotEmpty(t, token.Token)
			require.NotEmpty(t, token.Hash)
			require.False(t, token.ExpiresAt.IsZero() && token.IssuedAt.IsZero())
		}
		if application, err := c.Application(ctx, appID); check(err) {
			require.Equal(t, appID, application.ID)
		}
		if session, err := c.CreateSession(ctx, anchorhttp.AuthenticatedSession(idA)); check(err) {
			require.NotEmpty(t, session.ID)
		}
		if err := c.EndSession(ctx, "s-1"); err != nil {
			check(err)
		}
		check(c.UpdateIdentity(ctx, idA, anchorhttp.IdentityUpdate{Name: "x"}))
		check(c.Reauthenticate(ctx, idA))
		if err := c.DeleteIdentity(ctx, idA); err != nil {
			check(err)
		}
		for item, err := range c.ApplicationIdentities(ctx, appID, anchorhttp.IdentityFilter{}) {
			if check(err) {
				_, ok := anchorhttp.ParseID(item.ID)
				require.True(t, ok)
			}
		}
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
