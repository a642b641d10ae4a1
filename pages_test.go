package connect_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
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
	start := ada.startInPopup("/connect")
	cancelled, err := s.fake.Cancel(s.t.Context(), start.RedirectURL)
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

// A page can be read without a script and by a screen reader, and says what it is.
func TestEveryPageIsWhole(t *testing.T) {
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
func TestThePolicyOfEveryPage(t *testing.T) {
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

func TestAnAppReplacesPagesOneByOne(t *testing.T) {
	t.Parallel()
	own := map[string]string{
		"connect": `own connect, application {{.Application}}, to {{.ReturnTo}}, {{.Connected}} {{.NeedsSignIn}} {{.KeepURL}} {{template "form" .}}`,
		"notice":  `own notice {{.Code}} {{.Status}} {{.Title}} <a href="{{.NextURL}}">{{.NextText}}</a>`,
		"repeat":  `own repeat <meta http-equiv="refresh" content="0;url={{.URL}}">`,
		"popup":   `own popup {{.Outcome}} {{.Code}} {{.Title}} {{.Script}}`,
	}
	for replaced, text := range own {
		t.Run(replaced, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, templates(t, `{{define "form"}}<form method="post" action="{{.Action}}"></form>{{end}}{{define "`+replaced+`"}}`+text+`{{end}}`))
			pages := everyPage(s)
			for name, a := range pages {
				if name == replaced {
					require.True(t, strings.HasPrefix(a.body, "own "+name), a.body)
				} else {
					require.True(t, strings.HasPrefix(a.body, "<!doctype html>"), a.body)
				}
			}
			switch body := pages[replaced].body; replaced {
			case "connect":
				require.Equal(t, `own connect, application , to /reports, false false  <form method="post" action="/connect"></form>`, body)
			case "notice":
				require.Equal(t, `own notice no_state_cookie 403 `+connect.Explain(connect.ErrNoStateCookie).Title+` <a href="/connect">Start again</a>`, body)
				require.Equal(t, http.StatusForbidden, pages[replaced].status)
			case "repeat":
				require.Regexp(t, `content="0;url=\?identity_id=[^"]+repeated=1[^"]*"`, body)
			case "popup":
				require.Contains(t, body, "own popup cancelled cancelled You cancelled <script data-popup=")
			}
		})
	}
	t.Run("alert", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, templates(t, `{{define "alert"}}own alert {{.Code}} {{.Title}} {{.NextURL}}{{end}}`))
		nobody := s.browser().withHTMX("/")
		require.Contains(t, nobody.post("/connect", nil).body, "own alert not_signed_in")
	})
}

func TestTheConnectPageKnowsTheConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, templates(t, `{{define "connect"}}{{.Application}}|{{.Connected}}|{{.NeedsSignIn}}|{{.KeepURL}}|{{.Action}}|{{.ReturnTo}}{{end}}`))
	ada := s.signedIn("ada")
	require.Equal(t, "|false|false||/connect|", ada.get("/connect").body)
	callback := ada.connect()
	require.Equal(t, "|true|false|/dashboard?connected=true|/connect|", ada.get("/connect").body)
	require.Equal(t, "|true|false|/reports|/connect|/reports", ada.get("/connect?return_to=/reports").body)
	require.Equal(t, "calendar|false|false||/connect/calendar|/reports", ada.get("/connect/calendar?return_to=/reports").body)
	_, _, err := s.store.SetHealth(t.Context(), identityIn(callback), connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, "|true|true||/connect|/reports", ada.get("/connect?return_to=/reports").body, "there is nothing to keep")
}

// A person who was signed in to somebody else's account of the app sees whose
// account theirs would become.
func TestTheConnectPageSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	named := func(name string) func(*connect.Config) {
		return func(c *connect.Config) {
			user := c.User
			c.User = func(r *http.Request) (connect.User, error) {
				u, err := user(r)
				u.Name = name
				return u, err
			}
		}
	}
	s := newSite(t, named(`Eve <b>Attacker</b>`))
	eve := s.signedIn("eve")
	says := "You are signed in to this site as <bdi><strong>Eve &lt;b&gt;Attacker&lt;/b&gt;</strong></bdi>."
	require.Contains(t, eve.get("/connect").body, says)
	eve.connect()
	require.Contains(t, eve.get("/connect").body, says)

	require.NotContains(t, newSite(t).signedIn("ada").get("/connect").body, "You are signed in", "the app has given no name")
	own := newSite(t, named("Ada"), templates(t, `{{define "connect"}}{{.Action}} {{.User}}{{.ReturnTo}}{{end}}`))
	require.Equal(t, "/connect Ada", own.signedIn("ada").get("/connect").body)
}

func TestABrandIsOnEveryPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, templates(t, `{{define "logo"}}<img src="/logo.svg" alt="Errand & Co">{{end}}
		{{define "brand"}}{{template "logo"}}{{end}}{{define "head"}}<link rel="stylesheet" href="/brand.css">{{end}}`))
	for name, a := range everyPage(s) {
		require.Contains(t, a.body, "<header><img src=\"/logo.svg\" alt=\"Errand & Co\"></header>", name)
		head, _, _ := strings.Cut(a.body, "</head>")
		_, after, _ := strings.Cut(head, "</style>")
		require.Contains(t, after, `<link rel="stylesheet" href="/brand.css">`, "%s: behind our own, so that it has the last word", name)
	}
}

func TestTheAppsOwnSetOfTemplatesStaysItsOwn(t *testing.T) {
	t.Parallel()
	own := template.Must(template.New("").Parse(`{{define "brand"}}Errand{{end}}`))
	s := newSite(t, func(c *connect.Config) { c.Templates = own })
	_, err := own.Clone()
	require.NoError(t, err)
	template.Must(own.Parse(`{{define "brand"}}Another{{end}}{{define "connect"}}x{{end}}`))
	require.Contains(t, s.signedIn("ada").get("/connect").body, "<header>Errand</header>")

	// One that has been executed serves as well.
	own = template.Must(template.New("").Parse(`{{define "brand"}}Errand{{end}}`))
	require.NoError(t, own.ExecuteTemplate(io.Discard, "brand", nil))
	s = newSite(t, func(c *connect.Config) { c.Templates = own })
	require.Contains(t, s.signedIn("ada").get("/connect").body, "<header>Errand</header>")
}

// A template that works on what it was tried with may still fail.
func TestATemplateThatFailsLaterIsMadeUpFor(t *testing.T) {
	t.Parallel()
	var failing, panicking atomic.Bool
	own := template.Must(template.New("").Funcs(template.FuncMap{"brand": func() (string, error) {
		if panicking.Load() {
			var nobody *connect.User
			return nobody.ID, nil
		}
		if failing.Load() {
			return "", errors.New("the brand is gone")
		}
		return "Errand", nil
	}}).Parse(`{{define "connect"}}half a page of {{brand}} {{.Action}} {{.ReturnTo}}{{end}}`))
	s := newSite(t, func(c *connect.Config) { c.Templates = own })
	ada := s.signedIn("ada")
	require.Contains(t, ada.get("/connect").body, "half a page of Errand")
	failing.Store(true)
	a := ada.get("/connect")
	require.Equal(t, http.StatusOK, a.status)
	require.True(t, strings.HasPrefix(a.body, "<!doctype html>"), a.body)
	require.NotContains(t, a.body, "half a page")
	require.Contains(t, s.log.String(), "the brand is gone")
	panicking.Store(true)
	require.Contains(t, ada.get("/connect").body, "<h1>Connect your account</h1>")
}

