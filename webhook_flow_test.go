package connect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func TestWebhookMovesTheHealth(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	callback := h.signedIn("ada").connect()
	graces := h.signedIn("grace").connect()
	id, now := identityIn(callback), h.clock.now()
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)

	steps := []struct {
		name string
		kind string
		at   time.Time
		want connect.Health
	}{
		{"an event of before the sign-in", failed, now.Add(-time.Hour), connect.HealthOK},
		{"a sign-in failed", failed, now.Add(10 * time.Second), connect.HealthNeedsSignIn},
		{"the same again", failed, now.Add(10 * time.Second), connect.HealthNeedsSignIn},
		{"an older success", works, now.Add(5 * time.Second), connect.HealthNeedsSignIn},
		{"a newer success", works, now.Add(20 * time.Second), connect.HealthOK},
		{"the failure once more", failed, now.Add(10 * time.Second), connect.HealthOK},
		{"another success", works, now.Add(40 * time.Second), connect.HealthOK},
		{"a failure between the two", failed, now.Add(30 * time.Second), connect.HealthOK},
	}
	h.clock.advance(time.Minute)
	for _, step := range steps {
		require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(step.kind, id, step.at)), step.name)
		require.Equal(t, step.want, h.connection("ada").Health, step.name)
	}
	require.Equal(t, connect.HealthOK, h.connection("grace").Health)
	changes := h.waitForEvents(connect.HealthChanged, 2)
	require.Equal(t, connect.HealthNeedsSignIn, changes[0].Health)
	require.Equal(t, connect.HealthOK, changes[1].Health)
	require.Equal(t, "ada", changes[0].UserID)
	require.Equal(t, id, changes[0].IdentityID)
	require.Equal(t, h.fake.ApplicationID(), changes[0].ApplicationID)
	require.NotEqual(t, identityIn(graces), id)
}

func TestWebhookLogsABodyThatMiddlewareHasRead(t *testing.T) {
	t.Parallel()
	const hint = "middleware has read it before"
	for name, read := range map[string]func(*http.Request){
		"all of it": func(r *http.Request) { _, _ = io.ReadAll(r.Body) },
		"a form": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_ = r.ParseForm()
		},
		"a part":                  func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 3)) },
		"without a length":        func(r *http.Request) { _, _ = io.ReadAll(r.Body); r.ContentLength = -1 },
		"a body that is put back": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			if read == nil {
				read = func(r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
			}
			inner := h.server.Config.Handler
			h.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/webhooks/anchor" {
					read(r)
				}
				inner.ServeHTTP(w, r)
			})
			body := event(failed, identityIn(h.signedIn("ada").connect()), h.clock.now())
			putBack := name == "a body that is put back"
			want := http.StatusUnauthorized
			if putBack {
				want = http.StatusNoContent
			}
			require.Equal(t, want, h.send(webhookSecret, body))
			require.Equal(t, !putBack, strings.Contains(h.log.String(), hint), h.log)
		})
	}
	h := newHook(t)
	require.Equal(t, http.StatusUnauthorized, h.send("another secret", "{}"))
	require.NotContains(t, h.log.String(), hint)
}

func TestWebhookTakesOnlySignedEvents(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	id := identityIn(h.signedIn("ada").connect())
	h.clock.advance(time.Minute)
	body := event(failed, id, h.clock.now())

	require.Equal(t, http.StatusUnauthorized, h.send("another secret", body))
	require.Equal(t, http.StatusUnauthorized, h.send("", body), "an empty secret signs nothing")
	res, err := h.server.Client().Post(h.server.URL+"/webhooks/anchor", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.Equal(t, http.StatusRequestEntityTooLarge, h.send(webhookSecret, strings.Repeat(" ", 256<<10)+body))
	a := h.browser().get("/webhooks/anchor")
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	require.Equal(t, "POST", a.header.Get("Allow"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)

	require.Equal(t, http.StatusNoContent, h.send("whsec_of_before_that", body), "the secret of before the rotation")
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
}

func TestWebhookIgnoresOtherEvents(t *testing.T) {
	t.Parallel()
	store := newCountingStore()
	h := newHook(t, func(c *connect.Config) { c.Store = store })
	id := identityIn(h.signedIn("ada").connect())
	h.clock.advance(time.Minute)
	now := h.clock.now()
	for name, body := range map[string]string{
		"another event":           event("session.completed", id, now),
		"an event without a type": `{}`,
		"no identity":             `{"type":"identity.authentication_failed","data":{}}`,
		"two identities":          `{"type":"identity.authentication_failed","data":{"identity_id":"` + id + `","identityId":"` + h.fake.ApplicationID() + `"}}`,
		"no JSON":                 "<html>",
		"an unknown identity":     event(failed, "99999999-9999-4999-8999-999999999999", now),
	} {
		require.Equal(t, http.StatusNoContent, h.send(webhookSecret, body), name)
	}
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)
	require.Equal(t, 1, store.counted("SetHealth"), "an event costs a look-up only when it names an identity")

	store.set("SetHealth", errors.New("the disk is full"))
	require.Equal(t, http.StatusServiceUnavailable, h.send(webhookSecret, event(failed, id, now)), "to be tried again")
	require.Regexp(t, `level=ERROR msg="connect: fault in a webhook" status=503 .*the disk is full`, h.log.String())
	store.set("SetHealth", nil)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, now)))
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
	require.NotContains(t, h.log.String(), webhookSecret)
}

