package connect_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// goTool runs the go command on a file outside of the repository, whose imports are
// looked up in the workspace.
func goTool(t *testing.T, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	workspace, err := filepath.Abs("go.work")
	require.NoError(t, err)
	command.Env = append(os.Environ(), "GOWORK="+workspace)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), output)
}

// A block that is a whole file compiles as it stands.
func TestDocsFilesCompile(t *testing.T) {
	t.Parallel()
	var files int
	for name, page := range repository(t, ".md") {
		for i, block := range blocks(page, "go") {
			if !isFile(block) {
				continue
			}
			files++
			file := filepath.Join(t.TempDir(), fmt.Sprintf("%s_%d.go", strings.ReplaceAll(name, "/", "_"), i))
			require.NoError(t, os.WriteFile(file, []byte(block+"\n"), 0o600))
			goTool(t, "vet", file)
		}
	}
	require.GreaterOrEqual(t, files, 2)
}

// The program of the README connects an account. It runs behind a TLS proxy, as in
// production, with a fake of Anchor.
func TestDocsREADMEProgramConnects(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	programs := blocks(string(readme), "go")
	require.Len(t, programs, 1)
	fake, err := anchortest.Start()
	require.NoError(t, err)
	defer fake.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	handler := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	handler.ErrorLog = log.New(io.Discard, "", 0)
	proxy := httptest.NewTLSServer(handler)
	defer proxy.Close()

	program := programs[0]
	for was, is := range map[string]string{
		`"localhost:8080"`:         fmt.Sprintf("%q", address),
		`"https://your-app.com", `: fmt.Sprintf("%q, ", proxy.URL),
		`os.Getenv("ANCHORBROWSER_API_KEY")`: fmt.Sprintf("os.Getenv(%q), anchorhttp.WithBaseURL(%q), anchorhttp.WithAppURL(%[2]q)",
			"ANCHORBROWSER_API_KEY", fake.URL()),
	} {
		require.Equal(t, 1, strings.Count(program, was), was)
		program = strings.Replace(program, was, is, 1)
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program.exe")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
	goTool(t, "build", "-o", binary, source)
	command := exec.CommandContext(t.Context(), binary)
	command.Env = append(os.Environ(), "ANCHORBROWSER_API_KEY="+fake.APIKey(), "ANCHOR_APPLICATION_ID="+fake.ApplicationID(),
		"SESSION_SECRET=a secret of the tests, not random", "CONNECT_SECRET=another secret of the tests, not random")
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()

	browser := proxy.Client()
	browser.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	do := func(method, path string) (status int, location, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, path, nil)
		require.NoError(t, err)
		response, err := browser.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, response.Header.Get("Location"), string(content)
	}
	for answers := false; !answers; {
		select {
		case err := <-ended:
			require.Fail(t, "the program has ended", "%v\n%s", err, output.String())
		case <-time.After(20 * time.Millisecond):
			status, _, body := do("GET", proxy.URL+"/")
			answers = status == http.StatusOK && strings.Contains(body, `action="/connect"`)
		}
	}
	_, location, _ := do("GET", proxy.URL+"/reports")
	require.Equal(t, "/?return_to=%2Freports", location)
	_, location, _ = do("POST", proxy.URL+"/sign-in")
	require.Equal(t, "/", location)
	_, location, _ = do("GET", proxy.URL+"/reports")
	require.Equal(t, "/connect?return_to=%2Freports", location)
	_, location, _ = do("POST", proxy.URL+"/connect")
	callback, err := fake.Approve(t.Context(), location)
	require.NoError(t, err)
	_, location, _ = do("GET", callback)
	require.Equal(t, "/reports", location)
	status, _, body := do("GET", proxy.URL+"/reports")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, fake.Identities()[0].ID)

	if runtime.GOOS == "windows" {
		require.NoError(t, command.Process.Kill()) // It has no signals.
		<-ended
		return
	}
	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.NoError(t, <-ended)
	require.NotRegexp(t, "WARN|ERROR", output.String())
}
