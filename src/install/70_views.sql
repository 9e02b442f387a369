/*
 * A role sees what it owns; members of pg_monitor see statistics without
 * payloads.  current_user in a view is who queries it.
 */
CREATE FUNCTION activate.pending_rows()
RETURNS TABLE (sync_id pg_catalog.int8, key pg_catalog.jsonb, op pg_catalog.text, state pg_catalog.text,
	attempts pg_catalog.int4, first_at pg_catalog.timestamptz, last_at pg_catalog.timestamptz,
	next_attempt_at pg_catalog.timestamptz, http_status pg_catalog.int4, code pg_catalog.text,
	message pg_catalog.text, request_id pg_catalog.int8)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'act_pending_rows';
COMMENT ON FUNCTION activate.pending_rows() IS 'rows of the caller''s syncs that are not accepted: behind the view pending';

CREATE FUNCTION activate.pending_counts()
RETURNS TABLE (sync_id pg_catalog.int8, rejected pg_catalog.int8, backlog pg_catalog.int8)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'act_pending_counts';
COMMENT ON FUNCTION activate.pending_counts() IS 'how many rows of each sync wait: behind the view status';

CREATE VIEW activate.syncs WITH (security_barrier) AS
SELECT s.name AS sync, r.rolname::pg_catalog.text AS owner, s.model,
	pg_catalog.array_to_string(ARRAY(SELECT pg_catalog.quote_ident(k) FROM pg_catalog.unnest(s.key) AS k), ', ') AS key,
	s.destination, s.object,
	NULLIF(pg_catalog.array_to_string(ARRAY(SELECT pg_catalog.quote_ident(m) FROM pg_catalog.unnest(s.match) AS m), ', '), '') AS match,
	s.mapping, s.mode, s.on_removed, s.schedule, s.options, s.paused, s.pause_reason, s.sync_id, s.created_at
FROM activate.sync AS s
LEFT JOIN pg_catalog.pg_class AS c ON c.relname OPERATOR(pg_catalog.=) s.name::pg_catalog.name
	AND c.relnamespace OPERATOR(pg_catalog.=) 'activate_data'::pg_catalog.regnamespace
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) c.relowner
WHERE pg_catalog.pg_has_role(COALESCE(c.relowner,
	(SELECT x.extowner FROM pg_catalog.pg_extension AS x WHERE x.extname OPERATOR(pg_catalog.=) 'pg_activate')), 'USAGE');
COMMENT ON VIEW activate.syncs IS 'definitions of the syncs that the current user owns';
GRANT SELECT ON activate.syncs TO PUBLIC;

/*
 * Which syncs the current user sees, and whether only their statistics.  One
 * whose table is gone has no owner: it is the extension's owner who can do
 * something about it.
 */
CREATE VIEW activate.visible_sync WITH (security_barrier) AS
SELECT s.sync_id, s.name, s.destination, s.paused, s.schedule,
	pg_catalog.pg_has_role(o.owner, 'USAGE') AS owned, c.oid IS NULL AS gone
FROM activate.sync AS s
LEFT JOIN pg_catalog.pg_class AS c ON c.relname OPERATOR(pg_catalog.=) s.name::pg_catalog.name
	AND c.relnamespace OPERATOR(pg_catalog.=) 'activate_data'::pg_catalog.regnamespace
CROSS JOIN LATERAL (SELECT COALESCE(c.relowner,
	(SELECT x.extowner FROM pg_catalog.pg_extension AS x WHERE x.extname OPERATOR(pg_catalog.=) 'pg_activate')) AS owner) AS o
WHERE pg_catalog.pg_has_role(o.owner, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW activate.visible_sync IS 'syncs that the current user owns or may watch: behind the other views';

CREATE VIEW activate.runs WITH (security_barrier) AS
SELECT r.run_id, s.name AS sync, r.cause, r.status, r.started_at, r.finished_at, r.rows_in_model,
	r.added, r.changed, r.removed, r.accepted, r.rejected, r.invalid, r.delayed, r.unknown, r.waiting,
	r.absent, r.skipped, r.held_out, r.duplicates, r.requests, r.retries, r.bytes_sent,
	CASE WHEN s.owned THEN r.error END AS error, r.leaving, r.unchanged,
	CASE WHEN s.owned THEN r.detail END AS detail, CASE WHEN s.owned THEN r.hint END AS hint,
	r.pid, r.approved_by, r.approved_at, r.queued_at, r.missed, r.requests_unlogged
FROM activate.run AS r JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) r.sync_id
WHERE r.merged_into IS NULL;
COMMENT ON VIEW activate.runs IS 'runs: added + changed + removed = accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out';
GRANT SELECT ON activate.runs TO PUBLIC;

