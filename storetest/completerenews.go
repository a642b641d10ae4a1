package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// unknownIDs returns ids that no connection has. Some of them are similar to the ID of c.
func unknownIDs(c connect.Connection) []string {
	ids := []string{
		"unknown", strings.ToUpper(c.ID), c.ID + " ", " " + c.ID, c.ID[:len(c.ID)-1], c.ID + "x",
		"%", "_", "*", c.ID[:3] + "%", c.UserID, c.ApplicationID, c.IdentityID, strings.Repeat("x", 100_000),
	}
	for _, odd := range invalidStrings {
		ids = append(ids, odd.text)
	}
	return append(ids, c.ID+"\x00", c.ID+"\xff")
}

var completeRenewsGroup = group{"Complete renews", []check{
	{"a ConnectionID renews that connection alone", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		third := added(t, s, flow("anna", "third"), identity("third"))
		markDone(t, s, tag(third))
		old := second
		p := renews(flow("anna", "tab"), second.ID)
		second = renewedWith(t, s, second, p, finished(p, identity("new")), several)
		requireConnections(t, s, append([]connect.Connection{first}, sortByID(second, third)...)...)
		requireFlow(t, s, completed(p, second.IdentityID))
		requireTasks(t, s, tag(second), deletion(old))
	}},

	{"a ConnectionID renews a connection with the identity that it has", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		p := renews(flow("anna", "tab"), first.ID)
		c := connectedAt(finished(p, first.IdentityID), noon.Add(time.Second))
		first = renewedWith(t, s, first, p, c, several)
		requireConnections(t, s, first, second)
		requireTasks(t, s, tag(first))
	}},

	{"a ConnectionID counts before Adds", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		old := first
		p := adds(renews(flow("anna", "tab"), first.ID))
		first = renewedWith(t, s, first, p, finished(p, identity("new")), several)
		requireConnections(t, s, first, second)
		requireTasks(t, s, tag(first), deletion(old))
	}},

	{"without ConnectionID or Adds, the only connection is renewed at any limit", func(t tb, s connect.Store) {
		for i, how := range []connect.Completion{several, upTo(2), upTo(1), upTo(0)} {
			user := fmt.Sprint("user ", i)
			old := connected(t, s, flow(user, user), identity(user))
			p := flow(user, user+", again")
			requireConnections(t, s, renewedWith(t, s, old, p, finished(p, identity(user+", again")), how))
		}
	}},

	{"without ConnectionID or Adds, the connection that has the identity is renewed", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		for i, how := range []connect.Completion{several, upTo(2), upTo(1)} {
			p, other := flow("anna", fmt.Sprint(i)), flow("anna", fmt.Sprint(i, ", other"))
			bind(t, s, p, other)
			second = renewWith(t, s, second, p, finished(p, second.IdentityID), how)
			first = renewWith(t, s, first, other, finished(other, first.IdentityID), how)
			requireConnections(t, s, first, second)
		}
		requireTasks(t, s, tag(first), tag(second))
	}},

	{"a renewal keeps ID and CreatedAt, and takes the rest from the new sign-in", func(t tb, s connect.Store) {
		p := actedBy(flow("anna", "old"), "ben")
		p.Label = "work"
		c := connected(t, s, p, identity("old"))
		c = requireChange(t, s, c, needsSignIn, later(9))
		for i, actor := range []string{"carl", "", "ben"} {
			label := fmt.Sprint("label ", i)
			next := actedBy(renews(flow("anna", label), c.ID), actor)
			given := withHealth(finished(next, identity(label)), healthOK, later(-i))
			given.ConnectedAt, given.CreatedAt, given.Label = noon.Add(time.Duration(i+1)*time.Second), noon.Add(-time.Hour), label
			want := given
			want.ID, want.CreatedAt = c.ID, noon
			c = renewedWith(t, s, c, next, given, single)
			require.Equal(t, inUTC(want), inUTC(c), "the renewed connection")
			requireConnections(t, s, want)
		}
	}},

	{"a renewal with the same identity keeps and takes the same fields", func(t tb, s connect.Store) {
		p := actedBy(flow("anna", "old"), "ben")
		p.Label = "work"
		c := connected(t, s, p, identity("anna"))
		next := actedBy(adds(flow("anna", "new")), "carl")
		given := withHealth(finished(next, c.IdentityID), needsSignIn, later(-1))
		given.ConnectedAt, given.Label = noon.Add(time.Second), "home"
		want := given
		want.ID = c.ID
		renewedWith(t, s, c, next, given, single)
		requireConnections(t, s, want)
		requireTasks(t, s, tag(want))
	}},

	{"a renewal without a label keeps the old one", func(t tb, s connect.Store) {
		for i, label := range []string{"work", "w\u00f6rk ", longLabel, ""} {
			user := fmt.Sprint("user ", i)
			p := flow(user, user)
			p.Label = label
			old := connected(t, s, p, identity(user))
			again, next := flow(user, user+", again"), flow(user, user+", next")
			next.Label = "that of the flow"
			bind(t, s, again, next)
			old = renew(t, s, old, again, identity(user))
			c := finished(next, identity(user+", next"))
			c.Label = ""
			c = renewWith(t, s, old, next, c, single)
			require.Equal(t, label, c.Label, "the label after two renewals without one")
			requireConnections(t, s, c)
		}
	}},

	{"a ConnectionID that the user does not have is ErrConnectionUnknown", func(t tb, s connect.Store) {
		c := newScene(t, s)
		elsewhere := connected(t, s, flowIn(otherApp, "anna", "elsewhere"), identity("elsewhere"))
		markDone(t, s, tag(elsewhere))
		for i, id := range []string{
			"unknown", strings.ToUpper(c.anna.ID), c.anna.ID + " ", "%", c.anna.IdentityID,
			c.ben.ID, c.home.ID, c.work.ID, c.dora.ID, elsewhere.ID,
		} {
			for _, user := range []string{"anna", "emil"} {
				p := renews(flow(user, fmt.Sprint(user, i)), id)
				bind(t, s, p)
				for _, identityID := range []string{identity("new"), c.anna.IdentityID} {
					if user != "anna" && identityID == c.anna.IdentityID {
						continue // would be ErrIdentityTaken
					}
					requireRefused(t, s, p, finished(p, identityID), several, connect.ErrConnectionUnknown)
				}
				requireFlow(t, s, p)
			}
		}
		requireConnections(t, s, elsewhere)
		c.requireUnchanged(t, s)
	}},

	{"a connection that has ended is ErrConnectionUnknown for later flows", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		disconnectOne(t, s, first)
		for i, identityID := range []string{identity("new"), second.IdentityID} {
			p := renews(flow("anna", fmt.Sprint(i)), first.ID)
			bind(t, s, p)
			requireRefused(t, s, p, finished(p, identityID), several, connect.ErrConnectionUnknown)
			requireFlow(t, s, p)
		}
		requireConnections(t, s, second)
		requireTasks(t, s, deletion(first))
	}},

	{"the identity of another connection of the user is ErrIdentityConnected", func(t tb, s connect.Store) {
		c := newScene(t, s)
		for _, how := range []connect.Completion{several, upTo(1), sameIdentity(upTo(2))} {
			requireRefused(t, s, c.renewing, finished(c.renewing, c.work.IdentityID), how, connect.ErrIdentityConnected)
		}
		c.requireUnchanged(t, s)
		renewWith(t, s, c.home, c.renewing, finished(c.renewing, c.home.IdentityID), several)
	}},

	{"of several reasons to refuse, the first in order is returned", func(t tb, s connect.Store) {
		c := newScene(t, s)
		plain, more := flow("fred", "plain"), adds(flow("fred", "more"))
		lost := renews(flow("fred", "lost"), c.anna.ID)
		bind(t, s, plain, more, lost)
		fresh, work, taken, retired := identity("fresh"), c.work.IdentityID, c.ben.IdentityID, c.dora.IdentityID
		tooOld := func(limit int) connect.Completion {
			how := upTo(limit)
			how.SameIdentity = true
			return how
		}
		for _, row := range []struct {
			reasons  string
			flow     connect.Pending
			identity string
			how      connect.Completion
			want     error
		}{
			{"retired, connection unknown", lost, retired, upTo(1), connect.ErrIdentityRetired},
			{"retired, at the limit", more, retired, upTo(1), connect.ErrIdentityRetired},
			{"retired, too old, connection unknown", lost, retired, tooOld(1), connect.ErrIdentityRetired},
			{"taken, too old, at the limit", more, taken, tooOld(1), connect.ErrIdentityTaken},
			{"taken, connection unknown", lost, taken, upTo(1), connect.ErrIdentityTaken},
			{"taken, at the limit", more, taken, upTo(1), connect.ErrIdentityTaken},
			{"taken, does not say which of several", plain, taken, several, connect.ErrIdentityTaken},
			{"too old, connection unknown", lost, fresh, tooOld(plenty), connect.ErrIdentityTooOld},
			{"too old, at the limit", more, fresh, tooOld(2), connect.ErrIdentityTooOld},
			{"too old, below the limit", more, fresh, tooOld(3), connect.ErrIdentityTooOld},
			{"too old, does not say which of several", plain, fresh, tooOld(plenty), connect.ErrIdentityTooOld},
			{"too old, names a connection", c.renewing, fresh, tooOld(plenty), connect.ErrIdentityTooOld},
			{"connection unknown, over the limit", lost, fresh, upTo(1), connect.ErrConnectionUnknown},
			{"connection unknown, identity of another connection", lost, work, upTo(1), connect.ErrConnectionUnknown},
			{"connection unknown, identity of another connection that is not fresh", lost, work, tooOld(1), connect.ErrConnectionUnknown},
			{"identity of another connection, over the limit", c.renewing, work, upTo(1), connect.ErrIdentityConnected},
			{"at the limit", more, fresh, upTo(2), connect.ErrConnectionLimit},
			{"does not say which of several", plain, fresh, several, connect.ErrConnectionLimit},
		} {
			done, err := s.Complete(t.Context(), row.flow.TokenHash, finished(row.flow, row.identity), row.how)
			require.ErrorIs(t, err, row.want, "a Complete that the contract refuses: %s", row.reasons)
			require.Zero(t, done, "the result of a refused Complete: %s", row.reasons)
			c.requireRowsUnchanged(t, s)
			requireFlows(t, s, []connect.Pending{plain, more, lost}, nil)
		}
		c.requireTasksUnchanged(t, s)
	}},

	{"a flow that was refused can still be completed", func(t tb, s connect.Store) {
		c := newScene(t, s)
		requireRefused(t, s, c.renewing, finished(c.renewing, c.work.IdentityID), several, connect.ErrIdentityConnected)
		home := renewWith(t, s, c.home, c.renewing, finished(c.renewing, identity("new")), several)
		requireRefused(t, s, c.adding, finished(c.adding, identity("third")), upTo(2), connect.ErrConnectionLimit)
		third := completeWith(t, s, c.adding, createdAt(finished(c.adding, identity("third")), noon.Add(time.Second)), several)
		requireConnections(t, s, home, c.work, third)
	}},
}}
