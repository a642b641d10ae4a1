package demo

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// calendarID is the second application of the built-in fake. It never changes, so
// that what was connected yesterday works today.
const calendarID = "fa4e0000-0000-4000-8000-000000000002"

// StartFake starts the stand-in for Anchor and points the settings at it. It
// keeps nothing over a restart, so it is told of the connections that the app's
// database still knows.
func (s *Settings) StartFake(known []connect.Connection) (*anchortest.Server, error) {
	fake, err := anchortest.Start(
		anchortest.WithApplication("Example Mail", "https://mail.example"),
		anchortest.WithAnotherApplication(calendarID, "Example Calendar", "https://calendar.example"),
	)
	if err != nil {
		return nil, fmt.Errorf("start the built-in fake: %w", err)
	}
	for _, c := range known {
		restore(fake, c)
	}
	s.APIKey, s.ApplicationID = fake.APIKey(), fake.ApplicationID()
	s.Applications = map[string]string{"calendar": calendarID}
	s.BaseURL, s.AppURL = fake.URL(), fake.URL()
	s.WebhookSecrets = []string{rand.Text()}
	s.Notices = append(s.Notices, "ANCHORBROWSER_API_KEY is not set: a built-in fake stands in for Anchor.")
	return fake, nil
}

// RestoreFake tells the stand-in of the connections that a store knows.
func RestoreFake(ctx context.Context, fake *anchortest.Server, store connect.Lister) error {
	for _, applicationID := range []string{fake.ApplicationID(), calendarID} {
		query := connect.ListQuery{ApplicationID: applicationID, Limit: 500}
		for {
			page, err := store.List(ctx, query)
			if err != nil {
				return fmt.Errorf("read the connections for the built-in fake: %w", err)
			}
			for _, c := range page {
				restore(fake, c)
				query.After = c.ID
			}
			if len(page) < query.Limit {
				break
			}
		}
	}
	return nil
}

// restore tells the stand-in of one connection.
func restore(fake *anchortest.Server, c connect.Connection) {
	if c.ApplicationID != fake.ApplicationID() && c.ApplicationID != calendarID {
		return // Connected at the real service.
	}
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
	fake.PutIdentity(identity)
}
