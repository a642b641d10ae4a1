// Package connect adds "Connect your account" to a web app that has users,
// sessions and a database already. Its users sign in to a third-party site on
// Anchor Browser's hosted page, and the app ends up with an identity for each,
// which opens browser sessions that are already signed in.
//
// [New] makes a [Handler] from a [Config]. Register mounts its routes on the
// app's own mux, RequireIdentity guards what needs a connected account, and Run
// makes up for what an outage or a crash left undone.
//
// A start (POST /connect) issues a one-time identity token on the server and
// binds its hash to the signed-in user in a [Store]. The callback carries
// nothing but an identity's id, which anybody can write into a URL, so before a
// connection is stored it is proved that the browser, the user and the start
// belong together, and that the identity is usable, of this application, made
// just now and nobody else's. Each refusal has an error of its own; [Explain]
// tells what it means to the person.
//
// The sub-package anchorhttp is the client of Anchor's API, anchortest a fake of
// the service for tests, and storetest the suite that proves any Store.
package connect
