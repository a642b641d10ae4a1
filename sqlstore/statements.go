package sqlstore

import (
	"strconv"
	"strings"
)

// statements are the SQL texts that a store sends. A text that a dialect does not need is
// empty.
type statements struct {
	pending, spend, sweep string

	// bindAtOnce is Bind in one statement, on PostgreSQL. Elsewhere flowsOf reads the
	// older flows, bind adds the new one, and removeSome and spendSome make room. Their
	// texts end before the list of token hashes.
	bindAtOnce, flowsOf, bind, removeSome, spendSome string

	// completeAtOnce is Complete in one statement, on PostgreSQL without a hook.
	// Otherwise completeFlow spends the flow, lockConnections and facts read what decides
	// the call, addConnection or renewConnection stores the connection, and queueDeletion,
	// dropTag and queueTag queue the tasks. dropIndexOne precedes addConnection on SQLite.
	completeAtOnce, completeFlow, lockConnections, facts string
	addConnection, renewConnection, dropTag, queueTag    string
	dropIndexOne                                         string

	// connections reads a user's connections, connectionWith the one with an identity,
	// and list and listHealth a page of an application's. changeConnection sets health and
	// label if the connection is still as it was read.
	connections, connectionWith, withIdentities, list, listHealth, changeConnection string

	// Disconnect is recordDisconnect, spendFlows or spendFlowsFor, lockConnections,
	// dropConnection and queueDeletion. forgetDisconnects is the second statement of
	// Sweep.
	recordDisconnect, spendFlows, spendFlowsFor, dropConnection, queueDeletion, forgetDisconnects string

	// nextApplication returns the application after a given one, or NULL.
	applicationsOf, nextApplication string

	// Queue is lockConnectionWith and replaceTag for a tag, after beginWriting on SQLite,
	// and queueDeletion and isConnected for a deletion.
	beginWriting, lockConnectionWith, replaceTag, isConnected string

	// claimAtOnce is Claim in one statement, on PostgreSQL. Elsewhere due returns a row if
	// a task is due, pick locks tasks and lease sets their new NotBefore. Its text ends
	// before the list of identities. claimAtOnce and pick return the old NotBefore and the
	// new Attempts.
	claimAtOnce, due, pick, lease string
	done, postpone                string
}

// selectConnection begins every statement that reads connections. scanConnection reads its
// columns.
const selectConnection = `
SELECT id, application_id, user_id, actor_id, identity_id, label, COALESCE(created_at, connected_at), connected_at, health, health_at, slot
FROM connect_connections `

