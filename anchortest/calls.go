package anchortest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Limits of [Server.Calls]. The oldest calls are discarded first.
const (
	maxCalls      = 10_000
	maxCallsBytes = 32 << 20
)

// A Call is a request that the fake received. It has no API key, no identity token
// and no input of the hosted page.
type Call struct {
	// Method and Path are the request's, without the query.
	Method, Path string
	// Query is the query of an API call. It is nil for the hosted page.
	Query url.Values
	// Body is the body of an API call, cut after a mebibyte, where the fake stops
	// reading. It is nil for the hosted page.
	Body []byte
	// Authorized is true if the request had the fake's API key.
	Authorized bool
	// At is when the call arrived, by the fake's clock.
	At time.Time
	// Status is the HTTP status of the answer. It is zero while the call is in
	// progress, and stays zero if the connection was dropped.
	Status int
}

// Calls returns the calls in the order of their arrival: the last 10,000, or fewer
// if their bodies exceed 32 MiB.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls.kept))
	for i, c := range s.calls.kept {
		calls[i] = *c
		calls[i].Body = slices.Clone(c.Body)
	}
	return calls
}

// CountCalls returns how many of [Server.Calls] have this method and path. Both are
// matched as in a [Fault]: an empty method matches any method, and the path is a
// prefix, or a pattern if it contains an asterisk.
func (s *Server) CountCalls(method, path string) int {
	match := mustMatcher(method, path)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls.kept {
		if match(c.Method, c.Path) {
			n++
		}
	}
	return n
}

// ForgetCalls discards [Server.Calls].
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = callLog{}
}

// A callLog keeps the newest calls within the limits.
type callLog struct {
	kept  []*Call
	bytes int
}

func (l *callLog) add(c *Call) {
	l.kept = append(l.kept, c)
	l.bytes += len(c.Body)
	for len(l.kept) > maxCalls || l.bytes > maxCallsBytes {
		l.bytes -= len(l.kept[0].Body)
		l.kept[0] = nil // The underlying array is still referenced.
		l.kept = l.kept[1:]
	}
}

func (s *Server) record(r *http.Request, body []byte) *Call {
	call := &Call{
		Method:     r.Method,
		Path:       r.URL.Path,
		Authorized: s.authorized(r),
		At:         s.time(),
	}
	if isAPI(r) {
		call.Query, call.Body = r.URL.Query(), body
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.add(call)
	return call
}

func (s *Server) recordStatus(call *Call, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call.Status = status
}
