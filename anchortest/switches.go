package anchortest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A setting is a switch of the fake, for the control page and [Server.Switch].
type setting struct {
	name, label string
	choices     []choice
	get         func(*Server) string // with the lock held
	// set sets a value that is not one of the choices. It is called without the
	// lock, and nil if there are no other values.
	set func(*Server, string) error
}

type choice struct {
	value, label string
	set          func(*Server)
}

// settings are all switches, in the order of the control page.
var settings = []setting{
	{
		name: "sessions", label: "Browser sessions",
		choices: []choice{
			{"open", "are opened", func(s *Server) { s.RefuseSessions(NoRefusal) }},
			{"gone", "are refused: identity not found", func(s *Server) { s.RefuseSessions(RefuseGone) }},
			{"no-credentials", "are refused: 412, no credentials", func(s *Server) { s.RefuseSessions(RefuseNoCredentials) }},
			{"sign-in-failed", "are refused: 422, sign-in failed", func(s *Server) { s.RefuseSessions(RefuseSignInFailed) }},
			{"not-authenticated", "are refused: 400, profile not authenticated", func(s *Server) { s.RefuseSessions(RefuseNotAuthenticated) }},
			{"no-credit", "are refused: 402, no credit", func(s *Server) { s.RefuseSessions(RefuseNoCredit) }},
			{"rate-limited", "are refused: 429, too many", func(s *Server) { s.RefuseSessions(RefuseRateLimited) }},
		},
		get: func(s *Server) string { return s.refusals.sessions.word() },
	},
	{
		name: "dead", label: "A session whose sign-in does not work",
		choices: []choice{
			{"sign-in-failed", "is refused: 422, sign-in failed", func(s *Server) { s.SetDeadSignIn(RefuseSignInFailed) }},
			{"no-credentials", "is refused: 412, no credentials", func(s *Server) { s.SetDeadSignIn(RefuseNoCredentials) }},
			{"not-authenticated", "is refused: 400, profile not authenticated", func(s *Server) { s.SetDeadSignIn(RefuseNotAuthenticated) }},
			{"open", "is opened anyway", func(s *Server) { s.SetDeadSignIn(NoRefusal) }},
		},
		get: func(s *Server) string { return s.refusals.dead.word() },
	},
	{
		name: "gone", label: "A session whose identity is gone",
		choices: []choice{
			{"400", "is a 400", func(s *Server) { s.SetGoneStatus(http.StatusBadRequest) }},
			{"404", "is a 404", func(s *Server) { s.SetGoneStatus(http.StatusNotFound) }},
			{"422", "is a 422", func(s *Server) { s.SetGoneStatus(http.StatusUnprocessableEntity) }},
		},
		get: func(s *Server) string { return strconv.Itoa(s.refusals.gone) },
	},
	{
		name: "reauthenticate", label: "Signing in again by the API",
		choices: []choice{
			{"works", "works", func(s *Server) { s.RefuseReauthentication(0) }},
			{"412", "is refused: 412, no credentials", func(s *Server) { s.RefuseReauthentication(http.StatusPreconditionFailed) }},
			{"422", "fails: 422", func(s *Server) { s.RefuseReauthentication(http.StatusUnprocessableEntity) }},
		},
		get: func(s *Server) string {
			if s.refusals.reauthentication == 0 {
				return "works"
			}
			return strconv.Itoa(s.refusals.reauthentication)
		},
	},
	{
		name: "lists", label: "Lists of identities",
		choices: []choice{
			{"paged", "have pages", func(s *Server) { s.SetListStyle(PagedLists) }},
			{"whole", "are whole", func(s *Server) { s.SetListStyle(WholeLists) }},
		},
		get: func(s *Server) string { return [...]string{"paged", "whole"}[s.lists.style] },
	},
	{
		name: "event-identity", label: "Events name the identity",
		choices: []choice{
			{"identity_id", "as identity_id", func(s *Server) { s.SetEventIdentity(SnakeEventIdentity) }},
			{"identityId", "as identityId", func(s *Server) { s.SetEventIdentity(CamelEventIdentity) }},
			{"identity.id", "as the id in an object identity", func(s *Server) { s.SetEventIdentity(NestedEventIdentity) }},
			{"identity", "as the string identity", func(s *Server) { s.SetEventIdentity(TextEventIdentity) }},
			{"id", "as id", func(s *Server) { s.SetEventIdentity(BareEventIdentity) }},
			{"unreadable", "in an unknown field", func(s *Server) { s.SetEventIdentity(UnreadableEventIdentity) }},
		},
		get: func(s *Server) string {
			return [...]string{"identity_id", "identityId", "identity.id", "identity", "id", "unreadable"}[s.eventShape.identity]
		},
	},
	{
		name: "event-time", label: "Events are dated",
		choices: []choice{
			{"text", "as RFC 3339", func(s *Server) { s.SetEventTime(TextEventTime) }},
			{"unix", "as seconds since 1970", func(s *Server) { s.SetEventTime(UnixEventTime) }},
		},
		get: func(s *Server) string { return [...]string{"text", "unix"}[s.eventShape.time] },
	},
	{
		name: "clock", label: "The clock",
		choices: []choice{
			{"0s", "is right", func(s *Server) { s.SetClockOffset(0) }},
			{"5m0s", "is 5 minutes fast", func(s *Server) { s.SetClockOffset(5 * time.Minute) }},
			{"-5m0s", "is 5 minutes slow", func(s *Server) { s.SetClockOffset(-5 * time.Minute) }},
		},
		get: func(s *Server) string { return s.clockOffset.String() },
		set: func(s *Server, value string) error {
			d, err := time.ParseDuration(value)
			if err != nil {
				return errors.New("anchortest: the switch clock must be a duration such as 90s or -5m")
			}
			s.SetClockOffset(d)
			return nil
		},
	},
}

