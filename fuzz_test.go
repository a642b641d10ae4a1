package connect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

// FuzzStateCookie looks for a cookie that opens though it was not sealed with
// this secret: a value that was altered, forged or moved to another name.
func FuzzStateCookie(f *testing.F) {
	ours, err := newStateCookies([][]byte{secretA}, true)
	require.NoError(f, err)
	theirs, err := newStateCookies([][]byte{secretB}, true)
	require.NoError(f, err)
	state := strings.Repeat("A", 32) // The same in every process that fuzzes.
	want := sealedState{state: state, tokenHash: strings.Repeat("0f", 32)}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/connect", nil)
	require.NoError(f, ours.set(w, r, want, noon))
	good := w.Result().Cookies()[0]
	w = httptest.NewRecorder()
	require.NoError(f, theirs.set(w, r, want, noon))
	foreign := w.Result().Cookies()[0]

	f.Add(good.Name, good.Value)
	f.Add(foreign.Name, foreign.Value)
	f.Add(good.Name, foreign.Value)
	f.Add(ours.name(newState(), noon), good.Value)
	f.Add(good.Name, good.Value[:len(good.Value)-1])
	f.Add("__Host-connect-0000000000-AAAAAAAA", "MTcwMDAwMDAwMHw")
	f.Fuzz(func(t *testing.T, name, value string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", name+"="+value)
		for _, opened := range ours.all(r) {
			require.Equal(t, want, opened, "it opens only to what was sealed")
			require.Equal(t, good.Name, name, "and only under its own name")
		}
		if opened, err := ours.find(r, state); err == nil {
			require.Equal(t, want, opened)
		}
	})
}

// FuzzCallback sends any path and query to a handler in which ada has a pending flow.
// Anchor also knows another user's identity. Nothing panics, nothing redirects to another
// site, and only ada's own new identity gets connected.
func FuzzCallback(f *testing.F) {
	own, foreign := identityA, identityB
	f.Add("", "identity_id="+own+"&status=success")
	f.Add("", "identityId="+foreign)
	f.Add("", "identity_id="+own+"&identityId="+foreign)
	f.Add("", "identity_id="+own+"&identity_id="+foreign)
	f.Add("", "identity_id="+strings.ToUpper(foreign)+"&status=success")
	f.Add("/", "identity_id=%2e%2e%2f"+own)
	f.Add("x", "status=failed&identity_id="+own)
	f.Add("", "repeated=1&error=access_denied")
	f.Add("/../../connect", "return_to=//evil.test")
	f.Fuzz(func(t *testing.T, suffix, query string) {
		store := NewMemoryStore()
		h, err := New(Config{
			Anchor: anchorhttp.New("test-key", anchorhttp.WithMaxRetries(0), anchorhttp.WithHTTPClient(&http.Client{
				Transport: cannedAnchor{own: own, foreign: foreign},
			})),
			ApplicationID: testApp, PublicURL: "https://app.example", Store: store, Secrets: [][]byte{secretA},
			User:   func(*http.Request) (User, error) { return User{ID: "ada"}, nil },
			Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon },
		})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/connect", nil))
		require.Equal(t, http.StatusSeeOther, w.Code)
		cookie := w.Result().Cookies()[0]
		state, err := h.cookies.at(h.hosts.origin).open(cookie)
		require.NoError(t, err)

		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/identity-callback/" + state.state + suffix, RawQuery: query}
		r.AddCookie(cookie)
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.NotEqual(t, http.StatusInternalServerError, w.Code)
		if location := w.Header().Get("Location"); location != "" {
			require.Equal(t, "/", location, "a success leads to SuccessURL and nothing else redirects")
		}
		connections, err := store.Connections(context.Background(), testApp, "ada")
		require.NoError(t, err)
		if len(connections) == 0 {
			require.NotEqual(t, http.StatusSeeOther, w.Code)
			return
		}
		require.Equal(t, own, connections[0].IdentityID)
		require.Equal(t, http.StatusSeeOther, w.Code)
	})
}

// cannedAnchor answers as Anchor does: own is a new identity, and foreign is one that
// grace owns.
type cannedAnchor struct{ own, foreign string }

