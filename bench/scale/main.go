// Scale measures a PostgreSQL store as it grows: looking a user up among up to
// five million connections and what each takes on disk, completing flows and
// making the other calls side by side, working off an outbox, and sweeping a
// million expired flows while callbacks run. It prints the tables that
// bench/README.md shows.
//
//	go run ./bench/scale -postgres 'postgres://postgres@127.0.0.1:5432/test?sslmode=disable'
//
// It makes tables of its own, whose names begin with scale_, and drops them. Its
// user must be allowed to order a checkpoint.
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
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

const (
	prefix      = "scale_"
	application = "11111111-1111-4111-8111-111111111111"
	// limit is how many flows of a user may be live.
	limit = 5
)

func main() {
	postgres := flag.String("postgres", "postgres://postgres@127.0.0.1:5432/test?sslmode=disable", "the `URL` of a database")
	largest := flag.Int("connections", 5_000_000, "the most connections to look up among")
	expired := flag.Int("expired", 1_000_000, "the expired flows to sweep")
	owed := flag.Int("tasks", 100_000, "the tasks to work off")
	lookups := flag.Bool("lookups", false, "measure looking users up alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *postgres, *largest, *expired, *owed, *lookups); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, largest, expired, owed int, lookups bool) (err error) {
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
		func() error { return b.outbox(owed) },
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

// with is the bench with tables of another prefix.
func (b bench) with(prefix string) bench {
	b.prefix, b.store = prefix, sqlstore.New(b.db, b.dialect, sqlstore.WithTablePrefix(prefix))
	return b
}

func (b bench) exec(query string, args ...any) error {
	_, err := b.db.ExecContext(b.ctx, query, args...)
	return err
}

// makeTables makes the tables, and drops those that an earlier run has left.
func (b bench) makeTables() error {
	if err := b.drop(); err != nil {
		return err
	}
	return b.store.Migrate(b.ctx)
}

func (b bench) drop() error {
	// Not b.ctx: an interrupted run cleans up too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), time.Minute)
	defer cancel()
	for _, table := range []string{"pending", "connections", "tasks", "disconnects", "schema", "single"} {
		if _, err := b.db.ExecContext(ctx, "DROP TABLE IF EXISTS "+b.prefix+table); err != nil {
			return err
		}
	}
	return nil
}

// sizes returns how many bytes of a table's own and of all its indexes each of
// its rows takes.
func (b bench) sizes(table string, rows int) (ofTable, ofIndexes float64, err error) {
	var tableBytes, indexBytes int64
	err = b.db.QueryRowContext(b.ctx, "SELECT pg_table_size($1::regclass), pg_indexes_size($1::regclass)", b.prefix+table).
		Scan(&tableBytes, &indexBytes)
	return float64(tableBytes) / float64(rows), float64(indexBytes) / float64(rows), err
}

// lookups measures Connections among more and more connections. Each size has
// tables of its own, and they take turns, so that whatever else the machine does
// happens to all of them.
func (b bench) lookups(largest int) (err error) {
	var sizes []int
	for _, size := range []int{10_000, 100_000, 1_000_000, 5_000_000} {
		if size = min(size, largest); !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
	}
	among := make(map[int]bench)
	for _, size := range sizes {
		part := b.with(fmt.Sprintf("%s%d_", prefix, size))
		among[size] = part
		if err := part.makeTables(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, part.drop()) }()
		if err := errors.Join(part.connect(size), part.connectSingle(size)); err != nil {
			return err
		}
	}
	if err := b.exec("CHECKPOINT"); err != nil { // Else it would still be writing down what was just added.
		return err
	}

	const rounds, times = 10, 10_000
	took := make(map[int][]time.Duration)   // the calmest round of each size
	single := make(map[int][]time.Duration) // the same, where a user has one connection
	held := make(map[int]string)            // the memory after the last one
	for range rounds {
		for _, size := range sizes {
			round, err := parallel(1, times+1000, func(int) (time.Duration, error) { return among[size].lookup(size) })
			if err != nil {
				return err
			}
			held[size] = memory()
			round = round[1000:] // What came before warmed up.
			took[size] = calmer(took[size], round)
			round, err = parallel(1, times+1000, func(int) (time.Duration, error) { return among[size].lookupSingle(size) })
			if err != nil {
				return err
			}
			single[size] = calmer(single[size], round[1000:])
		}
	}

	fmt.Printf("\nLooking a user up, %s times, one at a time, the calmest of %d rounds:\n\n", thousands(times), rounds)
	fmt.Println("| connections | p50 | p99 | p50 with schema 2 | ratio | memory of the process | table, bytes a row | indexes, bytes a row | in all |")
	fmt.Println("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, size := range sizes {
		ofTable, ofIndexes, err := among[size].sizes("connections", size)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %s | %s | %s | %.2f | %s | %.0f | %.0f | %s |\n",
			thousands(size), at(took[size], 50), at(took[size], 99), at(single[size], 50),
			float64(percentile(took[size], 50))/float64(percentile(single[size], 50)), held[size], ofTable, ofIndexes, megabytes((ofTable+ofIndexes)*float64(size)))
	}
	last := sizes[len(sizes)-1]
	fmt.Printf("\nThe last p50 is %.2f times the first.\n", float64(percentile(took[last], 50))/float64(percentile(took[sizes[0]], 50)))

	fmt.Printf("\nLooking users up side by side, 100,000 times, among %s:\n\n", thousands(last))
	header()
	for _, workers := range []int{1, 8, 32} {
		err := report(fmt.Sprint(workers), workers, 100_000, func(int) (time.Duration, error) { return among[last].lookup(last) })
		if err != nil {
			return err
		}
	}
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

// calmer returns the round with the smaller median, of which the first may be nil.
func calmer(a, b []time.Duration) []time.Duration {
	if a == nil || percentile(b, 50) < percentile(a, 50) {
		return b
	}
	return a
}

// connectSingle gives n users a connection in a table of schema version 2, in which a
// user has one in an application.
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

// lookupSingle looks one of so many users up in the table of connectSingle, as the
// store did then.
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

// lookup looks one of so many users up.
func (b bench) lookup(among int) (time.Duration, error) {
	user := id("user ", rand.IntN(among))
	begun := time.Now()
	found, err := b.store.Connections(b.ctx, application, user)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s has %d connections", user, len(found))
	}
	return time.Since(begun), err
}

