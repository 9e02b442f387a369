-- what the view status says of a sync, and why
\getenv url DESTINATION_URL
SET client_min_messages = warning;
\set VERBOSITY terse
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE TABLE health (id int PRIMARY KEY, v text);
INSERT INTO health SELECT i, 'first' FROM generate_series(1, 5) AS i;
SELECT activate.create_sync('health', 'health', 'id', 'crm', object => 'health', mapping => 'v', options => '{"max_changed": 2}') > 0 AS created;
CREATE VIEW now AS SELECT health, reason, last_status, next_run_at, rows_synced, rows_rejected, backlog
	FROM activate.status WHERE sync = 'health';

TABLE now;
CALL activate.run_sync('health');
TABLE now;

-- paused
SELECT activate.pause_sync('health', reason => 'audit until Friday');
TABLE now;
SELECT activate.resume_sync('health');

-- held, and let go
UPDATE health SET v = 'second';
CALL activate.run_sync('health');
SELECT health, reason ~ '^run \d+ of sync "health" is held: 5 of 5 rows would be changed' AS says_why FROM now;
UPDATE health SET v = 'first';
CALL activate.run_sync('health');
TABLE now;

-- rows that are refused
\! $DESTINATION_ASK script '[{"reject_rows": {"where": "poison", "error": "no", "status": "rejected", "retry": false}}]'
UPDATE health SET v = 'poison' WHERE id = 1;
CALL activate.run_sync('health');
TABLE now;
UPDATE health SET v = 'first' WHERE id = 1;
CALL activate.run_sync('health');
SELECT health FROM now;

-- the destination is down, for one that runs when called and for one that runs by itself
\! $DESTINATION_ASK script '[{"status": 401, "times": 1}]'
UPDATE health SET v = 'third' WHERE id = 1;
CALL activate.run_sync('health');
SELECT health, reason FROM now;
SELECT count(*) AS down FROM activate.destination_state WHERE down_since IS NOT NULL;
INSERT INTO activate.destination_state (destination, down_since, probe_at, failures, message)
VALUES ('crm', '2026-01-01 00:00+00', '2026-01-01 00:05+00', 1, 'no answer');
SELECT health FROM now;
SET timezone = 'UTC';
BEGIN;		-- what is due here no worker is to see
UPDATE activate.sync_state SET retry_at = '2026-01-01 00:01+00';
SELECT health, reason, next_run_at FROM now;
ROLLBACK;
CALL activate.run_sync('health');
SELECT health, reason, next_run_at FROM now;
SELECT kind, severity, destination, message ~ '^destination "crm" answers again, after \d+ s$' AS told, details - 'seconds' AS details FROM activate.events WHERE kind LIKE 'destination%';
UPDATE activate.destination_state SET closed = true;
SELECT health, reason FROM now;
UPDATE activate.destination_state SET closed = false;

-- late: due for long, or not as fresh as was promised
SELECT activate.alter_sync('health', options => '{"freshness": "1 hour"}');
SELECT health FROM now;
UPDATE activate.run SET started_at = started_at - interval '2 hours';
SELECT health, reason FROM now;
SELECT activate.alter_sync('health', options => '{"freshness": null}');
SELECT health FROM now;
BEGIN;
UPDATE activate.sync_state SET retry_at = now() - interval '1 hour';
SELECT health, reason ~ '^it is due since .*, and has not begun$' AS says_since, next_run_at < now() AS is_due FROM now;
ROLLBACK;

-- not here
UPDATE activate.sync SET database_oid = 1;
SELECT health, reason, next_run_at FROM now;
UPDATE activate.sync SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database());

-- with a schedule: somebody has to be there to serve it
SELECT activate.alter_sync('health', schedule => '1 day');
SELECT health = CASE WHEN activate.worker_problem() IS NULL THEN 'ok' ELSE 'no worker' END AS told,
	reason IS NOT DISTINCT FROM activate.worker_problem() AS why, next_run_at > now() AS planned FROM now;
SELECT activate.alter_sync('health', schedule => 'manual');
SELECT next_run_at FROM now;

-- members of pg_monitor see how it is, not why
SELECT activate.pause_sync('health', reason => 'secret');
CREATE ROLE status_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA activate TO status_monitor;
SET ROLE status_monitor;
SELECT health, reason FROM activate.status WHERE sync = 'health';
SELECT kind FROM activate.events WHERE destination = 'crm' AND sync IS NULL;
RESET ROLE;

-- nor does anybody else see anything; owners see what became of their destination
CREATE ROLE status_owner;
GRANT USAGE ON SCHEMA activate TO status_owner;
SET ROLE status_owner;
SELECT count(*) FROM activate.status;
SELECT count(*) FROM activate.events;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER crm TO status_owner;
CREATE TABLE owned (id int PRIMARY KEY, v text);
ALTER TABLE owned OWNER TO status_owner;
SET ROLE status_owner;
SELECT activate.create_sync('owned', 'owned', 'id', 'crm', object => 'owned', mapping => 'v') > 0 AS created;
SELECT kind FROM activate.events WHERE sync IS NULL;
RESET ROLE;

DROP EXTENSION pg_activate CASCADE;
DROP VIEW IF EXISTS now;
DROP TABLE health, owned;
REVOKE ALL ON SCHEMA public FROM status_owner;
DROP ROLE status_monitor, status_owner;
