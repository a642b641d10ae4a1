// Package anchortest is a fake of Anchor's service (the API, the hosted page and the
// webhook) for tests, and for trying an app without an account at Anchor. It keeps
// everything in memory. It connects to nothing but the webhook that it is given, and
// drives no browser: the test, or the user of the hosted page, decides whether a sign-in
// succeeds.
//
//	fake, err := anchortest.Start()
//	if err != nil { … }
//	defer fake.Close()
//
//	// Configure the app with fake.Client() and fake.ApplicationID(), and start
//	// a flow. hostedURL is where the app redirects the browser.
//	callbackURL, err := fake.Approve(ctx, hostedURL)
//	// Open callbackURL in the browser: the flow is complete.
//
// # Webhooks
//
// After [Server.SetWebhook] the app receives an event for each sign-in that
// succeeds or fails. [Server.FailIdentity] makes a saved sign-in stop working, and
// [Server.Reauthenticate] makes it work again:
//
//	fake.SetWebhook(app.URL+"/webhooks/anchor", "whsec-1")
//	err := fake.FailIdentity(ctx, identityID)
//	err = fake.WaitDelivered(ctx)
//	// fake.Deliveries() returns what was sent, and the app's answers.
//
// [Server.SendEvent] sends an event that a test composes, such as an old or a repeated
// one. [Server.NewWebhookRequest] returns a signed request, for a handler that is called
// without a server.
//
// # Sign-ins that stop working
//
// The fake refuses a session whose sign-in does not work, as [Server.SetDeadSignIn]
// specifies. These methods make a sign-in stop working:
//
//   - [Server.FailIdentity], and the webhook receives an event
//   - [Server.KillSignIn], which only a session reveals
//   - [Server.SetStatus] with a bad status
//
// [Server.RefuseSessions] refuses sessions for other reasons, such as no credit.
// [Server.RefuseReauthentication] makes Anchor's own attempt to sign in again fail.
// [Server.AddOrphans] adds identities whose users never returned to the app.
// [Server.SetClockOffset] makes Anchor's clock differ from the app's.
//
// # What Anchor does not document
//
// The fake answers as Anchor's API reference says. Where that is silent, or has changed,
// a switch chooses the behavior, so that a test can show that an app works either
// way: [Server.SetCallbackStyle], [Server.SetCallbackAppend], [Server.SetSilentFailure],
// [Server.SetTokenShape], [Server.SetMetadataMerge], [Server.SetEventTime],
// [Server.SetEventIdentity], [Server.SetGoneStatus], [Server.SetListStyle] and
// [Server.SetPageLimit]. [Server.Fault] makes calls fail, and [Server.Hold] stops them at
// an exact point.
//
// # Use by hand
//
// The page at [Server.ControlURL] lists the identities, with buttons that make a sign-in
// fail, stop working silently and work again. It also has the switches of
// [Server.Switch], and what was sent to the webhook. The command fakeanchor serves the
// same fake to programs in other languages.
//
// # Real browsers
//
// The module sandbox implements [Backend]. It adds a site to sign in to, and its sessions
// are a local Chromium.
package anchortest
