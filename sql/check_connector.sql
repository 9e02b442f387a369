-- a document is tried out before there is a destination: its problems, its requests, what answers mean
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
CREATE ROLE check_user;
GRANT USAGE ON SCHEMA activate TO check_user;
SET ROLE check_user;
\set planning '{"name": "planning", "base_url": "https://planning.example.com/v2", "secrets": ["bearer_token", "api_key"], "auth": [{"kind": "bearer", "when": "bearer_token", "token": "{{secret.bearer_token}}"}], "check": {"request": {"method": "GET", "path": "/me"}}, "operations": {"upsert": {"idempotent": true, "batch": {"max_rows": 50}, "request": {"method": "PUT", "path": "/sites/{{sync.object}}/forecasts", "body": {"items": {"$rows": {"sku": "{{row.fields.sku}}", "qty": "{{row.fields.qty}}"}}}}, "answer": {"by": "position", "items": "/results", "optional": true, "outcomes": [{"at": "/ok", "in": [true], "then": "accepted"}, {"then": "rejected"}], "code": "/code", "message": "/why", "external_id": "/id"}}, "insert": {"request": {"path": "/sites", "body": {"$spread": "row.fields"}}}}}'

-- its requests of made-up rows, secrets masked
SELECT object, operation, message, request -> 'headers' AS headers, request -> 'body' AS body
FROM activate.check_connector(:'planning') WHERE kind = 'request';

-- an answer: each row's outcome
SELECT kind, operation, "row", outcome, code, message, external_id
FROM activate.check_connector(:'planning', 207, '{"results": [{"ok": true, "id": "f1"}, {"ok": false, "code": "UNKNOWN_SKU", "why": "no such sku"}]}', operation_name => 'upsert')
WHERE kind <> 'request';
SELECT kind, operation, "row", outcome, message, hint
FROM activate.check_connector(:'planning', 207, '{"results": []}', operation_name => 'upsert') WHERE kind <> 'request';
SELECT kind, operation, "row", outcome, message
FROM activate.check_connector(:'planning', 429, 'slow down', '{"Retry-After": "30", "Content-Type": "text/plain"}') WHERE kind <> 'request';
SELECT kind, operation, "row", outcome FROM activate.check_connector(:'planning', 422, '{}') WHERE kind <> 'request';
SELECT kind, operation, "row", outcome FROM activate.check_connector(:'planning', 500, 'oops') WHERE kind <> 'request';
SELECT kind, operation, "row", outcome FROM activate.check_connector(:'planning', 401) WHERE kind <> 'request';

-- rows of one's own
SELECT kind, "row", outcome, request ->> 'url' AS url, request -> 'body' AS body
FROM activate.check_connector(:'planning', 200, '', object_name => 'LYS', operation_name => 'upsert',
	rows => '[{"key": {"id": 7}, "fields": {"sku": "A1", "qty": 120}}, {"key": {"id": 8}, "fields": {"sku": "A2", "qty": null}}, {"key": {"id": 9}, "fields": {"sku": "A3", "qty": 0}}]');

-- all that is wrong at once, by its place, and what would be right
SELECT kind, pointer, message, hint FROM activate.check_connector('{"name": "x", "tittle": "y", "options": {"a b": {}, "c": {"kind": "texd"}}, "secrets": ["acess_token", "api_key", "passwrd"],
	"rules": [{"at": "x", "then": "rows"}, {"status": ["7xx"], "then": "retry"}, {"status": [429], "then": "throtle"}],
	"operations": {"upsert": {"idempotent": 1, "request": {"methd": "POST", "path": "x", "body": {"a": "{{row.fieds}}", "b": "{{row.key|uper}}"}}},
	"insert": {"request": {"methd": "PUT", "path": "/y"}}, "delet": {}}}');
SELECT kind, pointer, message FROM activate.check_connector('[]');
SELECT kind, pointer, message FROM activate.check_connector('{}');
SELECT kind, pointer, message FROM activate.check_connector('{"operations": {"upsert": {"request": {"path": "/\u0000"}}}}');
SELECT kind, pointer, left(message, 60) AS message FROM activate.check_connector((repeat('[', 100) || repeat(']', 100))::json);
SELECT kind, pointer, message FROM activate.check_connector('{"operations": {"upsert": {"request": {}}, "upsert": {"request": {}}}}');
-- the only one that is wrong takes nothing else with it
SELECT kind, pointer, message FROM activate.check_connector('{"operations": {"upsert": {"request": {"path": 1}}}}');

-- what a made-up row cannot be made into is told with its place
SELECT kind, operation, message, pointer FROM activate.check_connector('{"base_url": "https://example.com", "operations": {"upsert": {"request": {"path": "/x/{{row.fields.a.b}}y"}}}}');

