package connect_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// reading returns the same browser with another Accept-Language.
func (b *browser) reading(accept string) *browser {
	other := *b
	other.header = b.header.Clone()
	other.header.Set("Accept-Language", accept)
	return &other
}

// speaks makes the app choose a language for every request.
func speaks(tag string) func(*connect.Config) {
	return func(c *connect.Config) { c.Language = func(*http.Request) string { return tag } }
}

// words returns the text of a page without its markup.
func words(page string) string {
	page = regexp.MustCompile(`(?s)<(style|script)[^>]*>.*?</(style|script)>|<[^>]*>`).ReplaceAllString(page, "\n")
	return html.UnescapeString(page)
}

func TestLanguageOfTheRequestIsThatOfEveryPage(t *testing.T) {
	t.Parallel()
	titles := map[string]map[string]string{
		"de": {"connect": "Ihr Konto verbinden", "notice": "Machen Sie in dem Browser weiter, in dem Sie begonnen haben", "popup": "Sie haben abgebrochen", "repeat": "Einen Moment"},
		"fr": {"connect": "Connectez votre compte", "notice": "Terminez dans le navigateur où vous avez commencé", "popup": "Vous avez annulé", "repeat": "Un instant"},
		"es": {"connect": "Conecta tu cuenta", "notice": "Termina en el navegador en el que empezaste", "popup": "Has cancelado", "repeat": "Un momento"},
		"ja": {"connect": "アカウントを連携する", "notice": "始めたときのブラウザで完了してください", "popup": "キャンセルしました", "repeat": "少々お待ちください"},
		"en": {"connect": "Connect your account", "notice": "Finish in the browser you started in", "popup": "You cancelled", "repeat": "One moment"},
	}
	for tag, want := range titles {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			english := connect.BuiltInTexts("en")
			for name, a := range everyPage(newSite(t, speaks(tag))) {
				require.True(t, strings.HasPrefix(a.body, fmt.Sprintf("<!doctype html>\n<html lang=%q dir=\"ltr\">", tag)), a.body)
				require.Contains(t, a.body, "<title>"+want[name]+"</title>")
				require.Contains(t, a.body, "<h1>"+want[name]+"</h1>")
				require.Equal(t, tag, a.header.Get("Content-Language"))
				require.Empty(t, a.header.Values("Vary"), "the app has chosen")
				if tag != "en" {
					for _, line := range strings.Split(words(a.body), "\n") {
						for key, text := range english {
							require.NotEqual(t, text, strings.TrimSpace(line), "%s of %s", key, name)
						}
					}
				}
			}
		})
	}
}

func TestLanguageOfTheListOfAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3), withCalendar)
	s.clock.advance(-time.Since(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	ada := s.signedIn("ada").reading("de-AT, en;q=0.5")
	ada.connectWith("label", "Arbeit")
	ada.connectWith()
	a := ada.get("/connect")
	require.Contains(t, a.body, "<h1>Ihre verbundenen Konten</h1>")
	require.Contains(t, a.body, "<bdi>Arbeit</bdi>")
	require.Contains(t, a.body, "<bdi>Konto 2</bdi>")
	require.Contains(t, a.body, `Verbunden seit dem <time dir="auto" datetime="2026-03-01">1. März 2026</time>.`)
	require.Contains(t, ada.get("/connect/calendar").body, "<h1>Ihr calendar-Konto verbinden</h1>")
	require.Contains(t, ada.reading("fr").get("/connect").body, `Connecté depuis le <time dir="auto" datetime="2026-03-01">1er mars 2026</time>.`)
}

// hebrew is a part of the texts that an app would add.
var hebrew = map[string]string{
	"connect.title":              "חיבור החשבון שלך",
	"connect.title.of":           "חיבור חשבון {application} שלך",
	"connect.button":             "חיבור החשבון",
	"connect.user":               "נכנסת לאתר הזה בשם {user}. אם זה לא השם שלך, אין להמשיך.",
	"error.cancelled.title":      "ביטלת",
	"error.cancelled.help":       "החשבון שלך לא חובר. אפשר להתחיל שוב בכל עת.",
	"error.wrong_origin.where":   "הדף הזה נפתח בכתובת {origin}, אבל החיבור חוזר אל {public}.",
	"error.not_signed_in.title":  "יש להיכנס תחילה",
	"popup.wait":                 "רק רגע…",
	"step.start":                 "להתחיל שוב",
	"error.no_state_cookie.help": "זה לא התחיל בדפדפן הזה.",
}

// A language that is written from right to left.
func TestTextsAddALanguageFromRightToLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t, withCalendar, func(c *connect.Config) {
		c.Texts = map[string]map[string]string{"he": hebrew}
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			u, err := user(r)
			u.Name = "Ada"
			return u, err
		}
	})
	for name, a := range everyPage(s) {
		require.Contains(t, a.body, `<html lang="en" dir="ltr">`, name)
	}
	ada := s.signedIn("ada").reading("he-IL, en;q=0.5")
	a := ada.get("/connect")
	require.Contains(t, a.body, `<html lang="he" dir="rtl">`)
	require.Contains(t, a.body, "<h1>חיבור החשבון שלך</h1>")
	require.Contains(t, a.body, `נכנסת לאתר הזה בשם <bdi><strong>Ada</strong></bdi>. אם`)
	require.Contains(t, a.body, "Your password is never shown to us", "a text that the app does not have")
	require.Contains(t, ada.get("/connect/calendar").body, "<h1>חיבור חשבון \u2068calendar\u2069 שלך</h1>")

	a = ada.get("/identity-callback/STATE?status=cancelled")
	require.Contains(t, a.body, `<html lang="he" dir="rtl">`)
	require.Contains(t, a.body, "<p>זה לא התחיל בדפדפן הזה.</p>")
	require.Contains(t, a.body, ">להתחיל שוב</a>")

	flow := ada.startInPopup("/connect")
	cancelled, err := s.fake.Cancel(t.Context(), flow.RedirectURL)
	require.NoError(t, err)
	a = ada.get(cancelled)
	require.Contains(t, a.body, `<html lang="he" dir="rtl">`)
	require.Contains(t, a.body, "<h1>ביטלת</h1>")

	htmx := s.browser().withHTMX("/").reading("he")
	require.Contains(t, htmx.post("/connect", nil).body, `<p role="alert" lang="he" dir="rtl"><strong>`+"\u2068יש להיכנס תחילה\u2069.</strong>")
	require.Contains(t, ada.get("/connect/connect.js").body, `"dir":"rtl"`)
	require.Contains(t, ada.get("/connect/connect.js").body, `"wait":"רק רגע…"`)

	origin := *ada
	origin.header = ada.header.Clone()
	origin.header.Set("Origin", "https://old.example")
	origin.header.Set("Sec-Fetch-Site", "same-origin")
	require.Contains(t, origin.post("/connect", nil).body, "בכתובת \u2068https://old.example\u2069, אבל")
}

func TestLanguageOfTheAppsChoicePrecedesTheBrowsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) {
		c.Language = func(r *http.Request) string { return r.URL.Query().Get("lang") }
	})
	ada := s.signedIn("ada").reading("fr-CA,fr;q=0.9,en;q=0.8")
	for query, want := range map[string]string{"": "fr", "?lang=ja": "ja", "?lang=de-CH": "de", "?lang=nl": "fr", "?lang=en": "en"} {
		a := ada.get("/connect" + query)
		require.Contains(t, a.body, `<html lang="`+want+`"`, query)
		require.Equal(t, want, a.header.Get("Content-Language"))
		if query == "" || query == "?lang=nl" {
			require.Equal(t, []string{"Accept-Language"}, a.header.Values("Vary"), query)
		} else {
			require.Empty(t, a.header.Values("Vary"), query)
		}
	}
	require.Contains(t, s.signedIn("ada").reading("nl, *;q=0.1").get("/connect").body, `<html lang="en"`)
}