// flow is the store's part of a callback: what is to be completed, the
// completion, and the tag that was made.
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

// begin binds n flows, of as many users.
func (b bench) begin(name string, n int) error {
	now := time.Now()
	return b.exec(`
		INSERT INTO `+b.prefix+`pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT `+sqlTokenHash("$1")+`, $2, `+sqlID("$1")+`, '', $3, $4, FALSE, '' FROM generate_series(0, $5::int) i`,
		name, application, now.UnixMicro(), now.Add(time.Hour).UnixMicro(), n-1)
}

// completes measures Complete with more and more at once.
func (b bench) completes() error {
	fmt.Printf("\nComplete, 16,000 flows of as many users:\n\n")
	header()
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

// otherCalls measures what else a user's way through takes.
func (b bench) otherCalls() error {
	fmt.Printf("\nThe other calls, 16,000 of each, 8 at once:\n\n")
	fmt.Println("| | p50 | p99 | a second | memory of the process |")
	fmt.Println("|---|---:|---:|---:|---:|")
	const n = 16_000
	bind := func(name string, i, user int) (time.Duration, error) {
		now := time.Now()
		err := b.store.Bind(b.ctx, connect.Pending{
			TokenHash:     tokenHash(name, i),
			ApplicationID: application,
			UserID:        id("starting ", user),
			IssuedAt:      now,
			ExpiresAt:     now.Add(15 * time.Minute),
		}, limit)
		return time.Since(now), err
	}
	for _, row := range []struct {
		name string
		do   func(i int) (time.Duration, error)
	}{
		{"Bind, a user's first flow", func(i int) (time.Duration, error) { return bind("first ", i, i) }},
		{"Bind, of 100 users who have all that they may", func(i int) (time.Duration, error) { return bind("more ", i, i%100) }},
		{"SetHealth, a change", func(i int) (time.Duration, error) {
			now := time.Now()
			_, changed, err := b.store.SetHealth(b.ctx, id("identity complete 8 ", i), connect.HealthNeedsSignIn, now)
			if err == nil && !changed {
				err = errors.New("SetHealth has changed nothing")
			}
			return time.Since(now), err
		}},
		{"SetHealth, the same once more", func(i int) (time.Duration, error) {
			now := time.Now()
			_, _, err := b.store.SetHealth(b.ctx, id("identity complete 8 ", i), connect.HealthNeedsSignIn, now.Add(-time.Hour))
			return time.Since(now), err
		}},
		{"SetLabel, another one", func(i int) (time.Duration, error) {
			now := time.Now()
			_, err := b.store.SetLabel(b.ctx, application, id("complete 8 ", i), id("connection complete 8 ", i), "work")
			return time.Since(now), err
		}},
		{"List, a page of 100", func(i int) (time.Duration, error) {
			now := time.Now()
			_, err := b.store.List(b.ctx, connect.ListQuery{ApplicationID: application, After: id("connection complete 8 ", i), Limit: 100})
			return time.Since(now), err
		}},
		{"Disconnect", func(i int) (time.Duration, error) {
			now := time.Now()
			_, err := b.store.Disconnect(b.ctx, connect.Disconnection{ApplicationID: application, UserID: id("complete 8 ", i), At: now, DeleteAfter: now})
			return time.Since(now), err
		}},
	} {
		if err := report(row.name, 8, n, row.do); err != nil {
			return err
		}
	}
	return nil
}

// outbox measures what ten replicas do with tasks: look for some every second,
// and work off what an outage has left.
func (b bench) outbox(owed int) error {
	if err := b.exec("TRUNCATE " + b.prefix + "tasks"); err != nil {
		return err
	}
	err := b.exec(`
		INSERT INTO `+b.prefix+`tasks (identity_id, kind, application_id, user_id, not_before, attempts)
		SELECT `+sqlID("'owed '")+`, 'tag', $1, `+sqlID("'user '")+`, 1700000000000000 + i, 0 FROM generate_series(1, $2::int) i`,
		application, owed)
	if err != nil {
		return err
	}
	if err := b.exec("VACUUM ANALYZE " + b.prefix + "tasks"); err != nil {
		return err
	}
	ofTable, ofIndexes, err := b.sizes("tasks", owed)
	if err != nil {
		return err
	}
	fmt.Printf("\nAn outbox of %s tasks (%.0f bytes each in the table, %.0f in indexes), 10 at once:\n\n", thousands(owed), ofTable, ofIndexes)
	fmt.Println("| | p50 | p99 | a second | memory of the process |")
	fmt.Println("|---|---:|---:|---:|---:|")

	due := time.UnixMicro(1700000000000000 + int64(owed))
	claim := func(applicationID string, until time.Time) ([]connect.Task, time.Duration, error) {
		begun := time.Now()
		tasks, err := b.store.Claim(b.ctx, applicationID, due, until, 10)
		return tasks, time.Since(begun), err
	}
	err = report("Claim, nothing due", 10, 10_000, func(int) (time.Duration, error) {
		_, took, err := claim("another", due)
		return took, err
	})
	if err != nil {
		return err
	}
	err = report("Claim of ten, and Postpone of each: an outage", 10, owed/20, func(int) (time.Duration, error) {
		begun := time.Now()
		tasks, _, err := claim(application, due.Add(time.Hour))
		for _, task := range tasks {
			err = errors.Join(err, b.store.Postpone(b.ctx, task, due.Add(2*time.Hour)))
		}
		return time.Since(begun), err
	})
	if err != nil {
		return err
	}
	due = due.Add(3 * time.Hour)
	return report("Claim of ten, and Done of each: what comes after", 10, owed/10, func(int) (time.Duration, error) {
		begun := time.Now()
		tasks, _, err := claim(application, due.Add(time.Hour))
		for _, task := range tasks {
			err = errors.Join(err, b.store.Done(b.ctx, task))
		}
		return time.Since(begun), err
	})
}

// sweeping measures the store's part of callbacks, alone and beside a sweep.
func (b bench) sweeping(expired int) error {
	if err := b.exec("TRUNCATE " + b.prefix + "pending"); err != nil {
		return err
	}
	err := b.exec(`
		INSERT INTO `+b.prefix+`pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
		SELECT `+sqlTokenHash("'expired '")+`, $1, `+sqlID("'user '")+`, '', 1, 1000 + i, FALSE, '' FROM generate_series(1, $2::int) i`, application, expired)
	if err != nil {
		return err
	}
	if err := b.exec("VACUUM ANALYZE " + b.prefix + "pending"); err != nil {
		return err
	}
	ofTable, ofIndexes, err := b.sizes("pending", expired)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe store's part of callbacks (Pending, Complete, Done), 4 at once, beside a sweep of %s expired flows (%.0f bytes each in the table, %.0f in indexes) in batches of 100:\n\n",
		thousands(expired), ofTable, ofIndexes)
	fmt.Println("| | callbacks | p50 | p99 | memory of the process |")
	fmt.Println("|---|---:|---:|---:|---:|")

	const most = 50_000
	callbacks := func(name string, until <-chan struct{}) error {
		took, err := parallel(4, most, func(i int) (time.Duration, error) {
			select {
			case <-until:
				return 0, errEnough
			default:
			}
			// A person's pace: one after another without a pause would measure
			// the machine's last core.
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

	for _, name := range []string{"idle ", "sweeping "} {
		if err := b.begin(name, most); err != nil {
			return err
		}
	}
	idle := make(chan struct{})
	time.AfterFunc(20*time.Second, func() { close(idle) })
	if err := callbacks("idle ", idle); err != nil {
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
	if err := callbacks("sweeping ", swept); err != nil {
		return err
	}
	if sweepErr != nil {
		return sweepErr
	}
	begun := time.Now()
	if err := b.exec("VACUUM " + b.prefix + "pending"); err != nil {
		return err
	}
	fmt.Printf("\n%s batches, p50 %s, p99 %s each: %s flows a second. VACUUM afterwards: %.1f s.\n",
		thousands(len(batches)), at(batches, 50), at(batches, 99), thousands(int(float64(expired)/sweepTook.Seconds())), time.Since(begun).Seconds())
	return nil
}

// sweep removes what has expired, in batches and with rests as Handler.Run does.
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
