package browser

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/e2e/internal/chromium"
	"github.com/anchorconnect/connect/e2e/internal/firefox"
)

// A page is what a tab shows, in either browser.
type page interface {
	Open(address string)
	At(address string)
	Wait(condition string)
	Text(expression string) string
	Number(expression string) float64
	Click(selector string)
	Fill(selector, text string)
}

// A tab is a tab of either browser.
type tab interface {
	page
	Popup() tab
	Windows(n int)
	CloseWindow()
}

type chromiumTab struct{ *chromium.Tab }

func (t chromiumTab) Popup() tab { return chromiumTab{t.Tab.Popup()} }

type firefoxTab struct{ *firefox.Tab }

func (t firefoxTab) Popup() tab { return firefoxTab{t.Tab.Popup()} }

// closeFirefox ends Firefox if a test has started it.
var closeFirefox = func() {}

var startFirefox = sync.OnceValues(func() (*firefox.Browser, error) {
	browser, err := firefox.Start(chromium.AppHost, chromium.SiblingHost, chromium.AnchorHost, chromium.EvilHost)
	if err == nil {
		closeFirefox = browser.Close
	}
	return browser, err
})

// inEachBrowser runs a test in Chromium and in Firefox, with a tab of a new user.
func inEachBrowser(t *testing.T, test func(t *testing.T, vera tab)) {
	t.Helper()
	t.Run("Chromium", func(t *testing.T) {
		t.Parallel()
		test(t, chromiumTab{newPerson(t)})
	})
	t.Run("Firefox", func(t *testing.T) {
		t.Parallel()
		browser, err := startFirefox()
		if errors.Is(err, firefox.ErrNotInstalled) {
			t.Skip(err)
		}
		require.NoError(t, err)
		t.Log("Firefox " + browser.Version)
		test(t, firefoxTab{browser.NewTab(t)})
	})
}
