package browser

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// hebrew is as much of a language from right to left as the pages below need to
// look like one.
var hebrew = map[string]string{
	"accounts.title":           "החשבונות המחוברים שלך",
	"accounts.help":            "שינוי באחד מהם אינו משפיע על האחרים.",
	"account.again":            "כניסה מחדש",
	"account.change":           "שינוי שם או ניתוק",
	"account.since":            "מחובר מאז {date}.",
	"account.number":           "חשבון {number}",
	"account.works":            "תקין",
	"account.name":             "שם החשבון",
	"accounts.add":             "חיבור חשבון נוסף",
	"connect.user":             "נכנסת לאתר הזה בשם {user}. אם זה לא השם שלך, אין להמשיך.",
	"error.cancelled.title":    "ביטלת",
	"error.cancelled.help":     "החשבון שלך לא חובר. אפשר להתחיל שוב בכל עת.",
	"error.wrong_origin.where": "הדף הזה נפתח בכתובת {origin}, אבל החיבור חוזר אל {public}.",
	"step.start":               "להתחיל שוב",
	"popup.wait":               "רק רגע…",
}

// In each language the pages fit a small phone, and nothing is wrong with them.
// SCREENSHOTS is a directory for pictures of them.
func TestPagesInEachLanguage(t *testing.T) {
	t.Parallel()
	needAxe(t)
	language := "en"
	a := startApp(t, setup{config: func(c *connect.Config) {
		upTo(3)(c)
		c.Language = func(*http.Request) string { return language }
		c.Texts = map[string]map[string]string{"he": hebrew}
	}})
	tab := newPerson(t)
	signIn(a, tab, "ada")
	connectAccount(t, a, tab, "work")
	connectAccount(t, a, tab, "")
	_, _, err := a.store.SetHealth(t.Context(), a.connections(t, "ada")[1].IdentityID, connect.HealthNeedsSignIn, time.Now().Add(time.Hour))
	require.NoError(t, err)
	for _, language = range []string{"de", "fr", "es", "ja", "he"} {
		for _, path := range []string{"/connect?return_to=/welcome", "/notice/wrong_origin", "/notice/cancelled", "/notice/identity_connected"} {
			tab.Open(a.origin + path)
			tab.Wait(`document.readyState === "complete" && document.documentElement.lang === "` + language + `"`)
			if path == "/connect?return_to=/welcome" {
				tab.Click(account(1, summary))
			}
			requireGoodPage(t, tab, language+" "+path)
			direction := map[bool]string{true: "rtl", false: "ltr"}[language == "he"]
			require.Equal(t, direction, tab.Text(`getComputedStyle(document.body).direction`))
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				tab.ColorScheme("light")
				tab.Screen(400, 900, 1, true)
				require.NoError(t, os.WriteFile(dir+"/"+language+path[len(path)-6:]+".png", tab.Screenshot(), 0o644))
			}
		}
	}
}
