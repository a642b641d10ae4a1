package chromium

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrClosed is returned by calls to a browser that has ended.
var ErrClosed = errors.New("the browser has ended")

// maxQueue is the number of bytes that may wait for a client that does not read. If more
// wait, the client is disconnected. A screenshot of a long page is far smaller.
const maxQueue = 256 << 20

// A Conn shares a browser's only connection, a pipe, among any number of clients. Each
// client has its own browser session (Target.attachToBrowserTarget). What it enables or
// attaches to is invisible to the others, and ends when it detaches.
//
// Messages are JSON objects, each followed by a NUL byte (Chromium's
// --remote-debugging-pipe).
type Conn struct {
	writing sync.Mutex
	w       io.Writer

	calls calls // outside of any session
	done  chan struct{}

	mu      sync.Mutex
	clients map[string]*Client // by session, including sessions that a client attached
}

// message is the part of a message that routing needs.
type message struct {
	ID        json.RawMessage `json:"id"`
	Method    string          `json:"method"`
	SessionID *string         `json:"sessionId"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func newConn(r io.Reader, w io.Writer) *Conn {
	c := &Conn{
		w:       w,
		clients: make(map[string]*Client),
		done:    make(chan struct{}),
	}
	go c.read(r)
	return c
}

// read delivers messages until the browser hangs up.
func (c *Conn) read(r io.Reader) {
	defer c.hangUp()
	buffered := bufio.NewReaderSize(r, 64<<10)
	for {
		text, err := buffered.ReadBytes(0)
		if err != nil {
			return
		}
		c.deliver(text[:len(text)-1])
	}
}

func (c *Conn) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.done)
	for _, client := range c.clients {
		client.queue.close()
	}
	c.clients = nil
}

func (c *Conn) deliver(text []byte) {
	stripped, sessionID, plain := cutSession(text)
	var m message
	if !plain || bytes.Contains(text, []byte(`"Target.attachedToTarget"`)) || bytes.Contains(text, []byte(`"Target.detachedFromTarget"`)) {
		if json.Unmarshal(text, &m) != nil {
			return // Chromium always writes JSON.
		}
		if !plain && m.SessionID != nil {
			sessionID = *m.SessionID
			stripped = withoutSession(text)
		}
	}
	if sessionID == "" {
		c.calls.answer(m)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.clients[sessionID]
	if client == nil {
		return // It has detached.
	}
	switch m.Method {
	case "Target.attachedToTarget":
		c.clients[childSession(m.Params)] = client
	case "Target.detachedFromTarget":
		delete(c.clients, childSession(m.Params))
	}
	if sessionID == client.sessionID {
		text = stripped
	}
	client.queue.put(text)
}

func childSession(params json.RawMessage) string {
	var p struct {
		SessionID string `json:"sessionId"`
	}
	_ = json.Unmarshal(params, &p) // On an error there is no child session.
	return p.SessionID
}

// cutSession removes the session ID from the end of a message, where Chromium writes it.
// It does not decode the rest, which can be megabytes of screenshot. It reports false for
// any other message. The bytes that it searches for cannot occur in a JSON string, where
// quotes are escaped.
func cutSession(text []byte) (stripped []byte, sessionID string, ok bool) {
	const before = `,"sessionId":"`
	text = bytes.TrimRight(text, " \r\n\t")
	i := bytes.LastIndex(text, []byte(before))
	if i < 0 || !bytes.HasSuffix(text, []byte(`"}`)) {
		return nil, "", false
	}
	id := text[i+len(before) : len(text)-2]
	if len(id) == 0 || bytes.ContainsAny(id, `"\{}`) {
		return nil, "", false
	}
	return append(bytes.Clone(text[:i]), '}'), string(id), true
}

// withoutSession is cutSession for any JSON object.
func withoutSession(text []byte) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return text
	}
	delete(fields, "sessionId")
	stripped, err := json.Marshal(fields)
	if err != nil {
		return text
	}
	return stripped
}

