package connect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

const (
	mainHost = "https://app.example"
	acme     = "https://acme.app.example"
	globex   = "https://globex.example:8443"
	evil     = "https://evil.test"
)

// fromSet and fromTable are the two ways to serve mainHost, acme and globex.
func fromSet(c *connect.Config) {
	c.PublicURL, c.PublicURLs = mainHost, []string{acme, globex}
}

func fromTable(c *connect.Config) {
	c.PublicURL = mainHost
	addresses := map[string]string{"app.example": mainHost, "acme.app.example": acme, "globex.example:8443": globex}
	c.PublicURLOf = func(r *http.Request) (string, error) { return addresses[r.Host], nil }
}

var manyHosts = map[string]func(*connect.Config){"a set": fromSet, "a function": fromTable}

// tenants gives each tenant users of its own. The first part of the host names the
// tenant.
func tenants(c *connect.Config) {
	user := c.User
	c.User = func(r *http.Request) (connect.User, error) {
		u, err := user(r)
		tenant, _, _ := strings.Cut(r.Host, ".")
		u.ID = connect.TenantUserID(tenant, u.ID)
		return u, err
	}
}

// anywhere returns a browser that reaches the site under every host.
func (s *site) anywhere() *browser {
	b := s.browser()
	b.client.Transport = &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.server.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	s.t.Cleanup(b.client.CloseIdleConnections)
	return b
}

// signInAt signs a user in at some of the app's hosts.
func (b *browser) signInAt(user string, hosts ...string) *browser {
	b.site.t.Helper()
	for _, host := range hosts {
		require.Equal(b.site.t, http.StatusOK, b.post(host+"/login", url.Values{"user": {user}}).status)
	}
	return b
}

// startAt begins a flow at a host and returns the callback's address.
func (b *browser) startAt(host string) string {
	b.site.t.Helper()
	a := b.post(host+"/connect", nil)
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	return b.site.approve(a.location)
}

// cookiesAt are the state cookies that the browser has for a host.
func (b *browser) cookiesAt(host string) []*http.Cookie {
	u, err := url.Parse(host)
	require.NoError(b.site.t, err)
	return slices.DeleteFunc(b.client.Jar.Cookies(u), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, "__Host-connect-") })
}

func TestHostThatBeginsAFlowGetsTheCallback(t *testing.T) {
	t.Parallel()
	for name, several := range manyHosts {
		for _, host := range []string{mainHost, acme, globex} {
			t.Run(name+" "+host, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, several, func(c *connect.Config) { c.SignInURL = "/sign-in" })
				ada := s.anywhere()

				a := ada.get(host + "/connect?return_to=/mail")
				ada.refused(connect.ErrNotSignedIn, a)
				require.Contains(t, a.body, `href="/sign-in?return_to=%2Fconnect%3Freturn_to%3D%2Fmail"`, "of this host")
				ada.signInAt("ada", host)
				a = ada.get(host + "/connect?return_to=/mail")
				require.Equal(t, http.StatusOK, a.status)
				require.Contains(t, a.body, `action="/connect"`)
				require.Equal(t, http.StatusOK, ada.get(host+"/connect/connect.js").status)

				ada.header.Set("Origin", host)
				ada.header.Set("Sec-Fetch-Site", "same-origin")
				a = ada.post(host+"/connect", url.Values{"return_to": {"/mail"}})
				require.Equal(t, http.StatusSeeOther, a.status, "%s", a.body)
				callback := s.approve(a.location)
				require.True(t, strings.HasPrefix(callback, host+"/identity-callback/"), callback)
				require.Len(t, ada.cookiesAt(host), 1)
				for _, other := range []string{mainHost, acme, globex, "https://sub.app.example"} {
					if other != host {
						require.Empty(t, ada.cookiesAt(other))
					}
				}
				a = ada.get(callback)
				s.finished(a)
				require.Equal(t, "/mail", a.location)
				require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
			})
		}
	}
}

