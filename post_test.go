package connect

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

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
