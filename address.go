package connect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parsePublicURL returns the address with its origin as browsers write it in an
// Origin header, and its path without a trailing slash.
func parsePublicURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New(`is missing: set it to the app's own address, such as "https://your-app.com"`)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not an address: %w", err)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf(`is %q: it needs a scheme and a host, such as "https://your-app.com"`, s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("has a user, a query or a fragment: leave only scheme, host and path")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("is %q: Anchor returns only to https; use http only with a loopback host in development", s)
	case u.EscapedPath() != u.Path:
		return nil, fmt.Errorf("has the path %q: use a prefix that needs no escaping", u.EscapedPath())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if u.Path != "" && path.Clean(u.Path) != u.Path {
		return nil, fmt.Errorf("has the path %q: write it without empty and dotted parts", u.Path)
	}
	if u.Host, err = browserHost(u); err != nil {
		return nil, err
	}
	return u, nil
}

var hostName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// browserHost returns the host and port of an address as browsers write them in
// an Origin header.
func browserHost(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Zone() == "":
		host = ip.String()
		if ip.Is6() {
			host = "[" + host + "]"
		}
	case !hostName.MatchString(host):
		return "", fmt.Errorf("has the host %q: write it as browsers do, other scripts in punycode (xn--…)", host)
	}
	text := u.Port()
	if text == "" {
		return host, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("has the port %q: it goes from 1 to 65535", text)
	}
	if u.Scheme == "https" && port == 443 || u.Scheme == "http" && port == 80 {
		return host, nil
	}
	return fmt.Sprintf("%s:%d", host, port), nil
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// parseDestination checks an address of the app's own configuration.
func parseDestination(s, otherwise string) (string, error) {
	if s == "" {
		return otherwise, nil
	}
	if isLocalPath(s) {
		return s, nil
	}
	u, err := url.Parse(s)
	if err != nil || hasControls(s) || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", fmt.Errorf(`is %q: it needs to be a local path such as "/dashboard", or an http(s) address`, s)
	}
	return s, nil
}

// isLocalPath reports whether a browser that is redirected to s stays on this origin.
// Browsers take "//" and, since they read "\" as "/", also "/\" for the beginning of
// another host, and drop tabs and line ends anywhere.
func isLocalPath(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.Contains(s, `\`) ||
		len(s) > maxReturnTo || !utf8.ValidString(s) {
		return false
	}
	if hasControls(s) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// hasControls reports whether an address has characters that end a header's line or that
// browsers drop. url.Parse does not look for them in the fragment.
func hasControls(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// inASCII escapes the letters of other scripts in an address, for a header, which
// is read as ASCII, or as Latin-1 by scripts (RFC 9110, section 5.5).
func inASCII(address string) string {
	var escaped []byte
	done := 0 // how much of the address is in escaped
	for i := range len(address) {
		if c := address[i]; c >= utf8.RuneSelf {
			escaped = fmt.Appendf(append(escaped, address[done:i]...), "%%%02X", c)
			done = i + 1
		}
	}
	if done == 0 {
		return address
	}
	return string(append(escaped, address[done:]...))
}