func TestHostThatIsNotTheAppsIsRefused(t *testing.T) {
	t.Parallel()
	for name, several := range manyHosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newCountingStore()
			s := newSite(t, several, func(c *connect.Config) { c.Store = store })
			for _, host := range []string{
				evil, "https://app.example.evil.test", "https://evil.app.example", "https://globex.example", "https://app.example:1", "https://127.0.0.1",
			} {
				eve := s.anywhere().signInAt("eve", host)
				eve.header.Set("X-Forwarded-Host", "app.example")
				eve.header.Set("Forwarded", "host=app.example")
				for _, a := range []answer{
					eve.get(host + "/connect"), eve.post(host+"/connect", nil), eve.get(host + "/connect/status"), eve.post(host+"/connect/label", nil),
					eve.post(host+"/disconnect", nil), eve.get(host + "/identity-callback/ABC?identity_id=x"), eve.get(host + "/connect/connect.js"),
				} {
					require.Equal(t, http.StatusBadRequest, a.status, host)
					require.True(t, strings.Contains(a.body, connect.Explain(connect.ErrWrongOrigin).Title) || strings.Contains(a.body, `"wrong_origin"`), a.body)
					require.NotContains(t, a.body, "evil", "nothing links there")
					require.NotContains(t, a.body, "href=", "nor to another page of this host")
					require.Empty(t, a.header.Get("Set-Cookie"))
					require.Empty(t, a.location)
				}
			}
			require.Empty(t, s.fake.Calls(), "no token was issued")
			require.Equal(t, "map[]", store.count())
			require.Contains(t, s.log.String(), `evil.test`, "the log names the host")
		})
	}
}

func TestHostIsRecognizedAsClientsWriteIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, fromSet)
	for host, want := range map[string]int{
		"acme.app.example": 401, "ACME.app.Example": 401, "acme.app.example:443": 401, "globex.example:8443": 401,
		"acme.app.example.": 400, "acme.app.example:80": 400, "globex.example": 400, "acme.app.example@evil.test": 400, "": 400, "a:b:c": 400,
	} {
		r := httptest.NewRequest(http.MethodGet, "/connect", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, host)
	}
}

func TestHostOfAnotherTenantRefusesTheCallback(t *testing.T) {
	t.Parallel()
	for name, several := range manyHosts {
		for _, fixed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				// Users are the same on both hosts: only the host differs.
				s := newSite(t, several, func(c *connect.Config) { c.FixedCallbackURL = fixed })
				ada := s.anywhere().signInAt("ada", acme, globex)
				callback := ada.startAt(acme)
				require.True(t, strings.HasPrefix(callback, acme+"/identity-callback"), callback)
				elsewhere := globex + strings.TrimPrefix(callback, acme)

				ada.refused(connect.ErrNoStateCookie, ada.get(elsewhere))
				// The owner of a browser can copy its cookies.
				target, err := url.Parse(globex)
				require.NoError(t, err)
				copied := ada.cookiesAt(acme)
				require.Len(t, copied, 1)
				for _, cookie := range copied {
					cookie.Secure, cookie.Path = true, "/"
				}
				ada.client.Jar.SetCookies(target, copied)
				require.Len(t, ada.cookiesAt(globex), 1)
				want := connect.ErrStateInvalid
				if fixed {
					want = connect.ErrNoStateCookie // It is none of this host's.
				}
				ada.refused(want, ada.get(elsewhere))
				require.Zero(t, s.connection("ada"))

				s.finished(ada.get(callback)) // Nothing was spent.
				require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
			})
		}
	}
}

func TestHostHasAFixedCallbackOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, fromSet, func(c *connect.Config) { c.FixedCallbackURL = true })
	for user, host := range map[string]string{"ada": mainHost, "grace": acme, "mary": globex} {
		b := s.anywhere().signInAt(user, host)
		callback := b.startAt(host)
		require.True(t, strings.HasPrefix(callback, host+"/identity-callback?"), callback)
		s.finished(b.get(callback))
		require.Equal(t, identityIn(callback), s.connection(user).IdentityID)
	}
}

