-- Schema version 3 of connect's tables, for PostgreSQL 12 and later: several
-- connections of a user. Replicas of an older release go on working beside it while
-- no user has more than one. New columns have defaults for the rows that
-- they insert.

ALTER TABLE connect_pending
    ADD COLUMN actor_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN connection_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN adds BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN label TEXT COLLATE "C" NOT NULL DEFAULT '';

DROP INDEX connect_pending_user;

CREATE INDEX connect_pending_user ON connect_pending (user_id, application_id, actor_id, expires_at);

-- Those of one user and application have different slots, counted from 0. If
-- created_at is NULL, the connection began at connected_at. The random ids have
-- PostgreSQL write the table anew, which locks it for so long.
ALTER TABLE connect_connections
    ADD COLUMN id TEXT COLLATE "C" NOT NULL UNIQUE
        DEFAULT left(encode(sha256(convert_to(concat(random(), random(), clock_timestamp()), 'UTF8')), 'hex'), 32),
    ADD COLUMN actor_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN label TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN created_at BIGINT,
    ADD COLUMN slot INTEGER NOT NULL DEFAULT 0,
    DROP CONSTRAINT connect_connections_pkey,
    ADD CONSTRAINT connect_connections_pkey PRIMARY KEY (user_id, application_id, slot);

DROP INDEX connect_connections_application;

CREATE INDEX connect_connections_list ON connect_connections (application_id, id);

INSERT INTO connect_schema (version) VALUES (3) ON CONFLICT DO NOTHING;
