package connect_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// site is an app with a handler, on a TLS server, in front of a fake of Anchor. Requests
// go through real HTTP.
type site struct {
	t       *testing.T
	fake    *anchortest.Server
	store   connect.Store
	handler *connect.Handler
	server  *httptest.Server
	mux     *http.ServeMux
	log     *syncBuffer
	clock   *clock
	over    *sync.Map // channels that are closed when a browser's request is over, by its number

	calendar string // a second application that the fake has
}

// withCalendar has the handler serve the second application too.
func withCalendar(c *connect.Config) {
	c.Applications = map[string]string{"calendar": "to be filled in"}
}

// clock is the time, and can be moved.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// forget removes a word from the log.
func (b *syncBuffer) forget(word string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := bytes.ReplaceAll(b.b.Bytes(), []byte(word), nil)
	b.b = *bytes.NewBuffer(rest)
}

// newSite starts an app whose configuration the options change. Its client of
// the fake does not retry and waits two seconds at most.
func newSite(t *testing.T, options ...func(*connect.Config)) *site {
	t.Helper()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })

	s := &site{t: t, fake: fake, log: new(syncBuffer), clock: new(clock), over: new(sync.Map)}
	fake.SetNow(s.clock.now)
	s.calendar = fake.AddApplication("Calendar", "https://calendar.example")

	sessionStore := sessions.NewCookieStore(bytes.Repeat([]byte("s"), 32))
	sessionStore.Options = &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessionStore.Get(r, "session")
		session.Values["user_id"] = r.FormValue("user")
		if r.FormValue("user") == "" {
			delete(session.Values, "user_id")
		}
		require.NoError(t, session.Save(r, w))
	})
	s.mux = mux
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if over, ok := s.over.LoadAndDelete(r.Header.Get(requestNumber)); ok {
			defer close(over.(chan struct{}))
		}
		mux.ServeHTTP(w, r)
	}))
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.log, nil), slog.LevelError)
	s.server.StartTLS()
	t.Cleanup(s.server.Close)

	cfg := connect.Config{
		Anchor:        fake.Client(anchorhttp.WithMaxRetries(0), anchorhttp.WithTimeout(2*time.Second)),
		ApplicationID: fake.ApplicationID(),
		PublicURL:     s.server.URL,
		Store:         connect.NewMemoryStore(),
		User:          connect.SessionUser(sessionStore, "session", "user_id"),
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		SuccessURL:    "/dashboard?connected=true",
		Logger:        slog.New(slog.NewTextHandler(s.log, nil)),
		Now:           s.clock.now,
	}
	for _, option := range options {
		option(&cfg)
	}
	if cfg.Applications != nil {
		cfg.Applications["calendar"] = s.calendar
	}
	s.store = cfg.Store
	s.handler, err = connect.New(cfg)
	require.NoError(t, err)
	s.handler.Register(mux)

	t.Cleanup(func() {
		require.NotContains(t, s.log.String(), "panic", "no handler panics, whatever it is sent")
	})
	return s
}

func (s *site) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.log, nil)) }

// approve signs in on the hosted page and returns the callback's address.
func (s *site) approve(hosted string, options ...anchortest.ApproveOption) string {
	s.t.Helper()
	callback, err := s.fake.Approve(context.Background(), hosted, options...)
	require.NoError(s.t, err)
	return callback
}

// finished checks that a return was a success, and waits for the tag.
func (s *site) finished(a answer) {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, a.status, "%s", a.body)
	<-a.over
}

// connection returns the user's connection in the store, or zero.
func (s *site) connection(user string) connect.Connection {
	connections := s.connections(user)
	if len(connections) == 0 {
		return connect.Connection{}
	}
	require.Len(s.t, connections, 1)
	return connections[0]
}

// connections returns the user's connections in the store.
func (s *site) connections(user string) []connect.Connection {
	return s.connectionsIn(s.fake.ApplicationID(), user)
}

func (s *site) connectionsIn(applicationID, user string) []connect.Connection {
	connections, err := s.store.Connections(context.Background(), applicationID, user)
	require.NoError(s.t, err)
	return connections
}

// tag returns the identity's owner in its metadata at Anchor.
func (s *site) tag(identityID string) any {
	identity, ok := s.fake.Identity(identityID)
	require.True(s.t, ok, "identity %s", identityID)
	return identity.Metadata["externalUserId"]
}

// run runs the handler's background work until the test ends.
func (s *site) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.handler.Run(ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-ended })
}

// upTo sets MaxConnections.
func upTo(n int) func(*connect.Config) {
	return func(c *connect.Config) { c.MaxConnections = n }
}

// labels returns the labels of a user's connections, in their order.
func (s *site) labels(user string) []string {
	var labels []string
	for _, c := range s.connections(user) {
		labels = append(labels, c.Label)
	}
	return labels
}

