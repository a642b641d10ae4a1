package connect_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestUserFunctionThatFailsLeavesTheFlowPending(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	s := newSite(t, func(c *connect.Config) {
		user := c.User
		c.User = func(r *http.Request) (connect.User, error) {
			if failing.Load() {
				return connect.User{}, errors.New("redis is down")
			}
			return user(r)
		}
	})
	ada := s.signedIn("ada")
	callback := s.approve(ada.start())
	failing.Store(true)
	for _, a := range []answer{ada.get(callback), ada.post("/connect", nil), ada.get("/connect/status"), ada.post("/disconnect", nil), ada.get("/connect")} {
		ada.refused(connect.ErrUserLookup, a)
		require.NotContains(t, a.body, "redis")
	}
	failing.Store(false)
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
}
