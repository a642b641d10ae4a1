package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var completeAcceptedGroup = group{"Complete Accepted", []check{
	{"a renewal or an addition that the app accepted is stored", func(t tb, s connect.Store) {
		p := flow("anna", "first")
		first := connectedWith(t, s, p, finished(p, identity("first")), accepted(single, addition))
		p = flow("anna", "only")
		first = renewedWith(t, s, first, p, finished(p, identity("only")), accepted(single, first))
		p = adds(flow("anna", "more"))
		second := connectedWith(t, s, p, finished(p, identity("more")), accepted(several, addition))
		p = renews(flow("anna", "named"), first.ID)
		first = renewedWith(t, s, first, p, finished(p, identity("named")), accepted(several, first))
		p = adds(flow("anna", "same"))
		second = renewedWith(t, s, second, p, finished(p, second.IdentityID), accepted(several, second))
		requireConnections(t, s, sortByID(first, second)...)
	}},

	{"anything else is ErrConnectionChanged, and nothing changes", func(t tb, s connect.Store) {
		first, second := pair(t, s, "anna")
		named, more := renews(flow("anna", "named"), first.ID), adds(flow("anna", "more"))
		only := connected(t, s, flow("ben", "only"), identity("only"))
		replaces := flow("ben", "replaces")
		bind(t, s, named, more, replaces)
		before := first
		before.IdentityID = identity("before")
		elsewhere := second
		elsewhere.IdentityID = first.IdentityID
		for _, row := range []struct {
			flow     connect.Pending
			accepted connect.Connection
		}{
			{named, addition}, {named, before}, {named, second}, {named, elsewhere},
			{more, first}, {more, connect.Connection{ID: first.ID}}, {more, connect.Connection{IdentityID: identity("new")}},
			{replaces, addition}, {replaces, first},
		} {
			requireRefused(t, s, row.flow, finished(row.flow, identity("new")), accepted(several, row.accepted), connect.ErrConnectionChanged)
		}
		requireConnections(t, s, first, second)
		requireConnections(t, s, only)
		requireFlow(t, s, named)
		requireFlow(t, s, more)
		// The flows can still be completed.
		renewWith(t, s, first, named, finished(named, identity("new")), accepted(several, first))
		completeWith(t, s, more, finished(more, identity("newer")), several)
	}},

	{"other reasons to refuse come before ErrConnectionChanged", func(t tb, s connect.Store) {
		first, _ := pair(t, s, "anna")
		over, gone := adds(flow("anna", "over")), renews(flow("anna", "gone"), "none")
		bind(t, s, over, gone)
		requireRefused(t, s, over, finished(over, identity("new")), accepted(upTo(2), first), connect.ErrConnectionLimit)
		requireRefused(t, s, gone, finished(gone, identity("new")), accepted(several, first), connect.ErrConnectionUnknown)
	}},

	{"a reload is not affected", func(t tb, s connect.Store) {
		p := flow("anna", "first")
		first := connected(t, s, p, identity("first"))
		requireReloadWith(t, s, p, first, accepted(single, connect.Connection{ID: "another"}))
	}},

	{"of racing flows with one acceptance, exactly one is stored", func(t tb, s connect.Store) {
		for i := range rounds {
			user := fmt.Sprint("user ", i)
			var asked connect.Connection
			if i%2 == 1 {
				asked = connectedBefore(t, s, user)
			}
			flows := rivals(t, s, user, 5, plain)
			results := completeAll(t, s, flows, own, accepted(single, asked))
			require.Len(t, winners(t, results, connect.ErrConnectionChanged), 1, "the calls of Complete that return First")
		}
	}},
}}
