package anchortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
)

// timeFormat is how the API formats times: RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// routes returns the handler of the API and the pages. It omits GET …/credentials,
// which returns plaintext passwords: connect never calls it.
func (s *Server) routes() http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("POST /v1/applications", s.createApplication)
	api.HandleFunc("GET /v1/applications", s.listApplications)
	api.HandleFunc("GET /v1/applications/{application}", s.getApplication)
	api.HandleFunc("GET /v1/applications/{application}/identities", s.listIdentities)
	api.HandleFunc("GET /v1/applications/{application}/auth-flows", s.listAuthFlows)
	api.HandleFunc("POST /v1/applications/{application}/auth-flows", s.createAuthFlow)
	api.HandleFunc("POST /v1/applications/{application}/tokens", s.createToken)
	api.HandleFunc("GET /v1/identities/{identity}", s.getIdentity)
	api.HandleFunc("PUT /v1/identities/{identity}", s.updateIdentity)
	api.HandleFunc("DELETE /v1/identities/{identity}", s.deleteIdentity)
	api.HandleFunc("POST /v1/identities/{identity}/reauthenticate", s.reauthenticateIdentity)
	api.HandleFunc("POST /v1/sessions", s.createSession)
	api.HandleFunc("GET /v1/sessions/{session}", s.getSession)
	api.HandleFunc("DELETE /v1/sessions/{session}", s.deleteSession)
	api.HandleFunc("/", notFound)

	page := http.NewServeMux()
	if s.backend != nil {
		page.HandleFunc(hostedPath, s.backend.ServeHostedPage)
	} else {
		page.HandleFunc("GET "+hostedPath, s.showPage)
		page.HandleFunc("POST "+hostedPath, s.submitPage)
	}
	page.Handle(controlPath, s.controlRoutes())
	page.HandleFunc("/", notFound)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != path.Clean(r.URL.Path):
			notFound(w, r) // The mux would redirect, which the API never does.
		case !isAPI(r):
			page.ServeHTTP(w, r)
		case !s.authorized(r):
			writeError(w, http.StatusUnauthorized, "The API key is missing or not valid.")
		default:
			api.ServeHTTP(w, r)
		}
	})
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/") }

func (s *Server) authorized(r *http.Request) bool {
	return r.Header.Get("anchor-api-key") == s.apiKey
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "The fake does not serve "+r.Method+" "+r.URL.Path+".")
}

// writeError writes the documented error body.
func writeError(w http.ResponseWriter, status int, message string) {
	type body struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	writeJSON(w, status, map[string]body{"error": {status, message}})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// readJSON decodes the request's body. On failure it answers 400 and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, value any) bool {
	if err := decodeBody(r, value); err != nil {
		writeError(w, http.StatusBadRequest, err.Error()+".")
		return false
	}
	return true
}

// decodeBody decodes the request's body, which is in memory. It ignores unknown fields.
func decodeBody(r *http.Request, value any) error {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = decode(body, value)
	}
	if err != nil {
		return unexpectedJSON(err)
	}
	return nil
}

// unexpectedJSON returns the message of a 400.
func unexpectedJSON(err error) error {
	return fmt.Errorf("The request body is not the expected JSON: %w", err)
}

// decode is like [json.Unmarshal], but a number in a value of type any keeps its
// text.
func decode(text []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(value); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is data after the value")
	}
	return nil
}

// A timestamp is a time as the API formats it.
type timestamp time.Time

func (t timestamp) MarshalText() ([]byte, error) {
	return time.Time(t).AppendFormat(nil, timeFormat), nil
}

// orNull returns nil for an empty text, which the API writes as null.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
