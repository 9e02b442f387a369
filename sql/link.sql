-- option first_run link: what a connector must say so that its records can be asked for
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE SCHEMA link_test;
CREATE TABLE link_test.people (id int, email text, name text, tags text[], born date, score numeric, extra jsonb);
INSERT INTO link_test.people VALUES
	(1, 'ann@example.com', 'Ann', '{a,b}', '2000-01-01', 1.50, '{"a": {"b": 1e2}}'),
	(2, 'bob@example.com', NULL, NULL, NULL, 12345678901234567890, NULL),
	(3, 'eve@example.com', 'Eve', '{}', NULL, 0, '{"x": true}');

-- a connector that says nothing of it
CREATE SERVER link_hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
SELECT activate.create_sync('people', 'link_test.people', 'id', 'link_hook', match => 'email', mapping => 'email, name',
	options => '{"first_run": "link"}');

-- what can be wrong in a document
CREATE FUNCTION link_test.connector(lookup text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM activate.connector WHERE name = 'asked';
	INSERT INTO activate.connector (name, spec)
	SELECT 'asked', regexp_replace(replace(spec::text, '"name": "webhook"', '"name": "asked"'), '"operations": *{',
		'"operations": {"lookup": ' || lookup || ', ')::json FROM activate.connector WHERE name = 'webhook';
	CREATE SERVER link_wrong FOREIGN DATA WRAPPER activate OPTIONS (connector 'asked', base_url 'http://127.0.0.1:9');
	DROP SERVER link_wrong;
	RETURN 'fine';
END
$$;
SELECT link_test.connector('[]');
SELECT link_test.connector('{"requset": {}}');
SELECT link_test.connector('{"request": {"method": "POST"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "name", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "match", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "match", "match": [], "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "match", "match": "email", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "match", "match": "/email", "compare": ["lwoer"], "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "match", "match": "/email", "items": "/x"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "key", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "POST"}, "answer": {"by": "position", "match": "/email", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"batch": {"max_rows": 10}, "request": {"method": "POST", "body": {}}, "answer": {"by": "position", "items": "/x", "external_id": "/id"}}');
SELECT link_test.connector('{"request": {"method": "GET", "path": "/x/{{row.match}}"}, "answer": {"by": "match", "match": "/email", "items": "/x", "external_id": "/id", "absent": [404]}}');

-- what a sync must have then
CREATE SERVER link_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'asked', base_url :'url');
SELECT activate.create_sync('people', 'link_test.people', 'id', 'link_crm', mapping => 'email, name', options => '{"first_run": "link"}');
SELECT activate.create_sync('people', 'link_test.people', 'id', 'link_crm', match => 'email, name', mapping => 'email, name',
	options => '{"first_run": "link"}');

-- values are the same that mean the same to us, whatever the destination makes of them
SELECT link_test.connector('{"batch": {"max_rows": 10}, "request": {"method": "POST", "path": "/people/lookup",
	"body": {"lookup": {"field": "email", "values": {"$rows": "{{row.match}}"}}}},
	"answer": {"by": "match", "match": "/fields/{{sync.match}}", "items": "/records", "external_id": "/id", "fields": "/fields"}}');
SET client_min_messages = warning;
SELECT activate.create_sync('people', 'link_test.people', 'id', 'link_crm', object => 'people', match => 'email',
	mapping => 'email, name, tags, born, score, extra', options => '{"first_run": "link"}') > 0 AS created;
\! $DESTINATION_ASK post /people '{"rows": [{"op": "upsert", "key": {"n": 1}, "fields": {"email": "ann@example.com", "name": "Ann", "tags": ["a", "b"], "born": "2000-01-01", "score": "1.5", "extra": {"a": {"b": "100", "c": 7}}}}, {"op": "upsert", "key": {"n": 2}, "fields": {"email": "bob@example.com", "score": 12345678901234567890, "tags": null}}, {"op": "upsert", "key": {"n": 3}, "fields": {"email": "eve@example.com", "name": "Eve", "tags": [], "score": "0.00", "extra": {"x": "false"}}}]}'
CALL activate.run_sync('people');
SELECT added, changed, unchanged, accepted, requests FROM activate.runs WHERE sync = 'people';
SELECT details FROM activate.events WHERE kind = 'linked';
SELECT id, activate_external_id, activate_state FROM activate_data.people ORDER BY id;
\! $DESTINATION_ASK rows people
CALL activate.run_sync('people');
SELECT added, changed, unchanged, requests FROM activate.runs WHERE sync = 'people' ORDER BY run_id DESC LIMIT 1;
-- once it is done it is over
INSERT INTO link_test.people VALUES (4, 'dan@example.com');
CALL activate.run_sync('people');
SELECT added, requests FROM activate.runs WHERE sync = 'people' ORDER BY run_id DESC LIMIT 1;
SELECT activate.drop_sync('people');
DROP SCHEMA link_test CASCADE;
DROP EXTENSION pg_activate CASCADE;
