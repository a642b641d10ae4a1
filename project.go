package connect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	// projectAge is how long the answer about the project's applications is kept.
	// An application that is added meanwhile is not known until then.
	projectAge = 10 * time.Minute

	// projectPatience is how long a person waits for that answer, and projectRetry
	// how long nobody asks again after a failure. Meanwhile the application's own
	// list decides.
	projectPatience = 3 * time.Second
	projectRetry    = time.Minute

	// maxListPages is how many pages of an application's list are read for one
	// identity: 10,000 identities, as Anchor's own clients page.
	maxListPages = 200

	// maxSearchPages is how many pages of those with the identity's name are read
	// before all of them are.
	maxSearchPages = 2

	// maxListFailures is how often the list may fail for one pending flow before it
	// is not asked again.
	maxListFailures = 3
)

// project knows the sites of all applications of the key's project. One key sees
// the identities of all of them, and an identity does not name its own. So its
// site names the application where no other application has that site.
type project struct {
	anchor *anchorhttp.Client
	now    func() time.Time

	mu      sync.Mutex
	sites   map[string]string // by application id; nil: not known
	err     error             // why it is not known
	askedAt time.Time
	asking  *projectCall // nil: nobody asks at the moment
}

// projectCall is one question, whose answer any number of requests wait for.
type projectCall struct {
	done  chan struct{} // closed when the answer is there
	sites map[string]string
	err   error
}

