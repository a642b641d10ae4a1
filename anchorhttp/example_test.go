package anchorhttp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
	"github.com/anchorconnect/connect/anchortest"
)

// signIn has somebody sign in, and returns the identity that comes of it.
func signIn(ctx context.Context, fake *anchortest.Server, name string) anchorhttp.Identity {
	client := fake.Client()
	token, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/identity-callback")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fake.Approve(ctx, client.HostedPageURL(token.Token, name)); err != nil {
		log.Fatal(err)
	}
	identities := fake.Identities()
	identity, err := client.Identity(ctx, identities[len(identities)-1].ID)
	if err != nil {
		log.Fatal(err)
	}
	return identity
}

// A browser that is signed in with an identity, and not longer there than needed.
func ExampleClient_CreateSession() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	client := fake.Client() // In an app: anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	identity := signIn(ctx, fake, "Ann")

	request := anchorhttp.AuthenticatedSession(identity.ID)
	request.Session.Timeout = &anchorhttp.SessionTimeout{MaxDuration: 10}
	session, err := client.CreateSession(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a browser to drive:", session.CDPURL != "")
	fmt.Println("with identities:", len(fake.Sessions()[0].IdentityIDs))
	// Output:
	// a browser to drive: true
	// with identities: 1
}

// What Anchor refuses is an [*anchorhttp.Error] with its status.
func ExampleError() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	fake.Fault(anchortest.Fault{Path: "/v1/sessions", Status: 402})

	const unknown = "0f2b1c1e-0000-4000-8000-000000000000"
	_, err = fake.Client().Identity(context.Background(), unknown)
	fmt.Println("not found:", anchorhttp.IsNotFound(err))

	_, err = fake.Client().CreateSession(context.Background(), anchorhttp.AuthenticatedSession(unknown))
	var refused *anchorhttp.Error
	if errors.As(err, &refused) {
		fmt.Println("status:", refused.StatusCode)
	}

	_, err = fake.Client().Identity(context.Background(), "../applications")
	fmt.Println("nothing was sent:", errors.Is(err, anchorhttp.ErrInvalidID))
	// Output:
	// not found: true
	// status: 402
	// nothing was sent: true
}

// The list is fetched page by page as the loop comes to it.
func ExampleClient_ApplicationIdentities() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	signIn(ctx, fake, "Ann")
	signIn(ctx, fake, "Ben")

	for identity, err := range fake.Client().ApplicationIdentities(ctx, fake.ApplicationID(), anchorhttp.IdentityFilter{Search: "Ben"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(identity.Name, identity.Status)
	}
	// Output:
	// Ben validated
}

// Signing in takes as long as a browser needs for it, so it has a client of its
// own.
func ExampleClient_Reauthenticate() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	identity := signIn(ctx, fake, "Ann")

	patient := fake.Client(anchorhttp.WithTimeout(3 * time.Minute))
	fmt.Println(patient.Reauthenticate(ctx, identity.ID))
	// Output:
	// <nil>
}

// A webhook of an app that wants events of all types.
func ExampleReadEvent() {
	const secret = "whsec_of_the_example"
	webhook := func(w http.ResponseWriter, r *http.Request) {
		event, err := anchorhttp.ReadEvent(r, secret)
		if err != nil {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		fmt.Println(event.Type, string(event.Data))
		w.WriteHeader(http.StatusNoContent)
	}

	fake := anchortest.New()
	fake.SetWebhook("", secret)
	r, err := fake.NewWebhookRequest(context.Background(), "/webhooks/anchor", anchortest.Event{Type: "session.completed"})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	webhook(w, r)
	fmt.Println(w.Code)
	// Output:
	// session.completed {}
	// 204
}

// Ids are checked before they become a part of a path.
func ExampleParseID() {
	id, ok := anchorhttp.ParseID("0F2B1C1E-0000-4000-8000-00000000000A")
	fmt.Println(id, ok)
	_, ok = anchorhttp.ParseID("../applications")
	fmt.Println(ok)
	// Output:
	// 0f2b1c1e-0000-4000-8000-00000000000a true
	// false
}
