-- definitions: what is stored, what changes, and what is said of it
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
CREATE ROLE activate_admin SUPERUSER;
SET ROLE activate_admin;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'Europe/Paris';

CREATE SCHEMA analytics;
CREATE TABLE analytics.customer_health (customer_id bigint PRIMARY KEY, email text, score numeric(10,4), tier text);
INSERT INTO analytics.customer_health SELECT i, 'u' || i, i, 'gold' FROM generate_series(1, 10) i;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
CREATE SERVER "Other CRM" FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');

-- given the call of the documentation, then this is stored
SELECT activate.create_sync(
    name        => 'customer_health',
    model       => 'analytics.customer_health',
    key         => 'customer_id',
    destination => 'crm',
    object      => 'contacts',
    match       => 'customer_ref',
    mapping     => $$ customer_id AS customer_ref, email, round(score, 1) AS health_score, 'warehouse' AS source $$,
    mode        => 'mirror', on_removed => 'clear');
\pset format unaligned
\x on
SELECT name, model, model_is_query, key, destination, object, match, mapping, mode, on_removed, schedule, options,
	search_path, time_zone, database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS here,
	system_identifier = (SELECT system_identifier FROM pg_control_system()) AS this_cluster,
	host <> '' AS a_host, paused, first_batch_alone
FROM activate.sync;
\x off
\pset tuples_only on
SELECT activate.sync_sql('customer_health');
SELECT relowner::regrole::text = current_user FROM pg_class WHERE oid = 'activate_data.customer_health'::regclass;

-- a model is stored qualified, whatever the search_path was and is
SET search_path = analytics, public;
SELECT activate.create_sync('named', 'customer_health', 'customer_id', 'crm', mapping => 'email');
SELECT activate.create_sync('asked', E'  -- a comment\n SELECT customer_id AS id, email FROM customer_health -- and one more ; \n ;', 'id', 'crm', mapping => 'email');
RESET search_path;
SELECT name, model, search_path FROM activate.sync WHERE name IN ('named', 'asked') ORDER BY 1;
SELECT activate.alter_sync('asked', mapping => 'email, id');
CREATE TABLE analytics."Odd "" name" ("The Key" int, "b,c" text, PRIMARY KEY ("The Key", "b,c"));
SELECT activate.create_sync('Odd "sync', 'analytics."Odd "" name"', '"b,c", "The Key"', 'Other CRM', mode => 'update', options => '{"max_removed": "3 %", "remove_after": "90 s"}');
SELECT activate.sync_sql('Odd "sync');

-- other kinds of models: partitioned, view, materialized view, VALUES, WITH, UNION
CREATE TABLE analytics.parts (id int, v text) PARTITION BY RANGE (id);
CREATE VIEW analytics.seen AS SELECT id, v FROM analytics.parts;
CREATE MATERIALIZED VIEW analytics.kept AS SELECT id, v FROM analytics.parts;
SELECT activate.create_sync('m1', 'analytics.parts', 'id', 'crm', mapping => 'v');
SELECT activate.create_sync('m2', 'analytics.seen', 'id', 'crm', mapping => 'v');
SELECT activate.create_sync('m3', 'analytics.kept', 'id', 'crm', mapping => 'v');
SELECT activate.create_sync('m4', $$VALUES (1, 'a'), (2, 'b')$$, 'column1', 'crm', mapping => 'column2 AS v');
SELECT activate.create_sync('m5', $$WITH w AS (SELECT 1 AS id) SELECT * FROM w UNION ALL SELECT 2$$, 'id', 'crm', mapping => 'id');
SELECT activate.drop_sync(name) FROM activate.sync WHERE name LIKE 'm_';

-- mappings: all columns frozen, without some, JSON, comments, subqueries, names in capitals, the clock
SELECT activate.create_sync('all', 'analytics.customer_health', 'customer_id', 'crm');
SELECT activate.create_sync('some', 'analytics.customer_health', 'customer_id', 'crm', mapping => ' * except ( tier, "score" ) ');
SELECT activate.create_sync('json', 'analytics.customer_health', 'customer_id', 'crm',
	mapping => ' {"customerRef": "customer_id", "health": {"score": "score", "of": [1.50, null, true, "tier"]}, "x/y~z": "email -- why"}');
