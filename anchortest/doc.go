// Package anchortest is a fake of Anchor's service, the API and the hosted
// page, for an app's tests and for trying an app without an account. It keeps
// everything in memory, opens no connection to anywhere and drives no browser:
// a sign-in is whatever the test or the person says it is.
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
// It answers what Anchor's API reference says. Where that leaves room, or says
// something else than it used to, a switch chooses ([Server.SetCallbackStyle],
// [Server.SetCallbackAppend], [Server.SetSilentFailure],
// [Server.SetTokenShape], [Server.SetMetadataMerge]), so that a test can show
// that an app holds either way. [Server.Fault] and [Server.Hold] make the
// service fail, or stop at an exact point.
//
// The command fakeanchor serves the same fake to programs in other languages.
package anchortest
