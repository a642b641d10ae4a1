package connect_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
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

// site is an app with connect in it, on a TLS server, in front of a fake of
// Anchor. Everything that happens to it goes through real HTTP.
type site struct {
	t       *testing.T
	fake    *anchortest.Server
	store   connect.Store
	handler *connect.Handler
	server  *httptest.Server
	mux     *http.ServeMux
	log     *syncBuffer
	clock   *clock
	over    *sync.Map // what is closed when a browser's request is over, by its number

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

// forget takes a word out of what was logged.
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

// browser is somebody's browser: a cookie jar, and no redirect followed that
// the test does not follow.
type browser struct {
	site   *site
	client *http.Client
	header http.Header
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	client := *s.server.Client()
	client.Jar = jar
	client.Timeout = 30 * time.Second
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{site: s, client: &client, header: http.Header{"Accept": {"text/html"}}}
}

// signedIn is a browser in which this user is signed in.
func (s *site) signedIn(user string) *browser {
	b := s.browser()
	b.signIn(user)
	return b
}

// signIn signs a user in, or out with the empty name.
func (b *browser) signIn(user string) {
	a := b.post("/login", url.Values{"user": {user}})
	require.Equal(b.site.t, http.StatusOK, a.status)
}

// answer is what came back, read.
type answer struct {
	status   int
	header   http.Header
	body     string
	location string
	over     chan struct{} // closed when the server is through with the request
}

// requestNumber is the header that a browser numbers its requests in.
const requestNumber = "X-Request-Number"

func (b *browser) do(method, address, contentType, body string) answer {
	a, err := b.try(method, address, contentType, body)
	require.NoError(b.site.t, err)
	return a
}

// try is do for goroutines, which must not end the test.
func (b *browser) try(method, address, contentType, body string) (answer, error) {
	if strings.HasPrefix(address, "/") {
		address = b.site.server.URL + address
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	number, over := rand.Text(), make(chan struct{})
	r.Header.Set(requestNumber, number)
	b.site.over.Store(number, over)
	res, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(content), res.Header.Get("Location"), over}, err
}

func (b *browser) get(address string) answer { return b.do(http.MethodGet, address, "", "") }

func (b *browser) post(address string, form url.Values) answer {
	return b.do(http.MethodPost, address, "application/x-www-form-urlencoded", form.Encode())
}

// start presses the button and returns the hosted page's address.
func (b *browser) start() string {
	b.site.t.Helper()
	a := b.post("/connect", nil)
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	require.True(b.site.t, strings.HasPrefix(a.location, b.site.fake.URL()+"/identity/create?token="), a.location)
	return a.location
}

// approve signs in on the hosted page and returns the callback's address.
func (s *site) approve(hosted string, options ...anchortest.ApproveOption) string {
	s.t.Helper()
	callback, err := s.fake.Approve(context.Background(), hosted, options...)
	require.NoError(s.t, err)
	return callback
}

// connect goes through the whole flow, the tag included, and returns the
// callback's address.
func (b *browser) connect() string {
	b.site.t.Helper()
	callback := b.site.approve(b.start())
	b.site.finished(b.get(callback))
	return callback
}

// finished checks that a return was a success, and waits for the tag.
func (s *site) finished(a answer) {
	s.t.Helper()
	require.Equal(s.t, http.StatusSeeOther, a.status, "%s", a.body)
	<-a.over
}

// identityIn is the identity's id in a callback's address.
func identityIn(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return ""
	}
	return u.Query().Get("identity_id") + u.Query().Get("identityId")
}

// withIdentity is the callback's address with another identity written into it.
func withIdentity(callback, id string) string {
	return strings.ReplaceAll(callback, identityIn(callback), id)
}

// connection is the user's connection in the store, zero without one.
func (s *site) connection(user string) connect.Connection {
	connections := s.connections(user)
	if len(connections) == 0 {
		return connect.Connection{}
	}
	require.Len(s.t, connections, 1)
	return connections[0]
}

// connections are the user's connections in the store.
func (s *site) connections(user string) []connect.Connection {
	return s.connectionsIn(s.fake.ApplicationID(), user)
}

func (s *site) connectionsIn(applicationID, user string) []connect.Connection {
	connections, err := s.store.Connections(context.Background(), applicationID, user)
	require.NoError(s.t, err)
	return connections
}

// tag is the identity's owner in its metadata at Anchor.
func (s *site) tag(identityID string) any {
	identity, ok := s.fake.Identity(identityID)
	require.True(s.t, ok, "identity %s", identityID)
	return identity.Metadata["externalUserId"]
}

// refused checks that a request was refused with this error and says so to a
// person and to a script.
func (b *browser) refused(want error, a answer) {
	b.site.t.Helper()
	e := connect.Explain(want)
	require.Equal(b.site.t, e.Status, a.status, "%s", a.body)
	require.Contains(b.site.t, a.body, e.Title)
	require.Contains(b.site.t, b.site.log.String(), "code="+e.Code)
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

// countingStore counts writes, and fails where it is told to.
type countingStore struct {
	connect.Store
	mu     sync.Mutex
	counts map[string]int
	fail   map[string]error
}

func (s *countingStore) did(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[method]++
	return s.fail[method]
}

func newCountingStore() *countingStore {
	return &countingStore{Store: connect.NewMemoryStore(), counts: map[string]int{}, fail: map[string]error{}}
}

func (s *countingStore) set(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *countingStore) counted(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func (s *countingStore) count() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.counts)
}

func (s *countingStore) Bind(ctx context.Context, p connect.Pending, limit int) error {
	if err := s.did("Bind"); err != nil {
		return err
	}
	return s.Store.Bind(ctx, p, limit)
}

func (s *countingStore) Pending(ctx context.Context, tokenHash string) (connect.Pending, error) {
	if err := s.did("Pending"); err != nil {
		return connect.Pending{}, err
	}
	return s.Store.Pending(ctx, tokenHash)
}

func (s *countingStore) Spend(ctx context.Context, tokenHash string) error {
	if err := s.did("Spend"); err != nil {
		return err
	}
	return s.Store.Spend(ctx, tokenHash)
}

func (s *countingStore) Queue(ctx context.Context, t connect.Task) error {
	if err := s.did("Queue"); err != nil {
		return err
	}
	return s.Store.Queue(ctx, t)
}

func (s *countingStore) Complete(ctx context.Context, tokenHash string, c connect.Connection, how connect.Completion) (connect.Completed, error) {
	if err := s.did("Complete"); err != nil {
		return connect.Completed{}, err
	}
	return s.Store.Complete(ctx, tokenHash, c, how)
}

func (s *countingStore) Connections(ctx context.Context, applicationID, userID string) ([]connect.Connection, error) {
	if err := s.did("Connections"); err != nil {
		return nil, err
	}
	return s.Store.Connections(ctx, applicationID, userID)
}

func (s *countingStore) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (connect.Connection, bool, error) {
	if err := s.did("SetHealth"); err != nil {
		return connect.Connection{}, false, err
	}
	return s.Store.SetHealth(ctx, identityID, health, at)
}

func (s *countingStore) Disconnect(ctx context.Context, d connect.Disconnection) ([]connect.Connection, error) {
	if err := s.did("Disconnect"); err != nil {
		return nil, err
	}
	return s.Store.Disconnect(ctx, d)
}

func (s *countingStore) Done(ctx context.Context, t connect.Task) error {
	if err := s.did("Done"); err != nil {
		return err
	}
	return s.Store.Done(ctx, t)
}
