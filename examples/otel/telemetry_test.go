package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// TestMain propagates traces and baggage, as an app that calls its own services does.
func TestMain(m *testing.M) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	os.Exit(m.Run())
}

// A site is the app, a fake of Anchor and a browser. It collects the app's exports.
type site struct {
	t       *testing.T
	fake    *anchortest.Server
	anchor  *httptest.Server // the fake's
	app     *app
	server  *httptest.Server // the app's
	browser *http.Client

	spans   *tracetest.InMemoryExporter
	raw     *tracetest.InMemoryExporter // as withoutURLs gets them
	metrics *sdkmetric.ManualReader

	mu      sync.Mutex
	headers []http.Header // of the calls to Anchor
}

func newSite(t *testing.T) *site {
	s := &site{
		t: t, fake: anchortest.New(),
		spans: tracetest.NewInMemoryExporter(), raw: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader(),
	}
	s.anchor = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.headers = append(s.headers, r.Header.Clone())
		s.mu.Unlock()
		s.fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.anchor.Close)
	t.Cleanup(func() { s.fake.Close() })
	s.fake.SetURL(s.anchor.URL)

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.app.handler.ServeHTTP(w, r) }))
	server.StartTLS()
	t.Cleanup(server.Close)
	s.server = server
	tm := telemetry{
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(withoutURLs{s.spans}), sdktrace.WithSyncer(s.raw)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.metrics)),
	}
	var err error
	s.app, err = newApp(tm, appConfig{
		publicURL:     server.URL,
		anchor:        s.fake.Client(anchorhttp.WithHTTPClient(tm.httpClient())),
		applicationID: s.fake.ApplicationID(),
	})
	require.NoError(t, err)

	s.browser = server.Client()
	s.browser.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	s.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// send sends a request from the browser and requires a status. It returns the
// Location.
func (s *site) send(method, address string, status int, header ...string) string {
	s.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = s.server.URL + address
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, address, nil)
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	res, err := s.browser.Do(r)
	require.NoError(s.t, err)
	defer res.Body.Close()
	require.Equal(s.t, status, res.StatusCode, "%s %s", method, address)
	return res.Header.Get("Location")
}

// approve starts a flow and approves it. It returns the URLs of the hosted page and
// the callback.
func (s *site) approve(opts ...anchortest.ApproveOption) (hosted, callback string) {
	s.t.Helper()
	hosted = s.send("POST", "/connect", http.StatusSeeOther)
	callback, err := s.fake.Approve(s.t.Context(), hosted, opts...)
	require.NoError(s.t, err)
	return hosted, callback
}

// end waits for all background work and returns the names of the spans.
func (s *site) end() []string {
	s.t.Helper()
	s.server.Close() // Waits for requests that continue after their response.
	done, stop := context.WithCancel(s.t.Context())
	stop()
	_ = s.app.connect.Run(done) // Waits for OnEvent.
	var names []string
	for _, span := range s.spans.GetSpans() {
		names = append(names, span.Name)
	}
	return names
}

func (s *site) collect() metricdata.ResourceMetrics {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(s.t, s.metrics.Collect(s.t.Context(), &all))
	return all
}

// events returns the counts of connect.events.
func (s *site) events() map[string]int64 {
	s.t.Helper()
	counts := make(map[string]int64)
	for _, scope := range s.collect().ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "connect.events" {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				var texts []string
				for _, a := range point.Attributes.ToSlice() {
					texts = append(texts, strings.TrimPrefix(string(a.Key), "connect.")+"="+a.Value.String())
				}
				counts[strings.Join(texts, " ")] = point.Value
			}
		}
	}
	return counts
}

// inJSON returns everything that was exported, as JSON.
func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func query(t *testing.T, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	value := u.Query().Get(name)
	require.NotEmpty(t, value)
	return value
}

func stateOf(t *testing.T, callback string) string {
	t.Helper()
	u, err := url.Parse(callback)
	require.NoError(t, err)
	state := u.Path[strings.LastIndex(u.Path, "/")+1:]
	require.Greater(t, len(state), 20)
	return state
}

func TestExportHasNoSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	secrets := map[string]string{"API key": s.fake.APIKey(), "user": userID}
	note := func(name, hosted, callback string) {
		secrets["token of "+name] = query(t, hosted, "token")
		secrets["state of "+name] = stateOf(t, callback)
		secrets["identity of "+name] = query(t, callback, "identity_id")
	}

	// The identity belongs to another user: proofs 5 and later fail.
	hosted, callback := s.approve(anchortest.WithMetadata(map[string]any{"externalUserId": "eve"}))
	note("another's", hosted, callback)
	s.send("GET", callback, http.StatusForbidden)

	// The callback is in another browser: proof 3 fails, and nobody owns the identity.
	hosted, callback = s.approve()
	note("another browser", hosted, callback)
	jar := s.browser.Jar
	s.browser.Jar = nil
	s.send("GET", callback, http.StatusForbidden)
	s.browser.Jar = jar

	// Anchor is unavailable, then available.
	hosted, callback = s.approve()
	note("Ada", hosted, callback)
	identityID := query(t, callback, "identity_id")
	s.fake.Fault(anchortest.Fault{Drop: true})
	s.send("GET", callback, http.StatusServiceUnavailable)
	s.fake.ClearFaults()
	s.send("GET", callback, http.StatusSeeOther)
	_, err := s.fake.WaitTagged(t.Context(), callback)
	require.NoError(t, err)
	s.send("GET", callback, http.StatusSeeOther)

	hosted = s.send("POST", "/connect", http.StatusSeeOther)
	cancelled, err := s.fake.Cancel(t.Context(), hosted)
	require.NoError(t, err)
	secrets["state of a cancel"] = stateOf(t, cancelled)
	s.send("GET", cancelled, http.StatusBadRequest)

	// Requests that match no route.
	made := "madeup-" + stateOf(t, callback)
	s.send("GET", "/identity-callback/"+made+"/more?identity_id="+identityID, http.StatusNotFound)
	s.send("GET", "/connect?return_to=/secret-page", http.StatusOK)
	secrets["return path"] = "secret-page"

	// A connection is used, read and disconnected.
	s.send("POST", "/reports", http.StatusCreated)
	secrets["session"] = s.fake.Sessions()[0].ID
	_, err = s.app.connect.Application("").Reconcile(t.Context(), connect.ReconcileOptions{CallsPerMinute: 6000})
	require.NoError(t, err)
	s.send("POST", "/disconnect", http.StatusSeeOther)

	names := s.end()
	exported := inJSON(t, s.spans.GetSpans()) + inJSON(t, s.collect())
	raw := inJSON(t, s.raw.GetSpans())
	for name, secret := range secrets {
		require.NotContains(t, exported, secret, name)
	}
	require.NotContains(t, exported, "identity_id")
	require.NotContains(t, exported, "madeup")
	// Without withoutURLs they are exported.
	require.Contains(t, raw, secrets["state of Ada"])
	require.Contains(t, raw, secrets["identity of Ada"])
	require.Contains(t, raw, secrets["identity of another's"])
	for _, span := range s.spans.GetSpans() {
		require.Empty(t, span.Status.Description)
	}

	slices.Sort(names)
	require.Equal(t, []string{
		"DELETE /v1/identities/{id}",
		"GET", // No route.
		"GET /connect",
		"GET /identity-callback/{state}",
		"GET /v1/applications",
		"GET /v1/applications/{id}",
		"GET /v1/applications/{id}/identities",
		"GET /v1/identities/{id}",
		"POST /connect",
		"POST /disconnect",
		"POST /reports",
		"POST /v1/applications/{id}/tokens",
		"POST /v1/sessions",
		"PUT /v1/identities/{id}",
	}, slices.Compact(names))
}

