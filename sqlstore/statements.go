package sqlstore

import (
	"strconv"
	"strings"
)

// statements are the texts that a store sends. A text that a dialect has no use
// for is empty there.
type statements struct {
	pending, spend, sweep string

	// bindAtOnce is all of Bind in one statement, on PostgreSQL. Elsewhere
	// startsOf reads which starts may have to make room, bind adds the new one, and
	// removeSome and spendSome are for those that have. Their texts end before the
	// list of token hashes.
	bindAtOnce, startsOf, bind, removeSome, spendSome string

	// completeAtOnce is all of Complete in one statement, on PostgreSQL.
	completeAtOnce string
	// spendStart, queueTasks and then putConnection are Complete on SQLite. On
	// MySQL addOrReplace stands for putConnection, and lockConnection comes before
	// it when the identity must be the one that the user has.
	spendStart, queueTasks, putConnection, lockConnection, addOrReplace string
	// reasons reads what a refusal is judged by. That none of them holds is the
	// condition of completeAtOnce and of spendStart.
	reasons string

	// connectionWith reads the connection that has an identity, for SetHealth, and
	// setHealth changes it if it is as it was read.
	connection, connectionWith, setHealth string

	// recordDisconnect, spendStarts, takeConnection, dropConnection and
	// queueDeletion are Disconnect. Except on MySQL, takeConnection drops the
	// connection itself. forgetDisconnects is the second statement of Sweep.
	recordDisconnect, spendStarts, takeConnection, dropConnection, queueDeletion, forgetDisconnects string

	// nextApplication returns the application after a given one, or NULL.
	applicationsOf, nextApplication string

	// claimAtOnce is all of Claim in one statement, on PostgreSQL. Elsewhere due
	// returns a row if there is a task to claim, pick locks tasks and lease sets their new NotBefore; its text ends before
	// the list of their identities. claimAtOnce and pick return the NotBefore
	// that was and the new Attempts.
	claimAtOnce, due, pick, lease string
	done, postpone                string
}

