package e2e

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gorilla/mux"
	"github.com/julienschmidt/httprouter"
	echov4 "github.com/labstack/echo/v4"
	"github.com/labstack/echo/v5"

	"github.com/anchorconnect/connect"
)

// The recipes. In each, connect is at the root of PublicURL's host, or under /tools if the
// name says so.

func serveMuxAtTheRoot(mux *http.ServeMux, h *connect.Handler, reports http.Handler) {
	// docs: net/http
	h.Register(mux)
	mux.Handle("GET /reports", h.RequireIdentity(reports))
	// docs: end
}

func serveMuxUnderAPath(mux *http.ServeMux, h *connect.Handler, reports http.Handler) {
	// docs: net/http, under a path
	mux.Handle("/tools/", h)
	mux.Handle("GET /tools/reports", h.RequireIdentity(reports))
	// docs: end
}

func serveMuxStripped(mux *http.ServeMux, h *connect.Handler, reports http.Handler) {
	// docs: net/http, stripped
	mux.Handle("/tools/", http.StripPrefix("/tools", h))
	// docs: end
	mux.Handle("GET /reports", h.RequireIdentity(reports))
}

func chiAtTheRoot(r chi.Router, h *connect.Handler, reports http.Handler) {
	// docs: chi
	h.Register(r)
	r.With(h.RequireIdentity).Handle("/reports", reports)
	// docs: end
}

func chiUnderAPath(r chi.Router, h *connect.Handler, reports http.Handler) {
	// docs: chi, under a path
	r.Route("/tools", func(r chi.Router) {
		h.Register(r)
		r.With(h.RequireIdentity).Handle("/reports", reports)
	})
	// docs: end
}

func chiStripped(r chi.Router, h *connect.Handler, reports http.Handler) {
	// docs: chi, stripped
	r.Mount("/tools", http.StripPrefix("/tools", h))
	// docs: end
	r.With(h.RequireIdentity).Handle("/reports", reports)
}

func gorillaAtTheRoot(r *mux.Router, h *connect.Handler, reports http.Handler) {
	// docs: gorilla/mux
	for method, path := range h.Routes("{state}") {
		r.Handle(path, h).Methods(method)
	}
	r.Handle("/reports", h.RequireIdentity(reports))
	// docs: end
}

func gorillaUnderAPath(r *mux.Router, h *connect.Handler, reports http.Handler) {
	// docs: gorilla/mux, under a path
	guarded := r.PathPrefix("/tools/reports").Subrouter()
	guarded.Use(h.RequireIdentity)
	guarded.Handle("", reports)
	r.PathPrefix("/tools/").Handler(h) // last: it takes what is left
	// docs: end
}

func gorillaStripped(r *mux.Router, h *connect.Handler, reports http.Handler) {
	// docs: gorilla/mux, stripped
	r.PathPrefix("/tools/").Handler(http.StripPrefix("/tools", h))
	// docs: end
	r.Handle("/reports", h.RequireIdentity(reports))
}

func ginAtTheRoot(r *gin.Engine, h *connect.Handler, reports http.Handler) {
	// docs: gin
	for method, path := range h.Routes(":state") {
		r.Handle(method, path, gin.WrapH(h))
	}
	r.GET("/reports", requireIdentity(h), func(c *gin.Context) {
		connection, _ := connect.FromContext(c.Request.Context())
		c.String(http.StatusOK, "reports of "+connection.IdentityID)
	})
	// docs: end
	_ = reports
}

// docs: gin, middleware
func requireIdentity(h *connect.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		let := false
		h.RequireIdentity(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			let, c.Request = true, r
		})).ServeHTTP(c.Writer, c.Request)
		if !let {
			c.Abort() // It has been answered.
		}
	}
}

// docs: end

