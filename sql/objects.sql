-- Objects of a connector's document: how records are matched, which modes and
-- removals an object has, which fields
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE SCHEMA objects_test;
CREATE TABLE objects_test.people (id int PRIMARY KEY, email text, name text, list int, score int);
INSERT INTO objects_test.people SELECT i, 'P' || i || '@example.com', 'p' || i, i % 3, i FROM generate_series(1, 9) AS i;

-- given a document over the webhook's
CREATE FUNCTION objects_test.connector(connector text, spec text) RETURNS void LANGUAGE sql AS $f$
	DELETE FROM activate.connector WHERE name = connector.connector;
	INSERT INTO activate.connector (name, spec) VALUES (connector.connector, connector.spec::json);
$f$;
SELECT objects_test.connector('objects', $$ {
	"extends": "webhook",
	"title": "Objects",
	"takes_key": false,
	"types": {"null": "omit", "boolean": {"true": "yes", "false": "no"}, "array": {"join": ";"}},
	"objects": [
		{
			"object": "contacts", "title": "Contacts",
			"match": {"fields": ["email", "customer_ref", ["brand", "nick"]], "default": "email", "compare": ["trim", "lower"]},
			"fields": [
				{"field": "customer_ref", "type": "text", "unique": true},
				{"field": "email", "type": "text"},
				{"field": "name", "title": "Full name", "type": "text", "required": true},
				{"field": "made_at", "type": "timestamp", "writable": false},
				{"field": "phone", "type": "text", "filters": "trim|lower"}
			]
		},
		{"object": "anything", "match": {"any": true}},
		{"object": "companies", "more_fields": false, "fields": [{"field": "domain"}, {"field": "name"}], "match": {"fields": ["domain"]}},
		{
			"object": "lists_{list}_members", "title": "Members of a list", "kind": "membership", "key_fields": ["email"],
			"operations": {
				"add": {"mix": "rows", "idempotent": true, "batch": {"max_rows": 10}, "request": {"path": "/{{sync.object}}",
					"body": {"rows": {"$rows": {"op": "{{row.op}}", "key": "{{row.match}}", "fields": "{{row.fields}}"}}}}},
				"remove": {"like": "add", "absent": "accepted"}
			}
		},
		{
			"object": "contact_company", "kind": "association", "key_fields": ["contact", "company"],
			"operations": {"add": {"idempotent": true, "request": {"path": "/links", "body": {"rows": [{"op": "add", "key": "{{row.key}}", "fields": "{{row.fields}}"}]}}}}
		},
		{
			"object": "events", "kind": "event",
			"operations": {"upsert": {"append": true, "idempotent": true, "request": {"path": "/events",
				"body": {"rows": [{"op": "{{row.op}}", "key": "{{row.key}}", "fields": "{{row.fields}}"}]}}}}
		},
		{
			"object": "accounts", "title": "Accounts",
			"operations": {
				"upsert": {"idempotent": true, "request": {"path": "/accounts", "body": {}}},
				"delete": {"irreversible": true, "idempotent": true, "request": {"path": "/accounts", "body": {}}},
				"archive": {"idempotent": true, "request": {"path": "/accounts", "body": {}}}
			}
		},
		{"object": "files/{path...}", "kind": "file", "operations": {"replace": {"request": {"path": "/file", "body": {"$rows": "{{row.fields}}"}}}}}
	]
} $$);
CREATE SERVER objects_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'objects', base_url :'url');
SELECT * FROM activate.connector_objects('objects');
SELECT * FROM activate.connector_objects('webhook');
SELECT * FROM activate.connector_objects('objcts');
SELECT * FROM activate.connector_objects(NULL);
SELECT connector, title, objects, modes FROM activate.connectors WHERE connector = 'objects';

-- no object, one that there is not, a part that is missing
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', mapping => 'email, name');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contcts', mapping => 'email, name');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'lists__members', mapping => 'email');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'files/', mapping => 'email');

-- match: the key column's field where the object can be matched by it, else the object's default, else an error
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', mapping => 'id AS other, id AS customer_ref, email, name') > 0 AS created;
SELECT match FROM activate.syncs;
SELECT activate.alter_sync('c', match => '', mapping => 'id AS other, email, name');
SELECT match FROM activate.syncs;
SELECT activate.drop_sync('c');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', mapping => 'id AS other, name');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'name', mapping => 'email, name');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'nick, brand', mapping => 'email AS nick, name, id + 7 AS brand', mode => 'update') > 0 AS created;
SELECT match FROM activate.syncs;
SELECT activate.drop_sync('c');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'anything', match => 'whatever', mapping => 'email AS whatever') > 0 AS created;
SELECT activate.drop_sync('c');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'companies', match => 'whatever', mapping => 'email AS whatever');

