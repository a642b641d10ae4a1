package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsUnusable(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"an unknown flag":                      {[]string{"-bogus"}, "bogus"},
		"an argument":                          {[]string{"x"}, `unexpected argument "x"`},
		"no browser":                           {[]string{"-browser=false"}, "run github.com/anchorconnect/connect/cmd/fakeanchor"},
		"an unknown callback style":            {[]string{"-callback", "x"}, `"x" is not current`},
		"an address of other machines":         {[]string{"-addr", "0.0.0.0:0"}, `-addr "0.0.0.0:0" is not a loopback address`},
		"an address without a host":            {[]string{"-addr", ":0"}, `-addr ":0" is not a loopback address`},
		"an address without a port":            {[]string{"-addr", "localhost"}, `-addr "localhost" is not a loopback address and a port`},
		"a site for other machines":            {[]string{"-site-addr", "[::]:0"}, `-site-addr "[::]:0" is not a loopback address`},
		"an application that is no UUID":       {[]string{"-application", "x"}, `-application "x" is not a UUID`},
		"a webhook that is no URL":             {[]string{"-webhook-url", "x"}, "-webhook-url is not an http or https URL"},
		"a webhook's secret without a webhook": {[]string{"-webhook-secret", "s3cret"}, "-webhook-url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), row.args, &stdout, &stderr))
			require.Empty(t, stdout.String())
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.Contains(t, stderr.String(), row.says)
			require.NotContains(t, stderr.String(), "s3cret")
		})
	}
}

func TestFlagsHelp(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"-h"}, &stdout, &stderr))
	require.Empty(t, stdout.String())
	for _, name := range []string{"-addr", "-site-addr", "-key", "-application", "-webhook-url", "-webhook-secret", "-callback", "-browser"} {
		require.Regexp(t, `(?m)^  `+name+`\b`, stderr.String())
	}
}

func TestRunWithoutABrowserExplainsHowToGetOne(t *testing.T) {
	t.Setenv("CHROME_PATH", os.DevNull)
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, run(t.Context(), nil, &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Contains(t, stderr.String(), "apt-get install chromium")
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"))
}

func TestRunPrintsTheConfiguration(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // It starts, prints and ends.
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{
		"-browser", "-addr", "127.0.0.1:0", "-site-addr", "127.0.0.1:0", "-key", "it's",
		"-webhook-url", "http://127.0.0.1:1/webhook", "-webhook-secret", "whsec-1",
	}, &stdout, &stderr)
	if strings.Contains(stderr.String(), "no Chromium or Chrome was found") {
		t.Skip(stderr.String())
	}
	require.Zero(t, status, stderr.String())
	require.Regexp(t, `^ANCHORBROWSER_BASE_URL=http://127\.0\.0\.1:\d+
ANCHOR_APP_URL=http://127\.0\.0\.1:\d+
ANCHORBROWSER_API_KEY='it'\\''s'
ANCHOR_APPLICATION_ID=fa4e0000-0000-4000-8000-000000000001
SANDBOX_SITE_URL=http://127\.0\.0\.1:\d+
ANCHOR_WEBHOOK_SECRET=whsec-1
$`, stdout.String())
	require.Contains(t, stderr.String(), "overview=http://127.0.0.1:")
	require.NotContains(t, stderr.String(), "whsec-1")
}
