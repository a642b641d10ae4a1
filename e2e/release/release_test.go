package main

import (
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// version is one that is never released, so that no proxy can have it.
const version = "v0.999.0"

const root = "github.com/anchorconnect/connect"

// programs use the libraries as an app would, by module.
var programs = map[string]string{
	root: `package main

import (
	"fmt"
	"net/http"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	_ "github.com/anchorconnect/connect/anchortest"
	_ "github.com/anchorconnect/connect/storetest"
)

func main() {
	_, err := connect.New(connect.Config{
		Anchor:        anchorhttp.New("sk-key"),
		ApplicationID: "5f0c3a52-8d1e-4b7a-9c64-2e1f7d3b9a10",
		PublicURL:     "https://app.example",
		Store:         connect.NewMemoryStore(),
		User:          func(*http.Request) (connect.User, error) { return connect.User{}, connect.ErrNotSignedIn },
		Secrets:       [][]byte{[]byte("0f1e2d3c4b5a69788796a5b4c3d2e1f0")},
		SuccessURL:    "/",
	})
	fmt.Print("error: ", err)
}
`,
	root + "/sqlstore": `package main

import (
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

var _ connect.Store = (*sqlstore.Store)(nil)

func main() {
	_, _, _, err := sqlstore.ParseURL("postgres://app@db.example/app")
	fmt.Print("error: ", err)
}
`,
	root + "/sandbox": `package main

import (
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sandbox"
)

func connectTo(s *sandbox.Server) connect.Config { return connect.Config{Anchor: s.Client()} }

func main() {
	var err error
	_ = connectTo
	fmt.Print("error: ", err)
}
`,
}

// commands are installed without a clone, by module.
var commands = map[string][]string{
	root:              {root + "/cmd/fakeanchor"},
	root + "/sandbox": {root + "/sandbox/cmd/fakeanchor"},
}

// The test releases a copy of this checkout. The go command downloads the modules by
// their tags into a cache, which has the layout of a proxy. Users' modules then get
// them from there.
func TestReleaseOfEveryModuleCanBeUsed(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds programs, in new module caches")
	}
	repository := copyOfCheckout(t)
	modules, err := modulesOf(repository)
	require.NoError(t, err)
	require.Len(t, modules, 8)
	tags, err := release(repository, version)
	require.NoError(t, err)
	require.Len(t, tags, len(modules))
	require.Contains(t, tags, version)
	require.Contains(t, tags, "sqlstore/drivers/"+version)
	status := run(t, nil, repository, "git", "status", "--porcelain")
	require.Empty(t, status, "the branch stays as it is")

	proxy := proxyOf(t, repository, modules)
	env := append(private(t),
		"GOPROXY="+fileURL(proxy)+","+fileURL(filepath.Join(run(t, nil, ".", "go", "env", "GOMODCACHE"), "cache", "download"))+
			","+run(t, nil, ".", "go", "env", "GOPROXY"),
		"GOPRIVATE=", "GONOPROXY=", "GOSUMDB=off",
		"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw -trimpath -buildvcs=false")

	for _, m := range modules {
		t.Run(m.path, func(t *testing.T) {
			app := t.TempDir()
			run(t, env, app, "go", "mod", "init", "app.example")
			run(t, env, app, "go", "get", m.path+"@"+version)
			for _, got := range strings.Split(run(t, env, app, "go", "list", "-m", "all"), "\n") {
				if strings.HasPrefix(got, root) {
					require.Equal(t, version, strings.Fields(got)[1], got)
				}
			}
			// It fails if an import of one of the packages cannot be found.
			run(t, env, app, "go", "list", "-deps", m.path+"/...")
			if program := programs[m.path]; program != "" {
				require.NoError(t, os.WriteFile(filepath.Join(app, "main.go"), []byte(program), 0o600))
				require.Equal(t, "error: <nil>", run(t, env, app, "go", "run", "."))
			}
			for _, command := range commands[m.path] {
				bin := t.TempDir()
				// It refuses a command whose module replaces others.
				run(t, append(env, "GOBIN="+bin, "GOFLAGS=-modcacherw -trimpath -buildvcs=false"), bin, "go", "install", command+"@"+version)
				require.FileExists(t, filepath.Join(bin, path.Base(command)+exe()))
			}
		})
	}
}

