package anchorhttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// maxToken is the maximum length of a token, in bytes.
const maxToken = 8 << 10

// An IdentityToken allows one user to create one identity on the hosted page. Token
// and Hash are left out when it is printed, logged or encoded as JSON.
type IdentityToken struct {
	// Token is the secret part of the hosted page's URL.
	Token string `json:"-"`
	// Hash is Anchor's hash of the token. If Anchor sends none, it is the token's
	// SHA-256 in hex.
	Hash string `json:"-"`
	// ExpiresAt is when the token expires, by Anchor's clock.
	ExpiresAt time.Time `json:"expires_at"`
	// IssuedAt is when Anchor answered, by Anchor's clock: the Date header, in whole
	// seconds. An identity's CreatedAt comes from the same clock, so the two can be
	// compared even if the local clock is wrong.
	IssuedAt time.Time `json:"issued_at"`
}

// String implements [fmt.Stringer]. It leaves out Token and Hash.
func (t IdentityToken) String() string { return fmt.Sprintf("%+v", t) }

// GoString implements [fmt.GoStringer]. It leaves out Token and Hash.
func (t IdentityToken) GoString() string { return fmt.Sprintf("%#v", t) }

// Format implements [fmt.Formatter]. It leaves out Token and Hash with every verb for
// values; %p, %w and an unexported field of another struct print them all the same.
func (t IdentityToken) Format(s fmt.State, verb rune) {
	type plain IdentityToken
	t.Token, t.Hash = hide(t.Token), hide(t.Hash)
	fmt.Fprintf(s, fmt.FormatString(s, verb), plain(t))
}

// LogValue implements [slog.LogValuer]. It leaves out Token and Hash.
func (t IdentityToken) LogValue() slog.Value {
	return slog.GroupValue(slog.Time("expires_at", t.ExpiresAt), slog.Time("issued_at", t.IssuedAt))
}

// CreateIdentityToken issues an identity token for an application. After the
// sign-in, the hosted page redirects the user to callbackURL, which must be https.
//
// An answer without a token, an expiry or a Date header is [ErrInvalidAnswer]. The
// Date header is required because only Anchor's own clock can decide whether an
// identity was created after the token. An unknown application is an [*Error] with
// status 404.
//
// A retry may leave an unused token behind, which expires.
func (c *Client) CreateIdentityToken(ctx context.Context, applicationID, callbackURL string) (IdentityToken, error) {
	r := request{
		method: http.MethodPost,
		path:   "/v1/applications/{id}/tokens",
		id:     applicationID,
		body: struct {
			CallbackURL string `json:"callbackUrl"`
		}{callbackURL},
		// Anchor's error may quote the URL, which may contain a state.
		hidden: []string{callbackURL},
	}
	return call(ctx, c, r, readToken)
}

// readToken accepts both spellings of the fields that Anchor's documentation uses.
func readToken(a answer) (IdentityToken, error) {
	v, err := decode[struct {
		Token          string `json:"token"`
		Hash           string `json:"token_hash"`
		HashCamel      string `json:"tokenHash"`
		ExpiresAt      string `json:"expires_at"`
		ExpiresAtCamel string `json:"expiresAt"`
	}](a)
	if err != nil {
		return IdentityToken{}, err
	}
	t := IdentityToken{Token: v.Token, Hash: v.Hash}
	if t.Hash == "" {
		t.Hash = v.HashCamel
	}
	if v.ExpiresAt == "" {
		v.ExpiresAt = v.ExpiresAtCamel
	}
	switch {
	case t.Token == "":
		return t, invalid("it has no token")
	case len(t.Token) > maxToken:
		return t, invalid("the token is longer than 8 KiB")
	case strings.ContainsFunc(t.Token, unicode.IsControl):
		return t, invalid("the token contains a control character")
	}
	if t.Hash == "" {
		sum := sha256.Sum256([]byte(t.Token))
		t.Hash = hex.EncodeToString(sum[:])
	}
	if !visible(t.Hash) {
		return t, invalid("the token's hash is not 1 to 255 visible ASCII characters")
	}
	if t.ExpiresAt, err = time.Parse(time.RFC3339, v.ExpiresAt); err != nil {
		return t, invalid("the token has no expiry")
	}
	if t.IssuedAt = dateOf(a.header); t.IssuedAt.IsZero() {
		return t, invalid("it has no Date header")
	}
	return t, nil
}

// An Identity is a user's account at a site, whose sign-in Anchor keeps.
type Identity struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// Source is the URL of the site.
	Source string `json:"source"`
	// Status is one of the Status constants, or one that Anchor has added since.
	// [Identity.SignIn] interprets it.
	Status string `json:"status"`
	// Metadata is what applications have stored, or nil. Its numbers are
	// [encoding/json.Number], so that they are written back exactly as they were
	// read.
	Metadata map[string]any `json:"metadata"`
	// CreatedAt and UpdatedAt are by Anchor's clock. They are zero if the answer
	// lacks them.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Date is when Anchor answered, by Anchor's clock: the Date header, in whole
	// seconds. It is zero if the answer has none.
	Date time.Time `json:"-"`
}

