-- All of connect's tables in schema version 3, for SQLite 3.37 and later.
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
    identity_id    TEXT    NOT NULL,
    begun_at       INTEGER NOT NULL DEFAULT 0,
    actor_id       TEXT    NOT NULL DEFAULT '',
    connection_id  TEXT    NOT NULL DEFAULT '',
    adds           INTEGER NOT NULL DEFAULT FALSE,
    label          TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_pending_user ON connect_pending (user_id, application_id, actor_id, expires_at);

CREATE INDEX IF NOT EXISTS connect_pending_expiry ON connect_pending (expires_at);

-- Connections: the identities of each user. Those of one user and application have
-- different slots, counted from 0. If created_at is NULL, the connection began at
-- connected_at.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    identity_id    TEXT    NOT NULL UNIQUE,
    connected_at   INTEGER NOT NULL,
    health         TEXT    NOT NULL,
    health_at      INTEGER NOT NULL,
    id             TEXT    NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))),
    actor_id       TEXT    NOT NULL DEFAULT '',
    label          TEXT    NOT NULL DEFAULT '',
    created_at     INTEGER,
    slot           INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, application_id, slot)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_connections_list ON connect_connections (application_id, id);

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

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    ended_at       INTEGER NOT NULL,
    PRIMARY KEY (user_id, application_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_disconnects_ended ON connect_disconnects (ended_at);

-- Fails on tables of an older version: run the numbered files after it instead.
INSERT OR IGNORE INTO connect_schema (version)
SELECT latest.version FROM (SELECT 1 AS version UNION ALL SELECT 2 UNION ALL SELECT 3) AS latest
WHERE (SELECT COUNT(slot) FROM connect_connections WHERE FALSE) = 0;
