package anchorhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	callback = "https://app.example/identity-callback/state-secret"
	// tokenSHA256 is the SHA-256 of token, from sha256sum.
	tokenSHA256 = "ee9047d8cf7fed449ae2dfc96baca0f7620c635969a71beaa79867b3693f9c06"
	date        = "Fri, 02 Jan 2026 03:04:05 GMT"
)

func TestCreateIdentityToken(t *testing.T) {
	t.Parallel()
	expires := time.Date(2026, 1, 2, 3, 19, 5, 123e6, time.UTC)
	issued := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := func(hash string) anchorhttp.IdentityToken {
		return anchorhttp.IdentityToken{Token: token, Hash: hash, ExpiresAt: expires, IssuedAt: issued}
	}
	const when = `2026-01-02T03:19:05.123Z`
	tests := []struct {
		name, body string
		hash       string // what comes out; empty means that the answer is invalid
	}{
		{"as documented", `{"data":{"token":"` + token + `","expires_at":"` + when + `","token_hash":"abc"}}`, "abc"},
		{"not wrapped", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"abc"}`, "abc"},
		{"camel case", `{"token":"` + token + `","expiresAt":"` + when + `","tokenHash":"abc"}`, "abc"},
		{"camel case, wrapped", `{ "data" : {"token":"` + token + `","expiresAt":"` + when + `","tokenHash":"abc"}}`, "abc"},
		{"both cases: the documented one counts", `{"token":"` + token + `","expires_at":"` + when + `","expiresAt":"x","token_hash":"abc","tokenHash":"def"}`, "abc"},
		{"another zone", `{"token":"` + token + `","expires_at":"2026-01-02T05:19:05.123+02:00","token_hash":"abc"}`, "abc"},
		{"no hash", `{"data":{"token":"` + token + `","expires_at":"` + when + `"}}`, tokenSHA256},
		{"a hash that is null", `{"data":{"token":"` + token + `","expires_at":"` + when + `","token_hash":null}}`, tokenSHA256},
		{"a hash of 255 bytes", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"` + strings.Repeat("h", 255) + `"}`, strings.Repeat("h", 255)},

		{"a hash of 256 bytes", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"` + strings.Repeat("h", 256) + `"}`, ""},
		{"a hash with a space", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"a b"}`, ""},
		{"a hash with a DEL", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"a\u007fb"}`, ""},
		{"a hash that is not ASCII", `{"token":"` + token + `","expires_at":"` + when + `","token_hash":"é"}`, ""},
		{"no token", `{"data":{"expires_at":"` + when + `","token_hash":"abc"}}`, ""},
		{"an empty token", `{"token":"","expires_at":"` + when + `","token_hash":"abc"}`, ""},
		{"a token of another type", `{"token":17,"expires_at":"` + when + `","token_hash":"abc"}`, ""},
		{"a token with a line break", `{"token":"a\nb","expires_at":"` + when + `","token_hash":"abc"}`, ""},
		{"a token with a NUL", `{"token":"a\u0000b","expires_at":"` + when + `","token_hash":"abc"}`, ""},
		{"a token over 8 KiB", `{"token":"` + strings.Repeat("t", 8193) + `","expires_at":"` + when + `","token_hash":"abc"}`, ""},
		{"no expiry", `{"token":"` + token + `","token_hash":"abc"}`, ""},
		{"an expiry that is null", `{"token":"` + token + `","token_hash":"abc","expires_at":null}`, ""},
		{"an expiry of no form", `{"token":"` + token + `","token_hash":"abc","expires_at":"in 15 minutes"}`, ""},
		{"an expiry of another type", `{"token":"` + token + `","token_hash":"abc","expires_at":1767323945}`, ""},
		{"a page", `<html></html>`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(201, tt.body, "Date", date))
			got, err := srv.client().CreateIdentityToken(t.Context(), strings.ToUpper(appID), callback)

			sent := srv.requests()[0]
			require.Equal(t, http.MethodPost, sent.method)
			require.Equal(t, "/v1/applications/"+appID+"/tokens", sent.path)
			requireJSON(t, `{"callbackUrl":"`+callback+`"}`, sent.body)
			if tt.hash == "" {
				require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			got.ExpiresAt = got.ExpiresAt.UTC()
			require.Equal(t, want(tt.hash), got)
		})
	}

	t.Run("a token of 8 KiB", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("t", 8192)
		srv := serve(t, says(201, `{"token":"`+long+`","expires_at":"`+when+`"}`, "Date", date))
		got, err := srv.client().CreateIdentityToken(t.Context(), appID, callback)
		require.NoError(t, err)
		require.Equal(t, long, got.Token)
	})
	for name, date := range map[string]string{"no Date": "", "a Date of no form": "today", "a Date by RFC 3339": when} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(201, `{"token":"`+token+`","expires_at":"`+when+`","token_hash":"abc"}`, "Date", date))
			got, err := srv.client().CreateIdentityToken(t.Context(), appID, callback)
			require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
			require.ErrorContains(t, err, "Date")
			require.Zero(t, got)
		})
	}
	t.Run("the error does not repeat the callback URL, which may hold a state", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(400, `{"error":{"code":400,"message":"callbackUrl `+callback+` must be HTTPS"}}`))
		_, err := srv.client().CreateIdentityToken(t.Context(), appID, callback)
		require.ErrorContains(t, err, "must be HTTPS")
		require.NotContains(t, err.Error(), "state-secret")
	})
	t.Run("nor does a connection's", func(t *testing.T) {
		t.Parallel()
		c := through(fails(errorText("cannot send "+callback)), anchorhttp.WithMaxRetries(0))
		_, err := c.CreateIdentityToken(t.Context(), appID, callback)
		require.ErrorContains(t, err, "cannot send")
		require.NotContains(t, err.Error(), "state-secret")
	})
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestIdentityTokenIsNotPrinted(t *testing.T) {
	t.Parallel()
	v := anchorhttp.IdentityToken{
		Token: token, Hash: tokenSHA256,
		ExpiresAt: time.Date(2026, 1, 2, 3, 19, 5, 0, time.UTC), IssuedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for _, v := range []any{v, &v} {
		text := printed(t, v)
		requireHidden(t, text, token, tokenSHA256)
		requireHidden(t, v.(fmt.Stringer).String()+v.(fmt.GoStringer).GoString(), token, tokenSHA256)
		require.Contains(t, text, "2026-01-02 03:19:05 +0000 UTC", "the rest is shown")
	}
	require.NotContains(t, fmt.Sprint(anchorhttp.IdentityToken{}), "redacted", "an empty one has nothing to hide")
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	want := anchorhttp.Identity{
		ID: idA, Name: "Ann", Source: "https://example.com/login", Status: anchorhttp.StatusValidated,
		Metadata:  map[string]any{"plan": "pro"},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		UpdatedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
	}
	for name, body := range map[string]string{
		"as documented":          identity(idA),
		"wrapped":                `{"data":` + identity(idA) + `}`,
		"wrapped, spread out":    "\n{ \"data\" :\n " + identity(idA) + "\n}\n",
		"wrapped in other words": `{"success":true,"data":` + identity(idA) + `}`,
		"in upper case":          identity(strings.ToUpper(idA)),
		"with data that is null": `{"data":null,` + identity(idA)[1:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, body))
			got, err := srv.client().Identity(t.Context(), strings.ToUpper(idA))
			require.NoError(t, err)
			requireDated(t, &got.Date)
			require.Equal(t, want, got)
			require.Equal(t, http.MethodGet, srv.requests()[0].method)
			require.Equal(t, "/v1/identities/"+idA, srv.requests()[0].path)
			require.Empty(t, srv.requests()[0].body)
		})
	}
	t.Run("what is not told is zero", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{
			`{"id":"` + idA + `"}`,
			`{"id":"` + idA + `","name":null,"source":null,"status":null,"metadata":null,"created_at":null,"updated_at":null}`,
		} {
			got, err := serve(t, says(200, body, "Date", "")).client().Identity(t.Context(), idA)
			require.NoError(t, err)
			require.Equal(t, anchorhttp.Identity{ID: idA}, got)
		}
	})
	t.Run("404", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(404, `{"error":{"code":404,"message":"Identity not found"}}`, "X-Request-Id", "req_1"))
		_, err := srv.client().Identity(t.Context(), idA)
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		requireDated(t, &e.Date)
		require.Equal(t, anchorhttp.Error{StatusCode: 404, Message: "Identity not found", RequestID: "req_1"}, *e)
	})
}

func TestIdentityMetadataIsWrittenBackAsItWasRead(t *testing.T) {
	t.Parallel()
	const metadata = `{"big":12345678901234567890,"precise":0.1234567890123456789,"exp":1e400,"nested":{"n":[9007199254740993]},` +
		`"text":"<ä> & \"q\"","none":null,"yes":true}`
	for _, body := range []string{`{"id":"` + idA + `","metadata":` + metadata + `}`, `{"data":{"id":"` + idA + `","metadata":` + metadata + `}}`} {
		srv := serve(t, says(200, body))
		c := srv.client()
		v, err := c.Identity(t.Context(), idA)
		require.NoError(t, err)
		require.Equal(t, json.Number("12345678901234567890"), v.Metadata["big"])
		v.Metadata["externalUserId"] = "u1"
		require.NoError(t, c.UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Metadata: v.Metadata}))

		sent := srv.requests()[1].body
		for _, number := range []string{"12345678901234567890", "0.1234567890123456789", "1e400", "[9007199254740993]"} {
			require.Contains(t, sent, number)
		}
		var back struct{ Metadata map[string]json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(sent), &back))
		require.Len(t, back.Metadata, 8)
		requireJSON(t, `"<ä> & \"q\""`, string(back.Metadata["text"]))
	}
}

func TestUpdateIdentity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		update anchorhttp.IdentityUpdate
		want   string
	}{
		{"name", anchorhttp.IdentityUpdate{Name: "Ann"}, `{"name":"Ann"}`},
		{"metadata", anchorhttp.IdentityUpdate{Metadata: map[string]any{"a": 1}}, `{"metadata":{"a":1}}`},
		{"empty metadata", anchorhttp.IdentityUpdate{Metadata: map[string]any{}}, `{"metadata":{}}`},
		{"nothing", anchorhttp.IdentityUpdate{}, `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, `{"id":"`+idA+`"}`))
			require.NoError(t, srv.client().UpdateIdentity(t.Context(), strings.ToUpper(idA), tt.update))
			sent := srv.requests()[0]
			require.Equal(t, http.MethodPut, sent.method)
			require.Equal(t, "/v1/identities/"+idA, sent.path)
			requireJSON(t, tt.want, sent.body)
		})
	}
	t.Run("metadata that is no JSON is not sent", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(200, `{}`))
		err := srv.client().UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Metadata: map[string]any{"f": func() {}}})
		require.ErrorContains(t, err, "encode the body")
		require.Empty(t, srv.requests())
	})
	t.Run("404 is an error", func(t *testing.T) {
		t.Parallel()
		err := serve(t, says(404, ``)).client().UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Name: "x"})
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
	})
}

