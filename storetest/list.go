package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// listerCheck returns a check that is skipped unless the store is a [connect.Lister].
func listerCheck(name string, run func(t tb, s connect.Store, l connect.Lister)) check {
	return check{name, func(t tb, s connect.Store) {
		l, ok := s.(connect.Lister)
		if !ok {
			t.Skip("the store does not implement connect.Lister")
		}
		run(t, s, l)
	}}
}

// listPage lists one page.
func listPage(t tb, l connect.Lister, q connect.ListQuery) []connect.Connection {
	t.Helper()
	page, err := l.List(t.Context(), q)
	require.NoError(t, err, "List")
	require.LessOrEqual(t, len(page), max(q.Limit, 0), "the number of connections that List returns")
	return page
}

// listAll lists all pages. Between two pages it calls f with the last connection of the
// first one.
func listAll(t tb, l connect.Lister, q connect.ListQuery, f func(last connect.Connection)) (all []connect.Connection) {
	t.Helper()
	for range plenty { // ends even if the pages do not
		page := listPage(t, l, q)
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		last := page[len(page)-1]
		q.After = last.ID
		f(last)
	}
	require.Fail(t, "the pages of List do not end")
	return nil
}

// listConcurrently lists all pages in a goroutine that must not fail the test. It calls f
// after the first page.
func listConcurrently(t tb, l connect.Lister, q connect.ListQuery, f func()) (all []connect.Connection, err error) {
	for i := range plenty {
		page, err := l.List(t.Context(), q)
		if i == 0 {
			f()
		}
		all = append(all, page...)
		if err != nil || len(page) < q.Limit {
			return all, err
		}
		q.After = page[len(page)-1].ID
	}
	return all, errors.New("the pages of List do not end")
}

// connectMany makes n connections in app, and returns them in the order of List, which
// is not that of CreatedAt. Users have one to three, and every third needs a sign-in.
func connectMany(t tb, s connect.Store, n int) []connect.Connection {
	t.Helper()
	var connections []connect.Connection
	for i := range n {
		label := fmt.Sprint("of a crowd, ", i)
		p := adds(flow(fmt.Sprint("user ", i%(n/2+1)), label))
		p.Label = label
		bind(t, s, p)
		c := finished(p, identity(label))
		if i%3 == 0 {
			c = withHealth(c, needsSignIn, signedIn)
		}
		connections = append(connections, completeWith(t, s, p, c, several))
	}
	return sortByID(connections...)
}

// havingHealth returns the connections that have a health.
func havingHealth(connections []connect.Connection, health connect.Health) (some []connect.Connection) {
	for _, c := range connections {
		if c.Health == health {
			some = append(some, c)
		}
	}
	return some
}

func nothing(connect.Connection) {}

