package sqlstore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestBindSurplus(t *testing.T) {
	t.Parallel()
	live := func(tokenHash string) boundFlow { return boundFlow{tokenHash, false} }
	spent := func(tokenHash string) boundFlow { return boundFlow{tokenHash, true} }
	for name, row := range map[string]struct {
		flows       []boundFlow
		limit       int
		live, spent []string
	}{
		"none": {limit: 1},
		"as many as may stay": {
			flows: []boundFlow{live("1"), spent("2"), live("3"), spent("4"), spent("5")},
			limit: 3,
		},
		"live ones leave room for the new one": {
			flows: []boundFlow{live("1"), live("2"), live("3"), live("4")},
			limit: 3,
			live:  []string{"3", "4"},
		},
		"a limit of one spends all": {
			flows: []boundFlow{live("1"), live("2")},
			limit: 1,
			live:  []string{"1", "2"},
		},
		"spent ones stay up to the limit": {
			flows: []boundFlow{spent("1"), spent("2"), spent("3"), spent("4")},
			limit: 3,
			spent: []string{"4"},
		},
		"each kind is counted by itself": {
			flows: []boundFlow{spent("1"), live("2"), live("3"), spent("4"), live("5"), spent("6")},
			limit: 2,
			live:  []string{"3", "5"},
			spent: []string{"6"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live, spent := surplus(row.flows, row.limit)
			require.Equal(t, row.live, live)
			require.Equal(t, row.spent, spent)
		})
	}
}

// A user has more flows than one statement lists.
func TestBindMakesRoomAmongMany(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		s := d.migrated(t)
		const n = 2*listBatch + 1
		tx, err := s.db.Begin()
		require.NoError(t, err)
		defer tx.Rollback()
		insert := prefixed(s, "INSERT INTO connect_pending VALUES (?, 'application', 'anna', '/', 0, ?, ?, '', 0, '', '', FALSE, '')")
		if d.dialect == PostgreSQL {
			insert = numbered(insert)
		}
		for i := range 2 * n {
			_, err := tx.Exec(insert, identityNumber(i), i, i%2 == 0)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())

		const limit = 3
		require.NoError(t, s.Bind(t.Context(), flow("anna", "new"), limit))
		count := func(which string) int {
			return scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_pending WHERE "+which))
		}
		require.Equal(t, limit, count("NOT spent"))
		require.Equal(t, limit+n-(limit-1), count("spent"), "those that stay, and those that have just been spent")
		require.NoError(t, s.Bind(t.Context(), flow("anna", "newer"), limit))
		require.Equal(t, limit, count("NOT spent"))
		require.Equal(t, limit+1, count("spent"))
	})
}

func TestBindBesideOthers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		// locked is what another transaction does to the live flow that must make room.
		locked string
		after  func(t *testing.T, s *Store)
	}{
		"a flow that is being completed stays completed": {
			locked: "UPDATE connect_pending SET spent = TRUE, identity_id = '1' WHERE token_hash = 'live'",
			after: func(t *testing.T, s *Store) {
				p, err := s.Pending(t.Context(), "live")
				require.NoError(t, err)
				want := flow("anna", "live")
				want.Spent, want.IdentityID = true, "1"
				require.Equal(t, want, p)
			},
		},
		"a flow that is being swept is gone": {
			locked: "DELETE FROM connect_pending WHERE token_hash = 'live'",
			after: func(t *testing.T, s *Store) {
				_, err := s.Pending(t.Context(), "live")
				require.ErrorIs(t, err, connect.ErrStateUnknown)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				s := d.migrated(t)
				bind(t, s, flow("anna", "live"))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				var err error
				call := func() { err = s.Bind(ctx, flow("anna", "new"), 1) }
				if d.dialect == PostgreSQL {
					// It does not wait for the other transaction.
					holding(t, s, func(commit func()) { call(); commit() }, row.locked)
				} else {
					meanwhile(t, s, call, row.locked)
				}
				require.NoError(t, err)
				row.after(t, s)
				_, err = s.Pending(t.Context(), "new")
				require.NoError(t, err)
			})
		})
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("a token hash that would make room is bound already all the same", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			prepare(t, s)
			before := contents(t, s)
			err := s.Bind(t.Context(), flow("anna", "ended"), 1)
			require.EqualError(t, err, "sqlstore: bind a flow: its token hash is bound already")
			require.Equal(t, before, contents(t, s))
		})

		t.Run("that a token hash is bound already is said without quoting it", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			bind(t, s, flow("anna", "secret"))
			err := s.Bind(t.Context(), flow("ben", "secret"), plenty)
			require.EqualError(t, err, "sqlstore: bind a flow: its token hash is bound already")
		})
	})
}
