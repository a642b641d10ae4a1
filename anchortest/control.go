package anchortest

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// controlPath is the path of the control page.
const controlPath = "/fake"

// shownDeliveries is the number of deliveries on the control page.
const shownDeliveries = 20

// ControlURL returns the URL of the control page, for use by hand. It lists the
// identities, with buttons that make a sign-in fail, stop working silently and work
// again, and that delete the identity. It also shows what was sent to the webhook,
// and the switches of [Server.Switch]. Anyone who can reach the fake can use it.
func (s *Server) ControlURL() string { return s.URL() + controlPath }

// A control is the data of the control page, the newest entries first.
type control struct {
	Webhook    string // empty if none is set
	Sending    bool   // an event is being sent, so the page reloads itself
	Identities []controlIdentity
	Deliveries []controlDelivery
	Settings   []controlSetting
}

type controlSetting struct {
	Name, Label string
	Choices     []controlChoice
}

type controlChoice struct {
	Value, Label string
	Chosen       bool
}

type controlIdentity struct {
	ID, Name, Application, Owner string
	Status                       Status
	Mood                         string
	Killed                       bool // its sign-in has stopped working silently
}

type controlDelivery struct {
	Type, About, At, When string
	Attempt               int
	Status, Mood, Reason  string
}

// Moods are classes of the style sheet.
const (
	moodGood = "good"
	moodBad  = "bad"
	moodNone = "plain"
)

func (s *Server) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlPath, s.showControl)
	mux.HandleFunc("POST "+controlPath, s.submitControl)
	mux.HandleFunc("/", notFound)
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writePage(w, http.StatusForbidden, "", page{
			Title: "The request came from another page",
			Help:  "Only the buttons of this page work. Open it at its own address.",
		})
	}))
	return guard.Handler(mux)
}

func (s *Server) showControl(w http.ResponseWriter, _ *http.Request) {
	writeTemplate(w, http.StatusOK, "'self'", controlTemplate, s.control())
}

var (
	errNoButton     = errors.New("The form was sent without one of its buttons. Go back and press one")
	errIdentityGone = errors.New("the identity is gone")
)

// submitControl handles the buttons of the control page.
func (s *Server) submitControl(w http.ResponseWriter, r *http.Request) {
	anchor, err := s.press(r)
	switch {
	case errors.Is(err, errIdentityGone):
		writePage(w, http.StatusNotFound, "", page{
			Title: "This identity is gone",
			Help:  "The app has deleted it, or the fake was restarted. Go back and refresh the page.",
		})
		return
	case err != nil:
		writePage(w, http.StatusBadRequest, "", page{
			Title: "That did not work",
			Help:  strings.TrimPrefix(err.Error(), "anchortest: ") + ".",
		})
		return
	}
	setPageHeaders(w, "'none'")
	// [http.Redirect] would make the location an absolute path, which is wrong if the
	// fake is served below a prefix.
	location := strings.TrimPrefix(controlPath, "/")
	if anchor != "" {
		location += "#" + anchor
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// press does what the pressed button says, and returns the fragment of the control page
// to show next, or "".
func (s *Server) press(r *http.Request) (anchor string, err error) {
	id := r.PostFormValue("identity")
	anchor, found := "i-"+url.PathEscape(id), true
	switch outcome(r.PostFormValue("outcome")) {
	case approve:
		found = s.endSignIn(id, StatusValidated)
	case fail:
		found = s.endSignIn(id, StatusFailed)
	case "kill":
		found = s.KillSignIn(id)
	case "forget":
		found, anchor = s.forgetIdentity(id), ""
	case "orphan":
		anchor = "i-" + s.AddOrphans(1, 48*time.Hour)[0].ID
	case "switch":
		for _, setting := range settings {
			if value := r.PostFormValue(setting.name); value != "" {
				if err := s.Switch(setting.name, value); err != nil {
					return "", err
				}
			}
		}
		anchor = "switches"
	default:
		return "", errNoButton
	}
	if !found {
		return "", errIdentityGone
	}
	return anchor, nil
}

// control returns the data of the control page.
func (s *Server) control() control {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := control{Sending: s.inFlight > 0}
	if u, err := url.Parse(s.webhook.url); err == nil {
		c.Webhook = u.Redacted()
	}
	names := make(map[string]string)
	identities := s.identities.all()
	for i := len(identities) - 1; i >= 0; i-- {
		identity := identities[i]
		names[identity.ID] = identity.Name
		shown := controlIdentity{
			ID: identity.ID, Name: identity.Name,
			Application: s.applications.get(identity.ApplicationID).name,
			Status:      identity.Status, Mood: identityMood(identity.Status),
			Killed: s.refusals.killed[identity.ID],
		}
		if owner, found := identity.Metadata["externalUserId"]; found {
			shown.Owner = asText(owner)
		}
		c.Identities = append(c.Identities, shown)
	}
	for i := len(s.deliveries) - 1; i >= 0 && len(c.Deliveries) < shownDeliveries; i-- {
		c.Deliveries = append(c.Deliveries, showDelivery(s.deliveries[i], names))
	}
	for _, setting := range settings {
		c.Settings = append(c.Settings, showSetting(setting, setting.get(s)))
	}
	return c
}

// showSetting returns a switch with its choices. A value that is not one of them is
// added as another choice.
func showSetting(t setting, value string) controlSetting {
	shown := controlSetting{Name: t.name, Label: t.label}
	known := false
	for _, choice := range t.choices {
		known = known || choice.value == value
		shown.Choices = append(shown.Choices, controlChoice{choice.value, choice.label, choice.value == value})
	}
	if !known {
		shown.Choices = append(shown.Choices, controlChoice{value, "is set to " + value, true})
	}
	return shown
}

// forgetIdentity deletes an identity as the API's call does. It reports whether the
// identity existed.
func (s *Server) forgetIdentity(identityID string) bool {
	id, _ := parseUUID(identityID)
	s.mu.Lock()
	found := s.identities.delete(id)
	if found {
		s.identityChanged()
	}
	s.mu.Unlock()
	if found && s.backend != nil {
		s.backend.ForgetIdentity(id)
	}
	return found
}

func identityMood(status Status) string {
	switch anchorhttp.SignInOf(string(status)) {
	case anchorhttp.SignInGood:
		if status != StatusPending {
			return moodGood
		}
	case anchorhttp.SignInBad:
		return moodBad
	}
	return moodNone
}

// showDelivery returns a delivery for display. names has the existing identities by
// id.
func showDelivery(d *Delivery, names map[string]string) controlDelivery {
	shown := controlDelivery{
		Type: d.Event.Type, About: names[d.Event.IdentityID], Attempt: d.Attempt,
		At: d.At.Format(time.RFC3339), When: d.At.Format("2006-01-02 15:04:05 UTC"),
	}
	if shown.About == "" {
		shown.About = "an unknown identity"
	}
	switch {
	case d.Err != nil:
		shown.Status, shown.Mood = "no answer", moodBad
		if reason := errors.Unwrap(d.Err); reason != nil {
			shown.Reason = reason.Error()
		}
	case d.Status == 0:
		shown.Status, shown.Mood = "in progress", moodNone
	case d.Status/100 == 2:
		shown.Status, shown.Mood = strconv.Itoa(d.Status), moodGood
	default:
		shown.Status, shown.Mood = strconv.Itoa(d.Status), moodBad
	}
	return shown
}
