package storetest

import (
	"fmt"
	"time"
	_ "time/tzdata" // for machines without a time zone database

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// zone loads a time zone.
func zone(t tb, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	require.NoError(t, err)
	return location
}

// zones returns time zones with very different offsets, not all of them whole hours.
func zones(t tb) []*time.Location {
	t.Helper()
	return []*time.Location{
		time.UTC,
		zone(t, "Asia/Kathmandu"),
		zone(t, "America/St_Johns"),
		zone(t, "Pacific/Kiritimati"),
		time.FixedZone("", -12*60*60),
		time.FixedZone("with a name", 60*60+17),
	}
}

// requireEdge completes two flows that expire at a moment: one before it, and one too
// late.
func requireEdge(t tb, s connect.Store, label string, expires, before, at time.Time) {
	t.Helper()
	p, late := flow("user of "+label, label), flow("user of "+label, label+", late")
	p.ExpiresAt, late.ExpiresAt = expires, expires
	bind(t, s, p, late)

	c := createdAt(finished(p, identity(label)), at)
	requireRefused(t, s, late, c, single, connect.ErrStateExpired)
	c = createdAt(c, before)
	c.HealthAt = expires
	completeWith(t, s, p, c, single)
	requireConnections(t, s, c)
	requireFlow(t, s, completed(p, c.IdentityID))
	requireFlow(t, s, late)
}

// requireNear requires that two times differ by less than a microsecond.
func requireNear(t tb, want, got time.Time, what string) {
	t.Helper()
	require.Less(t, got.Sub(want).Abs(), micro, "the difference between the %s that is stored and the given %v", what, want)
}

// orderedMoments returns moments in order. Formatted without their trailing zeros, or in
// their zones, some of them sort in another order.
func orderedMoments() []time.Time {
	second := time.Date(2044, time.February, 29, 12, 0, 0, 0, time.UTC)
	east, west := time.FixedZone("", 14*60*60), time.FixedZone("", -12*60*60)
	return []time.Time{
		second.AddDate(-60, 0, 0),
		second.Add(-time.Second).In(east),
		second.Add(-micro).In(west),
		second,
		second.Add(micro).In(east),
		second.Add(20 * micro),
		second.Add(100 * micro).In(west),
		second.Add(500 * time.Millisecond),
		second.Add(time.Second).In(east),
		second.AddDate(7000, 0, 0).In(west),
	}
}

var timesGroup = group{"Times", []check{
	{"every time is stored to the microsecond", func(t tb, s connect.Store) {
		for _, us := range []int{0, 1, 9, 10, 100_000, 123_456, 500_000, 999_999} {
			moment := time.Date(2044, time.February, 29, 23, 59, 59, us*1000, time.UTC)
			label := fmt.Sprint(us)
			p := flow("user "+label, label)
			p.BegunAt, p.IssuedAt, p.ExpiresAt = moment.Add(-2*time.Hour), moment.Add(-time.Hour), moment.Add(time.Hour)
			bind(t, s, p)
			requireFlow(t, s, p)
			c := createdAt(finished(p, identity(label)), moment)
			c.HealthAt = moment
			completeWith(t, s, p, c, single)
			requireConnections(t, s, c)

			due := noon.Add(time.Duration(us) * micro)
			postpone(t, s, tag(c), due)
			requireDue(t, s, due.Add(-micro))
			requireDue(t, s, due, tag(c))
			markDone(t, s, tag(c))
		}
	}},

	{"truncating or rounding moves a time by less than a microsecond", func(t tb, s connect.Store) {
		for _, ns := range []int{1, 499, 500, 501, 999, 999_999_499, 999_999_999} {
			moment := time.Date(2044, time.February, 29, 23, 59, 59, ns, time.UTC)
			label := fmt.Sprint(ns)
			p := flow("user "+label, label)
			p.BegunAt, p.IssuedAt, p.ExpiresAt = moment.Add(-2*time.Hour), moment.Add(-time.Hour), moment.Add(time.Hour)
			connection := createdAt(finished(p, identity(label)), moment)
			connection.HealthAt = moment
			connectedWith(t, s, p, connection, single)

			got, err := s.Pending(t.Context(), p.TokenHash)
			require.NoError(t, err, "Pending")
			c := onlyConnection(t, s, p.UserID)
			requireNear(t, p.BegunAt, got.BegunAt, "BegunAt")
			requireNear(t, p.IssuedAt, got.IssuedAt, "IssuedAt")
			requireNear(t, p.ExpiresAt, got.ExpiresAt, "ExpiresAt")
			requireNear(t, moment, c.CreatedAt, "CreatedAt")
			requireNear(t, moment, c.ConnectedAt, "ConnectedAt")
			requireNear(t, moment, c.HealthAt, "HealthAt")
		}
	}},

	{"equal times stay equal below a microsecond", func(t tb, s connect.Store) {
		for _, ns := range []time.Duration{1, 499, 500, 501, 999} {
			label := fmt.Sprint(int(ns))
			moment := noon.Add(ns)
			p, late := flow("user "+label, label), flow("user "+label, label+", late")
			late.ExpiresAt = moment
			bind(t, s, p, late)
			c := connectedAt(finished(late, identity(label+", late")), moment)
			requireRefused(t, s, late, c, single, connect.ErrStateExpired)
			sweep(t, s, moment, plenty, 0)
			sweep(t, s, moment.Add(micro), plenty, 1)

			c = finished(p, identity(label))
			completeWith(t, s, p, c, tagAfter(moment))
			for n := range 3 {
				tasks, err := s.Claim(t.Context(), app, moment, moment, plenty)
				require.NoError(t, err, "Claim")
				requireSameTasks(t, []connect.Task{attempted(tag(c), n+1)}, tasks, "the tasks that are due at the very moment of the claim")
			}
			postpone(t, s, tag(c), moment)
			tasks, err := s.Claim(t.Context(), app, moment, moment.Add(lease), plenty)
			require.NoError(t, err, "Claim")
			requireSameTasks(t, []connect.Task{attempted(tag(c), 4)}, tasks, "the tasks that are due at the very moment of the claim")
		}
	}},

	{"a time is the same instant in any zone", func(t tb, s connect.Store) {
		for i, kept := range zones(t) {
			for j, given := range zones(t) {
				label := fmt.Sprint(i, "/", j)
				requireEdge(t, s, label, noon.In(kept), noon.Add(-micro).In(given), noon.In(given))
			}
		}
	}},

	{"when clocks are set back, both equal hours are distinct", func(t tb, s connect.Store) {
		// In Berlin, 2:30 occurs twice in this night, at 0:30 and 1:30 UTC.
		berlin := zone(t, "Europe/Berlin")
		once := time.Date(2026, time.October, 25, 0, 30, 0, 0, time.UTC).In(berlin)
		twice := once.Add(time.Hour)
		require.Equal(t, once.Format(time.DateTime), twice.Format(time.DateTime))

		requireEdge(t, s, "once", once, once.Add(-micro), once)
		requireEdge(t, s, "twice", twice, twice.Add(-micro), twice)
		p := flow("anna", "between")
		p.ExpiresAt = once
		bind(t, s, p)
		c := connectedAt(finished(p, identity("anna")), twice)
		requireRefused(t, s, p, c, single, connect.ErrStateExpired)
		sweep(t, s, twice, plenty, 3) // all but the two that expire at twice
	}},

	{"times from 1970 to 9999 are stored", func(t tb, s connect.Store) {
		for _, moment := range []time.Time{
			time.Date(1970, time.January, 1, 0, 0, 1, 0, time.UTC),
			time.Date(2001, time.September, 9, 1, 46, 40, 0, time.UTC), // the first Unix time of ten digits
			time.Date(2038, time.January, 19, 3, 14, 8, 0, time.UTC),   // more than 32 bits
			time.Date(2262, time.April, 12, 0, 0, 0, 0, time.UTC),      // more than 64 bits of nanoseconds
			time.Date(9999, time.December, 31, 23, 59, 59, 999_999_000, time.UTC),
		} {
			requireEdge(t, s, moment.Format(time.DateOnly), moment, moment.Add(-micro), moment)
		}
		sweep(t, s, time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC), plenty, 6)
	}},

	{"times are ordered as instants, not as strings", func(t tb, s connect.Store) {
		ordered := orderedMoments()
		var queued []connect.Task
		for i, moment := range ordered {
			label := fmt.Sprint(i)
			p := flow("user "+label, label)
			p.ExpiresAt = moment
			bind(t, s, p)

			other := flow("tagged "+label, "tagged "+label)
			other.ExpiresAt = noon.AddDate(7900, 0, 0)
			c := connectedWith(t, s, other, finished(other, identity(label)), tagAfter(moment))
			queued = append(queued, tag(c))
		}

		// Complete compares each moment with every other.
		for i, expires := range ordered {
			for j, at := range ordered {
				label := fmt.Sprint(i, "/", j)
				p := flow("pair "+label, "pair "+label)
				p.ExpiresAt = expires
				bind(t, s, p)
				c := createdAt(finished(p, identity("pair "+label)), at)
				if j < i {
					completeWith(t, s, p, c, single)
					markDone(t, s, tag(c))
				} else {
					requireRefused(t, s, p, c, single, connect.ErrStateExpired)
				}
			}
		}
		// Claim returns each task when it is due, and the one that is due longest first.
		last := ordered[len(ordered)-1]
		until := last.AddDate(900, 0, 0)
		for i, moment := range ordered {
			if i > 0 {
				require.Empty(t, claimIn(t, s, app, ordered[i-1], until, 1), "tasks before the one that is due at %v", moment)
			}
			got := claimIn(t, s, app, last, until, 1)
			requireSameTasks(t, queued[i:i+1], got, fmt.Sprintf("the one task that is due longest, at %v", moment))
		}
		// Sweep compares them.
		for i, moment := range ordered {
			want := 0
			if i > 0 {
				want = 1 + len(ordered)
			}
			sweep(t, s, moment, plenty, want)
		}
	}},
}}
