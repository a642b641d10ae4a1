package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

// ErrNoBrowser is returned when no Chromium or Chrome is installed. Its text says how to
// install one.
var ErrNoBrowser = chromium.ErrNotFound

// A Server is a sandbox, created by [Start]. Its methods are safe for concurrent use.
type Server struct {
	fake    *anchortest.Server
	site    *Site
	program string // the browser
	log     *slog.Logger
	idle    time.Duration
	forgets bool   // do not store passwords
	secret  string // in the overview's URL

	api, pages *http.Server
	serving    sync.WaitGroup
	stop       func() bool // detaches the sandbox from Start's context
	closed     chan struct{}

	mu         sync.Mutex
	closing    bool
	identities map[string]*signIn
	attempts   map[string]*attempt // by token
	sessions   map[string]*session // by ID
	running    sync.WaitGroup      // sessions that have not ended
}

// An Option configures [Start].
type Option func(*config)

type config struct {
	addr, siteAddr string
	accounts       []Account
	idle           time.Duration
	forgets        bool
	log            *slog.Logger
	fake           []anchortest.Option
}

// WithAddr sets the TCP address of the API and the hosted page. It must be loopback.
// Defaults to a free port of 127.0.0.1.
func WithAddr(addr string) Option { return func(c *config) { c.addr = addr } }

// WithSiteAddr sets the TCP address of the site. It must be loopback. Defaults to a free
// port of 127.0.0.1.
func WithSiteAddr(addr string) Option { return func(c *config) { c.siteAddr = addr } }

// WithAccounts sets the site's initial accounts. Defaults to ada
// ("ada-letters"), grace ("grace-letters") and, with a second factor, alan
// ("alan-letters").
func WithAccounts(accounts ...Account) Option {
	return func(c *config) { c.accounts = append([]Account{}, accounts...) }
}

// WithIdleTimeout sets the default idle_timeout: how long a session without a connection
// lasts. Defaults to 5 minutes; a negative value is no limit.
func WithIdleTimeout(d time.Duration) Option { return func(c *config) { c.idle = d } }

// WithoutStoredPasswords makes the sandbox store only the cookies of a sign-in. A session
// with an identity whose cookies no longer work is then refused with status 412, and the
// user has to sign in again. By default the sandbox also stores the password and signs in
// again by itself.
func WithoutStoredPasswords() Option { return func(c *config) { c.forgets = true } }

// WithLogger logs what [anchortest.WithLogger] logs, and the start and end of sessions.
// Defaults to no log.
func WithLogger(log *slog.Logger) Option { return func(c *config) { c.log = log } }

// WithFake passes options to the fake, such as [anchortest.WithWebhook]. The sandbox sets
// the fake's address, logger and first application's site itself.
func WithFake(options ...anchortest.Option) Option {
	return func(c *config) { c.fake = append(c.fake, options...) }
}

