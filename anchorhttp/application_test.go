package anchorhttp_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestApplication(t *testing.T) {
	t.Parallel()
	const body = `{"id":"` + appID + `","name":"Example","url":"https://example.com","description":null,"identity_count":3,` +
		`"auth_methods":["username_password"],"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	want := anchorhttp.Application{
		ID: appID, Name: "Example", URL: "https://example.com", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for name, body := range map[string]string{"as documented": body, "wrapped": `{"data":` + body + `}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, says(200, body))
			got, err := srv.client().Application(t.Context(), strings.ToUpper(appID))
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, http.MethodGet, srv.requests()[0].method)
			require.Equal(t, "/v1/applications/"+appID, srv.requests()[0].path)
		})
	}
	t.Run("no URL", func(t *testing.T) {
		t.Parallel()
		got, err := serve(t, says(200, `{"id":"`+appID+`","url":null}`)).client().Application(t.Context(), appID)
		require.NoError(t, err)
		require.Equal(t, anchorhttp.Application{ID: appID}, got)
	})
	for name, body := range map[string]string{
		"another application": `{"id":"` + idA + `"}`, "no id": `{"url":"https://example.com"}`, "a page": `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := serve(t, says(200, body)).client().Application(t.Context(), appID)
			require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
			require.Zero(t, got)
		})
	}
}

func nthID(n int) string { return fmt.Sprintf("abcdefab-0000-4000-8000-%012d", n) }

// listOf is an answer that lists the identities from first to last.
func listOf(first, last int) string {
	var items []string
	for n := first; n <= last; n++ {
		items = append(items, `{"id":"`+nthID(n)+`","name":"n`+strconv.Itoa(n)+`","auth_flow":null,"status":"pending",`+
			`"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"}`)
	}
	return `{"identities":[` + strings.Join(items, ",") + `]}`
}

// paged answers with pages of size out of total identities.
func paged(size, total int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page, err := strconv.Atoi(r.URL.Query().Get("page"))
		if err != nil || page < 1 {
			says(400, `{"message":"page"}`)(w, r)
			return
		}
		says(200, listOf((page-1)*size+1, min(page*size, total)))(w, r)
	}
}

func TestApplicationIdentities(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		h     http.HandlerFunc
		want  int // identities 1 to want
		calls int
	}{
		{"none", paged(50, 0), 0, 1},
		{"null is none", says(200, `{"identities":null}`), 0, 1},
		{"a page that is not full is followed by another look", paged(50, 3), 3, 2},
		{"a page that is full", paged(50, 50), 50, 2},
		{"three pages", paged(50, 101), 101, 4},
		{"smaller pages than asked for", paged(10, 25), 25, 4},
		{"larger pages than asked for", paged(100, 250), 250, 4},
		{"a server that knows no pages", says(200, listOf(1, 120)), 120, 2},
		{"a server that repeats its last page", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "1" {
				says(200, listOf(1, 50))(w, r)
				return
			}
			says(200, listOf(51, 60))(w, r)
		}, 60, 3},
		{"pages that overlap, since identities were added meanwhile", func(w http.ResponseWriter, r *http.Request) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			says(200, listOf(max(1, page*10-12), min(page*10, 25)))(w, r)
		}, 25, 4},
		{"one id in two spellings", says(200, `{"identities":[{"id":"`+nthID(1)+`","name":"n1","status":"pending","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"},{"id":"`+
			strings.ToUpper(nthID(1))+`"}]}`), 1, 2},
		{"wrapped", func(w http.ResponseWriter, r *http.Request) { says(200, `{"data":`+listOf(1, 2)+`}`)(w, r) }, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, tt.h)
			seq := srv.client().ApplicationIdentities(t.Context(), strings.ToUpper(appID), anchorhttp.IdentityFilter{})
			require.Empty(t, srv.requests(), "nothing is fetched before the loop")
			for round := 1; round <= 2; round++ { // A sequence may be used again.
				n := 0
				for v, err := range seq {
					n++
					require.NoError(t, err)
					requireDated(t, &v.Date)
					require.Equal(t, anchorhttp.ApplicationIdentity{
						ID: nthID(n), Name: fmt.Sprintf("n%d", n), Status: anchorhttp.StatusPending,
						CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), UpdatedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
					}, v)
				}
				require.Equal(t, tt.want, n)
				require.Len(t, srv.requests(), round*tt.calls)
			}
			for i, r := range srv.requests() {
				require.Equal(t, http.MethodGet, r.method)
				require.Equal(t, "/v1/applications/"+appID+"/identities", r.path)
				require.Equal(t, map[string][]string{"page": {strconv.Itoa(i%tt.calls + 1)}, "limit": {"50"}}, r.query)
			}
		})
	}
}