func TestHostRefusesThePagesOfAnotherHost(t *testing.T) {
	t.Parallel()
	for name, several := range manyHosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, several)
			ada := s.anywhere().signInAt("ada", acme, mainHost)
			for _, header := range []http.Header{
				{"Origin": {acme}, "Sec-Fetch-Site": {"same-site"}},
				{"Origin": {acme}}, // An older browser.
				{"Origin": {globex}, "Sec-Fetch-Site": {"cross-site"}},
			} {
				ada.header = header
				ada.header.Set("Accept", "text/html")
				for _, path := range []string{"/connect", "/connect/label", "/disconnect"} {
					ada.refused(connect.ErrCrossOrigin, ada.post(mainHost+path, nil))
				}
			}
			require.Empty(t, s.fake.Calls())

			// Without TLS it is another origin, though of the same host.
			ada.header = http.Header{"Accept": {"text/html"}, "Origin": {"http://acme.app.example"}, "Sec-Fetch-Site": {"same-origin"}}
			a := ada.post(acme+"/connect", nil)
			ada.refused(connect.ErrWrongOrigin, a)
			require.Contains(t, a.body, "http://acme.app.example, but connecting leads back to "+acme)
			require.Contains(t, a.body, `href="`+acme+`/connect"`)
		})
	}
}

func TestTenantUserIDKeepsUsersOfTwoTenantsApart(t *testing.T) {
	t.Parallel()
	s := newSite(t, fromTable, tenants)
	ada, bob := s.anywhere().signInAt("7", acme), s.anywhere().signInAt("7", globex)
	callback := ada.startAt(acme)
	s.finished(ada.get(callback))
	adas := s.connection("acme/7")
	require.Equal(t, identityIn(callback), adas.IdentityID)
	require.Equal(t, "acme/7", s.tag(adas.IdentityID))
	require.Zero(t, s.connection("globex/7"))
	require.Zero(t, s.connection("7"))

	bob.header.Set("Accept", "application/json")
	require.Contains(t, bob.get(globex+"/connect/status").body, `"connected":false`)
	bob.header.Set("Accept", "text/html")
	bobs := bob.startAt(globex)
	bob.refused(connect.ErrIdentityTaken, bob.get(withIdentity(bobs, adas.IdentityID)))
	require.Equal(t, http.StatusSeeOther, bob.post(globex+"/disconnect", nil).status)
	require.Equal(t, adas.ID, s.connection("acme/7").ID, "it is ada's")

	// A tenant's user who is signed in at the other tenant's host, too.
	both := s.anywhere().signInAt("8", acme, globex)
	moved := strings.Replace(both.startAt(acme), acme, globex, 1)
	both.refused(connect.ErrNoStateCookie, both.get(moved))

	s.anywhere().refused(connect.ErrNotSignedIn, s.anywhere().get(acme+"/connect")) // Not the user "acme/".
}

func TestTenantUserIDDiffersForEachPair(t *testing.T) {
	t.Parallel()
	seen := map[string][2]string{}
	parts := []string{"a", "a/b", "b", "a%2Fb", "a%", "%2F", "/", "7", "7/", "a%252Fb", "A", "%"}
	for _, tenant := range parts {
		for _, id := range parts {
			got := connect.TenantUserID(tenant, id)
			require.NotContains(t, seen, got, "%s of %s", id, tenant)
			seen[got] = [2]string{tenant, id}
		}
	}
	require.Equal(t, "acme/7", connect.TenantUserID("acme", "7"))
	for _, nobody := range []string{"", "0", " ", "00000000-0000-0000-0000-000000000000"} {
		require.Empty(t, connect.TenantUserID("acme", nobody))
		require.Empty(t, connect.TenantUserID(nobody, "7"))
	}
}

func TestHostLookupThatFailsLeavesTheFlowPending(t *testing.T) {
	t.Parallel()
	var fault struct {
		address string
		err     error
	}
	s := newSite(t, fromTable, func(c *connect.Config) {
		find := c.PublicURLOf
		c.PublicURLOf = func(r *http.Request) (string, error) {
			if fault.err != nil || fault.address != "" {
				return fault.address, fault.err
			}
			return find(r)
		}
	})
	ada := s.anywhere().signInAt("ada", acme)
	callback := ada.startAt(acme)
	for _, address := range []string{"acme.app.example", "http://acme.app.example", acme + "/tools", acme + "?x=y", "https://bücher.example"} {
		fault.address = address
		ada.refused(connect.ErrHostLookup, ada.get(callback))
		ada.refused(connect.ErrHostLookup, ada.post(acme+"/connect", nil))
	}
	fault.address, fault.err = "", errors.New("the table of tenants is away")
	a := ada.get(callback)
	ada.refused(connect.ErrHostLookup, a)
	require.Contains(t, a.body, "Try again")
	require.Contains(t, s.log.String(), "the table of tenants is away")
	fault.err = connect.ErrWrongOrigin
	ada.refused(connect.ErrWrongOrigin, ada.get(callback))
	fault.err = nil
	s.finished(ada.get(callback))
	require.Equal(t, 1, s.fake.CountCalls("POST", "/v1/applications/*/tokens"))
}

