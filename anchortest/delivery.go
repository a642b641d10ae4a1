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
	// answerTimeout is how long an endpoint may take to answer.
	answerTimeout = 10 * time.Second
	// maxAttempts is how often an event is sent at most, as by Anchor's API
	// reference, which does not tell the waits between.
	maxAttempts = 6
	firstWait   = 500 * time.Millisecond
	// maxDeliveries is what Deliveries keeps: older ones are forgotten first.
	maxDeliveries = 1000
)

// ownTransport keeps no connection open, so that nothing is left of a fake that
// has been closed.
var ownTransport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}

var errNoWebhook = errors.New("anchortest: no webhook is set: call SetWebhook")

// A Delivery is one attempt to bring an event to the webhook.
type Delivery struct {
	// ID is a UUID. Each attempt has its own.
	ID string
	// Event is what was sent, with everything filled in but SentAt, unless a
	// test has set it.
	Event Event
	// Attempt counts from 1.
	Attempt int
	// At is when it was sent, by the fake's clock.
	At time.Time
	// Status is the HTTP status of the answer. It is zero while there is none,
	// and for good when Err says why none came.
	Status int
	// Err is what went wrong with the connection. It is nil when an answer came.
	Err error
}

// Deliveries returns the deliveries that were begun, oldest first: the last
// 1,000.
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

// SendEvent sends an event to the webhook once and waits for the answer, whose
// status it returns. It is how a test sends what is old, repeated or out of
// order. The event need not have happened: nothing changes on the fake, but
// [Server.Deliveries] has it.
//
// No webhook and no answer are errors: after 10 seconds, when ctx is done, or
// when the connection fails.
func (s *Server) SendEvent(ctx context.Context, e Event) (status int, err error) {
	return s.send(ctx, e.filled(s.time()), 1)
}

// WaitDelivered waits until no event is on its way in the background: each has
// been delivered, or given up after its last attempt. It returns ctx's error,
// wrapped, when that is done before.
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

// tell has the outcome of an identity's sign-in sent in the background, if it
// makes an event. It is called with the lock held, by what has changed it.
func (s *Server) tell(identity *Identity, now time.Time) {
	eventType, made := signInEvent(identity.Status)
	if !made || s.webhook.url == "" || s.closed {
		return
	}
	if s.onTheWay == 0 {
		s.settled = make(chan struct{})
	}
	s.onTheWay++
	go s.deliver(Event{Type: eventType, IdentityID: identity.ID}.filled(now))
}

// deliver sends an event until it is taken or given up.
func (s *Server) deliver(e Event) {
	defer s.delivered()
	wait := firstWait
	for attempt := 1; ; attempt++ {
		status, err := s.send(s.open, e, attempt)
		// A status of 4xx is tried again too: the guide says so, and the API
		// reference, which has some for final, does not tell which.
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
	s.onTheWay--
	if s.onTheWay == 0 {
		close(s.settled)
		s.settled = nil
	}
}

// send makes one attempt, to the webhook that is set at this moment.
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
	// The transport is called without an http.Client around it, which would
	// follow redirects.
	res, err := roundTrip(r)
	if err != nil {
		err = fmt.Errorf("anchortest: no answer to the event: %w", err)
	} else {
		status = res.StatusCode
		if res.Body != nil { // Transports made for tests leave it out.
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
		s.deliveries[0] = nil // The array behind the slice lives on for a while.
		s.deliveries = s.deliveries[1:]
	}
}

// endDeliveries gives up what is on its way in the background, for good.
func (s *Server) endDeliveries() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	_ = s.WaitDelivered(context.Background()) // It ends soon, and without an error.
}
