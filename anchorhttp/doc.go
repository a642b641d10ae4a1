// Package anchorhttp is a client for the part of Anchor's REST API that issues identity
// tokens, manages identities and opens browser sessions with them. It also verifies
// and reads webhook events.
//
//	client := anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"))
//	session, err := client.CreateSession(ctx, anchorhttp.AuthenticatedSession(identityID))
//
// # Errors
//
// The errors of a call are:
//
//   - [*Error], with the HTTP status, if Anchor refuses the call
//   - [ErrInvalidAnswer], if the answer is successful but malformed
//   - [ErrInvalidID], if an id is malformed, before anything is sent
//   - the error of [Client.Validate], if the key or a setting is unusable, before
//     anything is sent
//   - [context.DeadlineExceeded] or [context.Canceled], if the call runs out of time or
//     its context is canceled
//   - the error of the transport, if the connection fails
//
// An error about the context also wraps the last failure before it, if there was one.
// So errors.As for [*Error] distinguishes "Anchor answered 503 until the deadline"
// from "Anchor did not answer".
//
// [NeedsSignIn] reports whether a session was not opened because the user has to sign
// in again. [SignInOf] decides which statuses of an identity are good and which are
// bad. The Date of an [Error], a [Session] and an [Identity] is by Anchor's clock, like
// the times of events. So facts from several answers and events can be ordered.
//
// # Retries
//
// A call is retried, twice by default, after a failed connection, an attempt that timed
// out, and the statuses 408, 409, 429 and 5xx. The header x-should-retry overrides the
// status. The first wait is half a second. It doubles with each retry, up to 8 seconds,
// and up to a quarter is subtracted at random. The headers retry-after-ms and
// Retry-After override the wait. If a wait would end after the call's deadline, the
// call returns the failure immediately. [Client.Reauthenticate] is never retried.
//
// # Connections
//
// All clients of a process that are not given a transport share one, so an app
// may create as many clients as it likes. The shared transport is a clone of
// [http.DefaultTransport] with two changes:
//
//   - It keeps up to 100 idle connections per host instead of 2, so that a burst of
//     calls over HTTP/1.1 does not dial new ones each time.
//   - It sends pings over HTTP/2, so that a retry does not wait on a dead connection.
//
// The environment's proxies work as usual ([http.ProxyFromEnvironment]).
//
// http.DefaultTransport itself is not modified. Settings that an app makes on
// it apply here too if they are made before the first call, which is also when that
// transport requires them. An app or a test may replace http.DefaultTransport
// at any time. Another [http.Transport] is cloned in the same way. Any other
// [http.RoundTripper], such as a stub or one that traces, is used as it is. See
// [WithHTTPClient] to use your own transport.
//
// # Secrets
//
// The API key is never part of an error, even if Anchor's answer repeats it, or of
// anything printed. Redirects are never followed, because they would carry the key.
//
// Values that must not be logged are an identity token and its hash, a session's URLs
// and a proxy's password. They are left out when their struct is printed, logged with
// slog or encoded as JSON. There is one exception: fmt prints a struct in an unexported
// field of another struct completely, because it cannot call that field's methods.
package anchorhttp
