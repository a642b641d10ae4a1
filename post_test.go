package connect

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAcceptsJSONOnlyOfScripts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, accept, contentType string
		want                      bool
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
			header := http.Header{}
			header.Set("Accept", test.accept)
			header.Set("Content-Type", test.contentType)
			header.Set("Sec-Fetch-Dest", test.dest)
			require.Equal(t, test.want, acceptsJSON(header))
		})
	}
}

func TestReadFormReadsAFormThatTheAppHasParsed(t *testing.T) {
	t.Parallel()
	sent := url.Values{"return_to": {"/reports"}}
	for name, r := range map[string]*http.Request{
		"Form":     {Method: http.MethodPost, URL: &url.URL{Path: "/connect"}, Form: sent},
		"PostForm": {Method: http.MethodPost, URL: &url.URL{Path: "/connect"}, PostForm: sent},
		"query":    {Method: http.MethodPost, URL: &url.URL{Path: "/connect", RawQuery: sent.Encode()}},
	} {
		form, err := readForm(httptest.NewRecorder(), r)
		require.NoError(t, err, name)
		require.Equal(t, "/reports", form.ReturnTo, name)
	}
	form, err := readForm(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/connect", nil))
	require.NoError(t, err)
	require.Zero(t, form)

	r := httptest.NewRequest(http.MethodPost, "/connect", nil)
	r.Header.Set("Content-Type", "multipart/form-data")
	_, err = readForm(httptest.NewRecorder(), r)
	require.ErrorIs(t, err, ErrBadRequest, "without a body as with one")
}