// Identity returns the identity with the given id. An unknown identity is an
// [*Error] with status 404. An answer about another identity is [ErrInvalidAnswer].
func (c *Client) Identity(ctx context.Context, id string) (Identity, error) {
	r := request{method: http.MethodGet, path: "/v1/identities/{id}", id: id}
	return call(ctx, c, r, func(a answer) (Identity, error) {
		v, err := decode[Identity](a)
		if err == nil {
			v.ID, err = sameID(v.ID, id)
			v.Date = dateOf(a.header)
		}
		return v, err
	})
}

// An IdentityUpdate lists the changes to an identity. A field that is zero is not
// sent and stays unchanged.
type IdentityUpdate struct {
	// Name is the new display name.
	Name string `json:"name,omitzero"`
	// Metadata is the new metadata. Anchor does not document whether it merges it
	// with the old metadata or replaces that. So send all of it: the metadata from
	// [Client.Identity] with the changes applied. A map that is empty but not nil is
	// sent.
	Metadata map[string]any `json:"metadata,omitzero"`
}

// UpdateIdentity changes the name or the metadata of an identity. An unknown
// identity is an [*Error] with status 404.
func (c *Client) UpdateIdentity(ctx context.Context, id string, u IdentityUpdate) error {
	r := request{method: http.MethodPut, path: "/v1/identities/{id}", id: id, body: u}
	_, err := call(ctx, c, r, acknowledged(id))
	return err
}

// DeleteIdentity deletes an identity. It is idempotent: an identity that does not
// exist ([IsNotFound]) is not an error.
func (c *Client) DeleteIdentity(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/v1/identities/{id}", id: id}
	_, err := call(ctx, c, r, acknowledged(id))
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Reauthenticate asks Anchor to check an identity's sign-in and, if it no longer
// works, to sign in again with the saved credentials, without the user. It returns
// nil if the sign-in works. Each call uses a browser at Anchor, and may sign in at
// the site.
//
// The error is an [*Error] with status 404 if the identity is unknown, 412 if it has
// no credentials, and 422 if the sign-in failed. [NeedsSignIn] reports true for
// these three: the user has to connect again.
//
// Anchor answers after the sign-in, which takes as long as one in a browser.
// Reauthenticate makes one attempt, because a retry would sign in a second time. The
// attempt may last as long as the call, which [WithTimeout] limits.
// [WithAttemptTimeout] and the Timeout of [WithHTTPClient] do not apply. The default
// of 30 seconds is short, so use a client with a longer one:
//
//	patient := anchorhttp.New(apiKey, anchorhttp.WithTimeout(3*time.Minute))
//	err := patient.Reauthenticate(ctx, identityID)
//
// After a timeout Anchor may still be signing in. [Client.Identity] returns the
// outcome later.
func (c *Client) Reauthenticate(ctx context.Context, identityID string) error {
	r := request{
		method: http.MethodPost,
		path:   "/v1/identities/{id}/reauthenticate",
		id:     identityID,
		body: struct {
			Sync bool `json:"sync"`
		}{true},
		once: true,
	}
	_, err := call(ctx, c, r, func(a answer) (none struct{}, err error) {
		v, err := decode[struct {
			IdentityID string `json:"identityId"`
			Async      bool   `json:"async"`
		}](a)
		switch {
		case err != nil:
			return none, err
		case v.Async:
			return none, invalid("the sign-in has not finished")
		}
		_, err = sameID(v.IdentityID, identityID)
		return none, err
	})
	return err
}

// acknowledged reads an answer whose content does not matter. If there is any, it
// must be JSON, since a gateway's page proves nothing, and must not be about another
// identity. An empty id matches any.
func acknowledged(id string) func(answer) (struct{}, error) {
	return func(a answer) (none struct{}, err error) {
		if len(bytes.TrimSpace(a.body)) == 0 {
			return none, nil
		}
		v, err := decode[struct {
			ID string `json:"id"`
		}](a)
		if err == nil && v.ID != "" && id != "" {
			_, err = sameID(v.ID, id)
		}
		return none, err
	}
}

// sameID returns the answered id in lower case if it equals the requested one.
func sameID(answered, asked string) (string, error) {
	got, ok := ParseID(answered)
	if !ok {
		return "", invalid("it has no id, or an id that is not a UUID")
	}
	if want, _ := ParseID(asked); got != want {
		return "", invalid("its id is not the requested one")
	}
	return got, nil
}
