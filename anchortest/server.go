package anchortest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What a fake is known by unless an option says otherwise. The values never
// change, so that a restart leaves an app's configuration valid.
const (
	// The defaults never change, so that an application's configuration stays valid
	// after a restart.
	defaultAPIKey          = "sk-fake-key-for-development-only"
	defaultApplicationID   = "fa4e0000-0000-4000-8000-000000000001"
	defaultApplicationName = "Example"
	defaultApplicationSite = "https://example.com"
)

// A Server is the fake: an [http.Handler] that serves the API and the hosted page
// from one origin. Its methods are safe for concurrent use. Create it with [Start]
// or [New]; the zero value is not usable.
type Server struct {
	apiKey        string
	applicationID string
	logger        *slog.Logger
	handler       http.Handler // the API and the page, without faults
	backend       Backend      // nil for none

	// Set by Start only.
	server *http.Server
	served chan struct{} // closed when the server has stopped accepting connections

	open context.Context // canceled when the fake is closed
	end  context.CancelFunc

	// signIns is held while a sign-in ends, before the clock is read, so that the
	// later of two events has the outcome that stays. Lock it before mu.
	signIns sync.Mutex

	mu            sync.Mutex
	url           string
	now           func() time.Time
	clockOffset   time.Duration
	refusals      refusals
	lists         lists
	callbackStyle CallbackStyle
	appendBlindly bool
	silentFailure bool
	tokenShape    TokenShape
	mergeMetadata bool
	applications  table[application]
	tokens        map[string]*identityToken
	identities    table[Identity]
	changed       chan struct{} // closed and replaced when an identity changes
	sessions      table[Session]
	calls         callLog
	faults        []*Fault
	holds         []*Hold

	webhook    webhook
	eventShape eventShape
	roundTrip  func(*http.Request) (*http.Response, error) // of the webhook
	deliveries []*Delivery
	closed     bool
	inFlight   int           // number of events being sent in the background
	settled    chan struct{} // closed when inFlight drops to zero; nil while it is zero
}

// An Option configures a fake. See [Start] and [New].
type Option func(*config)

type config struct {
	addr            string
	apiKey          string
	applicationID   string
	applicationName string
	applicationSite string
	others          []application // with id, name and url
	webhookURL      string
	webhookSecrets  []string
	logger          *slog.Logger
	backend         Backend
	switches        [][2]string // name and value
	orphans         int
	orphanAge       time.Duration
}

// WithAddr makes [Start] listen on a TCP address, such as "127.0.0.1:9000". Defaults
// to a free port of 127.0.0.1. An address that is not loopback exposes the fake to
// the network. [New] does not listen and ignores it.
func WithAddr(addr string) Option {
	return func(c *config) { c.addr = addr }
}

// WithAPIKey sets the key that API calls must carry: printable ASCII without spaces.
// Defaults to a fixed key.
func WithAPIKey(key string) Option {
	return func(c *config) { c.apiKey = key }
}

// WithApplication sets the name and the site's URL of the fake's first application.
// Defaults to "Example" and "https://example.com".
func WithApplication(name, siteURL string) Option {
	return func(c *config) { c.applicationName, c.applicationSite = name, siteURL }
}

// WithApplicationID sets the id, a UUID, of the fake's first application. Defaults
// to a fixed one.
func WithApplicationID(id string) Option {
	return func(c *config) { c.applicationID = id }
}

// WithAnotherApplication adds an application to the first one. Unlike
// [Server.AddApplication], it takes the id, a UUID, so that the id stays the same
// after a restart. It may be given several times, with different ids.
func WithAnotherApplication(id, name, siteURL string) Option {
	return func(c *config) { c.others = append(c.others, application{id: id, name: name, url: siteURL}) }
}

// WithLogger logs every call and every delivery of an event after its answer, at
// level Info: method, path and status, or type and status. It logs no keys, tokens
// or bodies. Defaults to no log.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// Start creates a fake and serves it on a loopback port until [Server.Close]. It
// returns an error if an option is invalid or listening fails.
func Start(opts ...Option) (*Server, error) {
	c := newConfig(opts)
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return nil, fmt.Errorf("anchortest: %w", err)
	}
	s.SetURL("http://" + dialAddr(listener.Addr().(*net.TCPAddr)))
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // Returns ErrServerClosed after Close.
	}()
	return s, nil
}

