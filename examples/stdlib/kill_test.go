package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

// retryTime bounds how long Run may take after a restart to finish interrupted work.
const retryTime = 10 * time.Second

// The demo is killed at every step of a flow and restarted. The user reloads the page,
// and Run finishes the interrupted work.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, fresh := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("a start", func(t *testing.T) {
				t.Parallel()
				killedInStart(t, fresh)
			})
			t.Run("a callback", func(t *testing.T) {
				t.Parallel()
				killedInCallback(t, fresh)
			})
			t.Run("a reconnect", func(t *testing.T) {
				t.Parallel()
				killedInReconnect(t, fresh)
			})
			t.Run("a disconnect", func(t *testing.T) {
				t.Parallel()
				killedInDisconnect(t, fresh)
			})
		})
	}
}

// point is where a request is held when the process is killed.
type point struct {
	name string
	// late: the browser already has its response.
	late bool
	hold func(t *testing.T, fake *anchortest.Server, d database) (arrived func(context.Context) error, release func())
}

// upstream holds a call before Anchor processes it.
func upstream(method, path string) point {
	return point{"before " + method + " " + path, method == http.MethodPut, func(t *testing.T, fake *anchortest.Server, d database) (func(context.Context) error, func()) {
		hold := fake.Hold(method, path)
		return func(ctx context.Context) error { return hold.Wait(ctx, 1) }, hold.Release
	}}
}

// answered holds a call after Anchor has processed it.
func answered(method, path string) point {
	return point{"after " + method + " " + path, method == http.MethodPut, func(t *testing.T, fake *anchortest.Server, d database) (func(context.Context) error, func()) {
		hold := fake.HoldAnswer(method, path)
		return func(ctx context.Context) error { return hold.Wait(ctx, 1) }, hold.Release
	}}
}

// transaction holds the store's transaction. The process has reached it once the calls
// before it are complete.
func transaction(after int) point {
	return point{"in the transaction", false, func(t *testing.T, fake *anchortest.Server, d database) (func(context.Context) error, func()) {
		release := d.hold(t)
		fake.ForgetCalls()
		return func(ctx context.Context) error {
			for len(fake.Calls()) < after {
				if err := ctx.Err(); err != nil {
					return err
				}
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond) // From the last response to the lock.
			return nil
		}, release
	}}
}

// killAt sends request and kills the program when it reaches the point.
func killAt(t *testing.T, p *program, fake *anchortest.Server, d database, at point, request func() error) {
	t.Helper()
	arrived, release := at.hold(t, fake, d)
	ended := make(chan error, 1)
	go func() { ended <- request() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, arrived(ctx), "%s", p.output)
	p.kill()
	if at.late {
		require.NoError(t, <-ended, "the answer comes before the tag")
	} else {
		require.Error(t, <-ended, "the request was answered before the process was killed")
	}
	release()
}

func killedInStart(t *testing.T, fresh func(*testing.T) database) {
	for _, at := range []point{
		upstream("POST", "/v1/applications/*/tokens"),
		answered("POST", "/v1/applications/*/tokens"),
		transaction(1),
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			fake, d := startedFake(t), fresh(t)
			p := newProgram(t, fake, d.url)
			p.start()
			ada := newBrowser(t)
			ada.signIn(p.addr, "ada")
			killAt(t, p, fake, d, at, func() error {
				_, _, _, err := ada.post("http://"+p.addr+"/connect", nil)
				return err
			})

			p.start()
			require.Empty(t, d.connections(t))
			callback, err := fake.Approve(t.Context(), ada.begin(p.addr))
			require.NoError(t, err)
			ada.finish(callback)
			require.Equal(t, map[string]string{"ada": identityIn(callback)}, d.connections(t))
		})
	}
}

