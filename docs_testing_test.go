package connect_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// newApp is the reader's own app: every request is signed in as ada.
func newApp(t *testing.T, mux *http.ServeMux, publicURL string, anchor *anchorhttp.Client, applicationID string) {
	h, err := connect.New(connect.Config{
		Anchor: anchor, ApplicationID: applicationID, PublicURL: publicURL, Store: connect.NewMemoryStore(),
		User:    func(*http.Request) (connect.User, error) { return connect.User{ID: "ada"}, nil },
		Secrets: [][]byte{[]byte("a secret of the tests, not random")}, SuccessURL: "/dashboard?connected=true",
	})
	require.NoError(t, err)
	h.Register(mux)
}

// docs: testing
func TestConnecting(t *testing.T) {
	fake, err := anchortest.Start()
	require.NoError(t, err)
	defer fake.Close()

	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	newApp(t, mux, server.URL, fake.Client(), fake.ApplicationID()) // yours, wired to the fake

	browser := server.Client()
	browser.Jar, _ = cookiejar.New(nil)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// Sign in to your app here. Then press the button:
	res, err := browser.Post(server.URL+"/connect", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, res.StatusCode)

	// The user signs in on the hosted page, which redirects back.
	callback, err := fake.Approve(t.Context(), res.Header.Get("Location"))
	require.NoError(t, err)
	res, err = browser.Get(callback)
	require.NoError(t, err)
	require.Equal(t, "/dashboard?connected=true", res.Header.Get("Location"))

	// After the answer, connect writes the user's ID into the identity's metadata.
	identity, err := fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	require.Equal(t, "ada", identity.Metadata["externalUserId"])
}

// docs: end
