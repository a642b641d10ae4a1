package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

// What a session has when its request does not say, as by Anchor's API reference.
const (
	defaultWidth, defaultHeight = 1440, 900
	defaultMaxDuration          = 180 * time.Minute
	// navigationTimeout is how long a session waits for its initial page to be shown.
	navigationTimeout = 5 * time.Second
	// maxSide is the longest side of a viewport, in pixels.
	maxSide = 10_000
)

// A request is what a session was asked for, as far as the sandbox applies it.
type request struct {
	initialURL     string
	width, height  int
	idle, max      time.Duration // negative for no limit
	skipValidation bool
	identities     []string
	notes          []string
}

type toggle struct {
	Active *bool `json:"active"`
}

// on reports whether something is switched on, or with the default where it is not
// said.
func (t toggle) on(otherwise bool) bool {
	if t.Active == nil {
		return otherwise
	}
	return *t.Active
}

// readRequest reads a session's configuration. idle is the idle timeout of those that
// do not say. What a local browser cannot do becomes a note.
func readRequest(configuration []byte, identities []string, idle time.Duration) (request, error) {
	var body struct {
		SkipValidation bool `json:"identity_skip_validation"`
		Session        struct {
			InitialURL string `json:"initial_url"`
			Recording  toggle `json:"recording"`
			Proxy      toggle `json:"proxy"`
			Timeout    struct {
				Max  *int `json:"max_duration"`
				Idle *int `json:"idle_timeout"`
			} `json:"timeout"`
			LiveView struct {
				OneTimeURL bool `json:"one_time_url"`
			} `json:"live_view"`
		} `json:"session"`
		Browser struct {
			Profile struct {
				Name string `json:"name"`
			} `json:"profile"`
			Adblock       toggle `json:"adblock"`
			CaptchaSolver toggle `json:"captcha_solver"`
			Headless      toggle `json:"headless"`
			Viewport      struct {
				Width  *int `json:"width"`
				Height *int `json:"height"`
			} `json:"viewport"`
			Fullscreen   toggle   `json:"fullscreen"`
			Extensions   []string `json:"extensions"`
			ExtraStealth toggle   `json:"extra_stealth"`
		} `json:"browser"`
	}
	if len(configuration) > 0 {
		if err := json.Unmarshal(configuration, &body); err != nil {
			return request{}, badRequest("The request body is not the JSON that is expected: " + err.Error() + ".")
		}
	}
	r := request{
		initialURL: body.Session.InitialURL, skipValidation: body.SkipValidation, identities: identities,
		width: defaultWidth, height: defaultHeight, idle: idle, max: defaultMaxDuration,
	}
	if r.initialURL != "" {
		u, err := url.Parse(r.initialURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return request{}, badRequest("initial_url must be an http or https URL.")
		}
	}
	for side, asked := range map[*int]*int{&r.width: body.Browser.Viewport.Width, &r.height: body.Browser.Viewport.Height} {
		if asked == nil {
			continue
		}
		if *asked < 1 || *asked > maxSide {
			return request{}, badRequest(fmt.Sprintf("width and height of the viewport must be from 1 to %d.", maxSide))
		}
		*side = *asked
	}
	for limit, asked := range map[*time.Duration]*int{&r.idle: body.Session.Timeout.Idle, &r.max: body.Session.Timeout.Max} {
		if asked != nil && *asked != 0 {
			*limit = time.Duration(*asked) * time.Minute
		}
	}
	for _, note := range []struct {
		asked bool
		text  string
	}{
		{body.Session.Proxy.on(false), "No proxy: the browser uses this machine's network."},
		{body.Browser.CaptchaSolver.on(false), "Captchas are not solved."},
		{body.Browser.ExtraStealth.on(false), "No stealth: sites can see that the browser is automated."},
		{body.Session.Recording.on(false), "Nothing is recorded."},
		{!body.Browser.Headless.on(true), "The browser is headless all the same."},
		{body.Browser.Fullscreen.on(false), "A headless browser has no full screen."},
		{body.Browser.Adblock.on(false), "Ads are not blocked."},
		{body.Browser.Profile.Name != "", "Profiles are not kept: this one is empty, and is removed."},
		{len(body.Browser.Extensions) > 0, "Extensions are not loaded."},
		{body.Session.LiveView.OneTimeURL, "The live view can be opened more than once."},
	} {
		if note.asked {
			r.notes = append(r.notes, note.text)
		}
	}
	return r, nil
}

