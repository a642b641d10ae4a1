package sqlstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestCompletePlace(t *testing.T) {
	t.Parallel()
	c := connection("anna", "1")
	// Anna's flow is for her only connection unless a row changes it.
	given := func(changes ...func(f *facts)) facts {
		f := facts{known: true, flow: flow("anna", "")}
		for _, change := range changes {
			change(&f)
		}
		return f
	}
	has := func(slots ...int) func(f *facts) {
		return func(f *facts) {
			for _, slot := range slots {
				m := stored{connection("anna", identityNumber(slot)), slot}
				f.mine = append(f.mine, m)
			}
		}
	}
	hasSame := func(slot int) func(f *facts) {
		return func(f *facts) { f.mine = append(f.mine, stored{connection("anna", "1"), slot}) }
	}
	adds := func(f *facts) { f.flow.Adds = true }
	names := func(id string) func(f *facts) { return func(f *facts) { f.flow.ConnectionID = id } }
	spent := func(identity string) func(f *facts) {
		return func(f *facts) { f.flow.Spent, f.flow.IdentityID = true, identity }
	}
	disconnected := func(f *facts) { f.disconnected = true }
	expired := func(f *facts) { f.flow.ExpiresAt = noon }
	retired := func(f *facts) { f.retired = true }
	taken := func(f *facts) { f.taken = true }
	// Each reason comes before those below it.
	upTo := func(n int) func(f *facts) {
		return func(f *facts) {
			for _, change := range []func(f *facts){names("unknown"), taken, retired, expired, disconnected}[:n] {
				change(f)
			}
		}
	}

	type row struct {
		given facts
		same  bool // SameIdentity
		limit int  // 2 if it is zero

		want place // a renewed connection is given by its slot
		id   string
		err  error
	}
	for name, row := range map[string]row{
		"nothing is known":    {given: facts{retired: true, taken: true}, err: connect.ErrStateUnknown},
		"another user":        {given: given(upTo(5), spent("1"), func(f *facts) { f.flow.UserID = "ben" }), err: connect.ErrAnotherUser},
		"another application": {given: given(upTo(5), spent("1"), func(f *facts) { f.flow.ApplicationID = "b" }), err: connect.ErrAnotherUser},
		"another actor":       {given: given(upTo(5), spent("1"), func(f *facts) { f.flow.ActorID = "carl" }), err: connect.ErrAnotherUser},

		"a reload": {given: given(spent("1")), want: place{reload: true}},
		"a reload, whatever has become of it all": {given: given(upTo(5), spent("1")), want: place{reload: true}},
		"spent":                                    {given: given(upTo(5), spent("")), err: connect.ErrStateSpent},
		"completed with another identity":          {given: given(upTo(5), spent("2")), err: connect.ErrStateSpent},
		"begun before a disconnect":                {given: given(upTo(5)), err: connect.ErrStateSpent},
		"expired at this moment":                   {given: given(upTo(4)), err: connect.ErrStateExpired},
		"expired, finer than the store keeps":      {given: given(func(f *facts) { f.flow.ExpiresAt = noon.Add(time.Nanosecond) }), err: connect.ErrStateExpired},
		"live for a microsecond":                   {given: given(func(f *facts) { f.flow.ExpiresAt = noon.Add(time.Microsecond) })},
		"retired":                                  {given: given(upTo(3)), err: connect.ErrIdentityRetired},
		"taken":                                    {given: given(upTo(2)), same: true, err: connect.ErrIdentityTaken},
		"not the user's, as it has to be":          {given: given(upTo(1), has(0)), same: true, err: connect.ErrIdentityTooOld},
		"names an unknown connection":              {given: given(upTo(1), hasSame(0)), err: connect.ErrConnectionUnknown},
		"names an unknown connection, and adds":    {given: given(upTo(1), adds), err: connect.ErrConnectionUnknown},
		"names one, another one has the identity":  {given: given(has(0), hasSame(1), names(idOf("anna", identityNumber(0)))), err: connect.ErrIdentityConnected},
		"names one":                                {given: given(has(0, 1), names(idOf("anna", identityNumber(1)))), want: place{slot: 1}, id: identityNumber(1)},
		"names one, beyond the limit":              {given: given(has(0, 1), names(idOf("anna", identityNumber(1)))), limit: 1, want: place{slot: 1}, id: identityNumber(1)},
		"names the one with the identity":          {given: given(has(0), hasSame(3), names(idOf("anna", "1"))), same: true, want: place{slot: 3}, id: "1"},
		"the one with the identity":                {given: given(has(0), hasSame(1)), want: place{slot: 1}, id: "1"},
		"the one with the identity, as it adds":    {given: given(has(0), hasSame(1), adds), want: place{slot: 1}, id: "1"},
		"the one with the identity, as it has to":  {given: given(has(0), hasSame(1)), same: true, limit: 1, want: place{slot: 1}, id: "1"},
		"the only one":                             {given: given(has(0)), want: place{slot: 0}, id: identityNumber(0)},
		"the only one, in another slot":            {given: given(has(2)), limit: 1, want: place{slot: 2}, id: identityNumber(2)},
		"the first one":                            {given: given()},
		"the first one, and adds":                  {given: given(adds), limit: 1},
		"the first one, whatever the limit":        {given: given(), limit: -1},
		"which of several":                         {given: given(has(0, 1)), limit: 3, err: connect.ErrConnectionLimit},
		"one more":                                 {given: given(has(0), adds), want: place{beside: true, slot: 1}},
		"one more, in the smallest slot free":      {given: given(has(3, 0, 1), adds), limit: 4, want: place{beside: true, slot: 2}},
		"one more, in the first slot":              {given: given(has(2, 1), adds), limit: 3, want: place{beside: true, slot: 0}},
		"one too many":                             {given: given(has(0, 1), adds), err: connect.ErrConnectionLimit},
		"one too many, though a slot is free":      {given: given(has(0, 5), adds), err: connect.ErrConnectionLimit},
		"one too many, of a limit that is lowered": {given: given(has(0, 1, 2), adds), limit: 1, err: connect.ErrConnectionLimit},
		"one too many, of no limit at all":         {given: given(has(0), adds), limit: -1, err: connect.ErrConnectionLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if row.limit == 0 {
				row.limit = 2
			}
			got, err := row.given.place(c, connect.Completion{SameIdentity: row.same, MaxConnections: row.limit})
			require.Equal(t, row.err, err)
			if row.id != "" {
				require.NotNil(t, got.renewed)
				require.Equal(t, row.id, got.renewed.IdentityID)
				got.renewed = nil
			}
			require.Equal(t, row.want, got)
		})
	}
}

