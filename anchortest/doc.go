// Package anchortest is a fake of Anchor's service, the API, the hosted page and
// the webhook, for an app's tests and for trying an app without an account. It
// keeps everything in memory, opens no connection but to the webhook that it was
// given, and drives no browser: a sign-in is whatever the test or the person says
// it is.
//
//	fake, err := anchortest.Start()
//	if err != nil { … }
//	defer fake.Close()
//
//	// Give the app fake.Client() and fake.ApplicationID(), let it start a
//	// flow, and take the address that it sends the browser to.
//	callbackURL, err := fake.Approve(ctx, hostedURL)
//	// Send the browser there: the flow is complete.
//
// # Webhooks
//
// After [Server.SetWebhook] the app is told of sign-ins that worked and of those
// that failed. [Server.FailIdentity] is a saved sign-in that stops working, and
// [Server.Reauthenticate] one that works again:
//
//	fake.SetWebhook(app.URL+"/webhooks/anchor", "whsec-1")
//	err := fake.FailIdentity(ctx, identityID)
//	err = fake.WaitDelivered(ctx)
//	// fake.Deliveries() has what was sent, and what the app answered.
//
// [Server.SendEvent] sends what a test composes, such as an old event or one that
// was sent before, and [Server.NewWebhookRequest] makes the signed request for a
// handler that is called without a server.
//
// # Sign-ins that die
//
// A session with a sign-in that does not work is refused, as [Server.SetDeadSignIn]
// says: after [Server.FailIdentity], of which the webhook is told, after
// [Server.KillSignIn], which nobody notices before, and with a bad status of
// [Server.SetStatus]. [Server.RefuseSessions] refuses them for any other cause, such
// as no credit. [Server.RefuseReauthentication] makes Anchor's own attempt to sign in
// again fail. [Server.AddOrphans] adds identities whose users never came back, and
// [Server.SetClockOffset] sets Anchor's clock apart from the app's.
//
// # What is not documented
//
// It answers what Anchor's API reference says. Where that leaves room, or says
// something else than it used to, a switch chooses ([Server.SetCallbackStyle],
// [Server.SetCallbackAppend], [Server.SetSilentFailure],
// [Server.SetTokenShape], [Server.SetMetadataMerge], [Server.SetEventTime],
// [Server.SetEventIdentity], [Server.SetGoneStatus], [Server.SetListStyle],
// [Server.SetPageLimit]), so that a test can show that an app holds either
// way. [Server.Fault] and [Server.Hold] make the service fail, or stop at an
// exact point.
//
// # For people
//
// The page at [Server.ControlURL] lists the identities, with buttons that make a
// sign-in fail, die unnoticed and work again, the switches of [Server.Switch], and
// what was sent to the webhook. The command fakeanchor serves the same fake to programs
// in other languages.
//
// # Real browsers
//
// The module sandbox is a [Backend] of a fake. It adds a site to sign in to, and
// sessions that are a local Chromium.
package anchortest
