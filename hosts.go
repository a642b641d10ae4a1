package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// hosts are the addresses that a handler serves. With one address every request is at
// it, whatever its Host header says, because a proxy may have rewritten that. With
// several, the app's own list or function decides which one a request is at.
type hosts struct {
	scheme string // of all addresses
	prefix string // their path, without a trailing slash
	origin string // scheme://host[:port] of PublicURL, as browsers write it

	known map[string]string // with PublicURLs: origins by the Host header
	find  func(*http.Request) (string, error)
}

// newHosts checks the addresses of the configuration. It reports each problem by
// unusable.
func newHosts(cfg Config, unusable func(field, format string, args ...any)) hosts {
	public, err := parsePublicURL(cfg.PublicURL)
	if err != nil {
		unusable("PublicURL", "%w", err)
		return hosts{}
	}
	h := hosts{scheme: public.Scheme, prefix: public.Path, origin: originOf(public), find: cfg.PublicURLOf}
	if len(cfg.PublicURLs) > 0 {
		h.known = map[string]string{public.Host: h.origin}
	}
	for i, address := range cfg.PublicURLs {
		origin, err := h.parse(address)
		if err != nil {
			unusable(fmt.Sprintf("PublicURLs[%d]", i), "%w", err)
			continue
		}
		_, host, _ := strings.Cut(origin, "://")
		h.known[host] = origin
	}
	if len(cfg.PublicURLs) > 0 && cfg.PublicURLOf != nil {
		unusable("PublicURLOf", "is set beside PublicURLs: use the function alone, and look the set up in it")
	}
	return h
}

func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// several reports whether there may be more than one address.
func (h hosts) several() bool { return h.known != nil || h.find != nil }

// destination returns the address of a field that browsers are redirected to, or
// otherwise if the field is empty.
func (h hosts) destination(field, address, otherwise string, unusable func(field, format string, args ...any)) string {
	parsed, err := parseDestination(address, otherwise)
	switch {
	case err != nil:
		unusable(field, "%w", err)
	case parsed != "" && h.several() && !isLocalPath(parsed):
		unusable(field, "is %q with several hosts: use a local path, so that users stay on their host", address)
	}
	return parsed
}

// parse returns the origin of an address beside PublicURL. Routes and cookies are the
// same on all hosts, so scheme and path are too.
func (h hosts) parse(address string) (string, error) {
	u, err := parsePublicURL(address)
	switch {
	case err != nil:
		return "", err
	case u.Scheme != h.scheme:
		return "", fmt.Errorf("is %q: use %s, as in PublicURL", address, h.scheme)
	case u.Path != h.prefix:
		return "", fmt.Errorf("is %q: use the path of PublicURL, %q", address, h.prefix)
	}
	return originOf(u), nil
}

// at returns which of several origins a request is at. If it is at none of the app's,
// the error is ErrWrongOrigin.
func (h hosts) at(r *http.Request) (string, error) {
	if h.find == nil {
		if origin, ok := h.known[r.Host]; ok {
			return origin, nil
		}
		// Browsers write hosts in one way, other clients may not.
		if host, err := browserHost(&url.URL{Scheme: h.scheme, Host: r.Host}); err == nil {
			if origin, ok := h.known[host]; ok {
				return origin, nil
			}
		}
		return "", fmt.Errorf("%w: none of Config.PublicURLs has the host %q", ErrWrongOrigin, clip(r.Host))
	}
	address, err := h.find(r)
	switch {
	case errors.Is(err, ErrWrongOrigin), err == nil && address == "":
		return "", fmt.Errorf("%w: Config.PublicURLOf knows no address for the host %q", ErrWrongOrigin, clip(r.Host))
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrHostLookup, err)
	}
	origin, err := h.parse(address)
	if err != nil {
		return "", fmt.Errorf("%w: what Config.PublicURLOf returned %w", ErrHostLookup, err)
	}
	return origin, nil
}

type originKey struct{}

// withOrigin returns the request with the origin that it is at in its context.
func (h *Handler) withOrigin(r *http.Request) (*http.Request, error) {
	if !h.hosts.several() {
		return r, nil
	}
	origin, err := h.hosts.at(r)
	if err != nil {
		return r, err
	}
	return r.WithContext(context.WithValue(r.Context(), originKey{}, origin)), nil
}

// originAt returns the origin that withOrigin has found.
func (h *Handler) originAt(r *http.Request) string {
	if origin, ok := r.Context().Value(originKey{}).(string); ok {
		return origin
	}
	return h.hosts.origin
}

// cookiesAt returns the state cookies of the host that a request is at.
func (h *Handler) cookiesAt(r *http.Request) stateCookies { return h.cookies.at(h.originAt(r)) }

// nobodysHost is the host of nobody's site: ".invalid" is reserved (RFC 2606).
const nobodysHost = "connect-verify.invalid"

// verify asks PublicURLOf about a request that names a host of nobody's.
func (h hosts) verify(ctx context.Context) error {
	if h.find == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	return recovered(func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.scheme+"://"+nobodysHost+h.prefix+connectPath, http.NoBody)
		if err != nil {
			return err
		}
		r.RequestURI = r.URL.RequestURI()
		r.Header.Set("X-Forwarded-Host", nobodysHost)
		r.Header.Set("Forwarded", "host="+nobodysHost)
		switch origin, err := h.at(r); {
		case errors.Is(err, ErrWrongOrigin):
			return nil
		case err != nil:
			return fmt.Errorf("connect: Config.PublicURLOf fails for a host that it does not know: return connect.ErrWrongOrigin for it: %w", err)
		case strings.HasSuffix(origin, "://"+nobodysHost):
			return fmt.Errorf("connect: Config.PublicURLOf believes any Host header: it took %q for an address of the app's. Look the host up among your own", nobodysHost)
		}
		return nil
	})
}
