package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/bench/internal/bare"
)

const (
	publicURL  = "https://app.example.com"
	successURL = "/dashboard?connected=true"
	userHeader = "X-User"
)

func userID(i int) string     { return fmt.Sprintf("user-%06d", i) }
func identityID(i int) string { return fmt.Sprintf("abcdefab-0000-4000-8000-%012x", i) }

// A visit is a request from a browser to the app.
type visit struct {
	method string
	url    *url.URL
	line   string // the request target
	user   string
	cookie string // all of the header
}

func newVisit(method, address, user string, cookies ...string) visit {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // Our own address.
	}
	cookies = append([]string{"session=MTc2NDA2MTU2MXxEWDhFQVFMX2dBQUJFQUVRQUFBal80QUFBUVp6ZEhKcGJtY01"}, cookies...)
	return visit{method: method, url: u, line: u.RequestURI(), user: user, cookie: strings.Join(cookies, "; ")}
}

// traffic sends the requests of visits. It reuses the request and the response writer, so
// that they cost almost nothing.
type traffic struct {
	post, get, request http.Request
	header             http.Header // of the answer
	status             int
}

func newTraffic() *traffic {
	request := func(method string, header http.Header) http.Request {
		r := http.Request{
			Method: method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: http.NoBody,
		}
		header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
		header.Set("Accept-Encoding", "gzip, deflate, br")
		header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		header.Set("Cookie", "")
		header.Set(userHeader, "")
		return *r.WithContext(context.Background())
	}
	return &traffic{
		post: request(http.MethodPost, http.Header{
			"Content-Type":   {"application/x-www-form-urlencoded"},
			"Origin":         {publicURL},
			"Sec-Fetch-Site": {"same-origin"},
		}),
		get:    request(http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}}),
		header: make(http.Header),
	}
}

// send sends a visit to a handler. It returns an error if the status is another one.
func (t *traffic) send(v visit, h http.Handler, status int) error {
	if v.method == http.MethodPost {
		t.request = t.post
	} else {
		t.request = t.get
	}
	r := &t.request
	r.URL, r.Host, r.RequestURI = v.url, v.url.Host, v.line
	r.Header["Cookie"][0], r.Header[userHeader][0] = v.cookie, v.user
	clear(t.header)
	t.status = 0
	h.ServeHTTP(t, r)
	if t.status != status {
		return fmt.Errorf("%s %s was answered with %d, not %d", v.method, v.url.Path, t.status, status)
	}
	return nil
}

// Header implements [http.ResponseWriter].
func (t *traffic) Header() http.Header { return t.header }

// WriteHeader implements [http.ResponseWriter].
func (t *traffic) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
}

// Write implements [http.ResponseWriter].
func (t *traffic) Write(p []byte) (int, error) {
	t.WriteHeader(http.StatusOK)
	return len(p), nil
}

// begin starts a flow and returns the URL of the redirect and the Cookie header of the
// browser's next request.
func begin(h http.Handler, v visit, status int) (*url.URL, []string, error) {
	t := newTraffic()
	if err := t.send(v, h, status); err != nil {
		return nil, nil, err
	}
	location, err := url.Parse(t.header.Get("Location"))
	if err != nil {
		return nil, nil, err
	}
	var cookies []string
	for _, line := range t.header["Set-Cookie"] {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			return nil, nil, err
		}
		cookies = append(cookies, cookie.Name+"="+cookie.Value)
	}
	return location, cookies, nil
}

// answering returns a function that sends prepared visits and requires a status.
func answering(h http.Handler, status int, visits []visit) func(i int) error {
	t := newTraffic()
	return func(i int) error { return t.send(visits[i], h, status) }
}

// newConnect returns connect, configured as in an app.
func newConnect(a *anchor) (*connect.Handler, *connect.MemoryStore, error) {
	store := connect.NewMemoryStore()
	h, err := connect.New(connect.Config{
		Anchor:        a.client(),
		ApplicationID: applicationID,
		PublicURL:     publicURL,
		Store:         store,
		User:          func(r *http.Request) (connect.User, error) { return connect.User{ID: r.Header.Get(userHeader)}, nil },
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		SuccessURL:    successURL,
		Logger:        slog.New(slog.DiscardHandler),
	})
	return h, store, err
}