// statementsFor puts a dialect's texts together.
func statementsFor(d Dialect, prefix string) statements {
	s := statements{
		pending: `
SELECT application_id, user_id, return_to, begun_at, issued_at, expires_at, spent, identity_id
FROM connect_pending WHERE token_hash = ?`,

		spend: `
UPDATE connect_pending SET spent = TRUE WHERE token_hash = ? AND NOT spent`,

		reasons: `
SELECT p.application_id, p.user_id, p.expires_at, p.spent, p.identity_id,
	` + disconnected + `,
	EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = ? AND t.kind = 'delete'),
	EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ? AND NOT (c.application_id = ? AND c.user_id = ?)),
	EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ?)
FROM connect_pending p WHERE p.token_hash = ?`,

		connection: `
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = ? AND user_id = ?`,

		connectionWith: `
SELECT application_id, user_id, connected_at, health, health_at FROM connect_connections WHERE identity_id = ?`,

		setHealth: `
UPDATE connect_connections SET health = ?, health_at = ?
WHERE application_id = ? AND user_id = ? AND identity_id = ? AND connected_at = ? AND health = ? AND health_at = ?`,

		// Without its identity a completed start is no reload any more.
		spendStarts: `
UPDATE connect_pending SET spent = TRUE, identity_id = ''
WHERE application_id = ? AND user_id = ? AND (NOT spent OR identity_id <> '')`,

		takeConnection: `
DELETE FROM connect_connections WHERE application_id = ? AND user_id = ?
RETURNING identity_id, connected_at, health, health_at`,

		// The deletion takes the place of the tag.
		queueDeletion: `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'delete', ?, ?, ?, 0)
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0`,

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

// all are the addresses of all texts.
func (s *statements) all() []*string {
	return []*string{
		&s.pending, &s.spend, &s.sweep,
		&s.bindAtOnce, &s.startsOf, &s.bind, &s.removeSome, &s.spendSome,
		&s.completeAtOnce, &s.spendStart, &s.queueTasks, &s.putConnection, &s.lockConnection, &s.addOrReplace, &s.reasons,
		&s.connection, &s.connectionWith, &s.setHealth,
		&s.recordDisconnect, &s.spendStarts, &s.takeConnection, &s.dropConnection, &s.queueDeletion, &s.forgetDisconnects,
		&s.applicationsOf, &s.nextApplication,
		&s.claimAtOnce, &s.due, &s.pick, &s.lease, &s.done, &s.postpone,
	}
}

// numbered turns ?, ? into PostgreSQL's $1, $2. No text has a question mark that
// is no parameter.
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

// disconnected is the condition that the start p began before a Disconnect of its
// user. begun_at is 0 when it is not known.
const disconnected = `EXISTS (
		SELECT 1 FROM connect_disconnects d
		WHERE d.application_id = p.application_id AND d.user_id = p.user_id AND p.begun_at <> 0 AND p.begun_at < d.ended_at)`

// Texts of SQLite and MySQL.
const (
	due = `
SELECT 1 FROM connect_tasks WHERE application_id = ? AND not_before <= ? LIMIT 1`

	startsOf = `
SELECT token_hash, spent FROM connect_pending
WHERE application_id = ? AND user_id = ? ORDER BY expires_at DESC`

	removeSome = `
DELETE FROM connect_pending WHERE application_id = ? AND user_id = ? AND spent AND token_hash IN `

	spendSome = `
UPDATE connect_pending SET spent = TRUE WHERE application_id = ? AND user_id = ? AND NOT spent AND token_hash IN `

	// spendStart spends a start that can be completed. Its last condition is for
	// SameIdentity: the connection that has the identity is the user's, by the
	// condition before.
	spendStart = `
UPDATE connect_pending AS p SET identity_id = ?, spent = TRUE
WHERE token_hash = ? AND application_id = ? AND user_id = ? AND NOT spent AND expires_at > ?
	AND NOT ` + disconnected + `
	AND NOT EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = ? AND t.kind = 'delete')
	AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ? AND NOT (c.application_id = ? AND c.user_id = ?))
	AND (? OR EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = ?))`
)

// forSQLite adds what SQLite writes in its own way. There is one writer at a
// time, so nothing can happen between two statements of a transaction.
func (s *statements) forSQLite() {
	s.startsOf, s.removeSome, s.spendSome, s.due = startsOf, removeSome, spendSome, due

	s.bind = `
INSERT INTO connect_pending (token_hash, application_id, user_id, return_to, begun_at, issued_at, expires_at, spent, identity_id)
VALUES (?, ?, ?, ?, ?, ?, ?, FALSE, '')
ON CONFLICT (token_hash) DO NOTHING`

	s.sweep = `
DELETE FROM connect_pending WHERE token_hash IN (
	SELECT token_hash FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`

	s.recordDisconnect = `
INSERT INTO connect_disconnects (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET ended_at = MAX(ended_at, EXCLUDED.ended_at)`

	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE (user_id, application_id) IN (
	SELECT user_id, application_id FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?)`

	s.spendStart = spendStart

	// The tag of the new identity, and the deletion of the one it replaces.
	s.queueTasks = `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
SELECT p.identity_id, 'tag', p.application_id, p.user_id, ?, 0
FROM connect_pending p WHERE p.token_hash = ?
UNION ALL
SELECT c.identity_id, 'delete', c.application_id, c.user_id, ?, 0
FROM connect_connections c WHERE c.application_id = ? AND c.user_id = ? AND c.identity_id <> ?
ON CONFLICT (identity_id) DO UPDATE SET
	kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
	not_before = EXCLUDED.not_before, attempts = 0`

	s.putConnection = `
INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET
	identity_id = EXCLUDED.identity_id, connected_at = EXCLUDED.connected_at,
	health = EXCLUDED.health, health_at = EXCLUDED.health_at`

	// It begins with a write, as every transaction on SQLite must, and so leaves
	// the old not_before for lease to replace.
	s.pick = `
UPDATE connect_tasks SET attempts = attempts + 1 WHERE identity_id IN (
	SELECT identity_id FROM connect_tasks WHERE application_id = ? AND not_before <= ? ORDER BY not_before LIMIT ?)
RETURNING identity_id, kind, application_id, user_id, not_before, attempts`

	s.lease = `
UPDATE connect_tasks SET not_before = ? WHERE identity_id IN `
}

// forPostgreSQL adds what PostgreSQL writes in its own way. Its own texts number
// their parameters where they need one twice.
func (s *statements) forPostgreSQL() {
	s.sweep = `
DELETE FROM connect_pending WHERE token_hash = ANY (ARRAY(
	SELECT token_hash FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?
	FOR UPDATE SKIP LOCKED))`

	s.recordDisconnect = `
INSERT INTO connect_disconnects AS d (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON CONFLICT (user_id, application_id) DO UPDATE SET ended_at = GREATEST(d.ended_at, EXCLUDED.ended_at)`

	// A ctid is the place of a row. One that was changed meanwhile has moved, and is
	// not deleted.
	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?
	FOR UPDATE SKIP LOCKED))`

	// Every part sees the starts as they were when the statement began: the new
	// one is never among them. Those that somebody else is changing right now are
	// left for the next time, so that nobody waits here. One that has the new
	// one's token hash already is not removed, else the key might let it pass.
	s.bindAtOnce = `
WITH removed AS (
	DELETE FROM connect_pending WHERE token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE spent AND token_hash <> $1 AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND spent
			ORDER BY expires_at DESC OFFSET $8::bigint))
		FOR UPDATE SKIP LOCKED))
), made_spent AS (
	UPDATE connect_pending SET spent = TRUE WHERE NOT spent AND token_hash = ANY (ARRAY(
		SELECT token_hash FROM connect_pending WHERE NOT spent AND token_hash = ANY (ARRAY(
			SELECT token_hash FROM connect_pending WHERE application_id = $2 AND user_id = $3 AND NOT spent
			ORDER BY expires_at DESC OFFSET $8::bigint - 1))
		FOR UPDATE SKIP LOCKED))
)
INSERT INTO connect_pending (token_hash, application_id, user_id, return_to, begun_at, issued_at, expires_at, spent, identity_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, '')`

	// Every part sees the tables as they were when the statement began. What
	// has changed since, while it waited for a lock, is caught by the locks and
	// the unique keys, in this order:
	//
	//  - start locks the start, and returns it as it is by now. A Disconnect that
	//    cannot be seen yet will find the start, and waits for it.
	//  - old locks the user's connection, and returns it as it is by now. The join
	//    in tag has it do so before anything is written: the order of the locks is
	//    that of Disconnect. SameIdentity is judged by it.
	//  - tag stores nothing over a deletion; without it no other part does
	//    anything. The caller looks again.
	//  - A connection that old cannot see yet makes added fail, and an identity
	//    that somebody else has connected makes added or changed fail, as a
	//    duplicate key. That undoes all of the statement, and the caller looks
	//    again.
	s.completeAtOnce = `
WITH start AS MATERIALIZED (
	SELECT application_id, user_id, begun_at, expires_at, spent FROM connect_pending WHERE token_hash = $1
	FOR UPDATE
), old AS MATERIALIZED (
	SELECT identity_id FROM connect_connections
	WHERE application_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM start WHERE NOT spent)
	FOR UPDATE
), tag AS (
	INSERT INTO connect_tasks AS task (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT $4, 'tag', p.application_id, p.user_id, $6::bigint, 0 FROM start p LEFT JOIN old ON TRUE
	WHERE p.application_id = $2 AND p.user_id = $3 AND NOT p.spent AND p.expires_at > $5
		AND (NOT $9::boolean OR old.identity_id = $4)
		AND NOT ` + disconnected + `
		AND NOT EXISTS (SELECT 1 FROM connect_tasks t WHERE t.identity_id = $4 AND t.kind = 'delete')
		AND NOT EXISTS (SELECT 1 FROM connect_connections c WHERE c.identity_id = $4 AND NOT (c.application_id = $2 AND c.user_id = $3))
	ON CONFLICT (identity_id) DO UPDATE SET
		application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
		not_before = EXCLUDED.not_before, attempts = 0
	WHERE task.kind = 'tag'
	RETURNING identity_id
), changed AS (
	UPDATE connect_connections SET identity_id = $4, connected_at = $5, health = $7, health_at = $8
	WHERE application_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM old) AND EXISTS (SELECT 1 FROM tag)
), added AS (
	INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
	SELECT $2, $3, identity_id, $5::bigint, $7, $8::bigint FROM tag WHERE NOT EXISTS (SELECT 1 FROM old)
), deletion AS (
	INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
	SELECT identity_id, 'delete', $2, $3, $5::bigint, 0 FROM old WHERE identity_id <> $4 AND EXISTS (SELECT 1 FROM tag)
	ON CONFLICT (identity_id) DO UPDATE SET
		kind = EXCLUDED.kind, application_id = EXCLUDED.application_id, user_id = EXCLUDED.user_id,
		not_before = EXCLUDED.not_before, attempts = 0
)
UPDATE connect_pending SET spent = TRUE, identity_id = $4
WHERE token_hash = $1 AND EXISTS (SELECT 1 FROM tag)`

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

// forMySQL adds what MySQL and MariaDB write in their own way, in words that
// both know. Reads inside a writing statement lock nothing in READ COMMITTED, so
// each step checks what it builds on.
func (s *statements) forMySQL() {
	s.startsOf, s.removeSome, s.spendSome, s.due = startsOf, removeSome, spendSome, due

	// What IGNORE would let through beside a duplicate, such as a text that is
	// too long, has been refused before.
	s.bind = `
INSERT IGNORE INTO connect_pending (token_hash, application_id, user_id, return_to, begun_at, issued_at, expires_at, spent, identity_id)
VALUES (?, ?, ?, ?, ?, ?, ?, FALSE, '')`

	s.sweep = `
DELETE FROM connect_pending WHERE expires_at < ? ORDER BY expires_at LIMIT ?`

	s.recordDisconnect = `
INSERT INTO connect_disconnects (application_id, user_id, ended_at) VALUES (?, ?, ?)
ON DUPLICATE KEY UPDATE ended_at = GREATEST(connect_disconnects.ended_at, VALUES(ended_at))`

	s.forgetDisconnects = `
DELETE FROM connect_disconnects WHERE ended_at < ? ORDER BY ended_at LIMIT ?`

	s.spendStart = spendStart

	// For SameIdentity: spendStart may have seen a connection that is no longer
	// the user's.
	s.lockConnection = `
SELECT 1 FROM connect_connections WHERE application_id = ? AND user_id = ? AND identity_id = ?
FOR UPDATE`

	// The tag of the new identity, and the deletion of the one it replaces. A
	// deletion that was queued meanwhile stays one, and then the next step
	// stores nothing.
	s.queueTasks = `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
SELECT p.identity_id, 'tag', p.application_id, p.user_id, CAST(? AS SIGNED), 0
FROM connect_pending p WHERE p.token_hash = ?
UNION ALL
SELECT c.identity_id, 'delete', c.application_id, c.user_id, CAST(? AS SIGNED), 0
FROM connect_connections c WHERE c.application_id = ? AND c.user_id = ? AND c.identity_id <> ?
ON DUPLICATE KEY UPDATE
	kind = IF(connect_tasks.kind = 'delete', connect_tasks.kind, VALUES(kind)), application_id = VALUES(application_id), user_id = VALUES(user_id),
	not_before = VALUES(not_before), attempts = 0`

	// It adds nothing without the tag, nor when it sees a Disconnect that spendStart
	// did not see: spendStart may have looked before the start was bound. A row that
	// is there already, be it the user's or that of somebody else who has the
	// identity, it judges as it is by now, and says so by LAST_INSERT_ID, since the
	// number of changed rows depends on a parameter of the driver: 2 for one that may
	// be replaced. That is the user's, with the same identity or one whose deletion
	// queueTasks has queued. Anything else, 1, is to be rolled back.
	s.addOrReplace = `
INSERT INTO connect_connections (application_id, user_id, identity_id, connected_at, health, health_at)
SELECT p.application_id, p.user_id, p.identity_id, CAST(? AS SIGNED), ?, CAST(? AS SIGNED)
FROM connect_pending p JOIN connect_tasks t ON t.identity_id = p.identity_id AND t.kind = 'tag'
WHERE p.token_hash = ? AND NOT ` + disconnected + `
ON DUPLICATE KEY UPDATE
	connected_at = IF(LAST_INSERT_ID(IF(
		connect_connections.application_id = VALUES(application_id) AND connect_connections.user_id = VALUES(user_id)
		AND (connect_connections.identity_id = VALUES(identity_id) OR EXISTS (
			SELECT 1 FROM connect_tasks d
			WHERE d.identity_id = connect_connections.identity_id AND d.kind = 'delete' AND d.not_before = ?)),
		2, 1)) = 2, VALUES(connected_at), connect_connections.connected_at),
	health = VALUES(health), health_at = VALUES(health_at), identity_id = VALUES(identity_id)`

	s.takeConnection = `
SELECT identity_id, connected_at, health, health_at FROM connect_connections WHERE application_id = ? AND user_id = ?
FOR UPDATE`

	s.dropConnection = `
DELETE FROM connect_connections WHERE application_id = ? AND user_id = ?`

	s.queueDeletion = `
INSERT INTO connect_tasks (identity_id, kind, application_id, user_id, not_before, attempts)
VALUES (?, 'delete', ?, ?, ?, 0)
ON DUPLICATE KEY UPDATE
	kind = VALUES(kind), application_id = VALUES(application_id), user_id = VALUES(user_id),
	not_before = VALUES(not_before), attempts = 0`

	// The index is forced because sorting a small table would lock all of it.
	s.pick = `
SELECT identity_id, kind, application_id, user_id, not_before, attempts + 1
FROM connect_tasks FORCE INDEX (connect_tasks_due)
WHERE application_id = ? AND not_before <= ? ORDER BY not_before LIMIT ?
FOR UPDATE SKIP LOCKED`

	s.lease = `
UPDATE connect_tasks SET not_before = ?, attempts = attempts + 1 WHERE identity_id IN `
}