func TestLanguageOfTheRequestIsThatOfAnErrorInJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.mux.Handle("/reports", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Cookie")
		s.handler.RequireIdentity(http.NotFoundHandler()).ServeHTTP(w, r)
	}))
	for accept, want := range map[string]string{
		"ja": "先にアカウントを連携してください。この操作に必要なアカウントが、まだ連携されていません。連携すると、続きから進められます。",
		"es": "Conecta primero tu cuenta. Para esto hace falta una cuenta tuya que aún no está conectada. Conéctala y podrás continuar.",
		"nl": "Connect your account first. This needs an account that you have not connected yet. Connect it to continue.",
	} {
		a := s.signedIn("ada").asJSON().reading(accept).get("/reports")
		var body struct{ Error, Message, ConnectURL string }
		require.NoError(t, json.Unmarshal([]byte(a.body), &body))
		require.Equal(t, "not_connected", body.Error, "the code is for programs")
		require.Equal(t, want, body.Message)
		require.Equal(t, "/connect", body.ConnectURL)
		require.Equal(t, []string{"Cookie", "Accept-Language"}, a.header.Values("Vary"))
	}
}

func TestLanguageHeadersAreAbsentWithoutTexts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada").reading("de")
	for _, a := range []answer{ada.asJSON().get("/connect/status"), ada.post("/connect", nil), ada.get("/connect/nowhere")} {
		require.Empty(t, a.header.Values("Vary"))
		require.Empty(t, a.header.Values("Content-Language"))
	}
}

func TestModuleIsServedInTheLanguageOfTheRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	german := s.browser().reading("de")
	a := german.get("/connect/connect.js")
	require.Contains(t, a.body, `"lang":"de"`)
	require.Contains(t, a.body, `"failed":"Das hat nicht geklappt."`)
	require.Equal(t, "Accept-Language", a.header.Get("Vary"))
	french := s.browser().reading("fr").get("/connect/connect.js")
	require.NotEqual(t, a.header.Get("ETag"), french.header.Get("ETag"))
	german.header.Set("If-None-Match", french.header.Get("ETag"))
	require.Equal(t, http.StatusOK, german.get("/connect/connect.js").status, "another language is another module")
	german.header.Set("If-None-Match", a.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, german.get("/connect/connect.js").status)
}

// An app's own templates and handlers have the texts too, and texts of their own.
func TestTextsOfTheAppServeItsTemplates(t *testing.T) {
	t.Parallel()
	own := func(c *connect.Config) {
		c.Texts = map[string]map[string]string{"en": {"app.hello": "Hello {name}"}, "de": {"app.hello": "Hallo {name}"}}
	}
	s := newSite(t, own, templates(t, `{{define "connect"}}{{.Lang}} {{.Dir}} {{.Title}}: {{.Text "app.hello" "name" "<Ada>"}}, {{.Action}}{{.ReturnTo}}{{end}}`))
	require.Equal(t, "de ltr Ihr Konto verbinden: Hallo &lt;Ada&gt;, /connect", s.signedIn("ada").reading("de").get("/connect").body)
	require.Equal(t, "fr ltr Connectez votre compte: Hello &lt;Ada&gt;, /connect", s.signedIn("ada").reading("fr").get("/connect").body)

	_, err := newWith(t, `{{define "connect"}}{{.Text "app.unknown"}}{{.Action}}{{.ReturnTo}}{{end}}`)
	require.ErrorContains(t, err, `"app.unknown"`)
}

func TestErrorHandlerHasTheLanguageOfTheRequest(t *testing.T) {
	t.Parallel()
	var s *site
	s = newSite(t, func(c *connect.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			e := s.handler.Locale(r).Explain(err)
			http.Error(w, e.Code+": "+e.Title, e.Status)
		}
	})
	require.Equal(t, "not_signed_in: Primero inicia sesión\n", s.browser().reading("es").get("/connect").body)
}
