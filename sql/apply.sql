-- definitions as code: apply(), export(), sync_sql(), and a folder in git
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT errors
SET pg_activate.allowed_hosts = '127.0.0.1';
SET search_path = public;
SET TimeZone = 'UTC';
CREATE ROLE regress_code_boss SUPERUSER;
CREATE ROLE regress_code_team NOLOGIN;
CREATE ROLE regress_code_other NOLOGIN;
SET ROLE regress_code_boss;
CREATE SCHEMA code_test;
CREATE TABLE code_test.health (id int PRIMARY KEY, email text, score numeric);
CREATE TABLE code_test.orders (id int PRIMARY KEY, qty int, "Note" text);
INSERT INTO code_test.health SELECT i, 'u' || i, i FROM generate_series(1, 250) i;
INSERT INTO code_test.orders SELECT i, i % 2, 'n' FROM generate_series(1, 10) i;
CREATE SERVER code_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
CREATE SERVER code_shop FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
GRANT USAGE ON FOREIGN SERVER code_crm TO regress_code_team, regress_code_other;
GRANT USAGE ON SCHEMA activate, code_test TO regress_code_team, regress_code_other;
GRANT SELECT ON code_test.health, code_test.orders TO regress_code_team, regress_code_other;
\pset format unaligned
\pset tuples_only on

-- given a spec, then its syncs are made, those first that others run after
SELECT name, action, changes, plan FROM activate.apply('{
	"defaults": {"destination": "code_${env}", "key": "id", "options": {"max_removed": "3 %"}},
	"syncs": {
		"a": {"model": "${schema}.orders", "mapping": {"qty": "qty", "cost": "''$${'' || qty || ''}''"}, "after": ["b_health"]},
		"b_health": {"model": "${schema}.health", "object": "contacts", "mapping": "email, round(score, ${digits}) AS score",
			"mode": "mirror", "on_removed": "clear", "schedule": "15 minutes", "options": {"max_changed": 100, "max_removed": null},
			"paused": true, "pause_reason": "month-end"}}}',
	vars => '{"env": "crm", "schema": "code_test", "digits": 1}');
SELECT sync, model, key, destination, object, match, mapping, mode, on_removed, schedule, options, paused, pause_reason FROM activate.syncs ORDER BY 1;

-- applied again it changes nothing: no event, no row written, no NOTICE
SET client_min_messages = notice;
CREATE TABLE code_test.before AS SELECT s.*, (SELECT max(event_id) FROM activate.event) AS events, xmin::text AS written FROM activate.sync s;
CREATE FUNCTION code_test.untouched() RETURNS bool LANGUAGE sql AS $$
	SELECT NOT EXISTS ((SELECT s.*, (SELECT max(event_id) FROM activate.event), xmin::text FROM activate.sync s) EXCEPT SELECT * FROM code_test.before)
		AND (SELECT count(*) FROM activate.sync) = (SELECT count(*) FROM code_test.before)
$$;
SELECT name, action, changes FROM activate.apply('{
	"defaults": {"destination": "code_${env}", "key": ["id"], "options": {"max_removed": "3 %"}},
	"syncs": [
		{"name": "a", "model": " CODE_TEST . ${table} ", "mapping": " { \"qty\":\"qty\",\n \"cost\" : \"''$${'' || qty || ''}''\"}", "schedule": "  AFTER  b_health "},
		{"name": "b_health", "model": "code_test.health", "object": "contacts", "mapping": " email, round(score, 1) AS score\n",
			"mode": "mirror", "on_removed": "clear", "schedule": "900 s", "options": {"max_changed": "100", "max_removed": "5%", "remove_after": 0}}]}',
	vars => '{"env": "crm", "table": "orders"}');
