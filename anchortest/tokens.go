package anchortest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenLife is how long an identity token is valid.
const tokenLife = 15 * time.Minute

// Errors of tokens that cannot be used.
var (
	// ErrTokenUnknown is returned if the fake has not issued the token.
	ErrTokenUnknown = errors.New("anchortest: the identity token is unknown")
	// ErrTokenUsed is returned if the token was used before, which includes
	// canceling.
	ErrTokenUsed = errors.New("anchortest: the identity token was used before")
	// ErrTokenExpired is returned if the token's 15 minutes are over.
	ErrTokenExpired = errors.New("anchortest: the identity token has expired")
)

// A TokenShape is the format of the answer to "create identity token".
type TokenShape int

const (
	// WrappedToken is the documented answer, {"data": {"token", "expires_at",
	// "token_hash"}}. It is the default.
	WrappedToken TokenShape = iota
	// FlatToken is the answer that older samples read: {"token", "expiresAt",
	// "tokenHash"}.
	FlatToken
	// HashlessToken is the documented answer without token_hash.
	HashlessToken
)

// SetTokenShape sets the format of tokens from now on.
func (s *Server) SetTokenShape(shape TokenShape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenShape = shape
}

type identityToken struct {
	applicationID string
	callbackURL   string
	expiresAt     time.Time
	used          bool
}

// usable returns an error if the token cannot be used now. t is nil for an unknown
// token. The caller holds the lock.
func (t *identityToken) usable(now time.Time) error {
	switch {
	case t == nil:
		return ErrTokenUnknown
	case t.used:
		return ErrTokenUsed
	case !now.Before(t.expiresAt):
		return ErrTokenExpired
	}
	return nil
}

func (s *Server) createToken(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CallbackURL string `json:"callbackUrl"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.pathApplication(w, r)
	if app == nil {
		return
	}
	if !callbackAllowed(body.CallbackURL) {
		writeError(w, http.StatusBadRequest, "callbackUrl must be a valid HTTPS URL.")
		return
	}

	token := rand.Text()
	expiresAt := now.Add(tokenLife)
	s.tokens[token] = &identityToken{applicationID: app.id, callbackURL: body.CallbackURL, expiresAt: expiresAt}

	sum := sha256.Sum256([]byte(token))
	hash := hex.EncodeToString(sum[:])
	var answer any
	switch s.tokenShape {
	case FlatToken:
		answer = map[string]any{"token": token, "expiresAt": timestamp(expiresAt), "tokenHash": hash}
	case HashlessToken:
		answer = map[string]any{"data": map[string]any{"token": token, "expires_at": timestamp(expiresAt)}}
	default:
		answer = map[string]any{"data": map[string]any{"token": token, "expires_at": timestamp(expiresAt), "token_hash": hash}}
	}
	writeJSON(w, http.StatusCreated, answer)
}

// callbackAllowed reports whether a callback URL is allowed: https, as Anchor
// requires, or http on this machine. Anchor may not accept the latter, but it allows
// trying an application without a certificate.
func callbackAllowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

// loopback reports whether a host name means this machine (RFC 6761, section 6.3,
// for localhost), without a lookup.
func loopback(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
