package firefox

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// interval is how often a page is looked at while the test waits for something.
const interval = 15 * time.Millisecond

// A user has windows, and one cookie jar for all of them.
type user struct {
	jar  string
	mu   sync.Mutex
	seen map[string]bool // the windows that are known
}

// A Tab is a tab of a browser, or a popup.
type Tab struct {
	t       TB
	browser *Browser
	user    *user
	id      string
}

// do gives Firefox a command. An error fails the test.
func (tab *Tab) do(method string, params object, result any) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.t.Context(), patience)
	defer cancel()
	if err := tab.browser.call(ctx, method, params, result); err != nil {
		tab.t.Fatalf("%v", err)
	}
}

// Open opens an address, as if it had been typed in.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	tab.do("browsingContext.navigate", object{"context": tab.id, "url": address, "wait": "complete"}, nil)
}

// evaluate returns the result of an expression in the page as JSON. It awaits promises.
func (tab *Tab) evaluate(ctx context.Context, expression string) (value json.RawMessage, err error) {
	var evaluated struct {
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		ExceptionDetails struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err = tab.browser.call(ctx, "script.evaluate", object{
		"expression":   `(async () => JSON.stringify(await (` + expression + `)) ?? "null")()`,
		"target":       object{"context": tab.id},
		"awaitPromise": true,
	}, &evaluated)
	if err == nil && evaluated.ExceptionDetails.Text != "" {
		err = errors.New(evaluated.ExceptionDetails.Text)
	}
	return json.RawMessage(evaluated.Result.Value), err
}

func (tab *Tab) read(expression string, value any) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.t.Context(), patience)
	defer cancel()
	text, err := tab.evaluate(ctx, expression)
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		tab.t.Fatalf("%s: %v", expression, err)
	}
}

// Run evaluates an expression in the page, and awaits promises. It does not count as a
// click.
func (tab *Tab) Run(expression string) { tab.t.Helper(); tab.read(expression, new(any)) }

// Text returns an expression's value.
func (tab *Tab) Text(expression string) (text string) {
	tab.t.Helper()
	tab.read(expression, &text)
	return text
}

// Number returns an expression's value.
func (tab *Tab) Number(expression string) (number float64) {
	tab.t.Helper()
	tab.read(expression, &number)
	return number
}

// Wait waits until an expression is true in the page that is shown by then.
func (tab *Tab) Wait(condition string) {
	tab.t.Helper()
	if !tab.within(func(ctx context.Context) bool {
		value, err := tab.evaluate(ctx, `!!(`+condition+`)`)
		return err == nil && string(value) == "true" // A page that is being left does not answer.
	}) {
		tab.t.Fatalf("never true: %s\nat %s", condition, tab.describe())
	}
}

// At waits until the tab shows, in full, a page whose address begins with address.
func (tab *Tab) At(address string) {
	tab.t.Helper()
	tab.Wait(`location.href.startsWith(` + quote(address) + `) && document.readyState === "complete"`)
}

// within waits until so returns true, and reports whether it did.
func (tab *Tab) within(so func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(tab.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(interval)
	defer again.Stop()
	for !so(ctx) {
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
	return true
}

// describe returns what the tab shows, for a test that fails.
func (tab *Tab) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	text, err := tab.evaluate(ctx, `location.href + "\n" + document.body?.innerText`)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Click presses the mouse on the first element of a selector, once it is visible and the
// page is complete.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	var box struct{ X, Y, Width, Height float64 }
	if !tab.within(func(ctx context.Context) bool {
		text, err := tab.evaluate(ctx, `(() => {
			const element = document.querySelector(`+quote(selector)+`);
			if (document.readyState !== "complete" || !element?.checkVisibility() || element.disabled) return {};
			element.scrollIntoView({block: "center", behavior: "instant"});
			return element.getBoundingClientRect();
		})()`)
		return err == nil && json.Unmarshal(text, &box) == nil && box.Width > 0
	}) {
		tab.t.Fatalf("there is no %s\nat %s", selector, tab.describe())
	}
	in := tab.id
	// Firefox does not pass clicks on to a frame of another process.
	if frame := tab.frame(selector); frame != "" {
		in, box.X, box.Y = frame, 0, 0
	}
	tab.act(in, object{"type": "pointer", "id": "mouse", "actions": []object{
		{"type": "pointerMove", "x": int(box.X + box.Width/2), "y": int(box.Y + box.Height/2)},
		{"type": "pointerDown", "button": 0},
		{"type": "pointerUp", "button": 0},
	}})
}

// frame returns the ID of the page in a frame, or "" if the element is no frame.
func (tab *Tab) frame(selector string) string {
	tab.t.Helper()
	var evaluated struct {
		Result struct{ Value struct{ Context string } }
	}
	tab.do("script.evaluate", object{
		"expression":   `document.querySelector(` + quote(selector) + `)?.contentWindow`,
		"target":       object{"context": tab.id},
		"awaitPromise": false,
	}, &evaluated)
	return evaluated.Result.Value.Context
}

// Fill types text into a field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Click(selector)
	tab.Run(`document.querySelector(` + quote(selector) + `).value = ""`)
	keys := []object{}
	for _, key := range text {
		keys = append(keys, object{"type": "keyDown", "value": string(key)}, object{"type": "keyUp", "value": string(key)})
	}
	tab.act(tab.id, object{"type": "key", "id": "keyboard", "actions": keys})
}

// act presses keys or buttons in a window or a frame.
func (tab *Tab) act(in string, what object) {
	tab.t.Helper()
	tab.do("input.performActions", object{"context": in, "actions": []object{what}}, nil)
}

// Popup waits for a window that a page of this user has opened, and that was not returned
// before.
func (tab *Tab) Popup() *Tab {
	tab.t.Helper()
	popup := &Tab{t: tab.t, browser: tab.browser, user: tab.user}
	if !tab.within(func(ctx context.Context) bool {
		tab.user.mu.Lock()
		defer tab.user.mu.Unlock()
		for _, id := range tab.windows(ctx) {
			if !tab.user.seen[id] {
				tab.user.seen[id] = true
				popup.id = id
				return true
			}
		}
		return false
	}) {
		tab.t.Fatalf("no window was opened\nat %s", tab.describe())
	}
	return popup
}

// Windows waits until the user has n windows open.
func (tab *Tab) Windows(n int) {
	tab.t.Helper()
	have := 0
	if !tab.within(func(ctx context.Context) bool { have = len(tab.windows(ctx)); return have == n }) {
		tab.t.Fatalf("there are %d windows instead of %d\nat %s", have, n, tab.describe())
	}
}

// windows returns the IDs of the user's windows.
func (tab *Tab) windows(ctx context.Context) (ids []string) {
	var tree struct {
		Contexts []struct{ Context, UserContext string }
	}
	if err := tab.browser.call(ctx, "browsingContext.getTree", object{"maxDepth": 0}, &tree); err != nil {
		return nil
	}
	for _, window := range tree.Contexts {
		if window.UserContext == tab.user.jar {
			ids = append(ids, window.Context)
		}
	}
	return ids
}

// CloseWindow closes a tab or popup as a user does.
func (tab *Tab) CloseWindow() {
	tab.t.Helper()
	tab.do("browsingContext.close", object{"context": tab.id}, nil)
}

// quote writes a string as JavaScript does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // A string has no error.
	}
	return string(quoted)
}