// statementsFor returns the statements of a dialect.
func statementsFor(d Dialect, prefix string) statements {
	s := statements{
		pending: `
SELECT application_id, user_id, actor_id, connection_id, adds, label, return_to, begun_at, issued_at, expires_at, spent, identity_id
FROM connect_pending WHERE token_hash = ?`,

		spend: `
UPDATE connect_pending SET spent = TRUE WHERE token_hash = ? AND NOT spent`,

		completeFlow: `
UPDATE connect_pending SET spent = TRUE, identity_id = ? WHERE token_hash = ? AND NOT spent`,

		facts: `
SELECT p.application_id, p.user_id, p.actor_id, p.connection_id, p.adds, p.expires_at, p.spent, p.identity_id,
	` + disconnected + `,
	EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = ? AND t.kind = 'delete'),
	EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ? AND NOT (c.application_id = ? AND c.user_id = ?))
FROM connect_pending p WHERE p.token_hash = ?`,

		addConnection: `
INSERT INTO connect_connections (id, application_id, user_id, actor_id, identity_id, label, created_at, connected_at, health, health_at, slot)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,

		renewConnection: `
UPDATE connect_connections SET actor_id = ?, identity_id = ?, label = ?, created_at = ?, connected_at = ?, health = ?, health_at = ?
WHERE application_id = ? AND user_id = ? AND slot = ?`,

		dropTag: `
DELETE FROM connect_tasks WHERE identity_id = ? AND kind = 'tag'`,

		queueTag: `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'tag', ?, ?, ?, 0)`,

		connections: selectConnection + `WHERE application_id = ? AND user_id = ?`,

		// The order prevents deadlocks.
		lockConnections: selectConnection + `WHERE application_id = ? AND user_id = ?
ORDER BY user_id, application_id, slot
FOR UPDATE`,

		connectionWith: selectConnection + `WHERE identity_id = ?`,

		withIdentities: selectConnection + `WHERE identity_id IN `,

		lockConnectionWith: selectConnection + `WHERE identity_id = ?
FOR UPDATE`,

		list: selectConnection + `WHERE application_id = ? AND id > ?
ORDER BY id LIMIT ?`,

		listHealth: selectConnection + `WHERE application_id = ? AND id > ? AND health = ?
ORDER BY id LIMIT ?`,

		// Everything that can change is compared, so the caller knows the row before and
		// after.
		changeConnection: `
UPDATE connect_connections SET health = ?, health_at = ?, label = ?
WHERE application_id = ? AND user_id = ? AND id = ?
	AND actor_id = ? AND identity_id = ? AND connected_at = ? AND health = ? AND health_at = ? AND label = ?`,

		dropConnection: `
DELETE FROM connect_connections WHERE application_id = ? AND user_id = ? AND id = ?`,

		// A completed flow loses its identity, so that a reload is not successful any more.
		spendFlows: `
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = ? AND user_id = ? AND (NOT spent OR identity_id <> '')`,

		// The flows that could renew the connection, and the one that was completed with
		// its identity.
		spendFlowsFor: `
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = ? AND user_id = ? AND (NOT spent OR identity_id <> '')
	AND (connection_id = ? OR connection_id = '' AND NOT adds OR identity_id = (
		SELECT c.identity_id FROM connect_connections c WHERE c.application_id = ? AND c.user_id = ? AND c.id = ?))`,

		// The deletion replaces the tag.
		queueDeletion: `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'delete', ?, ?, ?, 0)` + replacingTask,

		replaceTag: `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'tag', ?, ?, ?, 0)` + replacingTask,

		isConnected: `
SELECT EXISTS (SELECT 1 FROM connect_connections WHERE identity_id = ?)`,

		applicationsOf: `
SELECT application_id FROM connect_connections WHERE user_id = ?
UNION
SELECT application_id FROM connect_pending WHERE user_id = ? AND NOT spent`,

		nextApplication: `
SELECT MIN(application_id) FROM (
	SELECT MIN(application_id) AS application_id FROM connect_connections WHERE application_id > ?
	UNION ALL
	SELECT MIN(application_id) FROM connect_tasks WHERE application_id > ?
) AS candidates`,

		done: `
DELETE FROM connect_tasks WHERE identity_id = ? AND kind = ?`,

		postpone: `
UPDATE connect_tasks SET not_before = ? WHERE identity_id = ? AND kind = ?`,
	}

	switch d {
	case SQLite:
		s.forSQLite()
	case PostgreSQL:
		s.forPostgreSQL()
	case MySQL:
		s.forMySQL()
	}
	for _, text := range s.all() {
		*text = strings.TrimSpace(strings.ReplaceAll(*text, defaultPrefix, prefix))
		if d == PostgreSQL {
			*text = numbered(*text)
		}
	}
	return s
}

// all returns pointers to all texts.
func (s *statements) all() []*string {
	return []*string{
		&s.pending, &s.spend, &s.sweep,
		&s.bindAtOnce, &s.flowsOf, &s.bind, &s.removeSome, &s.spendSome,
		&s.completeAtOnce, &s.completeFlow, &s.lockConnections, &s.facts,
		&s.addConnection, &s.renewConnection, &s.dropTag, &s.queueTag, &s.dropIndexOne,
		&s.connections, &s.connectionWith, &s.withIdentities, &s.list, &s.listHealth, &s.changeConnection,
		&s.recordDisconnect, &s.spendFlows, &s.spendFlowsFor, &s.dropConnection, &s.queueDeletion, &s.forgetDisconnects,
		&s.applicationsOf, &s.nextApplication,
		&s.beginWriting, &s.lockConnectionWith, &s.replaceTag, &s.isConnected,
		&s.claimAtOnce, &s.due, &s.pick, &s.lease, &s.done, &s.postpone,
	}
}

// numbered replaces each ? with PostgreSQL's $1, $2 and so on. No text has a question mark
// that is not a parameter.
func numbered(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// disconnected is the condition that the flow p began before a Disconnect of its user. An
// unknown begun_at is 0.
const disconnected = `EXISTS (
		SELECT 1 FROM connect_disconnects d
		WHERE d.application_id = p.application_id AND d.user_id = p.user_id AND p.begun_at <> 0 AND p.begun_at < d.ended_at)`

// replacingTask ends an INSERT that replaces the task of an identity. MySQL has another
// syntax.
const replacingTask = `
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0`

// Texts that SQLite and MySQL share.
const (
	due = `
