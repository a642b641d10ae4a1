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
// No call is made: [Server.Calls], faults and holds know nothing of it.
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

// Fail is a sign-in that the site has refused. It uses up the token. Errors are
// those of [Server.Approve].
func (s *Server) Fail(ctx context.Context, hostedURL string) (callbackURL string, err error) {
	return s.finishAt(ctx, hostedURL, fail, approval{})
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
// the one place where a token is used up. What follows from a sign-in, such as
// an event, belongs here.
func (s *Server) finish(token, userName string, o outcome, a approval) (callbackURL string, err error) {
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
		}
		for _, change := range a.changes {
			change(&identity)
		}
		kept, err := s.keep(identity, now)
		if err != nil {
			return "", err
		}
		identityID = kept.ID
	}
	t.used = true

	parameters := callbackParameters(s.callbackStyle, o, identityID)
	if o != approve && s.silentFailure {
		parameters = ""
	}
	return addParameters(t.callbackURL, parameters, s.appendBlindly), nil
}
