-- what is said and shown where shared_preload_libraries does not name the library
SELECT current_setting('shared_preload_libraries') ~ 'pg_activate' AS preloaded \gset
\if :preloaded
\quit
\endif
\getenv url DESTINATION_URL
SET client_min_messages = warning;
CREATE EXTENSION pg_activate;
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
CREATE ROLE regress_queue_owner;
GRANT USAGE ON SCHEMA activate TO regress_queue_owner;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
GRANT USAGE ON FOREIGN SERVER crm TO regress_queue_owner;
CREATE TABLE people (id int PRIMARY KEY, name text);
ALTER TABLE people OWNER TO regress_queue_owner;
INSERT INTO people VALUES (1, 'one'), (2, 'two');
SET client_min_messages = notice;
SET ROLE regress_queue_owner;

-- a schedule is taken, and says that nobody will run it
SELECT activate.create_sync('queued', 'people', 'id', 'crm', object => 'queued', mapping => 'id, name',
	schedule => '15 minutes', options => '{"max_changed": 1}') > 0 AS created;
SELECT health, reason FROM activate.status;
SELECT activate.alter_sync('queued', schedule => 'manual');
SELECT health, reason FROM activate.status;
SELECT count(*) FROM activate.workers;

-- nobody would run it
SELECT activate.queue_run('queued');
SELECT count(*) FROM activate.runs WHERE status = 'queued';

-- a held run that is approved goes with the next call
CALL activate.run_sync('queued');
UPDATE people SET name = 'new';
\set VERBOSITY sqlstate
CALL activate.run_sync('queued');
\set VERBOSITY default
SELECT activate.approve_run(run_id) FROM activate.runs WHERE status = 'held';
CALL activate.run_sync('queued');

-- a run whose process is gone
RESET ROLE;
INSERT INTO activate.run (sync_id, cause, status, pid, started_at) SELECT sync_id, 'manual', 'running', 0, now() FROM activate.sync;
DO $$
BEGIN
	PERFORM activate.cancel_run((SELECT max(run_id) FROM activate.runs));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RAISE WARNING '%: %', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N');
END $$;
SELECT count(*) FROM activate.progress;
DO $$
DECLARE
	run bigint := (SELECT max(run_id) FROM activate.run);
	status text;
BEGIN
	SET LOCAL client_min_messages = error;	-- its number
	CALL activate.wait_for_run(run, '0', status);
	RAISE EXCEPTION 'after the timeout: %', status;
END $$;

-- one that was queued before the server was started without preload
INSERT INTO activate.run (sync_id, cause, status, queued_at) SELECT sync_id, 'manual', 'queued', now() FROM activate.sync;
SET ROLE regress_queue_owner;
SELECT activate.cancel_run((SELECT max(run_id) FROM activate.runs));
SELECT status, error, finished_at >= queued_at AS finished, started_at FROM activate.runs ORDER BY run_id DESC LIMIT 1;
SELECT kind, message FROM activate.events ORDER BY event_id DESC LIMIT 1;

RESET ROLE;
SET client_min_messages = warning;
SELECT activate.drop_sync('queued');
DROP TABLE people;
DROP SERVER crm;
DROP EXTENSION pg_activate;
DROP ROLE regress_queue_owner;
