// Command fakeanchor serves a sandbox of Anchor, in which automations really run, to
// programs in any language. In addition to what the root module's command of this name
// serves, it has a site to sign in to, and browsers.
//
//	go run github.com/anchorconnect/connect/sandbox/cmd/fakeanchor -browser
//
// It prints an app's configuration, as lines that a shell can source, and serves until it
// is interrupted:
//
//	ANCHORBROWSER_BASE_URL=http://127.0.0.1:9797
//	ANCHOR_APP_URL=http://127.0.0.1:9797
//	ANCHORBROWSER_API_KEY=sk-…
//	ANCHOR_APPLICATION_ID=fa4e0000-0000-4000-8000-000000000001
//	SANDBOX_SITE_URL=http://127.0.0.1:9798
//
// With -webhook-url it also prints ANCHOR_WEBHOOK_SECRET and sends events to the app. The
// key and that secret are random unless -key and -webhook-secret are set. All other values
// are the same after a restart.
//
// It needs Chromium or Chrome: the program that CHROME_PATH names, or one of the usual
// names. It logs calls and sessions to standard error, and the URL of a page that shows
// the site's accounts and the sessions. The exit status is 2 for unusable flags and 1 for
// other errors.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox"
)

// The default addresses are fixed, so that an app's configuration works after a restart
// with the same -key.
const (
	defaultAddr     = "127.0.0.1:9797"
	defaultSiteAddr = "127.0.0.1:9798"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	c, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "fakeanchor: %v (-h shows the flags)\n", err)
		return 2
	}
	if err := serve(ctx, c, stdout, log); err != nil {
		fmt.Fprintf(stderr, "fakeanchor: %v\n", err)
		return 1
	}
	return 0
}

// serve prints the configuration and serves the sandbox until ctx is done.
func serve(ctx context.Context, c settings, stdout io.Writer, log *slog.Logger) (err error) {
	s, err := sandbox.Start(ctx, append(c.options, sandbox.WithLogger(log))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Fake().SetCallbackStyle(c.style)
	lines := [][2]string{
		{"ANCHORBROWSER_BASE_URL", s.URL()},
		{"ANCHOR_APP_URL", s.URL()},
		{"ANCHORBROWSER_API_KEY", s.APIKey()},
		{"ANCHOR_APPLICATION_ID", s.ApplicationID()},
		{"SANDBOX_SITE_URL", s.Site().URL()},
	}
	if c.webhookSecret != "" {
		lines = append(lines, [2]string{"ANCHOR_WEBHOOK_SECRET", c.webhookSecret})
	}
	for _, v := range lines {
		if _, err := fmt.Fprintf(stdout, "%s=%s\n", v[0], quote(v[1])); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
	}
	log.Info("serving a sandbox of Anchor", "url", s.URL(), "site", s.Site().URL(), "overview", s.OverviewURL())
	<-ctx.Done()
	log.Info("shutting down")
	return nil
}

// settings are the parsed flags.
type settings struct {
	options       []sandbox.Option
	style         anchortest.CallbackStyle
	webhookSecret string // "" without a webhook
}

// styles are the values of -callback.
var styles = map[string]anchortest.CallbackStyle{
	"current": anchortest.CurrentCallback, "older": anchortest.OlderCallback, "both": anchortest.BothCallback,
}

// parseFlags parses the command line. For -h it writes the help to stderr and returns
// [flag.ErrHelp].
func parseFlags(args []string, stderr io.Writer) (c settings, err error) {
	flags := flag.NewFlagSet("fakeanchor", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error.
	addr := flags.String("addr", defaultAddr, "loopback `address` of the API and the hosted page; port 0 selects a free port")
	siteAddr := flags.String("site-addr", defaultSiteAddr, "loopback `address` of the site; port 0 selects a free port")
	key := flags.String("key", "", "`key` for API calls (default random)")
	application := flags.String("application", "", "`UUID` of the application (default a fixed one)")
	webhookURL := flags.String("webhook-url", "", "`URL` that receives events (default none)")
	webhookSecret := flags.String("webhook-secret", "", "`secret` for signing events (default random)")
	callback := flags.String("callback", "current", "`spelling` of the callback's parameters: current, older or both")
	browser := flags.Bool("browser", true, "run browsers; must be true")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "fakeanchor serves a sandbox of Anchor (API, hosted page, webhook, site and browsers) until it is interrupted.")
			fmt.Fprintln(stderr, "Flags:")
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return settings{}, err
	}
	if flags.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if !*browser {
		return settings{}, errors.New("-browser=false: without browsers, run github.com/anchorconnect/connect/cmd/fakeanchor")
	}
	if !isLoopback(*addr) {
		return settings{}, fmt.Errorf("-addr %q is not a loopback address and a port, such as %s", *addr, defaultAddr)
	}
	if !isLoopback(*siteAddr) {
		return settings{}, fmt.Errorf("-site-addr %q is not a loopback address and a port, such as %s", *siteAddr, defaultSiteAddr)
	}
	style, found := styles[*callback]
	if !found {
		return settings{}, fmt.Errorf("-callback %q is not current, older or both", *callback)
	}
	c.style = style
	var fake []anchortest.Option
	if *key != "" {
		fake = append(fake, anchortest.WithAPIKey(*key))
	}
	if *application != "" {
		if _, ok := anchorhttp.ParseID(*application); !ok {
			return settings{}, fmt.Errorf("-application %q is not a UUID", *application)
		}
		fake = append(fake, anchortest.WithApplicationID(*application))
	}
	switch {
	case *webhookURL != "":
		if u, err := url.Parse(*webhookURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return settings{}, errors.New("-webhook-url is not an http or https URL")
		}
		c.webhookSecret = cmp.Or(*webhookSecret, rand.Text())
		fake = append(fake, anchortest.WithWebhook(*webhookURL, c.webhookSecret))
	case *webhookSecret != "":
		return settings{}, errors.New("-webhook-secret needs -webhook-url")
	}
	c.options = []sandbox.Option{sandbox.WithAddr(*addr), sandbox.WithSiteAddr(*siteAddr), sandbox.WithFake(fake...)}
	return c, nil
}

// isLoopback reports whether a TCP address may be loopback. It does not resolve names:
// [sandbox.Start] checks the address that it listens on.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || ip.IsLoopback()
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/@%+=,-]+$`)

// quote quotes text for a shell (POSIX, section 2.2.2).
func quote(text string) string {
	if shellSafe.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
