package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

var completeAddsGroup = group{"Complete adds", []check{
	{"a flow that adds stores one more connection", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		requireConnections(t, s, first, second)
		p := adds(flow("anna", "third"))
		third := connectedWith(t, s, p, createdAt(finished(p, identity("third")), noon.Add(time.Minute)), several)
		requireConnections(t, s, first, second, third)
		requireFlow(t, s, completed(p, third.IdentityID))
		requireTasks(t, s, tag(third))
	}},

	{"the first connection is added with or without Adds", func(t tb, s connect.Store) {
		for i, how := range []connect.Completion{single, several} {
			plain, adding := fmt.Sprint("plain ", i), fmt.Sprint("adding ", i)
			for _, p := range []connect.Pending{flow(plain, plain), adds(flow(adding, adding))} {
				requireConnections(t, s, connectedWith(t, s, p, finished(p, identity(p.UserID)), how))
			}
		}
	}},

	{"the CreatedAt of a new connection is its ConnectedAt", func(t tb, s connect.Store) {
		for i, given := range []time.Time{{}, noon, noon.Add(-time.Hour), noon.Add(time.Hour)} {
			user := fmt.Sprint("user ", i)
			p := flow(user, user)
			bind(t, s, p)
			c := createdAt(finished(p, identity(user)), noon.Add(-time.Minute))
			c.CreatedAt = given
			want := createdAt(c, c.ConnectedAt)
			requireComplete(t, s, p, c, single, connect.Completed{First: true, Connection: want})
			requireConnections(t, s, want)
		}
	}},

	{"an identity that the user has is renewed, even at the limit", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		for i, how := range []connect.Completion{several, upTo(2), upTo(1)} {
			p := adds(flow("anna", fmt.Sprint(i)))
			second = renewedWith(t, s, second, p, finished(p, second.IdentityID), how)
			requireConnections(t, s, first, second)
		}
		requireTasks(t, s, tag(second))
	}},

	{"a flow that adds at the limit is ErrConnectionLimit", func(t tb, s connect.Store) {
		var connections []connect.Connection
		for limit := 1; limit <= 4; limit++ {
			label := fmt.Sprint(limit)
			p, over := adds(flow("anna", label)), adds(flow("anna", label+", over"))
			bind(t, s, p, over)
			c := createdAt(finished(p, identity(label)), noon.Add(time.Duration(limit)*time.Second))
			connections = append(connections, completeWith(t, s, p, c, upTo(limit)))
			for n := range limit + 1 {
				requireRefused(t, s, over, finished(over, identity(label+", over")), upTo(n), connect.ErrConnectionLimit)
			}
			requireFlow(t, s, over)
			requireConnections(t, s, connections...)
		}
		var tags []connect.Task
		for _, c := range connections {
			tags = append(tags, tag(c))
		}
		requireTasks(t, s, tags...)
	}},

	{"a flow that was refused at the limit can be completed below it", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		p := adds(flow("anna", "third"))
		bind(t, s, p)
		requireRefused(t, s, p, finished(p, identity("third")), upTo(2), connect.ErrConnectionLimit)
		disconnectOne(t, s, first)
		third := completeWith(t, s, p, createdAt(finished(p, identity("third")), noon.Add(time.Second)), upTo(2))
		requireConnections(t, s, second, third)
		requireTasks(t, s, deletion(first), tag(third))
	}},

	{"a limit below one counts as one", func(t tb, s connect.Store) {
		for i, limit := range []int{0, -1, -1 << 31} {
			user := fmt.Sprint("user ", i)
			p, over := adds(flow(user, user)), adds(flow(user, user+", over"))
			bind(t, s, p, over)
			c := completeWith(t, s, p, finished(p, identity(user)), upTo(limit))
			requireRefused(t, s, over, finished(over, identity(user+", over")), upTo(limit), connect.ErrConnectionLimit)
			requireConnections(t, s, c)
		}
	}},

	{"a lowered limit ends no connection, and allows renewals", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		named, known, more := renews(flow("anna", "named"), first.ID), flow("anna", "known"), adds(flow("anna", "more"))
		bind(t, s, named, known, more)
		first = renewWith(t, s, first, named, finished(named, identity("new")), upTo(1))
		second = renewWith(t, s, second, known, finished(known, second.IdentityID), upTo(1))
		requireRefused(t, s, more, finished(more, identity("more")), upTo(1), connect.ErrConnectionLimit)
		requireConnections(t, s, first, second)
	}},

	{"without ConnectionID or Adds, several connections are ErrConnectionLimit", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		p := flow("anna", "tab")
		bind(t, s, p)
		for _, how := range []connect.Completion{several, upTo(3), upTo(2), upTo(1), upTo(0)} {
			requireRefused(t, s, p, finished(p, identity("new")), how, connect.ErrConnectionLimit)
		}
		requireFlow(t, s, p)
		requireConnections(t, s, first, second)
		requireTasks(t, s)
		// With one connection left there is no choice.
		disconnectOne(t, s, first)
		requireFlow(t, s, spent(p))
		p = flow("anna", "again")
		requireConnections(t, s, renewedWith(t, s, second, p, finished(p, identity("new")), several))
	}},

	{"the limit counts the connections of one user in one application", func(t tb, s connect.Store) {
		pair(t, s, "ben")
		for i, p := range []connect.Pending{flowIn(otherApp, "anna", "1"), flowIn(app, "Anna", "2"), flowIn(app, "anna ", "3"), flowIn("anna", app, "4")} {
			connected(t, s, p, identity(fmt.Sprint(i)))
		}
		p, over := adds(flow("anna", "tab")), adds(flow("anna", "over"))
		bind(t, s, p, over)
		c := completeWith(t, s, p, finished(p, identity("anna")), upTo(1))
		requireRefused(t, s, over, finished(over, identity("over")), upTo(1), connect.ErrConnectionLimit)
		requireConnections(t, s, c)
	}},

	{"connections are ordered by CreatedAt, not by when they were stored or renewed", func(t tb, s connect.Store) {
		connections := make([]connect.Connection, 6)
		for _, i := range []int{3, 0, 5, 2, 1, 4} {
			label := fmt.Sprint(i)
			p := adds(flow("anna", label))
			c := createdAt(finished(p, identity(label)), noon.Add(time.Duration(i)*micro))
			connections[i] = connectedWith(t, s, p, c, several)
		}
		requireConnections(t, s, connections...)
		for _, i := range []int{1, 4, 0} {
			label := fmt.Sprint(i, ", renewed")
			p := renews(flow("anna", label), connections[i].ID)
			c := connectedAt(finished(p, identity(label)), noon.Add(time.Minute))
			connections[i] = renewedWith(t, s, connections[i], p, c, single)
		}
		requireConnections(t, s, connections...)
		disconnect(t, s, connections...)
	}},

	{"CreatedAt is ordered as an instant, in any zone and year", func(t tb, s connect.Store) {
		moments := orderedMoments()
		connections := make([]connect.Connection, len(moments))
		for _, i := range []int{7, 2, 9, 0, 5, 8, 1, 6, 3, 4} {
			label := fmt.Sprint(i)
			p := adds(flow("anna", label))
			p.ExpiresAt = moments[9].AddDate(1, 0, 0)
			connections[i] = connectedWith(t, s, p, createdAt(finished(p, identity(label)), moments[i]), several)
		}
		requireConnections(t, s, connections...)
		disconnect(t, s, connections...)
	}},

	{"connections with the same CreatedAt are ordered by ID, byte by byte", func(t tb, s connect.Store) {
		var connections []connect.Connection
		for i, id := range lookalikes {
			label := fmt.Sprint(i)
			p := adds(flow("anna", label))
			c := finished(p, identity(label))
			c.ID = id
			connections = append(connections, connectedWith(t, s, p, c, several))
		}
		requireConnections(t, s, sortByID(connections...)...)
		// CreatedAt counts before the ID.
		p := adds(flow("anna", "first"))
		c := createdAt(finished(p, identity("first")), noon.Add(-micro))
		c.ID = "zzz"
		connections = append(connections, connectedWith(t, s, p, c, several))
		slices.SortFunc(connections, func(a, b connect.Connection) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
		})
		requireConnections(t, s, connections...)
		disconnect(t, s, connections...)
	}},
}}
