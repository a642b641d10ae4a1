package connect

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// maxReturnTo is the longest return path in bytes; a [Store] keeps as much.
	maxReturnTo = 1024

	// maxMaxConnections is the largest Config.MaxConnections. Every request that
	// needs a connection reads all of a user's.
	maxMaxConnections = 100
)

// Config is what [New] needs. The zero value of a field that says "Defaults to"
// may be left; the others are required.
type Config struct {
	// Anchor is the client of Anchor's API, from anchorhttp.New.
	Anchor *anchorhttp.Client

	// ApplicationID is the Anchor application that users connect to, a UUID. It
	// may be left out when there are Applications.
	ApplicationID string

	// Applications are further ones, by short names of the app's own choice: 1 to
	// 32 of a-z, 0-9 and "-", a letter first. Each has routes of its own
	// ("/connect/{name}"…) and a connection of its own for each user; see
	// [Handler.Application]. Defaults to none.
	Applications map[string]string

	// PublicURL is where browsers find the handler: scheme, host and the path
	// prefix it is mounted under, if any, such as "https://your-app.com" or
	// "https://your-app.com/integrations". The callback address is built from
	// it; the Host header is never believed. It is https, or http on a loopback
	// host for development (Anchor itself takes only https callbacks). Cookies
	// are Secure, and bound to the host by their name, exactly when it is https.
	//
	// If the app has several hosts, it is the main one: see PublicURLs.
	PublicURL string

	// PublicURLs are further addresses of the same app, such as
	// "https://your-app.de", with the scheme and the path of PublicURL. The Host
	// header chooses among them and PublicURL, and a request with any other Host is
	// [ErrWrongOrigin]. A flow returns to the host that it began at. With several
	// hosts, SuccessURL and SignInURL must be local paths, and a user id must mean
	// the same user on all of them: see [TenantUserID] if it does not. Defaults to
	// none; docs/hosts.md has examples.
	PublicURLs []string

	// PublicURLOf returns which of the app's own addresses a request is at, in the
	// form of PublicURL and with its scheme and path, such as
	// "https://acme.your-app.com". It is for apps whose hosts are in a database, or
	// behind a proxy that rewrites Host. It must look the host up among the app's
	// own: if it trusts any Host header, others choose where flows return to.
	//
	// If the host is none of the app's, return "" or [ErrWrongOrigin]. Any other error
	// answers 503 ([ErrHostLookup]). It is called once for each request of the
	// handler's routes, before User, and must be safe for concurrent use. What is
	// said of PublicURLs applies too. Defaults to nil: every request is at PublicURL,
	// or at what its Host header names of PublicURLs.
	PublicURLOf func(*http.Request) (string, error)

	// MaxConnections is how many accounts of one application a user may connect, at
	// most 100. With more than one, a user adds further accounts beside the first:
	// see docs/accounts.md. If it is lowered, connections beyond it stay. Defaults
	// to 1: connecting again then replaces the account.
	MaxConnections int

	// Store keeps pending flows, connections and owed calls. Handlers that share one share
	// their users: [Handler.Disconnect] ends all that a user id has in it. Apps with
	// users of their own need stores of their own, such as tables with another
	// prefix.
	Store Store

	// User tells who is signed in, for example [SessionUser]. Nobody is
	// [ErrNotSignedIn] or an empty ID; any other error is a fault (503). It is
	// called concurrently, once for each request.
	User func(*http.Request) (User, error)

	// Secrets seal the state cookie: the first seals, all open. Each has at least
	// 32 random bytes. To rotate one on several replicas, add the new one last on
	// all of them, then move it first on all of them, and remove the old one an
	// hour later: a replica cannot open what was sealed with a secret that it does
	// not have yet.
	Secrets [][]byte

	// SuccessURL is where the browser goes after connecting, when the start
	// named no return_to: a local path or an http(s) address. Defaults to "/".
	SuccessURL string

	// SignInURL is the app's own sign-in page: a local path or an http(s)
	// address. It is offered to who is not signed in, with the local path to
	// come back to in its parameter return_to. Defaults to none: the pages then
	// only say that signing in comes first.
	SignInURL string

	// Metadata is what the app wants to be told of an identity at Anchor, beside
	// the user's id (externalUserId) and the moment of connecting (connectedAt),
	// which it cannot change: for example {"plan": "pro"}. It is called when the
	// identity is tagged, in the request that connects and, when that failed, by
	// [Handler.Run], where User has its ID and Actor alone. ctx has five seconds with the
	// call to Anchor. An error puts the tag off; the person is connected all the
	// same. It is called concurrently. Defaults to none.
	Metadata func(ctx context.Context, user User) (map[string]any, error)

	// Accept decides whether an account is connected, after all proofs and before
	// anything is stored. It may compare the account with the one that it replaces, or
	// have the user confirm it. Any of these ends the callback:
	//
	//   - nil: the account is connected.
	//   - [NotAccepted]: the user is shown why. The identity, which was made for this
	//     flow, is deleted at Anchor, and the flow ends.
	//   - [AskFirst]: the browser is redirected to a page of the app's own, and comes
	//     back to the callback afterwards, where Accept is called again.
	//   - Any other error is a fault ([ErrAcceptFailed], 503); the user may try again.
	//
	// r is the callback's request; its context ends after 30 seconds. Accept may be
	// called more than once for one flow, and must be safe for concurrent use. It does
	// not see reloads. Defaults to accepting every account.
	Accept func(r *http.Request, c Candidate) error

	// OnEvent is told what has happened, for an audit log. It is called after the
	// fact, outside of the request and one event at a time, so it can neither
	// hold a request up nor fail it. Its ctx has the request's values (but a
	// router may use its own again when the request is over) and ten seconds. The
	// user may be deleted by then, so an audit table needs to do without a foreign
	// key to the users. While it is slow up to 1000 events wait. At most 200 of
	// them are of each of these: refusals that any stranger can cause (proofs 1 to 3),
	// other refusals, flows that begin or fail, and browser sessions. More are dropped,
	// which is logged. What has not been told when the process ends
	// is lost, but [Handler.Run] waits for it. Defaults to nobody.
	OnEvent func(ctx context.Context, event Event)

	// Templates are pages of the app's own. It defines those of "connect",
	// "notice", "repeat", "popup" and "alert" that it wants to replace; their data
	// is [ConnectPage], [NoticePage], [RepeatPage], [PopupPage] and NoticePage
	// again. "head" and "brand", which get no data, are added to the built-in
	// pages: to the end of the head, and above what the page says. Other templates
	// are for these to use. [New] tries each, and tells what is wrong; one that
	// fails later is logged, and the built-in one is shown.
	//
	// The pages' Content-Security-Policy lets no script run and nothing be loaded.
	// A page with something of the app's own in it may load style sheets, fonts
	// and images of PublicURL's origin. Defaults to none; docs/pages.md has
	// examples.
	Templates *template.Template

	// Language chooses the language of a request's texts, such as "de" or "pt-BR", for
	// example from the user's settings; "" leaves it to Accept-Language. So does a
	// language that there are no texts in. The last resort is English. Language may be
	// called more than once for a request, and must be safe for concurrent use. Defaults
	// to Accept-Language alone.
	Language func(*http.Request) string

	// Texts overrides texts and adds languages, by BCP 47 tag and by the keys of
	// [BuiltInTexts]. A text that a language lacks is in the language without its region
	// ("fr" for "fr-CA"), or else in English. Keys that begin with "app." are texts of the
	// app's own, for Templates and [Locale.Text]. [New] refuses an unknown key, and
	// placeholders that differ from the English text's. Defaults to the built-in
	// languages: German, English, Spanish, French and Japanese.
	Texts map[string]map[string]string

	// ErrorHandler answers every request that ends in one of this package's
	// errors (an unknown path or method gets a plain 404 or 405), but for a refused
	// return to a popup of connect.js, which gets the page "popup". [Locale.Explain]
	// tells what to show. Defaults to the page "notice", to "alert" for htmx, or JSON
	// where the request accepts it. The error has been logged by then.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger gets refusals and faults. It is given no token, key, cookie or
	// state. Defaults to slog.Default().
	Logger *slog.Logger

	// FixedCallbackURL makes every start use the one callback address
	// PublicURL + "/identity-callback", for gateways and allow-lists that
	// accept exact addresses only. The state then rides in the cookie alone,
	// which is weaker: while a user has a start open, a link that an attacker
	// made can finish it with an identity that the attacker created meanwhile. A
	// browser tells two users apart by their state cookies, so the app must not
	// clear cookies on sign-out (Clear-Site-Data). Leave it false unless something
	// forces it.
	FixedCallbackURL bool

	// Now is the clock, but for the age of the state cookie's seal, which is
	// judged by time.Now. Defaults to time.Now.
	Now func() time.Time
}

