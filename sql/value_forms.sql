-- values in the form and type that a destination wants, and what null is to it
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SET TimeZone = 'Europe/Paris';
SET DateStyle = 'German';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
CREATE SCHEMA form_test;

-- a connector that is the webhook with these members, its server, and a sync of the model
CREATE FUNCTION form_test.make(name text, members jsonb, mapping text, options jsonb DEFAULT '{}', more text DEFAULT '') RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.drop_sync(s.name) FROM activate.sync s WHERE s.name = make.name;
	EXECUTE format('DROP SERVER IF EXISTS %I', name);
	PERFORM activate.drop_connector(c.name) FROM activate.connector c WHERE c.name = make.name;
	PERFORM activate.create_connector(make.name, ('{"extends": "webhook"}'::jsonb || members)::json);
	EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER activate OPTIONS (connector %L, base_url %L)', name, name, current_setting('form_test.url'));
	EXECUTE format('SELECT activate.create_sync(name => %L, destination => %L, object => ''things'', model => ''form_test.model'', key => ''id'','
		' mapping => %L, options => %L %s)', name, name, mapping, options, more);
	RETURN 'made';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
SELECT set_config('form_test.url', :'url', false) IS NOT NULL AS set;
CREATE FUNCTION form_test.seen(name text, OUT key jsonb, OUT payload text, OUT problem text) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT p.key, p.payload::text, p.problem FROM activate.preview_sync(name, 100) p ORDER BY p.key::text
$$;
CREATE FUNCTION form_test.ran(name text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0), 'unchanged ' || nullif(unchanged, 0),
		'invalid ' || nullif(invalid, 0), 'accepted ' || nullif(accepted, 0))
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = ran.name ORDER BY run_id DESC LIMIT 1
$$;

CREATE TYPE form_test.point AS (x int, label text, at timestamptz);
CREATE TABLE form_test.all_types (id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, d date, ts timestamp,
	tz timestamptz, t text, a int[], at timestamptz[], ab bool[], c form_test.point, j json, jb jsonb, by bytea);
INSERT INTO form_test.all_types VALUES
	(1, true, 7, 9007199254740993, 0.1, 1e300, 12345678901234567890.0123456789, '2026-11-23', '2026-11-23 08:57:33.5', '2026-11-23 09:57:33.25+01',
	'é"', '{1,NULL,3}', '{2026-11-23 00:00+00}', '{t,f}', ROW(1, 'a', '1969-12-31 23:59:59.5+00'), ' {"k": [1, true]} ', '["a", 2, null, "b;"]', '\x00ff61'),
	(2, false, -1, -9223372036854775808, -0.5, 7, 0.00, '1969-12-31', '1969-12-31 23:59:59.999', '0001-01-01 00:00+00', '', '{}', '{}', NULL, NULL,
	' 9007199254740993 ', 'null', ''),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE VIEW form_test.model AS SELECT * FROM form_test.all_types;
\set every 'b, i2, i8, f4, f8, n, d, ts, tz, t, a, at, ab, c, j, jb, "by"'

-- given no types, then all is as PostgreSQL has it
SELECT form_test.make('plain', '{}', :'every');
SELECT * FROM form_test.seen('plain');
-- given forms, then each kind has its own, elements and attributes too, and digits stay what they are
SELECT form_test.make('texts', '{"types": {"null": "empty", "boolean": "text", "number": "text", "integer": "text", "date": "epoch_ms", "timestamp": "epoch",
	"array": {"join": ";"}, "object": "text", "bytes": "base64"}}', :'every');
SELECT * FROM form_test.seen('texts');
SELECT form_test.make('others', '{"types": {"null": {"text": "#N/A"}, "boolean": {"true": "yes", "false": "no"}, "date": "epoch", "timestamp": "iso_ms",
	"array": "text", "bytes": "hex"}}', :'every');
SELECT * FROM form_test.seen('others');
SELECT form_test.make('iso', '{"types": {"null": "omit", "boolean": "integer", "date": "iso", "timestamp": "iso"}}', 'b, d, ts, tz, at');
SELECT * FROM form_test.seen('iso');
SELECT form_test.make('utc', '{"types": {"timestamp": "iso_utc"}}', 'ts, tz');
SELECT * FROM form_test.seen('utc');

