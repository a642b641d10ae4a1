package anchortest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// An Event is what a webhook tells. The fake makes one when a sign-in has ended
// (see [Server.SetWebhook]); a test may compose others, for [Server.SendEvent]
// and [Server.NewWebhookRequest].
type Event struct {
	// ID names the event, however often it is sent. Empty is a new one: "evt_"
	// and 24 hexadecimal digits.
	ID string
	// Type is one of the constants above, or another of Anchor's. It stands in
	// the header Anchor-Event too.
	Type string
	// IdentityID is the identity that it is about, written as it is. Empty
	// leaves it out of the event's data.
	IdentityID string
	// Created is when it happened, to the millisecond. Zero is now.
	Created time.Time
	// SentAt is the moment that a delivery is signed with, to the second. Zero
	// is the moment of the delivery. An older one makes an old delivery, as if
	// it were replayed.
	SentAt time.Time
	// Body, when it is not nil, is sent and signed in place of the event, for
	// a test of what is signed well and is no event.
	Body []byte
}

// filled is the event with an id and a moment.
func (e Event) filled(now time.Time) Event {
	e.ID = cmp.Or(e.ID, newEventID())
	e.Created = toMillisecond(cmp.Or(e.Created, now))
	e.Body = slices.Clone(e.Body)
	return e
}

func newEventID() string {
	var b [12]byte
	rand.Read(b[:]) // Never fails (crypto/rand).
	return fmt.Sprintf("evt_%x", b)
}

// text is the line for people that an event comes with.
func (e Event) text() string {
	switch {
	case e.IdentityID == "":
		return "Event " + e.Type + "."
	case e.Type == anchorhttp.EventIdentityAuthenticated:
		return "Identity " + e.IdentityID + " is signed in."
	case e.Type == anchorhttp.EventIdentityAuthenticationFailed:
		return "Identity " + e.IdentityID + " could not be signed in."
	}
	return "Event " + e.Type + " of identity " + e.IdentityID + "."
}

// signInEvent is the type of the event that a sign-in with this outcome makes.
// One that has not been tried out makes none.
func signInEvent(status Status) (eventType string, made bool) {
	if status == StatusPending {
		return "", false
	}
	switch anchorhttp.SignInOf(string(status)) {
	case anchorhttp.SignInGood:
		return anchorhttp.EventIdentityAuthenticated, true
	case anchorhttp.SignInBad:
		return anchorhttp.EventIdentityAuthenticationFailed, true
	}
	return "", false
}

// An EventTime is how an event's "created" is written.
type EventTime int

const (
	// TextEventTime is RFC 3339 with milliseconds, "2026-05-24T12:18:05.123Z",
	// as documented. The default.
	TextEventTime EventTime = iota
	// UnixEventTime is a number, seconds since 1970, which other services'
	// events have and Anchor's signature too.
	UnixEventTime
)

// SetEventTime chooses how events are dated from now on.
func (s *Server) SetEventTime(t EventTime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventShape.time = t
}

// An EventIdentity is where in an event's "data" the identity's id stands,
// which Anchor's documentation does not say.
type EventIdentity int

const (
	// SnakeEventIdentity is {"identity_id": "…"}. The default.
	SnakeEventIdentity EventIdentity = iota
	// CamelEventIdentity is {"identityId": "…"}.
	CamelEventIdentity
	// NestedEventIdentity is {"identity": {"id": "…"}}.
	NestedEventIdentity
	// TextEventIdentity is {"identity": "…"}.
	TextEventIdentity
	// BareEventIdentity is {"id": "…"}.
	BareEventIdentity
	// UnreadableEventIdentity is {"account": {"ref": "…"}}, which nobody can know.
	UnreadableEventIdentity
)

// SetEventIdentity chooses where events name their identity from now on.
func (s *Server) SetEventIdentity(i EventIdentity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventShape.identity = i
}

// eventShape is how events are written.
type eventShape struct {
	time     EventTime
	identity EventIdentity
}

// write is the body of an event.
func (shape eventShape) write(e Event) []byte {
	if e.Body != nil {
		return e.Body
	}
	envelope := struct {
		ID        string         `json:"id"`
		Type      string         `json:"type"`
		Created   any            `json:"created"`
		ProjectID string         `json:"project_id"`
		Text      string         `json:"text"`
		Data      map[string]any `json:"data"`
	}{e.ID, e.Type, timestamp(e.Created), teamID, e.text(), map[string]any{}}
	if shape.time == UnixEventTime {
		envelope.Created = e.Created.Unix()
	}
	if e.IdentityID != "" {
		switch shape.identity {
		case CamelEventIdentity:
			envelope.Data["identityId"] = e.IdentityID
		case NestedEventIdentity:
			envelope.Data["identity"] = map[string]string{"id": e.IdentityID}
		case TextEventIdentity:
			envelope.Data["identity"] = e.IdentityID
		case BareEventIdentity:
			envelope.Data["id"] = e.IdentityID
		case UnreadableEventIdentity:
			envelope.Data["account"] = map[string]string{"ref": e.IdentityID}
		default:
			envelope.Data["identity_id"] = e.IdentityID
		}
	}
	body, _ := json.Marshal(envelope) // Texts and a number: it can be encoded.
	return body
}