// A faulty or malicious server repeats the request in its response.
func TestExportHasNoErrorThatQuotesTheAnswer(t *testing.T) {
	t.Parallel()
	const key = "sk-of-the-test"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			request, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				fmt.Fprintf(conn, "%s\r\n\r\n", request.Header.Get("Anchor-Api-Key"))
			}
			conn.Close()
		}
	}()
	spans, raw := tracetest.NewInMemoryExporter(), tracetest.NewInMemoryExporter()
	tm := telemetry{
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(withoutURLs{spans}), sdktrace.WithSyncer(raw)),
		sdkmetric.NewMeterProvider(),
	}
	client := anchorhttp.New(key, anchorhttp.WithBaseURL("http://"+listener.Addr().String()),
		anchorhttp.WithHTTPClient(tm.httpClient()), anchorhttp.WithMaxRetries(0))
	_, err = client.Identity(t.Context(), "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01")
	require.Error(t, err)

	require.Contains(t, inJSON(t, raw.GetSpans()), key)
	require.NotContains(t, inJSON(t, spans.GetSpans()), key)
	require.Len(t, spans.GetSpans(), 1)
	require.Equal(t, codes.Error, spans.GetSpans()[0].Status.Code)
}

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, callback := s.approve(anchortest.WithMetadata(map[string]any{"externalUserId": "eve"}))
	s.send("GET", callback, http.StatusForbidden)
	_, callback = s.approve()
	s.send("GET", callback, http.StatusSeeOther)
	s.send("POST", "/reports", http.StatusCreated)
	s.fake.SetStatus(query(t, callback, "identity_id"), anchortest.StatusFailed)
	s.send("POST", "/reports", http.StatusForbidden)
	s.send("POST", "/disconnect", http.StatusSeeOther)
	s.end()
	require.Equal(t, map[string]int64{
		"kind=started": 2,
		"kind=refused proof=8 reason=identity_taken": 1,
		"kind=connected":      1,
		"kind=tagged":         1,
		"kind=session_opened": 1,
		"kind=session_refused reason=needs_sign_in": 1,
		"health=needs_sign_in kind=health_changed":  1,
		"kind=disconnected":                         1,
	}, s.events())
}

func TestTraceCoversARequestAndItsCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, callback := s.approve()
	s.send("GET", callback, http.StatusSeeOther)
	s.end()
	spans := s.spans.GetSpans()
	i := slices.IndexFunc(spans, func(span tracetest.SpanStub) bool { return span.Name == "GET /identity-callback/{state}" })
	require.GreaterOrEqual(t, i, 0)
	var below []string
	for _, span := range spans {
		if span.Parent.SpanID() == spans[i].SpanContext.SpanID() {
			below = append(below, span.Name)
		}
	}
	// The tag is written after the response, but belongs to the request's trace.
	require.Contains(t, below, "GET /v1/identities/{id}")
	require.Contains(t, below, "PUT /v1/identities/{id}")
}

func TestCallbackDoesNotWaitForTheTag(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, callback := s.approve()
	hold := s.fake.Hold("PUT", "/v1/identities/")
	s.send("GET", callback, http.StatusSeeOther)
	require.NoError(t, hold.Wait(t.Context(), 1))
	hold.Release()
	s.end()
}

func TestRunMakesItsOwnTraces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.Fault(anchortest.Fault{Method: "PUT", Status: http.StatusForbidden, Times: 1})
	_, callback := s.approve()
	s.send("GET", callback, http.StatusSeeOther)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.app.connect.Run(ctx) }()
	require.Eventually(t, func() bool { return s.events()["kind=tagged"] == 1 }, 10*time.Second, 10*time.Millisecond)
	stop()
	require.ErrorIs(t, <-stopped, context.Canceled)
	s.end()

	spans := s.spans.GetSpans()
	var roots int
	for _, span := range spans {
		if span.Name == "PUT /v1/identities/{id}" && !span.Parent.IsValid() {
			require.NotEqual(t, codes.Error, span.Status.Code)
			roots++
		}
	}
	require.Equal(t, 1, roots)
	require.EqualValues(t, 1, s.events()["kind=task_refused task=tag"])
}

func TestStrangerMakesNeitherTracesNorTimeSeries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	for i := range 3 {
		s.send("GET", "/connect", http.StatusOK, "Host", fmt.Sprintf("made-up-%d.example", i),
			"traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
		s.send(fmt.Sprintf("MADE%d", i), "/made/up", http.StatusNotFound)
	}
	s.end()
	require.NotContains(t, inJSON(t, s.collect()), "made")
	for _, span := range s.spans.GetSpans() {
		require.NotEqual(t, traceID, span.SpanContext.TraceID().String())
		require.False(t, span.Parent.IsValid())
		require.Equal(t, span.Name == "GET /connect", len(span.Links) == 1)
		require.Contains(t, []string{"GET /connect", "HTTP"}, span.Name)
	}
}

