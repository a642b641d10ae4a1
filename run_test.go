package connect

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// A tag that was claimed just before the connection was renewed or ended is not written.
func TestTagOfAnIdentityThatIsNotConnectedIsNotWritten(t *testing.T) {
	t.Parallel()
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	cfg := goodConfig()
	cfg.Anchor, cfg.ApplicationID = fake.Client(), fake.ApplicationID()
	h, err := New(cfg)
	require.NoError(t, err)
	ctx := context.Background()
	identity := fake.PutIdentity(anchortest.Identity{})
	app := cfg.ApplicationID
	task := Task{Kind: TagIdentity, ApplicationID: app, UserID: "ada", IdentityID: identity.ID}

	require.NoError(t, h.tag(ctx, task), "ended")
	require.NoError(t, cfg.Store.Bind(ctx, Pending{TokenHash: "x", ApplicationID: app, UserID: "ada", IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}, 5))
	_, err = cfg.Store.Complete(ctx, "x", Connection{ID: "a", ApplicationID: app, UserID: "ada", IdentityID: identityA, ConnectedAt: noon, Health: HealthOK}, Completion{TagAfter: noon})
	require.NoError(t, err)
	require.NoError(t, h.tag(ctx, task), "replaced")
	require.Empty(t, fake.Calls())
}

func TestSweepRestsAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowSweep{Store: NewMemoryStore()}
		cfg := goodConfig()
		cfg.Store = store
		h, err := New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()

		began := time.Now()
		h.sweep(ctx)
		require.Equal(t, 9500*time.Millisecond, time.Since(began), "there is more, and it ends with ctx")
		require.Equal(t, 5, store.sweeps, "a second each, and a second of rest")
	})
}

// slowSweep takes a second for each batch, and always has more.
type slowSweep struct {
	Store
	sweeps int
}

func (s *slowSweep) Sweep(_ context.Context, _ time.Time, limit int) (int, error) {
	s.sweeps++
	time.Sleep(time.Second)
	return limit, nil
}

// Run asks the store less often while there are no tasks, and every second once there
// are some.
func TestRunRestsWhileNothingIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &claims{Store: NewMemoryStore()}
		cfg := goodConfig()
		cfg.Store = store
		h, err := New(cfg)
		require.NoError(t, err)
		ctx, end := context.WithTimeout(t.Context(), 40500*time.Millisecond)
		defer end()
		began := time.Now()
		store.due = began.Add(20 * time.Second)
		require.Error(t, h.Run(ctx))
		var after []float64
		for _, at := range store.at {
			after = append(after, at.Sub(began).Seconds())
		}
		require.Equal(t, []float64{0, 3, 6, 9, 12, 15, 18, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 34, 37, 40}, after)
	})
}

// claims records when it is asked for tasks. When one is due it returns it, of a kind that
// the handler ignores.
type claims struct {
	Store
	due time.Time
	at  []time.Time
}

func (s *claims) Claim(_ context.Context, _ string, now, _ time.Time, _ int) ([]Task, error) {
	s.at = append(s.at, now)
	if now.Before(s.due) {
		return nil, nil
	}
	s.due = now.Add(time.Hour)
	return []Task{{Kind: "of a newer release", IdentityID: "1"}}, nil
}

func TestSettleLogsATaskThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := goodConfig()
	cfg.Store = &outcomeStore{Store: NewMemoryStore(), err: errors.New("the disk is full")}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	h, err := New(cfg)
	require.NoError(t, err)
	h.settle(t.Context(), Task{Kind: TagIdentity, IdentityID: identityA}, nil)
	require.Regexp(t, `level=ERROR msg="connect: cannot remove a task that was done" kind=tag identity=`+identityA+` error="the disk is full"`, log.String())
}

// outcomeStore records the outcome of a task, and how much time is left to store it.
type outcomeStore struct {
	Store
	done, postponed bool
	timeLeft        time.Duration
	err             error
}

func (s *outcomeStore) Done(ctx context.Context, _ Task) error {
	s.done = true
	return s.note(ctx)
}

func (s *outcomeStore) Postpone(ctx context.Context, _ Task, _ time.Time) error {
	s.postponed = true
	return s.note(ctx)
}

func (s *outcomeStore) note(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.timeLeft = time.Until(deadline)
	return cmp.Or(ctx.Err(), s.err)
}

// A call that works is not held up by calls that hang.
func TestRunIsNotHeldUpByCallsThatHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hanging = 60
		good := "22222222-2222-4222-8222-999999999999"
		var goodAt time.Time
		most, now := 0, 0
		var mu sync.Mutex
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, good) {
				goodAt = time.Now()
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
			}
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-r.Context().Done()
			mu.Lock()
			now--
			mu.Unlock()
			return nil, r.Context().Err()
		})
		cfg := goodConfig()
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.Anchor = anchorhttp.New("test-key", anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
		h, err := New(cfg)
		require.NoError(t, err)
		queueDeletion := func(userID, identityID string) {
			connected(t, cfg.Store, userID, identityID)
			_, err := cfg.Store.Disconnect(t.Context(), Disconnection{ApplicationID: testApp, UserID: userID, At: time.Now(), DeleteAfter: time.Now()})
			require.NoError(t, err)
		}
		for n := range hanging {
			queueDeletion(fmt.Sprint("user", n), fmt.Sprintf("22222222-2222-4222-8222-%012d", n))
		}
		time.Sleep(time.Millisecond)
		queueDeletion("ada", good)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		require.ErrorIs(t, h.Run(ctx), context.DeadlineExceeded)
		require.Less(t, goodAt.Sub(begun), 10*time.Second)
		require.Greater(t, most, maxCalls)
		require.LessOrEqual(t, most, maxCalls+maxSlowCalls)
	})
}