func newBare(a *anchor) *bare.Handler {
	return &bare.Handler{
		Anchor:        a.client(),
		ApplicationID: applicationID,
		PublicURL:     publicURL,
		SuccessURL:    successURL,
		User:          func(r *http.Request) string { return r.Header.Get(userHeader) },
	}
}

// visitsOf returns n visits.
func visitsOf(n int, make func(i int) visit) []visit {
	var visits []visit
	for i := range n {
		visits = append(visits, make(i))
	}
	return visits
}

// startVisits returns n visits that start a flow.
func startVisits(n int) []visit {
	return visitsOf(n, func(i int) visit { return newVisit(http.MethodPost, publicURL+"/connect", userID(i)) })
}

var (
	// startCall and callbackCalls are only the calls to Anchor of the two steps.
	startCall = step{"Anchor's call alone", func(int) (func(int) error, error) {
		client := newAnchor().client()
		return func(int) error {
			_, err := client.CreateIdentityToken(context.Background(), applicationID, publicURL+"/identity-callback")
			return err
		}, nil
	}}
	callbackCalls = step{"Anchor's two calls alone", func(n int) (func(int) error, error) {
		client := newAnchor().client()
		ids := make([]string, n)
		for i := range ids {
			ids[i] = identityID(i)
		}
		return func(i int) error {
			identity, err := client.Identity(context.Background(), ids[i])
			if err != nil {
				return err
			}
			metadata := map[string]any{"externalUserId": "user-000000", "connectedAt": "2026-01-02T03:04:05Z"}
			return client.UpdateIdentity(context.Background(), identity.ID, anchorhttp.IdentityUpdate{Metadata: metadata})
		}, nil
	}}

	bareStart = step{"bare", func(n int) (func(int) error, error) {
		h := newBare(newAnchor())
		return answering(http.HandlerFunc(h.Start), http.StatusSeeOther, startVisits(n)), nil
	}}
	bareCallback = step{"bare", func(n int) (func(int) error, error) {
		h := newBare(newAnchor())
		return answering(http.HandlerFunc(h.Callback), http.StatusSeeOther, visitsOf(n, func(i int) visit {
			return newVisit(http.MethodGet, publicURL+"/identity-callback?identityId="+identityID(i), userID(i))
		})), nil
	}}

	connectStart = step{"connect", func(n int) (func(int) error, error) {
		h, _, err := newConnect(newAnchor())
		return answering(h, http.StatusSeeOther, startVisits(n)), err
	}}
	connectCallback = step{"connect", func(n int) (func(int) error, error) {
		a := newAnchor()
		h, _, err := newConnect(a)
		if err != nil {
			return nil, err
		}
		a.remember = true
		var visits []visit
		for _, start := range startVisits(n + 1) {
			_, cookies, err := begin(h, start, http.StatusSeeOther)
			if err != nil {
				return nil, err
			}
			back := a.callbackURL + "?identityId=" + identityID(len(visits))
			visits = append(visits, newVisit(http.MethodGet, back, start.user, cookies...))
		}
		do := answering(h, http.StatusSeeOther, visits)
		// The first callback of a process reads the application.
		return do, do(n)
	}}

	connectRequire = step{"`RequireIdentity`, memory store", func(n int) (func(int) error, error) {
		h, store, err := newConnect(newAnchor())
		if err != nil {
			return nil, err
		}
		for i := range n {
			if err := keep(store, i); err != nil {
				return nil, err
			}
		}
		next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := connect.FromContext(r.Context()); ok {
				w.WriteHeader(http.StatusOK)
			}
		})
		return answering(h.RequireIdentity(next), http.StatusOK, visitsOf(n, func(i int) visit {
			return newVisit(http.MethodGet, publicURL+"/reports", userID(i))
		})), nil
	}}
)

// keep gives a user a connection.
func keep(store connect.Store, i int) error {
	ctx, now := context.Background(), time.Now()
	err := store.Bind(ctx, connect.Pending{
		TokenHash: userID(i), ApplicationID: applicationID, UserID: userID(i), IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}, 1)
	if err != nil {
		return err
	}
	_, err = store.Complete(ctx, userID(i), connect.Connection{
		ID: userID(i), ApplicationID: applicationID, UserID: userID(i), IdentityID: identityID(i), ConnectedAt: now, Health: connect.HealthOK, HealthAt: now,
	}, connect.Completion{TagAfter: now})
	return err
}
