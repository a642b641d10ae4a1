// Package e2e tests connect from end to end, on what it meets outside of its own
// tests: the routers and session libraries that apps are built on, a proxy that
// ends TLS, Anchor's own SDK and Anchor's description of its API.
//
// The recipes of docs/routers.md are in its tests, marked "docs: …", and so are
// known to work.
package e2e
