package connect

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientOfEachRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, accept, contentType string
		json                      bool
		dest                      string
	}{
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/x-www-form-urlencoded", false, ""},
		{"a script", "application/json", "", true, ""},
		{"axios", "application/json, text/plain, */*", "", true, ""},
		{"a form without a word", "", "application/x-www-form-urlencoded", false, ""},
		{"fetch with a JSON body", "*/*", "application/json", true, ""},
		{"fetch without a body", "*/*", "", false, ""},
		{"fetch in a browser", "*/*", "", true, "empty"},
		{"a script that wants a piece of a page", "text/html", "", false, "empty"},
		{"a form in a browser without a word", "*/*", "application/x-www-form-urlencoded", false, "document"},
		{"a browser that would take JSON too", "text/html, application/json", "", false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/connect", nil)
			r.Header.Set("Accept", test.accept)
			r.Header.Set("Content-Type", test.contentType)
			r.Header.Set("Sec-Fetch-Dest", test.dest)
			want := clientPage
			if test.json {
				want = clientJSON
			}
			require.Equal(t, want, clientOf(r))
			r.Header.Set("HX-Request", "true")
			require.Equal(t, clientHTMX, clientOf(r))
		})
	}
}