func killedInCallback(t *testing.T, fresh func(*testing.T) database) {
	for _, at := range []point{
		upstream("GET", "/v1/identities/"),
		answered("GET", "/v1/identities/"),
		upstream("GET", "/v1/applications"),
		transaction(2),
		upstream("PUT", "/v1/identities/"),
		answered("PUT", "/v1/identities/"),
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			fake, d := startedFake(t), fresh(t)
			p := newProgram(t, fake, d.url)
			p.start()
			ada := newBrowser(t)
			ada.signIn(p.addr, "ada")
			callback, err := fake.Approve(t.Context(), ada.begin(p.addr))
			require.NoError(t, err)
			killAt(t, p, fake, d, at, func() error {
				_, _, _, err := ada.get(callback)
				return err
			})

			p.start()
			started := time.Now()
			ada.finish(callback)
			require.Equal(t, map[string]string{"ada": identityIn(callback)}, d.connections(t))
			require.Eventually(t, func() bool { return owner(fake, identityIn(callback)) == "ada" },
				time.Until(started.Add(retryTime)), 20*time.Millisecond, "%s", p.output)
			require.Eventually(t, func() bool { return d.count(t, "SELECT COUNT(*) FROM connect_tasks") == 0 },
				time.Until(started.Add(retryTime)), 20*time.Millisecond)
			require.Len(t, fake.Identities(), 1)
		})
	}
}

func killedInReconnect(t *testing.T, fresh func(*testing.T) database) {
	for _, at := range []point{
		transaction(1),
		upstream("PUT", "/v1/identities/"),
		upstream("DELETE", "/v1/identities/"),
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			fake, d := startedFake(t), fresh(t)
			p := newProgram(t, fake, d.url)
			p.start()
			ada := newBrowser(t)
			ada.signIn(p.addr, "ada")
			first, err := fake.Approve(t.Context(), ada.begin(p.addr))
			require.NoError(t, err)
			ada.finish(first)
			second, err := fake.Approve(t.Context(), ada.begin(p.addr, "connection", ada.accounts(p.addr)[0].ID))
			require.NoError(t, err)

			if at.name == "before DELETE /v1/identities/" {
				// The request is already answered: Run deletes.
				hold := fake.Hold("DELETE", "")
				ada.finish(second)
				require.NoError(t, hold.Wait(t.Context(), 1))
				p.kill()
				hold.Release()
			} else {
				killAt(t, p, fake, d, at, func() error {
					_, _, _, err := ada.get(second)
					return err
				})
				_, there := fake.Identity(identityIn(first))
				require.True(t, there, "the old identity stays until the new one is stored")
			}

			p.start()
			started := time.Now()
			ada.finish(second)
			require.Equal(t, map[string]string{"ada": identityIn(second)}, d.connections(t))
			require.Eventually(t, func() bool {
				identities := fake.Identities()
				return len(identities) == 1 && identities[0].Metadata["externalUserId"] == "ada"
			}, time.Until(started.Add(retryTime)), 20*time.Millisecond, "%s", p.output)
			require.Equal(t, identityIn(second), fake.Identities()[0].ID)
		})
	}
}

func killedInDisconnect(t *testing.T, fresh func(*testing.T) database) {
	for _, at := range []point{
		transaction(0),
		upstream("DELETE", "/v1/identities/"),
		answered("DELETE", "/v1/identities/"),
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			fake, d := startedFake(t), fresh(t)
			p := newProgram(t, fake, d.url)
			p.start()
			ada := newBrowser(t)
			ada.signIn(p.addr, "ada")
			callback, err := fake.Approve(t.Context(), ada.begin(p.addr))
			require.NoError(t, err)
			ada.finish(callback)
			killAt(t, p, fake, d, at, func() error {
				_, _, _, err := ada.post("http://"+p.addr+"/disconnect", nil)
				return err
			})

			p.start()
			started := time.Now()
			if at.name == "in the transaction" {
				require.Equal(t, map[string]string{"ada": identityIn(callback)}, d.connections(t), "nothing was committed")
				status, _, _, err := ada.post("http://"+p.addr+"/disconnect", nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusSeeOther, status)
			}
			require.Empty(t, d.connections(t))
			require.Eventually(t, func() bool {
				return len(fake.Identities()) == 0 && d.count(t, "SELECT COUNT(*) FROM connect_tasks") == 0
			}, time.Until(started.Add(retryTime)), 20*time.Millisecond, "%s", p.output)
		})
	}
}
