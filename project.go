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

	// maxApplications is how many applications are looked at. In a project with
	// more, the application's own list decides every time.
	maxApplications = 1000

	// maxListPages is how many pages of an application's list are read for one
	// identity: 10,000 identities, as Anchor's own clients page.
	maxListPages = 200
)

// project knows the sites of all applications of the key's project. One key sees
// the identities of all of them, and an identity does not name its own. So its
// site names the application where no other application has that site.
type project struct {
	anchor *anchorhttp.Client
	now    func() time.Time

	mu      sync.Mutex
	sites   map[string]string // by application id; nil: not known
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
	p.mu.Lock()
	if p.sites != nil && p.now().Sub(p.askedAt) < projectAge {
		defer p.mu.Unlock()
		return p.sites, nil
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
	p.sites, p.askedAt, p.asking = call.sites, p.now(), nil // A failure is forgotten: the next asks again.
	close(call.done)
}

func (p *project) read(ctx context.Context) (map[string]string, error) {
	sites := make(map[string]string)
	for application, err := range p.anchor.Applications(ctx) {
		if err != nil {
			return nil, err
		}
		if sites[application.ID] = siteOf(application.URL); len(sites) > maxApplications {
			return nil, errors.New("the project has too many applications")
		}
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
	// with one endpoint is not that of every callback.
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
// application. It reads the list for one identity at a time, and once for a
// pending flow: a user with one open must not be able to ask for it again and
// again.
type listing struct {
	anchor *anchorhttp.Client
	id     string
	now    func() time.Time

	turn chan struct{} // holds what the reader of the list takes

	mu sync.Mutex
	// refused are the flows whose identity the list did not have, by token hash,
	// and when that was. They are spent in the store too; this covers those who
	// wait for their turn meanwhile.
	refused map[string]time.Time
}

func newListing(h *Handler, id string) *listing {
	return &listing{anchor: h.anchor, id: id, now: h.now, turn: make(chan struct{}, 1), refused: make(map[string]time.Time)}
}

func (l *listing) holds(ctx context.Context, tokenHash string, identity anchorhttp.Identity) (bool, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if l.isRefused(tokenHash) {
		return false, nil
	}
	// Hanging up must not save who asks from the outcome.
	ctx, cancel := untilDeadline(ctx)
	defer cancel()
	found, err := l.search(ctx, identity)
	if !found && (err == nil || errors.Is(err, errEndless) || ctx.Err() != nil) {
		l.refuse(tokenHash)
	}
	return found, err
}

func (l *listing) isRefused(tokenHash string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, again := l.refused[tokenHash]
	return again
}

// refuse keeps a flow from costing the list again. It forgets those that have
// expired.
func (l *listing) refuse(tokenHash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	maps.DeleteFunc(l.refused, func(_ string, at time.Time) bool { return now.Sub(at) > maxTokenLife })
	l.refused[tokenHash] = now
}

// pardon takes back what refuse has done, for a flow whose own return is still to
// come.
func (l *listing) pardon(tokenHash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, tokenHash)
}

// untilDeadline is ctx for whoever goes on when it is cancelled: it ends at its
// deadline, or after as long as a person waits.
func untilDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(gatherTimeout)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// search looks for the identity's name first. How Anchor matches names is
// undocumented, so the whole list is read before a refusal.
func (l *listing) search(ctx context.Context, identity anchorhttp.Identity) (bool, error) {
	if identity.Name != "" {
		found, err := l.find(ctx, identity.ID, anchorhttp.IdentityFilter{Search: identity.Name})
		if found || err != nil {
			return found, err
		}
	}
	return l.find(ctx, identity.ID, anchorhttp.IdentityFilter{})
}

// errEndless says that an application's list was not read to its end.
var errEndless = fmt.Errorf("%w: the application's list has more than %d pages", anchorhttp.ErrInvalidAnswer, maxListPages)

func (l *listing) find(ctx context.Context, identityID string, filter anchorhttp.IdentityFilter) (bool, error) {
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
		if read++; read == maxListPages {
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
