package chromium

import "context"

// Dir returns the directory of the browser's files.
func (b *Browser) Dir() string { return b.scratch.dir }

// Running counts the processes of the browser with this directory, including their process
// groups. The browser may be another process's.
func Running(ctx context.Context, dir string) (n int, err error) {
	all, err := processes(ctx)
	if err != nil {
		return 0, err
	}
	groups := map[int]bool{}
	for _, p := range all {
		if owns(p.args, dir) {
			groups[p.group] = true
		}
	}
	for _, p := range all {
		if groups[p.group] {
			n++
		}
	}
	return n, nil
}