// "id" may be the id of something else than an identity.
func TestWebhookTakesABareIDThatAConnectionHas(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	id := identityIn(h.signedIn("ada").connect())
	h.clock.advance(time.Minute)
	bare := func(id string) string {
		return `{"type":"identity.authentication_failed","data":{"id":"` + id + `","reason":"ada@example.com"}}`
	}
	before := len(h.log.String())
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, bare("99999999-9999-4999-8999-999999999999")))
	require.Len(t, h.log.String(), before)
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, bare(id)))
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)

	before = len(h.log.String())
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, bare("acct_7")))
	log := h.log.String()[before:]
	require.Contains(t, log, "WARN", "it would go unnoticed otherwise")
	require.Contains(t, log, "[id reason]")
	require.NotContains(t, log, "acct_7", "names only")
	require.NotContains(t, log, "ada@example.com", "names only")
}

// Anchor gives up after ten seconds, so the work on an event ends before.
func TestWebhookIsAnsweredBeforeAnchorGivesUp(t *testing.T) {
	t.Parallel()
	store := &slowHealth{Store: connect.NewMemoryStore()}
	h := newHook(t, func(c *connect.Config) { c.Store = store })
	id := identityIn(h.signedIn("ada").connect())
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, h.clock.now())))
	require.InDelta(t, 8, store.had.Seconds(), 5)
}

// slowHealth is a store that records how long SetHealth may take.
type slowHealth struct {
	connect.Store
	had time.Duration
}

func (s *slowHealth) SetHealth(ctx context.Context, identityID string, health connect.Health, at time.Time) (connect.Connection, bool, error) {
	deadline, _ := ctx.Deadline()
	s.had = time.Until(deadline)
	return s.Store.SetHealth(ctx, identityID, health, at)
}

// One store may serve handlers of several applications, and Anchor sends the
// events of all to one address.
func TestWebhookServesAnotherHandlersApplication(t *testing.T) {
	t.Parallel()
	h := newHook(t, withCalendar, func(c *connect.Config) { c.ApplicationID = "" })
	c := connect.Connection{
		ID: "a", ApplicationID: h.fake.ApplicationID(), UserID: "ada", IdentityID: "99999999-9999-4999-8999-999999999999",
		ConnectedAt: h.clock.now(), Health: connect.HealthOK, HealthAt: h.clock.now().Add(-time.Hour),
	}
	start := connect.Pending{TokenHash: "hash", ApplicationID: c.ApplicationID, UserID: c.UserID, ExpiresAt: c.ConnectedAt.Add(time.Minute)}
	require.NoError(t, h.store.Bind(t.Context(), start, 5))
	_, err := h.store.Complete(t.Context(), start.TokenHash, c, connect.Completion{TagAfter: c.ConnectedAt})
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, c.IdentityID, h.clock.now())))
	e := h.waitForEvents(connect.HealthChanged, 1)[0]
	e.Time = time.Time{}
	require.Equal(t, connect.Event{
		Kind: connect.HealthChanged, UserID: "ada", ApplicationID: c.ApplicationID, ConnectionID: "a", IdentityID: c.IdentityID, Health: connect.HealthNeedsSignIn,
	}, e)
}

// An event that is under way while the user signs in again must not undo the new sign-in,
// whichever arrives first.
func TestWebhookOfAnOldFailureDoesNotUndoANewSignIn(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	ada := h.signedIn("ada")
	id := identityIn(ada.connect())
	h.clock.advance(time.Minute)
	before := h.clock.now()
	h.clock.advance(time.Second)
	callback := h.approve(ada.start(), anchortest.WithExistingIdentity(id))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, before)))
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)

	h.clock.advance(time.Minute)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, h.clock.now())))
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health, "a later one does")

	// Events of the replaced identity change nothing.
	other := ada.connect()
	h.clock.advance(time.Minute)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, h.clock.now())))
	require.Equal(t, identityIn(other), h.connection("ada").IdentityID)
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)
}

