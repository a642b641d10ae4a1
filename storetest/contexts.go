package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// patience is how long a call may take whose context is cancelled or expired.
const patience = 10 * time.Second

// An endedContext is a context that is cancelled or expired.
type endedContext struct {
	how string
	context.Context
}

func endedContexts() []endedContext {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	cancel() // changes nothing any more
	// Err and Cause differ here. A store returns Err.
	caused, cancelCause := context.WithCancelCause(context.Background())
	cancelCause(errors.New("the user closed the page"))
	return []endedContext{
		{"cancelled", cancelled},
		{"past its deadline", late},
		{"cancelled with a cause", caused},
	}
}

// endedContextCheck returns a check of a method whose context is cancelled or expired.
func endedContextCheck(method string, call func(ctx context.Context, s connect.Store, c scene) error) check {
	return check{
		method + " soon returns the error of its context, and changes nothing",
		func(t tb, s connect.Store) {
			c := newScene(t, s)
			for _, ctx := range endedContexts() {
				answer := make(chan error, 1)
				go func() { answer <- call(ctx, s, c) }()
				timer := time.NewTimer(patience)
				defer timer.Stop()
				select {
				case err := <-answer:
					require.ErrorIs(t, err, ctx.Err(), "%s with a context that is %s", method, ctx.how)
				case <-timer.C:
					require.Fail(t, "the call does not return", "%s with a context that is %s has not returned after %v", method, ctx.how, patience)
				}
				c.requireRowsUnchanged(t, s)
			}
			requireNoFlow(t, s, hash("bound afterwards"))
			c.requireTasksUnchanged(t, s)
		},
	}
}

// endedContextList is endedContextCheck for List.
func endedContextList() check {
	check := endedContextCheck("List", func(ctx context.Context, s connect.Store, _ scene) error {
		_, err := s.(connect.Lister).List(ctx, connect.ListQuery{ApplicationID: app, Limit: plenty})
		return err
	})
	return listerCheck(check.name, func(t tb, s connect.Store, _ connect.Lister) { check.run(t, s) })
}

var contextsGroup = group{"Contexts", []check{
	endedContextCheck("Bind", func(ctx context.Context, s connect.Store, c scene) error {
		return s.Bind(ctx, flow("emil", "bound afterwards"), 1)
	}),
	endedContextCheck("Pending", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Pending(ctx, c.live.TokenHash)
		return err
	}),
	endedContextCheck("Spend", func(ctx context.Context, s connect.Store, c scene) error {
		return s.Spend(ctx, c.live.TokenHash)
	}),
	endedContextCheck("Complete", func(ctx context.Context, s connect.Store, c scene) error {
		done, err := s.Complete(ctx, c.live.TokenHash, finished(c.live, identity("afterwards")), single)
		if done.First {
			return errors.New("Complete returned First")
		}
		return err
	}),
	endedContextCheck("Connections", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Connections(ctx, app, "anna")
		return err
	}),
	endedContextCheck("SetLabel", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.SetLabel(ctx, app, "anna", c.anna.ID, "afterwards")
		return err
	}),
	endedContextCheck("SetHealth", func(ctx context.Context, s connect.Store, c scene) error {
		_, changed, err := s.SetHealth(ctx, c.anna.IdentityID, needsSignIn, later(1))
		if changed {
			return errors.New("SetHealth reported a change")
		}
		return err
	}),
	endedContextCheck("Disconnect", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Disconnect(ctx, endAll(app, "anna", noon))
		return err
	}),
	endedContextCheck("Disconnect of one connection", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Disconnect(ctx, endOne(c.home))
		return err
	}),
	// A Disconnect that fails may have recorded its At, but nothing else.
	endedContextCheck("Disconnect for a user without a connection", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Disconnect(ctx, endAll(app, "emil", noon))
		return err
	}),
	endedContextCheck("ApplicationsOf", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.ApplicationsOf(ctx, "anna")
		return err
	}),
	endedContextCheck("Applications", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Applications(ctx)
		return err
	}),
	endedContextList(),
	endedContextCheck("Queue", func(ctx context.Context, s connect.Store, c scene) error {
		return s.Queue(ctx, tag(c.home))
	}),
	endedContextCheck("Claim", func(ctx context.Context, s connect.Store, c scene) error {
		tasks, err := s.Claim(ctx, app, deleteDue, deleteDue.Add(lease), plenty)
		if len(tasks) > 0 {
			return errors.New("Claim returned tasks")
		}
		return err
	}),
	endedContextCheck("Done", func(ctx context.Context, s connect.Store, c scene) error {
		return s.Done(ctx, tag(c.anna))
	}),
	endedContextCheck("Postpone", func(ctx context.Context, s connect.Store, c scene) error {
		return s.Postpone(ctx, tag(c.anna), noon)
	}),
	endedContextCheck("Sweep", func(ctx context.Context, s connect.Store, c scene) error {
		_, err := s.Sweep(ctx, noon.AddDate(1, 0, 0), plenty)
		return err
	}),

	{"an interrupted Complete takes effect as a whole or not at all, and can be repeated", func(t tb, s connect.Store) {
		var want []connect.Task
		for i := range 40 {
			p := flow(fmt.Sprint("user ", i), fmt.Sprint(i))
			bind(t, s, p)
			c := finished(p, identity(fmt.Sprint(i)))

			// The timeouts grow from nothing to long enough, so that some of them
			// interrupt a store of any speed halfway.
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i*i)*micro)
			done, err := s.Complete(ctx, p.TokenHash, c, single)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded, "an interrupted Complete")
				require.Zero(t, done, "the result of an interrupted Complete")
			}

			// An interrupted commit may have succeeded, so both are allowed after
			// an error.
			connections, missing := s.Connections(t.Context(), app, p.UserID)
			require.NoError(t, missing, "Connections")
			if len(connections) == 0 {
				require.Error(t, err, "a Complete that stored no connection")
				requireFlow(t, s, p)
				complete(t, s, p, c.IdentityID)
			} else {
				requireFlow(t, s, completed(p, c.IdentityID))
				requireReload(t, s, p, c)
			}
			requireConnections(t, s, c)
			want = append(want, tag(c))
		}
		requireTasks(t, s, want...)
	}},

	{"an interrupted Bind takes effect as a whole or not at all", func(t tb, s connect.Store) {
		for i := range 40 {
			user := fmt.Sprint("user ", i)
			first, second, p := expiring(user, user+", 1", 1), expiring(user, user+", 2", 2), expiring(user, user+", 3", 3)
			bindWithin(t, s, 1, first, second)

			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i*i)*micro)
			err := s.Bind(ctx, p, 1)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded, "an interrupted Bind")
			}

			_, missing := s.Pending(t.Context(), p.TokenHash)
			if missing != nil {
				require.ErrorIs(t, missing, connect.ErrStateUnknown, "Pending")
				require.Error(t, err, "a Bind that bound no flow")
				requireFlows(t, s, []connect.Pending{spent(first), second}, nil)
				bindWithin(t, s, 1, p)
			}
			requireFlows(t, s, []connect.Pending{spent(first), spent(second), p}, nil)
		}
	}},
}}
