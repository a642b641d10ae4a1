package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// A Caller is a client that calls methods and waits for their results.
type Caller struct {
	client *Client

	mu      sync.Mutex
	lastID  int
	answers map[int]chan<- message
	done    chan struct{}
	events  func(method string, params json.RawMessage)
}

// NewCaller adds a client to the connection. events, which may be nil, is called
// with each event, one after the other, and must not call the browser.
func (c *Conn) NewCaller(ctx context.Context, events func(method string, params json.RawMessage)) (*Caller, error) {
	client, err := c.Attach(ctx)
	if err != nil {
		return nil, err
	}
	caller := &Caller{client: client, answers: make(map[int]chan<- message), done: make(chan struct{}), events: events}
	go caller.read()
	return caller, nil
}

func (c *Caller) read() {
	defer close(c.done)
	for {
		text, err := c.client.Receive()
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			continue
		}
		if m.Method != "" {
			if c.events != nil {
				c.events(m.Method, m.Params)
			}
			continue
		}
		var id int
		if json.Unmarshal(m.ID, &id) != nil {
			continue
		}
		c.mu.Lock()
		answer := c.answers[id]
		delete(c.answers, id)
		c.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}

// Call calls a method in a session that the caller has attached, or in the
// browser's own for an empty one, and reads the result. A nil result is not read.
func (c *Caller) Call(ctx context.Context, sessionID, method string, params, result any) error {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	c.answers[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.answers, id)
	}()
	if params == nil {
		params = struct{}{}
	}
	call := map[string]any{"id": id, "method": method, "params": params}
	if sessionID != "" {
		call["sessionId"] = sessionID
	}
	text, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := c.client.Send(text); err != nil {
		return err
	}
	select {
	case m := <-answer:
		return m.into(method, result)
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// Close detaches the caller.
func (c *Caller) Close(ctx context.Context) { c.client.Detach(ctx) }
