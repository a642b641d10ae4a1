package anchortest_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// A test lets its app start a flow, and then does with one call what the person
// would do on the hosted page.
func Example() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()

	// What an app does at the start.
	client := fake.Client()
	token, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/identity-callback/st4te")
	if err != nil {
		log.Fatal(err)
	}
	hostedURL := client.HostedPageURL(token.Token, "Ann")

	// What the person does.
	callbackURL, err := fake.Approve(ctx, hostedURL)
	if err != nil {
		log.Fatal(err)
	}

	// What the browser brings back.
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

// The service is down for one call, then answers again.
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

// A sign-in stops working, and the app is told. NewServer stands for the app.
func ExampleServer_SetWebhook() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the app is told:", r.Header.Get("Anchor-Event"))
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
		fmt.Println("the app answered:", d.Status)
	}
	// Output:
	// the app is told: identity.authentication_failed
	// the app answered: 204
}

// A handler is given an event that is too old, without a server.
func ExampleServer_NewWebhookRequest() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.ParseInt(r.Header.Get("Anchor-Timestamp"), 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)) > 2*time.Minute {
			w.WriteHeader(http.StatusBadRequest)
		}
	})

	fake := anchortest.New()
	fake.SetWebhook("", "whsec-1") // Nothing is sent, but requests are signed.
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
	fmt.Println(w.Code)
	// Output:
	// 400
}
