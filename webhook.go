package connect

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// maxWebhookBytes bounds the body of an event.
	maxWebhookBytes = 256 << 10

	// webhookAge is how old an event's signature may be, and how far ahead of our
	// clock: Anchor's documentation asks for two minutes.
	webhookAge = 2 * time.Minute

	// webhookTimeout ends the work on an event. Anchor tries again when it has no
	// answer after ten seconds.
	webhookTimeout = 8 * time.Second

	// minWebhookSecret is the shortest secret that is taken for one, in bytes.
	minWebhookSecret = 16

	// maxSignatures is how many signatures of one event are looked at. There are
	// two after a rotation.
	maxSignatures = 10
)

// Webhook returns the endpoint for Anchor's events, to be mounted where the
// webhook's URL points:
//
//	mux.Handle("POST /webhooks/anchor", h.Webhook(os.Getenv("ANCHOR_WEBHOOK_SECRET")))
//
// Of all events it wants identity.authenticated and identity.authentication_failed,
// and moves the [Health] of the connection that has the identity, by the event's
// own time: repeated and late events change nothing. Everything else that is
// signed gets a 204 and no more work.
//
// Each secret is one that may sign: after a rotation give it the new and the old
// one. Empty ones are left out. Webhook panics when none is left, because anybody
// could sign with an empty secret, and at one that cannot be what the dashboard
// shows: under 16 bytes, with a space, a line break or a quote in it, or of a few
// repeated letters.
//
// An event that is not signed by any of them, or longer ago than two minutes, is
// answered with 401; one over 256 KiB with 413; a store that failed with 503, so
// that Anchor tries again.
func (h *Handler) Webhook(secrets ...string) http.Handler {
	var keys [][]byte
	for i, secret := range secrets {
		if secret == "" {
			continue
		}
		if problem := webhookSecretProblem(secret); problem != "" {
			panic(fmt.Sprintf("connect: Webhook's secret at index %d %s: copy the webhook's from Anchor's dashboard as it is", i, problem))
		}
		keys = append(keys, []byte(secret))
	}
	if len(keys) == 0 {
		panic("connect: Webhook needs a secret: copy the webhook's from Anchor's dashboard")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), webhookTimeout)
		defer cancel()
		limitReading(w, webhookTimeout) // Nor is a body waited for longer.
		status, err := h.receive(ctx, keys, r.Header, http.MaxBytesReader(w, r.Body, maxWebhookBytes), func() { hasRead(w) })
		if err != nil {
			h.log.WarnContext(ctx, "connect: webhook", "status", status, "error", clipError(err))
		}
		w.WriteHeader(status)
	})
}

