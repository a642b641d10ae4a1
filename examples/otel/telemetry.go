package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/anchorconnect/connect"
)

// telemetry holds the providers that receive traces and metrics.
type telemetry struct {
	traces  trace.TracerProvider
	metrics metric.MeterProvider
}

// handler returns a handler that traces and measures the requests to mux. host is the
// host of PublicURL, with the port if it has one.
func (t telemetry) handler(mux *http.ServeMux, host string) http.Handler {
	// docs: telemetry
	return otelhttp.NewHandler(mux, "app",
		otelhttp.WithTracerProvider(t.traces),
		otelhttp.WithMeterProvider(t.metrics),
		// The default is the Host header: every value that a client makes up would be a
		// time series.
		otelhttp.WithServerName(host),
		// A client's traceparent header becomes a link, not the parent.
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }))
	// docs: end
}

// httpClient returns the HTTP client for anchorhttp.WithHTTPClient.
func (t telemetry) httpClient() *http.Client {
	// docs: telemetry
	// anchorhttp uses the transport of WithHTTPClient as it is. These are the settings
	// of its own transport.
	pooled := http.DefaultTransport.(*http.Transport).Clone()
	pooled.MaxIdleConnsPerHost = 100
	pooled.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second}
	traced := otelhttp.NewTransport(pooled,
		otelhttp.WithTracerProvider(t.traces),
		otelhttp.WithMeterProvider(t.metrics),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			return r.Method + " " + template(r.URL.Path)
		}),
		// Anchor gets neither trace IDs nor the app's baggage.
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()))
	return &http.Client{Transport: labelled{traced}}
	// docs: end
}

// labelled adds the template of the URL to the metrics of a call.
// From otelhttp v0.72 on, which needs Go 1.26, use ContextWithClientLabeler.
type labelled struct{ next http.RoundTripper }

func (t labelled) RoundTrip(r *http.Request) (*http.Response, error) {
	labels := new(otelhttp.Labeler)
	labels.Add(attribute.String("url.template", template(r.URL.Path)))
	return t.next.RoundTrip(r.WithContext(otelhttp.ContextWithLabeler(r.Context(), labels)))
}

// template returns the path of a call to Anchor, such as "/v1/identities/{id}", with
// every segment replaced that is not a word of the API.
func template(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		switch segment {
		case "", "v1", "applications", "tokens", "identities", "reauthenticate", "sessions":
		default:
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// countEvents returns a Config.OnEvent that counts events. Users, connections and
// identities are no attributes: each would be a time series of its own.
func (t telemetry) countEvents() (func(context.Context, connect.Event), error) {
	// docs: telemetry
	events, err := t.metrics.Meter("github.com/anchorconnect/connect").Int64Counter("connect.events",
		metric.WithDescription("Events of flows, connections and sessions."), metric.WithUnit("{event}"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e connect.Event) {
		about := []attribute.KeyValue{attribute.String("connect.kind", string(e.Kind))}
		if e.Application != "" {
			about = append(about, attribute.String("connect.application", e.Application))
		}
		if e.Proof != 0 {
			about = append(about, attribute.Int("connect.proof", e.Proof))
		}
		switch e.Kind {
		case connect.Refused, connect.SessionRefused:
			about = append(about, attribute.String("connect.reason", connect.Explain(e.Reason).Code))
		case connect.HealthChanged:
			about = append(about, attribute.String("connect.health", string(e.Health)))
		case connect.TaskRefused:
			about = append(about, attribute.String("connect.task", string(e.Task)))
		}
		events.Add(ctx, 1, metric.WithAttributes(about...))
	}, nil
	// docs: end
}

// docs: telemetry

// withoutURLs removes URLs and error texts from spans before they are exported. otelhttp
// records the path of a callback, which has the state in it, and the URL of a call to
// Anchor, which has the ID of an identity that may have no owner yet.
type withoutURLs struct{ sdktrace.SpanExporter }

func (e withoutURLs) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	cleaned := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		cleaned[i] = withoutURL{span}
	}
	return e.SpanExporter.ExportSpans(ctx, cleaned)
}

type withoutURL struct{ sdktrace.ReadOnlySpan }

func (s withoutURL) Attributes() []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(s.ReadOnlySpan.Attributes()), func(a attribute.KeyValue) bool {
		switch a.Key {
		case "url.path", "url.full", "url.query", "http.url", "http.target":
			return true
		}
		return false
	})
}

// Status removes otelhttp's description, because the error of a failed call can quote
// what the server sent.
func (s withoutURL) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	if s.InstrumentationScope().Name == otelhttp.ScopeName {
		status.Description = ""
	}
	return status
}

// docs: end
