package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
)

// audit is what has happened to each owner's accounts, as connect tells it. It is
// kept in memory for the dashboard to show; a real app writes it to its own log.
type audit struct {
	mu      sync.Mutex
	entries map[string][]entry // by owner, the newest first
	labels  map[string]string  // by connection
}

type entry struct {
	At   time.Time
	Text string
}

// maxEntries is how many entries a user keeps.
const maxEntries = 20

// add is connect.Config.OnEvent.
func (a *audit) add(_ context.Context, e connect.Event) {
	if e.UserID == "" {
		return // Nobody's dashboard shows it.
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.entries == nil {
		a.entries, a.labels = make(map[string][]entry), make(map[string]string)
	}
	if e.Kind == connect.Connected || e.Kind == connect.Renamed {
		a.labels[e.ConnectionID] = e.Label // Other events do not say it.
	}
	entries := append([]entry{{e.Time, describe(e, a.labels[e.ConnectionID])}}, a.entries[e.UserID]...)
	a.entries[e.UserID] = entries[:min(len(entries), maxEntries)]
	if e.Kind == connect.Disconnected {
		delete(a.labels, e.ConnectionID)
	}
}

// of returns what has happened to an owner's accounts, the newest first.
func (a *audit) of(owner string) []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entries[owner] // Never written to again: add makes a new slice.
}

// describe says an event in words.
func describe(e connect.Event, label string) string {
	account, by := newAccount(e.Application).Text, ""
	if label != "" {
		account += " “\u2068" + label + "\u2069”" // Isolated: it may run from right to left.
	}
	if e.ActorID != "" {
		by = " by " + e.ActorID
	}
	switch e.Kind {
	case connect.Connected:
		return account + " was connected" + by
	case connect.Disconnected:
		return account + " was disconnected" + by
	case connect.Renamed:
		return account + " was renamed" + by
	case connect.Tagged:
		return account + ": its identity was marked as yours"
	case connect.HealthChanged:
		if e.Health == connect.HealthOK {
			return account + " signs in again"
		}
		return account + " needs a new sign-in"
	case connect.Refused:
		return fmt.Sprintf("A return was refused, proof %d: %s", e.Proof, connect.Explain(e.Reason).Title)
	}
	return string(e.Kind)
}