SELECT code_test.untouched();
SELECT name, action FROM activate.apply(activate.export());
SELECT code_test.untouched();
-- nor does it under another search_path in which every name means the same
SET search_path = code_test, pg_catalog;
SELECT name, action FROM activate.apply((activate.export() #- '{defaults}') #- '{nothing}');
RESET search_path;
SET search_path = public;
SELECT code_test.untouched();

-- what differs is said, old and new; what is left out is its default again
SELECT name, action, changes FROM activate.apply('{
	"defaults": {"destination": "code_crm", "key": "id"},
	"syncs": {
		"a": {"model": "code_test.orders", "mapping": "qty", "options": {"max_removed": "4 %"}},
		"b_health": {"model": "code_test.health", "mapping": "email, round(score, 1) AS score", "paused": false}}}');
SELECT sync, object, mode, on_removed, schedule, options, paused FROM activate.syncs ORDER BY 1;
-- pause and resume alone are actions of their own; left out, it stays as it is
SELECT name, action, changes FROM activate.apply('{"syncs": {"a": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty", "options": {"max_removed": "4 %"}, "paused": true}}}');
SELECT name, action, changes FROM activate.apply('{"syncs": {"a": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty", "options": {"max_removed": "4 %"}}}}');
SELECT name, action, changes FROM activate.apply('{"syncs": {"a": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty", "options": {"max_removed": "4 %"}, "paused": true, "pause_reason": "audit"}}}');
SELECT name, action, changes FROM activate.apply('{"syncs": {"a": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty", "options": {"max_removed": "4 %"}, "paused": false}}}');

-- all or nothing, and the error says where
SELECT name FROM activate.apply('{"defaults": {"destination": "code_crm", "key": "id"}, "syncs": {
	"c": {"model": "code_test.orders", "mapping": "qty"}, "d": {"model": "code_test.orders", "mapping": "quantity"}}}');
SELECT count(*) FROM activate.syncs WHERE sync IN ('c', 'd');

-- a dry run counts what the next run of each would do, and changes nothing
TRUNCATE code_test.before;
INSERT INTO code_test.before SELECT s.*, (SELECT max(event_id) FROM activate.event), xmin::text FROM activate.sync s;
SELECT activate.reset_sync('b_health', 'baseline');
SET client_min_messages = warning;
UPDATE code_test.health SET score = score + 1 WHERE id <= 20;
DELETE FROM code_test.health WHERE id = 250;
TRUNCATE code_test.before;
INSERT INTO code_test.before SELECT s.*, (SELECT max(event_id) FROM activate.event), xmin::text FROM activate.sync s;
SET client_min_messages = notice;
BEGIN READ ONLY;
SELECT name, action, changes, plan - 'bytes' - 'duration' FROM activate.apply('{"defaults": {"destination": "code_crm", "key": "id"}, "syncs": {
	"a": {"model": "code_test.orders", "mapping": "qty", "options": {"max_removed": "4 %"}},
	"b_health": {"model": "code_test.health", "mapping": "email, round(score, 1) AS score", "mode": "mirror", "on_removed": "clear", "options": {"max_changed": 10}, "owner": "regress_code_team"},
	"new": {"model": "SELECT id % 100 AS id, email FROM code_test.health", "mapping": "email", "after": "b_health"}}}',
	dry_run => true, prune => true);
-- moved, everything is sent there; with a key of another name, what was sent is known
SELECT name, action, changes, plan - 'bytes' - 'duration' FROM activate.apply('{"syncs": {
	"b_health": {"model": "code_test.health", "mapping": "email, round(score, 1) AS score", "destination": "code_shop", "key": "id"}}}', dry_run => true);
SELECT name, action, changes, plan - 'bytes' - 'duration' FROM activate.apply('{"syncs": {
	"b_health": {"model": "SELECT id AS customer, email, score FROM code_test.health", "mapping": "email, round(score, 1) AS score", "destination": "code_crm", "key": "customer"}}}', dry_run => true);
SELECT name, action, plan IS NULL FROM activate.apply('{"syncs": {}}', dry_run => true, prune => true);
-- and what is written in it for real is refused
SELECT name FROM activate.apply('{"syncs": {"new": {"model": "code_test.health", "key": "id", "mapping": "email", "destination": "code_crm"}}}');
COMMIT;
SELECT code_test.untouched(), to_regclass('activate_data.new'), (SELECT relowner::regrole FROM pg_class WHERE oid = 'activate_data.b_health'::regclass);

