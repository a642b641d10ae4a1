// Package connect adds "Connect your account" to a web app that has users,
// sessions and a database already. Its users sign in to a third-party site on
// Anchor Browser's hosted page, and the app ends up with an identity for each,
// which opens browser sessions that are already signed in.
//
// # Wiring
//
// [New] makes a [Handler] from a [Config], whose problems it all names at once.
// Register mounts its routes on the app's own mux, RequireIdentity guards what
// needs a connected account, and Run makes up for what an outage or a crash left
// undone:
//
//	h, err := connect.New(connect.Config{…})
//	if err != nil {
//		return err
//	}
//	h.Register(mux)
//	mux.Handle("GET /reports", h.RequireIdentity(reports))
//	go h.Run(ctx)
//
// What the app brings is a function that tells who is signed in (Config.User;
// [SessionUser] reads a gorilla session) and a [Store]. [NewMemoryStore] serves
// for a first try, and the module sqlstore for SQLite, PostgreSQL and MySQL.
//
// # The flow
//
// A start (POST /connect) issues a one-time identity token on the server, binds
// its hash to the signed-in user in the store, gives the browser a sealed state
// cookie and sends it to the hosted page. The callback carries nothing but an
// identity's id, which anybody can write into a URL. So before a connection is
// stored it is proved that the browser, the user and the flow belong together,
// and that the identity is usable, of this application, made just now and nobody
// else's. Each refusal has an error of its own, such as [ErrStateExpired];
// [Explain] tells what it means to the person.
//
// The flow stays pending until [Store].Complete has committed: a reload after a
// crash or an outage finishes the flow.
//
// # After connecting
//
// [Handler.RequireIdentity] puts the [Connection] into a request's context
// ([FromContext]). [Handler.NewSession] opens a browser session with it.
// [Handler.Webhook] takes Anchor's events in and keeps the connection's [Health].
// Connecting again replaces the identity when the new one is proved, and
// [Handler.Disconnect] ends all that a user has.
//
// Config.Applications adds further kinds of accounts, each with routes and
// connections of its own: [Handler.Application]. Config.OnEvent is told what has
// happened, for an audit log.
//
// # Failure
//
// What a request owes to Anchor when Anchor is down (the tag in an identity's
// metadata, the deletion of one that is not used any more) is stored in the
// transaction that makes it necessary, as a [Task], and made up for by
// [Handler.Run], in this process or the next. Any number of replicas share a
// store.
//
// # Testing
//
// The package anchortest is a fake of the service, API and hosted page, for an
// app's own tests through real HTTP. Package storetest proves any [Store].
//
// # Security
//
// SECURITY.md tells what is protected against whom, the tests that prove it, what
// remains, and what the app must do itself.
package connect
