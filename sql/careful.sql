-- a mapping that raises on some rows: those are named and stay as they are,
-- the others go on
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER careful_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
CREATE SCHEMA careful;
CREATE FUNCTION careful.last(sync text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'model ' || rows_in_model, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'delayed ' || nullif(delayed, 0),
		'invalid ' || nullif(invalid, 0), 'unchanged ' || nullif(unchanged, 0), 'duplicates ' || nullif(r.duplicates, 0))
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = last.sync ORDER BY run_id DESC LIMIT 1
$$;
CREATE FUNCTION careful.told(sync text) RETURNS TABLE (key jsonb, code text, message text) LANGUAGE sql AS $$
	SELECT i.key, i.code, i.message FROM activate.invalid_row i JOIN activate.sync s USING (sync_id)
	WHERE s.name = told.sync ORDER BY i.key::text, i.code
$$;

-- one bad row: named by field and reason, everybody else goes
CREATE TABLE careful.people (id int PRIMARY KEY, name text, part int, whole int);
INSERT INTO careful.people SELECT i, 'n' || i, 100, i - 5 FROM generate_series(1, 10) i;
SELECT activate.create_sync('people', 'careful.people', 'id', 'careful_crm', object => 'people',
	mapping => 'name, part / whole AS score', mode => 'mirror', on_removed => 'delete',
	options => '{"remove_after": "0", "max_removed": null, "max_invalid": null}') > 0 AS created;
CALL activate.run_sync('people');
SELECT careful.last('people');
SELECT * FROM careful.told('people');
SELECT key, op, state, code, message FROM activate.rejections;
SELECT in_model, problem, payload, in_sync, next_action, explanation FROM activate.explain_row('people', '5');
SELECT op, key, payload, problem FROM activate.preview_sync('people');
SELECT invalid, unchanged, to_send FROM activate.plan_sync('people');
SELECT rows, body FROM activate.preview_requests('people');

-- an accepted row that turns bad keeps its record, under mirror too
UPDATE careful.people SET whole = 0, name = 'seven' WHERE id = 7;
UPDATE careful.people SET name = 'eight' WHERE id = 8;
DELETE FROM careful.people WHERE id = 9;
CALL activate.run_sync('people');
SELECT careful.last('people');
SELECT * FROM careful.told('people');
\! $DESTINATION_ASK records people
-- and back
UPDATE careful.people SET whole = 1 WHERE whole = 0;
CALL activate.run_sync('people');
SELECT careful.last('people');
SELECT count(*) FROM careful.told('people');

-- named keys: only those are looked at
UPDATE careful.people SET whole = 0 WHERE id IN (1, 2);
UPDATE careful.people SET name = 'three' WHERE id = 3;
CALL activate.run_sync('people', keys => '[2, 3]');
SELECT careful.last('people');
SELECT * FROM careful.told('people');

-- it counts against max_invalid
SELECT activate.alter_sync('people', options => '{"max_invalid": 1}');
CALL activate.run_sync('people');
\echo :LAST_ERROR_SQLSTATE
SELECT careful.last('people');
SELECT activate.drop_sync('people');

-- an error of the model itself is the run's
CREATE VIEW careful.bad_view AS SELECT id, name, 100 / whole AS ratio FROM careful.people;
SELECT activate.create_sync('bad_model', 'careful.bad_view', 'id', 'careful_crm', object => 'bad_model',
	mapping => 'ratio, part_of(name)' ) > 0 AS created;
SELECT activate.create_sync('bad_model', 'careful.bad_view', 'id', 'careful_crm', object => 'bad_model', mapping => 'ratio') > 0 AS created;
CALL activate.run_sync('bad_model');
\echo :LAST_ERROR_SQLSTATE
SELECT careful.last('bad_model');
SELECT activate.drop_sync('bad_model');

