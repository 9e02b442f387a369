-- rows that left the model: on_removed update, remove and clear, and a change from one to another
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE SCHEMA removal_test;
CREATE TABLE removal_test.people (id int PRIMARY KEY, email text, score int);
INSERT INTO removal_test.people SELECT i, 'p' || i || '@example.com', i FROM generate_series(1, 6) AS i;
CREATE SERVER removal_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
-- one that finds records by fields
INSERT INTO activate.connector (name, spec)
SELECT 'list', replace(replace(spec::text, '"webhook"', '"list"'), '"takes_key": true,', '')::json
FROM activate.connector WHERE name = 'webhook';
CREATE SERVER removal_list FOREIGN DATA WRAPPER activate OPTIONS (connector 'list', base_url :'url');

CREATE FUNCTION create_with(arguments text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE format('SELECT activate.create_sync(name => ''x'', model => ''removal_test.people'', key => ''id'','
		' mode => ''mirror'', %s%s)',
		CASE WHEN arguments !~ 'destination' THEN 'destination => ''removal_crm'', ' END, arguments);
	RAISE 'created';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE INFO '% %', SQLSTATE, concat_ws(E'\n  ', message, 'detail: ' || nullif(detail, ''), 'hint: ' || nullif(hint, ''));
END $$;
SET client_min_messages = warning;

-- what cannot be: each has its own error
SELECT create_with($$ on_removed => 'update' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "id, score"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {"a": {"b": ["score"]}}}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "other.score"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {"a": "gone"}}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "random() AS r"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "count(id) AS n"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "id AS a, id AS a"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "id +"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": ""}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {}}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": "*"}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": 7}' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {"id": null}}', destination => 'removal_list' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {"email": null}}', match => 'email', destination => 'removal_list' $$);
SELECT create_with($$ on_removed => 'update', options => '{"removed_mapping": {"id": null}}' $$);
SET client_min_messages = notice;
SELECT create_with($$ on_removed => 'delete', options => '{"removed_mapping": {"active": false}}', mapping => 'email' $$);

-- update: the match and removed_mapping over the key, computed for rows that left and for no others
CREATE SCHEMA removal_seen;
CREATE FUNCTION removal_seen.strange(id int) RETURNS int STABLE LANGUAGE plpgsql AS
	$$ BEGIN RAISE NOTICE 'asked of %', id; RETURN 100 / (id - 3); END $$;
SELECT activate.create_sync('people', 'removal_test.people', 'id', 'removal_crm', 'people',
	mapping => 'people.id AS ref, email, score', mode => 'mirror', on_removed => 'update',
	options => '{"max_removed": "100 %", "removed_mapping":
		{"active": false, "lists": [], "was": "people.id", "kind": "''lost''", "strange": "removal_seen.strange(id)"}}') > 0 AS created;
SELECT mode, on_removed, match, options -> 'removed_mapping' AS removed_mapping FROM activate.syncs;
CALL activate.run_sync('people');
DELETE FROM removal_test.people WHERE id = 2;
UPDATE removal_test.people SET score = 30 WHERE id = 3;
SELECT added, changed, removed, to_send FROM activate.plan_sync('people');
SELECT op, key, payload FROM activate.preview_sync('people');
SELECT in_model, payload, next_action FROM activate.explain_row('people', '2');
CALL activate.run_sync('people');
\! $DESTINATION_ASK records people
SELECT id, activate_state, activate_external_id, activate_accepted_at IS NULL AS gone, activate_fingerprint IS NULL AS none
FROM activate_data.people WHERE id < 4 ORDER BY id;
CALL activate.run_sync('people');
SELECT explanation FROM activate.explain_row('people', '2');
SELECT * FROM activate.pending;

-- back in the model it is sent as any other, by its id
INSERT INTO removal_test.people VALUES (2, 'back@example.com', 2);
CALL activate.run_sync('people');
SELECT id, activate_state, activate_external_id FROM activate_data.people WHERE id = 2;

