package e2e

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"
)

// A router that strips a path keeps the browser's path in RequestURI.
func TestMountingUnderAStrippedPath(t *testing.T) {
	t.Parallel()
	requireFlow(t, startApp(t, wiring{
		base: "/tools", prefix: "/tools", reports: "/tools/reports",
		wire: func(p parts) http.Handler {
			mux := newServeMux(p.login)
			serveMuxAtTheRoot(mux, p.connect, p.reports)
			return http.StripPrefix("/tools", mux)
		},
	}, 1))
}

// A proxy strips the path of the whole app; the app's router keeps the rest of PublicURL's
// path.
func TestMountingUnderAPartlyStrippedPath(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]func(parts) http.Handler{
		"a mounted handler": func(p parts) http.Handler {
			mux := newServeMux(p.login)
			mux.Handle("/integrations/", p.connect)
			mux.Handle("GET /reports", p.connect.RequireIdentity(p.reports))
			return mux
		},
		"registered in a sub-router": func(p parts) http.Handler {
			r := chi.NewRouter()
			r.Method(http.MethodPost, "/login", p.login)
			r.Route("/integrations", func(r chi.Router) { p.connect.Register(r) })
			r.With(p.connect.RequireIdentity).Handle("/reports", p.reports)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFlow(t, startApp(t, wiring{
				base: "/app", prefix: "/app/integrations", reports: "/app/reports",
				wire: func(p parts) http.Handler { return http.StripPrefix("/app", wire(p)) },
			}, 1))
		})
	}
}

// Many apps serve their front end at "GET /". A ServeMux refuses a pattern with a narrower
// path and wider methods than another one.
func TestRegisterBesideAPageForAllOtherPaths(t *testing.T) {
	t.Parallel()
	frontEnd := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	requireFlow(t, startApp(t, wiring{
		reports: "/reports",
		wire: func(p parts) http.Handler {
			mux := newServeMux(p.login)
			mux.Handle("GET /", frontEnd)
			require.NotPanics(t, func() { serveMuxAtTheRoot(mux, p.connect, p.reports) })
			return mux
		},
	}, 1))
}

// An app can have two handlers, each under its own path.
func TestRegisterTwoHandlers(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	mux := http.NewServeMux()
	require.NotPanics(t, func() {
		newParts(t, fake, "https://app.example/mail").connect.Register(mux)
		newParts(t, fake, "https://app.example/calendar").connect.Register(mux)
	})
}
