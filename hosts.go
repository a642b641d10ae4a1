package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// hosts are the addresses that a handler serves. If there is one, every request is for
// it, whatever its Host header says, because a proxy may have rewritten that. If there are
// several, the app's own list or function decides.
type hosts struct {
	scheme string // of all addresses
	prefix string // their path, without a trailing slash
	origin string // scheme://host[:port] of PublicURL, as browsers write it

	known map[string]string // with PublicURLs: origins by the Host header
	find  func(*http.Request) (string, error)
}

// newHosts returns the addresses of the configuration. It reports each problem to
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

// at returns which of several origins a request is for. The error is ErrWrongOrigin if
// it is for none of the app's.
func (h hosts) at(r *http.Request) (string, error) {
	if h.find == nil {
		if origin, ok := h.known[r.Host]; ok {
			return origin, nil
		}
		// Clients other than browsers may write the host differently.
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
		return "", fmt.Errorf("%w: the address that Config.PublicURLOf returned %w", ErrHostLookup, err)
	}
	return origin, nil
}

type originKey struct{}

// withOrigin returns the request with its origin in the context.
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

// originAt returns the origin that a request is for, as found by withOrigin.
func (h *Handler) originAt(r *http.Request) string {
	if origin, ok := r.Context().Value(originKey{}).(string); ok {
		return origin
	}
	return h.hosts.origin
}

// cookiesAt returns the state cookies of the host that a request is for.
func (h *Handler) cookiesAt(r *http.Request) stateCookies { return h.cookies.at(h.originAt(r)) }

// nobodysHost is a host that no site has: ".invalid" is reserved (RFC 2606).
const nobodysHost = "connect-verify.invalid"

// verify calls PublicURLOf with a request for a host that no site has.
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
			return fmt.Errorf("connect: Config.PublicURLOf fails for an unknown host, where it should return connect.ErrWrongOrigin: %w", err)
		case strings.HasSuffix(origin, "://"+nobodysHost):
			return fmt.Errorf("connect: Config.PublicURLOf believes any Host header: it took %q for an address of the app. Look the host up among the app's own", nobodysHost)
		}
		return nil
	})
}
