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

// An Event is an event for the webhook. The fake creates one when a sign-in ends:
// see [Server.SetWebhook]. A test may compose others for [Server.SendEvent] and
// [Server.NewWebhookRequest].
type Event struct {
	// ID identifies the event. Deliveries of the same event share it. Defaults to a
	// new one: "evt_" and 24 hexadecimal digits.
	ID string
	// Type is [anchorhttp.EventIdentityAuthenticated], another constant of that
	// package, or another of Anchor's types. It is also the header Anchor-Event.
	Type string
	// IdentityID is the id of the identity, which is not validated. If it is empty,
	// the event's data has none.
	IdentityID string
	// Created is when the event happened, to the millisecond. Defaults to now.
	Created time.Time
	// SentAt is the timestamp of the signature, in whole seconds. Defaults to the
	// time of the delivery. An older time simulates a replay.
	SentAt time.Time
	// Body, if it is not nil, is sent and signed in place of the event. It allows a
	// correctly signed body that is not an event.
	Body []byte
}

// filled returns the event with its id and time set.
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

// text returns the event's description for humans.
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

// signInEvent returns the type of the event for a sign-in with this status. A
// sign-in that has not been tried has none.
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

// An EventTime is the format of an event's field created.
type EventTime int

const (
	// TextEventTime is RFC 3339 with milliseconds, "2026-05-24T12:18:05.123Z", as
	// documented. It is the default.
	TextEventTime EventTime = iota
	// UnixEventTime is the number of seconds since 1970, as in Anchor's signature.
	UnixEventTime
)

// SetEventTime sets the format of events' times from now on.
func (s *Server) SetEventTime(t EventTime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventShape.time = t
}

// An EventIdentity is the field of an event's data that has the identity's id, which
// Anchor does not document.
type EventIdentity int

const (
	// SnakeEventIdentity is {"identity_id": "…"}. It is the default.
	SnakeEventIdentity EventIdentity = iota
	// CamelEventIdentity is {"identityId": "…"}.
	CamelEventIdentity
	// NestedEventIdentity is {"identity": {"id": "…"}}.
	NestedEventIdentity
	// TextEventIdentity is {"identity": "…"}.
	TextEventIdentity
	// BareEventIdentity is {"id": "…"}.
	BareEventIdentity
	// UnreadableEventIdentity is {"account": {"ref": "…"}}, which no application can
	// expect.
	UnreadableEventIdentity
)

// SetEventIdentity sets the field of events that has the identity's id, from now on.
func (s *Server) SetEventIdentity(i EventIdentity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventShape.identity = i
}

// An eventShape is the format of events.
type eventShape struct {
	time     EventTime
	identity EventIdentity
}

// write returns the body of an event.
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
	body, _ := json.Marshal(envelope) // Encoding strings and a number never fails.
	return body
}

// A webhook is where events are sent, and the secrets that sign them.
type webhook struct {
	url     string // empty for none
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

// WithWebhook calls [Server.SetWebhook] when the fake is created, but [Start]
// returns an error instead of panicking.
func WithWebhook(url string, secrets ...string) Option {
	return func(c *config) { c.webhookURL, c.webhookSecrets = url, secrets }
}

// SetWebhook sends events to url from now on. Each event is signed with every
// secret, as after a rotation. If url is empty no events are sent, but the secrets
// still sign requests of [Server.NewWebhookRequest]. Anchor itself requires https
// and a public host; the fake does not.
//
// These create an event of type [anchorhttp.EventIdentityAuthenticated]:
//
//   - [Server.Approve], or the hosted page's button
//   - [Server.Reauthenticate], or the API's reauthenticate call
//
// [Server.FailIdentity] creates one of type
// [anchorhttp.EventIdentityAuthenticationFailed].
//
// Events are sent in the background, in any order. Redirects are not followed. If
// the answer is not 2xx within 10 seconds, the event is sent again with the same id,
// up to five times, after half a second and twice as long each time. See
// [Server.WaitDelivered] and [Server.Deliveries].
//
// SetWebhook panics if url is not http or https, if it has no secret, or if a secret
// is empty.
func (s *Server) SetWebhook(url string, secrets ...string) {
	hook, err := newWebhook(url, secrets)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhook = hook
}

// SetWebhookClient sends events through c's Transport, such as that of a test server
// with TLS:
//
//	fake.SetWebhookClient(server.Client())
//
// The rest of c is ignored. If c is nil, the fake uses its own transport again.
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

// NewWebhookRequest returns a request that delivers an event to url, signed with the
// secrets of [Server.SetWebhook]. It sends nothing. url may be only a path, for a
// handler that is called without a server. A test may modify the request, to
// simulate tampering.
//
// It returns an error if there is no secret.
func (s *Server) NewWebhookRequest(ctx context.Context, url string, e Event) (*http.Request, error) {
	now := s.time()
	s.mu.Lock()
	hook, shape := s.webhook, s.eventShape
	s.mu.Unlock()
	hook.url = url
	return newWebhookRequest(ctx, hook, shape, e.filled(now), newUUID(), now)
}

// newWebhookRequest returns the request of one delivery.
func newWebhookRequest(ctx context.Context, hook webhook, shape eventShape, e Event, deliveryID string, now time.Time) (*http.Request, error) {
	if len(hook.secrets) == 0 {
		return nil, errors.New("anchortest: the webhook has no secret: call SetWebhook")
	}
	body := shape.write(e)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("anchortest: create a webhook request: %w", err)
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

// sign returns the header Anchor-Signature, with a v1 for each secret.
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
