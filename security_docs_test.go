package connect_test

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

// The tests here hold SECURITY.md to what it says and no other test would notice.

func TestSecurityFormsAreBounded(t *testing.T) {
	t.Parallel()
	ada := newSite(t).signedIn("ada")
	form := func(length int) string {
		const fields = "return_to=%2Freports&more="
		return fields + strings.Repeat("a", length-len(fields))
	}
	post := func(body string) answer {
		return ada.do(http.MethodPost, "/connect", "application/x-www-form-urlencoded", body)
	}
	require.Equal(t, http.StatusSeeOther, post(form(16<<10)).status)
	ada.refused(connect.ErrBadRequest, post(form(16<<10+1)))
}

// No answer and no time that a test can measure would show it.
func TestSecuritySecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	for file, call := range map[string]string{"state.go": "subtle.ConstantTimeCompare(", "anchorhttp/webhook.go": "hmac.Equal("} {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(source), call, file)
	}
}

func TestSecurityAListIsReadForOneIdentityAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var lists atomic.Int32
	release := make(chan struct{})
	_, app := s.replica(func(r *http.Request) (*http.Response, error) {
		// The first page of the whole list. A search by name is cheap.
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/identities") && !q.Has("search") && q.Get("page") == "1" {
			lists.Add(1)
			<-release
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	var flows sync.WaitGroup
	var answers [2]answer
	var failures [2]error
	for i := range answers {
		b := s.browser()
		foreign := s.fake.PutIdentity(anchortest.Identity{ApplicationID: s.calendar, CreatedAt: s.clock.now().Add(time.Second)})
		callback := withIdentity(s.approve(b.post(app+"/connect", nil).location), foreign.ID)
		flows.Go(func() { answers[i], failures[i] = b.try(http.MethodGet, callback, "", "") })
	}
	require.Eventually(t, func() bool { return s.fake.CountCalls("GET", "/v1/identities/") == 2 && lists.Load() > 0 }, 5*time.Second, 5*time.Millisecond)
	assert.Never(t, func() bool { return lists.Load() > 1 }, 300*time.Millisecond, 5*time.Millisecond)
	close(release)
	flows.Wait()
	for i, a := range answers {
		require.NoError(t, failures[i])
		require.Equal(t, connect.Explain(connect.ErrWrongApplication).Status, a.status)
	}
	require.EqualValues(t, 2, lists.Load())
}
