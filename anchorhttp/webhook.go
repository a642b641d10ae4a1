package anchorhttp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxEventBody bounds the body that ReadEvent reads.
	maxEventBody = 256 << 10

	// maxEventAge is how old a signature may be, and how far ahead of our clock:
	// Anchor's documentation asks for two minutes.
	maxEventAge = 2 * time.Minute

	// maxSignatures is how many signatures of an event are compared. There are two
	// after a rotation.
	maxSignatures = 10

	// maxTimestamp is the longest timestamp that is read, in bytes.
	maxTimestamp = 20

	// Bounds of Event.Fields.
	maxFields    = 20
	maxFieldName = 40
)

// The types of the events about an identity's sign-in. Anchor has others.
const (
	EventIdentityAuthenticated        = "identity.authenticated"
	EventIdentityAuthenticationFailed = "identity.authentication_failed"
)

// Errors of the functions that verify an event.
var (
	// ErrSignatureMissing is returned when the headers hold no signature that can be
	// read, or timestamps that differ.
	ErrSignatureMissing = errors.New("the event has no readable signature")
	// ErrSignatureWrong is returned when none of the secrets has signed the event.
	ErrSignatureWrong = errors.New("the event is not signed with any of the secrets")
	// ErrSignatureExpired is returned when the event was signed more than two minutes
	// ago, or will be signed in more than two minutes.
	ErrSignatureExpired = errors.New("the event was not signed within the last two minutes")
	// ErrInvalidEvent is returned when what is signed is not an event.
	ErrInvalidEvent = errors.New("the event is invalid")
)

// An Event is what Anchor sends to a webhook.
type Event struct {
	// ID is the same for all deliveries of an event.
	ID string
	// Type is one of the constants above, or another of Anchor's.
	Type string
	// CreatedAt is when it happened, by Anchor's clock. If the event does not say, or
	// names a time after it was signed, it is SignedAt.
	CreatedAt time.Time
	// SignedAt is when this delivery was signed, in whole seconds.
	SignedAt time.Time
	// ProjectID is the project that the event belongs to.
	ProjectID string
	// Text describes the event for people.
	Text string
	// Data depends on Type. It is nil if there is none.
	Data json.RawMessage
}

// ReadEvent verifies and reads the event that a request to a webhook brings.
// Each secret is one that may have signed it: after a rotation give it the new and the
// old one. Empty secrets are ignored, since anybody could sign with one, and it is an
// error if none is left.
//
//	func webhook(w http.ResponseWriter, r *http.Request) {
//		event, err := anchorhttp.ReadEvent(r, os.Getenv("ANCHOR_WEBHOOK_SECRET"))
//		if err != nil {
//			http.Error(w, "", http.StatusUnauthorized)
//			return
//		}
//		…
//		w.WriteHeader(http.StatusNoContent)
//	}
//
// The headers are judged before the body is read, of which it reads at most 256 KiB;
// a longer one is an [*http.MaxBytesError]. The other errors are
// [ErrSignatureMissing], [ErrSignatureExpired], [ErrSignatureWrong],
// [ErrInvalidEvent] and those of reading the body.
//
// Answer with a 2xx status within 10 seconds, or Anchor delivers the event again, for
// up to 24 hours. Deliveries may be repeated and out of order: compare ID or
// CreatedAt. Handler.Webhook of package connect does all of this for an identity's
// sign-in.
func ReadEvent(r *http.Request, secrets ...string) (Event, error) {
	if !slices.ContainsFunc(secrets, func(s string) bool { return s != "" }) {
		return Event{}, errors.New("anchorhttp: ReadEvent has no secret: copy the webhook's from Anchor's dashboard")
	}
	signature, err := ReadSignature(r.Header, time.Now())
	if err != nil {
		return Event{}, fmt.Errorf("anchorhttp: %w", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxEventBody))
	if err != nil {
		return Event{}, fmt.Errorf("anchorhttp: read the event: %w", err)
	}
	if err := signature.Verify(body, secrets...); err != nil {
		return Event{}, fmt.Errorf("anchorhttp: %w", err)
	}
	event, err := ParseEvent(body, signature.SignedAt)
	if err != nil {
		return Event{}, fmt.Errorf("anchorhttp: %w", err)
	}
	return event, nil
}

// A Signature is what the headers of an event say. Most applications use
// [ReadEvent] instead.
//
// The header Anchor-Signature is "t=<unix seconds>,v1=<hex>", with a v1 for each
// secret that is valid at the time. A v1 is the HMAC-SHA256 of "v0:{t}:{body}" under
// the secret. The timestamp may stand in the header Anchor-Timestamp too.
type Signature struct {
	// SignedAt is the timestamp.
	SignedAt time.Time

	timestamp string   // as it was sent and signed
	macs      [][]byte // at most maxSignatures
}

// ReadSignature reads the signature in the headers of an event that arrives now. It
// does not need the body, so that a request can be refused before that is read. The
// errors are [ErrSignatureMissing] and [ErrSignatureExpired].
func ReadSignature(h http.Header, now time.Time) (Signature, error) {
	var s Signature
	timestamps := h.Values("Anchor-Timestamp")
	for part := range strings.SplitSeq(strings.Join(h.Values("Anchor-Signature"), ","), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "t":
			timestamps = append(timestamps, value)
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil && len(mac) == sha256.Size && len(s.macs) < maxSignatures {
				s.macs = append(s.macs, mac)
			}
		}
	}
	for _, t := range timestamps {
		if s.timestamp != "" && t != s.timestamp {
			return Signature{}, ErrSignatureMissing
		}
		s.timestamp = t
	}
	seconds, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil || len(s.timestamp) > maxTimestamp || len(s.macs) == 0 {
		return Signature{}, ErrSignatureMissing
	}
	s.SignedAt = time.Unix(seconds, 0)
	if age := now.Sub(s.SignedAt); age > maxEventAge || age < -maxEventAge {
		return Signature{}, ErrSignatureExpired
	}
	return s, nil
}

