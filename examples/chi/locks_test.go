package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// servers are the databases that lock rows. SQLite has one writer at a time.
var servers = databases[1:]

const (
	application = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01"
	// limit is of a user's starts.
	limit = 5
	// aWhile is how long what has to wait is watched waiting, and soon is enough
	// for what waits for nobody.
	aWhile = 500 * time.Millisecond
	soon   = 10 * time.Second
)

// scene is a store with users who have a live start each.
type scene struct {
	*Store
	t   *testing.T
	now time.Time
}

func newScene(t *testing.T, databaseURL string, users ...string) scene {
	t.Helper()
	s := scene{&Store{open(t, databaseURL)}, t, time.Now().Truncate(time.Microsecond)}
	for _, id := range users {
		require.NoError(t, s.db.exec(t.Context(), `INSERT INTO users (id, name) VALUES (?, ?)`, id, id))
		require.NoError(t, s.Bind(t.Context(), s.start(id), limit))
	}
	return s
}

func (s scene) start(user string) connect.Pending {
	return connect.Pending{TokenHash: "token of " + user, ApplicationID: application, UserID: user, IssuedAt: s.now, ExpiresAt: s.now.Add(time.Minute)}
}

func (s scene) connection(user, identity string) connect.Connection {
	return connect.Connection{ApplicationID: application, UserID: user, IdentityID: identity, ConnectedAt: s.now, Health: connect.HealthOK, HealthAt: s.now}
}

func (s scene) complete(ctx context.Context, user, identity string) error {
	_, err := s.Complete(ctx, "token of "+user, s.connection(user, identity), connect.Completion{TagAfter: s.now})
	return err
}

// while holds a transaction open that has done first, and calls then meanwhile.
func (s scene) while(first func(tx conn) error, then func()) {
	s.t.Helper()
	_, err := inTxOnce(s.t.Context(), s.db, func(tx conn) (none struct{}, err error) {
		if err := first(tx); err != nil {
			return none, err
		}
		then()
		return none, nil
	})
	require.NoError(s.t, err)
}

func (s scene) requireWaits(what string, call func(ctx context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), aWhile)
	defer cancel()
	require.ErrorIs(s.t, call(ctx), context.DeadlineExceeded, "%s waits", what)
}

func (s scene) requireGoesOn(what string, call func(ctx context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	require.NoError(s.t, call(ctx), "%s does not wait", what)
}

func TestLocks(t *testing.T) {
	t.Parallel()
	for _, d := range servers {
		for _, row := range []struct {
			name string
			test func(t *testing.T, newScene func(users ...string) scene)
		}{
			{"of one user's calls one runs at a time, and nobody else waits", oneUsersCalls},
			{"while a start is being completed it is neither spent nor swept, and the user's other tab waits", aStartBeingCompleted},
			{"tasks that are being claimed are skipped", tasksBeingClaimed},
			{"an identity that is being connected is taken", anIdentityBeingConnected},
			{"an identity that is being given up is retired", anIdentityBeingGivenUp},
			{"an identity is one user's, and its deletion is not replaced", theUniqueKeys},
		} {
			t.Run(d.name+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				databaseURL := d.newURL(t)
				row.test(t, func(users ...string) scene { return newScene(t, databaseURL, users...) })
			})
		}
	}
}

func oneUsersCalls(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	require.NoError(t, s.db.exec(t.Context(), `
		INSERT INTO accounts (user_id, application_id, identity_id, connected_at, health, health_at) VALUES ('ada', ?, 'connected before', 0, 'ok', 0)`, application))
	s.while(func(tx conn) error {
		if err := lockUser(t.Context(), tx, "ada"); err != nil {
			return err
		}
		return queue(t.Context(), tx, connect.TagIdentity, s.connection("ada", "ada's"), s.now)
	}, func() {
		s.requireWaits("Complete", func(ctx context.Context) error { return s.complete(ctx, "ada", "another") })
		s.requireWaits("SetHealth", func(ctx context.Context) error {
			_, _, err := s.SetHealth(ctx, "connected before", connect.HealthNeedsSignIn, s.now)
			return err
		})
		s.requireWaits("Disconnect", func(ctx context.Context) error {
			_, err := s.Disconnect(ctx, application, "ada", s.now, s.now)
			return err
		})
		s.requireWaits("Bind", func(ctx context.Context) error {
			p := s.start("ada")
			p.TokenHash = "another"
			return s.Bind(ctx, p, limit)
		})
		s.requireGoesOn("another user's Complete", func(ctx context.Context) error { return s.complete(ctx, "ben", "ben's") })
	})
	require.NoError(t, s.complete(t.Context(), "ada", "another"))
}

