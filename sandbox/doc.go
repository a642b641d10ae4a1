// Package sandbox is a local Anchor in which automations really run. It adds to the
// fake of package anchortest:
//
//   - a site with accounts to sign in to ([Site]);
//   - a hosted page that signs in there and keeps the site's cookies as the identity;
//   - browser sessions that are a headless Chromium with those cookies, for chromedp,
//     Playwright and Puppeteer to drive.
//
// A test starts one for itself:
//
//	anchor, err := sandbox.Start(t.Context())
//	if errors.Is(err, sandbox.ErrNoBrowser) {
//		t.Skip(err)
//	}
//	require.NoError(t, err)
//	defer anchor.Close()
//
//	// Give the app anchor.Client() and anchor.ApplicationID(), let it start a
//	// flow, and sign in on the hosted page that it sends the browser to.
//	callbackURL, err := anchor.SignIn(t.Context(), hostedURL, "ada", "ada-letters")
//
// The command sandbox/cmd/fakeanchor serves the same to programs in other languages.
//
// # Browsers
//
// The browser is the Chromium or Chrome that is installed: the program that
// CHROME_PATH names, or the first of the usual names. It is started headless, with a
// temporary profile, and ends with its session: by the API's call, by a timeout or
// by [Server.Close]. What a kill of the process leaves behind is removed by the next
// [Start]. On Windows no browser is started.
//
// A process of root's starts Chromium without Chromium's own sandbox, which does not
// work for root, and logs that. Let it open only pages that you trust.
//
// # What is left out
//
// Proxies, captcha solving, stealth, ad blocking, recordings, stored profiles and a
// window are accepted and left out. The log, the live view and [Server.Notes] say so.
//
// # Guards
//
// Everything listens on loopback alone, and refuses requests by another host's name.
// The addresses of sessions cannot be guessed, and pages of other origins cannot drive
// one. The sandbox keeps passwords as they are, and shows them: it is for development, and
// for accounts that are made up.
package sandbox
