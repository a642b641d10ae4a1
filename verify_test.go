package connect_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

func TestVerifyNamesEachProblemAndItsRemedy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []func(*connect.Config)
		arrange func(s *site)
		want    []string // empty: nothing is wrong
	}{
		"nothing is wrong": {},
		"a wrong key": {arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Status: 401})
		}, want: []string{"does not accept the API key (401)", "ANCHORBROWSER_API_KEY"}},
		"an application that does not exist": {options: []func(*connect.Config){func(c *connect.Config) {
			c.ApplicationID = "99999999-9999-4999-8999-999999999999"
		}}, want: []string{"no application 99999999-9999-4999-8999-999999999999 under this API key", "copy the id"}},
		"one of several that is another project's": {options: []func(*connect.Config){withCalendar}, arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications/" + s.calendar, Status: 404})
		}, want: []string{`("calendar") under this API key`}},
		"a clock that is slow":         {arrange: func(s *site) { s.fake.SetClockOffset(5 * time.Minute) }, want: []string{"behind Anchor's", "NTP"}},
		"a clock that is fast":         {arrange: func(s *site) { s.fake.SetClockOffset(-5 * time.Minute) }, want: []string{"ahead of Anchor's", "NTP"}},
		"a clock that is a little off": {arrange: func(s *site) { s.fake.SetClockOffset(100 * time.Second) }},
		"a store that is down": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = panicky{c.Store, "Applications"}
		}}, want: []string{"the store is unusable"}},
		"a store with the wrong schema": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = verified{c.Store, errors.New("the tables have schema version 1, and this release needs 3: call Migrate")}
		}}, want: []string{"the store is unusable", "call Migrate"}},
		"Anchor is down": {arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Drop: true})
		}, want: []string{"cannot be asked", "check the network"}},
		"a plain address and the real service": {options: []func(*connect.Config){func(c *connect.Config) {
			c.PublicURL = "http://localhost:8080"
			c.Anchor = anchorhttp.New("test-key", anchorhttp.WithBaseURL("http://127.0.0.1:1"), anchorhttp.WithMaxRetries(0))
		}}, want: []string{"Anchor accepts only https callbacks", "cannot be asked"}},
		"several at once": {options: []func(*connect.Config){func(c *connect.Config) {
			c.Store = verified{c.Store, errors.New("no tables")}
		}}, arrange: func(s *site) {
			s.fake.Fault(anchortest.Fault{Path: "/v1/applications", Status: 401})
		}, want: []string{"no tables", "API key"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, test.options...)
			if test.arrange != nil {
				test.arrange(s)
			}
			err := s.handler.Verify(t.Context())
			if len(test.want) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, text := range test.want {
				require.Contains(t, err.Error(), text)
			}
			s.log.forget("panic")
		})
	}
}

// verified is a store that can verify itself.
type verified struct {
	connect.Store
	err error
}

func (s verified) Verify(context.Context) error { return s.err }
