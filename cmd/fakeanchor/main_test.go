package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets a test run this very program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FAKEANCHOR_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// launch starts the program and returns it with the variables it prints, five
// with a webhook.
func launch(t *testing.T, args ...string) (*exec.Cmd, map[string]string, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "FAKEANCHOR_TEST_MAIN=1")
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // Its error, if it has been waited for, says nothing new.
	})
	vars, n := map[string]string{}, 4
	if slices.Contains(args, "-webhook-url") {
		n = 5
	}
	lines := bufio.NewScanner(stdout)
	for len(vars) < n && lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), "=")
		require.True(t, found, lines.Text())
		vars[name] = value
	}
	require.Len(t, vars, n, stderr)
	return cmd, vars, stderr
}

func get(t *testing.T, vars map[string]string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", vars["ANCHORBROWSER_BASE_URL"]+"/v1/applications/"+vars["ANCHOR_APPLICATION_ID"], nil)
	require.NoError(t, err)
	req.Header.Set("anchor-api-key", vars["ANCHORBROWSER_API_KEY"])
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	return res.StatusCode
}

// send sends a request and wants this status.
func send(t *testing.T, req *http.Request, status int) (body string) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, status, res.StatusCode, string(text))
	return string(text)
}

// post sends a form, which leads elsewhere.
func post(t *testing.T, address string, form url.Values) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	send(t, req, http.StatusSeeOther)
}

