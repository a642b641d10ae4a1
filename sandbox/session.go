package sandbox

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

const (
	// startTimeout bounds the preparation of a browser that has started.
	startTimeout = 30 * time.Second
	// navigationTimeout bounds the wait for the initial page.
	navigationTimeout = 5 * time.Second
)

// A session is a browser session that is running.
type session struct {
	id, secret string
	liveSecret string // of the live view, which cannot drive the browser
	server     *Server
	browser    *chromium.Browser
	pages      *pages
	request    request

	mu          sync.Mutex
	connections int
	idle        *time.Timer // nil while a client is connected, or without a limit
	lifetime    *time.Timer // nil without a limit
	why         string      // the reason that it ended; "" while it runs
}

// openSession starts a session and its browser.
func (s *Server) openSession(ctx context.Context, asked anchortest.Session) (anchortest.SessionURLs, error) {
	request, err := readRequest(asked.Configuration, asked.IdentityIDs, s.idle)
	if err != nil {
		return anchortest.SessionURLs{}, err
	}
	var cookies []*http.Cookie
	for _, id := range request.identities {
		found, err := s.cookiesOf(ctx, id, request.skipValidation)
		if err != nil {
			return anchortest.SessionURLs{}, err
		}
		cookies = append(cookies, found...)
	}
	if err := s.reserve(); err != nil {
		return anchortest.SessionURLs{}, err
	}
	browser, pages, err := startBrowser(ctx, s.program, request, s.site.URL(), cookies)
	if err != nil {
		s.running.Done()
		return anchortest.SessionURLs{}, err
	}
	session := &session{id: asked.ID, secret: rand.Text(), liveSecret: rand.Text(), server: s, browser: browser, pages: pages, request: request}
	if !s.add(session) {
		browser.Close()
		s.running.Done()
		return anchortest.SessionURLs{}, errClosed
	}
	go session.watch()
	session.begin()
	s.log.InfoContext(ctx, "session", "id", session.id, "left_out", request.notes)
	return session.urls(), nil
}

var errClosed = &anchortest.APIError{Status: http.StatusServiceUnavailable, Message: "The sandbox is closing."}

// reserve makes Close wait for a browser that is about to start. It returns errClosed
// if Close was called already.
func (s *Server) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errClosed
	}
	s.running.Add(1)
	return nil
}

// add adds a session. It reports false if the sandbox is closing.
func (s *Server) add(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.sessions[session.id] = session
	}
	return !s.closing
}

// startBrowser starts a browser that is signed in and shows the initial page.
func startBrowser(ctx context.Context, program string, r request, site string, cookies []*http.Cookie) (*chromium.Browser, *pages, error) {
	browser, err := chromium.Start(ctx, program, r.width, r.height)
	if err != nil {
		return nil, nil, err
	}
	pages, err := prepare(ctx, browser, r, site, cookies)
	if err != nil {
		browser.Close()
		return nil, nil, err
	}
	return browser, pages, nil
}

// prepare sets the cookies, sizes the first page and opens the initial URL in it.
func prepare(ctx context.Context, browser *chromium.Browser, r request, site string, cookies []*http.Cookie) (*pages, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	pages := newPages()
	caller, err := browser.Conn().NewCaller(ctx, pages.event)
	if err != nil {
		return nil, err
	}
	if len(cookies) > 0 {
		if err := caller.Call(ctx, "", "Storage.setCookies", map[string]any{"cookies": cookieParams(site, cookies)}, nil); err != nil {
			return nil, err
		}
	}
	if err := caller.Call(ctx, "", "Target.setDiscoverTargets", map[string]any{"discover": true}, nil); err != nil {
		return nil, err
	}
	page, err := pages.first(ctx)
	if err != nil {
		return nil, err
	}
	if err := resize(ctx, caller, page, r.width, r.height); err != nil {
		return nil, err
	}
	if r.initialURL == "" {
		return pages, nil
	}
	return pages, navigate(ctx, caller, pages, page, r.initialURL)
}

// navigate opens a URL in a page and waits until the page shows it.
func navigate(ctx context.Context, caller *chromium.Caller, pages *pages, page, url string) error {
	sessionID, err := attach(ctx, caller, page)
	if err != nil {
		return err
	}
	// If the URL does not load, the browser shows its own error page.
	if err := caller.Call(ctx, sessionID, "Page.navigate", map[string]any{"url": url}, nil); err != nil {
		return err
	}
	// A URL that is not a page, such as a download, is never shown.
	shown, cancel := context.WithTimeout(ctx, navigationTimeout)
	defer cancel()
	_ = pages.left(shown, page)
	return caller.Call(ctx, "", "Target.detachFromTarget", map[string]any{"sessionId": sessionID}, nil)
}