-- given a removal that cannot be computed, then the run fails, and nothing is lost
DELETE FROM removal_test.people WHERE id = 3;
\set VERBOSITY terse
CALL activate.run_sync('people');
\set VERBOSITY default
SELECT id, activate_state FROM activate_data.people WHERE id = 3;

-- given the destination has no such record, then an update that removes is done
SELECT activate.alter_sync('people', options => '{"removed_mapping": "false AS active, id * 10 AS was"}');
\! $DESTINATION_ASK script '[{"reject_rows": [{"where": "\"was\":30", "status": "absent"}]}]'
CALL activate.run_sync('people');
SELECT id, activate_state FROM activate_data.people WHERE id = 3;

-- given removed_mapping changes, then what was removed stays, and what was refused is another version
DELETE FROM removal_test.people WHERE id = 4;
\! $DESTINATION_ASK script '[{"reject_rows": [{"where": "\"was\":40", "error": "never", "retry": false}]}]'
\set VERBOSITY terse
CALL activate.run_sync('people');
CALL activate.run_sync('people');
SELECT sync, key, op, state, message FROM activate.pending;
\set VERBOSITY default
SELECT activate.alter_sync('people', options => '{"removed_mapping": "false AS active, id * 100 AS was"}');
CALL activate.run_sync('people');
SELECT status, removed, accepted, skipped FROM activate.runs ORDER BY run_id DESC LIMIT 3;
\! $DESTINATION_ASK rows people

-- guards and remove_after hold for update and remove as for the others
SELECT activate.alter_sync('people', options => '{"max_removed": 0, "remove_after": "1 hour"}');
DELETE FROM removal_test.people WHERE id = 5;
\set VERBOSITY terse
CALL activate.run_sync('people');
SELECT activate.alter_sync('people', options => '{"max_removed": 10}');
CALL activate.run_sync('people');
SELECT id, activate_state FROM activate_data.people WHERE id = 5;
BEGIN;
DELETE FROM removal_test.people;
COMMIT;
CALL activate.run_sync('people');
\set VERBOSITY default

-- given on_removed changes while a row is leaving, removed, refused or in doubt, then the new one is done
INSERT INTO removal_test.people SELECT i, 'p' || i, i FROM generate_series(1, 9) AS i;
SELECT activate.create_sync('changing', 'removal_test.people', 'id', 'removal_crm', 'changing', mapping => 'email',
	mode => 'mirror', on_removed => 'delete', options => '{"max_removed": "100 %", "max_rejected": "100 %", "remove_after": "0"}') > 0 AS created;
CALL activate.run_sync('changing');
DELETE FROM removal_test.people WHERE id = 1;
\! $DESTINATION_ASK script '[{"reject_rows": [{"where": "\"id\": 1}", "error": "no", "retry": false}]}]'
\set VERBOSITY terse
CALL activate.run_sync('changing');
SELECT activate.alter_sync('changing', options => '{"remove_after": "1 hour"}');
DELETE FROM removal_test.people WHERE id = 2;
CALL activate.run_sync('changing');
SELECT id, activate_state, activate_op FROM activate_data.changing WHERE id < 3 ORDER BY id;
SELECT activate.alter_sync('changing', on_removed => 'archive', options => '{"remove_after": null}');
DELETE FROM removal_test.people WHERE id = 3;
CALL activate.run_sync('changing');
SELECT id, activate_state, activate_op FROM activate_data.changing WHERE id < 4 ORDER BY id;
SELECT activate.alter_sync('changing', on_removed => 'update', options => '{"removed_mapping": "false AS active"}');
DELETE FROM removal_test.people WHERE id = 4;
CALL activate.run_sync('changing');
SELECT activate.alter_sync('changing', mode => 'upsert');
DELETE FROM removal_test.people WHERE id = 5;
CALL activate.run_sync('changing');
SELECT activate.alter_sync('changing', mode => 'mirror', on_removed => 'remove', options => '{"removed_mapping": null}');
CALL activate.run_sync('changing');
SELECT id, activate_state FROM activate_data.changing ORDER BY id;
\! $DESTINATION_ASK records changing
\set VERBOSITY default

