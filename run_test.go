package connect

import (
	"context"
	"testing"
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
