package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// readTimeout bounds an automation's work in its browser, and endTimeout the call
	// that ends the session.
	readTimeout = 30 * time.Second
	endTimeout  = 10 * time.Second
)

// update is a line of the response to a run. Lines with Progress may come first; the
// last line has the outcome.
type update struct {
	Progress  string `json:"progress,omitzero"`
	SessionID string `json:"sessionId,omitzero"`
	Inbox     *inbox `json:"inbox,omitzero"`
	Error     string `json:"error,omitzero"` // a code
	Message   string `json:"message,omitzero"`
}

// inbox is the result of the automation.
type inbox struct {
	Title      string       `json:"title"`
	Subjects   []string     `json:"subjects"`
	Screenshot template.URL `json:"screenshot"` // a data: URL
}

// runAutomation opens a browser session that is signed in to one of the user's
// accounts. In the sandbox it reads the inbox and ends the session; with the real
// service it returns the session's ID. It answers a form with a page, and a script with
// JSON, one update per line.
func (a *app) runAutomation(w http.ResponseWriter, r *http.Request) {
	asPage := strings.Contains(r.Header.Get("Accept"), "text/html")
	if !asPage {
		r.Header.Set("Accept", "application/json") // connect.Error then answers in JSON.
	}
	user, err := a.user(r)
	if err != nil {
		a.connect.Error(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name := r.PostFormValue("account")
	if !slices.ContainsFunc(a.accounts, func(known account) bool { return known.Name == name }) {
		a.connect.Error(w, r, connect.ErrConnectionUnknown)
		return
	}
	// NewSessionByID never finds another user's connection, whatever ID the form has.
	session, err := a.connect.Application(name).NewSessionByID(r.Context(), user.ID, r.PostFormValue("connection"),
		func(s *anchorhttp.SessionRequest) { s.Browser.Viewport = &anchorhttp.Viewport{Width: 960, Height: 600} })
	if err != nil {
		a.connect.Error(w, r, err)
		return
	}
	done, status := update{SessionID: session.ID}, http.StatusOK
	if a.sandbox != nil {
		defer a.end(r.Context(), session.ID)
		if !asPage {
			sendUpdate(w, update{Progress: "The browser is open and signed in. Reading the inbox…"})
		}
		found, err := readInbox(r.Context(), session, a.sandbox.Site().URL())
		if err != nil {
			e := explain(r.Context(), session, err)
			done.Error, done.Message, status = e.Code, e.Title+". "+e.Help, e.Status
		} else {
			done.Inbox = &found
		}
	}
	switch {
	case asPage:
		a.render(w, status, "run.html", done)
	case a.sandbox != nil:
		sendUpdate(w, done)
	default:
		writeJSON(w, http.StatusOK, done)
	}
}

// readInbox reads the inbox of the account that session is signed in to. It returns
// connect.ErrNeedsSignIn if the site has signed the account out.
func readInbox(ctx context.Context, session anchorhttp.Session, site string) (inbox, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ctx, cancel = remote.NewAllocator(ctx, session.CDPURL, remote.NoModifyURL)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(site+"/inbox")); err != nil {
		return inbox{}, err
	}
	page, err := chromedp.Run(ctx, chromedp.Evaluate[struct {
		Path, Title string
		Subjects    []string
	}](`({
		Path: location.pathname,
		Title: document.querySelector("h1").textContent,
		Subjects: [...document.querySelectorAll(".subject")].map((subject) => subject.textContent),
	})`))
	if err != nil {
		return inbox{}, err
	}
	if page.Path != "/inbox" { // The site redirects to its sign-in page.
		return inbox{}, connect.ErrNeedsSignIn
	}
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return inbox{}, err
	}
	image := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture)
	return inbox{page.Title, page.Subjects, template.URL(image)}, nil
}

// explain returns the user's explanation of an error in a session's browser.
func explain(ctx context.Context, session anchorhttp.Session, err error) connect.Explanation {
	if errors.Is(err, connect.ErrNeedsSignIn) {
		return connect.Explain(err)
	}
	// Anyone who has the session's URL can drive its browser, so it is not logged.
	slog.ErrorContext(ctx, "automation failed", "error", strings.ReplaceAll(err.Error(), session.CDPURL, "…"))
	return connect.Explanation{
		Status: http.StatusBadGateway, Code: "automation_failed",
		Title: "Please try again", Help: "The automation did not finish. Try again in a moment.",
	}
}

// end ends a session, even if ctx is cancelled.
func (a *app) end(ctx context.Context, sessionID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := a.anchor.EndSession(ctx, sessionID); err != nil {
		slog.ErrorContext(ctx, "cannot end the session", "error", err)
	}
}

// sendUpdate writes a line of the response and flushes it.
func sendUpdate(w http.ResponseWriter, u update) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(u) // It fails only if the client has gone.
	_ = http.NewResponseController(w).Flush()
}
