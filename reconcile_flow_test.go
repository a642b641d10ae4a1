package connect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// fast makes calls without a pause.
var fast = connect.ReconcileOptions{CallsPerMinute: 1_000_000}

// disagreement is a site where the store and Anchor disagree in every way.
type disagreement struct {
	*hook
	fine, gone, sick, untagged, foreign connect.Connection
	orphans                             []string
	young, marked                       string
}

func newDisagreement(t *testing.T) *disagreement {
	d := &disagreement{hook: newHook(t, withCalendar)}
	connected := func(user string) connect.Connection {
		d.signedIn(user).connect()
		return d.connection(user)
	}
	d.fine, d.gone, d.sick = connected("fine"), connected("gone"), connected("sick")
	d.untagged, d.foreign = connected("untagged"), connected("foreign")
	d.remove(d.gone.IdentityID)
	d.fake.SetStatus(d.sick.IdentityID, anchortest.StatusFailed)
	mark := func(id string, metadata map[string]any) {
		identity, _ := d.fake.Identity(id)
		identity.Metadata, identity.CreatedAt = metadata, d.clock.now().AddDate(0, -1, 0)
		d.fake.PutIdentity(identity)
	}
	mark(d.untagged.IdentityID, map[string]any{"plan": "pro"})
	mark(d.foreign.IdentityID, map[string]any{"externalUserId": "eve"})
	for _, orphan := range d.fake.AddOrphans(3, 25*time.Hour) {
		d.orphans = append(d.orphans, orphan.ID)
	}
	d.young = d.fake.AddOrphans(1, 23*time.Hour)[0].ID
	d.marked = d.fake.PutIdentity(anchortest.Identity{CreatedAt: d.clock.now().AddDate(0, -1, 0), Metadata: map[string]any{"note": "staging's"}}).ID
	d.fake.PutIdentity(anchortest.Identity{ApplicationID: d.calendar, CreatedAt: d.clock.now().AddDate(0, -1, 0)})
	d.fake.ForgetCalls()
	return d
}

// findings returns what Reconcile finds there, by identity.
func (d *disagreement) findings() map[string]connect.FindingKind {
	found := map[string]connect.FindingKind{
		d.gone.IdentityID: connect.FoundGone, d.sick.IdentityID: connect.FoundBadStatus,
		d.untagged.IdentityID: connect.FoundUntagged, d.foreign.IdentityID: connect.FoundForeignMark,
		d.marked: connect.FoundUnknownMark,
	}
	for _, id := range d.orphans {
		found[id] = connect.FoundOrphan
	}
	return found
}

func TestReconcileReportsAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]anchortest.ListStyle{"a list in pages": anchortest.PagedLists, "a whole list": anchortest.WholeLists} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisagreement(t)
			d.fake.SetListStyle(style)
			d.fake.SetPageLimit(2)
			options := fast
			found := map[string]connect.FindingKind{}
			options.Found = func(f connect.Finding) {
				require.False(t, f.Repaired)
				found[f.IdentityID] = f.Kind
			}
			report, err := d.handler.Application("").Reconcile(t.Context(), options)
			require.NoError(t, err)
			require.Equal(t, d.findings(), found)
			require.Equal(t, 5, report.Connections)
			require.Equal(t, 4, report.Identities)
			require.Equal(t, 3, report.Found[connect.FoundOrphan])
			require.Empty(t, report.Repaired)
			require.Empty(t, report.Cursor)
			require.Equal(t, len(d.fake.Calls()), report.Calls)
			require.Contains(t, report.String(), "orphan: 3, of which 0 repaired")
			for _, method := range []string{"PUT", "POST", "DELETE"} {
				require.Zero(t, d.fake.CountCalls(method, ""), "it is dry")
			}
			require.Equal(t, connect.HealthOK, d.connection("gone").Health)
			require.Equal(t, connect.HealthOK, d.connection("sick").Health)
			tasks, err := d.store.Claim(t.Context(), d.fake.ApplicationID(), d.clock.now().Add(time.Hour), d.clock.now(), 10)
			require.NoError(t, err)
			require.Empty(t, tasks)
		})
	}
}

