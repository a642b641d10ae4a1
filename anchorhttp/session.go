package anchorhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// A Session is a browser session at Anchor. Its two URLs are secret: they are left out
// when it is printed, logged or encoded as JSON.
type Session struct {
	// ID identifies the session. Anchor does not document its form.
	ID string `json:"id"`
	// CDPURL is the address of the Chrome DevTools Protocol. It gives full control of
	// the signed-in browser.
	CDPURL string `json:"-"`
	// LiveViewURL is a page that shows the browser. Its viewers can also click and
	// type, unless [LiveView] forbids that.
	LiveViewURL string `json:"-"`
	// Date is when Anchor answered, by Anchor's clock: the Date header, in whole
	// seconds. It is zero if the answer has none.
	Date time.Time `json:"-"`
}

// String implements [fmt.Stringer]. It leaves out the URLs.
func (s Session) String() string { return fmt.Sprintf("%+v", s) }

// GoString implements [fmt.GoStringer]. It leaves out the URLs.
func (s Session) GoString() string { return fmt.Sprintf("%#v", s) }

// Format implements [fmt.Formatter]. It leaves out the URLs with every verb for values;
// %p, %w and an unexported field of another struct print them all the same.
func (s Session) Format(f fmt.State, verb rune) {
	type plain Session
	s.CDPURL, s.LiveViewURL = hide(s.CDPURL), hide(s.LiveViewURL)
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(s))
}

// LogValue implements [slog.LogValuer]. It leaves out the URLs.
func (s Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", s.ID))
}

// A SessionRequest is the body of [Client.CreateSession]. It and the types of its
// fields are named as in Anchor's API. A field that is zero is not sent, and Anchor's
// default applies.
type SessionRequest struct {
	// Session configures the session as a whole.
	Session *SessionConfig `json:"session,omitempty"`
	// Browser configures the browser of the session.
	Browser *BrowserConfig `json:"browser,omitempty"`
	// Identities are the identities that the browser is signed in with.
	Identities []SessionIdentity `json:"identities,omitempty"`
	// IdentitySkipValidation opens the session without a check that the identities
	// are still signed in, which is faster. A sign-in that does not work then shows
	// in the browser, not as an error that [NeedsSignIn] recognizes.
	IdentitySkipValidation bool `json:"identity_skip_validation,omitzero"`
}

// A SessionIdentity names an identity of a [SessionRequest].
type SessionIdentity struct {
	// ID is the identity's UUID.
	ID string `json:"id"`
}

// AuthenticatedSession returns the request that Anchor recommends for a session that
// is signed in with an identity. It uses Anchor's proxy, its captcha solver (which
// needs the proxy) and extra stealth. The caller may change the fields.
func AuthenticatedSession(identityID string) SessionRequest {
	return SessionRequest{
		Identities: []SessionIdentity{{ID: identityID}},
		Session:    &SessionConfig{Proxy: &ProxyConfig{Active: true}},
		Browser: &BrowserConfig{
			CaptchaSolver: &Toggle{Active: true},
			ExtraStealth:  &Toggle{Active: true},
		},
	}
}

// A Toggle switches a feature on or off. A nil Toggle leaves Anchor's default.
type Toggle struct {
	Active bool `json:"active"`
}

// SessionConfig configures a session as a whole. A field that is zero leaves Anchor's
// default.
type SessionConfig struct {
	// InitialURL is the first page. Defaults to an empty page.
	InitialURL string `json:"initial_url,omitzero"`
	// Tags are labels to find the session by in Anchor's dashboard and API, such as
	// the user and the task. They are not secret.
	Tags []string `json:"tags,omitempty"`
	// Recording records a video. Defaults to on.
	Recording *Toggle `json:"recording,omitempty"`
	// Proxy configures the proxy that the browser uses.
	Proxy *ProxyConfig `json:"proxy,omitempty"`
	// Timeout limits how long the session runs.
	Timeout *SessionTimeout `json:"timeout,omitempty"`
	// LiveView configures Session.LiveViewURL.
	LiveView *LiveView `json:"live_view,omitempty"`
}

