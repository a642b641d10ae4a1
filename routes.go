package connect

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// routeKind is what a route does.
type routeKind int

const (
	noRoute routeKind = iota
	routeConnect
	routeStatus
	routeCallback
	routeDisconnect
	routeLabel
	routeModule
)

// applicationRoutes are the kinds of routes that each application has.
var applicationRoutes = []routeKind{routeConnect, routeStatus, routeLabel, routeDisconnect}

// The paths of the routes. An application with a short name has its own routes below them:
// /connect/{application}, /connect/{application}/status, /connect/{application}/label and
// /disconnect/{application}. All applications share the callback and the module.
const (
	connectPath    = "/connect"
	statusPath     = "/status"                   // below a connect path
	labelPath      = "/label"                    // the same
	modulePath     = connectPath + "/connect.js" // no application's name has a dot
	callbackPath   = "/identity-callback"
	disconnectPath = "/disconnect"
)

// A route is what a path leads to.
type route struct {
	kind        routeKind
	application string // the short name; empty for Config.ApplicationID
	state       string // of a callback; empty with FixedCallbackURL
}

// path returns the route's path below PublicURL.
func (r route) path() string {
	below := func(path, name string) string {
		if name != "" {
			path += "/" + name
		}
		return path
	}
	switch r.kind {
	case routeConnect:
		return below(connectPath, r.application)
	case routeStatus:
		return below(connectPath, r.application) + statusPath
	case routeLabel:
		return below(connectPath, r.application) + labelPath
	case routeCallback:
		return below(callbackPath, r.state)
	case routeDisconnect:
		return below(disconnectPath, r.application)
	case routeModule:
		return modulePath
	}
	return ""
}

// methods are the methods that each kind of route answers.
var methods = [...][]string{
	routeConnect: {http.MethodGet, http.MethodHead, http.MethodPost},
	routeStatus:  {http.MethodGet, http.MethodHead},
	// Not HEAD: a link checker sends it, not the browser that began the flow.
	routeCallback:   {http.MethodGet},
	routeDisconnect: {http.MethodPost},
	routeLabel:      {http.MethodPost},
	routeModule:     {http.MethodGet, http.MethodHead},
}

// findRoute returns the route of a path, with the prefix or without it, or with the part
// of it after one of its slashes. It does not check that the application exists.
func findRoute(path, prefix string) route {
	for prefix != "" {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			if r := findRoute(rest, ""); r.kind != noRoute {
				return r
			}
		}
		next := strings.IndexByte(prefix[1:], '/')
		if next < 0 {
			break
		}
		prefix = prefix[1+next:]
	}
	switch path {
	case connectPath:
		return route{kind: routeConnect}
	case connectPath + statusPath:
		return route{kind: routeStatus}
	case connectPath + labelPath:
		return route{kind: routeLabel}
	case callbackPath:
		return route{kind: routeCallback}
	case disconnectPath:
		return route{kind: routeDisconnect}
	case modulePath:
		return route{kind: routeModule}
	}
	if name, ok := strings.CutPrefix(path, connectPath+"/"); ok {
		kind := routeConnect
		if application, ok := strings.CutSuffix(name, statusPath); ok {
			name, kind = application, routeStatus
		} else if application, ok := strings.CutSuffix(name, labelPath); ok {
			name, kind = application, routeLabel
		}
		return segment(name, route{kind: kind, application: name})
	}
	if name, ok := strings.CutPrefix(path, disconnectPath+"/"); ok {
		return segment(name, route{kind: routeDisconnect, application: name})
	}
	if state, ok := strings.CutPrefix(path, callbackPath+"/"); ok {
		if state == "" {
			return route{kind: routeCallback}
		}
		// A gateway may have added a slash.
		state = strings.TrimSuffix(state, "/")
		return segment(state, route{kind: routeCallback, state: state})
	}
	return route{}
}

// segment returns r if name is one whole segment of a path, and no route otherwise.
func segment(name string, r route) route {
	if name == "" || strings.Contains(name, "/") {
		return route{}
	}
	return r
}

// Routes returns an iterator over the method and the path of each route, with the path
// of PublicURL, for routers that [Handler.Register] does not fit. The Handler serves
// all of them:
//
//	for method, path := range h.Routes(":state") {
//		router.Handle(method, path, gin.WrapH(h))
//	}
//
// state is how the router writes a parameter that is one segment of a path: "{state}"
// for net/http, chi and gorilla/mux, ":state" for gin, echo, httprouter and fiber. The
// Handler parses the path itself, so the parameter may have any name.
func (h *Handler) Routes(state string) iter.Seq2[string, string] {
	return func(yield func(method, path string) bool) {
		for path, kind := range h.paths(state) {
			for _, method := range methods[kind] {
				if !yield(method, h.hosts.prefix+path) {
					return
				}
			}
		}
	}
}

// paths returns an iterator over the paths of all routes below PublicURL, with state in
// place of a state.
func (h *Handler) paths(state string) iter.Seq2[string, routeKind] {
	return func(yield func(string, routeKind) bool) {
		all := []route{{kind: routeCallback}, {kind: routeCallback, state: state}, {kind: routeModule}}
		for _, a := range h.applications {
			for _, kind := range applicationRoutes {
				all = append(all, a.route(kind))
			}
		}
		for _, r := range all {
			if !yield(r.path(), r.kind) || r.kind == routeCallback && !yield(r.path()+"/", r.kind) {
				return
			}
		}
	}
}

// A registrar is what [Handler.Register] mounts routes on.
type registrar interface {
	Handle(pattern string, handler http.Handler)
}

// register mounts a handler of one kind of route at a path.
func register(mux registrar, path string, kind routeKind, h http.Handler) {
	if _, ok := mux.(*http.ServeMux); !ok {
		mux.Handle(path, h)
		return
	}
	if strings.HasSuffix(path, "/") {
		path += "{$}" // Not everything below it.
	}
	// A ServeMux rejects a pattern for all methods beside "GET /", which many apps have.
	for _, method := range methods[kind] {
		if method != http.MethodHead { // GET is for both.
			mux.Handle(method+" "+path, h)
		}
	}
}

// isTaken reports whether a ServeMux has a pattern with this very path already. It returns
// false for other muxes.
func isTaken(mux registrar, path string, kind routeKind) bool {
	serveMux, ok := mux.(*http.ServeMux)
	return ok && slices.ContainsFunc(methods[kind], func(method string) bool {
		_, pattern := serveMux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
		if _, withoutMethod, ok := strings.Cut(pattern, " "); ok {
			pattern = withoutMethod
		}
		return strings.TrimSuffix(pattern, "{$}") == path
	})
}
