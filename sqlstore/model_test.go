package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// idle is a hook that does nothing.
func idle(context.Context, *sql.Tx, Change) error { return nil }

// Random calls have the same results as on a MemoryStore. Few users, actors, identities and
// connections make collisions likely.
func TestContractAgainstMemoryStore(t *testing.T) {
	t.Parallel()
	const calls, seed = 2000, 3
	for name, options := range hooked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, d *database) {
				s := d.migrated(t, options...)
				m := newModel(rand.New(rand.NewPCG(seed, 0)), connect.NewMemoryStore(), s)
				for range calls {
					what, want, got := m.call(t.Context())
					m.log = append(m.log, what)
					require.Equal(t, want, got, "after\n%s", strings.Join(m.log, "\n"))
				}
				require.Greater(t, m.outcomes["First"], calls/30, "%v", m.outcomes)
				for _, cause := range []error{
					connect.ErrStateUnknown, connect.ErrAnotherUser, connect.ErrStateSpent, connect.ErrStateExpired,
					connect.ErrIdentityRetired, connect.ErrIdentityTaken, connect.ErrIdentityTooOld, connect.ErrNotConnected,
					connect.ErrConnectionUnknown, connect.ErrIdentityConnected, connect.ErrConnectionLimit, connect.ErrConnectionChanged,
				} {
					require.Positive(t, m.outcomes[cause.Error()], "%v: %v", cause, m.outcomes)
				}
			})
		})
	}
}

// hashes is the number of token hashes.
const hashes = 20

// A model makes the same calls on two stores.
type model struct {
	*rand.Rand
	want, got connect.Store
	now       time.Time
	n         int      // calls so far
	ids       []string // of connections
	log       []string
	outcomes  map[string]int
}

func newModel(r *rand.Rand, want, got connect.Store) *model {
	return &model{Rand: r, want: want, got: got, now: noon, outcomes: make(map[string]int)}
}

func pick[T any](m *model, from ...T) T { return from[m.IntN(len(from))] }

