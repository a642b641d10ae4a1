package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/anchorconnect/connect"
)

// stored is a connection and its slot, which distinguishes a user's connections in the
// primary key.
type stored struct {
	connect.Connection
	slot int
}

// scanConnection reads the columns of selectConnection.
func scanConnection(row interface{ Scan(dest ...any) error }) (c stored, err error) {
	var createdAt, connectedAt, healthAt int64
	err = row.Scan(&c.ID, &c.ApplicationID, &c.UserID, &c.ActorID, &c.IdentityID, &c.Label,
		&createdAt, &connectedAt, &c.Health, &healthAt, &c.slot)
	c.CreatedAt, c.ConnectedAt, c.HealthAt = fromMicros(createdAt), fromMicros(connectedAt), fromMicros(healthAt)
	return c, err
}

// queryConnections returns connections in the order of the database.
func queryConnections(ctx context.Context, r runner, query string, args ...any) ([]stored, error) {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []stored
	for rows.Next() {
		c, err := scanConnection(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// older compares connections in the order of [connect.Store].
func older(a, b stored) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}

// withoutSlots returns nil for none.
func withoutSlots(all []stored) []connect.Connection {
	if len(all) == 0 {
		return nil
	}
	connections := make([]connect.Connection, len(all))
	for i, c := range all {
		connections[i] = c.Connection
	}
	return connections
}

// Connections implements [connect.Store].
func (s *Store) Connections(ctx context.Context, applicationID, userID string) ([]connect.Connection, error) {
	const doing = "look up connections"
	if err := validUser(applicationID, userID); err != nil {
		return nil, failed(ctx, doing, err)
	}
	var all []stored
	err := s.read(ctx, doing, func(conn *sql.Conn) (err error) {
		all, err = queryConnections(ctx, conn, s.sql.connections, applicationID, userID)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, older)
	return withoutSlots(all), nil
}

// List implements [connect.Lister]. It reads an index of application and ID. With q.Health it
// also reads the connections in between, of another health.
func (s *Store) List(ctx context.Context, q connect.ListQuery) ([]connect.Connection, error) {
	const doing = "list connections"
	err := cmp.Or(validKey("application id", q.ApplicationID), validKey("id to list after", q.After))
	query, args := s.sql.list, []any{q.ApplicationID, q.After}
	if q.Health != "" {
		err = cmp.Or(err, q.Health.Validate())
		query, args = s.sql.listHealth, append(args, string(q.Health))
	}
	if err != nil {
		return nil, failed(ctx, doing, err)
	}
	if q.Limit < 1 {
		return nil, nil
	}
	var all []stored
	err = s.read(ctx, doing, func(conn *sql.Conn) (err error) {
		all, err = queryConnections(ctx, conn, query, append(args, q.Limit)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return withoutSlots(all), nil
}

// WithIdentities implements [connect.Lister], in one statement for each 500 identities.
func (s *Store) WithIdentities(ctx context.Context, identityIDs []string) ([]connect.Connection, error) {
	const doing = "look up connections by identity"
	var ids []any
	for _, id := range identityIDs {
		if validNewKey("identity id", id) == nil { // No connection has an invalid one.
			ids = append(ids, id)
		}
	}
	var all []stored
	err := s.read(ctx, doing, func(conn *sql.Conn) error {
		all = nil
		for batch := range slices.Chunk(ids, listBatch) {
			query := s.sql.withIdentities + list(len(batch))
			if s.dialect == PostgreSQL {
				query = numbered(query)
			}
			found, err := queryConnections(ctx, conn, query, batch...)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withoutSlots(all), nil
}

// SetHealth implements [connect.Store]. It reads the connection and, if the news counts,
// changes it, in a transaction if there is a hook. If the connection has changed in between,
// it begins again.
func (s *Store) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (c connect.Connection, changed bool, err error) {
	const doing = "set the health of a connection"
	if err := cmp.Or(validNewKey("identity id", identityID), health.Validate()); err != nil {
		return connect.Connection{}, false, failed(ctx, doing, err)
	}
	err = s.doOver(ctx, doing, func() error {
		var seen stored
		err := s.onConn(ctx, func(conn *sql.Conn) (err error) {
			seen, err = scanConnection(conn.QueryRowContext(ctx, s.sql.connectionWith, identityID))
			return err
		})
		if errors.Is(err, sql.ErrNoRows) {
			return connect.ErrNotConnected
		}
		if err != nil {
			return err
		}
		c = afterNews(seen.Connection, health, at)
		changed = c.Health != seen.Health
		return s.change(ctx, seen.Connection, c)
	})
	if err != nil {
		return connect.Connection{}, false, err
	}
	return c, changed, nil
}

// afterNews returns c after news about its health, or c itself if the news does not count.
func afterNews(c connect.Connection, health connect.Health, at time.Time) connect.Connection {
	at = fromMicros(micros(at)) // as stored
	worse := health == connect.HealthNeedsSignIn && c.Health == connect.HealthOK
	if at.After(c.HealthAt) || at.Equal(c.HealthAt) && worse {
		c.Health, c.HealthAt = health, at
	}
	return c
}

// SetLabel implements [connect.Store]. It works like SetHealth.
func (s *Store) SetLabel(ctx context.Context, applicationID, userID, connectionID, label string) (c connect.Connection, err error) {
	const doing = "set the label of a connection"
	if err := cmp.Or(validUser(applicationID, userID), validLabel(label)); err != nil {
		return connect.Connection{}, failed(ctx, doing, err)
	}
	err = s.doOver(ctx, doing, func() error {
		var all []stored
		err := s.onConn(ctx, func(conn *sql.Conn) (err error) {
			all, err = queryConnections(ctx, conn, s.sql.connections, applicationID, userID)
			return err
		})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(c stored) bool { return c.ID == connectionID })
		if i < 0 {
			return connect.ErrConnectionUnknown
		}
		c = all[i].Connection
		c.Label = label
		return s.change(ctx, all[i].Connection, c)
	})
	if err != nil {
		return connect.Connection{}, err
	}
	return c, nil
}

// change stores the Health, HealthAt and Label of after if the connection still equals
// before. Otherwise it returns errOvertaken.
func (s *Store) change(ctx context.Context, before, after connect.Connection) error {
	if before == after {
		return nil
	}
	change := func(ctx context.Context, r runner) error {
		n, err := send(ctx, r, s.sql.changeConnection, string(after.Health), micros(after.HealthAt), after.Label,
			before.ApplicationID, before.UserID, before.ID,
			before.ActorID, before.IdentityID, micros(before.ConnectedAt), string(before.Health), micros(before.HealthAt), before.Label)
		if err == nil && n == 0 {
			err = errOvertaken
		}
		return err
	}
	if s.hook == nil {
		return s.writing(ctx, func(ctx context.Context, conn *sql.Conn) error { return change(ctx, conn) })
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if err := change(ctx, tx); err != nil {
			return err
		}
		return s.callHook(ctx, tx, Change{Kind: ConnectionChanged, Before: before, After: after})
	})
}

// Disconnect implements [connect.Store].
func (s *Store) Disconnect(ctx context.Context, d connect.Disconnection) ([]connect.Connection, error) {
	const doing = "disconnect a user"
	if err := validNewUser(d.ApplicationID, d.UserID); err != nil {
		return nil, failed(ctx, doing, err)
	}
	if validKey("connection id", d.ConnectionID) != nil {
		return nil, connect.ErrConnectionUnknown // No connection has an invalid ID.
	}
	var ended []stored
	err := s.do(ctx, doing, func() error {
		if d.ConnectionID == "" {
			// This is committed first. If a Complete does not see it yet, its flow was
			// bound before, and the transaction below finds and spends that flow.
			if _, err := s.write(ctx, s.sql.recordDisconnect, d.ApplicationID, d.UserID, micros(d.At)); err != nil {
				return err
			}
		}
		return s.inTx(ctx, func(tx *sql.Tx) (err error) {
			ended, err = s.end(ctx, tx, d)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return withoutSlots(ended), nil
}

// end is the transaction of Disconnect.
func (s *Store) end(ctx context.Context, tx *sql.Tx, d connect.Disconnection) ([]stored, error) {
	// Flows come first. A Complete holds the lock of its flow, so when this statement
	// goes on, the connection is stored.
	spend, args := s.sql.spendFlows, []any{d.ApplicationID, d.UserID}
	if d.ConnectionID != "" {
		spend, args = s.sql.spendFlowsFor, append(args, d.ConnectionID, d.ApplicationID, d.UserID, d.ConnectionID)
	}
	if _, err := send(ctx, tx, spend, args...); err != nil {
		return nil, err
	}
	ending, err := queryConnections(ctx, tx, s.sql.lockConnections, d.ApplicationID, d.UserID)
	if err != nil {
		return nil, err
	}
	if d.ConnectionID != "" {
		ending = slices.DeleteFunc(ending, func(c stored) bool { return c.ID != d.ConnectionID })
		if len(ending) == 0 {
			return nil, connect.ErrConnectionUnknown
		}
	}
	slices.SortFunc(ending, older)
	for _, c := range ending {
		if _, err := send(ctx, tx, s.sql.dropConnection, d.ApplicationID, d.UserID, c.ID); err != nil {
			return nil, err
		}
		if _, err := send(ctx, tx, s.sql.queueDeletion, c.IdentityID, d.ApplicationID, d.UserID, micros(d.DeleteAfter)); err != nil {
			return nil, err
		}
	}
	for _, c := range ending {
		if err := s.callHook(ctx, tx, Change{Kind: ConnectionEnded, Before: c.Connection}); err != nil {
			return nil, err
		}
	}
	return ending, nil
}
