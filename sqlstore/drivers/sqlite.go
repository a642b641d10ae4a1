// Package drivers tests sqlstore with the drivers, poolers, handles and migration tools
// that apps use. It is a module of its own, so that users of sqlstore do not download them.
package drivers

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"
)

// SQLite runs the suite of the store with a driver of SQLite. Two of the drivers register the
// same name, so each has its own test program.
func SQLite(t *testing.T, driver, parameters string) {
	t.Run("the suite", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) connect.Store {
			db := openFile(t, driver, newFile(t), parameters)
			s := sqlstore.New(db, sqlstore.SQLite)
			require.NoError(t, s.Migrate(t.Context()))
			return s
		})
	})

	// Forty pools migrate an empty file at once. "database is locked" must be recognized.
	for _, parameters := range []string{parameters, "", "_txlock=deferred&_busy_timeout=1&_pragma=busy_timeout(1)"} {
		t.Run("racing migrations with "+parameters, func(t *testing.T) {
			t.Parallel()
			file := newFile(t)
			errs := make([]error, 40)
			stores := make([]*sqlstore.Store, len(errs))
			for i := range stores {
				stores[i] = sqlstore.New(openFile(t, driver, file, parameters), sqlstore.SQLite)
			}
			var starting sync.WaitGroup
			for i, s := range stores {
				starting.Go(func() { errs[i] = s.Migrate(t.Context()) })
			}
			starting.Wait()
			for i, err := range errs {
				require.NoError(t, err, fmt.Sprint(i))
			}
		})
	}

	t.Run("its in-memory databases are told apart", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open(driver, ":memory:")
		require.NoError(t, err)
		defer db.Close()
		require.ErrorContains(t, sqlstore.New(db, sqlstore.SQLite).Migrate(t.Context()), "use a file, or db.SetMaxOpenConns(1)")
	})
}

func newFile(t *testing.T) string { return "file:" + filepath.Join(t.TempDir(), "connect.db") }

func openFile(t *testing.T, driver, file, parameters string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, file+"?"+parameters)
	require.NoError(t, err)
	db.SetMaxOpenConns(12)
	t.Cleanup(func() { db.Close() })
	return db
}
