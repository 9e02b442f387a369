-- what a destination tells of its objects and fields, and what a document lists
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\getenv port DESTINATION_PORT
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

-- a CRM that tells objects in pages, and fields with labels, types and values
CREATE FUNCTION pg_temp.make_connector(name text, spec json) RETURNS void LANGUAGE sql AS $$
	INSERT INTO activate.connector (name, spec) VALUES (name, spec)
$$;
SELECT pg_temp.make_connector('crm', $${
	"title": "A CRM",
	"options": {"base_url": {"kind": "url", "required": true}},
	"secrets": ["access_token"],
	"auth": [{"when": "access_token", "kind": "bearer", "token": "{{secret.access_token}}"}, {"kind": "none"}],
	"check": {"request": {"method": "GET", "path": "/me"}},
	"account": {
		"request": {"method": "GET", "path": "/account"},
		"id": "/portalId", "name": "/name",
		"environment": {"at": "/type", "map": {"STANDARD": "production", "SANDBOX": "sandbox"}},
		"scopes": "/scopes", "needs": ["contacts.write", "schemas.read"]
	},
	"discover": {
		"objects": [
			{"request": {"method": "GET", "path": "/schemas", "query": {"archived": "false"}},
			 "items": "/results", "next": "/paging/after", "cursor": "after",
			 "object": "/name", "title": "/labels/plural"},
			{"request": {"method": "GET", "path": "/lists"},
			 "items": "/lists", "next": "/next", "object": "/id", "as": "lists/{list}/members", "title": "/name"}
		],
		"fields": {
			"request": {"method": "GET", "path": "/properties/{{sync.object}}"},
			"items": "/results", "next": "/paging/next/link",
			"field": "/name", "title": "/label", "type": ["/fieldType", "/type"],
			"types": {"string": "text", "enumeration": "text", "bool": "boolean", "datetime": "timestamp", "checkbox": "array"},
			"required": {"names": "/required"},
			"writable": {"at": "/modificationMetadata/readOnlyValue", "not": true},
			"unique": "/hasUniqueValue",
			"values": "/options/*/value"
		}
	},
	"objects": [
		{"object": "contacts", "match": {"fields": ["email", ["first", "last"]], "default": "email", "any": true},
		 "fields": [{"field": "email", "type": "text", "unique": true}, {"field": "lifecycle", "title": "Stage", "values": ["lead", "customer"]}]},
		{"object": "lists/{list}/members", "kind": "membership", "title": "Members of a list", "key_fields": ["email"],
		 "operations": {
			"add": {"idempotent": true, "batch": {"max_rows": 100}, "request": {"path": "/{{sync.object}}", "body": {"rows": {"$rows": {"op": "add", "key": "{{row.key}}", "fields": "{{row.fields}}"}}}},
				"answer": {"by": "none"}},
			"remove": {"like": "add"}}},
		{"object": "{name}"}
	],
	"operations": {
		"upsert": {"idempotent": true, "batch": {"max_rows": 100},
			"request": {"path": "/{{sync.object}}", "body": {"rows": {"$rows": {"op": "{{row.op}}", "key": "{{row.key}}", "fields": "{{row.fields}}", "change_id": "{{row.change_id}}"}}}},
			"answer": {"by": "none"}},
		"update": {"like": "upsert"},
		"delete": {"like": "upsert"},
		"clear": {"like": "upsert"}
	}
}$$);
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'crm', base_url :'url');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (access_token 'tok-1');

-- before anything was asked: what the document says
SELECT * FROM activate.objects('crm');
SELECT * FROM activate.fields('crm', 'contacts');
SELECT * FROM activate.fields('crm', 'pets');


