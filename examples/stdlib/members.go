package main

import (
	"net/http"
	"slices"

	"github.com/anchorconnect/connect"
)

// An organisation owns accounts that all of its members use. A real app has its
// organisations in its database.
type organisation struct {
	ID      string // never that of a person: a person's has no colon
	Name    string
	Members []string
}

var organisations = []organisation{
	{ID: "organisation:engines", Name: "Analytical Engines Ltd", Members: []string{"ada", "grace"}},
}

// organisationsOf returns the organisations that a person is a member of.
func organisationsOf(person string) []organisation {
	var of []organisation
	for _, o := range organisations {
		if slices.Contains(o.Members, person) {
			of = append(of, o)
		}
	}
	return of
}

// connectUser is connect.Config.User. Whoever acts for an organisation connects and
// uses the organisation's accounts; everybody else their own.
func (a *app) connectUser() func(*http.Request) (connect.User, error) {
	signedIn := connect.SessionUser(a.sessions, sessionName, userKey)
	return func(r *http.Request) (connect.User, error) {
		user, err := signedIn(r)
		if err != nil {
			return connect.User{}, err
		}
		user.Name = user.ID // In this app the id is the name, too.
		session, _ := a.sessions.Get(r, sessionName)
		// The membership is looked up in each request: it may have ended.
		for _, o := range organisationsOf(user.ID) {
			if session.Values[actsForKey] == o.ID {
				return connect.User{ID: o.ID, Actor: user.ID, Name: user.ID + ", " + o.Name}, nil
			}
		}
		return user, nil
	}
}

// actFor changes whom the person acts for: an organisation, or nobody else.
func (a *app) actFor(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id := r.PostFormValue("organisation")
	isMember := slices.ContainsFunc(organisationsOf(a.person(r)), func(o organisation) bool { return o.ID == id })
	if id != "" && !isMember {
		http.Error(w, "You are not a member of it.", http.StatusForbidden)
		return
	}
	session, _ := a.sessions.Get(r, sessionName)
	session.Values[actsForKey] = id
	if err := session.Save(r, w); err != nil {
		a.internal(w, "save the session", err)
		return
	}
	http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
}

// person returns the name of who is signed in, or nothing.
func (a *app) person(r *http.Request) string {
	session, _ := a.sessions.Get(r, sessionName)
	person, _ := session.Values[userKey].(string)
	return person
}
