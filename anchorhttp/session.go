package anchorhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// A Session is a browser that runs at Anchor. The two URLs are left out when it
// is printed, logged or encoded as JSON.
type Session struct {
	// ID names the session.
	ID string `json:"id"`
	// CDPURL is where the browser is driven, over the Chrome DevTools Protocol.
	// Whoever has it is in control of the signed-in browser: a secret.
	CDPURL string `json:"-"`
	// LiveViewURL shows the browser, and lets its viewer use it unless
	// [LiveView] says otherwise: a secret.
	LiveViewURL string `json:"-"`
	// Date is when Anchor answered, by its own clock: the Date header, in whole
	// seconds. It is zero if the answer has none.
	Date time.Time `json:"-"`
}

// String leaves out the URLs.
func (s Session) String() string { return fmt.Sprintf("%+v", s) }

// GoString leaves out the URLs.
func (s Session) GoString() string { return fmt.Sprintf("%#v", s) }

// Format leaves out the URLs, with every verb.
func (s Session) Format(f fmt.State, verb rune) {
	type plain Session
	s.CDPURL, s.LiveViewURL = hide(s.CDPURL), hide(s.LiveViewURL)
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(s))
}

// LogValue leaves out the URLs.
func (s Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", s.ID))
}

// A SessionRequest is what to open a browser with. What is left zero is as Anchor
// has it by default.
type SessionRequest struct {
	// IdentityIDs are the identities that the browser is signed in with.
	IdentityIDs []string
	// Session is about the session as a whole.
	Session *SessionConfig
	// Browser is about the browser in it.
	Browser *BrowserConfig
	// SkipValidation opens the session without checking first that the identities
	// are still signed in, which is faster. A sign-in that does not work then shows
	// in the browser rather than as an error that [NeedsSignIn] recognizes.
	SkipValidation bool
}

// AuthenticatedSession is the request that Anchor recommends for a browser that is
// signed in with an identity: through Anchor's proxy, with its captcha solver
// (which needs the proxy) and extra stealth. The fields may be changed before it
// is sent.
func AuthenticatedSession(identityID string) SessionRequest {
	return SessionRequest{
		IdentityIDs: []string{identityID},
		Session:     &SessionConfig{Proxy: &Proxy{Active: true}},
		Browser: &BrowserConfig{
			CaptchaSolver: &Toggle{Active: true},
			ExtraStealth:  &Toggle{Active: true},
		},
	}
}

// A Toggle switches something on or off; a nil one leaves it as Anchor has it by
// default.
type Toggle struct {
	Active bool `json:"active"`
}

// SessionConfig is about a session as a whole. The zero value of a field is
// Anchor's default.
type SessionConfig struct {
	// InitialURL is the page to begin with, instead of an empty one.
	InitialURL string `json:"initial_url,omitzero"`
	// Tags are labels to find the session by, in Anchor's dashboard and API. Give it
	// those of the user and the task, to tell later what it was opened for. They are
	// not secret.
	Tags []string `json:"tags,omitempty"`
	// Recording makes a video. On by default.
	Recording *Toggle `json:"recording,omitempty"`
	// Proxy is what the browser reaches the web through.
	Proxy *Proxy `json:"proxy,omitempty"`
	// Timeout ends the session.
	Timeout *SessionTimeout `json:"timeout,omitempty"`
	// LiveView is about Session.LiveViewURL.
	LiveView *LiveView `json:"live_view,omitempty"`
}

// The types of a [Proxy].
const (
	ProxyAnchor = "anchor_proxy"
	ProxyCustom = "custom"
)

// A Proxy is what a browser reaches the web through: Anchor's own, or another one.
// Password is left out when it is printed, logged or encoded as JSON.
type Proxy struct {
	Active bool `json:"active"`
	// Type is [ProxyAnchor] or [ProxyCustom]; empty is Anchor's default.
	Type string `json:"type,omitzero"`

	// CountryCode is the country to be seen from, for Anchor's proxy: ISO 3166-1
	// alpha-2 in lower case.
	CountryCode string `json:"country_code,omitzero"`
	// Region narrows the country, and City the region.
	Region string `json:"region,omitzero"`
	City   string `json:"city,omitzero"`

	// Server is the address of a custom proxy: protocol://host:port.
	Server string `json:"server,omitzero"`
	// Username and Password are for a custom proxy.
	Username string `json:"username,omitzero"`
	Password string `json:"-"`
}

// Format leaves out the password, with every verb.
func (p Proxy) Format(s fmt.State, verb rune) {
	type plain Proxy
	p.Password = hide(p.Password)
	fmt.Fprintf(s, fmt.FormatString(s, verb), plain(p))
}

// SessionTimeout ends a session. Both are minutes: zero is Anchor's default, -1
// no limit.
type SessionTimeout struct {
	// MaxDuration is how long the session lasts at most. 20 by default.
	MaxDuration int `json:"max_duration,omitzero"`
	// IdleTimeout is how long it waits for another connection when the last one
	// has been closed. 5 by default.
	IdleTimeout int `json:"idle_timeout,omitzero"`
}