func (a cannedAnchor) RoundTrip(r *http.Request) (*http.Response, error) {
	identity := func(id, metadata string) string {
		return fmt.Sprintf(`{"id":%q,"name":"x","source":"https://example.com","status":"validated","metadata":%s,"created_at":%q}`,
			id, metadata, noon.Add(time.Second).Format(time.RFC3339))
	}
	status, body := http.StatusOK, ""
	switch r.URL.Path {
	case "/v1/applications/" + testApp + "/tokens":
		status, body = http.StatusCreated, fmt.Sprintf(`{"data":{"token":"token","token_hash":"hash","expires_at":%q}}`, noon.Add(15*time.Minute).Format(time.RFC3339))
	case "/v1/applications/" + testApp:
		body = fmt.Sprintf(`{"id":%q,"url":"https://example.com"}`, testApp)
	case "/v1/identities/" + a.own:
		body = identity(a.own, "{}")
	case "/v1/identities/" + a.foreign:
		body = identity(a.foreign, `{"externalUserId":"grace"}`)
	default:
		status, body = http.StatusNotFound, `{"error":{"code":404,"message":"Not found."}}`
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Date": {noon.Format(http.TimeFormat)}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// FuzzReadReturn reads any query: never two answers at once, never an id
// that is no UUID, and the repeated request says the same.
func FuzzReadReturn(f *testing.F) {
	f.Add("identity_id=" + identityA + "&status=success")
	f.Add("identityId=" + identityA)
	f.Add("identity_id=" + identityA + "&identityId=" + identityB)
	f.Add("status=success;identity_id=" + identityA)
	f.Add("error=access_denied&error_description=%0d%0a")
	f.Add("%zz&identity_id=%00")
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(query)
		result := readReturn(values)
		require.Equal(t, result.err == nil, result.identityID != "")
		if result.err == nil {
			id, ok := anchorhttp.ParseID(result.identityID)
			require.True(t, ok)
			require.Equal(t, id, result.identityID)
			require.Contains(t, strings.ToLower(fmt.Sprint(values)), id)
		}
		u, err := url.Parse("https://app.example/identity-callback/STATE" + result.repeat())
		require.NoError(t, err)
		require.Equal(t, "app.example", u.Host)
		again := readReturn(u.Query())
		require.True(t, again.repeated)
		require.Equal(t, result.identityID, again.identityID)
		require.Equal(t, result.err, again.err)
		known := append([]string{repeated}, returnParameters...)
		require.Empty(t, slices.DeleteFunc(slices.Collect(maps.Keys(u.Query())), func(name string) bool { return slices.Contains(known, name) }),
			"nothing of the request is repeated but what we know")
	})
}

// FuzzReadForm reads any body of a POST: the return path is local or refused.
func FuzzReadForm(f *testing.F) {
	f.Add("application/json", `{"return_to":"/reports"}`)
	f.Add("application/json", `{"return_to":"//evil.test"}`)
	f.Add("application/json", `{"popup":true,"return_to":7}`)
	f.Add("application/x-www-form-urlencoded", "return_to=%2Freports&return_to=//evil.test")
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"return_to\"\r\n\r\n/a\r\n--x--\r\n")
	f.Add("text/plain; =", "{")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/connect", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		form, err := readForm(httptest.NewRecorder(), r)
		if err != nil {
			require.Zero(t, form)
			require.NotEqual(t, http.StatusInternalServerError, Explain(err).Status)
			return
		}
		require.True(t, form.ReturnTo == "" || isLocalPath(form.ReturnTo), "%q", form.ReturnTo)
	})
}

// FuzzTaggedMetadata adds the tag to any metadata: the user becomes the owner, and other
// entries stay.
func FuzzTaggedMetadata(f *testing.F) {
	f.Add(`{"plan":"pro","externalUserId":"","n":12345678901234567890}`, "ada")
	f.Add(`{"connectedAt":[],"":null}`, "é\u2028")
	f.Fuzz(func(t *testing.T, text, userID string) {
		var metadata map[string]any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&metadata) != nil || userID == "" {
			return
		}
		before, err := json.Marshal(metadata)
		require.NoError(t, err)
		tagged, err := new(Handler).taggedMetadata(t.Context(), User{ID: userID}, metadata, Connection{UserID: userID, ConnectedAt: noon})
		require.NoError(t, err)
		require.True(t, ownedBy(tagged, userID))
		require.False(t, ownedBy(tagged, userID+"x"))
		for key, value := range metadata {
			if key != externalUserID && key != connectedAt {
				require.Equal(t, value, tagged[key])
			}
		}
		after, err := json.Marshal(metadata)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "what was read is not written to")
	})
}
