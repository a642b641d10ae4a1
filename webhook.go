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
// one. Empty ones are left out, and when none is left Webhook panics, because
// anybody could sign with an empty secret.
//
// An event that is not signed by any of them, or longer ago than two minutes, is
// answered with 401; one over 256 KiB with 413; a store that failed with 503, so
// that Anchor tries again.
func (h *Handler) Webhook(secrets ...string) http.Handler {
	var keys [][]byte
	for _, secret := range secrets {
		if secret != "" {
			keys = append(keys, []byte(secret))
		}
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
		status, err := h.receive(ctx, keys, r.Header, http.MaxBytesReader(w, r.Body, maxWebhookBytes))
		if err != nil {
			h.log.WarnContext(ctx, "connect: webhook", "status", status, "error", err)
		}
		w.WriteHeader(status)
	})
}

// receive takes an event in and returns the status to answer with. An error is
// for the log alone: who sends forged events is told nothing.
func (h *Handler) receive(ctx context.Context, secrets [][]byte, header http.Header, body io.Reader) (status int, err error) {
	content, err := io.ReadAll(body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return http.StatusRequestEntityTooLarge, err
		}
		return http.StatusBadRequest, fmt.Errorf("read the event: %w", err)
	}
	signedAt, err := verifySignature(secrets, header, content, h.now())
	if err != nil {
		return http.StatusUnauthorized, err
	}
	event, err := readWebhookEvent(content, signedAt)
	if err != nil {
		// It is Anchor's, and would be the same the next time.
		return http.StatusNoContent, err
	}
	if event.health == "" || event.identityID == "" {
		return http.StatusNoContent, nil
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
		h.log.InfoContext(ctx, "connect: health changed", "user", c.UserID, "identity", c.IdentityID, "health", c.Health)
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

// verifySignature checks that an event was signed with one of the secrets, not
// long ago, and returns when. Anchor-Signature is "t=<unix seconds>,v1=<hex>",
// with a v1 for each secret that is valid at the moment; a v1 is the HMAC-SHA256
// of "v0:{t}:{body}". All secrets are held against all signatures, each in
// constant time.
func verifySignature(secrets [][]byte, header http.Header, body []byte, now time.Time) (signedAt time.Time, err error) {
	timestamp, signatures := readSignature(header)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || len(signatures) == 0 {
		return time.Time{}, errSignatureMissing
	}
	signed := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("v0:" + timestamp + ":"))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, got := range signatures {
			if hmac.Equal(got, want) {
				signed = true
			}
		}
	}
	if !signed {
		return time.Time{}, errSignatureWrong
	}
	signedAt = time.Unix(seconds, 0)
	if age := now.Sub(signedAt); age > webhookAge || age < -webhookAge {
		return time.Time{}, errSignatureOld
	}
	return signedAt, nil
}

// readSignature reads the timestamp and the signatures of an event. They are
// empty when the headers do not say one thing: a time that stands there twice
// must be the same.
func readSignature(header http.Header) (timestamp string, signatures [][]byte) {
	// A time that is not in the signature's own header stands in this one.
	timestamps := header.Values("Anchor-Timestamp")
	for part := range strings.SplitSeq(strings.Join(header.Values("Anchor-Signature"), ","), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "t":
			timestamps = append(timestamps, value)
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil && len(signatures) < maxSignatures {
				signatures = append(signatures, mac)
			}
		}
	}
	for _, t := range timestamps {
		if timestamp != "" && t != timestamp {
			return "", nil
		}
		timestamp = t
	}
	return timestamp, signatures
}

// webhookEvent is what concerns us of an event.
type webhookEvent struct {
	identityID string // empty: it names none
	health     Health // empty: it says nothing of it
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
		return webhookEvent{}, fmt.Errorf("read the event: %w", err)
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
		return "", fmt.Errorf("read the event's data: %w", err)
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
