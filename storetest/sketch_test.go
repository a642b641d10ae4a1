package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anchorconnect/connect"
)

// sketch is a store with one flaw, or none. It has nothing but slices, and shares no code
// with connect.MemoryStore.
type sketch struct {
	flaw string

	mu          sync.Mutex
	flows       []*connect.Pending
	connections []*connect.Connection
	tasks       []*connect.Task
	ended       []*ended
	swept       []string // token hashes
	deleted     []string // identities
	byQueue     []string // identities that Queue has queued a deletion for
	locked      atomic.Bool
}

// has reports whether the store has a flaw.
func (s *sketch) has(flaw string) bool { return s.flaw == flaw }

// gap releases the lock for other calls, if the store has a flaw. s.mu is locked.
func (s *sketch) gap(flaw string) {
	if s.has(flaw) {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
}

// enter begins a method: it returns the error of ctx.
func (s *sketch) enter(ctx context.Context, method string) error {
	err := ctx.Err()
	switch {
	case s.locked.Load():
		return errors.New("the database is locked")
	case err == nil || s.has(method+" ignores its context"):
		return nil
	case s.has("returns the cause of its context"):
		return context.Cause(ctx)
	case s.has("returns another error than that of its context"):
		return errors.New("interrupted")
	case s.has("does not return once its context has ended"):
		time.Sleep(time.Hour)
	}
	return err
}

// text returns a string as it is stored.
func (s *sketch) text(text string) string {
	switch {
	case s.has("stores strings in lower case"):
		return strings.ToLower(text)
	case s.has("trims spaces"):
		return strings.TrimSpace(text)
	case s.has("truncates strings to 255 bytes") && len(text) > 255:
		return text[:255]
	case s.has("truncates strings at a NUL byte"):
		text, _, _ = strings.Cut(text, "\x00")
	case s.has("repairs invalid UTF-8"):
		return strings.ToValidUTF8(text, "\ufffd")
	}
	return text
}

// same reports whether two strings of a field are equal.
func (s *sketch) same(field, a, b string) bool {
	switch {
	case s.has("compares " + field + " without case"):
		return strings.EqualFold(a, b)
	case s.has("compares " + field + " without spaces at the end"):
		return strings.TrimRight(a, " ") == strings.TrimRight(b, " ")
	case s.has("compares " + field + " without accents"):
		accents := strings.NewReplacer("\u00e1", "a", "\u0301", "")
		return accents.Replace(a) == accents.Replace(b)
	case s.has("compares " + field + " with one weight for all emoji"):
		emoji := strings.NewReplacer("🍣", "", "🍺", "")
		return emoji.Replace(a) == emoji.Replace(b)
	case s.has("compares " + field + " in its first 254 bytes"):
		return a[:min(len(a), 254)] == b[:min(len(b), 254)]
	}
	return a == b
}

// sameUser reports whether two users are equal.
func (s *sketch) sameUser(application, user, otherApplication, otherUser string) bool {
	switch {
	case s.has("compares users by UserID alone"):
		return s.same("UserID", user, otherUser)
	case s.has("compares users by ApplicationID alone"):
		return s.same("ApplicationID", application, otherApplication)
	case s.has("concatenates the keys of a user"):
		return application+":"+user == otherApplication+":"+otherUser
	case s.has("confuses the keys of a user") && application == otherUser:
		return user == otherApplication
	}
	return s.same("ApplicationID", application, otherApplication) && s.same("UserID", user, otherUser)
}

// moment returns a time as it is stored.
func (s *sketch) moment(t time.Time) time.Time {
	switch {
	case s.has("stores seconds"):
		return t.Truncate(time.Second)
	case s.has("stores milliseconds"):
		return t.Truncate(time.Millisecond)
	case s.has("loses the carry when it rounds"):
		rounded := t.Round(micro)
		if rounded.Second() != t.Second() {
			return rounded.Add(-time.Second)
		}
		return rounded
	case s.has("stores local times without their zone"):
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	case s.has("stores local times of Berlin"):
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			panic(err)
		}
		t = t.In(berlin)
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), berlin)
	case s.has("counts nanoseconds in 64 bits"):
		return time.Unix(0, t.UnixNano())
	}
	return t
}

// before reports whether a is before b.
func (s *sketch) before(a, b time.Time) bool {
	switch {
	case s.has("compares times as strings"):
		return a.Format(time.RFC3339Nano) < b.Format(time.RFC3339Nano)
	case s.has("compares times as strings in UTC"):
		return a.UTC().Format(time.RFC3339Nano) < b.UTC().Format(time.RFC3339Nano)
	}
	return a.Before(b)
}

// compare orders times.
func (s *sketch) compare(a, b time.Time) int {
	switch {
	case s.before(a, b):
		return -1
	case s.before(b, a):
		return 1
	}
	return 0
}
