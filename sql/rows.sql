-- rows that cannot be sent: each is named with its reason, and what the
-- destination has of it stays
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
-- one that finds records by their match, as people write e-mail addresses, and
-- takes no more than 2 kB at once
INSERT INTO activate.connector (name, spec)
SELECT 'crm', replace(replace(replace(spec::text, '"webhook"', '"crm"'), '"takes_key": true,', '"match": {"compare": ["trim", "lower"]},'),
	'"default_rows": 100', '"default_rows": 100, "max_bytes": 2000')::json
FROM activate.connector WHERE name = 'webhook';
SELECT format('CREATE SERVER rows_%s FOREIGN DATA WRAPPER activate OPTIONS (connector %L, base_url %L)', c, c, :'url')
FROM unnest('{webhook,crm}'::text[]) AS c \gexec
CREATE SCHEMA row_test;
CREATE FUNCTION row_test.last(sync text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'model ' || rows_in_model, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'delayed ' || nullif(delayed, 0),
		'invalid ' || nullif(invalid, 0), 'unchanged ' || nullif(unchanged, 0), 'duplicates ' || nullif(r.duplicates, 0),
		'synced ' || nullif(rows_synced, 0))
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = last.sync ORDER BY run_id DESC LIMIT 1
$$;
CREATE FUNCTION row_test.told(sync text) RETURNS TABLE (key jsonb, code text, message text) LANGUAGE sql AS $$
	SELECT i.key, i.code, i.message FROM activate.invalid_row i JOIN activate.sync s USING (sync_id)
	WHERE s.name = told.sync ORDER BY i.key::text, i.code
$$;
SELECT set_config('row_test.lenient', '{"max_invalid": null, "max_removed": null, "remove_after": "0"}', false) AS options;

-- two keys with one match, as the destination compares: neither is sent
CREATE TABLE row_test.people (id int PRIMARY KEY, email text, name text);
INSERT INTO row_test.people VALUES (1, 'ann@example.com', 'Ann'), (2, ' Ann@Example.COM ', 'Anne'), (3, 'bob@example.com', 'Bob'),
	(4, NULL, 'Nobody'), (5, 'eve@example.com', 'Eve');
SELECT activate.create_sync('people', 'row_test.people', 'id', 'rows_crm', object => 'people', match => 'email',
	mapping => 'email, name', mode => 'upsert', options => current_setting('row_test.lenient')::jsonb - 'max_removed' - 'remove_after') > 0 AS created;
SELECT op, key, payload, problem FROM activate.preview_sync('people');
SELECT added, changed, invalid, unchanged, to_send FROM activate.plan_sync('people');
SELECT rows, jsonb_path_query_array(body::jsonb, '$.rows[*].key.id') FROM activate.preview_requests('people');
CALL activate.run_sync('people');
SELECT row_test.last('people');
SELECT * FROM row_test.told('people');
SELECT key, state, code, message FROM activate.rejections WHERE sync = 'people';
SELECT in_model, problem, payload, in_sync, next_action, explanation FROM activate.explain_row('people', '1');
SELECT in_model, problem, payload, in_sync, next_action FROM activate.explain_row('people', '4');
\! $DESTINATION_ASK records people

-- an accepted row and a new one with its match: both invalid, the record stays
INSERT INTO row_test.people VALUES (6, 'BOB@example.com', 'Bob again');
DELETE FROM row_test.people WHERE id = 2;
CALL activate.run_sync('people');
SELECT row_test.last('people');
SELECT * FROM row_test.told('people');
-- nothing to send: nothing to look at; a row in back-off is none
CALL activate.run_sync('people');
SELECT row_test.last('people');
-- the address changes hands
UPDATE row_test.people SET email = 'robert@example.com' WHERE id = 3;
CALL activate.run_sync('people');
SELECT row_test.last('people');
SELECT * FROM row_test.told('people');
-- and a match that became null keeps the record it had
UPDATE row_test.people SET email = NULL WHERE id = 5;
CALL activate.run_sync('people');
SELECT row_test.last('people');
SELECT * FROM row_test.told('people');
\! $DESTINATION_ASK records people