func TestRunSweepsInSmallBatches(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, sweepBatch, 100, "a batch delays no other query for long")
	require.Equal(t, time.Hour, sweepAfter)
}

// After an outage, Run retries tasks at the rate that Anchor allows, fairly between
// applications, and leaves room for the calls of requests.
func TestRunKeepsToThePaceThatAnchorAllows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, large, small = 5, 100, 10
		var mu sync.Mutex
		window, used, refused := time.Time{}, 0, 0
		left := map[string]int{} // refused or not: by application
		doneAt := map[string]time.Time{}
		allow := func() bool { // under mu
			if now := time.Now().Truncate(time.Second); now.After(window) {
				window, used = now, 0
			}
			used++
			return used <= perSecond
		}
		owner := map[string]string{}
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if !allow() {
				refused++
				return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
			}
			application := owner[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
			if left[application]--; left[application] == 0 {
				doneAt[application] = time.Now()
			}
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})
		cfg := goodConfig()
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.Applications = map[string]string{"small": identityA}
		cfg.Anchor = anchorhttp.New("test-key", anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
		h, err := New(cfg)
		require.NoError(t, err)
		queueDeletion := func(application, userID, identityID string) {
			owner[identityID] = application
			left[application]++
			at := time.Now()
			p := Pending{TokenHash: identityID, ApplicationID: application, UserID: userID, IssuedAt: at, ExpiresAt: at.Add(time.Minute)}
			require.NoError(t, cfg.Store.Bind(t.Context(), p, 5))
			_, err := cfg.Store.Complete(t.Context(), identityID, Connection{ID: "connection of " + identityID, ApplicationID: application, UserID: userID, IdentityID: identityID, ConnectedAt: at, Health: HealthOK}, Completion{TagAfter: at})
			require.NoError(t, err)
			_, err = cfg.Store.Disconnect(t.Context(), Disconnection{ApplicationID: application, UserID: userID, At: at, DeleteAfter: at})
			require.NoError(t, err)
		}
		for n := range large {
			queueDeletion(testApp, fmt.Sprint("user", n), fmt.Sprintf("22222222-2222-4222-8222-%012d", n))
		}
		for n := range small {
			queueDeletion(identityA, fmt.Sprint("user", n), fmt.Sprintf("33333333-3333-4333-8333-%012d", n))
		}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		require.ErrorIs(t, h.Run(ctx), context.DeadlineExceeded)
		require.Zero(t, left[testApp]+left[identityA], "every task is done")
		require.Less(t, doneAt[identityA].Sub(begun), 20*time.Second, "the small application does not wait for the large one")
		require.Less(t, doneAt[testApp].Sub(begun), 90*time.Second, "22 seconds would be as fast as Anchor allows")
		require.Less(t, refused, large+small, "few calls are wasted")
		t.Log(doneAt[identityA].Sub(begun), doneAt[testApp].Sub(begun), refused)
	})
}

func TestTaskDelayStaysShort(t *testing.T) {
	t.Parallel()
	failure := errors.New("x")
	require.Equal(t, "1s", taskDelay(0, failure).String())
	require.Equal(t, "2s", taskDelay(1, failure).String())
	require.Equal(t, "3s", taskDelay(2, failure).String())
	require.Equal(t, "30s", taskDelay(0, &anchorhttp.Error{StatusCode: 429, RetryAfter: 30 * time.Second}).String(), "as long as Anchor asks")
	require.Equal(t, "1m0s", taskDelay(0, &anchorhttp.Error{StatusCode: 429, RetryAfter: time.Hour}).String(), "within bounds")
	require.Equal(t, "1s", taskDelay(0, &anchorhttp.Error{StatusCode: 503, RetryAfter: time.Hour}).String(), "an outage ends when it ends")
	for attempts := range patientAttempts + 1 {
		require.LessOrEqual(t, taskDelay(attempts, failure), maxTaskDelay)
	}
	require.Equal(t, "6s", taskDelay(6, failure).String(), "a task that keeps failing is retried more rarely")
	refused := &anchorhttp.Error{StatusCode: http.StatusForbidden}
	require.Equal(t, "32s", taskDelay(5, refused).String(), "a refused task is retried more rarely still")
	for _, attempts := range []int{-1, 3, 10, 63, 64, math.MaxInt} {
		require.LessOrEqual(t, taskDelay(attempts, failure), time.Minute)
		require.LessOrEqual(t, taskDelay(attempts, refused), time.Hour)
		require.Positive(t, taskDelay(attempts, failure))
	}
	require.Equal(t, "1h0m0s", taskDelay(12, refused).String())
	require.Less(t, taskLease+taskInterval, 10*time.Second, "the promise after a restart")
	require.LessOrEqual(t, taskTimeout+maxTaskDelay+taskInterval, 10*time.Second, "and after an outage in which calls hang")
}
