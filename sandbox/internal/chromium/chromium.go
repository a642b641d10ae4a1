// Package chromium runs a Chromium or Chrome that is installed: headless, with a
// temporary profile of its own, and reachable by nobody but its [Conn].
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

// patience is how long a browser may take to start. It is long, for machines with
// a lot to do.
const patience = 60 * time.Second

// frameHeight is how much higher a window is than its page, in current versions.
const frameHeight = 87

// args are what every browser is started with.
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
	"--test-type=webdriver", // No bar that warns of flags, which takes its height from the page.
	"--hide-scrollbars",
	"--force-color-profile=srgb",
	"--password-store=basic",
	"--use-mock-keychain",
	// Processes that take time to start: three renderers of the address bar, which
	// nobody sees, and the network's own.
	"--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,Translate,OptimizationHints,MediaRouter",
	"--enable-features=NetworkServiceInProcess2",
	// Nobody looks at any tab; Chromium slows those down.
	"--disable-background-timer-throttling",
	"--disable-backgrounding-occluded-windows",
	"--disable-renderer-backgrounding",
}

// Unsandboxed reports whether browsers are started without Chromium's own sandbox:
// when this process is root's, for whom Chromium does not start otherwise.
func Unsandboxed() bool { return os.Geteuid() == 0 }

// A Browser is a Chromium that runs.
type Browser struct {
	cmd     *exec.Cmd
	conn    *Conn
	scratch *scratch
	stderr  *tail
	pipes   []*os.File
	done    chan struct{}
	end     sync.Once
}

// Start starts the program with an empty page of this size, in CSS pixels, as are
// those in further windows. ctx bounds the start, not the browser, which runs until [Browser.Close].
func Start(ctx context.Context, program string, width, height int) (*Browser, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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
	// Its crash reporter, which leaves the process group, is known by this too.
	b.cmd.Env = append(environment(os.Environ()), "BREAKPAD_DUMP_LOCATION="+b.scratch.crashes())
	b.cmd.ExtraFiles = []*os.File{theirR, theirW} // 3 and 4
	b.cmd.Stderr = b.stderr
	b.cmd.WaitDelay = time.Second // A child may hold on to stderr.
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

// environment returns what a browser needs of this process's environment, which may
// have secrets of the app's.
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

// wait cleans up when the browser has ended, whoever ended it.
func (b *Browser) wait() {
	<-b.conn.done
	// Until it has been waited for, the group's number is not given to another. After
	// that nobody kills it any more.
	b.end.Do(func() { killGroup(b.cmd.Process.Pid) })
	_ = b.cmd.Wait() // It was killed, or is of no use any more.
	_, err := killOwners(context.Background(), b.scratch.dir)
	for _, pipe := range b.pipes {
		pipe.Close()
	}
	if err != nil {
		b.scratch.lock.Close() // Sweep finds the processes by the directory.
	} else {
		_ = b.scratch.remove() // What is left is removed by the next Sweep.
	}
	close(b.done)
}

// Conn is the connection to the browser.
func (b *Browser) Conn() *Conn { return b.conn }

// Done is closed when the browser has ended, whoever ended it, its processes are
// gone and its profile is removed.
func (b *Browser) Done() <-chan struct{} { return b.done }

// Close ends the browser and all of its processes at once, removes its profile and
// waits until that is done. Closing twice does nothing.
func (b *Browser) Close() {
	b.end.Do(func() { killGroup(b.cmd.Process.Pid) })
	<-b.done
}

// A tail keeps the end of what is written to it.
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

// quoted is what was written, for an error.
func (t *tail) quoted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return ": " + text
	}
	return ""
}