CREATE VIEW activate.pending WITH (security_barrier) AS
SELECT s.name AS sync, p.key, p.op, p.state, p.attempts, p.first_at, p.last_at, p.next_attempt_at,
	p.http_status, p.code, p.message, p.request_id
FROM activate.pending_rows() AS p JOIN activate.sync AS s ON s.sync_id OPERATOR(pg_catalog.=) p.sync_id
UNION ALL
SELECT s.name, i.key, NULL, 'invalid', 0, i.at, i.at, NULL, NULL, i.code, i.message, NULL
FROM activate.invalid_row AS i JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) i.sync_id
WHERE s.owned;
COMMENT ON VIEW activate.pending IS 'rows that are not (yet) accepted, and why';
GRANT SELECT ON activate.pending TO PUBLIC;

CREATE VIEW activate.rejections WITH (security_barrier) AS
SELECT p.sync, p.key, p.op, p.state, p.attempts, p.first_at, p.last_at, p.next_attempt_at,
	p.http_status, p.code, p.message, p.request_id
FROM activate.pending AS p
WHERE p.state OPERATOR(pg_catalog.=) ANY (ARRAY['rejected', 'refused', 'invalid']);
COMMENT ON VIEW activate.rejections IS 'pending rows that the destination or the mapping refused';
GRANT SELECT ON activate.rejections TO PUBLIC;

CREATE VIEW activate.jobs WITH (security_barrier) AS
SELECT j.job_id, s.name AS sync, j.destination, CASE WHEN s.owned THEN j.saved[2] END AS job, j.operation, j.state, j.row_count AS rows, j.run_id,
	j.submitted_at, j.next_poll_at, j.deadline
FROM activate.job AS j JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) j.sync_id;
COMMENT ON VIEW activate.jobs IS 'rows that a destination was handed as a job and works on';
GRANT SELECT ON activate.jobs TO PUBLIC;

CREATE FUNCTION activate.request_curl(headers pg_catalog.jsonb, method pg_catalog.text, url pg_catalog.text,
	body pg_catalog.text)
RETURNS pg_catalog.text
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'act_request_curl';
COMMENT ON FUNCTION activate.request_curl(pg_catalog.jsonb, pg_catalog.text, pg_catalog.text, pg_catalog.text)
	IS 'a request as a curl command: behind the view requests';

/* Paths name records, headers may name anything: of those that are watched only, what the statistics need. */
CREATE VIEW activate.requests WITH (security_barrier) AS
SELECT r.request_id, s.name AS sync, r.run_id, r.at, r.method,
	CASE WHEN s.owned THEN r.url ELSE pg_catalog.substring(r.url, '^[a-zA-Z]+://[^/?]*') END AS url,
	CASE WHEN s.owned THEN r.request_headers END AS request_headers,
	CASE WHEN s.owned THEN r.request_body END AS request_body, r.http_status,
	CASE WHEN s.owned THEN r.response_headers END AS response_headers,
	CASE WHEN s.owned THEN r.response_body END AS response_body, r.rows, r.attempt, r.duration,
	r.ops, r.class, CASE WHEN s.owned THEN r.problem END AS problem, r.request_bytes, r.response_bytes,
	CASE WHEN s.owned AND NOT r.request_cut
		THEN activate.request_curl(r.request_headers, r.method, r.url, r.request_body) END AS curl
FROM activate.request AS r JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) r.sync_id;
COMMENT ON VIEW activate.requests IS 'requests and their answers, as option log says; secrets are masked, long bodies cut';
GRANT SELECT ON activate.requests TO PUBLIC;

CREATE VIEW activate.events WITH (security_barrier) AS
SELECT e.event_id, e.at, e.kind, e.severity, e.sync, e.destination, e.run_id, e.message, e.details
FROM activate.event AS e LEFT JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) e.sync_id
WHERE s.owned OR (e.sync_id IS NULL AND (pg_catalog.pg_has_role('pg_monitor', 'USAGE')
	OR EXISTS (SELECT 1 FROM activate.visible_sync AS v
		WHERE v.destination OPERATOR(pg_catalog.=) e.destination AND v.owned)));
COMMENT ON VIEW activate.events IS 'changes of state, one row each';
GRANT SELECT ON activate.events TO PUBLIC;

/*
 * A run of keys that somebody named, or of rows tried again, says nothing of
 * the other rows, and one that was cancelled before it began says nothing at
 * all: whole is the last one that does, counted the last that
 * looked at all of them, and only one that left no row untried is fresh.
 * Times in the past: it is due, and waits for its turn.
 */
