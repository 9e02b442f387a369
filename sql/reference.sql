-- rows that refer to rows of other syncs, by external_id()
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY default
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'UTC';
\! $DESTINATION_ASK reset

CREATE SCHEMA reference_test;
CREATE TABLE reference_test.companies (company_id int, name varchar);
CREATE TABLE reference_test.contacts (contact_id bigint, email text, company_id bigint);
INSERT INTO reference_test.companies VALUES (1, 'Acme'), (2, 'Globex');
INSERT INTO reference_test.contacts VALUES (11, 'ann@acme', 1), (12, 'bob@globex', 2), (13, 'free@lance', NULL), (14, 'eve@later', 3);
CREATE SERVER reference_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE USER MAPPING FOR PUBLIC SERVER reference_crm;
SELECT activate.create_sync(name => 'companies', model => 'reference_test.companies', key => 'company_id',
	destination => 'reference_crm', object => 'companies', mapping => 'name') > 0 AS created;
SELECT activate.create_sync(name => 'contacts', model => 'reference_test.contacts', key => 'contact_id',
	destination => 'reference_crm', object => 'contacts',
	mapping => 'email, activate.external_id(''companies'', company_id) AS company') > 0 AS created;
CREATE FUNCTION reference_test.last_run(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s: added %s, changed %s, removed %s, accepted %s, waiting %s, requests %s', status, added, changed,
		removed, accepted, waiting, requests) FROM activate.runs WHERE sync = name ORDER BY run_id DESC LIMIT 1
$$;

-- given a destination that knows no company yet, then outside of a run the id is null, and nobody waits but who refers
SELECT activate.external_id('companies', 1), activate.external_id('companies', NULL) IS NULL AS no_key;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
SELECT key, op, state, attempts, code, message, first_at IS NOT NULL AS since FROM activate.pending WHERE sync = 'contacts' ORDER BY key::text;
\! $DESTINATION_ASK records contacts
SELECT next_action, state, in_sync, explanation FROM activate.explain_row('contacts', '11');
SELECT health, rows_synced, rows_rejected, backlog FROM activate.status WHERE sync = 'contacts';

-- then a run that finds nothing new writes nothing
SELECT ctid, xmin FROM activate_data.contacts WHERE contact_id = 11 \gset before_
CALL activate.run_sync('contacts');
SELECT ctid = :'before_ctid' AND xmin = :'before_xmin' AS untouched FROM activate_data.contacts WHERE contact_id = 11;

-- then, when the destination has the companies, whoever waited for them goes, and the others wait on
CALL activate.run_sync('companies');
SELECT activate.external_id('companies', 1) AS acme, activate.external_id('companies', '2') AS globex, activate.external_id('companies', 3) AS nobody;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
\! $DESTINATION_ASK records contacts
SELECT key, message FROM activate.pending WHERE sync = 'contacts';

-- given a row that was accepted and now refers to one that is not there, then it waits, keeps what it had, and nothing is sent
UPDATE reference_test.contacts SET company_id = 3 WHERE contact_id = 11;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
SELECT activate_state, activate_accepted_at IS NOT NULL AS there, activate_fingerprint IS NOT NULL AS known, activate_external_id IS NOT NULL AS id
	FROM activate_data.contacts WHERE contact_id = 11;
SELECT rows_synced, backlog FROM activate.status WHERE sync = 'contacts';
-- given rows of one key that differ in what they refer to, then that is told in words
INSERT INTO reference_test.contacts VALUES (15, 'two@later', 3), (15, 'two@later', 4);
CALL activate.run_sync('contacts', keys => '[15]');
SELECT key, code, message FROM activate.rejections WHERE sync = 'contacts' AND code = 'duplicate_key';
DELETE FROM reference_test.contacts WHERE contact_id = 15;
-- then back as it was it counts as accepted
UPDATE reference_test.contacts SET company_id = 1 WHERE contact_id = 11;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
SELECT activate_state FROM activate_data.contacts WHERE contact_id = 11;

