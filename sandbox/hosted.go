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

// maxWrong is the number of refused sign-ins after which the visit fails.
const maxWrong = 3

// An attempt is the sign-in of a visit to the hosted page.
type attempt struct {
	expiresAt time.Time // the token's

	mu                sync.Mutex // held during calls to the site
	wrong             int
	account, password string
	visitor           *visitor // waits for a code; nil otherwise
}

// hostedPage is the data of the hosted page's templates.
type hostedPage struct {
	Title, Help           string
	Token, UserName       string
	Site, ReturnTo, Codes string
	Account, Error        string
	name, formTarget      string
	status                int
}

// attemptOf returns the attempt for a token. It creates it if necessary.
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
		writePage(w, answer.Status, "'none'", hostedTemplates, "message", hostedPage{Title: "Something went wrong", Help: answer.Message})
	case err != nil:
		s.log.ErrorContext(r.Context(), "the hosted page cannot sign in", "error", err)
		page.status, page.Error = http.StatusBadGateway, "The site does not respond. Try again."
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

// submitHostedPage processes the form. When the visit is over, it returns the callback
// URL; otherwise it returns "" and updates page to the one to show next.
func (s *Server) submitHostedPage(r *http.Request, page *hostedPage, visit anchortest.Visit) (callbackURL string, err error) {
	ctx := r.Context()
	hostedURL := s.fake.HostedPageURL(page.Token, page.UserName)
	switch r.PostFormValue("outcome") {
	case "cancel":
		defer s.forgetAttempt(page.Token)
		return s.fake.Cancel(ctx, hostedURL)
	case "approve":
	default:
		return "", &anchortest.APIError{Status: http.StatusBadRequest, Message: "The form was sent without a button's value. Go back and press a button."}
	}

	a := s.attemptOf(page.Token, visit.ExpiresAt)
	a.mu.Lock()
	defer a.mu.Unlock()
	code, isCode := r.PostForm["code"]
	if isCode && a.visitor == nil {
		page.Error = oldCode
		return "", nil
	}
	var at progress
	var says string
	if isCode {
		at, says, err = a.visitor.enterCode(ctx, code[0])
	} else {
		at, says, err = a.signIn(ctx, s.site.URL(), r.PostFormValue("account"), r.PostFormValue("password"))
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

// signIn begins a sign-in at the site, with a new visitor. The caller holds the lock.
func (a *attempt) signIn(ctx context.Context, site, account, password string) (at progress, says string, err error) {
	a.account, a.password = account, password
	a.visitor = newVisitor(site)
	at, says, err = a.visitor.signIn(ctx, account, password)
	if at != needsCode && at != signedIn {
		a.visitor = nil
	}
	return at, says, err
}

// approve creates the identity and stores its cookies. The lock keeps others from using
// the identity before the cookies are stored, even if its event is already on the way.
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

// identityOf returns the identity in a callback URL, in either spelling.
func identityOf(callbackURL string) (string, error) {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return "", errors.New("the callback cannot be parsed")
	}
	// The parameters may follow a second question mark.
	if found := identityParameter.FindStringSubmatch(u.RawQuery); found != nil {
		return found[1], nil
	}
	return "", errors.New("the callback has no identity")
}

var identityParameter = regexp.MustCompile(`(?:^|[&?])identity(?:_id|Id)=([0-9a-f-]{36})(?:&|$)`)

func writeTokenError(w http.ResponseWriter, err error) {
	status, page := http.StatusNotFound, hostedPage{
		Title: "This link is not valid",
		Help:  "The sandbox does not know this link. It forgets everything when it restarts. Go back to the app and start again.",
	}
	switch {
	case errors.Is(err, anchortest.ErrTokenUsed):
		status, page.Title, page.Help = http.StatusGone, "This link was already used",
			"A link works once. Go back to the app, and start again if your account is not connected."
	case errors.Is(err, anchortest.ErrTokenExpired):
		status, page.Title, page.Help = http.StatusGone, "This link has expired",
			"A link works for 15 minutes. Go back to the app and start again."
	}
	writePage(w, status, "'none'", hostedTemplates, "message", page)
}

// SignIn signs in on the hosted page as a user does in a browser. hostedURL is the URL to
// which the app redirected the browser. If the site asks for a code, SignIn enters it.
// SignIn returns the callback URL, to which the browser is redirected next.
//
// If the hosted page refuses the sign-in, the error contains its message. As on the
// page, the token can be used again; the third refusal returns the callback URL of a
// failed flow.
func (s *Server) SignIn(ctx context.Context, hostedURL, account, password string) (callbackURL string, err error) {
	u, err := url.Parse(hostedURL)
	if err != nil {
		return "", errors.New("sandbox: the URL of the hosted page cannot be parsed")
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
	says := "it shows an unexpected page"
	if found := alert.FindStringSubmatch(body); found != nil {
		says = found[1]
	}
	return "", fmt.Errorf("sandbox: the hosted page refused the sign-in: %s", says)
}

// submit sends a form and returns the Location and the body of the response.
func submit(ctx context.Context, address string, form url.Values) (location, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", errors.New("sandbox: the URL of the hosted page is invalid")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := siteTransport.RoundTrip(r) // Follows no redirects.
	if err != nil {
		return "", "", fmt.Errorf("sandbox: call the hosted page: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", "", fmt.Errorf("sandbox: read the hosted page: %w", err)
	}
	return res.Header.Get("Location"), string(text), nil
}