CREATE VIEW activate.status WITH (security_barrier) AS
SELECT s.name AS sync, s.destination, state.health,
	last.run_id AS last_run_id, last.status AS last_status, good.finished_at AS last_success_at,
	CASE WHEN queue.queued_at IS NOT NULL THEN LEAST(due.since, pg_catalog.now()) ELSE due.since END AS next_run_at,
	fresh.started_at AS fresh_as_of,
	pg_catalog.now() OPERATOR(pg_catalog.-) fresh.started_at AS lag,
	done.rows_synced, COALESCE(p.rejected, 0) OPERATOR(pg_catalog.+) COALESCE(counted.invalid, 0) AS rows_rejected,
	COALESCE(p.backlog, 0) OPERATOR(pg_catalog.+) COALESCE(counted.untried, 0) AS backlog,
	CASE WHEN NOT s.owned THEN NULL
		WHEN s.gone THEN pg_catalog.format('table activate_data.%I is gone, and with it what was sent and whose sync it was: SELECT activate.drop_sync(%L);', s.name, s.name)
		WHEN state.health OPERATOR(pg_catalog.=) 'paused' THEN d.pause_reason
		WHEN home.problem IS NOT NULL THEN home.problem
		WHEN state.health OPERATOR(pg_catalog.=) 'no worker' THEN worker.problem
		WHEN t.model_problem IS NOT NULL THEN t.model_problem
		WHEN state.health OPERATOR(pg_catalog.=) 'waiting' THEN CASE
			WHEN e.closed THEN pg_catalog.format('destination %I is closed until its credentials are set on this server', s.destination)
			WHEN e.paused_at IS NOT NULL THEN pg_catalog.format('destination %I is paused since %s by %s: SELECT activate.resume_destination(%L);',
				s.destination, e.paused_at, e.paused_by, s.destination)
			WHEN e.throttled_until IS NOT NULL AND (e.down_since IS NULL OR e.throttled_until OPERATOR(pg_catalog.>) pg_catalog.now()) THEN
				pg_catalog.format('destination %I limits its rate until %s: %s', s.destination, e.throttled_until, e.throttle_message)
			WHEN e.down_since IS NOT NULL THEN pg_catalog.format('destination %I is down since %s, and tried again at %s: %s',
				s.destination, e.down_since, e.probe_at, e.message)
			WHEN whole.status IS NOT NULL THEN whole.error
			ELSE pg_catalog.format('it runs %s, once they have succeeded', s.schedule) END
		WHEN state.health OPERATOR(pg_catalog.=) ANY (ARRAY['held', 'failing']) THEN whole.error
		WHEN state.health OPERATOR(pg_catalog.=) 'late' THEN CASE
			WHEN due.late THEN pg_catalog.format('it is due since %s, and has not begun', due.since)
			ELSE pg_catalog.format('option freshness promises %s', d.options OPERATOR(pg_catalog.->>) 'freshness') END
		WHEN state.health OPERATOR(pg_catalog.=) 'rejecting' THEN
			pg_catalog.format('rows that are refused or invalid: %s', COALESCE(p.rejected, 0) OPERATOR(pg_catalog.+) COALESCE(counted.invalid, 0))
		END AS reason
FROM activate.visible_sync AS s
JOIN activate.sync AS d ON d.sync_id OPERATOR(pg_catalog.=) s.sync_id
LEFT JOIN activate.sync_state AS t ON t.sync_id OPERATOR(pg_catalog.=) s.sync_id
LEFT JOIN activate.destination_state AS e ON e.destination OPERATOR(pg_catalog.=) s.destination
CROSS JOIN (SELECT activate.worker_problem() AS problem,
	GREATEST('1 minute'::pg_catalog.interval,
		pg_catalog.current_setting('pg_activate.naptime', true)::pg_catalog.interval OPERATOR(pg_catalog.*) 2) AS grace
	OFFSET 0) AS worker
CROSS JOIN LATERAL (SELECT COALESCE(e.closed, false) OR e.paused_at IS NOT NULL AS stopped,
	COALESCE(e.closed, false) OR e.paused_at IS NOT NULL OR e.down_since IS NOT NULL OR e.throttled_until IS NOT NULL AS back) AS kept
CROSS JOIN LATERAL (SELECT activate.sync_home_problem(d.system_identifier, d.database_oid, d.host) AS problem) AS home
LEFT JOIN LATERAL (SELECT pg_catalog.min(r.queued_at) AS queued_at,
		pg_catalog.bool_or(r.status OPERATOR(pg_catalog.=) 'running') AS running FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id
		AND r.status OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'running'])) AS queue ON true
LEFT JOIN LATERAL (SELECT r.run_id, r.status FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id
		AND r.status OPERATOR(pg_catalog.<>) ALL (ARRAY['superseded', 'queued'])
	ORDER BY r.run_id DESC LIMIT 1) AS last ON true
