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

// maxToken is the longest token accepted, in bytes.
const maxToken = 8 << 10

// An IdentityToken lets one person create one identity on the hosted page. Token
// and Hash are left out when it is printed, logged or encoded as JSON.
type IdentityToken struct {
	// Token is the secret that goes to the hosted page.
	Token string `json:"-"`
	// Hash is Anchor's hash of the token, or else the token's SHA-256 in hex.
	Hash string `json:"-"`
	// ExpiresAt is when the token ends, by Anchor's clock.
	ExpiresAt time.Time `json:"expires_at"`
	// IssuedAt is when Anchor answered, by the Date header of the answer: it has
	// whole seconds. An identity's CreatedAt comes from the same clock, so the
	// two can be compared, however wrong the local clock is.
	IssuedAt time.Time `json:"issued_at"`
}

// Format leaves out Token and Hash, with every verb.
func (t IdentityToken) Format(s fmt.State, verb rune) {
	type plain IdentityToken
	t.Token, t.Hash = hide(t.Token), hide(t.Hash)
	fmt.Fprintf(s, fmt.FormatString(s, verb), plain(t))
}

// LogValue leaves out Token and Hash.
func (t IdentityToken) LogValue() slog.Value {
	return slog.GroupValue(slog.Time("expires_at", t.ExpiresAt), slog.Time("issued_at", t.IssuedAt))
}

// CreateIdentityToken issues an identity token for an application. The hosted
// page sends the person back to callbackURL, which is https.
//
// An answer without a token, an expiry or a Date header is [ErrInvalidAnswer].
// The last matters because whether an identity is fresh is judged by Anchor's own
// clock: without the moment of issue it could not be judged at all. An unknown
// application is an [*Error] with status 404.
//
// A retry may leave a token behind that nobody uses; it expires by itself.
func (c *Client) CreateIdentityToken(ctx context.Context, applicationID, callbackURL string) (IdentityToken, error) {
	r := request{
		method: http.MethodPost,
		path:   "/v1/applications/{id}/tokens",
		id:     applicationID,
		body: struct {
			CallbackURL string `json:"callbackUrl"`
		}{callbackURL},
		// It may hold a state, and "not https: …" would quote it.
		hidden: []string{callbackURL},
	}
	return call(ctx, c, r, readToken)
}

// readToken reads the answer in both spellings that Anchor's documentation has.
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
		return t, invalid("the token holds a control character")
	}
	if t.Hash == "" {
		sum := sha256.Sum256([]byte(t.Token))
		t.Hash = hex.EncodeToString(sum[:])
	}
	if !visible(t.Hash) {
		return t, invalid("the token's hash is not up to 255 visible ASCII characters")
	}
	if t.ExpiresAt, err = time.Parse(time.RFC3339, v.ExpiresAt); err != nil {
		return t, invalid("the token has no expiry")
	}
	if t.IssuedAt = dateOf(a.header); t.IssuedAt.IsZero() {
		return t, invalid("it has no Date header")
	}
	return t, nil
}

// An Identity is a person's account at a site, held by Anchor.
type Identity struct {
	// ID is a UUID in lower case.
	ID string `json:"id"`
	// Name is the display name.
	Name string `json:"name"`
	// Source is the URL of the site.
	Source string `json:"source"`
	// Status is StatusPending, another of the constants, or one that Anchor has added
	// since. [Identity.SignIn] says what it means.
	Status string `json:"status"`
	// Metadata is what apps have written on it; nil if there is none. Numbers in
	// it are [encoding/json.Number], so that what is written back is what was
	// read.
	Metadata map[string]any `json:"metadata"`
	// CreatedAt and UpdatedAt are by Anchor's clock; zero if not told.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Date is when Anchor answered, by its own clock: the Date header, in whole
	// seconds. It is zero if the answer has none.
	Date time.Time `json:"-"`
}

// Identity returns the identity with this id. An unknown one is an [*Error] with
// status 404. An answer about another identity is [ErrInvalidAnswer].
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

// An IdentityUpdate is what to change of an identity. A field that is zero is not
// sent and stays as it is.
type IdentityUpdate struct {
	// Name is the new display name.
	Name string `json:"name,omitzero"`
	// Metadata is the new metadata. Whether Anchor merges it with the old or
	// replaces the old is not documented: send all of it, that is, what
	// [Client.Identity] returned with the changes made. A map that is empty but
	// not nil is sent.
	Metadata map[string]any `json:"metadata,omitzero"`
}

// UpdateIdentity changes the name or the metadata of an identity. An unknown one
// is an [*Error] with status 404.
func (c *Client) UpdateIdentity(ctx context.Context, id string, u IdentityUpdate) error {
	r := request{method: http.MethodPut, path: "/v1/identities/{id}", id: id, body: u}
	_, err := call(ctx, c, r, acknowledged(id))
	return err
}

// DeleteIdentity deletes an identity. One that is not there ([IsNotFound]) is no
// error: it is gone already.
func (c *Client) DeleteIdentity(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/v1/identities/{id}", id: id}
	_, err := call(ctx, c, r, acknowledged(id))
	if IsNotFound(err) {
		return nil
	}
	return err
}

// Reauthenticate makes Anchor check whether an identity is still signed in and, if
// it is not, sign in again with what it has saved, without the user. It returns nil
// if the sign-in works. Each call uses a browser at Anchor, and possibly a sign-in
// at the site.
//
// The error is an [*Error] with status 404 if the identity is unknown, 412 if it has
// no credentials to sign in with, and 422 if the sign-in failed. [NeedsSignIn]
// reports true for these three: only the user can help, by connecting again.
//
// Anchor answers when it is done, which takes as long as signing in does in a
// browser. Reauthenticate therefore makes one attempt, since a retry would sign in a
// second time, and the attempt may use all the time of the call, which
// [WithTimeout] sets. Neither [WithAttemptTimeout] nor the Timeout of
// [WithHTTPClient] ends it sooner. The default of 30 seconds is short; use a client
// with more:
//
//	patient := anchorhttp.New(apiKey, anchorhttp.WithTimeout(3*time.Minute))
//	err := patient.Reauthenticate(ctx, identityID)
//
// After a timeout the sign-in may still be under way at Anchor. [Client.Identity]
// returns its outcome later.
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
			return none, invalid("it says that the sign-in is not through")
		}
		_, err = sameID(v.IdentityID, identityID)
		return none, err
	})
	return err
}

// acknowledged reads an answer that need not say anything. What it says must be
// JSON, though (a page of some gateway is no sign that anything was done), and
// not about another identity. An empty id stands for any.
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

// sameID returns the answered id in lower case if it is the one asked for.
func sameID(answered, asked string) (string, error) {
	got, ok := ParseID(answered)
	if !ok {
		return "", invalid("it has no id, or one that is no UUID")
	}
	if want, _ := ParseID(asked); got != want {
		return "", invalid("it has another id than the one asked for")
	}
	return got, nil
}