-- refresh_destination(): page by page, by cursor and by address
\set schemas1 '{"results": [{"name": "contacts", "labels": {"plural": "Contacts"}}, {"name": "deals", "labels": {"plural": "Deals"}}], "paging": {"after": "p 2/&"}}'
\set schemas2 '{"results": [{"name": "p_pets", "labels": {"plural": "Pets"}}, {"labels": {"plural": "nameless"}}]}'
\set lists1 '{"lists": [{"id": 17, "name": "Newsletter / winback"}, {"id": 18, "name": "Twins"}], "next": "/lists?page=2"}'
\set lists2 '{"lists": [{"id": 19, "name": "Twins"}], "next": null}'
\set contacts1 '{"required": ["email", "full_name"], "results": [{"name": "email", "label": "E-mail", "type": "string", "hasUniqueValue": true}, {"name": "hs_health_score", "label": "Health", "type": "number"}, {"name": "full_name", "label": "Full name", "type": "string"}], "paging": {"next": {"link": "URL/properties/contacts?page=2"}}}'
\set contacts2 '{"required": ["tier"], "results": [{"name": "tier", "type": "enumeration", "fieldType": "select", "options": [{"label": "Gold", "value": "gold"}, {"value": "silver"}]}, {"name": "topics", "type": "enumeration", "fieldType": "checkbox"}, {"name": "born", "label": "Date of birth", "type": "date"}, {"name": "last_seen", "type": "datetime"}, {"name": "customer_ref", "type": "string", "hasUniqueValue": true}, {"name": "created_by", "type": "string", "modificationMetadata": {"readOnlyValue": true}}, {"name": "vip", "type": "bool"}, {"name": "geo", "type": "point"}]}'
CREATE FUNCTION pg_temp.answer(path text, body text, times int DEFAULT -1, status int DEFAULT 200) RETURNS json LANGUAGE sql AS $$
	SELECT json_build_object('match', json_build_object('path', path, 'method', 'GET'), 'times', times, 'status', status,
		'headers', json_build_object('Content-Type', 'application/json'), 'body', replace(body, 'URL', 'http://127.0.0.1:' || current_setting('test.port')))
$$;
SELECT set_config('test.port', :'port', false) <> '' AS set;
SELECT json_agg(a) AS script FROM (VALUES
	(pg_temp.answer('/schemas?archived=false&after=p%202%2F%26', :'schemas2')),
	(pg_temp.answer('/schemas?archived=false', :'schemas1')),
	(pg_temp.answer('/lists?page=2', :'lists2')),
	(pg_temp.answer('/lists', :'lists1')),
	(pg_temp.answer('/properties/contacts?page=2', :'contacts2')),
	(pg_temp.answer('/properties/contacts', :'contacts1')),
	(pg_temp.answer('/properties/deals', '{"results": [{"name": "deal_id", "type": "string", "hasUniqueValue": true}, {"name": "title", "type": "string"}]}')),
	(pg_temp.answer('/properties/p_pets', '{"category": "OBJECT_NOT_FOUND"}', -1, 404))) AS s (a) \gset
\setenv SCRIPT :script
\! $DESTINATION_ASK script "$SCRIPT"
CALL activate.refresh_destination('crm', '{contacts,deals}');
SELECT * FROM activate.objects('crm');
SELECT * FROM activate.fields('crm', 'contacts');
SELECT field, position, document FROM activate.destination_field WHERE field IN ('tier', 'email') ORDER BY position;
\! $DESTINATION_ASK requests

-- by title, where one object has it
SELECT field FROM activate.fields('crm', 'Contacts') LIMIT 1;

-- what a definition says that the object does not have
CREATE SCHEMA catalog_test;
CREATE TABLE catalog_test.customers (id int PRIMARY KEY, email text, health_score numeric, full_name text, tier text,
	birth timestamptz, seen_at date, vip text, meta jsonb);
SELECT activate.create_sync('health', 'catalog_test.customers', 'id', 'crm', 'contacts', match => 'email',
	mapping => $$email, health_score, 'me' AS created_by, birth AS born, seen_at AS last_seen, vip, tier AS full_name$$);
SELECT activate.alter_sync('health', mapping => '{"email": "email", "full_name": "full_name", "tier": 7, "hs_health_score": "health_score"}');
SELECT activate.alter_sync('health', mapping => '{"email": "email", "full_name": "full_name", "tier": {"$sql": "tier"}}');
-- constants that are none of the field's values, and one that is; a text into an array
SELECT activate.alter_sync('health', mapping => $$email, full_name, 'golden' AS tier, tier AS topics$$);
SELECT activate.alter_sync('health', mapping => $${"email": "email", "full_name": "full_name", "tier": "'it''s'"}$$);
SELECT activate.alter_sync('health', mapping => $$email, full_name,  'gold'  AS tier$$);
SELECT activate.alter_sync('health', mapping => $$email, full_name,  'silver;gold'  AS tier$$);
SELECT activate.alter_sync('health', mapping => $$email, full_name,  'silver;gould'  AS tier$$);
-- no update is offered where the object has none
CREATE SERVER catalog_braze FOREIGN DATA WRAPPER activate OPTIONS (connector 'braze');
CREATE USER MAPPING FOR PUBLIC SERVER catalog_braze OPTIONS (api_key 'x');
SELECT activate.create_sync('happened', 'catalog_test.customers', 'id', 'catalog_braze', 'events',
	mapping => $$email, 'signed_up' AS name$$, mode => 'append', options => '{"first_run": "send"}') > 0 AS created;
