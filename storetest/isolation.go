package storetest

import (
	"fmt"

	"github.com/anchorconnect/connect"
)

var isolation = topic{"isolation", []check{
	{"users of one application have connections of their own", func(t tb, s connect.Store) {
		anna := connected(t, s, start("anna", "anna"), identity("anna"))
		requireNoConnection(t, s, app, "ben")
		ben := connected(t, s, start("ben", "ben"), identity("ben"))
		requireConnection(t, s, anna)
		requireConnection(t, s, ben)
		requireTasks(t, s, tag(anna), tag(ben))
	}},

	{"one user id in two applications is two users", func(t tb, s connect.Store) {
		here := connected(t, s, start("anna", "here"), identity("here"))
		requireNoConnection(t, s, otherApp, "anna")
		requireNothingToDisconnect(t, s, otherApp, "anna")
		there := connected(t, s, startIn(otherApp, "anna", "there"), identity("there"))
		requireConnection(t, s, here)
		requireConnection(t, s, there)
		requireTasks(t, s, tag(here), tag(there))
	}},

	{"an application's id and a user's id do not run together", func(t tb, s connect.Store) {
		var all []connect.Connection
		for i, separator := range []string{"", ":", "/", "|", "-", "_", ".", ",", ";", " ", "\t", "\n", "\x1f", `","`} {
			for j, pair := range [][2]string{
				{"a" + separator + "b", "c"},
				{"a", "b" + separator + "c"},
			} {
				label := fmt.Sprint(i, "/", j)
				all = append(all, connected(t, s, startIn(pair[0], pair[1], label), identity(label)))
			}
		}
		for _, c := range all {
			requireConnection(t, s, c)
		}
		for i, c := range all {
			disconnect(t, s, c)
			for _, other := range all[i+1:] {
				requireConnection(t, s, other)
			}
		}
	}},

	{"an application's id is no user's id", func(t tb, s connect.Store) {
		connected(t, s, startIn("x", "y", "tab"), identity("xy"))
		requireNoConnection(t, s, "y", "x")
		requireNothingToDisconnect(t, s, "y", "x")
	}},
}}