// webhookSecretProblem says why a secret cannot be one, or nothing.
func webhookSecretProblem(secret string) string {
	switch {
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`", r) }):
		return "holds a space, a line break, a quote or something else that no secret holds"
	case len(secret) < minWebhookSecret:
		return fmt.Sprintf("has %d bytes, under %d", len(secret), minWebhookSecret)
	case !looksRandom([]byte(secret)):
		return "is made of a few repeated letters"
	}
	return ""
}

// receive takes an event in and returns the status to answer with. It calls hasRead
// when it has read the body. An error is for the log alone: who sends forged
// events is told nothing.
func (h *Handler) receive(ctx context.Context, secrets [][]byte, header http.Header, body io.Reader, hasRead func()) (status int, err error) {
	// What the headers alone refuse costs nobody the reading of a body.
	signature, err := readSignature(header, h.now())
	if err != nil {
		return http.StatusUnauthorized, err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge, err
		}
		return http.StatusBadRequest, fmt.Errorf("read the event: %w", err)
	}
	hasRead()
	if !signature.signs(content, secrets) {
		return http.StatusUnauthorized, errSignatureWrong
	}
	event, err := readWebhookEvent(content, signature.at)
	if err != nil {
		// It is Anchor's, and would be the same the next time.
		return http.StatusNoContent, err
	}
	if event.identityID == "" {
		return http.StatusNoContent, nil // It does not concern us.
	}
	c, changed, err := h.store.SetHealth(ctx, event.identityID, event.health, event.at)
	if errors.Is(err, ErrNotConnected) {
		// An identity of nobody's, or nobody's any more.
		return http.StatusNoContent, nil
	}
	if err != nil {
		return http.StatusServiceUnavailable, storeError("set the health of a connection", err)
	}
	if changed {
		h.log.InfoContext(ctx, "connect: health changed", "application", c.ApplicationID, "user", c.UserID, "identity", c.IdentityID, "health", c.Health)
		e := h.connectionEvent(HealthChanged, c)
		e.Health = event.health
		h.happened(ctx, e)
	}
	return http.StatusNoContent, nil
}

// Why an event is not believed.
var (
	errSignatureMissing = errors.New("the event carries no signature that can be read")
	errSignatureWrong   = errors.New("the event is not signed with any of the secrets")
	errSignatureOld     = errors.New("the event was not signed within the last two minutes")
)

// signature is what the headers of an event say. Anchor-Signature is
// "t=<unix seconds>,v1=<hex>", with a v1 for each secret that is valid at the
// moment; a v1 is the HMAC-SHA256 of "v0:{t}:{body}".
type signature struct {
	at        time.Time
	timestamp string   // as it was sent and signed
	macs      [][]byte // at most maxSignatures
}

// signs reports whether one of the secrets has signed the body. All secrets are
// compared with all signatures, each in constant time.
func (s signature) signs(body []byte, secrets [][]byte) bool {
	signed := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("v0:" + s.timestamp + ":"))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, got := range s.macs {
			if hmac.Equal(got, want) {
				signed = true
			}
		}
	}
	return signed
}

// maxTimestamp is the longest time that is read, in bytes.
const maxTimestamp = 20

// readSignature reads the signature of an event that arrives now. It is
// errSignatureMissing when the headers do not say one thing: a time that stands
// there twice must be the same. It is errSignatureOld when the event was signed
// too long ago, or will be.
func readSignature(header http.Header, now time.Time) (signature, error) {
	var s signature
	// A time that is not in the signature's own header stands in this one.
	timestamps := header.Values("Anchor-Timestamp")
	for part := range strings.SplitSeq(strings.Join(header.Values("Anchor-Signature"), ","), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "t":
			timestamps = append(timestamps, value)
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil && len(mac) == sha256.Size && len(s.macs) < maxSignatures {
				s.macs = append(s.macs, mac)
			}
		}
	}
	for _, t := range timestamps {
		if s.timestamp != "" && t != s.timestamp {
			return signature{}, errSignatureMissing
		}
		s.timestamp = t
	}
	seconds, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil || len(s.timestamp) > maxTimestamp || len(s.macs) == 0 {
		return signature{}, errSignatureMissing
	}
	s.at = time.Unix(seconds, 0)
	if age := now.Sub(s.at); age > webhookAge || age < -webhookAge {
		return signature{}, errSignatureOld
	}
	return s, nil
}

// webhookEvent is what concerns us of an event.
type webhookEvent struct {
	identityID string // empty: it names none, or is of another type
	health     Health
	at         time.Time
}

// readWebhookEvent reads an event that was signed at a moment. One that says no
// time of its own, or a later one, is of that moment: a time that lies ahead
// would be newer than all events to come.
func readWebhookEvent(body []byte, signedAt time.Time) (webhookEvent, error) {
	var envelope struct {
		Type    string          `json:"type"`
		Created json.RawMessage `json:"created"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return webhookEvent{}, fmt.Errorf("read the event: %s", clip(err.Error()))
	}
	e := webhookEvent{at: signedAt}
	switch envelope.Type {
	case "identity.authenticated":
		e.health = HealthOK
	case "identity.authentication_failed":
		e.health = HealthNeedsSignIn
	default:
		return webhookEvent{}, nil
	}
	// The moment of signing has whole seconds, cut off.
	if created, ok := readMoment(envelope.Created); ok && created.Before(signedAt.Add(time.Second)) {
		e.at = created
	}
	var err error
	e.identityID, err = eventIdentity(envelope.Data)
	return e, err
}

// eventIdentity finds the identity that an event is about. Where it stands is
// undocumented: any of these names will do, as long as they agree.
func eventIdentity(data json.RawMessage) (string, error) {
	var fields struct {
		Snake    string `json:"identity_id"`
		Camel    string `json:"identityId"`
		Identity struct {
			ID string `json:"id"`
		} `json:"identity"`
	}
	if err := json.Unmarshal(data, &fields); err != nil && !isWrongType(err) {
		return "", fmt.Errorf("read the event's data: %s", clip(err.Error()))
	}
	found := ""
	for _, text := range []string{fields.Snake, fields.Camel, fields.Identity.ID} {
		if text == "" {
			continue
		}
		id, ok := anchorhttp.ParseID(text)
		if !ok || found != "" && found != id {
			return "", errors.New("the event's identity id is malformed or ambiguous")
		}
		found = id
	}
	return found, nil
}

// isWrongType tells a field of another type than expected, which leaves the
// others read.
func isWrongType(err error) bool {
	var wrong *json.UnmarshalTypeError
	return errors.As(err, &wrong)
}

// readMoment reads a moment as JSON has it: RFC 3339, or seconds or milliseconds
// since 1970. Which of them Anchor writes is undocumented.
func readMoment(text json.RawMessage) (time.Time, bool) {
	text = bytes.Trim(text, `"`)
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		return t, t.Unix() > 0
	}
	n, err := strconv.ParseFloat(string(text), 64)
	const tooLateInSeconds = 1e11 // The year 5138: these are milliseconds.
	switch {
	case err != nil || !(n > 0) || n >= tooLateInSeconds*1000:
		return time.Time{}, false
	case n < tooLateInSeconds:
		n *= 1000
	}
	return time.UnixMilli(int64(math.Floor(n))), true
}
