package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// onlyLoopback refuses requests by a host name that is not this machine's. A page
// whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends its own.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			http.Error(w, "The sandbox serves this machine alone: use 127.0.0.1 or localhost.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopbackHost reports whether a Host header names this machine by its looks (RFC
// 6761, section 6.3, for localhost): nothing is looked up.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// ownOrigin reports whether a request comes from a program, which sends no Origin, or
// from the origin that it was sent to. Browsers send one with every WebSocket (RFC
// 6455, section 4.1), so a page of another origin cannot drive a session.
func ownOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Scheme == "http" && u.Host == r.Host
}
