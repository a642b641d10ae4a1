package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// maxWebhookBytes bounds the body of an event.
	maxWebhookBytes = 256 << 10

	// webhookTimeout ends the work on an event. Anchor tries again when it has no
	// answer after ten seconds.
	webhookTimeout = 8 * time.Second

	// minWebhookSecret is the shortest secret that is taken for one, in bytes.
	minWebhookSecret = 16
)

// Webhook returns the endpoint for Anchor's events, to be mounted where the
// webhook's URL points:
//
//	mux.Handle("POST /webhooks/anchor", h.Webhook(os.Getenv("ANCHOR_WEBHOOK_SECRET")))
//
// Of all events it wants identity.authenticated and identity.authentication_failed,
// and moves the [Health] of the connection that has the identity, by the event's
// own time: repeated and late events change nothing. Everything else that is
// signed gets a 204 and no more work. If one of the two events names no identity, the
// log has a warning with the names of its fields. Other events are read with
// [anchorhttp.ReadEvent].
//
// Each secret is one that may sign: after a rotation give it the new and the old
// one. Empty ones are left out. Webhook panics when none is left, because anybody
// could sign with an empty secret, and at one that cannot be what the dashboard
// shows: under 16 bytes, with a space, a line break or a quote in it, or of a few
// repeated letters.
//
// An event that is not signed by any of them, or longer ago than two minutes, is
// answered with 401, and the log says so if middleware has read the body before; one over 256 KiB with 413; a store that failed with 503, so
// that Anchor tries again.
func (h *Handler) Webhook(secrets ...string) http.Handler {
	var keys []string
	for i, secret := range secrets {
		if secret == "" {
			continue
		}
		if problem := webhookSecretProblem(secret); problem != "" {
			panic(fmt.Sprintf("connect: Webhook's secret at index %d %s: copy the webhook's from Anchor's dashboard as it is", i, problem))
		}
		keys = append(keys, secret)
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
		body := http.MaxBytesReader(w, r.Body, maxWebhookBytes)
		status, err := h.receive(ctx, keys, r.Header, body, r.ContentLength, func() { hasRead(w) })
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

// receive takes an event in and returns the status to answer with. length is what the
// request announced, -1 for nothing. It calls hasRead after reading the body. An error is only for the log: senders of forged events
// learn nothing.
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
		// The server reports a body that did not arrive, so somebody else has read this.
		if n := int64(len(content)); n < length || n == 0 && length < 0 {
			err = fmt.Errorf("%w: %d bytes of the body were left, so middleware has read it before: mount the webhook outside of that, "+
				"or have it put back the body byte for byte", err, n)
		}
		return http.StatusUnauthorized, err
	}
	event, err := readWebhookEvent(content, signature.SignedAt)
	if err != nil {
		// It is Anchor's, and would be the same the next time.
		return http.StatusNoContent, err
	}
	if event.identityID == "" {
		return http.StatusNoContent, nil // It does not concern us.
	}
	_, err = h.learn(ctx, event.identityID, event.health, event.at)
	if errors.Is(err, ErrNotConnected) {
		// An identity of nobody's, or nobody's any more, or the id of something else.
		return http.StatusNoContent, nil
	}
	if err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusNoContent, nil
}

// webhookEvent is what concerns us of an event.
type webhookEvent struct {
	identityID string // empty if the event is of another type
	health     Health
	at         time.Time
}

// readWebhookEvent reads an event that was signed at a moment. It is an error if an
// event that should name an identity does not: nobody would notice otherwise that
// events arrive and change nothing.
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
	// An id that the event does not call an identity's may be anything's. The store
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
