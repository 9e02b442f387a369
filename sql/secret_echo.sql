-- given a destination that sends back what it was sent, then no secret is kept
-- or shown, in whatever form and place it comes
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY default
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER echo_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
CREATE USER MAPPING FOR PUBLIC SERVER echo_crm OPTIONS (bearer_token 'to+ken"secret/42');
CREATE TABLE echo_model AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 4) AS i;
SELECT activate.create_sync('echo', 'echo_model', 'id', 'echo_crm', object => 'echo', schedule => 'manual') > 0 AS created;

-- in ids, errors and codes of rows
\! $DESTINATION_ASK script '[{"match": {"path": "/echo"}, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"results\": [{\"status\": \"accepted\", \"id\": \"to+ken\\\"secret/42\"}, {\"status\": \"accepted\", \"id\": \"x-to%2Bken%22secret%2F42\"}, {\"status\": \"rejected\", \"error\": \"Authorization: Bearer to+ken\\\"secret/42\"}, {\"status\": \"accepted\", \"id\": \"r4\"}]}"}]'
CALL activate.run_sync('echo');
SELECT id, activate_state, activate_external_id, activate_message FROM activate_data.echo ORDER BY id;

-- in the answer to the whole, where it redirects to, and in the answer to a check
UPDATE echo_model SET name = 'changed';
\! $DESTINATION_ASK script '[{"match": {"path": "/echo"}, "status": 401, "headers": {"Content-Type": "application/json"}, "body": "{\"error\": \"to+ken\\\"secret/42 is not known\"}"}]'
CALL activate.run_sync('echo');
\! $DESTINATION_ASK script '[{"match": {"path": "/echo"}, "location": "https://example.com/?t=to%2Bken%22secret%2F42"}]'
CALL activate.run_sync('echo');
\! $DESTINATION_ASK script '[{"match": {"method": "GET"}, "status": 500, "body": "to+ken\"secret/42"}]'
SELECT ok, detail FROM activate.check_destination('echo_crm');
SELECT headers ->> 'Authorization' AS authorization FROM activate.preview_requests('echo');

-- nowhere
SELECT count(*) FROM (SELECT run::text FROM activate.run UNION ALL SELECT event::text FROM activate.event
	UNION ALL SELECT echo::text FROM activate_data.echo UNION ALL SELECT p::text FROM activate.pending AS p
	UNION ALL SELECT d::text FROM activate.destinations AS d) AS t (text) WHERE text ~ 'secret(/|%2F)42';

DROP EXTENSION pg_activate CASCADE;
DROP TABLE echo_model;
