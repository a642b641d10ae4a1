// Sandbox measures how long an automation waits for its first page in the sandbox: from
// Handler.NewSession until chromedp has read an inbox that only a signed-in browser sees.
// The baseline is a browser that chromedp starts and that reads the sign-in page.
//
//	go run ./bench/sandbox
//
// Both use the same Chromium and the same site, and take turns, so that the machine's other
// work affects both. A browser is closed before the next one starts. The program prints
// the table of bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/signal"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/bench/internal/report"
	"github.com/anchorconnect/connect/sandbox"
)

const userID = "user-1"

func main() {
	rounds := flag.Int("rounds", 30, "the number of browsers of each kind")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	table, err := compare(ctx, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
	fmt.Print(table)
}

// compare returns a table of both kinds.
func compare(ctx context.Context, rounds int) (table string, err error) {
	anchor, err := sandbox.Start(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, anchor.Close()) }()
	h, closeApp, err := connected(ctx, anchor)
	if err != nil {
		return "", err
	}
	defer closeApp()
	var bare, signedIn []time.Duration
	for round := range rounds + 1 {
		b, err := startBare(ctx, anchor)
		if err != nil {
			return "", err
		}
		s, err := openSession(ctx, h, anchor)
		if err != nil {
			return "", err
		}
		if round > 0 { // The first of each warms up the file cache.
			bare, signedIn = append(bare, b), append(signedIn, s)
		}
	}
	return report.Table([]string{"", "p50", "p90", "p50 ÷ bare"}, [][]string{
		{"bare chromedp, the sign-in page", report.At(bare, 50), report.At(bare, 90), ""},
		{"NewSession, the inbox", report.At(signedIn, 50), report.At(signedIn, 90), ratio(signedIn, bare)},
	}), nil
}

func ratio(a, b []time.Duration) string {
	return fmt.Sprintf("%.2f", float64(report.Percentile(a, 50))/float64(report.Percentile(b, 50)))
}

// connected returns a handler whose user has connected an account of the site.
func connected(ctx context.Context, anchor *sandbox.Server) (h *connect.Handler, closeApp func(), err error) {
	mux := http.NewServeMux()
	app := httptest.NewTLSServer(mux)
	defer func() {
		if err != nil {
			app.Close()
		}
	}()
	h, err = connect.New(connect.Config{
		Anchor: anchor.Client(), ApplicationID: anchor.ApplicationID(), PublicURL: app.URL, Store: connect.NewMemoryStore(),
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: userID}, nil },
		Secrets: [][]byte{[]byte("a secret of the benchmarks, not random")},
	})
	if err != nil {
		return nil, nil, err
	}
	h.Register(mux)
	browser := app.Client()
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		return nil, nil, err
	}
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := browser.Post(app.URL+"/connect", "", nil)
	if err != nil {
		return nil, nil, err
	}
	res.Body.Close()
	callback, err := anchor.SignIn(ctx, res.Header.Get("Location"), "ada", "ada-letters")
	if err != nil {
		return nil, nil, err
	}
	if res, err = browser.Get(callback); err != nil {
		return nil, nil, err
	}
	res.Body.Close()
	return h, app.Close, nil
}

// startBare starts a browser with chromedp and opens a page of the site.
func startBare(ctx context.Context, anchor *sandbox.Server) (took time.Duration, err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(anchor.BrowserPath()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	begin := time.Now()
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel() // It waits until the browser has ended.
	ctx, cancelTab := chromedp.NewContext(ctx)
	defer cancelTab()
	if err := read(ctx, anchor.Site().URL()+"/sign-in", `document.querySelector("#password") !== null`); err != nil {
		return 0, fmt.Errorf("bare chromedp: %w", err)
	}
	return time.Since(begin), nil
}

// openSession opens a session as an app does and reads the inbox.
func openSession(ctx context.Context, h *connect.Handler, anchor *sandbox.Server) (took time.Duration, err error) {
	begin := time.Now()
	session, err := h.NewSession(ctx, userID)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end(ctx, anchor.Client(), session)) }()
	ctx, cancel := remote.NewAllocator(ctx, session.CDPURL)
	defer cancel()
	ctx, cancelTab := chromedp.NewContext(ctx)
	defer cancelTab()
	if err := read(ctx, anchor.Site().URL()+"/inbox", `document.querySelectorAll(".subject").length > 0`); err != nil {
		return 0, fmt.Errorf("NewSession: %w", err)
	}
	return time.Since(begin), nil
}

func end(ctx context.Context, client *anchorhttp.Client, session anchorhttp.Session) error {
	return client.EndSession(context.WithoutCancel(ctx), session.ID)
}

// read opens a page and requires a condition of it.
func read(ctx context.Context, address, condition string) error {
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		return err
	}
	ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
	if err == nil && !ok {
		err = fmt.Errorf("%s shows another page", address)
	}
	return err
}
