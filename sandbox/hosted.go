package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// maxWrong is how often the site may refuse a sign-in before the visit has failed.
const maxWrong = 3

// An attempt is a visit to the hosted page that has begun to sign in.
type attempt struct {
	expiresAt time.Time // with the token

	mu                sync.Mutex // held while the site is asked
	wrong             int
	account, password string
	visitor           *visitor // of a sign-in that waits for a code, nil otherwise
}

// hostedPage is what the hosted page's templates show.
type hostedPage struct {
	Title, Help           string
	Token, UserName       string
	Site, ReturnTo, Codes string
	Account, Error        string
	name, formTarget      string
	status                int
}

// attemptOf returns the attempt for a token, and makes it when it is the first.
func (s *Server) attemptOf(token string, expiresAt time.Time) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for old, a := range s.attempts {
		if now.After(a.expiresAt.Add(time.Minute)) {
			delete(s.attempts, old)
		}
	}
	a := s.attempts[token]
	if a == nil {
		a = &attempt{expiresAt: expiresAt}
		s.attempts[token] = a
	}
	return a
}

func (s *Server) forgetAttempt(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attempts, token)
}

func (s *Server) serveHostedPage(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	visit, err := s.fake.Visit(token)
	if err != nil {
		writeTokenError(w, err)
		return
	}
	page := hostedPage{
		Title: "Sign in to " + visit.ApplicationName,
		Token: token, UserName: r.FormValue("userName"),
		Site: s.site.URL(), ReturnTo: visit.ReturnTo, Codes: s.OverviewURL(),
		name: "account", formTarget: visit.FormTarget, status: http.StatusOK,
	}
	if r.Method != http.MethodPost {
		page.Account = page.UserName
		page.write(w)
		return
	}
	callbackURL, err := s.submitHostedPage(r, &page, visit)
	var answer *anchortest.APIError
	switch {
	case errors.Is(err, anchortest.ErrTokenUnknown), errors.Is(err, anchortest.ErrTokenUsed), errors.Is(err, anchortest.ErrTokenExpired):
		writeTokenError(w, err)
	case errors.As(err, &answer):
		writePage(w, answer.Status, "'none'", hostedTemplates, "message", hostedPage{Title: "That did not work", Help: answer.Message})
	case err != nil:
		s.log.ErrorContext(r.Context(), "the hosted page could not sign in", "error", err)
		page.status, page.Error = http.StatusBadGateway, "The site does not answer. Try again."
		page.write(w)
	case callbackURL != "":
		setPageHeaders(w.Header())
		w.Header().Set("Location", callbackURL)
		w.WriteHeader(http.StatusSeeOther)
	default:
		page.write(w)
	}
}

func (p hostedPage) write(w http.ResponseWriter) {
	writePage(w, p.status, "'self' "+p.formTarget, hostedTemplates, p.name, p)
}

// submitHostedPage does what the form asks for. It returns where the browser goes
// when the visit is over, and otherwise "", with page changed to what is shown next.
func (s *Server) submitHostedPage(r *http.Request, page *hostedPage, visit anchortest.Visit) (callbackURL string, err error) {
	ctx := r.Context()
	hostedURL := s.fake.HostedPageURL(page.Token, page.UserName)
	switch r.PostFormValue("outcome") {
	case "cancel":
		defer s.forgetAttempt(page.Token)
		return s.fake.Cancel(ctx, hostedURL)
	case "approve":
	default:
		return "", &anchortest.APIError{Status: http.StatusBadRequest, Message: "The form was sent without one of its buttons. Go back and press one."}
	}

	a := s.attemptOf(page.Token, visit.ExpiresAt)
	a.mu.Lock()
	defer a.mu.Unlock()
	var at progress
	var says string
	if code, ok := r.PostForm["code"]; ok && a.visitor == nil {
		page.Error = oldCode
		return "", nil
	} else if ok {
		at, says, err = a.visitor.enterCode(ctx, code[0])
	} else {
		a.account, a.password = r.PostFormValue("account"), r.PostFormValue("password")
		a.visitor = newVisitor(s.site.URL())
		at, says, err = a.visitor.signIn(ctx, a.account, a.password)
		if at != needsCode && at != signedIn {
			a.visitor = nil
		}
	}
	page.Account = a.account
	switch {
	case err != nil:
		return "", err
	case at == signedIn:
		return s.approve(ctx, page, hostedURL, a)
	case at == refused:
		if a.wrong++; a.wrong == maxWrong {
			defer s.forgetAttempt(page.Token)
			return s.fake.Fail(ctx, hostedURL)
		}
		page.status, page.Error = http.StatusUnprocessableEntity, says
		if says == oldCode {
			a.visitor = nil
		}
	}
	if a.visitor != nil {
		page.name, page.Title = "code", "Enter your code"
	}
	return "", nil
}

