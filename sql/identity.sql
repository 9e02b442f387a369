-- on whose behalf the engine works: whatever the owner of a sync prepares,
-- nothing of his runs as anybody else, and no error leaves a session changed
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT current_user AS boss \gset
CREATE ROLE regress_identity_owner;
CREATE ROLE regress_identity_member;
CREATE ROLE regress_identity_stranger;
CREATE ROLE regress_identity_victim SUPERUSER;
GRANT regress_identity_owner TO regress_identity_member;
SELECT format('CREATE SERVER identity_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
GRANT USAGE ON FOREIGN SERVER identity_crm TO regress_identity_owner;
GRANT USAGE ON SCHEMA activate TO regress_identity_owner, regress_identity_member, regress_identity_stranger;
CREATE SCHEMA identity_test AUTHORIZATION regress_identity_owner;
GRANT USAGE ON SCHEMA identity_test TO PUBLIC;

-- what user code saw; anybody's code may write here, so that nothing is hidden
CREATE SEQUENCE identity_test.as_superuser;
GRANT ALL ON SEQUENCE identity_test.as_superuser TO PUBLIC;

SET SESSION AUTHORIZATION regress_identity_owner;
CREATE TABLE identity_test.model (id int PRIMARY KEY, name text);
INSERT INTO identity_test.model VALUES (1, 'one'), (2, 'two');
-- raises where a superuser runs it, or anybody but the owner
CREATE FUNCTION identity_test.spy(place text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF current_user <> 'regress_identity_owner' THEN
		RAISE EXCEPTION '% runs as %', place, current_user;
	END IF;
	RETURN place || ' as ' || current_user;
END $$;
CREATE VIEW identity_test.view AS SELECT id, name, identity_test.spy('model') AS model FROM identity_test.model;
SELECT activate.create_sync('identity', 'identity_test.view', 'id', 'identity_crm', object => 'identity',
	mapping => $$ name, model, identity_test.spy('mapping') AS mapping $$) > 0 AS created;
CALL activate.run_sync('identity');
\! $DESTINATION_ASK records identity
RESET SESSION AUTHORIZATION;

-- who the session is, and what a user could set
CREATE FUNCTION identity_test.session() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', session_user, current_user, current_setting('role'), current_setting('is_superuser'),
		current_setting('search_path'), current_setting('DateStyle'), current_setting('synchronous_commit'),
		current_setting('transaction_read_only'))
$$;

-- given a member, or a superuser, then the run is the owner's all the same
UPDATE identity_test.model SET name = 'by the member' WHERE id = 1;
SET SESSION AUTHORIZATION regress_identity_member;
CALL activate.run_sync('identity');
RESET SESSION AUTHORIZATION;
UPDATE identity_test.model SET name = 'by the superuser' WHERE id = 2;
CALL activate.run_sync('identity');
\! $DESTINATION_ASK records identity
SELECT status, accepted FROM activate.run ORDER BY run_id;
SET SESSION AUTHORIZATION regress_identity_stranger;
CALL activate.run_sync('identity');
RESET SESSION AUTHORIZATION;

-- given an error between two commits, then each session is who it was
SET SESSION AUTHORIZATION regress_identity_owner;
CREATE OR REPLACE VIEW identity_test.view AS SELECT id, name, (1 / (id - id))::text AS model FROM identity_test.model;
SELECT identity_test.session() AS before \gset
CALL activate.run_sync('identity');
SELECT identity_test.session() = :'before' AS same, current_user;
SELECT count(*) FROM pg_authid;
SET SESSION AUTHORIZATION regress_identity_member;
SELECT identity_test.session() AS before \gset
CALL activate.run_sync('identity');
SELECT identity_test.session() = :'before' AS same, current_user;
SELECT count(*) FROM pg_authid;
RESET SESSION AUTHORIZATION;
SELECT identity_test.session() AS before \gset
CALL activate.run_sync('identity');
SELECT identity_test.session() = :'before' AS same, current_user = :'boss' AS myself;
SET ROLE regress_identity_owner;
CALL activate.run_sync('identity');
SELECT current_user;
RESET ROLE;
SELECT current_user = :'boss' AS myself, count(*) > 0 AS reads_pg_authid FROM pg_authid;

-- given a model that writes or takes another role, then it is refused
SET SESSION AUTHORIZATION regress_identity_owner;
CREATE FUNCTION identity_test.attack(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF how = 'write' THEN
		INSERT INTO identity_test.model VALUES (3, 'written');
	ELSE
		EXECUTE how;
	END IF;
	RETURN how || ' went through';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
DROP VIEW identity_test.view;
CREATE VIEW identity_test.view AS SELECT a.n AS id, identity_test.attack(a.how) AS name, '' AS model
	FROM unnest('{write,set role regress_identity_victim,reset role,reset session authorization,set session authorization regress_identity_victim,
		create temporary table t (),"alter role regress_identity_owner superuser",commit,"select nextval(''identity_test.as_superuser'')"}'::text[])
		WITH ORDINALITY AS a (how, n);
SELECT activate.alter_sync('identity', mapping => 'name');
CALL activate.run_sync('identity');
RESET SESSION AUTHORIZATION;
CALL activate.run_sync('identity');
SELECT current_user = :'boss' AS myself;
\! $DESTINATION_ASK records identity
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_identity_owner';
SELECT is_called FROM identity_test.as_superuser;
SELECT activate.drop_sync('identity');

-- given triggers, rules, row security and checks of the owner on the table of
-- the sync and on the model, then they run as the owner or the run is refused
SET SESSION AUTHORIZATION regress_identity_owner;
CREATE FUNCTION identity_test.spy_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_identity_owner' THEN
		RAISE EXCEPTION 'trigger runs as %', current_user;
	END IF;
	BEGIN
		EXECUTE 'SET ROLE regress_identity_victim';
		RAISE EXCEPTION 'could set a role' USING ERRCODE = 'PA999';
	EXCEPTION WHEN insufficient_privilege THEN
		NULL;
	END;
	RETURN NEW;
END $$;
CREATE DOMAIN identity_test.key AS int CHECK (identity_test.spy('domain') <> '');
CREATE TABLE identity_test.keyed (id identity_test.key PRIMARY KEY, name text);
INSERT INTO identity_test.keyed VALUES (1, 'one'), (2, 'two');
SELECT activate.create_sync('keyed', 'identity_test.keyed', 'id', 'identity_crm', object => 'keyed') > 0 AS created;
CREATE TRIGGER spy BEFORE INSERT OR UPDATE ON activate_data.keyed FOR EACH ROW EXECUTE FUNCTION identity_test.spy_trigger();
ALTER TABLE activate_data.keyed ADD CHECK (identity_test.spy('check') <> '');
ALTER TABLE activate_data.keyed ADD COLUMN more text DEFAULT identity_test.spy('default');
RESET SESSION AUTHORIZATION;
CALL activate.run_sync('keyed');
SELECT id, more FROM activate_data.keyed ORDER BY id;

-- a deferred trigger would run when the identity is gone
SET SESSION AUTHORIZATION regress_identity_owner;
DROP TRIGGER spy ON activate_data.keyed;
CREATE FUNCTION identity_test.promote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'ALTER ROLE regress_identity_owner SUPERUSER';
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER promote AFTER INSERT OR UPDATE ON activate_data.keyed
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION identity_test.promote();
UPDATE identity_test.keyed SET name = 'changed';
RESET SESSION AUTHORIZATION;
CALL activate.run_sync('keyed');
SELECT current_user = :'boss' AS myself, rolsuper FROM pg_roles WHERE rolname = 'regress_identity_owner';
DROP TRIGGER promote ON activate_data.keyed;
CALL activate.run_sync('keyed');

-- row security that hides rows from the owner himself
SET SESSION AUTHORIZATION regress_identity_owner;
ALTER TABLE activate_data.keyed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY spy ON activate_data.keyed USING (identity_test.spy('policy') <> '');
UPDATE identity_test.keyed SET name = 'secured';
RESET SESSION AUTHORIZATION;
CALL activate.run_sync('keyed');
SELECT activate_state, count(*) FROM activate_data.keyed GROUP BY 1;

-- rules, and a table that became a view
SET SESSION AUTHORIZATION regress_identity_owner;
CREATE RULE spy AS ON INSERT TO activate_data.keyed DO ALSO SELECT identity_test.spy('rule');
\set VERBOSITY default
CALL activate.run_sync('keyed');
DROP RULE spy ON activate_data.keyed;
ALTER TABLE activate_data.keyed DROP CONSTRAINT keyed_check, DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY spy ON activate_data.keyed;
TRUNCATE activate_data.keyed;
SELECT conname FROM pg_constraint WHERE conrelid = 'activate_data.keyed'::regclass AND contype = 'p' \gset
ALTER TABLE activate_data.keyed DROP CONSTRAINT :conname;
SELECT indexrelid::regclass AS pending FROM pg_index WHERE indrelid = 'activate_data.keyed'::regclass \gset
DROP INDEX :pending;
VACUUM activate_data.keyed;
SELECT string_agg(CASE WHEN attnotnull OR atthasdef THEN format('ALTER %I DROP NOT NULL, ALTER %I DROP DEFAULT', attname, attname) END, ', ') AS changes
	FROM pg_attribute WHERE attrelid = 'activate_data.keyed'::regclass AND attnum > 0 AND NOT attisdropped \gset
ALTER TABLE activate_data.keyed :changes;
SELECT string_agg(format('%s::%s AS %I', CASE attname WHEN 'activate_state' THEN 'identity_test.spy(''rule'')' ELSE 'NULL' END,
	format_type(atttypid, atttypmod), attname), ', ' ORDER BY attnum) AS columns
	FROM pg_attribute WHERE attrelid = 'activate_data.keyed'::regclass AND attnum > 0 AND NOT attisdropped \gset
CREATE RULE "_RETURN" AS ON SELECT TO activate_data.keyed DO INSTEAD SELECT :columns;
SELECT relkind, relhasrules FROM pg_class WHERE oid = 'activate_data.keyed'::regclass;
RESET SESSION AUTHORIZATION;
CALL activate.run_sync('keyed');
SELECT activate.drop_sync('keyed');

-- a superuser's sync over what a non-superuser owns
SELECT activate.create_sync('boss', 'identity_test.model', 'id', 'identity_crm', object => 'boss');
SELECT activate.create_sync('boss', 'SELECT 1 AS id, identity_test.spy(''superuser'') AS name', 'id', 'identity_crm', object => 'boss');
CREATE TABLE identity_test.safe AS SELECT 1 AS id, 'x' AS name;
SELECT activate.create_sync('boss', 'identity_test.safe', 'id', 'identity_crm', object => 'boss') > 0 AS created;
CALL activate.run_sync('boss');
ALTER TABLE identity_test.safe OWNER TO regress_identity_owner;
CALL activate.run_sync('boss');
SELECT status FROM activate.run ORDER BY run_id DESC LIMIT 1;

-- dropping the extension names what depends on it; nothing is left of it
DROP EXTENSION pg_activate;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'activate%';
SELECT srvname FROM pg_foreign_server WHERE srvname = 'identity_crm';

-- given a schema that somebody prepared, then it is not adopted
GRANT CREATE ON DATABASE :DBNAME TO regress_identity_owner;
SET SESSION AUTHORIZATION regress_identity_owner;
CREATE SCHEMA activate;
CREATE FUNCTION activate.version() RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
RESET SESSION AUTHORIZATION;
CREATE EXTENSION pg_activate;
DROP SCHEMA activate CASCADE;
CREATE EXTENSION pg_activate;
DROP EXTENSION pg_activate;
DROP SCHEMA identity_test CASCADE;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_identity_owner;
DROP ROLE regress_identity_owner, regress_identity_member, regress_identity_stranger, regress_identity_victim;