func aStartBeingCompleted(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	otherTab := s.start("ada")
	otherTab.TokenHash = "token of ada's other tab"
	otherTab.ExpiresAt = s.now.Add(time.Hour)
	require.NoError(t, s.Bind(t.Context(), otherTab, limit))
	// The identity's key is where this Complete is held, having read its start.
	s.while(func(tx conn) error {
		return queue(t.Context(), tx, connect.DeleteIdentity, s.connection("nobody", "another"), s.now)
	}, func() {
		completing, cancel := context.WithCancel(t.Context())
		completed := make(chan error, 1)
		go func() { completed <- s.complete(completing, "ada", "another") }()
		require.Eventually(t, func() bool {
			var one int
			err := s.db.queryRow(t.Context(), `SELECT 1 FROM starts WHERE token_hash = ? FOR UPDATE SKIP LOCKED`, "token of ada").Scan(&one)
			return errors.Is(err, sql.ErrNoRows)
		}, soon, 10*time.Millisecond, "the start is locked")
		s.requireWaits("Spend", func(ctx context.Context) error { return s.Spend(ctx, "token of ada") })
		s.requireGoesOn("Sweep", func(ctx context.Context) error {
			n, err := s.Sweep(ctx, s.now.Add(time.Hour), 10)
			if err == nil && n != 1 {
				return fmt.Errorf("%d starts were swept, not only ben's", n)
			}
			return err
		})
		s.requireWaits("Complete of the other tab", func(ctx context.Context) error {
			_, err := s.Complete(ctx, otherTab.TokenHash, s.connection("ada", "yet another"), connect.Completion{TagAfter: s.now})
			return err
		})
		cancel()
		require.ErrorIs(t, <-completed, context.Canceled)
	})
}

func tasksBeingClaimed(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	require.NoError(t, s.complete(t.Context(), "ada", "ada's"))
	require.NoError(t, s.complete(t.Context(), "ben", "ben's"))
	s.while(func(tx conn) error {
		return lock(t.Context(), tx, `SELECT 1 FROM tasks WHERE identity_id = ? FOR UPDATE`, "ada's")
	}, func() {
		s.requireGoesOn("Claim", func(ctx context.Context) error {
			tasks, err := s.Claim(ctx, application, s.now, s.now.Add(time.Minute), 10)
			if err == nil && (len(tasks) != 1 || tasks[0].IdentityID != "ben's") {
				return fmt.Errorf("claimed %v", tasks)
			}
			return err
		})
	})
}

// second lets a user complete with an identity while another transaction that
// concerns it is open, and returns what comes of it.
func second(s scene, user, identity string, first func(tx conn) error) error {
	s.t.Helper()
	completed := make(chan error, 1)
	s.while(first, func() {
		go func() { completed <- s.complete(s.t.Context(), user, identity) }()
		select {
		case err := <-completed:
			require.Fail(s.t, "Complete did not wait", "%v", err)
		case <-time.After(aWhile):
		}
	})
	return <-completed
}

func anIdentityBeingConnected(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	err := second(s, "ben", "shared", func(tx conn) error {
		if err := queue(t.Context(), tx, connect.TagIdentity, s.connection("ada", "shared"), s.now); err != nil {
			return err
		}
		return tx.exec(t.Context(), `INSERT INTO accounts (user_id, application_id, identity_id, connected_at, health, health_at) VALUES ('ada', ?, 'shared', 0, 'ok', 0)`, application)
	})
	require.ErrorIs(t, err, connect.ErrIdentityTaken)
}

func anIdentityBeingGivenUp(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	err := second(s, "ben", "shared", func(tx conn) error {
		return queue(t.Context(), tx, connect.DeleteIdentity, s.connection("ada", "shared"), s.now)
	})
	require.ErrorIs(t, err, connect.ErrIdentityRetired)
}

func theUniqueKeys(t *testing.T, newScene func(users ...string) scene) {
	s := newScene("ada", "ben")
	require.NoError(t, s.complete(t.Context(), "ada", "shared"))
	require.Error(t, s.db.exec(t.Context(), `INSERT INTO accounts (user_id, application_id, identity_id, connected_at, health, health_at) VALUES ('ben', ?, 'shared', 0, 'ok', 0)`, application))

	_, err := s.Disconnect(t.Context(), application, "ada", s.now, s.now)
	require.NoError(t, err)
	require.Error(t, queue(t.Context(), s.db.conn, connect.TagIdentity, s.connection("ben", "shared"), s.now))
	tasks, err := s.Claim(t.Context(), application, s.now, s.now.Add(time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	require.Equal(t, connect.DeleteIdentity, tasks[0].Kind)
}
