package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

const (
	identityA = "11111111-1111-4111-8111-111111111111"
	identityB = "22222222-2222-4222-8222-222222222222"
	testApp   = "33333333-3333-4333-8333-333333333333"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// A start that proves, and an identity that proves, for the tables to break.

func goodStart() flowEvidence {
	return flowEvidence{
		now:         noon.Add(time.Minute),
		user:        User{ID: "ada"},
		state:       "STATE",
		cookie:      sealedState{state: "STATE", tokenHash: "hash"},
		application: &Application{id: testApp},
		result:      returned{identityID: identityA},
		pending: Pending{
			TokenHash: "hash", ApplicationID: testApp, UserID: "ada",
			IssuedAt: noon, ExpiresAt: noon.Add(15 * time.Minute),
		},
	}
}

func goodIdentity() identityEvidence {
	return identityEvidence{
		user:     User{ID: "ada"},
		issuedAt: noon,
		identity: anchorhttp.Identity{
			ID: identityA, Status: anchorhttp.StatusValidated, CreatedAt: noon.Add(time.Minute),
		},
		inApplication: true,
	}
}

func TestEveryProofOfAReturn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		start    func(*flowEvidence)
		identity func(*identityEvidence)
		want     error
	}{
		{name: "what holds all eight passes"},

		// 1. Somebody is signed in.
		{name: "1: nobody is signed in", start: func(e *flowEvidence) { e.user = User{} }, want: ErrNotSignedIn},
		{name: "1: nobody is signed in comes before a missing cookie", start: func(e *flowEvidence) { e.user = User{}; e.cookieErr = ErrNoStateCookie }, want: ErrNotSignedIn},

		// 2. The state in the address is ours.
		{name: "2: the address has no state", start: func(e *flowEvidence) { e.state = "" }, want: ErrStateMissing},
		{name: "2: the address has another state than the cookie", start: func(e *flowEvidence) { e.state = "OTHER" }, want: ErrStateInvalid},
		{name: "2: the address has the beginning of the state", start: func(e *flowEvidence) { e.state = "STAT" }, want: ErrStateInvalid},
		{name: "2: the state in another case is another state", start: func(e *flowEvidence) { e.state = "state" }, want: ErrStateInvalid},
		{name: "2: a fixed callback address needs no state", start: func(e *flowEvidence) { e.state, e.fixed = "", true }},

		// 3. This browser is the one that started.
		{name: "3: the browser has no cookie", start: func(e *flowEvidence) { e.cookie, e.cookieErr = sealedState{}, ErrNoStateCookie }, want: ErrNoStateCookie},
		{name: "3: the cookie is forged", start: func(e *flowEvidence) { e.cookie, e.cookieErr = sealedState{}, ErrStateInvalid }, want: ErrStateInvalid},
		{name: "3: a fixed callback address needs the cookie all the same", start: func(e *flowEvidence) { e.fixed, e.cookieErr = true, ErrNoStateCookie }, want: ErrNoStateCookie},

		// 4. The start is known, this user's, unspent and unexpired.
		{name: "4: the store does not know the start", start: func(e *flowEvidence) { e.pending, e.pendingErr = Pending{}, ErrStateUnknown }, want: ErrStateUnknown},
		{name: "4: another user began", start: func(e *flowEvidence) { e.pending.UserID = "eve" }, want: ErrAnotherUser},
		{name: "4: a user whose id differs in case began", start: func(e *flowEvidence) { e.pending.UserID = "Ada" }, want: ErrAnotherUser},
		{name: "4: another user began, though it is expired", start: func(e *flowEvidence) { e.pending.UserID = "eve"; e.now = noon.Add(time.Hour) }, want: ErrAnotherUser},
		{name: "4: another user finished it with this identity", start: func(e *flowEvidence) {
			e.pending.UserID, e.pending.Spent, e.pending.IdentityID = "eve", true, identityA
		}, want: ErrAnotherUser},
		{name: "4: this browser holds an open start of another user, too", start: func(e *flowEvidence) { e.fixed, e.othersOpen = true, true }, want: ErrAnotherUser},
		{name: "4: another user's open start counts though this one is completed", start: func(e *flowEvidence) {
			e.fixed, e.othersOpen, e.pending.Spent, e.pending.IdentityID = true, true, true, identityA
		}, want: ErrAnotherUser},
		{name: "4: it was begun for another application", start: func(e *flowEvidence) { e.application = nil }, want: ErrStateUnknown},
		{name: "4: it is spent", start: func(e *flowEvidence) { e.pending.Spent = true }, want: ErrStateSpent},
		{name: "4: it is spent, and the return names no identity", start: func(e *flowEvidence) { e.pending.Spent, e.result.identityID = true, "" }, want: ErrStateSpent},
		{name: "4: it was completed with another identity", start: func(e *flowEvidence) { e.pending.Spent, e.pending.IdentityID = true, identityB }, want: ErrStateSpent},
		{name: "4: it was completed with this identity, which is a reload", start: func(e *flowEvidence) { e.pending.Spent, e.pending.IdentityID = true, identityA }},
		{name: "4: a reload may come after the expiry", start: func(e *flowEvidence) {
			e.pending.Spent, e.pending.IdentityID, e.now = true, identityA, noon.Add(time.Hour)
		}},
		{name: "4: it expires at this very moment", start: func(e *flowEvidence) { e.now = e.pending.ExpiresAt }, want: ErrStateExpired},
		{name: "4: it expires in a moment", start: func(e *flowEvidence) { e.now = e.pending.ExpiresAt.Add(-time.Nanosecond) }},

		// 5. Anchor knows the identity, and it is usable.
		{name: "5: Anchor does not know the identity", identity: func(e *identityEvidence) { e.identityErr = ErrIdentityNotFound }, want: ErrIdentityNotFound},
		{name: "5: the identity failed", identity: func(e *identityEvidence) { e.identity.Status = "failed" }, want: ErrIdentityFailed},
		{name: "5: the identity failed for Anchor's agent", identity: func(e *identityEvidence) { e.identity.Status = "agent_failed" }, want: ErrIdentityFailed},
		{name: "5: the identity is invalid for Anchor's agent", identity: func(e *identityEvidence) { e.identity.Status = "agent_invalid" }, want: ErrIdentityFailed},
		{name: "5: the identity's status is a new one", identity: func(e *identityEvidence) { e.identity.Status = "suspended" }},
		{name: "5: the identity has no status", identity: func(e *identityEvidence) { e.identity.Status = "" }},
		{name: "5: a pending identity is usable", identity: func(e *identityEvidence) { e.identity.Status = anchorhttp.StatusPending }},
		{name: "5: an active identity is usable", identity: func(e *identityEvidence) { e.identity.Status = anchorhttp.StatusActive }},

		// 6. It belongs to our application. That may cost calls, so it comes last.
		{name: "6: the identity is another application's", identity: func(e *identityEvidence) { e.inApplication = false }, want: ErrWrongApplication},
		{name: "6: its age comes before its application", identity: func(e *identityEvidence) { e.inApplication, e.identity.CreatedAt = false, time.Time{} }, want: ErrIdentityTooOld},
		{name: "6: another's mark comes before its application", identity: func(e *identityEvidence) {
			e.inApplication, e.identity.Metadata = false, map[string]any{externalUserID: "eve"}
		}, want: ErrIdentityTaken},

		// 7. It is fresh, or this user's already.
		{name: "7: the identity is older than the token", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-time.Minute) }, want: ErrIdentityTooOld},
		{name: "7: the identity has no date", identity: func(e *identityEvidence) { e.identity.CreatedAt = time.Time{} }, want: ErrIdentityTooOld},
		{name: "7: the identity is five seconds older", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-5 * time.Second) }},
		{name: "7: the identity is six seconds older", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-6 * time.Second) }, want: ErrIdentityTooOld},
		{name: "7: the identity is older by just the allowance", identity: func(e *identityEvidence) { e.identity.CreatedAt = noon.Add(-clockAllowance) }},
		{name: "7: the identity is older by a little more", identity: func(e *identityEvidence) {
			e.identity.CreatedAt = noon.Add(-clockAllowance - time.Millisecond)
		}, want: ErrIdentityTooOld},
		{name: "7: an old identity that is connected already is this user's", identity: func(e *identityEvidence) {
			e.identity.CreatedAt, e.connected = noon.Add(-time.Hour), true
		}},
		{name: "7: the user's mark alone makes an old identity no fresher", identity: func(e *identityEvidence) {
			e.identity.CreatedAt = noon.Add(-time.Hour)
			e.identity.Metadata = map[string]any{externalUserID: "ada"}
		}, want: ErrIdentityTooOld},

		// 8. Nobody else owns it.
		{name: "8: the identity is marked as another user's", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "eve"} }, want: ErrIdentityTaken},
		{name: "8: the mark of another user counts though it is connected", identity: func(e *identityEvidence) {
			e.connected, e.identity.Metadata = true, map[string]any{externalUserID: "eve"}
		}, want: ErrIdentityTaken},
		{name: "8: the mark differs in case", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "ADA"} }, want: ErrIdentityTaken},
		{name: "8: the mark is a number", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: float64(7)} }, want: ErrIdentityTaken},
		{name: "8: the mark is a list with the user in it", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: []any{"ada"}} }, want: ErrIdentityTaken},
		{name: "7: the mark is this user's, and nobody has it", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: "ada"} }, want: ErrIdentityTooOld},
		{name: "7: the mark is this user's, who has it", identity: func(e *identityEvidence) {
			e.identity.Metadata, e.connected = map[string]any{externalUserID: "ada"}, true
		}},
		{name: "8: the mark is empty", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: ""} }},
		{name: "8: the mark is null", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{externalUserID: nil} }},
		{name: "8: other metadata is no mark", identity: func(e *identityEvidence) { e.identity.Metadata = map[string]any{"plan": "pro"} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start, identity := goodStart(), goodIdentity()
			if test.start != nil {
				test.start(&start)
			}
			if test.identity != nil {
				test.identity(&identity)
			}
			err := proveFlow(start)
			if err == nil {
				err = proveIdentity(identity)
			}
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestWhatACallbackSays(t *testing.T) {
	t.Parallel()
	const upper = "AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA"
	const lower = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	tests := []struct {
		name, query, want string
		err               error
	}{
		{name: "today's names", query: "identity_id=" + identityA + "&status=success", want: identityA},
		{name: "the older name", query: "identityId=" + identityA, want: identityA},
		{name: "today's name without a status", query: "identity_id=" + identityA, want: identityA},
		{name: "both names that agree", query: "identity_id=" + identityA + "&identityId=" + identityA, want: identityA},
		{name: "both names that agree but for case", query: "identity_id=" + upper + "&identityId=" + lower, want: lower},
		{name: "capitals are the same identity", query: "identityId=" + upper, want: lower},
		{name: "one name empty", query: "identity_id=&identityId=" + identityA, want: identityA},
		{name: "what else is there does not matter", query: "identityId=" + identityA + "&utm=x&utm=y", want: identityA},

		{name: "both names that differ", query: "identity_id=" + identityA + "&identityId=" + identityB, err: ErrBadIdentityID},
		{name: "a repeated name", query: "identityId=" + identityA + "&identityId=" + identityB, err: ErrBadIdentityID},
		{name: "a repeated name with the same value", query: "identity_id=" + identityA + "&identity_id=" + identityA, err: ErrBadIdentityID},
		{name: "a repeated status", query: "identity_id=" + identityA + "&status=success&status=failed", err: ErrBadIdentityID},
		{name: "no UUID", query: "identityId=42", err: ErrBadIdentityID},
		{name: "a path", query: "identityId=" + url.QueryEscape("../applications"), err: ErrBadIdentityID},
		{name: "a path behind a UUID", query: "identityId=" + identityA + url.QueryEscape("/credentials"), err: ErrBadIdentityID},
		{name: "a query behind a UUID", query: "identityId=" + identityA + url.QueryEscape("?x=y"), err: ErrBadIdentityID},
		{name: "a line end behind a UUID", query: "identityId=" + identityA + "%0d%0aX: y", err: ErrBadIdentityID},
		{name: "a UUID in braces", query: "identityId=" + url.QueryEscape("{"+identityA+"}"), err: ErrBadIdentityID},

		{name: "nothing", query: "", err: ErrNotFinished},
		{name: "an empty identity", query: "identityId=", err: ErrNotFinished},
		{name: "success without an identity", query: "status=success", err: ErrNotFinished},
		{name: "a cancel", query: "status=cancelled", err: ErrCancelled},
		{name: "a cancel spelt the other way", query: "status=Canceled", err: ErrCancelled},
		{name: "a cancel in OAuth's words", query: "error=access_denied", err: ErrCancelled},
		{name: "a cancel with an identity", query: "status=cancelled&identity_id=" + identityA, err: ErrCancelled},
		{name: "a failure", query: "status=failed", err: ErrSignInFailed},
		{name: "a failure with an identity", query: "status=failed&identity_id=" + identityA, err: ErrSignInFailed},
		{name: "a status nobody knows, with an identity", query: "status=ok&identity_id=" + identityA, err: ErrSignInFailed},
		{name: "an error", query: "error=server_error&error_description=x", err: ErrSignInFailed},
		{name: "an error beside success", query: "error=x&status=success&identity_id=" + identityA, err: ErrSignInFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			query, err := url.ParseQuery(test.query)
			require.NoError(t, err)
			result := readReturn(query)
			require.Equal(t, test.want, result.identityID)
			require.ErrorIs(t, result.err, test.err)
		})
	}
}

func TestARepeatedRequestSaysTheSameAndIsMarked(t *testing.T) {
	t.Parallel()
	query, err := url.ParseQuery(`identity_id=a"><script>&identity_id=b&status=success&other=x`)
	require.NoError(t, err)
	first := readReturn(query)
	require.False(t, first.repeated)

	u, err := url.Parse(first.repeat())
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"identity_id": {`a"><script>`, "b"}, "status": {"success"}, repeated: {"1"},
	}, u.Query())
	require.NotContains(t, first.repeat(), `"`)
	require.True(t, readReturn(u.Query()).repeated)
}

func TestTheTagKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	before := map[string]any{"plan": "pro", externalUserID: "", "deep": map[string]any{"x": "y"}}
	h := new(Handler)
	after, err := h.taggedMetadata(t.Context(), User{ID: "ada"}, before, Connection{UserID: "ada", ConnectedAt: noon.In(time.FixedZone("", 3600))})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"plan": "pro", "deep": map[string]any{"x": "y"}, "externalUserId": "ada", "connectedAt": "2026-05-04T12:00:00Z",
	}, after)
	require.Equal(t, "", before[externalUserID], "what was read is not written to")
	after, err = h.taggedMetadata(t.Context(), User{ID: "ada"}, nil, Connection{UserID: "ada"})
	require.NoError(t, err)
	require.Len(t, after, 2)
}

func TestWhatAFailedCallMeans(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"down", &anchorhttp.Error{StatusCode: 503}, ErrUpstreamUnavailable},
		{"broken", &anchorhttp.Error{StatusCode: 500}, ErrUpstreamUnavailable},
		{"busy", &anchorhttp.Error{StatusCode: 429}, ErrUpstreamUnavailable},
		{"its own upstream is slow", &anchorhttp.Error{StatusCode: 504}, ErrUpstreamTimeout},
		{"it waited for us", &anchorhttp.Error{StatusCode: 408}, ErrUpstreamTimeout},
		{"it refuses our key", &anchorhttp.Error{StatusCode: 401}, ErrUpstreamInvalid},
		{"it does not know our application", &anchorhttp.Error{StatusCode: 404}, ErrUpstreamInvalid},
		{"a redirect", &anchorhttp.Error{StatusCode: 302}, ErrUpstreamInvalid},
		{"garbage", anchorhttp.ErrInvalidAnswer, ErrUpstreamInvalid},
		{"too slow", context.DeadlineExceeded, ErrUpstreamTimeout},
		{"too slow, says the network", &url.Error{Op: "Get", Err: timeoutError{}}, ErrUpstreamTimeout},
		{"no connection", errors.New("connection refused"), ErrUpstreamUnavailable},
		{"the browser went away", context.Canceled, ErrUpstreamUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := upstreamError("get the identity", test.err)
			require.ErrorIs(t, err, test.want)
			require.ErrorIs(t, err, test.err)
			require.Contains(t, []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, Explain(err).Status)
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "slow" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestAStoresAnswerIsNoFault(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, storeError("complete", ErrIdentityTaken), ErrIdentityTaken)
	require.NotErrorIs(t, storeError("complete", ErrIdentityTaken), ErrStoreFailed)
	fault := errors.New("disk full")
	require.ErrorIs(t, storeError("complete", fault), ErrStoreFailed)
	require.ErrorIs(t, storeError("complete", fault), fault)
	require.Equal(t, http.StatusServiceUnavailable, Explain(storeError("complete", fault)).Status)
}

