-- what was sent and answered can be looked at, by whom it concerns, and the
-- request that refused a row is one join away
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY default
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER log_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L, headers %L)',
	:'url' || '/hooks?tenant=7', '{"X-Team": "data", "X-Session-Token": "not for the log"}') \gexec
CREATE USER MAPPING FOR PUBLIC SERVER log_crm OPTIONS (bearer_token 'canary+/secret&42');
CREATE TABLE log_model AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 10) AS i;
SELECT activate.create_sync('logged', 'log_model', 'id', 'log_crm', object => 'logged', mapping => 'name',
	options => '{"batch_size": 5, "max_rejected": "100 %", "log": "some"}');
SELECT activate.create_sync('logged', 'log_model', 'id', 'log_crm', object => 'logged', mapping => 'name',
	options => '{"batch_size": 5, "max_rejected": "100 %"}') > 0 AS created;

-- nothing is logged of what was plainly accepted
CALL activate.run_sync('logged');
SELECT count(*) FROM activate.request;

-- rows refused by name: their request, and no other one, is there
UPDATE log_model SET name = 'changed ' || id;
\! $DESTINATION_ASK script '[{"match": {"contains": "changed 7"}, "reject_rows": [{"where": "changed 7", "error": "who is canary+/secret&42?"}, {"where": "changed 8", "error": "no eights"}]}]'
CALL activate.run_sync('logged');
SELECT key, state, rj.message, rq.class, rq.method, regexp_replace(rq.url, ':\d+', ':PPPPP') AS url, rq.http_status, rq.rows, rq.attempt, rq.ops,
	rq.duration > '0' AS lasted, rq.at <= clock_timestamp() AS sent, rq.run_id = r.run_id AS of_the_run
FROM activate.rejections AS rj JOIN activate.requests AS rq USING (sync, request_id) JOIN activate.runs AS r USING (sync, run_id) ORDER BY rj.key;
SELECT request_headers - 'Idempotency-Key' AS headers, jsonb_path_query_array(request_body::jsonb, '$.rows[*].key.id') AS keys,
	request_bytes = length(request_body) AS whole, response_body::jsonb #> '{results,1}' AS answer, response_headers ->> 'content-type' AS type,
	response_bytes > 0 AS answered, problem
FROM activate.requests;
SELECT regexp_replace(regexp_replace(regexp_replace(curl, ':\d+', ':PPPPP'), '[0-9a-f]{32}', 'DIGEST'), '--data-raw.*', '--data-raw ...') AS curl
FROM activate.requests;
SELECT request_id = (SELECT max(request_id) FROM activate.requests) AS same FROM activate.explain_row('logged', '7');

-- a row that is accepted later names none
CALL activate.run_sync('logged', keys => '[7, 8]');
SELECT count(*), count(activate_request_id) AS named FROM activate_data.logged;
SELECT count(*) FROM activate.requests;

-- refused as a whole: each request of the search is there, and the row names the one that refused it alone
UPDATE log_model SET name = 'again ' || id;
\! $DESTINATION_ASK script '[{"match": {"contains": "again 3"}, "times": -1, "refuse_batch_if": "again 3", "body": "{\"error\": \"no threes\"}", "headers": {"Content-Type": "application/json"}}]'
CALL activate.run_sync('logged');
SELECT key, http_status, rows, class, problem, jsonb_path_query_array(request_body::jsonb, '$.rows[*].key.id') AS keys
FROM activate.rejections JOIN activate.requests USING (sync, request_id, http_status);
SELECT count(*) > 1 AS several, bool_and(class = 'batch_refused') AS all_refused, bool_and(request_body ~ 'again 3') AS about_it
FROM activate.requests WHERE run_id = (SELECT max(run_id) FROM activate.runs);
\! $DESTINATION_ASK script '[]'

-- answers that ask to wait, that get lost and that are no text
DELETE FROM activate.request;
SELECT activate.create_sync('lost', 'log_model', 'id', 'log_crm', object => 'lost', mapping => 'name', options => '{"batch_size": 5}') > 0 AS created;
\! $DESTINATION_ASK script '[{"status": 429, "headers": {"Retry-After": "0", "Set-Cookie": "session=1", "X-Two": "a"}, "body": "slow down"}, {"close": "after", "times": 2}, {"gzip_bomb": 100000, "status": 500}, {"status": 500, "body": "<html>a\u0001b</html>"}]'
CALL activate.run_sync('lost');
SELECT DISTINCT class, http_status, split_part(problem, ': ', 1) AS problem, response_body, response_headers ->> 'set-cookie' AS cookie
FROM activate.requests WHERE class <> 'uncertain' OR http_status IS NULL ORDER BY class;
SELECT length(response_body), substr(response_body, 65530) AS end, response_bytes FROM activate.requests WHERE response_bytes > 65536;
SELECT class, http_status, response_body FROM activate.requests WHERE response_body ~ 'html';
SELECT max(attempt) > 1 AS repeated FROM activate.requests;
SELECT activate.drop_sync('lost');
SELECT count(*) FROM activate.request;

