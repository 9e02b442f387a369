-- requests in every format, and rows that no request can be made of
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'UTC';
\! $DESTINATION_ASK reset

CREATE SCHEMA formats_test;
CREATE TABLE formats_test.people (id int, email text, plan text, note text, born timestamptz, phone text);
INSERT INTO formats_test.people VALUES
	(1, ' Ada@Example.com', 'pro', E'it''s "quoted", and\ntwo lines', '2001-02-03 04:05:06.789+02', '+1 (650) 555-0123'),
	(2, 'bob@example.com', NULL, '', NULL, '0049 30 1234567');

-- as many connectors as formats: each says only how its body is written
CREATE FUNCTION formats_test.try(name text, request text, max_rows int DEFAULT 9) RETURNS TABLE (method text, path text, headers text, body text, curl text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.create_connector(name, format($doc${"takes_key": true, "options": {"base_url": {"kind": "url", "required": true}},
		"operations": {"upsert": {"idempotent": true, "batch": {"max_rows": %s}, "request": %s}}}$doc$, max_rows, request)::json);
	EXECUTE format('CREATE SERVER %I FOREIGN DATA WRAPPER activate OPTIONS (connector %L, base_url %L)', name, name, 'https://api.test/v1');
	PERFORM activate.create_sync(name => name, model => 'formats_test.people', key => 'id', destination => name, object => 'people',
		match => 'email', mapping => 'email, plan, note, born, phone');
	RETURN QUERY SELECT r.method, r.url, r.headers::text, r.body, r.curl
		FROM activate.preview_requests(name, 10) AS r;
END $$;

SELECT path, headers, body FROM formats_test.try('ndjson', '{"path": "/_bulk", "format": "ndjson", "lines": [
	{"index": {"_id": "{{row.key.id|string}}"}}, {"$spread": "row.rest", "at": "{{row.fields.born|epoch_ms}}"}]}');
SELECT headers, body FROM formats_test.try('csv', '{"format": "csv", "null_as": "#N/A", "columns": {"Key": "{{row.key.id}}", "$spread": "row.fields"}}');
SELECT headers, body FROM formats_test.try('form', '{"format": "form", "body": {"email": "{{row.match|email}}", "meta": {"plan": "{{row.fields.plan}}", "ref": "{{row.ref}}"}}}', 1);
SELECT method, path, headers, body FROM formats_test.try('text', '{"method": "PUT", "path": "/{{row.key.id}}/{{row.match}}", "format": "text", "body": "hello {{row.match|trim}}"}', 1);
SELECT path, headers, body FROM formats_test.try('none', '{"method": "DELETE", "path": "/people", "query": {"ids": "{{rows.key.id|join:,}}"}, "format": "none"}');
SELECT headers, body, curl FROM formats_test.try('gzip', '{"compress": "gzip", "body": {"schema": {"$names": "fields", "wrap": "{{value|upper}}"},
	"data": {"$rows": {"$values": "row.fields", "wrap": {"null": "", "text": "{{value|trim}}"}}}}}');
SELECT body FROM formats_test.try('typed', '{"body": {"match": "{{sync.match}}", "rows": {"$rows": {"{{sync.match}}": "{{row.match|email|sha256}}", "day": "{{row.fields.born|date}}",
	"fields": {"$wrap": "row.rest", "with": {"by": "field", "plan": {"select": {"name": "{{value}}"}}, "*": {"text": "{{value}}"}}}}}}}');

-- a value that a filter cannot do with is an error of its row, and the others go on
SELECT body FROM formats_test.try('phones', '{"body": {"phones": {"$rows": "{{row.fields.phone|e164|sha256}}"}}}');
UPDATE formats_test.people SET phone = 'none' WHERE id = 1;
SELECT body FROM activate.preview_requests('phones', 10);
SELECT invalid, to_send FROM activate.plan_sync('phones');
SELECT op, problem FROM activate.preview_sync('phones', 10) ORDER BY op;

-- what is compressed on its way is logged as it was before
CREATE SERVER packed FOREIGN DATA WRAPPER activate OPTIONS (connector 'gzip', base_url :'url');
SELECT activate.create_sync(name => 'packed', model => 'formats_test.people', key => 'id', destination => 'packed', object => 'people',
	match => 'email', mapping => 'email, plan', options => '{"log": "all"}') > 0 AS created;
\! $DESTINATION_ASK script '[{"status": 200, "body": "{}", "times": -1}]'
CALL activate.run_sync('packed');
SELECT method, http_status, request_headers->>'Content-Encoding' AS encoding, request_body FROM activate.requests WHERE sync = 'packed';
\! $DESTINATION_ASK get '/_requests?since=0' | grep -o -i '"content-encoding": *"[a-z]*"\|"body":"\\u001f'

SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA formats_test CASCADE;