// However many calls it takes, and whatever the client allows.
func TestAPersonWaitsHalfAMinuteForAnchorAtMost(t *testing.T) {
	t.Parallel()
	const enough = 100 // of whatever comes
	tests := []struct {
		name   string
		answer func(path string, n int) string // to the n-th call; empty for none
	}{
		{"the identity does not come", func(string, int) string { return "" }},
		{"the list has no end", func(path string, n int) string {
			switch {
			case strings.HasPrefix(path, "/v1/identities/"):
				return fmt.Sprintf(`{"id":%q,"source":"https://example.com","status":"validated","created_at":%q}`, identityA, noon.Format(time.RFC3339))
			case strings.HasSuffix(path, "/identities") && n < enough:
				return fmt.Sprintf(`{"identities":[{"id":"22222222-2222-4222-8222-%012d"}]}`, n)
			case strings.HasSuffix(path, "/identities"):
				return `{"identities":[]}`
			}
			return fmt.Sprintf(`{"id":%q,"url":"https://another.example"}`, testApp)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				transport := roundTripper(func(r *http.Request) (*http.Response, error) {
					asked++
					wait, body := time.Second, test.answer(r.URL.Path, asked)
					if body == "" {
						wait = time.Hour
					}
					select {
					case <-time.After(wait):
						return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
				})
				cfg := goodConfig()
				cfg.Anchor = anchorhttp.New("test-key", anchorhttp.WithTimeout(0), anchorhttp.WithAttemptTimeout(0),
					anchorhttp.WithHTTPClient(&http.Client{Transport: transport}))
				h, err := New(cfg)
				require.NoError(t, err)
				start := flowEvidence{user: User{ID: "ada"}, pending: Pending{IssuedAt: noon, ApplicationID: testApp}, application: h.Application("")}
				begun := time.Now()
				_, _, err = h.gatherIdentity(t.Context(), start, identityA)
				require.ErrorIs(t, err, ErrUpstreamTimeout)
				require.Equal(t, 30*time.Second, time.Since(begun))
				time.Sleep(time.Minute) // What goes on without the person ends too.
			})
		})
	}
}

// Neither half may lean on the store, which refuses what a connection has.
func TestOnlyAFreshIdentityWithoutAMarkIsDisposable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		identity func(*anchorhttp.Identity)
		want     bool
	}{
		"fresh, without a mark": {func(*anchorhttp.Identity) {}, true},
		"older":                 {func(i *anchorhttp.Identity) { i.CreatedAt = noon.Add(-time.Hour) }, false},
		"without a date":        {func(i *anchorhttp.Identity) { i.CreatedAt = time.Time{} }, false},
		"marked as the user's":  {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: "ada"} }, false},
		"marked as another's":   {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: "eve"} }, false},
		"with an odd mark":      {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: 7} }, false},
		"with an empty mark":    {func(i *anchorhttp.Identity) { i.Metadata = map[string]any{externalUserID: ""} }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := goodIdentity()
			test.identity(&e.identity)
			require.Equal(t, test.want, e.isDisposable())
		})
	}
}
