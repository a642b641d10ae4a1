package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

const (
	// patience is how long anything may take. It is long, for machines with a lot
	// to do: what goes well is over much sooner.
	patience = 60 * time.Second
	// interval is how long it takes until a page is looked at again.
	interval = 15 * time.Millisecond
)

// A person has tabs, and one cookie jar for all of them.
type person struct {
	jar  cdp.BrowserContextID
	mu   sync.Mutex
	seen map[target.ID]bool // the tabs that are known
}

// A Tab is a tab of a browser, or a popup.
type Tab struct {
	t      TB
	ctx    context.Context
	person *person
	id     target.ID

	mu       sync.Mutex
	problems []string
}

// attach makes the tab that ctx stands for, or takes hold of it.
func (tab *Tab) attach(ctx context.Context) {
	tab.t.Helper()
	tab.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		tab.t.Fatalf("open a tab: %v", err)
	}
	tab.id = chromedp.FromContext(ctx).Target.TargetID
	tab.person.mu.Lock()
	tab.person.seen[tab.id] = true
	tab.person.mu.Unlock()
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*log.EventEntryAdded); ok && e.Entry.Source == log.EntrySourceSecurity {
			tab.mu.Lock()
			defer tab.mu.Unlock()
			tab.problems = append(tab.problems, e.Entry.Text)
		}
	})
	if err != nil {
		tab.t.Fatalf("listen to a tab: %v", err)
	}
}

// Problems are what the browser has said of the pages' security so far, such as
// that a Content-Security-Policy was violated.
func (tab *Tab) Problems() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.problems...)
}

// do gives the browser commands, for as long as anything may take.
func (tab *Tab) do(doing string, steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tab.t.Fatalf("%s: %v", doing, err)
	}
}

// Open opens an address, as if it had been typed in.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: address})
	if err != nil || result.ErrorText != "" {
		tab.t.Fatalf("open %s: %v%s", address, err, result.ErrorText)
	}
	tab.Wait(`document.readyState === "complete"`)
}

// Reload reloads the page.
func (tab *Tab) Reload() {
	tab.t.Helper()
	// It is known to be another page by what the old one does not keep.
	tab.Run(`window.beforeReload = true`)
	tab.do("reload", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.Reload, page.ReloadParams{})
		return err
	}))
	tab.Wait(`!window.beforeReload && document.readyState === "complete"`)
}

// Back presses the back button.
func (tab *Tab) Back() {
	tab.t.Helper()
	tab.do("go back", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		history, err := chromedp.Run(ctx, chromedp.NavigationEntries())
		if err != nil {
			return err
		}
		if history.CurrentIndex == 0 {
			return fmt.Errorf("there is no page before %s", history.Entries[0].URL)
		}
		_, err = chromedp.Call(ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{
			EntryID: history.Entries[history.CurrentIndex-1].ID,
		})
		return err
	}))
}

// Wait waits until a condition, an expression of JavaScript, holds in the page,
// whichever page that is by then.
func (tab *Tab) Wait(condition string) {
	tab.t.Helper()
	if !tab.within(func(ctx context.Context) bool {
		// A page that is being left has no answer.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!(`+condition+`)`))
		return err == nil && ok
	}) {
		tab.t.Fatalf("it did not come to %s\nat %s", condition, tab.describe())
	}
}

// At waits until the tab shows, in full, a page whose address begins like this.
func (tab *Tab) At(address string) {
	tab.t.Helper()
	tab.Wait(`location.href.startsWith(` + quote(address) + `) && document.readyState === "complete"`)
}

// within looks until something is so, and tells whether it came to be.
func (tab *Tab) within(so func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
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

// describe says what the tab shows, for a test that fails.
func (tab *Tab) describe() string {
	ctx, cancel := context.WithTimeout(tab.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`location.href + "\n" + document.body?.innerText + "\n" + JSON.stringify({...document.body?.dataset})`))
	if err != nil {
		return err.Error()
	}
	return text + "\n" + strings.Join(tab.Problems(), "\n")
}

// Run evaluates an expression in the page, and waits for it if it is a promise. It
// is no click: what needs one is refused.
func (tab *Tab) Run(expression string) { tab.t.Helper(); tab.evaluate(expression, new(any)) }

// Text is what an expression says.
func (tab *Tab) Text(expression string) (text string) {
	tab.t.Helper()
	tab.evaluate(expression, &text)
	return text
}

// Number is what an expression comes to.
func (tab *Tab) Number(expression string) (number float64) {
	tab.t.Helper()
	tab.evaluate(expression, &number)
	return number
}

// JSON reads what an expression comes to into a value.
func (tab *Tab) JSON(expression string, value any) {
	tab.t.Helper()
	tab.evaluate(expression, value)
}

func (tab *Tab) evaluate(expression string, value any) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	// What cannot be written as JSON, such as a window, is of no interest.
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`(async () => { const value = await (`+expression+`); try { return JSON.stringify(value) ?? "null" } catch { return "null" } })()`,
		chromedp.EvalAwaitPromise))
	if err == nil {
		err = json.Unmarshal([]byte(text), value)
	}
	if err != nil {
		if len(expression) > 300 {
			expression = expression[:300] + "…"
		}
		tab.t.Fatalf("%s: %v", expression, err)
	}
}

