-- the owner of a sync is the owner of its table: every way in which that
-- changes, and what each part of the sync then is
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SET search_path = public;
SET TimeZone = 'UTC';
CREATE ROLE regress_owners_boss SUPERUSER;
CREATE ROLE regress_owners_one;
CREATE ROLE regress_owners_two;
CREATE ROLE regress_owners_member IN ROLE regress_owners_two;
SET ROLE regress_owners_boss;
CREATE SCHEMA owners_test;
GRANT USAGE ON SCHEMA activate, owners_test TO PUBLIC;
GRANT CREATE ON SCHEMA owners_test TO regress_owners_one, regress_owners_two;
CREATE TABLE owners_test.health (id int PRIMARY KEY, email text, who text);
INSERT INTO owners_test.health SELECT i, 'u' || i, CASE WHEN i % 2 = 0 THEN 'regress_owners_two' END FROM generate_series(1, 10) i;
GRANT SELECT ON owners_test.health TO regress_owners_one;
SELECT format('CREATE SERVER owners_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
GRANT USAGE ON FOREIGN SERVER owners_crm TO regress_owners_one;
\pset format unaligned
\pset tuples_only on
\set ran 'SELECT sync, status, added, changed, removed, accepted FROM activate.runs ORDER BY run_id DESC LIMIT 1;'
-- who sees what of the sync, and may do what with it
CREATE FUNCTION owners_test.rights(name text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	role text;
	seen text;
BEGIN
	FOREACH role IN ARRAY ARRAY['regress_owners_one', 'regress_owners_two', 'regress_owners_member'] LOOP
		EXECUTE format('SET ROLE %I', role);
		SELECT concat_ws(' ', (SELECT owner FROM activate.syncs WHERE sync = name), (SELECT health FROM activate.status WHERE sync = name),
			(SELECT count(*) FROM activate.runs WHERE sync = name), (SELECT count(*) FROM activate.events WHERE sync = name AND kind = 'created'),
			(SELECT count(*) FROM activate.pending WHERE sync = name)) INTO seen;
		BEGIN
			PERFORM activate.alter_sync(name, options => '{}');
			seen := seen || ', alters it';
		EXCEPTION WHEN insufficient_privilege THEN NULL;
		END;
		BEGIN
			EXECUTE format('SELECT count(*) FROM activate_data.%I', name);
			seen := seen || ', reads its table';
		EXCEPTION WHEN insufficient_privilege THEN NULL;
		END;
		RETURN NEXT role || ': ' || seen;
	END LOOP;
	RESET ROLE;
END $$;
CREATE FUNCTION owners_test.make(name text) RETURNS bool LANGUAGE sql AS $$
	SELECT activate.create_sync(name, 'owners_test.health', 'id', 'owners_crm', object => name, mapping => 'email', owner => 'regress_owners_one') > 0
$$;
SELECT owners_test.make('s');
CALL activate.run_sync('s');
:ran
SELECT * FROM owners_test.rights('s');

-- alter_sync(owner): the new owner must be able to do what the sync does, and is told what he lacks
SET ROLE regress_owners_boss;
SELECT activate.alter_sync('s', owner => 'regress_owners_two');
GRANT USAGE ON FOREIGN SERVER owners_crm TO regress_owners_two;
SELECT activate.alter_sync('s', owner => 'regress_owners_two');
GRANT SELECT ON owners_test.health TO regress_owners_two;
SELECT activate.alter_sync('s', owner => 'regress_owners_two');
SELECT owner FROM activate.syncs;
CALL activate.run_sync('s');
:ran
SELECT * FROM owners_test.rights('s');
-- only who has the rights of both can give it away
SET ROLE regress_owners_one;
SELECT activate.alter_sync('s', owner => 'regress_owners_one');
SET ROLE regress_owners_member;
SELECT activate.alter_sync('s', owner => 'regress_owners_one');
SET ROLE regress_owners_boss;

-- ALTER TABLE ... OWNER TO
ALTER TABLE activate_data.s OWNER TO regress_owners_one;
UPDATE owners_test.health SET email = 'v1' WHERE id = 1;
CALL activate.run_sync('s');
:ran
SELECT * FROM owners_test.rights('s');
SET ROLE regress_owners_boss;

-- REASSIGN OWNED: every sync of his
SELECT owners_test.make('t');
REASSIGN OWNED BY regress_owners_one TO regress_owners_two;
SELECT sync, owner FROM activate.syncs ORDER BY 1;
UPDATE owners_test.health SET email = 'v2' WHERE id = 1;
CALL activate.run_sync('s');
:ran
SELECT activate.drop_sync('t');
SELECT * FROM owners_test.rights('s');
SET ROLE regress_owners_boss;

-- what the new owner may see is what is sent: row security is his
ALTER TABLE owners_test.health ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON owners_test.health FOR SELECT TO regress_owners_one USING (true);
CREATE POLICY his ON owners_test.health FOR SELECT TO regress_owners_two USING (who = current_user);
CALL activate.run_sync('s');
SELECT rows_in_model FROM activate.runs ORDER BY run_id DESC LIMIT 1;
SELECT activate.alter_sync('s', owner => 'regress_owners_one');
CALL activate.run_sync('s');
SELECT rows_in_model FROM activate.runs ORDER BY run_id DESC LIMIT 1;
ALTER TABLE owners_test.health DISABLE ROW LEVEL SECURITY;

-- rights that went: nothing is sent, and the GRANT is named
\! $DESTINATION_ASK reset
UPDATE owners_test.health SET email = 'v3';
REVOKE USAGE ON FOREIGN SERVER owners_crm FROM regress_owners_one;
CALL activate.run_sync('s');
GRANT USAGE ON FOREIGN SERVER owners_crm TO regress_owners_one;
REVOKE SELECT ON owners_test.health FROM regress_owners_one;
CALL activate.run_sync('s');
GRANT SELECT ON owners_test.health TO regress_owners_one;
REVOKE USAGE ON SCHEMA owners_test FROM PUBLIC;
CALL activate.run_sync('s');
GRANT USAGE ON SCHEMA owners_test TO PUBLIC;
REVOKE USAGE ON SCHEMA activate FROM PUBLIC;
CALL activate.run_sync('s');
GRANT USAGE ON SCHEMA activate TO PUBLIC;
\! $DESTINATION_ASK requests
SELECT health, reason FROM activate.status;
CALL activate.run_sync('s');
:ran
SELECT health FROM activate.status;

-- membership revoked: who managed it does no more
SELECT activate.alter_sync('s', owner => 'regress_owners_two');
SET ROLE regress_owners_member;
SELECT activate.pause_sync('s');
SET ROLE regress_owners_boss;
REVOKE regress_owners_two FROM regress_owners_member;
SET ROLE regress_owners_member;
SELECT activate.resume_sync('s');
SELECT count(*) FROM activate.syncs;
CALL activate.run_sync('s');
SET ROLE regress_owners_boss;
SELECT activate.resume_sync('s');

-- a role that is renamed: the sync is still his
ALTER ROLE regress_owners_two RENAME TO regress_owners_three;
SELECT owner FROM activate.syncs;
UPDATE owners_test.health SET email = 'v4' WHERE id = 1;
CALL activate.run_sync('s');
:ran
SELECT activate.sync_sql('s') ~ 'owner       => ''regress_owners_three''', activate.export() #>> '{syncs,s,owner}';
ALTER ROLE regress_owners_three RENAME TO regress_owners_two;

-- DROP ROLE: refused while he owns it
DROP ROLE regress_owners_two;
REASSIGN OWNED BY regress_owners_two TO regress_owners_one;
DROP OWNED BY regress_owners_two;
DROP ROLE regress_owners_two;
SELECT owner FROM activate.syncs;
CALL activate.run_sync('s');
:ran

-- DROP OWNED: the table is gone, and with it what was accepted; the sync says so to who may do something about it
SELECT owners_test.make('u');
SELECT activate.create_sync('after_s', 'owners_test.health', 'id', 'owners_crm', mapping => 'email', schedule => 'after s') > 0;
DROP OWNED BY regress_owners_one;
SELECT sync, owner, model FROM activate.syncs ORDER BY 1;
SELECT sync, health, reason FROM activate.status WHERE sync <> 'after_s' ORDER BY 1;
CALL activate.run_sync('s');
SELECT activate.plan_sync('s');
SELECT activate.alter_sync('s', mapping => 'id');
SELECT activate.alter_sync('s', owner => 'regress_owners_boss');
SELECT activate.pause_sync('s');
SELECT activate.resume_sync('s');
SELECT sync, health FROM activate.status WHERE sync <> 'after_s' ORDER BY 1;
SET client_min_messages = notice;
SELECT activate.export(ARRAY['s']) #>> '{syncs,s,owner}', activate.export() -> 'syncs' ? 's';
SET client_min_messages = warning;
SELECT name, action FROM activate.apply(activate.export(ARRAY['s']));
SELECT activate.create_sync('s', 'owners_test.health', 'id', 'owners_crm', mapping => 'email', if_exists => 'replace');
SET ROLE regress_owners_one;
SELECT count(*) FROM activate.syncs;
SELECT count(*) FROM activate.status;
SELECT activate.drop_sync('s');
SET ROLE regress_owners_boss;
SELECT activate.drop_sync('s');
SELECT activate.drop_sync('after_s');
SELECT activate.drop_sync('s');
SELECT activate.drop_sync('u');
SELECT count(*) FROM activate.sync;
DROP ROLE regress_owners_one;

-- a superuser's sync uses nothing that others own: checked when the owner changes, and at each run
CREATE ROLE regress_owners_one;
GRANT USAGE ON FOREIGN SERVER owners_crm TO regress_owners_one;
GRANT CREATE ON SCHEMA owners_test TO regress_owners_one;
SET ROLE regress_owners_one;
CREATE TABLE owners_test.his (id int PRIMARY KEY, email text);
INSERT INTO owners_test.his VALUES (1, 'a');
SELECT activate.create_sync('his', 'owners_test.his', 'id', 'owners_crm', mapping => 'email') > 0;
SET ROLE regress_owners_boss;
SELECT activate.alter_sync('his', owner => 'regress_owners_boss');
ALTER TABLE activate_data.his OWNER TO regress_owners_boss;
\! $DESTINATION_ASK reset
CALL activate.run_sync('his');
\! $DESTINATION_ASK requests
SELECT activate.alter_sync('his', options => '{"max_changed": 1}');
SELECT activate.alter_sync('his', owner => 'regress_owners_one');
CALL activate.run_sync('his');
:ran

SET client_min_messages = error;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA owners_test CASCADE;
RESET ROLE;
DROP ROLE regress_owners_boss, regress_owners_one, regress_owners_member;
