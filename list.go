package connect

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// listPage is how many connections are read from the store at once.
const listPage = 200

// ListOptions say which connections [Application.List] returns. The zero value means all.
type ListOptions struct {
	// Health selects connections that have this health; empty selects all.
	Health Health
	// After is the ID of a connection to continue after, such as the last one of an
	// earlier call. Empty means from the beginning.
	After string
}

// List returns an iterator over the connections of all users in this application, ordered
// by ID, for support pages and jobs. It reads pages of 200, so its memory is bounded. A
// connection that is added or ends meanwhile may or may not be included. An error ends the
// iteration: [ErrStoreFailed], or [errors.ErrUnsupported] if Config.Store is not a
// [Lister].
func (a *Application) List(ctx context.Context, options ListOptions) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		lister, err := a.h.lister()
		if err != nil {
			yield(Connection{}, err)
			return
		}
		query := ListQuery{ApplicationID: a.id, Health: options.Health, After: options.After, Limit: listPage}
		for {
			page, err := lister.List(ctx, query)
			if err != nil {
				yield(Connection{}, storeError("list connections", err))
				return
			}
			for _, c := range page {
				if !yield(c, nil) {
					return
				}
				query.After = c.ID
			}
			if len(page) < query.Limit {
				return
			}
		}
	}
}

// lister returns the store as a [Lister].
func (h *Handler) lister() (Lister, error) {
	lister, ok := h.store.(Lister)
	if !ok {
		return nil, fmt.Errorf("connect: Config.Store is a %T, not a connect.Lister: %w", h.store, errors.ErrUnsupported)
	}
	return lister, nil
}