// Click presses the mouse on the first element that a selector finds, once it is
// there and the page is complete.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	var at struct{ X, Y float64 }
	found := tab.within(func(ctx context.Context) bool {
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => {
			const element = document.querySelector(`+quote(selector)+`);
			if (document.readyState !== "complete" || !element?.checkVisibility() || element.disabled) return "";
			element.scrollIntoView({block: "center", behavior: "instant"});
			const {left, top, width, height} = element.getBoundingClientRect();
			return JSON.stringify({x: left + width / 2, y: top + height / 2});
		})()`))
		return err == nil && text != "" && json.Unmarshal([]byte(text), &at) == nil
	})
	if !found {
		tab.t.Fatalf("there is no %s\nat %s", selector, tab.describe())
	}
	tab.do("click "+selector, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
			_, err := chromedp.Call(ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{
				Type: kind, X: at.X, Y: at.Y, Button: input.MouseButtonLeft, ClickCount: 1,
			})
			// What is pressed in a popup may close it before the mouse is up again.
			if err != nil && len(tab.find(ctx, tab.id)) > 0 {
				return err
			}
		}
		return nil
	}))
}

// Fill puts text into a field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Click(selector)
	tab.Run(`document.querySelector(` + quote(selector) + `).value = ""`)
	tab.do("fill "+selector, chromedp.KeyEvent(text))
}

// Press presses keys.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.do("press keys", chromedp.KeyEvent(keys))
}

// Names returns the names that assistive technology gives to the elements of a role, in
// any order.
func (tab *Tab) Names(role string) (names []string) {
	tab.t.Helper()
	tab.do("read the accessibility tree", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, node := range tree.Nodes {
			var has, name string
			if node.Ignored || node.Role == nil || node.Name == nil || json.Unmarshal(node.Role.Value, &has) != nil || has != role {
				continue
			}
			if err := json.Unmarshal(node.Name.Value, &name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return nil
	}))
	return names
}

// NewTab opens another tab of the same person.
func (tab *Tab) NewTab() *Tab {
	tab.t.Helper()
	ctx, cancel := chromedp.NewContext(tab.ctx)
	tab.t.Cleanup(cancel)
	other := &Tab{t: tab.t, person: tab.person}
	other.attach(ctx)
	return other
}

// Popup waits for a window that a page of this person has opened, and that was not
// asked for before.
func (tab *Tab) Popup() *Tab {
	tab.t.Helper()
	var id target.ID
	if !tab.within(func(ctx context.Context) bool {
		for _, info := range tab.targets(ctx) {
			tab.person.mu.Lock()
			known := tab.person.seen[info.TargetID]
			tab.person.mu.Unlock()
			if !known {
				id = info.TargetID
				return true
			}
		}
		return false
	}) {
		tab.t.Fatalf("no window was opened\nat %s", tab.describe())
	}
	ctx, cancel := chromedp.NewContext(tab.ctx, chromedp.WithTargetID(id))
	tab.t.Cleanup(cancel)
	popup := &Tab{t: tab.t, person: tab.person}
	popup.attach(ctx)
	return popup
}

// Windows waits until the user has so many tabs and popups open.
func (tab *Tab) Windows(n int) {
	tab.t.Helper()
	have := 0
	if !tab.within(func(ctx context.Context) bool { have = len(tab.targets(ctx)); return have == n }) {
		tab.t.Fatalf("there are %d windows instead of %d\nat %s", have, n, tab.describe())
	}
}

// targets are the user's tabs and popups.
func (tab *Tab) targets(ctx context.Context) []*target.Info {
	return tab.find(ctx, "")
}

// find returns the tab or popup with an id, or all of the user's for none.
func (tab *Tab) find(ctx context.Context, id target.ID) (found []*target.Info) {
	all, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{})
	if err != nil {
		return nil
	}
	for _, info := range all.TargetInfos {
		if info.Type == "page" && info.BrowserContextID == tab.person.jar && (id == "" || info.TargetID == id) {
			found = append(found, info)
		}
	}
	return found
}

// CloseWindow closes a tab or popup as a person does.
func (tab *Tab) CloseWindow() {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if _, err := chromedp.CallBrowser(ctx, target.CloseTarget, target.CloseTargetParams{TargetID: tab.id}); err != nil {
		tab.t.Fatalf("close a window: %v", err)
	}
}

// WithoutScripts switches JavaScript off for the pages to come.
func (tab *Tab) WithoutScripts() {
	tab.t.Helper()
	tab.do("switch JavaScript off", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// Screen makes the tab as large as this, in CSS pixels, with so many pixels of the
// screen to each. A phone's does not show scroll bars, and heeds a page's viewport.
func (tab *Tab) Screen(width, height int64, scale float64, phone bool) {
	tab.t.Helper()
	tab.do("change the screen", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: scale, Mobile: phone,
		})
		return err
	}))
}

// ColorScheme makes the user prefer "light" or "dark".
func (tab *Tab) ColorScheme(scheme string) {
	tab.t.Helper()
	tab.do("change the colour scheme", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// Screenshot is a picture of what the tab shows, a PNG.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("take a screenshot: %v", err)
	}
	return picture
}

// quote writes a string as JavaScript does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // Of a string it cannot be.
	}
	return string(quoted)
}
