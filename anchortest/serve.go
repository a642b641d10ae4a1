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

// maxBody is the most that is read of a request's body, in bytes.
const maxBody = 1 << 20

// ServeHTTP serves one call to the API or the hosted page: it records the call,
// lets it wait where a [Hold] or a fault says so, has it served, and sends the
// answer or what a fault puts in its place. A connection is dropped by
// panicking with [http.ErrAbortHandler], as an [http.Handler] does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		panic(http.ErrAbortHandler) // Nobody is left to answer.
	}
	r = r.WithContext(r.Context()) // A copy: the caller's request stays as it is.
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))

	call := s.record(r, body)
	status := 0
	defer func() {
		s.logger.InfoContext(r.Context(), "call", "method", r.Method, "path", r.URL.Path,
			"status", status, "took", time.Since(arrived).Round(time.Microsecond))
	}()

	if !s.pass(r, holdCall) {
		panic(http.ErrAbortHandler)
	}
	fault := s.takeFault(r)
	if !sleep(r.Context(), fault.Latency) {
		panic(http.ErrAbortHandler)
	}

	answer := newAnswer()
	if !fault.replacesAnswer() || fault.AfterEffect {
		if tooLarge != nil {
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

	if fault.Drop && fault.Status == 0 && fault.Body == "" {
		panic(http.ErrAbortHandler)
	}
	// Recorded before it is sent: who has the answer finds it in Calls.
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

// sleep waits and says whether the caller is still there.
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

// An answer is a whole response, kept until it is sent.
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
