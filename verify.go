package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// verifyTimeout bounds each check of [Handler.Verify].
const verifyTimeout = 10 * time.Second

// Verify checks whether the handler can work. Its error names each problem with its remedy,
// one on a line:
//
//   - Anchor does not accept the API key, or cannot be reached;
//   - an application of the configuration does not exist, or not in the key's project;
//   - the store does not answer, or its schema is not the one that this release needs;
//   - Anchor's clock and the app's differ by more than two minutes;
//   - PublicURL is http, and the service is Anchor's own, which accepts only https;
//   - PublicURLOf accepts a host that no site has (under ".invalid"), or fails for it.
//
// Call it when the app starts, and log the error rather than stopping, since the app can do
// its other work. It also suits a readiness check. It changes nothing, makes one call to
// Anchor for each application, and takes at most ten seconds for each check.
func (h *Handler) Verify(ctx context.Context) error {
	problems := []error{h.verifyStore(ctx)}
	problems = append(problems, h.hosts.verify(ctx))
	if h.hosts.scheme == "http" && !isLoopbackURL(h.anchor.AppOrigin()) {
		problems = append(problems, fmt.Errorf("connect: PublicURL is %s, and Anchor accepts only https callbacks: serve the app over https, or use cmd/fakeanchor for development", h.hosts.origin))
	}
	for _, a := range h.applications {
		stop, err := a.verify(ctx)
		problems = append(problems, err)
		if stop {
			break // The others would fail alike.
		}
	}
	return errors.Join(problems...)
}

// verifyStore calls the store's own Verify, or, if it has none, checks that it answers.
func (h *Handler) verifyStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	ask := func() error { _, err := h.store.Applications(ctx); return err }
	if store, ok := h.store.(interface{ Verify(context.Context) error }); ok {
		ask = func() error { return store.Verify(ctx) }
	}
	if err := recovered(ask); err != nil {
		return fmt.Errorf("connect: the store is unusable: %w", err)
	}
	return nil
}

// verify checks one application. stop reports that checking others is of no use.
func (a *Application) verify(ctx context.Context) (stop bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	h := a.h
	application, err := h.anchor.Application(ctx, a.id)
	answered := h.now()
	date := application.Date
	var answer *anchorhttp.Error
	if errors.As(err, &answer) {
		date = answer.Date
	}
	if difference := answered.Sub(date).Round(time.Second); !date.IsZero() && difference.Abs() > maxClockDifference {
		direction := "ahead of"
		if difference < 0 {
			direction = "behind"
		}
		return true, fmt.Errorf("connect: the app's clock is %v %s Anchor's: set the clock of this machine by NTP, because flows expire by it",
			difference.Abs(), direction)
	}
	switch {
	case err == nil:
		return false, nil
	case anchorhttp.IsNotFound(err):
		return false, fmt.Errorf("connect: Anchor knows no application %s%s under this API key: copy the id from the dashboard of the project that the key belongs to", a.id, a.called())
	case answer != nil && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return true, fmt.Errorf("connect: Anchor does not accept the API key (%d): copy it from the dashboard, and check ANCHORBROWSER_API_KEY: %w", answer.StatusCode, err)
	}
	return true, fmt.Errorf("connect: Anchor cannot be asked about application %s%s: check the network, proxies and ANCHORBROWSER_BASE_URL: %w", a.id, a.called(), err)
}

// called returns the application's short name for an error text, or "".
func (a *Application) called() string {
	if a.name == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", a.name)
}

// isLoopbackURL reports whether a URL is of a service on this machine, such as the fake.
func isLoopbackURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && isLoopback(u.Hostname())
}
