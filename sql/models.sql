-- Kinds of models, types and limits, as a user meets them first.  The rest is
-- in test/t/18*.pl.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
\! $DESTINATION_ASK reset

CREATE SCHEMA models_test;
CREATE SERVER models_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE TABLE models_test.people (id int, name text, region text) PARTITION BY LIST (region);
CREATE TABLE models_test.eu PARTITION OF models_test.people FOR VALUES IN ('eu');
CREATE TABLE models_test.us PARTITION OF models_test.people FOR VALUES IN ('us');
INSERT INTO models_test.people VALUES (1, 'a', 'eu'), (2, 'b', 'us');
CREATE MATERIALIZED VIEW models_test.filled AS SELECT id, name FROM models_test.people WITH NO DATA;

-- given a materialized view without data, then the run fails and says so
SELECT activate.create_sync('filled', 'models_test.filled', key => 'id', destination => 'models_crm', object => 'filled',
	mode => 'mirror', on_removed => 'delete', options => '{"remove_after": 0, "max_removed": 10}') > 0 AS created;
CALL activate.run_sync('filled');
REFRESH MATERIALIZED VIEW models_test.filled;
CALL activate.run_sync('filled');
\! $DESTINATION_ASK records filled

-- given a partition that goes, then so do its rows
SELECT activate.create_sync('people', 'models_test.people', key => 'region, id', destination => 'models_crm', object => 'people',
	mapping => 'name', mode => 'mirror', on_removed => 'delete', options => '{"remove_after": 0, "max_removed": 10}') > 0 AS created;
CALL activate.run_sync('people');
ALTER TABLE models_test.people DETACH PARTITION models_test.us;
CALL activate.run_sync('people');
\! $DESTINATION_ASK records people

-- given a query, then it is read under the search_path of its definition
SET search_path = models_test;
SELECT activate.create_sync('query', $$ WITH x AS (SELECT * FROM people) SELECT id, name || '!' AS name FROM x; -- all $$,
	key => 'id', destination => 'models_crm', object => 'query') > 0 AS created;
RESET search_path;
CALL activate.run_sync('query');
\! $DESTINATION_ASK records query

-- given keys that print as more than a scalar, then they are named as they are shown
CREATE TABLE models_test.keys (k int[], j jsonb, v int);
INSERT INTO models_test.keys VALUES ('{1,NULL}', '{"a": 1}', 1), ('{}', '"x"', 1);
SELECT activate.create_sync('keys', 'models_test.keys', key => 'k, j', destination => 'models_crm', object => 'keys', mapping => 'v') > 0 AS created;
CALL activate.run_sync('keys', keys => '[{"k": [1, null], "j": {"a": 1}}]');
\! $DESTINATION_ASK records keys
CALL activate.run_sync('keys', keys => '[{"k": [], "j": "x"}]');
\! $DESTINATION_ASK records keys
SELECT in_model, state FROM activate.explain_row('keys', '{"k": [1, null], "j": {"a": 1}}');
\set VERBOSITY terse
CALL activate.run_sync('keys', keys => '[{"k": {"a": 1}, "j": 1}]');
\set VERBOSITY default

-- given a key without an order, too many fields, and row security, then it is said
SELECT activate.create_sync('none', 'SELECT point(1, 2) AS p', key => 'p', destination => 'models_crm', object => 'none');
SELECT activate.create_sync('none', 'models_test.eu', key => 'id', destination => 'models_crm', object => 'none',
	mapping => (SELECT string_agg('id AS f' || i, ', ') FROM generate_series(1, 1601) AS i));
CREATE ROLE models_reader;
GRANT USAGE ON SCHEMA models_test, activate TO models_reader;
GRANT USAGE ON FOREIGN SERVER models_crm TO models_reader;
GRANT SELECT ON models_test.eu TO models_reader;
ALTER TABLE models_test.eu ENABLE ROW LEVEL SECURITY;
SELECT activate.create_sync('none', 'models_test.eu', key => 'id', destination => 'models_crm', object => 'none', owner => 'models_reader') > 0 AS created;
CALL activate.run_sync('none');

DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA models_test CASCADE;
DROP ROLE models_reader;
