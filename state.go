package connect

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
)

const (
	// stateCookieLife is how long a browser keeps a state cookie. It is longer
	// than any token lives, so that who comes back too late is told just that.
	stateCookieLife = time.Hour

	// maxPendingFlows is how many flows a user, or who acts for one, may have pending
	// in an application.
	maxPendingFlows = 5

	// maxStateCookies is how many starts a browser may have open at once. Each
	// takes some 330 bytes of every request's Cookie header, which servers
	// bound (431), so the oldest make room for the newest.
	maxStateCookies = 5
)

// sealedState is what a state cookie holds, and all that it holds.
type sealedState struct {
	state     string
	tokenHash string
	user      string // mark of the user who began
}

// pack is what is sealed. None of the three holds a line break.
func (s sealedState) pack() []byte {
	return []byte(s.state + "\n" + s.tokenHash + "\n" + s.user)
}

// unpack is the opposite of pack.
func unpack(packed []byte) (sealedState, bool) {
	parts := strings.Split(string(packed), "\n")
	if len(parts) != 3 {
		return sealedState{}, false
	}
	return sealedState{state: parts[0], tokenHash: parts[1], user: parts[2]}, true
}

// mark distinguishes two users, and two who act for one owner, in state cookies,
// even when the store has forgotten the flow.
func (u User) mark() string {
	sum := sha256.Sum256([]byte("connect user " + u.ID + "\x00" + u.Actor)) // Neither holds a NUL byte.
	return hex.EncodeToString(sum[:8])
}

// stateMark is how much of a state, from its end, stands in its cookie's name to
// find it by: 40 bits, which leaves 120 that only the seal holds.
const stateMark = 8

// newState returns the unguessable half of a start: 160 bits in letters and
// digits that need no escaping in a path.
func newState() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // It never fails.
	return base32.StdEncoding.EncodeToString(random[:])
}

// stateCookies seals starts into cookies and opens them again. There is one
// cookie for each start, so that two tabs do not break each other.
type stateCookies struct {
	codecs []securecookie.Codec // the first seals, all open
	prefix string
	origin string      // of the host; see at
	cookie http.Cookie // with the attributes of all
}

// newStateCookies derives the keys. secrets are taken in order: the first
// seals, all open, which is how they are rotated.
func newStateCookies(secrets [][]byte, secure bool) (stateCookies, error) {
	c := stateCookies{prefix: "connect-", cookie: http.Cookie{
		Path:     "/",
		MaxAge:   int(stateCookieLife / time.Second),
		Secure:   secure,
		HttpOnly: true,
		// Lax is what lets the cookie come along when the hosted page sends the
		// browser back, and keeps it away from requests that pages of other
		// sites make on their own.
		SameSite: http.SameSiteLaxMode,
	}}
	if secure {
		// Browsers let nobody but this very host set a __Host- cookie: no
		// sibling domain and no plain-http answer can plant a start.
		c.prefix = "__Host-connect-"
	}
	for _, secret := range secrets {
		sign, err := hkdf.Key(sha256.New, secret, nil, "connect state cookie, signing", 32)
		if err != nil {
			return stateCookies{}, fmt.Errorf("derive the signing key: %w", err)
		}
		encrypt, err := hkdf.Key(sha256.New, secret, nil, "connect state cookie, encrypting", 32)
		if err != nil {
			return stateCookies{}, fmt.Errorf("derive the encrypting key: %w", err)
		}
		codec := securecookie.New(sign, encrypt)
		codec.SetSerializer(securecookie.NopEncoder{})
		codec.MaxAge(int(stateCookieLife / time.Second))
		c.codecs = append(c.codecs, codec)
	}
	return c, nil
}

// at returns the cookies of a host. What is sealed for one host opens for no other:
// browsers keep hosts apart, but whoever owns a browser can copy a cookie.
func (c stateCookies) at(origin string) stateCookies {
	c.origin = origin
	return c
}

// sealed and unsealed seal and open the value of a cookie of this host.
func (c stateCookies) sealed(name string, value []byte) (string, error) {
	return securecookie.EncodeMulti(c.origin+" "+name, value, c.codecs...)
}

func (c stateCookies) unsealed(cookie *http.Cookie) (value []byte, err error) {
	err = securecookie.DecodeMulti(c.origin+" "+cookie.Name, cookie.Value, &value, c.codecs...)
	return value, err
}

// name is the name of a start's cookie: the moment it began, so that names sort
// by age, and the mark of the state.
func (c stateCookies) name(state string, begun time.Time) string {
	// Ten digits, as isName wants them: enough for some 30,000 years.
	return fmt.Sprintf("%s%010x-%s", c.prefix, max(begun.Unix(), 0), state[len(state)-stateMark:])
}

// set gives the browser the cookie of a new start, and takes back the oldest of
// those it sent when there would be more than maxStateCookies.
func (c stateCookies) set(w http.ResponseWriter, r *http.Request, s sealedState, begun time.Time) error {
	name := c.name(s.state, begun)
	value, err := c.sealed(name, s.pack())
	if err != nil {
		return fmt.Errorf("seal the state cookie: %w", err)
	}
	for others := c.sentByAge(r); len(others) >= maxStateCookies; others = others[1:] {
		c.take(w, others[0].Name)
	}
	c.give(w, name, value, stateCookieLife)
	return nil
}

