//go:build cgo

package mattn

import (
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"github.com/anchorconnect/connect/sqlstore/drivers"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	drivers.SQLite(t, "sqlite3", "_txlock=immediate&_busy_timeout=2000&_journal_mode=WAL&_synchronous=OFF")
}
