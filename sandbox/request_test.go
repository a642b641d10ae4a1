package sandbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	plain := request{width: 1440, height: 900, idle: time.Minute, max: 180 * time.Minute}
	for _, row := range []struct {
		name, body string
		want       func(*request)
		err        string
	}{
		{name: "nothing", body: ""},
		{name: "an empty object", body: `{}`},
		{name: "what it does not know", body: `{"browser":{"tracing":{"active":true}},"x":1}`},
		{name: "limits in minutes", body: `{"session":{"timeout":{"max_duration":2,"idle_timeout":3}}}`,
			want: func(r *request) { r.max, r.idle = 2*time.Minute, 3*time.Minute }},
		{name: "no limits", body: `{"session":{"timeout":{"max_duration":-1,"idle_timeout":-1}}}`,
			want: func(r *request) { r.max, r.idle = noLimit, noLimit }},
		{name: "the longest limits", body: `{"session":{"timeout":{"max_duration":153722867,"idle_timeout":153722867}}}`,
			want: func(r *request) { r.max, r.idle = 153722867*time.Minute, 153722867*time.Minute }},
		{name: "a limit that is too long", body: `{"session":{"timeout":{"max_duration":153722868}}}`, err: "max_duration must be at most 153722867 minutes"},
		{name: "an idle limit that is too long", body: `{"session":{"timeout":{"idle_timeout":153722868}}}`, err: "idle_timeout must be at most"},
		{name: "a very negative limit", body: `{"session":{"timeout":{"max_duration":-2147483648}}}`, want: func(r *request) { r.max = noLimit }},
		{name: "limits of zero are the defaults", body: `{"session":{"timeout":{"max_duration":0,"idle_timeout":0}}}`},
		{name: "half a viewport", body: `{"browser":{"viewport":{"width":10}}}`, want: func(r *request) { r.width = 10 }},
		{name: "without a check", body: `{"identity_skip_validation":true}`, want: func(r *request) { r.skipValidation = true }},
		{name: "all that is left out", body: `{"session":{"recording":{"active":true},"proxy":{"active":true},"live_view":{"one_time_url":true}},
			"browser":{"captcha_solver":{"active":true},"extra_stealth":{"active":true},"headless":{"active":false},"fullscreen":{"active":true},
			"adblock":{"active":true},"profile":{"name":"a"},"extensions":["b"]}}`, want: func(r *request) { r.notes = make([]string, 10) }},
		{name: "all of that switched off", body: `{"session":{"recording":{"active":false},"proxy":{"active":false},"live_view":{"one_time_url":false}},
			"browser":{"captcha_solver":{"active":false},"extra_stealth":{"active":false},"headless":{"active":true},"fullscreen":{"active":false},
			"adblock":{"active":false},"extensions":[]}}`},
		{name: "a viewport of nothing", body: `{"browser":{"viewport":{"width":0}}}`, err: "viewport"},
		{name: "a viewport of too much", body: `{"browser":{"viewport":{"height":10001}}}`, err: "viewport"},
		{name: "a page that is none", body: `{"session":{"initial_url":"javascript:alert(1)"}}`, err: "initial_url"},
		{name: "a page of the machine", body: `{"session":{"initial_url":"file:///etc/passwd"}}`, err: "initial_url"},
		{name: "what is not JSON", body: `{`, err: "JSON"},
		{name: "another type", body: `{"session":{"initial_url":1}}`, err: "JSON"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := readRequest([]byte(row.body), nil, time.Minute)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				require.ErrorAs(t, err, new(*anchortest.APIError))
				return
			}
			require.NoError(t, err)
			want := plain
			if row.want != nil {
				row.want(&want)
			}
			require.Len(t, got.notes, len(want.notes))
			got.notes, want.notes = nil, nil
			require.Equal(t, want, got)
		})
	}
}
