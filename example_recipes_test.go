package connect_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/anchorconnect/connect"
)

// recipeApp is an app with a sign-in of its own.
type recipeApp struct{ *demoApp }

func newRecipeApp(options ...func(*connect.Config)) recipeApp {
	app := newDemoApp(append([]func(*connect.Config){func(config *connect.Config) {
		config.SignInURL = "/sign-in"
		config.User = func(r *http.Request) (connect.User, error) {
			cookie, err := r.Cookie("user")
			if err != nil {
				return connect.User{}, connect.ErrNotSignedIn
			}
			return connect.User{ID: strings.ToLower(cookie.Value), Name: cookie.Value}, nil
		}
	}}, options...)...)
	app.mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Value: r.FormValue("name"), Path: "/", Secure: true, HttpOnly: true})
	})
	return recipeApp{app}
}

// visitor is a user in a browser with its own cookies.
type visitor struct {
	app     recipeApp
	browser *http.Client
}

func (a recipeApp) newBrowser() visitor {
	browser := *a.browser
	browser.Jar, _ = cookiejar.New(nil)
	return visitor{a, &browser}
}

func (v visitor) signIn(name string) visitor {
	v.show(v.browser.PostForm(v.app.server.URL+"/sign-in", form("name", name)))
	return v
}

// press presses the button of the connect page, and returns the URL of the hosted page.
func (v visitor) press(fields ...string) (hosted string) {
	res, err := v.browser.PostForm(v.app.server.URL+"/connect", form(fields...))
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	return res.Header.Get("Location")
}

// approve signs in on the hosted page, and returns the callback's URL.
func (v visitor) approve(hosted string) (callback string) {
	callback, err := v.app.fake.Approve(context.Background(), hosted)
	if err != nil {
		panic(err)
	}
	return callback
}

// open prints a page's status, and its title or the URL that it redirects to.
func (v visitor) open(address string) {
	v.show(v.browser.Get(v.app.server.URL + strings.TrimPrefix(address, v.app.server.URL)))
}

var title = regexp.MustCompile(`(?s)<h1[^>]*>(.*?)</h1>`)

func (v visitor) show(res *http.Response, err error) {
	if err != nil {
		panic(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if strings.Contains(res.Header.Get("Clear-Site-Data"), `"cookies"`) {
		v.browser.Jar, _ = cookiejar.New(nil) // As browsers do.
	}
	if match := title.FindSubmatch(body); match != nil {
		fmt.Println(res.StatusCode, html.UnescapeString(string(match[1])))
	} else if to := res.Header.Get("Location"); to != "" {
		fmt.Println(res.StatusCode, strings.TrimPrefix(to, v.app.server.URL))
	}
}

// docs: recipes
// connectLink returns a link that is the same for all users and contains no secret.
func connectLink(publicURL, returnTo string) string {
	return publicURL + "/connect?" + url.Values{"return_to": {returnTo}}.Encode()
}

// docs: end

func Example_link() {
	app := newRecipeApp()
	defer app.close()
	link := connectLink(app.server.URL, "/reports")
	fmt.Println(strings.TrimPrefix(link, app.server.URL))

	ada := app.newBrowser()
	ada.open(link)
	ada.signIn("Ada")
	ada.open(link)
	ada.open(ada.approve(ada.press("return_to", "/reports")))
	// A link that would lead elsewhere afterwards.
	ada.open(connectLink(app.server.URL, "https://attacker.example"))
	// Output:
	// /connect?return_to=%2Freports
	// 401 Sign in first
	// 200 Connect your account
	// 303 /reports
	// 400 This link does not work
}

// chat receives the messages of a bot.
type chat chan string

func (c chat) send(_ context.Context, userID, text string) { c <- userID + ": " + text }

// docs: recipes
func report(ctx context.Context, h *connect.Handler, userID string) (answer string, err error) {
	session, err := h.NewSession(ctx, userID)
	if errors.Is(err, connect.ErrNotConnected) || errors.Is(err, connect.ErrNeedsSignIn) {
		return "Connect your account first: " + connectLink("https://your-app.com", "/connected"), nil
	}
	if err != nil {
		return "", err
	}
	return readReport(ctx, session.CDPURL)
}

// docs: end

func readReport(context.Context, string) (string, error) { return "Here is your report.", nil }

func Example_chatBot() {
	bot := make(chat, 1)
	app := newRecipeApp(func(config *connect.Config) {
		// docs: recipes
		config.OnEvent = func(ctx context.Context, e connect.Event) {
			if e.Kind == connect.Connected {
				bot.send(ctx, e.UserID, "Your account is connected.")
			}
		}
		// docs: end
	})
	defer app.close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = app.connect.Run(ctx) }()

	fmt.Println(report(ctx, app.connect, "ada"))
	ada := app.newBrowser().signIn("Ada")
	ada.open(ada.approve(ada.press("return_to", "/connected")))
	fmt.Println(<-bot)
	fmt.Println(report(ctx, app.connect, "ada"))
	// Output:
	// Connect your account first: https://your-app.com/connect?return_to=%2Fconnected <nil>
	// 303 /connected
	// ada: Your account is connected.
	// Here is your report. <nil>
}

func Example_mobileApp() {
	app := newRecipeApp()
	defer app.close()
	mux := app.mux
	// docs: recipes
	mux.HandleFunc("GET /app/connected", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "errand://connected", http.StatusSeeOther) // a constant, with nothing from the request
	})
	// docs: end

	ada := app.newBrowser().signIn("Ada")
	ada.open("/connect?return_to=/app/connected")
	ada.open(ada.approve(ada.press("return_to", "/app/connected")))
	ada.open("/app/connected")
	// Nothing in the URL changes where the page redirects to.
	ada.open("/app/connected?return_to=https://attacker.example&url=attacker://app&identity_id=1")
	ada.open("/connect?return_to=errand://connected")
	// Output:
	// 200 Connect your account
	// 303 /app/connected
	// 303 errand://connected
	// 303 errand://connected
	// 400 This link does not work
}

