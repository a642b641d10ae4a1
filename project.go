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
	// projectAge is how long the list of the project's applications is cached. A new
	// application is unknown until then.
	projectAge = 10 * time.Minute

	// projectPatience is how long a user waits for that list, and projectRetry how long
	// it is not read again after a failure. Meanwhile the application's own list decides.
	projectPatience = 3 * time.Second
	projectRetry    = time.Minute

	// maxListPages is how many pages of an application's list are read for one identity:
	// 10,000 identities, with the page size of Anchor's own clients.
	maxListPages = 200

	// maxSearchPages is how many pages of the search for the identity's name are read
	// before the whole list is.
	maxSearchPages = 2

	// maxListFailures is how often reading the list may fail for one pending flow.
	maxListFailures = 3
)

// project knows the sites of all applications of the key's project. One key sees the
// identities of all of them, and an identity does not name its application. Its site does,
// if no other application has that site.
type project struct {
	anchor *anchorhttp.Client
	now    func() time.Time

	mu      sync.Mutex
	sites   map[string]string // by application id; nil: not known
	err     error             // why it is not known
	askedAt time.Time
	asking  *projectCall // nil: no call is under way
}

// projectCall is a call that any number of requests wait for.
type projectCall struct {
	done  chan struct{} // closed when the call has ended
	sites map[string]string
	err   error
}

// ask returns the sites of the project's applications. Concurrent callers share one call
// to Anchor; each waits for it or for its own ctx.
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
		// The first caller may go away while the others wait.
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

// namesApplication reports whether an identity with this source is certainly of the
// application: it has the application's site, which no other application of the project
// has.
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

// holds reports whether an identity is one of the application's. If its site does not
// tell, as for an account service on another host or for two applications of one site
// (staging beside production), the application's own list of identities decides.
func (a *Application) holds(ctx context.Context, tokenHash string, identity anchorhttp.Identity) (bool, error) {
	// If the project's list cannot be read, the application's list decides too, so that
	// one failing endpoint does not fail every callback.
	sites, err := a.h.project.ask(ctx)
	switch {
	case err == nil && namesApplication(sites, a.id, identity.Source):
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	return a.listing.holds(ctx, tokenHash, identity)
}

// listing looks identities up in an application's list, which grows with the application.
// One request at a time reads the whole list, and once for a pending flow: a user must not
// be able to have it read again and again.
type listing struct {
	anchor *anchorhttp.Client
	id     string
	now    func() time.Time

	turn chan struct{} // a lock for reading the whole list

	mu    sync.Mutex
	flows map[string]*listedFlow // by token hash
}

// listedFlow is what is known of a flow for which the list was read.
type listedFlow struct {
	turn chan struct{} // a lock for a request of this flow
	at   time.Time

	// The turn guards these.
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

// pardon removes a refusal, for a flow whose own callback is still to come.
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
	// The search goes on if the browser hangs up, so that hanging up does not avoid the
	// outcome. Waiting for the turn does not count against its time.
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

// errListFails is returned if the list is not read again for a flow.
var errListFails = fmt.Errorf("%w: the application's list could not be read %d times", anchorhttp.ErrInvalidAnswer, maxListFailures)

// search searches for the identity's name first, which finds nearly every identity at
// once. How Anchor matches names is undocumented, so it reads the whole list before it
// reports false.
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

// errNoTurn is returned if other requests kept reading the list.
var errNoTurn = errors.New("waiting to read the application's list")

// errEndless is returned if a list has more pages than are read.
var errEndless = fmt.Errorf("%w: the application's list has too many pages", anchorhttp.ErrInvalidAnswer)

// find reads a list up to the page with the identity, and reports whether there is one.
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

// noSite is the site of an address without a host.
const noSite = "none"

// siteOf returns the host of an address, with a port other than the scheme's, in a form to
// compare. It removes "www.", the one prefix under which the same site is published by
// custom.
func siteOf(address string) string {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, ":") {
		// Anchor's own examples have applications with a bare host.
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
