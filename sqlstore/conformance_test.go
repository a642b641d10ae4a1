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

// With a hook every change takes a transaction.
func TestContractWithHook(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		storetest.Run(t, func(t *testing.T) connect.Store { return d.migrated(t, WithHook(idle)) })
	})
}