-- a query as the model, names qualified by its alias, a subquery over the row,
-- functions that complain in their own words, and one field after the other
CREATE TABLE careful.orders (person int, amount numeric);
INSERT INTO careful.orders SELECT i % 10, i FROM generate_series(1, 40) i;
CREATE FUNCTION careful.check_name(name text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF name = 'n4' THEN
		RAISE EXCEPTION 'nobody is called "%"', name USING ERRCODE = 'MY001';
	END IF;
	RETURN upper(name);
END $$;
SELECT activate.create_sync('query', 'SELECT p.id, p.name, p.whole FROM careful.people p', 'id', 'careful_crm', object => 'query', mode => 'upsert',
	mapping => $$ careful.check_name(model.name) AS name,
		(SELECT sum(o.amount) / model.whole FROM careful.orders o WHERE o.person = model.id) AS amount,
		to_jsonb(model) - 'name' AS row $$, options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('query');
SELECT careful.last('query');
SELECT * FROM careful.told('query');
\! $DESTINATION_ASK records query

-- a function of the whole row; names qualified by the relation
CREATE FUNCTION careful.risk(person careful.people) RETURNS int LANGUAGE sql STABLE AS $$ SELECT 1000 / person.whole $$;
ALTER TABLE careful.people ADD COLUMN gone int, ADD COLUMN late text DEFAULT 'late';
ALTER TABLE careful.people DROP COLUMN gone;
SELECT activate.create_sync('whole', 'careful.people', 'id', 'careful_crm', object => 'whole',
	mapping => $$ careful.risk(people) AS risk, people.name, late $$, options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('whole');
SELECT careful.last('whole');
SELECT * FROM careful.told('whole');
-- qualified by the schema as well, it cannot be taken apart: the error is the run's
SELECT activate.alter_sync('whole', mapping => 'careful.people.name, 1000 / careful.people.whole AS risk');
CALL activate.run_sync('whole');
\echo :LAST_ERROR_SQLSTATE
SELECT activate.alter_sync('whole', mapping => 'people.name, 1000 / people.whole AS risk, tableoid::regclass AS source');
CALL activate.run_sync('whole');
SELECT careful.last('whole');
SELECT * FROM careful.told('whole');

-- what can only fail, fails on every row
SELECT activate.alter_sync('whole', mapping => 'name, 1 / 0 AS risk');
CALL activate.run_sync('whole');
SELECT careful.last('whole');
SELECT message, count(*) FROM careful.told('whole') GROUP BY 1;
-- an error of the statement is nobody's row
CREATE FUNCTION careful.no_table(name text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT x FROM no_such_table); END $$;
SELECT activate.alter_sync('whole', mapping => 'careful.no_table(name) AS name');
CALL activate.run_sync('whole');
\echo :LAST_ERROR_SQLSTATE
SELECT activate.drop_sync('whole');
SELECT activate.drop_sync('query');

-- a type that cannot print all of its values
CREATE TYPE careful.mood AS ENUM ('good', 'bad', 'ugly');
CREATE FUNCTION careful.mood_json(mood careful.mood) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF mood = 'ugly' THEN RAISE EXCEPTION 'no word for it'; END IF;
	RETURN to_json('very ' || mood::text);
END $$;
CREATE CAST (careful.mood AS json) WITH FUNCTION careful.mood_json(careful.mood);
CREATE TABLE careful.moods (id int, mood careful.mood, whole int);
INSERT INTO careful.moods VALUES (1, 'good', 1), (2, 'bad', 1), (3, 'ugly', 1), (4, 'good', 1);
SELECT activate.create_sync('moods', 'careful.moods', 'id', 'careful_crm', object => 'moods', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('moods');
SELECT careful.last('moods');
SELECT * FROM careful.told('moods');
\! $DESTINATION_ASK records moods
SELECT activate.drop_sync('moods');

-- keys that occur twice: a bad row makes its key invalid, whatever the other is like
CREATE TABLE careful.twice (id int, a int, whole int);
INSERT INTO careful.twice VALUES (1, 1, 0), (1, 1, 1), (2, 1, 1), (2, 1, 0), (3, 1, 0), (3, 1, 0), (4, 1, 1), (4, 1, 1), (5, 1, 1), (5, 2, 1), (NULL, 1, 0), (6, 6, 1);
SELECT activate.create_sync('twice', 'careful.twice', 'id', 'careful_crm', object => 'twice', mapping => 'a / whole AS a',
	options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('twice');
SELECT careful.last('twice');
SELECT * FROM careful.told('twice');

-- a baseline leaves bad rows out, and so does a definition that resends nothing
DELETE FROM careful.twice WHERE id IS NULL OR id < 6;
INSERT INTO careful.twice VALUES (7, 7, 0), (8, 8, 1), (8, 8, 0);
SELECT activate.reset_sync('twice', 'baseline');
SELECT id, activate_state FROM activate_data.twice ORDER BY id;
CALL activate.run_sync('twice');
SELECT careful.last('twice');
SELECT * FROM careful.told('twice');
SELECT activate.alter_sync('twice', mapping => 'a / whole AS a, 1 / (whole - 2) AS b', resend => 'none');
UPDATE careful.twice SET whole = 2 WHERE id = 6;
SELECT activate.alter_sync('twice', mapping => 'a / whole AS a', resend => 'none');
CALL activate.run_sync('twice');
SELECT careful.last('twice');
SELECT * FROM careful.told('twice');
SELECT activate.drop_sync('twice');

-- the owner's eyes: rows that a policy hides from him, columns that he may not
-- read, and the tables of subqueries
CREATE ROLE careful_owner;
GRANT USAGE ON SCHEMA careful, activate TO careful_owner;
GRANT USAGE ON FOREIGN SERVER careful_crm TO careful_owner;
CREATE TABLE careful.secret (id int PRIMARY KEY, name text, salary int, whole int);
INSERT INTO careful.secret SELECT i, 'n' || i, 1000, i - 3 FROM generate_series(1, 6) i;
ALTER TABLE careful.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON careful.secret FOR SELECT TO careful_owner USING (id <> 5);
GRANT SELECT (id, name, whole) ON careful.secret TO careful_owner;
GRANT SELECT ON careful.orders TO careful_owner;
ALTER TABLE careful.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON careful.orders FOR SELECT TO careful_owner USING (amount < 20);
SET ROLE careful_owner;
SELECT activate.create_sync('owned', 'careful.secret', 'id', 'careful_crm', object => 'owned',
	mapping => '6 / whole AS score, current_user AS who, (SELECT count(*) FROM careful.orders o WHERE o.person = secret.id) AS orders',
	options => '{"max_invalid": null}') > 0 AS created;
RESET ROLE;
CALL activate.run_sync('owned');
SELECT careful.last('owned');
SELECT * FROM careful.told('owned');
\! $DESTINATION_ASK records owned

-- not to be called by itself, nor by a model with other ideas of its rows
SELECT * FROM activate.diff_block() AS b(a int);
SELECT * FROM activate.diff_block(NULL::careful.people);
SELECT * FROM activate.diff_rows(1) AS r(a int);
SELECT * FROM activate.diff_rows(NULL) AS r(a int);
CREATE FUNCTION careful.nosy(whole int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
	PERFORM * FROM activate.diff_block() AS b(a text);
	RETURN 1 / whole;
END $$;
SET ROLE careful_owner;
SELECT activate.alter_sync('owned', mapping => 'careful.nosy(whole) AS score');
RESET ROLE;
CALL activate.run_sync('owned');
\echo :LAST_ERROR_SQLSTATE
CREATE OR REPLACE FUNCTION careful.nosy(whole int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
	BEGIN
		PERFORM * FROM activate.diff_block() AS b(a text);
	EXCEPTION WHEN OTHERS THEN
		RETURN 1 / whole;
	END;
	RETURN 2 / whole;
END $$;
CALL activate.run_sync('owned');
SELECT careful.last('owned');
SELECT * FROM careful.told('owned');
SELECT activate.drop_sync('owned');

SET client_min_messages = warning;
DROP SCHEMA careful CASCADE;
DROP SERVER careful_crm CASCADE;
DROP EXTENSION pg_activate CASCADE;
DROP ROLE careful_owner;
