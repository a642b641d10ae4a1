package connect

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExplainKnowsEveryCause(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	for _, c := range causes {
		require.False(t, codes[c.Code], "code %s twice", c.Code)
		codes[c.Code] = true
		require.Regexp(t, `^[a-z_]+$`, c.Code)
		require.GreaterOrEqual(t, c.Status, 400)
		require.NotEqual(t, http.StatusInternalServerError, c.Status)
		e := Explain(fmt.Errorf("doing something: %w", c))
		require.Equal(t, c.Status, e.Status)
		require.Equal(t, c.Code, e.Code)
		require.NotEmpty(t, e.Title)
		require.NotEmpty(t, e.Help)
	}
	require.Equal(t, http.StatusInternalServerError, Explain(errors.New("x")).Status)
}
