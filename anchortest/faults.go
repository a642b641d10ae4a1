package anchortest

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// A Fault makes calls go wrong. It matches calls by Method and Path, and
// strikes whatever key a call carries, as a gateway in front of the service
// would.
//
// When Status, Body, Endless and Drop are all zero, the call is served as
// usual, only late (Latency) or with other headers (Header). Otherwise the call
// has no effect and is answered by the fault; AfterEffect lets it take effect
// and loses its answer.
//
//	Fault{Status: 503}                                     // the documented error body
//	Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}
//	Fault{Body: "<html>…", Header: http.Header{"Content-Type": {"text/html"}}}
//	Fault{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}
//	Fault{Drop: true}                                      // no answer at all
//	Fault{Drop: true, AfterEffect: true}                   // done, but the answer is lost
//	Fault{Drop: true, Body: `{"data":`}                    // cut in the middle
//	Fault{Endless: true}                                   // a body that never ends
type Fault struct {
	// Method is the HTTP method. Empty matches any.
	Method string
	// Path is what the path begins with, such as "/v1/identities/", or, when it
	// holds a star, a pattern for [path.Match], such as
	// "/v1/applications/*/tokens". Empty matches any.
	Path string
	// Times is how many calls it strikes. Zero means all, until
	// [Server.ClearFaults].
	Times int

	// Latency is how long a call waits before anything else happens to it,
	// unless its caller goes away.
	Latency time.Duration
	// AfterEffect has the call served before its answer is replaced.
	AfterEffect bool
	// Status is the HTTP status. Zero means 200 when the fault answers.
	Status int
	// Header is laid over the answer's headers. A key without values removes
	// the header, Date too.
	Header http.Header
	// Body is the answer's body. Empty means the documented error body when
	// Status is 400 or more.
	Body string
	// Endless repeats Body, or a space, until the caller hangs up.
	Endless bool
	// Drop cuts the connection: after Status and Body when one of them is set,
	// without an answer otherwise.
	Drop bool

	match func(method, path string) bool
}

// Fault adds a fault. Several that match one call strike in the order in which
// they were added, one for each call, so faults with Times make up a sequence.
// It
// panics when Path is no valid pattern, Times is negative or Status is none that
// can end a call (200 to 999).
func (s *Server) Fault(f Fault) {
	if f.Status != 0 && (f.Status < 200 || f.Status > 999) || f.Times < 0 {
		panic(fmt.Errorf("anchortest: a fault cannot have status %d, %d times", f.Status, f.Times))
	}
	f.Header = f.Header.Clone()
	f.match = mustMatcher(f.Method, f.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults. Calls that one has struck already, such as
// those that wait out its Latency, are not changed.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault returns the fault that strikes a call. The zero Fault is none.
func (s *Server) takeFault(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.match(r.Method, r.URL.Path) {
			continue
		}
		switch f.Times {
		case 0: // For good.
		case 1:
			s.faults = slices.Delete(s.faults, i, i+1)
		default:
			f.Times--
		}
		return *f
	}
	return Fault{}
}

func (f *Fault) replacesAnswer() bool {
	return f.Status != 0 || f.Body != "" || f.Endless || f.Drop
}

// answer is what the fault answers, before Header is laid over it.
func (f *Fault) answer() *answer {
	a := newAnswer()
	status := cmp.Or(f.Status, http.StatusOK)
	if f.Body == "" && status >= 400 {
		writeError(a, status, http.StatusText(status))
		return a
	}
	a.header.Set("Content-Type", "application/json")
	a.WriteHeader(status)
	a.body.WriteString(f.Body)
	return a
}

// goOn writes until the caller hangs up.
func (f *Fault) goOn(w http.ResponseWriter) {
	body := cmp.Or(f.Body, " ")
	piece := []byte(strings.Repeat(body, 4096/len(body)+1))
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// matcher tells which calls a method and a path, as in a Fault, stand for.
func matcher(method, pattern string) (func(method, path string) bool, error) {
	matches := func(p string) bool { return strings.HasPrefix(p, pattern) }
	if strings.Contains(pattern, "*") {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("anchortest: path pattern %q: %w", pattern, err)
		}
		matches = func(p string) bool {
			ok, _ := path.Match(pattern, p)
			return ok
		}
	}
	return func(m, p string) bool {
		return (method == "" || method == m) && matches(p)
	}, nil
}

// mustMatcher is matcher for a test's own literals: a bad one is a mistake in
// the test.
func mustMatcher(method, pattern string) func(method, path string) bool {
	match, err := matcher(method, pattern)
	if err != nil {
		panic(err)
	}
	return match
}