SELECT activate.create_sync('list', 'analytics.customer_health', 'customer_id', 'crm', mapping => $$
	email AS "eMail", -- the address, as "eMail"
	/* , not a field, */ coalesce(tier, 'none, or "gold"') tier,
	(SELECT max(score) FROM analytics.customer_health) AS best,
	ARRAY[customer_id, 1] AS Pair,
	customer_health.score AS "as",
	CASE WHEN score > 1 THEN ',' END,
	now() AS sent_at, current_date::text AS day, score::text
$$);
SELECT name, match, mapping FROM activate.sync WHERE name IN ('all', 'some', 'json', 'list') ORDER BY 1;
SELECT activate.alter_sync('all', match => '"customer_id"');
SELECT activate.alter_sync('json', match => '"customerRef"');
ALTER TABLE analytics.customer_health ADD iban text;
SELECT activate.alter_sync('all', mapping => '*');

-- if_exists
SELECT activate.create_sync('named', 'analytics.customer_health', 'customer_id', 'crm', if_exists => 'keep') = (SELECT sync_id FROM activate.sync WHERE name = 'named');
SELECT activate.create_sync('named', 'analytics.customer_health', 'customer_id', 'crm', mapping => 'email, tier', options => '{"batch_size": 5}', if_exists => 'replace')
	= (SELECT sync_id FROM activate.sync WHERE name = 'named');
SELECT mapping, options FROM activate.sync WHERE name = 'named';
SELECT activate.create_sync('named', 'analytics.customer_health', 'customer_id', 'crm', mapping => 'email, tier', if_exists => 'replace')
	= (SELECT sync_id FROM activate.sync WHERE name = 'named');
SELECT mapping, options FROM activate.sync WHERE name = 'named';

-- options are merged, null takes one back to its default
SELECT activate.alter_sync('named', options => '{"max_changed": 100, "max_run_time": "2 hours"}');
SELECT activate.alter_sync('named', options => '{"max_changed": null, "max_attempts": 3}');
SELECT options FROM activate.sync WHERE name = 'named';

-- sync_sql() makes the same sync again
CREATE TABLE public.before AS SELECT * FROM activate.sync;
SET client_min_messages = error;
SET search_path = analytics, public;
DO $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT activate.sync_sql(name) FROM activate.sync ORDER BY sync_id
	LOOP
		PERFORM activate.drop_sync(substring(call FROM 'name        => ''([^'']*)'''));
		EXECUTE call;
	END LOOP;
END $$;
RESET search_path;
SET client_min_messages = notice;
SELECT count(*) > 5 FROM activate.sync;
SELECT b.name FROM public.before b FULL JOIN activate.sync s USING (name)
WHERE (b.model, b.key, b.destination, b.object, b.match, b.mapping, b.mode, b.on_removed, b.schedule, b.options)
	IS DISTINCT FROM (s.model, s.key, s.destination, s.object, s.match, s.mapping, s.mode, s.on_removed, s.schedule, s.options);
DROP TABLE public.before;

-- what a change sends again
SELECT activate.reset_sync('customer_health', 'baseline');
SELECT count(*) FROM activate_data.customer_health;
SELECT activate.alter_sync('customer_health', options => '{"max_removed": 3}');
SELECT activate.alter_sync('customer_health', mapping => $$ customer_id AS customer_ref, email, round(score, 1) AS health_score, 'warehouse' AS source, tier $$);
SELECT activate.reset_sync('customer_health', 'baseline');
SELECT activate.alter_sync('customer_health', mapping => $$ customer_id AS customer_ref, email, round(score, 1) AS health_score, upper('warehouse') AS source, tier $$);
SELECT activate.alter_sync('customer_health', mapping => $$ customer_id::text AS customer_ref, email, round(score, 1) AS health_score, 'warehouse' AS source, tier $$);
SELECT activate.reset_sync('customer_health', 'baseline');
SELECT activate.alter_sync('customer_health', mapping => 'customer_id AS customer_ref, email', resend => 'none');
SELECT activate.alter_sync('customer_health', mapping => '{"customer_ref": "customer_id", "email": "email"}');
SELECT activate.alter_sync('customer_health', mapping => '{"customer_ref": "customer_id", "email": "email", "v": 1}', resend => 'none');
SELECT activate.alter_sync('customer_health', mapping => '{"customer_ref": "customer_id", "email": "email", "v": 2}');
SELECT activate.alter_sync('customer_health', resend => 'all');
SELECT count(activate_fingerprint) FROM activate_data.customer_health;
SELECT activate.alter_sync('customer_health', object => 'companies');
SELECT count(*) FROM activate_data.customer_health;

-- the mode goes, and what it does with removed rows goes with it
SELECT activate.alter_sync('customer_health', mode => 'upsert');
SELECT mode, on_removed FROM activate.sync WHERE name = 'customer_health';

