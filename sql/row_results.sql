-- what answers say of single rows, in the shapes that vendors have, decides what becomes of each
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
CREATE SCHEMA result_test;
CREATE TABLE result_test.people (id int PRIMARY KEY, email text);
INSERT INTO result_test.people SELECT i, 'User' || i || '@x.example' FROM generate_series(0, 3) AS i;
SELECT set_config('result_test.url', :'url', false) IS NOT NULL AS set;

-- a connector whose answers are read like this, and a sync of four rows that go in one request
CREATE FUNCTION result_test.make(name text, answer text, rules text DEFAULT '[]') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.create_connector(name, format('{"match": {"compare": ["trim", "lower"]}, "options": {"base_url": {"kind": "url", "required": true}}, "rules": %s,'
		'"operations": {"upsert": {"idempotent": true, "batch": {"max_rows": 100}, "request": {"path": "/{{sync.object}}", "body": {"rows": {"$rows": {"op": "upsert",'
		'"key": "{{row.key}}", "fields": "{{row.fields}}", "change_id": "{{row.change_id}}"}}}}, "answer": %s}}}', rules, answer)::json);
	EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER activate OPTIONS (connector %L, base_url %L)', name, name, current_setting('result_test.url'));
	PERFORM activate.create_sync(name, 'result_test.people', 'id', name, object => name, match => 'email', mapping => 'email',
		options => '{"canary": null, "max_rejected": null}');
	RETURN 'made';
END $$;
CREATE FUNCTION result_test.told(name text, OUT id int, OUT state text, OUT code text, OUT message text, OUT external_id text, OUT attempts int)
RETURNS SETOF record LANGUAGE sql AS $$
	SELECT p.id, r.state, r.code, r.message, r.external_id, r.attempts FROM result_test.people p,
		LATERAL activate.explain_row(name, jsonb_build_object('id', p.id)) r ORDER BY p.id
$$;

-- given errors with the number of their row within a success, then the others are accepted
SELECT result_test.make('numbers', '{"by": "index", "items": "/errors", "where": {"at": "/input_array", "in": ["attributes"]}, "is": "/index",
	"then": "rejected", "code": "/type", "message": "/type", "default": "accepted", "final_codes": ["never"]}');
\! $DESTINATION_ASK script '[{"match": {"path": "/numbers"}, "status": 201, "headers": {"Content-Type": "application/json"}, "body": "{\"message\":\"success\",\"errors\":[{\"type\":\"bad\",\"input_array\":\"attributes\",\"index\":1},{\"type\":\"never\",\"input_array\":\"attributes\",\"index\":3},{\"type\":\"other\",\"input_array\":\"events\",\"index\":0}]}"}]'
CALL activate.run_sync('numbers');
SELECT * FROM result_test.told('numbers');

-- given a 400 that names rows, then the others of it go again, and only those
SELECT result_test.make('lists', '{"by": "index_lists", "lists": [{"items": "/invalid", "then": "rejected"}, {"items": "/silenced", "then": "refused", "code": {"text": "silenced"}}],
	"optional": true, "default": "retry"}', '[{"status": [400], "then": "rows"}]');
\! $DESTINATION_ASK script '[{"match": {"path": "/lists"}, "status": 400, "headers": {"Content-Type": "application/json"}, "body": "{\"invalid\":{\"time\":[1]},\"silenced\":[2]}"}, {"match": {"path": "/lists"}, "times": -1, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"code\":200}"}]'
CALL activate.run_sync('lists');
SELECT * FROM result_test.told('lists');
\! $DESTINATION_ASK rows lists

-- given successes and failures by the value of the match, in two places and any order, then ids are kept
SELECT result_test.make('members', '{"by": "match", "is": "/email_address", "lists": [{"items": "/new_members", "then": "accepted", "external_id": "/id"},
	{"items": "/errors", "then": "rejected", "code": "/error_code", "message": "/error"}]}');
\! $DESTINATION_ASK script '[{"match": {"path": "/members"}, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"new_members\":[{\"id\":\"m3\",\"email_address\":\"user3@x.example\"},{\"id\":12345678901234567890,\"email_address\":\"USER0@x.example\"},{\"id\":\"m1\",\"email_address\":\"user1@x.example\"}],\"errors\":[{\"email_address\":\"user2@x.example\",\"error_code\":\"ERROR_GENERIC\",\"error\":\"looks fake\"}]}"}]'
CALL activate.run_sync('members');
SELECT * FROM result_test.told('members');

-- given a failure of a row that nobody sent, or silence about one, then nothing is known of any; later it is
SELECT result_test.make('doubts', '{"by": "match", "items": "/results", "is": "/email", "outcomes": [{"at": "/ok", "in": [true], "then": "accepted"}, {"then": "rejected"}]}');
\! $DESTINATION_ASK script '[{"match": {"path": "/doubts"}, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"results\":[{\"email\":\"who@x.example\",\"ok\":false}]}"}, {"match": {"path": "/doubts"}, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"results\":[{\"email\":\"user0@x.example\",\"ok\":true}]}"}, {"match": {"path": "/doubts"}, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"results\":[{\"email\":\"user0@x.example\",\"ok\":true},{\"email\":\"user1@x.example\",\"ok\":true},{\"email\":\"user2@x.example\",\"ok\":true},{\"email\":\"user3@x.example\"}]}"}]'
CALL activate.run_sync('doubts');
SELECT * FROM result_test.told('doubts');

-- given a success that has written nothing, then it is none
SELECT result_test.make('nothing', '{"by": "none", "empty": ["/results", "/errors"]}');
\! $DESTINATION_ASK script '[{"match": {"path": "/nothing"}, "times": -1, "status": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"status\":\"COMPLETE\",\"results\":[]}"}]'
CALL activate.run_sync('nothing');
SELECT * FROM result_test.told('nothing');

-- given rules that look at a header or at the text, then they decide; of a batch that has one absent record the others go through
SELECT result_test.make('rules', '{"by": "none"}', '[{"header": "X-Kind", "in": ["busy"], "then": "retry"}, {"text": true, "contains": "no such contact", "then": "absent"}]');
\! $DESTINATION_ASK script '[{"match": {"path": "/rules"}, "status": 400, "headers": {"X-Kind": "busy"}, "body": ""}, {"match": {"path": "/rules"}, "times": -1, "status": 422, "refuse_batch_if": "User2@", "body": "Error: no such contact"}]'
CALL activate.run_sync('rules');
SELECT id, state, code, message, external_id IS NOT NULL AS known FROM result_test.told('rules');

-- given results in CSV, then they are read strictly
SELECT result_test.make('csv', '{"by": "match", "format": "csv", "is": "/Email", "then": "rejected", "message": "/sf__Error", "default": "accepted"}');
\! $DESTINATION_ASK script '[{"match": {"path": "/csv"}, "status": 200, "headers": {"Content-Type": "text/csv"}, "body": "\"sf__Id\",\"sf__Error\",Email\n,\"cut \"\"off"}, {"match": {"path": "/csv"}, "status": 200, "headers": {"Content-Type": "text/csv"}, "body": "\"sf__Id\",\"sf__Error\",Email\r\n\"\",\"REQUIRED: \"\"Name\"\",\nagain\",user1@x.example\r\n"}]'
CALL activate.run_sync('csv');
SELECT * FROM result_test.told('csv');
