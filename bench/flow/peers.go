package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"
	"github.com/markbates/goth"
	"github.com/markbates/goth/gothic"
	"github.com/markbates/goth/providers/openidConnect"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// A peer is a library with the same two steps: start and callback.
type peer struct {
	begin, finish http.Handler
	beginURL      string
	beginStatus   int
	finishURL     string
}

func (p peer) beginVisits(n int) []visit {
	return visitsOf(n, func(i int) visit { return newVisit(http.MethodGet, p.beginURL, userID(i)) })
}

// startOf returns the step of a peer's start.
func startOf(name string, make func() (peer, error)) step {
	return step{name, func(n int) (func(int) error, error) {
		p, err := make()
		if err != nil {
			return nil, err
		}
		return answering(p.begin, p.beginStatus, p.beginVisits(n)), nil
	}}
}

// callbackOf returns the step of a peer's callback.
func callbackOf(name string, make func() (peer, error)) step {
	return step{name, func(n int) (func(int) error, error) {
		p, err := make()
		if err != nil {
			return nil, err
		}
		var visits []visit
		for _, v := range p.beginVisits(n + 1) {
			location, cookies, err := begin(p.begin, v, p.beginStatus)
			if err != nil {
				return nil, err
			}
			back := p.finishURL + "code=code&state=" + url.QueryEscape(location.Query().Get("state"))
			visits = append(visits, newVisit(http.MethodGet, back, v.user, cookies...))
		}
		do := answering(p.finish, http.StatusSeeOther, visits)
		// The first callback of a process reads the provider's keys.
		return do, do(n)
	}}
}

// newGoth returns goth with its OpenID Connect provider and a cookie store.
func newGoth() (peer, error) {
	op, err := newProvider()
	if err != nil {
		return peer{}, err
	}
	p, err := openidConnect.NewCustomisedURL(clientID, secret, publicURL+"/auth/callback",
		issuer+"/authorize", issuer+"/token", issuer, issuer+"/userinfo", "", oidc.ScopeOpenID)
	if err != nil {
		return peer{}, err
	}
	p.HTTPClient = op.client()
	goth.UseProviders(p)
	store := sessions.NewCookieStore(bytes.Repeat([]byte("s"), 32), bytes.Repeat([]byte("e"), 32))
	store.Options.HttpOnly, store.Options.Secure = true, true
	gothic.Store = store
	return peer{
		begin:       http.HandlerFunc(gothic.BeginAuthHandler),
		beginURL:    publicURL + "/auth?provider=" + p.Name(),
		beginStatus: http.StatusTemporaryRedirect,
		finishURL:   publicURL + "/auth/callback?provider=" + p.Name() + "&",
		finish: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := gothic.CompleteUserAuth(w, r); err != nil {
				http.Error(w, "cannot sign in", http.StatusForbidden)
				return
			}
			http.Redirect(w, r, successURL, http.StatusSeeOther)
		}),
	}, nil
}

// newZitadel returns the relying party of zitadel/oidc with its sealed state cookie, as in
// its example. It checks the ID token unless it is only OAuth 2.
func newZitadel(oauthOnly, pkce bool) func() (peer, error) {
	return func() (peer, error) {
		op, err := newProvider()
		if err != nil {
			return peer{}, err
		}
		cookies := httphelper.NewCookieHandler(bytes.Repeat([]byte("s"), 32), bytes.Repeat([]byte("e"), 32))
		options := []rp.Option{
			rp.WithHTTPClient(op.client()),
			rp.WithCookieHandler(cookies),
			rp.WithVerifierOpts(rp.WithIssuedAtOffset(5 * time.Second)),
		}
		if pkce {
			options = append(options, rp.WithPKCE(cookies))
		}
		var party rp.RelyingParty
		if oauthOnly {
			party, err = rp.NewRelyingPartyOAuth(op.config(), options...)
		} else {
			party, err = rp.NewRelyingPartyOIDC(context.Background(), issuer, clientID, secret, publicURL+"/auth/callback",
				[]string{oidc.ScopeOpenID}, options...)
		}
		if err != nil {
			return peer{}, err
		}
		finish := func(w http.ResponseWriter, r *http.Request, _ *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty) {
			http.Redirect(w, r, successURL, http.StatusSeeOther)
		}
		return peer{
			begin:       rp.AuthURLHandler(rand.Text, party),
			beginURL:    publicURL + "/auth",
			beginStatus: http.StatusFound,
			finishURL:   publicURL + "/auth/callback?",
			finish:      rp.CodeExchangeHandler(finish, party),
		}, nil
	}
}

var (
	// exchangeCall and exchangeCalls are only the peers' calls to their provider: the code
	// exchange, and for goth also the user's claims.
	exchangeCall = step{"a provider's code exchange alone", func(int) (func(int) error, error) {
		op, err := newProvider()
		if err != nil {
			return nil, err
		}
		config := op.config()
		return func(int) error { return op.exchange(config) }, nil
	}}
	exchangeCalls = step{"a provider's code exchange and user info alone", func(int) (func(int) error, error) {
		op, err := newProvider()
		if err != nil {
			return nil, err
		}
		config := op.config()
		return func(int) error { return errors.Join(op.exchange(config), op.userInfo()) }, nil
	}}

	// gorillaSession reads and writes a sealed session cookie of gorilla.
	gorillaSession = step{"gorilla `CookieStore`, `Get` and `Save`", func(n int) (func(int) error, error) {
		store := sessions.NewCookieStore(bytes.Repeat([]byte("s"), 32), bytes.Repeat([]byte("e"), 32))
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, err := store.Get(r, "app")
			if err != nil {
				http.Error(w, "no session", http.StatusForbidden)
				return
			}
			if session.IsNew {
				session.Values["user_id"] = r.Header.Get(userHeader)
			}
			if err := session.Save(r, w); err != nil {
				http.Error(w, "not saved", http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusOK)
		})
		visits, err := withSessions(h, n)
		return answering(h, http.StatusOK, visits), err
	}}

	// scsSession loads a session from scs's memory store. Nothing changes, so nothing is
	// saved: the cheapest case.
	scsSession = step{"scs `LoadAndSave`, memory store", func(n int) (func(int) error, error) {
		manager := scs.New()
		manager.Cookie.Name = "app"
		first := manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			manager.Put(r.Context(), "user_id", r.Header.Get(userHeader))
			w.WriteHeader(http.StatusOK)
		}))
		visits, err := withSessions(first, n)
		h := manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if manager.GetString(r.Context(), "user_id") != "" {
				w.WriteHeader(http.StatusOK)
			}
		}))
		return answering(h, http.StatusOK, visits), err
	}}
)

// withSessions returns n visits with a session that h has created.
func withSessions(h http.Handler, n int) ([]visit, error) {
	var visits []visit
	for i := range n {
		v := newVisit(http.MethodGet, publicURL+"/reports", userID(i))
		_, cookies, err := begin(h, v, http.StatusOK)
		if err != nil {
			return nil, err
		}
		v.cookie += "; " + strings.Join(cookies, "; ")
		visits = append(visits, v)
	}
	return visits, nil
}
