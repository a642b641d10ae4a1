package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox/internal/chromium"
)

func TestSessionIsSignedInAtTheSite(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := drive(t, open(t, s, identity(t, s, "ada", "ada-letters")))
	require.Equal(t, inbox(t, s, "ada"), subjects(t, ctx, s))
	size, err := chromedp.Run(ctx, chromedp.Evaluate[[]int](`[innerWidth, innerHeight]`))
	require.NoError(t, err)
	require.Equal(t, []int{1440, 900}, size)
	visible, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.cookie`))
	require.NoError(t, err)
	require.Empty(t, visible, "the cookie is HttpOnly, as it was set")
}

func TestSessionsOfTwoUsersNeverSeeEachOthersInbox(t *testing.T) {
	t.Parallel()
	s := start(t)
	adas := drive(t, open(t, s, identity(t, s, "ada", "ada-letters")))
	graces := drive(t, open(t, s, identity(t, s, "grace", "grace-letters")))
	require.NotEqual(t, inbox(t, s, "ada"), inbox(t, s, "grace"))
	for range 2 {
		require.Equal(t, inbox(t, s, "ada"), subjects(t, adas, s))
		require.Equal(t, inbox(t, s, "grace"), subjects(t, graces, s))
	}
}

func TestSessionWithoutIdentitiesIsNotSignedIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	session, err := s.Client().CreateSession(t.Context(), anchorhttp.SessionRequest{})
	require.NoError(t, err)
	require.Empty(t, subjects(t, drive(t, session), s))
}

// hook adds a webhook. The function that it returns returns the types of received events.
func hook(t *testing.T, s *Server) (events func() []string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(app.Close)
	s.Fake().SetWebhook(app.URL, "whsec-1")
	return func() (types []string) {
		require.NoError(t, s.Fake().WaitDelivered(t.Context()))
		for _, d := range s.Fake().Deliveries() {
			types = append(types, d.Event.Type)
		}
		return types
	}
}

func TestIdentityWithInvalidCookiesIsSignedInAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Site){
		"signed out everywhere": func(site *Site) { _ = site.SignOutEverywhere("ada") },
		"expired":               func(site *Site) { site.ExpireSessions() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			id := identity(t, s, "ada", "ada-letters")
			events := hook(t, s)
			end(s.Site())
			session := open(t, s, id)
			require.Equal(t, inbox(t, s, "ada"), subjects(t, drive(t, session), s))
			require.Equal(t, anchortest.StatusValidated, statusOf(t, s, id))
			require.Equal(t, []string{anchorhttp.EventIdentityAuthenticated}, events())

			// The new cookies are stored: the next session needs no sign-in.
			open(t, s, id)
			require.Len(t, events(), 1)
		})
	}
}

func TestIdentityThatCannotSignInIsRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		change  func(*Site) error
		status  int
		message string
	}{
		{"the password was changed", func(site *Site) error { return site.SetPassword("ada", "another") },
			422, "Identity authentication failed. The site says: The user name or the password is wrong."},
		{"the site asks for a code", func(site *Site) error {
			site.ExpireSessions()
			return site.SetSecondFactor("ada", true)
		}, 412, "Profile is not authenticated: the site asks for a code."},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			id := identity(t, s, "ada", "ada-letters")
			events := hook(t, s)
			require.NoError(t, row.change(s.Site()))
			_, err := s.Client(anchorhttp.WithMaxRetries(0)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(id))
			require.Equal(t, row.status, refusal(t, err).StatusCode)
			require.Equal(t, row.message, refusal(t, err).Message)
			require.Equal(t, anchortest.StatusFailed, statusOf(t, s, id))
			require.Equal(t, []string{anchorhttp.EventIdentityAuthenticationFailed}, events())
			require.Empty(t, s.Fake().Sessions())

			// Without the check the session opens, but is not signed in.
			body := `{"identity_skip_validation":true,"identities":[{"id":"` + id + `"}]}`
			data := call(t, s, 200, "POST", "/v1/sessions", body)["data"].(map[string]any)
			require.Empty(t, subjects(t, drive(t, anchorhttp.Session{CDPURL: data["cdp_url"].(string)}), s))
			require.Len(t, events(), 1)

			call(t, s, row.status, "POST", "/v1/identities/"+id+"/reauthenticate", "")
		})
	}
}

func TestIdentityIsSignedInOncePossibleAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := identity(t, s, "ada", "ada-letters")
	events := hook(t, s)
	require.NoError(t, s.Site().SetPassword("ada", "another"))
	call(t, s, 422, "POST", "/v1/identities/"+id+"/reauthenticate", `{"sync":true}`)
	require.Equal(t, anchortest.StatusFailed, statusOf(t, s, id))
	require.NoError(t, s.Site().SetPassword("ada", "ada-letters"))
	call(t, s, 200, "POST", "/v1/identities/"+id+"/reauthenticate", `{"sync":true}`)
	require.Equal(t, anchortest.StatusValidated, statusOf(t, s, id))
	require.ElementsMatch(t, []string{anchorhttp.EventIdentityAuthenticationFailed, anchorhttp.EventIdentityAuthenticated}, events())
}

func TestIdentityWithNothingStoredIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.Fake().PutIdentity(anchortest.Identity{}).ID
	_, err := s.Client().CreateSession(t.Context(), anchorhttp.AuthenticatedSession(id))
	require.Equal(t, 412, refusal(t, err).StatusCode)
	require.Equal(t, anchortest.StatusFailed, statusOf(t, s, id))

	deleted := identity(t, s, "ada", "ada-letters")
	require.NotNil(t, s.stored(deleted))
	require.NoError(t, s.Client().DeleteIdentity(t.Context(), deleted))
	require.Nil(t, s.stored(deleted), "what was stored goes with it")
	_, err = s.Client().CreateSession(t.Context(), anchorhttp.AuthenticatedSession(deleted))
	require.Equal(t, 400, refusal(t, err).StatusCode)
}

func TestWithoutStoredPasswordsIsNotSignedInAgain(t *testing.T) {
	t.Parallel()
	s := start(t, WithoutStoredPasswords())
	id := identity(t, s, "ada", "ada-letters")
	require.Empty(t, s.stored(id).password)
	call(t, s, 200, "POST", "/v1/identities/"+id+"/reauthenticate", `{"sync":true}`)
	require.Equal(t, inbox(t, s, "ada"), subjects(t, drive(t, open(t, s, id)), s))

	events := hook(t, s)
	require.NoError(t, s.Site().SignOutEverywhere("ada"))
	_, err := s.Client(anchorhttp.WithMaxRetries(0)).CreateSession(t.Context(), anchorhttp.AuthenticatedSession(id))
	require.Equal(t, 412, refusal(t, err).StatusCode)
	require.Equal(t, "Profile is not authenticated: no password is stored.", refusal(t, err).Message)
	require.Equal(t, anchortest.StatusFailed, statusOf(t, s, id))
	require.Equal(t, []string{anchorhttp.EventIdentityAuthenticationFailed}, events())
	call(t, s, 412, "POST", "/v1/identities/"+id+"/reauthenticate", "")
}

func TestSessionBeginsAsRequested(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := identity(t, s, "grace", "grace-letters")
	request := anchorhttp.AuthenticatedSession(id)
	request.Session.InitialURL = s.Site().URL() + "/settings"
	request.Session.Recording = &anchorhttp.Toggle{Active: false}
	request.Browser.Headless = &anchorhttp.Toggle{Active: true}
	request.Browser.Viewport = &anchorhttp.Viewport{Width: 800, Height: 600}
	session, err := s.Client().CreateSession(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, []string{
		"No proxy: the browser uses this machine's network.",
		"Captchas are not solved.",
		"No stealth: sites can detect that the browser is automated.",
	}, s.Notes(session.ID))
	require.Nil(t, s.Notes("x"))

	client := connectTo(t, session.CDPURL)
	page := client.page(t)
	require.Equal(t, s.Site().URL()+"/settings", page.URL)
	require.JSONEq(t, `{"title":"Settings (Letters)","size":[800,600]}`,
		client.evaluate(t, page.ID, `JSON.stringify({title: document.title, size: [innerWidth, innerHeight]})`))
}

// ended waits until a session has ended and checks that nothing is left of its browser.
func ended(t *testing.T, s *Server, id string, b *session) {
	t.Helper()
	select {
	case <-b.browser.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the session goes on")
	}
	require.NoDirExists(t, b.browser.Dir())
	n, err := chromium.Running(t.Context(), b.browser.Dir())
	require.NoError(t, err)
	require.Zero(t, n, "processes are left")
	require.Eventually(t, func() bool {
		return call(t, s, 200, "GET", "/v1/sessions/"+id, "")["data"].(map[string]any)["status"] == "ended"
	}, 10*time.Second, 5*time.Millisecond)
	require.Nil(t, s.session(id))
}

func TestSessionLeavesNothingWhenItEnds(t *testing.T) {
	t.Parallel()

	t.Run("by the API", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		session := open(t, s, identity(t, s, "ada", "ada-letters"))
		b := s.session(session.ID)
		n, err := chromium.Running(t.Context(), b.browser.Dir())
		require.NoError(t, err)
		require.Positive(t, n)
		require.DirExists(t, b.browser.Dir())
		client := connectTo(t, session.CDPURL)
		call(t, s, 200, "DELETE", "/v1/sessions/"+session.ID, "")
		require.NoDirExists(t, b.browser.Dir(), "it is gone when the API answers")
		ended(t, s, session.ID, b)
		client.closed(t)
		call(t, s, 401, "DELETE", "/v1/sessions/"+session.ID, "")
	})

	t.Run("by a program that closes the browser", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		session := open(t, s, identity(t, s, "ada", "ada-letters"))
		b := s.session(session.ID)
		client := connectTo(t, session.CDPURL)
		require.NoError(t, client.socket.Write(t.Context(), websocket.MessageText, []byte(`{"id":1,"method":"Browser.close"}`)))
		client.closed(t)
		ended(t, s, session.ID, b)
	})

	t.Run("when nobody connects", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithIdleTimeout(50*time.Millisecond))
		session := open(t, s, identity(t, s, "ada", "ada-letters"))
		if b := s.session(session.ID); b != nil {
			ended(t, s, session.ID, b)
		}
	})

	t.Run("when the last connection has been closed for a while", func(t *testing.T) {
		t.Parallel()
		s := start(t, WithIdleTimeout(400*time.Millisecond))
		session := open(t, s, identity(t, s, "ada", "ada-letters"))
		b := s.session(session.ID)
		first, second := connectTo(t, session.CDPURL), connectTo(t, session.CDPURL)
		require.NoError(t, first.socket.CloseNow())
		time.Sleep(600 * time.Millisecond) // Longer than the timeout: only that can show that it does not run.
		second.page(t)
		require.NoError(t, second.socket.CloseNow())
		ended(t, s, session.ID, b)
	})

	t.Run("when its time is over", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		session, err := s.Client().CreateSession(t.Context(), anchorhttp.SessionRequest{})
		require.NoError(t, err)
		b := s.session(session.ID)
		connectTo(t, session.CDPURL)
		b.mu.Lock()
		b.lifetime.Reset(0) // As if 180 minutes had passed.
		b.mu.Unlock()
		ended(t, s, session.ID, b)
	})

	t.Run("with the sandbox", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		session := open(t, s, identity(t, s, "ada", "ada-letters"))
		b := s.session(session.ID)
		require.NoError(t, s.Close())
		require.NoDirExists(t, b.browser.Dir())
		require.NoError(t, s.Close())
		_, err := s.openSession(t.Context(), anchortest.Session{ID: "x"})
		require.ErrorIs(t, err, errClosed)
	})

	t.Run("with the context that the sandbox was started with", func(t *testing.T) {
		t.Parallel()
		start(t) // It skips.
		ctx, cancel := context.WithCancel(t.Context())
		s, err := Start(ctx)
		require.NoError(t, err)
		b := s.session(open(t, s, identity(t, s, "ada", "ada-letters")).ID)
		cancel()
		waitGone(t, b.browser.Dir())
		require.NoError(t, s.Close())
	})
}

func TestStartManyAtOnce(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := start(t, WithAccounts(Account{Name: "only " + t.Name(), Password: "p", Letters: []Letter{{Subject: t.Name()}}}))
			ctx := drive(t, open(t, s, identity(t, s, "only "+t.Name(), "p")))
			require.Equal(t, []string{t.Name()}, subjects(t, ctx, s))
		})
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	start(t) // It skips.
	for name, option := range map[string]Option{
		"an address of other machines":            WithAddr("0.0.0.0:0"),
		"a site for other machines":               WithSiteAddr(":0"),
		"an address that is none":                 WithAddr("x"),
		"an account without a password":           WithAccounts(Account{Name: "a"}),
		"two accounts of one name":                WithAccounts(Account{Name: "a", Password: "p"}, Account{Name: "a", Password: "p"}),
		"an option that the fake does not accept": WithFake(anchortest.WithApplicationID("x")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), option)
			require.ErrorContains(t, err, "sandbox: ")
		})
	}
}

func TestStartClosesWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	start(t) // It skips.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // With -race this finds what Start and Close share without a lock.
		s, err := Start(ctx)
		require.NoError(t, err)
		<-s.closed
	}
}

func TestStartWithoutABrowserExplainsHowToGetOne(t *testing.T) {
	t.Setenv("CHROME_PATH", os.DevNull)
	_, err := Start(t.Context())
	require.ErrorIs(t, err, ErrNoBrowser)
	require.ErrorContains(t, err, "apt-get install chromium")
	require.NotContains(t, err.Error(), "\n")
}

// A cdpClient is a program that drives a browser with plain CDP messages.
type cdpClient struct {
	socket *websocket.Conn
	lastID int
}

func connectTo(t *testing.T, address string) *cdpClient {
	t.Helper()
	socket, res, err := websocket.Dial(t.Context(), address, nil)
	if res != nil && res.Body != nil {
		res.Body.Close()
	}
	require.NoError(t, err)
	socket.SetReadLimit(-1)
	t.Cleanup(func() { socket.CloseNow() })
	return &cdpClient{socket: socket}
}

// call calls a method and reads the result.
func (c *cdpClient) call(t *testing.T, sessionID, method string, params, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c.lastID++
	message := map[string]any{"id": c.lastID, "method": method, "params": params}
	if sessionID != "" {
		message["sessionId"] = sessionID
	}
	text, err := json.Marshal(message)
	require.NoError(t, err)
	require.NoError(t, c.socket.Write(ctx, websocket.MessageText, text))
	for {
		_, text, err := c.socket.Read(ctx)
		require.NoError(t, err)
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  json.RawMessage
		}
		require.NoError(t, json.Unmarshal(text, &answer))
		if answer.ID == c.lastID {
			require.Empty(t, answer.Error, "%s", answer.Error)
			require.NoError(t, json.Unmarshal(answer.Result, result))
			return
		}
	}
}

type pageInfo struct {
	ID  string `json:"targetId"`
	URL string `json:"url"`
}

// page returns the only page of the browser.
func (c *cdpClient) page(t *testing.T) pageInfo {
	t.Helper()
	var targets struct {
		TargetInfos []struct {
			pageInfo
			Type string
		}
	}
	c.call(t, "", "Target.getTargets", struct{}{}, &targets)
	var pages []pageInfo
	for _, info := range targets.TargetInfos {
		if info.Type == "page" {
			pages = append(pages, info.pageInfo)
		}
	}
	require.Len(t, pages, 1)
	return pages[0]
}

// evaluate returns the value of an expression in a page, after the page has loaded.
func (c *cdpClient) evaluate(t *testing.T, page, expression string) (text string) {
	t.Helper()
	var attached struct{ SessionID string }
	c.call(t, "", "Target.attachToTarget", map[string]any{"targetId": page, "flatten": true}, &attached)
	require.Eventually(t, func() bool {
		var evaluated struct{ Result struct{ Value string } }
		c.call(t, attached.SessionID, "Runtime.evaluate", map[string]any{"expression": `document.readyState === "complete" ? ` + expression + ` : ""`}, &evaluated)
		text = evaluated.Result.Value
		return text != ""
	}, 10*time.Second, 10*time.Millisecond)
	return text
}

// closed waits until the other side has closed the connection.
func (c *cdpClient) closed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, _, err := c.socket.Read(ctx); err != nil {
			require.NoError(t, ctx.Err())
			return
		}
	}
}
