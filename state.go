package connect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// stateCookieLife is how long a browser keeps a state cookie. It is longer
	// than any token lives, so that who comes back too late is told just that.
	stateCookieLife = time.Hour

	// maxLiveStarts is how many starts of a user may be live in an application.
	maxLiveStarts = 5

	// maxStateCookies is how many starts a browser may have open at once. Each
	// takes some 200 bytes of every request's Cookie header, which servers
	// bound (431), so the oldest make room for the newest.
	maxStateCookies = 5
)

// sealedState is what a state cookie holds, and all that it holds.
type sealedState struct {
	state     string
	tokenHash string
}

// newState returns the unguessable half of a start: 130 bits in letters and
// digits that need no escaping in a path.
func newState() string { return rand.Text() }

// stateCookies seals starts into cookies and opens them again. There is one
// cookie for each start, so that two tabs do not break each other.
type stateCookies struct {
	keys   []cipher.AEAD // the first seals, all open
	prefix string        // of the cookies' names

	// What follows a cookie's name and value in Set-Cookie, and what follows its
	// name where it is taken back.
	kept, gone string
}

// newStateCookies derives the keys. secrets are taken in order: the first
// seals, all open, which is how they are rotated.
func newStateCookies(secrets [][]byte, secure bool) (stateCookies, error) {
	c := stateCookies{
		prefix: "connect-",
		kept:   cookieAttributes(int(stateCookieLife/time.Second), secure),
		gone:   "=" + cookieAttributes(-1, secure),
	}
	if secure {
		// Browsers let nobody but this very host set a __Host- cookie: no
		// sibling domain and no plain-http answer can plant a start.
		c.prefix = "__Host-connect-"
	}
	for _, secret := range secrets {
		key, err := newKey(secret)
		if err != nil {
			return stateCookies{}, fmt.Errorf("derive a key: %w", err)
		}
		c.keys = append(c.keys, key)
	}
	return c, nil
}

// newKey makes AES-256-GCM of a secret. Its nonces are random, which is safe for
// four billion cookies (NIST SP 800-38D, section 8.3).
func newKey(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "connect state cookie", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cookieAttributes is what follows the value in a Set-Cookie header.
func cookieAttributes(maxAge int, secure bool) string {
	cookie := http.Cookie{
		Name:     "name",
		Path:     "/",
		MaxAge:   maxAge,
		Secure:   secure,
		HttpOnly: true,
		// Lax is what lets the cookie come along when the hosted page sends the
		// browser back, and keeps it away from requests that pages of other
		// sites make on their own.
		SameSite: http.SameSiteLaxMode,
	}
	return strings.TrimPrefix(cookie.String(), "name=")
}

// name is the name of a start's cookie: the moment it began, so that names sort
// by age, and a fingerprint of the state to find it by.
func (c stateCookies) name(state string, begun time.Time) string {
	var moment [8]byte
	binary.BigEndian.PutUint64(moment[:], uint64(max(begun.Unix(), 0)))
	return c.prefix + hex.EncodeToString(moment[3:]) + "-" + fingerprint(state)
}

func fingerprint(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

// set gives the browser the cookie of a new start, and takes back the oldest of
// those it sent when there would be more than maxStateCookies.
func (c stateCookies) set(w http.ResponseWriter, r *http.Request, s sealedState, begun time.Time) error {
	var others []string
	for _, cookie := range c.sent(r) {
		others = append(others, cookie.Name)
	}
	slices.Sort(others)
	for len(others) >= maxStateCookies {
		w.Header().Add("Set-Cookie", others[0]+c.gone)
		others = others[1:]
	}
	name := c.name(s.state, begun)
	w.Header().Add("Set-Cookie", name+"="+c.seal(name, s)+c.kept)
	return nil
}

// sent returns the state cookies that came with a request, unopened.
func (c stateCookies) sent(r *http.Request) []*http.Cookie {
	return slices.DeleteFunc(r.Cookies(), func(cookie *http.Cookie) bool {
		rest, ours := strings.CutPrefix(cookie.Name, c.prefix)
		begun, mark, whole := strings.Cut(rest, "-")
		return !ours || !whole || len(begun) != 10 || len(mark) != 16
	})
}

// find opens the cookie of the start with this state. No such cookie is
// ErrNoStateCookie, one that cannot be opened ErrStateInvalid.
func (c stateCookies) find(r *http.Request, state string) (sealedState, error) {
	found := ErrNoStateCookie
	mark := "-" + fingerprint(state)
	for _, cookie := range c.sent(r) {
		if !strings.HasSuffix(cookie.Name, mark) {
			continue
		}
		s, err := c.open(cookie)
		if err == nil {
			return s, nil
		}
		found = err
	}
	return sealedState{}, found
}

// all opens every state cookie that can be opened, the oldest start first. Of
// more than a browser is ever given only the newest count.
func (c stateCookies) all(r *http.Request) []sealedState {
	cookies := c.sent(r)
	slices.SortStableFunc(cookies, func(a, b *http.Cookie) int { return strings.Compare(a.Name, b.Name) })
	cookies = cookies[max(len(cookies)-maxStateCookies, 0):]
	var states []sealedState
	for _, cookie := range cookies {
		if s, err := c.open(cookie); err == nil {
			states = append(states, s)
		}
	}
	return states
}

// seal makes the value of the cookie with this name: the moment, the state and
// the token's hash, which nobody can read, alter or move to another name.
func (c stateCookies) seal(name string, s sealedState) string {
	text := make([]byte, 8, 128)
	binary.BigEndian.PutUint64(text, uint64(time.Now().Unix()))
	text = append(append(append(text, s.state...), '.'), s.tokenHash...)
	return sealedEncoding.EncodeToString(c.keys[0].Seal(nil, nil, text, []byte(name)))
}

// open is the reverse of seal, for stateCookieLife. Its one error keeps to itself
// how far a forged cookie got.
func (c stateCookies) open(cookie *http.Cookie) (sealedState, error) {
	sealed, err := sealedEncoding.DecodeString(cookie.Value)
	if err != nil {
		return sealedState{}, ErrStateInvalid
	}
	for _, key := range c.keys {
		if text, err := key.Open(nil, nil, sealed, []byte(cookie.Name)); err == nil {
			return readSealed(text)
		}
	}
	return sealedState{}, ErrStateInvalid
}

// readSealed reads what seal has written.
func readSealed(text []byte) (sealedState, error) {
	if len(text) < 8 {
		return sealedState{}, ErrStateInvalid
	}
	begun := time.Unix(int64(binary.BigEndian.Uint64(text)), 0)
	state, tokenHash, ok := strings.Cut(string(text[8:]), ".")
	if !ok || time.Since(begun) > stateCookieLife {
		return sealedState{}, ErrStateInvalid
	}
	return sealedState{state: state, tokenHash: tokenHash}, nil
}

// sealedEncoding writes a sealed cookie in the one way that it is read in.
var sealedEncoding = base64.RawURLEncoding.Strict()
