-- connectors are made, altered and dropped by administrators
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\getenv port DESTINATION_PORT
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset
CREATE ROLE connector_admin;
CREATE ROLE connector_user;
GRANT USAGE ON SCHEMA activate TO connector_admin, connector_user;
GRANT USAGE ON FOREIGN DATA WRAPPER activate TO connector_admin;
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people VALUES (1, 'Ada'), (2, 'Bob');
GRANT SELECT ON people TO connector_admin;
\set crm '{"spec_version": 1, "title": "Our CRM", "takes_key": true, "options": {"base_url": {"kind": "url", "required": true}}, "operations": {"upsert": {"idempotent": true, "request": {"path": "/{{sync.object}}", "body": {"rows": [{"op": "upsert", "key": "{{row.key}}", "fields": "{{row.fields}}"}]}}}}}'

-- not by everybody
SET ROLE connector_user;
SELECT activate.create_connector('crm', :'crm');
SELECT activate.alter_connector('crm', :'crm');
SELECT activate.drop_connector('crm');
RESET ROLE;

-- arguments, names and documents that cannot be are refused, and nothing is left
SELECT activate.create_connector(NULL, '{}');
SELECT activate.create_connector('crm', NULL);
SELECT activate.create_connector('', :'crm');
SELECT activate.create_connector('Our CRM', :'crm');
SELECT activate.create_connector('1crm', :'crm');
SELECT activate.create_connector(repeat('x', 64), :'crm');
SELECT activate.create_connector('webhook', :'crm');
SELECT activate.create_connector('crm', '[]');
SELECT activate.create_connector('crm', '{"name": "other", "operations": {"upsert": {"request": {}}}}');
SELECT activate.create_connector('crm', '{"operations": {"upsert": {"requests": {}}}}');
SELECT connector FROM activate.connectors WHERE NOT builtin;

-- by who may make destinations; members keep their order, since columns have one
SET ROLE connector_admin;
SELECT activate.create_connector('crm', :'crm');
SELECT activate.create_connector('crm', :'crm');
SELECT connector, builtin, title FROM activate.connectors WHERE NOT builtin;
RESET ROLE;
SELECT spec::text = :'crm' AS as_given FROM activate.connector WHERE name = 'crm';
SET ROLE connector_admin;
CREATE SERVER ours FOREIGN DATA WRAPPER activate OPTIONS (connector 'crm', base_url :'url');
SELECT activate.create_sync('people', 'people', 'id', 'ours', object => 'people', mapping => 'name') > 0 AS made;
CALL activate.run_sync('people');
RESET ROLE;
\! $DESTINATION_ASK records people

-- what came with the extension stays
SELECT activate.alter_connector('webhook', :'crm');
SELECT activate.drop_connector('webhook');
SELECT activate.alter_connector('crn', :'crm');
SELECT activate.drop_connector('crn');
SELECT activate.drop_connector('crn', true);
SELECT activate.drop_connector(NULL);
SELECT activate.drop_connector('crm', NULL);
SELECT activate.alter_connector('crm', NULL);

-- another document: who goes by it is told, and the next run does
SET ROLE connector_admin;
SELECT activate.alter_connector('crm', replace(:'crm', '/{{sync.object}}', '/v2/{{sync.object}}')::json);
RESET ROLE;
INSERT INTO people VALUES (3, 'Cyd');
CALL activate.run_sync('people');
\! $DESTINATION_ASK records v2/people

-- a document that does not compile, or by which a sync or a destination no longer works, changes nothing
SELECT activate.alter_connector('crm', '{"operations": {}}');
SELECT activate.alter_connector('crm', replace(:'crm', '"upsert": {"idem', '"update": {"idem')::json);
SELECT activate.alter_connector('crm', replace(:'crm', '"options": {', '"options": {"region": {"kind": "text", "required": true}, ')::json);
SELECT spec -> 'operations' -> 'upsert' -> 'request' ->> 'path' AS path FROM activate.connector WHERE name = 'crm';

-- what did not work before does not keep a document from being mended
ALTER TABLE people RENAME COLUMN name TO full_name;
SELECT activate.alter_connector('crm', :'crm');
ALTER TABLE people RENAME COLUMN full_name TO name;

-- somebody else's destination goes where he let it go
ALTER SERVER ours OWNER TO connector_user;
SET ROLE connector_admin;
SELECT activate.alter_connector('crm', :'crm');
RESET ROLE;
ALTER SERVER ours OWNER TO connector_admin;

-- used, it is not dropped
SET ROLE connector_admin;
SELECT activate.drop_connector('crm');
SET client_min_messages = warning;
SELECT activate.drop_sync('people');
SET client_min_messages = notice;
DROP SERVER ours;
SELECT activate.drop_connector('crm');
SELECT activate.drop_connector('crm');
RESET ROLE;
SELECT kind, severity, message, details FROM activate.events WHERE kind LIKE 'connector%' ORDER BY event_id;

-- rolled back, nothing was
BEGIN;
SELECT activate.create_connector('crm', :'crm');
ROLLBACK;
SELECT connector FROM activate.connectors WHERE NOT builtin;

-- Options that are a part of the address: a host, and one part of its name
CREATE SERVER desk FOREIGN DATA WRAPPER activate OPTIONS (connector 'zendesk', subdomain 'acme.zendesk.com');
CREATE SERVER desk FOREIGN DATA WRAPPER activate OPTIONS (connector 'zendesk', subdomain 'acme/x?');
CREATE SERVER desk FOREIGN DATA WRAPPER activate OPTIONS (connector 'zendesk', subdomain 'acme-2');
CREATE SERVER mail FOREIGN DATA WRAPPER activate OPTIONS (connector 'braze', instance 'https://rest.iad-01.braze.com');
CREATE SERVER mail FOREIGN DATA WRAPPER activate OPTIONS (connector 'braze', instance 'me@rest.iad-01.braze.com');
CREATE SERVER mail FOREIGN DATA WRAPPER activate OPTIONS (connector 'braze', instance 'rest.iad-01.braze.com:44x');
CREATE SERVER mail FOREIGN DATA WRAPPER activate OPTIONS (connector 'braze', instance 'rest.iad-01.braze.com:8443');

SET client_min_messages = warning;
DROP TABLE people;
DROP EXTENSION pg_activate CASCADE;
DROP ROLE connector_admin, connector_user;