-- named keys are checked against everybody
INSERT INTO row_test.people VALUES (7, 'ann@example.com', 'Ann the third'), (8, 'new@example.com', 'New');
CALL activate.run_sync('people', keys => '[7, 8]');
SELECT row_test.last('people');
SELECT * FROM row_test.told('people');
CALL activate.run_sync('people', max_rows => 1);
SELECT row_test.last('people');

-- identical duplicates are one key
TRUNCATE row_test.people;
ALTER TABLE row_test.people DROP CONSTRAINT people_pkey;
INSERT INTO row_test.people VALUES (21, 'twice@example.com', 'T'), (21, 'twice@example.com', 'T');
CALL activate.run_sync('people');
SELECT row_test.last('people');

-- several match fields, numbers, and what no connector folds
CREATE TABLE row_test.parts (id int, shop text, sku numeric, price int);
INSERT INTO row_test.parts VALUES (1, 'a', 1, 10), (2, 'a', 2, 20), (3, 'b', 1, 30), (4, 'B', 1, 40), (5, 'b', 1, 50), (6, 'c', NULL, 60);
SELECT activate.create_sync('parts', 'row_test.parts', 'id', 'rows_webhook', object => 'parts', match => 'shop, item',
	mapping => $$ {"shop": "shop", "item": {"sku": "sku"}, "price": "price"} $$, options => '{"max_invalid": null}') > 0 AS created;
