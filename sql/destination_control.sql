-- a destination is paused, resumed and probed by hand
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\getenv port DESTINATION_PORT
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE ROLE control_owner;
CREATE ROLE control_user;
GRANT USAGE ON SCHEMA activate TO control_owner, control_user;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', timeout '5s');
ALTER SERVER crm OWNER TO control_owner;
GRANT USAGE ON FOREIGN SERVER crm TO control_user;
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people VALUES (1, 'Ada'), (2, 'Bob');
SELECT activate.create_sync('people', 'people', 'id', 'crm', object => 'people', mapping => 'name') > 0 AS made;
CREATE FUNCTION masked(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '\d{4}-\d\d-\d\d [0-9:.+]+|\w{3} \w{3} \d\d [0-9:.]+ \d{4} \w+', 'TIME', 'g') $$;
CREATE VIEW state AS SELECT down_since IS NOT NULL AS down, throttled_until IS NOT NULL AS throttled, paused_at IS NOT NULL AS paused,
	paused_by, probe_at IS NOT NULL AS kept FROM activate.destination_state WHERE destination = 'crm';

-- what cannot be paused is named
SELECT activate.pause_destination(NULL);
SELECT activate.resume_destination(NULL);
SELECT * FROM activate.probe_destination(NULL);
SELECT activate.pause_destination('nowhere');
SELECT activate.resume_destination('nowhere');
SELECT * FROM activate.probe_destination('nowhere');

-- by its owner, not by everybody who may use it
SET ROLE control_user;
SELECT activate.pause_destination('crm');
SELECT activate.resume_destination('crm');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER crm FROM control_user;
SET ROLE control_user;
SELECT * FROM activate.probe_destination('crm');
RESET ROLE;

-- rolled back, it was not paused
BEGIN;
SELECT activate.pause_destination('crm');
ROLLBACK;
CALL activate.run_sync('people');

-- paused, nothing is sent, and a call says why
INSERT INTO people VALUES (3, 'Cyd');
SET ROLE control_owner;
SELECT activate.pause_destination('crm');
SELECT activate.pause_destination('crm');
RESET ROLE;
\set VERBOSITY terse
CALL activate.run_sync('people');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT health, masked(reason) AS reason, next_run_at FROM activate.status;
SELECT count(*) FROM activate.runs;
\! $DESTINATION_ASK records people
-- but it can be looked at what would be sent, and whether it answers
SELECT added, requests FROM activate.plan_sync('people');
SELECT ok FROM activate.check_destination('crm');
SELECT ok FROM activate.probe_destination('crm');
TABLE state;

-- the pause goes along with the name
ALTER SERVER crm RENAME TO crm2;
SELECT destination, paused_by FROM activate.destination_state;
ALTER SERVER crm2 RENAME TO crm;

-- resumed, it goes on
SELECT activate.resume_destination('crm');
SELECT activate.resume_destination('crm');
CALL activate.run_sync('people');
\! $DESTINATION_ASK records people
SELECT health, reason FROM activate.status;
TABLE state;

-- one event for each change
SELECT kind, severity, sync, destination, message FROM activate.events WHERE kind LIKE 'destination%' ORDER BY event_id;

-- a probe that is not answered changes nothing
INSERT INTO people VALUES (4, 'Dan');
\! $DESTINATION_ASK script '[{"status": 503, "times": -1}]'
UPDATE activate.destination_state SET down_since = now() - interval '1 hour', probe_at = now() + interval '1 hour', failures = 9, message = 'no answer';
SELECT ok, replace(detail, :'port', 'PPPPP') AS detail FROM activate.probe_destination('crm');
TABLE state;
BEGIN;
UPDATE activate.sync_state SET retry_at = now() - interval '1 minute';
SELECT health, masked(reason) AS reason, next_run_at > now() + interval '50 minutes' AS later FROM activate.status;
ROLLBACK;
-- nor one that is told to wait
UPDATE activate.destination_state SET down_since = NULL, throttled_until = now() + interval '1 hour', throttle_message = 'too many';
\! $DESTINATION_ASK script '[{"status": 429, "times": -1}]'
SELECT ok, replace(detail, :'port', 'PPPPP') AS detail FROM activate.probe_destination('crm');
TABLE state;
BEGIN;
UPDATE activate.sync_state SET retry_at = now() - interval '1 minute';
SELECT health, masked(reason) AS reason, next_run_at > now() + interval '50 minutes' AS later FROM activate.status;
ROLLBACK;
-- one that is brings it back, for everybody
\! $DESTINATION_ASK script '[]'
UPDATE activate.destination_state SET down_since = now() - interval '1 hour';
BEGIN READ ONLY;
SELECT * FROM activate.probe_destination('crm');
ROLLBACK;
SELECT ok, account, environment, scopes, missing, replace(detail, :'port', 'PPPPP') AS detail FROM activate.probe_destination('crm');
TABLE state;
SELECT kind, regexp_replace(message, '\d+ s', 'N s') AS message FROM activate.events ORDER BY event_id DESC LIMIT 1;
-- and once more is no news
SELECT ok FROM activate.probe_destination('crm');
SELECT count(*) FROM activate.events WHERE kind = 'destination_up';

-- told to wait for long, a run ends and says so (and until when, which differs)
\set VERBOSITY terse
\! $DESTINATION_ASK script '[{"status": 429, "headers": {"Retry-After": "900"}}]'
CALL activate.run_sync('people');
TABLE state;
SELECT kind, severity, regexp_replace(message, '\d+ s', 'N s', 'g') AS message FROM activate.events ORDER BY event_id DESC LIMIT 1;
-- once, while it goes on so; nobody asks it meanwhile
CALL activate.run_sync('people');
SELECT count(*) FROM activate.events WHERE kind = 'destination_throttled';
-- a person's probe that gets through shows that it is over
SELECT ok FROM activate.probe_destination('crm');
TABLE state;
CALL activate.run_sync('people');
\! $DESTINATION_ASK script '[{"status": 429, "headers": {"Retry-After": "900"}}]'
INSERT INTO people VALUES (5, 'Eve');
CALL activate.run_sync('people');
SELECT count(*) FROM activate.events WHERE kind = 'destination_throttled';
\set VERBOSITY default

-- dropped, it takes its state along, and nobody is told to resume what is gone
SELECT activate.pause_destination('crm');
BEGIN;
DROP SERVER crm CASCADE;
TABLE state;
SELECT sync, health, reason FROM activate.status;
\set VERBOSITY terse
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://example.com');
SELECT destination, paused FROM activate.destinations;
ROLLBACK;
SELECT destination, paused FROM activate.destinations;
\set VERBOSITY default

SELECT activate.drop_sync('people');
DROP SERVER crm;
DROP FUNCTION masked CASCADE;
DROP VIEW state;
DROP TABLE people;
DROP EXTENSION pg_activate CASCADE;
DROP ROLE control_owner, control_user;