// LiveView is about the URL at which a session can be watched.
type LiveView struct {
	// ReadOnly lets viewers watch but not click or type.
	ReadOnly bool `json:"read_only,omitzero"`
	// OneTimeURL makes the URL invalid when the first viewer has connected. It
	// needs a browser that is not headless.
	OneTimeURL bool `json:"one_time_url,omitzero"`
}

// BrowserConfig is about the browser of a session. The zero value of a field is
// Anchor's default.
type BrowserConfig struct {
	// Profile keeps what a browser stores from one session to another.
	Profile *Profile `json:"profile,omitempty"`
	// Adblock blocks ads. On by default.
	Adblock *Toggle `json:"adblock,omitempty"`
	// PopupBlocker blocks popups; it needs Adblock. On by default.
	PopupBlocker *Toggle `json:"popup_blocker,omitempty"`
	// CaptchaSolver solves captchas; it needs a proxy. Off by default.
	CaptchaSolver *Toggle `json:"captcha_solver,omitempty"`
	// ExtraStealth avoids being taken for a bot; it needs Anchor's proxy.
	ExtraStealth *Toggle `json:"extra_stealth,omitempty"`
	// Headless runs without a display. Off by default.
	Headless *Toggle `json:"headless,omitempty"`
	// Viewport is the size of the page. 1440 by 900 by default.
	Viewport *Viewport `json:"viewport,omitempty"`
	// Fullscreen begins in full screen. Off by default.
	Fullscreen *Toggle `json:"fullscreen,omitempty"`
}

// A Profile is what a browser stores from one session to another.
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

// CreateSession opens a browser. If it returns an error for which [NeedsSignIn]
// reports true, the user has to sign in again. Without credit the error is an
// [*Error] with status 402. If too many sessions were opened it has status 429 and
// RetryAfter says when to come back. An identity's id that is not a UUID is
// [ErrInvalidID].
//
// If an answer is lost, a retry opens another session, and the first one runs until
// its timeout.
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
		err = invalid("it has no id of up to 255 visible ASCII characters")
	}
	return Session{ID: v.ID, CDPURL: v.CDPURL, LiveViewURL: v.LiveViewURL, Date: dateOf(a.header)}, err
}

// EndSession ends a session. It is idempotent: a session that has ended or that
// Anchor does not know is no error. A session that nobody ends runs, and costs,
// until its [SessionTimeout]:
//
//	session, err := client.CreateSession(ctx, request)
//	if err != nil { … }
//	defer client.EndSession(context.WithoutCancel(ctx), session.ID)
//
// Anchor documents one answer, 401, for a wrong key and a wrong session alike.
// EndSession then asks for the session, to tell one from the other. An id that
// cannot be one of a session is [ErrInvalidID].
func (c *Client) EndSession(ctx context.Context, sessionID string) error {
	r := request{method: http.MethodDelete, path: "/v1/sessions/{session}", id: sessionID}
	_, err := call(ctx, c, r, acknowledged(""))
	var e *Error
	switch {
	case IsNotFound(err):
		return nil
	case errors.As(err, &e) && e.StatusCode == http.StatusUnauthorized:
		if over, askErr := c.sessionIsOver(ctx, sessionID); askErr == nil && over {
			return nil
		}
	}
	return err
}

// sessionIsOver reports whether a session has ended or is unknown.
func (c *Client) sessionIsOver(ctx context.Context, sessionID string) (bool, error) {
	r := request{method: http.MethodGet, path: "/v1/sessions/{session}", id: sessionID}
	over, err := call(ctx, c, r, func(a answer) (bool, error) {
		v, err := decode[struct {
			Status string `json:"status"`
		}](a)
		// The words for the end are undocumented. Anchor accepted the key, so the 401
		// was about the session, unless this says that it runs.
		return v.Status != "running" && v.Status != "active", err
	})
	if IsNotFound(err) {
		return true, nil
	}
	return over, err
}

// body is the request as the API takes it, and what of it must not be repeated.
func (sr SessionRequest) body() (body any, hidden []string, err error) {
	type identity struct {
		ID string `json:"id"`
	}
	type proxy struct {
		*Proxy
		Password string `json:"password,omitzero"`
	}
	type session struct {
		*SessionConfig
		Proxy *proxy `json:"proxy,omitempty"`
	}
	var b struct {
		Session        *session       `json:"session,omitempty"`
		Browser        *BrowserConfig `json:"browser,omitempty"`
		Identities     []identity     `json:"identities,omitempty"`
		SkipValidation bool           `json:"identity_skip_validation,omitzero"`
	}
	for _, id := range sr.IdentityIDs {
		id, ok := ParseID(id)
		if !ok {
			return nil, nil, errNoUUID
		}
		b.Identities = append(b.Identities, identity{id})
	}
	if s := sr.Session; s != nil {
		b.Session = &session{SessionConfig: s}
		if p := s.Proxy; p != nil {
			b.Session.Proxy = &proxy{p, p.Password}
			hidden = append(hidden, p.Password)
		}
	}
	b.Browser, b.SkipValidation = sr.Browser, sr.SkipValidation
	return b, hidden, nil
}
