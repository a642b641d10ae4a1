package connect_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// hashes of the elements of a page, as a policy allows them.
func hashOf(t *testing.T, page, element string) string {
	content := regexp.MustCompile(`(?s)<` + element + `[^>]*>(.*?)</` + element + `>`).FindStringSubmatch(page)
	require.NotNil(t, content, page)
	sum := sha256.Sum256([]byte(content[1]))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// everyPage collects the pages of a site: connect, notice, repeat and popup.
func everyPage(s *site) map[string]answer {
	all := map[string]answer{}
	ada := s.signedIn("ada")
	all["connect"] = ada.get("/connect?return_to=/reports")
	all["notice"] = ada.get("/identity-callback/STATE?status=cancelled")
	flow := ada.startInPopup("/connect")
	cancelled, err := s.fake.Cancel(s.t.Context(), flow.RedirectURL)
	require.NoError(s.t, err)
	all["popup"] = ada.get(cancelled)
	callback := s.approve(ada.start())
	ada.signIn("")
	all["repeat"] = ada.get(callback)
	return all
}

func templates(t *testing.T, text string) func(*connect.Config) {
	return func(c *connect.Config) { c.Templates = template.Must(template.New("").Parse(text)) }
}

// Every page works without scripts and with a screen reader, and has a title.
func TestPagesAreWholeDocuments(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, a := range everyPage(s) {
		require.True(t, strings.HasPrefix(a.body, "<!doctype html>\n<html lang=\"en\" dir=\"ltr\">"), name)
		require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
		for _, once := range []string{"<h1>", "<main>", "<title>", `<meta name="viewport" content="width=device-width, initial-scale=1">`, `<meta name="color-scheme" content="light dark">`, "</html>"} {
			require.Equal(t, 1, strings.Count(a.body, once), "%s in %s", once, name)
		}
		_, title, _ := strings.Cut(a.body, "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		require.Contains(t, a.body, "<h1>"+title+"</h1>", "%s is called what it says", name)
		require.NotContains(t, a.body, "<header", "%s has no brand by itself", name)
		if name != "popup" {
			require.NotContains(t, a.body, "<script", name)
		}
		require.NotRegexp(t, `<[^>]+\s(style|on[a-z]+)=`, a.body, name)
	}
}

// The whole policy of every page, as it is and with something of the app's own.
func TestPagesHaveAContentSecurityPolicy(t *testing.T) {
	t.Parallel()
	const rest = "base-uri 'none'; frame-ancestors 'none'; form-action "
	policies := func(s *site, own map[string]bool) {
		for name, a := range everyPage(s) {
			styles, load, scripts, form := "", "", "", "'none'"
			if strings.Contains(a.body, "<style>") {
				styles = hashOf(t, a.body, "style")
			} else {
				styles = hashOf(t, newSite(t).browser().get("/connect").body, "style")
			}
			if own[name] || own["all"] {
				styles, load = styles+" 'self'", "img-src 'self'; font-src 'self'; "
			}
			if name == "popup" {
				scripts = "script-src " + hashOf(t, a.body, "script") + "; "
			}
			if name == "connect" {
				form = "'self' " + s.fake.URL()
			}
			require.Equal(t, "default-src 'none'; style-src "+styles+"; "+load+scripts+rest+form, a.header.Get("Content-Security-Policy"), name)
		}
	}
	policies(newSite(t), nil)
	policies(newSite(t, templates(t, `{{define "notice"}}{{.Title}} {{.NextURL}}{{end}}`)), map[string]bool{"notice": true})
	policies(newSite(t, templates(t, `{{define "popup"}}{{.Title}} {{.Script}}{{end}}`)), map[string]bool{"popup": true})
	policies(newSite(t, templates(t, `{{define "alert"}}{{.Title}} {{.NextURL}}{{end}}`)), nil)
	policies(newSite(t, templates(t, `{{define "head"}}<link rel="stylesheet" href="/brand.css">{{end}}`)), map[string]bool{"all": true})
	policies(newSite(t, templates(t, `{{define "brand"}}<img src="/brand.svg" alt="Errand">{{end}}`)), map[string]bool{"all": true})
}
