package anchortest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// answerTimeout is how long the webhook may take to answer.
	answerTimeout = 10 * time.Second
	// maxAttempts is the number of attempts to deliver an event, as in Anchor's API
	// reference, which does not document the waits between them.
	maxAttempts = 6
	firstWait   = 500 * time.Millisecond
	// maxDeliveries is the number of deliveries that are kept. The oldest are
	// discarded first.
	maxDeliveries = 1000
)

// ownTransport keeps no idle connections, so that a closed fake leaves none behind.
var ownTransport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}

var errNoWebhook = errors.New("anchortest: no webhook is set: call SetWebhook")

// A Delivery is one attempt to send an event to the webhook.
type Delivery struct {
	// ID is a UUID, a new one for each attempt.
	ID string
	// Event is the event that was sent. Its empty fields are filled in, except
	// SentAt.
	Event Event
	// Attempt is the number of the attempt, from 1.
	Attempt int
	// At is when it was sent, by the fake's clock.
	At time.Time
	// Status is the HTTP status of the answer. It is zero while there is no answer,
	// and stays zero if Err is not nil.
	Status int
	// Err is the connection's error. It is nil if there is an answer.
	Err error
}

// Deliveries returns the last 1,000 deliveries, oldest first, including those in
// progress.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	deliveries := make([]Delivery, len(s.deliveries))
	for i, d := range s.deliveries {
		deliveries[i] = *d
		deliveries[i].Event.Body = slices.Clone(d.Event.Body)
	}
	return deliveries
}

// SendEvent sends an event to the webhook once and returns the status of the answer.
// A test uses it to send old, repeated or out-of-order events. The event does not
// change the fake, but it is in [Server.Deliveries].
//
// It returns an error if no webhook is set, or if there is no answer: after 10
// seconds, when ctx is done, or when the connection fails.
func (s *Server) SendEvent(ctx context.Context, e Event) (status int, err error) {
	return s.send(ctx, e.filled(s.time()), 1)
}

// WaitDelivered waits until no event is being sent in the background: each has been
// delivered, or its last attempt has failed. If ctx is done first, it returns ctx's
// error, wrapped.
func (s *Server) WaitDelivered(ctx context.Context) error {
	s.mu.Lock()
	settled := s.settled
	s.mu.Unlock()
	if settled == nil {
		return nil
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("anchortest: wait for events to be delivered: %w", ctx.Err())
	}
}

// tell sends the event about the outcome of an identity's sign-in in the background,
// if there is one. The caller holds the lock, and has changed the identity.
func (s *Server) tell(identity *Identity, now time.Time) {
	eventType, made := signInEvent(identity.Status)
	if !made || s.webhook.url == "" || s.closed {
		return
	}
	if s.inFlight == 0 {
		s.settled = make(chan struct{})
	}
	s.inFlight++
	go s.deliver(Event{Type: eventType, IdentityID: identity.ID}.filled(now))
}

// deliver sends an event until it is accepted or the attempts are used up.
func (s *Server) deliver(e Event) {
	defer s.delivered()
	wait := firstWait
	for attempt := 1; ; attempt++ {
		status, err := s.send(s.open, e, attempt)
		// 4xx is retried too, as Anchor's guide says. The API reference calls some of
		// them final, but not which.
		if err == nil && status/100 == 2 || errors.Is(err, errNoWebhook) || attempt == maxAttempts {
			return
		}
		if !sleep(s.open, wait) {
			return
		}
		wait *= 2
	}
}

func (s *Server) delivered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.inFlight == 0 {
		close(s.settled)
		s.settled = nil
	}
}

// send makes one attempt, to the webhook that is set now.
func (s *Server) send(ctx context.Context, e Event, attempt int) (status int, err error) {
	now := s.time()
	s.mu.Lock()
	hook, shape, roundTrip := s.webhook, s.eventShape, s.roundTrip
	s.mu.Unlock()
	if hook.url == "" {
		return 0, errNoWebhook
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	d := &Delivery{ID: newUUID(), Event: e, Attempt: attempt, At: now}
	r, err := newWebhookRequest(ctx, hook, shape, e, d.ID, now)
	if err != nil {
		return 0, err
	}
	s.recordDelivery(d)
	// An http.Client around the transport would follow redirects.
	res, err := roundTrip(r)
	if err != nil {
		err = fmt.Errorf("anchortest: no answer to the event: %w", err)
	} else {
		status = res.StatusCode
		if res.Body != nil { // Stub transports may omit it.
			res.Body.Close()
		}
	}
	s.mu.Lock()
	d.Status, d.Err = status, err
	s.mu.Unlock()
	s.logger.InfoContext(ctx, "delivery", "event", e.Type, "attempt", attempt, "status", status)
	return status, err
}

func (s *Server) recordDelivery(d *Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, d)
	if len(s.deliveries) > maxDeliveries {
		s.deliveries[0] = nil // The underlying array is still referenced.
		s.deliveries = s.deliveries[1:]
	}
}

// endDeliveries cancels the deliveries in the background, permanently.
func (s *Server) endDeliveries() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	_ = s.WaitDelivered(context.Background()) // It returns soon, without an error.
}
