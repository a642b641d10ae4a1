-- Schema version 3 of connect's tables, for SQLite 3.37 and later: several
-- connections of a user. Replicas of an older release go on working beside it while
-- no user has more than one. New columns have defaults for the rows that
-- they insert.

ALTER TABLE connect_pending ADD COLUMN actor_id TEXT NOT NULL DEFAULT '';

ALTER TABLE connect_pending ADD COLUMN connection_id TEXT NOT NULL DEFAULT '';

ALTER TABLE connect_pending ADD COLUMN adds INTEGER NOT NULL DEFAULT FALSE;

ALTER TABLE connect_pending ADD COLUMN label TEXT NOT NULL DEFAULT '';

DROP INDEX connect_pending_user;

CREATE INDEX connect_pending_user ON connect_pending (user_id, application_id, actor_id, expires_at);

-- SQLite cannot change a primary key, so the table is made anew.
CREATE TABLE connect_connections_copy AS SELECT * FROM connect_connections;

DROP TABLE connect_connections;

-- Connections: the identities of each user. Those of one user and application have
-- different slots, counted from 0. If created_at is NULL, the connection began at
-- connected_at.
CREATE TABLE connect_connections (
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

INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
SELECT application_id, user_id, identity_id, connected_at, health, health_at FROM connect_connections_copy;

DROP TABLE connect_connections_copy;

CREATE INDEX connect_connections_list ON connect_connections (application_id, id);

-- Older releases write with ON CONFLICT (user_id, application_id), which needs this
-- index. The store drops it before it adds the first second connection of a user.
CREATE UNIQUE INDEX connect_connections_one ON connect_connections (user_id, application_id);

INSERT OR IGNORE INTO connect_schema (version) VALUES (3);
