package anchortest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// A Backend replaces what the fake only simulates. The module sandbox implements
// one, which signs in at a site and runs browsers. Its methods are called
// concurrently, may call the fake, and should return when ctx is done.
//
// An [*APIError] is answered as it is, any other error with status 500.
type Backend interface {
	// ServeHostedPage serves the hosted page, whose URL has a token, in place of the
	// fake's own. [Server.Visit] returns what the token was issued for.
	// [Server.Approve], [Server.Cancel] and [Server.Fail] end the visit. The
	// response is sent after ServeHostedPage returns.
	ServeHostedPage(w http.ResponseWriter, r *http.Request)
	// OpenSession opens the browser of a new session, whose identities exist. The
	// API answers after it returns. If it returns an error there is no session, and
	// EndSession is not called.
	OpenSession(ctx context.Context, session Session) (SessionURLs, error)
	// EndSession closes the browser of a session that the API was asked to end.
	EndSession(ctx context.Context, sessionID string)
	// SignInAgain signs an identity in with its stored credentials. The identity
	// then gets [StatusValidated], or [StatusFailed] if SignInAgain returns an
	// error, and the webhook receives an event.
	SignInAgain(ctx context.Context, identityID string) error
	// ForgetIdentity discards what is stored for a deleted identity.
	ForgetIdentity(identityID string)
}

// SessionURLs are the addresses of a session: CDP controls its browser, LiveView
// shows it.
type SessionURLs struct {
	CDP, LiveView string
}

// An APIError is an error that the API answers with.
type APIError struct {
	// Status is the HTTP status.
	Status int
	// Message is the message in the error body.
	Message string
}

// Error returns the message.
func (e *APIError) Error() string { return e.Message }

// WithBackend makes a backend serve the hosted page, sessions and repeated sign-ins.
// Defaults to none.
func WithBackend(b Backend) Option {
	return func(c *config) { c.backend = b }
}

// A Visit is the information about a visit to the hosted page.
type Visit struct {
	// ApplicationID, ApplicationName and Site describe the application. Site is a
	// URL.
	ApplicationID, ApplicationName, Site string
	// ReturnTo is the origin that the browser returns to.
	ReturnTo string
	// FormTarget is the source expression that allows a form to redirect there, for
	// the form-action of a Content-Security-Policy.
	FormTarget string
	// ExpiresAt is when the token expires.
	ExpiresAt time.Time
}

// Visit returns what a token was issued for, without using the token. The errors are
// [ErrTokenUnknown], [ErrTokenUsed] and [ErrTokenExpired].
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

// HostedPageURL returns the URL of the hosted page for a token. userName, which may
// be empty, becomes the name of the identity.
func (s *Server) HostedPageURL(token, userName string) string {
	query := url.Values{"token": {token}}
	if userName != "" {
		query.Set("userName", userName)
	}
	return s.URL() + hostedPath + "?" + query.Encode()
}

// EndSession ends a session as the API's call does, for example after its browser
// was closed. It reports whether the session was running. It does not call the
// backend.
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

// writeBackendError answers with a backend's error.
func writeBackendError(w http.ResponseWriter, err error) {
	var answer *APIError
	if errors.As(err, &answer) {
		writeError(w, answer.Status, answer.Message)
		return
	}
	writeError(w, http.StatusInternalServerError, err.Error())
}
