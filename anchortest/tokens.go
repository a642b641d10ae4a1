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

// tokenLife is how long an identity token can be used.
const tokenLife = 15 * time.Minute

// Why a token cannot be used (again), for [errors.Is].
var (
	// ErrTokenUnknown: the fake issued no such token.
	ErrTokenUnknown = errors.New("anchortest: the identity token is unknown")
	// ErrTokenUsed: the token was used before, be it to cancel.
	ErrTokenUsed = errors.New("anchortest: the identity token was used before")
	// ErrTokenExpired: the token's 15 minutes are over.
	ErrTokenExpired = errors.New("anchortest: the identity token has expired")
)

// A TokenShape is how the answer to "create identity token" is written.
type TokenShape int

const (
	// WrappedToken is the documented answer:
	// {"data": {"token", "expires_at", "token_hash"}}. The default.
	WrappedToken TokenShape = iota
	// FlatToken is what older samples read: {"token", "expiresAt", "tokenHash"}.
	FlatToken
	// HashlessToken is the documented answer without token_hash.
	HashlessToken
)

// SetTokenShape chooses how tokens are answered from now on.
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

// usable says why the token cannot be used at this moment. It is called with
// the lock held, on nil for an unknown token.
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

// callbackAllowed says whether a browser may be sent to an address: https, as
// the API demands, or http on this machine, which the API is not known to take,
// so that an app can be tried without a certificate.
func callbackAllowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

// loopback says whether a host name is this machine by its looks (RFC 6761,
// section 6.3, for localhost): nothing is looked up.
func loopback(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