-- remove: members are added and removed; a member that is not there is removed
SELECT activate.create_sync('members', 'removal_test.people', 'id', 'removal_crm', 'members', mapping => 'email',
	mode => 'mirror', on_removed => 'remove', options => '{"max_removed": "100 %"}') > 0 AS created;
CALL activate.run_sync('members');
DELETE FROM removal_test.people WHERE id = 6;
SELECT op, key, payload FROM activate.preview_sync('members');
CALL activate.run_sync('members');
DELETE FROM removal_test.people WHERE id = 7;
\! $DESTINATION_ASK script '[{"reject_rows": [{"where": "\"id\": 7}", "status": "absent"}]}]'
CALL activate.run_sync('members');
INSERT INTO removal_test.people VALUES (6, 'again', 6);
CALL activate.run_sync('members');
SELECT id, activate_state FROM activate_data.members ORDER BY id;
\! $DESTINATION_ASK rows members
\! $DESTINATION_ASK records members

-- given a connector that finds records by fields, then a removal has them, with their values over the key
CREATE TABLE removal_test."Odd" ("Ref" text, part int, name text, extra jsonb, PRIMARY KEY ("Ref", part));
INSERT INTO removal_test."Odd" VALUES ('A b', 1, 'one', '{}'), ('A b', 2, 'two', NULL), ('"', 1, 'three', NULL);
SELECT activate.create_sync('cleared', 'removal_test."Odd"', '"Ref", part', 'removal_list', 'cleared',
	mapping => $$ { "name": "name", "number": "\"Odd\".part", "ref": "lower(\"Ref\")", "more": {"a": "extra", "b": [1, "name"]}, "c": 7 } $$,
	match => 'ref, number', mode => 'mirror', on_removed => 'clear', options => '{"max_removed": "100 %"}') > 0 AS created;
CALL activate.run_sync('cleared');
DELETE FROM removal_test."Odd" WHERE name <> 'two';
CALL activate.run_sync('cleared');
SELECT activate.alter_sync('cleared', on_removed => 'update', options => '{"removed_mapping": {"left": "part > 1", "name": null}}');
DELETE FROM removal_test."Odd";
INSERT INTO removal_test."Odd" VALUES ('new', 1, 'new', NULL);
CALL activate.run_sync('cleared');
\! $DESTINATION_ASK rows cleared
SELECT id, activate_state FROM (SELECT "Ref" || part AS id, activate_state FROM activate_data.cleared) AS s ORDER BY id;

-- the same over a query, whose columns have a name, too
SELECT activate.create_sync('query', 'SELECT "Ref" AS ref, part, name FROM removal_test."Odd"', 'ref, part', 'removal_list', 'query',
	mapping => 'model.ref, part AS number, name', match => 'ref, number', mode => 'mirror', on_removed => 'update',
	options => '{"max_removed": "100 %", "removed_mapping": "model.ref || model.part AS was -- nothing else"}') > 0 AS created;
CALL activate.run_sync('query');
UPDATE removal_test."Odd" SET part = 3;
CALL activate.run_sync('query');
\! $DESTINATION_ASK rows query

-- what raises for the key of one row that left says what it is, and sends nothing
SELECT activate.alter_sync('query', options => '{"removed_mapping": "10 / (part - 3) AS was"}');
DELETE FROM removal_test."Odd";
INSERT INTO removal_test."Odd" VALUES ('last', 1, 'last', NULL);
CALL activate.run_sync('query');
SELECT op FROM activate.preview_sync('query');
SELECT activate.alter_sync('query', options => '{"removed_mapping": "10 / NULLIF(part - 3, 0) AS was"}');
CALL activate.run_sync('query');

SELECT run_id FROM activate.runs WHERE added + changed + removed
	<> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP FUNCTION create_with;
DROP SCHEMA removal_test, removal_seen CASCADE;
