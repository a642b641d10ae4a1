package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

var isolationGroup = group{"Isolation", []check{
	{"users of one application have separate connections", func(t tb, s connect.Store) {
		anna := connected(t, s, flow("anna", "anna"), identity("anna"))
		requireNoConnection(t, s, app, "ben")
		ben := connected(t, s, flow("ben", "ben"), identity("ben"))
		requireConnections(t, s, anna)
		requireConnections(t, s, ben)
		requireTasks(t, s, tag(anna), tag(ben))
	}},

	{"one user id in two applications is two users", func(t tb, s connect.Store) {
		here := connected(t, s, flow("anna", "here"), identity("here"))
		requireNoConnection(t, s, otherApp, "anna")
		disconnectNone(t, s, otherApp, "anna")
		there := connected(t, s, flowIn(otherApp, "anna", "there"), identity("there"))
		requireConnections(t, s, here)
		requireConnections(t, s, there)
		requireTasks(t, s, tag(here), tag(there))
	}},

	{"application id and user id are compared separately", func(t tb, s connect.Store) {
		var all []connect.Connection
		for i, separator := range []string{"", ":", "/", "|", "-", "_", ".", ",", ";", " ", "\t", "\n", "\x1f", `","`} {
			for j, pair := range [][2]string{
				{"a" + separator + "b", "c"},
				{"a", "b" + separator + "c"},
			} {
				label := fmt.Sprint(i, "/", j)
				all = append(all, connected(t, s, flowIn(pair[0], pair[1], label), identity(label)))
			}
		}
		for _, c := range all {
			requireConnections(t, s, c)
		}
		for i, c := range all {
			disconnect(t, s, c)
			for _, other := range all[i+1:] {
				requireConnections(t, s, other)
			}
		}
	}},

	{"Claim returns and leases the tasks of one application only", func(t tb, s connect.Store) {
		here := connected(t, s, flow("anna", "here"), identity("here"))
		there := connected(t, s, flowIn(otherApp, "anna", "there"), identity("there"))
		goneHere := connected(t, s, flow("ben", "gone here"), identity("gone here"))
		goneThere := connected(t, s, flowIn(otherApp, "ben", "gone there"), identity("gone there"))
		disconnect(t, s, goneHere)
		disconnect(t, s, goneThere)

		claimed := func(application string) []connect.Task {
			t.Helper()
			return claimIn(t, s, application, deleteDue, deleteDue.Add(lease), plenty)
		}
		require.Empty(t, claimed("6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a03"), "tasks of an application that has none")
		require.Empty(t, claimed("anna"), "tasks of a user's id")
		requireSameTasks(t, []connect.Task{tag(here), deletion(goneHere)}, claimed(app), "the tasks of the one application")
		require.Empty(t, claimed(app), "tasks of the one application when all are claimed")
		requireSameTasks(t, []connect.Task{tag(there), deletion(goneThere)}, claimed(otherApp), "the tasks of the other application")
		require.Empty(t, claimed(otherApp), "tasks of the other application when all are claimed")
	}},

	{"application id and user id are not interchangeable", func(t tb, s connect.Store) {
		connected(t, s, flowIn("x", "y", "tab"), identity("xy"))
		requireNoConnection(t, s, "y", "x")
		disconnectNone(t, s, "y", "x")
	}},
}}
