-- Schema version 2 of connect's tables, for SQLite 3.37 and later.

-- When a flow began. 0 means unknown, as in rows that an older release writes.
ALTER TABLE connect_pending ADD COLUMN begun_at INTEGER NOT NULL DEFAULT 0;

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    ended_at       INTEGER NOT NULL,
    PRIMARY KEY (user_id, application_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connect_disconnects_ended ON connect_disconnects (ended_at);

-- It lists the applications.
CREATE INDEX IF NOT EXISTS connect_connections_application ON connect_connections (application_id);

INSERT OR IGNORE INTO connect_schema (version) VALUES (2);
