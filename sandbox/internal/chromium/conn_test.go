package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser is the other end of a pipe. Its responses are the test's.
type browser struct {
	t    *testing.T
	conn *Conn
	r    *bufio.Reader
	w    io.WriteCloser

	sessions int                 // that were attached
	got      chan map[string]any // what clients have sent
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	theirR, ourW := io.Pipe()
	ourR, theirW := io.Pipe()
	b := &browser{t: t, conn: newConn(ourR, ourW), r: bufio.NewReader(theirR), w: theirW, got: make(chan map[string]any, 16)}
	go b.serve()
	t.Cleanup(func() { theirW.Close(); theirR.Close() })
	return b
}

// serve gives each client a session, S1 and so on, and records all other messages.
func (b *browser) serve() {
	for {
		text, err := b.r.ReadBytes(0)
		if err != nil {
			return
		}
		var m map[string]any
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			b.t.Errorf("%s: %v", text, err)
			return
		}
		switch m["method"] {
		case "Target.attachToBrowserTarget":
			b.sessions++
			b.send(`{"id":` + number(m["id"]) + `,"result":{"sessionId":"S` + strconv.Itoa(b.sessions) + `"}}`)
		case "Target.detachFromTarget":
			if m["sessionId"] == nil {
				b.send(`{"id":` + number(m["id"]) + `,"result":{}}`)
				b.got <- m
				continue
			}
			fallthrough
		default:
			b.got <- m
		}
	}
}

func number(v any) string {
	n, _ := v.(float64)
	return strconv.Itoa(int(n))
}

func (b *browser) send(text string) {
	if _, err := io.WriteString(b.w, text+"\x00"); err != nil {
		b.t.Error(err)
	}
}

func (b *browser) attach(ctx context.Context) *Client {
	b.t.Helper()
	client, err := b.conn.Attach(ctx)
	require.NoError(b.t, err)
	return client
}

// receive waits for a message, with a timeout.
func receive(t *testing.T, c *Client) string {
	t.Helper()
	stop := time.AfterFunc(5*time.Second, c.queue.close)
	defer stop.Stop()
	text, err := c.Receive()
	require.NoError(t, err)
	return string(text)
}

// sent waits for the next message from a client, with a timeout.
func (b *browser) sent() map[string]any {
	b.t.Helper()
	select {
	case m := <-b.got:
		return m
	case <-time.After(5 * time.Second):
		b.t.Error("nothing was sent")
		return nil
	}
}

func TestConnClientsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	ada, grace := b.attach(t.Context()), b.attach(t.Context())

	require.NoError(t, ada.Send([]byte(` {"id":1,"method":"Target.getTargets"}`)))
	require.Equal(t, map[string]any{"id": 1.0, "method": "Target.getTargets", "sessionId": "S1"}, b.sent())
	require.NoError(t, grace.Send([]byte(`{"id":1,"method":"Target.getTargets","sessionId":""}`)))
	require.Equal(t, map[string]any{"id": 1.0, "method": "Target.getTargets", "sessionId": "S2"}, b.sent())

	// Both use the same id; each receives the response to its own call.
	b.send(`{"id":1,"result":{"of":"grace"},"sessionId":"S2"}`)
	b.send(`{"sessionId":"S1","id":1,"result":{"of":"ada","text":"\",\"sessionId\":\"S2\"}"}}`)
	require.JSONEq(t, `{"id":1,"result":{"of":"grace"}}`, receive(t, grace))
	require.JSONEq(t, `{"id":1,"result":{"of":"ada","text":"\",\"sessionId\":\"S2\"}"}}`, receive(t, ada))

	// Only Ada sees what she attaches to.
	b.send(`{"method":"Target.attachedToTarget","params":{"sessionId":"P1","targetInfo":{}},"sessionId":"S1"}`)
	b.send(`{"method":"Page.loadEventFired","params":{},"sessionId":"P1"}`)
	require.JSONEq(t, `{"method":"Target.attachedToTarget","params":{"sessionId":"P1","targetInfo":{}}}`, receive(t, ada))
	require.JSONEq(t, `{"method":"Page.loadEventFired","params":{},"sessionId":"P1"}`, receive(t, ada))
	require.NoError(t, ada.Send([]byte(`{"id":2,"method":"Page.reload","sessionId":"P1"}`)))
	require.Equal(t, map[string]any{"id": 2.0, "method": "Page.reload", "sessionId": "P1"}, b.sent())

	// For Grace, another client's sessions do not exist.
	for _, session := range []string{"P1", "S1", "S2", "unknown"} {
		require.NoError(t, grace.Send([]byte(`{"id":3,"method":"Page.reload","sessionId":"`+session+`"}`)))
		require.JSONEq(t, `{"id":3,"error":{"code":-32001,"message":"Session with given id not found."}}`, receive(t, grace))
	}
	require.Empty(t, b.got)

	b.send(`{"method":"Target.detachedFromTarget","params":{"sessionId":"P1"},"sessionId":"S1"}`)
	receive(t, ada)
	require.NoError(t, ada.Send([]byte(`{"id":4,"method":"Page.reload","sessionId":"P1"}`)))
	require.Contains(t, receive(t, ada), "-32001")
}

