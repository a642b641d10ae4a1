-- Schema version 3 of connect's tables, for MySQL 8.0.13 and MariaDB 10.6 and
-- later: several connections of a user. Replicas of an older release go on working
-- beside it while no user has more than one. New columns have defaults for the rows that
-- they insert.

ALTER TABLE connect_pending ADD COLUMN actor_id VARBINARY(255) NOT NULL DEFAULT '';

ALTER TABLE connect_pending ADD COLUMN connection_id VARBINARY(255) NOT NULL DEFAULT '';

ALTER TABLE connect_pending ADD COLUMN adds BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE connect_pending ADD COLUMN label VARBINARY(400) NOT NULL DEFAULT '';

ALTER TABLE connect_pending DROP INDEX connect_pending_user,
    ADD INDEX connect_pending_user (user_id, application_id, actor_id, expires_at);

-- With a binary log, a column cannot be added with a random default. The default is
-- set before the existing rows get their ids, so that none is inserted without one.
ALTER TABLE connect_connections ADD COLUMN id VARBINARY(255) NOT NULL DEFAULT '';

ALTER TABLE connect_connections ALTER COLUMN id SET DEFAULT (LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 32));

UPDATE connect_connections SET id = LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 32) WHERE id = '';

ALTER TABLE connect_connections ADD UNIQUE INDEX connect_connections_id (id);

ALTER TABLE connect_connections ADD COLUMN actor_id VARBINARY(255) NOT NULL DEFAULT '';

ALTER TABLE connect_connections ADD COLUMN label VARBINARY(400) NOT NULL DEFAULT '';

-- When it began. NULL means at connected_at.
ALTER TABLE connect_connections ADD COLUMN created_at BIGINT NULL;

-- The connections of one user and application have different slots, counted from 0.
ALTER TABLE connect_connections ADD COLUMN slot INT NOT NULL DEFAULT 0;

ALTER TABLE connect_connections DROP PRIMARY KEY, ADD PRIMARY KEY (user_id, application_id, slot);

ALTER TABLE connect_connections ADD INDEX connect_connections_list (application_id, id);

ALTER TABLE connect_connections DROP INDEX connect_connections_application;

INSERT IGNORE INTO connect_schema (version) VALUES (3);
