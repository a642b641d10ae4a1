package connect

import "strings"

// routeKind is what a route does.
type routeKind int

const (
	noRoute routeKind = iota
	routeConnect
	routeStatus
	routeCallback
	routeDisconnect
)

// applicationRoutes are the kinds that each application has of its own.
var applicationRoutes = []routeKind{routeConnect, routeStatus, routeDisconnect}

// The paths of the routes. An application with a short name has its own below
// them: /connect/{application}, /connect/{application}/status and
// /disconnect/{application}. The callback is one for all.
const (
	connectPath    = "/connect"
	statusPath     = "/status" // below a connect path
	callbackPath   = "/identity-callback"
	disconnectPath = "/disconnect"
)

// A route is what a path leads to.
type route struct {
	kind        routeKind
	application string // the short name; empty for Config.ApplicationID
	state       string // of a callback; empty with FixedCallbackURL
}

// path is where the route is found, below PublicURL.
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
	case routeCallback:
		return below(callbackPath, r.state)
	case routeDisconnect:
		return below(disconnectPath, r.application)
	}
	return ""
}

// findRoute tells where a path leads, whether the prefix is still on it or has
// been stripped. Whether there is an application of that name is not asked.
func findRoute(path, prefix string) route {
	if prefix != "" {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			if r := findRoute(rest, ""); r.kind != noRoute {
				return r
			}
		}
	}
	switch path {
	case connectPath:
		return route{kind: routeConnect}
	case connectPath + statusPath:
		return route{kind: routeStatus}
	case callbackPath:
		return route{kind: routeCallback}
	case disconnectPath:
		return route{kind: routeDisconnect}
	}
	if name, ok := strings.CutPrefix(path, connectPath+"/"); ok {
		kind := routeConnect
		if application, ok := strings.CutSuffix(name, statusPath); ok {
			name, kind = application, routeStatus
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
		return segment(state, route{kind: routeCallback, state: state})
	}
	return route{}
}

// segment is r when name is one whole segment of a path.
func segment(name string, r route) route {
	if name == "" || strings.Contains(name, "/") {
		return route{}
	}
	return r
}
