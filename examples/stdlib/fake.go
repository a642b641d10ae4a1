package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/anchorconnect/connect"
)

// knownConnections reads what is connected, for the built-in fake to know it
// too. An app has no use for this: it asks for one user's connection at a time.
func knownConnections(ctx context.Context, db *sql.DB) ([]connect.Connection, error) {
	rows, err := db.QueryContext(ctx, `SELECT application_id, user_id, identity_id, connected_at, health FROM connect_connections`)
	if err != nil {
		return nil, fmt.Errorf("read the connections for the built-in fake: %w", err)
	}
	defer rows.Close()
	var known []connect.Connection
	for rows.Next() {
		var c connect.Connection
		var connectedAt int64
		if err := rows.Scan(&c.ApplicationID, &c.UserID, &c.IdentityID, &connectedAt, &c.Health); err != nil {
			return nil, fmt.Errorf("read the connections for the built-in fake: %w", err)
		}
		c.ConnectedAt = time.UnixMicro(connectedAt)
		known = append(known, c)
	}
	return known, rows.Err()
}
