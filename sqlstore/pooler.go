package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"
)

// A transport is how a driver of PostgreSQL sends a statement with parameters.
type transport int

const (
	// oneTrip sends text and parameters at once. Unknown drivers count as this.
	oneTrip transport = iota
	// twoTrips sends the text, waits for the answer, and then sends the parameters. A
	// pooler in transaction mode may send the parameters to another session of the server,
	// which runs the text that another client has sent there.
	twoTrips
	// prepared keeps statements by name in the session of the server. A pooler in
	// transaction mode gives that session to other clients.
	prepared
)

// transportOf returns the transport of a driver's connection: by the query mode of
// github.com/jackc/pgx/v5/stdlib, and by binary_parameters of github.com/lib/pq. Like
// codeOf it recognizes them by their shape.
func transportOf(driverConn any) transport {
	v := reflect.ValueOf(driverConn)
	s := reflect.Indirect(v)
	if s.Kind() != reflect.Struct {
		return oneTrip
	}
	switch s.Type().PkgPath() {
	case "github.com/lib/pq":
		binary := s.FieldByName("binaryParameters") // before 1.11
		if config := s.FieldByName("cfg"); config.Kind() == reflect.Struct {
			binary = config.FieldByName("BinaryParameters")
		}
		if binary.Kind() == reflect.Bool && !binary.Bool() {
			return twoTrips
		}
	case "github.com/jackc/pgx/v5/stdlib":
		conn, ok := result(v.MethodByName("Conn"))
		if !ok {
			return oneTrip
		}
		config, ok := result(conn.MethodByName("Config"))
		if config = reflect.Indirect(config); !ok || config.Kind() != reflect.Struct {
			return oneTrip
		}
		mode, ok := result(config.FieldByName("DefaultQueryExecMode").MethodByName("String"))
		switch {
		case ok && mode.String() == "cache statement":
			return prepared
		case ok && mode.String() == "describe exec":
			return twoTrips
		}
	default: // Drivers for tracing or metrics embed another driver's connection.
		if inner := s.FieldByName("Conn"); inner.Kind() == reflect.Interface && inner.CanInterface() {
			return transportOf(inner.Interface())
		}
	}
	return oneTrip
}

// result returns the result of a method that has no parameters and one result. It returns
// false for any other method.
func result(method reflect.Value) (reflect.Value, bool) {
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return reflect.Value{}, false
	}
	return method.Call(nil)[0], true
}

// poolerPatience limits checkPooler.
const poolerPatience = time.Second

var (
	errTwoTrips = errors.New("a pooler such as PgBouncer in transaction mode is in front of the database, and the driver sends a statement in two round trips, so the pooler can run another client's statement with these parameters: " +
		"with pgx add default_query_exec_mode=exec to the connection string, with lib/pq binary_parameters=yes")
	errPrepared = errors.New("a pooler such as PgBouncer in transaction mode is in front of the database, and loses the statements that the driver has prepared: " +
		"with pgx add default_query_exec_mode=exec to the connection string, or set max_prepared_statements of PgBouncer 1.21 or later")
)

// checkPooler returns an error if there is a pooler in front of PostgreSQL, and the driver
// would write wrong rows or fail behind it. It takes two connections and only reads. If it
// has no result within poolerPatience, it returns nil.
func (s *Store) checkPooler(ctx context.Context) error {
	if s.db.Stats().MaxOpenConnections == 1 {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, poolerPatience)
	defer cancel()
	one, err := s.db.Conn(short)
	if err != nil {
		return nil
	}
	defer one.Close()
	how := oneTrip
	if err := one.Raw(func(conn any) error { how = transportOf(conn); return nil }); err != nil || how == oneTrip {
		return nil
	}
	other, err := s.db.Conn(short)
	if err != nil {
		return nil
	}
	defer other.Close()
	switch pooled, kept := probePooler(short, one, other); {
	case pooled && how == twoTrips:
		return errTwoTrips
	case pooled && how == prepared && !kept:
		return errPrepared
	}
	return nil
}

// probePooler reports whether the two connections share sessions of the server. A direct
// connection keeps its session, and no other connection has it. It also reports whether a
// statement that is prepared in one session is known in the others.
func probePooler(ctx context.Context, one, other *sql.Conn) (pooled, kept bool) {
	// No session has prepared these texts yet.
	text := fmt.Sprintf("SELECT pg_backend_pid() + $1::integer /* sqlstore %d */", rand.Uint64())
	texts := []string{text + " ", text + "  "}
	last := make(map[*sql.Conn]int) // the process that served a connection last
	for _, conn := range []*sql.Conn{one, other} {
		var pid int
		if err := conn.QueryRowContext(ctx, text, 0).Scan(&pid); err != nil {
			return isUnprepared(err), false
		}
		last[conn] = pid
	}
	if last[one] == last[other] {
		return true, true
	}
	// Each connection prepares the text that the other has prepared before it. A pooler
	// may give out the session that was returned last or first, so try both orders.
	for _, order := range [][]*sql.Conn{{one, other}, {other, one}} {
		for turn := range 2 {
			moved, err := probeSessions(ctx, order, last, map[*sql.Conn]string{one: texts[turn], other: texts[1-turn]})
			pooled = pooled || moved
			if err != nil {
				return pooled || isUnprepared(err), false
			}
		}
	}
	return pooled, true
}

// probeSessions sends each connection its text, in transactions that are open at the same
// time. It updates last, and reports whether the process of a connection has changed.
func probeSessions(ctx context.Context, conns []*sql.Conn, last map[*sql.Conn]int, texts map[*sql.Conn]string) (moved bool, err error) {
	var open []*sql.Tx
	for _, conn := range conns {
		tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return moved, err
		}
		defer tx.Rollback()
		open = append(open, tx)
		var pid int
		if err := tx.QueryRowContext(ctx, texts[conn], 0).Scan(&pid); err != nil {
			return moved, err
		}
		moved = moved || last[conn] != pid
		last[conn] = pid
	}
	for _, tx := range open {
		if err := tx.Commit(); err != nil {
			return moved, err
		}
	}
	return moved, nil
}
