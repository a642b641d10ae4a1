package storetest

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// lookalikes are strings that a careless store truncates, alters or confuses: by case,
// accents, surrounding spaces, weights of a collation, wildcards, escapes, or as numbers.
var lookalikes = []string{
	"anna", "Anna", "ANNA", "anna ", "anna  ", " anna", "anna\t", "anna\n", "anna\r\n", "\u00a0anna", "anna\u200b", "\ufeffanna",
	"ann%", "ann_", "%", "_", `ann\_`, `ann\`, "*", "?", "$1", ":user", "@p1",
	"\u00e1nna", "a\u0301nna", "\u0430nna", "\uff41nna", // two spellings of á, a Cyrillic and a fullwidth a
	"stra\u00dfe", "strasse", "STRASSE", "\u0130", "I", "i", "\u0131", // ß, and the four letters i of Turkish
	"🍣", "🍺", "👩‍👩‍👧", "👩👩👧", "❤", "❤\ufe0f", // some collations give all emoji the same weight
	"日本語", "日本语", "ｱ", "ア", "あ", "\u05d0\u05d1", "\U0010ffff", "\uffff", "\ufffd",
	`O'Brien`, `O''Brien`, `O"Brien`, "O`Brien", `'; DROP TABLE users; --`, `{"id":1}`, "<b>", "&amp;", "&",
	"1", "01", "1.0", "1e0", "+1", "0x1", "0", "-0", "null", "NULL", "true", "\x01", "\x1b[31m", "\x7f",
	strings.Repeat("x", 254) + "a", strings.Repeat("x", 254) + "b", strings.Repeat("x", 254), // 255 bytes and less
	strings.Repeat("🍣", 63) + "abc", strings.Repeat("🍣", 63) + "abd", strings.Repeat("é", 127) + "e",
}

// invalidStrings are strings that every store must reject.
var invalidStrings = []struct{ what, text string }{
	{"a NUL byte inside", "an\x00na"},
	{"a NUL byte at the end", "anna\x00"},
	{"nothing but a NUL byte", "\x00"},
	{"a byte that is no UTF-8", "anna\xff"},
	{"Latin-1", "ann\xe1"},
	{"half a character", "anna\xf0\x9f\x8d"},
	{"half of a surrogate pair", "anna\xed\xa0\x80"},
	{"an overlong encoding of a NUL byte", "anna\xc0\x80"},
}

// tooLong are numbers of bytes by which a string exceeds its full length.
var tooLong = []int{1, 45, 770, 100_000}

// A key is a field that a flow or a user is found by.
type key struct {
	name string
	set  func(p *connect.Pending, text string)
}

var keys = []key{
	{"TokenHash", func(p *connect.Pending, text string) { p.TokenHash = text }},
	{"ApplicationID", func(p *connect.Pending, text string) { p.ApplicationID = text }},
	{"UserID", func(p *connect.Pending, text string) { p.UserID = text }},
}

// fields are all strings of a flow.
var fields = append(keys[:len(keys):len(keys)],
	key{"ActorID", func(p *connect.Pending, text string) { p.ActorID = text }},
	key{"ConnectionID", func(p *connect.Pending, text string) { p.ConnectionID = text }},
	key{"Label", func(p *connect.Pending, text string) { p.Label = text }},
	key{"ReturnTo", func(p *connect.Pending, text string) { p.ReturnTo = text }})

// longest returns a string of the full length that every store accepts in a field.
func longest(field string) string {
	switch field {
	case "ReturnTo":
		return strings.Repeat("x", 1024)
	case "Label":
		return strings.Repeat("x", 100)
	}
	return strings.Repeat("x", 255)
}

// longLabel has 100 characters of four bytes each.
var longLabel = strings.Repeat("🍣", 99) + "🍺"

// storedExactly returns a check that a key is stored exactly and compared byte by byte.
func storedExactly(k key) check {
	return check{
		"every " + k.name + " is stored exactly, and distinct from similar ones",
		func(t tb, s connect.Store) {
			var flows []connect.Pending
			for i, text := range lookalikes {
				p := flow("anna", fmt.Sprint(i))
				if k.name == "TokenHash" {
					p.UserID = fmt.Sprint("user ", i)
				}
				k.set(&p, text)
				bind(t, s, p)
				flows = append(flows, p)
			}
			for _, p := range flows {
				requireFlow(t, s, p)
				requireNoConnection(t, s, p.ApplicationID, p.UserID)
			}
			var connections []connect.Connection
			var tags, deletions []connect.Task
			for i, p := range flows {
				c := complete(t, s, p, identity(fmt.Sprint(i)))
				connections = append(connections, c)
				tags, deletions = append(tags, tag(c)), append(deletions, deletion(c))
			}
			for i, c := range connections {
				requireFlow(t, s, completed(flows[i], c.IdentityID))
				requireConnections(t, s, c)
			}
			requireTasks(t, s, tags...)
			for i, c := range connections {
				// Ending the earlier ones has ended neither this one nor its flow.
				requireFlow(t, s, completed(flows[i], c.IdentityID))
				disconnect(t, s, c)
			}
			requireTasks(t, s, deletions...)
		},
	}
}

// requireNoneFound looks for the connections of a user who has none. The store may
// return an error.
func requireNoneFound(t tb, s connect.Store, application, user, what string) {
	t.Helper()
	got, _ := s.Connections(t.Context(), application, user)
	require.Empty(t, got, "Connections of "+what)
}

// requireStoredOrRejected binds a flow and completes it with a new connection. The store
// may reject either, but must not alter it.
func requireStoredOrRejected(t tb, s connect.Store, p connect.Pending, c connect.Connection) {
	t.Helper()
	if err := s.Bind(t.Context(), p, plenty); err != nil {
		_, err := s.Pending(t.Context(), p.TokenHash)
		require.Error(t, err, "Pending of a flow that Bind rejected")
		requireNoneFound(t, s, p.ApplicationID, p.UserID, "a user whose flow Bind rejected")
		return
	}
	requireFlow(t, s, p)
	if _, err := s.Complete(t.Context(), p.TokenHash, c, single); err != nil {
		requireFlow(t, s, p)
		requireNoConnection(t, s, p.ApplicationID, p.UserID)
		return
	}
	requireFlow(t, s, completed(p, c.IdentityID))
	requireConnections(t, s, c)
	disconnect(t, s, c)
}

var stringsGroup = group{"Strings", []check{
	storedExactly(keys[0]),
	storedExactly(keys[1]),
	storedExactly(keys[2]),

	{"ReturnTo is stored exactly, up to 1024 bytes", func(t tb, s connect.Store) {
		paths := append([]string{
			"", "/", "/reports?q=%2520&from=a+b#top", "/\\", " / ",
			"/" + strings.Repeat("r", 1023), "/" + strings.Repeat("🍣", 255) + "abc",
		}, lookalikes...)
		for i, path := range paths {
			p := flow("anna", fmt.Sprint(i))
			p.ReturnTo = path
			bind(t, s, p)
			requireFlow(t, s, p)
		}
	}},

	{"all strings may have their full length at once", func(t tb, s connect.Store) {
		p := flow(strings.Repeat("🍣", 63)+"abc", "")
		p.ApplicationID = strings.Repeat("é", 127) + "e"
		p.ActorID = strings.Repeat("日", 85)
		p.TokenHash = strings.Repeat("h", 255)
		p.ReturnTo = strings.Repeat("/", 1024)
		p.Label = longLabel
		c := finished(p, identity("anna"))
		c.ID = strings.Repeat("あ", 84) + "abc"
		connectedWith(t, s, p, c, single)
		requireFlow(t, s, completed(p, c.IdentityID))
		requireConnections(t, s, c)
		requireDue(t, s, tagDue, tag(c))

		p.TokenHash, p.ConnectionID = strings.Repeat("i", 255), c.ID
		c = renewed(t, s, c, p, identity("anna"))
		requireFlow(t, s, completed(p, c.IdentityID))
		requireConnections(t, s, c)
		disconnectOne(t, s, c)
		requireTasks(t, s, deletion(c))
	}},

	{"Bind rejects NUL bytes and invalid UTF-8, and stores nothing", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range invalidStrings {
			for _, field := range fields {
				p := flow("anna", "odd")
				field.set(&p, odd.text)
				require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a flow whose %s is %s", field.name, odd.what)
				_, err := s.Pending(t.Context(), p.TokenHash)
				require.Error(t, err, "Pending of a flow that Bind rejected: its %s is %s", field.name, odd.what)
			}
		}
		requireNoFlow(t, s, hash("odd"))
		c.requireUnchanged(t, s)
		sweepAll(t, s, sceneFlows)
	}},

	{"Bind rejects empty keys, and stores nothing", func(t tb, s connect.Store) {
		for _, k := range keys {
			p := flow("anna", "empty")
			k.set(&p, "")
			require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a flow whose %s is empty", k.name)
		}
		requireNoFlow(t, s, hash("empty"))
		sweepAll(t, s, 0)
	}},

	{"Complete rejects empty keys, NUL bytes and invalid UTF-8, and the flow stays pending", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range append(invalidStrings[:len(invalidStrings):len(invalidStrings)], struct{ what, text string }{"empty", ""}) {
			identified := finished(c.fresh, odd.text)
			id, user, application := finished(c.fresh, identity("new")), finished(c.fresh, identity("new")), finished(c.fresh, identity("new"))
			id.ID, user.UserID, application.ApplicationID = odd.text, odd.text, odd.text
			for _, refused := range []struct {
				field      string
				connection connect.Connection
			}{{"ID", id}, {"IdentityID", identified}, {"UserID", user}, {"ApplicationID", application}} {
				done, err := s.Complete(t.Context(), c.fresh.TokenHash, refused.connection, single)
				require.Error(t, err, "Complete with a connection whose %s is %s", refused.field, odd.what)
				require.Zero(t, done, "the result of a refused Complete: %s is %s", refused.field, odd.what)
			}
			c.requireRowsUnchanged(t, s)
		}
		for _, odd := range invalidStrings {
			actor, label := finished(c.fresh, identity("new")), finished(c.fresh, identity("new"))
			actor.ActorID, label.Label = odd.text, odd.text
			_, err := s.Complete(t.Context(), c.fresh.TokenHash, actor, single)
			require.Error(t, err, "Complete with a connection whose ActorID is %s", odd.what)
			_, err = s.Complete(t.Context(), c.fresh.TokenHash, label, single)
			require.Error(t, err, "Complete with a connection whose Label is %s", odd.what)
			c.requireRowsUnchanged(t, s)
		}
		complete(t, s, c.fresh, identity("new"))
	}},

	{"a longer string is stored exactly or rejected", func(t tb, s connect.Store) {
		for _, more := range tooLong {
			for _, field := range fields {
				label := fmt.Sprint(field.name, more)
				p := flow("anna", label)
				field.set(&p, longest(field.name)+strings.Repeat("x", more))
				requireStoredOrRejected(t, s, p, finished(p, identity(label)))
			}
			label := fmt.Sprint("IdentityID", more)
			p := flow("anna", label)
			requireStoredOrRejected(t, s, p, finished(p, identity(label)+strings.Repeat("x", 255-36+more)))
			label = fmt.Sprint("ID", more)
			p = flow("anna", label)
			c := finished(p, identity(label))
			c.ID = strings.Repeat("x", 255+more)
			requireStoredOrRejected(t, s, p, c)
		}
		// No string was truncated.
		requireNoFlow(t, s, strings.Repeat("x", 255))
		requireNoConnection(t, s, app, strings.Repeat("x", 255))
		requireNoConnection(t, s, strings.Repeat("x", 255), "anna")
	}},

	{"a string that cannot be stored finds nothing", func(t tb, s connect.Store) {
		c := newScene(t, s)
		long := flow(strings.Repeat("x", 255), strings.Repeat("x", 255))
		long.ApplicationID, long.TokenHash = strings.Repeat("x", 255), strings.Repeat("x", 255)
		other := connected(t, s, long, identity("long"))

		for _, odd := range []string{"\x00", "\xff", "\xf0\x9f", "x", strings.Repeat("x", 100_000)} {
			for _, there := range []struct {
				flow       connect.Pending
				connection connect.Connection
			}{{c.done, c.anna}, {long, other}} {
				p := there.flow
				_, err := s.Pending(t.Context(), p.TokenHash+odd)
				require.Error(t, err, "Pending of a token hash with %.4q at its end", odd)
				requireNoneFound(t, s, p.ApplicationID, p.UserID+odd, fmt.Sprintf("a user id with %.4q at its end", odd))
				requireNoneFound(t, s, p.ApplicationID+odd, p.UserID, fmt.Sprintf("an application with %.4q at its end", odd))
				for _, d := range []connect.Disconnection{
					endAll(p.ApplicationID, p.UserID+odd, disconnectedAt), endAll(p.ApplicationID+odd, p.UserID, disconnectedAt),
				} {
					ended, _ := s.Disconnect(t.Context(), d)
					require.Empty(t, ended, "the result of Disconnect with %.4q at the end of an id", odd)
				}
				id := there.connection.ID
				for _, ids := range [][3]string{
					{p.ApplicationID + odd, p.UserID, id}, {p.ApplicationID, p.UserID + odd, id}, {p.ApplicationID, p.UserID, id + odd},
				} {
					_, err = s.SetLabel(t.Context(), ids[0], ids[1], ids[2], "new")
					require.Error(t, err, "SetLabel with %.4q at the end of an id", odd)
					ended, err := s.Disconnect(t.Context(), connect.Disconnection{ApplicationID: ids[0], UserID: ids[1], ConnectionID: ids[2]})
					require.Error(t, err, "Disconnect of one connection with %.4q at the end of an id", odd)
					require.Empty(t, ended, "the result of Disconnect with %.4q at the end of an id", odd)
				}
				ids, _ := s.ApplicationsOf(t.Context(), p.UserID+odd)
				require.Empty(t, ids, "applications of a user id with %.4q at its end", odd)
				_, _, err = s.SetHealth(t.Context(), there.connection.IdentityID+odd, needsSignIn, later(5))
				require.Error(t, err, "SetHealth of an identity with %.4q at its end", odd)
				// These may find nothing or return an error.
				_ = s.Spend(t.Context(), c.live.TokenHash+odd)
				none := tag(there.connection)
				none.IdentityID += odd
				_ = s.Done(t.Context(), none)
				_ = s.Postpone(t.Context(), none, noon)
				require.Error(t, s.Queue(t.Context(), none), "Queue of a tag for an identity with %.4q at its end", odd)
				tasks, _ := s.Claim(t.Context(), p.ApplicationID+odd, noon.AddDate(1, 0, 0), noon.AddDate(2, 0, 0), plenty)
				require.Empty(t, tasks, "tasks of an application with %.4q at its end", odd)
			}
			c.requireRowsUnchanged(t, s)
			requireFlow(t, s, completed(long, other.IdentityID))
			requireConnections(t, s, other)
		}
		requireDue(t, s, tagDue.Add(-micro))
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(other))
	}},
}}
