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
	// stateCookieLife is how long a browser keeps a state cookie: longer than any token
	// lives, so that a late callback is told that the flow has expired.
	stateCookieLife = time.Hour

	// maxPendingFlows is how many pending flows a user, or an actor, may have in an
	// application.
	maxPendingFlows = 5

	// maxStateCookies is how many state cookies a browser gets; a new one replaces the
	// oldest. Each takes some 330 bytes of every request's Cookie header, whose size
	// servers limit (431).
	maxStateCookies = 5
)

// sealedState is the content of a state cookie.
type sealedState struct {
	state     string
	tokenHash string
	user      string // the mark of the user who began the flow
}

// pack returns the bytes to seal. None of the three fields has a line break.
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

// mark returns a text that differs for two users, and for two actors of one owner, to tell
// state cookies apart even after the store has swept the flow.
func (u User) mark() string {
	sum := sha256.Sum256([]byte("connect user " + u.ID + "\x00" + u.Actor)) // Neither holds a NUL byte.
	return hex.EncodeToString(sum[:8])
}

// stateMark is how many characters of a state, from its end, are in the name of its cookie,
// to find the cookie: 40 bits. The other 120 bits are only in the sealed value.
const stateMark = 8

// newState returns 160 random bits, in letters and digits that need no escaping in a path.
func newState() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // It never fails.
	return base32.StdEncoding.EncodeToString(random[:])
}

// stateCookies seals states into cookies and opens them again. Each flow has a cookie of
// its own, so that two tabs do not break each other's flow.
type stateCookies struct {
	codecs []securecookie.Codec // the first seals, all open
	prefix string
	origin string      // of the host; see at
	cookie http.Cookie // with the attributes of all
}

// newStateCookies derives the keys. The first secret seals, and all of them open, so that
// secrets can be rotated.
func newStateCookies(secrets [][]byte, secure bool) (stateCookies, error) {
	c := stateCookies{prefix: "connect-", cookie: http.Cookie{
		Path:     "/",
		MaxAge:   int(stateCookieLife / time.Second),
		Secure:   secure,
		HttpOnly: true,
		// With Lax, browsers send the cookie when the hosted page redirects them back, and
		// not with requests that pages of other sites make by themselves.
		SameSite: http.SameSiteLaxMode,
	}}
	if secure {
		// Only this very host can set a __Host- cookie: no sibling domain and no answer
		// over plain http can plant a state.
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

// at returns the cookies of a host. A cookie that is sealed for one host does not open for
// another: browsers keep hosts apart, but the owner of a browser can copy a cookie.
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

// name returns the name of a flow's cookie: the moment it began, so that names sort by age,
// and the end of the state.
func (c stateCookies) name(state string, begun time.Time) string {
	// Ten digits, as isName wants them: enough for some 30,000 years.
	return fmt.Sprintf("%s%010x-%s", c.prefix, max(begun.Unix(), 0), state[len(state)-stateMark:])
}

// set sets the cookie of a new flow. It removes the oldest of those that the browser sent,
// if there would be more than maxStateCookies.
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

// give sets a cookie.
func (c stateCookies) give(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := c.cookie
	cookie.Name, cookie.Value, cookie.MaxAge = name, value, int(life/time.Second)
	http.SetCookie(w, &cookie)
}

// take removes a cookie.
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

// sentByAge is sent, the oldest flow first.
func (c stateCookies) sentByAge(r *http.Request) []*http.Cookie {
	sent := c.sent(r)
	slices.SortStableFunc(sent, func(a, b *http.Cookie) int { return strings.Compare(a.Name, b.Name) })
	return sent
}

// isName reports whether a cookie's name has the form of those from name.
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

// find opens the cookie of the flow with this state. The error is ErrNoStateCookie if there
// is none, and ErrStateInvalid if it cannot be opened.
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

// sameState reports whether two states are equal, in constant time.
func sameState(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// all returns the content of every state cookie that can be opened, the oldest flow first.
func (c stateCookies) all(r *http.Request) []sealedState {
	var states []sealedState
	for _, cookie := range c.sentByAge(r) {
		if s, err := c.open(cookie); err == nil {
			states = append(states, s)
		}
	}
	return states
}

// ofAnother reports whether one of the cookies is another user's, even if that flow is over:
// with a fixed callback address nothing tells which of a user's hosted pages returns, so
// another one may be open until the cookie expires.
func ofAnother(cookies []sealedState, user User) bool {
	own := user.mark()
	return slices.ContainsFunc(cookies, func(s sealedState) bool { return s.user != own })
}

func (c stateCookies) open(cookie *http.Cookie) (sealedState, error) {
	value, err := c.unsealed(cookie)
	if err != nil {
		// The cause would tell an attacker how far a forged cookie got.
		return sealedState{}, ErrStateInvalid
	}
	s, ok := unpack(value)
	if !ok {
		return sealedState{}, ErrStateInvalid
	}
	return s, nil
}

// returnLife is how long a browser keeps what the hosted page returned, while the user signs
// in to the app or decides.
const returnLife = maxTokenLife

// returnName returns the name of the cookie with what the hosted page returned for a state.
// With a fixed callback address there is no state, and one cookie.
func (c stateCookies) returnName(state string) string {
	return c.prefix + "return-" + state[max(len(state)-stateMark, 0):]
}

// keepReturn seals what the hosted page returned into a cookie.
func (c stateCookies) keepReturn(w http.ResponseWriter, state string, query url.Values) error {
	name := c.returnName(state)
	value, err := c.sealed(name, []byte(state+"?"+query.Encode()))
	if err != nil {
		return fmt.Errorf("seal what the hosted page returned: %w", err)
	}
	c.give(w, name, value, returnLife)
	return nil
}

// keptReturn returns what keepReturn has sealed for a state, if there is such a cookie.
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

// dropReturn removes the cookie of keepReturn, if the browser has it.
func (c stateCookies) dropReturn(w http.ResponseWriter, r *http.Request, state string) {
	if _, err := r.Cookie(c.returnName(state)); err == nil {
		c.take(w, c.returnName(state))
	}
}