-- given a dry run that fails, then its session is as it was
SELECT * FROM activate.apply('{"syncs": {"c_health": {"model": "code_test.nowhere", "destination": "code_crm", "key": "id"}}}', dry_run => true);
SELECT count(*) FROM activate.syncs WHERE sync = 'c_health';

-- nor does a copy, which sends nothing, keep anybody from looking
BEGIN;
UPDATE activate.sync SET host = 'elsewhere', system_identifier = 1;
SELECT name, action, plan -> 'changed' AS changed FROM activate.apply(activate.export(), dry_run => true);
SELECT DISTINCT health FROM activate.status;
ROLLBACK;

-- prune drops what the spec does not name, followers first, and never what is others'
SET client_min_messages = warning;
SELECT activate.create_sync('theirs', 'code_test.orders', 'id', 'code_crm', mapping => 'qty', owner => 'regress_code_other') > 0;
SELECT activate.create_sync('first', 'code_test.orders', 'id', 'code_crm', mapping => 'qty') > 0;
SELECT activate.create_sync('alast', 'code_test.orders', 'id', 'code_crm', mapping => 'qty', schedule => 'after first') > 0;
SET client_min_messages = notice;
SELECT name, action FROM activate.apply(activate.export(ARRAY['a', 'b_health']), prune => true);
SELECT sync, owner FROM activate.syncs ORDER BY 1;
-- a member of the team prunes the team's; a sync that somebody else's runs after stays, and with it everything
SET client_min_messages = warning;
SELECT activate.alter_sync('a', owner => 'regress_code_team');
SELECT activate.alter_sync('b_health', owner => 'regress_code_team');
SELECT activate.alter_sync('theirs', schedule => 'after a');
SET ROLE regress_code_team;
SELECT name, action FROM activate.apply(activate.export(ARRAY['b_health']), prune => true);
SELECT sync FROM activate.syncs ORDER BY 1;
SELECT activate.export(ARRAY['theirs']);
SELECT name FROM activate.apply('{"syncs": {"theirs": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty"}}}');
SELECT name FROM activate.apply('{"syncs": {"mine": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "mapping": "qty", "owner": "regress_code_other"}}}');
SELECT name FROM activate.apply('{"syncs": {"mine": {"model": "code_test.orders", "key": "id", "destination": "code_shop", "mapping": "qty"}}}');
SET ROLE regress_code_boss;

-- a chain is turned round in one go; a circle is refused
SELECT activate.drop_sync('theirs');
SELECT name, action, changes -> 'schedule' FROM activate.apply('{"defaults": {"key": "id", "destination": "code_crm", "model": "code_test.orders", "mapping": "qty"}, "syncs": {
	"x1": {}, "x2": {"after": "x1"}, "x3": {"after": "x2, x1"}}}');
SELECT name, action, changes -> 'schedule' FROM activate.apply('{"defaults": {"key": "id", "destination": "code_crm", "model": "code_test.orders", "mapping": "qty"}, "syncs": {
	"x3": {}, "x2": {"after": "x3"}, "x1": {"after": "x2, x3"}}}');
SELECT name FROM activate.apply('{"defaults": {"key": "id", "destination": "code_crm", "model": "code_test.orders", "mapping": "qty", "schedule": "1 hour"}, "syncs": {
	"x4": {}, "x5": {"after": "x6"}, "x6": {"after": "x5"}}}');
SELECT activate.drop_sync(x) FROM unnest(ARRAY['x1', 'x2', 'x3']) x;