-- then a row that waits and leaves the model is forgotten where it was never sent
DELETE FROM reference_test.contacts WHERE contact_id = 14;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
SELECT count(*) FROM activate_data.contacts WHERE contact_id = 14;
-- and removed as any other where it was
SELECT activate.alter_sync('contacts', mode => 'mirror', on_removed => 'delete', options => '{"remove_after": "0 s", "max_removed": 1}');
UPDATE reference_test.contacts SET company_id = 3 WHERE contact_id = 12;
CALL activate.run_sync('contacts');
DELETE FROM reference_test.contacts WHERE contact_id = 12;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
\! $DESTINATION_ASK records contacts

-- given an accepted company of which the destination told no id, then it says so
UPDATE activate_data.companies SET activate_external_id = NULL WHERE company_id = 2;
INSERT INTO reference_test.contacts VALUES (15, 'dan@globex', 2);
CALL activate.run_sync('contacts');
SELECT message FROM activate.pending WHERE sync = 'contacts';
DELETE FROM reference_test.contacts WHERE contact_id = 15;

-- what rows waiting change is no reason to hold a run
SELECT activate.alter_sync('contacts', options => '{"max_changed": 0}');
UPDATE reference_test.contacts SET company_id = 3 WHERE contact_id = 11;
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
UPDATE reference_test.contacts SET company_id = 1 WHERE contact_id = 11;
SELECT activate.alter_sync('contacts', options => '{"max_changed": null}');

-- wherever an id goes into the payload, the row waits
INSERT INTO reference_test.contacts VALUES (16, 'max@later', 3);
CREATE FUNCTION reference_test.waits(mapping text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.alter_sync('contacts', mapping => waits.mapping);
	RETURN (SELECT next_action || ': ' || explanation FROM activate.explain_row('contacts', '16'));
END
$$;
SELECT reference_test.waits($$ 'urn:company:' || activate.external_id('companies', company_id) AS company $$);
SELECT reference_test.waits($$ jsonb_build_object('id', activate.external_id('companies', company_id)) AS company $$);
SELECT reference_test.waits($$ ARRAY[upper(activate.external_id('companies', company_id))] AS company $$);
SELECT reference_test.waits($$ CASE WHEN email LIKE '%later' THEN activate.external_id('companies', company_id) END AS company $$);
SELECT reference_test.waits($$ ARRAY(SELECT activate.external_id('companies', i) FROM generate_series(1, company_id) AS i) AS companies $$);
SELECT reference_test.waits($$ (SELECT jsonb_agg(c) FROM (SELECT activate.external_id('companies', i) AS id FROM generate_series(1, company_id) AS i) AS c) AS companies $$);
SELECT reference_test.waits($$ {"company": {"id": "activate.external_id('companies', company_id)"}} $$);
SELECT reference_test.waits($$ coalesce(email, activate.external_id('companies', company_id)) AS company $$);
SELECT reference_test.waits($$ activate.external_id('companies', company_id)::varchar AS company $$);

-- in a query, a view, a WITH query and a join, too
SELECT activate.alter_sync('contacts', model => $$ WITH c AS (SELECT *, activate.external_id('companies', company_id) AS company FROM reference_test.contacts)
	SELECT contact_id, email, company FROM c JOIN (VALUES (true)) AS v(x) ON x $$, mapping => 'company');
SELECT next_action FROM activate.explain_row('contacts', '16');
CREATE VIEW reference_test.with_company AS SELECT *, activate.external_id('companies', company_id) AS company FROM reference_test.contacts;
SELECT activate.alter_sync('contacts', model => 'reference_test.with_company');
SELECT next_action FROM activate.explain_row('contacts', '16');
SELECT referenced_sync FROM activate.sync_reference;
SELECT activate.alter_sync('contacts', model => $$ SELECT contact_id, email, company FROM reference_test.with_company UNION ALL SELECT -1, '', '' $$);
SELECT next_action FROM activate.explain_row('contacts', '16');

-- what would look at an id that is not known is refused
SELECT activate.alter_sync('contacts', mapping => $$ coalesce(company, 'none') AS company $$);
SELECT activate.alter_sync('contacts', mapping => $$ company IS NULL AS alone $$);
SELECT activate.alter_sync('contacts', mapping => $$ nullif(company, '') AS company $$);
SELECT activate.alter_sync('contacts', mapping => $$ CASE WHEN company = 'r1' THEN 'a' END AS company $$);
SELECT activate.alter_sync('contacts', mapping => $$ left(company, 3) AS company $$);
SELECT activate.alter_sync('contacts', mapping => $$ company::varchar(5) AS company $$);
SELECT activate.alter_sync('contacts', mapping => $$ (SELECT count(*) FROM reference_test.companies WHERE activate.external_id('companies', company_id) = 'x') AS n $$);
SELECT activate.alter_sync('contacts', mapping => $$ (SELECT max(activate.external_id('companies', company_id)) FROM reference_test.companies) AS n $$);
SELECT activate.alter_sync('contacts', mapping => 'email', model => $$ SELECT * FROM reference_test.contacts WHERE activate.external_id('companies', company_id) IS NOT NULL $$);
SELECT activate.alter_sync('contacts', mapping => 'email', model => $$ SELECT * FROM reference_test.with_company ORDER BY company $$);
SELECT activate.alter_sync('contacts', mapping => 'email', model => $$ SELECT c.* FROM reference_test.contacts AS c JOIN reference_test.with_company AS w ON w.company = c.email $$);
SELECT activate.alter_sync('contacts', mapping => 'n', model => $$ SELECT min(contact_id) AS contact_id, count(*) AS n FROM reference_test.with_company GROUP BY company $$);
SELECT activate.alter_sync('contacts', mapping => 'company', model => $$ SELECT DISTINCT contact_id, company FROM reference_test.with_company $$);
SELECT activate.alter_sync('contacts', mapping => 'company', model => $$ SELECT contact_id, company FROM reference_test.with_company EXCEPT SELECT 1, '' $$);
SELECT activate.alter_sync('contacts', mapping => 'contact_id', model => $$ SELECT company AS contact_id FROM reference_test.with_company $$);

-- then a call that cannot work is refused
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id(email, company_id) AS company $$);
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id('company', company_id) AS company $$);
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id('companies', company_id, 1) AS company $$);
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id('companies', email) AS company $$);
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id('companies', VARIADIC ARRAY[company_id]) AS company $$);
SELECT activate.external_id(NULL, 1);
SELECT activate.external_id('companys', 1);
SELECT activate.external_id('companies', 1, 2);
SELECT activate.external_id('companies', now());
SELECT activate.external_id('companies', VARIADIC ARRAY[1]);
SELECT activate.external_id('activate_x', 1);

