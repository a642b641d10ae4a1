package sandbox

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// defaultSessionLife is the lifetime of a sign-in at the site.
	defaultSessionLife = 12 * time.Hour
	// codeLife is the lifetime of a second factor's code, and codeTries the number of
	// times that it can be entered.
	codeLife  = 10 * time.Minute
	codeTries = 5
)

// An Account is a user account at the site.
type Account struct {
	// Name is the user name. It must not be empty.
	Name string
	// Password must not be empty.
	Password string
	// SecondFactor makes the site ask for a code after the password: see [Site.Code].
	SecondFactor bool
	// Letters is the inbox, newest first.
	Letters []Letter
}

// A Letter is a message in an inbox.
type Letter struct {
	From, Subject, Text string
	// At is the time of arrival.
	At time.Time
}

// A Site is a small third-party site. It has accounts with an inbox and settings, a
// sign-in with or without a second factor, sessions that expire, sign-out everywhere, and
// passwords that can be changed. Its methods do for tests what its pages do for users.
// They are safe for concurrent use.
type Site struct {
	url     string // without a trailing slash
	codes   string // the URL of the page that shows codes
	cookie  string
	handler http.Handler

	mu       sync.Mutex
	life     time.Duration
	accounts map[string]*Account
	sessions map[string]siteSession // by cookie
	codeFor  map[string]*awaitedCode
}

type siteSession struct {
	account   string
	expiresAt time.Time
}

// awaitedCode is a sign-in that waits for the code of the second factor.
type awaitedCode struct {
	account   string
	code      string
	tries     int
	expiresAt time.Time
}

// errNoAccount returns the error for an unknown account.
func errNoAccount(name string) error { return fmt.Errorf("sandbox: the site has no account %q", name) }

