package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/anchorconnect/connect"
)

// audit keeps connect's events of each owner's accounts in memory, for the dashboard. A
// real app writes them to its own audit log.
type audit struct {
	mu      sync.Mutex
	entries map[string][]entry // by owner, newest first
	labels  map[string]string  // by connection
}

type entry struct {
	At   time.Time
	Text string
}

// maxEntries is the number of entries kept for each owner.
const maxEntries = 20

// add records an event. It is the app's connect.Config.OnEvent.
func (a *audit) add(_ context.Context, e connect.Event) {
	if e.UserID == "" {
		return // No dashboard shows it.
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.entries == nil {
		a.entries, a.labels = make(map[string][]entry), make(map[string]string)
	}
	if e.Kind == connect.Connected || e.Kind == connect.Renamed {
		a.labels[e.ConnectionID] = e.Label // Other events carry no label.
	}
	entries := append([]entry{{e.Time, describe(e, a.labels[e.ConnectionID])}}, a.entries[e.UserID]...)
	a.entries[e.UserID] = entries[:min(len(entries), maxEntries)]
	if e.Kind == connect.Disconnected {
		delete(a.labels, e.ConnectionID)
	}
}

// of returns the entries of an owner, newest first.
func (a *audit) of(owner string) []entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entries[owner] // Safe to read: add never changes a slice, it makes a new one.
}

// describe returns an event as a sentence.
func describe(e connect.Event, label string) string {
	account, by := newAccount(e.Application).Text, ""
	if label != "" {
		account += " “\u2068" + label + "\u2069”" // Isolates: the label may be right-to-left.
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
		return account + ": its owner was recorded at Anchor"
	case connect.HealthChanged:
		if e.Health == connect.HealthOK {
			return account + " signs in again"
		}
		return account + " needs a new sign-in"
	case connect.Started:
		return account + ": a sign-in was started"
	case connect.Cancelled:
		return account + ": the sign-in was cancelled"
	case connect.SignInFailed:
		return account + ": the sign-in failed"
	case connect.Expired:
		return account + ": the sign-in took too long"
	case connect.SessionOpened:
		return account + ": a browser session was opened"
	case connect.SessionRefused:
		return account + ": a browser session was refused"
	case connect.Refused:
		return fmt.Sprintf("A callback was refused, proof %d: %s", e.Proof, connect.Explain(e.Reason).Title)
	}
	return string(e.Kind)
}
