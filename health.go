package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// learn stores the health of an identity since a moment of Anchor's clock, and reports
// the change to Config.OnEvent, if it is one. The error is [ErrNotConnected] if no
// connection has the identity.
func (h *Handler) learn(ctx context.Context, identityID string, health Health, at time.Time) (Connection, error) {
	c, changed, err := h.store.SetHealth(ctx, identityID, health, at)
	if err != nil {
		return Connection{}, storeError("set the health of a connection", err)
	}
	if changed {
		h.log.InfoContext(ctx, "connect: health changed", "application", c.ApplicationID, "user", c.UserID,
			"connection", c.ID, "identity", c.IdentityID, "health", c.Health)
		e := h.connectionEvent(HealthChanged, c)
		e.Health = health
		h.happened(ctx, e)
	}
	return c, nil
}

// learnedAt returns the moment, by Anchor's clock, since which an answer about c holds.
// date is the Date of the answer and took is the call's duration, so the answer is no
// older than the difference. A Date has whole seconds, so the result is made later than
// c.HealthAt: the answer replaces what was known when the call began, and nothing that is
// learned during the call.
func learnedAt(c Connection, date time.Time, took time.Duration) time.Time {
	at := date.Add(-took)
	if date.IsZero() || !at.After(c.HealthAt) {
		return c.HealthAt.Add(time.Microsecond) // The finest resolution that every store has.
	}
	return at
}

// askIdentity gets the identity of a connection from Anchor. at is the moment since which
// the answer holds, even if the answer is that the identity is gone.
func (h *Handler) askIdentity(ctx context.Context, c Connection) (identity anchorhttp.Identity, at time.Time, err error) {
	began := time.Now()
	identity, err = h.anchor.Identity(ctx, c.IdentityID)
	date := identity.Date
	var answer *anchorhttp.Error
	if errors.As(err, &answer) {
		date = answer.Date
	}
	return identity, learnedAt(c, date, time.Since(began)), err
}

// A CheckMethod says how [Handler.Check] checks a connection.
type CheckMethod string

const (
	// CheckStatus reads the identity's status at Anchor, which is what Anchor last
	// noticed. It takes one call.
	CheckStatus CheckMethod = "status"
	// CheckSignIn makes Anchor check the sign-in and, if it does not work, sign in again
	// with the saved credentials. It takes two calls, of which the second one uses a
	// browser at Anchor and may take minutes: the client of Config.Anchor needs such a
	// timeout. See [anchorhttp.Client.Reauthenticate].
	CheckSignIn CheckMethod = "sign_in"
)

// Check asks Anchor whether a connection works, stores the outcome, and returns the
// connection with it. If its health has changed, Config.OnEvent receives
// [HealthChanged].
//
// If the identity is gone, has a bad status or cannot sign in, the health becomes
// [HealthNeedsSignIn]. If the sign-in works, it becomes [HealthOK]. A good status alone
// changes nothing, because Anchor may not have noticed yet what a browser session ran
// into: use CheckSignIn for connections that need a sign-in.
//
// The error is [ErrNotConnected] if no connection has the identity any more,
// [ErrStoreFailed], or one of the errors of an upstream failure.
func (h *Handler) Check(ctx context.Context, c Connection, method CheckMethod) (Connection, error) {
	if method != CheckStatus && method != CheckSignIn {
		return Connection{}, fmt.Errorf("connect: Check: unknown method %q", string(method))
	}
	identity, asked, err := h.askIdentity(ctx, c)
	switch {
	case anchorhttp.IsNotFound(err):
		if err := h.verifyApplication(ctx, c.ApplicationID); err != nil {
			return Connection{}, err
		}
		return h.learn(ctx, c.IdentityID, HealthNeedsSignIn, asked)
	case err != nil:
		return Connection{}, upstreamError("get the identity", err)
	}
	if method == CheckSignIn {
		err := h.anchor.Reauthenticate(ctx, c.IdentityID)
		switch {
		case anchorhttp.NeedsSignIn(err):
			return h.learn(ctx, c.IdentityID, HealthNeedsSignIn, asked)
		case err != nil:
			return Connection{}, upstreamError("have Anchor sign in again", err)
		}
		return h.learn(ctx, c.IdentityID, HealthOK, asked)
	}
	h.logUnknownStatus(ctx, identity)
	if identity.SignIn() == anchorhttp.SignInBad {
		return h.learn(ctx, c.IdentityID, HealthNeedsSignIn, asked)
	}
	return h.learn(ctx, c.IdentityID, c.Health, c.HealthAt) // Nothing new: the store has the current connection.
}

// verifyApplication returns an error unless Anchor knows an application under this API
// key. The key of another project finds no identities at all, which must not be mistaken
// for identities that are gone.
func (h *Handler) verifyApplication(ctx context.Context, applicationID string) error {
	if sites, err := h.project.ask(ctx); err == nil {
		if _, known := sites[applicationID]; known {
			return nil
		}
	}
	// The list may be minutes old, and its endpoint may fail alone.
	if _, err := h.anchor.Application(ctx, applicationID); err != nil {
		return upstreamError("look up the application", err)
	}
	return nil
}

// logUnknownStatus logs a status that this release does not know.
func (h *Handler) logUnknownStatus(ctx context.Context, identity anchorhttp.Identity) {
	if identity.SignIn() == anchorhttp.SignInUnknown && h.statusLogged.allows(h.now()) {
		h.log.WarnContext(ctx, "connect: an identity has an unknown status, which counts as good",
			"status", clip(identity.Status), "identity", identity.ID)
	}
}
