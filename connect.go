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
	// maxReturnTo is the longest return path in bytes.
	maxReturnTo = 1024

	// maxMaxConnections is the largest Config.MaxConnections. Every request that needs a
	// connection reads all connections of its user.
	maxMaxConnections = 100
)

// Config configures a [Handler]. Fields whose comment says "Defaults to" are optional.
type Config struct {
	// Anchor is the client of Anchor's API, from anchorhttp.New.
	Anchor *anchorhttp.Client

	// ApplicationID is the Anchor application that users connect to, a UUID. It is
	// optional if there are Applications.
	ApplicationID string

	// Applications are further applications, by short names of the app's own choice: 1 to
	// 32 of a-z, 0-9 and "-", a letter first. Each has its own routes
	// ("/connect/{name}"…) and its own connections: see [Handler.Application]. Defaults
	// to none.
	Applications map[string]string

	// PublicURL is the handler's address as browsers see it: scheme, host and, if there
	// is one, the path it is mounted under, such as "https://your-app.com" or
	// "https://your-app.com/integrations". The callback address is built from it, never
	// from the Host header. It is https, or http on a loopback host for development
	// (Anchor itself accepts only https callbacks). With https, cookies are Secure, and
	// bound to the host by their name.
	//
	// If the app has several hosts, it is the main one: see PublicURLs.
	PublicURL string

	// PublicURLs are further addresses of the same app, such as
	// "https://your-app.de", with the scheme and the path of PublicURL. The Host
	// header chooses among them and PublicURL; any other Host is [ErrWrongOrigin]. A
	// flow returns to the host where it began. With several hosts, SuccessURL and
	// SignInURL must be local paths, and a user id must mean the same user on all hosts:
	// if it does not, see [TenantUserID]. Defaults to none; docs/hosts.md has examples.
	PublicURLs []string

	// PublicURLOf returns which of the app's own addresses a request is for, in the form
	// of PublicURL and with its scheme and path, such as "https://acme.your-app.com". It
	// is for apps whose hosts are in a database, or behind a proxy that rewrites Host.
	// It must look the host up among the app's own: if it trusts any Host header, others
	// choose where flows return to.
	//
	// If the host is not the app's, return "" or [ErrWrongOrigin]. Any other error
	// answers 503 ([ErrHostLookup]). It is called once for each request to the handler's
	// routes, before User, and must be safe for concurrent use. The rules of PublicURLs
	// apply. Defaults to nil: PublicURL and PublicURLs are all there is.
	PublicURLOf func(*http.Request) (string, error)

	// MaxConnections is how many accounts of one application a user may connect, at
	// most 100. With more than one, users add accounts beside the first: see
	// docs/accounts.md. If it is lowered, connections beyond it stay. Defaults to 1:
	// connecting again replaces the account.
	MaxConnections int

	// Store stores pending flows, connections and tasks. Handlers that share a store
	// share their users: [Handler.DisconnectAll] ends everything that a user id has in
	// it. Apps with different users need different stores, such as tables with another
	// prefix.
	Store Store

	// User returns who is signed in: see [SessionUser]. If nobody is signed in, it
	// returns ErrNotSignedIn or a User with an empty ID. Any other error answers 503. It
	// is called once per request and must be safe for concurrent use.
	User func(*http.Request) (User, error)

	// Secrets seal the state cookie. The first one seals, all of them open. Each has at
	// least 32 random bytes. To rotate secrets on several replicas, append the new one on
	// all of them, then move it to the front on all of them, and an hour later remove the
	// old one: a replica cannot open what was sealed with a secret that it does not have.
	Secrets [][]byte

	// SuccessURL is where the browser is redirected after connecting, if the flow has no
	// return_to: a local path or an http(s) address. Defaults to "/".
	SuccessURL string

	// SignInURL is the app's own sign-in page: a local path or an http(s) address. Users
	// who are not signed in are sent there with the return path in the parameter
	// return_to. Defaults to none: the pages then ask to sign in first.
	SignInURL string

	// Metadata returns further metadata for an identity at Anchor, such as
	// {"plan": "pro"}. It cannot change the user's id (externalUserId) and the time of
	// connecting (connectedAt). It is called when the identity is tagged: in the callback
	// or, if that fails, by [Handler.Run], whose User has only ID and Actor. ctx expires
	// after five seconds, the call to Anchor included. An error postpones the tag; the
	// user is connected all the same. It must be safe for concurrent use. Defaults to
	// none.
	Metadata func(ctx context.Context, user User) (map[string]any, error)

	// Accept decides whether an account is connected, after all proofs and before
	// anything is stored. It may compare the account with the one that it replaces, or
	// have the user confirm it. It returns one of:
	//
	//   - nil: the account is connected.
	//   - [NotAccepted]: the user is shown why. The identity, which was made for this
	//     flow, is deleted at Anchor, and the flow ends.
	//   - [AskFirst]: the browser is redirected to a page of the app's own, which
	//     redirects to the callback again. Then Accept is called again.
	//   - Any other error is a fault ([ErrAcceptFailed], 503); the user may try again.
	//
	// r is the callback's request; its context expires after 30 seconds. Accept may be
	// called more than once for a flow, is not called for reloads, and must be safe for
	// concurrent use. Defaults to accepting every account.
	Accept func(r *http.Request, c Candidate) error

	// OnEvent receives what has happened, for an audit log. It is called after the fact,
	// outside of the request and one event at a time, so it can neither delay nor fail a
	// request. ctx has the request's values (unless a router reuses them after the
	// request) and expires after ten seconds. The user may have been deleted by then, so
	// an audit table must not have a foreign key to the users.
	//
	// While it is slow, up to 1000 events wait. At most 200 of them are of each of these:
	// refusals that any stranger can cause (proofs 1 to 3), other refusals, flows that
	// begin or fail, and browser sessions. Further events are dropped and logged. Events
	// that still wait when the process ends are lost, but [Handler.Run] waits for them.
	// Defaults to nil.
	OnEvent func(ctx context.Context, event Event)

	// Templates are pages of the app's own. Those named "connect", "notice", "repeat",
	// "popup" and "alert" replace the built-in ones; their data is a [ConnectPage],
	// [NoticePage], [RepeatPage], [PopupPage] and NoticePage. "head" and "brand" get no
	// data and are added to the built-in pages, at the end of the head and above the
	// content. These may use further templates. [New] tries each one and reports what is
	// wrong. One that fails later is logged, and the built-in one is shown.
	//
	// The pages' Content-Security-Policy allows no scripts and loads nothing. A page with
	// templates of the app's own may load style sheets, fonts and images from PublicURL's
	// origin. Defaults to the built-in pages; docs/pages.md has examples.
	Templates *template.Template

	// Language returns the language of a request's texts, such as "de" or "pt-BR", for
	// example from the user's settings. If it returns "" or a language without texts,
	// Accept-Language decides, and English is the last resort. It may be called more than
	// once per request, and must be safe for concurrent use. Defaults to Accept-Language.
	Language func(*http.Request) string

	// Texts overrides texts and adds languages, by BCP 47 tag and by the keys of
	// [BuiltInTexts]. A text that a language lacks is taken from the language without its
	// region ("fr" for "fr-CA"), or else from English. Keys that begin with "app." are
	// texts of the app's own, for Templates and [Locale.Text]. [New] rejects unknown keys,
	// and placeholders that differ from those of the English text. Defaults to the
	// built-in languages: German, English, Spanish, French and Japanese.
	Texts map[string]map[string]string

	// ErrorHandler answers requests that end in one of this package's errors, which has
	// been logged by then. It does not get unknown paths and methods, which get a plain
	// 404 or 405, and callbacks refused in a popup of connect.js, which get the page
	// "popup". [Locale.Explain] returns what to show. Defaults to the page "notice", to
	// "alert" for htmx, and to JSON if the request accepts it.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger receives what happens. No token, key, cookie or state is ever logged. The
	// message of a request that ends in an error tells who has to act:
	//
	//   - "connect: fault" (Error) is for the operator: the store, Anchor, or a function
	//     of this Config failed.
	//   - "connect: refused" (Warn) is a request that failed a proof or another check. A
	//     few are normal; many may be an attack or a wrong configuration.
	//   - "connect: not finished" (Info) is a user who cancelled, came too late, or has to
	//     sign in or connect first.
	//   - "connect: request cancelled" (Info) is a fault of a request whose browser went
	//     away; its other errors are logged as Info, too.
	//
	// The attribute code is that of [Explain]. Defaults to slog.Default().
	Logger *slog.Logger

	// FixedCallbackURL makes every flow use the one callback address PublicURL +
	// "/identity-callback", for gateways and allow-lists that accept only exact
	// addresses. The state is then in the cookie alone, which is weaker: while a user has
	// a pending flow, a link made by an attacker can finish it with an identity that the
	// attacker creates meanwhile. The state cookies tell users of a browser apart, so the
	// app must not clear cookies on sign-out (Clear-Site-Data). Defaults to false; leave
	// it so unless something forces it.
	FixedCallbackURL bool

	// Now is the clock, except for the age of the state cookie's seal, which uses
	// time.Now. Defaults to time.Now.
	Now func() time.Time
}

