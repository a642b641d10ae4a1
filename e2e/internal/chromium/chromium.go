// Package chromium drives a real Chromium as a user does: it opens URLs, clicks buttons
// and reads pages.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// ErrNotInstalled is returned if Chromium is not installed.
var ErrNotInstalled = errors.New("no Chromium is installed: apt-get install chromium")

// The hosts that browsers of this package find on this machine. They are sites of
// their own to each other, as an app, Anchor and a stranger are; the sibling is of
// one site with the app, and of another origin.
const (
	AppHost     = "app.example"
	SiblingHost = "sibling.app.example"
	AnchorHost  = "anchor.example"
	EvilHost    = "evil.example"
)

// A Browser is a running Chromium. Its tabs may be used concurrently.
type Browser struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// flags are the flags of every browser. None changes what pages can do: popups are blocked
// as usual.
var flags = map[string]any{
	"headless":                      true, // the new mode: the browser itself, without a window
	"no-first-run":                  true,
	"disable-gpu":                   true,
	"disable-quic":                  true,
	"disable-sync":                  true,
	"disable-dev-shm-usage":         true, // too small in containers
	"disable-extensions":            true,
	"disable-default-apps":          true,
	"hide-scrollbars":               true,
	"force-color-profile":           "srgb",
	"password-store":                "basic",
	"use-mock-keychain":             true,
	"disable-component-update":      true,
	"disable-background-networking": true,

	// Its sandbox asks for rights that containers do not give. It only ever shows
	// pages of these tests.
	"no-sandbox": true,
	// The servers sign their certificates themselves. Other than with plain http,
	// cookies are Secure and origins trustworthy.
	"ignore-certificate-errors": true,
	"host-resolver-rules": fmt.Sprintf("MAP %s 127.0.0.1, MAP %s 127.0.0.1, MAP %s 127.0.0.1, MAP %s 127.0.0.1",
		AppHost, SiblingHost, AnchorHost, EvilHost),

	// Tabs that nobody looks at run slower in Chromium. Here nobody looks at any.
	"disable-background-timer-throttling":    true,
	"disable-backgrounding-occluded-windows": true,
	"disable-renderer-backgrounding":         true,
}

// Start starts a browser, which runs until [Browser.Close]. Without a Chromium it
// is [ErrNotInstalled].
func Start() (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, ErrNotInstalled
	}
	dir, err := os.MkdirTemp("", "connect-chromium")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(dir)}
	for name, value := range flags {
		options = append(options, chromedp.Flag(name, value))
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelBrowser := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, cancel: func() {
		cancelBrowser()
		cancelAllocator()
		_ = os.RemoveAll(dir) // What is left is in the system's own place for it.
	}}
	if err := chromedp.Do(ctx); err != nil {
		b.cancel()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return b, nil
}

// Close closes the browser.
func (b *Browser) Close() { b.cancel() }

// TB is the part of a testing.TB that is needed.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// NewTab opens a tab for a new person, who has cookies of their own. It is closed
// when the test ends. Whatever goes wrong in it ends the test.
func (b *Browser) NewTab(t TB) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tab := &Tab{t: t, person: &person{seen: map[target.ID]bool{}}}
	t.Cleanup(cancel)
	tab.attach(ctx)
	tab.person.jar = chromedp.FromContext(ctx).BrowserContextID
	return tab
}
