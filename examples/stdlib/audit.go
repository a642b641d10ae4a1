package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
)

// audit is what has happened to each user's accounts, as connect tells it. It is
// kept in memory for the dashboard to show; a real app writes it to its own log.
type audit struct {
	mu      sync.Mutex
	entries map[string][]entry // by user, the newest first
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
		a.entries = make(map[string][]entry)
	}
	entries := append([]entry{{e.Time, describe(e)}}, a.entries[e.UserID]...)
	a.entries[e.UserID] = entries[:min(len(entries), maxEntries)]
}

// of returns what has happened to a user's accounts, the newest first.
func (a *audit) of(user string) []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entries[user] // Never written to again: add makes a new slice.
}

// describe says an event in words.
func describe(e connect.Event) string {
	account := newAccount(e.Application).Text
	switch e.Kind {
	case connect.Connected:
		return account + " was connected"
	case connect.Disconnected:
		return account + " was disconnected"
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