SELECT 1 FROM connect_tasks WHERE application_id = ? AND not_before <= ? LIMIT 1`

	flowsOf = `
SELECT token_hash, spent FROM connect_pending
WHERE application_id = ? AND user_id = ? AND actor_id = ? ORDER BY expires_at DESC`

	removeSome = `
DELETE FROM connect_pending WHERE application_id = ? AND user_id = ? AND spent AND token_hash IN `

	spendSome = `
UPDATE connect_pending SET spent = TRUE WHERE application_id = ? AND user_id = ? AND NOT spent AND token_hash IN `

	bindInto = ` INTO connect_pending
	(token_hash, application_id, user_id, actor_id, connection_id, adds, label, return_to, begun_at, issued_at, expires_at, spent, identity_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, FALSE, '')`
)

// forSQLite adds the texts for SQLite. It has one writer at a time, so after its first
// write a transaction needs no locks.
func (s *statements) forSQLite() {
	s.flowsOf, s.removeSome, s.spendSome, s.due = flowsOf, removeSome, spendSome, due
	s.lockConnections, s.lockConnectionWith = s.connections, s.connectionWith

	s.bind = `
INSERT` + bindInto + `
ON CONFLICT (token_hash) DO NOTHING`

	s.sweep = `
DELETE FROM connect_pending WHERE token_hash IN (
	SELECT token_hash FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`

	// The migration keeps it for older releases: see schema/sqlite/0003_accounts.sql.
	s.dropIndexOne = `
DROP INDEX IF EXISTS connect_connections_one`

	s.recordDisconnect = `
INSERT INTO connect_disconnects (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET ended_at = MAX(ended_at, EXCLUDED.ended_at)`

	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE (user_id, application_id) IN (
	SELECT user_id, application_id FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?)`

	// A write that changes nothing makes the transaction the writer.
	s.beginWriting = `
UPDATE connect_tasks SET attempts = attempts WHERE FALSE`

	// A transaction on SQLite must begin with a write. This one leaves not_before as it
	// was, and lease replaces it.
	s.pick = `
UPDATE connect_tasks SET attempts = attempts + 1 WHERE identity_id IN (
	SELECT identity_id FROM connect_tasks WHERE application_id = ? AND not_before <= ? ORDER BY not_before LIMIT ?)
RETURNING identity_id, kind, application_id, user_id, not_before, attempts`

	s.lease = `
UPDATE connect_tasks SET not_before = ? WHERE identity_id IN `
}

// forPostgreSQL adds the texts for PostgreSQL. Those that use a parameter twice number
// their parameters.
func (s *statements) forPostgreSQL() {
	s.sweep = `
DELETE FROM connect_pending WHERE token_hash = ANY (ARRAY(
	SELECT token_hash FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?
	FOR UPDATE SKIP LOCKED))`

	s.recordDisconnect = `
INSERT INTO connect_disconnects AS d (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET ended_at = GREATEST(d.ended_at, EXCLUDED.ended_at)`

	// A ctid is the location of a row. A row that was changed meanwhile has another one,
	// and is not deleted.
	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?
	FOR UPDATE SKIP LOCKED))`

	// Every part sees the flows as they were when the statement began, without the new
	// one. Flows that another transaction has locked are skipped until the next time. A
	// flow with the new token hash is not removed: it must fail as a duplicate key.
	s.bindAtOnce = `
