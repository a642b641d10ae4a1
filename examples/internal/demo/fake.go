package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// calendarID is the second application of the built-in fake. It is fixed, so that
// connections in the store work after a restart.
const calendarID = "fa4e0000-0000-4000-8000-000000000002"

var withCalendar = anchortest.WithAnotherApplication(calendarID, "Example Calendar", "https://calendar.example")

// A Store is connect's store, whose connections the built-in fake restores.
type Store interface {
	connect.Store
	connect.Lister
}

// StartFake starts a fake of Anchor and points the settings at it. The fake keeps
// nothing over a restart, so StartFake restores the identities of the connections in
// store.
func (s *Settings) StartFake(ctx context.Context, store Store) (*anchortest.Server, error) {
	fake, err := anchortest.Start(
		anchortest.WithApplication("Example Mail", "https://mail.example"),
		withCalendar,
	)
	if err != nil {
		return nil, fmt.Errorf("start the built-in fake: %w", err)
	}
	if err := s.use(ctx, fake, store); err != nil {
		return nil, errors.Join(err, fake.Close())
	}
	s.Notices = append(s.Notices, "ANCHORBROWSER_API_KEY is not set: using a built-in fake of Anchor.")
	return fake, nil
}

// restore adds the identities of all connections of the fake's own applications to it.
func restore(ctx context.Context, fake *anchortest.Server, store Store) error {
	for _, applicationID := range []string{fake.ApplicationID(), calendarID} {
		query := connect.ListQuery{ApplicationID: applicationID, Limit: 500}
		for {
			page, err := store.List(ctx, query)
			if err != nil {
				return err
			}
			for _, c := range page {
				fake.PutIdentity(identityOf(c))
				query.After = c.ID
			}
			if len(page) < query.Limit {
				break
			}
		}
	}
	return nil
}

// identityOf returns the identity of a connection, as the fake had it.
func identityOf(c connect.Connection) anchortest.Identity {
	identity := anchortest.Identity{
		ID: c.IdentityID, ApplicationID: c.ApplicationID, Name: c.UserID, CreatedAt: c.ConnectedAt,
		Metadata: map[string]any{"externalUserId": c.UserID},
	}
	if c.ActorID != "" {
		identity.Metadata["connectedBy"] = c.ActorID
	}
	if c.Health == connect.HealthNeedsSignIn {
		identity.Status = anchortest.StatusFailed
	}
	return identity
}
