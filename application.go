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

// An Application is one of the Anchor applications that a [Handler] serves: a
// site that users connect their accounts of. It has no state of its own and may
// be used concurrently. [Handler.Application] returns it.
type Application struct {
	h       *Handler
	name    string // empty: Config.ApplicationID
	id      string
	listing *listing
}

// Name is the short name in Config.Applications; it is empty for the one that
// Config.ApplicationID names.
func (a *Application) Name() string { return a.name }

// ID is Anchor's id of the application, a UUID in lower case.
func (a *Application) ID() string { return a.id }

// Application returns the application with a short name of Config.Applications;
// the empty name is that of Config.ApplicationID. It panics at any other name:
// names stand in an app's wiring, not in what comes from outside.
func (h *Handler) Application(name string) *Application {
	if a := h.applications.named(name); a != nil {
		return a
	}
	if name == "" {
		panic("connect: Config.ApplicationID is not set: name one of Config.Applications with Handler.Application")
	}
	panic(fmt.Sprintf("connect: Config.Applications has no application named %q", name))
}

// RequireIdentity is [Handler.RequireIdentity] for this application.
func (a *Application) RequireIdentity(next http.Handler) http.Handler {
	return a.require(next, false)
}

// RequireConnection is [Handler.RequireConnection] for this application.
func (a *Application) RequireConnection(next http.Handler) http.Handler {
	return a.require(next, true)
}

// connectURL is the address of the application's connect page, a local path.
func (a *Application) connectURL() string { return a.h.prefix + a.route(routeConnect).path() }

// connectPage is connectURL with the local path to go to afterwards; empty for
// none.
func (a *Application) connectPage(returnTo string) string {
	if returnTo == "" {
		return a.connectURL()
	}
	return a.connectURL() + "?return_to=" + url.QueryEscape(returnTo)
}

// route is the application's own route of a kind.
func (a *Application) route(kind routeKind) route { return route{kind: kind, application: a.name} }

// applications are those of a handler, in the order of their names: the one
// without a name comes first.
type applications []*Application

// named returns the application with a name, nil if there is none.
func (as applications) named(name string) *Application {
	return as.find(func(a *Application) bool { return a.name == name })
}

// withID returns the application with an id, nil if there is none.
func (as applications) withID(id string) *Application {
	return as.find(func(a *Application) bool { return a.id == id })
}

func (as applications) find(is func(*Application) bool) *Application {
	if i := slices.IndexFunc(as, is); i >= 0 {
		return as[i]
	}
	return nil
}

// applicationName is what a short name is made of: it is a part of paths.
var applicationName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// newApplications checks what the configuration says of applications. Each
// problem is told by unusable.
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

// findsRoutesOf tells whether an application's routes lead to it and not, by
// their paths or by the prefix of PublicURL, to another.
func (h *Handler) findsRoutesOf(name string) bool {
	for _, kind := range applicationRoutes {
		own := route{kind: kind, application: name}
		if findRoute(own.path(), h.prefix) != own {
			return false
		}
	}
	return true
}

// applicationError is an error that concerns one application. Its text is the
// error's own.
type applicationError struct {
	error
	application *Application
	returnTo    string // where the start wanted to end; empty when that is not known
}

func (e *applicationError) Unwrap() error { return e.error }

// concerning notes which application an error is about, so that an answer can
// lead to its connect page. Either may be nil.
func concerning(a *Application, err error) error {
	if a == nil || err == nil {
		return err
	}
	return &applicationError{error: err, application: a}
}

// fail is [Handler.fail] with an error that concerns this application.
func (a *Application) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.h.fail(w, r, concerning(a, err))
}

// aboutOf is what an error says of the application that it concerns, zero if it
// says nothing.
func aboutOf(err error) applicationError {
	var about *applicationError
	if errors.As(err, &about) {
		return *about
	}
	return applicationError{}
}

// connectURLOf is the connect page that an error leads to, empty if it does not
// say.
func connectURLOf(err error) string {
	if a := aboutOf(err).application; a != nil {
		return a.connectURL()
	}
	return ""
}
