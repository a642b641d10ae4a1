// Package sandbox is a local Anchor in which automations really run. It adds to the
// fake of package anchortest:
//
//   - a site with accounts to sign in to ([Site]);
//   - a hosted page that signs in at that site and stores its cookies for the identity;
//   - browser sessions in a headless Chromium with those cookies, for chromedp,
//     Playwright and Puppeteer.
//
// In a test:
//
//	anchor, err := sandbox.Start(t.Context())
//	if errors.Is(err, sandbox.ErrNoBrowser) {
//		t.Skip(err)
//	}
//	require.NoError(t, err)
//	defer anchor.Close()
//
//	// Configure the app with anchor.Client() and anchor.ApplicationID(), start a flow,
//	// and sign in on the hosted page to which the app redirects the browser.
//	callbackURL, err := anchor.SignIn(t.Context(), hostedURL, "ada", "ada-letters")
//
// The command sandbox/cmd/fakeanchor serves a sandbox to programs in other languages.
//
// # Browsers
//
// The browser is the installed Chromium or Chrome: the program that CHROME_PATH names,
// or the first of the usual names. It runs headless, with a temporary profile, and ends
// with its session: by an API call, by a timeout or by [Server.Close]. If the process is
// killed, the next [Start] removes what it left behind. Browsers are not started on
// Windows.
//
// If the process runs as root, Chromium runs without its own sandbox, which does not work
// for root. Start logs a warning. Open only pages that you trust.
//
// # What is left out
//
// Proxies, captcha solving, stealth, ad blocking, recordings, stored profiles, extensions
// and windows are accepted and ignored. The log, the live view and [Server.Notes] list
// what a session does without.
//
// # Security
//
// The sandbox listens only on loopback, and refuses requests for other host names. The
// URLs of sessions cannot be guessed, and pages of other origins cannot drive a session.
// The sandbox keeps passwords in plain text and shows them: use it only for development,
// with made-up accounts.
package sandbox
