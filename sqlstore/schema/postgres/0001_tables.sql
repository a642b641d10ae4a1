-- Schema version 1 of connect's tables, for PostgreSQL 12 and later.
-- Texts compare byte by byte whatever the database's collation.
-- Moments are microseconds since 1970-01-01 00:00:00 UTC. To read one:
-- to_timestamp(expires_at / 1e6)

CREATE TABLE IF NOT EXISTS connect_schema (
    version INTEGER NOT NULL PRIMARY KEY
);

-- Pending flows: what is known when an identity token is issued.
CREATE TABLE IF NOT EXISTS connect_pending (
    token_hash     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    return_to      TEXT COLLATE "C" NOT NULL,
    issued_at      BIGINT           NOT NULL,
    expires_at     BIGINT           NOT NULL,
    spent          BOOLEAN          NOT NULL,
    identity_id    TEXT COLLATE "C" NOT NULL
);

CREATE INDEX IF NOT EXISTS connect_pending_user ON connect_pending (user_id, application_id, expires_at);

CREATE INDEX IF NOT EXISTS connect_pending_expiry ON connect_pending (expires_at);

-- Connections: the one identity of each user, and whether it is signed in still.
-- The user comes first in the keys, as what tells rows apart soonest: the inner
-- pages of an index are then small, and stay in memory.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    identity_id    TEXT COLLATE "C" NOT NULL UNIQUE,
    connected_at   BIGINT           NOT NULL,
    health         TEXT COLLATE "C" NOT NULL,
    health_at      BIGINT           NOT NULL,
    PRIMARY KEY (user_id, application_id)
);

-- Tasks: calls to Anchor that are still to be made. An identity has a tag task while
-- it is connected and a deletion afterwards, never both, so it is the key alone.
CREATE TABLE IF NOT EXISTS connect_tasks (
    identity_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind           TEXT COLLATE "C" NOT NULL,
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    not_before     BIGINT           NOT NULL,
    attempts       INTEGER          NOT NULL
);

CREATE INDEX IF NOT EXISTS connect_tasks_due ON connect_tasks (application_id, not_before);

INSERT INTO connect_schema (version) VALUES (1) ON CONFLICT DO NOTHING;
