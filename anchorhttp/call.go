package anchorhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBody is how much of an answer is read, in bytes, after decompression.
const maxBody = 1 << 20

// maxTransportText bounds the text of a connection's error, which may quote what
// the other side sent.
const maxTransportText = 1000

const userAgent = "anchorhttp (+https://github.com/anchorconnect/connect)"

// request is one call of the API.
type request struct {
	method string
	path   string // with {id} in the place of id, or {session} if that is a session's
	id     string
	query  url.Values
	body   any      // encoded as JSON; nil for none
	hidden []string // what an error must not repeat, beside the key
	once   bool     // one attempt that may take as long as the call
}

// failed says what was being done when err happened.
func (r request) failed(err error) error {
	return fmt.Errorf("anchorhttp: %s %s: %w", r.method, r.path, err)
}

// address returns the URL of the request, below base.
func (r request) address(base string) (string, error) {
	id := r.id
	switch {
	case strings.Contains(r.path, "{id}"):
		var ok bool
		if id, ok = ParseID(r.id); !ok {
			return "", errNoUUID
		}
	case strings.Contains(r.path, "{session}") && !isSessionID(r.id):
		return "", errNoSession
	}
	address := base + strings.NewReplacer("{id}", url.PathEscape(id), "{session}", url.PathEscape(id)).Replace(r.path)
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	return address, nil
}

// answer is a 2xx answer.
type answer struct {
	header http.Header
	body   []byte
}

// failure is an attempt that did not bring an answer.
type failure struct {
	err      error
	retry    bool
	answered bool        // err is an answer of Anchor's, though not the one hoped for
	header   http.Header // of that answer
}

// call makes a call and reads its answer. Errors of both come back with the
// method and the path's template before them.
func call[T any](ctx context.Context, c *Client, r request, read func(answer) (T, error)) (T, error) {
	var none T
	if err := c.Validate(); err != nil {
		return none, err
	}
	a, err := c.send(ctx, r)
	if err == nil {
		var v T
		if v, err = read(a); err == nil {
			return v, nil
		}
	}
	return none, r.failed(err)
}

// send makes attempts until one brings an answer or no other is to be made.
func (c *Client) send(ctx context.Context, r request) (answer, error) {
	address, err := r.address(c.baseURL)
	if err != nil {
		return answer{}, err
	}
	var body []byte
	if r.body != nil {
		if body, err = json.Marshal(r.body); err != nil {
			return answer{}, fmt.Errorf("encode the body: %w", err)
		}
	}
	if deadline, ok := ctx.Deadline(); c.timeout > 0 && (!ok || time.Until(deadline) > c.timeout) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}

	retries := c.maxRetries
	if r.once {
		retries = 0
	}
	return retry(ctx, retries, func() (answer, *failure) { return c.attempt(ctx, r, address, body) })
}

// attempt sends the request once and reads the answer.
func (c *Client) attempt(ctx context.Context, r request, address string, body []byte) (answer, *failure) {
	if c.attemptTimeout > 0 && !r.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.attemptTimeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, &failure{err: err}
	}
	c.authorize(req.Header)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	// The transport is called without an http.Client around it, which would
	// follow redirects, with the key, and keep cookies.
	res, err := c.roundTrip(req)
	if err != nil {
		return answer{}, c.transportFailure(ctx, r, err)
	}
	content, err := readBody(res)
	switch {
	case res.StatusCode/100 != 2:
		// The status says enough, whatever became of the body.
		return answer{}, &failure{
			err: newError(res.StatusCode, res.Header, content, time.Now(), func(s string) string {
				return redact(c.redact(s), r.hidden...)
			}),
			retry:    shouldRetry(res.StatusCode, res.Header),
			answered: true,
			header:   res.Header,
		}
	case err != nil:
		return answer{}, c.transportFailure(ctx, r, err)
	case len(content) > maxBody:
		return answer{}, &failure{err: invalid("it is larger than 1 MiB"), answered: true}
	}
	return answer{header: res.Header, body: content}, nil
}

// readBody reads a body to its end, so that the connection can be used again, but
// at most one byte more than maxBody. Closing a longer one drops the connection.
func readBody(res *http.Response) ([]byte, error) {
	if res.Body == nil { // Transports made for tests leave it out.
		return nil, nil
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // What follows is no body and has no end.
	}
	return io.ReadAll(io.LimitReader(res.Body, maxBody+1))
}

// transportFailure describes a connection that failed, or one that took too long.
// ctx is the attempt's.
func (c *Client) transportFailure(ctx context.Context, r request, err error) *failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{err: fmt.Errorf("no answer within %v: %w", c.attemptTimeout, ctx.Err()), retry: true}
	}
	text := redact(c.redact(err.Error()), r.hidden...)
	if len(text) > maxTransportText {
		text = printable(text, maxTransportText)
	}
	if text != err.Error() {
		// What err wraps holds the same text, so it is let go.
		err = errors.New(text)
	}
	return &failure{err: err, retry: true}
}

// decode reads the JSON object in an answer, which may be wrapped in "data".
// Numbers of unknown type become [json.Number], so that large ones stay exact.
func decode[T any](a answer) (T, error) {
	var v T
	body := a.body
	var outer struct{ Data json.RawMessage }
	if err := json.Unmarshal(body, &outer); err != nil {
		return v, notJSON(err)
	}
	if len(outer.Data) > 0 && outer.Data[0] == '{' {
		body = outer.Data
	}
	// Unmarshal has seen that nothing follows the value.
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, notJSON(err)
	}
	return v, nil
}

// notJSON tells what is wrong with an answer without repeating any value of it,
// which could be a token.
func notJSON(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return invalid("the field " + wrongType.Field + " has another type")
	}
	return invalid("it is no JSON of the form expected")
}

// invalid is an [ErrInvalidAnswer] that says what is wrong.
func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalidAnswer, what) }

// visible tells whether s is made of 1 to 255 visible ASCII characters: fit for a
// key in a database and for a log.
func visible(s string) bool {
	return 0 < len(s) && len(s) <= 255 &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
