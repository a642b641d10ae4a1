package connect

import (
	"cmp"
	"net/http"
)

// connectPage answers GET /connect with the page with the button. It never issues a token:
// any link or image that a user sees can make a GET.
func (h *Handler) connectPage(w http.ResponseWriter, r *http.Request, a *Application) {
	if isFramed(r.Header) {
		a.fail(w, r, ErrFramed) // Its button would not work.
		return
	}
	returnTo := r.URL.Query().Get("return_to")
	if returnTo != "" && !isLocalPath(returnTo) {
		a.fail(w, r, ErrReturnTo)
		return
	}
	if clientOf(r) == clientHTMX {
		// The page has a policy of its own, so it cannot be a part of another page.
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
	// Under no-referrer a browser sends "Origin: null" with the form, for which older
	// browsers, without Sec-Fetch-Site, would be refused. This address has nothing that the
	// app's own pages may not learn.
	w.Header().Set("Referrer-Policy", "same-origin")
	h.pages.render(w, http.StatusOK, connectName, a.newConnectPage(h.answerIn(w, r), user, connections, returnTo))
}

// newConnectPage returns the data of the connect page for a user's connections.
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

// title returns the page's title.
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
