-- what differs between a model and what its destination accepted: each change
-- is found, and nothing is found that is none
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER diff_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
CREATE SCHEMA diff_test;
CREATE FUNCTION diff_test.last(sync text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'model ' || rows_in_model, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'delayed ' || nullif(delayed, 0),
		'invalid ' || nullif(invalid, 0), 'leaving ' || nullif(leaving, 0), 'unchanged ' || nullif(unchanged, 0),
		'duplicates ' || nullif(r.duplicates, 0), 'requests ' || nullif(requests, 0))
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = last.sync ORDER BY run_id DESC LIMIT 1
$$;

-- null keys, identical duplicates, differing ones; one equal to the snapshot
CREATE TABLE diff_test.people (id int, name text);
INSERT INTO diff_test.people VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four');
SELECT activate.create_sync('people', 'diff_test.people', 'id', 'diff_crm', object => 'people', mode => 'mirror',
	on_removed => 'delete', options => '{"remove_after": "0", "max_removed": null, "max_invalid": null}') > 0 AS created;
CALL activate.run_sync('people');
SELECT diff_test.last('people');
CALL activate.run_sync('people');
SELECT diff_test.last('people');
INSERT INTO diff_test.people VALUES (NULL, 'nobody'), (NULL, 'nobody'), (1, 'one'), (2, 'other'), (5, 'five'), (5, 'five'), (6, 'six'), (6, 'sechs');
CALL activate.run_sync('people');
SELECT diff_test.last('people');
SELECT key, code, message FROM activate.invalid_row ORDER BY key::text, code;
\! $DESTINATION_ASK records people
-- changed, and both rows of the key at once
UPDATE diff_test.people SET name = 'three again' WHERE id = 3;
DELETE FROM diff_test.people WHERE id IS NULL OR id IN (2, 6);
INSERT INTO diff_test.people VALUES (2, 'two'), (4, 'four'), (4, 'four');
CALL activate.run_sync('people');
SELECT diff_test.last('people');
-- removed, and back
DELETE FROM diff_test.people WHERE id IN (4, 5);
CALL activate.run_sync('people');
SELECT diff_test.last('people');
INSERT INTO diff_test.people VALUES (4, 'four');
CALL activate.run_sync('people');
SELECT diff_test.last('people');
\! $DESTINATION_ASK records people

-- leaving: gone only after remove_after; back before it is nothing at all
SELECT activate.alter_sync('people', options => '{"remove_after": "1 hour"}');
DELETE FROM diff_test.people WHERE id IN (3, 4);
CALL activate.run_sync('people');
SELECT diff_test.last('people');
CALL activate.run_sync('people');
SELECT diff_test.last('people');
INSERT INTO diff_test.people VALUES (3, 'three again');
UPDATE activate_data.people SET activate_missing_since = activate_missing_since - interval '61 minutes';
CALL activate.run_sync('people');
SELECT diff_test.last('people');
SELECT id, activate_state FROM activate_data.people ORDER BY 1;

-- on_removed => archive, clear, ignore
DO $$
BEGIN
	FOR how IN 1 .. 3 LOOP
		EXECUTE format('CREATE TABLE diff_test.r%s AS SELECT i AS id, ''n'' || i AS name FROM generate_series(1, 3) i', how);
		PERFORM activate.create_sync('r' || how, 'diff_test.r' || how, 'id', 'diff_crm', object => 'r' || how, mode => 'mirror',
			match => 'id', on_removed => ('{archive,clear,ignore}'::text[])[how], options => '{"max_removed": null}');
	END LOOP;