// word returns the refusal as the value of a switch.
func (r SessionRefusal) word() string {
	return [...]string{"open", "gone", "no-credentials", "sign-in-failed", "not-authenticated", "no-credit", "rate-limited"}[r]
}

// Switch sets a switch of the control page by its name and value. It is meant for
// programs. A test calls the method in parentheses.
//
//   - sessions ([Server.RefuseSessions]): open, gone, no-credentials, sign-in-failed,
//     not-authenticated, no-credit, rate-limited
//   - dead ([Server.SetDeadSignIn]): sign-in-failed, no-credentials,
//     not-authenticated, open
//   - gone ([Server.SetGoneStatus]): 400, 404, 422
//   - reauthenticate ([Server.RefuseReauthentication]): works, 412, 422
//   - lists ([Server.SetListStyle]): paged, whole
//   - event-identity ([Server.SetEventIdentity]): identity_id, identityId,
//     identity.id, identity, id, unreadable
//   - event-time ([Server.SetEventTime]): text, unix
//   - clock ([Server.SetClockOffset]): 0s or any other duration, such as -5m0s or 5m0s
//
// The first value is the default. Other names and values are an error.
func (s *Server) Switch(name, value string) error {
	var names []string
	for _, setting := range settings {
		if setting.name == name {
			return setting.to(s, value)
		}
		names = append(names, setting.name)
	}
	return fmt.Errorf("anchortest: there is no switch %q: use one of %s", name, strings.Join(names, ", "))
}

// to sets the switch to a value.
func (t setting) to(s *Server, value string) error {
	i := slices.IndexFunc(t.choices, func(c choice) bool { return c.value == value })
	switch {
	case i >= 0:
		t.choices[i].set(s)
		return nil
	case t.set != nil:
		return t.set(s, value)
	}
	var values []string
	for _, c := range t.choices {
		values = append(values, c.value)
	}
	return fmt.Errorf("anchortest: the switch %s cannot be %q: use one of %s", t.name, value, strings.Join(values, ", "))
}

// WithSwitch calls [Server.Switch] when the fake is created. It may be given several
// times.
func WithSwitch(name, value string) Option {
	return func(c *config) { c.switches = append(c.switches, [2]string{name, value}) }
}
