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

// The addresses of Anchor's API and of the page on which people sign in.
const (
	DefaultBaseURL = "https://api.anchorbrowser.io"
	DefaultAppURL  = "https://app.anchorbrowser.io"
)

const (
	defaultTimeout        = 30 * time.Second
	defaultAttemptTimeout = 10 * time.Second
	defaultMaxRetries     = 2
)

// A Client calls Anchor's API with one API key. Make it with [New]; it may be
// used concurrently and never changes.
type Client struct {
	// authorize sets the API key on a request, redact takes it out of a text, and
	// roundTrip is the transport's. They are functions because fmt, which prints
	// unexported fields too, cannot look into one: a transport may hold requests
	// that are under way, and reading it meanwhile would be a data race.
	authorize func(http.Header)
	redact    func(string) string
	roundTrip func(*http.Request) (*http.Response, error)

	timeout        time.Duration
	attemptTimeout time.Duration
	maxRetries     int
	baseURL        string // without a slash at the end
	createPage     string
	appOrigin      string
	invalid        error
}

// An Option is a setting for [New].
type Option func(*config)

type config struct {
	baseURL, appURL         string
	httpClient              *http.Client
	timeout, attemptTimeout time.Duration
	maxRetries              int
}

// WithBaseURL sets the address of the API, such as that of a gateway or of a
// fake for tests. It is https, or http on a loopback address, and may have a
// path. Defaults to [DefaultBaseURL].
func WithBaseURL(u string) Option { return func(c *config) { c.baseURL = u } }

// WithAppURL sets the address of the hosted page, with the same rules as
// [WithBaseURL]. Defaults to [DefaultAppURL].
func WithAppURL(u string) Option { return func(c *config) { c.appURL = u } }

// WithHTTPClient sends requests through hc's Transport, which is used as it is. An
// attempt ends after hc's Timeout if that is shorter than the attempt's own
// ([Client.Reauthenticate] knows no such limit). hc itself is not changed. Its
// cookie jar and its CheckRedirect are not used: redirects are never followed.
//
// If hc or its Transport is nil, which is the default, all such clients share one
// transport: see "Connections" above.
func WithHTTPClient(hc *http.Client) Option { return func(c *config) { c.httpClient = hc } }

// WithTimeout sets how long a whole call may take, all attempts and the waits
// between them included. A deadline of the call's context that is earlier counts
// instead. Zero sets no limit. Defaults to 30 seconds.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithAttemptTimeout sets how long one attempt may take until its answer has been
// read; after that it is retried. Zero sets no limit. Defaults to 10 seconds.
func WithAttemptTimeout(d time.Duration) Option { return func(c *config) { c.attemptTimeout = d } }

// WithMaxRetries sets how often a call is tried again after its first attempt.
// Zero means never. Defaults to 2.
func WithMaxRetries(n int) Option { return func(c *config) { c.maxRetries = n } }

// New returns a client that authenticates with apiKey. It never fails: a key or a
// setting that cannot be used is told by [Client.Validate] and by every call.
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

// Validate says what is wrong with the key or a setting, and how to put it right:
// an API key that is empty or holds what no key holds, a URL that is not https
// (or http on a loopback address), a negative number. It sends nothing. Every
// call returns the same error before anything is sent.
func (c *Client) Validate() error {
	if c == nil || c.authorize == nil {
		return errors.New("anchorhttp: the client was not made with anchorhttp.New")
	}
	return c.invalid
}

// HostedPageURL is the address of the page on which a person signs in, for an
// identity token. userName becomes the display name of the identity; it may be
// empty. The address holds the token: it is a secret.
func (c *Client) HostedPageURL(token, userName string) string {
	page := c.createPage + "?token=" + url.QueryEscape(token)
	if userName != "" {
		page += "&userName=" + url.QueryEscape(userName)
	}
	return page
}

// AppOrigin is the origin of the hosted page, scheme://host[:port]: what the
// form-action of a Content-Security-Policy has to allow when the answer to a form
// redirects there. It is empty when the app URL cannot be used.
func (c *Client) AppOrigin() string { return c.appOrigin }

// checkKey quotes nothing of the key.
func checkKey(key string) error {
	if key == "" {
		return errors.New("anchorhttp: the API key is empty: pass New the key of your project, " +
			"which is commonly kept in the environment variable ANCHORBROWSER_API_KEY")
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fmt.Errorf("anchorhttp: byte %d of the API key is no visible ASCII character, "+
				"so it cannot be a key: remove line breaks and spaces around it", i)
		}
	}
	return nil
}

func notNegative[T ~int | ~int64](what string, n T) error {
	if n < 0 {
		return fmt.Errorf("anchorhttp: the %s is %v: it must be zero or more", what, n)
	}
	return nil
}

// address is a URL in two parts: scheme://host[:port], and the path without a
// slash at its end.
type address struct{ origin, path string }

var hostName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// parseURL quotes of raw at most scheme and host in its errors: the rest could be
// a password, or the API key in the wrong place.
func parseURL(raw, what string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return address{}, fmt.Errorf("anchorhttp: the %s is no absolute URL: give it as https://host[:port][/path]", what)
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
			"give it as https://host[:port][/path]", what, a.origin)
	case ipErr != nil && !hostName.MatchString(host), ip.Zone() != "", !validPort(u):
		// The origin goes into a Content-Security-Policy, where a semicolon in
		// the host, which url.Parse lets through, would begin another directive.
		return address{}, fmt.Errorf("anchorhttp: the %s %q has no usable host and port: "+
			"write the host in ASCII (xn-- for other scripts)", what, a.origin)
	case u.Scheme == "https":
		return a, nil
	case u.Scheme == "http" && (host == "localhost" || ip.IsLoopback()):
		// It does not leave the machine: a fake, or a local gateway.
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

// redact takes secrets out of s.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	return s
}

const redacted = "[redacted]"

// hide is what a secret is printed as.
func hide(secret string) string {
	if secret == "" {
		return ""
	}
	return redacted
}