END $$;
CALL activate.run_sync('r1');
CALL activate.run_sync('r2');
CALL activate.run_sync('r3');
DELETE FROM diff_test.r1 WHERE id = 2;
DELETE FROM diff_test.r2 WHERE id = 2;
DELETE FROM diff_test.r3 WHERE id = 2;
CALL activate.run_sync('r1');
CALL activate.run_sync('r2');
CALL activate.run_sync('r3');
SELECT diff_test.last('r1'), diff_test.last('r2'), diff_test.last('r3');
\! $DESTINATION_ASK rows r1
\! $DESTINATION_ASK rows r2
\! $DESTINATION_ASK rows r3
INSERT INTO diff_test.r1 VALUES (2, 'n2');
INSERT INTO diff_test.r2 VALUES (2, 'n2');
INSERT INTO diff_test.r3 VALUES (2, 'n2');
CALL activate.run_sync('r1');
CALL activate.run_sync('r2');
CALL activate.run_sync('r3');
SELECT diff_test.last('r1'), diff_test.last('r2'), diff_test.last('r3');

-- modes insert and update
SELECT activate.create_sync('inserts', 'diff_test.r1', 'id', 'diff_crm', object => 'inserts', mode => 'insert') > 0 AS created;
CALL activate.run_sync('inserts');
UPDATE diff_test.r1 SET name = 'changed';
CALL activate.run_sync('inserts');
SELECT diff_test.last('inserts');
SELECT activate.create_sync('updates', 'diff_test.r1', 'id', 'diff_crm', object => 'r1', mode => 'update') > 0 AS created;
CALL activate.run_sync('updates');
SELECT diff_test.last('updates');

-- the model changes: a column more, a column retyped, one gone, renamed, rebuilt
CREATE TABLE diff_test.moving (id int PRIMARY KEY, a int, b text);
INSERT INTO diff_test.moving SELECT i, i, 'b' FROM generate_series(1, 3) i;
SELECT activate.create_sync('moving', 'diff_test.moving', 'id', 'diff_crm', object => 'moving', mapping => 'a, b',
	mode => 'mirror', on_removed => 'delete') > 0 AS created;
CALL activate.run_sync('moving');
ALTER TABLE diff_test.moving ADD COLUMN c text DEFAULT 'c';
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS column_added;
ALTER TABLE diff_test.moving ALTER a TYPE bigint;
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS retyped_alike;
ALTER TABLE diff_test.moving ALTER a TYPE date USING date '2000-01-01' + a::int;
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS retyped;
SELECT activate.alter_sync('moving', mapping => 'a, b, c AS extra');
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS mapping_changed;
ALTER TABLE diff_test.moving RENAME id TO key;
CALL activate.run_sync('moving');
SELECT activate.alter_sync('moving', key => 'key');
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS key_renamed;
CREATE TABLE diff_test.moving_new AS SELECT * FROM diff_test.moving;
ALTER TABLE diff_test.moving RENAME TO moving_old;
ALTER TABLE diff_test.moving_new RENAME TO moving;
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS rebuilt;
\set SHOW_CONTEXT errors
ALTER TABLE diff_test.moving DROP COLUMN b;
CALL activate.run_sync('moving');
\echo :LAST_ERROR_SQLSTATE
SELECT diff_test.last('moving') AS column_gone;
DROP TABLE diff_test.moving;
CALL activate.run_sync('moving');
\echo :LAST_ERROR_SQLSTATE
SELECT diff_test.last('moving') AS model_gone;
\set SHOW_CONTEXT never
SELECT count(*) AS still_synced FROM activate_data.moving;
ALTER TABLE diff_test.moving_old RENAME TO moving;
CALL activate.run_sync('moving');
SELECT diff_test.last('moving') AS back;

-- keys of several columns, and of every type with an order
CREATE TYPE diff_test.colour AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN diff_test.code AS text CHECK (VALUE <> '');
CREATE TABLE diff_test.zoo (a int2, b int8, c text COLLATE "C", d uuid, e date, f timestamptz, g numeric, h diff_test.colour, i boolean,
	j diff_test.code, k bytea, l interval, m inet, n "char", o timestamp, p varchar(5), q char(4), r int[], s int4range, t float8, u name);
