package anchortest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An ApproveOption changes the identity that [Server.Approve] makes.
type ApproveOption func(*approval)

type approval struct {
	existing string
	changes  []func(*Identity)
}

// WithStatus gives the identity this status. Defaults to [StatusValidated].
func WithStatus(status Status) ApproveOption {
	return change(func(i *Identity) { i.Status = status })
}

// WithSource gives the identity the address of another site than the
// application's.
func WithSource(source string) ApproveOption {
	return change(func(i *Identity) { i.Source = source })
}

// WithName names the identity. Defaults to the userName of the hosted page's
// address.
func WithName(name string) ApproveOption {
	return change(func(i *Identity) { i.Name = name })
}

// WithMetadata gives the identity metadata before the app has seen it.
func WithMetadata(metadata map[string]any) ApproveOption {
	return change(func(i *Identity) { i.Metadata = metadata })
}

// WithCreatedAt has the identity made at another time than now.
func WithCreatedAt(t time.Time) ApproveOption {
	return change(func(i *Identity) { i.CreatedAt = t })
}

// WithExistingIdentity makes no identity: the person signs in to an account
// that the application has an identity for already. Its updated_at becomes now.
func WithExistingIdentity(id string) ApproveOption {
	return func(a *approval) { a.existing = id }
}

func change(f func(*Identity)) ApproveOption {
	return func(a *approval) { a.changes = append(a.changes, f) }
}

// Approve does what a person does who signs in on the hosted page. hostedURL is
// what the app has sent the browser to. It makes the identity, uses up the token
// and returns where the browser is sent next.
//
// A token that cannot be used is [ErrTokenUnknown], [ErrTokenUsed] or
// [ErrTokenExpired]. An address that is not the fake's hosted page is an error,
// and so is an option that cannot be had; neither uses up the token.
//
// No call is made: [Server.Calls], faults and holds know nothing of it. The
// webhook is told, unless the identity is [StatusPending].
func (s *Server) Approve(ctx context.Context, hostedURL string, opts ...ApproveOption) (callbackURL string, err error) {
	var a approval
	for _, opt := range opts {
		opt(&a)
	}
	return s.finishAt(ctx, hostedURL, approve, a)
}

// Cancel does what a person does who gives up on the hosted page. It uses up
// the token. Errors are those of [Server.Approve].
func (s *Server) Cancel(ctx context.Context, hostedURL string) (callbackURL string, err error) {
	return s.finishAt(ctx, hostedURL, cancel, approval{})
}

// Fail is a sign-in on the hosted page that the site has refused. It uses up the
// token, and no identity comes of it. Errors are those of [Server.Approve]. A
// sign-in that worked once and does not any more is [Server.FailIdentity].
func (s *Server) Fail(ctx context.Context, hostedURL string) (callbackURL string, err error) {
	return s.finishAt(ctx, hostedURL, fail, approval{})
}

// FailIdentity is the saved sign-in of an identity that has stopped working, as
// when its password was changed at the site. The identity is [StatusFailed] then
// and the webhook is told, even when it was before. Sessions with it are refused: see
// [Server.SetDeadSignIn], and [Server.KillSignIn] for one that nobody notices. An
// identity that is not there is an error.
//
// No call is made: [Server.Calls], faults and holds know nothing of it.
func (s *Server) FailIdentity(ctx context.Context, identityID string) error {
	return s.changeSignIn(ctx, identityID, StatusFailed)
}

// Reauthenticate is the saved sign-in of an identity that works (again), as after
// the API's call of this name, whose outcome [Server.RefuseReauthentication] chooses. The identity is
// [StatusValidated] then and the webhook is told, even when it was before. An
// identity that is not there is an error.
//
// No call is made: [Server.Calls], faults and holds know nothing of it.
func (s *Server) Reauthenticate(ctx context.Context, identityID string) error {
	return s.changeSignIn(ctx, identityID, StatusValidated)
}

func (s *Server) changeSignIn(ctx context.Context, identityID string, status Status) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("anchortest: change a sign-in: %w", err)
	}
	if !s.endSignIn(identityID, status) {
		return fmt.Errorf("anchortest: there is no identity %q", identityID)
	}
	return nil
}

// endSignIn gives an identity the outcome of a sign-in that no hosted page was
// part of, and tells the webhook. It is false when there is no such identity.
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

// readHostedURL takes the address of the hosted page apart. base is where the
// page is served; when it is empty any origin will do.
func readHostedURL(hostedURL, base string) (token, userName string, err error) {
	u, err := url.Parse(hostedURL)
	if err != nil {
		// The address is left out: it holds the token.
		return "", "", fmt.Errorf("anchortest: the hosted page's address cannot be parsed")
	}
	query := u.Query()
	u.RawQuery, u.Fragment = "", ""
	if address := u.String(); address != base+hostedPath && (base != "" || !strings.HasSuffix(address, hostedPath)) {
		return "", "", fmt.Errorf("anchortest: %s is not the hosted page, which is %s", address, base+hostedPath)
	}
	if n := len(query["token"]); n != 1 {
		return "", "", fmt.Errorf("anchortest: the hosted page's address has %d tokens instead of one", n)
	}
	return query.Get("token"), query.Get("userName"), nil
}

// finish ends a visit to the hosted page, whether a test or a person made it:
// the one place where a token is used up.
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