func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(repository, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/a\n")
	write("go.work", "go 1.25\n\nuse .\n")
	commit(t, repository)

	for _, bad := range []string{"", "0.1.0", "v0.1", "v0.1.0-rc.1", "v2.0.0", "v0.01.0", "v0.1.0 "} {
		_, err := release(repository, bad)
		require.ErrorContains(t, err, "is no version", bad)
	}

	write("forgotten", "")
	_, err := release(repository, "v0.1.0")
	require.ErrorContains(t, err, "forgotten")
	require.NoError(t, os.Remove(filepath.Join(repository, "forgotten")))

	run(t, nil, repository, "git", "tag", "v0.1.0")
	_, err = release(repository, "v0.1.0")
	require.ErrorContains(t, err, "the tags exist")
}

func TestReleaseHasASectionInTheChangelog(t *testing.T) {
	t.Parallel()
	changelog := "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-11-26\n\n## [0.0.9]\n"
	require.True(t, hasSection(changelog, "v0.1.0"))
	require.False(t, hasSection(changelog, "v0.0.9"), "without a date")
	require.False(t, hasSection(changelog, "v0.1"))
	require.False(t, hasSection(changelog, "v0.2.0"))
}

func TestDependabotUpdatesEveryModule(t *testing.T) {
	t.Parallel()
	modules, err := modulesOf("../..")
	require.NoError(t, err)
	config, err := os.ReadFile("../../.github/dependabot.yml")
	require.NoError(t, err)
	_, gomod, _ := strings.Cut(string(config), "gomod\n")
	gomod, _, _ = strings.Cut(gomod, "schedule:")
	for _, m := range modules {
		require.Contains(t, gomod, "- /"+strings.TrimPrefix(m.dir, ".")+"\n")
	}
}

// proxyOf has the go command make zips of the modules from the repository's tags, as
// a proxy does. It returns the folder to serve.
func proxyOf(t *testing.T, repository string, modules []module) string {
	t.Helper()
	env := append(private(t), "GOPRIVATE="+root, "GOFLAGS=-modcacherw", "GOWORK=off",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url."+fileURL(repository)+".insteadOf", "GIT_CONFIG_VALUE_0=https://"+root)
	args := []string{"mod", "download"}
	for _, m := range modules {
		args = append(args, m.path+"@"+version)
	}
	empty := t.TempDir()
	run(t, env, empty, "go", args...)
	return filepath.Join(run(t, env, empty, "go", "env", "GOMODCACHE"), "cache", "download")
}

// private returns the variables of an empty module cache.
func private(t *testing.T) []string {
	t.Helper()
	return []string{"GOMODCACHE=" + t.TempDir()}
}

// copyOfCheckout returns a new repository with one commit: the files of this checkout
// as they are now, committed or not.
func copyOfCheckout(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	top, err := output(".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		t.Skip("not in a checkout: ", err)
	}
	repository := t.TempDir()
	for _, name := range strings.Split(run(t, nil, top, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"), "\x00") {
		from, err := os.Open(filepath.Join(top, name))
		if name == "" || os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		to := filepath.Join(repository, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		file, err := os.Create(to)
		require.NoError(t, err)
		_, err = io.Copy(file, from)
		require.NoError(t, err, name)
		require.NoError(t, file.Close())
		require.NoError(t, from.Close())
	}
	commit(t, repository)
	return repository
}

// commit makes dir a repository and commits all its files.
func commit(t *testing.T, dir string) {
	t.Helper()
	run(t, nil, dir, "git", "init", "--quiet")
	for key, value := range map[string]string{"user.name": "test", "user.email": "test@app.example", "core.autocrlf": "false", "commit.gpgsign": "false", "tag.gpgsign": "false"} {
		run(t, nil, dir, "git", "config", key, value)
	}
	run(t, nil, dir, "git", "add", "--all")
	run(t, nil, dir, "git", "commit", "--quiet", "--message", "All of it")
}

func run(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	printed, err := outputWith(env, dir, name, args...)
	require.NoError(t, err)
	return printed
}

// fileURL returns the URL of an absolute path, also on Windows.
func fileURL(dir string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(dir), "/")
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
