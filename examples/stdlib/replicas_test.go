package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// Two processes of the demo share one database, as behind a load balancer.
func TestReplicasShareADatabase(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"postgres", "mysql"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			fake, d := startedFake(t), databases()[server](t)
			a := newProgram(t, fake, d.url)
			b := newProgram(t, fake, d.url, "PUBLIC_URL=http://"+a.addr)
			both := func() {
				a.launch()
				b.launch() // Both create the tables at once.
				a.await()
				b.await()
			}
			both()
			onB := func(callback string) string { return strings.Replace(callback, a.addr, b.addr, 1) }
			puts := func() map[string]int {
				made := map[string]int{}
				for _, call := range fake.Calls() {
					if call.Method == "PUT" && call.Status == http.StatusOK {
						made[strings.TrimPrefix(call.Path, "/v1/identities/")]++
					}
				}
				return made
			}
			want := map[string]string{}

			// A flow starts on one and finishes on the other.
			for i := range 10 {
				user := fmt.Sprint("user", i)
				person := newBrowser(t)
				person.signIn(a.addr, user)
				from, to := a.addr, onB
				if i%2 == 1 {
					from, to = b.addr, func(callback string) string { return callback }
				}
				callback, err := fake.Approve(t.Context(), person.begin(from))
				require.NoError(t, err)
				person.finish(to(callback))
				want[user] = identityIn(callback)
			}

			// Callbacks of one flow race on both.
			racer := newBrowser(t)
			racer.signIn(a.addr, "racer")
			callback, err := fake.Approve(t.Context(), racer.begin(b.addr))
			require.NoError(t, err)
			statuses := make([]int, 40)
			var racing sync.WaitGroup
			for i := range statuses {
				address := callback
				if i%2 == 0 {
					address = onB(callback)
				}
				racing.Go(func() { statuses[i], _, _, _ = racer.get(address) })
			}
			racing.Wait()
			for _, status := range statuses {
				require.Equal(t, http.StatusSeeOther, status, "%s\n%s", a.output, b.output)
			}
			want["racer"] = identityIn(callback)
			require.Equal(t, want, d.connections(t))

			// Both retry the work that an outage interrupted, each task once.
			fake.Fault(anchortest.Fault{Method: "PUT", Status: 503})
			for i := range 12 {
				user := fmt.Sprint("untagged", i)
				person := newBrowser(t)
				person.signIn(a.addr, user)
				callback, err := fake.Approve(t.Context(), person.begin(a.addr))
				require.NoError(t, err)
				person.finish(callback)
				want[user] = identityIn(callback)
			}
			fake.ClearFaults()
			require.Eventually(t, func() bool { return d.count(t, "SELECT COUNT(*) FROM connect_tasks") == 0 },
				20*time.Second, 50*time.Millisecond, "%s\n%s", a.output, b.output)
			require.Equal(t, want, d.connections(t))
			made := puts()
			for user, identity := range want {
				require.Equal(t, user, owner(fake, identity))
				require.Equal(t, 1, made[identity], "%s is tagged once", user)
			}
			require.Len(t, fake.Identities(), len(want))

			// Both sweep expired flows at once.
			_, err = d.db.Exec("UPDATE connect_pending SET expires_at = 0")
			require.NoError(t, err)
			a.kill()
			b.kill()
			both()
			require.Eventually(t, func() bool { return d.count(t, "SELECT COUNT(*) FROM connect_pending") == 0 },
				10*time.Second, 50*time.Millisecond, "%s\n%s", a.output, b.output)
			require.Equal(t, want, d.connections(t))
		})
	}
}
