-- mode replace: the object is the model's result as one unit
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER sheets FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
CREATE SCHEMA replace_test;
CREATE FUNCTION replace_test.last(sync text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'model ' || rows_in_model, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'rejected ' || nullif(rejected, 0),
		'delayed ' || nullif(delayed, 0), 'skipped ' || nullif(skipped, 0), 'invalid ' || nullif(invalid, 0),
		'unchanged ' || nullif(unchanged, 0), 'duplicates ' || nullif(duplicates, 0), 'requests ' || requests,
		'synced ' || rows_synced)
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = last.sync ORDER BY run_id DESC LIMIT 1
$$;

-- a relation goes in key order, changed and unchanged rows alike; unchanged: nothing is sent
CREATE TABLE replace_test.regions (code text PRIMARY KEY, revenue numeric);
INSERT INTO replace_test.regions VALUES ('west', 10), ('east', 20.50), ('north', 30);
SELECT activate.create_sync('regions', 'replace_test.regions', 'code', 'sheets', object => 'regions',
	mapping => 'code, revenue', mode => 'replace') > 0 AS created;
SELECT method, body, rows FROM activate.preview_requests('regions');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
\! $DESTINATION_ASK records regions
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
SELECT count(*) FROM activate.preview_requests('regions');
UPDATE replace_test.regions SET revenue = 31 WHERE code = 'north';
INSERT INTO replace_test.regions VALUES ('centre', 5);
DELETE FROM replace_test.regions WHERE code = 'west';
SELECT added, changed, removed, unchanged, to_send, requests, guard FROM activate.plan_sync('regions');
SELECT op, key, payload FROM activate.preview_sync('regions');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
\! $DESTINATION_ASK records regions
SELECT code, activate_state FROM activate_data.regions ORDER BY 1;

-- a query keeps its own order; when only that changes, nothing counts and the unit goes
SELECT activate.create_sync('ranking', 'SELECT code, revenue FROM replace_test.regions ORDER BY revenue DESC', 'code', 'sheets',
	object => 'ranking', mode => 'replace', mapping => 'code') > 0 AS created;
CALL activate.run_sync('ranking');
SELECT replace_test.last('ranking');
SELECT body::json -> 'rows' AS rows FROM activate.preview_requests('ranking');
UPDATE replace_test.regions SET revenue = 100 - revenue;
SELECT body::json -> 'rows' AS rows FROM activate.preview_requests('ranking');
SELECT count(*) FROM activate.preview_sync('ranking');
CALL activate.run_sync('ranking');
SELECT replace_test.last('ranking');
CALL activate.run_sync('ranking');
SELECT replace_test.last('ranking');
\! $DESTINATION_ASK records ranking

-- without ORDER BY of its own a query goes in key order, and identical rows go once
SELECT activate.create_sync('doubled', 'SELECT code FROM replace_test.regions UNION ALL SELECT code FROM replace_test.regions',
	'code', 'sheets', object => 'doubled', mode => 'replace', mapping => 'code') > 0 AS created;
CALL activate.run_sync('doubled');
SELECT replace_test.last('doubled');
SELECT activate.alter_sync('doubled', model => 'SELECT code FROM (SELECT code, revenue FROM replace_test.regions
	UNION ALL SELECT code, revenue FROM replace_test.regions) AS r ORDER BY revenue');
SELECT body::json -> 'rows' AS rows FROM activate.preview_requests('doubled');
CALL activate.run_sync('doubled');
SELECT replace_test.last('doubled');
CALL activate.run_sync('doubled');
SELECT replace_test.last('doubled');

