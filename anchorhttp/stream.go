package anchorhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// An answer of more than maxBody is an error, except for lists, which a server that
// knows no pages answers whole. Those are read in parts of partSize, so that memory
// stays bounded.
const partSize = 1000

// errStopped says that the reader of a stream wants no more of it.
var errStopped = errors.New("stopped")

// streaming is the context of an attempt whose answer may turn out to be a stream. It
// ends with the attempt until lift is called, and after that with the caller's context,
// because a stream may take longer than an attempt or a call.
type streaming struct {
	context.Context
	caller  context.Context
	cancel  context.CancelCauseFunc
	release func() bool // ends following the other context
}

func newStreaming(attempt, caller context.Context) *streaming {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(attempt))
	s := &streaming{Context: ctx, caller: caller, cancel: cancel}
	s.follow(attempt)
	return s
}

func (s *streaming) follow(ctx context.Context) {
	if s.release != nil {
		s.release()
	}
	s.release = context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
}

func (s *streaming) lift() { s.follow(s.caller) }

func (s *streaming) end() {
	s.release()
	s.cancel(nil)
}

// errStalled is the cause of a stream's end when nothing arrived for too long.
var errStalled = errors.New("stalled")

// patientReader reads a stream, and ends it if one read takes longer than limit. Time
// between reads does not count: it belongs to whoever reads. Zero is no limit.
type patientReader struct {
	io.Reader
	stream *streaming
	limit  time.Duration
}

func (p patientReader) Read(b []byte) (int, error) {
	if p.limit > 0 {
		defer time.AfterFunc(p.limit, func() { p.stream.cancel(errStalled) }).Stop()
	}
	return p.Reader.Read(b)
}

// readStream lets r read an answer of which start has been read already. What it has
// read cannot be taken back, so there is no retry.
func (c *Client) readStream(s *streaming, r request, res *http.Response, start []byte) *failure {
	s.lift()
	body := io.MultiReader(bytes.NewReader(start), patientReader{res.Body, s, c.attemptTimeout})
	err := r.stream(res.Header, body)
	switch {
	case err == nil || errors.Is(err, errStopped):
		return nil
	case s.caller.Err() != nil:
		err = s.caller.Err()
	case errors.Is(context.Cause(s), errStalled):
		err = fmt.Errorf("no more of the answer within %v: %w", c.attemptTimeout, context.DeadlineExceeded)
	case !errors.Is(err, ErrInvalidAnswer):
		err = c.transportFailure(s, r, err).err
	}
	return &failure{err: err, answered: true}
}

// streamList calls each with the items of the list in a field of an answer, in parts
// of at most partSize, until it returns false: then the error is errStopped.
func streamList[T listed[T]](body io.Reader, field string, each func([]T) bool) error {
	limited := &allowance{Reader: body}
	d := json.NewDecoder(limited)
	found := false
	list := func() error {
		found = true
		var part []T
		for d.More() {
			limited.left = maxBody
			var item T
			if err := d.Decode(&item); err != nil {
				return err
			}
			id, ok := ParseID(item.listID())
			if !ok {
				return invalid("it lists one of the " + field + " without an id, or with one that is no UUID")
			}
			if part = append(part, item.withListID(id)); len(part) == partSize {
				if !each(part) {
					return errStopped
				}
				part = nil
			}
		}
		if len(part) > 0 && !each(part) {
			return errStopped
		}
		return nil
	}
	err := walk(d, limited, map[string]func() error{field: list, "data": nil})
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &wrongType):
		return notJSON(err)
	case err == nil && !found:
		return invalid("it has no list of " + field)
	}
	return err
}

// walk reads a JSON object. A field in lists that is a list is read by its function,
// and one that is an object, which needs no function, is walked in the same way.
// Everything else is skipped.
func walk(d *json.Decoder, limited *allowance, lists map[string]func() error) error {
	open, err := next(d, limited)
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return notJSON(errors.New("no object"))
	}
	return walkFields(d, limited, lists)
}

func walkFields(d *json.Decoder, limited *allowance, lists map[string]func() error) error {
	for d.More() {
		key, err := next(d, limited)
		if err != nil {
			return err
		}
		name, _ := key.(string)
		list, wanted := lists[name]
		value, err := next(d, limited)
		switch {
		case err != nil:
			return err
		case wanted && list != nil && value == json.Delim('['):
			if err := list(); err != nil {
				return err
			}
			if _, err := next(d, limited); err != nil { // the list's end
				return err
			}
		case wanted && list == nil && value == json.Delim('{'):
			if err := walkFields(d, limited, lists); err != nil {
				return err
			}
		default:
			if err := skip(d, limited, value); err != nil {
				return err
			}
		}
	}
	_, err := next(d, limited) // the object's end
	return err
}

// skip reads the rest of a value that began with a token.
func skip(d *json.Decoder, limited *allowance, token json.Token) error {
	for depth := 0; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if token, err = next(d, limited); err != nil {
			return err
		}
	}
}

func next(d *json.Decoder, limited *allowance) (json.Token, error) {
	limited.left = maxBody
	token, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

// allowance is a reader of which at most left bytes may be read before that is set
// again: what a decoder keeps of a stream until a value is whole.
type allowance struct {
	io.Reader
	left int
}

func (a *allowance) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, invalid("a part of it is larger than 1 MiB")
	}
	n, err := a.Reader.Read(b[:min(len(b), a.left)])
	a.left -= n
	return n, err
}
