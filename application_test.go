package connect

import (
	"context"
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

func TestHandlerWithoutApplicationIDSaysSoInARequest(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Applications, cfg.ApplicationID = map[string]string{"mail": testApp}, ""
	h, err := New(cfg)
	require.NoError(t, err)

	_, err = h.Connection(context.Background(), "ada")
	require.ErrorContains(t, err, "Config.ApplicationID is not set: call the method of Handler.Application(name)")
	_, err = h.NewSession(context.Background(), "ada")
	require.ErrorContains(t, err, "Config.ApplicationID is not set: call the method of Handler.Application(name)")
	_, err = h.Application("mail").Connection(context.Background(), "ada")
	require.ErrorIs(t, err, ErrNotConnected)
	require.Panics(t, func() { h.RequireIdentity(nil) }, "in an app's wiring")
}
