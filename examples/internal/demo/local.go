package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sandbox"
)

// Local is the fake of Anchor that runs in this process.
type Local struct {
	Fake *anchortest.Server
	// Sandbox runs automations in browsers. It is nil if it could not be started or if
	// Settings.NoBrowser is set.
	Sandbox *sandbox.Server
}

// Close stops the fake and its browsers.
func (l Local) Close() error {
	if l.Sandbox != nil {
		return l.Sandbox.Close()
	}
	return l.Fake.Close()
}

// StartLocal starts a sandbox and points the settings at it. If the sandbox cannot be
// started, for example without a browser, StartLocal calls [Settings.StartFake] and adds
// a notice with the reason. No browser is started until a session is opened.
func (s *Settings) StartLocal(ctx context.Context, store Store) (Local, error) {
	if s.NoBrowser {
		fake, err := s.StartFake(ctx, store)
		return Local{Fake: fake}, err
	}
	// Close stops it after the last request, so ctx must not.
	anchor, err := sandbox.Start(context.WithoutCancel(ctx), sandbox.WithoutStoredPasswords(), sandbox.WithFake(withCalendar))
	if err != nil {
		fake, fakeErr := s.StartFake(ctx, store)
		s.Notices = append(s.Notices, "Automations do not run: "+strings.TrimPrefix(err.Error(), "sandbox: ")+".")
		return Local{Fake: fake}, fakeErr
	}
	if err := s.use(ctx, anchor.Fake(), store); err != nil {
		return Local{}, errors.Join(err, anchor.Close())
	}
	s.Notices = append(s.Notices,
		"ANCHORBROWSER_API_KEY is not set: using a sandbox of Anchor. Automations run in "+anchor.BrowserPath()+".",
		"The accounts of its site, "+anchor.Site().URL()+", are "+accounts(anchor.Site())+". See "+anchor.OverviewURL())
	return Local{anchor.Fake(), anchor}, nil
}

// accounts lists the accounts of a site with their passwords.
func accounts(site *sandbox.Site) string {
	var all []string
	for _, a := range site.Accounts() {
		text := a.Name + " (password " + a.Password
		if a.SecondFactor {
			text += ", and a code"
		}
		all = append(all, text+")")
	}
	return strings.Join(all, ", ")
}

// use points the settings at a fake and restores the connections in store.
func (s *Settings) use(ctx context.Context, fake *anchortest.Server, store Store) error {
	if err := restore(ctx, fake, store); err != nil {
		return fmt.Errorf("read the connections for the built-in fake: %w", err)
	}
	s.APIKey, s.ApplicationID = fake.APIKey(), fake.ApplicationID()
	s.Applications = map[string]string{"calendar": calendarID}
	s.BaseURL, s.AppURL = fake.URL(), fake.URL()
	s.WebhookSecrets = []string{rand.Text()}
	return nil
}