// ask returns the sites of the project's applications. However many ask at once,
// Anchor is asked once, and each waits for the answer or for its own ctx.
func (p *project) ask(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, projectPatience)
	defer cancel()
	p.mu.Lock()
	age := p.now().Sub(p.askedAt)
	if p.sites != nil && age < projectAge || p.err != nil && age < projectRetry {
		defer p.mu.Unlock()
		return p.sites, p.err
	}
	call := p.asking
	if call == nil {
		call = &projectCall{done: make(chan struct{})}
		p.asking = call
		// Whoever came first may go away: the others want the answer too.
		go p.call(context.WithoutCancel(ctx), call)
	}
	p.mu.Unlock()
	select {
	case <-call.done:
		return call.sites, call.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *project) call(ctx context.Context, call *projectCall) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	call.err = recovered(func() (err error) {
		call.sites, err = p.read(ctx)
		return err
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sites, p.err, p.askedAt, p.asking = call.sites, call.err, p.now(), nil
	close(call.done)
}

func (p *project) read(ctx context.Context) (map[string]string, error) {
	applications, err := p.anchor.Applications(ctx)
	if err != nil {
		return nil, err
	}
	sites := make(map[string]string, len(applications))
	for _, application := range applications {
		sites[application.ID] = siteOf(application.URL)
	}
	return sites, nil
}

// namesApplication reports whether an identity with this source is certainly of
// the application: it has the application's site, and no other application of the
// project has that.
func namesApplication(sites map[string]string, applicationID, source string) bool {
	site := siteOf(source)
	if site == noSite || sites[applicationID] != site {
		return false
	}
	for id, other := range sites {
		if other == site && id != applicationID {
			return false
		}
	}
	return true
}

// holds reports whether an identity is one of the application's. Where its site
// does not say, as for an account service on another host, or for two
// applications of one site (staging beside production), the application's own
// list of identities decides.
func (a *Application) holds(ctx context.Context, tokenHash string, identity anchorhttp.Identity) (bool, error) {
	// Without an answer about the project the list decides too, so that trouble
	// with one endpoint does not end every callback.
	sites, err := a.h.project.ask(ctx)
	switch {
	case err == nil && namesApplication(sites, a.id, identity.Source):
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	return a.listing.holds(ctx, tokenHash, identity)
}

// listing looks identities up in an application's list, which grows with the
// application. One request at a time reads the list, and a pending flow costs it
// once: a user with one open must not be able to ask for it again and again.
type listing struct {
	anchor *anchorhttp.Client
	id     string
	now    func() time.Time

	turn chan struct{} // holds what the reader of the whole list takes

	mu    sync.Mutex
	flows map[string]*listedFlow // by token hash
}

// listedFlow is what is known of a flow that has cost the list.
type listedFlow struct {
	turn chan struct{} // holds what the request takes that asks for this flow
	at   time.Time

	// Only who has the turn touches these.
	found    string // the identity that was found
	refused  bool   // the list did not have the identity
	failures int
}

func newListing(h *Handler, id string) *listing {
	return &listing{anchor: h.anchor, id: id, now: h.now, turn: make(chan struct{}, 1), flows: make(map[string]*listedFlow)}
}

// flow returns what is known of a flow. It forgets flows that have expired.
func (l *listing) flow(tokenHash string) *listedFlow {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	maps.DeleteFunc(l.flows, func(_ string, f *listedFlow) bool { return now.Sub(f.at) > maxTokenLife })
	f := l.flows[tokenHash]
	if f == nil {
		f = &listedFlow{turn: make(chan struct{}, 1), at: now}
		l.flows[tokenHash] = f
	}
	return f
}

// pardon takes back a refusal, for a flow whose own return is still to come.
func (l *listing) pardon(tokenHash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.flows, tokenHash)
}

func (l *listing) holds(ctx context.Context, tokenHash string, identity anchorhttp.Identity) (bool, error) {
	f := l.flow(tokenHash)
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	switch known := f.found == identity.ID; {
	case known || f.refused:
		<-f.turn
		return known, nil
	case f.failures >= maxListFailures:
		<-f.turn
		return false, errListFails
	}
	type outcome struct {
		found bool
		err   error
	}
	done := make(chan outcome, 1)
	// It goes on when who has asked hangs up: that must save nobody from the
	// outcome. Nor does the wait for a turn come off its time.
	detached := context.WithoutCancel(ctx)
	go func() {
		defer func() { <-f.turn }()
		var o outcome
		o.err = recovered(func() (err error) {
			o.found, err = l.search(detached, identity)
			return err
		})
		switch {
		case errors.Is(o.err, errNoTurn):
		case o.err != nil:
			f.failures++
		case o.found:
			f.found = identity.ID
		default:
			f.refused = true
		}
		done <- o
	}()
	select {
	case o := <-done:
		return o.found, o.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// errListFails says that the list is not asked once more for a flow.
var errListFails = fmt.Errorf("%w: the application's list could not be read %d times", anchorhttp.ErrInvalidAnswer, maxListFailures)

// search looks for the identity's name first, which finds nearly all of them at
// once. How Anchor matches names is undocumented, so the whole list is read before
// a refusal, by one request at a time.
func (l *listing) search(ctx context.Context, identity anchorhttp.Identity) (bool, error) {
	if identity.Name != "" {
		found, err := l.find(ctx, identity.ID, anchorhttp.IdentityFilter{Search: identity.Name}, maxSearchPages)
		if found || err != nil && !errors.Is(err, errEndless) {
			return found, err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-waiting.Done():
		return false, fmt.Errorf("%w: %w", errNoTurn, waiting.Err())
	}
	return l.find(ctx, identity.ID, anchorhttp.IdentityFilter{}, maxListPages)
}

// errNoTurn says that others read the list all the time.
var errNoTurn = errors.New("waiting to read the application's list")

// errEndless says that an application's list was not read to its end.
var errEndless = fmt.Errorf("%w: the application's list has too many pages", anchorhttp.ErrInvalidAnswer)

// find reads a list up to the page that the identity is on.
func (l *listing) find(ctx context.Context, identityID string, filter anchorhttp.IdentityFilter, maxPages int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	read := 0
	for page, err := range l.anchor.ApplicationIdentityPages(ctx, l.id, filter) {
		if err != nil {
			return false, err
		}
		for _, item := range page {
			if item.ID == identityID {
				return true, nil
			}
		}
		if read++; read == maxPages {
			return false, errEndless
		}
	}
	return false, nil
}

// noSite is the site of an address without a host. It equals no other.
const noSite = "none"

// siteOf returns the host of an address, with its port when that is not the
// scheme's own, in the one form it is compared in. "www." is left out: it is
// the one prefix under which the same site is published by custom.
func siteOf(address string) string {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, ":") {
		// Anchor's own samples make applications of a bare host.
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return noSite
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	host = strings.TrimPrefix(host, "www.")
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		host += ":" + port
	}
	return host
}
