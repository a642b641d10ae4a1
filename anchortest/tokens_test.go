package anchortest

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokens(t *testing.T) {
	t.Parallel()

	t.Run("a token is answered as documented", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		s.SetNow(func() time.Time { return now })
		r := call(t, s, "POST", "/v1/applications/"+s.ApplicationID()+"/tokens", `{"callbackUrl":"https://a.example/cb"}`)
		require.Equal(t, 201, r.status)
		require.Equal(t, []string{"data"}, keys(r.object(t)))
		data := r.data(t)
		require.ElementsMatch(t, []string{"token", "expires_at", "token_hash"}, keys(data))
		require.Equal(t, "2031-01-02T03:19:05.678Z", data["expires_at"])
		sum := sha256.Sum256([]byte(data["token"].(string)))
		require.Equal(t, hex.EncodeToString(sum[:]), data["token_hash"])
		require.NotEqual(t, data["token"], newToken(t, s, callback))
	})

	t.Run("the answer has other shapes on demand", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		at := "/v1/applications/" + s.ApplicationID() + "/tokens"
		s.SetTokenShape(FlatToken)
		require.ElementsMatch(t, []string{"token", "expiresAt", "tokenHash"}, keys(call(t, s, "POST", at, `{"callbackUrl":"https://a.example/cb"}`).object(t)))
		s.SetTokenShape(HashlessToken)
		require.ElementsMatch(t, []string{"token", "expires_at"}, keys(call(t, s, "POST", at, `{"callbackUrl":"https://a.example/cb"}`).data(t)))
		s.SetTokenShape(WrappedToken)
		require.Len(t, call(t, s, "POST", at, `{"callbackUrl":"https://a.example/cb"}`).data(t), 3)
	})
}

func TestTokensAllowedCallbacks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://app.example/cb?a=b#c":     true,
		"HTTPS://APP.EXAMPLE":              true,
		"https://localhost/cb":             true,
		"http://localhost:8080/cb":         true,
		"http://LOCALHOST/cb":              true,
		"http://app.localhost/cb":          true,
		"http://127.0.0.1:8080/cb":         true,
		"http://127.9.9.9/cb":              true,
		"http://[::1]:8080/cb":             true,
		"http://app.example/cb":            false,
		"http://192.168.0.1/cb":            false,
		"http://0.0.0.0/cb":                false,
		"http://localhost.example/cb":      false,
		"http://notlocalhost/cb":           false,
		"http://127.0.0.1.example/cb":      false,
		"http://user@app.example:80":       false,
		"http://localhost@app.example/":    false,
		"ftp://localhost/cb":               false,
		"javascript://localhost/%0aalert":  false,
		"data:text/html,x":                 false,
		"//app.example/cb":                 false,
		"/cb":                              false,
		"https:///cb":                      false,
		"https://:443/cb":                  false,
		"https:app.example":                false,
		"":                                 false,
		"https://app.example/\r\nX: y":     false,
		"https://app.example:port/":        false,
		" https://app.example/leading":     false,
		"https://app.example/%zz":          false,
		"https://app.exa mple/":            false,
		"https://[::1]/cb":                 true,
		"https://xn--bcher-kva.example/cb": true,
	} {
		require.Equal(t, want, callbackAllowed(address), "%q", address)
	}

	s := start(t)
	at := "/v1/applications/" + s.ApplicationID() + "/tokens"
	call(t, s, "POST", at, `{"callbackUrl":"http://app.example/cb"}`).requireError(t, 400)
	require.Equal(t, 201, call(t, s, "POST", at, `{"callbackUrl":"http://localhost:8080/cb"}`).status)
}