func (c *Conn) write(text []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.w.Write(append(text, 0)); err != nil {
		return ErrClosed
	}
	return nil
}

// call calls a method outside of any session.
func (c *Conn) call(ctx context.Context, method string, params, result any) error {
	select {
	case <-c.done:
		return ErrClosed
	default:
	}
	return c.calls.do(ctx, c.done, c.write, map[string]any{"method": method, "params": params}, result)
}

// A Client is a client of a [Conn]. Its methods are safe for concurrent use, except
// [Client.Receive], which only one goroutine may call.
type Client struct {
	conn      *Conn
	sessionID string
	queue     *queue
}

// Attach attaches a new client.
func (c *Conn) Attach(ctx context.Context) (*Client, error) {
	var session struct {
		SessionID string `json:"sessionId"`
	}
	if err := c.call(ctx, "Target.attachToBrowserTarget", struct{}{}, &session); err != nil {
		return nil, err
	}
	client := &Client{conn: c, sessionID: session.SessionID, queue: newQueue()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients == nil {
		return nil, ErrClosed
	}
	c.clients[client.sessionID] = client
	return client, nil
}

// Receive waits for the next message to the client and returns it as the browser would
// write it to a connection of its own. It returns [ErrClosed] if the browser has ended, the
// client is detached, or too many messages wait.
func (c *Client) Receive() ([]byte, error) { return c.queue.take() }

// Send sends a message to the browser. It returns an error if the message is not a JSON
// object. If the message is for another client's session, the client receives Chromium's
// error for an unknown session.
func (c *Client) Send(text []byte) error {
	text = bytes.TrimSpace(text)
	var m message
	if len(text) == 0 || text[0] != '{' {
		return errors.New("the message is not a JSON object")
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("the message is not a JSON object: %w", err)
	}
	if m.SessionID == nil || *m.SessionID == "" {
		session, _ := json.Marshal(c.sessionID)
		if m.SessionID != nil {
			text = withoutSession(text)
		}
		text = append([]byte(`{"sessionId":`+string(session)+`,`), text[1:]...)
		return c.conn.write(text)
	}
	c.conn.mu.Lock()
	own := c.conn.clients[*m.SessionID] == c && *m.SessionID != c.sessionID
	c.conn.mu.Unlock()
	if own {
		return c.conn.write(bytes.Clone(text))
	}
	answer, err := json.Marshal(map[string]any{
		"id": m.ID, "error": map[string]any{"code": -32001, "message": "Session with given id not found."},
	})
	if err != nil {
		return err
	}
	c.queue.put(answer)
	return nil
}

// Detach ends all sessions of the client. It discards messages that still arrive.
func (c *Client) Detach(ctx context.Context) {
	c.queue.close()
	// It fails only if the browser has ended.
	_ = c.conn.call(ctx, "Target.detachFromTarget", map[string]any{"sessionId": c.sessionID}, nil)
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	for id, client := range c.conn.clients {
		if client == c {
			delete(c.conn.clients, id)
		}
	}
}

// A queue holds the messages for a client, so that a client that does not read does not
// block the others.
type queue struct {
	mu       sync.Mutex
	waiting  [][]byte
	bytes    int
	closed   bool
	nonEmpty *sync.Cond
}

func newQueue() *queue {
	q := &queue{}
	q.nonEmpty = sync.NewCond(&q.mu)
	return q
}

func (q *queue) put(text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, text)
	q.bytes += len(text)
	if q.bytes > maxQueue {
		q.waiting, q.closed = nil, true
	}
	q.nonEmpty.Broadcast()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nonEmpty.Broadcast()
}

// take waits for the next message. After close it returns the remaining messages first.
func (q *queue) take() ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil, ErrClosed
		}
		q.nonEmpty.Wait()
	}
	text := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	q.bytes -= len(text)
	return text, nil
}
