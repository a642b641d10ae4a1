package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
)

// A user of the app. ID never changes and is never given to somebody else, so it
// is what connect knows the user by; Name is for people to read.
type user struct{ ID, Name string }

// userByID returns the user with this id, or sql.ErrNoRows.
func (db *database) userByID(ctx context.Context, id string) (user, error) {
	u := user{ID: id}
	err := db.queryRow(ctx, `SELECT name FROM users WHERE id = ?`, id).Scan(&u.Name)
	return u, err
}

// userNamed returns the user of this name, who is made when there is none.
func (db *database) userNamed(ctx context.Context, name string) (user, error) {
	return inTx(ctx, db, func(tx conn) (user, error) {
		u := user{Name: name}
		err := tx.queryRow(ctx, `SELECT id FROM users WHERE name = ?`, name).Scan(&u.ID)
		if !errors.Is(err, sql.ErrNoRows) {
			return u, err
		}
		u.ID = rand.Text()
		return u, tx.exec(ctx, `INSERT INTO users (id, name) VALUES (?, ?)`, u.ID, u.Name)
	})
}

// deleteUser deletes a user, which is an error while an account is connected.
func (db *database) deleteUser(ctx context.Context, id string) error {
	return db.exec(ctx, `DELETE FROM users WHERE id = ?`, id)
}