-- a row that cannot be sent keeps all of them back, since without it the object would lose it
CREATE TABLE replace_test.scores (id int, score float8);
INSERT INTO replace_test.scores VALUES (1, 0.5), (2, 0.25);
SELECT activate.create_sync('scores', 'replace_test.scores', 'id', 'sheets', object => 'scores', mode => 'replace',
	mapping => 'score', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('scores');
INSERT INTO replace_test.scores VALUES (3, 'NaN'), (4, 1);
CALL activate.run_sync('scores');
SELECT replace_test.last('scores');
SELECT * FROM activate.preview_requests('scores');
SELECT op, key, problem FROM activate.preview_sync('scores');
SELECT invalid, requests, guard FROM activate.plan_sync('scores');
UPDATE replace_test.scores SET score = 0.75 WHERE id = 3;
INSERT INTO replace_test.scores VALUES (4, 2);
CALL activate.run_sync('scores');
DELETE FROM replace_test.scores WHERE id = 4 AND score = 2;
INSERT INTO replace_test.scores VALUES (NULL, 2);
CALL activate.run_sync('scores');
DELETE FROM replace_test.scores WHERE id IS NULL;
CALL activate.run_sync('scores');
SELECT replace_test.last('scores');
\! $DESTINATION_ASK records scores

-- also a row that counts as accepted without ever having been sent
INSERT INTO replace_test.scores VALUES (5, 'Infinity');
SELECT activate.reset_sync('scores', 'baseline');
INSERT INTO replace_test.scores VALUES (6, 6);
CALL activate.run_sync('scores');
DELETE FROM replace_test.scores WHERE id IN (5, 6);

-- an empty model holds; approved, the object is emptied
CALL activate.run_sync('scores');
DELETE FROM replace_test.scores;
CALL activate.run_sync('scores');
SELECT replace_test.last('scores');
SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = 'scores' AND status = 'held';
SELECT body::json -> 'rows' AS rows, rows FROM activate.preview_requests('scores');
CALL activate.run_sync('scores');
SELECT replace_test.last('scores');
\! $DESTINATION_ASK records scores
CALL activate.run_sync('scores');
SELECT replace_test.last('scores');
INSERT INTO replace_test.scores VALUES (1, 1);
CALL activate.run_sync('scores');
\! $DESTINATION_ASK records scores

-- the guards look at the rows that differ
CREATE TABLE replace_test.many AS SELECT i AS id, 'n' || i AS name FROM generate_series(1, 200) AS i;
SELECT activate.create_sync('many', 'replace_test.many', 'id', 'sheets', object => 'many', mode => 'replace') > 0 AS created;
CALL activate.run_sync('many');
DELETE FROM replace_test.many WHERE id > 100;
CALL activate.run_sync('many');
SELECT replace_test.last('many');
SELECT activate.discard_run(max(run_id)) FROM activate.runs WHERE sync = 'many' AND status = 'held';
INSERT INTO replace_test.many SELECT i, 'n' || i FROM generate_series(101, 200) AS i;
CALL activate.run_sync('many');
SELECT replace_test.last('many');

-- refused: every row that differs is charged; the same unit waits, another goes
\! $DESTINATION_ASK script '[{"match": {"path": "/many"}, "status": 422, "body": "{\"error\": \"no such sheet\"}", "times": 1}]'
UPDATE replace_test.many SET name = 'x' WHERE id IN (7, 8);
CALL activate.run_sync('many');
SELECT replace_test.last('many');
SELECT key, op, state, attempts, http_status, message FROM activate.pending WHERE sync = 'many' ORDER BY key::text;
SET client_min_messages = error;	-- it says when
CALL activate.run_sync('many');
SET client_min_messages = warning;
SELECT replace_test.last('many');
SELECT count(*) FROM activate.preview_sync('many');
SELECT regexp_replace(next_action, 'after .*', 'after ...') AS next_action, regexp_replace(explanation, '20[0-9]{2}-[-0-9: +]*', '...', 'g') AS explanation
FROM activate.explain_row('many', '7');
UPDATE replace_test.many SET name = 'n8' WHERE id = 8;
CALL activate.run_sync('many');
SELECT replace_test.last('many');
SELECT count(*) FROM activate.pending WHERE sync = 'many';
-- and a refused order has a back-off, too, though no row is there to show it
\! $DESTINATION_ASK script '[{"match": {"path": "/ranking"}, "status": 422, "times": 1}]'
UPDATE replace_test.regions SET revenue = 100 - revenue;
CALL activate.run_sync('ranking');
SELECT replace_test.last('ranking');
SET client_min_messages = error;
CALL activate.run_sync('ranking');
SET client_min_messages = warning;
SELECT replace_test.last('ranking');
UPDATE activate.sync_state SET unit_next_attempt_at = now() - interval '1 s' WHERE unit_next_attempt_at IS NOT NULL;
CALL activate.run_sync('ranking');
SELECT replace_test.last('ranking');
-- too much for one request
\! $DESTINATION_ASK config '{"max_rows": 100}'
UPDATE replace_test.many SET name = 'y' WHERE id = 9;
CALL activate.run_sync('many');
SELECT replace_test.last('many');
\! $DESTINATION_ASK config '{"max_rows": 0}'
INSERT INTO activate.connector (name, spec)
SELECT 'small', replace(replace(spec::text, '"name": "webhook"', '"name": "small"'), '"replace": {', '"replace": {"batch": {"max_bytes": 1000},')::json
FROM activate.connector WHERE name = 'webhook';
SELECT format('CREATE SERVER small FOREIGN DATA WRAPPER activate OPTIONS (connector ''small'', base_url %L)', :'url') \gexec
SELECT activate.create_sync('small', 'replace_test.many', 'id', 'small', object => 'small', mode => 'replace') > 0 AS created;
CALL activate.run_sync('small');
SELECT replace_test.last('small');
UPDATE activate.connector SET spec = replace(spec::text, '{"max_bytes": 1000}', '{"max_rows": 50}')::json WHERE name = 'small';
CALL activate.run_sync('small');
DELETE FROM replace_test.many WHERE id > 50;
CALL activate.run_sync('small');
SELECT replace_test.last('small');

-- everything that goes row by row does not go with it
CALL activate.run_sync('regions', max_rows => 1);
CALL activate.run_sync('regions', keys => '["east"]');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', on_removed => 'delete');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"canary": 5}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"batch_size": 5}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"remove_after": "1 h"}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"first_run": "link"}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"changed_fields_only": true}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"insert_mapping": "code"}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"removed_mapping": "code"}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace', options => '{"delivery": "at_most_once"}');
SELECT activate.create_sync('no', 'replace_test.regions', 'code', 'sheets', mode => 'replace',
	mapping => '{"code": "code", "revenue": {"$sql": "revenue", "$on": "insert"}}');