func TestNewTellsWhatIsWrongWithATemplate(t *testing.T) {
	t.Parallel()
	fine := map[string]string{
		"connect": `{{.Action}} {{.ReturnTo}}`, "notice": `{{.Title}} {{.NextURL}}`, "alert": `{{.Title}} {{.NextURL}}`,
		"repeat": `{{.URL}}`, "popup": `{{.Title}} {{.Script}}`, "head": `x`, "brand": `x`,
	}
	with := func(name, text string) string { return fmt.Sprintf(`{{define %q}}%s%s{{end}}`, name, fine[name], text) }
	type test struct {
		name, text string
		want       []string
	}
	tests := []test{
		{"none that we know", `{{define "connect.html"}}x{{end}}`, []string{"Config.Templates", `"connect"`, `"brand"`, "{{define"}},
		{"one that leaves the form's address out", `{{define "connect"}}{{.ReturnTo}}{{end}}`, []string{`leaves .Action out of "connect"`}},
		{"one that leaves the way back out", `{{define "connect"}}{{.Action}}{{end}}`, []string{`leaves .ReturnTo out of "connect"`}},
		{"one that leaves the address out", `{{define "repeat"}}x{{end}}`, []string{`leaves .URL out of "repeat"`}},
		{"one that leaves the script out", `{{define "popup"}}{{.Title}}{{end}}`, []string{`leaves .Script out of "popup"`}},
		{"one that leaves the popup's title out", `{{define "popup"}}{{.Script}}{{end}}`, []string{`leaves .Title out of "popup"`}},
		{"one that leaves the title out", `{{define "notice"}}{{.NextURL}}{{end}}`, []string{`leaves .Title out of "notice"`}},
		{"one that leaves the next step out", `{{define "alert"}}{{.Title}}{{end}}`, []string{`leaves .NextURL out of "alert"`}},
		{"one that fails for a single error", with("notice", `{{if eq .Code "identity_taken"}}{{.Nope}}{{end}}`), []string{`cannot show "notice"`, "Nope"}},
		{"one that fails for an error of ours", with("notice", `{{if eq .Code "internal"}}{{.Nope}}{{end}}`), []string{`cannot show "notice"`, "Nope"}},
		{"one that fails for who is connected", with("connect", `{{if .Connected}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for who needs to sign in", with("connect", `{{if .NeedsSignIn}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for an account of several", with("connect", `{{range .Accounts}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for an account that needs to sign in", with("connect", `{{range .Accounts}}{{if .NeedsSignIn}}{{.Nope}}{{end}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for an application", with("connect", `{{if .Application}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for a cancelled popup", with("popup", `{{if eq .Outcome "cancelled"}}{{.Nope}}{{end}}`), []string{`cannot show "popup"`}},
		{"one that misses another", with("repeat", `{{template "layout"}}`), []string{`"repeat"`, "layout"}},
		{"one that cannot be escaped", with("repeat", `<a href="{{if true}}x">{{end}}`), []string{`"repeat"`}},
		{"a style element", with("head", `<style>h1{color:red}</style>`), []string{`"<style"`, `"head"`, "Content-Security-Policy"}},
		{"a script", with("popup", `<script src="/x.js"></script>`), []string{`"<script"`, `"popup"`}},
		{"a style attribute", with("notice", `<p style="color:red">`), []string{`style=`, `"notice"`}},
		{"a handler attribute", with("connect", `<button onclick="x()">`), []string{`onclick=`, `"connect"`}},
		{"several at once", with("head", `{{.Nope}}<style></style>`) + `{{define "repeat"}}x{{end}}`, []string{`"head"`, `"repeat"`}},
	}
	for name := range fine {
		tests = append(tests, test{"an unknown field of " + name, with(name, `{{.Nope.Never}}`), []string{fmt.Sprintf("cannot show %q", name)}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := newWith(t, test.text)
			require.Error(t, err)
			for _, part := range test.want {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "%!")
		})
	}
	for name := range fine {
		_, err := newWith(t, with(name, "<p class=\"style\">A style=x, an onclick=y: only words</p>"))
		require.NoError(t, err, name)
	}
	_, err := newWith(t, with("alert", `<b style="color:red" onclick="x()"><style>b{}</style><script>x()</script>`))
	require.NoError(t, err, "it goes into a page of the app's own, with a policy of the app's own")
}

func newWith(t *testing.T, text string) (*connect.Handler, error) {
	return connect.New(connect.Config{
		Anchor: anchorhttp.New("test-key"), ApplicationID: "11111111-1111-4111-8111-111111111111", PublicURL: "https://app.example", Store: connect.NewMemoryStore(),
		User:      func(*http.Request) (connect.User, error) { return connect.User{}, nil },
		Secrets:   [][]byte{[]byte("a secret of the tests, not random")},
		Templates: template.Must(template.New("").Parse(text)),
	})
}