SELECT activate.drop_sync('happened');
DROP SERVER catalog_braze CASCADE;
SELECT activate.alter_sync('health', mapping => '{"email": "email", "full_name": "full_name", "tier": {"$sql": "tier"}}');
SET client_min_messages = warning;
SELECT activate.alter_sync('health', schedule => '1 hour');
SET client_min_messages = notice;
-- with option strict it is an error
SELECT activate.alter_sync('health', mapping => 'email, full_name, tier, health_score, birth AS born', options => '{"strict": true}');
SELECT activate.alter_sync('health', options => '{"strict": "perhaps"}');
SELECT activate.alter_sync('health', mapping => 'email, full_name, tier, health_score AS hs_health_score', options => '{"strict": true}');
SELECT options FROM activate.syncs WHERE sync = 'health';
-- a match that is not unique
SELECT activate.create_sync('vague', 'catalog_test.customers', 'id', 'crm', 'contacts', match => 'full_name',
	mapping => 'email, full_name, tier') > 0 AS created;
SELECT activate.create_sync('unclear', 'catalog_test.customers', 'id', 'crm', 'deals', match => 'title',
	mapping => 'full_name AS title, email AS deal_idd') > 0 AS created;
-- a title stands for its object where one has it
SELECT activate.create_sync('members', 'catalog_test.customers', 'id', 'crm', 'Newsletter / winback', match => 'email', mapping => 'email') > 0 AS created;
SELECT object FROM activate.syncs WHERE sync = 'members';
SELECT activate.create_sync('twins', 'catalog_test.customers', 'id', 'crm', 'Twins', match => 'email', mapping => 'email, id') > 0 AS created;
SELECT object FROM activate.syncs WHERE sync = 'twins';

