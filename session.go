package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// NewSession opens a browser session at Anchor that is signed in to the user's
// account, with the settings that Anchor recommends for that
// ([anchorhttp.AuthenticatedSession]). Each change is made to the request, in
// order, before it is sent:
//
//	session, err := h.NewSession(ctx, userID, func(r *anchorhttp.SessionRequest) {
//		r.Session.InitialURL = "https://example.com/inbox"
//	})
//
// It takes one look-up in the store and one call, with the client's retries. The errors,
// for [errors.Is]:
//
//   - [ErrNotConnected]: the user has no connection. Nothing was sent.
//   - [ErrWhichConnection]: the user has several. Nothing was sent; choose one with
//     [Application.NewSessionByID].
//   - [ErrNeedsSignIn]: the user has to sign in again. Either the connection's health
//     says so, and nothing was sent; or Anchor refused the session because the sign-in
//     does not work or the identity is gone, and the health says so from now on.
//   - [ErrNoCredit]: Anchor's 402.
//   - [ErrRateLimited]: Anchor's 429. It is a [*RateLimitError], with how long to wait.
//   - [ErrStoreFailed], and those of an upstream failure: [ErrUpstreamUnavailable],
//     [ErrUpstreamInvalid], [ErrUpstreamTimeout]. Anchor's
//     answer is wrapped, as an [*anchorhttp.Error].
func (h *Handler) NewSession(ctx context.Context, userID string, change ...func(*anchorhttp.SessionRequest)) (anchorhttp.Session, error) {
	a, err := h.defaultApplication()
	if err != nil {
		return anchorhttp.Session{}, err
	}
	return a.NewSession(ctx, userID, change...)
}

// NewSession is [Handler.NewSession] for this application.
func (a *Application) NewSession(ctx context.Context, userID string, change ...func(*anchorhttp.SessionRequest)) (anchorhttp.Session, error) {
	connections, err := a.Connections(ctx, userID)
	switch {
	case err != nil:
		return anchorhttp.Session{}, concerning(a, err)
	case len(connections) == 0:
		return anchorhttp.Session{}, concerning(a, ErrNotConnected)
	case len(connections) > 1:
		return anchorhttp.Session{}, concerning(a, ErrWhichConnection)
	}
	return a.newSession(ctx, connections[0], change)
}

// NewSessionByID is [Handler.NewSession] with one of the user's connections. The error
// is [ErrConnectionUnknown] if the user has no such connection in this application.
func (a *Application) NewSessionByID(ctx context.Context, userID, connectionID string, change ...func(*anchorhttp.SessionRequest)) (anchorhttp.Session, error) {
	c, err := a.ConnectionByID(ctx, userID, connectionID)
	if err != nil {
		return anchorhttp.Session{}, concerning(a, err)
	}
	return a.newSession(ctx, c, change)
}

func (a *Application) newSession(ctx context.Context, c Connection, change []func(*anchorhttp.SessionRequest)) (anchorhttp.Session, error) {
	if !c.works() {
		return anchorhttp.Session{}, concerning(a, ErrNeedsSignIn)
	}
	request := anchorhttp.AuthenticatedSession(c.IdentityID)
	for _, f := range change {
		f(&request)
	}
	began := time.Now()
	session, err := a.h.anchor.CreateSession(ctx, request)
	if err == nil {
		e := a.h.connectionEvent(SessionOpened, c)
		e.SessionID = session.ID
		a.h.happened(ctx, e)
		return session, nil
	}
	err = a.refused(ctx, c, err, time.Since(began))
	e := a.h.connectionEvent(SessionRefused, c)
	e.Reason = err
	a.h.happened(ctx, e)
	return anchorhttp.Session{}, concerning(a, err)
}

// refused returns the error for a session that was not opened, and stores that the user
// has to sign in again, if that is why.
func (a *Application) refused(ctx context.Context, c Connection, err error, took time.Duration) error {
	if !anchorhttp.NeedsSignIn(err) {
		return sessionError(err)
	}
	switch fault := a.h.verifyApplication(ctx, a.id); {
	case anchorhttp.IsNotFound(fault):
		return fault // The API key is another project's, and says nothing about the identity.
	case fault == nil:
		a.learnRefused(ctx, c, err, took)
	}
	return sessionError(err)
}

// learnRefused stores that a session was refused because the user has to sign in again.
func (a *Application) learnRefused(ctx context.Context, c Connection, err error, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	var answer *anchorhttp.Error
	var date time.Time
	if errors.As(err, &answer) {
		date = answer.Date
	}
	_, err = a.h.learn(ctx, c.IdentityID, HealthNeedsSignIn, learnedAt(c, date, took))
	if err != nil && !errors.Is(err, ErrNotConnected) { // Another identity may have replaced it.
		a.h.logFault(ctx, "connect: a refused session could not be stored", err, "connection", c.ID, "identity", c.IdentityID)
	}
}

// sessionError returns the error for a browser session that was not opened.
func sessionError(err error) error {
	const doing = "open a browser session"
	var answer *anchorhttp.Error
	switch {
	case anchorhttp.NeedsSignIn(err):
		return fmt.Errorf("%w: %s: %w", ErrNeedsSignIn, doing, err)
	case errors.As(err, &answer) && answer.StatusCode == http.StatusPaymentRequired:
		return fmt.Errorf("%w: %s: %w", ErrNoCredit, doing, err)
	case errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests:
		return &RateLimitError{RetryAfter: answer.RetryAfter, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	return upstreamError(doing, err)
}

// RateLimitError is [ErrRateLimited] with how long to wait.
type RateLimitError struct {
	// RetryAfter is how long Anchor asks to wait before the next call; zero if it does
	// not say.
	RetryAfter time.Duration
	// Err is the call that failed; it may be nil.
	Err error
}

func (e *RateLimitError) Error() string {
	if e.Err == nil {
		return ErrRateLimited.Error()
	}
	return fmt.Sprintf("%v: %v", ErrRateLimited, e.Err)
}

// Unwrap makes errors.Is(err, ErrRateLimited) true.
func (e *RateLimitError) Unwrap() []error { return []error{ErrRateLimited, e.Err} }
