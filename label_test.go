package connect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestLabelIsOneLineOfText(t *testing.T) {
	t.Parallel()
	s := newSite(t, upTo(3))
	ada := s.signedIn("ada")
	ada.connect()
	c := s.connections("ada")[0]
	good := map[string]string{
		"work":                          "work",
		"  \u00a0 trimmed\t\n":          "trimmed",
		"":                              "",
		strings.Repeat("🍣", 100):        strings.Repeat("🍣", 100),
		"بريد العمل":                    "بريد العمل",
		`<b>"&'`:                        `<b>"&'`,
		"e\u0301 stays decomposed":      "e\u0301 stays decomposed",
		"  " + strings.Repeat("a", 100): strings.Repeat("a", 100),
	}
	for label, want := range good {
		a := ada.post("/connect/label", form("connection", c.ID, "label", label, "return_to", "/settings"))
		require.Equal(t, "/settings", a.location, label)
		require.Equal(t, []string{want}, s.labels("ada"))
	}
	for name, label := range map[string]string{
		"101 characters": strings.Repeat("🍣", 101), "a line break": "a\nb", "a NUL byte": "a\x00b",
		"an escape": "a\x1b[31m", "no UTF-8": "a\xff", "a line separator": "a\u2028b", "a C1 control": "a\u0085b",
	} {
		before := s.connections("ada")
		for _, a := range []answer{
			ada.post("/connect/label", form("connection", c.ID, "label", label)),
			ada.post("/connect", form("connection", c.ID, "label", label)),
			ada.post("/connect", form("label", label)),
		} {
			ada.refused(connect.ErrBadLabel, a)
		}
		require.Equal(t, before, s.connections("ada"), name)
	}
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "ada", c.ID, "a\nb"), connect.ErrBadLabel)
	require.NoError(t, s.handler.Application("").SetLabel(t.Context(), "ada", c.ID, " by the app "))
	require.Equal(t, []string{"by the app"}, s.labels("ada"))
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "grace", c.ID, "hers"), connect.ErrConnectionUnknown)
	require.ErrorIs(t, s.handler.Application("").SetLabel(t.Context(), "ada", "", "hers"), connect.ErrConnectionUnknown)

	a := ada.asJSON().do(http.MethodPost, "/connect/label", "application/json", `{"connection":"`+c.ID+`","label":"by JSON"}`)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"label":"by JSON"`)
	ada.sent("/connect", ada.withHTMX("/settings").post("/connect/label", form("connection", c.ID, "label", "by htmx")))
	require.Equal(t, []string{"by htmx"}, s.labels("ada"))
}

func TestLabelIsAnEvent(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	ada := h.signedIn("ada")
	ada.connect()
	c := h.connection("ada")
	ada.post("/connect/label", form("connection", c.ID, "label", "work"))
	e := h.waitForEvents(connect.Renamed, 1)[0]
	require.Equal(t, "work", e.Label)
	require.Equal(t, c.ID, e.ConnectionID)
	require.Equal(t, "ada", e.UserID)
}
