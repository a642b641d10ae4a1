// Package anchorhttp is a client of the part of Anchor's REST API that hands out
// identity tokens, looks after identities and opens browser sessions with them.
//
//	client := anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"))
//	session, err := client.CreateSession(ctx, anchorhttp.AuthenticatedSession(identityID))
//
// # Errors
//
// A refusal by Anchor is an [*Error] with the HTTP status. An answer that cannot
// be right is [ErrInvalidAnswer]. An id that is none is [ErrInvalidID], and a
// client that cannot be used gives the error of [Client.Validate], both before
// anything is sent. A call that ran out of time, or whose context was cancelled,
// wraps [context.DeadlineExceeded] or [context.Canceled], and beside it the last
// failure before that, when there was one: errors.As for [*Error] tells "Anchor
// answered 503 until the time was over" from "Anchor did not answer". What is
// left is a connection that failed.
//
// [NeedsSignIn] reports whether a session was not opened because the user has to sign
// in again. [SignInOf] decides which statuses of an identity are good and which are
// bad. An error's Date, like that of a [Session] and an [Identity], is by Anchor's
// clock, so that what was learned from different answers and events can be put in
// order.
//
// # Retries
//
// A call is tried again, twice by default, after a failed connection, an attempt
// that took too long, and the statuses 408, 409, 429 and 5xx; the header
// x-should-retry overrules the status. It waits half a second, then twice as long
// each time up to 8 seconds, less up to a quarter at random; retry-after-ms and
// Retry-After overrule that when they ask for less than a minute. A wait that
// would end after the call's time is not begun: the failure comes back at once.
// [Client.Reauthenticate] alone is never tried again.
//
// # Connections
//
// All clients of a process that bring no transport share one, so that an app may
// make as many clients as it likes. It is a clone of [http.DefaultTransport] with
// two changes. It keeps up to 100 idle connections to a host rather than 2, so that
// a burst of calls over HTTP/1.1 does not dial new ones each time. And it sends
// pings over HTTP/2, so that a retry does not wait on a connection whose other end
// is gone. Proxies of the environment work as usual ([http.ProxyFromEnvironment]).
//
// http.DefaultTransport itself keeps its settings. Settings that an app makes there
// apply here too if it makes them before the first call, as that transport
// requires. An app or a test may also replace http.DefaultTransport, at any time:
// another [http.Transport] is cloned in the same way, and any other
// [http.RoundTripper], such as a stub or one that traces, is used as it is. See
// [WithHTTPClient] for a transport of your own.
//
// # Secrets
//
// The API key is in no error, even when Anchor's answer repeats it, and in nothing
// that is printed. Redirects are never followed, since the key would go along.
// What must not be logged (an identity token and its hash, a session's URLs, a
// proxy's password) is left out when its struct is printed, logged with slog or
// encoded as JSON. One way around that is open: fmt cannot ask a value that stands
// in an unexported field of another struct how to print it, and shows all of it.
package anchorhttp
