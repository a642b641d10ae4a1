-- Schema version 1 of connect's tables, for SQLite 3.37 and later.
-- Moments are microseconds since 1970-01-01 00:00:00 UTC. To read one:
-- datetime(expires_at / 1000000, 'unixepoch')

CREATE TABLE IF NOT EXISTS connect_schema (
    version INTEGER NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Pending flows: what is known when an identity token is issued.
CREATE TABLE IF NOT EXISTS connect_pending (
    token_hash     TEXT    NOT NULL PRIMARY KEY,
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    return_to      TEXT    NOT NULL,
    issued_at      INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    spent          INTEGER NOT NULL,
    identity_id    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_pending_user ON connect_pending (user_id, application_id, expires_at);

CREATE INDEX IF NOT EXISTS connect_pending_expiry ON connect_pending (expires_at);

-- Connections: the one identity of each user, and whether it is signed in still.
-- The user comes first in the keys, as what tells rows apart soonest.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    identity_id    TEXT    NOT NULL UNIQUE,
    connected_at   INTEGER NOT NULL,
    health         TEXT    NOT NULL,
    health_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, application_id)
) STRICT, WITHOUT ROWID;

-- Tasks: calls to Anchor that are still to be made. An identity has a tag task while
-- it is connected and a deletion afterwards, never both, so it is the key alone.
CREATE TABLE IF NOT EXISTS connect_tasks (
    identity_id    TEXT    NOT NULL PRIMARY KEY,
    kind           TEXT    NOT NULL,
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    not_before     INTEGER NOT NULL,
    attempts       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_tasks_due ON connect_tasks (application_id, not_before);

INSERT OR IGNORE INTO connect_schema (version) VALUES (1);