INSERT INTO diff_test.zoo VALUES
	(1, 9007199254740993, 'Zoë "x", {y}', '00000000-0000-0000-0000-000000000001', '2026-03-29', '2026-03-29 01:30:00+00', 1.50, 'red', true,
		'a', '\x00ff', '1 month 2 days', '10.0.0.1/8', 'x', '2026-03-29 02:30:00', 'abc', 'ab', '{1,NULL,3}', '[1,5)', 0.1, 'n'),
	(1, 9007199254740992, E'back\\slash, \ttab', '00000000-0000-0000-0000-000000000002', '0044-03-15 BC', 'infinity', 'NaN', 'blue', false,
		'b', '', '-1 day', '::1', ' ', '-infinity', '', '', '{}', 'empty', 'Infinity', 'm');
DO $$
DECLARE
	col name;
BEGIN
	FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'diff_test.zoo'::regclass AND attnum > 0 ORDER BY attnum LOOP
		EXECUTE format('CREATE VIEW diff_test.zoo_%I AS SELECT DISTINCT %I, 1 AS one FROM diff_test.zoo', col, col);
		PERFORM activate.create_sync('zoo_' || col, 'diff_test.zoo_' || col, col, 'diff_crm', object => 'zoo_' || col, mode => 'mirror',
			on_removed => 'delete', mapping => 'one', options => '{"remove_after": "0"}');
	END LOOP;
	PERFORM activate.create_sync('zoo', 'diff_test.zoo', 'b, c, d, e, f, g, h', 'diff_crm', object => 'zoo', mode => 'mirror',
		on_removed => 'delete', options => '{"remove_after": "0", "max_invalid": null}');
END $$;
SELECT format('CALL activate.run_sync(%L)', name) FROM activate.sync WHERE name LIKE 'zoo%' ORDER BY name \gexec
SELECT name, diff_test.last(name) FROM activate.sync WHERE name LIKE 'zoo%' ORDER BY name;

-- infinite and not a number: no key that JSON could carry
SELECT DISTINCT s.name, i.key, i.message FROM activate.invalid_row i JOIN activate.sync s USING (sync_id) WHERE s.name LIKE 'zoo\__' ORDER BY 1;
UPDATE diff_test.zoo SET f = '2026-10-25 00:30:00.000001+00', g = -0.00, o = '2026-10-25 02:30:00.000001', t = 1e-300 WHERE NOT i;
SELECT format('CALL activate.run_sync(%L)', name) FROM activate.sync WHERE name IN ('zoo', 'zoo_f', 'zoo_g', 'zoo_o', 'zoo_t') ORDER BY name \gexec
SELECT name, diff_test.last(name) FROM activate.sync WHERE name IN ('zoo', 'zoo_f', 'zoo_g', 'zoo_o', 'zoo_t') ORDER BY name;
\! $DESTINATION_ASK records zoo