func TestReconcileRepairsWhatItIsAskedTo(t *testing.T) {
	t.Parallel()
	d := newDisagreement(t)
	options := fast
	options.Repair = true
	report, err := d.handler.Application("").Reconcile(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, connect.HealthNeedsSignIn, d.connection("gone").Health)
	require.Equal(t, connect.HealthNeedsSignIn, d.connection("sick").Health)
	d.waitForEvents(connect.HealthChanged, 2)
	require.Equal(t, connect.HealthOK, d.connection("fine").Health)
	require.Equal(t, "eve", d.tag(d.foreign.IdentityID), "another mark is never overwritten")
	require.Equal(t, map[connect.FindingKind]int{connect.FoundGone: 1, connect.FoundBadStatus: 1, connect.FoundUntagged: 1}, report.Repaired)
	require.Zero(t, d.fake.CountCalls("DELETE", ""), "deleting is asked for by name")
	d.run()
	require.Eventually(t, func() bool { return d.tag(d.untagged.IdentityID) == "untagged" }, 5*time.Second, 10*time.Millisecond)
}

func TestReconcileDeletesOrphansWhenAskedTo(t *testing.T) {
	t.Parallel()
	d := newDisagreement(t)
	options := fast
	options.DeleteOrphans = true
	report, err := d.handler.Application("").Reconcile(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, map[connect.FindingKind]int{connect.FoundOrphan: 3}, report.Repaired)
	for _, id := range d.orphans {
		_, there := d.fake.Identity(id)
		require.False(t, there)
	}
	for _, id := range []string{d.young, d.marked, d.fine.IdentityID, d.sick.IdentityID, d.untagged.IdentityID, d.foreign.IdentityID} {
		_, there := d.fake.Identity(id)
		require.True(t, there)
	}
	require.Equal(t, 3, d.fake.CountCalls("DELETE", ""))
	tasks, err := d.store.Claim(t.Context(), d.fake.ApplicationID(), d.clock.now().Add(time.Hour), d.clock.now(), 10)
	require.NoError(t, err)
	require.Empty(t, tasks)

	// A deletion that fails is left to Run.
	orphan := d.fake.AddOrphans(1, 48*time.Hour)[0].ID
	d.fake.Fault(anchortest.Fault{Method: "DELETE", Status: 503})
	_, err = d.handler.Application("").Reconcile(t.Context(), options)
	require.NoError(t, err)
	d.fake.ClearFaults()
	d.run()
	require.Eventually(t, func() bool { _, there := d.fake.Identity(orphan); return !there }, 10*time.Second, 10*time.Millisecond)
}

