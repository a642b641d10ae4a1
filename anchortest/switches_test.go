package anchortest

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// current returns the value of each switch.
func current(s *Server) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make(map[string]string)
	for _, setting := range settings {
		values[setting.name] = setting.get(s)
	}
	return values
}

func TestSwitches(t *testing.T) {
	t.Parallel()

	t.Run("each takes each of its values, and begins with the first", func(t *testing.T) {
		t.Parallel()
		source, err := os.ReadFile("switches.go")
		require.NoError(t, err)
		_, comment, _ := strings.Cut(string(source), "// Switch sets a switch")
		comment, _, _ = strings.Cut(comment, "\nfunc ")
		for _, setting := range settings {
			s := New()
			require.Equal(t, setting.choices[0].value, current(s)[setting.name])
			require.Contains(t, comment, "//   - "+setting.name+" (", "it is documented")
			for _, c := range setting.choices {
				require.NoError(t, s.Switch(setting.name, c.value))
				want := current(New())
				want[setting.name] = c.value
				require.Equal(t, want, current(s), "and moves no other")
				require.Contains(t, comment, c.value)
			}
		}
	})

	t.Run("the clock takes any duration", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		require.NoError(t, s.Switch("clock", "90s"))
		require.Equal(t, "1m30s", current(s)["clock"])
		inOrder(t, look(t, s).body, `name="clock"`, `<option value="1m30s" selected>is set to 1m30s</option>`)
		require.ErrorContains(t, s.Switch("clock", "soon"), "a duration")
	})

	t.Run("what there is not is an error that names what there is", func(t *testing.T) {
		t.Parallel()
		require.EqualError(t, New().Switch("lists", "sorted"), `anchortest: the switch lists cannot be "sorted": use one of paged, whole`)
		require.ErrorContains(t, New().Switch("list", "whole"), `there is no switch "list": use one of sessions, dead, gone, `)
		_, err := Start(WithSwitch("lists", "sorted"))
		require.ErrorContains(t, err, "anchortest: ")
		require.Panics(t, func() { New(WithSwitch("lists", "sorted")) })
		require.Equal(t, "whole", current(New(WithSwitch("lists", "whole"), WithSwitch("gone", "404")))["lists"])
	})

	t.Run("the control page has them", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		form := url.Values{"outcome": {"switch"}, "sessions": {"no-credit"}, "lists": {"whole"}, "clock": {"-5m0s"}}
		send := func(form url.Values) response {
			req, err := http.NewRequest("POST", s.ControlURL(), strings.NewReader(form.Encode()))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r, err := try(t.Context(), req)
			require.NoError(t, err)
			return r
		}
		r := send(form)
		require.Equal(t, http.StatusSeeOther, r.status, r.body)
		require.Equal(t, "fake#switches", r.header.Get("Location"))
		want := current(New())
		want["sessions"], want["lists"], want["clock"] = "no-credit", "whole", "-5m0s"
		require.Equal(t, want, current(s))
		inOrder(t, look(t, s).body, `<option value="no-credit" selected>`, `<option value="whole" selected>`, `<option value="-5m0s" selected>`)

		r = send(url.Values{"outcome": {"switch"}, "gone": {"<i>410</i>"}})
		require.Equal(t, http.StatusBadRequest, r.status)
		require.Contains(t, r.body, "use one of 400, 404, 422.")
		require.NotContains(t, r.body, "<i>")
		require.Equal(t, want, current(s))
	})
}
