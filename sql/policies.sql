-- what of a row is sent and compared: field policies, nulls, insert_mapping, ignore_fields
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'UTC';
\! $DESTINATION_ASK reset
\pset format unaligned
\pset tuples_only on

CREATE SCHEMA policy_test;
CREATE TABLE policy_test.customers (id int PRIMARY KEY, email text, phone text, score int, tags text[], doc json);
INSERT INTO policy_test.customers VALUES (1, 'ann@x', '+1', 1, '{a,b}', '{"x": null}'), (2, 'bob@x', NULL, NULL, NULL, NULL);
CREATE SERVER policy_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');

CREATE FUNCTION policy_test.problem(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RAISE 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE INFO E'% %\n  %\n  %', SQLSTATE, message, detail, hint;
END
$$;
CREATE FUNCTION policy_test.make(name text, mapping text, options jsonb DEFAULT '{}', mode text DEFAULT 'upsert',
	match text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT activate.create_sync(name, 'policy_test.customers', 'id', 'policy_crm', object => name, mapping => mapping,
		mode => mode, match => match, options => options)
$$;
CREATE FUNCTION policy_test.payloads(sync text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s %s', op, key, coalesce(payload::text, problem)) FROM activate.preview_sync(sync, NULL)
$$;

-- given policies that say what cannot be, then each error says what to write
CREATE FUNCTION policy_test.mapping_problem(mapping text) RETURNS void LANGUAGE sql AS $$
	SELECT policy_test.problem(format('SELECT policy_test.make(%L, %L)', 'x', mapping))
$$;
SELECT policy_test.mapping_problem('{"a": {"$sql": 1}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": null}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": {"b": "email"}}}');
SELECT policy_test.mapping_problem('{"a": {"$on": "insert"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$on": "inserted"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$on": true}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$null": "skip"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$required": "yes"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$sql": "phone"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "b": "phone"}}');
SELECT policy_test.mapping_problem('{"a": {"b": "email", "$sql": "phone"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", "$nul": "omit"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "emial"}}');
SELECT policy_test.mapping_problem('{"a": {"$sql": ""}}');
SELECT policy_test.mapping_problem('{"$sql": "email"}');
SELECT policy_test.mapping_problem('{"a": {"b": {"$sql": "email", "$on": "insert"}}}');
SELECT policy_test.mapping_problem('{"a": [{"$sql": "email", "$on": "update"}]}');
SELECT policy_test.mapping_problem('{"a": ["id", {"$sql": "email", "$null": "omit"}]}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email", }}');
SELECT policy_test.mapping_problem('{"a": {"$sql": "email"');

-- given options that name what is not there, or what goes with every row, then they are refused
CREATE FUNCTION policy_test.option_problem(options text, mapping text DEFAULT 'id AS ref, email, phone') RETURNS void LANGUAGE sql AS $$
	SELECT policy_test.problem(format('SELECT policy_test.make(%L, %L, %L, match => %L)', 'x', mapping, options, 'ref'))
$$;
SELECT policy_test.option_problem('{"ignore_fields": ["emial"]}');
SELECT policy_test.option_problem('{"ignore_fields": "what"}');
SELECT policy_test.option_problem('{"ignore_fields": ["ref"]}');
SELECT policy_test.option_problem('{"ignore_fields": ["address.city"]}', '{"ref": "id", "address": {"city": "email"}}');
SELECT policy_test.option_problem('{"insert_mapping": "id AS ref"}');
SELECT policy_test.option_problem('{"insert_mapping": "emial"}');
SELECT policy_test.option_problem('{"insert_mapping": "email, email"}');
SELECT policy_test.option_problem('{"insert_mapping": {"email": {"$sql": "phone", "$on": "update"}}}');
SELECT policy_test.option_problem('{"insert_mapping": "phone AS email"}', '{"ref": "id", "email": {"$sql": "email", "$on": "insert"}}');
SELECT policy_test.option_problem('{}', '{"ref": {"$sql": "id", "$on": "insert"}}');
SELECT policy_test.option_problem('{}', '{"ref": {"$sql": "id", "$null": "omit"}}');
SELECT policy_test.option_problem('{"nulls": "none"}');

-- given policies that can never act, then a warning says so
SELECT policy_test.make('idle_update', '{"ref": "id", "a": {"$sql": "email", "$on": "insert"}}', mode => 'update');
SELECT policy_test.make('idle_insert', '{"ref": "id", "a": {"$sql": "email", "$on": "update"}}', mode => 'insert');
SELECT policy_test.payloads('idle_update');
SELECT policy_test.payloads('idle_insert');
SELECT activate.alter_sync('idle_update', options => '{"insert_mapping": {"b": 1}}');
SELECT activate.alter_sync('idle_insert', mode => 'upsert');
-- mode update has what is for update from the first time on
SELECT policy_test.make('update', '{"ref": "id", "a": {"$sql": "email", "$on": "update"}}', mode => 'update');
SELECT policy_test.payloads('update');

-- null is sent, omitted or empty: what the leaf says, else the option; not for match fields and constants
SELECT policy_test.make('nulls_send', '{"ref": "id", "phone": "phone", "c": null, "o": {"s": "score", "t": ["tags", "score"]}}');
SELECT policy_test.make('nulls_omit', '{"ref": "id", "phone": "phone", "c": null, "o": {"s": "score", "t": ["tags", "score"]}}', '{"nulls": "omit"}');
SELECT policy_test.make('nulls_empty', 'id AS ref, phone, score, tags', '{"nulls": "empty"}');
SELECT policy_test.make('nulls_mixed', '{"ref": "id", "phone": {"$sql": "phone", "$null": "send"}, "score": {"$null": "empty", "$sql": "score"},
	"o": {"s": {"$sql": "score", "$null": "omit"}, "t": [{"$sql": "tags", "$null": "empty"}]}, "doc": "doc"}', '{"nulls": "omit"}');
SELECT policy_test.payloads('nulls_send');
SELECT policy_test.payloads('nulls_omit');
SELECT policy_test.payloads('nulls_empty');
SELECT policy_test.payloads('nulls_mixed');
-- given a match that is null, then it is sent neither as null nor left out
SELECT policy_test.make('nulls_match', 'phone AS ref, email', '{"nulls": "omit"}', match => 'ref');
SELECT policy_test.payloads('nulls_match');

-- given a field that is required, then a row where it is null is invalid, and says which field
SELECT policy_test.make('required', '{"ref": "id", "o": {"phone": {"$sql": "phone", "$required": true}}}');
SELECT policy_test.payloads('required');
CALL activate.run_sync('required');
SELECT key, state, code, message FROM activate.pending WHERE sync = 'required';
UPDATE policy_test.customers SET phone = '+2' WHERE id = 2;
CALL activate.run_sync('required');
\! $DESTINATION_ASK records required
UPDATE policy_test.customers SET phone = NULL WHERE id = 2;
SELECT policy_test.payloads('required');

-- given fields for insert and for update, then the first time sends the one and each change the other
SELECT policy_test.make('on_insert', '{"email": "email", "first": {"$sql": "phone", "$on": "insert"}, "later": {"$sql": "score", "$on": "update"}}');
CALL activate.run_sync('on_insert');
\! $DESTINATION_ASK records on_insert
-- what is sent once is not compared
UPDATE policy_test.customers SET phone = '+99';
CALL activate.run_sync('on_insert');
UPDATE policy_test.customers SET email = upper(email), score = 7;
CALL activate.run_sync('on_insert');
\! $DESTINATION_ASK rows on_insert
\! $DESTINATION_ASK records on_insert

-- given insert_mapping, then its values are sent first, those of the mapping later; unchanged ones are not sent again
SELECT policy_test.make('welcome', 'id AS ref, email, ''active'' AS status',
	'{"insert_mapping": "''new'' AS status, current_user = ''nobody'' AS owned, phone"}', match => 'ref');
CALL activate.run_sync('welcome');
UPDATE policy_test.customers SET phone = '+100';
CALL activate.run_sync('welcome');
UPDATE policy_test.customers SET email = lower(email) WHERE id = 1;
CALL activate.run_sync('welcome');
\! $DESTINATION_ASK rows welcome
\! $DESTINATION_ASK records welcome
-- another value on insert sends nothing again
SELECT activate.alter_sync('welcome', options => '{"insert_mapping": {"status": "''fresh''", "n": [1, {"$x": 2}]}}');
SELECT activate.alter_sync('welcome', options => '{"insert_mapping": {"status": "''fresh''", "n": [1, 2]}}');
CALL activate.run_sync('welcome');
-- a field that is always sent again is another one
-- (how long it will take is told by the runs so far, and is not the same each time)
DELETE FROM activate.run;
SELECT activate.alter_sync('welcome', options => '{"insert_mapping": null}');
SELECT count(*) FROM activate.preview_sync('welcome');

-- given a removed row that comes back, then it is inserted anew
SELECT policy_test.make('again', 'id AS ref, email', '{"insert_mapping": {"born": "score"}}');
SELECT activate.alter_sync('again', mode => 'mirror', on_removed => 'archive', options => '{"max_removed": 10}');
CALL activate.run_sync('again');
BEGIN;
CREATE TABLE policy_test.gone AS TABLE policy_test.customers;
DELETE FROM policy_test.customers WHERE id = 2;
COMMIT;
CALL activate.run_sync('again');
INSERT INTO policy_test.customers SELECT * FROM policy_test.gone WHERE id = 2;
SELECT policy_test.payloads('again');

-- to clear is to clear what was sent on insert, too; empty where that is null there
SELECT policy_test.make('clear', '{"ref": "id", "email": "email", "o": {"p": {"$sql": "phone", "$null": "empty"}, "c": 1}}', '{"insert_mapping": {"born": "score"}}');
SELECT activate.alter_sync('clear', mode => 'mirror', on_removed => 'clear', options => '{"max_removed": 10, "nulls": "omit"}');
CALL activate.run_sync('clear');
DELETE FROM policy_test.customers WHERE id = 2;
SELECT policy_test.payloads('clear');
INSERT INTO policy_test.customers SELECT * FROM policy_test.gone WHERE id = 2;

-- given ignored fields, then they are sent with the others and compared never
SELECT policy_test.make('ignore', '{"ref": "id", "email": "email", "seen": {"at": "phone"}, "n": 1}', '{"ignore_fields": ["seen"]}');
CALL activate.run_sync('ignore');
UPDATE policy_test.customers SET phone = 'x' || phone;
SELECT policy_test.payloads('ignore');
UPDATE policy_test.customers SET email = 'c' || email WHERE id = 1;
SELECT policy_test.payloads('ignore');
CALL activate.run_sync('ignore');
-- a change of what is compared is told and sends again, unless the destination has it already
DELETE FROM activate.run;
SELECT activate.alter_sync('ignore', options => '{"ignore_fields": "seen, email"}');
SELECT count(*) FROM activate.preview_sync('ignore');
SELECT activate.alter_sync('ignore', options => '{"ignore_fields": "seen"}');
SELECT count(*) FROM activate.preview_sync('ignore');
CALL activate.run_sync('ignore');
SELECT activate.alter_sync('ignore', options => '{"ignore_fields": null}', resend => 'none');
SELECT count(*) FROM activate.preview_sync('ignore');
UPDATE policy_test.customers SET phone = 'y' || phone WHERE id = 1;
SELECT policy_test.payloads('ignore');
-- a field that is ignored cannot be taken out of the mapping alone
SELECT activate.alter_sync('ignore', options => '{"ignore_fields": ["n"]}', resend => 'none');
SELECT policy_test.problem($$ SELECT activate.alter_sync('ignore', mapping => 'id AS ref') $$);
-- everything ignored: a row is sent once
DELETE FROM activate.run;
SELECT activate.alter_sync('ignore', options => '{"ignore_fields": ["ref", "email", "seen", "n"]}', match => '');
CALL activate.run_sync('ignore');
UPDATE policy_test.customers SET email = 'd' || email, phone = 'z';
SELECT policy_test.payloads('ignore');

-- given another policy for null, then what is null is sent again, and so are all rows; resend none keeps them
SELECT policy_test.make('null_change', 'id AS ref, email, phone');
CALL activate.run_sync('null_change');
DELETE FROM activate.run;
SELECT activate.alter_sync('null_change', options => '{"nulls": "empty"}');
SELECT count(*) FROM activate.preview_sync('null_change');
SELECT activate.alter_sync('null_change', options => '{"nulls": "send"}', resend => 'none');
CALL activate.run_sync('null_change');
SELECT activate.alter_sync('null_change', options => '{"nulls": "omit"}', resend => 'none');
SELECT count(*) FROM activate.preview_sync('null_change');
-- given one more field on insert, or one that was always sent on update only, then nothing is sent again; back, everything is
SELECT activate.alter_sync('null_change', mapping => '{"ref": "id", "email": "email", "phone": "phone", "more": {"$sql": "score", "$on": "insert"}}');
SELECT count(*) FROM activate.preview_sync('null_change');
SELECT activate.alter_sync('null_change', mapping => '{"ref": "id", "email": "email", "phone": {"$sql": "phone", "$on": "update"}}');
SELECT count(*) FROM activate.preview_sync('null_change');
SELECT activate.alter_sync('null_change', options => '{"ignore_fields": ["phone"]}', mapping => 'id AS ref, email, phone', resend => 'none');
SELECT activate.alter_sync('null_change', options => '{"insert_mapping": {"email": 0}}');
SELECT count(*) FROM activate.preview_sync('null_change');
SELECT activate.alter_sync('null_change', mapping => '{"ref": "id", "email": "email", "phone": {"$sql": "phone", "$on": "update"}}',
	options => '{"insert_mapping": null, "ignore_fields": null}', resend => 'none');
DELETE FROM activate.run;
SELECT activate.alter_sync('null_change', mapping => 'id AS ref, email, phone');
SELECT count(*) FROM activate.preview_sync('null_change');

-- given a policy everywhere, then the baseline knows the same fingerprints as a run
SELECT policy_test.make('baseline', '{"ref": "id", "a": {"$sql": "email", "$on": "insert"}, "b": {"$sql": "phone", "$null": "omit"}, "c": "score"}',
	'{"ignore_fields": ["c"], "insert_mapping": "score AS b, 1 AS d"}');
SELECT activate.reset_sync('baseline', 'baseline');
SELECT count(*) FROM activate.preview_sync('baseline');
UPDATE policy_test.customers SET score = score + 1, email = 'e' || email;
SELECT count(*) FROM activate.preview_sync('baseline');
UPDATE policy_test.customers SET phone = 'f';
SELECT policy_test.payloads('baseline');

-- names that are hard to write are names like others
SELECT policy_test.make('hostile', '{"a.b": "id", "a/b~c": {"$sql": "email", "$on": "insert"}, "q\"\\": {"$sql": "phone", "$null": "omit"}, "höhe\u0001 ": {"x": "score"}, "": "email"}',
	'{"ignore_fields": ["q\"\\", "höhe\u0001 ", ""], "insert_mapping": {"a.b": "score", "q\"\\": "score", "ü": {"$sql": "score", "$required": true}}}');
SELECT policy_test.payloads('hostile');
CALL activate.run_sync('hostile');
SELECT count(*) FROM activate.preview_sync('hostile');
UPDATE policy_test.customers SET phone = 'g', score = NULL;
SELECT count(*) FROM activate.preview_sync('hostile');
SELECT activate.reset_sync('hostile', 'resend');
SELECT policy_test.payloads('hostile');

-- a thousand fields, every third of them compared, and as many as a row can have
SELECT policy_test.make('wide', (SELECT jsonb_object_agg('f' || i, format('score + %s', i)) FROM generate_series(1, 1000) i)::text,
	jsonb_build_object('ignore_fields', (SELECT jsonb_agg('f' || i) FROM generate_series(1, 1000) i WHERE i % 3 <> 0),
		'insert_mapping', (SELECT jsonb_object_agg('f' || i, 'score') FROM generate_series(1, 500) i)));
UPDATE policy_test.customers SET score = id;
SELECT key, (SELECT count(*) FROM json_object_keys(payload)), payload ->> 'f500', payload ->> 'f501' FROM activate.preview_sync('wide');
CALL activate.run_sync('wide');
UPDATE policy_test.customers SET score = 10 WHERE id = 1;
SELECT key, (SELECT count(*) FROM json_object_keys(payload)), payload ->> 'f500', payload ->> 'f501' FROM activate.preview_sync('wide');
SELECT policy_test.problem(format('SELECT policy_test.make(%L, %L, %L)', 'too_wide',
	(SELECT jsonb_object_agg('f' || i, 'id') FROM generate_series(1, 1000) i),
	jsonb_build_object('insert_mapping', (SELECT jsonb_object_agg('f' || i, 'id') FROM generate_series(1, 1000) i))));