-- given a renamed key column, then the snapshot is kept under its new name
SELECT activate.reset_sync('customer_health', 'baseline');
ALTER TABLE analytics.customer_health RENAME customer_id TO id;
SELECT activate.alter_sync('customer_health', mode => 'update');
SELECT activate.alter_sync('customer_health', key => 'id', mapping => 'id AS customer_ref, email');
SELECT min(id), max(id) FROM activate_data.customer_health;

-- a mapped column gone: the old definition cannot be compared with, but be replaced
ALTER TABLE analytics.customer_health RENAME email TO mail;
SELECT activate.alter_sync('customer_health', mapping => 'id AS customer_ref, mail AS email', resend => 'none');
SELECT activate.alter_sync('customer_health', mapping => 'id AS customer_ref, mail AS email');

-- rename, pause, resume
SELECT activate.alter_sync('customer_health', new_name => 'Health');
SELECT to_regclass('activate_data.customer_health'), to_regclass('activate_data."Health"');
SELECT activate.pause_sync('Health', 'month-end');
SELECT activate.pause_sync('Health');
SELECT paused, pause_reason FROM activate.sync WHERE name = 'Health';
SELECT activate.resume_sync('Health');
SELECT activate.resume_sync('Health');
SELECT activate.reset_sync('Health', 'resend');
SELECT kind, severity, sync, message FROM activate.event WHERE sync_id = (SELECT sync_id FROM activate.sync WHERE name = 'Health') AND kind <> 'altered' ORDER BY event_id;

-- a team owns it: NOLOGIN, and each of its members steers it
CREATE ROLE activate_team NOLOGIN;
CREATE ROLE activate_member IN ROLE activate_team;
GRANT USAGE ON SCHEMA activate, analytics TO activate_team;
GRANT SELECT ON analytics.customer_health TO activate_team;
GRANT USAGE ON FOREIGN SERVER crm TO activate_team;
SELECT activate.alter_sync('Health', owner => 'activate_team');
SELECT relowner::regrole FROM pg_class WHERE oid = 'activate_data."Health"'::regclass;
SET ROLE activate_member;
SELECT activate.alter_sync('Health', mode => 'upsert');
SELECT activate.reset_sync('Health', 'baseline');
SELECT count(*) FROM activate_data."Health";
SELECT activate.create_sync('ours', 'analytics.customer_health', 'id', 'crm', mapping => 'mail', owner => 'activate_team');
SET ROLE activate_admin;

-- a query's columns are qualified by the name model
SELECT activate.create_sync('query', 'SELECT id, mail FROM analytics.customer_health', 'id', 'crm', mapping => 'model.mail');
SELECT activate.reset_sync('query', 'baseline');

-- hostile settings and objects of the caller change nothing
CREATE SCHEMA trap;
CREATE FUNCTION trap.eq(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR trap.= (PROCEDURE = trap.eq, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION trap.upper(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE TABLE trap.sync (name text);
SET search_path = trap, activate, pg_catalog;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET quote_all_identifiers = on;
SELECT create_sync('plain', 'analytics.customer_health', 'id', 'crm', mapping => '''a\\''''b'' AS c, mail');
SELECT alter_sync('plain', new_name => 'plain two');
SELECT reset_sync('plain two', 'baseline');
SELECT alter_sync('plain two', mapping => 'mail AS m');
SELECT sync_sql('plain two');
RESET quote_all_identifiers;
RESET standard_conforming_strings;
RESET search_path;
SELECT activate.drop_sync('plain two');

-- the table of a sync dropped by hand: what is left can be said and be removed
SELECT activate.create_sync('lost', 'analytics.customer_health', 'id', 'crm', mapping => 'mail');
DROP TABLE activate_data.lost;
SELECT activate.alter_sync('lost', mode => 'update');
SELECT activate.reset_sync('lost', 'resend');
SELECT activate.reset_sync('lost', 'baseline');
SELECT activate.sync_sql('lost');
SELECT activate.drop_sync('lost');

-- gone
SELECT activate.drop_sync('Health');
SELECT activate.drop_sync('Health', missing_ok => true);
SELECT to_regclass('activate_data."Health"');
SELECT kind, sync, message FROM activate.event WHERE kind = 'dropped' AND message ~ 'Health';

SET client_min_messages = error;
DROP SCHEMA analytics CASCADE;
DROP SCHEMA trap CASCADE;
DROP EXTENSION pg_activate CASCADE;
DROP ROLE activate_member;
DROP ROLE activate_team;
RESET ROLE;
DROP ROLE activate_admin;