// give sets a cookie, and take removes one.
func (c stateCookies) give(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := c.cookie
	cookie.Name, cookie.Value, cookie.MaxAge = name, value, int(life/time.Second)
	http.SetCookie(w, &cookie)
}

func (c stateCookies) take(w http.ResponseWriter, name string) {
	cookie := c.cookie
	cookie.Name, cookie.MaxAge = name, -1
	http.SetCookie(w, &cookie)
}

// sent returns the state cookies that came with a request, unopened. net/http
// parses the cookies: trimming more than it does would turn " __Host-…", which a
// sibling domain can set, into one of our names.
func (c stateCookies) sent(r *http.Request) []*http.Cookie {
	return slices.DeleteFunc(r.Cookies(), func(cookie *http.Cookie) bool { return !c.isName(cookie.Name) })
}

// sentByAge is sent with the oldest start first.
func (c stateCookies) sentByAge(r *http.Request) []*http.Cookie {
	sent := c.sent(r)
	slices.SortStableFunc(sent, func(a, b *http.Cookie) int { return strings.Compare(a.Name, b.Name) })
	return sent
}

// isName tells whether a cookie's name is of the form that name gives it.
func (c stateCookies) isName(name string) bool {
	rest, ours := strings.CutPrefix(name, c.prefix)
	begun, mark, _ := strings.Cut(rest, "-")
	return ours && len(begun) == 10 && isHex(begun) && len(mark) == stateMark && isBase32(mark)
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isBase32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '2' || c > '7') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// find opens the cookie of the start with this state. No such cookie is
// ErrNoStateCookie, one that cannot be opened ErrStateInvalid.
func (c stateCookies) find(r *http.Request, state string) (sealedState, error) {
	found := ErrNoStateCookie
	if len(state) < stateMark {
		return sealedState{}, found
	}
	for _, cookie := range c.sent(r) {
		if !strings.HasSuffix(cookie.Name, state[len(state)-stateMark:]) {
			continue
		}
		s, err := c.open(cookie)
		switch {
		case err != nil:
			found = err
		case sameState(s.state, state):
			return s, nil
		}
	}
	return sealedState{}, found
}

// sameState compares two states in a time that does not tell how much of them is
// the same.
func sameState(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// all opens every state cookie that can be opened, the oldest start first.
func (c stateCookies) all(r *http.Request) []sealedState {
	var states []sealedState
	for _, cookie := range c.sentByAge(r) {
		if s, err := c.open(cookie); err == nil {
			states = append(states, s)
		}
	}
	return states
}

// ofAnother reports whether one of the cookies is another user's. It makes no
// difference what has become of that start: behind a fixed address nothing says
// which of a user's hosted pages has come back, so one may still be open until the
// cookie ends.
func ofAnother(cookies []sealedState, user User) bool {
	own := user.mark()
	return slices.ContainsFunc(cookies, func(s sealedState) bool { return s.user != own })
}

func (c stateCookies) open(cookie *http.Cookie) (sealedState, error) {
	value, err := c.unsealed(cookie)
	if err != nil {
		// The cause stays out of the error: it tells an attacker how far a
		// forged cookie got.
		return sealedState{}, ErrStateInvalid
	}
	s, ok := unpack(value)
	if !ok {
		return sealedState{}, ErrStateInvalid
	}
	return s, nil
}

// returnLife is how long a browser keeps what the hosted page said while its user
// signs in to the app.
const returnLife = maxTokenLife

// returnName is the name of the cookie that holds what the hosted page said for a
// state. With a fixed callback address there is no state, and one cookie.
func (c stateCookies) returnName(state string) string {
	return c.prefix + "return-" + state[max(len(state)-stateMark, 0):]
}

// keepReturn seals what the hosted page said into a cookie.
func (c stateCookies) keepReturn(w http.ResponseWriter, state string, query url.Values) error {
	name := c.returnName(state)
	value, err := c.sealed(name, []byte(state+"?"+query.Encode()))
	if err != nil {
		return fmt.Errorf("seal what the hosted page said: %w", err)
	}
	c.give(w, name, value, returnLife)
	return nil
}

// keptReturn returns what keepReturn has sealed for a state.
func (c stateCookies) keptReturn(r *http.Request, state string) (url.Values, bool) {
	cookie, err := r.Cookie(c.returnName(state))
	if err != nil {
		return nil, false
	}
	sealed, err := c.unsealed(cookie)
	if err != nil {
		return nil, false
	}
	of, text, _ := strings.Cut(string(sealed), "?")
	if !sameState(of, state) {
		return nil, false
	}
	query, err := url.ParseQuery(text)
	return query, err == nil
}

// dropReturn takes back what keepReturn has given, if the browser has it.
func (c stateCookies) dropReturn(w http.ResponseWriter, r *http.Request, state string) {
	if _, err := r.Cookie(c.returnName(state)); err == nil {
		c.take(w, c.returnName(state))
	}
}