func TestMetricsAreByURLTemplate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, callback := s.approve()
	s.send("GET", callback, http.StatusSeeOther)
	s.end()
	var templates, routes []string
	for _, scope := range s.collect().ScopeMetrics {
		for _, m := range scope.Metrics {
			histogram, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			for _, point := range histogram.DataPoints {
				if v, ok := point.Attributes.Value("url.template"); ok {
					require.Equal(t, "http.client.request.duration", m.Name)
					templates = append(templates, v.AsString())
				}
				if v, ok := point.Attributes.Value("http.route"); ok {
					require.Equal(t, "http.server.request.duration", m.Name)
					routes = append(routes, v.AsString())
				}
			}
		}
	}
	slices.Sort(templates)
	require.Subset(t, templates, []string{"/v1/applications/{id}/tokens", "/v1/identities/{id}"})
	require.ElementsMatch(t, []string{"/connect", "/identity-callback/{state}"}, routes)
}

func TestURLTemplate(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1/identities/6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01":                "/v1/identities/{id}",
		"/v1/identities/6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01/reauthenticate": "/v1/identities/{id}/reauthenticate",
		"/v1/applications":              "/v1/applications",
		"/gateway/v1/sessions/ses_1":    "/{id}/v1/sessions/{id}",
		"/v1/identities/../of/the/kind": "/v1/identities/{id}/{id}/{id}/{id}",
		"":                              "",
	} {
		require.Equal(t, want, template(path))
	}
}

func TestAnchorGetsNoTraceHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, callback := s.approve()
	s.send("GET", callback, http.StatusSeeOther, "baggage", "user=ada")
	member, err := baggage.NewMember("user", "ada")
	require.NoError(t, err)
	carried, err := baggage.New(member)
	require.NoError(t, err)
	_, err = s.app.connect.NewSession(baggage.ContextWithBaggage(t.Context(), carried), userID)
	require.NoError(t, err)
	s.end()

	require.NotEmpty(t, s.headers)
	for _, header := range s.headers {
		require.Empty(t, header.Get("traceparent"))
		require.Empty(t, header.Get("baggage"))
	}
}

// With http.DefaultTransport's two idle connections, the second burst would dial nearly
// all of its connections again.
func TestHTTPClientKeepsTheConnectionsOfABurst(t *testing.T) {
	t.Parallel()
	const burst = 20
	fake := anchortest.New()
	defer fake.Close()
	var dialled atomic.Int32
	server := httptest.NewUnstartedServer(fake)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	fake.SetURL(server.URL)
	tm := telemetry{sdktrace.NewTracerProvider(), sdkmetric.NewMeterProvider()}
	client := fake.Client(anchorhttp.WithHTTPClient(tm.httpClient()))
	for range 2 {
		hold := fake.Hold("GET", "/v1/applications/")
		var calls sync.WaitGroup
		for range burst {
			calls.Go(func() {
				_, err := client.Application(context.WithoutCancel(t.Context()), fake.ApplicationID())
				require.NoError(t, err)
			})
		}
		require.NoError(t, hold.Wait(t.Context(), burst))
		hold.Release()
		calls.Wait()
	}
	require.EqualValues(t, burst, dialled.Load())
}

func TestExportKeepsAllButURLs(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(withoutURLs{exporter}))
	_, span := traces.Tracer("of the app").Start(t.Context(), "query")
	span.SetAttributes(attribute.String("db.system.name", "postgresql"), attribute.String("http.target", "/identity-callback/x"), attribute.String("url.scheme", "https"))
	span.SetStatus(codes.Error, "deadlock")
	span.End(trace.WithTimestamp(time.Now()))
	got := exporter.GetSpans()[0]
	require.Equal(t, []attribute.KeyValue{attribute.String("db.system.name", "postgresql"), attribute.String("url.scheme", "https")}, got.Attributes)
	require.Equal(t, "deadlock", got.Status.Description)
}

func TestRunServesAndFlushes(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := new(output)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", out) }()
	var address string
	require.Eventually(t, func() bool {
		_, rest, found := strings.Cut(out.String(), "Open ")
		address, _, _ = strings.Cut(rest, "\n")
		return found
	}, 10*time.Second, 5*time.Millisecond)
	res, err := http.Get(address) // Follows the redirect to the connect page.
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	stop()
	require.NoError(t, <-ended)
	require.Contains(t, out.String(), `"Name":"GET /connect"`)
	require.Contains(t, out.String(), "http.server.request.duration")
	require.NotContains(t, out.String(), "url.path")
}

// output is a buffer that is safe for concurrent use.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}