var listGroup = group{"List", []check{
	listerCheck("connections are ordered by ID, in pages of any size", func(t tb, s connect.Store, l connect.Lister) {
		want := connectMany(t, s, 13)
		for limit := 1; limit <= len(want)+1; limit++ {
			got := listAll(t, l, connect.ListQuery{ApplicationID: app, Limit: limit}, nothing)
			requireSame(t, want, got, fmt.Sprintf("all connections, in pages of %d", limit))
		}
		requireSame(t, want, listPage(t, l, connect.ListQuery{ApplicationID: app, Limit: 1 << 30}), "all connections, in one page")
	}),

	listerCheck("a full last page is followed by an empty one", func(t tb, s connect.Store, l connect.Lister) {
		want := connectMany(t, s, 6)
		q := connect.ListQuery{ApplicationID: app, Limit: 3}
		requireSame(t, want[:3], listPage(t, l, q), "the first page")
		q.After = want[2].ID
		requireSame(t, want[3:], listPage(t, l, q), "the second page")
		q.After = want[5].ID
		require.Empty(t, listPage(t, l, q), "the page after the last one")
	}),

	listerCheck("IDs are ordered byte by byte, and connections are returned as stored", func(t tb, s connect.Store, l connect.Lister) {
		var want []connect.Connection
		for i, id := range lookalikes {
			label := fmt.Sprint(i)
			p := actedBy(flow("user "+label, label), "an actor")
			p.Label = "label " + label
			c := withHealth(finished(p, identity(label)), needsSignIn, later(-i))
			c.ID = id
			want = append(want, connectedWith(t, s, p, c, single))
		}
		sortByID(want...)
		requireSame(t, want, listAll(t, l, connect.ListQuery{ApplicationID: app, Limit: 7}, nothing), "all connections, in pages of 7")
		for i, c := range want {
			page := listPage(t, l, connect.ListQuery{ApplicationID: app, After: c.ID, Limit: plenty})
			requireSame(t, want[i+1:], page, fmt.Sprintf("the connections after %q", c.ID))
		}
	}),

	listerCheck("Health selects connections, and pages are full", func(t tb, s connect.Store, l connect.Lister) {
		all := connectMany(t, s, 13)
		for _, health := range []connect.Health{healthOK, needsSignIn} {
			want := havingHealth(all, health)
			for limit := 1; limit <= len(want)+1; limit++ {
				got := listAll(t, l, connect.ListQuery{ApplicationID: app, Health: health, Limit: limit}, nothing)
				requireSame(t, want, got, fmt.Sprintf("the connections that are %s, in pages of %d", health, limit))
			}
		}
		i := slices.IndexFunc(all, func(c connect.Connection) bool { return c.Health == healthOK })
		all[i], _ = setHealth(t, s, all[i].IdentityID, needsSignIn, later(1))
		requireSame(t, havingHealth(all, needsSignIn), listPage(t, l, connect.ListQuery{ApplicationID: app, Health: needsSignIn, Limit: plenty}), "the connections that need a sign-in after news")
	}),

	listerCheck("an unknown health is an error", func(t tb, s connect.Store, l connect.Lister) {
		connectMany(t, s, 3)
		for _, odd := range unknownHealths {
			if odd == "" {
				continue // selects any health
			}
			page, err := l.List(t.Context(), connect.ListQuery{ApplicationID: app, Health: odd, Limit: plenty})
			require.Error(t, err, "List of the health %q", odd)
			require.Empty(t, page, "the result of a List that fails")
		}
	}),

	listerCheck("only connections of the application are returned", func(t tb, s connect.Store, l connect.Lister) {
		here := connectMany(t, s, 4)
		there := connected(t, s, flowIn(otherApp, "user 1", "there"), identity("there"))
		upper := connected(t, s, flowIn(strings.ToUpper(app), "user 1", "upper"), identity("upper"))
		for application, want := range map[string][]connect.Connection{
			app: here, otherApp: {there}, strings.ToUpper(app): {upper}, "none": nil, "user 1": nil, app + " ": nil, "%": nil,
		} {
			got := listAll(t, l, connect.ListQuery{ApplicationID: application, Limit: 2}, nothing)
			requireSame(t, want, got, fmt.Sprintf("the connections of the application %q", application))
		}
	}),

	listerCheck("a limit below one returns nothing, and is no error", func(t tb, s connect.Store, l connect.Lister) {
		connectMany(t, s, 3)
		for _, limit := range []int{0, -1, -1 << 31} {
			require.Empty(t, listPage(t, l, connect.ListQuery{ApplicationID: app, Limit: limit}), "connections of a page with limit %d", limit)
		}
	}),

	listerCheck("After may be an ID that no connection has", func(t tb, s connect.Store, l connect.Lister) {
		all := connectMany(t, s, 6)
		disconnectOne(t, s, all[2])
		left := slices.Delete(slices.Clone(all), 2, 3)
		for after, want := range map[string][]connect.Connection{
			all[2].ID: left[2:], "": left, "a": left, "connection-": left, "zzz": nil,
			all[0].ID + "x": left[1:], all[0].ID[:len(all[0].ID)-1]: left,
		} {
			requireSame(t, want, listPage(t, l, connect.ListQuery{ApplicationID: app, After: after, Limit: plenty}), fmt.Sprintf("the connections after %q", after))
		}
	}),

	listerCheck("changes between two pages neither repeat nor skip a connection", func(t tb, s connect.Store, l connect.Lister) {
		all := connectMany(t, s, 12)
		var ended []string
		n := 0
		got := listAll(t, l, connect.ListQuery{ApplicationID: app, Limit: 2}, func(last connect.Connection) {
			label := fmt.Sprint("between two pages, ", n)
			// Ends a connection after the cursor, one before it, and that of the cursor.
			if ends := []connect.Connection{all[11], all[0], last}; n < len(ends) {
				disconnectOne(t, s, ends[n])
				ended = append(ended, ends[n].ID)
			}
			p := renews(flow(all[5].UserID, label), all[5].ID)
			all[5] = renewedWith(t, s, all[5], p, finished(p, identity(label)), single)
			added(t, s, flow("user of "+label, label+", added"), identity(label+", added"))
			n++
		})
		var stay []string
		for _, c := range all {
			if !slices.Contains(ended, c.ID) {
				stay = append(stay, c.ID)
			}
		}
		requireListedOnce(t, stay, got)
	}),

	listerCheck("concurrent changes neither repeat nor skip a connection", func(t tb, s connect.Store, l connect.Lister) {
		all := connectMany(t, s, 30)
		var stay []string
		for i, c := range all {
			if i%3 != 0 {
				stay = append(stay, c.ID)
			}
		}
		var calls []func() error
		for i, c := range all {
			p := renews(flow(c.UserID, c.ID+", renewed"), c.ID)
			more := adds(flow("user of "+c.ID, c.ID+", more"))
			bind(t, s, p, more)
			calls = append(calls, func() error {
				if i%3 == 0 {
					_, err := s.Disconnect(t.Context(), endOne(c))
					return err
				}
				_, err := s.Complete(t.Context(), p.TokenHash, finished(p, identity(c.ID+", renewed")), several)
				return err
			}, func() error {
				_, err := s.Complete(t.Context(), more.TokenHash, finished(more, identity(c.ID+", more")), several)
				return err
			})
		}
		const readers, writers = 5, 3
		got, errs := make([][]connect.Connection, readers), make([]error, readers+writers)
		var first sync.WaitGroup // for the first page of each reader
		first.Add(readers)
		var next atomic.Int64
		race(len(errs), func(i int) {
			if i < readers {
				got[i], errs[i] = listConcurrently(t, l, connect.ListQuery{ApplicationID: app, Limit: i + 3}, first.Done)
				return
			}
			first.Wait()
			for j := next.Add(1) - 1; j < int64(len(calls)); j = next.Add(1) - 1 {
				if err := calls[j](); err != nil {
					errs[i] = err
				}
			}
		})
		for i, err := range errs {
			require.NoError(t, err, "List, or a concurrent call: %d", i)
		}
		for _, list := range got {
			requireListedOnce(t, stay, list)
		}
	}),

	listerCheck("WithIdentities finds connections of any user and application", func(t tb, s connect.Store, l connect.Lister) {
		want := connectMany(t, s, 13)
		other := connected(t, s, flowIn(otherApp, "user 0", "elsewhere"), identity("elsewhere"))
		asked := []string{other.IdentityID, identity("nobody's"), "no UUID", "", "\x00"}
		for _, c := range want {
			asked = append(asked, c.IdentityID)
		}
		got, err := l.WithIdentities(t.Context(), asked)
		require.NoError(t, err, "WithIdentities")
		requireSame(t, sortByID(append(slices.Clone(want), other)...), sortByID(got...), "the result of WithIdentities")

		got, err = l.WithIdentities(t.Context(), []string{identity("nobody's")})
		require.NoError(t, err, "WithIdentities of an identity without a connection")
		require.Empty(t, got)
		got, err = l.WithIdentities(t.Context(), nil)
		require.NoError(t, err, "WithIdentities of none")
		require.Empty(t, got)
	}),

	listerCheck("WithIdentities finds no identity that was replaced or has ended", func(t tb, s connect.Store, l connect.Lister) {
		old := connected(t, s, flow("user", "first"), identity("first"))
		now := renewed(t, s, old, flow("user", "second"), identity("second"))
		gone := connected(t, s, flow("another user", "third"), identity("third"))
		disconnect(t, s, gone)
		got, err := l.WithIdentities(t.Context(), []string{old.IdentityID, now.IdentityID, gone.IdentityID})
		require.NoError(t, err, "WithIdentities")
		requireSame(t, []connect.Connection{now}, got, "the result of WithIdentities")
	}),
}}

// requireListedOnce requires that a list has each of the ids once, and no other twice.
func requireListedOnce(t tb, ids []string, list []connect.Connection) {
	t.Helper()
	times := make(map[string]int)
	for _, c := range list {
		times[c.ID]++
		require.Equal(t, 1, times[c.ID], "the number of times that List returns the connection %s", c.ID)
	}
	for _, id := range ids {
		require.Equal(t, 1, times[id], "the number of times that List returns the connection %s, which exists throughout", id)
	}
}
