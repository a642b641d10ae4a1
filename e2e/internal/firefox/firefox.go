// Package firefox drives a real Firefox, Debian's firefox-esr, over WebDriver BiDi
// (https://www.w3.org/TR/webdriver-bidi/). It does what the tests of frames need, with the
// methods of package chromium.
package firefox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/websocket"
)

// ErrNotInstalled is returned by [Start] if there is no Firefox.
var ErrNotInstalled = errors.New("no Firefox is installed: apt-get install firefox-esr")

// patience is how long anything may take. Machines may be slow: what goes well is over
// much sooner.
const patience = 60 * time.Second

// A Browser is a running Firefox. Its tabs are safe for concurrent use.
type Browser struct {
	// Version is Firefox's version, such as "153.7.0".
	Version string

	process    *exec.Cmd
	profile    string
	connection *websocket.Conn

	mu      sync.Mutex
	last    int                   // the latest command's ID
	waiting map[int]chan<- answer // by the command's ID
	lost    error                 // set once no answers will come
}

// An answer is what Firefox sends after a command.
type answer struct {
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
}

// object is a JSON object.
type object map[string]any

// Start starts a Firefox that resolves the hosts to this machine. The browser runs until
// [Browser.Close]. If there is no Firefox, the error is [ErrNotInstalled].
func Start(hosts ...string) (*Browser, error) {
	program, err := exec.LookPath("firefox-esr")
	if err != nil {
		program, err = exec.LookPath("firefox") // as other distributions name it
	}
	if err != nil {
		return nil, ErrNotInstalled
	}
	profile, err := os.MkdirTemp("", "connect-firefox")
	if err != nil {
		return nil, err
	}
	b := &Browser{profile: profile, waiting: map[int]chan<- answer{}}
	if err := b.start(program, hosts); err != nil {
		b.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return b, nil
}

func (b *Browser) start(program string, hosts []string) error {
	// Firefox's settings for cookies stay as they are. The remote agent allows popups
	// without a click, so they are blocked here as they are for users.
	settings := fmt.Sprintf("user_pref(%q, %q);\nuser_pref(%q, true);\n",
		"network.dns.localDomains", strings.Join(hosts, ","), "dom.disable_open_during_load")
	if err := os.WriteFile(filepath.Join(b.profile, "user.js"), []byte(settings), 0o600); err != nil {
		return err
	}
	const origin = "http://127.0.0.1" // the websocket package always sends an Origin
	process := exec.Command(program, "--headless", "--no-remote", "--profile", b.profile,
		"--remote-debugging-port=0", "--remote-allow-origins="+origin)
	// Root's Firefox refuses the home directory of another user.
	process.Env = append(os.Environ(), "HOME="+b.profile)
	process.SysProcAttr = endWithTests
	output, err := process.StderrPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	b.process = process
	tooLate := time.AfterFunc(patience, func() { _ = process.Process.Kill() })
	defer tooLate.Stop()
	lines, address, said := bufio.NewScanner(output), "", ""
	for address == "" {
		if !lines.Scan() {
			return errors.New("it ended: " + said)
		}
		said = lines.Text()
		_, address, _ = strings.Cut(said, "WebDriver BiDi listening on ")
	}
	go func() {
		for lines.Scan() { // Firefox would wait for a reader.
		}
	}()
	if b.connection, err = websocket.Dial(address+"/session", "", origin); err != nil {
		return err
	}
	go b.read()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var session struct {
		Capabilities struct {
			BrowserVersion string `json:"browserVersion"`
		} `json:"capabilities"`
	}
	// The tests' servers sign their certificates themselves.
	err = b.call(ctx, "session.new", object{"capabilities": object{"alwaysMatch": object{"acceptInsecureCerts": true}}}, &session)
	b.Version = session.Capabilities.BrowserVersion
	return err
}

// Close ends the browser.
func (b *Browser) Close() {
	if b.connection != nil {
		_ = b.connection.Close()
	}
	if b.process != nil {
		_ = b.process.Process.Kill()
		_ = b.process.Wait()
	}
	_ = os.RemoveAll(b.profile) // Leftovers are in the system's temporary directory.
}

// read passes answers on, until the connection ends.
func (b *Browser) read() {
	for {
		var a answer // or an event, whose ID is 0
		err := websocket.JSON.Receive(b.connection, &a)
		b.mu.Lock()
		if err != nil {
			b.lost = fmt.Errorf("the connection to Firefox ended: %w", err)
			for id, waits := range b.waiting {
				close(waits)
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		if waits, ok := b.waiting[a.ID]; ok {
			waits <- a // It has room.
			delete(b.waiting, a.ID)
		}
		b.mu.Unlock()
	}
}

// call gives Firefox a command and waits for its result.
func (b *Browser) call(ctx context.Context, method string, params object, result any) error {
	answers := make(chan answer, 1)
	b.mu.Lock()
	if b.lost != nil {
		defer b.mu.Unlock()
		return b.lost
	}
	b.last++
	id := b.last
	b.waiting[id] = answers
	b.mu.Unlock()
	err := websocket.JSON.Send(b.connection, object{"id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	case a, ok := <-answers:
		if !ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.lost
		}
		if a.Error != "" {
			return fmt.Errorf("%s: %s: %s", method, a.Error, a.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	}
}

// TB is the part of a testing.TB that is needed.
type TB interface {
	Context() context.Context
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// NewTab opens a tab for a new user, who has cookies of their own. It is closed when the
// test ends. Errors fail the test.
func (b *Browser) NewTab(t TB) *Tab {
	t.Helper()
	tab := &Tab{t: t, browser: b, user: &user{seen: map[string]bool{}}}
	var made struct{ UserContext, Context string }
	tab.do("browser.createUserContext", object{}, &made)
	tab.user.jar = made.UserContext
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = b.call(ctx, "browser.removeUserContext", object{"userContext": tab.user.jar}, nil)
	})
	// A window, since a tab in the background has no focus and draws nothing.
	tab.do("browsingContext.create", object{"type": "window", "userContext": tab.user.jar}, &made)
	tab.id = made.Context
	tab.user.seen[tab.id] = true
	return tab
}
