package connect

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// Not parallel: AllocsPerRun counts what the whole process allocates.
func TestHostsByTheThousandCostALookUpEach(t *testing.T) {
	cfg := goodConfig()
	for i := range 10_000 {
		cfg.PublicURLs = append(cfg.PublicURLs, fmt.Sprintf("https://tenant-%d.app.example", i))
	}
	h, err := New(cfg)
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "https://tenant-9999.app.example/connect", nil)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if origin, err := h.hosts.at(r); err != nil || origin != "https://tenant-9999.app.example" {
			t.Error(origin, err)
		}
	}))
}