// attach attaches the caller to a page and returns the session's ID.
func attach(ctx context.Context, caller *chromium.Caller, page string) (sessionID string, err error) {
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	err = caller.Call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": page, "flatten": true}, &attached)
	return attached.SessionID, err
}

// resize sets the exact size of the page, whatever frame this version of the browser has
// around it.
func resize(ctx context.Context, caller *chromium.Caller, page string, width, height int) error {
	var window struct {
		ID int `json:"windowId"`
	}
	if err := caller.Call(ctx, "", "Browser.getWindowForTarget", map[string]any{"targetId": page}, &window); err != nil {
		return err
	}
	// Older browsers do not have this method. Their pages are a little lower.
	_ = caller.Call(ctx, "", "Browser.setContentsSize", map[string]any{"windowId": window.ID, "width": width, "height": height}, nil)
	return nil
}

// cookieParams returns the cookies of a site as Storage.setCookies takes them (CDP,
// Network.CookieParam). A cookie without a domain is only for the host that set it.
func cookieParams(site string, cookies []*http.Cookie) []map[string]any {
	var params []map[string]any
	for _, c := range cookies {
		p := map[string]any{"name": c.Name, "value": c.Value, "url": site, "httpOnly": c.HttpOnly, "secure": c.Secure}
		if c.Path != "" {
			p["path"] = c.Path
		}
		if c.Domain != "" {
			p["domain"] = c.Domain
		}
		if !c.Expires.IsZero() {
			p["expires"] = c.Expires.Unix()
		}
		switch c.SameSite {
		case http.SameSiteLaxMode:
			p["sameSite"] = "Lax"
		case http.SameSiteStrictMode:
			p["sameSite"] = "Strict"
		case http.SameSiteNoneMode:
			p["sameSite"] = "None"
		}
		params = append(params, p)
	}
	return params
}

// begin starts the session's timers.
func (b *session) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != "" {
		return
	}
	if b.request.max >= 0 {
		b.lifetime = time.AfterFunc(b.request.max, func() { b.end("max_duration has passed") })
	}
	b.wait()
}

// wait starts the idle timer. The caller holds the lock.
func (b *session) wait() {
	if b.request.idle >= 0 {
		b.idle = time.AfterFunc(b.request.idle, b.endIfIdle)
	}
}

// endIfIdle ends the session unless a client connected just as the timer fired.
func (b *session) endIfIdle() {
	b.mu.Lock()
	idle := b.connections == 0
	b.mu.Unlock()
	if idle {
		b.end("idle_timeout has passed")
	}
}

// connect counts a connection. It reports false if the session has ended.
func (b *session) connect() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != "" {
		return false
	}
	if b.idle != nil {
		b.idle.Stop()
		b.idle = nil
	}
	b.connections++
	return true
}

func (b *session) disconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.connections--; b.connections == 0 && b.why == "" {
		b.wait()
	}
}

// end ends the session and waits until its browser has ended. The first reason is kept.
func (b *session) end(why string) {
	b.mu.Lock()
	if b.why == "" {
		b.why = why
	}
	for _, timer := range []*time.Timer{b.idle, b.lifetime} {
		if timer != nil {
			timer.Stop()
		}
	}
	b.mu.Unlock()
	b.browser.Close()
}

// watch cleans up when the browser has ended, for whatever reason.
func (b *session) watch() {
	s := b.server
	defer s.running.Done()
	<-b.browser.Done()
	b.end("its browser was closed")
	s.mu.Lock()
	delete(s.sessions, b.id)
	s.mu.Unlock()
	s.fake.EndSession(b.id)
	b.mu.Lock()
	defer b.mu.Unlock()
	s.log.Info("session ended", "id", b.id, "because", b.why)
}

// session returns the running session with this ID, or nil.
func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Notes returns a sentence for each feature that a running session was asked for and the
// sandbox leaves out. It returns nil for any other session.
func (s *Server) Notes(sessionID string) []string {
	if found := s.session(sessionID); found != nil {
		return slices.Clone(found.request.notes)
	}
	return nil
}

// backend implements [anchortest.Backend] for a sandbox.
type backend struct{ s *Server }

func (b backend) ServeHostedPage(w http.ResponseWriter, r *http.Request) { b.s.serveHostedPage(w, r) }

func (b backend) OpenSession(ctx context.Context, asked anchortest.Session) (anchortest.SessionURLs, error) {
	return b.s.openSession(ctx, asked)
}

func (b backend) EndSession(_ context.Context, id string) {
	if found := b.s.session(id); found != nil {
		found.end("the app ended it")
	}
}

func (b backend) SignInAgain(ctx context.Context, id string) error {
	_, err := b.s.signInAgain(ctx, id)
	return err
}

func (b backend) ForgetIdentity(id string) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	delete(b.s.identities, id)
}
