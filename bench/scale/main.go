// Scale measures a PostgreSQL store as it grows: looking users up among up to five
// million connections and their size on disk, concurrent calls of each method, an outbox
// of tasks, and sweeping a million expired flows during callbacks. It prints the tables
// of bench/README.md.
//
//	go run ./bench/scale -postgres 'postgres://postgres@127.0.0.1:5432/test?sslmode=disable'
//
// It creates tables whose names begin with scale_, and drops them. The database user must
// be allowed to run CHECKPOINT.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

const (
	prefix      = "scale_"
	application = "11111111-1111-4111-8111-111111111111"
	// limit is the number of pending flows that a user may have.
	limit = 5
)

func main() {
	postgres := flag.String("postgres", "postgres://postgres@127.0.0.1:5432/test?sslmode=disable", "the `URL` of a database")
	largest := flag.Int("connections", 5_000_000, "the largest number of connections")
	expired := flag.Int("expired", 1_000_000, "the number of expired flows to sweep")
	tasks := flag.Int("tasks", 100_000, "the number of tasks in the outbox")
	lookups := flag.Bool("lookups", false, "measure only looking users up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *postgres, *largest, *expired, *tasks, *lookups); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, largest, expired, tasks int, lookups bool) (err error) {
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

	b := bench{ctx: ctx, db: db, dialect: dialect}.with(prefix)
	if err := b.makeTables(); err != nil {
		return err
	}
	defer func() {
		if dropped := b.drop(); err == nil {
			err = dropped
		}
	}()
	var version string
	if err := db.QueryRowContext(ctx, "SHOW server_version").Scan(&version); err != nil {
		return err
	}
	fmt.Printf("PostgreSQL %s and this program on one machine of %d cores, %s\n", version, runtime.NumCPU(), runtime.Version())

	if err := b.lookups(largest); err != nil || lookups {
		return err
	}
	for _, measure := range []func() error{
		b.completes,
		b.otherCalls,
		func() error { return b.outbox(tasks) },
		func() error { return b.sweeping(expired) },
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

type bench struct {
	ctx     context.Context
	db      *sql.DB
	dialect sqlstore.Dialect
	prefix  string // of the tables
	store   *sqlstore.Store
}

// with returns the bench with another table prefix.
func (b bench) with(prefix string) bench {
	b.prefix, b.store = prefix, sqlstore.New(b.db, b.dialect, sqlstore.WithTablePrefix(prefix))
	return b
}

func (b bench) exec(query string, args ...any) error {
	_, err := b.db.ExecContext(b.ctx, query, args...)
	return err
}

// makeTables creates the tables. It drops those of an earlier run.
func (b bench) makeTables() error {
	if err := b.drop(); err != nil {
		return err
	}
	return b.store.Migrate(b.ctx)
}

func (b bench) drop() error {
	// An interrupted run also cleans up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), time.Minute)
	defer cancel()
	for _, table := range []string{"pending", "connections", "tasks", "disconnects", "schema", "single"} {
		if _, err := b.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+b.prefix+table); err != nil {
			return err
		}
	}
	return nil
}

// sizes returns the bytes per row of a table and of its indexes.
func (b bench) sizes(table string, rows int) (ofTable, ofIndexes float64, err error) {
	var tableBytes, indexBytes int64
	err = b.db.QueryRowContext(b.ctx, "SELECT pg_table_size($1::regclass), pg_indexes_size($1::regclass)", b.prefix+table).
		Scan(&tableBytes, &indexBytes)
	return float64(tableBytes) / float64(rows), float64(indexBytes) / float64(rows), err
}

// lookups measures Connections among more and more connections. Each size has its own
// tables, and they take turns, so that the machine's other work affects all of them.
func (b bench) lookups(largest int) (err error) {
	var sizes []*size
	for _, n := range []int{10_000, 100_000, 1_000_000, 5_000_000} {
		if n = min(n, largest); len(sizes) > 0 && n == sizes[len(sizes)-1].n {
			break
		}
		s := &size{n: n, bench: b.with(fmt.Sprintf("%s%d_", prefix, n))}
		sizes = append(sizes, s)
		if err := s.makeTables(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.drop()) }()
		if err := errors.Join(s.connect(n), s.connectSingle(n)); err != nil {
			return err
		}
	}
	if err := b.exec("CHECKPOINT"); err != nil { // So that none runs during the measurement.
		return err
	}
	const rounds, times = 10, 10_000
	for range rounds {
		for _, s := range sizes {
			if err := s.measure(times); err != nil {
				return err
			}
		}
	}
	fmt.Printf("\nLooking a user up, %s times, one at a time, the best of %d rounds:\n\n", thousands(times), rounds)
	fmt.Println("| connections | p50 | p99 | p50 with schema 2 | ratio | process memory | table, bytes per row | indexes, bytes per row | total |")
	fmt.Println("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, s := range sizes {
		if err := s.print(); err != nil {
			return err
		}
	}
	last := sizes[len(sizes)-1]
	fmt.Printf("\nThe last p50 is %.2f times the first.\n", float64(percentile(last.took, 50))/float64(percentile(sizes[0].took, 50)))

	fmt.Printf("\nConcurrent look-ups, 100,000 among %s:\n\n", thousands(last.n))
	header("at once")
	for _, workers := range []int{1, 8, 32} {
		if err := report(fmt.Sprint(workers), workers, 100_000, func(int) (time.Duration, error) { return last.lookup(last.n) }); err != nil {
			return err
		}
	}
	return nil
}

// A size is a number of connections to look up among, with tables that hold as many.
type size struct {
	bench
	n      int
	took   []time.Duration // the best round
	single []time.Duration // the best round with schema 2
	held   string          // memory after the last round
}

// measure does a round of each kind of look-up, after a warm-up.
func (s *size) measure(times int) error {
	const warmUp = 1000
	round, err := parallel(1, times+warmUp, func(int) (time.Duration, error) { return s.lookup(s.n) })
	if err != nil {
		return err
	}
	s.held = memory()
	s.took = better(s.took, round[warmUp:])
	round, err = parallel(1, times+warmUp, func(int) (time.Duration, error) { return s.lookupSingle(s.n) })
	if err != nil {
		return err
	}
	s.single = better(s.single, round[warmUp:])
	return nil
}

// print prints the row of the size.
func (s *size) print() error {
	ofTable, ofIndexes, err := s.sizes("connections", s.n)
	if err != nil {
		return err
	}
	ratio := float64(percentile(s.took, 50)) / float64(percentile(s.single, 50))
	fmt.Printf("| %s | %s | %s | %s | %.2f | %s | %.0f | %.0f | %s |\n",
		thousands(s.n), at(s.took, 50), at(s.took, 99), at(s.single, 50), ratio,
		s.held, ofTable, ofIndexes, megabytes((ofTable+ofIndexes)*float64(s.n)))
	return nil
}

// connect gives n users a connection.
func (b bench) connect(n int) error {
	err := b.exec(`
		INSERT INTO `+b.prefix+`connections (id, application_id, user_id, identity_id, created_at, connected_at, health, health_at)
		SELECT `+sqlID("'connection '")+`, $1, `+sqlID("'user '")+`, `+sqlID("'identity '")+`, 1700000000000000 + i, 1700000000000000 + i, 'ok', 1700000000000000 + i
		FROM generate_series(0, $2::int) i`,
		application, n-1)
	if err != nil {
		return err
	}
	return b.exec("VACUUM ANALYZE " + b.prefix + "connections")
}

// better returns the round with the smaller median. a may be nil.
func better(a, b []time.Duration) []time.Duration {
	if a == nil || percentile(b, 50) < percentile(a, 50) {
		return b
	}
	return a
}

// connectSingle gives n users a connection in a table of schema 2, in which a user has one
// connection to an application.
func (b bench) connectSingle(n int) error {
	table := b.prefix + "single"
	err := b.exec(`CREATE TABLE ` + table + ` (
		application_id TEXT COLLATE "C" NOT NULL,
		user_id        TEXT COLLATE "C" NOT NULL,
		identity_id    TEXT COLLATE "C" NOT NULL UNIQUE,
		connected_at   BIGINT           NOT NULL,
		health         TEXT COLLATE "C" NOT NULL,
		health_at      BIGINT           NOT NULL,
		PRIMARY KEY (user_id, application_id))`)
	if err != nil {
		return err
	}
	err = b.exec(`
		INSERT INTO `+table+` (application_id, user_id, identity_id, connected_at, health, health_at)
		SELECT $1, `+sqlID("'user '")+`, `+sqlID("'identity '")+`, 1700000000000000 + i, 'ok', 1700000000000000 + i
		FROM generate_series(0, $2::int) i`,
		application, n-1)
	if err != nil {
		return err
	}
	return b.exec("VACUUM ANALYZE " + table)
}

// lookupSingle looks up a random user in the table of connectSingle, with the query of
// schema 2.
func (b bench) lookupSingle(among int) (time.Duration, error) {
	user := id("user ", rand.IntN(among))
	c := connect.Connection{ApplicationID: application, UserID: user}
	var connectedAt, healthAt int64
	begun := time.Now()
	err := b.db.QueryRowContext(b.ctx, "SELECT identity_id, connected_at, health, health_at FROM "+b.prefix+"single WHERE application_id = $1 AND user_id = $2",
		application, user).Scan(&c.IdentityID, &connectedAt, &c.Health, &healthAt)
	c.ConnectedAt, c.HealthAt = time.UnixMicro(connectedAt), time.UnixMicro(healthAt)
	return time.Since(begun), err
}

// lookup looks up a random user of the first among users.
func (b bench) lookup(among int) (time.Duration, error) {
	user := id("user ", rand.IntN(among))
	begun := time.Now()
	found, err := b.store.Connections(b.ctx, application, user)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s has %d connections", user, len(found))
	}
	return time.Since(begun), err
}

