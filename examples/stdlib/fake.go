package main

import (
	"context"
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
)

// knownConnections reads what is connected, for the built-in fake to know it
// too. An app has no use for this: it asks for one user's connections at a time.
func knownConnections(ctx context.Context, store *sqlstore.Store) ([]connect.Connection, error) {
	const limit = 1000
	var known []connect.Connection
	applications, err := store.Applications(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the connections for the built-in fake: %w", err)
	}
	for _, id := range applications {
		query := connect.ListQuery{ApplicationID: id, Limit: limit}
		for {
			page, err := store.List(ctx, query)
			if err != nil {
				return nil, fmt.Errorf("read the connections for the built-in fake: %w", err)
			}
			known = append(known, page...)
			if len(page) < limit {
				break
			}
			query.After = page[limit-1].ID
		}
	}
	return known, nil
}
