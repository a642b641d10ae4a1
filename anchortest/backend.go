package anchortest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// A Backend does for real what the fake by itself only says. The module sandbox has
// one, which signs in at a site and runs browsers. Its methods are called
// concurrently, may call the fake, and should return when ctx is done.
//
// An [*APIError] is answered as it is, any other error with a 500.
type Backend interface {
	// ServeHostedPage serves the hosted page, whose address has a token, in place
	// of the fake's own. [Server.Visit] says what a token is for; [Server.Approve],
	// [Server.Cancel] and [Server.Fail] end a visit. What it writes is sent when it
	// returns.
	ServeHostedPage(w http.ResponseWriter, r *http.Request)
	// OpenSession opens the browser of a session that has been asked for, whose
	// identities are there. The API answers when it returns. On an error there is
	// no session, and EndSession is not called.
	OpenSession(ctx context.Context, session Session) (SessionURLs, error)
	// EndSession ends the browser of a session that the API was asked to end.
	EndSession(ctx context.Context, sessionID string)
	// SignInAgain signs an identity in with what is stored. After nil the fake gives
	// it [StatusValidated], and after an error [StatusFailed], and tells the webhook.
	SignInAgain(ctx context.Context, identityID string) error
	// ForgetIdentity drops what is stored of an identity that was deleted.
	ForgetIdentity(identityID string)
}

// SessionURLs is where a session can be driven and watched.
type SessionURLs struct {
	CDP, LiveView string
}

// An APIError is an error that the API answers.
type APIError struct {
	// Status is the HTTP status.
	Status int
	// Message is for people.
	Message string
}

func (e *APIError) Error() string { return e.Message }

// WithBackend has the hosted page, sessions and repeated sign-ins served by a
// backend. Defaults to none.
func WithBackend(b Backend) Option {
	return func(c *config) { c.backend = b }
}

// A Visit is what an identity token was issued for.
type Visit struct {
	// ApplicationID, ApplicationName and Site, a URL, are the application's.
	ApplicationID, ApplicationName, Site string
	// ReturnTo is the origin that the browser goes back to.
	ReturnTo string
	// FormTarget is the source expression that allows a form to end there, for a
	// Content-Security-Policy.
	FormTarget string
	// ExpiresAt is when the token expires.
	ExpiresAt time.Time
}

// Visit returns what a token was issued for, without using it up. A token that
// cannot be used is [ErrTokenUnknown], [ErrTokenUsed] or [ErrTokenExpired].
func (s *Server) Visit(token string) (Visit, error) {
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[token]
	if err := t.usable(now); err != nil {
		return Visit{}, err
	}
	app := s.applications.get(t.applicationID)
	return Visit{
		ApplicationID: app.id, ApplicationName: app.name, Site: app.url,
		ReturnTo: origin(t.callbackURL), FormTarget: formTarget(t.callbackURL),
		ExpiresAt: t.expiresAt,
	}, nil
}

// HostedPageURL returns the address of the hosted page for a token. userName, which
// may be empty, is what its identity is called.
func (s *Server) HostedPageURL(token, userName string) string {
	query := url.Values{"token": {token}}
	if userName != "" {
		query.Set("userName", userName)
	}
	return s.URL() + hostedPath + "?" + query.Encode()
}

// EndSession ends a session as after the API's call, as when its browser was closed.
// It reports whether the session was running. The backend is not told.
func (s *Server) EndSession(id string) bool {
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions.get(id)
	if session == nil || !session.EndedAt.IsZero() {
		return false
	}
	session.EndedAt = now
	return true
}

// writeBackendError answers with an error of a backend.
func writeBackendError(w http.ResponseWriter, err error) {
	var answer *APIError
	if errors.As(err, &answer) {
		writeError(w, answer.Status, answer.Message)
		return
	}
	writeError(w, http.StatusInternalServerError, err.Error())
}
