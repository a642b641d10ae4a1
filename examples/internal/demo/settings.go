// Package demo is what the example apps have in common: the environment that
// they read, and the stand-in for Anchor that they start without one.
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

// Settings are what the environment says, checked.
type Settings struct {
	Addr          string
	PublicURL     string // empty: http:// and the address listened on
	APIKey        string // empty: the built-in fake
	BaseURL       string // empty: Anchor's own, as is AppURL
	AppURL        string
	ApplicationID string
	Applications  map[string]string // further ones, by short names
	DatabaseURL   string
	NoBrowser     bool // automations are not run
	// WebhookSecrets are what events from Anchor may be signed with. None: there
	// is no webhook.
	WebhookSecrets []string
	Secrets        [][]byte
	SessionSecret  []byte
	Notices        []string // what the environment left out and the person should know
}

// ReadSettings reads the environment through getenv. Addr and DatabaseURL of
// defaults stand in for variables that are not set. The error is one line that
// names the variable to change.
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
		return s, errors.New("ANCHOR_APPLICATIONS or ANCHOR_WEBHOOK_SECRET is set but ANCHORBROWSER_API_KEY is not: set the key too, or neither for the built-in fake")
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
		s.Notices = append(s.Notices, "CONNECT_SECRET is not set: a random one serves until this program stops.")
	}
	switch secret := getenv("SESSION_SECRET"); {
	case secret == "":
		s.SessionSecret = randomSecret()
		s.Notices = append(s.Notices, "SESSION_SECRET is not set: everybody is signed out when this program stops.")
	case len(secret) < 32:
		return s, fmt.Errorf("SESSION_SECRET has %d characters: it needs at least 32 (openssl rand -hex 32)", len(secret))
	default:
		s.SessionSecret = []byte(secret)
	}
	return s, nil
}

// applicationName is what connect.Config.Applications takes for a name.
var applicationName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// readApplications reads "name=id,name=id".
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

// DatabaseError says that DATABASE_URL leads to no usable database, and why, on
// one line: a driver's error can have several, such as one for each address that
// it has tried.
func DatabaseError(err error) error {
	return fmt.Errorf("DATABASE_URL: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// checkAnchor checks what leads to Anchor: all of it, or nothing for the fake.
func (s Settings) checkAnchor() error {
	if s.APIKey == "" {
		for _, v := range []struct{ name, value string }{
			{"ANCHORBROWSER_BASE_URL", s.BaseURL},
			{"ANCHOR_APP_URL", s.AppURL},
			{"ANCHOR_APPLICATION_ID", s.ApplicationID},
		} {
			if v.value != "" {
				return fmt.Errorf("%s is set but ANCHORBROWSER_API_KEY is not: set the key too, or neither for the built-in fake", v.name)
			}
		}
		return nil
	}
	if s.ApplicationID == "" {
		return errors.New("ANCHOR_APPLICATION_ID is missing: with ANCHORBROWSER_API_KEY it names the application to connect to")
	}
	if _, ok := anchorhttp.ParseID(s.ApplicationID); !ok {
		return fmt.Errorf("ANCHOR_APPLICATION_ID is %q, not a UUID: copy the application's id from Anchor's dashboard", s.ApplicationID)
	}
	// The client judges these, one more at a time, so that the error is told
	// with the variable it comes from.
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

// Anchor is the client of Anchor's API, or of the fake's.
func (s Settings) Anchor() *anchorhttp.Client {
	return anchorhttp.New(s.APIKey,
		anchorhttp.WithBaseURL(cmp.Or(s.BaseURL, anchorhttp.DefaultBaseURL)),
		anchorhttp.WithAppURL(cmp.Or(s.AppURL, anchorhttp.DefaultAppURL)))
}

// PublicAddress is PUBLIC_URL, or the address that was listened on, under the
// host that ADDR names.
func (s Settings) PublicAddress(listening net.Addr) string {
	if s.PublicURL != "" {
		return strings.TrimRight(s.PublicURL, "/")
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	if _, actual, err := net.SplitHostPort(listening.String()); err == nil {
		port = actual // ADDR may say 0, for any free port.
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// IsHTTPS tells whether cookies can be Secure.
func IsHTTPS(publicURL string) bool {
	u, err := url.Parse(publicURL)
	return err == nil && u.Scheme == "https"
}

func randomSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // Never fails: crypto/rand.
	return secret
}