-- each object by itself, and one of the caller's
\set lists '{"base_url": "https://lists.example.com", "secrets": ["api_key"], "auth": [{"kind": "headers", "headers": {"X-Key": "{{secret.api_key}}"}}], "objects": [{"object": "contacts", "match": {"fields": ["email", "ref"], "default": "ref"}, "fields": [{"field": "email"}, {"field": "score", "type": "number"}, {"field": "optin", "type": "boolean"}, {"field": "tier", "values": ["gold", "tin"]}], "operations": {"upsert": {"request": {"path": "/contacts", "body": {"$spread": "row.fields"}}}}}, {"object": "lists/{list}/members", "kind": "membership", "key_fields": ["email"], "operations": {"add": {"request": {"path": "/members", "body": {"email": "{{row.fields.email}}"}}}}}]}'
SELECT kind, object, operation, message, request -> 'headers' ->> 'X-Key' AS key, request -> 'body' AS body FROM activate.check_connector(:'lists');
SELECT kind, object, operation, message FROM activate.check_connector(:'lists', object_name => 'lists/vip/members');
SELECT kind, object, operation, message FROM activate.check_connector(:'lists', object_name => 'tickets');

-- a document that extends another is looked at with all of it
SELECT kind, object, operation, message FROM activate.check_connector('{"extends": "webhook", "options": {"base_url": {"default": "https://hooks.example.com"}}}') WHERE operation IN ('upsert', 'check');
SELECT kind, pointer, message, hint FROM activate.check_connector('{"extends": "webhok"}');
SELECT kind, pointer, message FROM activate.check_connector('{"extends": "webhook", "tittle": "x", "operations": {"upsert": {"requests": {}}}}');

-- arguments
SELECT * FROM activate.check_connector(NULL);
SELECT * FROM activate.check_connector(:'planning', 99);
SELECT * FROM activate.check_connector(:'planning', 200, '', '[]');
SELECT * FROM activate.check_connector(:'planning', 200, '', '{"Retry-After": 30}');
SELECT * FROM activate.check_connector(:'planning', operation_name => 'upsrt');
SELECT * FROM activate.check_connector(:'planning', rows => '{}');
SELECT * FROM activate.check_connector(:'planning', rows => '[1]');
SELECT * FROM activate.check_connector(:'planning', rows => '[{"keys": {}}]');
SELECT * FROM activate.check_connector(:'planning', rows => '[{"key": 1}]');
SELECT * FROM activate.check_connector(:'planning', rows => '[{"fields": []}]');
SELECT * FROM activate.check_connector(:'planning', rows => '[{"external_id": 1}]');
RESET ROLE;

-- every document that came with the extension is right, and makes requests
SELECT c.name, x.kind, x.object, x.operation, x.message FROM activate.connector AS c, activate.check_connector(c.spec) AS x WHERE x.kind = 'error';
SELECT count(DISTINCT c.name) = (SELECT count(*) FROM activate.connector WHERE builtin) AS all_ask
FROM activate.connector AS c, activate.check_connector(c.spec) AS x WHERE x.kind = 'request' AND c.builtin;

DROP OWNED BY check_user;
-- an operation whose variant for many rows is a job: each of its requests, and what an answer says
CREATE TEMP VIEW bulk AS SELECT '{"base_url": "https://x.example", "operations": {"update": {"needs": ["external_id"],
	"request": {"method": "PUT", "path": "/people/{{row.external_id}}", "body": {"$row": "{{row.fields}}"}},
	"large": {"from_rows": 200, "needs": ["external_id"], "batch": {"max_rows": 9},
		"steps": [{"request": {"path": "/jobs"}, "save": {"job": "/id"}},
			{"request": {"path": "/jobs/{{saved.job}}", "body": {"$rows": {"id": "{{row.external_id}}"}}}}],
		"poll": {"request": {"method": "GET", "path": "/jobs/{{saved.job}}"}, "state": "/state", "done": ["done"], "running": ["busy"]},
		"results": [{"request": {"method": "GET", "path": "/jobs/{{saved.job}}/csv"}, "answer": {"format": "csv", "by": "external_id",
			"is": "/id", "message": "/why", "outcomes": [{"at": "/ok", "in": ["1"], "then": "accepted"}, {"then": "rejected"}]}}],
		"abort": {"method": "DELETE", "path": "/jobs/{{saved.job}}"}}}}}'::json AS spec;
SELECT x.kind, x.operation, x.message, x.request -> 'body' AS body FROM bulk, activate.check_connector(spec) AS x;
SELECT x.kind, x.operation, x.outcome, x.code FROM bulk, activate.check_connector(spec, response => '{"state": "busy"}', operation_name => 'update') AS x
WHERE x.kind IN ('answer', 'row') AND x.operation LIKE '%large';
SELECT x.kind, x."row", x.outcome, x.message FROM bulk,
	activate.check_connector(spec, response => E'id,ok,why\next-1,1,\next-2,0,"no, not so"\n', rows => '[{"external_id": "ext-1"}, {"external_id": "ext-2"}]') AS x
WHERE x.kind IN ('answer', 'row') AND x.operation LIKE '%large';
DROP VIEW bulk;

DROP ROLE check_user;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