// Of the tabs that add at once, as many succeed as the limit allows. None gives up because
// others are faster.
func TestCompleteRacingAdds(t *testing.T) {
	t.Parallel()
	for name, options := range hooked {
		for _, limit := range []int{3, 25} {
			t.Run(fmt.Sprintf("%s, up to %d", name, limit), func(t *testing.T) {
				t.Parallel()
				onEach(t, func(t *testing.T, d *database) { raceToAdd(t, d.migrated(t, options...), limit) })
			})
		}
	}
}

func raceToAdd(t *testing.T, s *Store, limit int) {
	t.Helper()
	const tabs = 20
	how := connect.Completion{TagAfter: tagDue, MaxConnections: limit}
	results := make(chan error, tabs)
	for i := range tabs {
		p := flow("anna", identityNumber(i))
		p.Adds = true
		bind(t, s, p)
	}
	for i := range tabs {
		go func() {
			_, err := s.Complete(t.Context(), identityNumber(i), connection("anna", identityNumber(i)), how)
			results <- err
		}()
	}
	for range tabs {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, connect.ErrConnectionLimit)
		}
	}
	found, err := queryConnections(t.Context(), s.db, s.sql.connections, application, "anna")
	require.NoError(t, err)
	slots := make(map[int]bool)
	for _, c := range found {
		slots[c.slot] = true
	}
	added := min(tabs, limit)
	for slot := range added {
		require.True(t, slots[slot], slot)
	}
	require.Len(t, found, added)
	require.Equal(t, added, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_tasks WHERE kind = 'tag'")))
	require.Equal(t, added, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_pending WHERE spent")))
}

// hooked are the options on which the statements of a change depend.
var hooked = map[string][]Option{"without a hook": nil, "with a hook": {WithHook(idle)}}
