package anchortest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// A test lets its application start a flow, and then signs the user in with one call.
func Example() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()

	// The application starts a flow.
	client := fake.Client()
	token, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/identity-callback/st4te")
	if err != nil {
		log.Fatal(err)
	}
	hostedURL := client.HostedPageURL(token.Token, "Ann")

	// The user signs in.
	callbackURL, err := fake.Approve(ctx, hostedURL)
	if err != nil {
		log.Fatal(err)
	}

	// The browser is redirected to the callback.
	u, err := url.Parse(callbackURL)
	if err != nil {
		log.Fatal(err)
	}
	identity, err := client.Identity(ctx, u.Query().Get("identity_id"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Path, u.Query().Get("status"))
	fmt.Println(identity.Name, identity.Status)
	// Output:
	// /identity-callback/st4te success
	// Ann validated
}

// Start serves a fake until Close. Its client needs no configuration.
func ExampleStart() {
	fake, err := anchortest.Start(anchortest.WithApplication("Shop", "https://shop.example"))
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	application, err := fake.Client().Application(context.Background(), fake.ApplicationID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(application.Name, application.URL)
	// Output:
	// Shop https://shop.example
}

// New serves a fake through the caller's own listener, here with TLS.
func ExampleNew() {
	fake := anchortest.New()
	server := httptest.NewTLSServer(fake)
	defer server.Close()
	fake.SetURL(server.URL)

	client := fake.Client(anchorhttp.WithHTTPClient(server.Client()))
	application, err := client.Application(context.Background(), fake.ApplicationID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(application.Name)
	// Output:
	// Example
}

// hostedPage starts a flow and returns the URL to which an application redirects the
// browser.
func hostedPage(ctx context.Context, fake *anchortest.Server) string {
	client := fake.Client()
	token, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/callback/st4te")
	if err != nil {
		log.Fatal(err)
	}
	return client.HostedPageURL(token.Token, "Ann")
}

// A sign-in with an identity whose status and metadata differ from the defaults.
func ExampleServer_Approve() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	hostedURL := hostedPage(ctx, fake)

	callbackURL, err := fake.Approve(ctx, hostedURL,
		anchortest.WithStatus(anchortest.StatusPending),
		anchortest.WithMetadata(map[string]any{"plan": "pro"}))
	if err != nil {
		log.Fatal(err)
	}
	identity := fake.Identities()[0]
	fmt.Println(identity.Name, identity.Status, identity.Metadata)
	fmt.Println(strings.ReplaceAll(callbackURL, identity.ID, "…"))

	_, err = fake.Approve(ctx, hostedURL)
	fmt.Println(errors.Is(err, anchortest.ErrTokenUsed))
	// Output:
	// Ann pending map[plan:pro]
	// https://app.example/callback/st4te?identity_id=…&status=success
	// true
}

func ExampleServer_Cancel() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()

	callbackURL, err := fake.Cancel(ctx, hostedPage(ctx, fake))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(callbackURL)
	// Output:
	// https://app.example/callback/st4te?status=cancelled&error=access_denied&error_description=The+user+cancelled.
}

func ExampleServer_Fail() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()

	callbackURL, err := fake.Fail(ctx, hostedPage(ctx, fake))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(callbackURL)
	fmt.Println("identities:", len(fake.Identities()))
	// Output:
	// https://app.example/callback/st4te?status=failed&error=authentication_failed&error_description=The+sign-in+failed.
	// identities: 0
}

// An identity's password was changed at the site, and nobody has noticed. A session
// reveals it.
func ExampleServer_KillSignIn() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	identity := fake.PutIdentity(anchortest.Identity{Name: "Ann"})

	fake.KillSignIn(identity.ID)
	_, err = fake.Client().CreateSession(ctx, anchorhttp.AuthenticatedSession(identity.ID))
	fmt.Println("needs sign-in:", anchorhttp.NeedsSignIn(err))

	if err := fake.Reauthenticate(ctx, identity.ID); err != nil {
		log.Fatal(err)
	}
	_, err = fake.Client().CreateSession(ctx, anchorhttp.AuthenticatedSession(identity.ID))
	fmt.Println("after Reauthenticate:", err)
	// Output:
	// needs sign-in: true
	// after Reauthenticate: <nil>
}

// Switch sets by name what a method sets, for programs that take a configuration.
func ExampleServer_Switch() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	if err := fake.Switch("sessions", "no-credit"); err != nil {
		log.Fatal(err)
	}
	_, err = fake.Client().CreateSession(context.Background(), anchorhttp.SessionRequest{})
	fmt.Println(err)
	fmt.Println(fake.Switch("gone", "410"))
	// Output:
	// anchorhttp: POST /v1/sessions: Anchor answered 402 Payment Required: Insufficient credits to allocate a new browser.
	// anchortest: the switch gone cannot be "410": use one of 400, 404, 422
}

// A call is stopped before it takes effect, so that a test can inspect the state there.
func ExampleServer_Hold() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	identity := fake.PutIdentity(anchortest.Identity{Name: "Ann"})

	hold := fake.Hold("DELETE", "/v1/identities/")
	deleted := make(chan error)
	go func() { deleted <- fake.Client().DeleteIdentity(ctx, identity.ID) }()
	if err := hold.Wait(ctx, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println("while it is held:", len(fake.Identities()))

	hold.Release()
	fmt.Println("its error:", <-deleted)
	fmt.Println("afterwards:", len(fake.Identities()))
	// Output:
	// while it is held: 1
	// its error: <nil>
	// afterwards: 0
}

// The service fails one call, then works again.
func ExampleServer_Fault() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	fake.Fault(anchortest.Fault{Path: "/v1/applications/", Times: 1, Status: 503})
	app, err := fake.Client().Application(context.Background(), fake.ApplicationID())
	fmt.Println(app.Name, err)
	fmt.Println(fake.CountCalls("GET", "/v1/applications/"), "calls")
	// Output:
	// Example <nil>
	// 2 calls
}

// A sign-in stops working, and the application receives an event.
func ExampleServer_SetWebhook() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("event:", r.Header.Get("Anchor-Event"))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer app.Close()
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()

	fake.SetWebhook(app.URL+"/webhooks/anchor", "whsec-1")
	identity := fake.PutIdentity(anchortest.Identity{Name: "Ann"})
	if err := fake.FailIdentity(ctx, identity.ID); err != nil {
		log.Fatal(err)
	}
	if err := fake.WaitDelivered(ctx); err != nil {
		log.Fatal(err)
	}
	for _, d := range fake.Deliveries() {
		fmt.Println("answer:", d.Status)
	}
	// Output:
	// event: identity.authentication_failed
	// answer: 204
}

// A test calls a handler with an event that is too old, without a server.
func ExampleServer_NewWebhookRequest() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := anchorhttp.ReadEvent(r, "whsec-1"); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	})

	fake := anchortest.New()
	fake.SetWebhook("", "whsec-1") // Signs requests, but sends nothing.
	r, err := fake.NewWebhookRequest(context.Background(), "/webhooks/anchor", anchortest.Event{
		Type:       anchorhttp.EventIdentityAuthenticated,
		IdentityID: "123e4567-e89b-12d3-a456-426614174000",
		SentAt:     time.Now().Add(-3 * time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 401 anchorhttp: the event was not signed within the last two minutes
}
