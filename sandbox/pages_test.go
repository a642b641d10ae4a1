package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// requireGoodPage checks the browser's page with axe-core, on a small phone in light mode,
// whose width it must fit, and on a desktop in dark mode.
func requireGoodPage(t *testing.T, ctx context.Context, axe, what string) {
	t.Helper()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("("+"() => { "+axe+"; return true })()"))
	require.NoError(t, err, what)
	for _, look := range []struct {
		scheme string
		width  int64
	}{{"light", 360}, {"dark", 1280}} {
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(look.width, 740), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
			})
			return err
		})))
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run().then(({ passes, violations }) => JSON.stringify({
			width: document.documentElement.scrollWidth,
			passes: passes.length,
			problems: violations.flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) => [id, help, html, failureSummary].join("\n"))),
		}))`, chromedp.EvalAwaitPromise))
		require.NoError(t, err, what)
		var found struct {
			Width    int64
			Passes   int
			Problems []string
		}
		require.NoError(t, json.Unmarshal([]byte(text), &found))
		where := fmt.Sprintf("%s, %v", what, look)
		require.NotZero(t, found.Passes, where)
		require.Empty(t, found.Problems, where)
		require.LessOrEqual(t, found.Width, look.width, where)
	}
}

func TestPagesLayout(t *testing.T) {
	t.Parallel()
	s := start(t)
	dir := needNode(t)
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	axe := string(script)
	adas := open(t, s, identity(t, s, "ada", "ada-letters"))
	ada := drive(t, adas)
	nobodys, err := s.Client().CreateSession(t.Context(), anchorhttp.SessionRequest{})
	require.NoError(t, err)
	nobody := drive(t, nobodys)

	look := func(ctx context.Context, address string) {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
		requireGoodPage(t, ctx, axe, address)
	}
	for _, path := range []string{"/inbox", "/inbox/1", "/settings", "/settings?done=password", "/nowhere"} {
		look(ada, s.Site().URL()+path)
	}
	look(nobody, s.Site().URL()+"/sign-in")
	send := func(fields ...string) {
		for i := 0; i < len(fields); i += 2 {
			require.NoError(t, chromedp.Do(nobody, chromedp.SetValue(chromedp.CSS(fields[i]), fields[i+1])))
		}
		before := `document.body.dataset.before`
		require.NoError(t, chromedp.Do(nobody, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Run(ctx, chromedp.Evaluate[string](before+` = "1"; document.querySelector(".primary").click(); ""`))
			return err
		})))
		says(t, nobody, before+` === undefined && document.readyState === "complete"`)
	}
	send("#name", "alan", "#password", "guess")
	requireGoodPage(t, nobody, axe, "a wrong password")
	send("#name", "alan", "#password", "alan-letters")
	requireGoodPage(t, nobody, axe, "the code")
	send("#code", "wrong")
	requireGoodPage(t, nobody, axe, "a wrong code")

	address := hosted(t, s)
	look(nobody, address)
	send("#account", "alan", "#password", "guess")
	requireGoodPage(t, nobody, axe, "a wrong password on the hosted page")
	send("#account", "alan", "#password", "alan-letters")
	requireGoodPage(t, nobody, axe, "the code on the hosted page")
	u, err := url.Parse(address)
	require.NoError(t, err)
	_, err = s.Fake().Cancel(t.Context(), s.Fake().HostedPageURL(u.Query().Get("token"), ""))
	require.NoError(t, err)
	look(nobody, address)
	look(nobody, adas.LiveViewURL)
	look(nobody, s.OverviewURL())
}