func TestProgram(t *testing.T) {
	t.Parallel()

	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run("it prints what an app needs, serves, and ends well on "+signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd, vars, stderr := launch(t)
			require.Equal(t, vars["ANCHORBROWSER_BASE_URL"], vars["ANCHOR_APP_URL"])
			require.Equal(t, 200, get(t, vars))
			require.NoError(t, cmd.Process.Signal(signal))
			require.NoError(t, cmd.Wait(), stderr)
			require.Contains(t, stderr.String(), "msg=call method=GET path=/v1/applications/"+vars["ANCHOR_APPLICATION_ID"]+" status=200")
			require.NotContains(t, stderr.String(), vars["ANCHORBROWSER_API_KEY"])
		})
	}

	t.Run("a call under way when it is told to end is answered", func(t *testing.T) {
		t.Parallel()
		cmd, vars, stderr := launch(t)
		conn, err := net.Dial("tcp", strings.TrimPrefix(vars["ANCHORBROWSER_BASE_URL"], "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = fmt.Fprintf(conn, "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAnchor-Api-Key: %s\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", vars["ANCHORBROWSER_API_KEY"])
		require.NoError(t, err)
		answers := bufio.NewReader(conn)
		res, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		require.Equal(t, 100, res.StatusCode, "the call has begun")

		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		for { // Until it does not listen any more.
			other, err := net.Dial("tcp", conn.RemoteAddr().String())
			if err != nil {
				break
			}
			other.Close()
		}
		_, err = fmt.Fprint(conn, "{}")
		require.NoError(t, err)
		res, err = http.ReadResponse(answers, nil)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		require.NoError(t, cmd.Wait(), stderr)
	})

	t.Run("a restart changes nothing but the free port", func(t *testing.T) {
		t.Parallel()
		_, first, _ := launch(t)
		_, second, _ := launch(t)
		for _, name := range []string{"ANCHORBROWSER_API_KEY", "ANCHOR_APPLICATION_ID"} {
			require.NotEmpty(t, first[name])
			require.Equal(t, first[name], second[name])
		}
	})

	t.Run("the webhook is told, with the secret that is printed, of what the control page does", func(t *testing.T) {
		t.Parallel()
		events := make(chan [3]string, 2)
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			events <- [3]string{r.Header.Get("Anchor-Timestamp"), string(body), r.Header.Get("Anchor-Signature")}
		}))
		t.Cleanup(app.Close)
		cmd, vars, stderr := launch(t, "-webhook-url", app.URL+"/hook")
		require.GreaterOrEqual(t, len(vars["ANCHOR_WEBHOOK_SECRET"]), 26)
		_, others, _ := launch(t, "-webhook-url", app.URL+"/hook")
		require.NotEqual(t, vars["ANCHOR_WEBHOOK_SECRET"], others["ANCHOR_WEBHOOK_SECRET"])

		// An identity comes of a sign-in on the hosted page.
		req, err := http.NewRequestWithContext(t.Context(), "POST", vars["ANCHORBROWSER_BASE_URL"]+"/v1/applications/"+vars["ANCHOR_APPLICATION_ID"]+"/tokens",
			strings.NewReader(`{"callbackUrl":"https://app.example/cb"}`))
		require.NoError(t, err)
		req.Header.Set("anchor-api-key", vars["ANCHORBROWSER_API_KEY"])
		token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(send(t, req, 201))
		require.NotNil(t, token)
		post(t, vars["ANCHOR_APP_URL"]+"/identity/create", url.Values{"token": {token[1]}, "outcome": {"approve"}})
		event := <-events
		require.Contains(t, event[1], `"type":"identity.authenticated"`)
		id := regexp.MustCompile(`"identity_id":"([^"]+)"`).FindStringSubmatch(event[1])
		require.NotNil(t, id)

		post(t, vars["ANCHOR_APP_URL"]+"/fake", url.Values{"identity": {id[1]}, "outcome": {"fail"}})
		event = <-events
		require.Contains(t, event[1], `"type":"identity.authentication_failed"`)
		mac := hmac.New(sha256.New, []byte(vars["ANCHOR_WEBHOOK_SECRET"]))
		io.WriteString(mac, "v0:"+event[0]+":"+event[1])
		require.Equal(t, "t="+event[0]+",v1="+hex.EncodeToString(mac.Sum(nil)), event[2])

		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), stderr)
		require.Contains(t, stderr.String(), "control="+vars["ANCHOR_APP_URL"]+"/fake")
		require.Contains(t, stderr.String(), "msg=delivery event=identity.authenticated")
		require.NotContains(t, stderr.String(), vars["ANCHOR_WEBHOOK_SECRET"])
	})

	t.Run("other applications have the ids that they are given", func(t *testing.T) {
		t.Parallel()
		const two, three = "fa4e0000-0000-4000-8000-000000000002", "fa4e0000-0000-4000-8000-000000000003"
		_, vars, _ := launch(t, "-another-application", two+"=https://two.example/?a=b", "-another-application", three+"=https://three.example")
		req, err := http.NewRequestWithContext(t.Context(), "GET", vars["ANCHORBROWSER_BASE_URL"]+"/v1/applications", nil)
		require.NoError(t, err)
		req.Header.Set("anchor-api-key", vars["ANCHORBROWSER_API_KEY"])
		list := send(t, req, 200)
		for _, part := range []string{`"` + two + `"`, `"two.example"`, `"https://two.example/?a=b"`, `"` + three + `"`, `"three.example"`} {
			require.Contains(t, list, part)
		}
	})

	t.Run("its switches are those that it is given", func(t *testing.T) {
		t.Parallel()
		_, vars, _ := launch(t, "-switch", "sessions=no-credit", "-switch", "clock=-1h", "-orphans", "3")
		req, err := http.NewRequestWithContext(t.Context(), "POST", vars["ANCHORBROWSER_BASE_URL"]+"/v1/sessions", nil)
		require.NoError(t, err)
		req.Header.Set("anchor-api-key", vars["ANCHORBROWSER_API_KEY"])
		require.Contains(t, send(t, req, 402), "Insufficient credits")
		req, err = http.NewRequestWithContext(t.Context(), "GET", vars["ANCHORBROWSER_BASE_URL"]+"/v1/applications/"+vars["ANCHOR_APPLICATION_ID"]+"/identities", nil)
		require.NoError(t, err)
		req.Header.Set("anchor-api-key", vars["ANCHORBROWSER_API_KEY"])
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, 3, strings.Count(string(body), `"created_at"`))
		date, err := http.ParseTime(res.Header.Get("Date"))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(-time.Hour), date, time.Minute)
	})

	t.Run("an address in use is one line and exit status 1", func(t *testing.T) {
		t.Parallel()
		_, vars, _ := launch(t)
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), []string{"-addr", strings.TrimPrefix(vars["ANCHORBROWSER_BASE_URL"], "http://")}, &stdout, &stderr)
		require.Equal(t, 1, status)
		require.Empty(t, stdout.String())
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"))
		require.Contains(t, stderr.String(), "address already in use")
	})

	t.Run("a shell can source what it prints", func(t *testing.T) {
		t.Parallel()
		var stdout bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		key := `it's $HOME;"x"`
		key = strings.ReplaceAll(key, " ", "")
		require.Zero(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-key", key, "-application", "AAAAAAAA-0000-4000-8000-000000000001",
			"-webhook-url", "https://app.example", "-webhook-secret", "$(a) 'b"}, &stdout, io.Discard))
		shell := exec.CommandContext(t.Context(), "sh", "-c", `eval "$(cat)"; printf '%s|%s|%s' "$ANCHORBROWSER_API_KEY" "$ANCHOR_APPLICATION_ID" "$ANCHOR_WEBHOOK_SECRET"`)
		shell.Stdin = &stdout
		out, err := shell.Output()
		require.NoError(t, err)
		require.Equal(t, key+"|aaaaaaaa-0000-4000-8000-000000000001|$(a) 'b", string(out))
	})

	t.Run("a standard output that cannot be written to is exit status 1", func(t *testing.T) {
		t.Parallel()
		r, w := io.Pipe()
		require.NoError(t, r.Close())
		var stderr bytes.Buffer
		require.Equal(t, 1, run(t.Context(), []string{"-addr", "127.0.0.1:0"}, w, &stderr))
		require.Contains(t, stderr.String(), "print the configuration")
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()

	for _, test := range []struct {
		name string
		args []string
		says string
	}{
		{"an unknown flag", []string{"-bogus"}, "-bogus"},
		{"an argument", []string{"serve"}, `"serve"`},
		{"a site that is no URL", []string{"-site", "example.com"}, `-site "example.com"`},
		{"a site of another scheme", []string{"-site", "ftp://example.com"}, "-site"},
		{"a site without a host", []string{"-site", "https:///x"}, "-site"},
		{"an application id that is no UUID", []string{"-application", "7"}, `"7" is not a UUID`},
		{"another application without a site", []string{"-another-application", "fa4e0000-0000-4000-8000-000000000002"}, "-another-application"},
		{"another application's id that is no UUID", []string{"-another-application", "7=https://two.example"}, `"7" is not a UUID`},
		{"a webhook that is no URL", []string{"-webhook-url", "app.example"}, "webhook"},
		{"a webhook's secret without a webhook", []string{"-webhook-secret", "s3 cret"}, "-webhook-url"},
		{"a browser", []string{"-browser"}, "go run github.com/anchorconnect/connect/sandbox/cmd/fakeanchor -browser"},
		{"a switch that there is not", []string{"-switch", "luck=good"}, `no switch "luck"`},
		{"a value that a switch has not", []string{"-switch", "gone=410"}, "use one of 400, 404, 422"},
		{"fewer than no orphans", []string{"-orphans", "-1"}, "-orphans"},
		{"a key with a space", []string{"-key", "s3 cret"}, "API key"},
	} {
		t.Run(test.name+" is one line and exit status 2", func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), append([]string{"-addr", "127.0.0.1:0"}, test.args...), &stdout, &stderr))
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.Contains(t, stderr.String(), test.says)
			require.NotContains(t, stderr.String(), "s3 cret")
		})
	}

	t.Run("the process says it once too", func(t *testing.T) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-bogus")
		cmd.Env = append(os.Environ(), "FAKEANCHOR_TEST_MAIN=1")
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 2, cmd.ProcessState.ExitCode())
		require.Equal(t, 1, strings.Count(string(out), "\n"), string(out))
	})

	t.Run("help names every flag and is no error", func(t *testing.T) {
		t.Parallel()
		var stdout, stderr bytes.Buffer
		require.Zero(t, run(t.Context(), []string{"-h"}, &stdout, &stderr))
		require.Empty(t, stdout.String())
		for _, name := range []string{"-addr", "-key", "-application", "-site", "-another-application", "-switch", "-orphans", "-webhook-url", "-webhook-secret", "-browser"} {
			require.Regexp(t, `(?m)^  `+name+`\b`, stderr.String())
		}
	})
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://127.0.0.1:80": "http://127.0.0.1:80",
		"http://[::1]:80":     "'http://[::1]:80'",
		"sk-a_b.c":            "sk-a_b.c",
		"":                    "''",
		"a b":                 "'a b'",
		"it's":                `'it'\''s'`,
		"$(x)":                "'$(x)'",
		"a\nb":                "'a\nb'",
		"a#b":                 "'a#b'",
		"~":                   "'~'",
	} {
		require.Equal(t, want, quote(text))
	}
}
