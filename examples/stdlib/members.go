package main

import (
	"net/http"
	"slices"

	"github.com/anchorconnect/connect"
)

// An organisation owns connected accounts that all of its members use. A real app keeps
// organisations in its database.
type organisation struct {
	ID      string // has a colon, so it is never a user's ID
	Name    string
	Members []string
}

var organisations = []organisation{
	{ID: "organisation:engines", Name: "Analytical Engines Ltd", Members: []string{"ada", "grace"}},
}

// organisationsOf returns the organisations that a user is a member of.
func organisationsOf(user string) []organisation {
	var of []organisation
	for _, o := range organisations {
		if slices.Contains(o.Members, user) {
			of = append(of, o)
		}
	}
	return of
}

// connectUser returns the app's connect.Config.User. A user who acts for an organisation
// connects and uses the organisation's accounts; any other user, their own.
func (a *app) connectUser() func(*http.Request) (connect.User, error) {
	signedIn := connect.SessionUser(a.sessions, sessionName, userKey)
	return func(r *http.Request) (connect.User, error) {
		user, err := signedIn(r)
		if err != nil {
			return connect.User{}, err
		}
		user.Name = user.ID // In this app the ID is also the name.
		session, _ := a.sessions.Get(r, sessionName)
		// Check the membership in each request: it may have ended.
		for _, o := range organisationsOf(user.ID) {
			if session.Values[actsForKey] == o.ID {
				return connect.User{ID: o.ID, Actor: user.ID, Name: user.ID + ", " + o.Name}, nil
			}
		}
		return user, nil
	}
}

// actFor selects the organisation that the user acts for, or none.
func (a *app) actFor(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id := r.PostFormValue("organisation")
	isMember := slices.ContainsFunc(organisationsOf(a.signedIn(r)), func(o organisation) bool { return o.ID == id })
	if id != "" && !isMember {
		http.Error(w, "You are not a member of this organisation.", http.StatusForbidden)
		return
	}
	session, _ := a.sessions.Get(r, sessionName)
	session.Values[actsForKey] = id
	if err := session.Save(r, w); err != nil {
		a.internal(w, "cannot save the session", err)
		return
	}
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// signedIn returns the name of the signed-in user, or "".
func (a *app) signedIn(r *http.Request) string {
	session, _ := a.sessions.Get(r, sessionName)
	name, _ := session.Values[userKey].(string)
	return name
}
