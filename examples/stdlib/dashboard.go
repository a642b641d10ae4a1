package main

import (
	"fmt"
	"net/http"

	"github.com/anchorconnect/connect"
)

// maxConnections is the number of accounts of a kind that a user may connect.
const maxConnections = 3

// card is a kind of account on the dashboard.
type card struct {
	account
	Connections []connection
	CanAdd      bool
}

// connection is a connected account on the dashboard.
type connection struct {
	connect.Connection
	Name        string // the label, or a number
	NeedsSignIn bool
}

// dashboard shows the connected accounts and their recent events.
func (a *app) dashboard(w http.ResponseWriter, r *http.Request) {
	user, err := a.user(r)
	if err != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	var cards []card
	for _, account := range a.accounts {
		connections, err := a.connect.Application(account.Name).Connections(r.Context(), user.ID)
		if err != nil {
			a.internal(w, "cannot look up the connections", err)
			return
		}
		cards = append(cards, card{account, named(account, connections), len(connections) < maxConnections})
	}
	data := map[string]any{
		"SignedIn":      a.signedIn(r),
		"Owner":         user.ID,
		"Organisations": organisationsOf(a.signedIn(r)),
		"Cards":         cards,
		"JustNow":       r.URL.Query().Get("connected") == "true",
		"Audit":         a.audit.of(user.ID),
		"ControlURL":    a.controlURL,
	}
	if a.sandbox != nil {
		data["Site"] = a.sandbox.Site().URL()
		data["SiteAccounts"] = a.sandbox.Site().Accounts()
		data["OverviewURL"] = a.sandbox.OverviewURL()
	}
	a.render(w, http.StatusOK, "dashboard.html", data)
}

// named gives each connection a name that distinguishes it from the others.
func named(a account, connections []connect.Connection) []connection {
	var all []connection
	for i, c := range connections {
		name := c.Label
		if name == "" {
			name = fmt.Sprintf("%s account %d", a.Text, i+1)
		}
		all = append(all, connection{c, name, c.Health == connect.HealthNeedsSignIn})
	}
	return all
}