// The sign-in counts, not the moment at which the flow began.
func TestWebhookOfAFailureBeforeTheSignInIsOutdated(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	ada := h.signedIn("ada")
	id := identityIn(ada.connect())
	h.clock.advance(time.Minute)
	hosted := ada.start()
	h.clock.advance(10 * time.Second)
	between := h.clock.now()
	h.clock.advance(10 * time.Second)
	callback := h.approve(hosted, anchortest.WithExistingIdentity(id))
	require.Equal(t, http.StatusSeeOther, ada.get(callback).status)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, between)))
	require.Equal(t, connect.HealthOK, h.connection("ada").Health)
}

// Events and sign-ins are put in order by Anchor's clock alone.
func TestWebhookOrdersEventsByAnchorsClock(t *testing.T) {
	t.Parallel()
	h := newHook(t, func(c *connect.Config) {
		anchors := c.Now
		c.Now = func() time.Time { return anchors().Add(time.Minute) }
	})
	id := identityIn(h.signedIn("ada").connect())
	h.clock.advance(10 * time.Second)
	require.Equal(t, http.StatusNoContent, h.send(webhookSecret, event(failed, id, h.clock.now())))
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
}

func TestWebhookDuringARenewalSparesTheNewIdentity(t *testing.T) {
	t.Parallel()
	for range 10 {
		h := newHook(t)
		ada := h.signedIn("ada")
		first := identityIn(ada.connect())
		second := h.approve(ada.start())
		h.clock.advance(time.Second)
		at := h.clock.now()
		var meet sync.WaitGroup
		var returned answer
		var status [4]int
		meet.Go(func() { returned, _ = ada.try("GET", second, "", "") })
		for i := range status {
			meet.Go(func() { status[i], _ = h.trySend(webhookSecret, event(failed, first, at)) })
		}
		meet.Wait()
		require.Equal(t, http.StatusSeeOther, returned.status)
		require.Equal(t, [4]int{204, 204, 204, 204}, status)
		c := h.connection("ada")
		require.Equal(t, identityIn(second), c.IdentityID)
		require.Equal(t, connect.HealthOK, c.Health, "events of the old identity do not concern the new one")
	}
}

func TestWebhookDeliveredManyTimesChangesOnce(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	id := identityIn(h.signedIn("ada").connect())
	h.clock.advance(time.Minute)
	at := h.clock.now()
	var meet sync.WaitGroup
	for range 20 {
		meet.Go(func() { _, _ = h.trySend(webhookSecret, event(failed, id, at)) })
	}
	meet.Wait()
	require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
	h.waitForEvents(connect.HealthChanged, 1)
}

// The fake sends events in every shape that Anchor's documentation leaves open.
func TestWebhookReadsTheEventsOfTheFake(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct {
		time     anchortest.EventTime
		identity anchortest.EventIdentity
	}{
		{anchortest.TextEventTime, anchortest.SnakeEventIdentity},
		{anchortest.TextEventTime, anchortest.CamelEventIdentity},
		{anchortest.UnixEventTime, anchortest.NestedEventIdentity},
		{anchortest.TextEventTime, anchortest.TextEventIdentity},
		{anchortest.UnixEventTime, anchortest.BareEventIdentity},
	} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			t.Parallel()
			h := newHook(t)
			h.fake.SetWebhookClient(h.server.Client())
			h.fake.SetWebhook(h.server.URL+"/webhooks/anchor", webhookSecret)
			h.fake.SetEventTime(shape.time)
			h.fake.SetEventIdentity(shape.identity)
			ada := h.signedIn("ada")
			id := identityIn(ada.connect())
			require.NoError(t, h.fake.WaitDelivered(t.Context()))
			require.Equal(t, connect.HealthOK, h.connection("ada").Health)

			h.clock.advance(2 * time.Second)
			require.NoError(t, h.fake.FailIdentity(t.Context(), id))
			require.NoError(t, h.fake.WaitDelivered(t.Context()))
			require.Equal(t, connect.HealthNeedsSignIn, h.connection("ada").Health)
			h.clock.advance(2 * time.Second)
			require.NoError(t, h.fake.Client().Reauthenticate(t.Context(), id))
			require.NoError(t, h.fake.WaitDelivered(t.Context()))
			require.Equal(t, connect.HealthOK, h.connection("ada").Health)
			for _, d := range h.fake.Deliveries() {
				require.Equal(t, http.StatusNoContent, d.Status, "%+v", d)
			}
		})
	}
}
