// Command fakeanchor serves a fake of Anchor, API, hosted page and webhook, for
// trying an app without an account: for front-end work, and for programs in
// other languages, with Anchor's official SDKs too.
//
//	go run ./cmd/fakeanchor -addr 127.0.0.1:9797
//
// It prints what an app has to be configured with, as lines that a shell can
// source, and serves until it is interrupted:
//
//	ANCHORBROWSER_BASE_URL=http://127.0.0.1:9797
//	ANCHOR_APP_URL=http://127.0.0.1:9797
//	ANCHORBROWSER_API_KEY=sk-fake-key-for-development-only
//	ANCHOR_APPLICATION_ID=fa4e0000-0000-4000-8000-000000000001
//
// With -webhook-url it tells the app of sign-ins that work and that fail, and
// prints what the events are signed with, which is random unless -webhook-secret
// is given:
//
//	ANCHOR_WEBHOOK_SECRET=T5XQ…
//
// Its sessions have no browser. With -browser it says how to run the sandbox, a module
// of its own, which serves the same with real browsers.
//
// With -switch it does what Anchor's documentation leaves open, and what goes wrong in
// production, such as sessions that are refused:
//
//	go run ./cmd/fakeanchor -switch sessions=no-credit -switch lists=whole
//
// [anchortest.Server.Switch] has the names and values, and the control page has them as
// a form. With -orphans it begins with identities whose users never came back.
//
// All other values are the same after a restart; identities are not kept. Calls
// and events are logged on the standard error stream, without keys, tokens,
// secrets and bodies, and so is the address of the control page, on which sign-ins can
// be made to fail. The exit status is 2 for unusable flags and 1 for other errors.
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
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// defaultAddr stays the same, so that a restart does not break an app's
// configuration.
const defaultAddr = "127.0.0.1:9797"

// shutdownTimeout is how long calls under way may take to end.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal a second one ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, secret, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	var fake *anchortest.Server
	if err == nil {
		fake, err = anchortest.Start(append(opts, anchortest.WithLogger(log))...)
	}
	var notListening *net.OpError
	if err != nil && !errors.As(err, &notListening) {
		fmt.Fprintf(stderr, "fakeanchor: %v (-h shows the flags)\n", err)
		return 2
	}
	if err == nil {
		err = serve(ctx, fake, secret, stdout, log)
	}
	if err != nil {
		fmt.Fprintf(stderr, "fakeanchor: %v\n", err)
		return 1
	}
	return 0
}

// serve tells how to use the fake and waits until ctx is done. webhookSecret is
// empty when there is no webhook.
func serve(ctx context.Context, fake *anchortest.Server, webhookSecret string, stdout io.Writer, log *slog.Logger) error {
	defer fake.Close()
	lines := [][2]string{
		{"ANCHORBROWSER_BASE_URL", fake.URL()},
		{"ANCHOR_APP_URL", fake.URL()},
		{"ANCHORBROWSER_API_KEY", fake.APIKey()},
		{"ANCHOR_APPLICATION_ID", fake.ApplicationID()},
	}
	if webhookSecret != "" {
		lines = append(lines, [2]string{"ANCHOR_WEBHOOK_SECRET", webhookSecret})
	}
	for _, v := range lines {
		if _, err := fmt.Fprintf(stdout, "%s=%s\n", v[0], quote(v[1])); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
	}
	log.Info("serving a fake of Anchor", "url", fake.URL(), "control", fake.ControlURL())
	<-ctx.Done()
	log.Info("shutting down")

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := fake.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// parseFlags turns the command line into options, and tells what events are
// signed with: nothing without a webhook. When help is asked for it is written to
// stderr and the error is [flag.ErrHelp].
func parseFlags(args []string, stderr io.Writer) (opts []anchortest.Option, webhookSecret string, err error) {
	flags := flag.NewFlagSet("fakeanchor", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // What went wrong is said once, by run.
	addr := flags.String("addr", defaultAddr, "`address` to listen on; port 0 takes a free one")
	key := flags.String("key", "", "API `key` that calls must carry (default a fixed one)")
	application := flags.String("application", "", "`id` of the application, a UUID (default a fixed one)")
	site := flags.String("site", "https://example.com", "`URL` of the application's site, whose host becomes its name")
	flags.Func("another-application", "`id=URL` of another application and its site; may be repeated", func(text string) error {
		id, site, _ := strings.Cut(text, "=")
		name, err := siteName(site)
		if err == nil {
			opts = append(opts, anchortest.WithAnotherApplication(id, name, site))
		}
		return err
	})
	flags.Func("switch", "`name=value` of a switch of the fake, such as sessions=no-credit; may be repeated (see the package comment)", func(text string) error {
		name, value, _ := strings.Cut(text, "=")
		opts = append(opts, anchortest.WithSwitch(name, value))
		return nil
	})
	orphans := flags.Int("orphans", 0, "`number` of identities to begin with that were left behind two days ago")
	webhookURL := flags.String("webhook-url", "", "`URL` that is told of sign-ins that work and that fail (default none)")
	flags.StringVar(&webhookSecret, "webhook-secret", "", "`secret` that events are signed with (default a random one)")
	browser := flags.Bool("browser", false, "say how to serve a sandbox, in which sessions are real browsers")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "fakeanchor serves a fake of Anchor, API, hosted page and webhook, until it is interrupted.")
			fmt.Fprintln(stderr, "Flags:")
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return nil, "", err
	}
	if flags.NArg() > 0 {
		return nil, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *browser {
		return nil, "", errors.New("browsers are a module of their own: run go run github.com/anchorconnect/connect/sandbox/cmd/fakeanchor -browser")
	}
	name, err := siteName(*site)
	if err != nil {
		return nil, "", fmt.Errorf("-site %w", err)
	}
	opts = append(opts, anchortest.WithAddr(*addr), anchortest.WithApplication(name, *site))
	if *orphans < 0 {
		return nil, "", errors.New("-orphans is a number that is not negative")
	}
	opts = append(opts, anchortest.WithOrphans(*orphans, 48*time.Hour))
	if *key != "" {
		opts = append(opts, anchortest.WithAPIKey(*key))
	}
	if *application != "" {
		opts = append(opts, anchortest.WithApplicationID(*application))
	}
	switch {
	case *webhookURL != "":
		webhookSecret = cmp.Or(webhookSecret, rand.Text())
		opts = append(opts, anchortest.WithWebhook(*webhookURL, webhookSecret))
	case webhookSecret != "":
		return nil, "", errors.New("-webhook-secret is of no use without -webhook-url")
	}
	return opts, webhookSecret, nil
}

// siteName is the host of a site's URL.
func siteName(site string) (string, error) {
	u, err := url.Parse(site)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%q is not an http or https URL", site)
	}
	return u.Host, nil
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/@%+=,-]+$`)

// quote makes a word of the shell (POSIX, section 2.2.2) that stands for text.
func quote(text string) string {
	if shellSafe.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
