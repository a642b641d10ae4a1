// Command fakeanchor serves a fake of Anchor (the API, the hosted page and the webhook),
// to try an app without an account at Anchor. It is meant for front-end work and for
// programs in other languages, which may use Anchor's official SDKs.
//
//	go run ./cmd/fakeanchor -addr 127.0.0.1:9797
//
// It prints the configuration for an app, as lines of a shell script, and
// serves until it is interrupted:
//
//	ANCHORBROWSER_BASE_URL=http://127.0.0.1:9797
//	ANCHOR_APP_URL=http://127.0.0.1:9797
//	ANCHORBROWSER_API_KEY=sk-fake-key-for-development-only
//	ANCHOR_APPLICATION_ID=fa4e0000-0000-4000-8000-000000000001
//
// With -webhook-url it sends an event to the app when a sign-in succeeds or
// fails. It prints the secret that signs the events, which is random unless
// -webhook-secret is given:
//
//	ANCHOR_WEBHOOK_SECRET=T5XQ…
//
// Its sessions have no browser. The module sandbox has a command of the same name that
// serves real browsers; -browser prints how to run it.
//
// With -switch it does what Anchor's documentation leaves open, or simulates failures,
// such as refused sessions:
//
//	go run ./cmd/fakeanchor -switch sessions=no-credit -switch lists=whole
//
// [anchortest.Server.Switch] lists the names and values. The control page has them as a
// form. With -orphans it starts with identities whose users never returned to the
// application.
//
// All other values stay the same after a restart. Identities are not kept. It logs calls
// and events to standard error, without keys, tokens, secrets and bodies. It also logs
// the URL of the control page, which can make sign-ins fail. The exit status is 2 for
// invalid flags and 1 for other errors.
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

// defaultAddr is fixed, so that an app's configuration stays valid after a
// restart.
const defaultAddr = "127.0.0.1:9797"

// shutdownTimeout is how long calls in progress may take to finish.
const shutdownTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program immediately.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program and returns its exit status.
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

// serve prints the configuration and serves until ctx is done. webhookSecret is
// empty if there is no webhook.
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

// A commandLine has the values of the flags.
type commandLine struct {
	addr, key, application, site string
	webhookURL, webhookSecret    string
	orphans                      int
	browser                      bool
	repeated                     []anchortest.Option // of flags that may be repeated
}

// parseFlags returns the options of the fake and the secret that signs events, which is
// empty without a webhook. If help is requested, parseFlags writes it to stderr and
// returns [flag.ErrHelp].
func parseFlags(args []string, stderr io.Writer) (opts []anchortest.Option, webhookSecret string, err error) {
	var c commandLine
	flags := flag.NewFlagSet("fakeanchor", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints errors.
	c.register(flags)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "fakeanchor serves a fake of Anchor (the API, the hosted page and the webhook) until it is interrupted.")
			fmt.Fprintln(stderr, "Flags:")
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return nil, "", err
	}
	if flags.NArg() > 0 {
		return nil, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return c.options()
}

func (c *commandLine) register(flags *flag.FlagSet) {
	flags.StringVar(&c.addr, "addr", defaultAddr, "`address` to listen on; port 0 chooses a free port")
	flags.StringVar(&c.key, "key", "", "API `key` that calls must carry (default a fixed key)")
	flags.StringVar(&c.application, "application", "", "`id` of the application, a UUID (default a fixed id)")
	flags.StringVar(&c.site, "site", "https://example.com", "`URL` of the application's site; its host becomes the application's name")
	flags.Func("another-application", "`id=URL` of another application and its site; may be repeated", func(text string) error {
		id, site, _ := strings.Cut(text, "=")
		name, err := siteName(site)
		if err == nil {
			c.repeated = append(c.repeated, anchortest.WithAnotherApplication(id, name, site))
		}
		return err
	})
	flags.Func("switch", "`name=value` of a switch, such as sessions=no-credit; may be repeated (see the package documentation)", func(text string) error {
		name, value, _ := strings.Cut(text, "=")
		c.repeated = append(c.repeated, anchortest.WithSwitch(name, value))
		return nil
	})
	flags.IntVar(&c.orphans, "orphans", 0, "`number` of identities whose users signed in two days ago and never returned to the app")
	flags.StringVar(&c.webhookURL, "webhook-url", "", "`URL` that receives an event when a sign-in succeeds or fails (default none)")
	flags.StringVar(&c.webhookSecret, "webhook-secret", "", "`secret` that signs events (default a random one)")
	flags.BoolVar(&c.browser, "browser", false, "print how to run the sandbox, whose sessions are real browsers")
}

func (c *commandLine) options() (opts []anchortest.Option, webhookSecret string, err error) {
	if c.browser {
		return nil, "", errors.New("browsers are in a separate module: use go run github.com/anchorconnect/connect/sandbox/cmd/fakeanchor -browser")
	}
	if c.orphans < 0 {
		return nil, "", errors.New("-orphans must not be negative")
	}
	name, err := siteName(c.site)
	if err != nil {
		return nil, "", fmt.Errorf("-site %w", err)
	}
	opts = append(c.repeated,
		anchortest.WithAddr(c.addr),
		anchortest.WithApplication(name, c.site),
		anchortest.WithOrphans(c.orphans, 48*time.Hour))
	if c.key != "" {
		opts = append(opts, anchortest.WithAPIKey(c.key))
	}
	if c.application != "" {
		opts = append(opts, anchortest.WithApplicationID(c.application))
	}
	switch {
	case c.webhookURL != "":
		webhookSecret = cmp.Or(c.webhookSecret, rand.Text())
		opts = append(opts, anchortest.WithWebhook(c.webhookURL, webhookSecret))
	case c.webhookSecret != "":
		return nil, "", errors.New("-webhook-secret requires -webhook-url")
	}
	return opts, webhookSecret, nil
}

// siteName returns the host of a site's URL.
func siteName(site string) (string, error) {
	u, err := url.Parse(site)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%q is not an http or https URL", site)
	}
	return u.Host, nil
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_.:/@%+=,-]+$`)

// quote quotes text as a word of the shell (POSIX, section 2.2.2).
func quote(text string) string {
	if shellSafe.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
