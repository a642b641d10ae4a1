package anchortest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An ApproveOption changes the identity that [Server.Approve] creates.
type ApproveOption func(*approval)

type approval struct {
	existing string
	changes  []func(*Identity)
}

// WithStatus sets the identity's status. Defaults to [StatusValidated].
func WithStatus(status Status) ApproveOption {
	return change(func(i *Identity) { i.Status = status })
}

// WithSource sets the address of the site. Defaults to the application's.
func WithSource(source string) ApproveOption {
	return change(func(i *Identity) { i.Source = source })
}

// WithName sets the identity's name. Defaults to the userName in the hosted page's
// URL.
func WithName(name string) ApproveOption {
	return change(func(i *Identity) { i.Name = name })
}

// WithMetadata sets metadata that the identity has before the application sees it.
func WithMetadata(metadata map[string]any) ApproveOption {
	return change(func(i *Identity) { i.Metadata = metadata })
}

// WithCreatedAt sets when the identity was created. Defaults to now.
func WithCreatedAt(t time.Time) ApproveOption {
	return change(func(i *Identity) { i.CreatedAt = t })
}

// WithExistingIdentity creates no identity: the user signs in to an account for
// which the application has an identity already. Its updated_at becomes the current
// time.
func WithExistingIdentity(id string) ApproveOption {
	return func(a *approval) { a.existing = id }
}

func change(f func(*Identity)) ApproveOption {
	return func(a *approval) { a.changes = append(a.changes, f) }
}

// Approve signs a user in on the hosted page. hostedURL is the URL to which the
// application redirected the browser. Approve creates the identity, uses the token,
// and returns the URL to which the browser is redirected next.
//
// A token that cannot be used is [ErrTokenUnknown], [ErrTokenUsed] or
// [ErrTokenExpired]. It is also an error if hostedURL is not the fake's hosted page,
// or if an option cannot be applied. Neither uses the token.
//
// Approve makes no call, so [Server.Calls], faults and holds do not see it. The
// webhook receives an event, unless the identity is [StatusPending].
func (s *Server) Approve(ctx context.Context, hostedURL string, opts ...ApproveOption) (callbackURL string, err error) {
	var a approval
	for _, opt := range opts {
		opt(&a)
	}
	return s.finishAt(ctx, hostedURL, approve, a)
}

// Cancel cancels the sign-in on the hosted page. It uses the token. The errors are
// those of [Server.Approve].
func (s *Server) Cancel(ctx context.Context, hostedURL string) (callbackURL string, err error) {
	return s.finishAt(ctx, hostedURL, cancel, approval{})
}

// Fail simulates a sign-in on the hosted page that the site rejects. It uses the
// token and creates no identity. The errors are those of [Server.Approve]. To make
// the sign-in of an existing identity fail, use [Server.FailIdentity].
func (s *Server) Fail(ctx context.Context, hostedURL string) (callbackURL string, err error) {
	return s.finishAt(ctx, hostedURL, fail, approval{})
}

// FailIdentity makes the saved sign-in of an identity stop working, as if its
// password had been changed at the site. The identity becomes [StatusFailed] and the
// webhook receives an event, even if it was failed before. Sessions with it are
// refused: see [Server.SetDeadSignIn]. [Server.KillSignIn] does this silently. An
// unknown identity is an error.
//
// FailIdentity makes no call, so [Server.Calls], faults and holds do not see it.
func (s *Server) FailIdentity(ctx context.Context, identityID string) error {
	return s.changeSignIn(ctx, identityID, StatusFailed)
}

// Reauthenticate makes the saved sign-in of an identity work again, like a
// successful reauthenticate call of the API. [Server.RefuseReauthentication] does
// not affect it. The identity becomes [StatusValidated] and the webhook receives an
// event, even if it was validated before. An unknown identity is an error.
//
// Reauthenticate makes no call, so [Server.Calls], faults and holds do not see it.
func (s *Server) Reauthenticate(ctx context.Context, identityID string) error {
	return s.changeSignIn(ctx, identityID, StatusValidated)
}

func (s *Server) changeSignIn(ctx context.Context, identityID string, status Status) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("anchortest: change a sign-in: %w", err)
	}
	if !s.endSignIn(identityID, status) {
		return fmt.Errorf("anchortest: identity %q does not exist", identityID)
	}
	return nil
}

// endSignIn gives an identity the outcome of a sign-in without the hosted page, and
// sends the event. It reports whether the identity exists.
func (s *Server) endSignIn(identityID string, status Status) bool {
	s.signIns.Lock()
	defer s.signIns.Unlock()
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	id, _ := parseUUID(identityID)
	identity := s.identities.get(id)
	if identity == nil {
		return false
	}
	identity.Status, identity.UpdatedAt = status, now
	delete(s.refusals.killed, id)
	s.tell(identity, now)
	return true
}

func (s *Server) finishAt(ctx context.Context, hostedURL string, o outcome, a approval) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("anchortest: %s: %w", o, err)
	}
	token, userName, err := readHostedURL(hostedURL, s.URL())
	if err != nil {
		return "", err
	}
	return s.finish(token, userName, o, a)
}

// readHostedURL returns the parameters of the hosted page's URL. base is where the
// page is served. If it is empty, any origin is accepted.
func readHostedURL(hostedURL, base string) (token, userName string, err error) {
	u, err := url.Parse(hostedURL)
	if err != nil {
		// The error omits the URL, which contains the token.
		return "", "", errors.New("anchortest: the hosted page's URL cannot be parsed")
	}
	query := u.Query()
	u.RawQuery, u.Fragment = "", ""
	if address := u.String(); address != base+hostedPath && (base != "" || !strings.HasSuffix(address, hostedPath)) {
		return "", "", fmt.Errorf("anchortest: %s is not the hosted page %s", address, base+hostedPath)
	}
	if n := len(query["token"]); n != 1 {
		return "", "", fmt.Errorf("anchortest: the hosted page's URL has %d tokens, not one", n)
	}
	return query.Get("token"), query.Get("userName"), nil
}

// finish ends a visit to the hosted page, of a test or of a user. No other code uses
// a token.
func (s *Server) finish(token, userName string, o outcome, a approval) (callbackURL string, err error) {
	s.signIns.Lock()
	defer s.signIns.Unlock()
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.tokens[token]
	if err := t.usable(now); err != nil {
		return "", err
	}
	var identityID string
	if o == approve {
		identity := Identity{ApplicationID: t.applicationID, Name: userName}
		if a.existing != "" {
			id, _ := parseUUID(a.existing)
			existing := s.identities.get(id)
			if existing == nil || existing.ApplicationID != t.applicationID {
				return "", fmt.Errorf("anchortest: the application has no identity %q", a.existing)
			}
			identity = copyOf(existing)
			identity.Status, identity.UpdatedAt = StatusValidated, now
			delete(s.refusals.killed, id)
		}
		for _, change := range a.changes {
			change(&identity)
		}
		kept, err := s.keep(identity, now)
		if err != nil {
			return "", err
		}
		identityID = kept.ID
		s.tell(kept, now)
	}
	t.used = true

	parameters := callbackParameters(s.callbackStyle, o, identityID)
	if o != approve && s.silentFailure {
		parameters = ""
	}
	return addParameters(t.callbackURL, parameters, s.appendBlindly), nil
}