// newSite returns a site that is served at url. Browsers share cookies between the ports
// of a host, so the cookie's name includes the port: several sites can be used in one
// browser.
func newSite(url, port, codes string, accounts []Account) (*Site, error) {
	s := &Site{
		url: url, codes: codes, cookie: "letters-" + port,
		life:     defaultSessionLife,
		accounts: make(map[string]*Account),
		sessions: make(map[string]siteSession),
		codeFor:  make(map[string]*awaitedCode),
	}
	s.handler = s.routes()
	for _, account := range accounts {
		if err := s.AddAccount(account); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// defaultAccounts returns the accounts of a sandbox without [WithAccounts].
func defaultAccounts() []Account {
	at := func(days int) time.Time { return time.Now().AddDate(0, 0, -days) }
	return []Account{
		{Name: "ada", Password: "ada-letters", Letters: []Letter{
			{"The library", "Your book is ready", "“Sketch of the Analytical Engine” waits for you at the desk until Friday.", at(0)},
			{"Charles", "Notes on the engine", "I have read your notes. They are longer than the article, and better.", at(1)},
			{"The bakery", "Your order of Saturday", "One loaf of rye and six rolls are ready from eight o’clock.", at(3)},
		}},
		{Name: "grace", Password: "grace-letters", Letters: []Letter{
			{"The workshop", "We found the bug", "It was a moth. It is taped into the log book, page 92.", at(0)},
			{"The railway", "Your ticket to New York", "Coach 4, seat 21. Show this letter on the train.", at(2)},
		}},
		{Name: "alan", Password: "alan-letters", SecondFactor: true, Letters: []Letter{
			{"The club", "Chess on Thursday", "We play at seven. Bring your own clock, please.", at(1)},
		}},
	}
}

// URL returns the URL of the site, without a trailing slash.
func (s *Site) URL() string { return s.url }

// AddAccount adds an account. It returns an error if the name or the password is empty,
// or if the name is taken.
func (s *Site) AddAccount(a Account) error {
	if a.Name == "" || a.Password == "" {
		return errors.New("sandbox: an account needs a name and a password")
	}
	a.Letters = slices.Clone(a.Letters)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[a.Name] != nil {
		return fmt.Errorf("sandbox: the site already has an account %q", a.Name)
	}
	s.accounts[a.Name] = &a
	return nil
}

// Accounts returns the accounts, sorted by name, with their current passwords.
func (s *Site) Accounts() []Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Account
	for _, a := range s.accounts {
		found := *a
		found.Letters = slices.Clone(a.Letters)
		all = append(all, found)
	}
	slices.SortFunc(all, func(a, b Account) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// SetPassword changes an account's password and signs it out everywhere. It returns an
// error if the account is unknown or the password is empty.
func (s *Site) SetPassword(account, password string) error {
	if password == "" {
		return errors.New("sandbox: an account needs a password")
	}
	return s.change(account, func(a *Account) {
		a.Password = password
		s.signOut(account, "")
	})
}

// SetSecondFactor sets whether the site asks an account for a code. Existing sessions
// continue. It returns an error if the account is unknown.
func (s *Site) SetSecondFactor(account string, on bool) error {
	return s.change(account, func(a *Account) { a.SecondFactor = on })
}

// SignOutEverywhere ends all sessions of an account. It returns an error if the account
// is unknown.
func (s *Site) SignOutEverywhere(account string) error {
	return s.change(account, func(*Account) { s.signOut(account, "") })
}

// ExpireSessions ends all sessions of all accounts, as if they had expired.
func (s *Site) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// SetSessionLife sets the lifetime of new sessions. Defaults to 12 hours.
func (s *Site) SetSessionLife(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// Code returns the code that the site expects from an account's latest sign-in. It
// reports false if the site does not expect one.
func (s *Site) Code(account string) (code string, waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var latest time.Time
	for _, c := range s.codeFor {
		if c.account == account && time.Now().Before(c.expiresAt) && c.expiresAt.After(latest) {
			code, waiting, latest = c.code, true, c.expiresAt
		}
	}
	return code, waiting
}

func (s *Site) change(account string, f func(*Account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[account]
	if a == nil {
		return errNoAccount(account)
	}
	f(a)
	return nil
}

// signOut ends the sessions of an account, except one, and its sign-ins that wait for a
// code. The caller holds the lock.
func (s *Site) signOut(account, but string) {
	for id, session := range s.sessions {
		if session.account == account && id != but {
			delete(s.sessions, id)
		}
	}
	for id, code := range s.codeFor {
		if code.account == account {
			delete(s.codeFor, id)
		}
	}
}

// begin creates a session. The caller holds the lock.
func (s *Site) begin(account string) (id string) {
	now := time.Now()
	for old, session := range s.sessions {
		if !now.Before(session.expiresAt) {
			delete(s.sessions, old)
		}
	}
	id = rand.Text()
	s.sessions[id] = siteSession{account, now.Add(s.life)}
	return id
}

// signIn checks a password. It returns a session, or a sign-in that waits for a code, or
// neither if the name or the password is wrong.
func (s *Site) signIn(name, password string) (session, awaiting string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[name]
	if a == nil || a.Password != password {
		return "", ""
	}
	if !a.SecondFactor {
		return s.begin(name), ""
	}
	now := time.Now()
	for id, code := range s.codeFor {
		if !now.Before(code.expiresAt) {
			delete(s.codeFor, id)
		}
	}
	awaiting = rand.Text()
	s.codeFor[awaiting] = &awaitedCode{account: name, code: newCode(), expiresAt: now.Add(codeLife)}
	return "", awaiting
}

// newCode returns six random digits.
func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // crypto/rand does not fail.
	}
	return fmt.Sprintf("%06d", n)
}

// enterCode checks a code. ended reports whether the sign-in is over: it is already used
// or expired, or this was the last try.
func (s *Site) enterCode(awaiting, code string) (session string, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codeFor[awaiting]
	if c == nil || !time.Now().Before(c.expiresAt) {
		delete(s.codeFor, awaiting)
		return "", true
	}
	if strings.TrimSpace(code) == c.code {
		delete(s.codeFor, awaiting)
		return s.begin(c.account), true
	}
	c.tries++
	if c.tries == codeTries {
		delete(s.codeFor, awaiting)
	}
	return "", c.tries == codeTries
}

// signedIn returns the account and the session of a request.
func (s *Site) signedIn(r *http.Request) (account Account, session string, ok bool) {
	cookie, err := r.Cookie(s.cookie)
	if err != nil {
		return Account{}, "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[cookie.Value]
	if !ok || !time.Now().Before(found.expiresAt) {
		return Account{}, "", false
	}
	a := s.accounts[found.account]
	account = *a
	account.Letters = slices.Clone(a.Letters)
	return account, cookie.Value, true
}

// letter returns the letter with a number. It reports false if there is none.
func letter(a Account, number string) (Letter, bool) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(a.Letters) {
		return Letter{}, false
	}
	return a.Letters[n-1], true
}
