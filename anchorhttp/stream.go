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

// An answer larger than maxBody is an error, except for a list, because a server
// without paging answers the whole list. It is read in parts of partSize to bound
// memory.
const partSize = 1000

// errStopped is returned when the consumer of a stream stops it.
var errStopped = errors.New("stopped")

// A streaming is the context of an attempt whose answer may become a stream. Until
// lift is called it ends with the attempt. Then it ends with the caller's context,
// because a stream may take longer than an attempt or a call.
type streaming struct {
	context.Context
	caller  context.Context
	cancel  context.CancelCauseFunc
	release func() bool // stops following the attempt or the caller
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

// errStalled is the cancellation cause of a stream that stalled.
var errStalled = errors.New("stalled")

// A patientReader reads a stream, and cancels it if one read takes longer than
// limit. The time between reads, which the consumer spends, does not count. Zero
// means no limit.
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

// readStream lets r read an answer. start is the part that was read already. There
// is no retry, because the consumer has seen some of the items.
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
		err = fmt.Errorf("the answer stalled for %v: %w", c.attemptTimeout, context.DeadlineExceeded)
	case !errors.Is(err, ErrInvalidAnswer):
		err = c.transportFailure(s, r, err).err
	}
	return &failure{err: err, answered: true}
}

// streamList calls each with the items of the list in a field of an answer, in parts
// of at most partSize. If each returns false, streamList returns errStopped. each
// may keep the part.
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
				return noListID(field)
			}
			if part = append(part, item.withListID(id)); len(part) == partSize {
				if !each(part) {
					return errStopped
				}
				part = nil // each may have kept it.
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

// walk reads a JSON object. A list in a field of lists is read by that field's
// function. An object in a field whose function is nil is walked in the same way.
// Other values are skipped.
func walk(d *json.Decoder, limited *allowance, lists map[string]func() error) error {
	open, err := next(d, limited)
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return notJSON(errors.New("not an object"))
	}
	return walkFields(d, limited, lists)
}

// walkFields is walk after the opening brace.
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

// skip reads the rest of a value whose first token has been read.
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

// next returns the next token.
func next(d *json.Decoder, limited *allowance) (json.Token, error) {
	limited.left = maxBody
	token, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

// An allowance is a reader of at most left bytes. It bounds what a decoder buffers
// until a value is complete. The decoder's caller resets left for each value.
type allowance struct {
	io.Reader
	left int
}

func (a *allowance) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, invalid("a value in it is larger than 1 MiB")
	}
	n, err := a.Reader.Read(b[:min(len(b), a.left)])
	a.left -= n
	return n, err
}