// call makes one random call, and returns the result of each store.
func (m *model) call(ctx context.Context) (what string, want, got any) {
	m.n++
	m.now = m.now.Add(time.Duration(m.IntN(3)) * time.Second)
	app, user, actor := pick(m, "a", "a", "a", "a", "b"), pick(m, "anna", "anna", "anna", "ben"), pick(m, "", "", "", "", "carl")
	hash, identity := fmt.Sprint("hash ", m.IntN(hashes)), fmt.Sprint("identity ", m.IntN(12))
	id := "none"
	if mine, err := m.want.Connections(ctx, app, user); err == nil && len(mine) > 0 && m.IntN(10) > 0 {
		id = mine[m.IntN(len(mine))].ID
	} else if len(m.ids) > 0 {
		id = m.ids[m.IntN(len(m.ids))]
	}

	both := func(what string, f func(s connect.Store) (any, error)) (string, any, any) {
		outcome := func(s connect.Store) any {
			result, err := f(s)
			if err != nil {
				for _, cause := range answers {
					if errors.Is(err, cause) {
						m.outcomes[cause.Error()]++
						return cause.Error()
					}
				}
				return "a fault"
			}
			return result
		}
		return what, outcome(m.want), outcome(m.got)
	}
	switch m.IntN(18) - 3 {
	case -3, -2, -1, 0, 1, 2:
		for range 3 { // Prefer one that is not bound.
			if _, err := m.want.Pending(ctx, hash); err != nil {
				break
			}
			hash = fmt.Sprint("hash ", m.IntN(hashes))
		}
		p := connect.Pending{
			TokenHash: hash, ApplicationID: app, UserID: user, ActorID: actor,
			ConnectionID: pick(m, "", id), Adds: m.IntN(2) == 0, Label: pick(m, "", "work"), ReturnTo: "/",
			BegunAt: m.now.Add(-time.Duration(m.IntN(4)) * time.Second), IssuedAt: m.now,
			ExpiresAt: m.now.Add(time.Duration(m.IntN(200))*time.Second + time.Duration(m.n)*time.Microsecond),
		}
		limit := 1 + m.IntN(3)
		return both(fmt.Sprintf("Bind %+v, %d", p, limit), func(s connect.Store) (any, error) { return nil, s.Bind(ctx, p, limit) })
	case 3, 4, 5, 6:
		for range 8 { // Prefer a flow that is live.
			if p, err := m.want.Pending(ctx, hash); err == nil && !p.Spent || m.IntN(8) == 0 {
				break
			}
			hash = fmt.Sprint("hash ", m.IntN(hashes))
		}
		if p, err := m.want.Pending(ctx, hash); err == nil && m.IntN(8) > 0 {
			app, user, actor = p.ApplicationID, p.UserID, p.ActorID
		}
		c := connect.Connection{
			ID: fmt.Sprint("id ", m.IntN(1000), " ", m.n), ApplicationID: app, UserID: user, ActorID: actor, IdentityID: identity,
			Label: pick(m, "", "home"), ConnectedAt: m.now, Health: pick(m, connect.HealthOK, connect.HealthNeedsSignIn), HealthAt: m.now.Add(-time.Second),
		}
		how := connect.Completion{TagAfter: m.now, SameIdentity: m.IntN(8) == 0, MaxConnections: m.IntN(5)}
		if m.IntN(3) == 0 { // The app has agreed to one more, or to a renewal of any of them as it is or was.
			how.Accepted = new(connect.Connection)
			if mine, err := m.want.Connections(ctx, app, user); err == nil && len(mine) > 0 && m.IntN(3) > 0 {
				*how.Accepted = mine[m.IntN(len(mine))]
				how.Accepted.IdentityID = pick(m, how.Accepted.IdentityID, how.Accepted.IdentityID, how.Accepted.IdentityID, identity)
			}
		}
		return both(fmt.Sprintf("Complete %s %+v %+v, accepted %+v", hash, c, how, how.Accepted), func(s connect.Store) (any, error) {
			done, err := s.Complete(ctx, hash, c, how)
			if err == nil && done.First && s == m.want {
				m.ids = append(m.ids, done.Connection.ID)
				m.outcomes["First"]++
			}
			return done, err
		})
	case 7:
		d := connect.Disconnection{ApplicationID: app, UserID: user, ConnectionID: pick(m, "", id, id, id, id, id), At: m.now.Add(-2 * time.Second), DeleteAfter: m.now}
		return both(fmt.Sprintf("Disconnect %+v", d), func(s connect.Store) (any, error) { return s.Disconnect(ctx, d) })
	case 8:
		health, at := pick(m, connect.HealthOK, connect.HealthNeedsSignIn), m.now.Add(time.Duration(m.IntN(5)-3)*time.Second)
		return both(fmt.Sprint("SetHealth ", identity, health, at), func(s connect.Store) (any, error) {
			c, changed, err := s.SetHealth(ctx, identity, health, at)
			return []any{c, changed}, err
		})
	case 9:
		label := pick(m, "", "é", "work")
		return both(fmt.Sprint("SetLabel ", app, user, id, label), func(s connect.Store) (any, error) {
			return s.SetLabel(ctx, app, user, id, label)
		})
	case 10:
		task := connect.Task{Kind: pick(m, connect.TagIdentity, connect.DeleteIdentity), ApplicationID: app, UserID: user, IdentityID: identity, NotBefore: m.now}
		return both(fmt.Sprintf("Queue %+v", task), func(s connect.Store) (any, error) { return nil, s.Queue(ctx, task) })
	case 11:
		return both("Claim all, Done some", func(s connect.Store) (any, error) {
			tasks, err := s.Claim(ctx, app, m.now, m.now.Add(time.Second), 100)
			slices.SortFunc(tasks, func(a, b connect.Task) int { return strings.Compare(a.IdentityID, b.IdentityID) })
			for i, task := range tasks {
				if (m.n+i)%4 > 0 {
					err = errors.Join(err, s.Done(ctx, task))
				}
			}
			return append([]connect.Task{}, tasks...), err
		})
	case 12:
		before := m.now.Add(time.Duration(m.IntN(20)-18) * time.Second)
		return both(fmt.Sprint("Sweep ", before), func(s connect.Store) (any, error) {
			return s.Sweep(ctx, before, 100)
		})
	}
	if m.IntN(2) == 0 {
		return both("Spend "+hash, func(s connect.Store) (any, error) { return nil, s.Spend(ctx, hash) })
	}
	return both("everything there is to read", func(s connect.Store) (any, error) {
		var all []any
		for _, app := range []string{"a", "b"} {
			for _, user := range []string{"anna", "ben"} {
				connections, err := s.Connections(ctx, app, user)
				all = append(all, connections, err)
			}
			for _, health := range []connect.Health{"", connect.HealthNeedsSignIn} {
				for after, more := "", true; more; {
					page, err := s.(connect.Lister).List(ctx, connect.ListQuery{ApplicationID: app, Health: health, After: after, Limit: 2})
					all = append(all, page, err)
					if more = len(page) == 2; more {
						after = page[1].ID
					}
				}
			}
		}
		for i := range hashes {
			p, err := s.Pending(ctx, fmt.Sprint("hash ", i))
			all = append(all, p, err)
		}
		applications, err := s.Applications(ctx)
		slices.Sort(applications)
		of, errOf := s.ApplicationsOf(ctx, "anna")
		slices.Sort(of)
		return append(all, append([]string{}, applications...), err, append([]string{}, of...), errOf), nil
	})
}
