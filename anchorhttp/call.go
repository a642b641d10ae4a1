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

// maxBody is the maximum size of an answer, in bytes, after decompression.
const maxBody = 1 << 20

// maxTransportText is the maximum length of a transport's error text, which may
// quote what the peer sent.
const maxTransportText = 1000

const userAgent = "anchorhttp (+https://github.com/anchorconnect/connect)"

// A request is one call of the API.
type request struct {
	method string
	path   string // with {id} in place of id, or {session} for the id of a session
	id     string
	query  url.Values
	body   any      // encoded as JSON; nil for none
	hidden []string // what an error must not repeat, in addition to the key
	once   bool     // make one attempt, which may take as long as the call

	// stream reads a 2xx answer larger than maxBody. If it is nil, such an answer is
	// an error.
	stream func(header http.Header, body io.Reader) error
}

// failed adds the method and the path's template to err.
func (r request) failed(err error) error {
	return fmt.Errorf("anchorhttp: %s %s: %w", r.method, r.path, err)
}

// address returns the request's URL below base.
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

// An answer is an HTTP response with status 2xx.
type answer struct {
	header   http.Header
	body     []byte
	streamed bool // request.stream has read the body, and body is empty
}

// A failure is an attempt without a usable answer.
type failure struct {
	err      error
	retry    bool
	answered bool        // Anchor answered, so err does not come from the connection
	header   http.Header // of that answer
}

// call makes a call and reads its answer. Errors of both have the method and the
// path's template as prefix.
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

// send makes attempts until one brings an answer or no retry is left.
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
	caller := ctx
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
	return retry(ctx, retries, func() (answer, *failure) { return c.attempt(ctx, caller, r, address, body) })
}

// attempt sends the request once and reads the answer. ctx is the call's context,
// caller is the one that the caller passed.
func (c *Client) attempt(ctx, caller context.Context, r request, address string, body []byte) (answer, *failure) {
	if c.attemptTimeout > 0 && !r.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.attemptTimeout)
		defer cancel()
	}
	sending := ctx
	var stream *streaming
	if r.stream != nil {
		stream = newStreaming(ctx, caller)
		defer stream.end()
		sending = stream
	}
	req, err := c.newRequest(sending, r, address, body)
	if err != nil {
		return answer{}, &failure{err: err}
	}
	// An http.Client around the transport would follow redirects, with the key, and
	// keep cookies.
	res, err := c.roundTrip(req)
	if err != nil {
		return answer{}, c.transportFailure(ctx, r, err)
	}
	if res.Body != nil { // Stub transports may omit it.
		defer res.Body.Close()
	}
	content, err := readBody(res)
	switch {
	case res.StatusCode/100 != 2:
		return answer{}, c.statusFailure(r, res, content)
	case err != nil:
		return answer{}, c.transportFailure(ctx, r, err)
	case len(content) > maxBody && r.stream != nil:
		return answer{header: res.Header, streamed: true}, c.readStream(stream, r, res, content)
	case len(content) > maxBody:
		return answer{}, &failure{err: invalid("it is larger than 1 MiB"), answered: true}
	}
	return answer{header: res.Header, body: content}, nil
}

// newRequest returns the HTTP request of one attempt.
func (c *Client) newRequest(ctx context.Context, r request, address string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	c.authorize(req.Header)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// statusFailure returns the failure of an answer other than 2xx. The status
// suffices, even if reading the body failed.
func (c *Client) statusFailure(r request, res *http.Response, content []byte) *failure {
	return &failure{
		err: newError(res.StatusCode, res.Header, content, time.Now(), func(s string) string {
			return redact(c.redact(s), r.hidden...)
		}),
		retry:    shouldRetry(res.StatusCode, res.Header),
		answered: true,
		header:   res.Header,
	}
}

// readBody reads a body to its end, so that the connection can be reused, but at
// most one byte more than maxBody. Closing a longer body drops the connection.
func readBody(res *http.Response) ([]byte, error) {
	if res.Body == nil {
		return nil, nil
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // What follows is not a body, and may never end.
	}
	return io.ReadAll(io.LimitReader(res.Body, maxBody+1))
}

// transportFailure returns the failure of a connection that broke or timed out. ctx
// is the attempt's context.
func (c *Client) transportFailure(ctx context.Context, r request, err error) *failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{err: fmt.Errorf("no answer within %v: %w", c.attemptTimeout, ctx.Err()), retry: true}
	}
	text := redact(c.redact(err.Error()), r.hidden...)
	if len(text) > maxTransportText {
		text = printable(text, maxTransportText)
	}
	if text != err.Error() {
		// The errors that err wraps contain the same text, so they are dropped.
		err = errors.New(text)
	}
	return &failure{err: err, retry: true}
}

// decode reads the JSON object in an answer, which may be wrapped in "data". Numbers
// in values of type any become [json.Number], so that large ones stay exact.
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
	// Unmarshal has verified that nothing follows the value.
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return v, notJSON(err)
	}
	return v, nil
}

// notJSON describes a malformed answer without quoting any value of it, because that
// could be a token.
func notJSON(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return invalid("the field " + wrongType.Field + " has the wrong type")
	}
	return invalid("it is not the expected JSON")
}

// invalid returns an [ErrInvalidAnswer] with the reason.
func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalidAnswer, what) }

// visible reports whether s consists of 1 to 255 visible ASCII characters, which are
// safe as a database key and in a log.
func visible(s string) bool {
	return 0 < len(s) && len(s) <= 255 &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
