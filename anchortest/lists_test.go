package anchortest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestListStyle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		set   func(*Server)
		calls int
	}{
		{"in pages", func(*Server) {}, 4},
		{"whole", func(s *Server) { s.SetListStyle(WholeLists) }, 2},
		{"in smaller pages than asked for", func(s *Server) { s.SetPageLimit(20) }, 8},
		{"in pages again", func(s *Server) {
			s.SetListStyle(WholeLists)
			s.SetPageLimit(1)
			s.SetListStyle(PagedLists)
			s.SetPageLimit(0)
		}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			other := s.AddApplication("Ledger", "https://ledger.example")
			orphans := s.AddOrphans(130, 48*time.Hour)
			s.PutIdentity(Identity{ApplicationID: other})
			test.set(s)
			var got []string
			for identity, err := range s.Client().ApplicationIdentities(t.Context(), s.ApplicationID(), anchorhttp.IdentityFilter{}) {
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(-48*time.Hour), identity.CreatedAt, time.Minute)
				require.WithinDuration(t, time.Now(), identity.Date, time.Minute)
				got = append(got, identity.ID)
			}
			require.Len(t, got, len(orphans))
			for i, orphan := range orphans {
				require.Equal(t, orphan.ID, got[i])
				require.Empty(t, orphan.Metadata)
			}
			require.Equal(t, test.calls, s.CountCalls("GET", "/v1/applications/*/identities"))
		})
	}
	t.Run("pages are limited without a limit that is asked for", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.AddOrphans(3, time.Hour)
		s.SetPageLimit(2)
		list := call(t, s, "GET", "/v1/applications/"+s.ApplicationID()+"/identities", "").object(t)["identities"].([]any)
		require.Len(t, list, 2)
		require.Panics(t, func() { s.SetPageLimit(-1) })
	})
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	s.SetNow(func() time.Time { return now })
	s.SetClockOffset(-5 * time.Minute)
	identity, err := s.Client().Identity(t.Context(), s.PutIdentity(Identity{}).ID)
	require.NoError(t, err)
	require.Equal(t, now.Add(-5*time.Minute), identity.CreatedAt)
	require.Equal(t, now.Add(-5*time.Minute), identity.Date)
	_, err = s.Client().Identity(t.Context(), unknownID)
	var e *anchorhttp.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, now.Add(-5*time.Minute), e.Date)
	s.SetClockOffset(0)
	identity, err = s.Client().Identity(t.Context(), identity.ID)
	require.NoError(t, err)
	require.Equal(t, now, identity.Date)
}
