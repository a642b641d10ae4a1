package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// requireApplicationsOf compares the applications of a user.
func requireApplicationsOf(t tb, s connect.Store, user string, want ...string) {
	t.Helper()
	got, err := s.ApplicationsOf(t.Context(), user)
	require.NoError(t, err, "ApplicationsOf")
	require.ElementsMatch(t, want, got, "the applications of %q", user)
}

// requireApplications compares all applications.
func requireApplications(t tb, s connect.Store, want ...string) {
	t.Helper()
	got, err := s.Applications(t.Context())
	require.NoError(t, err, "Applications")
	require.ElementsMatch(t, want, got, "all applications")
}

var applicationsGroup = group{"Applications", []check{
	{"ApplicationsOf returns those with a connection or a flow that is not spent", func(t tb, s connect.Store) {
		connected(t, s, flowIn("connected", "anna", "1"), identity("1"))
		sweepAll(t, s, 1)
		bind(t, s, flowIn("pending", "anna", "2"), flowIn("pending", "anna", "3"))
		connected(t, s, flowIn("both", "anna", "4"), identity("4"))
		bind(t, s, flowIn("both", "anna", "5"))
		added(t, s, flowIn("both", "anna", "11"), identity("11"))
		expired, ended := flowIn("expired", "anna", "6"), flowIn("spent", "anna", "7")
		expired.ExpiresAt = disconnectedAt
		bind(t, s, expired, ended)
		spend(t, s, ended)
		disconnect(t, s, connected(t, s, flowIn("ended", "anna", "8"), identity("8")))
		bind(t, s, flowIn("elsewhere", "ben", "9"))
		connected(t, s, flowIn("elsewhere", "carl", "10"), identity("10"))

		requireApplicationsOf(t, s, "anna", "connected", "pending", "both", "expired")
		requireApplicationsOf(t, s, "ben", "elsewhere")
		requireApplicationsOf(t, s, "nobody")
		requireApplicationsOf(t, s, "both")
	}},

	{"ApplicationsOf distinguishes similar user ids", func(t tb, s connect.Store) {
		for i, user := range lookalikes {
			label := fmt.Sprint(i)
			p := flowIn("application "+label, user, label)
			bind(t, s, p)
			if i%2 == 0 {
				complete(t, s, p, identity(label))
			}
		}
		for i, user := range lookalikes {
			requireApplicationsOf(t, s, user, fmt.Sprint("application ", i))
		}
	}},

	{"Applications returns those with a connection or a task", func(t tb, s connect.Store) {
		requireApplications(t, s)
		bind(t, s, flowIn("pending", "anna", "1"))
		requireApplications(t, s)

		here := connected(t, s, flowIn("both", "anna", "2"), identity("2"))
		connected(t, s, flowIn("both", "ben", "3"), identity("3"))
		requireApplications(t, s, "both")
		there := connected(t, s, flowIn("connected", "anna", "4"), identity("4"))
		markDone(t, s, tag(there))
		gone := connected(t, s, flowIn("task", "anna", "5"), identity("5"))
		disconnect(t, s, gone)
		requireApplications(t, s, "both", "connected", "task")

		markDone(t, s, deletion(gone))
		requireApplications(t, s, "both", "connected")
		disconnect(t, s, there)
		markDone(t, s, deletion(there))
		requireApplications(t, s, "both")
		requireTasks(t, s, tag(here), tag(finished(flowIn("both", "ben", "3"), identity("3"))))
	}},

	{"Applications distinguishes many similar ids", func(t tb, s connect.Store) {
		for i, application := range lookalikes {
			label := fmt.Sprint(i)
			c := connected(t, s, flowIn(application, "user "+label, label), identity(label))
			if i%3 == 0 {
				markDone(t, s, tag(c))
			}
			if i%3 == 1 {
				disconnect(t, s, c)
			}
		}
		requireApplications(t, s, lookalikes...)
	}},
}}