// Another request changes things before the repair: nothing is found, and nothing fails.
func TestReconcileIsOvertaken(t *testing.T) {
	t.Parallel()
	connected := func(s *site) string { return identityIn(s.signedIn("ada").connect()) }
	orphan := func(s *site) string { return s.fake.AddOrphans(1, 48*time.Hour)[0].ID }
	disconnect := func(s *site, _ string) { require.NoError(s.t, s.handler.DisconnectAll(context.Background(), "ada")) }
	for name, test := range map[string]struct {
		arrange func(s *site) (identityID string)
		// hold says when it happens: before Anchor handles the call, or before the answer
		// arrives.
		hold      func(fake *anchortest.Server, method, path string) *anchortest.Hold
		meanwhile func(s *site, identityID string)
		stays     bool
	}{
		"a callback connects an orphan": {
			arrange:   orphan,
			hold:      (*anchortest.Server).Hold,
			meanwhile: func(s *site, id string) { s.connectUntagged("ada", id) },
			stays:     true,
		},
		"an orphan is deleted": {
			arrange:   orphan,
			hold:      (*anchortest.Server).Hold,
			meanwhile: (*site).remove,
		},
		"a connection whose identity is gone ends": {
			arrange: func(s *site) string {
				id := connected(s)
				s.remove(id)
				return id
			},
			hold:      (*anchortest.Server).HoldAnswer,
			meanwhile: disconnect,
		},
		"a connection with a bad status ends": {
			arrange: func(s *site) string {
				id := connected(s)
				s.fake.SetStatus(id, anchortest.StatusFailed)
				return id
			},
			hold:      (*anchortest.Server).HoldAnswer,
			meanwhile: disconnect,
		},
		"a connection without a tag ends": {
			arrange: func(s *site) string {
				id := connected(s)
				identity, _ := s.fake.Identity(id)
				identity.Metadata = nil
				s.fake.PutIdentity(identity)
				return id
			},
			hold:      (*anchortest.Server).HoldAnswer,
			meanwhile: disconnect,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			id := test.arrange(s)
			hold := test.hold(s.fake, "GET", "/v1/identities/")
			options := fast
			options.Repair, options.DeleteOrphans = true, true
			done := make(chan error, 1)
			go func() {
				report, err := s.handler.Application("").Reconcile(context.Background(), options)
				if len(report.Found) > 0 || len(report.Repaired) > 0 {
					err = errors.Join(err, fmt.Errorf("found %v, repaired %v", report.Found, report.Repaired))
				}
				done <- err
			}()
			require.NoError(t, hold.Wait(t.Context(), 1))
			test.meanwhile(s, id)
			hold.Release()
			require.NoError(t, <-done)
			_, there := s.fake.Identity(id)
			require.Equal(t, test.stays, there)
			require.Equal(t, test.stays, len(s.connections("ada")) == 1)
		})
	}
}

func TestReconcileGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	d := newDisagreement(t)
	found := map[string]connect.FindingKind{}
	connections := 0
	options := fast
	for rounds := 0; options.After != "identities"; rounds++ {
		require.Less(t, rounds, 20)
		ctx, cancel := context.WithCancel(t.Context())
		options.Found = func(f connect.Finding) { found[f.IdentityID] = f.Kind; cancel() }
		report, err := d.handler.Application("").Reconcile(ctx, options)
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		require.Contains(t, report.String(), "stopped early")
		connections += report.Connections
		options.After = report.Cursor
	}
	require.Equal(t, 5, connections, "each is looked at once")

	options.Found = func(f connect.Finding) { found[f.IdentityID] = f.Kind }
	report, err := d.handler.Application("").Reconcile(t.Context(), options)
	require.NoError(t, err)
	require.Zero(t, report.Connections, "they were looked at before")
	require.Equal(t, 3, report.Found[connect.FoundOrphan])
	require.Empty(t, report.Cursor)
	require.Equal(t, d.findings(), found)

	_, err = d.handler.Application("").Reconcile(t.Context(), connect.ReconcileOptions{After: "page 7"})
	require.ErrorContains(t, err, "not the Cursor of a report")
}

func TestReconcileStopsAtATroubleAndSaysWhere(t *testing.T) {
	t.Parallel()
	d := newDisagreement(t)
	d.fake.Fault(anchortest.Fault{Method: "GET", Path: "/v1/applications/*/identities", Status: 503})
	report, err := d.handler.Application("").Reconcile(t.Context(), fast)
	require.ErrorIs(t, err, connect.ErrUpstreamUnavailable)
	require.Equal(t, "identities", report.Cursor)
	require.Equal(t, 5, report.Connections)

	bare := newSite(t, func(c *connect.Config) { c.Store = struct{ connect.Store }{connect.NewMemoryStore()} })
	_, err = bare.handler.Application("").Reconcile(t.Context(), fast)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// The list may be older than the identity that it names.
func TestReconcileSparesAnIdentityYoungerThanTheListSays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.fake.AddOrphans(1, 48*time.Hour)[0].ID
	for name, created := range map[string]time.Time{"an hour old": s.clock.now().Add(-time.Hour), "without a date": {}} {
		s.fake.Fault(anchortest.Fault{
			Method: "GET", Path: "/v1/identities/",
			Body: fmt.Sprintf(`{"id":%q,"status":"validated","metadata":{},"created_at":%q}`, id, created.Format(time.RFC3339)),
		})
		options := fast
		options.DeleteOrphans = true
		report, err := s.handler.Application("").Reconcile(t.Context(), options)
		require.NoError(t, err, name)
		require.Equal(t, 1, report.Identities, name)
		require.Empty(t, report.Found, name)
		_, there := s.fake.Identity(id)
		require.True(t, there, name)
		s.fake.ClearFaults()
	}
}