func TestDeleteIdentity(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"as documented":      says(200, `{"message":"Identity deleted"}`),
		"404: gone already":  says(404, `{"error":{"code":404,"message":"Identity not found"}}`),
		"404 without a body": says(404, ``),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, h)
			require.NoError(t, srv.client().DeleteIdentity(t.Context(), strings.ToUpper(idA)))
			require.Equal(t, http.MethodDelete, srv.requests()[0].method)
			require.Equal(t, "/v1/identities/"+idA, srv.requests()[0].path)
			require.Empty(t, srv.requests()[0].body)
		})
	}
	t.Run("the 404 page of a gateway says nothing of the identity", func(t *testing.T) {
		t.Parallel()
		err := serve(t, says(404, `<html>Not Found</html>`)).client().DeleteIdentity(t.Context(), idA)
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
	})
	for _, status := range []int{400, 401, 403, 410, 500} {
		err := serve(t, says(status, ``)).client().DeleteIdentity(t.Context(), idA)
		var e *anchorhttp.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, status, e.StatusCode)
	}
}

func TestReauthenticate(t *testing.T) {
	t.Parallel()
	const done = `{"identityId":"` + idA + `","async":false}`
	for name, body := range map[string]string{
		"as documented": done,
		"wrapped":       `{"data":` + done + `}`,
		"in upper case": `{"identityId":"` + strings.ToUpper(idA) + `","async":false}`,
		"without async": `{"identityId":"` + idA + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, body))
			require.NoError(t, srv.client().Reauthenticate(t.Context(), strings.ToUpper(idA)))
			sent := srv.requests()[0]
			require.Equal(t, http.MethodPost, sent.method)
			require.Equal(t, "/v1/identities/"+idA+"/reauthenticate", sent.path)
			requireJSON(t, `{"sync":true}`, sent.body)
		})
	}
	for name, body := range map[string]string{
		"a sign-in that is not through": `{"identityId":"` + idA + `","async":true}`,
		"another identity":              `{"identityId":"` + idB + `","async":false}`,
		"no identity":                   `{"async":false}`,
		"nothing":                       ``,
		"a page of some gateway":        `<html>Please sign in</html>`,
	} {
		t.Run(name+" is no sign that it works", func(t *testing.T) {
			t.Parallel()
			err := serve(t, says(200, body)).client().Reauthenticate(t.Context(), idA)
			require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
		})
	}
	for status, message := range map[int]string{
		404: "Identity not found", 412: "Identity has no credentials", 422: "Identity authentication failed",
		429: "Too many requests", 500: "Failed to reauthenticate identity",
	} {
		t.Run(message+" is told and not tried again", func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(status, `{"error":{"code":1,"message":"`+message+`"}}`, "X-Should-Retry", "true", "Retry-After", "0"))
			err := srv.client(anchorhttp.WithMaxRetries(2)).Reauthenticate(t.Context(), idA)
			var e *anchorhttp.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, status, e.StatusCode)
			require.Equal(t, message, e.Message)
			require.Len(t, srv.requests(), 1)
		})
	}

	// What follows runs in a synctest bubble, so the times are exact.
	slow := func(after time.Duration) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(after):
				return response(200, done), nil
			case <-r.Context().Done():
				return nil, context.Cause(r.Context())
			}
		}
	}
	for _, tt := range []struct {
		name string
		opts []anchorhttp.Option
		slow time.Duration
		took time.Duration // until it gives up; zero when it waits for the answer
	}{
		{name: "it waits longer than for an attempt", slow: 29 * time.Second},
		{name: "it waits as long as it is given", slow: 2 * time.Minute,
			opts: []anchorhttp.Option{anchorhttp.WithTimeout(3 * time.Minute), anchorhttp.WithAttemptTimeout(time.Second)}},
		{name: "it gives up with the call, after one attempt", slow: time.Minute, took: 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rt := &script{steps: []func(*http.Request) (*http.Response, error){slow(tt.slow)}}
				hc := &http.Client{Transport: rt, Timeout: 5 * time.Second}
				begin := time.Now()
				err := anchorhttp.New(testKey, append(tt.opts, anchorhttp.WithHTTPClient(hc))...).Reauthenticate(t.Context(), idA)
				require.Len(t, rt.at, 1)
				if tt.took == 0 {
					require.NoError(t, err)
					require.Equal(t, tt.slow, time.Since(begin))
					return
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, tt.took, time.Since(begin))
			})
		})
	}
	t.Run("a connection that fails is not tried again", func(t *testing.T) {
		t.Parallel()
		rt := &script{steps: []func(*http.Request) (*http.Response, error){fails(errRefused)}}
		err := anchorhttp.New(testKey, anchorhttp.WithHTTPClient(&http.Client{Transport: rt})).Reauthenticate(t.Context(), idA)
		require.ErrorIs(t, err, errRefused)
		require.Len(t, rt.at, 1)
	})
}

// TestAnswerThatAcknowledges is about the answers to what changes something.
func TestAnswerThatAcknowledges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"no content", 204, ``, true},
		{"an empty body", 200, ``, true},
		{"white space", 200, "\r\n", true},
		{"an object", 200, `{}`, true},
		{"a message", 200, `{"message":"done"}`, true},
		{"wrapped", 200, `{"data":{"status":"success"}}`, true},
		{"the identity", 200, identity(idA), true},
		{"the identity in upper case", 200, identity(strings.ToUpper(idA)), true},
		{"another identity", 200, identity(idB), false},
		{"another identity, wrapped", 200, `{"data":` + identity(idB) + `}`, false},
		{"a page of some gateway", 200, `<html>Please sign in</html>`, false},
		{"a text", 200, `OK`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, says(tt.status, tt.body)).client()
			for _, err := range []error{
				c.UpdateIdentity(t.Context(), idA, anchorhttp.IdentityUpdate{Name: "x"}),
				c.DeleteIdentity(t.Context(), idA),
			} {
				if tt.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
				}
			}
		})
	}
}
