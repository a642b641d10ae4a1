package anchorhttp_test

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

// signIn signs a user in on the hosted page, and returns the new identity.
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

// A fake Anchor stands in for the real one. An application passes New the API key of its
// project, usually from the environment, and needs no option.
func ExampleNew() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	client := anchorhttp.New(fake.APIKey(), anchorhttp.WithBaseURL(fake.URL()), anchorhttp.WithAppURL(fake.URL()))
	if err := client.Validate(); err != nil {
		log.Fatal(err)
	}
	application, err := client.Application(context.Background(), fake.ApplicationID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(application.Name, application.URL)
	// Output:
	// Example https://example.com
}

// Validate finds mistakes in the configuration when the application starts.
func ExampleClient_Validate() {
	fmt.Println(anchorhttp.New("").Validate() != nil)
	fmt.Println(anchorhttp.New("sk-key", anchorhttp.WithBaseURL("http://api.example")).Validate())
	// Output:
	// true
	// anchorhttp: the base URL "http://api.example" is not https, so secrets would cross the network in clear text: use https (http only with localhost or a loopback address)
}

// Redirect the user's browser to the hosted page. The callback URL carries a state, so
// that the application can verify who comes back.
func ExampleClient_CreateIdentityToken() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	client := fake.Client() // In an application: anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"))
	ctx := context.Background()

	token, err := client.CreateIdentityToken(ctx, fake.ApplicationID(), "https://app.example/callback/st4te")
	if err != nil {
		log.Fatal(err)
	}
	hostedURL := client.HostedPageURL(token.Token, "Ann")
	fmt.Println("valid for", token.ExpiresAt.Sub(token.IssuedAt).Round(time.Minute))

	callbackURL, err := fake.Approve(ctx, hostedURL) // The user signs in.
	if err != nil {
		log.Fatal(err)
	}
	u, err := url.Parse(callbackURL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Path, u.Query().Get("status"), u.Query().Has("identity_id"))
	fmt.Println("printed with the token:", strings.Contains(fmt.Sprint(token), token.Token))
	// Output:
	// valid for 15m0s
	// /callback/st4te success true
	// printed with the token: false
}

func ExampleClient_Identity() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx := context.Background()
	id := signIn(ctx, fake, "Ann").ID

	identity, err := fake.Client().Identity(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(identity.Name, identity.Source, identity.Status)
	if identity.SignIn() == anchorhttp.SignInBad {
		fmt.Println("the user has to sign in again")
	}
	// Output:
	// Ann https://example.com validated
}

// Send all of the metadata, because Anchor may replace the old metadata with the new.
func ExampleClient_UpdateIdentity() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()
	identity := signIn(ctx, fake, "Ann")

	metadata := identity.Metadata
	if metadata == nil {
		metadata = make(map[string]any)
	}
	metadata["plan"] = "pro"
	if err := client.UpdateIdentity(ctx, identity.ID, anchorhttp.IdentityUpdate{Metadata: metadata}); err != nil {
		log.Fatal(err)
	}
	updated, err := client.Identity(ctx, identity.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(updated.Name, updated.Metadata)
	// Output:
	// Ann map[plan:pro]
}

// Deleting an identity twice is not an error.
func ExampleClient_DeleteIdentity() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()
	identity := signIn(ctx, fake, "Ann")

	fmt.Println(client.DeleteIdentity(ctx, identity.ID))
	fmt.Println(client.DeleteIdentity(ctx, identity.ID))
	// Output:
	// <nil>
	// <nil>
}

func ExampleClient_Applications() {
	fake, err := anchortest.Start(anchortest.WithApplication("Shop", "https://shop.example"))
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	applications, err := fake.Client().Applications(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, application := range applications {
		fmt.Println(application.Name, application.URL)
	}
	// Output:
	// Shop https://shop.example
}

// Open a session that is signed in with an identity, for at most ten minutes.
func ExampleClient_CreateSession() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	client := fake.Client() // In an application: anchorhttp.New(os.Getenv("ANCHORBROWSER_API_KEY"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	identity := signIn(ctx, fake, "Ann")

	request := anchorhttp.AuthenticatedSession(identity.ID)
	request.Session.Timeout = &anchorhttp.SessionTimeout{MaxDuration: 10}
	session, err := client.CreateSession(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("CDP URL:", session.CDPURL != "")
	fmt.Println("identities:", len(fake.Sessions()[0].IdentityIDs))
	// Output:
	// CDP URL: true
	// identities: 1
}

// Open a session for one task of one user, with tags to find it by. It ends when the task
// ends, even if the task was canceled.
func ExampleClient_EndSession() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	identityID := signIn(context.Background(), fake, "Ann").ID

	task := func(ctx context.Context, client *anchorhttp.Client) error {
		// docs: a session
		request := anchorhttp.AuthenticatedSession(identityID)
		request.Session.Tags = []string{"user:ada", "task:monthly-report"}
		session, err := client.CreateSession(ctx, request)
		if err != nil {
			return err
		}
		defer client.EndSession(context.WithoutCancel(ctx), session.ID)
		// docs: end
		return nil
	}
	fmt.Println(task(context.Background(), fake.Client()))
	session := fake.Sessions()[0]
	fmt.Println(session.Tags, "ended:", !session.EndedAt.IsZero())
	// Output:
	// <nil>
	// [user:ada task:monthly-report] ended: true
}

// Anchor refuses a session because the saved sign-in no longer works.
func ExampleNeedsSignIn() {
	fake, err := anchortest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	ctx, client := context.Background(), fake.Client()
	identityID := signIn(ctx, fake, "Ann").ID
	fake.KillSignIn(identityID)

	_, err = client.CreateSession(ctx, anchorhttp.AuthenticatedSession(identityID))
	// docs: why a session was not opened
	var refused *anchorhttp.Error
	switch {
	case anchorhttp.NeedsSignIn(err):
		fmt.Println("ask the user to sign in again")
	case errors.As(err, &refused) && refused.StatusCode == http.StatusPaymentRequired:
		fmt.Println("buy credit")
	case errors.As(err, &refused) && refused.StatusCode == http.StatusTooManyRequests:
		fmt.Println("wait for", refused.RetryAfter)
	case err != nil:
		fmt.Println("try again later:", err)
	}
	// docs: end
	// Output:
	// ask the user to sign in again
}

// If Anchor refuses a call, the error is an [*anchorhttp.Error] with the HTTP status.
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

// Pages of the list are fetched when the loop reaches them.
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

// Signing in takes as long as a browser needs for it, so use a client with a longer
// timeout.
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

// A webhook that receives events of all types.
func ExampleReadEvent() {
	const secret = "whsec_of_the_example"
	// docs: events
	webhook := func(w http.ResponseWriter, r *http.Request) {
		event, err := anchorhttp.ReadEvent(r, secret)
		if err != nil {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		fmt.Println(event.Type, string(event.Data))
		w.WriteHeader(http.StatusNoContent)
	}
	// docs: end

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

// Validate an id before it becomes part of a path.
func ExampleParseID() {
	id, ok := anchorhttp.ParseID("0F2B1C1E-0000-4000-8000-00000000000A")
	fmt.Println(id, ok)
	_, ok = anchorhttp.ParseID("../applications")
	fmt.Println(ok)
	// Output:
	// 0f2b1c1e-0000-4000-8000-00000000000a true
	// false
}

func ExampleSignInOf() {
	for _, status := range []string{anchorhttp.StatusValidated, anchorhttp.StatusFailed, "new_status"} {
		fmt.Println(status, anchorhttp.SignInOf(status))
	}
	// Output:
	// validated good
	// failed bad
	// new_status unknown
}
