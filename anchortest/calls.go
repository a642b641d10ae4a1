package anchortest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// What [Server.Calls] keeps at most: older calls are forgotten first.
const (
	maxCalls      = 10_000
	maxCallsBytes = 32 << 20
)

// A Call is a request that the fake was sent. It holds no API key and no
// identity token, and nothing of what was typed on the hosted page.
type Call struct {
	// Method and Path are those of the request, the path without its query.
	Method, Path string
	// Query is the query of an API call. It is nil for the hosted page.
	Query url.Values
	// Body is the body of an API call. It is nil for the hosted page, and cut
	// at a megabyte, where the fake stops reading.
	Body []byte
	// Authorized says whether the request carried the fake's API key.
	Authorized bool
	// At is when the call arrived, by the fake's clock.
	At time.Time
	// Status is the HTTP status that was sent: zero while the call is under
	// way, and for good when the connection was dropped instead.
	Status int
}

// Calls returns the calls that were made, in the order of their arrival: the
// last 10,000, or fewer when their bodies come to more than 32 MiB.
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

// CountCalls tells how many of [Server.Calls] have this method and path, both
// matched as in a [Fault]: an empty method is any method, and the path is a
// prefix, or a pattern when it holds a star.
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

// ForgetCalls empties [Server.Calls].
func (s *Server) ForgetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = callLog{}
}

// A callLog keeps the newest calls within the bounds above.
type callLog struct {
	kept  []*Call
	bytes int
}

func (l *callLog) add(c *Call) {
	l.kept = append(l.kept, c)
	l.bytes += len(c.Body)
	for len(l.kept) > maxCalls || l.bytes > maxCallsBytes {
		l.bytes -= len(l.kept[0].Body)
		l.kept[0] = nil // The array behind the slice lives on for a while.
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
