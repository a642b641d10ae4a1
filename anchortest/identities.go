package anchortest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

// unnamedIdentity is the name of an identity without a name.
const unnamedIdentity = "Unnamed Identity"

// defaultPage is the page size if a request has no limit.
const defaultPage = 50

// A Status is the state of an identity's sign-in. Anchor documents the first three.
type Status string

const (
	StatusPending   Status = anchorhttp.StatusPending
	StatusValidated Status = anchorhttp.StatusValidated
	StatusFailed    Status = anchorhttp.StatusFailed

	StatusActive       Status = anchorhttp.StatusActive
	StatusAgentFailed  Status = anchorhttp.StatusAgentFailed
	StatusAgentInvalid Status = anchorhttp.StatusAgentInvalid
)

// An Identity is an identity as the fake keeps it.
type Identity struct {
	// ID is a UUID in lower case.
	ID string
	// ApplicationID is the application that it belongs to. The API reveals it only
	// in the list of an application's identities.
	ApplicationID string
	Name          string
	// Source is the address of the site.
	Source string
	Status Status
	// Metadata has JSON values. Its numbers are [json.Number], so that they are
	// written back exactly as they were read. It is never nil in an identity that
	// the fake returns.
	Metadata map[string]any
	// CreatedAt and UpdatedAt are in UTC, to the millisecond.
	CreatedAt, UpdatedAt time.Time
}

// clone returns a deep copy of an identity. It fails if the metadata cannot be
// encoded as JSON.
func (i Identity) clone() (*Identity, error) {
	text, err := json.Marshal(i.Metadata)
	if err == nil {
		i.Metadata = nil
		err = decode(text, &i.Metadata)
	}
	if err != nil {
		return nil, fmt.Errorf("anchortest: metadata of identity %s: %w", i.ID, err)
	}
	if i.Metadata == nil {
		i.Metadata = map[string]any{}
	}
	return &i, nil
}

// copyOf returns a deep copy of an identity that the fake keeps.
func copyOf(kept *Identity) Identity {
	identity, err := kept.clone()
	if err != nil {
		panic(err)
	}
	return *identity
}

// PutIdentity adds an identity, or replaces the one with its ID, and returns it.
// Empty fields get defaults: a new ID, [Server.ApplicationID], the application's
// site as Source, [StatusValidated], and the current time. It panics if ID is not a
// UUID, the application is unknown, or Metadata cannot be encoded as JSON. The
// webhook receives no event.
func (s *Server) PutIdentity(identity Identity) Identity {
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, err := s.keep(identity, now)
	if err != nil {
		panic(err)
	}
	return copyOf(kept)
}

// keep is PutIdentity with the lock held.
func (s *Server) keep(identity Identity, now time.Time) (*Identity, error) {
	id, ok := parseUUID(cmp.Or(identity.ID, newUUID()))
	if !ok {
		return nil, fmt.Errorf("anchortest: identity id %q is not a UUID", identity.ID)
	}
	identity.ID = id
	applicationID, _ := parseUUID(cmp.Or(identity.ApplicationID, s.applicationID))
	app := s.applications.get(applicationID)
	if app == nil {
		return nil, fmt.Errorf("anchortest: application %q does not exist", identity.ApplicationID)
	}
	identity.ApplicationID = app.id
	identity.Name = cmp.Or(identity.Name, unnamedIdentity)
	identity.Source = cmp.Or(identity.Source, app.url)
	identity.Status = cmp.Or(identity.Status, StatusValidated)
	identity.CreatedAt = toMillisecond(cmp.Or(identity.CreatedAt, now))
	identity.UpdatedAt = toMillisecond(cmp.Or(identity.UpdatedAt, identity.CreatedAt))
	kept, err := identity.clone()
	if err != nil {
		return nil, err
	}
	s.identities.put(id, kept)
	s.identityChanged()
	return kept, nil
}

// Identity returns the identity with the given id, and reports whether it exists.
func (s *Server) Identity(id string) (Identity, bool) {
	id, _ = parseUUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	identity := s.identities.get(id)
	if identity == nil {
		return Identity{}, false
	}
	return copyOf(identity), true
}

