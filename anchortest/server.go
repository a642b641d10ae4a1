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
	defaultAPIKey          = "sk-fake-key-for-development-only"
	defaultApplicationID   = "fa4e0000-0000-4000-8000-000000000001"
	defaultApplicationName = "Example"
	defaultApplicationSite = "https://example.com"
)

// A Server is the fake: an [http.Handler] that serves API and hosted page from
// one origin. All methods may be called concurrently. Make one with [Start] or
// [New]; the zero value is not usable.
type Server struct {
	apiKey        string
	applicationID string
	logger        *slog.Logger
	handler       http.Handler // the API and the page, without faults
	backend       Backend      // nil for none

	// Of a listening server, and nil otherwise.
	server *http.Server
	served chan struct{} // closed when nothing is accepted any more

	open context.Context // done when the fake has been closed
	end  context.CancelFunc

	// signIns is held while a sign-in ends, from reading the clock on, so that
	// the later of two events is the one whose outcome stays. It is locked
	// before mu.
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
	onTheWay   int           // how many events are being sent in the background
	settled    chan struct{} // closed when onTheWay falls to zero, nil while it is
}

// An Option changes what [Start] and [New] make.
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

// WithAddr has [Start] listen on a TCP address, such as "127.0.0.1:9000".
// Defaults to a free port of 127.0.0.1. An address that is not loopback offers
// the fake to the network. [New] does not listen and ignores it.
func WithAddr(addr string) Option {
	return func(c *config) { c.addr = addr }
}

// WithAPIKey sets the key that API calls must carry: printable ASCII without
// spaces. Defaults to a fixed key.
func WithAPIKey(key string) Option {
	return func(c *config) { c.apiKey = key }
}

// WithApplication sets name and site URL of the application that a fake begins
// with. Defaults to "Example" and "https://example.com".
func WithApplication(name, siteURL string) Option {
	return func(c *config) { c.applicationName, c.applicationSite = name, siteURL }
}

// WithApplicationID sets the id, a UUID, of the application that a fake begins
// with. Defaults to a fixed one.
func WithApplicationID(id string) Option {
	return func(c *config) { c.applicationID = id }
}

// WithAnotherApplication adds an application beside the one that a fake begins
// with. Its id, a UUID, is the same after a restart, which that of
// [Server.AddApplication] is not. It may be given several times, with different
// ids.
func WithAnotherApplication(id, name, siteURL string) Option {
	return func(c *config) { c.others = append(c.others, application{id: id, name: name, url: siteURL}) }
}

// WithLogger has every call and every delivery of an event logged when it has
// been answered, at level Info: method, path and status, or type and status, and
// neither key, token nor body. Defaults to no log.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// Start makes a fake and serves it on a loopback port until [Server.Close]. An
// unusable option or an address that cannot be listened on is an error.
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
		_ = s.server.Serve(listener) // Ends with ErrServerClosed, by Close.
	}()
	return s, nil
}

// New makes a fake that does not listen, for a caller's own listener:
//
//	fake := anchortest.New()
//	server := httptest.NewTLSServer(fake)
//	fake.SetURL(server.URL)
//
// It panics when an option is unusable.
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
		return nil, errors.New("anchortest: the API key is empty or holds something other than printable ASCII without spaces")
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

// dialAddr is where a listener can be reached from this machine.
func dialAddr(addr *net.TCPAddr) string {
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", addr.Port)
	}
	return addr.String()
}

// URL is the base address of the API and of the hosted page alike, without a
// slash at the end. It is empty for a fake made by [New] until
// [Server.SetURL].
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// SetURL tells a fake made by [New] at which address it is served.
func (s *Server) SetURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = strings.TrimSuffix(url, "/")
}

// APIKey is the key that API calls must carry, in the header anchor-api-key.
func (s *Server) APIKey() string { return s.apiKey }

// ApplicationID is the id of the application that the fake began with, a UUID
// in lower case.
func (s *Server) ApplicationID() string { return s.applicationID }

// SetNow replaces the clock, [time.Now]. The Date header of every answer comes
// from it, as do all times in answers and events and the end of a token's life.
// It must be safe for concurrent use, and may ask the fake, but end no sign-in.
func (s *Server) SetNow(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// time reads the clock, to the millisecond that answers carry. It takes the
// lock only to find the clock, which is the caller's code.
func (s *Server) time() time.Time {
	s.mu.Lock()
	now, offset := s.now, s.clockOffset
	s.mu.Unlock()
	return toMillisecond(now().Add(offset))
}

func toMillisecond(t time.Time) time.Time {
	return t.UTC().Truncate(time.Millisecond)
}

// Close stops listening at once and breaks every connection, held and delayed
// calls and the delivery of events included. No event is sent in the background
// any more, which is all that it does to a fake made by [New]. Closing twice
// does nothing.
func (s *Server) Close() error {
	s.endDeliveries()
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	<-s.served
	return err
}

// Shutdown stops listening and waits until the calls under way have been
// answered, or until ctx is done, whose error it returns then. A fake made by
// [New] has nothing to wait for. Events are given up at once, as by [Server.Close].
func (s *Server) Shutdown(ctx context.Context) error {
	s.endDeliveries()
	if s.server == nil {
		return nil
	}
	err := s.server.Shutdown(ctx)
	<-s.served
	return err
}
