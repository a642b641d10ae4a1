package anchortest

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func urlQuery(text string) string { return url.QueryEscape(text) }

func TestIdentities(t *testing.T) {
	t.Parallel()

	t.Run("an identity has exactly the documented fields", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{Name: "Ann", Metadata: map[string]any{"externalUserId": "u1"}})
		r := call(t, s, "GET", "/v1/identities/"+kept.ID, "")
		require.Equal(t, 200, r.status)
		got := r.object(t)
		require.ElementsMatch(t, []string{"id", "name", "source", "status", "metadata", "created_at", "updated_at"}, keys(got))
		require.Equal(t, kept.ID, got["id"])
		require.Equal(t, "Ann", got["name"])
		require.Equal(t, "https://example.com", got["source"])
		require.Equal(t, "validated", got["status"])
		require.Equal(t, map[string]any{"externalUserId": "u1"}, got["metadata"])
		require.Regexp(t, timePattern, got["created_at"])
		require.Regexp(t, timePattern, got["updated_at"])
	})

	t.Run("an id may be written in capitals", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{ID: "ABCDEF00-0000-4000-8000-00000000000F"})
		require.Equal(t, "abcdef00-0000-4000-8000-00000000000f", kept.ID)
		require.Equal(t, kept.ID, call(t, s, "GET", "/v1/identities/ABCDEF00-0000-4000-8000-00000000000F", "").object(t)["id"])
		_, found := s.Identity("ABCDEF00-0000-4000-8000-00000000000F")
		require.True(t, found)
	})

	t.Run("without metadata it is an empty object", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		require.Equal(t, map[string]any{}, kept.Metadata)
		require.Contains(t, call(t, s, "GET", "/v1/identities/"+kept.ID, "").body, `"metadata":{}`)
	})

	t.Run("an update replaces metadata whole and keeps what it does not name", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
		kept := s.PutIdentity(Identity{Name: "Ann", Metadata: map[string]any{"plan": "pro"}, CreatedAt: now})
		s.SetNow(func() time.Time { return now.Add(time.Hour) })

		r := call(t, s, "PUT", "/v1/identities/"+kept.ID, `{"metadata":{"externalUserId":"u1"},"credentials":[{"type":"username_password","username":"a","password":"b"}],"future":1}`)
		require.Equal(t, 200, r.status)
		got := r.object(t)
		require.ElementsMatch(t, []string{"id", "name", "metadata", "updated_at"}, keys(got))
		require.Equal(t, "Ann", got["name"])
		require.Equal(t, map[string]any{"externalUserId": "u1"}, got["metadata"])
		require.Equal(t, "2031-01-02T04:04:05.000Z", got["updated_at"])

		call(t, s, "PUT", "/v1/identities/"+kept.ID, `{"name":"Bob"}`)
		now2, _ := s.Identity(kept.ID)
		require.Equal(t, "Bob", now2.Name)
		require.Equal(t, map[string]any{"externalUserId": "u1"}, now2.Metadata)
		require.Equal(t, now, now2.CreatedAt)

		call(t, s, "PUT", "/v1/identities/"+kept.ID, `{"metadata":{}}`)
		now2, _ = s.Identity(kept.ID)
		require.Empty(t, now2.Metadata)
	})

	t.Run("an update merges metadata on demand", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.SetMetadataMerge(true)
		kept := s.PutIdentity(Identity{Metadata: map[string]any{"plan": "pro", "n": 1}})
		call(t, s, "PUT", "/v1/identities/"+kept.ID, `{"metadata":{"plan":"free","x":null}}`)
		merged, _ := s.Identity(kept.ID)
		require.Equal(t, map[string]any{"plan": "free", "n": json.Number("1"), "x": nil}, merged.Metadata)
	})

	t.Run("numbers in metadata stay as they were written", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept := s.PutIdentity(Identity{})
		call(t, s, "PUT", "/v1/identities/"+kept.ID, `{"metadata":{"n":12345678901234567890,"f":1.50}}`)
		require.Contains(t, call(t, s, "GET", "/v1/identities/"+kept.ID, "").body, `{"f":1.50,"n":12345678901234567890}`)
	})

	t.Run("a deleted identity is gone", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		kept, other := s.PutIdentity(Identity{}), s.PutIdentity(Identity{})
		at := "/v1/identities/" + kept.ID
		r := call(t, s, "DELETE", at, "")
		require.Equal(t, 200, r.status)
		require.Equal(t, []string{"message"}, keys(r.object(t)))
		call(t, s, "DELETE", at, "").requireError(t, 404)
		call(t, s, "GET", at, "").requireError(t, 404)
		call(t, s, "PUT", at, `{"name":"a"}`).requireError(t, 404)
		call(t, s, "POST", at+"/reauthenticate", "").requireError(t, 404)
		_, found := s.Identity(kept.ID)
		require.False(t, found)
		require.Equal(t, []Identity{other}, s.Identities())
		list := call(t, s, "GET", "/v1/applications/"+s.ApplicationID()+"/identities", "").object(t)["identities"].([]any)
		require.Len(t, list, 1)
	})

	t.Run("an id that is no UUID is a 404", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, id := range []string{"x", "%2e%2e", "a%2fb", "%00", "{" + unknownID + "}", unknownID + "%20"} {
			call(t, s, "GET", "/v1/identities/"+id, "").requireError(t, 404)
			call(t, s, "PUT", "/v1/identities/"+id, "{}").requireError(t, 404)
			call(t, s, "DELETE", "/v1/identities/"+id, "").requireError(t, 404)
		}
	})

	t.Run("reauthenticating validates, whether waited for or not", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for body, async := range map[string]bool{``: false, `{}`: false, `{"sync":true}`: false, `{"sync":false}`: true} {
			kept := s.PutIdentity(Identity{Status: StatusFailed})
			r := call(t, s, "POST", "/v1/identities/"+kept.ID+"/reauthenticate", body)
			require.Equal(t, 200, r.status, r.body)
			require.Equal(t, map[string]any{"identityId": kept.ID, "async": async}, r.object(t), body)
			now, _ := s.Identity(kept.ID)
			require.Equal(t, StatusValidated, now.Status)
		}
	})

	t.Run("what was handed out and what is kept share nothing", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		given := map[string]any{"a": map[string]any{"b": "c"}}
		kept := s.PutIdentity(Identity{Metadata: given})
		given["a"].(map[string]any)["b"] = "changed"
		kept.Metadata["a"].(map[string]any)["b"] = "changed"
		again, _ := s.Identity(kept.ID)
		again.Metadata["x"] = "changed"
		s.Identities()[0].Metadata["x"] = "changed"
		again, _ = s.Identity(kept.ID)
		require.Equal(t, map[string]any{"a": map[string]any{"b": "c"}}, again.Metadata)
	})

	t.Run("PutIdentity fills in what is empty, replaces, and panics on mistakes", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
		s.SetNow(func() time.Time { return now.Add(time.Microsecond) })
		kept := s.PutIdentity(Identity{})
		require.Regexp(t, uuidPattern, kept.ID)
		require.Equal(t, Identity{
			ID: kept.ID, ApplicationID: s.ApplicationID(), Name: "Unnamed Identity", Source: "https://example.com",
			Status: StatusValidated, Metadata: map[string]any{}, CreatedAt: now, UpdatedAt: now,
		}, kept)

		seeded := s.PutIdentity(Identity{CreatedAt: now.Add(time.Microsecond).In(time.FixedZone("", 3600))})
		require.Equal(t, now, seeded.CreatedAt)
		require.Equal(t, now, seeded.UpdatedAt)
		kept.Name, kept.Status = "Ann", StatusPending
		require.Equal(t, kept, s.PutIdentity(kept))
		require.Len(t, s.Identities(), 2)
		require.Equal(t, kept, s.Identities()[0])

		other := s.AddApplication("Two", "https://two.example")
		require.Equal(t, "https://two.example", s.PutIdentity(Identity{ApplicationID: other}).Source)

		require.Panics(t, func() { s.PutIdentity(Identity{ID: "x"}) })
		require.Panics(t, func() { s.PutIdentity(Identity{ApplicationID: unknownID}) })
		require.Panics(t, func() { s.PutIdentity(Identity{Metadata: map[string]any{"f": math.Inf(1)}}) })
		require.Len(t, s.Identities(), 3) // And the lock is free.
	})
}