// In virtual time: a call a second, and none while Anchor asks to wait.
func TestReconcileKeepsToItsPace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		retryAfter string        // of the answer to the fifth call
		rest       time.Duration // after it
		times      int           // how often it is refused
		want       error
	}{
		"as long as Anchor asks":                  {"20", 20 * time.Second, 1, nil},
		"the usual pause if Anchor only says no":  {"", time.Second, 1, nil},
		"the usual pause if Anchor asks for less": {"0", time.Second, 1, nil},
		"a minute at most":                        {"3600", time.Minute, 1, nil},
		"five times for one call":                 {"20", 20 * time.Second, 5, nil},
		"and then an error":                       {"20", 20 * time.Second, 6, connect.ErrUpstreamUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := connect.NewMemoryStore()
				const application = "77777777-7777-4777-8777-777777777777"
				began := time.Now()
				for i := range 10 {
					id := fmt.Sprintf("22222222-2222-4222-8222-%012d", i)
					require.NoError(t, store.Bind(t.Context(), connect.Pending{
						TokenHash: id, ApplicationID: application, UserID: id, ExpiresAt: began.Add(time.Minute),
					}, 5))
					_, err := store.Complete(t.Context(), id, connect.Connection{
						ID: id, ApplicationID: application, UserID: id, IdentityID: id, ConnectedAt: began, Health: connect.HealthOK,
					}, connect.Completion{})
					require.NoError(t, err)
				}
				var calls []time.Duration
				transport := transport(func(r *http.Request) (*http.Response, error) {
					calls = append(calls, time.Since(began))
					if strings.HasSuffix(r.URL.Path, application) {
						return respond(r, 200, nil, fmt.Sprintf(`{"id":%q}`, application)), nil
					}
					if n := len(calls); n >= 5 && n < 5+test.times {
						header := http.Header{}
						if test.retryAfter != "" {
							header.Set("Retry-After", test.retryAfter)
						}
						return respond(r, 429, header, `{"error":"slow down"}`), nil
					}
					if strings.HasSuffix(r.URL.Path, "/identities") {
						return respond(r, 200, nil, `{"identities":[]}`), nil
					}
					id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
					return respond(r, 200, nil, fmt.Sprintf(`{"id":%q,"status":"validated","metadata":{"externalUserId":%q}}`, id, id)), nil
				})
				h, err := connect.New(connect.Config{
					Anchor:        anchorhttp.New("test-key", anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{Transport: transport})),
					ApplicationID: application, PublicURL: "https://app.example", Store: store, Logger: slog.New(slog.DiscardHandler),
					Secrets: [][]byte{[]byte("a secret of the tests, not random")},
					User:    func(*http.Request) (connect.User, error) { return connect.User{}, nil },
				})
				require.NoError(t, err)
				report, err := h.Application("").Reconcile(t.Context(), connect.ReconcileOptions{})
				require.ErrorIs(t, err, test.want)
				require.Len(t, calls, report.Calls)
				if test.want == nil {
					require.Equal(t, 12+test.times, report.Calls, "the application, ten identities, a list, and what was repeated")
				} else {
					require.Equal(t, 10, report.Calls)
				}
				want := time.Duration(0)
				for i, at := range calls {
					require.Equal(t, want, at, "call %d", i)
					if i >= 4 && i < 4+test.times {
						want += test.rest
					} else {
						want += time.Second
					}
				}
			})
		})
	}
}

// respond is Anchor's answer to a request.
func respond(r *http.Request, status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}
