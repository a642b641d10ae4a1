// Package connect adds "Connect your account" to a web app that has users, sessions and a
// database. Users sign in to a third-party site on Anchor Browser's hosted page. The app
// gets an identity, with which it opens browser sessions that are already signed in.
//
// # Wiring
//
// [New] returns a [Handler]. Register mounts its routes on the app's own mux,
// RequireIdentity guards handlers that need a connected account, and Run retries work that
// an outage or a crash interrupted:
//
//	h, err := connect.New(connect.Config{…})
//	if err != nil {
//		return err
//	}
//	h.Register(mux)
//	mux.Handle("GET /reports", h.RequireIdentity(reports))
//	go h.Run(ctx)
//
// The app provides a function that returns who is signed in (Config.User; [SessionUser]
// reads a gorilla session) and a [Store]: [NewMemoryStore] for a first try, or the module
// sqlstore for SQLite, PostgreSQL, MySQL and MariaDB.
//
// # The flow
//
// POST /connect starts a flow: it issues a one-time identity token, binds the token's hash
// to the signed-in user in the store, gives the browser a sealed state cookie, and
// redirects it to the hosted page. The callback carries nothing but an identity's id,
// which anybody can write into a URL. So before a connection is stored, the handler proves
// that the browser, the user and the flow belong together, and that the identity is
// usable, of this application, made just now, and nobody else's. docs/flow.md lists the
// proofs. Each refusal has an error of its own, such as [ErrStateExpired]; [Explain]
// returns what to say to the user.
//
// The flow stays pending until [Store].Complete has committed, so a reload after a crash
// or an outage finishes it.
//
// # After connecting
//
// [Handler.RequireIdentity] puts the [Connection] into a request's context
// ([FromContext]). [Handler.NewSession] opens a browser session with it.
// [Handler.Webhook] receives Anchor's events and updates the connection's [Health].
// Connecting again replaces the identity once the new one is proved.
// [Handler.DisconnectAll] ends everything that a user has.
//
// Config.Applications adds further kinds of accounts, each with routes and connections of
// its own: see [Handler.Application]. Config.OnEvent receives what happens, for an audit
// log.
//
// # Failure
//
// A call that Anchor does not take, such as writing an identity's metadata or deleting an
// unused identity, is stored as a [Task] in the transaction that makes it necessary.
// [Handler.Run] retries it, in this process or the next. Any number of replicas share a
// store.
//
// # Testing
//
// Package anchortest is a fake of the service, API and hosted page, for tests through
// real HTTP. Package storetest tests any [Store].
//
// # Security
//
// SECURITY.md lists the attacks, the defences with the tests that prove them, the
// remaining risks, and what the app has to do itself.
package connect
