package anchortest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"
)

// maxBody is the maximum size of a request's body, in bytes.
const maxBody = 1 << 20

// ServeHTTP serves one call to the API or the hosted page. It records the call, waits
// where a [Hold] or a [Fault] requires it, and sends the answer or the fault's. It drops
// a connection by panicking with [http.ErrAbortHandler], as an [http.Handler] does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	r, body, tooLarge := bufferBody(w, r)
	call := s.record(r, body)
	status := 0
	defer func() {
		s.logger.InfoContext(r.Context(), "call", "method", r.Method, "path", r.URL.Path,
			"status", status, "took", time.Since(arrived).Round(time.Microsecond))
	}()

	answer, fault := s.handle(r, tooLarge)
	if fault.Drop && fault.Status == 0 && fault.Body == "" {
		panic(http.ErrAbortHandler)
	}
	// Recorded before it is sent, so that a client that has the answer finds it in Calls.
	status = answer.status
	s.recordStatus(call, status)
	answer.sendTo(w)
	switch {
	case fault.Endless:
		fault.goOn(w)
	case fault.Drop:
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// bufferBody reads the body, and returns it with a copy of the request that reads it
// again. It reports whether the body was cut because it is too large.
func bufferBody(w http.ResponseWriter, r *http.Request) (_ *http.Request, body []byte, tooLarge bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var limit *http.MaxBytesError
	if err != nil && !errors.As(err, &limit) {
		panic(http.ErrAbortHandler) // The caller is gone.
	}
	r = r.WithContext(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r, body, limit != nil
}

// handle returns the answer to a call, and the fault that strikes it. The zero Fault is
// none. It panics if the caller goes away.
func (s *Server) handle(r *http.Request, tooLarge bool) (*answer, Fault) {
	if !s.pass(r, holdCall) {
		panic(http.ErrAbortHandler)
	}
	fault := s.takeFault(r)
	if !sleep(r.Context(), fault.Latency) {
		panic(http.ErrAbortHandler)
	}

	answer := newAnswer()
	if !fault.replacesAnswer() || fault.AfterEffect {
		if tooLarge {
			writeError(answer, http.StatusRequestEntityTooLarge, "The request body is too large.")
		} else {
			s.handler.ServeHTTP(answer, r)
		}
		if !s.pass(r, holdAnswer) {
			panic(http.ErrAbortHandler)
		}
	}
	if fault.replacesAnswer() {
		answer = fault.answer()
	}
	maps.Copy(answer.header, fault.Header)
	if _, set := answer.header["Date"]; !set {
		answer.header.Set("Date", s.time().Format(http.TimeFormat))
	}
	return answer, fault
}

// sleep waits for d. It returns false if the caller goes away first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An answer is a whole response, which is sent later.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newAnswer() *answer {
	return &answer{status: http.StatusOK, header: make(http.Header)}
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) sendTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes())
}
