package demo

import (
	"fmt"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// StartFake starts the stand-in for Anchor and points the settings at it. It
// keeps nothing over a restart, so it is told of the connections that the app's
// database still knows: what was connected yesterday works today.
func (s *Settings) StartFake(known []connect.Connection) (*anchortest.Server, error) {
	fake, err := anchortest.Start(anchortest.WithApplication("Example Mail", "https://mail.example"))
	if err != nil {
		return nil, fmt.Errorf("start the built-in fake: %w", err)
	}
	for _, c := range known {
		if c.ApplicationID != fake.ApplicationID() {
			continue // Connected at the real service.
		}
		fake.PutIdentity(anchortest.Identity{ID: c.IdentityID, Name: c.UserID, CreatedAt: c.ConnectedAt})
	}
	s.APIKey, s.ApplicationID = fake.APIKey(), fake.ApplicationID()
	s.BaseURL, s.AppURL = fake.URL(), fake.URL()
	s.Notices = append(s.Notices, "ANCHORBROWSER_API_KEY is not set: a built-in fake stands in for Anchor.")
	return fake, nil
}
