package connect_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noConnection is the status of a user without a connection.
func noConnection(applicationID string) string {
	return fmt.Sprintf(`{"connected":false,"applicationId":%q,"connections":[],"maxConnections":1}`, applicationID)
}

func TestStatusListsTheUsersConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	require.JSONEq(t, noConnection(s.fake.ApplicationID()), ada.get("/connect/status").body)
	callback := ada.connect()
	a := ada.get("/connect/status")
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	c := s.connection("ada")
	at := c.ConnectedAt.UTC().Format(time.RFC3339)
	require.JSONEq(t, fmt.Sprintf(`{"connected":true,"applicationId":%q,"maxConnections":1,
		"connectionId":%q,"identityId":%q,"createdAt":%q,"connectedAt":%q,"health":"ok",
		"connections":[{"id":%[2]q,"label":"","identityId":%[3]q,"createdAt":%[4]q,"connectedAt":%[5]q,"health":"ok"}]}`,
		s.fake.ApplicationID(), c.ID, identityIn(callback), at, at), a.body)
	require.Contains(t, s.signedIn("eve").get("/connect/status").body, `"connected":false`, "another user's is never shown")

	nobody := s.browser()
	a = nobody.get("/connect/status")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Contains(t, a.body, `"error":"not_signed_in"`, "it is JSON whatever is asked for")
}
