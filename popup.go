package connect

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// How a popup ends. The page that opened it (connect.js) and the last page in it
// (popup.js) are of one origin, and talk over a BroadcastChannel, which browsers
// keep within that origin and which nothing severs: the hosted page's
// Cross-Origin-Opener-Policy may take either window the hold of the other.
//
//  1. In the click, connect.js opens an empty window, and cuts that window's reference
//     to this page, so that what the window shows cannot reach it.
//  2. It starts a flow, by POST with {"popup": true}, which a page of another origin
//     cannot do. The flow's state is marked. It is in the callback's address and,
//     sealed, in the cookie, as always. The answer has the hosted page's address and the
//     popup's id, which is derived from the state.
//  3. It listens on the channel of that id, and sends the window to the hosted page.
//  4. A callback whose sealed state is marked ends in the page "popup", whatever
//     its query says: with the id in it, and one of three words. popup.js says the
//     word on the channel, once.
//  5. connect.js hears it, has the popup closed and resolves. When the window is
//     gone without a word, the user's status tells whether it was "connected".

//go:embed pages/connect.js
var moduleScript []byte

//go:embed pages/popup.js
var popupScript string

// The outcomes, as connect.js knows them.
const (
	outcomeConnected = "connected"
	outcomeCancelled = "cancelled"
	outcomeFailed    = "failed"
)

// popupMark begins the state of a flow in a popup. Only sealed states are searched for it,
// which nobody else can write.
const popupMark = "popup-"

func newPopupState() string { return popupMark + newState() }

// popupID returns the name of the channel between the two windows of a flow in a popup, or
// "" for any other flow. It is as unguessable as the state, and does not reveal it to the
// scripts that know it.
func popupID(state string) string {
	if !strings.HasPrefix(state, popupMark) {
		return ""
	}
	sum := sha256.Sum256([]byte("connect popup id of " + state))
	return hex.EncodeToString(sum[:16])
}

// popup returns the id of the popup that the flow began in, or "".
func (e flowEvidence) popup() string {
	for _, cookie := range e.cookies {
		if cookie.tokenHash == e.pending.TokenHash {
			return popupID(cookie.state)
		}
	}
	return popupID(e.cookie.state)
}

// endsPopup reports whether nothing in the popup can lead to success any more after a
// refusal: not signing in, trying again or going back.
func endsPopup(err error) bool {
	return !mayRepeat(err) && !errors.Is(err, ErrNotSignedIn) && !errors.Is(err, ErrNotFinished)
}

// endPopup answers with a popup's last page. A nil error means success.
func (h *Handler) endPopup(w http.ResponseWriter, r *http.Request, id string, err error) {
	l := h.answerIn(w, r)
	e, outcome := Explanation{
		Status: http.StatusOK, Code: outcomeConnected, Title: l.text("popup.connected.title"), Help: l.text("popup.connected.help"),
	}, outcomeConnected
	switch {
	case errors.Is(err, ErrCancelled):
		e, outcome = l.Explain(err), outcomeCancelled
	case err != nil:
		e, outcome = l.Explain(err), outcomeFailed
	}
	h.pages.render(w, e.Status, popupName, newPopupPage(l, id, outcome, e))
}

func newPopupPage(l Locale, id, outcome string, e Explanation) PopupPage {
	return PopupPage{Locale: l, Outcome: outcome, Explanation: e, Script: template.HTML(fmt.Sprintf(
		`<script data-popup="%s" data-outcome="%s">%s</script>`, id, outcome, popupScript))}
}

// serveModule serves connect.js in the language of the request. Browsers may cache it but
// revalidate it each time, so that it is never older than the handler.
func (h *Handler) serveModule(w http.ResponseWriter, r *http.Request) {
	module := moduleIn(h.answerIn(w, r))
	sum := sha256.Sum256(module)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(module))
}

// moduleWords matches the line of connect.js that has its texts.
var moduleWords = regexp.MustCompile(`(?m)^const words = .*;$`)

// moduleIn returns connect.js with its texts in a language.
func moduleIn(l Locale) []byte {
	words, err := json.Marshal(map[string]string{
		"lang": l.Lang, "dir": l.Dir, "wait": l.text("popup.wait"), "failed": l.text("popup.failed"), "end": l.text("popup.end"),
	})
	if err != nil {
		panic(err) // Strings have a JSON.
	}
	at := moduleWords.FindIndex(moduleScript)
	return slices.Concat(moduleScript[:at[0]], []byte("const words = "), words, []byte(";"), moduleScript[at[1]:])
}