func TestNewChecksSeveralHosts(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*connect.Config){
		`PublicURLs[1] is "https://b.example/tools": use the path of PublicURL, ""`: func(c *connect.Config) {
			c.PublicURLs = []string{acme, "https://b.example/tools"}
		},
		`PublicURLs[0] is "http://localhost": use https, as in PublicURL`: func(c *connect.Config) { c.PublicURLs = []string{"http://localhost"} },
		"PublicURLs[0] is missing":                                        func(c *connect.Config) { c.PublicURLs = []string{""} },
		"PublicURLOf is set beside PublicURLs":                            func(c *connect.Config) { fromTable(c); fromSet(c) },
		`SuccessURL is "https://app.example/done" with several hosts: use a local path`: func(c *connect.Config) {
			fromSet(c)
			c.SuccessURL = mainHost + "/done"
		},
		`SignInURL is "https://login.example" with several hosts: use a local path`: func(c *connect.Config) {
			fromTable(c)
			c.SignInURL = "https://login.example"
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			cfg := connect.Config{PublicURL: mainHost}
			change(&cfg)
			_, err := connect.New(cfg)
			require.ErrorContains(t, err, "connect: Config."+want)
		})
	}
}

func TestVerifyAsksPublicURLOfAboutAnUnknownHost(t *testing.T) {
	t.Parallel()
	for want, find := range map[string]func(*http.Request) (string, error){
		"":                           func(*http.Request) (string, error) { return "", nil },
		"believes any Host header":   func(r *http.Request) (string, error) { return "https://" + r.Host, nil },
		"believes any Host header: ": func(r *http.Request) (string, error) { return "https://" + r.Header.Get("X-Forwarded-Host"), nil },
		"should return connect.ErrWrongOrigin: connect: the address of the request could not be looked up: no such tenant": func(*http.Request) (string, error) {
			return "", errors.New("no such tenant")
		},
		"panic": func(r *http.Request) (string, error) { return r.Context().Value("tenant").(string), nil },
		"has 10s": func(r *http.Request) (string, error) {
			deadline, _ := r.Context().Deadline()
			return "", fmt.Errorf("has %v", time.Until(deadline).Round(time.Second))
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, fromTable, func(c *connect.Config) { c.PublicURLOf = find })
			err := s.handler.Verify(t.Context())
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, want)
		})
	}
	require.NoError(t, newSite(t, fromSet).handler.Verify(t.Context()))
}

// An app moves to another domain: the new one becomes PublicURL, and the old one stays
// for flows that began there.
func TestHostOfBeforeAMoveFinishesItsFlows(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *connect.Config) { c.PublicURL = acme })
	ada := s.anywhere().signInAt("ada", acme)
	callback := ada.startAt(acme)

	moved := newSite(t, func(c *connect.Config) {
		c.Anchor, c.ApplicationID, c.Store = s.fake.Client(), s.fake.ApplicationID(), s.store
		c.PublicURL, c.PublicURLs = mainHost, []string{acme}
	})
	jar := ada.client.Jar
	after := moved.anywhere()
	after.client.Jar = jar
	moved.finished(after.get(callback))
	require.Equal(t, identityIn(callback), s.connection("ada").IdentityID)
}

func TestHostOfARefusalIsLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t, fromSet)
	b := s.anywhere()
	b.refused(connect.ErrNotSignedIn, b.get(globex+"/connect"))
	require.Contains(t, s.log.String(), "code=not_signed_in status=401 error=\"connect: nobody is signed in\" origin="+globex)
}

func TestHostHeaderIsNeverBelieved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.signedIn("ada")
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/connect", nil)
	require.NoError(t, err)
	r.Host = "evil.test"
	r.Header.Set("X-Forwarded-Host", "evil.test")
	for _, cookie := range ada.client.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	r.Header.Set("Origin", s.server.URL) // An older browser behind a proxy that rewrites Host.
	res, err := s.server.Client().Transport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.NotContains(t, string(s.fake.Calls()[0].Body), "evil")
}
