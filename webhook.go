package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// maxWebhookBytes bounds the body of an event.
	maxWebhookBytes = 256 << 10

	// webhookTimeout bounds the work on an event. Anchor retries if it gets no answer
	// within ten seconds.
	webhookTimeout = 8 * time.Second

	// minWebhookSecret is the length of the shortest secret that is accepted, in bytes.
	minWebhookSecret = 16
)

// Webhook returns the endpoint for Anchor's events, to be mounted where the webhook's URL
// points:
//
//	mux.Handle("POST /webhooks/anchor", h.Webhook(os.Getenv("ANCHOR_WEBHOOK_SECRET")))
//
// It handles identity.authenticated and identity.authentication_failed: each sets the
// [Health] of the connection that has the identity, as of the event's own time, so
// repeated and late events change nothing. If one of the two names no identity, the names
// of its fields are logged as a warning. Other events are answered with 204; handle them
// with [anchorhttp.ReadEvent].
//
// An event may be signed with any of the secrets: after a rotation, pass the new and the
// old one. Empty secrets are ignored. Webhook panics if none is left, because anybody
// could sign with an empty secret. It also panics for one that cannot be from Anchor's
// dashboard: under 16 bytes, with a space, a line break or a quote, or of a few repeated
// letters.
//
// It answers 401 to an event that was signed with none of them, or more than two minutes
// ago, and logs if middleware has read the body before. It answers 413 to an event over
// 256 KiB, and 503 if the store fails, so that Anchor retries.
func (h *Handler) Webhook(secrets ...string) http.Handler {
	var keys []string
	for i, secret := range secrets {
		if secret == "" {
			continue
		}
		if problem := webhookSecretProblem(secret); problem != "" {
			panic(fmt.Sprintf("connect: Webhook's secret at index %d %s: copy the webhook's secret from Anchor's dashboard unchanged", i, problem))
		}
		keys = append(keys, secret)
	}
	if len(keys) == 0 {
		panic("connect: Webhook needs a secret: copy the webhook's secret from Anchor's dashboard")
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
		limitReading(w, webhookTimeout) // Reading the body counts, too.
		body := http.MaxBytesReader(w, r.Body, maxWebhookBytes)
		status, err := h.receive(ctx, keys, r.Header, body, r.ContentLength, func() { hasRead(w) })
		if err != nil {
			level, message := slog.LevelWarn, "connect: webhook event refused"
			if status >= 500 && r.Context().Err() == nil { // A store that hangs until ctx ends is a fault, too.
				level, message = slog.LevelError, "connect: fault in a webhook"
			}
			h.log.Log(ctx, level, message, "status", status, "error", clipError(err))
		}
		w.WriteHeader(status)
	})
}

// webhookSecretProblem returns why a text cannot be a secret, or "".
func webhookSecretProblem(secret string) string {
	switch {
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`", r) }):
		return "has a space, a line break, a quote or another character that no secret has"
	case len(secret) < minWebhookSecret:
		return fmt.Sprintf("has %d bytes, under %d", len(secret), minWebhookSecret)
	case !looksRandom([]byte(secret)):
		return "is made of a few repeated letters"
	}
	return ""
}

// receive handles an event and returns the status to answer with. length is the request's
// Content-Length, or -1. It calls hasRead after reading the body. The error is only for
// the log: a sender of forged events learns nothing.
func (h *Handler) receive(ctx context.Context, secrets []string, header http.Header, body io.Reader, length int64, hasRead func()) (status int, err error) {
	// Reading the headers first saves reading the body of what they refuse.
	signature, err := anchorhttp.ReadSignature(header, h.now())
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
	if err := signature.Verify(content, secrets...); err != nil {
		// The server reports a body that has not arrived, so middleware has read this one.
		if n := int64(len(content)); n < length || n == 0 && length < 0 {
			err = fmt.Errorf("%w: %d bytes of the body were left, so middleware has read it before: mount the webhook outside of that, "+
				"or have it put back the body byte for byte", err, n)
		}
		return http.StatusUnauthorized, err
	}
	event, err := readWebhookEvent(content, signature.SignedAt)
	if err != nil {
		// It comes from Anchor, and a retry would be the same.
		return http.StatusNoContent, err
	}
	if event.identityID == "" {
		return http.StatusNoContent, nil // An event of another type.
	}
	_, err = h.learn(ctx, event.identityID, event.health, event.at)
	if errors.Is(err, ErrNotConnected) {
		// No connection has the identity, or has it any more, or the id is of something else.
		return http.StatusNoContent, nil
	}
	if err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusNoContent, nil
}

// webhookEvent is the part of an event that sets a connection's health.
type webhookEvent struct {
	identityID string // empty if the event is of another type
	health     Health
	at         time.Time
}

// readWebhookEvent reads an event that was signed at a moment. An event that should name
// an identity and does not is an error, or nobody would notice that events change nothing.
func readWebhookEvent(body []byte, signedAt time.Time) (webhookEvent, error) {
	event, err := anchorhttp.ParseEvent(body, signedAt)
	if err != nil {
		return webhookEvent{}, err
	}
	e := webhookEvent{at: event.CreatedAt}
	switch event.Type {
	case anchorhttp.EventIdentityAuthenticated:
		e.health = HealthOK
	case anchorhttp.EventIdentityAuthenticationFailed:
		e.health = HealthNeedsSignIn
	default:
		return webhookEvent{}, nil
	}
	// An id that the event does not call an identity's may be that of anything. The store
	// changes nothing unless a connection has it.
	e.identityID, _, err = event.IdentityID()
	if err == nil && e.identityID == "" {
		err = fmt.Errorf("an event %s names no identity", event.Type)
	}
	if err != nil {
		return webhookEvent{}, fmt.Errorf("%w: the fields of its data are [%s]", err, strings.Join(event.Fields(), " "))
	}
	return e, nil
}
