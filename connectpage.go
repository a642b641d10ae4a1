package connect

import (
	"cmp"
	"net/http"
)

// connectPage shows the button. It never issues a token: a GET can be made by
// anybody who gets a link or an image in front of the user.
func (h *Handler) connectPage(w http.ResponseWriter, r *http.Request, a *Application) {
	if isFramed(r.Header) {
		a.fail(w, r, ErrFramed) // Its button could not do anything.
		return
	}
	returnTo := r.URL.Query().Get("return_to")
	if returnTo != "" && !isLocalPath(returnTo) {
		a.fail(w, r, ErrReturnTo)
		return
	}
	if clientOf(r) == clientHTMX {
		// A whole page with a policy of its own, not a piece of another one.
		sendTo(w, r, a.connectPage(returnTo))
		return
	}
	user, err := h.signedIn(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	connections, err := a.Connections(r.Context(), user.ID)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	// Under no-referrer a browser sends "Origin: null" with the form, which
	// older ones, without Sec-Fetch-Site, would be refused for. This address
	// holds nothing that the app's own pages may not know.
	w.Header().Set("Referrer-Policy", "same-origin")
	h.pages.render(w, http.StatusOK, connectName, a.newConnectPage(h.answerIn(w, r), user, connections, returnTo))
}

// newConnectPage describes the connect page of a user who has these connections.
func (a *Application) newConnectPage(l Locale, user User, connections []Connection, returnTo string) ConnectPage {
	oldest, connected := first(connections)
	page := ConnectPage{
		Locale:           l,
		Action:           a.connectURL(),
		LabelAction:      a.h.hosts.prefix + a.route(routeLabel).path(),
		DisconnectAction: a.h.hosts.prefix + a.route(routeDisconnect).path(),
		PageURL:          a.connectPage(returnTo),
		Application:      a.name,
		User:             user.Name,
		ReturnTo:         returnTo,
		Connected:        connected,
		NeedsSignIn:      connected && !oldest.works(),
		Several:          a.h.maxConnections > 1 || len(connections) > 1,
		CanAdd:           len(connections) < a.h.maxConnections,
	}
	for i, c := range connections {
		page.Accounts = append(page.Accounts, ConnectedAccount{
			ID:          c.ID,
			Number:      i + 1,
			Label:       c.Label,
			Since:       c.CreatedAt.UTC(),
			ConnectedAt: c.ConnectedAt.UTC(),
			NeedsSignIn: !c.works(),
		})
	}
	if page.Connected && !page.NeedsSignIn {
		page.KeepURL = cmp.Or(returnTo, a.h.successURL)
	}
	page.Title = page.title()
	return page
}

// title is what the page is about.
func (p ConnectPage) title() string {
	key := "connect.title"
	switch {
	case !p.Connected:
	case p.Several:
		key = "accounts.title"
	case p.NeedsSignIn:
		key = "again.title"
	default:
		key = "connected.title"
	}
	if p.Application == "" {
		return p.text(key)
	}
	return p.text(key+".of", "application", p.Application)
}
