-- queue_run(), wait_for_run() and cancel_run(), as far as they are the same with workers and without
\getenv url DESTINATION_URL
SET client_min_messages = warning;
CREATE EXTENSION pg_activate;
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
CREATE ROLE regress_queue_owner;
CREATE ROLE regress_queue_other;
CREATE ROLE regress_queue_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA activate TO regress_queue_owner, regress_queue_other, regress_queue_monitor;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
GRANT USAGE ON FOREIGN SERVER crm TO regress_queue_owner;
CREATE TABLE people (id int PRIMARY KEY, name text);
ALTER TABLE people OWNER TO regress_queue_owner;
INSERT INTO people VALUES (1, 'one'), (2, 'two');
SET ROLE regress_queue_owner;
SELECT activate.create_sync('queued', 'people', 'id', 'crm', object => 'queued', mapping => 'id, name') > 0 AS created;
CALL activate.run_sync('queued');
SELECT max(run_id) AS run FROM activate.runs \gset
\set VERBOSITY default

SELECT activate.queue_run('queud');
SELECT activate.queue_run(NULL);

-- a block is not told to queue what it cannot
BEGIN;
CALL activate.run_sync('queued');
ROLLBACK;

-- waiting for a run that is over
CALL activate.wait_for_run(:run);
CALL activate.wait_for_run(:run, timeout => '0');
CALL activate.wait_for_run(run_id => :run, timeout => '1 month 2 days');
DO $$
DECLARE
	run bigint := (SELECT max(run_id) FROM activate.runs);
	status text;
BEGIN
	CALL activate.wait_for_run(run, '1 minute', status);
	RAISE WARNING 'in a block of PL/pgSQL: %', status;
END $$;
CALL activate.wait_for_run(:run, timeout => '-1 second');
CALL activate.wait_for_run(:run, timeout => NULL);
CALL activate.wait_for_run(NULL);
CALL activate.wait_for_run(-1);
BEGIN;
CALL activate.wait_for_run(1);
ROLLBACK;

-- and ending one
DO $$
BEGIN
	PERFORM activate.cancel_run((SELECT max(run_id) FROM activate.runs));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RAISE WARNING '%: %', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N');
END $$;
SELECT activate.cancel_run(NULL);
SELECT activate.cancel_run(-1);

-- whose runs: the owner's, and to be watched by members of pg_monitor
SET ROLE regress_queue_other;
SELECT activate.queue_run('queued');
CALL activate.wait_for_run(:run);
SELECT activate.cancel_run(:run);
SELECT count(*) FROM activate.progress;
SET ROLE regress_queue_monitor;
CALL activate.wait_for_run(:run);
SELECT activate.cancel_run(:run);

-- paused
SET ROLE regress_queue_owner;
SELECT activate.pause_sync('queued', reason => 'the CRM moves');
CALL activate.run_sync('queued');

-- what is approved meanwhile waits, too
RESET ROLE;
SET client_min_messages = notice;
BEGIN;
INSERT INTO activate.run (run_id, sync_id, cause, status, started_at, finished_at)
	OVERRIDING SYSTEM VALUE SELECT 1000000, sync_id, 'manual', 'held', now(), now() FROM activate.sync;
SELECT activate.approve_run(1000000);
ROLLBACK;
SET client_min_messages = warning;
SET ROLE regress_queue_owner;
SELECT activate.resume_sync('queued');

-- a block of PL/pgSQL that catches errors, and a function, cannot wait
DO $$
BEGIN
	CALL activate.wait_for_run(1);
EXCEPTION WHEN active_sql_transaction THEN
	RAISE WARNING '%: %', SQLSTATE, SQLERRM;
END $$;

RESET ROLE;
SELECT activate.drop_sync('queued');
DROP TABLE people;
DROP SERVER crm;
DROP EXTENSION pg_activate;
DROP ROLE regress_queue_owner, regress_queue_other, regress_queue_monitor;
