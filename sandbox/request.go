package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// Defaults of a session, from Anchor's API documentation.
const (
	defaultWidth, defaultHeight = 1440, 900
	defaultMaxDuration          = 180 * time.Minute
)

const (
	// maxSide is the longest side of a viewport, in pixels.
	maxSide = 10_000
	// maxMinutes is the longest timeout, in minutes, that a [time.Duration] can hold.
	maxMinutes = int(math.MaxInt64 / time.Minute)
	// noLimit is a timeout that never ends a session.
	noLimit time.Duration = -1
)

// A request is a session's configuration, as far as the sandbox applies it.
type request struct {
	initialURL     string
	width, height  int
	idle, max      time.Duration // noLimit for none
	skipValidation bool
	identities     []string
	notes          []string // what it asks for that the sandbox leaves out
}

// A requestBody is the JSON of a session's configuration.
type requestBody struct {
	SkipValidation bool `json:"identity_skip_validation"`
	Session        struct {
		InitialURL string `json:"initial_url"`
		Recording  toggle `json:"recording"`
		Proxy      toggle `json:"proxy"`
		Timeout    struct {
			Max  *int `json:"max_duration"`
			Idle *int `json:"idle_timeout"`
		} `json:"timeout"`
		LiveView struct {
			OneTimeURL bool `json:"one_time_url"`
		} `json:"live_view"`
	} `json:"session"`
	Browser struct {
		Profile struct {
			Name string `json:"name"`
		} `json:"profile"`
		Adblock       toggle `json:"adblock"`
		CaptchaSolver toggle `json:"captcha_solver"`
		Headless      toggle `json:"headless"`
		Viewport      struct {
			Width  *int `json:"width"`
			Height *int `json:"height"`
		} `json:"viewport"`
		Fullscreen   toggle   `json:"fullscreen"`
		Extensions   []string `json:"extensions"`
		ExtraStealth toggle   `json:"extra_stealth"`
	} `json:"browser"`
}

type toggle struct {
	Active *bool `json:"active"`
}

// on reports whether the toggle is on. It defaults to otherwise.
func (t toggle) on(otherwise bool) bool {
	if t.Active == nil {
		return otherwise
	}
	return *t.Active
}

// readRequest parses a session's configuration. idle is the default idle timeout.
func readRequest(configuration []byte, identities []string, idle time.Duration) (r request, err error) {
	var body requestBody
	if len(configuration) > 0 {
		if err := json.Unmarshal(configuration, &body); err != nil {
			return request{}, badRequest("The request body is not the expected JSON: " + err.Error() + ".")
		}
	}
	r = request{initialURL: body.Session.InitialURL, skipValidation: body.SkipValidation, identities: identities, notes: body.notes()}
	if r.initialURL != "" {
		u, err := url.Parse(r.initialURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return request{}, badRequest("initial_url must be an http or https URL.")
		}
	}
	if r.width, err = side("width", body.Browser.Viewport.Width, defaultWidth); err != nil {
		return request{}, err
	}
	if r.height, err = side("height", body.Browser.Viewport.Height, defaultHeight); err != nil {
		return request{}, err
	}
	if r.idle, err = timeout("idle_timeout", body.Session.Timeout.Idle, idle); err != nil {
		return request{}, err
	}
	if r.max, err = timeout("max_duration", body.Session.Timeout.Max, defaultMaxDuration); err != nil {
		return request{}, err
	}
	return r, nil
}

// side returns a side of the viewport in pixels.
func side(name string, asked *int, otherwise int) (int, error) {
	switch {
	case asked == nil:
		return otherwise, nil
	case *asked < 1 || *asked > maxSide:
		return 0, badRequest(fmt.Sprintf("The viewport's %s must be from 1 to %d.", name, maxSide))
	}
	return *asked, nil
}

// timeout returns a timeout that is given in minutes. Zero is the default, and a
// negative number is no limit.
func timeout(name string, minutes *int, otherwise time.Duration) (time.Duration, error) {
	switch {
	case minutes == nil || *minutes == 0:
		return otherwise, nil
	case *minutes < 0:
		return noLimit, nil
	case *minutes > maxMinutes:
		return 0, badRequest(fmt.Sprintf("%s must be at most %d minutes, or -1 for no limit.", name, maxMinutes))
	}
	return time.Duration(*minutes) * time.Minute, nil
}

// notes returns a sentence for each requested feature that the sandbox leaves out.
func (b requestBody) notes() (notes []string) {
	for _, note := range []struct {
		asked bool
		text  string
	}{
		{b.Session.Proxy.on(false), "No proxy: the browser uses this machine's network."},
		{b.Browser.CaptchaSolver.on(false), "Captchas are not solved."},
		{b.Browser.ExtraStealth.on(false), "No stealth: sites can detect that the browser is automated."},
		{b.Session.Recording.on(false), "The session is not recorded."},
		{!b.Browser.Headless.on(true), "The browser is headless."},
		{b.Browser.Fullscreen.on(false), "There is no full screen: the browser is headless."},
		{b.Browser.Adblock.on(false), "Ads are not blocked."},
		{b.Browser.Profile.Name != "", "Profiles are not stored: the browser starts with an empty one."},
		{len(b.Browser.Extensions) > 0, "Extensions are not loaded."},
		{b.Session.LiveView.OneTimeURL, "The live view can be opened more than once."},
	} {
		if note.asked {
			notes = append(notes, note.text)
		}
	}
	return notes
}

func badRequest(message string) error {
	return &anchortest.APIError{Status: http.StatusBadRequest, Message: message}
}