// docs: recipes
// inApp matches in-app browsers that identify themselves. Many do not.
var inApp = regexp.MustCompile(`FBAN|FBAV|Instagram|LinkedInApp|Snapchat|BytedanceWebview|\bLine/|MicroMessenger|; wv\)`)

var openInBrowser = template.Must(template.New("").Parse(`<!doctype html>
<title>Open this in your browser</title>
<h1>Open this in your browser</h1>
<p>Choose "Open in browser" in the menu of this app, or copy this link: {{.}}</p>
<p>Or <a href="{{.}}">continue here</a>.</p>
`))

// docs: end

func Example_inAppBrowser() {
	app := newRecipeApp()
	defer app.close()
	mux, publicURL := app.mux, app.server.URL
	// docs: recipes
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, r *http.Request) {
		link := connectLink(publicURL, "/reports")
		if !inApp.MatchString(r.UserAgent()) {
			http.Redirect(w, r, link, http.StatusSeeOther)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if err := openInBrowser.Execute(w, link); err != nil {
			logger.WarnContext(r.Context(), "show a page", "error", err)
		}
	})
	// docs: end
	inAppBrowser, system := app.newBrowser().signIn("Ada"), app.newBrowser()
	for _, agent := range []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/500.0]",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/137.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
	} {
		r, _ := http.NewRequest(http.MethodGet, publicURL+"/start", nil)
		r.Header.Set("User-Agent", agent)
		system.show(system.browser.Do(r))
	}

	// Ada starts in the in-app browser, and opens the callback in the system's.
	callback := inAppBrowser.approve(inAppBrowser.press())
	system.open(callback)
	system.signIn("Ada").open(callback)
	inAppBrowser.open(callback) // Nothing is lost.
	// Output:
	// 200 Open this in your browser
	// 200 Open this in your browser
	// 303 /connect?return_to=%2Freports
	// 401 Sign in first
	// 403 Finish in the browser you started in
	// 303 /dashboard
}

func Example_sharedComputer() {
	endSession := func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "user", Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
	}
	app := newRecipeApp()
	defer app.close()
	mux := app.mux
	// docs: recipes
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		endSession(w, r)                               // in your session store, not only the cookie
		w.Header().Set("Clear-Site-Data", `"cookies"`) // not with FixedCallbackURL
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	// docs: end

	// Ada leaves the hosted page open and signs out. Eve finishes there with her account.
	computer := app.newBrowser().signIn("Ada")
	hosted := computer.press()
	computer.show(computer.browser.PostForm(app.server.URL+"/sign-out", nil))
	callback := computer.approve(hosted)
	computer.open(callback)
	computer.signIn("Ada").open(callback)

	// Another user in a browser that has kept its cookies ends the flow, also for Ada.
	callback = computer.approve(computer.press())
	computer.signIn("Eve").open(callback)
	computer.signIn("Ada").open(callback)
	_, err := app.connect.Connection(context.Background(), "ada")
	fmt.Println(err)
	// Output:
	// 303 /
	// 401 Sign in first
	// 403 Finish in the browser you started in
	// 403 Somebody else started this
	// 409 This link was already used
	// connect: the user is not connected
}
