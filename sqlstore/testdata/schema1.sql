-- The statements of the last release with schema version 1, as they were sent.

-- sqlite pending
SELECT application_id, user_id, return_to, issued_at, expires_at, spent, identity_id
FROM connect_pending WHERE token_hash = ?

-- sqlite bind
INSERT INTO connect_pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
VALUES (?, ?, ?, ?, ?, ?, FALSE, '')
ON CONFLICT (token_hash) DO NOTHING

-- sqlite spendStart
UPDATE connect_pending SET identity_id = ?, spent = TRUE
WHERE token_hash = ? AND application_id = ? AND user_id = ? AND NOT spent AND expires_at > ?
	AND NOT EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = ? AND t.kind = 'delete')
	AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ? AND NOT (c.application_id = ? AND c.user_id = ?))

-- sqlite queueTasks
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
SELECT p.identity_id, 'tag', p.application_id, p.user_id, ?, 0
FROM connect_pending p WHERE p.token_hash = ?
UNION ALL
SELECT c.identity_id, 'delete', c.application_id, c.user_id, ?, 0
FROM connect_connections c WHERE c.application_id = ? AND c.user_id = ? AND c.identity_id <> ?
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0

-- sqlite putConnection
INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET
	identity_id = EXCLUDED.identity_id, connected_at = EXCLUDED.connected_at,
	health = EXCLUDED.health, health_at = EXCLUDED.health_at

-- sqlite connection
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = ? AND user_id = ?

-- sqlite connectionWith
SELECT application_id, user_id, connected_at, health, health_at FROM connect_connections WHERE identity_id = ?

-- sqlite setHealth
UPDATE connect_connections SET health = ?, health_at = ?
WHERE application_id = ? AND user_id = ? AND identity_id = ? AND connected_at = ? AND health = ? AND health_at = ?

-- sqlite spendStarts
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = ? AND user_id = ? AND (NOT spent OR identity_id <> '')

-- sqlite takeConnection
DELETE FROM connect_connections WHERE application_id = ? AND user_id = ?
RETURNING identity_id, connected_at, health, health_at

-- sqlite queueDeletion
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'delete', ?, ?, ?, 0)
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0

-- postgres pending
SELECT application_id, user_id, return_to, issued_at, expires_at, spent, identity_id
FROM connect_pending WHERE token_hash = $1

-- postgres bindAtOnce
WITH removed AS (
	DELETE FROM connect_pending WHERE token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE spent AND token_hash <> $1 AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND spent
			ORDER BY expires_at DESC OFFSET $7::bigint))
		FOR UPDATE SKIP LOCKED))
), made_spent AS (
	UPDATE connect_pending SET spent = TRUE WHERE NOT spent AND token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE NOT spent AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND NOT spent
			ORDER BY expires_at DESC OFFSET $7::bigint - 1))
		FOR UPDATE SKIP LOCKED))
)
INSERT INTO connect_pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
VALUES ($1, $2, $3, $4, $5, $6, FALSE, '')

-- postgres completeAtOnce
WITH start AS MATERIALIZED (
	SELECT application_id, user_id, expires_at, spent FROM connect_pending WHERE token_hash = $1
	FOR UPDATE
), tag AS (
	INSERT INTO connect_tasks AS task (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT $4, 'tag', application_id, user_id, $6::bigint, 0 FROM start
	WHERE application_id = $2 AND user_id = $3 AND NOT spent AND expires_at > $5
		AND NOT EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = $4 AND t.kind = 'delete')
		AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = $4 AND NOT (c.application_id = $2 AND c.user_id = $3))
	ON CONFLICT (identity_id) DO UPDATE SET
		application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
		not_before = EXCLUDED.not_before, attempts = 0
	WHERE task.kind = 'tag'
	RETURNING identity_id
), old AS MATERIALIZED (
	SELECT identity_id FROM connect_connections
	WHERE application_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM tag)
	FOR UPDATE
), changed AS (
	UPDATE connect_connections SET identity_id = $4, connected_at = $5, health = $7, health_at = $8
	WHERE application_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM old)
), added AS (
	INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
	SELECT $2, $3, identity_id, $5::bigint, $7, $8::bigint FROM tag WHERE NOT EXISTS (SELECT 1 FROM old)
), deletion AS (
	INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT identity_id, 'delete', $2, $3, $5::bigint, 0 FROM old WHERE identity_id <> $4
	ON CONFLICT (identity_id) DO UPDATE SET
		kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
		not_before = EXCLUDED.not_before, attempts = 0
)
UPDATE connect_pending SET spent = TRUE, identity_id = $4
WHERE token_hash = $1 AND EXISTS (SELECT 1 FROM tag)