SELECT activate.create_sync('parts', 'row_test.parts', 'id', 'rows_webhook', object => 'parts', match => 'shop, sku',
	mapping => 'shop, sku, price', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('parts');
SELECT row_test.last('parts');
SELECT * FROM row_test.told('parts');
-- with a mapping that raises on some, too
SELECT activate.alter_sync('parts', mapping => 'shop, sku, 100 / (price - 30) AS price');
UPDATE row_test.parts SET price = 11 WHERE id = 1;
CALL activate.run_sync('parts');
SELECT row_test.last('parts');
SELECT * FROM row_test.told('parts');

-- a row that no request can carry
CREATE TABLE row_test.long (id int PRIMARY KEY, note text);
INSERT INTO row_test.long VALUES (1, 'short'), (2, repeat('x', 1700)), (3, repeat('x', 1900)), (4, repeat('"', 1000)), (5, repeat('x', 10000));
SELECT activate.create_sync('long', 'row_test.long', 'id', 'rows_crm', object => 'long', match => 'id', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('long');
SELECT row_test.last('long');
SELECT * FROM row_test.told('long');
SELECT rows, length(body) < 2000 AS fits FROM activate.preview_requests('long', NULL);
SELECT problem, next_action FROM activate.explain_row('long', '5');
SELECT op, key, problem FROM activate.preview_sync('long');

-- what JSON cannot say
CREATE TABLE row_test.odd (id int PRIMARY KEY, n numeric, d float8, r float4, t timestamptz, s timestamp, e date, a float8[], j jsonb, c text);
INSERT INTO row_test.odd (id, n) VALUES (1, 'NaN'), (2, 1.10);
INSERT INTO row_test.odd (id, d) VALUES (3, 'NaN'), (4, '-Infinity'), (5, '-0');
INSERT INTO row_test.odd (id, r) VALUES (6, 'Infinity');
INSERT INTO row_test.odd (id, t) VALUES (7, 'infinity'), (8, '2026-01-01');
INSERT INTO row_test.odd (id, s) VALUES (9, '-infinity');
INSERT INTO row_test.odd (id, e) VALUES (10, 'infinity');
INSERT INTO row_test.odd (id, a) VALUES (11, '{1,NaN}');
INSERT INTO row_test.odd (id, j) VALUES (12, '{"a": "\u0001"}');
INSERT INTO row_test.odd (id, c) VALUES (13, E'\x01\x1f\u00e9'), (14, E'\u200b\U0001f600');
SELECT activate.create_sync('odd', 'row_test.odd', 'id', 'rows_webhook', object => 'odd', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('odd');
SELECT row_test.last('odd');
SELECT * FROM row_test.told('odd');
\! $DESTINATION_ASK records odd
-- NUL is in no jsonb: its text has six characters, which json takes apart
SELECT activate.alter_sync('odd', mapping => $$ (('{"a": "\u00' || CASE id WHEN 2 THEN '00' ELSE '41' END || '"}')::json) ->> 'a' AS nul $$);
CALL activate.run_sync('odd');
SELECT row_test.last('odd');
SELECT * FROM row_test.told('odd');

-- duplicates that differ name the fields, wherever the first of them was met
CREATE TABLE row_test.twice (id int, csm text, score numeric, tier text, region text, note text);
INSERT INTO row_test.twice VALUES (1, 'ann@example.com', 1, 'gold', 'eu', 'same'), (2, 'bob@example.com', 2, 'gold', 'eu', 'same'), (2, 'bob@example.com', 2, 'gold', 'eu', 'same');
SELECT activate.create_sync('twice', 'row_test.twice', 'id', 'rows_webhook', object => 'twice', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('twice');
SELECT row_test.last('twice');
INSERT INTO row_test.twice VALUES (1, 'eve@example.com', 1, 'gold', 'eu', 'same'), (2, NULL, 3, 'tin', 'us', 'another'),
	(3, repeat('é', 100), 1, 'a', 'b', 'c'), (3, repeat('è', 100), 1, 'a', 'b', 'c'), (3, 'x', 1, 'a', 'b', 'd'), (4, 'fine', 4, 'a', 'b', 'c');
CALL activate.run_sync('twice');
SELECT row_test.last('twice');
SELECT * FROM row_test.told('twice');
SELECT problem FROM activate.explain_row('twice', '2');
SELECT op, key, problem FROM activate.preview_sync('twice');
SELECT activate.alter_sync('twice', mapping => 'csm, 6 / (score - 4) AS score, score AS plain');
CALL activate.run_sync('twice');
SELECT row_test.last('twice');
SELECT * FROM row_test.told('twice');
SELECT activate.alter_sync('twice', options => '{"max_invalid": 0}');
CALL activate.run_sync('twice');
SELECT message FROM activate.invalid_row JOIN activate.sync USING (sync_id) WHERE name = 'twice' ORDER BY 1 LIMIT 1;
-- a secret of the destination in a value is none of the message
SELECT 'CREATE USER MAPPING FOR PUBLIC SERVER rows_webhook OPTIONS (bearer_token ''hush-hush-hush'')' \gexec
SELECT activate.alter_sync('twice', mapping => $$ csm || 'hush-hush-hush' AS csm $$);
CALL activate.run_sync('twice');
SELECT * FROM row_test.told('twice');

-- the connector's document
INSERT INTO activate.connector (name, spec) SELECT 'x', replace(spec::text, '"crm"', '"x"')::json FROM activate.connector WHERE name = 'crm';
CREATE FUNCTION row_test.compile(compare text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
	UPDATE activate.connector SET spec = replace(spec::text, '["trim", "lower"]', compare)::json WHERE name = 'x';
	PERFORM activate.check_destination('rows_x');
	RAISE EXCEPTION USING ERRCODE = 'PA999', MESSAGE = 'fine';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(d, ''), nullif(h, ''));
END $$;
SELECT format('CREATE SERVER rows_x FOREIGN DATA WRAPPER activate OPTIONS (connector ''x'', base_url %L)', :'url') \gexec
SELECT row_test.compile(c) FROM unnest('{"[\"upper\", \"sha256\"]","[]","\"lower\"","[\"lowr\"]","[\"after\"]","[\"json\"]","[1]"}'::text[]) AS c;
UPDATE activate.connector SET spec = replace(spec::text, '"compare"', '"compares"')::json WHERE name = 'x';
SELECT activate.check_destination('rows_x');

SET client_min_messages = warning;
DROP SCHEMA row_test CASCADE;
DROP EXTENSION pg_activate CASCADE;
