-- the owner of a destination decides what syncs may do there
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset
CREATE TABLE accounts (id int PRIMARY KEY, name text);
INSERT INTO accounts VALUES (1, 'a');
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url',
	allow_objects 'accounts', allow_modes 'upsert, mirror', allow_removed 'archive');
-- what is not allowed cannot be defined
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', 'deals', mapping => 'name');
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', mapping => 'name');
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', 'accounts', mapping => 'name', mode => 'insert');
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', 'accounts', mapping => 'name', mode => 'mirror', on_removed => 'delete');
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', 'accounts', mapping => 'name', mode => 'mirror', on_removed => 'archive') > 0 AS created;
-- what was allowed once is asked again at each run
ALTER SERVER crm OPTIONS (SET allow_modes 'upsert');
CALL activate.run_sync('s');
\! $DESTINATION_ASK requests
ALTER SERVER crm OPTIONS (DROP allow_modes);
CALL activate.run_sync('s');
\! $DESTINATION_ASK records accounts
-- a destination that is used is shown with what went there
SELECT destination, requests, retries FROM activate.destinations;
DROP EXTENSION pg_activate CASCADE;
DROP TABLE accounts;