-- postgres connection
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = $1 AND user_id = $2

-- postgres connectionWith
SELECT application_id, user_id, connected_at, health, health_at FROM connect_connections WHERE identity_id = $1

-- postgres setHealth
UPDATE connect_connections SET health = $1, health_at = $2
WHERE application_id = $3 AND user_id = $4 AND identity_id = $5 AND connected_at = $6 AND health = $7 AND health_at = $8

-- postgres spendStarts
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = $1 AND user_id = $2 AND (NOT spent OR identity_id <> '')

-- postgres takeConnection
DELETE FROM connect_connections WHERE application_id = $1 AND user_id = $2
RETURNING identity_id, connected_at, health, health_at

-- postgres queueDeletion
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES ($1, 'delete', $2, $3, $4, 0)
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0

-- mysql pending
SELECT application_id, user_id, return_to, issued_at, expires_at, spent, identity_id
FROM connect_pending WHERE token_hash = ?

-- mysql bind
INSERT IGNORE INTO connect_pending (token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id)
VALUES (?, ?, ?, ?, ?, ?, FALSE, '')

-- mysql spendStart
UPDATE connect_pending SET identity_id = ?, spent = TRUE
WHERE token_hash = ? AND application_id = ? AND user_id = ? AND NOT spent AND expires_at > ?
	AND NOT EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = ? AND t.kind = 'delete')
	AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ? AND NOT (c.application_id = ? AND c.user_id = ?))

-- mysql queueTasks
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
SELECT p.identity_id, 'tag', p.application_id, p.user_id, CAST(? AS SIGNED), 0
FROM connect_pending p WHERE p.token_hash = ?
UNION ALL
SELECT c.identity_id, 'delete', c.application_id, c.user_id, CAST(? AS SIGNED), 0
FROM connect_connections c WHERE c.application_id = ? AND c.user_id = ? AND c.identity_id <> ?
ON DUPLICATE KEY UPDATE
	kind = IF(connect_tasks.kind = 'delete', connect_tasks.kind, VALUES(kind)), application_id = VALUES(application_id), user_id = VALUES(user_id),
	not_before = VALUES(not_before), attempts = 0

-- mysql addOrReplace
INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
SELECT p.application_id, p.user_id, p.identity_id, CAST(? AS SIGNED), ?, CAST(? AS SIGNED)
FROM connect_pending p JOIN connect_tasks t ON t.identity_id = p.identity_id AND t.kind = 'tag'
WHERE p.token_hash = ?
ON DUPLICATE KEY UPDATE
	connected_at = IF(LAST_INSERT_ID(IF(
		connect_connections.application_id = VALUES(application_id) AND connect_connections.user_id = VALUES(user_id)
		AND (connect_connections.identity_id = VALUES(identity_id) OR EXISTS (
			SELECT 1 FROM connect_tasks d
			WHERE d.identity_id = connect_connections.identity_id AND d.kind = 'delete' AND d.not_before = ?)),
		2, 1)) = 2, VALUES(connected_at), connect_connections.connected_at),
	health = VALUES(health), health_at = VALUES(health_at), identity_id = VALUES(identity_id)

-- mysql connection
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = ? AND user_id = ?

-- mysql connectionWith
SELECT application_id, user_id, connected_at, health, health_at FROM connect_connections WHERE identity_id = ?

-- mysql setHealth
UPDATE connect_connections SET health = ?, health_at = ?
WHERE application_id = ? AND user_id = ? AND identity_id = ? AND connected_at = ? AND health = ? AND health_at = ?

-- mysql spendStarts
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = ? AND user_id = ? AND (NOT spent OR identity_id <> '')

-- mysql takeConnection
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = ? AND user_id = ?
FOR UPDATE

-- mysql dropConnection
DELETE FROM connect_connections WHERE application_id = ? AND user_id = ?

-- mysql queueDeletion
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'delete', ?, ?, ?, 0)
ON DUPLICATE KEY UPDATE
	kind = VALUES(kind), application_id = VALUES(application_id), user_id = VALUES(user_id),
	not_before = VALUES(not_before), attempts = 0
