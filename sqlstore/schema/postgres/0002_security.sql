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

INSERT INTO connect_schema (version) VALUES (2) ON CONFLICT DO NOTHING;
