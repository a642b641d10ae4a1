package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

const userHeader = "X-User"

// A browser has its own connections and keeps them alive.
type browser struct {
	app    string
	fake   *anchortest.Server
	client *http.Client
}

func newBrowser(app string, fake *anchortest.Server) *browser {
	return &browser{app, fake, &http.Client{
		Transport:     &http.Transport{IdleConnTimeout: time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// visits returns a subject whose users connect to an app.
func visits(name, app string, fake *anchortest.Server) subject {
	return subject{name, func() func(context.Context, string) (waits, error) { return newBrowser(app, fake).flow }}
}

// flow goes through a user's flow: the start, an immediate sign-in on the hosted page, the
// callback, and the page to which it redirects.
func (b *browser) flow(ctx context.Context, user string) (w waits, err error) {
	began := time.Now()
	started, err := b.do(ctx, http.MethodPost, b.app+"/connect", user, nil, http.StatusSeeOther)
	if err != nil {
		return w, err
	}
	w.start = time.Since(began)

	back, err := b.fake.Approve(ctx, started.Header.Get("Location"))
	if err != nil {
		return w, err
	}
	began = time.Now()
	finished, err := b.do(ctx, http.MethodGet, back, user, started.Cookies(), http.StatusSeeOther)
	if err != nil {
		return w, err
	}
	w.callback = time.Since(began)

	page, err := url.JoinPath(b.app, "/dashboard")
	if err != nil {
		return w, err
	}
	if to := finished.Header.Get("Location"); to != successURL {
		return w, fmt.Errorf("the callback redirects to %q", to)
	}
	_, err = b.do(ctx, http.MethodGet, page, user, nil, http.StatusOK)
	w.page = time.Since(began)
	return w, err
}

// do makes a request, reads the response to its end and checks the status.
func (b *browser) do(ctx context.Context, method, address, user string, cookies []*http.Cookie, status int) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set(userHeader, user)
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Origin", b.app)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	res, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != status {
		return nil, fmt.Errorf("%s was answered with %s: %.200s", method, res.Status, strings.TrimSpace(string(body)))
	}
	return res, nil
}

// anchorAlone makes only the call to Anchor for which a start and the published callback
// wait.
func anchorAlone(fake *anchortest.Server) subject {
	return subject{"Anchor alone", func() func(context.Context, string) (waits, error) {
		client := fake.Client()
		identity := fake.PutIdentity(anchortest.Identity{})
		return func(ctx context.Context, user string) (w waits, err error) {
			began := time.Now()
			if _, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/identity-callback"); err != nil {
				return w, err
			}
			w.start = time.Since(began)
			began = time.Now()
			update := anchorhttp.IdentityUpdate{Metadata: map[string]any{"externalUserId": user}}
			err = client.UpdateIdentity(ctx, identity.ID, update)
			w.callback = time.Since(began)
			return w, err
		}
	}}
}