-- types that compare are fine
SELECT activate.external_id('companies', 1::smallint), activate.external_id('companies', 1::bigint), activate.external_id('companies', '1');
SELECT activate.external_id(s, 1) FROM (VALUES ('companies'), ('contacts'), ('companies')) AS v(s);

-- a cast meets what stands for the id that is not known: the row waits all the same
UPDATE activate_data.companies SET activate_external_id = '501';
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ activate.external_id('companies', company_id)::bigint AS company $$);
CALL activate.run_sync('contacts');
SELECT reference_test.last_run('contacts');
SELECT key, state, message FROM activate.pending WHERE sync = 'contacts';
SELECT next_action, problem FROM activate.explain_row('contacts', '16');
-- a function that asks is not seen
CREATE FUNCTION reference_test.hidden(bigint) RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN activate.external_id('companies', $1); END $$;
SELECT activate.alter_sync('contacts', model => 'reference_test.contacts', mapping => $$ reference_test.hidden(company_id) AS company $$);
CALL activate.run_sync('contacts');
SELECT key, state, message FROM activate.pending WHERE sync = 'contacts';
SELECT referenced_sync FROM activate.sync_reference;

-- a sync that others refer to is neither dropped nor renamed
SELECT activate.alter_sync('contacts', mapping => $$ activate.external_id('companies', company_id) AS company $$);
SELECT activate.drop_sync('companies');
SELECT activate.alter_sync('companies', new_name => 'firms');
SELECT activate.alter_sync('contacts', mapping => 'email');
SELECT activate.alter_sync('companies', new_name => 'firms');
SELECT activate.alter_sync('firms', new_name => 'companies');

-- whoever asks needs to read the table
CREATE ROLE regress_reference_reader;
GRANT USAGE ON SCHEMA activate TO regress_reference_reader;
SET ROLE regress_reference_reader;
SELECT activate.external_id('companies', 1);
RESET ROLE;
GRANT SELECT ON activate_data.companies TO regress_reference_reader;
SET ROLE regress_reference_reader;
SELECT activate.external_id('companies', 1);
RESET ROLE;

