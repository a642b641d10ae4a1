package sqlstore

import (
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// The statements of a user's whole flow, counted between the handler and the database.
func TestRoundTripsOfAFlow(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d *database) {
		db, w := watched(t, d)
		s := d.emptyIn(t, db)
		require.NoError(t, s.Migrate(t.Context()))
		fake, err := anchortest.Start()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, fake.Close()) })

		mux := http.NewServeMux()
		over := make(chan struct{}, 1) // A callback answers before it is over.
		app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mux.ServeHTTP(w, r)
			over <- struct{}{}
		}))
		t.Cleanup(app.Close)
		h, err := connect.New(connect.Config{
			Anchor:        fake.Client(),
			ApplicationID: fake.ApplicationID(),
			PublicURL:     app.URL,
			Store:         s,
			User:          func(*http.Request) (connect.User, error) { return connect.User{ID: "anna"}, nil },
			Secrets:       [][]byte{[]byte("a secret of the tests, not random")},
			Logger:        slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		h.Register(mux)
		client := app.Client()
		client.Jar, err = cookiejar.New(nil)
		require.NoError(t, err)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

		// costs makes a request, requires its number of statements and whether it has a
		// transaction, and returns the Location of the response.
		costs := func(name, method, address string, statements int, transaction bool) string {
			t.Helper()
			var location string
			sent := w.during(func() {
				req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
				require.NoError(t, err)
				res, err := client.Do(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Equal(t, http.StatusSeeOther, res.StatusCode, name)
				location = res.Header.Get("Location")
				<-over
			})
			frame := slices.Clone(sent)
			frame = slices.DeleteFunc(frame, func(sending string) bool { return sending != "begin" && sending != "commit" })
			want := []string{}
			if transaction {
				want = []string{"begin", "commit"}
			}
			require.Equal(t, want, frame, name)
			require.Len(t, sent, statements+len(want), "%s: %q", name, sent)
			return location
		}
		on := func(sqlite, postgreSQL, mySQL int) int {
			return map[Dialect]int{SQLite: sqlite, PostgreSQL: postgreSQL, MySQL: mySQL}[d.dialect]
		}

		for _, time := range []string{"the first time", "once more"} {
			// Connections and Bind.
			hosted := costs("it begins, "+time, http.MethodPost, app.URL+"/connect", on(3, 2, 3), false)
			callback, err := fake.Approve(t.Context(), hosted)
			require.NoError(t, err)
			// Pending, Complete, Done.
			costs("a callback, "+time, http.MethodGet, callback, map[string]int{"the first time": on(8, 3, 8), "once more": on(9, 3, 9)}[time], d.dialect != PostgreSQL)
			costs("a reload, "+time, http.MethodGet, callback, 1, false)
		}
		tasks, err := s.Claim(t.Context(), fake.ApplicationID(), time.Now().AddDate(1, 0, 0), time.Now().AddDate(2, 0, 0), 10)
		require.NoError(t, err)
		require.Len(t, tasks, 1, "the deletion of the first identity is queued")
		require.Equal(t, connect.DeleteIdentity, tasks[0].Kind)
	})
}