// flow makes the store's calls of a callback: Pending, Complete, and Done for the tag.
func (b bench) flow(name string, i int) error {
	p, err := b.store.Pending(b.ctx, tokenHash(name, i))
	if err != nil {
		return err
	}
	now := time.Now()
	c := connection(name, i, now)
	if _, err := b.store.Complete(b.ctx, p.TokenHash, c, connect.Completion{TagAfter: now.Add(6 * time.Second)}); err != nil {
		return err
	}
	return b.store.Done(b.ctx, connect.Task{Kind: connect.TagIdentity, IdentityID: c.IdentityID})
}

// begin inserts n pending flows of n users.
func (b bench) begin(name string, n int) error {
	now := time.Now()
	return b.exec(`
		INSERT INTO `+b.prefix+`pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT `+sqlTokenHash("$1")+`, $2, `+sqlID("$1")+`, '', $3, $4, FALSE, '' FROM generate_series(0, $5::int) i`,
		name, application, now.UnixMicro(), now.Add(time.Hour).UnixMicro(), n-1)
}

// completes measures Complete with increasing concurrency.
func (b bench) completes() error {
	fmt.Printf("\nComplete, 16,000 flows of as many users:\n\n")
	header("at once")
	for _, workers := range []int{1, 8, 64} {
		const flows = 16_000
		name := fmt.Sprintf("complete %d ", workers)
		if err := b.begin(name, flows); err != nil {
			return err
		}
		err := report(fmt.Sprint(workers), workers, flows, func(i int) (time.Duration, error) {
			now := time.Now()
			_, err := b.store.Complete(b.ctx, tokenHash(name, i), connection(name, i, now), connect.Completion{TagAfter: now.Add(6 * time.Second)})
			return time.Since(now), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// otherCalls measures the other calls of a flow and a connection.
func (b bench) otherCalls() error {
	fmt.Printf("\nThe other calls, 16,000 of each, 8 at once:\n\n")
	header("")
	for _, row := range []struct {
		name string
		do   func(i int) error
	}{
		{"Bind, a user's first flow", func(i int) error { return b.bind("first ", i, i) }},
		{"Bind, 100 users at the limit", func(i int) error { return b.bind("more ", i, i%100) }},
		{"SetHealth, a change", func(i int) error {
			_, changed, err := b.store.SetHealth(b.ctx, id("identity complete 8 ", i), connect.HealthNeedsSignIn, time.Now())
			if err == nil && !changed {
				err = errors.New("SetHealth has changed nothing")
			}
			return err
		}},
		{"SetHealth, unchanged", func(i int) error {
			_, _, err := b.store.SetHealth(b.ctx, id("identity complete 8 ", i), connect.HealthNeedsSignIn, time.Now().Add(-time.Hour))
			return err
		}},
		{"SetLabel", func(i int) error {
			_, err := b.store.SetLabel(b.ctx, application, id("complete 8 ", i), id("connection complete 8 ", i), "work")
			return err
		}},
		{"List, a page of 100", func(i int) error {
			_, err := b.store.List(b.ctx, connect.ListQuery{ApplicationID: application, After: id("connection complete 8 ", i), Limit: 100})
			return err
		}},
		{"Disconnect", func(i int) error {
			now := time.Now()
			_, err := b.store.Disconnect(b.ctx, connect.Disconnection{ApplicationID: application, UserID: id("complete 8 ", i), At: now, DeleteAfter: now})
			return err
		}},
	} {
		if err := report(row.name, 8, 16_000, timed(row.do)); err != nil {
			return err
		}
	}
	return nil
}

// bind starts a flow of a user.
func (b bench) bind(name string, i, user int) error {
	now := time.Now()
	return b.store.Bind(b.ctx, connect.Pending{
		TokenHash:     tokenHash(name, i),
		ApplicationID: application,
		UserID:        id("starting ", user),
		IssuedAt:      now,
		ExpiresAt:     now.Add(15 * time.Minute),
	}, limit)
}

// outbox measures what ten replicas do with tasks: look for due ones, postpone them
// during an outage, and complete them afterwards.
func (b bench) outbox(tasks int) error {
	ofTable, ofIndexes, err := b.refill("tasks", tasks, `(identity_id, kind, application_id, user_id, not_before, attempts)
		SELECT `+sqlID("'owed '")+`, 'tag', $1, `+sqlID("'user '")+`, 1700000000000000 + i, 0 FROM generate_series(1, $2::int) i`)
	if err != nil {
		return err
	}
	fmt.Printf("\nAn outbox of %s tasks (%.0f bytes each in the table, %.0f in indexes), 10 at once:\n\n", thousands(tasks), ofTable, ofIndexes)
	header("")

	due := time.UnixMicro(1700000000000000 + int64(tasks))
	later := due.Add(3 * time.Hour) // After the tasks were postponed.
	claim := func(now time.Time, then func(connect.Task) error) func(int) error {
		return func(int) error {
			claimed, err := b.store.Claim(b.ctx, application, now, now.Add(time.Hour), 10)
			for _, task := range claimed {
				err = errors.Join(err, then(task))
			}
			return err
		}
	}
	for _, row := range []struct {
		name  string
		times int
		do    func(int) error
	}{
		{"Claim, nothing due", 10_000, func(int) error {
			_, err := b.store.Claim(b.ctx, "another", due, due, 10)
			return err
		}},
		{"Claim of ten, Postpone of each (during an outage)", tasks / 20, claim(due, func(task connect.Task) error {
			return b.store.Postpone(b.ctx, task, due.Add(2*time.Hour))
		})},
		{"Claim of ten, Done of each (after it)", tasks / 10, claim(later, func(task connect.Task) error {
			return b.store.Done(b.ctx, task)
		})},
	} {
		if err := report(row.name, 10, row.times, timed(row.do)); err != nil {
			return err
		}
	}
	return nil
}

// refill replaces the rows of a table with n rows, inserted by the end of an INSERT
// statement with the application and n as parameters. It returns the bytes per row.
func (b bench) refill(table string, n int, insert string) (ofTable, ofIndexes float64, err error) {
	if err := b.exec("TRUNCATE " + b.prefix + table); err != nil {
		return 0, 0, err
	}
	if err := b.exec("INSERT INTO "+b.prefix+table+" "+insert, application, n); err != nil {
		return 0, 0, err
	}
	if err := b.exec("VACUUM ANALYZE " + b.prefix + table); err != nil {
		return 0, 0, err
	}
	return b.sizes(table, n)
}

// sweeping measures the store's part of callbacks, alone and during a sweep.
func (b bench) sweeping(expired int) error {
	ofTable, ofIndexes, err := b.refill("pending", expired, `(token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT `+sqlTokenHash("'expired '")+`, $1, `+sqlID("'user '")+`, '', 1, 1000 + i, FALSE, '' FROM generate_series(1, $2::int) i`)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe store's part of callbacks (Pending, Complete, Done), 4 at once, during a sweep of %s expired flows (%.0f bytes each in the table, %.0f in indexes) in batches of 100:\n\n",
		thousands(expired), ofTable, ofIndexes)
	fmt.Println("| | callbacks | p50 | p99 | process memory |")
	fmt.Println("|---|---:|---:|---:|---:|")
	for _, name := range []string{"idle ", "sweeping "} {
		if err := b.begin(name, mostCallbacks); err != nil {
			return err
		}
	}
	idle := make(chan struct{})
	time.AfterFunc(20*time.Second, func() { close(idle) })
	if err := b.callbacks("idle ", idle); err != nil {
		return err
	}

	swept := make(chan struct{})
	var batches []time.Duration
	var sweepTook time.Duration
	var sweepErr error
	go func() {
		defer close(swept)
		begun := time.Now()
		batches, sweepErr = b.sweep(expired)
		sweepTook = time.Since(begun)
	}()
	if err := b.callbacks("sweeping ", swept); err != nil {
		return err
	}
	if sweepErr != nil {
		return sweepErr
	}
	begun := time.Now()
	if err := b.exec("VACUUM " + b.prefix + "pending"); err != nil {
		return err
	}
	fmt.Printf("\n%s batches, p50 %s, p99 %s each: %s flows per second. VACUUM afterwards: %.1f s.\n",
		thousands(len(batches)), at(batches, 50), at(batches, 99), thousands(int(float64(expired)/sweepTook.Seconds())), time.Since(begun).Seconds())
	return nil
}

// mostCallbacks is the number of pending flows that callbacks may complete.
const mostCallbacks = 50_000

// callbacks completes flows until a channel is closed, and prints a row.
func (b bench) callbacks(name string, until <-chan struct{}) error {
	took, err := parallel(4, mostCallbacks, func(i int) (time.Duration, error) {
		select {
		case <-until:
			return 0, errEnough
		default:
		}
		// Without a pause, the callbacks would compete for the last processor.
		time.Sleep(10 * time.Millisecond)
		begun := time.Now()
		err := b.flow(name, i)
		return time.Since(begun), err
	})
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %s | %s | %s | %s |\n", strings.TrimSpace(name), thousands(len(took)), at(took, 50), at(took, 99), memory())
	return nil
}

// sweep removes expired flows in batches, with pauses as Handler.Run does.
func (b bench) sweep(expired int) ([]time.Duration, error) {
	var took []time.Duration
	for left := expired; left > 0; {
		begun := time.Now()
		n, err := b.store.Sweep(b.ctx, time.UnixMicro(1_000_000_000), 100)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
		time.Sleep(time.Since(begun))
		if n == 0 {
			return nil, fmt.Errorf("%d expired flows were not swept", left)
		}
		left -= n
	}
	return took, nil
}
