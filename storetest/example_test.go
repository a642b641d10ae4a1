package storetest_test

import (
	"testing"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/storetest"
)

// openStore stands for the constructor of a store of your own.
func openStore(dir string) (store connect.Store, closeStore func() error, err error) {
	return connect.NewMemoryStore(), func() error { return nil }, nil
}

// TestStore is a test in the package of the store. Run it with
// go test -race -count=5 -run TestStore.
func ExampleRun() {
	TestStore := func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) connect.Store {
			store, closeStore, err := openStore(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = closeStore() })
			return store
		})
	}
	_ = TestStore
}