func TestApplicationIdentitiesFilter(t *testing.T) {
	t.Parallel()
	srv := serve(t, paged(1, 1))
	metadata := map[string]string{"externalUserId": "a&b \"ü\"", "plan": "pro"}
	seq := srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{Search: "Ann & Co", Metadata: metadata})
	clear(metadata) // The filter is that of the call, whatever becomes of the map.
	for _, err := range seq {
		require.NoError(t, err)
	}
	require.Len(t, srv.requests(), 2)
	for i, r := range srv.requests() {
		require.Equal(t, []string{"Ann & Co"}, r.query["search"])
		require.Len(t, r.query["metadata"], 1)
		requireJSON(t, `{"externalUserId":"a&b \"ü\"","plan":"pro"}`, r.query["metadata"][0])
		require.Equal(t, []string{strconv.Itoa(i + 1)}, r.query["page"])
		require.Equal(t, []string{"50"}, r.query["limit"])
	}
}

func TestApplicationIdentitiesAreLazy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ stopAt, calls int }{{1, 1}, {10, 1}, {11, 2}} {
		srv := serve(t, paged(10, 1000))
		n := 0
		for _, err := range srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
			require.NoError(t, err)
			if n++; n == tt.stopAt {
				break
			}
		}
		require.Len(t, srv.requests(), tt.calls)
	}
}

func TestApplicationIdentitiesErrors(t *testing.T) {
	t.Parallel()
	second := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("page") == "1" {
				says(200, listOf(1, 2))(w, r)
				return
			}
			says(200, body)(w, r)
		}
	}
	for name, body := range map[string]string{
		"no list":           `{}`,
		"a list by itself":  `[]`,
		"no list of a list": `{"identities":{}}`,
		"an item of a kind": `{"identities":["` + idA + `"]}`,
		"no id":             `{"identities":[{"id":"` + idA + `"},{"name":"x"}]}`,
		"no UUID":           `{"identities":[{"id":"17"}]}`,
		"a page":            `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, second(body))
			var ids []string
			var last error
			for v, err := range srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
				require.NoError(t, last, "nothing comes after an error")
				if last = err; err == nil {
					ids = append(ids, v.ID)
				} else {
					require.Zero(t, v)
				}
			}
			require.ErrorIs(t, last, anchorhttp.ErrInvalidAnswer)
			require.Equal(t, []string{nthID(1), nthID(2)}, ids, "of a page that is wrong nothing is given out")
			require.Len(t, srv.requests(), 2)
		})
	}
	t.Run("a list that is missing is not an empty one", func(t *testing.T) {
		t.Parallel()
		for _, err := range serve(t, says(200, `{"data":{}}`)).client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
			require.ErrorContains(t, err, "no list of identities")
		}
	})
	t.Run("an unknown application", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, says(404, `{"message":"no application"}`))
		n := 0
		for _, err := range srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
			n++
			var e *anchorhttp.Error
			require.ErrorAs(t, err, &e)
		}
		require.Equal(t, 1, n)
	})
}

// Without that a list without an end would fill the memory.
func TestApplicationIdentitiesRememberOnePage(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		says(200, listOf(page%3*10+1, page%3*10+10))(w, r)
	})
	n := 0
	for _, err := range srv.client().ApplicationIdentities(t.Context(), appID, anchorhttp.IdentityFilter{}) {
		require.NoError(t, err)
		if n++; n == 100 {
			break
		}
	}
	require.Equal(t, 100, n, "what came two pages ago is as good as new")
}

func TestApplications(t *testing.T) {
	t.Parallel()
	applications := func(first, last int) string {
		var all []string
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprintf(`{"id":%q,"name":"n%d","url":"https://%d.example"}`, strings.ToUpper(nthID(n)), n, n))
		}
		return `{"applications":[` + strings.Join(all, ",") + `]}`
	}
	srv := serve(t, says(200, applications(1, 120)))
	all, err := srv.client().Applications(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 120)
	require.Equal(t, nthID(7), all[6].ID)
	require.Equal(t, "https://7.example", all[6].URL)
	require.Len(t, srv.requests(), 1)
	require.Equal(t, "/v1/applications", srv.requests()[0].path)
	require.Empty(t, srv.requests()[0].query)

	_, err = serve(t, says(200, `{"data":{}}`)).client().Applications(t.Context())
	require.ErrorContains(t, err, "no list of applications")
	_, err = serve(t, says(200, `{"applications":[{"id":"17"}]}`)).client().Applications(t.Context())
	require.ErrorIs(t, err, anchorhttp.ErrInvalidAnswer)
}
