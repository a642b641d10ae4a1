package anchorhttp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The default URLs of Anchor's API and of the hosted page, where users sign in.
const (
	DefaultBaseURL = "https://api.anchorbrowser.io"
	DefaultAppURL  = "https://app.anchorbrowser.io"
)

const (
	defaultTimeout        = 30 * time.Second
	defaultAttemptTimeout = 10 * time.Second
	defaultMaxRetries     = 2
)

// A Client calls Anchor's API with one API key. Create it with [New]. It is
// immutable and safe for concurrent use.
type Client struct {
	// authorize sets the API key on a request, redact removes it from a text, and
	// roundTrip is the transport's method. They are functions because fmt prints
	// unexported fields too, but not what a function refers to. Printing a transport
	// in use would be a data race.
	authorize func(http.Header)
	redact    func(string) string
	roundTrip func(*http.Request) (*http.Response, error)

	timeout        time.Duration
	attemptTimeout time.Duration
	maxRetries     int
	baseURL        string // without a trailing slash
	createPage     string
	appOrigin      string
	invalid        error
}

// An Option configures a client. See [New].
type Option func(*config)

type config struct {
	baseURL, appURL         string
	httpClient              *http.Client
	timeout, attemptTimeout time.Duration
	maxRetries              int
}

// WithBaseURL sets the URL of the API, such as that of a gateway or of a fake for
// tests. It must be https, or http on a loopback address, and may have a path.
// Defaults to [DefaultBaseURL].
func WithBaseURL(u string) Option { return func(c *config) { c.baseURL = u } }

// WithAppURL sets the URL of the hosted page. The rules of [WithBaseURL] apply.
// Defaults to [DefaultAppURL].
func WithAppURL(u string) Option { return func(c *config) { c.appURL = u } }

// WithHTTPClient sends requests through hc's Transport, which is not modified. hc's
// Timeout limits an attempt if it is shorter than [WithAttemptTimeout]; it does not
// apply to [Client.Reauthenticate]. hc's cookie jar and CheckRedirect are ignored:
// redirects are never followed.
//
// If hc or its Transport is nil, which is the default, the client uses the shared
// transport: see "Connections" in the package documentation.
func WithHTTPClient(hc *http.Client) Option { return func(c *config) { c.httpClient = hc } }

// WithTimeout limits the duration of a call, including all attempts and the waits
// between them. An earlier deadline of the call's context takes precedence. Zero
// means no limit. Defaults to 30 seconds.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithAttemptTimeout limits the duration of one attempt, including reading the
// answer. An attempt that times out is retried. Zero means no limit. Defaults to 10
// seconds.
func WithAttemptTimeout(d time.Duration) Option { return func(c *config) { c.attemptTimeout = d } }

// WithMaxRetries sets how often a call is retried after its first attempt. Zero
// disables retries. Defaults to 2.
func WithMaxRetries(n int) Option { return func(c *config) { c.maxRetries = n } }

