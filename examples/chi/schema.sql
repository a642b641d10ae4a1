-- The app's table, for SQLite. database.go replaces TEXT(…) for PostgreSQL and MySQL.
-- sqlstore creates connect's tables.

-- identity_id is the identity of the user's connection, or ''. The hook follow in
-- users.go updates it.
CREATE TABLE IF NOT EXISTS users (
    id          TEXT(255) NOT NULL PRIMARY KEY,
    name        TEXT(255) NOT NULL UNIQUE,
    identity_id TEXT(255) NOT NULL DEFAULT ''
);
