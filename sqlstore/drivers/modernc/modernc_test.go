package modernc

import (
	"testing"

	_ "modernc.org/sqlite"

	"github.com/anchorconnect/connect/sqlstore/drivers"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	drivers.SQLite(t, "sqlite", "_txlock=immediate&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(off)")
}