// New returns a client that authenticates with apiKey. It never fails: if the key or
// a setting is unusable, [Client.Validate] and every call return the error.
func New(apiKey string, opts ...Option) *Client {
	cfg := config{
		baseURL:        DefaultBaseURL,
		appURL:         DefaultAppURL,
		timeout:        defaultTimeout,
		attemptTimeout: defaultAttemptTimeout,
		maxRetries:     defaultMaxRetries,
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	base, baseErr := parseURL(cfg.baseURL, "base URL")
	app, appErr := parseURL(cfg.appURL, "app URL")
	c := &Client{
		authorize:      func(h http.Header) { h.Set("Anchor-Api-Key", apiKey) },
		redact:         func(s string) string { return redact(s, apiKey) },
		roundTrip:      roundTripDefault,
		timeout:        cfg.timeout,
		attemptTimeout: cfg.attemptTimeout,
		maxRetries:     cfg.maxRetries,
		baseURL:        base.origin + base.path,
		createPage:     app.origin + app.path + "/identity/create",
		appOrigin:      app.origin,
		invalid: cmp.Or(
			checkKey(apiKey), baseErr, appErr,
			notNegative("timeout", cfg.timeout),
			notNegative("attempt timeout", cfg.attemptTimeout),
			notNegative("number of retries", cfg.maxRetries),
		),
	}
	if hc := cfg.httpClient; hc != nil {
		if hc.Transport != nil {
			c.roundTrip = hc.Transport.RoundTrip
		}
		if hc.Timeout > 0 && (c.attemptTimeout == 0 || hc.Timeout < c.attemptTimeout) {
			c.attemptTimeout = hc.Timeout
		}
	}
	return c
}

// Validate returns an error if the key or a setting is unusable: an API key that is
// empty or not visible ASCII, a URL that is not https (or http on a loopback
// address), or a negative number. The error says how to fix it. Validate sends
// nothing. Every call returns the same error before it sends anything.
func (c *Client) Validate() error {
	if c == nil || c.authorize == nil {
		return errors.New("anchorhttp: the client was not created with anchorhttp.New")
	}
	return c.invalid
}

// HostedPageURL returns the URL of the page where a user signs in, for an identity
// token. userName, which may be empty, becomes the display name of the identity. The
// URL contains the token, so it is secret.
func (c *Client) HostedPageURL(token, userName string) string {
	page := c.createPage + "?token=" + url.QueryEscape(token)
	if userName != "" {
		page += "&userName=" + url.QueryEscape(userName)
	}
	return page
}

// AppOrigin returns the origin of the hosted page, scheme://host[:port], or "" if
// the app URL is unusable. If submitting a form redirects to the hosted page, the
// form-action of the Content-Security-Policy must allow this origin.
func (c *Client) AppOrigin() string { return c.appOrigin }

// checkKey returns an error if key cannot be an API key. The error quotes none of
// it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("anchorhttp: the API key is empty: pass New the key of your project, " +
			"usually from the environment variable ANCHORBROWSER_API_KEY")
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fmt.Errorf("anchorhttp: byte %d of the API key is not a visible ASCII character: "+
				"remove spaces and line breaks", i)
		}
	}
	return nil
}

func notNegative[T ~int | ~int64](what string, n T) error {
	if n < 0 {
		return fmt.Errorf("anchorhttp: the %s is %v: it must not be negative", what, n)
	}
	return nil
}

// An address is a URL in two parts: scheme://host[:port], and the path without a
// trailing slash.
type address struct{ origin, path string }

var hostName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// parseURL parses raw. Its errors quote at most the scheme and host, because the
// rest could be a password or a misplaced API key.
func parseURL(raw, what string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return address{}, fmt.Errorf("anchorhttp: the %s is not an absolute URL: write it as https://host[:port][/path]", what)
	}
	a := address{
		origin: u.Scheme + "://" + strings.ToLower(u.Host),
		path:   strings.TrimRight(u.EscapedPath(), "/"),
	}
	host := strings.ToLower(u.Hostname())
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case u.User != nil || strings.ContainsAny(raw, "?#"):
		return address{}, fmt.Errorf("anchorhttp: the %s %q has a user, a query or a fragment: "+
			"write it as https://host[:port][/path]", what, a.origin)
	case ipErr != nil && !hostName.MatchString(host), ip.Zone() != "", !validPort(u):
		// The origin becomes part of a Content-Security-Policy, where a semicolon
		// in the host, which url.Parse allows, would start another directive.
		return address{}, fmt.Errorf("anchorhttp: the %s %q has no usable host and port: "+
			"write the host in ASCII (xn-- for other scripts)", what, a.origin)
	case u.Scheme == "https":
		return a, nil
	case u.Scheme == "http" && (host == "localhost" || ip.IsLoopback()):
		// A fake or a local gateway: nothing leaves the machine.
		return a, nil
	}
	return address{}, fmt.Errorf("anchorhttp: the %s %q is not https, so secrets would cross the network "+
		"in clear text: use https (http only with localhost or a loopback address)", what, a.origin)
}

func validPort(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// redact replaces every secret in s.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	return s
}

const redacted = "[redacted]"

// hide returns what is printed in place of a secret.
func hide(secret string) string {
	if secret == "" {
		return ""
	}
	return redacted
}
