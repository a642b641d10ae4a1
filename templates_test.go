package connect_test

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
)

func TestTemplatesReplacePagesOneByOne(t *testing.T) {
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

func TestTemplatesPutABrandOnEveryPage(t *testing.T) {
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

func TestTemplatesOfTheAppAreNotChanged(t *testing.T) {
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

// A template that works on the data that New tries it with may still fail later.
func TestTemplateThatFailsGivesWayToTheBuiltInPage(t *testing.T) {
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

func TestNewNamesEveryProblemOfTemplates(t *testing.T) {
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
		{"one that leaves the form's address out", `{{define "connect"}}{{.ReturnTo}}{{end}}`, []string{`omits .Action from "connect"`}},
		{"one that leaves the return path out", `{{define "connect"}}{{.Action}}{{end}}`, []string{`omits .ReturnTo from "connect"`}},
		{"one that leaves the address out", `{{define "repeat"}}x{{end}}`, []string{`omits .URL from "repeat"`}},
		{"one that leaves the script out", `{{define "popup"}}{{.Title}}{{end}}`, []string{`omits .Script from "popup"`}},
		{"one that leaves the popup's title out", `{{define "popup"}}{{.Script}}{{end}}`, []string{`omits .Title from "popup"`}},
		{"one that leaves the title out", `{{define "notice"}}{{.NextURL}}{{end}}`, []string{`omits .Title from "notice"`}},
		{"one that leaves the next step out", `{{define "alert"}}{{.Title}}{{end}}`, []string{`omits .NextURL from "alert"`}},
		{"one that fails for a single error", with("notice", `{{if eq .Code "identity_taken"}}{{.Nope}}{{end}}`), []string{`cannot show "notice"`, "Nope"}},
		{"one that fails for an error of ours", with("notice", `{{if eq .Code "internal"}}{{.Nope}}{{end}}`), []string{`cannot show "notice"`, "Nope"}},
		{"one that fails for a connected user", with("connect", `{{if .Connected}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
		{"one that fails for a user who needs to sign in", with("connect", `{{if .NeedsSignIn}}{{.Nope}}{{end}}`), []string{`cannot show "connect"`}},
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
