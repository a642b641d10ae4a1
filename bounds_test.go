package connect

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClipCutsALongText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://app.example", clip("https://app.example"))
	require.Equal(t, strings.Repeat("a", maxClip), clip(strings.Repeat("a", maxClip)))
	require.Equal(t, strings.Repeat("a", maxClip)+"…", clip(strings.Repeat("a", maxClip+1)))
	require.Equal(t, "a\uFFFDb\uFFFDc", clip("a\nb\x1bc"), "a line is a line")
	for n := maxClip - 3; n <= maxClip; n++ {
		got := clip(strings.Repeat("a", n) + strings.Repeat("語", 10))
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), maxClip+len("…"))
	}
	long := errors.New(strings.Repeat("語", maxErrorText))
	require.LessOrEqual(t, len(clipError(long)), maxErrorText+len("…"))
	require.True(t, utf8.ValidString(clipError(long)))
}

func TestLooksRandomRefusesRepeatedBytes(t *testing.T) {
	t.Parallel()
	for range 1000 {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		require.True(t, looksRandom(raw))
		require.True(t, looksRandom([]byte(hex.EncodeToString(raw))))
	}
	require.False(t, looksRandom(make([]byte, 64)))
	require.False(t, looksRandom([]byte(strings.Repeat("0123456", 10))))
}

func TestLogRateAllowsOneInAnInterval(t *testing.T) {
	t.Parallel()
	var rate logRate
	require.True(t, rate.allows(noon))
	require.False(t, rate.allows(noon.Add(logInterval-time.Second)))
	require.True(t, rate.allows(noon.Add(logInterval)))
}

// patientWriter is a server's ResponseWriter that records the read deadlines.
type patientWriter struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *patientWriter) SetReadDeadline(t time.Time) error {
	w.set = append(w.set, t)
	return nil
}

func TestLimitReadingEndsWithTheBody(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.Now = func() time.Time { return noon }
	h, err := New(cfg)
	require.NoError(t, err)
	at := fmt.Sprint(noon.Unix())
	event := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	event.Header.Set("Anchor-Signature", "t="+at+",v1="+sign("another secret", at, "{}"))
	form := httptest.NewRequest("POST", "/connect", strings.NewReader("return_to=//evil.test"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, test := range map[string]struct {
		handler http.Handler
		r       *http.Request
		limit   time.Duration
	}{
		"an event": {h.Webhook("whsec_of_the_tests"), event, webhookTimeout},
		"a form":   {h, form, formTimeout},
	} {
		w := &patientWriter{ResponseRecorder: httptest.NewRecorder()}
		test.handler.ServeHTTP(w, test.r)
		require.GreaterOrEqual(t, len(w.set), 2, name)
		require.WithinRange(t, w.set[0], time.Now(), time.Now().Add(test.limit), name)
		require.Zero(t, w.set[len(w.set)-1], "a deadline that stays would end the request when it has been read")
	}
}
