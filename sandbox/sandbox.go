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
	"strconv"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

// ErrNoBrowser says that no Chromium or Chrome is installed, and how to get one.
var ErrNoBrowser = chromium.ErrNotFound

// A Server is a sandbox. Make one with [Start]. All methods are safe for concurrent
// use.
type Server struct {
	fake    *anchortest.Server
	site    *Site
	program string // the browser
	log     *slog.Logger
	idle    time.Duration
	forgets bool   // no passwords are stored
	secret  string // of the overview's address

	api, pages *http.Server
	serving    sync.WaitGroup
	stop       func() bool // ends the wait for the context of Start
	closed     chan struct{}

	mu         sync.Mutex
	closing    bool
	identities map[string]*signIn
	attempts   map[string]*attempt // by token
	sessions   map[string]*session // by id
	running    sync.WaitGroup      // sessions that have not ended
}

// An Option changes what [Start] makes.
type Option func(*config)

type config struct {
	addr, siteAddr string
	accounts       []Account
	idle           time.Duration
	forgets        bool
	log            *slog.Logger
	fake           []anchortest.Option
}

// WithAddr has the API and the hosted page listen on a TCP address, which must be
// loopback. Defaults to a free port of 127.0.0.1.
func WithAddr(addr string) Option { return func(c *config) { c.addr = addr } }

// WithSiteAddr has the site listen on a TCP address, which must be loopback. Defaults
// to a free port of 127.0.0.1.
func WithSiteAddr(addr string) Option { return func(c *config) { c.siteAddr = addr } }

// WithAccounts has the site begin with these accounts. Defaults to ada
// ("ada-letters"), grace ("grace-letters") and, with a second factor, alan
// ("alan-letters").
func WithAccounts(accounts ...Account) Option {
	return func(c *config) { c.accounts = append([]Account{}, accounts...) }
}

// WithIdleTimeout chooses how long a session that asks for no idle_timeout waits
// without a connection. Defaults to 5 minutes; a negative value is no limit.
func WithIdleTimeout(d time.Duration) Option { return func(c *config) { c.idle = d } }

// WithoutStoredPasswords has the sandbox store the cookies of a sign-in and not the
// password. An identity whose cookies no longer work is then refused with status 412,
// and the user has to sign in again. By default the sandbox signs in again by itself.
func WithoutStoredPasswords() Option { return func(c *config) { c.forgets = true } }

// WithLogger logs what [anchortest.WithLogger] does, and the beginning and the end of
// sessions. Defaults to no log.
func WithLogger(log *slog.Logger) Option { return func(c *config) { c.log = log } }

// WithFake passes options to the fake, such as [anchortest.WithWebhook]. Its address,
// its log and the application's site are the sandbox's.
func WithFake(options ...anchortest.Option) Option {
	return func(c *config) { c.fake = append(c.fake, options...) }
}

// Start starts a sandbox, which runs until [Server.Close] or until ctx is done. It
// removes what a sandbox left behind that was killed. Without a browser it returns an
// error that is [ErrNoBrowser]; unusable options and addresses are errors too.
//
// After ctx is done, Close waits until everything has ended. A test should call it
// before it returns: by then the process may end.
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
		return nil, fmt.Errorf("sandbox: remove what was left behind: %w", err)
	}
	if chromium.Unsandboxed() {
		s.log.WarnContext(ctx, "this is root: browsers run without Chromium's own sandbox; open only pages that you trust")
	}
	if err := s.listen(c); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.mu.Lock() // If ctx is done already, Close reads stop at once.
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
	s.serving.Go(func() { _ = s.api.Serve(api) })    // Ends with ErrServerClosed, by Close.
	s.serving.Go(func() { _ = s.pages.Serve(site) }) // The same.
	return nil
}

// build makes the site and the fake.
func (s *Server) build(c config, url string, site *net.TCPAddr) (err error) {
	s.site, err = newSite("http://"+site.String(), strconv.Itoa(site.Port), url+overviewPath+s.secret, c.accounts)
	if err != nil {
		return err
	}
	defer func() { // What New panics with is a mistake in the options.
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	// Other users of this machine reach its ports, so the fake's well-known key is none.
	options := append([]anchortest.Option{anchortest.WithAPIKey("sk-" + rand.Text())}, c.fake...)
	s.fake = anchortest.New(append(options, anchortest.WithLogger(s.log),
		anchortest.WithApplication("Letters", s.site.URL()), anchortest.WithBackend(backend{s}))...)
	s.fake.SetURL(url)
	return nil
}

// listenLoopback listens on an address that no other machine reaches.
func listenLoopback(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if at := listener.Addr().(*net.TCPAddr); !at.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("listen on %s: the address is not loopback, and the sandbox is not for other machines", addr)
	}
	return listener, nil
}

// URL returns the base address of the API and of the hosted page, without a slash at
// the end.
func (s *Server) URL() string { return s.fake.URL() }

// APIKey returns the key that API calls must carry. It is random unless an option of
// the fake sets it.
func (s *Server) APIKey() string { return s.fake.APIKey() }

// ApplicationID returns the id of the application for the site.
func (s *Server) ApplicationID() string { return s.fake.ApplicationID() }

// Client returns a client of the API, as [anchortest.Server.Client] does.
func (s *Server) Client(options ...anchorhttp.Option) *anchorhttp.Client {
	return s.fake.Client(options...)
}

// Site returns the site that identities are for.
func (s *Server) Site() *Site { return s.site }

// Fake returns the fake under the sandbox: its calls, faults, webhook, deliveries and
// switches. An identity that was made on it, and not on the hosted page, has nothing
// stored to sign in with.
func (s *Server) Fake() *anchortest.Server { return s.fake }

// BrowserPath returns the path of the program that sessions are run with.
func (s *Server) BrowserPath() string { return s.program }

// OverviewURL returns the address of a page for people, which cannot be guessed. It
// shows the site's accounts with their passwords and codes, and the sessions.
func (s *Server) OverviewURL() string { return s.URL() + overviewPath + s.secret }

// Close stops listening, ends all sessions with their browsers, and waits until that
// is done. Closing twice does nothing.
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
