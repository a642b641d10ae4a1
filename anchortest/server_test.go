package anchortest

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServer(t *testing.T) {
	t.Parallel()

	t.Run("it listens on loopback and is the same after a restart", func(t *testing.T) {
		t.Parallel()
		a, b := start(t), start(t)
		require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, a.URL())
		require.NotEqual(t, a.URL(), b.URL())
		require.Equal(t, a.APIKey(), b.APIKey())
		require.Equal(t, a.ApplicationID(), b.ApplicationID())
		require.Regexp(t, uuidPattern, a.ApplicationID())
	})

	t.Run("options are taken", func(t *testing.T) {
		t.Parallel()
		id := "FA4E0000-0000-4000-8000-0000000000FF"
		s := start(t, WithAPIKey("k3y"), WithApplicationID(id), WithApplication("Shop", "https://shop.example"))
		require.Equal(t, "k3y", s.APIKey())
		require.Equal(t, strings.ToLower(id), s.ApplicationID())
		app := call(t, s, "GET", "/v1/applications/"+id, "").object(t)
		require.Equal(t, "Shop", app["name"])
		require.Equal(t, "https://shop.example", app["url"])
	})

	t.Run("an unusable option is an error from Start and a panic from New", func(t *testing.T) {
		t.Parallel()
		for what, opt := range map[string]Option{
			"no UUID":           WithApplicationID("1"),
			"no key":            WithAPIKey(""),
			"space in the key":  WithAPIKey("a b"),
			"letter not ASCII":  WithAPIKey("é"),
			"control character": WithAPIKey("a\nb"),
			"another no UUID":   WithAnotherApplication("2", "Two", "https://two.example"),
			"the same id":       WithAnotherApplication(strings.ToUpper(defaultApplicationID), "Two", "https://two.example"),
		} {
			_, err := Start(opt)
			require.ErrorContains(t, err, "anchortest: ", what)
			require.Panics(t, func() { New(opt) }, what)
		}
	})

	t.Run("an address in use is an error", func(t *testing.T) {
		t.Parallel()
		first := start(t)
		_, err := Start(WithAddr(strings.TrimPrefix(first.URL(), "http://")))
		require.ErrorContains(t, err, "address already in use")
	})

	t.Run("the URL of an unspecified address can be dialled", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "127.0.0.1:80", dialAddr(&net.TCPAddr{IP: net.IPv6zero, Port: 80}))
		require.Equal(t, "127.0.0.1:80", dialAddr(&net.TCPAddr{IP: net.IPv4zero, Port: 80}))
		require.Equal(t, "[::1]:80", dialAddr(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}))
	})

	t.Run("closing ends it, twice too", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err := try(t.Context(), request(t, s, "GET", "/v1/applications", ""))
		require.Error(t, err)
		require.NoError(t, New().Close())
		require.NoError(t, New().Shutdown(t.Context()))
	})

	t.Run("closing breaks a held call, shutting down waits for it", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		hold := s.Hold("GET", "/v1/applications")
		answers := make(chan response, 1)
		go func() {
			r, _ := try(soon(t), request(t, s, "GET", "/v1/applications", ""))
			answers <- r
		}()
		require.NoError(t, hold.Wait(soon(t), 1))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
		hold.Release()
		require.NoError(t, s.Shutdown(soon(t)))
		require.Equal(t, 200, (<-answers).status)

		s = start(t)
		hold = s.Hold("GET", "/v1/applications")
		errs := make(chan error, 1)
		go func() {
			_, err := try(soon(t), request(t, s, "GET", "/v1/applications", ""))
			errs <- err
		}()
		require.NoError(t, hold.Wait(soon(t), 1))
		require.NoError(t, s.Close())
		require.ErrorContains(t, <-errs, "EOF")
	})

	t.Run("it works behind a listener of the caller's, with TLS", func(t *testing.T) {
		t.Parallel()
		s := New()
		require.Empty(t, s.URL())
		server := httptest.NewTLSServer(s)
		t.Cleanup(server.Close)
		req := httptest.NewRequest("POST", server.URL+"/v1/sessions", nil)
		req.RequestURI = ""
		req.Header.Set("anchor-api-key", s.APIKey())
		res, err := server.Client().Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		var body bytes.Buffer
		_, err = body.ReadFrom(res.Body)
		require.NoError(t, err)
		require.Contains(t, body.String(), strings.Replace(server.URL, "https", "wss", 1)+"/cdp?")
		s.SetURL(server.URL + "/")
		require.Equal(t, server.URL, s.URL())
	})

	t.Run("the clock rules Date, created_at and calls", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		now := time.Date(2031, 5, 6, 7, 8, 9, 123_456_789, time.FixedZone("", 3600))
		s.SetNow(func() time.Time { return now })
		r := call(t, s, "POST", "/v1/applications", `{"source":"https://a.example"}`)
		require.Equal(t, "Tue, 06 May 2031 06:08:09 GMT", r.header.Get("Date"))
		require.Equal(t, "2031-05-06T06:08:09.123Z", r.object(t)["created_at"])
		require.Equal(t, now.UTC().Truncate(time.Millisecond), s.Calls()[0].At)

		r = call(t, s, "GET", "/nowhere", "")
		require.Equal(t, "Tue, 06 May 2031 06:08:09 GMT", r.header.Get("Date"))
		req := request(t, s, "GET", "/v1/applications", "")
		req.Header.Del("anchor-api-key")
		r, err := try(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 401, r.status)
		require.Equal(t, "Tue, 06 May 2031 06:08:09 GMT", r.header.Get("Date"))
	})

	t.Run("a clock may ask the fake", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.SetNow(func() time.Time { s.Calls(); return time.Now() })
		newToken(t, s, callback)
	})

	t.Run("the log has method, path and status and no secret", func(t *testing.T) {
		t.Parallel()
		var log lockedBuffer
		s := start(t, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		token := newToken(t, s, callback)
		r := call(t, s, "GET", "/identity/create?token="+token, "")
		require.Equal(t, 200, r.status)
		require.Contains(t, log.String(), "method=POST path=/v1/applications/"+s.ApplicationID()+"/tokens status=201")
		require.Contains(t, log.String(), "method=GET path=/identity/create status=200")
		require.NotContains(t, log.String(), token)
		require.NotContains(t, log.String(), s.APIKey())
	})

	t.Run("a program that links it links nothing for tests", func(t *testing.T) {
		t.Parallel()
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
		require.NoError(t, err, string(out))
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			require.NotContains(t, []string{"testing", "net/http/httptest"}, dep)
			require.NotContains(t, dep, "testify")
		}
	})

	t.Run("everything at once is safe", func(t *testing.T) {
		t.Parallel()
		h := newHook(t)
		s := start(t, WithWebhook(h.URL, "s"))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					at, err := s.Approve(t.Context(), hosted(t, s, callback))
					if err != nil {
						t.Error(err)
						return
					}
					id := identityIn(t, at)
					call(t, s, "PUT", "/v1/identities/"+id, `{"metadata":{"a":{"b":[1]}}}`)
					call(t, s, "GET", "/v1/applications/"+s.ApplicationID()+"/identities?metadata[a]=1", "")
					call(t, s, "GET", "/v1/identities/"+id, "")
					s.Identity(id)
					s.Identities()
					s.Sessions()
					s.Calls()
					s.AddApplication("a", "b")
					s.Fault(Fault{Path: "/none"})
					s.Hold("", "/none").Release()
					s.SetNow(time.Now)
					s.FailIdentity(t.Context(), id)
					s.Reauthenticate(t.Context(), id)
					s.SendEvent(t.Context(), Event{IdentityID: id})
					s.SetWebhook(h.URL, "s")
					s.SetWebhookClient(nil)
					s.SetEventTime(TextEventTime)
					s.SetEventIdentity(SnakeEventIdentity)
					s.Deliveries()
					call(t, s, "DELETE", "/v1/identities/"+id, "")
				}
			})
		}
		wg.Wait()
		require.Empty(t, s.Identities())
		require.NoError(t, s.WaitDelivered(soon(t)))
		require.Len(t, h.received(), 8*10*4)
	})
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
