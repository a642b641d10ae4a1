-- Schema version 2 of connect's tables, for MySQL 8.0 and MariaDB 10.6 and
-- later.

-- When a flow began. 0 means unknown, as in rows that an older release writes.
ALTER TABLE connect_pending ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;

-- Disconnects: when a user was last disconnected. A flow that began before that
-- cannot be completed, even when it is bound afterwards.
CREATE TABLE IF NOT EXISTS connect_disconnects (
    application_id VARBINARY(255) NOT NULL,
    user_id        VARBINARY(255) NOT NULL,
    ended_at       BIGINT         NOT NULL,
    PRIMARY KEY (user_id, application_id),
    INDEX connect_disconnects_ended (ended_at)
) ENGINE=InnoDB;

-- It lists the applications.
ALTER TABLE connect_connections ADD INDEX connect_connections_application (application_id);

INSERT IGNORE INTO connect_schema (version) VALUES (2);