// Handler serves the routes of connect, under PublicURL's path or with that
// path stripped:
//
//	GET  /connect                       a page with the button, and the user's accounts
//	POST /connect                       begins a flow: 303 to the hosted page, JSON, or HX-Redirect
//	GET  /connect/status                the user's connections, as JSON
//	GET  /connect/connect.js            a module that begins a flow from a script, in a popup
//	POST /connect/label                 sets the label of a connection
//	POST /disconnect                    ends one of the user's connections, or all
//	GET  /identity-callback/{state}     where the hosted page returns to
//	GET  /identity-callback             the same, with FixedCallbackURL
//
// Config.Applications have their own, and share the callback:
//
//	GET  /connect/{application}
//	POST /connect/{application}
//	GET  /connect/{application}/status
//	POST /connect/{application}/label
//	POST /disconnect/{application}
//
// It is safe for concurrent use. Make one with [New].
type Handler struct {
	anchor         *anchorhttp.Client
	project        *project
	pace           *pace
	applications   applications
	store          Store
	user           func(*http.Request) (User, error)
	successURL     string
	signInURL      string
	fixedCallback  bool
	metadata       func(context.Context, User) (map[string]any, error)
	accept         func(*http.Request, Candidate) error
	maxConnections int
	events         *events
	now            func() time.Time
	log            *slog.Logger
	errorHandler   func(http.ResponseWriter, *http.Request, error)

	hosts        hosts
	cookies      stateCookies
	crossOrigin  *http.CrossOriginProtection // trusts no origin: see fromOurPages
	pages        pages
	languages    languages
	clockLogged  *logRate // of the difference between the clocks
	statusLogged *logRate // of a status that nobody knows
}

