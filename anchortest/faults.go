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

// A Fault makes calls fail. It applies to calls that match Method and Path, whatever
// key they have, as if a gateway in front of the service failed.
//
// If Status, Body, Endless and Drop are all zero, the call is served as usual, but
// late (Latency) or with other headers (Header). Otherwise the fault answers the
// call, which has no effect. With AfterEffect the call takes effect and its answer
// is lost.
//
//	Fault{Status: 503}                                     // the documented error body
//	Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}
//	Fault{Body: "<html>…", Header: http.Header{"Content-Type": {"text/html"}}}
//	Fault{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/"}}}
//	Fault{Drop: true}                                      // no answer
//	Fault{Drop: true, AfterEffect: true}                   // takes effect, but the answer is lost
//	Fault{Drop: true, Body: `{"data":`}                    // the answer breaks off
//	Fault{Endless: true}                                   // a body that never ends
type Fault struct {
	// Method is the HTTP method. Empty matches any.
	Method string
	// Path is a prefix of the path, such as "/v1/identities/". If it contains an
	// asterisk, it is a pattern for [path.Match], such as
	// "/v1/applications/*/tokens". Empty matches any.
	Path string
	// Times is the number of calls that the fault applies to. Zero means all, until
	// [Server.ClearFaults].
	Times int

	// Latency delays a call before anything else happens to it. The delay ends if
	// the caller goes away.
	Latency time.Duration
	// AfterEffect serves the call before the fault replaces its answer.
	AfterEffect bool
	// Status is the HTTP status of the fault's answer. Zero means 200.
	Status int
	// Header replaces headers of the answer. A key without values removes the
	// header, including Date.
	Header http.Header
	// Body is the body of the fault's answer. Empty means the documented error body
	// if Status is 400 or more.
	Body string
	// Endless repeats Body, or a space, until the caller closes the connection.
	Endless bool
	// Drop closes the connection: after Status and Body if one of them is set,
	// otherwise without an answer.
	Drop bool

	match func(method, path string) bool
}

// Fault adds a fault. If several faults match a call, the first one added applies.
// So faults with Times form a sequence. Fault panics if Path is not a valid pattern,
// Times is negative, or Status cannot end a call (it must be 200 to 999).
func (s *Server) Fault(f Fault) {
	if f.Status != 0 && (f.Status < 200 || f.Status > 999) || f.Times < 0 {
		panic(fmt.Errorf("anchortest: a fault cannot have status %d and %d times", f.Status, f.Times))
	}
	f.Header = f.Header.Clone()
	f.match = mustMatcher(f.Method, f.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults. Calls that a fault applies to already, for example
// during its Latency, are not affected.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault returns the fault that applies to a call. The zero Fault is none.
func (s *Server) takeFault(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.match(r.Method, r.URL.Path) {
			continue
		}
		switch f.Times {
		case 0: // It stays.
		case 1:
			s.faults = slices.Delete(s.faults, i, i+1)
		default:
			f.Times--
		}
		return *f
	}
	return Fault{}
}

// replacesAnswer reports whether the fault answers the call.
func (f *Fault) replacesAnswer() bool {
	return f.Status != 0 || f.Body != "" || f.Endless || f.Drop
}

// answer returns the fault's answer, without Header.
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

// goOn writes until the caller closes the connection.
func (f *Fault) goOn(w http.ResponseWriter) {
	body := cmp.Or(f.Body, " ")
	piece := []byte(strings.Repeat(body, 4096/len(body)+1))
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// matcher returns a function that reports whether a call matches a method and a
// path, as in a [Fault].
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

// mustMatcher is like matcher, but panics if the pattern is invalid, which is a
// mistake in the test.
func mustMatcher(method, pattern string) func(method, path string) bool {
	match, err := matcher(method, pattern)
	if err != nil {
		panic(err)
	}
	return match
}
