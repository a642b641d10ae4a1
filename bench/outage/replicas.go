package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/sqlstore"
)

const userHeader = "X-User"

// small is what the app calls its second application.
const small = "small"

// replicas share a database behind a load balancer.
type replicas struct {
	address  string
	database string
	server   *http.Server
	stop     context.CancelFunc
	running  sync.WaitGroup
	dbs      []*sql.DB
	drop     func() error // removes the database
}

func startReplicas(ctx context.Context, s settings, a *anchor, smallID string) (r *replicas, err error) {
	databaseURL, drop, err := newDatabase(ctx, s.postgres)
	if err != nil {
		return nil, err
	}
	r = &replicas{drop: drop, database: "PostgreSQL"}
	if s.postgres == "" {
		r.database = "SQLite"
	}
	ctx, r.stop = context.WithCancel(ctx)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, r.end())
	}
	r.address = "http://" + listener.Addr().String()
	var handlers []http.Handler
	for range s.replicas {
		h, err := r.newHandler(ctx, databaseURL, a, smallID)
		if err != nil {
			return nil, errors.Join(err, listener.Close(), r.end())
		}
		handlers = append(handlers, h)
	}
	var next atomic.Uint64
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers[next.Add(1)%uint64(len(handlers))].ServeHTTP(w, r)
	})}
	go func() { _ = r.server.Serve(listener) }() // Ends with end.
	return r, nil
}

// newHandler returns a replica, which shares nothing with the others but the
// database.
func (r *replicas) newHandler(ctx context.Context, databaseURL string, a *anchor, smallID string) (http.Handler, error) {
	driver, dsn, dialect, err := sqlstore.ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	r.dbs = append(r.dbs, db)
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	store := sqlstore.New(db, dialect)
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	h, err := connect.New(connect.Config{
		// A process has one transport, but each replica is a process of its own.
		Anchor:        a.fake.Client(anchorhttp.WithHTTPClient(&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}})),
		ApplicationID: a.fake.ApplicationID(),
		Applications:  map[string]string{small: smallID},
		PublicURL:     r.address,
		Store:         store,
		User:          func(r *http.Request) (connect.User, error) { return connect.User{ID: r.Header.Get(userHeader)}, nil },
		Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	r.running.Go(func() { _ = h.Run(ctx) })
	return h, nil
}

// end stops everything and removes the database.
func (r *replicas) end() error {
	var errs []error
	if r.server != nil {
		errs = append(errs, r.server.Close())
	}
	r.stop()
	r.running.Wait()
	for _, db := range r.dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(append(errs, r.drop())...)
}

// newDatabase returns the URL of an empty database and what removes it: a schema on
// PostgreSQL, a file of SQLite if postgres is empty.
func newDatabase(ctx context.Context, postgres string) (databaseURL string, drop func() error, err error) {
	if postgres == "" {
		dir, err := os.MkdirTemp("", "outage")
		if err != nil {
			return "", nil, err
		}
		return "file:" + filepath.Join(dir, "outage.db"), func() error { return os.RemoveAll(dir) }, nil
	}
	driver, dsn, _, err := sqlstore.ParseURL(postgres)
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(postgres)
	if err != nil {
		return "", nil, err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return "", nil, err
	}
	schema := fmt.Sprintf("outage_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return "", nil, errors.Join(err, db.Close())
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), func() error {
		// An interrupted run cleans up too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, err := db.ExecContext(ctx, "DROP SCHEMA "+schema+" CASCADE")
		return errors.Join(err, db.Close())
	}, nil
}
