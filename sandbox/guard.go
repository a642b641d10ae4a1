package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// onlyLoopback refuses requests whose Host is not this machine. In a DNS rebinding attack
// the Host is the attacker's.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			http.Error(w, "The sandbox serves only this machine: use 127.0.0.1 or localhost.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopbackHost reports whether a Host header names this machine, without resolving it
// (RFC 6761, section 6.3, for localhost).
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// ownOrigin reports whether a request has no Origin, as programs send none, or the origin
// of the sandbox itself. Browsers send an Origin with every WebSocket handshake (RFC 6455,
// section 4.1), so a page of another origin cannot drive a session.
func ownOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Scheme == "http" && u.Host == r.Host
}
