package sandbox

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/anchorconnect/connect/anchortest"
)

// The sandbox's own paths, in addition to the fake's. A secret follows each.
const (
	overviewPath = "/sandbox/"
	cdpPath      = "/cdp/"
	livePath     = "/live/"
)

// frameTimeout bounds taking a screenshot for the live view.
const frameTimeout = 5 * time.Second

// urls returns the session's URLs. The CDP URL ends like Chromium's own, so clients use
// it without discovery.
func (b *session) urls() anchortest.SessionURLs {
	base := b.server.URL()
	return anchortest.SessionURLs{
		CDP:      strings.Replace(base, "http", "ws", 1) + cdpPath + b.secret + "/devtools/browser/" + b.id,
		LiveView: base + livePath + b.liveSecret + "/" + b.id,
	}
}

// routes returns the handler of the fake's and the sandbox's paths.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(cdpPath+"{secret}/devtools/browser/{session}", s.serveCDP)
	mux.HandleFunc("GET "+livePath+"{secret}/{session}", s.serveLive)
	mux.HandleFunc("GET "+livePath+"{secret}/{session}/frame", s.serveFrame)
	mux.HandleFunc("GET "+overviewPath+"{secret}", s.serveOverview)
	mux.Handle("/", s.fake)
	return onlyLoopback(mux)
}

// pathSession returns the session of a request's path. If the session or its secret is
// wrong, it answers 404 and returns nil.
func (s *Server) pathSession(w http.ResponseWriter, r *http.Request, secret func(*session) string) *session {
	found := s.session(r.PathValue("session"))
	if found == nil || !equal(r.PathValue("secret"), secret(found)) {
		http.Error(w, "The session does not exist or has ended.", http.StatusNotFound)
		return nil
	}
	return found
}

func driving(b *session) string { return b.secret }
func viewing(b *session) string { return b.liveSecret }

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// serveCDP connects a program to a session's browser.
func (s *Server) serveCDP(w http.ResponseWriter, r *http.Request) {
	if !ownOrigin(r) {
		http.Error(w, "A page of another origin cannot drive a browser.", http.StatusForbidden)
		return
	}
	b := s.pathSession(w, r, driving)
	if b == nil {
		return
	}
	// ownOrigin checks the Origin, more strictly than Accept does.
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered.
	}
	defer socket.CloseNow()
	socket.SetReadLimit(-1)
	if !b.connect() {
		socket.Close(websocket.StatusGoingAway, "the session has ended")
		return
	}
	defer b.disconnect()
	b.relay(socket)
}

// relay passes messages between a socket and the browser until either ends.
func (b *session) relay(socket *websocket.Conn) {
	// The context of a hijacked request does not end with its connection.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := b.browser.Conn().Attach(ctx)
	if err != nil {
		socket.Close(websocket.StatusGoingAway, "the session has ended")
		return
	}
	defer client.Detach(ctx)
	go func() {
		select {
		case <-b.browser.Done(): // A client that does not read must not keep the socket open.
			socket.CloseNow()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer cancel()
		for {
			message, err := client.Receive()
			if err != nil {
				socket.Close(websocket.StatusGoingAway, "the session has ended")
				return
			}
			if socket.Write(ctx, websocket.MessageText, message) != nil {
				return
			}
		}
	}()
	for {
		_, message, err := socket.Read(ctx)
		if err != nil {
			return
		}
		if err := client.Send(message); err != nil {
			socket.Close(websocket.StatusInvalidFramePayloadData, "the message is not a JSON object, or the session has ended")
			return
		}
	}
}

// serveLive shows the live view of a session.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	b := s.pathSession(w, r, viewing)
	if b == nil {
		return
	}
	setPageHeaders(w.Header())
	// Without frame-ancestors: an app may embed the live view.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+"; script-src "+scriptHash+
		"; img-src blob: data:; connect-src 'self'; form-action 'none'; base-uri 'none'")
	_ = liveTemplate.ExecuteTemplate(w, "live", map[string]any{ // It fails only if the client has gone.
		"Notes": b.request.notes, "Width": b.request.width, "Height": b.request.height,
	})
}

// serveFrame answers with a screenshot of the session's current page. The header Page-Url
// has the page's URL, path-escaped.
func (s *Server) serveFrame(w http.ResponseWriter, r *http.Request) {
	b := s.pathSession(w, r, viewing)
	if b == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), frameTimeout)
	defer cancel()
	picture, address, err := b.frame(ctx)
	if err != nil {
		http.Error(w, "The screenshot could not be taken. Try again.", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Page-Url", url.PathEscape(address))
	w.Write(picture)
}

// frame takes a screenshot of the current page.
func (b *session) frame(ctx context.Context) (picture []byte, address string, err error) {
	id, address, ok := b.pages.current()
	if !ok {
		return nil, "", errNoPage
	}
	caller, err := b.browser.Conn().NewCaller(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer caller.Close(context.WithoutCancel(ctx))
	sessionID, err := attach(ctx, caller, id)
	if err != nil {
		return nil, "", err
	}
	var shot struct {
		Data string `json:"data"`
	}
	params := map[string]any{"format": "jpeg", "quality": 75, "optimizeForSpeed": true}
	if err := caller.Call(ctx, sessionID, "Page.captureScreenshot", params, &shot); err != nil {
		return nil, "", err
	}
	picture, err = base64.StdEncoding.DecodeString(shot.Data)
	return picture, address, err
}

// serveOverview shows the accounts, with passwords and codes, and the sessions.
func (s *Server) serveOverview(w http.ResponseWriter, r *http.Request) {
	if !equal(r.PathValue("secret"), s.secret) {
		http.Error(w, "This page does not exist.", http.StatusNotFound)
		return
	}
	type account struct {
		Account
		Code string
	}
	type row struct {
		ID, LiveView string
		Connections  int
		Notes        []string
	}
	var page struct {
		Self, Site, Control string
		Accounts            []account
		Sessions            []row
	}
	page.Self, page.Site, page.Control = s.OverviewURL(), s.site.URL(), s.fake.ControlURL()
	for _, a := range s.site.Accounts() {
		code, _ := s.site.Code(a.Name)
		page.Accounts = append(page.Accounts, account{a, code})
	}
	for _, kept := range s.fake.Sessions() { // In the order of their opening.
		if b := s.session(kept.ID); b != nil {
			b.mu.Lock()
			page.Sessions = append(page.Sessions, row{b.id, b.urls().LiveView, b.connections, b.request.notes})
			b.mu.Unlock()
		}
	}
	writePage(w, http.StatusOK, "'none'", overviewTemplate, "overview", page)
}
