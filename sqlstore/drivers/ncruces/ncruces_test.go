package ncruces

import (
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/embed"

	"github.com/anchorconnect/connect/sqlstore/drivers"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	drivers.SQLite(t, "sqlite3", "_txlock=immediate&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(off)")
}
