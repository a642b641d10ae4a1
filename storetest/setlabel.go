package storetest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// setLabel sets the label of a connection to that of want, and returns want.
func setLabel(t tb, s connect.Store, want connect.Connection) connect.Connection {
	t.Helper()
	got, err := s.SetLabel(t.Context(), want.ApplicationID, want.UserID, want.ID, want.Label)
	require.NoError(t, err, "SetLabel")
	require.Equal(t, inUTC(want), inUTC(got), "the connection that SetLabel returns")
	return want
}

// requireLabelRefused calls SetLabel for a connection that the user does not have.
func requireLabelRefused(t tb, s connect.Store, application, user, id string) {
	t.Helper()
	c, err := s.SetLabel(t.Context(), application, user, id, "stolen")
	require.ErrorIs(t, err, connect.ErrConnectionUnknown, "SetLabel of the connection %.40q, which the user does not have", id)
	require.Zero(t, c, "the result of a refused SetLabel")
}

var setLabelGroup = group{"SetLabel", []check{
	{"a label is set, replaced and removed, and nothing else changes", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, label := range []string{"work", "home", "home", "", "", "work"} {
			c.home = setLabel(t, s, withLabel(c.home, label))
			c.requireRowsUnchanged(t, s)
		}
		c.work = setLabel(t, s, withLabel(c.work, ""))
		c.ben = setLabel(t, s, withLabel(c.ben, "needs a sign-in"))
		c.requireUnchanged(t, s)
	}},

	{"a label of up to 100 characters is stored exactly", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		for _, label := range append([]string{
			" ", "work ", " work", "work\n", "\tline\r\n", strings.Repeat("x", 100), strings.Repeat("\u00e9", 100), longLabel,
			strings.Repeat("a\u0301", 50), strings.Repeat(" ", 100), strings.Repeat("\U0010ffff", 100),
		}, lookalikes...) {
			if utf8.RuneCountInString(label) > 100 {
				continue // too long for a label
			}
			c = setLabel(t, s, withLabel(c, label))
			requireConnections(t, s, c)
		}
	}},

	{"Complete stores the label of a new connection exactly", func(t tb, s connect.Store) {
		for i, label := range []string{"", "work", "work ", " ", "WORK", "w\u00f6rk", "wo\u0308rk", longLabel, "日本語\n"} {
			user := fmt.Sprint("user ", i)
			p := flow(user, user)
			p.Label = label
			c := connected(t, s, p, identity(user))
			requireFlow(t, s, completed(p, c.IdentityID))
			requireConnections(t, s, c)
		}
	}},

	{"a label with a NUL byte or invalid UTF-8 is an error, and the old one stays", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range invalidStrings {
			_, err := s.SetLabel(t.Context(), app, "fred", c.work.ID, odd.text)
			require.Error(t, err, "SetLabel to a label with %s", odd.what)
			require.NotErrorIs(t, err, connect.ErrConnectionUnknown, "SetLabel to a label with %s", odd.what)
			c.requireRowsUnchanged(t, s)
		}
		c.requireTasksUnchanged(t, s)
	}},

	{"a label of more than 100 characters is stored exactly or rejected", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = setLabel(t, s, withLabel(c, "work"))
		for _, character := range []string{"x", "🍣"} {
			for _, n := range []int{101, 255, 256, 10_000} {
				long := withLabel(c, strings.Repeat(character, n))
				got, err := s.SetLabel(t.Context(), app, "anna", c.ID, long.Label)
				if err == nil {
					c = long
					require.Equal(t, inUTC(c), inUTC(got), "the connection that SetLabel returns")
				}
				requireConnections(t, s, c)
			}
		}
	}},

	{"a connection that the user does not have is ErrConnectionUnknown", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		for _, other := range []connect.Connection{c.ben, c.home, c.work, c.dora, elsewhere} {
			for _, user := range []string{"anna", "emil", "nobody"} {
				requireLabelRefused(t, s, app, user, other.ID)
			}
		}
		requireLabelRefused(t, s, otherApp, "anna", c.anna.ID)
		requireLabelRefused(t, s, "anna", app, c.anna.ID)
		requireLabelRefused(t, s, app, "dora", c.dora.ID)
		for _, id := range append(unknownIDs(c.anna), "") {
			requireLabelRefused(t, s, app, "anna", id)
		}
		requireConnections(t, s, elsewhere)
		c.requireUnchanged(t, s)
	}},

	{"a label survives SetHealth, and renewals without a label", func(t tb, s connect.Store) {
		c := connected(t, s, flow("anna", "tab"), identity("anna"))
		c = setLabel(t, s, withLabel(c, "work"))
		c = requireChange(t, s, c, needsSignIn, later(1))
		c = renewed(t, s, c, flow("anna", "again"), identity("anna"))
		c = renewed(t, s, c, flow("anna", "new"), identity("new"))
		require.Equal(t, "work", c.Label)
		requireConnections(t, s, c)
		disconnectOne(t, s, c)
	}},
}}
