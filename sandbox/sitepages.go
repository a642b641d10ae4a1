package sandbox

import (
	"fmt"
	"net/http"
	"time"
)

// The site's messages for refused sign-ins.
const (
	wrongPassword = "The user name or the password is wrong."
	wrongCode     = "The code is wrong."
	oldCode       = "The code is no longer valid. Sign in again."
)

// The paths that a visitor uses.
const (
	signInPath = "/sign-in"
	codePath   = "/sign-in/code"
	inboxPath  = "/inbox"
)

// sitePage is the data of the site's templates.
type sitePage struct {
	Title   string
	Account Account
	Letter  Letter
	Name    string // in a refused sign-in
	Error   string
	Notice  string
	Codes   string // the URL of the page that shows codes
}

// routes returns the handler of the site's pages. It refuses cross-origin POSTs.
func (s *Site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { redirect(w, inboxPath) })
	mux.HandleFunc("GET "+signInPath, s.showSignIn)
	mux.HandleFunc("POST "+signInPath, s.submitSignIn)
	mux.HandleFunc("GET "+codePath, s.showCode)
	mux.HandleFunc("POST "+codePath, s.submitCode)
	mux.HandleFunc("POST /sign-out", s.submitSignOut)
	mux.HandleFunc("GET "+inboxPath, s.private(s.showInbox))
	mux.HandleFunc("GET "+inboxPath+"/{letter}", s.private(s.showLetter))
	mux.HandleFunc("GET /settings", s.private(s.showSettings))
	mux.HandleFunc("POST /settings/password", s.private(s.submitPassword))
	mux.HandleFunc("POST /settings/second-factor", s.private(s.submitSecondFactor))
	mux.HandleFunc("POST /settings/sign-out-everywhere", s.private(s.submitSignOutEverywhere))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.write(w, http.StatusNotFound, "missing", sitePage{Title: "This page does not exist"})
	})
	return onlyLoopback(http.NewCrossOriginProtection().Handler(mux))
}

// private returns a handler that calls h if the user is signed in, and redirects to the
// sign-in page otherwise.
func (s *Site) private(h func(http.ResponseWriter, *http.Request, Account, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		account, session, ok := s.signedIn(r)
		if !ok {
			redirect(w, signInPath)
			return
		}
		h(w, r, account, session)
	}
}

func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

func (s *Site) write(w http.ResponseWriter, status int, name string, p sitePage) {
	p.Codes = s.codes
	writePage(w, status, "'self'", siteTemplates, name, p)
}

func (s *Site) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Expires: time.Now().Add(life), MaxAge: int(life.Seconds()),
	}
	if value == "" {
		cookie.Expires, cookie.MaxAge = time.Unix(1, 0), -1
	}
	http.SetCookie(w, cookie)
}

func (s *Site) codeCookie() string { return s.cookie + "-code" }

func (s *Site) showSignIn(w http.ResponseWriter, r *http.Request) {
	if _, _, ok := s.signedIn(r); ok {
		redirect(w, inboxPath)
		return
	}
	s.write(w, http.StatusOK, "sign-in", sitePage{Title: "Sign in"})
}

func (s *Site) submitSignIn(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	session, awaiting := s.signIn(name, r.PostFormValue("password"))
	switch {
	case session != "":
		s.enter(w, session)
	case awaiting != "":
		s.setCookie(w, s.codeCookie(), awaiting, codeLife)
		redirect(w, codePath)
	default:
		s.write(w, http.StatusUnauthorized, "sign-in", sitePage{Title: "Sign in", Name: name, Error: wrongPassword})
	}
}

// enter sets the session's cookie and redirects to the inbox.
func (s *Site) enter(w http.ResponseWriter, session string) {
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	s.setCookie(w, s.cookie, session, life)
	redirect(w, inboxPath)
}

func (s *Site) showCode(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(s.codeCookie()); err != nil {
		redirect(w, signInPath)
		return
	}
	s.write(w, http.StatusOK, "code", sitePage{Title: "Enter your code"})
}

func (s *Site) submitCode(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(s.codeCookie())
	if err != nil {
		redirect(w, signInPath)
		return
	}
	session, ended := s.enterCode(cookie.Value, r.PostFormValue("code"))
	if ended {
		s.setCookie(w, s.codeCookie(), "", 0)
	}
	switch {
	case session != "":
		s.enter(w, session)
	case ended:
		s.write(w, http.StatusUnauthorized, "sign-in", sitePage{Title: "Sign in", Error: oldCode})
	default:
		s.write(w, http.StatusUnauthorized, "code", sitePage{Title: "Enter your code", Error: wrongCode})
	}
}

func (s *Site) submitSignOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(s.cookie); err == nil {
		s.mu.Lock()
		delete(s.sessions, cookie.Value)
		s.mu.Unlock()
	}
	s.setCookie(w, s.cookie, "", 0)
	redirect(w, signInPath)
}

func (s *Site) showInbox(w http.ResponseWriter, _ *http.Request, a Account, _ string) {
	s.write(w, http.StatusOK, "inbox", sitePage{Title: "Inbox", Account: a})
}

func (s *Site) showLetter(w http.ResponseWriter, r *http.Request, a Account, _ string) {
	found, ok := letter(a, r.PathValue("letter"))
	if !ok {
		s.write(w, http.StatusNotFound, "missing", sitePage{Title: "This letter does not exist", Account: a})
		return
	}
	s.write(w, http.StatusOK, "letter", sitePage{Title: found.Subject, Account: a, Letter: found})
}

func (s *Site) showSettings(w http.ResponseWriter, r *http.Request, a Account, _ string) {
	p := sitePage{Title: "Settings", Account: a}
	switch r.URL.Query().Get("done") {
	case "password":
		p.Notice = "Your password was changed. You are signed out everywhere else."
	case "second-factor":
		p.Notice = fmt.Sprintf("The second factor is %s.", map[bool]string{true: "on", false: "off"}[a.SecondFactor])
	}
	s.write(w, http.StatusOK, "settings", p)
}

func (s *Site) submitPassword(w http.ResponseWriter, r *http.Request, a Account, session string) {
	refuse := func(why string) {
		s.write(w, http.StatusUnprocessableEntity, "settings", sitePage{Title: "Settings", Account: a, Error: why})
	}
	password := r.PostFormValue("new")
	switch {
	case r.PostFormValue("password") != a.Password:
		refuse("The current password is wrong.")
		return
	case password == "":
		refuse("The new password is empty.")
		return
	}
	_ = s.change(a.Name, func(kept *Account) { // The account exists: accounts are never removed.
		kept.Password = password
		s.signOut(a.Name, session)
	})
	redirect(w, "/settings?done=password")
}

func (s *Site) submitSecondFactor(w http.ResponseWriter, _ *http.Request, a Account, _ string) {
	_ = s.SetSecondFactor(a.Name, !a.SecondFactor) // The account exists.
	redirect(w, "/settings?done=second-factor")
}

func (s *Site) submitSignOutEverywhere(w http.ResponseWriter, _ *http.Request, a Account, _ string) {
	_ = s.SignOutEverywhere(a.Name) // The account exists.
	s.setCookie(w, s.cookie, "", 0)
	redirect(w, signInPath)
}
