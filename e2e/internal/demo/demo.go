// Package demo runs the demo, examples/stdlib, as a process.
package demo

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Demo is a running demo without configuration.
type Demo struct {
	// Origin is its URL.
	Origin string

	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// Start builds and starts the demo, with env added to its environment. Automations do not
// run unless env has an empty DEMO_BROWSER. Close removes the database.
func Start(env ...string) (_ *Demo, err error) {
	dir, err := os.MkdirTemp("", "connect-demo")
	if err != nil {
		return nil, err
	}
	d := &Demo{dir: dir}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/anchorconnect/connect").Output()
	if err != nil {
		return nil, fmt.Errorf("find the demo: %w", err)
	}
	program := filepath.Join(dir, "demo")
	build := exec.Command("go", "build", "-o", program, "./stdlib")
	build.Dir = filepath.Join(strings.TrimSpace(string(module)), "examples")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the demo: %w: %s", err, out)
	}
	d.cmd = exec.Command(program)
	// It must not use the developer's own account at Anchor.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANCHOR") {
			d.cmd.Env = append(d.cmd.Env, v)
		}
	}
	d.cmd.Env = append(d.cmd.Env, "ADDR=localhost:0", "PUBLIC_URL=", "DATABASE_URL=file:"+filepath.Join(dir, "demo.db"), "DEMO_BROWSER=off")
	d.cmd.Env = append(d.cmd.Env, env...)
	d.cmd.Stderr = &d.log
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if origin, ok := strings.CutPrefix(lines.Text(), "Open "); ok {
			d.Origin = origin
			return d, nil
		}
	}
	return nil, fmt.Errorf("the demo ended: %s", d.wait())
}

// Close ends the demo.
func (d *Demo) Close() {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Kill()
		d.wait()
	}
	_ = os.RemoveAll(d.dir)
}

// wait waits for the end of the process and returns its output.
func (d *Demo) wait() string {
	_ = d.cmd.Wait() // It was killed, or has printed why it ended.
	return d.log.String()
}
