package storetest_test

import (
	"testing"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/storetest"
)

// In a test file of the package with the store. Run it with -race.
func ExampleRun() {
	TestStore := func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) connect.Store {
			return connect.NewMemoryStore() // Of a database: tables of its own, and t.Cleanup to drop them.
		})
	}
	_ = TestStore
}
