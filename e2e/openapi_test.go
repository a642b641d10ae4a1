package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// If the document lacks something that Anchor's SDK or command line has, both sides follow
// those. These are all exceptions.
var (
	// undocumentedOperations are missing in the document.
	undocumentedOperations = []string{"POST /v1/identities/{identityId}/reauthenticate"}

	// undocumentedParameters are sent by Anchor's command line.
	undocumentedParameters = map[string][]string{
		"GET /v1/applications/{applicationId}/identities": {"page", "limit"},
	}

	// undocumentedFields are fields of a request to open a session.
	undocumentedFields = map[string][]string{"SessionCreateRequestSchema": {"identity_skip_validation"}}

	// undocumentedStatuses, the empty operation being all of them: every one wants
	// a key, but only one has a status for a wrong one; of what hangs below an
	// application, only its tokens have one for no such application; and most have
	// none for a request that is wrong.
	undocumentedStatuses = map[string][]int{
		"": {http.StatusUnauthorized},
		"GET /v1/applications/{applicationId}/identities":  {http.StatusNotFound, http.StatusBadRequest},
		"GET /v1/applications/{applicationId}/auth-flows":  {http.StatusNotFound},
		"POST /v1/applications/{applicationId}/auth-flows": {http.StatusNotFound},
		"PUT /v1/identities/{identityId}":                  {http.StatusBadRequest},
		// Anchor's own clients know them, for sign-ins that do not work.
		"POST /v1/sessions": {http.StatusNotFound, http.StatusPreconditionFailed, http.StatusUnprocessableEntity},
	}
)

// A contract checks the requests and responses of a client and a server against Anchor's
// OpenAPI document.
type contract struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
	apiKey string

	mu sync.Mutex
	// seen has the response statuses of each operation.
	seen map[string][]int
}

// loadContract reads the document and makes it stricter: requests may have no unlisted
// fields, and responses must have exactly the listed ones. The document itself requires
// almost none.
func loadContract(t *testing.T, path string) *contract {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err, "ANCHOR_OPENAPI")
	// It declares version 3.1, where null is a type, but uses "nullable: true" of 3.0.
	text = bytes.Replace(text, []byte("openapi: 3.1.0"), []byte("openapi: 3.0.3"), 1)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	doc.Servers = nil // The fake is somewhere else.
	for schema, fields := range undocumentedFields {
		for _, field := range fields {
			doc.Components.Schemas[schema].Value.Properties[field] = openapi3.NewBoolSchema().NewRef()
		}
	}

	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			if metadata := operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, "metadata"); metadata != nil {
				// It is called a deepObject, which is metadata[plan]=pro, and a
				// string, and described as "a JSON object". The SDK has it as a
				// string, metadata={"plan":"pro"}, and so does anchorhttp.
				metadata.Style, metadata.Schema.Value.AdditionalProperties = openapi3.SerializationForm, openapi3.BoolSchema{}
			}
			if operation.RequestBody != nil {
				for _, media := range operation.RequestBody.Value.Content {
					tighten(media.Schema, false)
				}
			}
			for _, response := range operation.Responses.Map() {
				for _, media := range response.Value.Content {
					tighten(media.Schema, true)
				}
			}
		}
	}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	return &contract{t: t, doc: doc, router: router, seen: map[string][]int{}}
}

// tighten forbids unlisted fields and, in responses, requires all listed ones. An object
// without listed fields stays open.
func tighten(ref *openapi3.SchemaRef, answer bool) {
	schema := ref.Value
	for _, inner := range slices.Concat(schema.OneOf, schema.AnyOf, schema.AllOf) {
		tighten(inner, answer)
	}
	if schema.Items != nil {
		tighten(schema.Items, answer)
	}
	if len(schema.Properties) == 0 {
		return
	}
	schema.AdditionalProperties = openapi3.BoolSchema{Has: openapi3.Ptr(false)}
	for _, property := range schema.Properties {
		tighten(property, answer)
	}
	if answer {
		schema.Required = slices.Sorted(maps.Keys(schema.Properties))
	}
}

// formats are the formats of the document, none of which is checked by default.
var formats = []openapi3.SchemaValidationOption{
	openapi3.EnableFormatValidation(),
	openapi3.WithStringFormatValidator("uuid", openapi3.NewCallbackValidator(func(s string) error {
		if _, ok := anchorhttp.ParseID(s); !ok {
			return errors.New("no UUID")
		}
		return nil
	})),
	openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
		_, err := time.Parse(time.RFC3339, s)
		return err
	})),
	openapi3.WithStringFormatValidator("uri", openapi3.NewCallbackValidator(func(s string) error {
		u, err := url.Parse(s)
		if err == nil && (u.Scheme == "" || u.Host == "") {
			err = errors.New("no absolute URI")
		}
		return err
	})),
}

