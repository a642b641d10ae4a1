-- The app's tables, in the words of SQLite; database.go says what PostgreSQL and
-- MySQL call TEXT(…). Moments are microseconds since 1970-01-01 00:00:00 UTC.

-- The table that was there before.
CREATE TABLE IF NOT EXISTS users (
    id   TEXT(255) NOT NULL PRIMARY KEY,
    name TEXT(255) NOT NULL UNIQUE
);

-- The accounts that users have connected, one for each application at Anchor.
-- A user who has one cannot be deleted: the identity at Anchor goes first.
CREATE TABLE IF NOT EXISTS accounts (
    user_id        TEXT(255) NOT NULL,
    application_id TEXT(255) NOT NULL,
    identity_id    TEXT(255) NOT NULL UNIQUE,
    connected_at   BIGINT    NOT NULL,
    health         TEXT(255) NOT NULL,
    health_at      BIGINT    NOT NULL,
    PRIMARY KEY (user_id, application_id),
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE RESTRICT
);

-- Starts that may come back from the hosted page.
-- UNIQUE stands where an index is meant: with the key at its end it holds for
-- any rows, and all three databases take it inside CREATE TABLE.
CREATE TABLE IF NOT EXISTS starts (
    token_hash     TEXT(255)  NOT NULL PRIMARY KEY,
    user_id        TEXT(255)  NOT NULL,
    application_id TEXT(255)  NOT NULL,
    return_to      TEXT(1024) NOT NULL,
    issued_at      BIGINT     NOT NULL,
    expires_at     BIGINT     NOT NULL,
    spent          BOOLEAN    NOT NULL,
    identity_id    TEXT(255)  NOT NULL,
    begun_at       BIGINT     NOT NULL,
    UNIQUE (user_id, application_id, expires_at, token_hash),
    UNIQUE (expires_at, token_hash),
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- Calls that are owed to Anchor. An identity is owed its tag or its deletion,
-- never both, so it is the key alone. They outlive the user: no foreign key.
CREATE TABLE IF NOT EXISTS tasks (
    identity_id    TEXT(255) NOT NULL PRIMARY KEY,
    kind           TEXT(255) NOT NULL,
    user_id        TEXT(255) NOT NULL,
    application_id TEXT(255) NOT NULL,
    not_before     BIGINT    NOT NULL,
    attempts       INTEGER   NOT NULL,
    UNIQUE (application_id, not_before, identity_id)
);

-- When users were disconnected. A flow that began before that cannot be completed,
-- even when it is bound afterwards. They outlive the user: no foreign key.
CREATE TABLE IF NOT EXISTS disconnects (
    user_id        TEXT(255) NOT NULL,
    application_id TEXT(255) NOT NULL,
    ended_at       BIGINT    NOT NULL,
    PRIMARY KEY (user_id, application_id, ended_at),
    UNIQUE (ended_at, user_id, application_id)
);
