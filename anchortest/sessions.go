package anchortest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// teamID is the team of the API key.
const teamID = "fa4e0000-0000-4000-8000-00000000000a"

// A Session is a browser session that was opened. Without a [Backend] it has no
// browser.
type Session struct {
	// ID is a UUID.
	ID string
	// IdentityIDs are the identities that it is signed in with.
	IdentityIDs []string
	// Tags are the labels in the request.
	Tags []string
	// SkipValidation is true if the request skips the check of the sign-in
	// (identity_skip_validation).
	SkipValidation bool
	// Configuration is the request's body, as JSON. It is empty if the request had
	// none.
	Configuration []byte
	// CreatedAt is in UTC, to the millisecond.
	CreatedAt time.Time
	// EndedAt is zero while the session runs.
	EndedAt time.Time
}

func (s Session) clone() *Session {
	s.IdentityIDs = slices.Clone(s.IdentityIDs)
	s.Tags = slices.Clone(s.Tags)
	s.Configuration = slices.Clone(s.Configuration)
	return &s
}

// Sessions returns all sessions, oldest first, including those that have ended.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sessions []Session
	for _, session := range s.sessions.all() {
		sessions = append(sessions, *session.clone())
	}
	return sessions
}

func (s *Server) createSession(w http.ResponseWriter, r *http.Request) {
	session, err := readSession(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error()+".")
		return
	}
	session.ID, session.CreatedAt = newUUID(), s.time()
	if refusal, gone := s.keepSession(session); refusal != NoRefusal {
		writeRefusal(w, refusal, gone)
		return
	}
	urls := s.unansweredURLs(r, session.ID)
	if s.backend != nil {
		if urls, err = s.backend.OpenSession(r.Context(), *session.clone()); err != nil {
			s.mu.Lock()
			s.sessions.delete(session.ID)
			s.mu.Unlock()
			writeBackendError(w, err)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]string{
		"id":            session.ID,
		"cdp_url":       urls.CDP,
		"live_view_url": urls.LiveView,
	}})
}

// readSession reads the session that a request describes. It reads only the fields
// that affect the fake.
func readSession(r *http.Request) (Session, error) {
	type active struct {
		Active bool `json:"active"`
	}
	var body struct {
		Session struct {
			Proxy active   `json:"proxy"`
			Tags  []string `json:"tags"`
		} `json:"session"`
		Browser struct {
			CaptchaSolver active `json:"captcha_solver"`
		} `json:"browser"`
		Identities []struct {
			ID string `json:"id"`
		} `json:"identities"`
		SkipValidation bool `json:"identity_skip_validation"`
	}
	var configuration json.RawMessage
	if r.ContentLength != 0 {
		if err := decodeBody(r, &configuration); err != nil {
			return Session{}, err
		}
		if err := decode(configuration, &body); err != nil {
			return Session{}, unexpectedJSON(err)
		}
	}
	if body.Browser.CaptchaSolver.Active && !body.Session.Proxy.Active {
		return Session{}, errors.New("CAPTCHA solver requires proxy to be active")
	}
	session := Session{Tags: body.Session.Tags, SkipValidation: body.SkipValidation, Configuration: configuration}
	for _, named := range body.Identities {
		id, _ := parseUUID(named.ID)
		session.IdentityIDs = append(session.IdentityIDs, id)
	}
	return session, nil
}

// keepSession adds a session, or returns why it is refused and the status for an
// identity that is gone. The session is added before its browser is open, which may
// end at any moment.
func (s *Server) keepSession(session Session) (refusal SessionRefusal, gone int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.refusals.sessions; r != NoRefusal && !(session.SkipValidation && r.isSignIn()) {
		return r, s.refusals.gone
	}
	for _, id := range session.IdentityIDs {
		refusal := RefuseGone
		if identity := s.identities.get(id); identity != nil {
			refusal = s.refusalOf(identity, session.SkipValidation)
		}
		if refusal != NoRefusal {
			return refusal, s.refusals.gone
		}
	}
	s.sessions.put(session.ID, session.clone())
	return NoRefusal, 0
}

// unansweredURLs returns URLs at which nothing answers.
func (s *Server) unansweredURLs(r *http.Request, sessionID string) SessionURLs {
	base := s.URL()
	if base == "" {
		base = requestOrigin(r)
	}
	query := "?" + url.Values{"sessionId": {sessionID}}.Encode()
	return SessionURLs{
		CDP:      strings.Replace(base, "http", "ws", 1) + "/cdp" + query,
		LiveView: base + "/live" + query,
	}
}

// requestOrigin returns the fake's origin as the caller sees it.
func requestOrigin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (s *Server) getSession(w http.ResponseWriter, r *http.Request) {
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions.get(r.PathValue("session"))
	if session == nil {
		writeError(w, http.StatusNotFound, "Session not found.")
		return
	}
	status := "running"
	if !session.EndedAt.IsZero() {
		status, now = "ended", session.EndedAt
	}
	configuration := session.Configuration
	if len(configuration) == 0 {
		configuration = []byte("{}")
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{
		"session_id":    session.ID,
		"team_id":       teamID,
		"duration":      int(now.Sub(session.CreatedAt).Seconds()),
		"status":        status,
		"credits_used":  0,
		"configuration": json.RawMessage(configuration),
		"playground":    false,
		"proxy_bytes":   0,
		"tokens":        struct{}{},
		"steps":         0,
		"tags":          struct{}{},
		"created_at":    timestamp(session.CreatedAt),
	}})
}

// deleteSession ends a session. If it is not running the answer is 401, which
// Anchor's API reference lists both for a wrong key and for a wrong session id.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("session")
	if !s.EndSession(id) {
		writeError(w, http.StatusUnauthorized, "Invalid API Key or browser session ID.")
		return
	}
	if s.backend != nil {
		s.backend.EndSession(r.Context(), id)
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]string{"status": "success"}})
}
