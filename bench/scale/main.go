// Scale measures a PostgreSQL store as it grows: looking a user up among up to
// five million connections, completing flows side by side, and sweeping a
// million expired starts while callbacks run. It prints the tables that
// bench/README.md shows.
//
//	go run ./bench/scale -postgres 'postgres://postgres@127.0.0.1:5432/test?sslmode=disable'
//
// It makes tables of its own, whose names begin with scale_, and drops them.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

const (
	prefix      = "scale_"
	application = "11111111-1111-4111-8111-111111111111"
)

func main() {
	postgres := flag.String("postgres", "postgres://postgres@127.0.0.1:5432/test?sslmode=disable", "the `URL` of a database")
	largest := flag.Int("connections", 5_000_000, "the most connections to look up among")
	expired := flag.Int("expired", 1_000_000, "the expired starts to sweep")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *postgres, *largest, *expired); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, largest, expired int) (err error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(address)
	if err != nil {
		return err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)

	b := bench{ctx: ctx, db: db, store: sqlstore.New(db, dialect, sqlstore.WithTablePrefix(prefix))}
	if err := b.drop(); err != nil {
		return err
	}
	defer func() {
		if dropped := b.drop(); err == nil {
			err = dropped
		}
	}()
	if err := b.store.Migrate(ctx); err != nil {
		return err
	}
	var version string
	if err := db.QueryRowContext(ctx, "SHOW server_version").Scan(&version); err != nil {
		return err
	}
	fmt.Printf("PostgreSQL %s and this program on one machine of %d cores, %s\n", version, runtime.NumCPU(), runtime.Version())

	for _, measure := range []func() error{
		func() error { return b.lookups(largest) },
		b.completes,
		func() error { return b.sweeping(expired) },
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

type bench struct {
	ctx   context.Context
	db    *sql.DB
	store *sqlstore.Store
}

func (b bench) exec(query string, args ...any) error {
	_, err := b.db.ExecContext(b.ctx, query, args...)
	return err
}

func (b bench) drop() error {
	// Not b.ctx: an interrupted run cleans up too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), time.Minute)
	defer cancel()
	for _, table := range []string{"pending", "connections", "tasks", "schema"} {
		if _, err := b.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+prefix+table); err != nil {
			return err
		}
	}
	return nil
}

// lookups measures Connection among more and more connections.
func (b bench) lookups(largest int) error {
	fmt.Printf("\nLooking a user up, 20,000 times, one at a time:\n\n")
	fmt.Println("| connections | p50 | p99 | memory of the process |")
	fmt.Println("|---:|---:|---:|---:|")
	have := 0
	for _, size := range []int{10_000, 100_000, 1_000_000, 5_000_000} {
		if size = min(size, largest); size == have {
			break
		}
		err := b.exec(`
			INSERT INTO `+prefix+`connections (application_id, user_id, identity_id, connected_at)
			SELECT $1, 'user ' || i, gen_random_uuid()::text, 1700000000000000 + i FROM generate_series($2::int, $3::int) i`,
			application, have, size-1)
		if err != nil {
			return err
		}
		have = size
		if err := b.exec("VACUUM ANALYZE " + prefix + "connections"); err != nil {
			return err
		}
		var took []time.Duration
		for i := range 22_000 {
			user := "user " + strconv.Itoa(rand.IntN(size))
			begun := time.Now()
			if _, err := b.store.Connection(b.ctx, application, user); err != nil {
				return err
			}
			if i >= 2_000 { // What came before warmed up.
				took = append(took, time.Since(begun))
			}
		}
		fmt.Printf("| %s | %s | %s | %s |\n", thousands(size), at(took, 50), at(took, 99), memory())
	}
	return nil
}

// flow is the store's part of a callback: what is to be completed, the
// completion, and the tag that was made.
func (b bench) flow(hash, user, identity string) error {
	p, err := b.store.Pending(b.ctx, hash)
	if err != nil {
		return err
	}
	now := time.Now()
	c := connect.Connection{ApplicationID: p.ApplicationID, UserID: user, IdentityID: identity, ConnectedAt: now}
	if _, err := b.store.Complete(b.ctx, hash, c, now.Add(6*time.Second)); err != nil {
		return err
	}
	return b.store.Done(b.ctx, connect.Task{Kind: connect.TagIdentity, IdentityID: identity})
}

// begin binds n starts and returns their token hashes.
func (b bench) begin(name string, n int) error {
	now := time.Now()
	return b.exec(`
		INSERT INTO `+prefix+`pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT $1 || i, $2, $1 || i, '', $3, $4, FALSE, '' FROM generate_series(0, $5::int) i`,
		name, application, now.UnixMicro(), now.Add(time.Hour).UnixMicro(), n-1)
}

// completes measures Complete with more and more at once.
func (b bench) completes() error {
	fmt.Printf("\nComplete, 16,000 flows of as many users:\n\n")
	fmt.Println("| at once | p50 | p99 | a second | memory of the process |")
	fmt.Println("|---:|---:|---:|---:|---:|")
	for _, workers := range []int{1, 8, 64} {
		const flows = 16_000
		name := fmt.Sprintf("complete %d ", workers)
		if err := b.begin(name, flows); err != nil {
			return err
		}
		begun := time.Now()
		took, err := parallel(workers, flows, func(i int) (time.Duration, error) {
			id := name + strconv.Itoa(i)
			now := time.Now()
			c := connect.Connection{ApplicationID: application, UserID: id, IdentityID: "identity of " + id, ConnectedAt: now}
			_, err := b.store.Complete(b.ctx, id, c, now.Add(6*time.Second))
			return time.Since(now), err
		})
		if err != nil {
			return err
		}
		fmt.Printf("| %d | %s | %s | %.0f | %s |\n", workers, at(took, 50), at(took, 99), flows/time.Since(begun).Seconds(), memory())
	}
	return nil
}

// sweeping measures the store's part of callbacks, alone and beside a sweep.
func (b bench) sweeping(expired int) error {
	err := b.exec(`
		INSERT INTO `+prefix+`pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT 'expired ' || i, $1, 'user ' || i, '', 1, 1000 + i, FALSE, '' FROM generate_series(1, $2::int) i`, application, expired)
	if err != nil {
		return err
	}
	if err := b.exec("VACUUM ANALYZE " + prefix + "pending"); err != nil {
		return err
	}
	fmt.Printf("\nThe store's part of callbacks (Pending, Complete, Done), 4 at once, beside a sweep of %s expired starts in batches of 1,000:\n\n", thousands(expired))
	fmt.Println("| | callbacks | p50 | p99 | memory of the process |")
	fmt.Println("|---|---:|---:|---:|---:|")

	callbacks := func(name string, until <-chan struct{}) error {
		const most = 200_000
		if err := b.begin(name, most); err != nil {
			return err
		}
		took, err := parallel(4, most, func(i int) (time.Duration, error) {
			select {
			case <-until:
				return 0, errEnough
			default:
			}
			// A person's pace: one after another without a pause would measure
			// the machine's last core.
			time.Sleep(10 * time.Millisecond)
			id := name + strconv.Itoa(i)
			begun := time.Now()
			err := b.flow(id, id, "identity of "+id)
			return time.Since(begun), err
		})
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", strings.TrimSpace(name), thousands(len(took)), at(took, 50), at(took, 99), memory())
		return nil
	}

	idle := make(chan struct{})
	time.AfterFunc(20*time.Second, func() { close(idle) })
	if err := callbacks("idle ", idle); err != nil {
		return err
	}

	swept := make(chan struct{})
	var batches []time.Duration
	var sweepErr error
	go func() {
		defer close(swept)
		batches, sweepErr = b.sweep(expired)
	}()
	if err := callbacks("sweeping ", swept); err != nil {
		return err
	}
	if sweepErr != nil {
		return sweepErr
	}
	fmt.Printf("\n%d batches, p50 %s, p99 %s each.\n", len(batches), at(batches, 50), at(batches, 99))
	return nil
}

// sweep removes what has expired, as Handler.Run does.
func (b bench) sweep(expired int) ([]time.Duration, error) {
	var took []time.Duration
	for left := expired; left > 0; {
		begun := time.Now()
		n, err := b.store.Sweep(b.ctx, time.UnixMicro(1_000_000_000), 1000)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
		if n == 0 {
			return nil, fmt.Errorf("%d expired starts were not swept", left)
		}
		left -= n
	}
	return took, nil
}

var errEnough = fmt.Errorf("enough")

// parallel does n things with so many workers, and returns how long each took.
// errEnough ends a worker without being an error.
func parallel(workers, n int, do func(i int) (time.Duration, error)) ([]time.Duration, error) {
	var (
		mu    sync.Mutex
		took  []time.Duration
		first error
		next  = make(chan int)
		done  = make(chan struct{})
		group sync.WaitGroup
	)
	for range workers {
		group.Go(func() {
			for i := range next {
				d, err := do(i)
				mu.Lock()
				if err != nil {
					if err != errEnough && first == nil {
						first = err
					}
					select {
					case <-done:
					default:
						close(done)
					}
					mu.Unlock()
					return
				}
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-done:
			break feed
		}
	}
	close(next)
	group.Wait()
	return took, first
}

// at returns a percentile, in milliseconds.
func at(took []time.Duration, percent int) string {
	if len(took) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(took))
	d := sorted[min(len(sorted)*percent/100, len(sorted)-1)]
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

// memory is what the process holds of the machine's memory.
func memory() string {
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				return "unknown"
			}
			return fmt.Sprintf("%d MiB", kb/1024)
		}
	}
	return "unknown"
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
