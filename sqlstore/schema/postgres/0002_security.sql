-- Schema version 2 of connect's tables, for PostgreSQL 12 and later.

-- When a flow began. 0 means unknown, as in rows that an older release writes.
ALTER TABLE connect_pending ADD COLUMN IF NOT EXISTS begun_at BIGINT NOT NULL DEFAULT 0;

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    ended_at       BIGINT           NOT NULL,
    PRIMARY KEY (user_id, application_id)
);

CREATE INDEX IF NOT EXISTS connect_disconnects_ended ON connect_disconnects (ended_at);

-- It lists the applications.
CREATE INDEX IF NOT EXISTS connect_connections_application ON connect_connections (application_id);

INSERT INTO connect_schema (version) VALUES (2) ON CONFLICT DO NOTHING;
