package connect

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestApplicationsAreInTheOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Applications = map[string]string{}
	want := []string{""}
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		cfg.Applications[name] = fmt.Sprintf("88888888-8888-4888-8888-88888888888%d", i)
		want = append(want, name)
	}
	h, err := New(cfg)
	require.NoError(t, err)
	var names []string
	for _, a := range h.applications {
		names = append(names, a.Name())
	}
	require.Equal(t, want, names)
}
