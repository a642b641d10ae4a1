package chromium

import (
	"context"
	"encoding/json"
)

// A Caller is a client that calls methods and waits for their results.
type Caller struct {
	client *Client
	calls  calls
	done   chan struct{}
	events func(method string, params json.RawMessage)
}

// NewCaller attaches a client to the connection. It calls events, which may be nil, for
// each event in turn. events must not call the browser.
func (c *Conn) NewCaller(ctx context.Context, events func(method string, params json.RawMessage)) (*Caller, error) {
	client, err := c.Attach(ctx)
	if err != nil {
		return nil, err
	}
	caller := &Caller{client: client, done: make(chan struct{}), events: events}
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
		c.calls.answer(m)
	}
}

// Call calls a method and decodes the result, unless result is nil. sessionID is a session
// that the caller has attached, or "" for the browser's own.
func (c *Caller) Call(ctx context.Context, sessionID, method string, params, result any) error {
	if params == nil {
		params = struct{}{}
	}
	call := map[string]any{"method": method, "params": params}
	if sessionID != "" {
		call["sessionId"] = sessionID
	}
	return c.calls.do(ctx, c.done, c.client.Send, call, result)
}

// Close detaches the caller.
func (c *Caller) Close(ctx context.Context) { c.client.Detach(ctx) }
