package connect

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// A tag that was claimed just before the connection was replaced or ended is
// not written any more.
func TestATagOfAnIdentityThatIsNotConnectedAnyMoreIsNotWritten(t *testing.T) {
	t.Parallel()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	cfg := goodConfig()
	cfg.Anchor, cfg.ApplicationID = fake.Client(), fake.ApplicationID()
	h, err := New(cfg)
	require.NoError(t, err)
	ctx := context.Background()
	identity := fake.PutIdentity(anchortest.Identity{})
	app := cfg.ApplicationID
	task := Task{Kind: TagIdentity, ApplicationID: app, UserID: "ada", IdentityID: identity.ID}

	require.NoError(t, h.tag(ctx, task), "ended")
	require.NoError(t, cfg.Store.Bind(ctx, Pending{TokenHash: "x", ApplicationID: app, UserID: "ada", IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}, 5))
	_, err = cfg.Store.Complete(ctx, "x", Connection{ApplicationID: app, UserID: "ada", IdentityID: identityA, ConnectedAt: noon, Health: HealthOK}, noon)
	require.NoError(t, err)
	require.NoError(t, h.tag(ctx, task), "replaced")
	require.Empty(t, fake.Calls())
}

func TestASweepRestsAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowSweep{Store: NewMemoryStore()}
		cfg := goodConfig()
		cfg.Store = store
		h, err := New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()

		began := time.Now()
		h.sweep(ctx)
		require.Equal(t, 9500*time.Millisecond, time.Since(began), "there is more, and it ends with ctx")
		require.Equal(t, 5, store.sweeps, "a second each, and a second of rest")
	})
}

// slowSweep takes a second for each batch, and always has more.
type slowSweep struct {
	Store
	sweeps int
}

func (s *slowSweep) Sweep(_ context.Context, _ time.Time, limit int) (int, error) {
	s.sweeps++
	time.Sleep(time.Second)
	return limit, nil
}