func TestConnDetachesAClientThatGoes(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	ada, grace := b.attach(t.Context()), b.attach(t.Context())
	ada.Detach(t.Context())
	m := b.sent()
	require.Equal(t, "Target.detachFromTarget", m["method"])
	require.Equal(t, map[string]any{"sessionId": "S1"}, m["params"])
	_, err := ada.Receive()
	require.ErrorIs(t, err, ErrClosed)
	b.send(`{"method":"Target.targetCreated","params":{},"sessionId":"S1"}`)
	b.send(`{"method":"Target.targetCreated","params":{},"sessionId":"S2"}`)
	require.JSONEq(t, `{"method":"Target.targetCreated","params":{}}`, receive(t, grace))
}

func TestConnRefusesMessagesThatAreNotObjects(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	client := b.attach(t.Context())
	for _, text := range []string{"", "x", "null", "[]", `"a"`, "{", "{}\x00{}", `{"id":1}{"id":2}`, `{"sessionId":1}`} {
		require.Error(t, client.Send([]byte(text)), text)
	}
	require.Empty(t, b.got)
}

func TestConnEndsWithTheBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	client := b.attach(t.Context())
	caller, err := b.conn.NewCaller(t.Context(), nil)
	require.NoError(t, err)
	b.send(`{"id":1,"result":{},"sessionId":"S1"}`)
	called := make(chan error)
	go func() { called <- caller.Call(context.Background(), "", "Browser.getVersion", nil, nil) }()
	b.sent()
	require.NoError(t, b.w.Close())
	require.ErrorIs(t, <-called, ErrClosed)
	require.JSONEq(t, `{"id":1,"result":{}}`, receive(t, client), "what had arrived is still delivered")
	_, err = client.Receive()
	require.ErrorIs(t, err, ErrClosed)
	_, err = b.conn.Attach(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

func TestConnCall(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	events := make(chan string, 1)
	caller, err := b.conn.NewCaller(t.Context(), func(method string, _ json.RawMessage) { events <- method })
	require.NoError(t, err)

	go func() {
		b.send(`{"method":"Target.targetCreated","params":{},"sessionId":"S1"}`)
		b.send(`{"id":` + number(b.sent()["id"]) + `,"result":{"windowId":7},"sessionId":"S1"}`)
		b.send(`{"id":` + number(b.sent()["id"]) + `,"error":{"code":-32601,"message":"not found"},"sessionId":"S1"}`)
	}()
	var window struct{ WindowID int }
	require.NoError(t, caller.Call(t.Context(), "", "Browser.getWindowForTarget", map[string]any{"targetId": "T"}, &window))
	require.Equal(t, 7, window.WindowID)
	require.EqualError(t, caller.Call(t.Context(), "", "Browser.x", nil, nil), "Browser.x: not found (-32601)")
	require.Equal(t, "Target.targetCreated", <-events)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, caller.Call(ctx, "", "Browser.y", nil, nil), context.DeadlineExceeded)
}

func TestConnSessionOfAMessage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, stripped, session string }{
		{`{"id":1,"result":{},"sessionId":"AB"}`, `{"id":1,"result":{}}`, "AB"},
		{`{"id":1,"result":{},"sessionId":"AB"} `, `{"id":1,"result":{}}`, "AB"},
		{`{"method":"m","params":{"a":1,"sessionId":"CD"}}`, "", ""},
		{`{"result":"x\",\"sessionId\":\"CD"}`, "", ""},
		{`{"sessionId":"AB","id":1}`, "", ""},
		{`{"id":1,"sessionId":""}`, "", ""},
		{`{"id":1}`, "", ""},
	} {
		stripped, session, ok := cutSession([]byte(row.text))
		require.Equal(t, row.session != "", ok, row.text)
		require.Equal(t, row.session, session, row.text)
		require.Equal(t, row.stripped, string(stripped), row.text)
	}
	require.JSONEq(t, `{"id":1}`, string(withoutSession([]byte(`{"sessionId":"AB","id":1}`))))
}

func TestConnCutsOffAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	q := newQueue()
	piece := []byte(strings.Repeat("x", 1<<20))
	for range maxQueue / len(piece) {
		q.put(piece)
	}
	text, err := q.take()
	require.NoError(t, err)
	require.Equal(t, piece, text)
	q.put(piece)
	q.put(piece)
	_, err = q.take()
	require.ErrorIs(t, err, ErrClosed)
}
