// Package demo is the code that the example apps share: reading the environment, and
// the fake of Anchor that they start without an API key.
package demo

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/anchorconnect/connect/anchorhttp"
)

// Settings are the checked settings of an example app.
type Settings struct {
	Addr          string
	PublicURL     string // defaults to http:// and the listener's address
	APIKey        string // defaults to the built-in fake's
	BaseURL       string // defaults to anchorhttp.DefaultBaseURL
	AppURL        string // defaults to anchorhttp.DefaultAppURL
	ApplicationID string
	Applications  map[string]string // further application IDs, by name
	DatabaseURL   string
	NoBrowser     bool // do not run automations
	// WebhookSecrets are the secrets that Anchor may sign events with. Without any, the
	// app has no webhook.
	WebhookSecrets []string
	Secrets        [][]byte
	SessionSecret  []byte
	Notices        []string // lines to print about the defaults in use
}

// ReadSettings reads the environment through getenv. ADDR and DATABASE_URL default to
// the fields of defaults. An error is one line that names the variable to change.
func ReadSettings(getenv func(string) string, defaults Settings) (Settings, error) {
	s := Settings{
		Addr:          cmp.Or(getenv("ADDR"), defaults.Addr),
		PublicURL:     getenv("PUBLIC_URL"),
		APIKey:        getenv("ANCHORBROWSER_API_KEY"),
		BaseURL:       getenv("ANCHORBROWSER_BASE_URL"),
		AppURL:        getenv("ANCHOR_APP_URL"),
		ApplicationID: getenv("ANCHOR_APPLICATION_ID"),
		DatabaseURL:   cmp.Or(getenv("DATABASE_URL"), defaults.DatabaseURL),
	}
	switch browser := getenv("DEMO_BROWSER"); browser {
	case "":
	case "off":
		s.NoBrowser = true
	default:
		return s, fmt.Errorf("DEMO_BROWSER is %q: set it to off, or not at all", browser)
	}
	if _, _, err := net.SplitHostPort(s.Addr); err != nil {
		return s, fmt.Errorf("ADDR is %q: it needs a host and a port, such as %s", s.Addr, defaults.Addr)
	}
	if err := s.checkAnchor(); err != nil {
		return s, err
	}
	var err error
	if s.Applications, err = readApplications(getenv("ANCHOR_APPLICATIONS")); err != nil {
		return s, err
	}
	for secret := range strings.SplitSeq(getenv("ANCHOR_WEBHOOK_SECRET"), ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			s.WebhookSecrets = append(s.WebhookSecrets, secret)
		}
	}
	if s.APIKey == "" && (s.Applications != nil || s.WebhookSecrets != nil) {
		return s, errors.New("ANCHOR_APPLICATIONS or ANCHOR_WEBHOOK_SECRET is set but ANCHORBROWSER_API_KEY is not: set the key too, or unset them to use the built-in fake")
	}

	if secrets := getenv("CONNECT_SECRET"); secrets != "" {
		for secret := range strings.SplitSeq(secrets, ",") {
			if secret = strings.TrimSpace(secret); len(secret) < 32 {
				return s, fmt.Errorf("CONNECT_SECRET has a secret of %d characters: each needs at least 32 (openssl rand -hex 32)", len(secret))
			}
			s.Secrets = append(s.Secrets, []byte(strings.TrimSpace(secret)))
		}
	} else {
		s.Secrets = [][]byte{randomSecret()}
		s.Notices = append(s.Notices, "CONNECT_SECRET is not set: using a random one until this program stops.")
	}
	switch secret := getenv("SESSION_SECRET"); {
	case secret == "":
		s.SessionSecret = randomSecret()
		s.Notices = append(s.Notices, "SESSION_SECRET is not set: all users are signed out when this program stops.")
	case len(secret) < 32:
		return s, fmt.Errorf("SESSION_SECRET has %d characters: it needs at least 32 (openssl rand -hex 32)", len(secret))
	default:
		s.SessionSecret = []byte(secret)
	}
	return s, nil
}

// applicationName matches the names that connect.Config.Applications accepts.
var applicationName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// readApplications parses "name=id,name=id".
func readApplications(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	all := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		name, id, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if _, ok := anchorhttp.ParseID(id); !ok || !applicationName.MatchString(name) || name == "status" {
			return nil, fmt.Errorf("ANCHOR_APPLICATIONS has %q: it needs name=id pairs with commas between them, such as calendar=6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02", pair)
		}
		if _, ok := all[name]; ok {
			return nil, fmt.Errorf("ANCHOR_APPLICATIONS has the name %q twice", name)
		}
		all[name] = id
	}
	return all, nil
}

// DatabaseError returns err on one line that names DATABASE_URL. A driver's error can
// have several lines, such as one for each address that it has tried.
func DatabaseError(err error) error {
	return fmt.Errorf("DATABASE_URL: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// checkAnchor checks the settings for Anchor: without an API key, all must be unset.
func (s Settings) checkAnchor() error {
	if s.APIKey == "" {
		for _, v := range []struct{ name, value string }{
			{"ANCHORBROWSER_BASE_URL", s.BaseURL},
			{"ANCHOR_APP_URL", s.AppURL},
			{"ANCHOR_APPLICATION_ID", s.ApplicationID},
		} {
			if v.value != "" {
				return fmt.Errorf("%s is set but ANCHORBROWSER_API_KEY is not: set the key too, or unset both to use the built-in fake", v.name)
			}
		}
		return nil
	}
	if s.ApplicationID == "" {
		return errors.New("ANCHOR_APPLICATION_ID is not set: with ANCHORBROWSER_API_KEY, set it to the application's id from Anchor's dashboard")
	}
	if _, ok := anchorhttp.ParseID(s.ApplicationID); !ok {
		return fmt.Errorf("ANCHOR_APPLICATION_ID is %q, not a UUID: copy the application's id from Anchor's dashboard", s.ApplicationID)
	}
	// Validate checks all of them; checking one at a time names the variable at fault.
	for _, v := range []struct {
		name string
		s    Settings
	}{
		{"ANCHORBROWSER_API_KEY", Settings{APIKey: s.APIKey}},
		{"ANCHORBROWSER_BASE_URL", Settings{APIKey: s.APIKey, BaseURL: s.BaseURL}},
		{"ANCHOR_APP_URL", Settings{APIKey: s.APIKey, AppURL: s.AppURL}},
	} {
		if err := v.s.Anchor().Validate(); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// Anchor returns a client of Anchor's API, or of the fake's.
func (s Settings) Anchor() *anchorhttp.Client {
	return anchorhttp.New(s.APIKey,
		anchorhttp.WithBaseURL(cmp.Or(s.BaseURL, anchorhttp.DefaultBaseURL)),
		anchorhttp.WithAppURL(cmp.Or(s.AppURL, anchorhttp.DefaultAppURL)))
}

// PublicAddress returns PUBLIC_URL without trailing slashes. It defaults to http://, the
// host of ADDR and the port of the listener's address.
func (s Settings) PublicAddress(listening net.Addr) string {
	if s.PublicURL != "" {
		return strings.TrimRight(s.PublicURL, "/")
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	if _, actual, err := net.SplitHostPort(listening.String()); err == nil {
		port = actual // The port in ADDR may be 0.
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// IsHTTPS reports whether publicURL is https, so that cookies can be Secure.
func IsHTTPS(publicURL string) bool {
	u, err := url.Parse(publicURL)
	return err == nil && u.Scheme == "https"
}

func randomSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // Never fails: crypto/rand.
	return secret
}
