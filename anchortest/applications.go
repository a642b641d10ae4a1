package anchortest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// standardFlow is the name of the authentication flow that every application starts
// with.
const standardFlow = "Standard authentication"

type application struct {
	id          string
	name        string
	url         string
	description string
	createdAt   time.Time
	updatedAt   time.Time
	flows       []authFlow
}

// An authFlow is the API's AuthFlowItem.
type authFlow struct {
	ID            string        `json:"id"`
	Name          string        `json:"name"`
	Description   *string       `json:"description"`
	IsRecommended bool          `json:"is_recommended"`
	Methods       []string      `json:"methods"`
	CustomFields  []customField `json:"custom_fields"`
	CreatedAt     timestamp     `json:"created_at"`
	UpdatedAt     timestamp     `json:"updated_at"`
}

type customField struct {
	Name string `json:"name"`
}

// AddApplication adds an application and returns its id, a UUID. siteURL is not
// validated, so a test may use one that clients cannot parse.
func (s *Server) AddApplication(name, siteURL string) string {
	return s.addApplication(newUUID(), name, siteURL, "").id
}

func (s *Server) addApplication(id, name, siteURL, description string) application {
	now := s.time()
	app := application{
		id: id, name: name, url: siteURL, description: description,
		createdAt: now, updatedAt: now,
		flows: []authFlow{{
			ID: newUUID(), Name: standardFlow, IsRecommended: true,
			Methods: []string{"username_password"}, CustomFields: []customField{},
			CreatedAt: timestamp(now), UpdatedAt: timestamp(now),
		}},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applications.put(id, &app)
	return app
}

// An applicationItem is the API's ApplicationItem.
type applicationItem struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	URL           *string   `json:"url"`
	Description   *string   `json:"description"`
	IdentityCount int       `json:"identity_count"`
	AuthMethods   []string  `json:"auth_methods"`
	CreatedAt     timestamp `json:"created_at"`
	UpdatedAt     timestamp `json:"updated_at"`
}

// item returns the application as the API lists it. The caller holds the lock.
func (s *Server) item(app *application) applicationItem {
	count := 0
	for _, identity := range s.identities.all() {
		if identity.ApplicationID == app.id {
			count++
		}
	}
	var methods []string
	for _, flow := range app.flows {
		methods = append(methods, flow.Methods...)
	}
	slices.Sort(methods)
	return applicationItem{
		ID: app.id, Name: app.name, URL: orNull(app.url), Description: orNull(app.description),
		IdentityCount: count, AuthMethods: slices.Compact(methods),
		CreatedAt: timestamp(app.createdAt), UpdatedAt: timestamp(app.updatedAt),
	}
}

// pathApplication returns the application in the path, or answers 404 and returns
// nil. The caller holds the lock.
func (s *Server) pathApplication(w http.ResponseWriter, r *http.Request) *application {
	id, _ := parseUUID(r.PathValue("application"))
	app := s.applications.get(id)
	if app == nil {
		writeError(w, http.StatusNotFound, "Application not found.")
	}
	return app
}

func (s *Server) createApplication(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Source      string `json:"source"`
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	// The schema requires a URI, but the documentation's example is a bare host.
	if body.Source == "" {
		writeError(w, http.StatusBadRequest, "source is required.")
		return
	}
	if body.Name == "" {
		body.Name = body.Source
		if u, err := url.Parse(body.Source); err == nil && u.Host != "" {
			body.Name = u.Host
		}
	}
	app := s.addApplication(newUUID(), body.Name, body.Source, body.Description)
	writeJSON(w, http.StatusCreated, struct {
		ID          string    `json:"id"`
		Name        string    `json:"name"`
		URL         *string   `json:"url"`
		Description *string   `json:"description"`
		CreatedAt   timestamp `json:"created_at"`
	}{app.id, app.name, orNull(app.url), orNull(app.description), timestamp(app.createdAt)})
}

func (s *Server) listApplications(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []applicationItem{}
	for _, app := range s.applications.all() {
		if nameMatches(app.name, r.URL.Query().Get("search")) {
			items = append(items, s.item(app))
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"applications": items})
}

// nameMatches reports whether a search finds a name. An empty search finds all.
func nameMatches(name, search string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(search))
}

func (s *Server) getApplication(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.pathApplication(w, r); app != nil {
		writeJSON(w, http.StatusOK, s.item(app))
	}
}

func (s *Server) listAuthFlows(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.pathApplication(w, r); app != nil {
		writeJSON(w, http.StatusOK, map[string]any{"auth_flows": app.flows})
	}
}

func (s *Server) createAuthFlow(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name          string        `json:"name"`
		Description   string        `json:"description"`
		IsRecommended bool          `json:"is_recommended"`
		Methods       []string      `json:"methods"`
		CustomFields  []customField `json:"custom_fields"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	if body.Name == "" || len(body.Methods) == 0 {
		writeError(w, http.StatusBadRequest, "name and methods are required.")
		return
	}
	for _, method := range body.Methods {
		if !slices.Contains([]string{"username_password", "authenticator", "custom"}, method) {
			writeError(w, http.StatusBadRequest, "methods contains an unknown method.")
			return
		}
	}
	for _, field := range body.CustomFields {
		if field.Name == "" {
			writeError(w, http.StatusBadRequest, "custom_fields contains a field without a name.")
			return
		}
	}
	now := s.time()
	flow := authFlow{
		ID: newUUID(), Name: body.Name, Description: orNull(body.Description),
		IsRecommended: body.IsRecommended, Methods: body.Methods,
		CustomFields: append([]customField{}, body.CustomFields...),
		CreatedAt:    timestamp(now), UpdatedAt: timestamp(now),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.pathApplication(w, r); app != nil {
		app.flows = append(app.flows, flow)
		writeJSON(w, http.StatusCreated, flow)
	}
}
