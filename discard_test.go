package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// Both conditions must hold on their own, though the store refuses to delete an identity
// that a connection has.
func TestIsDisposableOnlyWhenFreshAndUnmarked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		identity func(*anchorhttp.Identity)
		want     bool
	}{
		"fresh, without a mark": {func(*anchorhttp.Identity) {}, true},
		"older":                 {func(i *anchorhttp.Identity) { i.CreatedAt = noon.Add(-time.Hour) }, false},
		"without a date":        {func(i *anchorhttp.Identity) { i.CreatedAt = time.Time{} }, false},
		"marked as the user's":  {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: "ada"} }, false},
		"marked as another's":   {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: "eve"} }, false},
		"with an odd mark":      {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: 7} }, false},
		"with an empty mark":    {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: ""} }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := goodIdentity()
			test.identity(&e.identity)
			require.Equal(t, test.want, e.isDisposable())
		})
	}
}
