-- The app's table, in the words of SQLite; database.go says what PostgreSQL and
-- MySQL call TEXT(…). The tables of connect are sqlstore's.

-- identity_id is the identity of the user's connection, empty without one. It follows
-- what connect stores: see follow in users.go.
CREATE TABLE IF NOT EXISTS users (
    id          TEXT(255) NOT NULL PRIMARY KEY,
    name        TEXT(255) NOT NULL UNIQUE,
    identity_id TEXT(255) NOT NULL DEFAULT ''
);