// New returns a handler for a configuration. Its error names every field that is missing
// or unusable, with the remedy.
func New(cfg Config) (*Handler, error) {
	h := &Handler{
		anchor:         cfg.Anchor,
		store:          cfg.Store,
		user:           cfg.User,
		fixedCallback:  cfg.FixedCallbackURL,
		metadata:       cfg.Metadata,
		accept:         cfg.Accept,
		maxConnections: max(cfg.MaxConnections, 1),
		now:            cfg.Now,
		log:            cfg.Logger,
		errorHandler:   cfg.ErrorHandler,
		crossOrigin:    http.NewCrossOriginProtection(),
		clockLogged:    new(logRate),
		statusLogged:   new(logRate),
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.errorHandler == nil {
		h.errorHandler = h.defaultErrorHandler
	}
	h.project, h.pace = &project{anchor: cfg.Anchor, now: h.now}, newPace(h.now)
	h.events = &events{handle: cfg.OnEvent, log: h.log}

	var problems []error
	unusable := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("connect: Config.%s %w", field, fmt.Errorf(format, args...)))
	}
	h.hosts = newHosts(cfg, unusable)
	h.applications = newApplications(h, cfg, unusable) // Their names must suit the prefix.
	cfg.validate(unusable)
	h.successURL = h.hosts.destination("SuccessURL", cfg.SuccessURL, "/", unusable)
	h.signInURL = h.hosts.destination("SignInURL", cfg.SignInURL, "", unusable)
	h.languages = newLanguages(cfg.Language, newLocales(cfg.Texts, unusable))
	h.pages = newPages(cfg, h.languages.byTag[english], unusable)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	var err error
	if h.cookies, err = newStateCookies(cfg.Secrets, h.hosts.scheme == "https"); err != nil {
		return nil, fmt.Errorf("connect: Config.Secrets: %w", err)
	}
	return h, nil
}

