// Release makes the commit and the tags of a release:
//
//	go run ./e2e/release v0.1.0
//
// All modules of the repository get the same version. On a branch, their go.mod
// files require each other at v0.0.0 and replace that by a folder. Neither works for
// users: connect v0.0.0 does not exist, and go install refuses a command whose module
// replaces others. So the commit of a release has other go.mod files. It is a child of
// HEAD that only the tags point at; branches do not change. Nothing is pushed.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ./e2e/release v0.1.0")
	}
	version := os.Args[1]
	repository, err := output(".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		log.Fatal(err)
	}
	changes, err := os.ReadFile(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		log.Fatal(err)
	}
	if !hasSection(string(changes), version) {
		log.Fatalf("CHANGELOG.md has no section like \"## [%s] - 2006-01-02\"", strings.TrimPrefix(version, "v"))
	}
	tags, err := release(repository, version)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Tagged. To publish:\n\n\tgit push --atomic origin %s\n", strings.Join(tags, " "))
}

// hasSection reports whether the changelog has a dated section for version.
func hasSection(changelog, version string) bool {
	number := regexp.QuoteMeta(strings.TrimPrefix(version, "v"))
	return regexp.MustCompile(`(?m)^## \[` + number + `\] - \d{4}-\d{2}-\d{2}$`).MatchString(changelog)
}

// A module is one of the repository's.
type module struct {
	dir  string // slash-separated, relative to the repository; "." for the root
	path string
}

// tag returns the tag by which the go command finds version of the module.
func (m module) tag(version string) string { return path.Join(m.dir, version) }

// Modules of major version 2 and above need other import paths.
var releasable = regexp.MustCompile(`^v[01]\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)

// release commits the go.mod files of version on top of the repository's HEAD, and
// tags the commit for every module. It returns the tags. It fails if a file is not
// committed, or if one of the tags exists.
func release(repository, version string) ([]string, error) {
	if !releasable.MatchString(version) {
		return nil, fmt.Errorf("%q is no version like v0.1.0, of major version 0 or 1", version)
	}
	changed, err := output(repository, "git", "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if changed != "" {
		return nil, fmt.Errorf("not committed:\n%s", changed)
	}
	modules, err := modulesOf(repository)
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, m := range modules {
		tags = append(tags, m.tag(version))
	}
	existing, err := output(repository, "git", append([]string{"tag", "--list"}, tags...)...)
	if err != nil {
		return nil, err
	}
	if existing != "" {
		return nil, fmt.Errorf("the tags exist:\n%s", existing)
	}

	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	worktree := filepath.Join(scratch, "worktree")
	defer func() {
		_, _ = output(repository, "git", "worktree", "remove", "--force", worktree)
		_ = os.RemoveAll(scratch)
	}()
	if _, err := output(repository, "git", "worktree", "add", "--detach", worktree); err != nil {
		return nil, err
	}
	for _, m := range modules {
		if err := setVersion(filepath.Join(worktree, m.dir), modules, version); err != nil {
			return nil, err
		}
	}
	if _, err := output(worktree, "git", "commit", "--all", "--allow-empty", "--message", "Release "+version); err != nil {
		return nil, err
	}
	for _, tag := range tags {
		if _, err := output(worktree, "git", "tag", "--annotate", "--message", tag, tag); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// modulesOf returns the modules of the workspace.
func modulesOf(repository string) ([]module, error) {
	var work struct{ Use []struct{ DiskPath string } }
	if err := readJSON(&work, repository, "go", "work", "edit", "-json"); err != nil {
		return nil, err
	}
	var modules []module
	for _, use := range work.Use {
		file, err := readGoMod(filepath.Join(repository, use.DiskPath))
		if err != nil {
			return nil, err
		}
		modules = append(modules, module{dir: path.Clean(use.DiskPath), path: file.Module.Path})
	}
	if len(modules) == 0 {
		return nil, errors.New("go.work uses no modules")
	}
	return modules, nil
}

// setVersion edits the go.mod file in dir: what it requires of modules it requires at
// version, and it replaces none of them.
func setVersion(dir string, modules []module, version string) error {
	file, err := readGoMod(dir)
	if err != nil {
		return err
	}
	edit := []string{"mod", "edit"}
	for _, m := range modules {
		for _, require := range file.Require {
			if require.Path == m.path {
				edit = append(edit, "-require="+m.path+"@"+version)
			}
		}
		edit = append(edit, "-dropreplace="+m.path)
	}
	_, err = output(dir, "go", edit...)
	return err
}

// A goMod is the part of a go.mod file that release reads.
type goMod struct {
	Module  struct{ Path string }
	Require []struct{ Path, Version string }
}

func readGoMod(dir string) (goMod, error) {
	var file goMod
	err := readJSON(&file, dir, "go", "mod", "edit", "-json")
	return file, err
}

// readJSON decodes what a command prints into value.
func readJSON(value any, dir, name string, args ...string) error {
	printed, err := output(dir, name, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(printed), value)
}

// output runs a command in dir and returns its output, trimmed.
func output(dir, name string, args ...string) (string, error) {
	return outputWith(nil, dir, name, args...)
}

// outputWith is output with variables added to the environment.
func outputWith(env []string, dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(printed)), nil
}
