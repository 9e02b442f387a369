-- a run of some rows says nothing of the others: not in the status, not about a held run
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE SCHEMA keys_test;
CREATE TABLE keys_test.customers (id bigint, name text);
INSERT INTO keys_test.customers SELECT i, 'n' || i FROM generate_series(1, 200) AS i;
INSERT INTO keys_test.customers VALUES (7, 'other');
CREATE SERVER keys_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
SELECT activate.create_sync('people', 'keys_test.customers', key => 'id', destination => 'keys_crm', object => 'people',
	mapping => 'name', mode => 'mirror', on_removed => 'delete', options => '{"remove_after": 0}') > 0 AS created;
CREATE VIEW keys_test.status AS
SELECT health, last_status, last_success_at IS NOT NULL AS succeeded,
	(SELECT 'run ' || count(*) FROM activate.runs AS r WHERE r.started_at <= s.fresh_as_of) AS fresh_as_of,
	rows_synced, rows_rejected, backlog
FROM activate.status AS s;

-- given only one key was sent, then the sync still is new
CALL activate.run_sync('people', keys => '[1]');
TABLE keys_test.status;

-- given max_rows left rows that were never sent, then they are the backlog, and nothing is fresh
DELETE FROM keys_test.customers WHERE name = 'other';
\set VERBOSITY terse
CALL activate.run_sync('people', max_rows => 10);
\set VERBOSITY default
TABLE keys_test.status;

-- given all were tried, then it is fresh from then on, also after a run of one key
INSERT INTO keys_test.customers VALUES (7, 'other');
UPDATE keys_test.customers SET name = 'new' WHERE id = 8;
\set VERBOSITY terse
CALL activate.run_sync('people');
CALL activate.run_sync('people', keys => '[7]');
\set VERBOSITY default
TABLE keys_test.status;

-- given an invalid row is named again, then it is listed once; put right, not at all
SELECT key, code FROM activate.pending;
DELETE FROM keys_test.customers WHERE name = 'other';
CALL activate.run_sync('people', keys => '[{"id": 7}]');
SELECT key, code FROM activate.pending;

-- given a held run, then a run of one key leaves it held, and its approval as it is
DELETE FROM keys_test.customers WHERE id > 100;
\set VERBOSITY terse
CALL activate.run_sync('people');
CALL activate.run_sync('people', keys => '[8]');
TABLE keys_test.status;

-- nor does one change anything that was cancelled before it began
BEGIN;
INSERT INTO activate.run (sync_id, cause, status, queued_at) SELECT sync_id, 'manual', 'queued', now() FROM activate.sync;
SELECT activate.cancel_run(run_id) FROM activate.runs WHERE status = 'queued';
TABLE keys_test.status;
ROLLBACK;

-- and what a person discards was no failure: the sync is what it was before
BEGIN;
SELECT activate.discard_run(run_id) FROM activate.runs WHERE status = 'held';
TABLE keys_test.status;
ROLLBACK;
SET client_min_messages = warning;
BEGIN;
SELECT activate.approve_run(run_id) FROM activate.runs WHERE status = 'held';
UPDATE activate.sync_state SET retry_at = NULL;	-- a worker, where there is one, leaves it to us
COMMIT;
SET client_min_messages = notice;
\set VERBOSITY default
CALL activate.run_sync('people', keys => '[8]');
CALL activate.run_sync('people');
TABLE keys_test.status;

-- then events are those of whole runs
SELECT kind FROM activate.events ORDER BY event_id;

-- given what is no key, then the error names it, and no run was made of it
CALL activate.run_sync('people', keys => '[8, {"customer": 8}]');
CALL activate.run_sync('people', keys => '[null]');
CALL activate.run_sync('people', keys => '[[8]]');
CALL activate.run_sync('people', keys => '[{"id": 8, "name": "n8"}]');
CALL activate.run_sync('people', keys => '8');
SELECT count(*) FROM activate.runs;

-- given a value that its column's type does not take, then the error shows the key and not the query
\set SHOW_CONTEXT always
CALL activate.run_sync('people', keys => '[8, {"id": "eight"}]');
SELECT * FROM activate.explain_row('people', '"eight"');
\set SHOW_CONTEXT never

-- given the model changed under the sync, then the hint says how to follow
ALTER TABLE keys_test.customers RENAME name TO full_name;
CALL activate.run_sync('people');
ALTER TABLE keys_test.customers RENAME full_name TO name;
ALTER TABLE keys_test.customers RENAME id TO customer_id;
CALL activate.run_sync('people');
ALTER TABLE keys_test.customers RENAME TO clients;
CALL activate.run_sync('people');

SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA keys_test CASCADE;
