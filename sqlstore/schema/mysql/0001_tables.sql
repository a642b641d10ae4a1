-- Schema version 1 of connect's tables, for MySQL 8.0 and MariaDB 10.6 and
-- later.
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
    INDEX connect_pending_user (user_id, application_id, expires_at),
    INDEX connect_pending_expiry (expires_at)
) ENGINE=InnoDB;

-- Connections: the one identity of each user, and whether it is signed in still.
-- The user comes first in the keys, as what tells rows apart soonest.
CREATE TABLE IF NOT EXISTS connect_connections (
    application_id VARBINARY(255) NOT NULL,
    user_id        VARBINARY(255) NOT NULL,
    identity_id    VARBINARY(255) NOT NULL UNIQUE,
    connected_at   BIGINT         NOT NULL,
    health         VARBINARY(16)  NOT NULL,
    health_at      BIGINT         NOT NULL,
    PRIMARY KEY (user_id, application_id)
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

INSERT IGNORE INTO connect_schema (version) VALUES (1);