// Start starts a sandbox. It runs until [Server.Close] or until ctx is done. Start also
// removes the browsers and profiles of sandboxes that were killed. It returns an error
// that wraps [ErrNoBrowser] if there is no browser, and other errors for unusable options
// and addresses.
//
// When ctx is done, the sandbox closes in the background. A test should call Close, which
// waits for that, before it returns, since the process may exit then.
func Start(ctx context.Context, options ...Option) (*Server, error) {
	c := config{addr: "127.0.0.1:0", siteAddr: "127.0.0.1:0", idle: 5 * time.Minute}
	for _, option := range options {
		option(&c)
	}
	if c.accounts == nil {
		c.accounts = defaultAccounts()
	}
	program, err := chromium.Find()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Server{
		program:    program,
		log:        cmp.Or(c.log, slog.New(slog.DiscardHandler)),
		idle:       c.idle,
		forgets:    c.forgets,
		secret:     rand.Text(),
		closed:     make(chan struct{}),
		identities: make(map[string]*signIn),
		attempts:   make(map[string]*attempt),
		sessions:   make(map[string]*session),
	}
	if err := chromium.Sweep(ctx, s.log); err != nil {
		return nil, fmt.Errorf("sandbox: remove the leftovers of earlier sandboxes: %w", err)
	}
	if chromium.Unsandboxed() {
		s.log.WarnContext(ctx, "running as root: browsers run without Chromium's own sandbox; open only pages that you trust")
	}
	if err := s.listen(c); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.mu.Lock() // If ctx is already done, Close reads stop concurrently.
	defer s.mu.Unlock()
	s.stop = context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

func (s *Server) listen(c config) error {
	api, err := listenLoopback(c.addr)
	if err != nil {
		return err
	}
	site, err := listenLoopback(c.siteAddr)
	if err != nil {
		api.Close()
		return err
	}
	if err := s.build(c, "http://"+api.Addr().String(), site.Addr().(*net.TCPAddr)); err != nil {
		api.Close()
		site.Close()
		return err
	}
	s.api = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	s.pages = &http.Server{Handler: s.site.handler, ReadHeaderTimeout: 10 * time.Second}
	s.serving.Go(func() { _ = s.api.Serve(api) })    // Close ends it with ErrServerClosed.
	s.serving.Go(func() { _ = s.pages.Serve(site) }) // The same.
	return nil
}

// build creates the site and the fake.
func (s *Server) build(c config, url string, site *net.TCPAddr) (err error) {
	s.site, err = newSite("http://"+site.String(), strconv.Itoa(site.Port), url+overviewPath+s.secret, c.accounts)
	if err != nil {
		return err
	}
	// Other users of this machine can reach its ports, so the key is not the fake's
	// well-known default.
	options := append([]anchortest.Option{anchortest.WithAPIKey("sk-" + rand.Text())}, c.fake...)
	s.fake, err = newFake(append(options, anchortest.WithLogger(s.log),
		anchortest.WithApplication("Letters", s.site.URL()), anchortest.WithBackend(backend{s})))
	if err != nil {
		return err
	}
	s.fake.SetURL(url)
	return nil
}

// newFake returns a fake that does not listen. anchortest.New panics with an error if an
// option is unusable; newFake returns that error.
func newFake(options []anchortest.Option) (fake *anchortest.Server, err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		var isError bool
		if err, isError = r.(error); !isError || errors.As(err, new(runtime.Error)) {
			panic(r)
		}
	}()
	return anchortest.New(options...), nil
}

// listenLoopback listens on an address that other machines cannot reach.
func listenLoopback(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if at := listener.Addr().(*net.TCPAddr); !at.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("listen on %s: the address is not loopback", addr)
	}
	return listener, nil
}

// URL returns the base URL of the API and of the hosted page, without a trailing slash.
func (s *Server) URL() string { return s.fake.URL() }

// APIKey returns the key for API calls. It is random unless an option of the fake sets
// it.
func (s *Server) APIKey() string { return s.fake.APIKey() }

// ApplicationID returns the ID of the site's application.
func (s *Server) ApplicationID() string { return s.fake.ApplicationID() }

// Client returns a client of the API: see [anchortest.Server.Client].
func (s *Server) Client(options ...anchorhttp.Option) *anchorhttp.Client {
	return s.fake.Client(options...)
}

// Site returns the site at which identities are signed in.
func (s *Server) Site() *Site { return s.site }

// Fake returns the underlying fake, with its calls, faults, webhook, deliveries and
// switches. For an identity that was created on the fake, not on the hosted page, neither
// cookies nor a password are stored.
func (s *Server) Fake() *anchortest.Server { return s.fake }

// BrowserPath returns the path of the browser.
func (s *Server) BrowserPath() string { return s.program }

// OverviewURL returns the URL of a page that shows the site's accounts, with their
// passwords and codes, and the sessions. The URL cannot be guessed.
func (s *Server) OverviewURL() string { return s.URL() + overviewPath + s.secret }

// Close stops listening, ends all sessions and waits until their browsers have ended. It
// is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	open := make([]*session, 0, len(s.sessions))
	for _, session := range s.sessions {
		open = append(open, session)
	}
	s.mu.Unlock()
	if !first {
		<-s.closed
		return nil
	}
	defer close(s.closed)
	s.stop()
	err := errors.Join(s.api.Close(), s.pages.Close())
	for _, session := range open {
		session.end("the sandbox was closed")
	}
	s.running.Wait()
	s.serving.Wait()
	return errors.Join(err, s.fake.Close())
}
