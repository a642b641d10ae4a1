package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

const (
	issuer   = "https://id.example.com"
	clientID = "app"
	secret   = "secret"
)

// provider is an OpenID provider in this process: a transport with canned responses, like
// [anchor].
type provider struct {
	header  http.Header
	answers map[string][]byte // by path
}

func newProvider() (*provider, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	idToken, err := signIDToken(key)
	if err != nil {
		return nil, err
	}
	p := &provider{header: http.Header{"Content-Type": {"application/json"}}, answers: make(map[string][]byte)}
	for path, value := range map[string]any{
		"/.well-known/openid-configuration": &oidc.DiscoveryConfiguration{
			Issuer:                           issuer,
			AuthorizationEndpoint:            issuer + "/authorize",
			TokenEndpoint:                    issuer + "/token",
			UserinfoEndpoint:                 issuer + "/userinfo",
			JwksURI:                          issuer + "/keys",
			IDTokenSigningAlgValuesSupported: []string{"RS256"},
		},
		"/keys": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}},
		"/token": map[string]any{
			"access_token": "5cb2a07d41e84f6f9a0e8a7b2c53f1d6", "token_type": "Bearer", "expires_in": 3600, "id_token": idToken,
		},
		"/userinfo": map[string]any{"sub": "ann", "name": "Ann", "email": "ann@example.com"},
	} {
		if p.answers[path], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func signIDToken(key *rsa.PrivateKey) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": "ann", "aud": clientID, "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(), "name": "Ann",
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (p *provider) client() *http.Client { return &http.Client{Transport: p} }

// RoundTrip implements [http.RoundTripper].
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	body, ok := p.answers[r.URL.Path]
	if !ok {
		return nil, fmt.Errorf("the provider serves no %s", r.URL.Path)
	}
	return canned(r, p.header, body), nil
}

// exchange makes the code exchange of both libraries.
func (p *provider) exchange(config *oauth2.Config) error {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, p.client())
	_, err := config.Exchange(ctx, "code")
	return err
}

// userInfo requests the claims of a user.
func (p *provider) userInfo() error {
	r, err := http.NewRequest(http.MethodGet, issuer+"/userinfo", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer 5cb2a07d41e84f6f9a0e8a7b2c53f1d6")
	res, err := p.client().Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var claims map[string]any
	return json.NewDecoder(res.Body).Decode(&claims)
}

func (p *provider) config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: clientID, ClientSecret: secret, RedirectURL: publicURL + "/auth/callback", Scopes: []string{oidc.ScopeOpenID},
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize", TokenURL: issuer + "/token"},
	}
}
