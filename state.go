package connect

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
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

	// maxLiveStarts is how many starts of a user may be live in an application.
	maxLiveStarts = 5

	// maxStateCookies is how many starts a browser may have open at once. Each
	// takes some 330 bytes of every request's Cookie header, which servers
	// bound (431), so the oldest make room for the newest.
	maxStateCookies = 5
)

// sealedState is what a state cookie holds, and all that it holds.
type sealedState struct {
	state     string
	tokenHash string
	user      string // userMark of the user who began
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

// userMark is what a state cookie tells two users apart by, also when the store
// has forgotten the start.
func userMark(userID string) string {
	sum := sha256.Sum256([]byte("connect user " + userID))
	return hex.EncodeToString(sum[:8])
}

// stateMark is how much of a state, from its end, stands in its cookie's name to
// find it by: 40 bits, which leaves 120 that only the seal holds.
const stateMark = 8

// newState returns the unguessable half of a start: 160 bits in letters and
// digits that need no escaping in a path.
func newState() string {
	var random [20]byte
	var text [32]byte
	_, _ = rand.Read(random[:]) // It never fails.
	base32.StdEncoding.Encode(text[:], random[:])
	return string(text[:])
}

// stateCookies seals starts into cookies and opens them again. There is one
// cookie for each start, so that two tabs do not break each other.
type stateCookies struct {
	codecs []securecookie.Codec // the first seals, all open
	prefix string
	cookie http.Cookie // with the attributes of all
	// attributes are what follows name and value in a Set-Cookie header, and
	// takenBack what follows the name of one that is to go.
	attributes, takenBack string
}

// newStateCookies derives the keys. secrets are taken in order: the first
// seals, all open, which is how they are rotated.
func newStateCookies(secrets [][]byte, secure bool) (stateCookies, error) {
	c := stateCookies{prefix: "connect-"}
	kept := http.Cookie{
		Name:     "x",
		Path:     "/",
		MaxAge:   int(stateCookieLife / time.Second),
		Secure:   secure,
		HttpOnly: true,
		// Lax is what lets the cookie come along when the hosted page sends the
		// browser back, and keeps it away from requests that pages of other
		// sites make on their own.
		SameSite: http.SameSiteLaxMode,
	}
	c.cookie = kept
	gone := kept
	gone.MaxAge = -1
	c.attributes = strings.TrimPrefix(kept.String(), "x=")
	c.takenBack = strings.TrimPrefix(gone.String(), "x")
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

// name is the name of a start's cookie: the moment it began, so that names sort
// by age, and the mark of the state.
func (c stateCookies) name(state string, begun time.Time) string {
	var seconds [8]byte
	binary.BigEndian.PutUint64(seconds[:], uint64(max(begun.Unix(), 0)))
	name := append(make([]byte, 0, 64), c.prefix...)
	name = hex.AppendEncode(name, seconds[3:]) // Ten digits, as isName wants them.
	name = append(name, '-')
	return string(append(name, state[len(state)-stateMark:]...))
}

// set gives the browser the cookie of a new start, and takes back the oldest of
// those it sent when there would be more than maxStateCookies.
func (c stateCookies) set(w http.ResponseWriter, r *http.Request, s sealedState, begun time.Time) error {
	name := c.name(s.state, begun)
	value, err := securecookie.EncodeMulti(name, s.pack(), c.codecs...)
	if err != nil {
		return fmt.Errorf("seal the state cookie: %w", err)
	}
	header := w.Header()
	for others := c.sentByAge(r); len(others) >= maxStateCookies; others = others[1:] {
		header["Set-Cookie"] = append(header["Set-Cookie"], others[0].Name+c.takenBack)
	}
	header["Set-Cookie"] = append(header["Set-Cookie"], name+"="+value+c.attributes)
	return nil
}

// sent returns the state cookies that came with a request, unopened. They are
// net/http's to parse: of a name with an odd space before its __Host- browsers
// demand nothing, so who trimmed more than HTTP does would let a sibling domain in.
func (c stateCookies) sent(r *http.Request) []*http.Cookie {
	if !slices.ContainsFunc(r.Header["Cookie"], func(line string) bool { return strings.Contains(line, c.prefix) }) {
		return nil // The usual case at a start: the app's own cookies need no parsing.
	}
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
func ofAnother(cookies []sealedState, userID string) bool {
	own := userMark(userID)
	return slices.ContainsFunc(cookies, func(s sealedState) bool { return s.user != own })
}

func (c stateCookies) open(cookie *http.Cookie) (sealedState, error) {
	var value []byte
	if err := securecookie.DecodeMulti(cookie.Name, cookie.Value, &value, c.codecs...); err != nil {
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

// returnCookie is the cookie that holds what the hosted page said for a state. With
// a fixed callback address there is no state, and one cookie.
func (c stateCookies) returnCookie(state string) *http.Cookie {
	cookie := c.cookie
	cookie.Name, cookie.MaxAge = c.prefix+"return-"+state[max(len(state)-stateMark, 0):], int(returnLife/time.Second)
	return &cookie
}

// keepReturn seals what the hosted page said into a cookie.
func (c stateCookies) keepReturn(w http.ResponseWriter, state string, query url.Values) error {
	cookie := c.returnCookie(state)
	value, err := securecookie.EncodeMulti(cookie.Name, []byte(state+"?"+query.Encode()), c.codecs...)
	if err != nil {
		return fmt.Errorf("seal what the hosted page said: %w", err)
	}
	cookie.Value = value
	http.SetCookie(w, cookie)
	return nil
}

// keptReturn returns what keepReturn has sealed for a state.
func (c stateCookies) keptReturn(r *http.Request, state string) (url.Values, bool) {
	cookie, err := r.Cookie(c.returnCookie(state).Name)
	if err != nil {
		return nil, false
	}
	var sealed []byte
	if securecookie.DecodeMulti(cookie.Name, cookie.Value, &sealed, c.codecs...) != nil {
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
	cookie := c.returnCookie(state)
	if _, err := r.Cookie(cookie.Name); err != nil {
		return
	}
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
}