// wrong is a header that marks an intentionally wrong request: only its response is
// checked.
const wrong = "X-Test-Wrong"

// between checks every request to next and every response.
func (c *contract) between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			c.t.Errorf("read the request: %v", err)
		}
		onPurpose := r.Header.Get(wrong) != ""
		r.Header.Del(wrong)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)

		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := c.check(r, !onPurpose, answer); err != nil {
			c.t.Errorf("%s %s\n%s\n%d %s\n%v", r.Method, r.URL, body, answer.Code, answer.Body, err)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (c *contract) check(r *http.Request, checkRequest bool, answer *httptest.ResponseRecorder) error {
	route, parameters, err := c.router.FindRoute(r)
	if err != nil {
		for _, operation := range undocumentedOperations {
			if matches(operation, r) {
				return nil
			}
		}
		return fmt.Errorf("the document has no such operation: %w", err)
	}
	operation := route.Method + " " + route.Path
	c.mu.Lock()
	c.seen[operation] = append(c.seen[operation], answer.Code)
	c.mu.Unlock()

	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			MultiError:                        true,
			RejectWhenRequestBodyNotSpecified: true,
			SkipSettingDefaults:               true,
			SchemaValidationOptions:           formats,
			AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
				if in.SecurityScheme.In != openapi3.ParameterInHeader || r.Header.Get(in.SecurityScheme.Name) != c.apiKey {
					return errors.New("the key is not where the document wants it")
				}
				return nil
			},
		},
	}
	if checkRequest {
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
		for name := range r.URL.Query() {
			if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil &&
				!slices.Contains(undocumentedParameters[operation], name) {
				return fmt.Errorf("the request: the document has no parameter %s", name)
			}
		}
	}

	status := answer.Code
	if route.Operation.Responses.Status(status) == nil {
		if !slices.Contains(undocumentedStatuses[operation], status) && !slices.Contains(undocumentedStatuses[""], status) {
			return fmt.Errorf("the answer: the document has no status %d", status)
		}
		// What an error looks like it has at every operation's 500, or else its 400.
		status = http.StatusInternalServerError
		if route.Operation.Responses.Status(status) == nil {
			status = http.StatusBadRequest
		}
	}
	if err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 status,
		Header:                 answer.Header(),
		Body:                   io.NopCloser(bytes.NewReader(answer.Body.Bytes())),
		Options:                &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true, SchemaValidationOptions: formats},
	}); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return nil
}

// documentedErrors returns the error statuses of an operation.
func (c *contract) documentedErrors(operation string) (statuses []int) {
	method, path, _ := strings.Cut(operation, " ")
	for code := range c.doc.Paths.Value(path).GetOperation(method).Responses.Map() {
		if status, err := strconv.Atoi(code); err == nil && status >= 400 {
			statuses = append(statuses, status)
		}
	}
	return statuses
}

// matches reports whether a request is for an operation, in the document's notation.
func matches(operation string, r *http.Request) bool {
	method, path, _ := strings.Cut(operation, " ")
	return method == r.Method && slices.EqualFunc(strings.Split(path, "/"), strings.Split(r.URL.Path, "/"), func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "{")
	})
}

// upstream is a fake of Anchor behind the contract.
type upstream struct {
	*contract
	fake   *anchortest.Server
	anchor *anchorhttp.Client
}

func newUpstream(t *testing.T, document string) upstream {
	t.Helper()
	u := upstream{contract: loadContract(t, document), fake: anchortest.New()}
	u.apiKey = u.fake.APIKey()
	server := httptest.NewServer(u.between(u.fake))
	t.Cleanup(server.Close)
	u.fake.SetURL(server.URL)
	u.anchor = u.fake.Client(anchorhttp.WithMaxRetries(0))
	return u
}