// validate reports to unusable what is wrong with fields that can be judged by
// themselves.
func (cfg Config) validate(unusable func(field, format string, args ...any)) {
	if cfg.Anchor == nil {
		unusable("Anchor", "is missing: set it to anchorhttp.New(apiKey)")
	} else if err := cfg.Anchor.Validate(); err != nil {
		unusable("Anchor", "is unusable: %w", err)
	}
	switch n := cfg.MaxConnections; {
	case n < 0 || n > maxMaxConnections:
		unusable("MaxConnections", "is %d: use 1 to %d, or omit it for 1", n, maxMaxConnections)
	case n > 1 && cfg.FixedCallbackURL:
		unusable("MaxConnections", "is %d with FixedCallbackURL: the callback could not tell which account a user has signed in to", n)
	}
	if cfg.Store == nil {
		unusable("Store", "is missing: set it to a Store, for a first try connect.NewMemoryStore()")
	}
	if cfg.User == nil {
		unusable("User", "is missing: set it to connect.SessionUser(…) or a func(*http.Request) (connect.User, error)")
	}
	if len(cfg.Secrets) == 0 {
		unusable("Secrets", "is empty: it needs at least one secret of 32 random bytes (openssl rand -hex 32)")
	}
	for i, secret := range cfg.Secrets {
		switch {
		case len(secret) < 32:
			unusable("Secrets", "has %d bytes at index %d: each needs at least 32 random bytes (openssl rand -hex 32)", len(secret), i)
		case !looksRandom(secret):
			unusable("Secrets", "has a secret of a few repeated bytes at index %d: use 32 random bytes (openssl rand -hex 32)", i)
		}
	}
}

// Register mounts the handler's routes on a mux: *http.ServeMux, a chi router,
// or anything else with this Handle and patterns like "/identity-callback/{x}".
// When PublicURL has a path, the routes are registered both under it and
// without it, for muxes behind something that strips it; on an *http.ServeMux
// those without it give way to what is there by then, such as an app's own
// "/connect". So a limit or a gateway that guards the path alone does not guard
// the routes without it. Mount the Handler itself instead, under the path:
//
//	mux.Handle("/integrations/", limit(h)) // PublicURL: "https://your-app.com/integrations"
//
// The Handler finds its own routes on any router. [Handler.Routes] lists them for
// routers with another Handle.
func (h *Handler) Register(mux interface {
	Handle(pattern string, handler http.Handler)
}) {
	mount := func(path string, kind routeKind) {
		register(mux, h.hosts.prefix+path, kind, h)
		if h.hosts.prefix != "" && !isTaken(mux, path, kind) {
			register(mux, path, kind, h)
		}
	}
	for path, kind := range h.paths("{state}") {
		mount(path, kind)
	}
}

// ServeHTTP serves the routes that the [Handler] lists; any other path is 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Whatever is answered below concerns one person and one moment, and the
	// callback's address holds a state that no other site should be told.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")

	if r.ContentLength != 0 {
		// Whatever is answered, the server waits for the rest of the body before.
		// readForm lifts this when it has all of it.
		limitReading(w, formTimeout)
	}

	to := findRoute(r.URL.Path, h.hosts.prefix)
	a := h.applications.named(to.application)
	shared := to.kind == routeCallback || to.kind == routeModule
	if to.kind == noRoute || !shared && a == nil {
		http.NotFound(w, r)
		return
	}
	if allowed := methods[to.kind]; !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	r, err := h.withOrigin(r)
	if err != nil {
		h.fail(w, r, concerning(a, err))
		return
	}
	switch to.kind {
	case routeConnect:
		if r.Method == http.MethodPost {
			h.start(w, r, a)
		} else {
			h.connectPage(w, r, a)
		}
	case routeStatus:
		h.status(w, r, a)
	case routeCallback:
		h.callback(w, r, to.state)
	case routeDisconnect:
		h.disconnect(w, r, a)
	case routeLabel:
		h.label(w, r, a)
	case routeModule:
		h.serveModule(w, r)
	}
}