-- given rows that refer to rows of the same sync, then they wait for their parents, level by level
CREATE TABLE reference_test.accounts (id text, parent_id text);
INSERT INTO reference_test.accounts VALUES ('root', NULL), ('child', 'root'), ('grandchild', 'child'), ('lost', 'nobody');
SELECT activate.create_sync(name => 'accounts', model => 'reference_test.accounts', key => 'id', destination => 'reference_crm',
	object => 'accounts', mapping => $$ activate.external_id('accounts', parent_id) AS parent $$) > 0 AS created;
CALL activate.run_sync('accounts');
SELECT reference_test.last_run('accounts');
CALL activate.run_sync('accounts');
CALL activate.run_sync('accounts');
SELECT reference_test.last_run('accounts');
\! $DESTINATION_ASK records accounts
SELECT activate.alter_sync('accounts', new_name => 'tree');
SELECT activate.alter_sync('accounts', mapping => $$ activate.external_id('accounts', 7) AS parent $$);

-- a key of several columns of other types
CREATE TYPE reference_test.country AS ENUM ('de', 'fr');
CREATE TABLE reference_test.shops (country reference_test.country, no numeric, opened date);
INSERT INTO reference_test.shops VALUES ('de', 7, '2024-01-01');
SELECT activate.create_sync(name => 'shops', model => 'reference_test.shops', key => 'country, no, opened', destination => 'reference_crm',
	object => 'shops', mapping => 'no') > 0 AS created;
CALL activate.run_sync('shops');
SELECT activate.external_id('shops', 'de', 7, '2024-01-01'), activate.external_id('shops', country, 7::int8, opened::timestamp) FROM reference_test.shops;
SELECT activate.external_id('shops', 'it', 7, '2024-01-01');

-- given a record that is cleared or updated when its row leaves, then it has its id as long as it is there, and what refers to it goes; archived or deleted it has none
CREATE TABLE reference_test.lots (id int, name text);
INSERT INTO reference_test.lots VALUES (1, 'a'), (2, 'b');
SELECT activate.create_sync(name => 'lots', model => 'reference_test.lots', key => 'id', destination => 'reference_crm', object => 'lots',
	mapping => 'name', mode => 'mirror', on_removed => 'clear') > 0 AS created;
CALL activate.run_sync('lots');
DELETE FROM reference_test.lots WHERE id = 1;
CALL activate.run_sync('lots');
SELECT id, activate_state, activate.external_id('lots', id) = activate_external_id AS known FROM activate_data.lots ORDER BY id;
SELECT activate.alter_sync('lots', on_removed => 'archive');
SELECT id, activate.external_id('lots', id) IS NOT NULL AS known FROM activate_data.lots ORDER BY id;
SELECT activate.drop_sync('lots');

-- definitions as code: whoever is referred to comes first, and goes last
SELECT name, action FROM activate.apply('{"defaults": {"destination": "reference_crm", "key": "id"}, "syncs": {
	"a_child": {"model": "reference_test.accounts", "mapping": "activate.external_id(''b_parent'', parent_id) AS parent"},
	"b_parent": {"model": "reference_test.accounts", "mapping": "id"}}}');
SELECT name, action FROM activate.apply(activate.export('{companies, contacts, accounts, shops}'), prune => true) WHERE action <> 'none';

-- and syncs that refer to each other can go in any order of dropping once they do not
SELECT activate.alter_sync('companies', mapping => $$ name, activate.external_id('contacts', 11) AS owner $$);
SELECT activate.alter_sync('contacts', mapping => $$ activate.external_id('companies', company_id) AS company $$);
SELECT activate.drop_sync('contacts');
SELECT activate.alter_sync('companies', mapping => 'name');
SELECT activate.drop_sync('contacts');
SELECT activate.drop_sync('companies');
SELECT activate.drop_sync('accounts');
SELECT activate.drop_sync('shops');
SELECT count(*) FROM activate.sync_reference;
DROP SCHEMA reference_test CASCADE;
DROP EXTENSION pg_activate CASCADE;
DROP ROLE regress_reference_reader;
