package sandbox

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func TestASessionIsSignedInAtTheSite(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := drive(t, open(t, s, identity(t, s, "ada", "ada-letters")))
	require.Equal(t, inbox(t, s, "ada"), subjects(t, ctx, s))
	size, err := chromedp.Run(ctx, chromedp.Evaluate[[]int](`[innerWidth, innerHeight]`))
	require.NoError(t, err)
	require.Equal(t, []int{1440, 900}, size)
}