// Handler serves the routes of connect, under PublicURL's path or with that
// path stripped:
//
//	GET  /connect                       a page with the button, and the user's accounts
//	POST /connect                       starts a flow: 303 to the hosted page, JSON, or HX-Redirect
//	GET  /connect/status                the user's connections, as JSON
//	GET  /connect/connect.js            a module that starts a flow from a script, in a popup
//	POST /connect/label                 sets the label of a connection
//	POST /disconnect                    ends one of the user's connections, or all
//	GET  /identity-callback/{state}     where the hosted page returns to
//	GET  /identity-callback             the same, with FixedCallbackURL
//
// Each of Config.Applications has its own; the callback is shared:
//
//	GET  /connect/{application}
//	POST /connect/{application}
//	GET  /connect/{application}/status
//	POST /connect/{application}/label
//	POST /disconnect/{application}
//
// Methods that [Application] has too are for the application of Config.ApplicationID.
// Methods with All in their name are for all applications.
//
// It is safe for concurrent use. [New] returns one.
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

// Register mounts the handler's routes on a mux: an *http.ServeMux, a chi router, or
// anything else with this Handle and patterns like "/identity-callback/{x}".
//
// If PublicURL has a path, the routes are registered both under it and without it, for
// muxes behind something that strips it. On an *http.ServeMux, existing patterns such as
// an app's own "/connect" take precedence over those without it. A rate limit or a
// gateway that guards only the path does not guard the routes without it: mount the
// Handler itself under the path instead.
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
	// Every answer is for one user at one moment, and the callback's address has a state
	// that no other site may learn.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")

	if r.ContentLength != 0 {
		// The server reads the rest of the body before it answers. readForm lifts the
		// limit when it has read all of it.
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