-- suggest_mapping(): what create_sync() takes as it is
CREATE TABLE catalog_test.people ("E-mail" text, "customerRef" int, "Health" numeric, full_name text, tier text, date_of_birth date,
	last_seen date, created_by text, "odd
name" int, topics text[]);
SELECT activate.suggest_mapping('catalog_test.people', 'crm', 'Contacts');
SELECT activate.create_sync('suggested', 'catalog_test.people', '"customerRef"', 'crm', 'contacts', match => 'customer_ref',
	mapping => activate.suggest_mapping('catalog_test.people', 'crm', 'contacts')) > 0 AS created;
SELECT activate.suggest_mapping('SELECT id, email FROM catalog_test.customers', 'crm', 'contacts');
SELECT activate.suggest_mapping('catalog_test.people', 'crm', 'p_pets');
SELECT activate.suggest_mapping('catalog_test.nowhere', 'crm', 'contacts');
SELECT activate.suggest_mapping('catalog_test.people', 'nowhere', 'contacts');

-- check_sync(): asks, and says all that is wrong
SELECT json_agg(a) AS script FROM (VALUES
	(pg_temp.answer('/account', '{"portalId": 2512345, "name": "Example Ltd", "type": "SANDBOX", "scopes": ["contacts.read", "contacts.write"]}')),
	(pg_temp.answer('/properties/contacts', '{"results": [{"name": "email", "type": "string", "hasUniqueValue": true}, {"name": "full_name", "type": "string"}, {"name": "level", "type": "string"}]}'))) AS s (a) \gset
\setenv SCRIPT :script
\! $DESTINATION_ASK script "$SCRIPT"
CALL activate.check_sync('health');
SELECT field FROM activate.fields('crm', 'contacts');
CALL activate.check_sync('members');
CALL activate.check_sync('nobody');
CALL activate.check_sync(NULL);
BEGIN; CALL activate.check_sync('health'); ROLLBACK;
BEGIN; CALL activate.refresh_destination('crm'); ROLLBACK;
CALL activate.refresh_destination('nowhere');

-- whose account it is
SELECT ok, account, environment, scopes, missing, replace(detail, :'port', 'PPPPP') AS detail FROM activate.check_destination('crm');
ALTER SERVER crm OPTIONS (ADD account '99');
SELECT ok, account, replace(detail, :'port', 'PPPPP') AS detail FROM activate.check_destination('crm');
INSERT INTO catalog_test.customers (id, email, full_name, tier) VALUES (1, 'ann@example.com', 'Ann', 'gold');
SELECT activate.alter_sync('health', mapping => 'email, full_name', options => '{"strict": false}');
\! $DESTINATION_ASK reset
\! $DESTINATION_ASK script "$SCRIPT"
CALL activate.run_sync('health');
\! $DESTINATION_ASK requests
SELECT status, error FROM activate.runs WHERE sync = 'health' ORDER BY run_id DESC LIMIT 1;
ALTER SERVER crm OPTIONS (SET account '2512345');
CALL activate.run_sync('health');
\! $DESTINATION_ASK requests
\! $DESTINATION_ASK records contacts
-- a connector that cannot tell
CREATE SERVER crm_hook FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', account '1');

-- send_row(): one row for real, with all that went over the wire
\! $DESTINATION_ASK reset
\! $DESTINATION_ASK script "$SCRIPT"
CREATE FUNCTION pg_temp.shown(exchange jsonb) RETURNS TABLE (status text, outcome text, problem text, request text, answer text) LANGUAGE sql AS $$
	SELECT exchange ->> 'status', exchange ->> 'outcome', exchange ->> 'problem',
		concat_ws(' ', r ->> 'method', regexp_replace(r ->> 'url', ':\d+', ':PPPPP'), r -> 'headers' ->> 'Authorization',
			regexp_replace(r ->> 'body', '"change_id":"[^"]+"', '"change_id":"..."')),
		concat_ws(' ', r ->> 'status', r ->> 'response_body')
	FROM (SELECT 1) AS one LEFT JOIN jsonb_array_elements(exchange -> 'requests') AS r ON true
$$;
CALL activate.send_row('health', '1') \gset
SELECT * FROM pg_temp.shown(:'exchange');
SELECT key, state FROM activate.pending WHERE sync = 'health';
-- changed, and refused
UPDATE catalog_test.customers SET full_name = 'Anne' WHERE id = 1;
\! $DESTINATION_ASK script '[{"match": {"path": "/contacts"}, "times": 1, "status": 422, "body": "no such name tok-1"}]'
ALTER SERVER crm OPTIONS (DROP account);
CALL activate.send_row('health', '{"id": 1}') \gset
SELECT * FROM pg_temp.shown(:'exchange');
SELECT key, state, http_status, message FROM activate.pending WHERE sync = 'health';
-- a run that fails is shown, too
\! $DESTINATION_ASK script '[{"match": {"path": "/contacts"}, "times": 1, "status": 401, "body": "who?"}]'
CALL activate.send_row('health', '1') \gset
SELECT * FROM pg_temp.shown(:'exchange');
CALL activate.send_row('health', '1') \gset
SELECT * FROM pg_temp.shown(:'exchange');
-- nothing to send
CALL activate.send_row('health', '7') \gset
SELECT * FROM pg_temp.shown(:'exchange');
CALL activate.send_row('health', '[1]');
CALL activate.send_row('health', NULL);
CALL activate.send_row('nobody', '1');
BEGIN; CALL activate.send_row('health', '1'); ROLLBACK;

-- who may read what is known, and who may not
SET client_min_messages = warning;
DROP ROLE IF EXISTS catalog_reader, catalog_stranger;
SET client_min_messages = notice;
CREATE ROLE catalog_reader;
CREATE ROLE catalog_stranger;
GRANT USAGE ON SCHEMA activate TO catalog_reader, catalog_stranger;
GRANT USAGE ON FOREIGN SERVER crm TO catalog_reader;
SET ROLE catalog_reader;
SELECT object FROM activate.objects('crm') LIMIT 1;
SELECT field FROM activate.fields('crm', 'contacts') LIMIT 1;
SELECT activate.suggest_mapping('catalog_test.customers', 'crm', 'contacts');
SELECT * FROM activate.destination_field;
CALL activate.check_sync('health');
CALL activate.send_row('health', '1');
SET ROLE catalog_stranger;
SELECT object FROM activate.objects('crm') LIMIT 1;
SELECT field FROM activate.fields('crm', 'contacts') LIMIT 1;
CALL activate.refresh_destination('crm');
RESET ROLE;

-- a destination that is renamed keeps what it told, one that is dropped does not
SELECT count(*) > 0 AS told FROM activate.destination_object WHERE destination = 'crm';
ALTER SERVER crm RENAME TO crm2;
SELECT DISTINCT destination FROM activate.destination_object UNION SELECT DISTINCT destination FROM activate.destination_field;
ALTER SERVER crm2 RENAME TO crm;

-- what the parts of a document must be
CREATE FUNCTION pg_temp.section(discover text, account text DEFAULT 'null') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM activate.connector WHERE name = 'asked';
	INSERT INTO activate.connector (name, spec)
	SELECT 'asked', json_strip_nulls(json_build_object('name', 'asked', 'options', spec -> 'options', 'operations', spec -> 'operations',
		'discover', discover::json, 'account', account::json)) FROM activate.connector WHERE name = 'webhook';
	CREATE SERVER catalog_wrong FOREIGN DATA WRAPPER activate OPTIONS (connector 'asked', base_url 'http://127.0.0.1:9');
	DROP SERVER catalog_wrong;
	RETURN 'fine';
END
$$;
SELECT pg_temp.section('{"field": {}}');
SELECT pg_temp.section('{"fields": {}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "x", "field": "/name"}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x"}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x", "field": "$key", "types": {"a": "tekst"}}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x", "field": "$key", "unique": {"in": [1]}}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x", "field": "$key", "unique": {"any": ["/a", {"any": ["/b"]}]}}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x/{{sync.objekt}}", "field": "$key"}}');
SELECT pg_temp.section('{"fields": {"request": {"method": "GET"}, "items": "/x", "field": "$key", "cursor": "after"}}');
SELECT pg_temp.section('{"objects": {"request": {"method": "GET"}, "items": "/x", "object": "/id", "as": "lists"}}');
SELECT pg_temp.section('{"objects": [{"request": {"method": "GET"}, "items": "", "object": "$key", "title": "/t"}]}');
SELECT pg_temp.section('null', '{"request": {"method": "GET"}}');
SELECT pg_temp.section('null', '{"request": {"method": "GET"}, "id": "/id", "environment": {"at": "/e"}}');
SELECT pg_temp.section('null', '{"request": {"method": "GET"}, "id": "/id", "needs": ["a"]}');
SELECT pg_temp.section('null', '{"request": {"method": "GET"}, "id": "/id", "scopes": "/s", "needs": ["a"]}');

-- a next page elsewhere is not asked for: the credentials are this destination's
SELECT json_agg(a) AS script FROM (VALUES
	(pg_temp.answer('/schemas?archived=false', '{"results": []}')),
	(pg_temp.answer('/lists', '{"lists": [], "next": "https://example.com/lists"}'))) AS s (a) \gset
\setenv SCRIPT :script
\! $DESTINATION_ASK script "$SCRIPT"
CALL activate.refresh_destination('crm');
-- nor one that is itself
SELECT json_agg(a) AS script FROM (VALUES
	(pg_temp.answer('/schemas?archived=false', '{"results": []}')),
	(pg_temp.answer('/lists', '{"lists": [], "next": "/lists"}'))) AS s (a) \gset
\setenv SCRIPT :script
\! $DESTINATION_ASK script "$SCRIPT"
CALL activate.refresh_destination('crm');
-- what it told before is kept, and credentials that are refused are said to be
SELECT count(*) FROM activate.destination_object WHERE listed;
\! $DESTINATION_ASK script '[{"times": -1, "status": 401, "body": "no"}]'
CALL activate.refresh_destination('crm');
\! $DESTINATION_ASK reset

DROP SERVER crm CASCADE;
SELECT count(*) FROM activate.destination_object;
SELECT count(*) FROM activate.destination_field;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA catalog_test CASCADE;
DROP OWNED BY catalog_reader, catalog_stranger;
DROP ROLE catalog_reader, catalog_stranger;
