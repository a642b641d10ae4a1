-- All of connect's tables in schema version 3, for PostgreSQL 12 and later.
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
    identity_id    TEXT COLLATE "C" NOT NULL,
    begun_at       BIGINT           NOT NULL DEFAULT 0,
    actor_id       TEXT COLLATE "C" NOT NULL DEFAULT '',
    connection_id  TEXT COLLATE "C" NOT NULL DEFAULT '',
    adds           BOOLEAN          NOT NULL DEFAULT FALSE,
    label          TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX IF NOT EXISTS connect_pending_user ON connect_pending (user_id, application_id, actor_id, expires_at);

CREATE INDEX IF NOT EXISTS connect_pending_expiry ON connect_pending (expires_at);

-- Connections: the identities of each user. Those of one user and application have
-- different slots, counted from 0. If created_at is NULL, the connection began at
-- connected_at. The user comes first in the key because it has the most values: the
-- inner pages of the index are then small, and stay in memory.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    identity_id    TEXT COLLATE "C" NOT NULL UNIQUE,
    connected_at   BIGINT           NOT NULL,
    health         TEXT COLLATE "C" NOT NULL,
    health_at      BIGINT           NOT NULL,
    id             TEXT COLLATE "C" NOT NULL UNIQUE
        DEFAULT left(encode(sha256(convert_to(concat(random(), random(), clock_timestamp()), 'UTF8')), 'hex'), 32),
    actor_id       TEXT COLLATE "C" NOT NULL DEFAULT '',
    label          TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at     BIGINT,
    slot           INTEGER          NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, application_id, slot)
);

CREATE INDEX IF NOT EXISTS connect_connections_list ON connect_connections (application_id, id);

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

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    ended_at       BIGINT           NOT NULL,
    PRIMARY KEY (user_id, application_id)
);

CREATE INDEX IF NOT EXISTS connect_disconnects_ended ON connect_disconnects (ended_at);

-- Row level security: it hides all rows from every role but the owner, superusers
-- and those with a policy, whatever a platform grants to the roles that it
-- publishes tables to.
ALTER TABLE connect_schema ENABLE ROW LEVEL SECURITY;

ALTER TABLE connect_pending ENABLE ROW LEVEL SECURITY;

ALTER TABLE connect_connections ENABLE ROW LEVEL SECURITY;

ALTER TABLE connect_tasks ENABLE ROW LEVEL SECURITY;

ALTER TABLE connect_disconnects ENABLE ROW LEVEL SECURITY;

-- It does not cover TRUNCATE and other rights that act on whole tables. Nobody
-- but the owner needs them.
DO $$ DECLARE given record; BEGIN
    FOR given IN
        SELECT c.oid::regclass AS name, acl.privilege_type AS privilege,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS role
        FROM pg_catalog.pg_class c, aclexplode(c.relacl) acl
        WHERE c.oid IN ('connect_schema'::regclass, 'connect_pending'::regclass, 'connect_connections'::regclass,
                'connect_tasks'::regclass, 'connect_disconnects'::regclass)
            AND acl.grantee <> c.relowner AND acl.privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP EXECUTE format('REVOKE %s ON %s FROM %s CASCADE', given.privilege, given.name, given.role); END LOOP; END $$;

-- Fails on tables of an older version: run the numbered files after it instead.
INSERT INTO connect_schema (version)
SELECT latest.version FROM (SELECT 1 AS version UNION ALL SELECT 2 UNION ALL SELECT 3) AS latest
WHERE (SELECT COUNT(slot) FROM connect_connections WHERE FALSE) = 0
ON CONFLICT DO NOTHING;
