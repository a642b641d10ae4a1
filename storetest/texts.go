package storetest

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// lookalikes are texts that a careless store shortens, alters or takes for one
// another: by case, accents, spaces at the ends, weights of a collation,
// wildcards, escapes, or as numbers.
var lookalikes = []string{
	"anna", "Anna", "ANNA", "anna ", "anna  ", " anna", "anna\t", "anna\n", "anna\r\n", "\u00a0anna", "anna\u200b", "\ufeffanna",
	"ann%", "ann_", "%", "_", `ann\_`, `ann\`, "*", "?", "$1", ":user", "@p1",
	"\u00e1nna", "a\u0301nna", "\u0430nna", "\uff41nna", // á twice, a Cyrillic and a wide a
	"stra\u00dfe", "strasse", "STRASSE", "\u0130", "I", "i", "\u0131", // ß, and the four i's of Turkish
	"🍣", "🍺", "👩‍👩‍👧", "👩👩👧", "❤", "❤\ufe0f", // collations give all emoji one weight
	"日本語", "日本语", "ｱ", "ア", "あ", "\u05d0\u05d1", "\U0010ffff", "\uffff", "\ufffd",
	`O'Brien`, `O''Brien`, `O"Brien`, "O`Brien", `'; DROP TABLE users; --`, `{"id":1}`, "<b>", "&amp;", "&",
	"1", "01", "1.0", "1e0", "+1", "0x1", "0", "-0", "null", "NULL", "true", "\x01", "\x1b[31m", "\x7f",
	strings.Repeat("x", 254) + "a", strings.Repeat("x", 254) + "b", strings.Repeat("x", 254), // 255 bytes fit
	strings.Repeat("🍣", 63) + "abc", strings.Repeat("🍣", 63) + "abd", strings.Repeat("é", 127) + "e",
}

// unkeepable are texts that no store keeps.
var unkeepable = []struct{ what, text string }{
	{"a NUL byte inside", "an\x00na"},
	{"a NUL byte at the end", "anna\x00"},
	{"nothing but a NUL byte", "\x00"},
	{"a byte that is no UTF-8", "anna\xff"},
	{"Latin-1", "ann\xe1"},
	{"half a character", "anna\xf0\x9f\x8d"},
	{"half of a surrogate pair", "anna\xed\xa0\x80"},
	{"an overlong encoding of a NUL byte", "anna\xc0\x80"},
}

// tooLong are lengths in bytes that a store need not keep.
var tooLong = []int{1, 45, 770, 100_000}

// A key is a field that something is found by.
type key struct {
	name string
	set  func(p *connect.Pending, text string)
}

var keys = []key{
	{"TokenHash", func(p *connect.Pending, text string) { p.TokenHash = text }},
	{"ApplicationID", func(p *connect.Pending, text string) { p.ApplicationID = text }},
	{"UserID", func(p *connect.Pending, text string) { p.UserID = text }},
}

// fields are all texts of a start.
var fields = append(keys[:len(keys):len(keys)],
	key{"ReturnTo", func(p *connect.Pending, text string) { p.ReturnTo = text }})

// toldApart is a check that a key is kept exactly and compared byte by byte.
func toldApart(k key) check {
	return check{
		"every " + k.name + " is kept exactly, and told from all that look like it",
		func(t tb, s connect.Store) {
			var starts []connect.Pending
			for i, text := range lookalikes {
				p := start("anna", fmt.Sprint(i))
				if k.name == "TokenHash" {
					p.UserID = fmt.Sprint("user ", i)
				}
				k.set(&p, text)
				bind(t, s, p)
				starts = append(starts, p)
			}
			for _, p := range starts {
				requireStart(t, s, p)
				requireNoConnection(t, s, p.ApplicationID, p.UserID)
			}
			var connections []connect.Connection
			var tags, deletions []connect.Task
			for i, p := range starts {
				c := complete(t, s, p, identity(fmt.Sprint(i)))
				connections = append(connections, c)
				tags, deletions = append(tags, tag(c)), append(deletions, deletion(c))
			}
			for i, c := range connections {
				requireStart(t, s, completed(starts[i], c.IdentityID))
				requireConnection(t, s, c)
			}
			requireTasks(t, s, tags...)
			for i, c := range connections {
				// Ending those before has neither ended this one nor its start.
				requireStart(t, s, completed(starts[i], c.IdentityID))
				disconnect(t, s, c)
			}
			requireTasks(t, s, deletions...)
		},
	}
}

// requireKeptOrRefused binds and completes a start. A store may refuse either,
// but keep neither as another one.
func requireKeptOrRefused(t tb, s connect.Store, p connect.Pending, identityID string) {
	t.Helper()
	if err := s.Bind(t.Context(), p, plenty); err != nil {
		_, err := s.Pending(t.Context(), p.TokenHash)
		require.Error(t, err, "Pending of a start that Bind refused to keep")
		_, err = s.Connection(t.Context(), p.ApplicationID, p.UserID)
		require.Error(t, err, "Connection of a user whose start Bind refused to keep")
		return
	}
	requireStart(t, s, p)
	c := finished(p, identityID)
	if _, err := s.Complete(t.Context(), p.TokenHash, c, tagged); err != nil {
		requireStart(t, s, p)
		requireNoConnection(t, s, p.ApplicationID, p.UserID)
		return
	}
	requireStart(t, s, completed(p, c.IdentityID))
	requireConnection(t, s, c)
	disconnect(t, s, c)
}

var texts = topic{"texts", []check{
	toldApart(keys[0]),
	toldApart(keys[1]),
	toldApart(keys[2]),

	{"a return path is kept exactly, up to 1024 bytes", func(t tb, s connect.Store) {
		paths := append([]string{
			"", "/", "/reports?q=%2520&from=a+b#top", "/\\", " / ",
			"/" + strings.Repeat("r", 1023), "/" + strings.Repeat("🍣", 255) + "abc",
		}, lookalikes...)
		for i, path := range paths {
			p := start("anna", fmt.Sprint(i))
			p.ReturnTo = path
			bind(t, s, p)
			requireStart(t, s, p)
		}
	}},

	{"all texts may be 255 bytes long at once", func(t tb, s connect.Store) {
		p := start(strings.Repeat("🍣", 63)+"abc", "")
		p.ApplicationID = strings.Repeat("é", 127) + "e"
		p.TokenHash = strings.Repeat("h", 255)
		p.ReturnTo = strings.Repeat("/", 1024)
		c := connected(t, s, p, identity("anna"))
		requireStart(t, s, completed(p, c.IdentityID))
		requireConnection(t, s, c)
		requireDue(t, s, tagDue, tag(c))
		disconnect(t, s, c)
		requireTasks(t, s, deletion(c))
	}},

	{"a start with a NUL byte or invalid UTF-8 is refused, and nothing of it is kept", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range unkeepable {
			for _, field := range fields {
				p := start("anna", "odd")
				field.set(&p, odd.text)
				require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a start whose %s is %s", field.name, odd.what)
				_, err := s.Pending(t.Context(), p.TokenHash)
				require.Error(t, err, "Pending of a start that Bind refused to keep: its %s is %s", field.name, odd.what)
			}
		}
		requireNoStart(t, s, hash("odd"))
		c.requireUnchanged(t, s)
		c.requireTasksUnchanged(t, s)
		sweepAll(t, s, 7)
	}},

	{"a start with an empty key is refused, and nothing of it is kept", func(t tb, s connect.Store) {
		for _, k := range keys {
			p := start("anna", "empty")
			k.set(&p, "")
			require.Error(t, s.Bind(t.Context(), p, plenty), "Bind of a start whose %s is empty", k.name)
		}
		requireNoStart(t, s, hash("empty"))
		sweepAll(t, s, 0)
	}},

	{"a connection with an empty key, a NUL byte or invalid UTF-8 is refused, and the start stays live", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, odd := range append(unkeepable[:len(unkeepable):len(unkeepable)], struct{ what, text string }{"empty", ""}) {
			identified := finished(c.fresh, odd.text)
			user, application := finished(c.fresh, identity("new")), finished(c.fresh, identity("new"))
			user.UserID, application.ApplicationID = odd.text, odd.text
			for _, refused := range []struct {
				field      string
				connection connect.Connection
			}{{"IdentityID", identified}, {"UserID", user}, {"ApplicationID", application}} {
				first, err := s.Complete(t.Context(), c.fresh.TokenHash, refused.connection, tagged)
				require.Error(t, err, "Complete with a connection whose %s is %s", refused.field, odd.what)
				require.False(t, first, "Complete that was refused says that it is the first: %s is %s", refused.field, odd.what)
			}
			c.requireUnchanged(t, s)
		}
		complete(t, s, c.fresh, identity("new"))
	}},

	{"a text that is longer than must fit is kept exactly or refused", func(t tb, s connect.Store) {
		for _, more := range tooLong {
			for _, field := range fields {
				fits := 255
				if field.name == "ReturnTo" {
					fits = 1024
				}
				label := fmt.Sprint(field.name, more)
				p := start("anna", label)
				field.set(&p, strings.Repeat("x", fits+more))
				requireKeptOrRefused(t, s, p, identity(label))
			}
			label := fmt.Sprint("IdentityID", more)
			requireKeptOrRefused(t, s, start("anna", label), identity(label)+strings.Repeat("x", 255-36+more))
		}
		// Nothing was kept in short.
		requireNoStart(t, s, strings.Repeat("x", 255))
		requireNoConnection(t, s, app, strings.Repeat("x", 255))
		requireNoConnection(t, s, strings.Repeat("x", 255), "anna")
	}},

	{"a text that cannot be kept finds nothing that is there", func(t tb, s connect.Store) {
		c := newScene(t, s)
		long := start(strings.Repeat("x", 255), strings.Repeat("x", 255))
		long.ApplicationID, long.TokenHash = strings.Repeat("x", 255), strings.Repeat("x", 255)
		other := connected(t, s, long, identity("long"))

		for _, odd := range []string{"\x00", "\xff", "\xf0\x9f", "x", strings.Repeat("x", 100_000)} {
			for _, there := range []struct {
				start      connect.Pending
				connection connect.Connection
			}{{c.done, c.anna}, {long, other}} {
				p := there.start
				_, err := s.Pending(t.Context(), p.TokenHash+odd)
				require.Error(t, err, "Pending of a token hash with %.4q at its end", odd)
				_, err = s.Connection(t.Context(), p.ApplicationID, p.UserID+odd)
				require.Error(t, err, "Connection of a user id with %.4q at its end", odd)
				_, err = s.Connection(t.Context(), p.ApplicationID+odd, p.UserID)
				require.Error(t, err, "Connection of an application with %.4q at its end", odd)
				_, err = s.Disconnect(t.Context(), p.ApplicationID, p.UserID+odd, disconnectedAt, noon)
				require.Error(t, err, "Disconnect of a user id with %.4q at its end", odd)
				_, err = s.Disconnect(t.Context(), p.ApplicationID+odd, p.UserID, disconnectedAt, noon)
				require.Error(t, err, "Disconnect of an application with %.4q at its end", odd)
				ids, _ := s.ApplicationsOf(t.Context(), p.UserID+odd)
				require.Empty(t, ids, "applications of a user id with %.4q at its end", odd)
				_, _, err = s.SetHealth(t.Context(), there.connection.IdentityID+odd, needsSignIn, later(5))
				require.Error(t, err, "SetHealth of an identity with %.4q at its end", odd)
				// Whether these find nothing or fail is the store's to choose.
				_ = s.Spend(t.Context(), c.live.TokenHash+odd)
				none := tag(there.connection)
				none.IdentityID += odd
				_ = s.Done(t.Context(), none)
				_ = s.Postpone(t.Context(), none, noon)
				tasks, _ := s.Claim(t.Context(), p.ApplicationID+odd, noon.AddDate(1, 0, 0), noon.AddDate(2, 0, 0), plenty)
				require.Empty(t, tasks, "tasks of an application with %.4q at its end", odd)
			}
			c.requireUnchanged(t, s)
			requireStart(t, s, completed(long, other.IdentityID))
			requireConnection(t, s, other)
		}
		requireDue(t, s, tagDue.Add(-micro))
		requireTasks(t, s, tag(c.anna), tag(c.ben), deletion(c.dora), tag(other))
	}},
}}