WITH removed AS (
	DELETE FROM connect_pending WHERE token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE spent AND token_hash <> $1 AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND actor_id = $4 AND spent
			ORDER BY expires_at DESC OFFSET $12::bigint))
		FOR UPDATE SKIP LOCKED))
), made_spent AS (
	UPDATE connect_pending SET spent = TRUE WHERE NOT spent AND token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE NOT spent AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND actor_id = $4 AND NOT spent
			ORDER BY expires_at DESC OFFSET $12::bigint - 1))
		FOR UPDATE SKIP LOCKED))
)
INSERT INTO connect_pending
	(token_hash, application_id, user_id, actor_id, connection_id, adds, label, return_to, begun_at, issued_at, expires_at, spent, identity_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, FALSE, '')`

	// Every part sees the tables as they were when the statement began. Locks and unique
	// keys guard against changes since then, in this order:
	//
	//  - flow locks the flow, and returns its current state. A Disconnect that is not
	//    visible yet finds the flow and waits for it.
	//  - mine locks the user's connections, and returns their current state. The join in
	//    tag makes it run before any write, so the order of locks is that of Disconnect.
	//  - place is the connection to renew, or a free slot: see facts.place. If it is
	//    empty, the other parts do nothing.
	//  - tag does not replace a deletion. If it is empty, the other parts do nothing, and
	//    the caller reads the reason.
	//  - A connection that mine does not see yet has the same slot as added, and another
	//    user's has the same identity as added or renewed. Either is a duplicate key,
	//    which undoes the statement, and the caller begins again.
	s.completeAtOnce = `
WITH flow AS MATERIALIZED (
	SELECT application_id, user_id, actor_id, connection_id, adds, begun_at, expires_at, spent FROM connect_pending WHERE token_hash = $1
	FOR UPDATE
), mine AS MATERIALIZED (
	SELECT id, identity_id, slot FROM connect_connections
	WHERE application_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM flow WHERE NOT spent)
	ORDER BY user_id, application_id, slot
	FOR UPDATE
), place AS MATERIALIZED (
	SELECT m.slot, m.id, m.identity_id, TRUE AS renews
	FROM flow p JOIN mine m ON CASE
		WHEN p.connection_id <> '' THEN m.id = p.connection_id AND NOT EXISTS (SELECT 1 FROM mine o WHERE o.identity_id = $4 AND o.id <> p.connection_id)
		WHEN EXISTS (SELECT 1 FROM mine WHERE identity_id = $4) THEN m.identity_id = $4
		ELSE NOT p.adds AND (SELECT COUNT(*) FROM mine) = 1 END
	UNION ALL
	SELECT (SELECT MIN(n) FROM generate_series(0, (SELECT COUNT(*) FROM mine)::integer) n WHERE n NOT IN (SELECT slot FROM mine)), '', '', FALSE
	FROM flow p
	WHERE p.connection_id = '' AND NOT EXISTS (SELECT 1 FROM mine WHERE identity_id = $4)
		AND (SELECT COUNT(*) FROM mine) < CASE WHEN p.adds THEN $13::bigint ELSE 1 END
), tag AS (
	INSERT INTO connect_tasks AS task (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT $4, 'tag', p.application_id, p.user_id, $6::bigint, 0 FROM flow p CROSS JOIN place
	WHERE p.application_id = $2 AND p.user_id = $3 AND p.actor_id = $10 AND NOT p.spent AND p.expires_at > $5
		AND (NOT $9::boolean OR EXISTS (SELECT 1 FROM mine WHERE identity_id = $4))
		AND (NOT $14::boolean OR place.id = $15::text AND place.identity_id = $16::text)
		AND NOT ` + disconnected + `
		AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = $4 AND NOT (c.application_id = $2 AND c.user_id = $3))
	ON CONFLICT (identity_id) DO UPDATE SET
		application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
		not_before = EXCLUDED.not_before, attempts = 0
	WHERE task.kind = 'tag'
	RETURNING identity_id
), renewed AS (
	UPDATE connect_connections SET identity_id = $4, actor_id = $10, label = CASE WHEN $12::text = '' THEN label ELSE $12::text END,
		created_at = COALESCE(created_at, connected_at), connected_at = $5, health = $7, health_at = $8
	WHERE application_id = $2 AND user_id = $3 AND slot = (SELECT slot FROM place WHERE renews) AND EXISTS (SELECT 1 FROM tag)
	RETURNING id, label, created_at
), added AS (
	INSERT INTO connect_connections (id, application_id, user_id, actor_id, identity_id, label, created_at, connected_at, health, health_at, slot)
	SELECT $11::text, $2, $3, $10, tag.identity_id, $12::text, $5::bigint, $5::bigint, $7, $8::bigint, place.slot
	FROM tag CROSS JOIN place WHERE NOT place.renews
	RETURNING id, label, created_at
), deletion AS (
	INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT identity_id, 'delete', $2, $3, $5::bigint, 0 FROM place WHERE renews AND identity_id <> $4 AND EXISTS (SELECT 1 FROM tag)` +
		replacingTask + `
), spent AS (
	UPDATE connect_pending SET spent = TRUE, identity_id = $4
	WHERE token_hash = $1 AND EXISTS (SELECT 1 FROM tag)
)
SELECT id, label, created_at, COALESCE((SELECT identity_id FROM place WHERE identity_id <> $4), '') FROM (
	SELECT id, label, created_at FROM renewed UNION ALL SELECT id, label, created_at FROM added
) AS stored`

	s.claimAtOnce = `