// Verify returns nil if one of the secrets has signed body, and [ErrSignatureWrong]
// otherwise. It compares all secrets with all signatures, each in constant time.
// Empty secrets are ignored.
func (s Signature) Verify(body []byte, secrets ...string) error {
	signed := false
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("v0:" + s.timestamp + ":"))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, got := range s.macs {
			if hmac.Equal(got, want) {
				signed = true
			}
		}
	}
	if !signed {
		return ErrSignatureWrong
	}
	return nil
}

// ParseEvent reads the body of an event of any type that was signed at a moment. It
// verifies nothing: see [Signature.Verify]. What is not an event is
// [ErrInvalidEvent].
func ParseEvent(body []byte, signedAt time.Time) (Event, error) {
	var envelope struct {
		ID        string          `json:"id"`
		Type      string          `json:"type"`
		Created   json.RawMessage `json:"created"`
		ProjectID string          `json:"project_id"`
		Text      string          `json:"text"`
		Data      json.RawMessage `json:"data"`
	}
	err := json.Unmarshal(body, &envelope)
	// A field of another type leaves the others readable. Only two of them matter.
	var wrongType *json.UnmarshalTypeError
	if err != nil && (!errors.As(err, &wrongType) || wrongType.Field == "" || wrongType.Field == "type") {
		return Event{}, fmt.Errorf("%w: %s", ErrInvalidEvent, printable(err.Error(), maxMessage))
	}
	e := Event{
		ID: envelope.ID, Type: envelope.Type, CreatedAt: signedAt, SignedAt: signedAt,
		ProjectID: envelope.ProjectID, Text: envelope.Text, Data: envelope.Data,
	}
	// A time that lies ahead would be newer than all events to come. The moment of
	// signing has whole seconds, cut off.
	if created, ok := readMoment(envelope.Created); ok && created.Before(signedAt.Add(time.Second)) {
		e.CreatedAt = created
	}
	return e, nil
}

// IdentityID returns the id of the identity that the event is about, or "" if its data
// has none. Anchor does not document where the id stands. These fields are read:
// identity_id, identityId, id in the object identity, and identity if that is a UUID.
// If none of them has an id but the field id has, IdentityID returns that one and
// named is false: it may belong to anything, so use it only if it is the id of an
// identity that you know.
//
// It is [ErrInvalidEvent] if a field holds something other than a UUID, or if two
// fields differ.
func (e Event) IdentityID() (id string, named bool, err error) {
	var data struct {
		Snake    text            `json:"identity_id"`
		Camel    text            `json:"identityId"`
		Identity json.RawMessage `json:"identity"`
		ID       text            `json:"id"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return "", false, nil // It is no object, or missing.
	}
	var identity struct {
		ID text `json:"id"`
	}
	var bare text
	if json.Unmarshal(data.Identity, &identity) != nil {
		_ = json.Unmarshal(data.Identity, &bare)
		if _, ok := ParseID(string(bare)); !ok {
			bare = "" // A name.
		}
	}
	for _, field := range []text{data.Snake, data.Camel, identity.ID, bare} {
		if field == "" {
			continue
		}
		found, ok := ParseID(string(field))
		if !ok || id != "" && id != found {
			return "", false, fmt.Errorf("%w: its identity id is malformed or ambiguous", ErrInvalidEvent)
		}
		id = found
	}
	if id != "" {
		return id, true, nil
	}
	id, _ = ParseID(string(data.ID))
	return id, false, nil
}

// Fields returns the names of the fields of the event's data, sorted, with those of
// the object identity as "identity.name". It is meant for a log, to learn how an
// event is shaped: it returns at most 20 names of at most 40 bytes, and no values.
func (e Event) Fields() []string {
	var data, identity map[string]json.RawMessage
	_ = json.Unmarshal(e.Data, &data) // What is no object has no fields.
	_ = json.Unmarshal(data["identity"], &identity)
	var names []string
	for name := range data {
		names = append(names, printable(name, maxFieldName))
	}
	for name := range identity {
		names = append(names, printable("identity."+name, maxFieldName))
	}
	slices.Sort(names)
	return names[:min(len(names), maxFields)]
}

// text is a JSON string. Values of other types are read as "".
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	_ = json.Unmarshal(b, &s)
	*t = text(s)
	return nil
}

// readMoment reads a time as RFC 3339, or as seconds or milliseconds since 1970.
// Which of them Anchor writes is undocumented.
func readMoment(text json.RawMessage) (time.Time, bool) {
	text = bytes.Trim(text, `"`)
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		return t, t.Unix() > 0
	}
	n, err := strconv.ParseFloat(string(text), 64)
	const tooLateInSeconds = 1e11 // The year 5138: these are milliseconds.
	switch {
	case err != nil || !(n >= 1) || n >= tooLateInSeconds*1000:
		return time.Time{}, false
	case n < tooLateInSeconds:
		n *= 1000
	}
	return time.UnixMilli(int64(math.Floor(n))), true
}
