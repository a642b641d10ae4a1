// Package e2e tests connect from end to end with what surrounds it in an app: routers,
// session libraries, a proxy that terminates TLS, and Anchor's OpenAPI description.
//
// The recipes of docs/routers.md are regions of these tests, marked "docs: …".
//
// Package browser tests connect in a real browser. The command screenshots makes the
// pictures of the README.
package e2e