// do makes a call without the client and returns the response.
func (u upstream) do(t *testing.T, status int, method, path, body string, header ...string) (answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, u.fake.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("anchor-api-key", u.apiKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	require.Equal(t, status, res.StatusCode, "%s %s: %v", method, path, answer)
	return answer
}

const noSuchID = "00000000-0000-4000-8000-000000000000"

// A clientCall calls one method of the client, for one operation of the document.
type clientCall struct {
	operation string
	call      func(ctx context.Context, u upstream) error
}

// clientCalls returns a call of every method of the client.
var clientCalls = map[string]clientCall{
	"Application": {"GET /v1/applications/{applicationId}", func(ctx context.Context, u upstream) error {
		_, err := u.anchor.Application(ctx, u.fake.ApplicationID())
		return err
	}},
	"Applications": {"GET /v1/applications", func(ctx context.Context, u upstream) error {
		applications, err := u.anchor.Applications(ctx)
		if err != nil {
			return err
		}
		for _, application := range applications {
			if application.ID == u.fake.ApplicationID() && application.URL != "" {
				return nil
			}
		}
		return errors.New("the fake's application is not listed")
	}},
	"ApplicationIdentityPages": {"GET /v1/applications/{applicationId}/identities", func(ctx context.Context, u upstream) error {
		u.fake.PutIdentity(anchortest.Identity{})
		for page, err := range u.anchor.ApplicationIdentityPages(ctx, u.fake.ApplicationID(), anchorhttp.IdentityFilter{}) {
			if err != nil || len(page) > 0 {
				return err
			}
		}
		return errors.New("there is no page")
	}},
	"ApplicationIdentities": {"GET /v1/applications/{applicationId}/identities", func(ctx context.Context, u upstream) error {
		metadata := map[string]string{"externalUserId": "a&b \"ü\"", "plan": "pro"}
		id := u.fake.PutIdentity(anchortest.Identity{Name: "Ann & Co", Metadata: map[string]any{"externalUserId": "a&b \"ü\"", "plan": "pro"}}).ID
		for _, filter := range []anchorhttp.IdentityFilter{{}, {Search: "Ann & Co"}, {Metadata: metadata}, {Search: "Ann & Co", Metadata: metadata}} {
			found := false
			for identity, err := range u.anchor.ApplicationIdentities(ctx, u.fake.ApplicationID(), filter) {
				if err != nil {
					return err
				}
				found = found || identity.ID == id
			}
			if !found {
				return fmt.Errorf("nothing is found by %+v", filter)
			}
		}
		return nil
	}},
	"CreateIdentityToken": {"POST /v1/applications/{applicationId}/tokens", func(ctx context.Context, u upstream) error {
		_, err := u.anchor.CreateIdentityToken(ctx, u.fake.ApplicationID(), "https://app.example/tools/identity-callback/STATE")
		return err
	}},
	"Identity": {"GET /v1/identities/{identityId}", func(ctx context.Context, u upstream) error {
		_, err := u.anchor.Identity(ctx, u.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"plan": "pro"}}).ID)
		return err
	}},
	"UpdateIdentity": {"PUT /v1/identities/{identityId}", func(ctx context.Context, u upstream) error {
		id := u.fake.PutIdentity(anchortest.Identity{}).ID
		for _, update := range []anchorhttp.IdentityUpdate{
			{Name: "Ada", Metadata: map[string]any{"externalUserId": "ada", "n": 1, "list": []any{nil}}}, {Metadata: map[string]any{}}, {},
		} {
			if err := u.anchor.UpdateIdentity(ctx, id, update); err != nil {
				return err
			}
		}
		return nil
	}},
	"DeleteIdentity": {"DELETE /v1/identities/{identityId}", func(ctx context.Context, u upstream) error {
		return u.anchor.DeleteIdentity(ctx, u.fake.PutIdentity(anchortest.Identity{}).ID)
	}},
	"Reauthenticate": {undocumentedOperations[0], func(ctx context.Context, u upstream) error {
		return u.anchor.Reauthenticate(ctx, u.fake.PutIdentity(anchortest.Identity{}).ID)
	}},
	"CreateSession": {"POST /v1/sessions", func(ctx context.Context, u upstream) error {
		for _, request := range sessionRequests(u.fake.PutIdentity(anchortest.Identity{}).ID) {
			if _, err := u.anchor.CreateSession(ctx, request); err != nil {
				return err
			}
		}
		return nil
	}},
	"EndSession": {"DELETE /v1/sessions/{session_id}", func(ctx context.Context, u upstream) error {
		if len(u.fake.Sessions()) == 0 {
			if _, err := u.anchor.CreateSession(ctx, anchorhttp.SessionRequest{}); err != nil {
				return err
			}
		}
		id := u.fake.Sessions()[0].ID
		for range 2 { // What has ended is ended again.
			if err := u.anchor.EndSession(ctx, id); err != nil {
				return err
			}
		}
		return nil
	}},
}

