package connect

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/anchorconnect/connect/anchorhttp"
)

// applicationSite tells whether an identity belongs to an application. One key
// sees the identities of every application of a project, and an identity does
// not name its own, so its site is compared with the application's, which is
// asked for once and kept. Where the two differ, as for an account service on
// another host, or where several of the handler's applications have that site,
// the application's list of identities has the last word.
type applicationSite struct {
	anchor *anchorhttp.Client
	id     string
	others []*applicationSite // of the handler's other applications

	mu     sync.Mutex
	site   string    // empty: not known yet
	asking *siteCall // nil: nobody asks at the moment
}

// siteCall is one call for the site, which any number of requests wait for.
type siteCall struct {
	done chan struct{} // closed when the answer is there
	site string
	err  error
}

// holds tells whether the identity is one of the application's.
func (a *applicationSite) holds(ctx context.Context, identity anchorhttp.Identity) (bool, error) {
	site, err := a.ask(ctx)
	if err != nil {
		return false, err
	}
	if site == siteOf(identity.Source) && site != noSite && a.isAlone(ctx, site) {
		return true, nil
	}
	// The list grows with the app. Its search by name finds most at once; how
	// it matches is undocumented, so the whole list is read before a refusal.
	if identity.Name != "" {
		listed, err := a.lists(ctx, identity.ID, anchorhttp.IdentityFilter{Search: identity.Name})
		if listed || err != nil {
			return listed, err
		}
	}
	return a.lists(ctx, identity.ID, anchorhttp.IdentityFilter{})
}

// isAlone tells whether the site is certainly that of no other application which
// the handler serves. Where it cannot be told the list decides, so that trouble
// with one application is not that of another.
func (a *applicationSite) isAlone(ctx context.Context, site string) bool {
	for _, other := range a.others {
		if others, err := other.ask(ctx); err != nil || others == site {
			return false
		}
	}
	return true
}

func (a *applicationSite) lists(ctx context.Context, identityID string, filter anchorhttp.IdentityFilter) (bool, error) {
	for item, err := range a.anchor.ApplicationIdentities(ctx, a.id, filter) {
		if err != nil {
			return false, err
		}
		if item.ID == identityID {
			return true, nil
		}
	}
	return false, nil
}

// ask returns the application's site. However many ask at once, Anchor is asked
// once, and each waits for the answer or for its own ctx.
func (a *applicationSite) ask(ctx context.Context) (string, error) {
	a.mu.Lock()
	if a.site != "" {
		defer a.mu.Unlock()
		return a.site, nil
	}
	call := a.asking
	if call == nil {
		call = &siteCall{done: make(chan struct{})}
		a.asking = call
		// Whoever came first may go away: the others want the answer too.
		go a.call(context.WithoutCancel(ctx), call)
	}
	a.mu.Unlock()
	select {
	case <-call.done:
		return call.site, call.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (a *applicationSite) call(ctx context.Context, call *siteCall) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	defer func() {
		// The app's own transport may panic. In a request's goroutine net/http
		// would recover that; here it would end the process.
		if v := recover(); v != nil {
			call.err = fmt.Errorf("panic: %v", v)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.site, a.asking = call.site, nil // A failure is forgotten: the next asks again.
		close(call.done)
	}()
	application, err := a.anchor.Application(ctx, a.id)
	if call.err = err; err == nil {
		call.site = siteOf(application.URL)
	}
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
