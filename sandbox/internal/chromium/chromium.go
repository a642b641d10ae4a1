// Package chromium runs an installed Chromium or Chrome: headless, with a temporary
// profile, and reachable only through its [Conn].
package chromium

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// startTimeout bounds the start of a browser. It is long, for busy machines.
const startTimeout = 60 * time.Second

// frameHeight is the difference in height of a window and its page, in current versions.
const frameHeight = 87

// args are the arguments of every browser.
var args = []string{
	"--headless=new", // The browser itself, without a window.
	"--remote-debugging-pipe",
	"--no-first-run",
	"--no-default-browser-check",
	"--disable-gpu",
	"--disable-quic",
	"--disable-sync",
	"--disable-dev-shm-usage", // Too small in containers.
	"--disable-extensions",
	"--disable-default-apps",
	"--disable-breakpad",
	"--disable-component-update",
	"--disable-background-networking",
	"--disable-client-side-phishing-detection",
	"--disable-domain-reliability",
	"--metrics-recording-only",
	"--no-pings",
	"--mute-audio",
	"--test-type=webdriver", // No warning bar about flags, which would make the page lower.
	"--hide-scrollbars",
	"--force-color-profile=srgb",
	"--password-store=basic",
	"--use-mock-keychain",
	// Avoid processes that take time to start: three renderers of the invisible address
	// bar, and the network service's.
	"--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,Translate,OptimizationHints,MediaRouter",
	"--enable-features=NetworkServiceInProcess2",
	// No tab is visible, and Chromium slows down invisible tabs.
	"--disable-background-timer-throttling",
	"--disable-backgrounding-occluded-windows",
	"--disable-renderer-backgrounding",
}

// Unsandboxed reports whether browsers run without Chromium's own sandbox. That is so if
// this process runs as root, since Chromium does not start for root otherwise.
func Unsandboxed() bool { return os.Geteuid() == 0 }

// A Browser is a running Chromium.
type Browser struct {
	cmd     *exec.Cmd
	conn    *Conn
	scratch *scratch
	stderr  *tail
	pipes   []*os.File
	done    chan struct{}
	end     sync.Once
}

// Start starts program with an empty page of this size, in CSS pixels. Pages in further
// windows have the same size. ctx bounds the start; the browser runs until
// [Browser.Close].
func Start(ctx context.Context, program string, width, height int) (*Browser, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	scratch, err := newScratch(home())
	if err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	b := &Browser{scratch: scratch, stderr: &tail{}, done: make(chan struct{})}
	if err := b.start(program, width, height); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), scratch.remove())
	}
	if err := b.conn.call(ctx, "Browser.getVersion", struct{}{}, nil); err != nil {
		b.Close()
		return nil, fmt.Errorf("start %s: %w%s", program, err, b.stderr.quoted())
	}
	return b, nil
}

func (b *Browser) start(program string, width, height int) error {
	theirR, ourW, err := os.Pipe()
	if err != nil {
		return err
	}
	ourR, theirW, err := os.Pipe()
	if err != nil {
		theirR.Close()
		ourW.Close()
		return err
	}
	defer theirR.Close()
	defer theirW.Close()
	b.pipes = []*os.File{ourR, ourW}
	all := append([]string{
		userDataDir + b.scratch.profile(),
		fmt.Sprintf("--window-size=%d,%d", width, height+frameHeight),
	}, args...)
	if Unsandboxed() {
		all = append(all, "--no-sandbox")
	}
	b.cmd = exec.Command(program, append(all, "about:blank")...)
	// The crash reporter leaves the process group; owns finds it by this directory.
	b.cmd.Env = append(environment(os.Environ()), "BREAKPAD_DUMP_LOCATION="+b.scratch.crashes())
	b.cmd.ExtraFiles = []*os.File{theirR, theirW} // 3 and 4
	b.cmd.Stderr = b.stderr
	b.cmd.WaitDelay = time.Second // A child may keep stderr open.
	ownGroup(b.cmd)
	if err := b.cmd.Start(); err != nil {
		ourR.Close()
		ourW.Close()
		return err
	}
	b.conn = newConn(ourR, ourW)
	go b.wait()
	return nil
}

// environment returns the variables that a browser needs. The rest of this process's
// environment may contain the app's secrets.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "HOME", "PATH", "TMPDIR", "TZ", "LANG", "LANGUAGE", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS":
			return false
		}
		return !strings.HasPrefix(name, "LC_") && !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "FONTCONFIG_") && !strings.HasPrefix(name, "CHROME_")
	})
}

// wait cleans up when the browser has ended, for whatever reason.
func (b *Browser) wait() {
	<-b.conn.done
	// The group's number is not reused until the process was waited for. After that,
	// nothing kills the group.
	b.end.Do(func() { killGroup(b.cmd.Process.Pid) })
	_ = b.cmd.Wait() // Its status does not matter.
	_, err := killOwners(context.Background(), b.scratch.dir)
	for _, pipe := range b.pipes {
		pipe.Close()
	}
	if err != nil {
		b.scratch.lock.Close() // Sweep needs the directory to find the processes.
	} else {
		_ = b.scratch.remove() // If it fails, the next Sweep removes the directory.
	}
	close(b.done)
}

// Conn returns the connection to the browser.
func (b *Browser) Conn() *Conn { return b.conn }

// Done returns a channel that is closed when the browser has ended, for whatever reason,
// with all of its processes, and its profile is removed.
func (b *Browser) Done() <-chan struct{} { return b.done }

// Close kills the browser and all of its processes, and waits until its profile is
// removed. It is idempotent.
func (b *Browser) Close() {
	b.end.Do(func() { killGroup(b.cmd.Process.Pid) })
	<-b.done
}

// A tail is a writer that keeps the last maxTail bytes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - maxTail; extra > 0 {
		t.text = bytes.Clone(t.text[extra:])
	}
	return len(p), nil
}

// quoted returns the text for an error, with a colon before it, or "".
func (t *tail) quoted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return ": " + text
	}
	return ""
}
