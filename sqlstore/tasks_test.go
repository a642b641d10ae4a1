package sqlstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestClaimIsOrdered(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		t.Run("a claim returns the longest due first, and any number", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			const n = listBatch + 7
			// The order differs from that of the keys.
			queueTags(t, s, n, func(i int) int { return i * 7919 % n })

			tasks, err := s.Claim(t.Context(), application, noon, tagDue, n+1)
			require.NoError(t, err)
			require.Len(t, tasks, n)
			for i, task := range tasks {
				require.Equal(t, i, number(t, task.IdentityID)*7919%n)
				require.Equal(t, tagDue, task.NotBefore)
				require.Equal(t, 1, task.Attempts)
			}
			tasks, err = s.Claim(t.Context(), application, tagDue, tagDue, n+1)
			require.NoError(t, err)
			require.Len(t, tasks, n, "all are leased until then, and due again")
			require.Equal(t, 2, tasks[n-1].Attempts)
		})
	})
}

func TestClaimSkips(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d *database) {
		t.Run("a claim leaves out only what another one is taking, and does not wait for it", func(t *testing.T) {
			t.Parallel()
			s := d.migrated(t)
			// Here a planner prefers to sort all tasks over using the index.
			const n, first = 300, 100
			queueTags(t, s, n, func(i int) int { return i })
			tx, err := s.db.BeginTx(t.Context(), s.tx)
			require.NoError(t, err)
			defer tx.Rollback()
			var taking []connect.Task
			if d.dialect == PostgreSQL {
				taking, err = queryTasks(t.Context(), tx, s.sql.claimAtOnce, application, micros(tagDue), micros(deleteDue), first)
			} else {
				taking, err = queryTasks(t.Context(), tx, s.sql.pick, application, micros(tagDue), first)
			}
			require.NoError(t, err)
			require.Len(t, taking, first)

			begun := time.Now()
			others, err := s.Claim(t.Context(), application, tagDue, deleteDue, n)
			require.NoError(t, err)
			require.Less(t, time.Since(begun), 2*time.Second)
			require.Len(t, others, n-first)
			require.NoError(t, tx.Commit())
			taken := make(map[string]bool)
			for _, task := range append(taking, others...) {
				taken[task.IdentityID] = true
			}
			require.Len(t, taken, n)
		})
	})
}
