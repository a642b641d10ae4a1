package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// calls are calls that wait for their responses.
type calls struct {
	mu      sync.Mutex
	lastID  int
	answers map[int]chan<- message
}

// do sets call's id, sends it and decodes the result, unless result is nil. It returns
// [ErrClosed] when done is closed.
func (c *calls) do(ctx context.Context, done <-chan struct{}, send func([]byte) error, call map[string]any, result any) error {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	if c.answers == nil {
		c.answers = make(map[int]chan<- message)
	}
	c.answers[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.answers, id)
	}()
	call["id"] = id
	text, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("%s: %w", call["method"], err)
	}
	if err := send(text); err != nil {
		return err
	}
	select {
	case m := <-answer:
		if err := m.into(result); err != nil {
			return fmt.Errorf("%s: %w", call["method"], err)
		}
		return nil
	case <-done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", call["method"], ctx.Err())
	}
}

// answer passes a response to the call that waits for it, if any.
func (c *calls) answer(m message) {
	var id int
	if json.Unmarshal(m.ID, &id) != nil {
		return
	}
	c.mu.Lock()
	answer := c.answers[id]
	delete(c.answers, id)
	c.mu.Unlock()
	if answer != nil {
		answer <- m
	}
}

// into decodes the result of a call, or returns its error.
func (m message) into(result any) error {
	if m.Error != nil {
		return fmt.Errorf("%s (%d)", m.Error.Message, m.Error.Code)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}