// Identities returns the identities of all applications, oldest first.
func (s *Server) Identities() []Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var identities []Identity
	for _, identity := range s.identities.all() {
		identities = append(identities, copyOf(identity))
	}
	return identities
}

// SetMetadataMerge sets what an update does to an identity's metadata. By default it
// replaces all of it. If merge is true, keys that the update lacks are kept. Anchor
// does not document what it does.
func (s *Server) SetMetadataMerge(merge bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mergeMetadata = merge
}

const noIdentity = "Identity not found."

// pathIdentity returns the identity in the path, or answers 404 and returns nil. The
// caller holds the lock.
func (s *Server) pathIdentity(w http.ResponseWriter, r *http.Request) *Identity {
	id, _ := parseUUID(r.PathValue("identity"))
	identity := s.identities.get(id)
	if identity == nil {
		writeError(w, http.StatusNotFound, noIdentity)
	}
	return identity
}

func (s *Server) getIdentity(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	identity := s.pathIdentity(w, r)
	if identity == nil {
		return
	}
	writeJSON(w, http.StatusOK, struct {
		ID        string         `json:"id"`
		Name      string         `json:"name"`
		Source    string         `json:"source"`
		Status    Status         `json:"status"`
		Metadata  map[string]any `json:"metadata"`
		CreatedAt timestamp      `json:"created_at"`
		UpdatedAt timestamp      `json:"updated_at"`
	}{
		identity.ID, identity.Name, identity.Source, identity.Status, identity.Metadata,
		timestamp(identity.CreatedAt), timestamp(identity.UpdatedAt),
	})
}

