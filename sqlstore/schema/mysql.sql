-- All of connect's tables in schema version 3, for MySQL 8.0.13 and MariaDB 10.6
-- and later.
-- Texts are UTF-8 in VARBINARY: the binary collations that both servers have
-- ignore spaces at the end. To read one: CONVERT(user_id USING utf8mb4)
-- Moments are microseconds since 1970-01-01 00:00:00 UTC. To read one:
-- FROM_UNIXTIME(expires_at / 1000000)

CREATE TABLE IF NOT EXISTS connect_schema (
    version INT NOT NULL PRIMARY KEY
) ENGINE=InnoDB;

-- Pending flows: what is known when an identity token is issued.
CREATE TABLE IF NOT EXISTS connect_pending (
    token_hash     VARBINARY(255)  NOT NULL PRIMARY KEY,
    application_id VARBINARY(255)  NOT NULL,
    user_id        VARBINARY(255)  NOT NULL,
    return_to      VARBINARY(1024) NOT NULL,
    issued_at      BIGINT          NOT NULL,
    expires_at     BIGINT          NOT NULL,
    spent          BOOLEAN         NOT NULL,
    identity_id    VARBINARY(255)  NOT NULL,
    begun_at       BIGINT          NOT NULL DEFAULT 0,
    actor_id       VARBINARY(255)  NOT NULL DEFAULT '',
    connection_id  VARBINARY(255)  NOT NULL DEFAULT '',
    adds           BOOLEAN         NOT NULL DEFAULT FALSE,
    label          VARBINARY(400)  NOT NULL DEFAULT '',
    INDEX connect_pending_user (user_id, application_id, actor_id, expires_at),
    INDEX connect_pending_expiry (expires_at)
) ENGINE=InnoDB;

-- Connections: the identities of each user. Those of one user and application have
-- different slots, counted from 0. If created_at is NULL, the connection began at
-- connected_at.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id VARBINARY(255) NOT NULL,
    user_id        VARBINARY(255) NOT NULL,
    identity_id    VARBINARY(255) NOT NULL UNIQUE,
    connected_at   BIGINT         NOT NULL,
    health         VARBINARY(16)  NOT NULL,
    health_at      BIGINT         NOT NULL,
    id             VARBINARY(255) NOT NULL DEFAULT (LEFT(SHA2(CONCAT(UUID(), RAND()), 256), 32)),
    actor_id       VARBINARY(255) NOT NULL DEFAULT '',
    label          VARBINARY(400) NOT NULL DEFAULT '',
    created_at     BIGINT         NULL,
    slot           INT            NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, application_id, slot),
    UNIQUE INDEX connect_connections_id (id),
    INDEX connect_connections_list (application_id, id)
) ENGINE=InnoDB;

-- Tasks: calls to Anchor that are still to be made. An identity has a tag task while
-- it is connected and a deletion afterwards, never both, so it is the key alone.
CREATE TABLE IF NOT EXISTS connect_tasks (
    identity_id    VARBINARY(255) NOT NULL PRIMARY KEY,
    kind           VARBINARY(16)  NOT NULL,
    application_id VARBINARY(255) NOT NULL,
    user_id        VARBINARY(255) NOT NULL,
    not_before     BIGINT         NOT NULL,
    attempts       INT            NOT NULL,
    INDEX connect_tasks_due (application_id, not_before)
) ENGINE=InnoDB;

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id VARBINARY(255) NOT NULL,
    user_id        VARBINARY(255) NOT NULL,
    ended_at       BIGINT         NOT NULL,
    PRIMARY KEY (user_id, application_id),
    INDEX connect_disconnects_ended (ended_at)
) ENGINE=InnoDB;

-- Fails on tables of an older version: run the numbered files after it instead.
INSERT IGNORE INTO connect_schema (version)
SELECT latest.version FROM (SELECT 1 AS version UNION ALL SELECT 2 UNION ALL SELECT 3) AS latest
WHERE (SELECT COUNT(slot) FROM connect_connections WHERE FALSE) = 0;
