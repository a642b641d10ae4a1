package connect_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestRoutesServeUnderAPrefixStrippedOrNot(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(*http.ServeMux, *connect.Handler){
		"registered":       func(mux *http.ServeMux, h *connect.Handler) { h.Register(mux) },
		"mounted whole":    func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", h) },
		"mounted stripped": func(mux *http.ServeMux, h *connect.Handler) { mux.Handle("/tools/", http.StripPrefix("/tools", h)) },
		"registered on a mux that is mounted stripped": func(mux *http.ServeMux, h *connect.Handler) {
			inner := http.NewServeMux()
			h.Register(inner)
			mux.Handle("/tools/", http.StripPrefix("/tools", inner))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mux := http.NewServeMux()
			app := httptest.NewServer(mux)
			t.Cleanup(app.Close)
			h, err := connect.New(connect.Config{
				Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: app.URL + "/tools/", Store: s.store,
				User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
				Secrets: [][]byte{[]byte("a secret of the tests, not random")},
			})
			require.NoError(t, err)
			mount(mux, h)

			ada := s.browser()
			a := ada.post(app.URL+"/tools/connect", nil)
			require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
			require.Regexp(t, `^connect-`, a.header.Get("Set-Cookie"), "without TLS there is no __Host-")
			require.NotContains(t, a.header.Get("Set-Cookie"), "Secure")
			callback := s.approve(a.location)
			require.True(t, strings.HasPrefix(callback, app.URL+"/tools/identity-callback/"), callback)
			require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
			require.NotZero(t, s.connection("ada"))
			require.Contains(t, ada.get(app.URL+"/tools/connect").body, `action="/tools/connect"`)
			require.Equal(t, http.StatusOK, ada.get(app.URL+"/tools/connect/status").status)
			require.Equal(t, "/tools/connect", ada.post(app.URL+"/tools/disconnect", nil).location)
		})
	}
}