func TestIdentitiesAreListed(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := s.AddApplication("Two", "https://two.example")
	ids := map[string]string{}
	for _, identity := range []Identity{
		{Name: "Ann Smith", Metadata: map[string]any{"plan": "pro", "seats": 5, "beta": true, "externalUserId": "u1"}},
		{Name: "Bob", Metadata: map[string]any{"plan": "pro", "seats": 7}, Status: StatusFailed},
		{Name: "Cy", Metadata: map[string]any{"note": "5", "tags": []any{"x"}}},
		{Name: "Ann elsewhere", ApplicationID: other, Metadata: map[string]any{"plan": "pro"}},
	} {
		ids[identity.Name] = s.PutIdentity(identity).ID
	}
	at := "/v1/applications/" + s.ApplicationID() + "/identities"
	list := func(t *testing.T, query string) []string {
		t.Helper()
		r := call(t, s, "GET", at+query, "")
		require.Equal(t, 200, r.status, r.body)
		names := []string{}
		for _, item := range r.object(t)["identities"].([]any) {
			names = append(names, item.(map[string]any)["name"].(string))
		}
		return names
	}

	t.Run("items have the documented fields and no metadata", func(t *testing.T) {
		t.Parallel()
		items := call(t, s, "GET", at, "").object(t)["identities"].([]any)
		require.Len(t, items, 3)
		item := items[1].(map[string]any)
		require.ElementsMatch(t, []string{"id", "name", "auth_flow", "status", "created_at", "updated_at"}, keys(item))
		require.Equal(t, ids["Bob"], item["id"])
		require.Equal(t, "failed", item["status"])
		require.Regexp(t, timePattern, item["created_at"])
	})

	t.Run("no identities are an empty list", func(t *testing.T) {
		t.Parallel()
		empty := s.AddApplication("Three", "https://three.example")
		require.Contains(t, call(t, s, "GET", "/v1/applications/"+empty+"/identities", "").body, `"identities":[]`)
	})

	for _, test := range []struct {
		name, query string
		want        []string
	}{
		{"all, oldest first", "", []string{"Ann Smith", "Bob", "Cy"}},
		{"by name in any case", "?search=SMITH", []string{"Ann Smith"}},
		{"by name, no other application's", "?search=ann", []string{"Ann Smith"}},
		{"by name, none", "?search=zed", []string{}},
		{"by JSON", "?metadata=" + urlQuery(`{"plan":"pro"}`), []string{"Ann Smith", "Bob"}},
		{"by JSON, all pairs", "?metadata=" + urlQuery(`{"plan":"pro","seats":7}`), []string{"Bob"}},
		{"by JSON, types differ", "?metadata=" + urlQuery(`{"seats":"7"}`), []string{}},
		{"by JSON, a list", "?metadata=" + urlQuery(`{"tags":["x"]}`), []string{"Cy"}},
		{"by JSON, a key that is not there", "?metadata=" + urlQuery(`{"none":null}`), []string{}},
		{"by JSON, no pairs", "?metadata=" + urlQuery(`{}`), []string{"Ann Smith", "Bob", "Cy"}},
		{"by deepObject", "?metadata[plan]=pro", []string{"Ann Smith", "Bob"}},
		{"by deepObject, encoded", "?metadata%5Bplan%5D=pro&metadata%5BexternalUserId%5D=u1", []string{"Ann Smith"}},
		{"by deepObject, a number", "?metadata[seats]=7", []string{"Bob"}},
		{"by deepObject, a text of digits", "?metadata[note]=5", []string{"Cy"}},
		{"by deepObject, true", "?metadata[beta]=true", []string{"Ann Smith"}},
		{"by deepObject, another value", "?metadata[plan]=free", []string{}},
		{"by half a deepObject, which is none", "?metadata[plan=free", []string{"Ann Smith", "Bob", "Cy"}},
		{"by name and metadata", "?search=bob&metadata[plan]=pro", []string{"Bob"}},
		{"a page", "?page=2&limit=2", []string{"Cy"}},
		{"a limit alone", "?limit=2", []string{"Ann Smith", "Bob"}},
		{"a page alone", "?page=1", []string{"Ann Smith", "Bob", "Cy"}},
		{"a page past the end", "?page=2", []string{}},
		{"a page far past the end", "?page=2147483647&limit=2147483647", []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, list(t, test.query))
		})
	}

	for _, query := range []string{
		"?metadata=x", "?metadata=[]", "?metadata=1", "?metadata=" + urlQuery(`{} {}`), "?page=0", "?page=-1", "?page=x", "?limit=0", "?limit=1.5", "?limit=99999999999",
	} {
		t.Run("refused: "+query, func(t *testing.T) {
			t.Parallel()
			call(t, s, "GET", at+query, "").requireError(t, http.StatusBadRequest)
		})
	}

	t.Run("a page has 50 without a limit", func(t *testing.T) {
		t.Parallel()
		many := s.AddApplication("Four", "https://four.example")
		for range 51 {
			s.PutIdentity(Identity{ApplicationID: many})
		}
		at := "/v1/applications/" + many + "/identities"
		require.Len(t, call(t, s, "GET", at, "").object(t)["identities"], 51)
		require.Len(t, call(t, s, "GET", at+"?page=1", "").object(t)["identities"], 50)
		require.Len(t, call(t, s, "GET", at+"?page=2", "").object(t)["identities"], 1)
	})
}