// The types of a [ProxyConfig].
const (
	ProxyAnchor = "anchor_proxy"
	ProxyCustom = "custom"
)

// A ProxyConfig configures the proxy that a browser uses: Anchor's own or a custom
// one. The password is left out when it is printed, logged or encoded as JSON.
type ProxyConfig struct {
	Active bool `json:"active"`
	// Type is [ProxyAnchor] or [ProxyCustom]. Empty leaves Anchor's default.
	Type string `json:"type,omitzero"`

	// CountryCode is the country of Anchor's proxy: ISO 3166-1 alpha-2 in lower case.
	CountryCode string `json:"country_code,omitzero"`
	// Region narrows the country. City narrows the region and requires it.
	Region string `json:"region,omitzero"`
	City   string `json:"city,omitzero"`

	// Server is the address of a custom proxy: protocol://host:port.
	Server string `json:"server,omitzero"`
	// Username and Password are the credentials for a custom proxy.
	Username string `json:"username,omitzero"`
	Password string `json:"-"`
}

// Format implements [fmt.Formatter]. It leaves out the password, with every verb.
func (p ProxyConfig) Format(s fmt.State, verb rune) {
	type plain ProxyConfig
	p.Password = hide(p.Password)
	fmt.Fprintf(s, fmt.FormatString(s, verb), plain(p))
}

// SessionTimeout limits how long a session runs. Both fields are minutes: zero leaves
// Anchor's default, -1 sets no limit.
type SessionTimeout struct {
	// MaxDuration is the maximum duration. Anchor's documentation names two
	// defaults, 20 and 180.
	MaxDuration int `json:"max_duration,omitzero"`
	// IdleTimeout is how long the session waits for a new connection after the last
	// one was closed. Defaults to 5.
	IdleTimeout int `json:"idle_timeout,omitzero"`
}

// LiveView configures the page that shows a session.
type LiveView struct {
	// ReadOnly lets viewers watch but not click or type.
	ReadOnly bool `json:"read_only,omitzero"`
	// OneTimeURL makes the URL invalid after the first viewer has connected. It
	// requires a browser that is not headless.
	OneTimeURL bool `json:"one_time_url,omitzero"`
}

// BrowserConfig configures the browser of a session. A field that is zero leaves
// Anchor's default.
type BrowserConfig struct {
	// Profile keeps browser data from one session to the next.
	Profile *Profile `json:"profile,omitempty"`
	// Adblock blocks ads. Defaults to on.
	Adblock *Toggle `json:"adblock,omitempty"`
	// PopupBlocker blocks popups. It requires Adblock. Defaults to on.
	PopupBlocker *Toggle `json:"popup_blocker,omitempty"`
	// CaptchaSolver solves captchas. It requires a proxy. Defaults to off.
	CaptchaSolver *Toggle `json:"captcha_solver,omitempty"`
	// ExtraStealth avoids bot detection. It requires Anchor's proxy.
	ExtraStealth *Toggle `json:"extra_stealth,omitempty"`
	// Headless runs the browser without a display. Defaults to off.
	Headless *Toggle `json:"headless,omitempty"`
	// Viewport is the size of the page. Defaults to 1440 by 900.
	Viewport *Viewport `json:"viewport,omitempty"`
	// Fullscreen starts the browser in full screen. Defaults to off.
	Fullscreen *Toggle `json:"fullscreen,omitempty"`
}

// A Profile names browser data that is kept from one session to the next.
type Profile struct {
	Name string `json:"name,omitzero"`
	// Persist saves the profile when the session ends.
	Persist bool `json:"persist,omitzero"`
}

// A Viewport is the size of the page, in pixels.
type Viewport struct {
	Width  int `json:"width,omitzero"`
	Height int `json:"height,omitzero"`
}

