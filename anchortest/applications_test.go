package anchortest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestApplications(t *testing.T) {
	t.Parallel()

	t.Run("a new application is answered and listed as documented", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		r := call(t, s, "POST", "/v1/applications", `{"source":"https://shop.example/login","name":"My Shop","description":"d"}`)
		require.Equal(t, 201, r.status)
		made := r.object(t)
		require.ElementsMatch(t, []string{"id", "name", "url", "description", "created_at"}, keys(made))
		require.Regexp(t, uuidPattern, made["id"])
		require.Regexp(t, timePattern, made["created_at"])
		require.Equal(t, "My Shop", made["name"])
		require.Equal(t, "https://shop.example/login", made["url"])
		require.Equal(t, "d", made["description"])

		id := made["id"].(string)
		s.PutIdentity(Identity{ApplicationID: id})
		s.PutIdentity(Identity{})
		r = call(t, s, "GET", "/v1/applications/"+id, "")
		require.Equal(t, 200, r.status)
		got := r.object(t)
		require.ElementsMatch(t, []string{"id", "name", "url", "description", "identity_count", "auth_methods", "created_at", "updated_at"}, keys(got))
		require.EqualValues(t, 1, got["identity_count"])
		require.Equal(t, []any{"username_password"}, got["auth_methods"])

		list := call(t, s, "GET", "/v1/applications", "").object(t)["applications"].([]any)
		require.Len(t, list, 2)
		require.Equal(t, s.ApplicationID(), list[0].(map[string]any)["id"])
		require.Equal(t, got, list[1])
		for search, want := range map[string]int{"mY sh": 1, "E": 1, "nothing": 0, "": 2} {
			found := call(t, s, "GET", "/v1/applications?search="+urlQuery(search), "").object(t)["applications"].([]any)
			require.Len(t, found, want, search)
		}
	})

	t.Run("name and description may be missing, the source may be a bare host", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		made := call(t, s, "POST", "/v1/applications", `{"source":"https://shop.example/x"}`).object(t)
		require.Equal(t, "shop.example", made["name"])
		require.Nil(t, made["description"])
		made = call(t, s, "POST", "/v1/applications", `{"source":"linkedin.com"}`).object(t)
		require.Equal(t, "linkedin.com", made["name"])
		require.Equal(t, "linkedin.com", made["url"])
		call(t, s, "POST", "/v1/applications", `{"name":"x"}`).requireError(t, 400)
	})

	t.Run("AddApplication gives its id, and no URL is null", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		id := s.AddApplication("Two", "https://two.example")
		require.Equal(t, "Two", call(t, s, "GET", "/v1/applications/"+id, "").object(t)["name"])
		id = s.AddApplication("Three", "")
		require.Nil(t, call(t, s, "GET", "/v1/applications/"+id, "").object(t)["url"])
	})

	t.Run("another application has a fixed id and stands behind the first", func(t *testing.T) {
		t.Parallel()
		id := "FA4E0000-0000-4000-8000-000000000002"
		s := start(t, WithAnotherApplication(id, "Two", "https://two.example"), WithAnotherApplication(unknownID, "Three", ""))
		list := call(t, s, "GET", "/v1/applications", "").object(t)["applications"].([]any)
		require.Len(t, list, 3)
		require.Equal(t, s.ApplicationID(), list[0].(map[string]any)["id"])
		two := list[1].(map[string]any)
		require.Equal(t, strings.ToLower(id), two["id"])
		require.Equal(t, "Two", two["name"])
		require.Equal(t, "https://two.example", two["url"])

		seeded := s.PutIdentity(Identity{ApplicationID: id})
		require.Equal(t, strings.ToLower(id), seeded.ApplicationID)
		require.Equal(t, "https://two.example", seeded.Source)
		token := call(t, s, "POST", "/v1/applications/"+id+"/tokens", `{"callbackUrl":"https://a.example"}`).data(t)["token"].(string)
		_, err := s.Approve(t.Context(), s.URL()+"/identity/create?token="+token)
		require.NoError(t, err)
		require.Len(t, call(t, s, "GET", "/v1/applications/"+id+"/identities", "").object(t)["identities"], 2)
		require.Empty(t, call(t, s, "GET", "/v1/applications/"+s.ApplicationID()+"/identities", "").object(t)["identities"])
	})

	t.Run("an unknown application is a 404 everywhere", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, id := range []string{unknownID, "x", "..%2f", "%00", s.ApplicationID() + "0"} {
			at := "/v1/applications/" + id
			call(t, s, "GET", at, "").requireError(t, 404)
			call(t, s, "GET", at+"/identities", "").requireError(t, 404)
			call(t, s, "GET", at+"/auth-flows", "").requireError(t, 404)
			call(t, s, "POST", at+"/auth-flows", `{"name":"a","methods":["custom"]}`).requireError(t, 404)
			call(t, s, "POST", at+"/tokens", `{"callbackUrl":"https://a.example"}`).requireError(t, 404)
		}
	})

	t.Run("an application comes with a standard flow and takes others", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		at := "/v1/applications/" + s.AddApplication("a", "https://a.example")
		fields := []string{"id", "name", "description", "is_recommended", "methods", "custom_fields", "created_at", "updated_at"}

		flows := call(t, s, "GET", at+"/auth-flows", "").object(t)["auth_flows"].([]any)
		require.Len(t, flows, 1)
		require.ElementsMatch(t, fields, keys(flows[0].(map[string]any)))
		require.Equal(t, "Standard authentication", flows[0].(map[string]any)["name"])

		r := call(t, s, "POST", at+"/auth-flows", `{"name":"Codes","methods":["username_password","authenticator"],"custom_fields":[{"name":"pin"}]}`)
		require.Equal(t, 201, r.status)
		made := r.object(t)
		require.ElementsMatch(t, fields, keys(made))
		require.Equal(t, []any{map[string]any{"name": "pin"}}, made["custom_fields"])
		flows = call(t, s, "GET", at+"/auth-flows", "").object(t)["auth_flows"].([]any)
		require.Equal(t, made, flows[1])
		require.Equal(t, []any{"authenticator", "username_password"}, call(t, s, "GET", at, "").object(t)["auth_methods"])

		for what, body := range map[string]string{
			"no name": `{"methods":["custom"]}`, "no methods": `{"name":"a"}`, "empty methods": `{"name":"a","methods":[]}`,
			"unknown method": `{"name":"a","methods":["telepathy"]}`, "nameless field": `{"name":"a","methods":["custom"],"custom_fields":[{}]}`,
		} {
			r := call(t, s, "POST", at+"/auth-flows", body)
			require.Equal(t, 400, r.status, what)
			r.requireError(t, 400)
		}
	})
}
