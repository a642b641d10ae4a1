package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// The requests that users wait for.
const (
	start      = "start"
	callback   = "callback"
	disconnect = "disconnect"
)

// A kind is a request in a phase.
type kind struct {
	phase   phase
	request string
}

// waits has the durations of successful requests and the number of failed ones.
type waits struct {
	took   []time.Duration
	failed int
}

// A user is a user who has connected an account.
type user struct {
	id, application, identityID string
	disconnected                bool
}

// users connect and disconnect.
type users struct {
	app    string
	anchor *anchor
	client *http.Client
	number atomic.Int64

	mu    sync.Mutex
	waits map[kind]*waits
	known []*user
}

func newUsers(app string, a *anchor) *users {
	return &users{app: app, anchor: a, waits: make(map[kind]*waits), client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1000},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// connect connects a new user to an application. It reports whether it succeeded.
func (u *users) connect(ctx context.Context, application string) (*user, bool) {
	id := fmt.Sprintf("user-%07d", u.number.Add(1))
	started, ok := u.do(ctx, start, http.MethodPost, u.app+"/connect"+suffix(application), id, nil)
	if !ok {
		return nil, false
	}
	back, err := u.anchor.fake.Approve(ctx, started.Header.Get("Location"))
	if err != nil {
		return nil, false
	}
	if _, ok := u.do(ctx, callback, http.MethodGet, back, id, started.Cookies()); !ok {
		return nil, false
	}
	address, err := url.Parse(back)
	if err != nil {
		return nil, false
	}
	connected := &user{id: id, application: application, identityID: address.Query().Get("identity_id")}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known = append(u.known, connected)
	return connected, true
}

func (u *users) disconnect(ctx context.Context, leaving *user) {
	if _, ok := u.do(ctx, disconnect, http.MethodPost, u.app+"/disconnect"+suffix(leaving.application), leaving.id, nil); ok {
		u.mu.Lock()
		defer u.mu.Unlock()
		leaving.disconnected = true
	}
}

// suffix returns the suffix of an application's routes.
func suffix(application string) string {
	if application == "" {
		return ""
	}
	return "/" + application
}

// do makes a request and reports whether the response is a redirect.
func (u *users) do(ctx context.Context, request, method, address, id string, cookies []*http.Cookie) (*http.Response, bool) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, false
	}
	r.Header.Set(userHeader, id)
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Origin", u.app)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	before, began := u.anchor.now(), time.Now()
	res, err := u.client.Do(r)
	ok := err == nil && res.StatusCode == http.StatusSeeOther
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		ok = ok && err == nil
		res.Body.Close()
	}
	if ctx.Err() == nil {
		u.record(kind{worse(before, u.anchor.now()), request}, time.Since(began), ok)
	}
	return res, ok
}

func (u *users) record(k kind, took time.Duration, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w := u.waits[k]
	if w == nil {
		w = new(waits)
		u.waits[k] = w
	}
	if ok {
		w.took = append(w.took, took)
	} else {
		w.failed++
	}
}

// arrive connects rate users per second, to both applications in turn, until ctx ends. It
// returns when the last one has finished.
func (u *users) arrive(ctx context.Context, rate int) {
	var connecting sync.WaitGroup
	defer connecting.Wait()
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		application := []string{"", small}[n%2]
		connecting.Go(func() { u.connect(context.WithoutCancel(ctx), application) })
	}
}

// leave disconnects users, spread evenly over a time. It returns when the last one has
// finished.
func (u *users) leave(ctx context.Context, leaving []*user, over time.Duration) {
	var group sync.WaitGroup
	defer group.Wait()
	for i, one := range leaving {
		group.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(over * time.Duration(i) / time.Duration(len(leaving))):
				u.disconnect(ctx, one)
			}
		})
	}
}

// A queue counts the calls that Anchor has not received yet.
type queue struct{ tags, deletions int }

func (q queue) size() int { return q.tags + q.deletions }

// queued returns the users whose identity is not tagged or deleted yet.
func (u *users) queued() (queued []user) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, one := range u.known {
		if !u.anchor.has(one.write()) {
			queued = append(queued, *one)
		}
	}
	return queued
}

// write returns the call that the user's identity needs.
func (one user) write() write {
	if one.disconnected {
		return write{http.MethodDelete, one.identityID}
	}
	return write{http.MethodPut, one.identityID}
}

// queuedFor counts the calls for an application.
func queuedFor(application string, queued []user) (q queue) {
	for _, one := range queued {
		switch {
		case one.application != application:
		case one.disconnected:
			q.deletions++
		default:
			q.tags++
		}
	}
	return q
}

// waited returns the durations so far.
func (u *users) waited() map[kind]waits {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(map[kind]waits)
	for k, w := range maps.All(u.waits) {
		all[k] = *w
	}
	return all
}