func (s *Server) updateIdentity(w http.ResponseWriter, r *http.Request) {
	// The request may have credentials, which the fake ignores.
	var body struct {
		Name     *string        `json:"name"`
		Metadata map[string]any `json:"metadata"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	now := s.time()
	s.mu.Lock()
	defer s.mu.Unlock()
	identity := s.pathIdentity(w, r)
	if identity == nil {
		return
	}
	if body.Name != nil {
		identity.Name = *body.Name
	}
	if body.Metadata != nil {
		if s.mergeMetadata {
			maps.Copy(identity.Metadata, body.Metadata)
		} else {
			identity.Metadata = body.Metadata
		}
	}
	identity.UpdatedAt = now
	s.identityChanged()
	writeJSON(w, http.StatusOK, struct {
		ID        string         `json:"id"`
		Name      string         `json:"name"`
		Metadata  map[string]any `json:"metadata"`
		UpdatedAt timestamp      `json:"updated_at"`
	}{identity.ID, identity.Name, identity.Metadata, timestamp(identity.UpdatedAt)})
}

func (s *Server) deleteIdentity(w http.ResponseWriter, r *http.Request) {
	if !s.forgetIdentity(r.PathValue("identity")) {
		writeError(w, http.StatusNotFound, noIdentity)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "Identity deleted successfully."})
}

// reauthenticateIdentity signs in again. It succeeds immediately, unless
// RefuseReauthentication or a [Backend] makes it fail.
func (s *Server) reauthenticateIdentity(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Sync bool `json:"sync"`
	}{true}
	if r.ContentLength != 0 && !readJSON(w, r, &body) {
		return
	}
	id, _ := parseUUID(r.PathValue("identity"))
	s.mu.Lock()
	identity, refused := s.identities.get(id), cmp.Or(s.refusals.reauthenticationOf[id], s.refusals.reauthentication)
	s.mu.Unlock()
	switch {
	case identity == nil:
		writeError(w, http.StatusNotFound, noIdentity)
		return
	case refused == http.StatusPreconditionFailed:
		writeError(w, refused, noCredentials)
		return
	case refused == http.StatusUnprocessableEntity:
		s.endSignIn(id, StatusFailed)
		writeError(w, refused, signInFailed)
		return
	}
	var failed error
	if s.backend != nil {
		failed = s.backend.SignInAgain(r.Context(), id)
	}
	status := StatusValidated
	if failed != nil {
		status = StatusFailed
	}
	if !s.endSignIn(id, status) { // It was deleted meanwhile.
		writeError(w, http.StatusNotFound, noIdentity)
		return
	}
	if failed != nil {
		writeBackendError(w, failed)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"identityId": id, "async": !body.Sync})
}

// listIdentities lists the oldest first, so that a new identity is on the last page.
// This reveals clients that read only the first one.
func (s *Server) listIdentities(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	wanted, err := metadataFilter(query)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error()+".")
		return
	}
	s.mu.Lock()
	lists := s.lists
	s.mu.Unlock()
	from, to, err := lists.bounds(query.Get("page"), query.Get("limit"))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error()+".")
		return
	}

	type item struct {
		ID        string    `json:"id"`
		Name      string    `json:"name"`
		AuthFlow  *string   `json:"auth_flow"`
		Status    Status    `json:"status"`
		CreatedAt timestamp `json:"created_at"`
		UpdatedAt timestamp `json:"updated_at"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.pathApplication(w, r)
	if app == nil {
		return
	}
	items, found := []item{}, int64(0)
	for _, id := range s.identities.order {
		identity := s.identities.rows[id]
		if identity.ApplicationID != app.id || !nameMatches(identity.Name, query.Get("search")) || !wanted.in(identity.Metadata) {
			continue
		}
		if found++; found <= from {
			continue
		}
		items = append(items, item{
			identity.ID, identity.Name, orNull(standardFlow), identity.Status,
			timestamp(identity.CreatedAt), timestamp(identity.UpdatedAt),
		})
		if found == to {
			break
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"identities": items})
}

// bounds returns the range of a page, counted from zero. Without page and limit it
// is the whole list, unless the page size is limited.
func (l lists) bounds(page, limit string) (from, to int64, err error) {
	if l.style == WholeLists || page == "" && limit == "" && l.pageLimit == 0 {
		return 0, math.MaxInt64, nil
	}
	number, err := positive("page", page, 1)
	if err != nil {
		return 0, 0, err
	}
	size, err := positive("limit", limit, defaultPage)
	if err != nil {
		return 0, 0, err
	}
	if l.pageLimit > 0 {
		size = min(size, l.pageLimit)
	}
	return (number - 1) * size, number * size, nil
}

// positive parses a query parameter of at most 31 bits, so that the product of two
// does not overflow. An empty text is otherwise.
func positive(name, text string, otherwise int64) (int64, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s must be a positive integer", name)
	}
	return n, nil
}

// A filter is a list of conditions that an identity's metadata must meet.
type filter []condition

type condition struct {
	key   string
	meets func(value any) bool
}

func (f filter) in(metadata map[string]any) bool {
	return !slices.ContainsFunc(f, func(c condition) bool {
		value, found := metadata[c.key]
		return !found || !c.meets(value)
	})
}

// metadataFilter reads the filter of a query. Anchor documents two forms: a JSON
// object, metadata={"plan":"pro"}, and OpenAPI's deepObject, metadata[plan]=pro,
// whose values are all strings.
func metadataFilter(query url.Values) (filter, error) {
	var f filter
	if text := query.Get("metadata"); text != "" {
		var pairs map[string]any
		if err := decode([]byte(text), &pairs); err != nil {
			return nil, errors.New("metadata must be a JSON object")
		}
		for key, want := range pairs {
			f = append(f, condition{key, func(value any) bool { return reflect.DeepEqual(value, want) }})
		}
	}
	for name, values := range query {
		key, found := strings.CutPrefix(name, "metadata[")
		if !found || !strings.HasSuffix(key, "]") {
			continue
		}
		f = append(f, condition{strings.TrimSuffix(key, "]"), func(value any) bool { return asText(value) == values[0] }})
	}
	return f, nil
}

// asText formats a metadata value as a deepObject query does.
func asText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, _ := json.Marshal(value) // It came from JSON.
	return string(text)
}
