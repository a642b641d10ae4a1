package sqlstore

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// FuzzTexts stores any texts in every database. Each is returned exactly or refused, and
// another user's key does not find it.
func FuzzTexts(f *testing.F) {
	type kept struct {
		name  string
		store *Store
	}
	var stores []kept
	open := func(name, databaseURL string, d Dialect) {
		db, err := openURL(databaseURL)
		require.NoError(f, err)
		s := New(db, d, WithTablePrefix("fuzz_"+strings.ToLower(rand.Text()[:8])))
		require.NoError(f, s.Migrate(context.Background()))
		f.Cleanup(func() {
			for _, table := range []string{"pending", "connections", "tasks", "disconnects", "schema"} {
				_, _ = db.Exec("DROP TABLE " + s.prefix + table)
			}
			_ = db.Close()
		})
		stores = append(stores, kept{name, s})
	}
	open("SQLite", "file:"+filepath.Join(f.TempDir(), "fuzz.db"), SQLite)
	for _, d := range databases[1:] {
		if address := os.Getenv(d.variable); address != "" {
			open(d.name, address, d.dialect)
		}
	}

	f.Add("hash", "application", "ada", "/reports", "ada ")
	f.Add("h'; DROP TABLE connect_pending; --", "a\"b", "Ada", "/?a=$1&b=?", "ada")
	f.Add("é", "e\u0301", "\u00a0", "/💥", "\u2028")
	f.Add("\xff", "\x00", "", strings.Repeat("/", 1025), strings.Repeat("x", 256))
	f.Fuzz(func(t *testing.T, hash, application, user, returnTo, other string) {
		p := connect.Pending{
			TokenHash: hash, ApplicationID: application, UserID: user, ReturnTo: returnTo,
			BegunAt: begun, IssuedAt: noon, ExpiresAt: noon.Add(time.Minute),
		}
		c := connection(user, "5f2b1c9e-0000-4000-8000-000000000001")
		c.ID, c.ApplicationID = "an id", application
		ctx := t.Context()
		for _, k := range stores {
			err := k.store.Bind(ctx, p, plenty)
			if p.Validate() != nil {
				require.Error(t, err, k.name)
				continue
			}
			require.NoError(t, err, k.name)
			got, err := k.store.Pending(ctx, hash)
			require.NoError(t, err, k.name)
			require.Equal(t, p, got, k.name)
			done, err := k.store.Complete(ctx, hash, c, tagged)
			require.NoError(t, err, k.name)
			require.Equal(t, connect.Completed{First: true, Connection: c}, done, k.name)
			stored, err := k.store.Connections(ctx, application, user)
			require.NoError(t, err, k.name)
			require.Equal(t, []connect.Connection{c}, stored, k.name)
			if other != user {
				stored, _ = k.store.Connections(ctx, application, other)
				require.Empty(t, stored, "%s: another user's key", k.name)
			}
			if utf8.RuneCountInString(other) <= maxLabel && validText("", other) == nil {
				labelled, err := k.store.SetLabel(ctx, application, user, c.ID, other)
				require.NoError(t, err, k.name)
				require.Equal(t, other, labelled.Label, k.name)
				stored, err = k.store.Connections(ctx, application, user)
				require.NoError(t, err, k.name)
				require.Equal(t, []connect.Connection{labelled}, stored, k.name)
			}
			if other != hash {
				_, err = k.store.Pending(ctx, other)
				require.Error(t, err, "%s: another token's hash", k.name)
			}

			// Remove everything for the next texts.
			d := all(user)
			d.ApplicationID = application
			_, err = k.store.Disconnect(ctx, d)
			require.NoError(t, err, k.name)
			require.NoError(t, k.store.Done(ctx, connect.Task{Kind: connect.DeleteIdentity, IdentityID: c.IdentityID}), k.name)
			_, err = k.store.Sweep(ctx, noon.AddDate(1, 0, 0), plenty)
			require.NoError(t, err, k.name)
		}
	})
}
