-- a sync's table belongs to the sync's owner: whatever he makes of it, or has
-- his model do, no backend crashes and no view fails for others
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
CREATE ROLE regress_hostile;
CREATE ROLE regress_hostile_monitor;
GRANT pg_monitor TO regress_hostile_monitor;
SELECT format('CREATE SERVER hostile_crm FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
GRANT USAGE ON FOREIGN SERVER hostile_crm TO regress_hostile;
GRANT USAGE ON SCHEMA activate TO regress_hostile, regress_hostile_monitor;
CREATE SCHEMA hostile AUTHORIZATION regress_hostile;
CREATE TABLE hostile.good AS SELECT 1 AS id, 'one' AS name;
SELECT activate.create_sync('good', 'hostile.good', 'id', 'hostile_crm', object => 'good') > 0 AS created;
CALL activate.run_sync('good');
SELECT activate.reset_sync('good', 'baseline');
UPDATE activate_data.good SET activate_state = 'rejected', activate_message = 'no';

SET SESSION AUTHORIZATION regress_hostile;
CREATE TABLE hostile.model (id int PRIMARY KEY, name text);
INSERT INTO hostile.model SELECT i, 'name ' || i FROM generate_series(1, 3) AS i;
SELECT activate.create_sync('bad', 'hostile.model', 'id', 'hostile_crm', object => 'bad') > 0 AS created;
CALL activate.run_sync('bad');

-- given a column of the engine's that has another type, then whatever reads
-- the table says so, and the views pass it over
CREATE FUNCTION hostile.call(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE what;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE FUNCTION hostile.calls() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(hostile.call(what), ' ') FROM unnest(ARRAY[
		'SELECT count(key::text || message) FROM activate.pending',
		'SELECT count(backlog) FROM activate.status',
		'SELECT activate.preview_sync(''bad'')',
		'SELECT activate.preview_requests(''bad'')',
		'SELECT activate.plan_sync(''bad'')',
		'SELECT activate.explain_row(''bad'', ''2'')',
		'SELECT activate.reset_sync(''bad'', ''baseline'')',
		'SELECT activate.reset_sync(''bad'', ''resend'')']) AS what
$$;
CREATE FUNCTION hostile.with_change(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answers text;
BEGIN
	UPDATE activate_data.bad SET activate_state = 'rejected', activate_op = 'upsert', activate_attempts = 1,
		activate_tried = activate_fingerprint, activate_change_id = activate_fingerprint, activate_last_at = now(),
		activate_http_status = 422, activate_code = 'c', activate_message = 'm', activate_external_id = 'x';
	EXECUTE 'ALTER TABLE activate_data.bad ' || change;
	answers := hostile.calls();
	RAISE EXCEPTION USING ERRCODE = 'PA999', MESSAGE = answers;
EXCEPTION WHEN SQLSTATE 'PA999' THEN
	RETURN SQLERRM;
END $$;
SELECT hostile.with_change('ADD more text') AS unchanged;
SELECT attname, hostile.with_change(format('ALTER %I DROP DEFAULT, ALTER %1$I TYPE %s USING %s', attname,
		CASE atttypid WHEN 'text'::regtype THEN 'int8' ELSE 'text' END,
		CASE atttypid WHEN 'text'::regtype THEN '12345678' ELSE '''y''' END)) AS other_type,
	hostile.with_change(format('DROP %I', attname)) AS dropped
FROM pg_attribute WHERE attrelid = 'activate_data.bad'::regclass AND attname LIKE 'activate\_%'
	AND attname <> 'activate_state' ORDER BY attname;
-- what reads the column first
DROP INDEX activate_data.activate_pending_2;
SELECT hostile.with_change('ALTER activate_state DROP DEFAULT, ALTER activate_state TYPE int8 USING 12345678') AS state;
-- a key may widen, and not become what is read otherwise
SELECT hostile.with_change('ALTER id TYPE numeric') AS numeric_key, hostile.with_change('ALTER id TYPE int2') AS smaller_key,
	hostile.with_change('DROP id') AS no_key;

-- given the table changed under a run, then the run fails
ALTER TABLE activate_data.bad ALTER activate_external_id TYPE int8 USING 12345678;
UPDATE hostile.model SET name = 'changed';
CALL activate.run_sync('bad');
SELECT activate.external_id('bad', 1);
DO $$
DECLARE
	id text := activate.external_id('bad', 2);
BEGIN
	RAISE EXCEPTION 'an id was read: %', id;
END $$;
ALTER TABLE activate_data.bad ALTER activate_external_id TYPE text;
CALL activate.run_sync('bad');
\! $DESTINATION_ASK records bad

-- given a table that raises when it is read, then others see theirs
CREATE FUNCTION hostile.refuse() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not for you'; END $$;
CREATE POLICY refuse ON activate_data.bad USING (hostile.refuse());
ALTER TABLE activate_data.bad ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET SESSION AUTHORIZATION;
SELECT sync, key, message FROM activate.pending;
SET SESSION AUTHORIZATION regress_hostile_monitor;
SELECT sync, health, rows_rejected FROM activate.status ORDER BY sync;
SET SESSION AUTHORIZATION regress_hostile;
CREATE OR REPLACE FUNCTION hostile.refuse() RETURNS bool LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'a cancel, says he' USING ERRCODE = 'query_canceled'; END $$;
SET SESSION AUTHORIZATION regress_hostile_monitor;
SELECT sync, health, rows_rejected FROM activate.status ORDER BY sync;
SET SESSION AUTHORIZATION regress_hostile;
ALTER TABLE activate_data.bad DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;

-- given a model that calls what only the diff calls, then it gets nothing by it
CREATE TABLE hostile.keyed (id text PRIMARY KEY, name text);
INSERT INTO hostile.keyed SELECT i::text, 'name' FROM generate_series(1, 100) AS i;
CREATE FUNCTION hostile.attack(name text) RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN name; END $$;
SELECT activate.create_sync('keyed', 'hostile.keyed', 'id', 'hostile_crm', object => 'keyed',
	mapping => 'hostile.attack(name) AS name') > 0 AS created;
CALL activate.run_sync('keyed');
CREATE OR REPLACE FUNCTION hostile.attack(name text) RETURNS text STABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.diff_sieve(12345678::int8);
	RETURN name;
EXCEPTION WHEN datatype_mismatch OR object_not_in_prerequisite_state THEN
	RETURN name;
END $$;
UPDATE hostile.keyed SET name = 'changed' WHERE id = '7';
CALL activate.run_sync('keyed');
CREATE OR REPLACE FUNCTION hostile.attack(name text) RETURNS text STABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate.diff_keep(seed, seed, '(4294967294,1)')
	FROM (VALUES ('00000000-0000-0000-0000-000000000000'::uuid)) AS s (seed);
	RETURN name;
END $$;
UPDATE hostile.keyed SET name = 'again' WHERE id = '7';
SET statement_timeout = '1min';
CALL activate.run_sync('keyed');
RESET statement_timeout;

-- given a function of the mapping that raises, then its rows are invalid and the run is held
CREATE OR REPLACE FUNCTION hostile.attack(name text) RETURNS text STABLE LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not today';
END $$;
UPDATE hostile.keyed SET name = 'and again' WHERE id = '7';
CALL activate.run_sync('keyed');
CALL activate.run_sync('keyed');
SELECT status, error FROM activate.runs WHERE sync = 'keyed' ORDER BY run_id DESC LIMIT 2;
-- given a check that the table gets anew when its key widens, then it is evaluated as the owner
CREATE TABLE hostile.seen (role text);
GRANT ALL ON hostile.seen TO PUBLIC;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE FUNCTION hostile.look(id int8) RETURNS bool LANGUAGE sql AS
	$$ INSERT INTO hostile.seen VALUES (current_user) RETURNING true $$;
ALTER TABLE activate_data.bad ADD CHECK (hostile.look(id));
TRUNCATE hostile.seen;
ALTER TABLE hostile.model ALTER id TYPE int8;
CALL activate.run_sync('bad');
SELECT format_type(atttypid, atttypmod) AS key_type FROM pg_attribute
	WHERE attrelid = 'activate_data.bad'::regclass AND attname = 'id';
SELECT DISTINCT role FROM hostile.seen;
RESET SESSION AUTHORIZATION;

SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA hostile CASCADE;
DROP ROLE regress_hostile, regress_hostile_monitor;
