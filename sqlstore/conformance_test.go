package sqlstore

import (
	"testing"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		storetest.Run(t, func(t *testing.T) connect.Store { return d.migrated(t) })
	})
}

// With a hook every change is a transaction. On MySQL most are anyway.
func TestContractWithHook(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{SQLite, PostgreSQL} {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			d := on(t, dialect)
			storetest.Run(t, func(t *testing.T) connect.Store { return d.migrated(t, WithHook(idle)) })
		})
	}
}
