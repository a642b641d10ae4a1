package connect

import (
	"mime"
	"net/http"
	"strings"
)

// A clientKind is what made a request, and so how to answer it.
type clientKind int

const (
	// clientPage is a browser that shows the answer as a page.
	clientPage clientKind = iota
	// clientHTMX is htmx within a page, which puts the answer into that page.
	clientHTMX
	// clientJSON is a script or a program.
	clientJSON
)

// clientOf returns what made a request. It looks at htmx's own header, then at Accept.
// If Accept leaves it open, the Content-Type decides, or the browser's word that a
// script made the request (Fetch Metadata, section 2.1).
func clientOf(r *http.Request) clientKind {
	accept := r.Header.Get("Accept")
	switch {
	case r.Header.Get("Hx-Request") == "true":
		return clientHTMX
	case strings.Contains(accept, "text/html"):
		return clientPage
	case strings.Contains(accept, "application/json"), r.Header.Get("Sec-Fetch-Dest") == "empty":
		return clientJSON
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == "application/json" {
		return clientJSON
	}
	return clientPage
}