-- match values are compared as the object says
INSERT INTO objects_test.people VALUES (10, ' p1@EXAMPLE.com', 'double', 1, 1);
SET client_min_messages = warning;
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'email', mapping => 'email, name', options => '{"max_invalid": "50%"}') > 0 AS created;
CALL activate.run_sync('c');
SELECT added, accepted, invalid FROM activate.runs WHERE sync = 'c';
SELECT activate.drop_sync('c');
SET client_min_messages = notice;
DELETE FROM objects_test.people WHERE id = 10;

-- fields: required, read-only, unknown
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'email', mapping => 'email') > 0 AS created;
SELECT activate.drop_sync('c');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'email', mapping => 'email', mode => 'update') > 0 AS created;
SELECT activate.drop_sync('c');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contacts', match => 'email', mapping => 'email, name, ''2020-01-01'' AS made_at');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'companies', mapping => 'email AS domain, name AS nmae');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'companies', mapping => 'email AS domain, score AS "Umsatz"');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'lists_7_members', mapping => 'email, name');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'contact_company', mapping => 'email AS contact');

-- modes and removals
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'accounts', match => 'name', mapping => 'name', mode => 'insert');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'accounts', match => 'id', mapping => 'id', mode => 'mirror');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'accounts', match => 'id', mapping => 'id', mode => 'mirror', on_removed => 'delete');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'accounts', match => 'id', mapping => 'id', mode => 'mirror', on_removed => 'remove');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'events', mapping => 'id');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'events', mapping => 'id', mode => 'mirror', on_removed => 'delete');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'files/a/b', mapping => 'id');
SELECT activate.create_sync('c', 'objects_test.people', 'id', 'objects_crm', object => 'files/a/b', mapping => 'id', mode => 'replace') > 0 AS created;
SELECT activate.drop_sync('c');

-- a membership: upsert adds, mirror removes by itself, and the row that left is known by what its key makes
\! $DESTINATION_ASK reset
SET client_min_messages = warning;
CREATE TABLE objects_test.members (email text PRIMARY KEY);
INSERT INTO objects_test.members VALUES ('a@x'), ('b@x');
SELECT activate.create_sync('m', 'objects_test.members', 'email', 'objects_crm', object => 'lists_7_members', mapping => 'email', mode => 'mirror', options => '{"max_removed": null}') > 0 AS created;
SELECT match, mode, on_removed FROM activate.syncs WHERE sync = 'm';
CALL activate.run_sync('m');
DELETE FROM objects_test.members WHERE email = 'a@x';
INSERT INTO objects_test.members VALUES ('c@x');
SELECT activate.alter_sync('m', options => '{"max_removed": "100%"}');
CALL activate.run_sync('m');
SELECT added, removed, accepted FROM activate.runs WHERE sync = 'm' ORDER BY run_id;
\! $DESTINATION_ASK rows lists_7_members
SELECT activate.drop_sync('m');
SELECT activate.create_sync('m', 'objects_test.members', 'email', 'objects_crm', object => 'lists_8_members', mapping => 'email') > 0 AS created;
CALL activate.run_sync('m');
\! $DESTINATION_ASK rows lists_8_members

-- an upsert that serves for insert and append goes by its own name
SELECT activate.create_sync('e', 'objects_test.members', 'email', 'objects_crm', object => 'events', mapping => 'email', mode => 'append', options => '{"first_run": "send"}') > 0 AS created;
CALL activate.run_sync('e');
\! $DESTINATION_ASK rows events

-- a field with filters is rewritten on its way, and only there
SELECT activate.create_sync('f', $$ SELECT 1 AS id, ' A@X ' AS phone, 'n' AS name $$, 'id', 'objects_crm', object => 'contacts', match => 'customer_ref', mapping => 'id AS customer_ref, name, phone', options => '{"keep_payload": true}') > 0 AS created;
SELECT payload FROM activate.preview_sync('f');
CALL activate.run_sync('f');
\! $DESTINATION_ASK rows contacts
CALL activate.run_sync('f');
SELECT added, changed, unchanged FROM activate.runs WHERE sync = 'f' ORDER BY run_id;