// New creates a fake that does not listen, for the caller's own listener:
//
//	fake := anchortest.New()
//	server := httptest.NewTLSServer(fake)
//	fake.SetURL(server.URL)
//
// It panics if an option is invalid.
func New(opts ...Option) *Server {
	s, err := newServer(newConfig(opts))
	if err != nil {
		panic(err)
	}
	return s
}

func newConfig(opts []Option) config {
	c := config{
		addr:            "127.0.0.1:0",
		apiKey:          defaultAPIKey,
		applicationID:   defaultApplicationID,
		applicationName: defaultApplicationName,
		applicationSite: defaultApplicationSite,
	}
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

func newServer(c config) (*Server, error) {
	id, ok := parseUUID(c.applicationID)
	if !ok {
		return nil, fmt.Errorf("anchortest: application id %q is not a UUID", c.applicationID)
	}
	if c.apiKey == "" || strings.ContainsFunc(c.apiKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("anchortest: the API key is empty, or not printable ASCII without spaces")
	}
	hook, err := newWebhook(c.webhookURL, c.webhookSecrets)
	if err != nil {
		return nil, err
	}
	s := &Server{
		apiKey:        c.apiKey,
		applicationID: id,
		logger:        cmp.Or(c.logger, slog.New(slog.DiscardHandler)),
		backend:       c.backend,
		now:           time.Now,
		refusals:      newRefusals(),
		tokens:        make(map[string]*identityToken),
		webhook:       hook,
		roundTrip:     ownTransport.RoundTrip,
		changed:       make(chan struct{}),
	}
	s.open, s.end = context.WithCancel(context.Background())
	s.handler = s.routes()
	s.addApplication(id, c.applicationName, c.applicationSite, "")
	for _, other := range c.others {
		id, ok := parseUUID(other.id)
		if !ok {
			return nil, fmt.Errorf("anchortest: application id %q is not a UUID", other.id)
		}
		if s.applications.get(id) != nil {
			return nil, fmt.Errorf("anchortest: two applications have the id %q", other.id)
		}
		s.addApplication(id, other.name, other.url, "")
	}
	for _, v := range c.switches {
		if err := s.Switch(v[0], v[1]); err != nil {
			return nil, err
		}
	}
	if c.orphans > 0 {
		s.AddOrphans(c.orphans, c.orphanAge)
	}
	return s, nil
}

// dialAddr returns the address at which this machine reaches a listener.
func dialAddr(addr *net.TCPAddr) string {
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", addr.Port)
	}
	return addr.String()
}

// URL returns the base URL of the API and of the hosted page, without a trailing
// slash. It is empty for a fake created by [New] until [Server.SetURL] is called.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// SetURL sets the URL at which a fake created by [New] is served.
func (s *Server) SetURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = strings.TrimSuffix(url, "/")
}

// APIKey returns the key that API calls must carry in the header anchor-api-key.
func (s *Server) APIKey() string { return s.apiKey }

// ApplicationID returns the id of the first application, a UUID in lower case.
func (s *Server) ApplicationID() string { return s.applicationID }

// SetNow sets the clock. Defaults to [time.Now]. The clock determines the Date
// header, all times in answers and events, and when tokens expire. now must be safe
// for concurrent use. It may call methods of the fake, except those that end a
// sign-in.
func (s *Server) SetNow(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// time returns the current time, to the millisecond that answers have. It calls the
// clock, which is the caller's code, without the lock.
func (s *Server) time() time.Time {
	s.mu.Lock()
	now, offset := s.now, s.clockOffset
	s.mu.Unlock()
	return toMillisecond(now().Add(offset))
}

func toMillisecond(t time.Time) time.Time {
	return t.UTC().Truncate(time.Millisecond)
}

// Close stops listening immediately and closes every connection, including held and
// delayed calls. It also cancels the delivery of events, which is all that it does
// to a fake created by [New]. It is idempotent.
func (s *Server) Close() error {
	s.endDeliveries()
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	<-s.served
	return err
}

// Shutdown stops listening and waits until the calls in progress have been answered.
// If ctx is done first, it returns ctx's error. A fake created by [New] has nothing
// to wait for. The delivery of events is canceled immediately, as by [Server.Close].
func (s *Server) Shutdown(ctx context.Context) error {
	s.endDeliveries()
	if s.server == nil {
		return nil
	}
	err := s.server.Shutdown(ctx)
	<-s.served
	return err
}