// approve makes the identity and keeps the cookies. Nobody can use the identity
// before they are kept, though its event may be on the way.
func (s *Server) approve(ctx context.Context, page *hostedPage, hostedURL string, a *attempt) (callbackURL string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	callbackURL, err = s.fake.Approve(ctx, hostedURL, anchortest.WithName(cmp.Or(page.UserName, a.account)))
	if err != nil {
		return "", err
	}
	delete(s.attempts, page.Token)
	id, err := identityOf(callbackURL)
	if err != nil {
		return "", err
	}
	kept := &signIn{a.account, a.password, a.visitor.cookies()}
	if s.forgets {
		kept.password = ""
	}
	s.identities[id] = kept
	return callbackURL, nil
}

// identityOf returns the identity that a callback brings, in either spelling.
func identityOf(callbackURL string) (string, error) {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return "", errors.New("the callback cannot be parsed")
	}
	// A callback may have its parameters behind a second question mark.
	if found := identityParameter.FindStringSubmatch(u.RawQuery); found != nil {
		return found[1], nil
	}
	return "", errors.New("the callback names no identity")
}

var identityParameter = regexp.MustCompile(`(?:^|[&?])identity(?:_id|Id)=([0-9a-f-]{36})(?:&|$)`)

func writeTokenError(w http.ResponseWriter, err error) {
	status, page := http.StatusNotFound, hostedPage{
		Title: "This link is not valid",
		Help:  "The sandbox does not know it. It forgets everything when it is restarted. Go back to the app and start again.",
	}
	switch {
	case errors.Is(err, anchortest.ErrTokenUsed):
		status, page.Title, page.Help = http.StatusGone, "This link was used before",
			"It works once. Go back to the app, and start again if nothing came of it."
	case errors.Is(err, anchortest.ErrTokenExpired):
		status, page.Title, page.Help = http.StatusGone, "This link has expired",
			"It works for 15 minutes. Go back to the app and start again."
	}
	writePage(w, status, "'none'", hostedTemplates, "message", page)
}

// SignIn does what a person does who signs in on the hosted page, in a browser of
// their own. hostedURL is what the app has sent the browser to. If the site asks for
// a code, it is entered. SignIn returns where the browser is sent next.
//
// A sign-in that the hosted page does not accept is an error with what it says. The
// token can be used again, as on the page, until the third one, which returns a
// callback that has failed.
func (s *Server) SignIn(ctx context.Context, hostedURL, account, password string) (callbackURL string, err error) {
	u, err := url.Parse(hostedURL)
	if err != nil {
		return "", errors.New("sandbox: the hosted page's address cannot be parsed")
	}
	form := url.Values{
		"token": {u.Query().Get("token")}, "userName": {u.Query().Get("userName")}, "outcome": {"approve"},
		"account": {account}, "password": {password},
	}
	u.RawQuery, u.Fragment = "", ""
	callbackURL, body, err := submit(ctx, u.String(), form)
	if err != nil || callbackURL != "" {
		return callbackURL, err
	}
	if code, waiting := s.site.Code(account); waiting && strings.Contains(body, `name="code"`) {
		form.Set("code", code)
		if callbackURL, body, err = submit(ctx, u.String(), form); err != nil || callbackURL != "" {
			return callbackURL, err
		}
	}
	says := "it shows another page"
	if found := alert.FindStringSubmatch(body); found != nil {
		says = found[1]
	}
	return "", fmt.Errorf("sandbox: the hosted page does not accept the sign-in: %s", says)
}

// submit sends a form and returns where its answer leads, or the page that it is.
func submit(ctx context.Context, address string, form url.Values) (location, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", errors.New("sandbox: the hosted page's address cannot be used")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := siteTransport.RoundTrip(r) // It follows no redirect.
	if err != nil {
		return "", "", fmt.Errorf("sandbox: the hosted page does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", "", fmt.Errorf("sandbox: the hosted page does not answer: %w", err)
	}
	return res.Header.Get("Location"), string(text), nil
}