-- policies of fields hold for the unit
SELECT activate.create_sync('policies', 'SELECT * FROM (VALUES (1, NULL, 3), (2, ''b'', 4)) AS v(id, a, ignored)', 'id', 'sheets',
	object => 'policies', mode => 'replace', options => '{"nulls": "omit", "ignore_fields": ["ignored"]}') > 0 AS created;
CALL activate.run_sync('policies');
SELECT activate.alter_sync('policies', model => 'SELECT * FROM (VALUES (1, NULL, 30), (2, ''b'', 4)) AS v(id, a, ignored)', resend => 'none');
CALL activate.run_sync('policies');
SELECT replace_test.last('policies');
\! $DESTINATION_ASK records policies

-- what makes the unit another one sends it; resend none and a baseline do not
SELECT activate.alter_sync('regions', object => 'regions2');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
SELECT activate.alter_sync('regions', model => 'SELECT * FROM replace_test.regions ORDER BY revenue');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
SELECT activate.alter_sync('regions', model => 'SELECT * FROM replace_test.regions ORDER BY revenue DESC', resend => 'none');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
UPDATE replace_test.regions SET revenue = revenue + 1;
SELECT activate.reset_sync('regions', 'baseline');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
SELECT activate.reset_sync('regions', 'resend');
CALL activate.run_sync('regions');
SELECT replace_test.last('regions');
-- a sync that kept the object row by row so far: what it left there is gone
SELECT activate.create_sync('was_upsert', 'replace_test.regions', 'code', 'sheets', object => 'was_upsert') > 0 AS created;
CALL activate.run_sync('was_upsert');
DELETE FROM replace_test.regions WHERE code = 'centre';
CALL activate.run_sync('was_upsert');
SET client_min_messages = notice;
SELECT activate.alter_sync('was_upsert', mode => 'replace');
SET client_min_messages = warning;
CALL activate.run_sync('was_upsert');
SELECT replace_test.last('was_upsert');
\! $DESTINATION_ASK records was_upsert
-- whatever it sends again is one request
SET client_min_messages = notice;
SELECT activate.alter_sync('was_upsert', mapping => 'code AS more');
SET client_min_messages = warning;

-- a mapping that raises on a row is named by it, and nothing goes
CREATE TABLE replace_test.ratio (id int, n int);
INSERT INTO replace_test.ratio VALUES (1, 1), (2, 0);
SELECT activate.create_sync('ratio', 'replace_test.ratio', 'id', 'sheets', object => 'ratio', mode => 'replace', mapping => '10 / n AS n',
	options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('ratio');
SELECT replace_test.last('ratio');
-- a row that refers to a record that is not there yet keeps all of them waiting
CREATE TABLE replace_test.refs (id int, code text);
INSERT INTO replace_test.refs VALUES (1, 'east'), (2, 'south');
SELECT activate.create_sync('parents', 'replace_test.regions', 'code', 'sheets', object => 'parents') > 0 AS created;
CALL activate.run_sync('parents');
SELECT activate.create_sync('refs', 'replace_test.refs', 'id', 'sheets', object => 'refs', mode => 'replace',
	mapping => $$ id, code, activate.external_id('parents', code) AS parent $$) > 0 AS created;
CALL activate.run_sync('refs');
SELECT replace_test.last('refs');
INSERT INTO replace_test.regions VALUES ('south', 1);
CALL activate.run_sync('parents');
CALL activate.run_sync('refs');
SELECT replace_test.last('refs');
\! $DESTINATION_ASK records refs | sed 's,"r[0-9]*","rN",g'

SELECT run_id FROM activate.run WHERE added + changed + removed
	<> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA replace_test CASCADE;