-- every mistake has its place and its hint
CREATE FUNCTION code_test.problem(spec jsonb, vars jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; detail text; hint text; state text;
BEGIN
	PERFORM activate.apply(spec, vars => vars);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
	RETURN concat_ws(E'\n', state || ' ' || message, '  detail: ' || nullif(detail, ''), '  hint: ' || nullif(hint, ''));
END $$;
SELECT code_test.problem(spec::jsonb) FROM unnest(ARRAY[
	'1', '"x"', 'null', '{}', '[1]', '[{}]', '[{"name": 1}]', '{"sync": {}}', '{"syncs": 1}', '{"syncs": {}, "default": {}}', '{"syncs": {}, "defaults": 1}',
	'{"syncs": {}, "defaults": {"name": "x"}}', '{"syncs": {}, "defaults": {"nodel": "x"}}',
	'{"syncs": {"q": 1}}', '{"syncs": {"q": {}}}', '{"syncs": {"q/~": {"mapings": 1}}}', '{"syncs": {"q": {"name": "q"}}}',
	'{"syncs": [{"name": "q", "model": "a", "key": "b", "destination": "c"}, {"name": "q"}]}',
	'{"syncs": {"q": {"model": 1, "key": "b", "destination": "c"}}}',
	'{"syncs": {"q": {"model": "a", "key": [1], "destination": "c"}}}',
	'{"syncs": {"q": {"model": "a", "key": {}, "destination": "c"}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "mapping": []}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "options": []}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "paused": "yes"}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "pause_reason": "yes"}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "schedule": "1 hour", "after": "x"}}}',
	'{"syncs": {"q": {"model": "a", "key": "b", "destination": "c", "owner": "regress_code_nobody"}}}',
	'{"syncs": {"q": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "search_path": "\"a"}}}',
	'{"syncs": {"q": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "time_zone": "Mars"}}}',
	'{"syncs": {"q": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "options": {"max_remove": 1}}}}',
	'{"syncs": {"q": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "schedule": "after nobody"}}}',
	'{"syncs": {"q": {"model": "code_test.orders", "key": "id", "destination": "code_crm", "schedule": "after"}}}',
	'{"syncs": {"activate_q": {"model": "code_test.orders", "key": "id", "destination": "code_crm"}}}',
	'{"syncs": {"": {"model": "code_test.orders", "key": "id", "destination": "code_crm"}}}',
	'{"syncs": {"q": {"model": "${schema}.orders"}}}', '{"syncs": {"q": {"model": "${schema.orders"}}}', '{"syncs": {"${x}": {}}}']) spec;
SELECT code_test.problem('{"syncs": {"q": {"model": "${shema}.orders"}}}', '{"schema": "x"}');
SELECT code_test.problem('{"syncs": {"q": {"model": "${schema}.orders"}}}', '{"schema": null}');
SELECT code_test.problem('{"syncs": {"${a}": {}, "${b}": {}}}', '{"a": "x", "b": "x"}');
SELECT code_test.problem('{"syncs": {}}', '[]');
SELECT activate.apply(NULL);
SELECT activate.apply('{}', prune => NULL);
SELECT activate.apply('{}', dry_run => NULL);
SELECT activate.apply('{}', vars => NULL);
SELECT activate.export(ARRAY[NULL]);
SELECT activate.export(ARRAY['b_helth']);
SELECT activate.export('{}');

-- a folder of definitions in git, run twice: nothing changes the second time
\getenv source PG_ABS_SRCDIR
SET client_min_messages = warning;
\set health :source '/test/definitions/health.sql'
\set orders :source '/test/definitions/orders.sql'
\i :health
\i :orders
TRUNCATE code_test.before;
INSERT INTO code_test.before SELECT s.*, (SELECT max(event_id) FROM activate.event), xmin::text FROM activate.sync s;
SET client_min_messages = notice;
\i :health
\i :orders
SELECT code_test.untouched();
-- what somebody changed by hand is put back, options that are not named too
SET client_min_messages = warning;
SELECT activate.alter_sync('folder_orders', options => '{"max_changed": 7}', mapping => 'qty');
SELECT activate.alter_sync('folder_health', object => 'people', schedule => 'manual', mode => 'upsert');
\i :health
\i :orders
SELECT count(*) FROM code_test.before b JOIN activate.sync s USING (sync_id)
WHERE (b.name, b.model, b.key, b.destination, b.object, b.match, b.mapping, b.mode, b.on_removed, b.schedule, b.options, b.search_path, b.time_zone)
	= (s.name, s.model, s.key, s.destination, s.object, s.match, s.mapping, s.mode, s.on_removed, s.schedule, s.options, s.search_path, s.time_zone)
	AND s.name LIKE 'folder%';
SET client_min_messages = warning;

-- generated: each definition comes back from sync_sql(), and all of them from export()
SELECT activate.drop_sync(sync) FROM activate.syncs ORDER BY schedule LIKE 'after%' DESC;
CREATE ROLE "regress_code ""Odd'\team" NOLOGIN;
GRANT USAGE ON FOREIGN SERVER code_crm TO "regress_code ""Odd'\team";
GRANT USAGE ON SCHEMA activate, code_test TO "regress_code ""Odd'\team";
GRANT SELECT ON code_test.orders TO "regress_code ""Odd'\team";
CREATE SCHEMA "code_Test ""two";
CREATE TABLE "code_Test ""two"."The 'table" ("The Key" int, "b,c" text, "${d}" int, PRIMARY KEY ("The Key", "b,c"));
SET search_path = 'code_Test "two', code_test, public;
SET TimeZone = 'Asia/Kathmandu';
DO $generate$
DECLARE
	n int := 0;
	names text[] := ARRAY['Odd "sync', $$it's$$, 'back\slash', '$$', '${x} $${y}', E'line\nbreak', 'a.b', '$do$', '-- c', 'UPPER', 'select'];
	m text; r text; o text; s text; t text;
BEGIN
	FOREACH m IN ARRAY ARRAY['upsert', 'insert', 'update', 'mirror'] LOOP
	FOREACH s IN ARRAY ARRAY['manual', '15 minutes', '0 7 * * 1-5', '@daily'] LOOP
	FOREACH o IN ARRAY ARRAY['{}', '{"max_removed": 0, "priority": -3}', '{"remove_after": "90 min", "batch_size": 7, "max_changed": null}',
		'{"on_model_change": "refuse", "freshness": "1 hour", "max_run_time": "2 h", "max_attempts": 10}'] LOOP
		n := n + 1;
		r := CASE WHEN m = 'mirror' THEN (ARRAY['delete', 'clear', 'archive', 'ignore'])[n % 4 + 1] END;
		t := CASE WHEN n <= array_length(names, 1) THEN names[n] ELSE 'gen_' || n END;
		IF n % 3 = 0 THEN SET search_path = public; SET TimeZone = 'Europe/Paris'; END IF;
		PERFORM activate.create_sync(t,
			CASE n % 3 WHEN 1 THEN '"The ''table"' WHEN 2 THEN $q$SELECT * FROM "The 'table" WHERE "b,c" <> E'\\''$$' -- end$q$ ELSE 'code_test.orders' END,
			CASE n % 3 WHEN 0 THEN 'id' ELSE '"b,c", "The Key"' END, 'code_crm',
			object => CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN $$o'b"j\$$ ELSE 'contacts' END,
			mapping => CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '*'
				WHEN 2 THEN CASE n % 3 WHEN 0 THEN $m$ qty, '\ $${z}''' AS "q""Uote", 'x' AS "F" $m$ ELSE $m$ "${d}", '\ $${z}''' AS "q""Uote" $m$ END
				WHEN 3 THEN CASE n % 3 WHEN 0 THEN '{"a": {"b": ["qty", 1.50]}, "Z": "''''''\u0041''"}' ELSE '{"x${d}": "\"${d}\"", "a": null}' END
				ELSE CASE n % 3 WHEN 0 THEN E'qty -- a comment\n' ELSE E'"The Key" /* $$ */ AS k' END END,
			mode => m, on_removed => r, schedule => s, options => o::jsonb,
			owner => CASE WHEN n % 6 = 0 THEN quote_ident('regress_code "Odd''\team')::regrole END);
		IF n % 7 = 0 THEN PERFORM activate.pause_sync(t, CASE WHEN n % 2 = 0 THEN $$it's \ "paused"$$ END); END IF;
		SET search_path = 'code_Test "two', code_test, public;
		SET TimeZone = 'Asia/Kathmandu';
	END LOOP; END LOOP; END LOOP;
	PERFORM activate.create_sync('every option', 'code_test.orders', 'id', 'code_crm',
		mapping => '{"qty": {"$sql": "qty", "$on": "insert", "$null": "omit"}, "n": {"$sql": "\"Note\"", "$required": true}, "z": "1 + 1"}',
		mode => 'mirror', on_removed => 'update', options => '{"first_run": "baseline", "removed_mapping": {"gone": true, "qty": null, "n": "''x''"},
			"canary": 5, "nulls": "empty", "ignore_fields": ["z"], "changed_fields_only": true, "keep_payload": true, "on_model_change": "fail"}');
	PERFORM activate.create_sync('appended', 'code_test.orders', 'id', 'code_crm', mapping => 'qty', mode => 'append',
		options => '{"first_run": "send", "delivery": "at_most_once"}');
	PERFORM activate.create_sync('member', 'code_test.orders', 'id', 'code_crm', mapping => 'id, qty AS "Z"', mode => 'mirror', on_removed => 'remove',
		options => '{"ignore_fields": "\"Z\""}');
	PERFORM activate.create_sync('inserted', 'code_test.orders', 'id', 'code_crm', mapping => 'qty',
		options => '{"insert_mapping": "qty, 1 AS created"}');
	PERFORM activate.create_sync('follower', 'code_test.orders', 'id', 'code_crm', schedule => 'after "Odd ""sync", gen_40');
END $generate$;
RESET search_path;
RESET TimeZone;
CREATE VIEW code_test.definitions AS
	SELECT name, model, model_is_query, key, destination, object, match, mapping, mode, on_removed, schedule,
		(SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE value <> 'null' AND (key, value) <> ('max_attempts', '10')), '{}')
		 FROM jsonb_each(s.options)) AS options,
		search_path, time_zone, paused, pause_reason,
		(SELECT relowner::regrole FROM pg_class WHERE relname = name AND relnamespace = 'activate_data'::regnamespace) AS owner
	FROM activate.sync s;
CREATE TABLE code_test.was AS SELECT * FROM code_test.definitions;
CREATE TABLE code_test.spec AS SELECT activate.export() AS spec;
SELECT count(*), count(DISTINCT search_path), count(DISTINCT time_zone), count(DISTINCT owner), count(DISTINCT mapping) FROM code_test.was;
SELECT count(*) FROM activate.apply((SELECT spec FROM code_test.spec)) WHERE action <> 'none';
CREATE TABLE code_test.calls AS SELECT row_number() OVER (ORDER BY sync_id) AS n, sync, activate.sync_sql(sync) AS call FROM activate.syncs;
SELECT name, action FROM activate.apply('{"syncs": {"follower": {"model": "code_test.orders", "key": "id", "destination": "code_crm"}}}') WHERE action <> 'alter';
SELECT count(activate.drop_sync(sync)) FROM activate.syncs;
DO $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT c.call FROM code_test.calls c ORDER BY n LOOP
		EXECUTE call;
	END LOOP;
END $$;
SELECT count(*) FROM activate.sync;
SELECT * FROM ((TABLE code_test.was EXCEPT TABLE code_test.definitions) UNION ALL (TABLE code_test.definitions EXCEPT TABLE code_test.was)) d ORDER BY name;
SELECT name, action FROM activate.apply('{"syncs": {"follower": {"model": "code_test.orders", "key": "id", "destination": "code_crm"}}}') WHERE action <> 'alter';
SELECT count(*), count(*) FILTER (WHERE action = 'drop') FROM activate.apply('{"syncs": {}}', prune => true);
SELECT count(activate.drop_sync(sync)) FROM activate.syncs;
SELECT count(*), count(*) FILTER (WHERE action = 'create') FROM activate.apply((SELECT spec FROM code_test.spec));
SELECT * FROM ((TABLE code_test.was EXCEPT TABLE code_test.definitions) UNION ALL (TABLE code_test.definitions EXCEPT TABLE code_test.was)) d ORDER BY name;
SELECT count(*) FROM activate.apply((SELECT spec FROM code_test.spec)) WHERE action <> 'none';

SET client_min_messages = error;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA code_test CASCADE;
DROP SCHEMA "code_Test ""two" CASCADE;
RESET ROLE;
DROP ROLE regress_code_team, regress_code_other, regress_code_boss, "regress_code ""Odd'\team";
