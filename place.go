package connect

import (
	"crypto/rand"
	"slices"
	"strings"
)

// place returns the index of the connection that p renews, or -1 if it adds one, by the
// rules of [Store].Complete. connections are all that the user has in the application. No
// other user has identityID; it is empty if it is not known yet.
func (p Pending) place(connections []Connection, identityID string, maxConnections int) (int, error) {
	same := slices.IndexFunc(connections, func(c Connection) bool { return c.IdentityID == identityID })
	if p.ConnectionID != "" {
		named := indexByID(connections, p.ConnectionID)
		switch {
		case named < 0:
			return 0, ErrConnectionUnknown
		case same >= 0 && same != named:
			return 0, ErrIdentityConnected
		}
		return named, nil
	}
	switch n := len(connections); {
	case same >= 0:
		return same, nil
	case p.Adds && n < max(maxConnections, 1), n == 0:
		return -1, nil
	case !p.Adds && n == 1:
		return 0, nil
	}
	return 0, ErrConnectionLimit
}

// agrees reports whether the app has accepted to renew the connection with an index, or
// to add one if the index is negative. It does if the app was not asked.
func (how Completion) agrees(connections []Connection, index int) bool {
	var renewed Connection
	if index >= 0 {
		renewed = connections[index]
	}
	return how.Accepted == nil || how.Accepted.ID == renewed.ID && how.Accepted.IdentityID == renewed.IdentityID
}

// indexByID returns the index of the connection with an ID, or -1.
func indexByID(connections []Connection, id string) int {
	return slices.IndexFunc(connections, func(c Connection) bool { return c.ID == id })
}

// first returns the oldest connection that works, or else the oldest, and reports whether
// there is one.
func first(connections []Connection) (Connection, bool) {
	if len(connections) == 0 {
		return Connection{}, false
	}
	i := slices.IndexFunc(connections, Connection.works)
	return connections[max(i, 0)], true
}

// works reports whether the identity is signed in, as far as is known.
func (c Connection) works() bool { return c.Health != HealthNeedsSignIn }

// newConnectionID returns a random id of 26 lower-case letters and digits, with at least
// 128 random bits.
func newConnectionID() string { return strings.ToLower(rand.Text()) }