// CreateSession opens a browser session. An identity whose ID is not a UUID is
// [ErrInvalidID]. If [NeedsSignIn] reports true for the error, the user has to sign in
// again. Without credit the error is an [*Error] with status 402. After too many
// sessions its status is 429, and RetryAfter is how long to wait.
//
// If an answer is lost, a retry opens a second session. The first one runs until its
// timeout.
func (c *Client) CreateSession(ctx context.Context, sr SessionRequest) (Session, error) {
	if err := c.Validate(); err != nil {
		return Session{}, err
	}
	r := request{method: http.MethodPost, path: "/v1/sessions"}
	var err error
	if r.body, r.hidden, err = sr.body(); err != nil {
		return Session{}, r.failed(err)
	}
	return call(ctx, c, r, readSession)
}

func readSession(a answer) (Session, error) {
	v, err := decode[struct {
		ID          string `json:"id"`
		CDPURL      string `json:"cdp_url"`
		LiveViewURL string `json:"live_view_url"`
	}](a)
	if err == nil && !visible(v.ID) {
		err = invalid("its id is not 1 to 255 visible ASCII characters")
	}
	return Session{ID: v.ID, CDPURL: v.CDPURL, LiveViewURL: v.LiveViewURL, Date: dateOf(a.header)}, err
}

// EndSession ends a session. It is idempotent: a session that has ended already, or
// that Anchor does not know, is not an error. An id that cannot be a session's is
// [ErrInvalidID]. A session that is not ended runs, and costs, until its timeout:
//
//	session, err := client.CreateSession(ctx, request)
//	if err != nil { … }
//	defer client.EndSession(context.WithoutCancel(ctx), session.ID)
//
// Anchor answers 401 both for a wrong key and for an unknown session. EndSession then
// requests the session to distinguish the two.
func (c *Client) EndSession(ctx context.Context, sessionID string) error {
	r := request{method: http.MethodDelete, path: "/v1/sessions/{session}", id: sessionID}
	_, err := call(ctx, c, r, acknowledged(""))
	var e *Error
	switch {
	case IsNotFound(err):
		return nil
	case errors.As(err, &e) && e.StatusCode == http.StatusUnauthorized:
		if ended, getErr := c.sessionEnded(ctx, sessionID); getErr == nil && ended {
			return nil
		}
	}
	return err
}

// sessionEnded reports whether a session has ended or is unknown.
func (c *Client) sessionEnded(ctx context.Context, sessionID string) (bool, error) {
	r := request{method: http.MethodGet, path: "/v1/sessions/{session}", id: sessionID}
	ended, err := call(ctx, c, r, func(a answer) (bool, error) {
		v, err := decode[struct {
			Status string `json:"status"`
		}](a)
		// Anchor does not document the statuses of a session that has ended. Since it
		// accepted the key, any status but these means that the 401 was about the session.
		return v.Status != "running" && v.Status != "active", err
	})
	if IsNotFound(err) {
		return true, nil
	}
	return ended, err
}

// body returns the request body, with the proxy's password, and what errors must not
// repeat.
func (sr SessionRequest) body() (body any, hidden []string, err error) {
	identities := make([]SessionIdentity, len(sr.Identities))
	for i, identity := range sr.Identities {
		id, ok := ParseID(identity.ID)
		if !ok {
			return nil, nil, errNoUUID
		}
		identities[i].ID = id
	}
	sr.Identities = identities
	if sr.Session == nil || sr.Session.Proxy == nil {
		return sr, nil, nil
	}
	type proxy struct {
		*ProxyConfig
		Password string `json:"password,omitzero"`
	}
	type session struct {
		*SessionConfig
		Proxy proxy `json:"proxy"`
	}
	p := sr.Session.Proxy
	return struct {
		SessionRequest
		Session session `json:"session"`
	}{sr, session{sr.Session, proxy{p, p.Password}}}, []string{p.Password}, nil
}
