-- only the fields that differ are sent, what was accepted is kept, and previews tell old from new
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'UTC';
SET pg_activate.progress_interval = 0;
\! $DESTINATION_ASK reset
\pset format unaligned
\pset tuples_only on

CREATE SCHEMA changed_test;
CREATE TABLE changed_test.customers (id int PRIMARY KEY, email text, phone text, score numeric, address jsonb, doc json);
INSERT INTO changed_test.customers VALUES (1, 'ann@x', '+1', 1.50, '{"city": "Rome", "zip": 1}', '{ "x" : 1 }'),
	(2, 'bob@x', NULL, NULL, NULL, NULL), (3, 'cem@x', '+3', 3, '[]', ' null ');
CREATE SERVER changed_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE FUNCTION changed_test.make(name text, mapping text, options jsonb, match text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT activate.create_sync(name, 'changed_test.customers', 'id', 'changed_crm', object => name, mapping => mapping,
		match => match, options => options)
$$;

-- given no option, then nothing is kept and nothing is told of what differs
SELECT changed_test.make('plain', 'id AS ref, email', '{}');
CALL activate.run_sync('plain');
UPDATE changed_test.customers SET email = 'ann@y' WHERE id = 1;
SELECT op, key, changed, payload FROM activate.preview_sync('plain');
SELECT changed_fields FROM activate.plan_sync('plain');
SELECT accepted_payload, changed FROM activate.explain_row('plain', '1');
SELECT count(activate_field_hashes), count(activate_payload) FROM activate_data.plain;

-- given changed_fields_only, then an update has the match and what differs, whatever is below a field
SELECT changed_test.make('part', '{"ref": "id", "email": "email", "phone": "phone", "score": "score", "address": {"of": "address", "tags": [1, "doc"]}}',
	'{"changed_fields_only": true}', match => 'ref');
CALL activate.run_sync('part');
UPDATE changed_test.customers SET email = 'ann@z' WHERE id = 1;
UPDATE changed_test.customers SET phone = '+2', address = '{}' WHERE id = 2;
SELECT op, key, changed, payload FROM activate.preview_sync('part');
SELECT changed_fields FROM activate.plan_sync('part');
SELECT payload, accepted_payload, changed, explanation ~ 'Fields that differ: email\.' FROM activate.explain_row('part', '1');
SELECT payload, accepted_payload, changed FROM activate.explain_row('part', '3');
CALL activate.run_sync('part');
\! $DESTINATION_ASK rows part
\! $DESTINATION_ASK records part

-- given a value that goes away and comes back, then null is a value like others
UPDATE changed_test.customers SET phone = NULL WHERE id = 1;
CALL activate.run_sync('part');
UPDATE changed_test.customers SET phone = '+1' WHERE id = 1;
SELECT payload FROM activate.preview_sync('part');
CALL activate.run_sync('part');

-- given a refusal, then the next attempt still has all that the destination lacks
\! $DESTINATION_ASK script '[{"times": 1, "reject_rows": {"where": "ann", "status": "rejected", "error": "no"}}]'
UPDATE changed_test.customers SET email = 'ann@refused' WHERE id = 1;
\set VERBOSITY terse
CALL activate.run_sync('part');
\set VERBOSITY default
UPDATE changed_test.customers SET score = 9 WHERE id = 1;
SELECT payload, changed FROM activate.preview_sync('part');
CALL activate.run_sync('part');
\! $DESTINATION_ASK records part

-- given a lost answer, then all fields go, also when the value is the old one again
\! $DESTINATION_ASK script '[{"times": -1, "results": "short"}]'
UPDATE changed_test.customers SET email = 'ann@lost' WHERE id = 1;
\set VERBOSITY terse
CALL activate.run_sync('part');
\set VERBOSITY default
\! $DESTINATION_ASK script '[]'
UPDATE changed_test.customers SET email = 'ann@refused', phone = '+11' WHERE id = 1;
SELECT activate_field_hashes IS NULL FROM activate_data.part WHERE id = 1;
SELECT payload, changed FROM activate.preview_sync('part');
CALL activate.run_sync('part');
\! $DESTINATION_ASK records part

-- given another mapping, then what is new in it is sent, what is gone is not, and the same under another name is new
SELECT activate.alter_sync('part', mapping => '{"ref": "id", "mail": "email", "phone": "phone", "score": "score + 0.25", "more": 1}');
SELECT key, payload, changed FROM activate.preview_sync('part');
SELECT changed_fields FROM activate.plan_sync('part');
CALL activate.run_sync('part');
SELECT activate.alter_sync('part', mapping => '{"ref": "id", "phone": "phone::varchar", "mail": "email", "score": "score + 0.25", "more": 1}');
-- the order of fields: none differs, all are sent
SELECT key, payload, changed FROM activate.preview_sync('part');
SELECT activate.alter_sync('part', mapping => '{"ref": "id", "phone": "phone::varchar", "mail": "email", "score": "score + 0.25", "more": 1, "first": 2}', resend => 'none');
UPDATE changed_test.customers SET phone = '+33' WHERE id = 3;
SELECT key, payload, changed FROM activate.preview_sync('part');
CALL activate.run_sync('part');

-- given that all is to go again, then all of it does
SELECT activate.alter_sync('part', resend => 'all');
SELECT key, payload, changed FROM activate.preview_sync('part', 1);
CALL activate.run_sync('part');

-- given what the owner wrote into his table, then none of it is a digest of a field, and all are sent
UPDATE activate_data.part SET activate_field_hashes = 'nonsense' WHERE id = 1;
UPDATE activate_data.part SET activate_field_hashes = repeat('0', 15) || 'x' WHERE id = 2;
UPDATE activate_data.part SET activate_field_hashes = '' WHERE id = 3;
UPDATE changed_test.customers SET email = upper(email);
SELECT key, payload, changed FROM activate.preview_sync('part');
CALL activate.run_sync('part');

-- given the option no longer, then what was kept goes
SELECT count(activate_field_hashes) FROM activate_data.part;
SELECT activate.alter_sync('part', options => '{"changed_fields_only": false}');
SELECT count(activate_field_hashes) FROM activate_data.part;

-- given keep_payload, then previews tell old from new, and removed fields from added ones
SELECT changed_test.make('kept', '{"ref": "id", "email": "email", "phone": {"$sql": "phone", "$null": "omit"}, "score": "score", "doc": "doc"}',
	'{"keep_payload": true, "insert_mapping": {"born": "score"}}', match => 'ref');
CALL activate.run_sync('kept');
SELECT id, activate_payload, activate_field_hashes FROM activate_data.kept ORDER BY id;
UPDATE changed_test.customers SET email = NULL, score = score + 1 WHERE id = 1;
UPDATE changed_test.customers SET phone = '+22' WHERE id = 2;
UPDATE changed_test.customers SET phone = NULL, doc = '{}' WHERE id = 3;
SELECT op, key, changed, payload FROM activate.preview_sync('kept');
SELECT changed_fields FROM activate.plan_sync('kept');
SELECT accepted_payload, changed, explanation ~ 'Fields that differ: email, score\.' FROM activate.explain_row('kept', '1');
CALL activate.run_sync('kept');
-- what an insert set is still there
SELECT id, activate_payload FROM activate_data.kept ORDER BY id;

-- given both, then what differs is sent, what is there is kept
SELECT activate.alter_sync('kept', options => '{"changed_fields_only": true}', resend => 'all');
CALL activate.run_sync('kept');
UPDATE changed_test.customers SET email = 'back' WHERE id = 1;
SELECT changed, payload FROM activate.preview_sync('kept');
CALL activate.run_sync('kept');
SELECT activate_payload FROM activate_data.kept WHERE id = 1;
SELECT activate.alter_sync('kept', options => '{"changed_fields_only": false}');

-- given a refusal or a doubt, then the payload is the last that was accepted
\! $DESTINATION_ASK script '[{"times": 1, "reject_rows": {"where": "refused", "status": "rejected", "error": "no"}}]'
UPDATE changed_test.customers SET email = 'refused' WHERE id = 1;
\set VERBOSITY terse
CALL activate.run_sync('kept');
SELECT accepted_payload ->> 'email', changed FROM activate.explain_row('kept', '1');
UPDATE changed_test.customers SET email = 'lost' WHERE id = 1;
\! $DESTINATION_ASK script '[{"times": -1, "results": "short"}]'
CALL activate.run_sync('kept');
\! $DESTINATION_ASK script '[]'
\set VERBOSITY default
SELECT accepted_payload ->> 'email', changed FROM activate.explain_row('kept', '1');
UPDATE changed_test.customers SET email = 'back' WHERE id = 1;
SELECT changed, payload FROM activate.preview_sync('kept');
CALL activate.run_sync('kept');

-- given more changed rows than a preview shows, then the plan counts all of them, those in back-off, too
INSERT INTO changed_test.customers SELECT i, 'c' || i FROM generate_series(1001, 3500) i;
CALL activate.run_sync('kept');
UPDATE changed_test.customers SET email = email || '@w', phone = CASE WHEN id % 2 = 0 THEN '+' || id END WHERE id > 1000;
SELECT changed, changed_fields FROM activate.plan_sync('kept');
\set VERBOSITY terse
\! $DESTINATION_ASK script '[{"times": 1, "reject_rows": {"where": "@w", "status": "rejected", "error": "no"}}]'
CALL activate.run_sync('kept', max_rows => 100);
\set VERBOSITY default
SELECT changed, to_send, changed_fields FROM activate.plan_sync('kept');
DELETE FROM changed_test.customers WHERE id > 1000;

-- given a row that was removed, then nothing of it is kept; a baseline keeps nothing either
SELECT activate.alter_sync('kept', mode => 'mirror', on_removed => 'archive', options => '{"max_removed": "100 %", "max_changed": 5000}');
CALL activate.run_sync('kept');
SELECT count(*), count(activate_payload) FROM activate_data.kept WHERE activate_state = 'removed';
SELECT activate.reset_sync('kept', 'baseline');
SELECT count(*), count(activate_payload) FROM activate_data.kept;
UPDATE changed_test.customers SET email = 'after baseline' WHERE id = 1;
SELECT changed, payload FROM activate.preview_sync('kept');
SELECT changed, changed_fields FROM activate.plan_sync('kept');
CALL activate.run_sync('kept');
SELECT id, activate_payload FROM activate_data.kept WHERE activate_payload IS NOT NULL;
SELECT activate.reset_sync('kept', 'resend');
CALL activate.run_sync('kept');
SELECT activate.alter_sync('kept', options => '{"keep_payload": null}');
SELECT count(*), count(activate_payload) FROM activate_data.kept;

-- given values that jsonb cannot hold, then they are shown with their escapes, or not at all
SELECT changed_test.make('escapes', 'id AS ref, doc', '{"keep_payload": true}');
UPDATE changed_test.customers SET doc = '{"a\\": "\u0000\ud83d"}' WHERE id = 1;
UPDATE changed_test.customers SET doc = '1e999999' WHERE id = 2;
CALL activate.run_sync('escapes');
UPDATE changed_test.customers SET doc = '"\u0041"' WHERE id < 3;
SELECT key, changed, payload FROM activate.preview_sync('escapes');
SELECT changed_fields FROM activate.plan_sync('escapes');
SELECT changed FROM activate.explain_row('escapes', '2');
-- and what the owner wrote over what was kept is only shown
UPDATE activate_data.escapes SET activate_payload = CASE id WHEN 1 THEN '{"ref":1,"ref":2,"\u0000":3}' WHEN 2 THEN '[1]' ELSE '{}' END::json;
UPDATE changed_test.customers SET doc = '4';
SELECT key, changed FROM activate.preview_sync('escapes');
SELECT changed_fields FROM activate.plan_sync('escapes');
CALL activate.run_sync('escapes');
SELECT activate_payload FROM activate_data.escapes ORDER BY id;

-- names that are hard to write, and a thousand fields of which one differs
SELECT changed_test.make('hostile', '{"a.b": "id", "a/b~c": "email", "q\"\\": "phone", "höhe\u0001 ": {"x": "score"}, "": "email", "old": "email", "new": "phone"}',
	'{"keep_payload": true, "changed_fields_only": true}');
CALL activate.run_sync('hostile');
UPDATE changed_test.customers SET email = 'x', phone = 'y', score = 3 WHERE id = 1;
SELECT changed, payload FROM activate.preview_sync('hostile');
SELECT changed_fields FROM activate.plan_sync('hostile');
SELECT explanation FROM activate.explain_row('hostile', '1') WHERE explanation !~ 'Fields that differ: a/b~c, q"\\, höhe. , , old, new\.';
CALL activate.run_sync('hostile');
\! $DESTINATION_ASK records hostile
SELECT changed_test.make('wide', (SELECT json_object_agg('f' || i, CASE WHEN i = 777 THEN 'email' ELSE 'id + ' || i END) FROM generate_series(1, 1000) i)::text,
	'{"keep_payload": true, "changed_fields_only": true}');
CALL activate.run_sync('wide');
UPDATE changed_test.customers SET email = 'one of many' WHERE id = 3;
SELECT changed, payload FROM activate.preview_sync('wide');
CALL activate.run_sync('wide');
SELECT (SELECT count(*) FROM json_object_keys(activate_payload)), activate_payload ->> 'f777', length(activate_field_hashes) FROM activate_data.wide WHERE id = 3;

-- given removals with values of their own, then what is kept is found all the same
SELECT changed_test.make('removed', 'id AS ref, email, phone', '{"keep_payload": true, "changed_fields_only": true, "removed_mapping": "''gone'' AS email, -id AS ref", "max_removed": 10}');
SELECT activate.alter_sync('removed', mode => 'mirror', on_removed => 'update');
CALL activate.run_sync('removed');
UPDATE changed_test.customers SET phone = 'new' WHERE id = 2;
DELETE FROM changed_test.customers WHERE id = 3;
SELECT key, changed, payload FROM activate.preview_sync('removed');
CALL activate.run_sync('removed');
SELECT id, activate_state, activate_payload, activate_field_hashes IS NULL FROM activate_data.removed ORDER BY id;

-- the sums hold
SELECT run_id FROM activate.runs WHERE added + changed + removed <> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out;