-- long bodies are cut where a character ends, and a command would not be the request
DELETE FROM activate.request;
UPDATE log_model SET name = repeat('é', 40000) WHERE id = 1;
\! $DESTINATION_ASK script '[{"reject_rows": {"where": "", "error": "no"}}]'
CALL activate.run_sync('logged', keys => '[1]');
SELECT octet_length(request_body) BETWEEN 65530 AND 65700 AS cut, request_bytes > 80000 AS longer,
	right(request_body, 30) ~ 'é\.\.\. \[cut, \d+ bytes in all\]$' AS marked, curl IS NULL AS no_command FROM activate.requests;

-- all of them, or none
DELETE FROM activate.request;
UPDATE log_model SET name = 'all ' || id;
SELECT activate.alter_sync('logged', options => '{"log": "all"}');
CALL activate.run_sync('logged');
SELECT class, count(*), sum(rows) FROM activate.requests GROUP BY class;
UPDATE log_model SET name = 'none ' || id;
SELECT activate.alter_sync('logged', options => '{"log": "none"}');
\! $DESTINATION_ASK script '[{"match": {"contains": "none 7"}, "reject_rows": {"where": "none 7", "error": "no"}}]'
CALL activate.run_sync('logged');
SELECT key, message, request_id FROM activate.rejections;
SELECT count(*) FROM activate.requests;
SELECT activate.alter_sync('logged', options => '{"log": null}');

-- a broken destination fills no disk: what comes after the first hundred is counted
DELETE FROM activate.request;
INSERT INTO log_model SELECT i, 'many ' || i FROM generate_series(11, 140) AS i;
UPDATE log_model SET name = 'fine' WHERE id < 10;
SELECT activate.alter_sync('logged', options => '{"batch_size": 1}');
\! $DESTINATION_ASK script '[{"match": {"contains": "many"}, "times": -1, "reject_rows": {"where": "many", "error": "no"}}]'
SET client_min_messages = notice;
CALL activate.run_sync('logged');
SET client_min_messages = warning;
SELECT count(*) FROM activate.requests;
SELECT requests_unlogged FROM activate.runs ORDER BY run_id DESC LIMIT 1;
SELECT count(*), count(request_id) AS named FROM activate.rejections;
\! $DESTINATION_ASK script '[]'

-- secrets are nowhere
SELECT count(*) FROM activate.request AS r WHERE r::text ~ '(/|%2F)secret|not for the log';

-- who may watch sees that there was a request, and nothing of what was in it
CREATE ROLE log_watcher;
CREATE ROLE log_stranger;
GRANT pg_monitor TO log_watcher;
GRANT USAGE ON SCHEMA activate TO log_watcher, log_stranger;
-- what a step saved may be an address that lets whoever has it in
INSERT INTO activate.job (sync_id, run_id, destination, operation, state, step, saved, row_count, ops, key_values, keys, fields, payloads,
	hashes, external_ids, fingerprints, change_ids, flags, attempts, late_until, asks, remembered)
SELECT sync_id, 0, destination, 'upsert', 'polling', 0, '{place,https://up.test/?signature=s3cr3t}', 0, '{}', '{}', '{}', '{}', '{}',
	'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
FROM activate.sync WHERE name = 'logged';
SELECT sync, job FROM activate.jobs;
SET ROLE log_watcher;
SELECT sync, job FROM activate.jobs;
SELECT DISTINCT sync, method, regexp_replace(url, ':\d+', ':PPPPP') AS url, request_headers, request_body, http_status, response_headers,
	response_body, rows, class, problem, curl FROM activate.requests;
SET ROLE log_stranger;
SELECT count(*) FROM activate.requests;
SELECT count(*) FROM activate.request;
RESET ROLE;
DELETE FROM activate.job;

-- old ones go with the next run, and all of them with their sync
UPDATE activate.request SET at = at - interval '6 days';
CALL activate.run_sync('logged', keys => '[1]');
SELECT count(*) FROM activate.request;
UPDATE activate.request SET at = at - interval '2 days' WHERE request_id < (SELECT max(request_id) - 9 FROM activate.request);
CALL activate.run_sync('logged', keys => '[1]');
SELECT count(*) FROM activate.request;
SELECT activate.drop_sync('logged');
SELECT count(*) FROM activate.request;

REVOKE USAGE ON SCHEMA activate FROM log_watcher, log_stranger;
DROP ROLE log_watcher, log_stranger;
DROP EXTENSION pg_activate CASCADE;
DROP TABLE log_model;
