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
	// maxEventBody is the maximum size of the body that ReadEvent reads, in bytes.
	maxEventBody = 256 << 10

	// maxEventAge is the maximum difference between the time of the signature and
	// the local clock, in either direction. Anchor's documentation asks for two
	// minutes.
	maxEventAge = 2 * time.Minute

	// maxSignatures is the maximum number of signatures that are compared. After a
	// rotation an event has two.
	maxSignatures = 10

	// maxTimestamp is the maximum length of a timestamp, in bytes.
	maxTimestamp = 20

	// Bounds of Event.Fields.
	maxFields    = 20
	maxFieldName = 40
)

// The types of events about an identity's sign-in. Anchor has other types too.
const (
	EventIdentityAuthenticated        = "identity.authenticated"
	EventIdentityAuthenticationFailed = "identity.authentication_failed"
)

// Errors of the functions that verify and read events.
var (
	// ErrSignatureMissing is returned if the headers have no valid signature, or
	// timestamps that differ.
	ErrSignatureMissing = errors.New("the event has no valid signature")
	// ErrSignatureWrong is returned if the event is not signed with any of the
	// secrets.
	ErrSignatureWrong = errors.New("the event is not signed with any of the secrets")
	// ErrSignatureExpired is returned if the event was signed more than two minutes
	// ago, or more than two minutes in the future.
	ErrSignatureExpired = errors.New("the event was not signed within the last two minutes")
	// ErrInvalidEvent is returned if the signed body is not an event.
	ErrInvalidEvent = errors.New("the event is invalid")
)

// An Event is an event that Anchor sends to a webhook.
type Event struct {
	// ID identifies the event. Repeated deliveries of an event have the same ID.
	ID string
	// Type is one of the constants EventIdentityAuthenticated and
	// EventIdentityAuthenticationFailed, or another of Anchor's types.
	Type string
	// CreatedAt is when the event happened, by Anchor's clock. It is SignedAt if the
	// event has no time, or one after SignedAt.
	CreatedAt time.Time
	// SignedAt is when this delivery was signed, in whole seconds.
	SignedAt time.Time
	// ProjectID identifies the project that the event belongs to.
	ProjectID string
	// Text is a description for humans.
	Text string
	// Data depends on Type. It may be nil.
	Data json.RawMessage
}

// ReadEvent verifies and reads the event in a request to a webhook. One of the
// secrets must have signed it: after a rotation, pass the new and the old one. Empty
// secrets are ignored, because anybody could sign with one. Without any other it
// returns an error.
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
// ReadEvent checks the headers before it reads the body, of which it reads at most
// 256 KiB. A larger body is an [*http.MaxBytesError]. The other errors are
// [ErrSignatureMissing], [ErrSignatureExpired], [ErrSignatureWrong],
// [ErrInvalidEvent] and errors of reading the body.
//
// If the answer is not 2xx within 10 seconds, Anchor delivers the event again, for
// up to 24 hours. Deliveries may be repeated and out of order, so compare ID or
// CreatedAt. Handler.Webhook of package connect does all of this for events about a
// sign-in.
func ReadEvent(r *http.Request, secrets ...string) (Event, error) {
	if !slices.ContainsFunc(secrets, func(s string) bool { return s != "" }) {
		return Event{}, errors.New("anchorhttp: ReadEvent has no secret: copy the webhook's secret from Anchor's dashboard")
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

// A Signature is the signature in the headers of an event. Most applications use
// [ReadEvent] instead.
//
// The header Anchor-Signature is "t=<unix seconds>,v1=<hex>", with a v1 for each
// valid secret. A v1 is the HMAC-SHA256 of "v0:{t}:{body}" under the secret. The
// header Anchor-Timestamp may contain the timestamp too.
type Signature struct {
	// SignedAt is the timestamp.
	SignedAt time.Time

	timestamp string   // as sent and signed
	macs      [][]byte // at most maxSignatures
}

// ReadSignature reads the signature in the headers of an event received at now. It
// does not need the body, so a request can be rejected before its body is read. The
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
// otherwise. It compares all secrets with all signatures, each in constant time. It
// ignores empty secrets.
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

// ParseEvent reads the body of an event of any type. It does not verify it: see
// [Signature.Verify]. A body that is not an event is [ErrInvalidEvent].
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
	// A field of the wrong type does not affect the others. Only the type is required.
	var wrongType *json.UnmarshalTypeError
	if err != nil && (!errors.As(err, &wrongType) || wrongType.Field == "" || wrongType.Field == "type") {
		return Event{}, fmt.Errorf("%w: %s", ErrInvalidEvent, printable(err.Error(), maxMessage))
	}
	e := Event{
		ID: envelope.ID, Type: envelope.Type, CreatedAt: signedAt, SignedAt: signedAt,
		ProjectID: envelope.ProjectID, Text: envelope.Text, Data: envelope.Data,
	}
	// An event dated in the future would count as newer than later events. SignedAt
	// is truncated to whole seconds.
	if created, ok := readMoment(envelope.Created); ok && created.Before(signedAt.Add(time.Second)) {
		e.CreatedAt = created
	}
	return e, nil
}

// IdentityID returns the id of the identity that the event is about, or "" if its
// data has none. Anchor does not document which field has the id, so IdentityID
// reads identity_id, identityId, id in the object identity, and identity if it is a
// UUID; named is then true. If none of them has an id, it returns the field id;
// named is then false. That id may belong to anything, so use it only if it is the
// id of a known identity.
//
// It returns [ErrInvalidEvent] if one of the first four fields is not a UUID, or if
// two of them differ.
func (e Event) IdentityID() (id string, named bool, err error) {
	var data struct {
		Snake    text            `json:"identity_id"`
		Camel    text            `json:"identityId"`
		Identity json.RawMessage `json:"identity"`
		ID       text            `json:"id"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return "", false, nil // The data is missing, or not an object.
	}
	var identity struct {
		ID text `json:"id"`
	}
	var bare text
	if json.Unmarshal(data.Identity, &identity) != nil {
		_ = json.Unmarshal(data.Identity, &bare)
		if _, ok := ParseID(string(bare)); !ok {
			bare = "" // It may be a name.
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

// Fields returns the field names of the event's data, sorted, and those of its
// object identity as "identity.name". It is meant for a log, to find out how an
// event is structured. It returns at most 20 names of at most 40 bytes, and no
// values.
func (e Event) Fields() []string {
	var data, identity map[string]json.RawMessage
	_ = json.Unmarshal(e.Data, &data) // Only an object has fields.
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

// A text is a JSON string. Values of other types become "".
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	_ = json.Unmarshal(b, &s)
	*t = text(s)
	return nil
}

// readMoment reads a time as RFC 3339, or as seconds or milliseconds since 1970.
// Anchor does not document which of them it uses.
func readMoment(text json.RawMessage) (time.Time, bool) {
	text = bytes.Trim(text, `"`)
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		return t, t.Unix() > 0
	}
	n, err := strconv.ParseFloat(string(text), 64)
	const tooLateInSeconds = 1e11 // The year 5138, so these are milliseconds.
	switch {
	case err != nil || !(n >= 1) || n >= tooLateInSeconds*1000:
		return time.Time{}, false
	case n < tooLateInSeconds:
		n *= 1000
	}
	return time.UnixMilli(int64(math.Floor(n))), true
}