// sessionRequests set every field of a request.
func sessionRequests(identityID string) []anchorhttp.SessionRequest {
	on := &anchorhttp.Toggle{Active: true}
	return []anchorhttp.SessionRequest{
		{},
		anchorhttp.AuthenticatedSession(identityID),
		{
			Identities:             []anchorhttp.SessionIdentity{{ID: identityID}},
			IdentitySkipValidation: true,
			Session: &anchorhttp.SessionConfig{
				InitialURL: "https://example.com/reports",
				Tags:       []string{"production", "customer-123"},
				Recording:  on,
				Proxy:      &anchorhttp.ProxyConfig{Active: true, Type: anchorhttp.ProxyAnchor, CountryCode: "de", Region: "be", City: "berlin"},
				Timeout:    &anchorhttp.SessionTimeout{MaxDuration: 10, IdleTimeout: -1},
				LiveView:   &anchorhttp.LiveView{ReadOnly: true, OneTimeURL: true},
			},
			Browser: &anchorhttp.BrowserConfig{
				Profile: &anchorhttp.Profile{Name: "p", Persist: true}, Adblock: on, PopupBlocker: on, CaptchaSolver: on,
				ExtraStealth: on, Headless: on, Viewport: &anchorhttp.Viewport{Width: 1280, Height: 720}, Fullscreen: on,
			},
		},
		{Session: &anchorhttp.SessionConfig{Proxy: &anchorhttp.ProxyConfig{
			Active: true, Type: anchorhttp.ProxyCustom, Server: "https://proxy.example:443", Username: "u", Password: "p",
		}}},
	}
}