-- a value that its filters can do nothing with never leaves, nor does a row that is too large
SELECT objects_test.connector('batches', $$ {
	"extends": "webhook",
	"objects": [
		{"object": "filtered", "fields": [{"field": "token", "filters": "unbase64|hex"}]},
		{"object": "small", "operations": {"upsert": {"batch": {"max_rows": 10, "max_row_bytes": 200}, "mix": null}}},
		{"object": "grouped", "operations": {"upsert": {"idempotent": true, "batch": {"max_rows": 10, "by": "list"},
			"request": {"path": "/grouped", "body": {"rows": {"$rows": {"op": "upsert", "key": "{{row.key}}", "fields": "{{row.fields}}"}}}}}}},
		{"object": "unique", "takes_key": false, "match": {"compare": ["lower"]}, "operations": {
			"upsert": {"mix": "m", "idempotent": true, "batch": {"max_rows": 10, "unique": "match"},
				"request": {"path": "/unique", "body": {"rows": {"$rows": {"op": "{{row.op}}", "key": "{{row.match}}", "fields": "{{row.fields}}"}}}}},
			"delete": {"like": "upsert", "absent": "accepted"}}}
	]
} $$);
SELECT activate.connector_objects('batches');
SELECT objects_test.connector('batches', (SELECT replace(spec::text, '"mix": null', '"idempotent": true, "request": {"path": "/small", "body": {"rows": {"$rows": {"op": "upsert", "key": "{{row.key}}", "fields": "{{row.fields}}"}}}}') FROM activate.connector WHERE name = 'batches'));
CREATE SERVER objects_batches FOREIGN DATA WRAPPER activate OPTIONS (connector 'batches', base_url :'url');
SELECT activate.create_sync('v', $$ SELECT i AS id, CASE i WHEN 1 THEN 'YWI=' WHEN 2 THEN '!' END AS token FROM generate_series(1, 3) AS i $$, 'id', 'objects_batches', object => 'filtered', mapping => 'token', options => '{"max_invalid": null}') > 0 AS created;
CALL activate.run_sync('v');
SELECT key, state, code, message FROM activate.pending WHERE sync = 'v';
\! $DESTINATION_ASK rows filtered
SELECT activate.create_sync('s', $$ SELECT i AS id, repeat('x', i * 100) AS name FROM generate_series(1, 2) AS i $$, 'id', 'objects_batches', object => 'small', mapping => 'name', options => '{"max_invalid": "50%"}') > 0 AS created;
CALL activate.run_sync('s');
SELECT key, state, code, message FROM activate.pending WHERE sync = 's';
SELECT accepted, invalid, requests FROM activate.runs WHERE sync = 's';

-- rows of a request have one value of the field: nine rows of three lists are three requests
SELECT activate.create_sync('g', 'objects_test.people', 'id', 'objects_batches', object => 'grouped', mapping => 'list, name') > 0 AS created;
CALL activate.run_sync('g');
SELECT accepted, requests FROM activate.runs WHERE sync = 'g';
\! $DESTINATION_ASK rows grouped
SELECT activate.create_sync('g2', 'objects_test.people', 'id', 'objects_batches', object => 'grouped', mapping => 'name');
-- and a hundred lists whose rows come in turns are as many as full requests take
INSERT INTO objects_test.people SELECT i, i, 'x', i % 100, 0 FROM generate_series(11, 2010) AS i;
CALL activate.run_sync('g');
SELECT added, accepted, requests FROM activate.runs WHERE sync = 'g' ORDER BY run_id DESC LIMIT 1;
SELECT activate_state, count(*) FROM activate_data.g GROUP BY 1;
DELETE FROM objects_test.people WHERE id > 10;

-- a row with the match of another one waits for the next request
CREATE TABLE objects_test.names (name text PRIMARY KEY);
INSERT INTO objects_test.names VALUES ('Ann'), ('Bob');
SELECT activate.create_sync('u', 'objects_test.names', 'name', 'objects_batches', object => 'unique', mapping => 'name', mode => 'mirror', on_removed => 'delete', options => '{"max_removed": "100%", "remove_after": "0"}') > 0 AS created;
CALL activate.run_sync('u');
DELETE FROM objects_test.names;
INSERT INTO objects_test.names VALUES ('ANN'), ('Eve');
CALL activate.run_sync('u');
SELECT added, removed, accepted, requests FROM activate.runs WHERE sync = 'u' ORDER BY run_id;

-- documents that extend what is not there, or themselves
SELECT objects_test.connector('first', '{"extends": "second"}');
SELECT * FROM activate.connector_objects('first');
SELECT objects_test.connector('second', '{"extends": "first"}');
SELECT * FROM activate.connector_objects('first');
SELECT objects_test.connector('second', '{"extends": "webhook", "title": "Second", "options": null, "base_url": "https://second.example.com"}');
SELECT * FROM activate.connector_objects('first');
CREATE SERVER objects_second FOREIGN DATA WRAPPER activate OPTIONS (connector 'first');
SELECT destination, connector, base_url FROM activate.destinations WHERE destination = 'objects_second';
SELECT objects_test.connector('n' || i, json_build_object('extends', 'n' || i + 1)::text) FROM generate_series(1, 5) AS i;
SELECT objects_test.connector('n6', '{"extends": "webhook"}');
SELECT * FROM activate.connector_objects('n1');
SELECT kind FROM activate.connector_objects('n2');
SELECT objects_test.connector('n6', '{"extends": 1}');
SELECT kind FROM activate.connector_objects('n2');

-- a definition whose object the document no longer has
SELECT objects_test.connector('objects', $$ {"extends": "webhook", "objects": [{"object": "contacts"}]} $$);
CALL activate.run_sync('m');

DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA objects_test CASCADE;
