package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
)

var errNoPage = errors.New("the browser has no page")

// pages tracks the pages of a browser. The current page is the one whose URL changed
// last, ignoring blank pages.
type pages struct {
	mu    sync.Mutex
	urls  map[string]string // by target
	order []string          // the targets, in the order of their last change
	news  chan struct{}     // closed and replaced at each change
}

func newPages() *pages {
	return &pages{urls: make(map[string]string), news: make(chan struct{})}
}

// event processes an event of the browser (CDP, domain Target).
func (p *pages) event(method string, params json.RawMessage) {
	var e struct {
		Info struct {
			ID   string `json:"targetId"`
			Type string `json:"type"`
			URL  string `json:"url"`
		} `json:"targetInfo"`
		ID string `json:"targetId"`
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Target.targetCreated", "Target.targetInfoChanged":
		url, known := p.urls[e.Info.ID]
		if e.Info.Type != "page" || known && url == e.Info.URL {
			return
		}
		p.drop(e.Info.ID)
		p.urls[e.Info.ID] = e.Info.URL
		p.order = append(p.order, e.Info.ID)
		close(p.news)
		p.news = make(chan struct{})
	case "Target.targetDestroyed":
		p.drop(e.ID)
	}
}

func (p *pages) drop(id string) {
	delete(p.urls, id)
	for i, other := range p.order {
		if other == id {
			p.order = append(p.order[:i:i], p.order[i+1:]...)
			return
		}
	}
}

// current returns the current page. It reports false if there is none.
func (p *pages) current() (id, url string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.order) - 1; i >= 0; i-- {
		if id, url = p.order[i], p.urls[p.order[i]]; !blank(url) {
			return id, url, true
		}
	}
	return id, url, id != ""
}

// first waits for the first page of the browser.
func (p *pages) first(ctx context.Context) (id string, err error) {
	err = p.wait(ctx, func() bool {
		if len(p.order) > 0 {
			id = p.order[0]
		}
		return id != ""
	})
	return id, err
}

// left waits until a page is not blank.
func (p *pages) left(ctx context.Context, id string) error {
	return p.wait(ctx, func() bool { return !blank(p.urls[id]) })
}

// wait waits until condition, which it calls with the lock held, returns true.
func (p *pages) wait(ctx context.Context, condition func() bool) error {
	for {
		p.mu.Lock()
		ok, news := condition(), p.news
		p.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func blank(url string) bool { return url == "" || url == "about:blank" }
