package anchortest_test

import (
	"context"
	"fmt"
	"log"
	"net/url"

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