// webhook is where events go and what they are signed with.
type webhook struct {
	url     string // empty for nowhere
	secrets []string
}

func newWebhook(address string, secrets []string) (webhook, error) {
	if address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return webhook{}, errors.New("anchortest: the webhook's address is not an http or https URL")
		}
		if len(secrets) == 0 {
			return webhook{}, errors.New("anchortest: the webhook has no secret")
		}
	}
	if slices.Contains(secrets, "") {
		return webhook{}, errors.New("anchortest: a secret of the webhook is empty")
	}
	return webhook{address, slices.Clone(secrets)}, nil
}

// WithWebhook is [Server.SetWebhook] from the beginning.
func WithWebhook(url string, secrets ...string) Option {
	return func(c *config) { c.webhookURL, c.webhookSecrets = url, secrets }
}

// SetWebhook has events sent to url from now on, each signed with every secret:
// several are what follows a rotation. An empty url has none sent; the secrets
// then still sign what [Server.NewWebhookRequest] makes. Anchor itself wants
// https and a public host, the fake takes http and any.
//
// An event is made by [Server.Approve], or the page's button, and by
// [Server.Reauthenticate], or the API's call ([anchorhttp.EventIdentityAuthenticated]), and by
// [Server.FailIdentity] ([anchorhttp.EventIdentityAuthenticationFailed]).
//
// It is sent in the background, in no certain order, and redirects are not
// followed. When the answer is not 2xx, or takes longer than 10 seconds, it is
// sent again with the same id, up to five times, after half a second and twice
// as long each time. See [Server.WaitDelivered] and [Server.Deliveries].
//
// SetWebhook panics when url is not http or https, when it has no secret and
// when a secret is empty.
func (s *Server) SetWebhook(url string, secrets ...string) {
	hook, err := newWebhook(url, secrets)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook = hook
}

// SetWebhookClient has events sent through a client's Transport, such as that
// of a test server which speaks TLS:
//
//	fake.SetWebhookClient(server.Client())
//
// Nothing else of the client is used. Nil goes back to the fake's own.
func (s *Server) SetWebhookClient(c *http.Client) {
	roundTrip := ownTransport.RoundTrip
	if c != nil {
		roundTrip = http.DefaultTransport.RoundTrip
		if c.Transport != nil {
			roundTrip = c.Transport.RoundTrip
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roundTrip = roundTrip
}

// NewWebhookRequest makes the request that would bring an event to url, signed
// with the secrets of [Server.SetWebhook]. url may be a path alone, for a
// handler that is called without a server. The request may be changed before it
// is used, and so be one that was tampered with. Nothing is sent.
//
// It is an error when there is no secret.
func (s *Server) NewWebhookRequest(ctx context.Context, url string, e Event) (*http.Request, error) {
	now := s.time()
	s.mu.Lock()
	hook, shape := s.webhook, s.eventShape
	s.mu.Unlock()
	hook.url = url
	return newWebhookRequest(ctx, hook, shape, e.filled(now), newUUID(), now)
}

// newWebhookRequest makes one delivery of an event.
func newWebhookRequest(ctx context.Context, hook webhook, shape eventShape, e Event, deliveryID string, now time.Time) (*http.Request, error) {
	if len(hook.secrets) == 0 {
		return nil, errors.New("anchortest: the webhook has no secret: call SetWebhook")
	}
	body := shape.write(e)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("anchortest: make the request of a webhook: %w", err)
	}
	sentAt := strconv.FormatInt(cmp.Or(e.SentAt, now).Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Anchor-Webhooks/1.0")
	r.Header.Set("Anchor-Event", e.Type)
	r.Header.Set("Anchor-Delivery-Id", deliveryID)
	r.Header.Set("Anchor-Timestamp", sentAt)
	r.Header.Set("Anchor-Signature", sign(hook.secrets, sentAt, body))
	return r, nil
}

// sign is the header Anchor-Signature: one v1 for each secret.
func sign(secrets []string, sentAt string, body []byte) string {
	var b strings.Builder
	b.WriteString("t=" + sentAt)
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "v0:%s:%s", sentAt, body)
		fmt.Fprintf(&b, ",v1=%x", mac.Sum(nil))
	}
	return b.String()
}
