package chromium

import "context"

// Dir is the directory that has everything of a browser's on the disk.
func (b *Browser) Dir() string { return b.scratch.dir }

// Running counts the processes that belong to the directory of a browser, which may
// be another process's, and those of the groups that they lead.
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
