package connect

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// The limit holds for any number of calls, and whatever timeouts the client has.
func TestGatherIdentityWaitsHalfAMinuteAtMost(t *testing.T) {
	t.Parallel()
	const enough = 100 // pages for an endless list
	tests := []struct {
		name   string
		answer func(path string, n int) string // to the n-th call; empty for none
	}{
		{"the identity does not come", func(string, int) string { return "" }},
		{"the list has no end", func(path string, n int) string {
			switch {
			case strings.HasPrefix(path, "/v1/identities/"):
				return fmt.Sprintf(`{"id":%q,"source":"https://example.com","status":"validated","created_at":%q}`, identityA, noon.Format(time.RFC3339))
			case strings.HasSuffix(path, "/identities") && n < enough:
				return fmt.Sprintf(`{"identities":[{"id":"22222222-2222-4222-8222-%012d"}]}`, n)
			case strings.HasSuffix(path, "/identities"):
				return `{"identities":[]}`
			}
			return fmt.Sprintf(`{"id":%q,"url":"https://another.example"}`, testApp)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				transport := roundTripper(func(r *http.Request) (*http.Response, error) {
					asked++
					wait, body := time.Second, test.answer(r.URL.Path, asked)
					if body == "" {
						wait = time.Hour
					}
					select {
					case <-time.After(wait):
						return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})
				cfg := goodConfig()
				cfg.Anchor = anchorhttp.New("test-key", anchorhttp.WithTimeout(0), anchorhttp.WithAttemptTimeout(0),
					anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
				h, err := New(cfg)
				require.NoError(t, err)
				start := flowEvidence{user: User{ID: "ada"}, pending: Pending{IssuedAt: noon, ApplicationID: testApp}, application: h.Application("")}
				begun := time.Now()
				_, _, err = h.gatherIdentity(t.Context(), start, identityA)
				require.ErrorIs(t, err, ErrUpstreamTimeout)
				require.Equal(t, 30*time.Second, time.Since(begun))
				time.Sleep(time.Minute) // Work in the background ends too.
			})
		})
	}
}
