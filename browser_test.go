package connect_test

import (
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// browser is a user's browser: it has a cookie jar and follows no redirects.
type browser struct {
	site   *site
	client *http.Client
	header http.Header
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	client := *s.server.Client()
	client.Jar = jar
	client.Timeout = 30 * time.Second
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{site: s, client: &client, header: http.Header{"Accept": {"text/html"}}}
}

// signedIn returns a browser in which this user is signed in.
func (s *site) signedIn(user string) *browser {
	b := s.browser()
	b.signIn(user)
	return b
}

// signIn signs a user in, or out with the empty name.
func (b *browser) signIn(user string) {
	a := b.post("/login", url.Values{"user": {user}})
	require.Equal(b.site.t, http.StatusOK, a.status)
}

// answer is a response with its body read.
type answer struct {
	status   int
	header   http.Header
	body     string
	location string
	over     chan struct{} // closed when the server has finished the request
}

// requestNumber is the header that a browser numbers its requests in.
const requestNumber = "X-Request-Number"

func (b *browser) do(method, address, contentType, body string) answer {
	a, err := b.try(method, address, contentType, body)
	require.NoError(b.site.t, err)
	return a
}

// try is do for goroutines other than the test's, which must not call FailNow.
func (b *browser) try(method, address, contentType, body string) (answer, error) {
	if strings.HasPrefix(address, "/") {
		address = b.site.server.URL + address
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	number, over := rand.Text(), make(chan struct{})
	r.Header.Set(requestNumber, number)
	b.site.over.Store(number, over)
	res, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(content), res.Header.Get("Location"), over}, err
}

func (b *browser) get(address string) answer { return b.do(http.MethodGet, address, "", "") }

func (b *browser) post(address string, form url.Values) answer {
	return b.do(http.MethodPost, address, "application/x-www-form-urlencoded", form.Encode())
}

// start presses the button and returns the hosted page's address.
func (b *browser) start() string {
	b.site.t.Helper()
	a := b.post("/connect", nil)
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	require.True(b.site.t, strings.HasPrefix(a.location, b.site.fake.URL()+"/identity/create?token="), a.location)
	return a.location
}

// connect goes through the whole flow, the tag included, and returns the
// callback's address.
func (b *browser) connect() string {
	b.site.t.Helper()
	callback := b.site.approve(b.start())
	b.site.finished(b.get(callback))
	return callback
}

// identityIn returns the identity's id in a callback's address.
func identityIn(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return ""
	}
	return u.Query().Get("identity_id") + u.Query().Get("identityId")
}

// withIdentity returns the callback's address with another identity's id.
func withIdentity(callback, id string) string {
	return strings.ReplaceAll(callback, identityIn(callback), id)
}

// refused checks that a request was refused with this error: the status, the title on
// the page, and the code in the log.
func (b *browser) refused(want error, a answer) {
	b.site.t.Helper()
	e := connect.Explain(want)
	require.Equal(b.site.t, e.Status, a.status, "%s", a.body)
	require.Contains(b.site.t, a.body, e.Title)
	require.Contains(b.site.t, b.site.log.String(), "code="+e.Code)
}

// startWith begins a flow with these fields and returns the hosted page's address.
func (b *browser) startWith(fields ...string) string {
	b.site.t.Helper()
	a := b.post("/connect", form(fields...))
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	return a.location
}

// connectWith goes through a flow that begins with these fields, and returns the
// callback's address.
func (b *browser) connectWith(fields ...string) string {
	b.site.t.Helper()
	callback := b.site.approve(b.startWith(fields...))
	b.site.finished(b.get(callback))
	return callback
}

// form makes a form of names and values by turns.
func form(fields ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return values
}

// asJSON returns the same browser, sending requests as a script does.
func (b *browser) asJSON() *browser {
	script := *b
	script.header = http.Header{"Accept": {"application/json"}}
	return &script
}

// follow returns the address of the page's only link.
func follow(t *testing.T, page, body string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `class="button" href="`)
	require.True(t, ok, body)
	href, _, _ := strings.Cut(rest, `"`)
	base, err := url.Parse(page)
	require.NoError(t, err)
	to, err := base.Parse(html.UnescapeString(href))
	require.NoError(t, err)
	return to.String()
}

// connectTo goes through the whole flow of an application.
func (b *browser) connectTo(path string) string {
	b.site.t.Helper()
	a := b.post(path, nil)
	require.Equal(b.site.t, http.StatusSeeOther, a.status, "%s", a.body)
	callback := b.site.approve(a.location)
	b.site.finished(b.get(callback))
	return callback
}

// popupFlow is the answer to a POST by which connect.js starts a flow.
type popupFlow struct {
	RedirectURL string `json:"redirectUrl"`
	Popup       string `json:"popup"`
}

// startInPopup starts a flow as connect.js does.
func (b *browser) startInPopup(path string) popupFlow {
	b.site.t.Helper()
	script := *b
	script.header = http.Header{"Accept": {"*/*"}, "Origin": {b.site.server.URL}, "Sec-Fetch-Site": {"same-origin"}}
	a := script.do(http.MethodPost, path, "application/json", `{"return_to":"/reports","popup":true}`)
	require.Equal(b.site.t, http.StatusOK, a.status, "%s", a.body)
	var flow popupFlow
	require.NoError(b.site.t, json.Unmarshal([]byte(a.body), &flow))
	require.Regexp(b.site.t, `^[0-9a-f]{32}$`, flow.Popup)
	return flow
}

// takeStateCookies gives this browser the state cookies of another one, as flows that
// two tabs start at once do.
func (b *browser) takeStateCookies(from *browser) {
	u, err := url.Parse(b.site.server.URL)
	require.NoError(b.site.t, err)
	for _, cookie := range from.client.Jar.Cookies(u) {
		if strings.HasPrefix(cookie.Name, "__Host-connect-") {
			cookie.Path, cookie.Secure = "/", true
			b.client.Jar.SetCookies(u, []*http.Cookie{cookie})
		}
	}
}
