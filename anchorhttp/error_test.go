package anchorhttp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestErrorMessage(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"error object", `{"error":{"code":404,"message":"Identity not found"}}`, "Identity not found"},
		{"error text", `{"error":"Identity not found"}`, "Identity not found"},
		{"message alone", `{"message":"Identity not found"}`, "Identity not found"},
		{"the message goes before an error text", `{"statusCode":404,"message":"Identity not found","error":"Not Found"}`, "Identity not found"},
		{"an empty message does not", `{"message":"","error":"Identity not found"}`, "Identity not found"},
		{"an error object goes before the message", `{"message":"Not Found","error":{"message":"Identity not found"}}`, "Identity not found"},
		{"an empty error object does not", `{"message":"Identity not found","error":{"message":""}}`, "Identity not found"},
		{"a message of another type is none", `{"message":["a","b"]}`, ""},
		{"an error of another type is none", `{"error":{"message":{"text":"x"}}}`, ""},
		{"null", `{"error":null}`, ""},
		{"a list", `["x"]`, ""},
		{"a page", `<html>Not Found</html>`, ""},
		{"nothing", ``, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, message([]byte(tt.body)))
		})
	}
}

func TestErrorMessageIsPrintable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain", "Identity not found", 300, "Identity not found"},
		{"other scripts stay", "Nicht gefunden: Jürgen 東京", 300, "Nicht gefunden: Jürgen 東京"},
		{"line breaks", "a\r\nlevel=ERROR msg=forged\n", 300, "a level=ERROR msg=forged"},
		{"terminal codes", "a\x1b[31mred\x1b[0m\x07", 300, "a [31mred [0m"},
		{"bidirectional overrides", "a\u202eb", 300, "a b"},
		{"no UTF-8", "a\xff\xfeb", 300, "a b"},
		{"exactly the limit", "0123456789", 10, "0123456789"},
		{"over the limit", "0123456789x", 10, "0123456…"},
		{"cut between characters", "012345é789", 10, "012345…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := printable(tt.in, tt.limit)
			require.Equal(t, tt.want, got)
			require.LessOrEqual(t, len(got), tt.limit)
			require.True(t, utf8.ValidString(got))
		})
	}
}

func TestErrorOfAnAnswer(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	same := func(s string) string { return s }
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   Error
		text   string
	}{
		{"everything", 429, header("X-Request-Id", "req_1", "Retry-After", "58"), `{"error":{"message":"Slow down"}}`,
			Error{StatusCode: 429, Message: "Slow down", RequestID: "req_1", RetryAfter: 58 * time.Second}, "Anchor answered 429 Too Many Requests: Slow down (request req_1)"},
		{"the server's own time", 422, header("Date", "Fri, 02 Jan 2026 03:09:05 GMT"), ``,
			Error{StatusCode: 422, Date: now.Add(5 * time.Minute)}, "Anchor answered 422 Unprocessable Entity"},
		{"a time that is none", 422, header("Date", "now"), ``, Error{StatusCode: 422}, "Anchor answered 422 Unprocessable Entity"},
		{"nothing but a status", 402, nil, ``, Error{StatusCode: 402}, "Anchor answered 402 Payment Required"},
		{"a status without a name", 599, nil, ``, Error{StatusCode: 599}, "Anchor answered 599"},
		{"the other header of a request's id", 500, header("Request-Id", "req_2"), ``,
			Error{StatusCode: 500, RequestID: "req_2"}, "Anchor answered 500 Internal Server Error (request req_2)"},
		{"a long wait is told, though not obeyed", 429, header("Retry-After", "3600"), ``,
			Error{StatusCode: 429, RetryAfter: time.Hour}, "Anchor answered 429 Too Many Requests"},
		{"a wait that is over is none", 503, header("Retry-After", "Fri, 02 Jan 2026 03:04:00 GMT"), ``,
			Error{StatusCode: 503}, "Anchor answered 503 Service Unavailable"},
		{"a redirect says so", 301, nil, `{"message":"Moved"}`,
			Error{StatusCode: 301, Message: "redirects are never followed: use the API's own address as the base URL"},
			"Anchor answered 301 Moved Permanently: redirects are never followed: use the API's own address as the base URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := newError(tt.status, tt.header, []byte(tt.body), now, same)
			require.Equal(t, &tt.want, got)
			require.EqualError(t, got, tt.text)
		})
	}

	t.Run("texts from outside are bounded", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("x", 5000)
		got := newError(500, header("X-Request-Id", long), []byte(`{"message":"`+long+`"}`), now, same)
		require.Len(t, got.Message, 300)
		require.Len(t, got.RequestID, 100)
	})
	t.Run("secrets are taken out before the text is cut", func(t *testing.T) {
		t.Parallel()
		secret := strings.Repeat("k", 50)
		body := `{"message":"` + strings.Repeat("x", 280) + secret + `"}`
		got := newError(401, header("X-Request-Id", secret), []byte(body), now, func(s string) string { return redact(s, secret) })
		require.NotContains(t, got.Error(), "kk")
		require.Equal(t, "[redacted]", got.RequestID)
	})
}

func TestIsNotFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		status     int
		want       bool
	}{
		{"the documented body", `{"error":{"code":404,"message":"Identity not found"}}`, 404, true},
		{"an older body", `{"message":"not found"}`, 404, true},
		{"no body", " \n", 404, true},
		{"a gateway's page", "<html>default backend</html>", 404, false},
		{"a gateway's text", "404 page not found\n", 404, false},
		{"another status", `{"error":{"code":410,"message":"gone"}}`, 410, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newError(test.status, http.Header{}, []byte(test.body), time.Now(), func(s string) string { return s })
			require.Equal(t, test.want, IsNotFound(fmt.Errorf("anchorhttp: GET: %w", e)))
		})
	}
	require.False(t, IsNotFound(nil))
	require.False(t, IsNotFound(ErrInvalidID))
}
