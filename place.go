package connect

import (
	"crypto/rand"
	"slices"
	"strings"
)

// place returns the index of the connection that a completed flow renews, or -1 if it
// adds one: the rules of [Store].Complete. connections are all that the user has in the
// application, and identityID is the identity that has come back, which no other user
// has.
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

// agrees reports whether the app has accepted that a connection is renewed, or that one
// is added if the index is negative.
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

// first returns the connection that a user's other ones stand back for: the oldest
// that works, or else the oldest. It reports whether there is any.
func first(connections []Connection) (Connection, bool) {
	if len(connections) == 0 {
		return Connection{}, false
	}
	i := slices.IndexFunc(connections, Connection.works)
	return connections[max(i, 0)], true
}

// works reports whether nothing is known against the connection.
func (c Connection) works() bool { return c.Health != HealthNeedsSignIn }

// newConnectionID returns an id for a connection: 26 letters and digits, at least 128
// random bits.
func newConnectionID() string { return strings.ToLower(rand.Text()) }