-- nothing changed, whatever the session's settings are
CREATE TABLE diff_test.hostile (n int, name text, value text);
INSERT INTO diff_test.hostile
	SELECT row_number() OVER () - 1, * FROM (VALUES ('TimeZone', 'Asia/Kathmandu'), ('TimeZone', 'America/St_Johns'), ('TimeZone', 'UTC'),
		('DateStyle', 'German'), ('DateStyle', 'SQL, DMY'), ('DateStyle', 'Postgres, MDY'), ('IntervalStyle', 'iso_8601'),
		('IntervalStyle', 'sql_standard'), ('IntervalStyle', 'postgres_verbose'), ('bytea_output', 'escape'), ('extra_float_digits', '-15'),
		('extra_float_digits', '0'), ('extra_float_digits', '3'), ('lc_monetary', 'C'), ('lc_numeric', 'C'), ('lc_time', 'C'),
		('search_path', ''), ('search_path', 'diff_test'), ('search_path', 'pg_temp, pg_catalog, public'), ('xmloption', 'document'), ('xmlbinary', 'hex'),
		('array_nulls', 'off'), ('quote_all_identifiers', 'on'), ('transform_null_equals', 'on'), ('default_transaction_read_only', 'on'),
		('default_transaction_isolation', 'serializable'), ('default_transaction_isolation', 'repeatable read'), ('lock_timeout', '1ms'),
		('synchronous_commit', 'off'), ('row_security', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('work_mem', '64kB'),
		('standard_conforming_strings', 'off'), ('escape_string_warning', 'on'), ('backslash_quote', 'off'), ('statement_timeout', '1min'),
		('default_transaction_deferrable', 'on'), ('plan_cache_mode', 'force_generic_plan'), ('client_encoding', 'LATIN1')) AS v(name, value);
CREATE TEMPORARY TABLE zoo_before AS SELECT max(run_id) AS run_id FROM activate.run;
SELECT format('SET %s = %L', name, value), format('CALL activate.run_sync(%L)', 'zoo'), format('CALL activate.run_sync(%L)', 'zoo_t'),
	format('CALL activate.run_sync(%L)', 'zoo_f'), format('CALL activate.run_sync(%L)', 'zoo_l'), format('CALL activate.run_sync(%L)', 'zoo_k'),
	'RESET ' || name FROM diff_test.hostile ORDER BY n \gexec
SET standard_conforming_strings = on;
SELECT status, count(*), sum(added + changed + removed) AS differences FROM activate.run
	WHERE run_id > (SELECT run_id FROM zoo_before) GROUP BY 1;

-- guards: held before the first byte; healed by itself; approved
CREATE TABLE diff_test.many AS SELECT i AS id, 'x' AS name FROM generate_series(1, 200) i;
SELECT activate.create_sync('many', 'diff_test.many', 'id', 'diff_crm', object => 'many', mode => 'mirror', on_removed => 'delete',
	options => '{"max_changed": "10 %", "remove_after": "0"}') > 0 AS created;
CALL activate.run_sync('many');
UPDATE diff_test.many SET name = 'y' WHERE id <= 21;
CALL activate.run_sync('many');
\echo :LAST_ERROR_SQLSTATE
UPDATE diff_test.many SET name = 'x' WHERE id <= 1;
CALL activate.run_sync('many');
SELECT string_agg(status || ' ' || accepted, ', ' ORDER BY run_id) FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = 'many';
DELETE FROM diff_test.many WHERE id <= 11;
CALL activate.run_sync('many');
INSERT INTO diff_test.many SELECT i, 'z' FROM generate_series(1, 11) i;
CALL activate.run_sync('many');
INSERT INTO diff_test.many SELECT NULL, 'nobody' FROM generate_series(1, 30) i;
CALL activate.run_sync('many');
DELETE FROM diff_test.many;
CALL activate.run_sync('many');
SELECT string_agg(status || ' ' || accepted, ', ' ORDER BY run_id) FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = 'many';
SELECT count(*) AS still_synced FROM activate_data.many;
BEGIN;
SELECT activate.approve_run(max(run_id)) FROM activate.run;
UPDATE activate.sync_state SET retry_at = NULL;	-- a worker, where there is one, leaves it to us
COMMIT;
CALL activate.run_sync('many');
SELECT diff_test.last('many');
SELECT count(*) AS still_synced FROM activate_data.many;

-- given many rows that begin to leave, then they are held; an approval is of these rows, and holds for as long as they leave
INSERT INTO diff_test.many SELECT i, i FROM generate_series(1, 200) i ON CONFLICT DO NOTHING;
CALL activate.run_sync('many');
SELECT activate.alter_sync('many', options => '{"remove_after": "1 hour"}');
DELETE FROM diff_test.many WHERE id <= 50;
CALL activate.run_sync('many');
BEGIN;
SELECT activate.approve_run(max(run_id)) FROM activate.run;
UPDATE activate.sync_state SET retry_at = NULL;	-- a worker, where there is one, leaves it to us
COMMIT;
DELETE FROM diff_test.many WHERE id = 51;
CALL activate.run_sync('many');
BEGIN;
SELECT activate.approve_run(max(run_id)) FROM activate.run;
UPDATE activate.sync_state SET retry_at = NULL;	-- a worker, where there is one, leaves it to us
COMMIT;
CALL activate.run_sync('many');
CALL activate.run_sync('many');
SELECT diff_test.last('many');

SET client_min_messages = error;
DROP SCHEMA diff_test CASCADE;
DROP EXTENSION pg_activate CASCADE;