func ginUnderAPath(r *gin.Engine, h *connect.Handler, reports http.Handler) {
	// docs: gin, under a path
	r.Group("/tools").Any("/*path", gin.WrapH(h)) // a group of its own: gin lets nothing stand beside the star
	r.GET("/reports", gin.WrapH(h.RequireIdentity(reports)))
	// docs: end
}

func ginStripped(r *gin.Engine, h *connect.Handler, reports http.Handler) {
	// docs: gin, stripped
	r.Group("/tools").Any("/*path", gin.WrapH(http.StripPrefix("/tools", h)))
	// docs: end
	r.GET("/reports", gin.WrapH(h.RequireIdentity(reports)))
}

func echoAtTheRoot(e *echo.Echo, h *connect.Handler, reports http.Handler) {
	// docs: echo
	for method, path := range h.Routes(":state") {
		e.Add(method, path, echo.WrapHandler(h))
	}
	e.GET("/reports", echo.WrapHandler(reports), echo.WrapMiddleware(h.RequireIdentity))
	// docs: end
}

func echoUnderAPath(e *echo.Echo, h *connect.Handler, reports http.Handler) {
	// docs: echo, under a path
	tools := e.Group("/tools")
	tools.Any("/*", echo.WrapHandler(h))
	tools.GET("/reports", echo.WrapHandler(reports), echo.WrapMiddleware(h.RequireIdentity))
	// docs: end
}

func echoStripped(e *echo.Echo, h *connect.Handler, reports http.Handler) {
	// docs: echo, stripped
	e.Any("/tools/*", echo.WrapHandler(http.StripPrefix("/tools", h)))
	// docs: end
	e.GET("/reports", echo.WrapHandler(reports), echo.WrapMiddleware(h.RequireIdentity))
}

// echo v4 is wired exactly as v5.

func echoV4AtTheRoot(e *echov4.Echo, h *connect.Handler, reports http.Handler) {
	for method, path := range h.Routes(":state") {
		e.Add(method, path, echov4.WrapHandler(h))
	}
	e.GET("/reports", echov4.WrapHandler(reports), echov4.WrapMiddleware(h.RequireIdentity))
}

func echoV4UnderAPath(e *echov4.Echo, h *connect.Handler, reports http.Handler) {
	tools := e.Group("/tools")
	tools.Any("/*", echov4.WrapHandler(h))
	tools.GET("/reports", echov4.WrapHandler(reports), echov4.WrapMiddleware(h.RequireIdentity))
}

func echoV4Stripped(e *echov4.Echo, h *connect.Handler, reports http.Handler) {
	e.Any("/tools/*", echov4.WrapHandler(http.StripPrefix("/tools", h)))
	e.GET("/reports", echov4.WrapHandler(reports), echov4.WrapMiddleware(h.RequireIdentity))
}

func httprouterAnywhere(r *httprouter.Router, h *connect.Handler, reports http.Handler) {
	// docs: httprouter
	for method, path := range h.Routes(":state") {
		r.Handler(method, path, h)
	}
	r.Handler("GET", "/reports", h.RequireIdentity(reports))
	// docs: end
}

func fiberAnywhere(f *fiber.App, h *connect.Handler, reports http.Handler) {
	// docs: fiber
	for method, path := range h.Routes(":state") {
		f.Add([]string{method}, path, adaptor.HTTPHandler(h))
	}
	f.Get("/reports", adaptor.HTTPHandler(h.RequireIdentity(reports)))
	// docs: end
}

// served serves a fiber app with its own server, which is not net/http's, behind a proxy
// that terminates TLS.
func served(f *fiber.App) http.Handler {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = f.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }() // As long as the tests run.
	target := &url.URL{Scheme: "http", Host: listener.Addr().String()}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

