package connect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/anchorconnect/connect"
)

func ExampleConfig_publicURLs() {
	app := newDemoApp(func(config *connect.Config) {
		// docs: hosts
		config.PublicURL = "https://your-app.com"
		config.PublicURLs = []string{"https://your-app.de", "https://beta.your-app.com"}
		// docs: end
	})
	defer app.close()
	app.at("your-app.de")
	app.at("evil.example")
	// Output:
	// https://your-app.de/identity-callback/…
	// 400 wrong_origin
}

// at prints the callback of a flow that starts at a host.
func (a *demoApp) at(host string) {
	r, err := http.NewRequest(http.MethodPost, a.server.URL+"/connect", nil)
	if err != nil {
		panic(err)
	}
	r.Host = host
	res, err := a.browser.Do(r)
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		fmt.Println(res.StatusCode, connect.Explain(connect.ErrWrongOrigin).Code)
		return
	}
	callback, err := a.fake.Approve(context.Background(), res.Header.Get("Location"))
	if err != nil {
		panic(err)
	}
	fmt.Println(callback[:strings.LastIndex(callback, "/")] + "/…")
}

func ExampleConfig_publicURLOf() {
	domains := tenantTable{"shop.acme.example": "acme"}
	app := newDemoApp(func(config *connect.Config) {
		// docs: hosts
		config.PublicURL = "https://your-app.com"
		config.PublicURLOf = func(r *http.Request) (string, error) {
			domain, err := domains.lookUp(r.Context(), r.Host) // SELECT domain FROM tenants WHERE domain = $1
			if errors.Is(err, sql.ErrNoRows) {
				return "", connect.ErrWrongOrigin
			}
			if err != nil {
				return "", err // 503; the user can try again.
			}
			return "https://" + domain, nil
		}
		// docs: end
	})
	defer app.close()
	app.at("shop.acme.example")
	app.at("evil.example")
	fmt.Println(app.connect.Verify(context.Background()))
	// Output:
	// https://shop.acme.example/identity-callback/…
	// 400 wrong_origin
	// <nil>
}

// tenantTable is a table of the app's tenants by their domains.
type tenantTable map[string]string

func (t tenantTable) lookUp(_ context.Context, domain string) (string, error) {
	if _, ok := t[domain]; !ok {
		return "", sql.ErrNoRows
	}
	return domain, nil
}

func ExampleTenantUserID() {
	type member struct{ Tenant, ID, Name string }
	sessionOf := func(*http.Request) (*member, error) { return &member{"acme", "7", "Ada"}, nil }
	tenantOf := func(r *http.Request) string { tenant, _, _ := strings.Cut(r.Host, "."); return tenant }
	app := newDemoApp(func(config *connect.Config) {
		config.PublicURL = "https://your-app.com"
		config.PublicURLs = []string{"https://acme.your-app.com", "https://globex.your-app.com"}
		// docs: hosts
		config.User = func(r *http.Request) (connect.User, error) {
			member, err := sessionOf(r)
			if err != nil {
				return connect.User{}, err
			}
			if member == nil || member.Tenant != tenantOf(r) { // a session of another tenant does not count here
				return connect.User{}, connect.ErrNotSignedIn
			}
			return connect.User{ID: connect.TenantUserID(member.Tenant, member.ID), Name: member.Name}, nil
		}
		// docs: end
	})
	defer app.close()
	for _, host := range []string{"acme.your-app.com", "globex.your-app.com"} {
		r, err := http.NewRequest(http.MethodGet, app.server.URL+"/connect/status", nil)
		if err != nil {
			panic(err)
		}
		r.Host = host
		res, err := app.browser.Do(r)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Println(host, res.StatusCode)
	}

	ctx := context.Background()
	of := func(h *connect.Handler) error {
		// docs: hosts
		session, err := h.NewSession(ctx, connect.TenantUserID("acme", "7"))
		// docs: end
		_ = session
		return err
	}
	fmt.Println(of(app.connect))
	// Output:
	// acme.your-app.com 200
	// globex.your-app.com 401
	// connect: the user is not connected
}

func ExampleConfig_publicURLs_move() {
	app := newDemoApp(func(config *connect.Config) {
		// docs: hosts
		config.PublicURL = "https://new.example"
		config.PublicURLs = []string{"https://old.example"}
		// docs: end
	})
	defer app.close()
	mux, h := http.NewServeMux(), app.connect
	mux.Handle("/", app.mux)
	// docs: hosts
	mux.HandleFunc("old.example/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://new.example"+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
	mux.Handle("old.example/identity-callback/", h) // flows that started at the old domain
	// docs: end
	app.server.Config.Handler = mux
	for _, path := range []string{"/reports", "/identity-callback/STATE"} {
		r, err := http.NewRequest(http.MethodGet, app.server.URL+path, nil)
		if err != nil {
			panic(err)
		}
		r.Host = "old.example"
		res, err := app.browser.Do(r)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("Location"))
	}
	// Output:
	// 308 https://new.example/reports
	// 403
}
