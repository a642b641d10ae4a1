// Command fakeanchor serves a sandbox of Anchor, in which automations really run, to
// programs in any language: what the command of this name in the root module serves,
// with a site to sign in to and with browsers.
//
//	go run github.com/anchorconnect/connect/sandbox/cmd/fakeanchor -browser
//
// It prints what an app has to be configured with, as lines that a shell can source,
// and serves until it is interrupted:
//
//	ANCHORBROWSER_BASE_URL=http://127.0.0.1:9797
//	ANCHOR_APP_URL=http://127.0.0.1:9797
//	ANCHORBROWSER_API_KEY=sk-…
//	ANCHOR_APPLICATION_ID=fa4e0000-0000-4000-8000-000000000001
//	SANDBOX_SITE_URL=http://127.0.0.1:9798
//
// With -webhook-url it sends events to the app, and prints ANCHOR_WEBHOOK_SECRET too.
// The key and that secret are random unless -key and -webhook-secret are given. All
// other values are the same after a restart.
//
// It needs Chromium or Chrome: the program that CHROME_PATH names, or one of the
// usual names. Calls and sessions are logged on the standard error stream, with the
// address of a page for people, which shows the site's accounts and the sessions. The
// exit status is 2 for unusable flags and 1 for other errors.
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

// The addresses stay the same, so that a restart with the same -key does not break an
// app's configuration.
const (
	defaultAddr     = "127.0.0.1:9797"
	defaultSiteAddr = "127.0.0.1:9798"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal a second one ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process. It returns the exit status.
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

// serve says how to use the sandbox and waits until ctx is done.
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

// settings is what the command line says.
type settings struct {
	options       []sandbox.Option
	style         anchortest.CallbackStyle
	webhookSecret string // empty without a webhook
}

// styles are the values of -callback.
var styles = map[string]anchortest.CallbackStyle{
	"current": anchortest.CurrentCallback, "older": anchortest.OlderCallback, "both": anchortest.BothCallback,
}

// parseFlags reads the command line. When help is asked for it is written to stderr
// and the error is [flag.ErrHelp].
func parseFlags(args []string, stderr io.Writer) (c settings, err error) {
	flags := flag.NewFlagSet("fakeanchor", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // What went wrong is said once, by run.
	addr := flags.String("addr", defaultAddr, "loopback `address` of the API and the hosted page; port 0 takes a free one")
	siteAddr := flags.String("site-addr", defaultSiteAddr, "loopback `address` of the site; port 0 takes a free one")
	key := flags.String("key", "", "API `key` that calls must carry (default a random one)")
	application := flags.String("application", "", "`id` of the application, a UUID (default a fixed one)")
	webhookURL := flags.String("webhook-url", "", "`URL` that is told of sign-ins that work and that fail (default none)")
	webhookSecret := flags.String("webhook-secret", "", "`secret` that events are signed with (default a random one)")
	callback := flags.String("callback", "current", "`spelling` of the parameters that a browser returns with: current, older or both")
	browser := flags.Bool("browser", true, "run browsers, which is what this command is for")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "fakeanchor serves a sandbox of Anchor, API, hosted page, webhook, site and browsers, until it is interrupted.")
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
		return settings{}, errors.New("without browsers, run github.com/anchorconnect/connect/cmd/fakeanchor")
	}
	style, found := styles[*callback]
	if !found {
		return settings{}, fmt.Errorf("-callback %q is none of current, older and both", *callback)
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
		return settings{}, errors.New("-webhook-secret is of no use without -webhook-url")
	}
	c.options = []sandbox.Option{sandbox.WithAddr(*addr), sandbox.WithSiteAddr(*siteAddr), sandbox.WithFake(fake...)}
	return c, nil
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/@%+=,-]+$`)

// quote makes a word of the shell (POSIX, section 2.2.2) that stands for text.
func quote(text string) string {
	if shellSafe.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