// withMembers makes "acme/ada" of the session the member ada of the organisation acme.
func withMembers(c *connect.Config) {
	session := c.User
	c.User = func(r *http.Request) (connect.User, error) {
		user, err := session(r)
		if owner, member, ok := strings.Cut(user.ID, "/"); ok {
			user.ID, user.Actor = owner, member
		}
		return user, err
	}
}

// retired returns a site that no longer serves the calendar, and ada's identity
// there. onEvent gets its events, and may be nil.
func retired(t *testing.T, onEvent func(context.Context, connect.Event)) (s *site, calendar string) {
	store := connect.NewMemoryStore()
	s = newSite(t, withCalendar, func(c *connect.Config) { c.Store = store })
	ada := s.signedIn("ada")
	calendar = identityIn(ada.connectTo("/connect/calendar"))
	h, err := connect.New(connect.Config{
		Anchor: s.fake.Client(), ApplicationID: s.fake.ApplicationID(), PublicURL: s.server.URL, Store: store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")}, Logger: s.logger(), OnEvent: onEvent,
	})
	require.NoError(t, err)
	served := *s
	served.handler = h
	return &served, calendar
}

// taskInterval is how often Run looks for tasks.
const taskInterval = time.Second

// connectUntagged stores a connection and leaves its tag to be written, as a process does
// that dies after the commit.
func (s *site) connectUntagged(user, identityID string) {
	ctx, now := context.Background(), time.Now()
	hash := "hash of " + user
	require.NoError(s.t, s.store.Bind(ctx, connect.Pending{
		TokenHash: hash, ApplicationID: s.fake.ApplicationID(), UserID: user, IssuedAt: now, ExpiresAt: now.Add(time.Minute),
	}, 5))
	completed, err := s.store.Complete(ctx, hash, connect.Connection{
		ID:            "connection of " + user,
		ApplicationID: s.fake.ApplicationID(), UserID: user, IdentityID: identityID, ConnectedAt: now, Health: connect.HealthOK,
	}, connect.Completion{TagAfter: now})
	require.NoError(s.t, err)
	require.True(s.t, completed.First)
}

// transport is a RoundTripper that may answer calls in Anchor's place.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replica returns another handler of the site's application and the URL of its server. Its
// calls to Anchor go through a transport. Ada is signed in there.
func (s *site) replica(through transport, options ...func(*connect.Config)) (*connect.Handler, string) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	s.t.Cleanup(server.Close)
	cfg := connect.Config{
		Anchor:        s.fake.Client(anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{Transport: through})),
		ApplicationID: s.fake.ApplicationID(), PublicURL: server.URL, Store: s.store,
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")}, Now: s.clock.now,
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	for _, option := range options {
		option(&cfg)
	}
	h, err := connect.New(cfg)
	require.NoError(s.t, err)
	server.Config.Handler = h
	return h, server.URL
}

// remove deletes an identity at Anchor without the app.
func (s *site) remove(identityID string) {
	require.NoError(s.t, s.fake.Client().DeleteIdentity(context.Background(), identityID))
}

const webhookSecret = "whsec_of_the_tests"

// hook is a site with a webhook, which records the app's events.
type hook struct {
	*site
	mu     sync.Mutex
	events []connect.Event
}

func newHook(t *testing.T, options ...func(*connect.Config)) *hook {
	t.Helper()
	h := new(hook)
	h.site = newSite(t, append(options, func(c *connect.Config) {
		c.OnEvent = func(_ context.Context, e connect.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		}
	})...)
	h.mux.Handle("/webhooks/anchor", h.handler.Webhook("", "whsec_of_before_that", webhookSecret))
	return h
}

// event returns the body of an event.
func event(kind, identityID string, created time.Time) string {
	return fmt.Sprintf(`{"id":"evt_1","type":%q,"created":%q,"project_id":"p","text":"…","data":{"identity_id":%q}}`,
		kind, created.UTC().Format(time.RFC3339Nano), identityID)
}

// send sends an event, signed now.
func (h *hook) send(secret, body string) int {
	status, err := h.trySend(secret, body)
	require.NoError(h.t, err)
	return status
}

// signature returns a header that is well formed and dated now, but forged.
func (h *hook) signature() string {
	return fmt.Sprintf("t=%d,v1=%064x", h.clock.now().Unix(), 1)
}

func (h *hook) trySend(secret, body string) (int, error) {
	at := fmt.Sprint(h.clock.now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + at + ":" + body))
	r, err := http.NewRequest(http.MethodPost, h.server.URL+"/webhooks/anchor", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Anchor-Timestamp", at)
	r.Header.Set("Anchor-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	res, err := h.server.Client().Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// waitForEvents waits until the app has got n events of a kind, and returns them.
func (h *hook) waitForEvents(kind connect.EventKind, n int) []connect.Event {
	h.t.Helper()
	var found []connect.Event
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		found = nil
		for _, e := range h.events {
			if e.Kind == kind {
				found = append(found, e)
			}
		}
		return len(found) == n
	}, 5*time.Second, 5*time.Millisecond, "%s", kind)
	return found
}

const works, failed = "identity.authenticated", "identity.authentication_failed"
