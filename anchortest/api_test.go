package anchortest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPIKeyIsChecked(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, route := range []string{
		"POST /v1/applications", "GET /v1/applications", "GET /v1/applications/x",
		"GET /v1/applications/x/identities", "GET /v1/applications/x/auth-flows",
		"POST /v1/applications/x/auth-flows", "POST /v1/applications/x/tokens",
		"GET /v1/identities/x", "PUT /v1/identities/x", "DELETE /v1/identities/x",
		"POST /v1/identities/x/reauthenticate", "POST /v1/sessions",
		"GET /v1/sessions/x", "DELETE /v1/sessions/x", "GET /v1/unknown",
	} {
		method, path, _ := strings.Cut(route, " ")
		for what, key := range map[string]string{"no key": "", "another key": "sk-other", "the key and more": s.APIKey() + "x"} {
			req := request(t, s, method, path, "")
			req.Header.Del("anchor-api-key")
			if key != "" {
				req.Header.Set("anchor-api-key", key)
			}
			r, err := try(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, 401, r.status, "%s with %s", route, what)
			r.requireError(t, 401)
			require.NotContains(t, r.body, s.APIKey())
		}
	}
	for _, c := range s.Calls() {
		require.False(t, c.Authorized)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	s := start(t)
	identity := s.PutIdentity(Identity{})
	for _, route := range []string{
		"GET /", "GET /v1", "GET /v1/", "GET /v2/applications", "GET /favicon.ico",
		"DELETE /v1/applications", "PATCH /v1/identities/" + identity.ID,
		"GET /v1/identities/" + identity.ID + "/credentials",
		"GET /v1/identities", "POST /v1/identities", "GET /v1/sessions",
		"GET /v1/applications/", "GET //v1/applications", "GET /v1//applications",
		"GET /v1/identities/../applications", "GET /v1/identities/..%2fapplications",
		"PUT /identity/create", "GET /identity/create/", "PUT /fake", "GET /fake/",
	} {
		method, path, _ := strings.Cut(route, " ")
		r := call(t, s, method, path, "")
		require.Equal(t, 404, r.status, route)
		r.requireError(t, 404)
	}
}