LEFT JOIN LATERAL (SELECT r.status, r.error FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id AND NOT r.keyed AND r.started_at IS NOT NULL
		AND r.status OPERATOR(pg_catalog.<>) ALL (ARRAY['superseded', 'queued', 'running'])
		AND (r.status OPERATOR(pg_catalog.<>) 'cancelled' OR r.digest IS NULL)	-- discarded
		-- only while that holds for which it was; a right that may come back with the end of a rebuild is nobody's concern yet
		AND (r.status OPERATOR(pg_catalog.<>) 'postponed' OR t.model_problem IS NOT NULL OR kept.back)
	ORDER BY r.run_id DESC LIMIT 1) AS whole ON true
LEFT JOIN LATERAL (SELECT r.invalid, r.untried FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id AND NOT r.keyed AND r.started_at IS NOT NULL
		AND r.status OPERATOR(pg_catalog.<>) ALL (ARRAY['superseded', 'queued', 'running', 'postponed'])
	ORDER BY r.run_id DESC LIMIT 1) AS counted ON true
LEFT JOIN LATERAL (SELECT r.finished_at FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id AND NOT r.keyed AND r.status OPERATOR(pg_catalog.=) 'succeeded'
	ORDER BY r.run_id DESC LIMIT 1) AS good ON true
LEFT JOIN LATERAL (SELECT r.rows_synced FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id AND NOT r.keyed
		AND r.status OPERATOR(pg_catalog.=) ANY (ARRAY['succeeded', 'partial'])
	ORDER BY r.run_id DESC LIMIT 1) AS done ON true
LEFT JOIN LATERAL (SELECT r.started_at FROM activate.run AS r
	WHERE r.sync_id OPERATOR(pg_catalog.=) s.sync_id AND NOT r.keyed AND r.untried OPERATOR(pg_catalog.=) 0
		AND r.status OPERATOR(pg_catalog.=) ANY (ARRAY['succeeded', 'partial'])
	ORDER BY r.run_id DESC LIMIT 1) AS fresh ON true
LEFT JOIN activate.pending_counts() AS p ON p.sync_id OPERATOR(pg_catalog.=) s.sync_id
CROSS JOIN LATERAL (SELECT w.since,
		COALESCE(w.since OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) worker.grace), false)
			AND queue.running IS NOT TRUE AS late
	FROM (SELECT CASE WHEN NOT s.paused AND home.problem IS NULL AND e.paused_at IS NULL AND n.due IS NOT NULL THEN
		GREATEST(n.due, CASE WHEN e.down_since IS NOT NULL OR e.throttled_until IS NOT NULL THEN e.probe_at END) END AS since
		FROM (SELECT LEAST(CASE WHEN t.model_problem_since IS NULL OR t.retry_at IS NULL THEN t.next_run_at END,
			queue.queued_at, t.retry_at) AS due) AS n) AS w) AS due
CROSS JOIN LATERAL (SELECT CASE WHEN s.gone THEN 'failing'
		WHEN s.paused THEN 'paused'
		WHEN home.problem IS NOT NULL THEN 'waiting'
		WHEN s.schedule OPERATOR(pg_catalog.<>) 'manual' AND worker.problem IS NOT NULL THEN 'no worker'
		WHEN t.model_problem IS NOT NULL THEN 'waiting'
		WHEN whole.status OPERATOR(pg_catalog.=) 'held' THEN 'held'
		WHEN kept.stopped OR whole.status OPERATOR(pg_catalog.=) 'postponed' THEN 'waiting'
		WHEN kept.back AND t.retry_at IS NOT NULL AND NOT t.retry_rows THEN 'waiting'
		WHEN whole.status OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'cancelled', 'interrupted']) THEN 'failing'
		WHEN due.late OR (pg_catalog.now() OPERATOR(pg_catalog.-) COALESCE(fresh.started_at, d.created_at))
			OPERATOR(pg_catalog.>) (d.options OPERATOR(pg_catalog.->>) 'freshness')::pg_catalog.interval THEN 'late'
		WHEN whole.status IS NULL AND s.schedule OPERATOR(pg_catalog.~~) 'after %' THEN 'waiting'
		WHEN whole.status IS NULL THEN 'new'
		WHEN COALESCE(p.rejected, 0) OPERATOR(pg_catalog.>) 0 OR counted.invalid OPERATOR(pg_catalog.>) 0 THEN 'rejecting'
		ELSE 'ok' END AS health) AS state;
COMMENT ON VIEW activate.status IS 'each sync as it is now';
COMMENT ON COLUMN activate.status.fresh_as_of IS 'every commit before it has been accepted or is listed in pending; null: no run of the whole model came to all rows yet';
GRANT SELECT ON activate.status TO PUBLIC;
