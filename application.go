package connect

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/anchorconnect/connect/anchorhttp"
)

// An Application is one of the Anchor applications that a [Handler] serves: a site whose
// accounts users connect. [Handler.Application] returns it. It has no state of its own,
// and is safe for concurrent use.
type Application struct {
	h       *Handler
	name    string // empty: Config.ApplicationID
	id      string
	listing *listing
}

// Name returns the short name in Config.Applications, or "" for the application of
// Config.ApplicationID.
func (a *Application) Name() string { return a.name }

// ID returns Anchor's id of the application, a UUID in lower case.
func (a *Application) ID() string { return a.id }

// Application returns the application with a short name of Config.Applications, or, for
// the empty name, that of Config.ApplicationID. It panics if there is none: a name is a
// part of the app's wiring, not of a request.
func (h *Handler) Application(name string) *Application {
	if a := h.applications.named(name); a != nil {
		return a
	}
	if name == "" {
		panic("connect: Config.ApplicationID is not set: name one of Config.Applications with Handler.Application")
	}
	panic(fmt.Sprintf("connect: Config.Applications has no application named %q", name))
}

// defaultApplication returns the application of Config.ApplicationID, for methods that are
// called in a request, where a panic would be wrong.
func (h *Handler) defaultApplication() (*Application, error) {
	if a := h.applications.named(""); a != nil {
		return a, nil
	}
	return nil, errors.New("connect: Config.ApplicationID is not set: call the method of Handler.Application(name)")
}

// RequireIdentity is [Handler.RequireIdentity] for this application.
func (a *Application) RequireIdentity(next http.Handler) http.Handler {
	return a.require(next, false)
}

// RequireConnection is [Handler.RequireConnection] for this application.
func (a *Application) RequireConnection(next http.Handler) http.Handler {
	return a.require(next, true)
}

// connectURL returns the address of the application's connect page, a local path.
func (a *Application) connectURL() string { return a.h.hosts.prefix + a.route(routeConnect).path() }

// connectPage returns connectURL with the local path to redirect to afterwards; empty
// means none.
func (a *Application) connectPage(returnTo string) string {
	if returnTo == "" {
		return a.connectURL()
	}
	return a.connectURL() + "?return_to=" + url.QueryEscape(returnTo)
}

// route returns the application's own route of a kind.
func (a *Application) route(kind routeKind) route { return route{kind: kind, application: a.name} }

// applications are those of a handler, ordered by name: the one without a name comes
// first.
type applications []*Application

// named returns the application with a name, or nil.
func (as applications) named(name string) *Application {
	return as.find(func(a *Application) bool { return a.name == name })
}

// withID returns the application with an id, or nil.
func (as applications) withID(id string) *Application {
	return as.find(func(a *Application) bool { return a.id == id })
}

func (as applications) find(is func(*Application) bool) *Application {
	if i := slices.IndexFunc(as, is); i >= 0 {
		return as[i]
	}
	return nil
}

// applicationName is the form of a short name, which is a part of paths.
var applicationName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// newApplications returns the applications of a configuration. It reports each problem to
// unusable.
func newApplications(h *Handler, cfg Config, unusable func(field, format string, args ...any)) applications {
	var all applications
	add := func(field, name, text string) {
		id, ok := anchorhttp.ParseID(text)
		if !ok {
			unusable(field, "is %q, not a UUID: copy the application's id from Anchor's dashboard", text)
			return
		}
		if other := all.withID(id); other != nil {
			unusable(field, "is the same application as %q: give each one name", cmp.Or(other.name, "ApplicationID"))
			return
		}
		all = append(all, &Application{h: h, name: name, id: id, listing: newListing(h, id)})
	}
	if cfg.ApplicationID != "" || len(cfg.Applications) == 0 {
		add("ApplicationID", "", cfg.ApplicationID)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Applications)) {
		switch field := fmt.Sprintf("Applications[%q]", name); {
		case !applicationName.MatchString(name):
			unusable(field, "has an unusable name: use 1 to 32 of a-z, 0-9 and -, a letter first")
		case !h.findsRoutesOf(name):
			unusable(field, "has a name that is a route already: use another one")
		default:
			add(field, name, cfg.Applications[name])
		}
	}
	return all
}

// findsRoutesOf reports whether an application's routes lead to it, and not, because of
// their paths or the prefix of PublicURL, to another one.
func (h *Handler) findsRoutesOf(name string) bool {
	for _, kind := range applicationRoutes {
		own := route{kind: kind, application: name}
		if findRoute(own.path(), h.hosts.prefix) != own {
			return false
		}
	}
	return true
}
