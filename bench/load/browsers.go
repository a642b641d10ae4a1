package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchortest"
)

// result is the result for one kind of app.
type result struct {
	took              time.Duration
	starts, callbacks []time.Duration

	before  figures // warmed up and empty
	full    figures // with a connection for each flow
	emptied figures // with none again
}

// measure starts a fake and an app, and connects users.
func measure(ctx context.Context, kind string, flows, atOnce int) (r result, err error) {
	fake, err := anchortest.Start()
	if err != nil {
		return r, err
	}
	defer fake.Close()
	fake.SetCallbackStyle(anchortest.OlderCallback) // The bare app supports only this style.
	app, end, err := startApp(ctx, kind, fake)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, end()) }()

	b := newBrowsers(app, fake, atOnce)
	if _, _, err := b.connect(ctx, min(flows, 10*atOnce)); err != nil {
		return r, fmt.Errorf("warm up: %w", err)
	}
	if r.before, err = b.renewed(ctx, 0); err != nil {
		return r, err
	}
	began := time.Now()
	if r.starts, r.callbacks, err = b.connect(ctx, flows); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if r.full, err = b.figures(ctx, r.before.Goroutines); err != nil {
		return r, err
	}
	r.emptied, err = b.renewed(ctx, r.before.Goroutines)
	return r, err
}

// startApp runs this program as the app. It returns its URL and a function that ends it.
func startApp(ctx context.Context, kind string, fake *anchortest.Server) (address string, end func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", kind)
	cmd.Env = append(os.Environ(),
		"ANCHORBROWSER_BASE_URL="+fake.URL(), "ANCHOR_APP_URL="+fake.URL(),
		"ANCHORBROWSER_API_KEY="+fake.APIKey(), "ANCHOR_APPLICATION_ID="+fake.ApplicationID())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the app printed no URL: %w", err), end())
	}
	return strings.TrimSpace(address), end, nil
}

// browsers connect users of an app.
type browsers struct {
	app    string
	fake   *anchortest.Server
	atOnce int
	client *http.Client
}

func newBrowsers(app string, fake *anchortest.Server, atOnce int) *browsers {
	return &browsers{app: app, fake: fake, atOnce: atOnce, client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: atOnce},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// connect connects n new users, and returns the durations of their two requests.
func (b *browsers) connect(ctx context.Context, flows int) (starts, callbacks []time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	starts, callbacks = make([]time.Duration, flows), make([]time.Duration, flows)
	next := make(chan int)
	var working sync.WaitGroup
	for range b.atOnce {
		working.Go(func() {
			for i := range next {
				var err error
				if starts[i], callbacks[i], err = b.flow(ctx, fmt.Sprintf("user-%06d", i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range flows {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	working.Wait()
	return starts, callbacks, context.Cause(ctx)
}

// flow goes through one user's flow.
func (b *browsers) flow(ctx context.Context, user string) (start, callback time.Duration, err error) {
	began := time.Now()
	res, err := b.do(ctx, http.MethodPost, b.app+"/connect", user, "", http.StatusSeeOther)
	if err != nil {
		return 0, 0, err
	}
	start = time.Since(began)

	back, err := b.fake.Approve(ctx, res.Header.Get("Location"))
	if err != nil {
		return 0, 0, err
	}
	var cookies []string
	for _, cookie := range res.Cookies() {
		cookies = append(cookies, cookie.Name+"="+cookie.Value)
	}
	began = time.Now()
	_, err = b.do(ctx, http.MethodGet, back, user, strings.Join(cookies, "; "), http.StatusSeeOther)
	return start, time.Since(began), err
}

// do makes a request, reads the response to its end and requires a status.
func (b *browsers) do(ctx context.Context, method, address, user, cookies string, status int) (*http.Response, error) {
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
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	res, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return nil, err
	}
	if res.StatusCode != status {
		return nil, fmt.Errorf("%s was answered with %s", method, res.Status)
	}
	return res, nil
}

// renewed gives the app an empty store and returns its figures.
func (b *browsers) renewed(ctx context.Context, goroutines int) (figures, error) {
	if _, err := b.do(ctx, http.MethodPost, b.app+"/renew", "", "", http.StatusOK); err != nil {
		return figures{}, err
	}
	return b.figures(ctx, goroutines)
}

// figures returns the app's figures once it has only this many goroutines, or after a
// timeout.
func (b *browsers) figures(ctx context.Context, goroutines int) (f figures, err error) {
	b.client.CloseIdleConnections()
	for range 50 {
		if f, err = b.askFigures(ctx); err != nil || f.Goroutines == goroutines {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-time.After(100 * time.Millisecond): // Connections take a moment to end.
		}
	}
	return f, nil
}

func (b *browsers) askFigures(ctx context.Context) (f figures, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.app+"/figures", nil)
	if err != nil {
		return f, err
	}
	res, err := b.client.Do(r)
	if err != nil {
		return f, err
	}
	defer res.Body.Close()
	return f, json.NewDecoder(res.Body).Decode(&f)
}