-- given who says what null is, then the nearest one counts: the mapping, the option, the field, the object, the document
CREATE OR REPLACE VIEW form_test.model AS SELECT * FROM form_test.all_types WHERE id = 3;
\set nested '{"t": {"$sql": "t", "$null": "send"}, "n": "n", "deep": {"n": "n", "list": ["n", "n"]}, "d": "d"}'
SELECT form_test.make('nulls', '{"types": {"null": "omit"}}', :'nested');
SELECT * FROM form_test.seen('nulls');
SELECT form_test.make('nulls', '{"types": {"null": "omit"}}', :'nested', '{"nulls": "empty"}');
SELECT * FROM form_test.seen('nulls');
SELECT form_test.make('nulls', '{"types": {"null": "omit"}}', :'nested', '{"nulls": "send"}');
SELECT * FROM form_test.seen('nulls');
SELECT form_test.make('nulls', '{"types": {"null": "omit"}, "objects": [{"object": "things", "types": {"null": "empty"},
	"fields": [{"field": "d", "type": "date", "null": {"text": "never"}}]}]}', :'nested');
SELECT * FROM form_test.seen('nulls');

SET client_min_messages = error;
-- given fields of a type, then values become it, or the row is invalid and says why
CREATE FUNCTION form_test.field(type text, expression text, forms jsonb DEFAULT '{}') RETURNS TABLE (value text, problem text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE VIEW form_test.model AS SELECT v AS id, (%s) AS v FROM generate_series(1, 1) v', expression);
	IF form_test.make('typed', jsonb_build_object('types', forms, 'objects', jsonb_build_array(jsonb_build_object('object', 'things',
			'fields', jsonb_build_array(jsonb_build_object('field', 'f', 'type', type))))), 'v AS f') <> 'made' THEN
		RAISE 'not made';
	END IF;
	RETURN QUERY SELECT s.payload, s.problem FROM form_test.seen('typed') s;
	PERFORM activate.drop_sync('typed');
	DROP VIEW form_test.model CASCADE;
END $$;
DO $$ BEGIN PERFORM activate.drop_sync(name) FROM activate.sync; END $$;
DROP VIEW form_test.model CASCADE;
SELECT type, expression, f.* FROM (VALUES
	('date', $$date '2026-11-23'$$), ('date', $$timestamptz '2026-11-23 01:00+01'$$), ('date', $$timestamptz '2026-11-23 00:00+01'$$),
	('date', $$timestamp '2026-11-23 00:00'$$), ('date', $$timestamp '2026-11-23 00:00:00.000001'$$), ('date', $$text '2026-11-23'$$),
	('date', $$text '23.11.2026'$$), ('date', $$text '2026-02-29'$$), ('date', $$text '2026-11-23T00:00:00Z'$$), ('date', $$text '2026-11-23T00:00:00+01'$$),
	('date', $$7$$), ('date', $$date 'infinity'$$), ('date', $$date '20000-01-01'$$), ('date', $$jsonb '"2026-11-23"'$$), ('date', $$jsonb 'null'$$),
	('timestamp', $$date '2026-11-23'$$), ('timestamp', $$timestamptz '2026-11-23 08:57:33+01'$$), ('timestamp', $$timestamp '2026-11-23 08:57:33'$$),
	('timestamp', $$text '2026-11-23 08:57:33'$$), ('timestamp', $$text 'yesterday'$$), ('timestamp', $$true$$),
	('integer', $$7$$), ('integer', $$9223372036854775807$$), ('integer', $$7.00$$), ('integer', $$7.5$$), ('integer', $$float8 '1e20'$$), ('integer', $$float8 'NaN'$$),
	('integer', $$numeric 'infinity'$$), ('integer', $$numeric '123456789012345678901234567890.0'$$), ('integer', $$text '42'$$), ('integer', $$text '042'$$),
	('integer', $$text ' 42'$$), ('integer', $$text 'é'$$), ('integer', $$text ''$$), ('integer', $$true$$), ('integer', $$jsonb '1e2'$$), ('integer', $$jsonb '[1]'$$),
	('number', $$7$$), ('number', $$0.10$$), ('number', $$text '1.50'$$), ('number', $$text '1,5'$$), ('number', $$date '2026-11-23'$$),
	('boolean', $$true$$), ('boolean', $$text 'false'$$), ('boolean', $$text 'yes'$$), ('boolean', $$1$$), ('boolean', $$jsonb 'true'$$),
	('text', $$7$$), ('text', $$0.10$$), ('text', $$true$$), ('text', $$date '2026-11-23'$$), ('text', $$'{1,2}'::int[]$$), ('text', $$jsonb '{"a": "b"}'$$),
	('array', $$'{1,2}'::int[]$$), ('array', $$jsonb '[]'$$), ('array', $$text 'a'$$), ('object', $$jsonb '{}'$$), ('object', $$jsonb '[]'$$), ('object', $$1$$),
	('json', $$text 'a'$$), ('json', $$1.5$$)) AS v (type, expression), LATERAL form_test.field(type, expression) f;
SELECT type, expression, f.* FROM (VALUES
	('date', $$text '2026-11-23'$$), ('date', $$timestamptz '1969-12-31 00:00+00'$$), ('timestamp', $$text '2026-11-23T09:57:33.25+01:00'$$), ('timestamp', $$date '2026-11-23'$$),
	('timestamp', $$timestamptz '1969-12-31 23:59:59.999+00'$$), ('boolean', $$text 'true'$$), ('integer', $$text '42'$$), ('number', $$text '4.20'$$), ('text', $$true$$),
	('text', $$date '2026-11-23'$$), ('array', $$'{a,"b c",NULL}'::text[]$$), ('array', $$'{{1,2},{3,4}}'::int[]$$), ('array', $$jsonb '["x", {"y": "]"}, 1]'$$)) AS v (type, expression),
	LATERAL form_test.field(type, expression, '{"date": "epoch_ms", "timestamp": "epoch_ms", "boolean": {"true": "Y", "false": "N"}, "integer": "text", "number": "text",
		"array": {"join": " | "}}') f;

-- given a connector that learns other types, then nothing is sent again; what changes goes in the new form
CREATE VIEW form_test.model AS SELECT * FROM form_test.all_types;
SELECT form_test.make('learns', '{}', 'b, i8, tz, t', '{"max_changed": null}');
CALL activate.run_sync('learns');
SELECT form_test.ran('learns');
SELECT activate.alter_connector('learns', (SELECT (spec::jsonb || '{"types": {"null": "empty", "boolean": "text", "integer": "text", "timestamp": "epoch_ms"},
	"objects": [{"object": "things", "fields": [{"field": "t", "type": "text", "null": "omit"}]}]}')::json FROM activate.connector WHERE name = 'learns'));
CALL activate.run_sync('learns');
SELECT form_test.ran('learns');
UPDATE form_test.all_types SET b = NOT b WHERE id = 1;
UPDATE form_test.all_types SET i8 = 5 WHERE id = 3;
SELECT * FROM form_test.seen('learns');
CALL activate.run_sync('learns');
SELECT form_test.ran('learns');
\! $DESTINATION_ASK records things

-- given a match field, then it is compared as it is sent
SELECT form_test.make('matched', '{"takes_key": false, "match": {"compare": ["trim"]}, "types": {"integer": "text", "number": "text"}}', 'i8, n, t', '{}', ', match => ''i8''');
UPDATE form_test.all_types SET i8 = 5;
SELECT * FROM form_test.seen('matched');

-- given an id that is not known yet, then its row waits, whatever the field's type is
CREATE TABLE form_test.companies (id int PRIMARY KEY, name text);
INSERT INTO form_test.companies VALUES (7, 'Acme');
CREATE SERVER form_companies FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
SELECT activate.create_sync('companies', 'form_test.companies', 'id', 'form_companies', object => 'companies', mapping => 'name') > 0 AS created;
CREATE OR REPLACE VIEW form_test.model AS SELECT * FROM form_test.all_types WHERE id = 1;
SELECT form_test.make('refers', '{"objects": [{"object": "things", "fields": [{"field": "company", "type": "integer"}]}]}', 'activate.external_id(''companies'', 7) AS company');
SELECT * FROM form_test.seen('refers');
CALL activate.run_sync('companies');
SELECT * FROM form_test.seen('refers');
CREATE OR REPLACE VIEW form_test.model AS SELECT * FROM form_test.all_types;

SET client_min_messages = warning;
-- given a field that a record is cleared of, then null is what the destination takes for it
SELECT form_test.make('cleared', '{"types": {"null": "empty"}, "objects": [{"object": "things", "fields": [{"field": "d", "null": {"text": "none"}}, {"field": "t", "null": "omit"}]}]}',
	'd, t, n', '{"max_removed": null, "remove_after": "0"}', ', mode => ''mirror'', on_removed => ''clear''');
CALL activate.run_sync('cleared');
DELETE FROM form_test.all_types WHERE id = 2;
SELECT * FROM form_test.seen('cleared');