// The client and the fake both follow Anchor's OpenAPI document.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	path := os.Getenv("ANCHOR_OPENAPI")
	if path == "" {
		t.Skip("ANCHOR_OPENAPI does not name Anchor's OpenAPI document")
	}
	u := newUpstream(t, path)

	for name, c := range clientCalls {
		t.Run("the client's "+name, func(t *testing.T) {
			require.NoError(t, c.call(t.Context(), u))
			if slices.Contains(undocumentedOperations, c.operation) {
				return
			}
			require.Contains(t, u.seen, c.operation)
			for _, status := range u.documentedErrors(c.operation) {
				u.fake.Fault(anchortest.Fault{Status: status})
				err := c.call(t.Context(), u)
				u.fake.ClearFaults()
				if name == "DeleteIdentity" && status == http.StatusNotFound {
					require.NoError(t, err, "gone already")
					continue
				}
				var answer *anchorhttp.Error
				require.ErrorAs(t, err, &answer)
				require.Equal(t, status, answer.StatusCode)
				require.Equal(t, http.StatusText(status), answer.Message)
			}
		})
	}
	t.Run("every method of the client", func(t *testing.T) {
		client, ctx := reflect.TypeFor[*anchorhttp.Client](), reflect.TypeFor[context.Context]()
		for i := range client.NumMethod() {
			method := client.Method(i)
			if method.Type.NumIn() > 1 && method.Type.In(1) == ctx {
				require.Contains(t, clientCalls, method.Name)
			}
		}
	})

	t.Run("applications", func(t *testing.T) {
		u.do(t, 201, "POST", "/v1/applications", `{"source":"https://shop.example","name":"Shop","description":"A shop"}`)
		id, _ := u.do(t, 201, "POST", "/v1/applications", `{"source":"https://plain.example"}`)["id"].(string)
		u.fake.AddApplication("Nothing", "")
		u.do(t, 200, "GET", "/v1/applications", "")
		u.do(t, 200, "GET", "/v1/applications?search=shop", "")
		u.do(t, 200, "GET", "/v1/applications/"+id, "")
		u.do(t, 201, "POST", "/v1/applications/"+id+"/auth-flows",
			`{"name":"Code","description":"d","is_recommended":true,"methods":["username_password","authenticator","custom"],"custom_fields":[{"name":"tenant"}]}`)
		u.do(t, 200, "GET", "/v1/applications/"+id+"/auth-flows", "")

		u.do(t, 400, "POST", "/v1/applications", `{}`, wrong, "no source")
		u.do(t, 400, "POST", "/v1/applications", `[`, wrong, "no JSON")
		u.do(t, 400, "POST", "/v1/applications/"+id+"/auth-flows", `{"name":"x","methods":[]}`, wrong, "no method")
		u.do(t, 400, "POST", "/v1/applications/"+id+"/auth-flows", `{"name":"x","methods":["magic"]}`, wrong, "no such method")
		u.do(t, 400, "POST", "/v1/applications/"+id+"/tokens", `{"callbackUrl":"http://app.example/"}`)
		u.do(t, 400, "POST", "/v1/applications/"+id+"/tokens", `{}`, wrong, "no address")
		u.do(t, 400, "GET", "/v1/applications/"+id+"/identities?metadata=x", "")
		u.do(t, 400, "GET", "/v1/applications/"+id+"/identities?page=0", "")
		u.do(t, 404, "GET", "/v1/applications/"+noSuchID, "")
		u.do(t, 404, "GET", "/v1/applications/"+noSuchID+"/identities", "")
		u.do(t, 404, "GET", "/v1/applications/"+noSuchID+"/auth-flows", "")
		u.do(t, 404, "POST", "/v1/applications/"+noSuchID+"/auth-flows", `{"name":"x","methods":["custom"]}`)
		u.do(t, 404, "POST", "/v1/applications/"+noSuchID+"/tokens", `{"callbackUrl":"https://app.example/"}`)
		u.do(t, 401, "GET", "/v1/applications", "", wrong, "another key", "anchor-api-key", "x")
	})
	t.Run("identities", func(t *testing.T) {
		// One that was made on the hosted page.
		token, err := u.anchor.CreateIdentityToken(t.Context(), u.fake.ApplicationID(), "https://app.example/identity-callback/STATE")
		require.NoError(t, err)
		callback, err := u.fake.Approve(t.Context(), u.anchor.HostedPageURL(token.Token, "Ada"))
		require.NoError(t, err)
		address, err := url.Parse(callback)
		require.NoError(t, err)
		id := address.Query().Get("identity_id")
		u.do(t, 200, "GET", "/v1/identities/"+id, "")
		u.do(t, 200, "PUT", "/v1/identities/"+id, `{"credentials":[{"type":"username_password","username":"u","password":"p"}]}`)
		u.do(t, 200, "POST", "/v1/identities/"+id+"/reauthenticate", `{"sync":true}`)

		u.do(t, 400, "PUT", "/v1/identities/"+id, `[]`, wrong, "no object")
		u.do(t, 200, "DELETE", "/v1/identities/"+id, "")
		for _, id := range []string{id, noSuchID} {
			u.do(t, 404, "GET", "/v1/identities/"+id, "")
			u.do(t, 404, "PUT", "/v1/identities/"+id, `{"name":"x"}`)
			u.do(t, 404, "DELETE", "/v1/identities/"+id, "")
		}
	})
	t.Run("sessions", func(t *testing.T) {
		data, _ := u.do(t, 200, "POST", "/v1/sessions", "")["data"].(map[string]any)
		id, _ := data["id"].(string)
		u.do(t, 200, "GET", "/v1/sessions/"+id, "")
		u.do(t, 200, "DELETE", "/v1/sessions/"+id, "")
		u.do(t, 200, "GET", "/v1/sessions/"+id, "")
		u.do(t, 401, "DELETE", "/v1/sessions/"+id, "")
		u.do(t, 404, "GET", "/v1/sessions/"+noSuchID, "")
		u.do(t, 400, "POST", "/v1/sessions", `{"browser":{"captcha_solver":{"active":true}}}`)
		u.do(t, 400, "POST", "/v1/sessions", `{"identities":[{"id":"`+noSuchID+`"}]}`)
		for refusal, status := range map[string]int{
			"gone": 400, "no-credentials": 412, "sign-in-failed": 422, "not-authenticated": 400, "no-credit": 402, "rate-limited": 429, "open": 200,
		} {
			require.NoError(t, u.fake.Switch("sessions", refusal))
			u.do(t, status, "POST", "/v1/sessions", "")
		}
		require.NoError(t, u.fake.Switch("sessions", "open"))
	})

	t.Run("every operation that the fake serves, with every status", func(t *testing.T) {
		ids := strings.NewReplacer("{applicationId}", u.fake.ApplicationID(), "{identityId}", noSuchID, "{session_id}", noSuchID)
		for path, item := range u.doc.Paths.Map() {
			for method, operation := range item.Operations() {
				name, address := method+" "+path, ids.Replace(path)
				if len(u.seen[name]) == 0 {
					// Of the whole document the fake serves what connect needs.
					answer := u.do(t, 404, method, address, "", wrong, "not served")
					require.Contains(t, fmt.Sprint(answer), "The fake does not serve", name)
					continue
				}
				for _, status := range u.documentedErrors(name) {
					u.fake.Fault(anchortest.Fault{Status: status})
					u.do(t, status, method, address, "", wrong, "whatever it is")
					u.fake.ClearFaults()
				}
				for code := range operation.Responses.Map() {
					status, err := strconv.Atoi(code)
					require.NoError(t, err)
					require.Contains(t, u.seen[name], status, name)
				}
			}
		}
	})
}