// wiringsOf returns the wirings of one router. newRouter returns a router with a login
// route.
func wiringsOf[R http.Handler](name string, newRouter func(login http.Handler) R, reportsUnderThePath string,
	atTheRoot, underAPath, stripped func(R, *connect.Handler, http.Handler),
) []wiring {
	wire := func(recipe func(R, *connect.Handler, http.Handler)) func(parts) http.Handler {
		return func(p parts) http.Handler {
			r := newRouter(p.login)
			recipe(r, p.connect, p.reports)
			return r
		}
	}
	return []wiring{
		{name: name + " at the root", reports: "/reports", wire: wire(atTheRoot)},
		{name: name + " under a path", prefix: "/tools", reports: reportsUnderThePath, wire: wire(underAPath)},
		{name: name + " under a path that is stripped", prefix: "/tools", reports: "/reports", wire: wire(stripped)},
	}
}

func wirings() (all []wiring) {
	all = append(all, wiringsOf("net/http", newServeMux, "/tools/reports", serveMuxAtTheRoot, serveMuxUnderAPath, serveMuxStripped)...)
	all = append(all, wiringsOf("chi", func(login http.Handler) *chi.Mux {
		r := chi.NewRouter()
		r.Method(http.MethodPost, "/login", login)
		return r
	}, "/tools/reports", adapted(chiAtTheRoot), adapted(chiUnderAPath), adapted(chiStripped))...)
	all = append(all, wiringsOf("gorilla/mux", func(login http.Handler) *mux.Router {
		r := mux.NewRouter()
		r.Methods(http.MethodPost).Path("/login").Handler(login)
		return r
	}, "/tools/reports", gorillaAtTheRoot, gorillaUnderAPath, gorillaStripped)...)
	all = append(all, wiringsOf("gin", func(login http.Handler) *gin.Engine {
		r := gin.New()
		r.HandleMethodNotAllowed = true
		r.POST("/login", gin.WrapH(login))
		return r
	}, "/reports", ginAtTheRoot, ginUnderAPath, ginStripped)...)
	all = append(all, wiringsOf("echo", func(login http.Handler) *echo.Echo {
		e := echo.New()
		e.POST("/login", echo.WrapHandler(login))
		return e
	}, "/tools/reports", echoAtTheRoot, echoUnderAPath, echoStripped)...)
	for name, prefix := range map[string]string{" at the root": "", " under a path": "/tools"} {
		all = append(all, wiring{name: "httprouter" + name, prefix: prefix, reports: "/reports", wire: func(p parts) http.Handler {
			r := httprouter.New()
			r.Handler(http.MethodPost, "/login", p.login)
			httprouterAnywhere(r, p.connect, p.reports)
			return r
		}}, wiring{name: "fiber" + name, prefix: prefix, reports: "/reports", wire: func(p parts) http.Handler {
			f := fiber.New()
			f.Post("/login", adaptor.HTTPHandler(p.login))
			fiberAnywhere(f, p.connect, p.reports)
			return served(f)
		}})
	}
	all = append(all, wiringsOf("echo v4", func(login http.Handler) *echov4.Echo {
		e := echov4.New()
		e.POST("/login", echov4.WrapHandler(login))
		return e
	}, "/tools/reports", echoV4AtTheRoot, echoV4UnderAPath, echoV4Stripped)...)
	return all
}

func newServeMux(login http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("POST /login", login)
	return mux
}

// adapted turns a recipe for chi's interface into one for its router.
func adapted(recipe func(chi.Router, *connect.Handler, http.Handler)) func(*chi.Mux, *connect.Handler, http.Handler) {
	return func(r *chi.Mux, h *connect.Handler, reports http.Handler) { recipe(r, h, reports) }
}

func init() { gin.SetMode(gin.ReleaseMode) } // Or it prints every route.

func TestRouters(t *testing.T) {
	t.Parallel()
	for _, w := range wirings() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, w, 1)
			requireFlow(t, a)
			requireNothingElse(t, a)
		})
	}
}

func TestRoutersOverHTTP2(t *testing.T) {
	t.Parallel()
	for _, w := range wirings() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, w, 2)
			requireFlow(t, a)
			requireNothingElse(t, a)
		})
	}
}