func badRequest(message string) error {
	return &anchortest.APIError{Status: http.StatusBadRequest, Message: message}
}

// A session is one whose browser runs.
type session struct {
	id, secret string
	liveSecret string // of the live view, which shows and does not drive
	server     *Server
	browser    *chromium.Browser
	pages      *pages
	request    request

	mu          sync.Mutex
	connections int
	idle        *time.Timer // nil while there is a connection, or without a limit
	lifetime    *time.Timer // nil without a limit
	why         string      // it ended; empty while it runs
}

// openSession starts the browser of a session.
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

var errClosed = &anchortest.APIError{Status: http.StatusServiceUnavailable, Message: "The sandbox is being closed."}

// reserve has Close wait for the browser that is about to start.
func (s *Server) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errClosed
	}
	s.running.Add(1)
	return nil
}

// add reports false when the sandbox is being closed.
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

func prepare(ctx context.Context, browser *chromium.Browser, r request, site string, cookies []*http.Cookie) (*pages, error) {
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
	sessionID, err := attach(ctx, caller, page)
	if err != nil {
		return nil, err
	}
	// A page that does not load is shown as one: there is no error to read.
	if err := caller.Call(ctx, sessionID, "Page.navigate", map[string]any{"url": r.initialURL}, nil); err != nil {
		return nil, err
	}
	// What is no page, such as a download, is never shown.
	shown, cancel := context.WithTimeout(ctx, navigationTimeout)
	defer cancel()
	_ = pages.left(shown, page)
	return pages, caller.Call(ctx, "", "Target.detachFromTarget", map[string]any{"sessionId": sessionID}, nil)
}

// attach returns a session of the caller's with a page.
func attach(ctx context.Context, caller *chromium.Caller, page string) (sessionID string, err error) {
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	err = caller.Call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": page, "flatten": true}, &attached)
	return attached.SessionID, err
}

// resize gives the page its size exactly, whatever the browser's version would show
// around it.
func resize(ctx context.Context, caller *chromium.Caller, page string, width, height int) error {
	var window struct {
		ID int `json:"windowId"`
	}
	if err := caller.Call(ctx, "", "Browser.getWindowForTarget", map[string]any{"targetId": page}, &window); err != nil {
		return err
	}
	// Older browsers do not know it. Their pages are a little lower than asked for.
	_ = caller.Call(ctx, "", "Browser.setContentsSize", map[string]any{"windowId": window.ID, "width": width, "height": height}, nil)
	return nil
}

// cookieParams writes the cookies of a site as the browser takes them (CDP,
// Network.CookieParam). A cookie without a domain is for the host that set it alone.
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

// begin starts the clocks.
func (b *session) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != "" {
		return
	}
	if b.request.max >= 0 {
		b.lifetime = time.AfterFunc(b.request.max, func() { b.end("its time was over") })
	}
	b.wait()
}

// wait starts the idle clock, and is called with the lock held.
func (b *session) wait() {
	if b.request.idle >= 0 {
		b.idle = time.AfterFunc(b.request.idle, b.endIfIdle)
	}
}

// endIfIdle ends the session unless a connection came when its time was just over.
func (b *session) endIfIdle() {
	b.mu.Lock()
	idle := b.connections == 0
	b.mu.Unlock()
	if idle {
		b.end("nobody was connected")
	}
}

// connect counts a connection. It reports false when the session has ended.
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

// end ends the session and waits until its browser is gone. The first reason stays.
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

// watch tidies up when the browser has ended, whoever ended it.
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

// session returns a session that runs, or nil.
func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Notes returns what a session that runs was asked for and does without, in sentences
// for people.
func (s *Server) Notes(sessionID string) []string {
	if found := s.session(sessionID); found != nil {
		return slices.Clone(found.request.notes)
	}
	return nil
}

// backend is the [anchortest.Backend] of a sandbox.
type backend struct{ s *Server }

func (b backend) ServeHostedPage(w http.ResponseWriter, r *http.Request) { b.s.serveHostedPage(w, r) }

func (b backend) OpenSession(ctx context.Context, asked anchortest.Session) (anchortest.SessionURLs, error) {
	return b.s.openSession(ctx, asked)
}

func (b backend) EndSession(_ context.Context, id string) {
	if found := b.s.session(id); found != nil {
		found.end("the API was called")
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
