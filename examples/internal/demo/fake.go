package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// calendarID is the second application of the built-in fake. It never changes, so
// that what was connected yesterday works today.
const calendarID = "fa4e0000-0000-4000-8000-000000000002"

var withCalendar = anchortest.WithAnotherApplication(calendarID, "Example Calendar", "https://calendar.example")

// A Store is what the stand-in is told of.
type Store interface {
	connect.Store
	connect.Lister
}

// StartFake starts the stand-in for Anchor and points the settings at it. The
// stand-in keeps nothing over a restart, so it is told of the connections that the
// app's store knows.
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
	s.Notices = append(s.Notices, "ANCHORBROWSER_API_KEY is not set: a built-in fake stands in for Anchor.")
	return fake, nil
}

// restore tells the stand-in of all connections. Those of the real service's
// applications are none of its own.
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

// identityOf is the identity of a connection, as the stand-in had it.
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
