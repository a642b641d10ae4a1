package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// A signIn is what the sandbox stores for an identity.
type signIn struct {
	account, password string // the password is "" if none is stored
	cookies           []*http.Cookie
}

// progress is the result of a step of signing in at the site.
type progress int

const (
	refused progress = iota
	needsCode
	signedIn
)

// A visitor signs in at the site as a browser does: it sends the site's forms, keeps
// the cookies and follows the redirects.
type visitor struct {
	site   string
	client *http.Client
	jar    *recorder
}

// siteTransport keeps no idle connections, so that Close leaves none, and uses no proxy,
// since the site is on this machine.
var siteTransport = &http.Transport{DisableKeepAlives: true}

// siteTimeout bounds a request to the site.
const siteTimeout = 10 * time.Second

func newVisitor(site string) *visitor {
	inner, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // It does not fail without options.
	}
	jar := &recorder{inner: inner}
	return &visitor{site: site, jar: jar, client: &http.Client{Transport: siteTransport, Timeout: siteTimeout, Jar: jar}}
}

// signIn sends a name and a password. If the site refuses them, says is its message.
func (v *visitor) signIn(ctx context.Context, name, password string) (at progress, says string, err error) {
	return v.submit(ctx, signInPath, url.Values{"name": {name}, "password": {password}})
}

// enterCode sends the code of the second factor.
func (v *visitor) enterCode(ctx context.Context, code string) (at progress, says string, err error) {
	return v.submit(ctx, codePath, url.Values{"code": {code}})
}

// alert matches the message of a page that refuses a form.
var alert = regexp.MustCompile(`role="alert">([^<]*)<`)

func (v *visitor) submit(ctx context.Context, path string, form url.Values) (at progress, says string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		return refused, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := v.client.Do(r)
	if err != nil {
		return refused, "", fmt.Errorf("sign in at the site: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return refused, "", fmt.Errorf("sign in at the site: %w", err)
	}
	if found := alert.FindSubmatch(body); found != nil {
		says = html.UnescapeString(string(found[1]))
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return refused, says, nil
	case res.StatusCode == http.StatusOK && res.Request.URL.Path == inboxPath:
		return signedIn, "", nil
	case res.StatusCode == http.StatusOK && res.Request.URL.Path == codePath:
		return needsCode, "", nil
	}
	return refused, "", fmt.Errorf("sign in at the site: it answered %s", res.Status)
}

// cookies returns the cookies that the site has set and not removed, with all their
// attributes.
func (v *visitor) cookies() []*http.Cookie { return v.jar.kept() }

// A recorder is a cookie jar that records cookies with all their attributes.
type recorder struct {
	inner http.CookieJar
	mu    sync.Mutex
	set   []*http.Cookie
}

func (j *recorder) Cookies(u *url.URL) []*http.Cookie { return j.inner.Cookies(u) }

func (j *recorder) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.inner.SetCookies(u, cookies)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, cookie := range cookies {
		j.set = slices.DeleteFunc(j.set, func(old *http.Cookie) bool { return old.Name == cookie.Name })
		if cookie.MaxAge >= 0 {
			j.set = append(j.set, cookie)
		}
	}
}

func (j *recorder) kept() []*http.Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.set)
}

// works reports whether the cookies are signed in at the site.
func (s *Server) works(ctx context.Context, cookies []*http.Cookie) (bool, error) {
	if len(cookies) == 0 {
		return false, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.site.URL()+inboxPath, nil)
	if err != nil {
		return false, err
	}
	for _, cookie := range cookies {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	client := &http.Client{
		Transport: siteTransport, Timeout: siteTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	if err != nil {
		return false, fmt.Errorf("check the sign-in: %w", err)
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK, nil
}

// stored returns a copy of what is stored for an identity, or nil.
func (s *Server) stored(identityID string) *signIn {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.identities[identityID]
	if found == nil {
		return nil
	}
	clone := *found
	return &clone
}

// signInAgain signs an identity in with the stored name and password. If no password is
// stored, it returns the stored cookies if they still work. If the identity cannot be
// signed in, the error is an [*anchortest.APIError].
func (s *Server) signInAgain(ctx context.Context, identityID string) ([]*http.Cookie, error) {
	kept := s.stored(identityID)
	if kept != nil && kept.password == "" {
		if ok, err := s.works(ctx, kept.cookies); ok || err != nil {
			return kept.cookies, err
		}
	}
	if kept == nil || kept.password == "" {
		return nil, &anchortest.APIError{
			Status:  http.StatusPreconditionFailed,
			Message: "Profile is not authenticated: no password is stored.",
		}
	}
	v := newVisitor(s.site.URL())
	at, says, err := v.signIn(ctx, kept.account, kept.password)
	switch {
	case err != nil:
		return nil, err
	case at == needsCode:
		return nil, &anchortest.APIError{
			Status:  http.StatusPreconditionFailed,
			Message: "Profile is not authenticated: the site asks for a code.",
		}
	case at == refused:
		return nil, &anchortest.APIError{
			Status:  http.StatusUnprocessableEntity,
			Message: "Identity authentication failed. The site says: " + cmp.Or(says, "no."),
		}
	}
	cookies := v.cookies()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identities[identityID] != nil { // It may have been deleted.
		s.identities[identityID] = &signIn{kept.account, kept.password, cookies}
	}
	return cookies, nil
}

// cookiesOf returns the cookies of an identity for a session. Unless skip is set, it
// checks them, and signs the identity in again if they no longer work. If that fails, the
// identity's status becomes failed.
func (s *Server) cookiesOf(ctx context.Context, identityID string, skip bool) ([]*http.Cookie, error) {
	var cookies []*http.Cookie
	if kept := s.stored(identityID); kept != nil {
		cookies = kept.cookies
	}
	if skip {
		return cookies, nil
	}
	ok, err := s.works(ctx, cookies)
	if err != nil {
		return nil, err
	}
	if !ok {
		cookies, err = s.signInAgain(ctx, identityID)
		var answer *anchortest.APIError
		if errors.As(err, &answer) {
			// It fails only if the identity was deleted meanwhile.
			_ = s.fake.FailIdentity(ctx, identityID)
		}
		if err != nil {
			return nil, err
		}
	}
	if identity, found := s.fake.Identity(identityID); found && (!ok || identity.Status != anchortest.StatusValidated) {
		_ = s.fake.Reauthenticate(ctx, identityID) // It fails only if the identity was deleted.
	}
	return cookies, nil
}
