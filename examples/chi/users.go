package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/anchorconnect/connect/sqlstore"
)

// A user is a user of the app. ID never changes and is never reused, so it is connect's
// user ID too. Name is for display. IdentityID is the identity of the user's connection,
// or ""; the app's own queries and reports use it without calling connect.
type user struct{ ID, Name, IdentityID string }

// userByID returns the user with this ID, or sql.ErrNoRows.
func (db *database) userByID(ctx context.Context, id string) (user, error) {
	u := user{ID: id}
	err := db.queryRow(ctx, `SELECT name, identity_id FROM users WHERE id = ?`, id).Scan(&u.Name, &u.IdentityID)
	return u, err
}

// userNamed returns the user with this name. It creates the user if necessary.
func (db *database) userNamed(ctx context.Context, name string) (user, error) {
	if err := db.exec(ctx, db.insertNew(`users (id, name) VALUES (?, ?)`), rand.Text(), name); err != nil {
		return user{}, err
	}
	u := user{Name: name}
	err := db.queryRow(ctx, `SELECT id, identity_id FROM users WHERE name = ?`, name).Scan(&u.ID, &u.IdentityID)
	return u, err
}

// deleteUser deletes a user who has no connection. It returns errConnected if the user
// has one.
func (db *database) deleteUser(ctx context.Context, id string) error {
	if err := db.exec(ctx, `DELETE FROM users WHERE id = ? AND identity_id = ''`, id); err != nil {
		return err
	}
	_, err := db.userByID(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return errors.Join(errConnected, err)
}

var errConnected = errors.New("the user has connected an account in the meantime")

// follow copies the identity of a connection to users.identity_id. It runs in the
// transaction that changes the connection, so a crash cannot make the two differ.
func (db *database) follow(ctx context.Context, tx *sql.Tx, change sqlstore.Change) error {
	userID, identityID := change.After.UserID, change.After.IdentityID
	if change.Kind == sqlstore.ConnectionEnded {
		userID = change.Before.UserID
	}
	in := conn{tx, db.dialect}
	var id string
	if err := in.queryRow(ctx, `SELECT id FROM users WHERE id = ? FOR UPDATE`, userID).Scan(&id); err != nil {
		return err // If the user was deleted meanwhile, this rolls the connection back.
	}
	return in.exec(ctx, `UPDATE users SET identity_id = ? WHERE id = ?`, identityID, userID)
}