WITH due AS MATERIALIZED (
	SELECT identity_id, not_before FROM connect_tasks
	WHERE application_id = $1 AND not_before <= $2 ORDER BY not_before LIMIT $4
	FOR UPDATE SKIP LOCKED
)
UPDATE connect_tasks t SET not_before = $3, attempts = t.attempts + 1
FROM due WHERE t.identity_id = due.identity_id
RETURNING t.identity_id, t.kind, t.application_id, t.user_id, due.not_before, t.attempts`
}

// forMySQL adds the texts for MySQL and MariaDB, in syntax that both have.
func (s *statements) forMySQL() {
	s.flowsOf, s.removeSome, s.spendSome, s.due = flowsOf, removeSome, spendSome, due

	// IGNORE also ignores other errors, such as a string that is too long. Validation has
	// refused those before.
	s.bind = `
INSERT IGNORE` + bindInto

	s.sweep = `
DELETE FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?`

	s.recordDisconnect = `
INSERT INTO connect_disconnects (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON DUPLICATE KEY UPDATE ended_at = GREATEST(connect_disconnects.ended_at, VALUES(ended_at))`

	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?`

	for _, text := range []*string{&s.queueDeletion, &s.replaceTag} {
		*text = strings.ReplaceAll(*text, replacingTask, `
ON DUPLICATE KEY UPDATE
	kind = VALUES(kind), application_id = VALUES(application_id), user_id = VALUES(user_id),
	not_before = VALUES(not_before), attempts = 0`)
	}

	// Without the index, sorting a small table would lock all of it.
	s.pick = `
SELECT identity_id, kind, application_id, user_id, not_before, attempts + 1
FROM connect_tasks FORCE INDEX (connect_tasks_due)
WHERE application_id = ? AND not_before <= ? ORDER BY not_before LIMIT ?
FOR UPDATE SKIP LOCKED`

	s.lease = `
UPDATE connect_tasks SET not_before = ?, attempts = attempts + 1 WHERE identity_id IN `
}
