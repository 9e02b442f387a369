-- a model changes under its sync: the change goes through, the sync waits, and
-- goes on by itself
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION pg_activate;
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
\! $DESTINATION_ASK reset
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE ROLE change_team;
CREATE ROLE change_dbt;
CREATE SCHEMA change_test AUTHORIZATION change_dbt;
GRANT USAGE ON SCHEMA change_test, activate TO change_team;
GRANT USAGE ON FOREIGN SERVER crm TO change_team;
SET ROLE change_dbt;
CREATE TABLE change_test.score (id int PRIMARY KEY, email text, points numeric, tier text);
INSERT INTO change_test.score SELECT i, 'u' || i || '@example.com', i, 'gold' FROM generate_series(1, 3) AS i;
CREATE VIEW change_test.high AS SELECT id, email FROM change_test.score WHERE points > 1;
CREATE TABLE change_test.unrelated (id int);
GRANT SELECT ON ALL TABLES IN SCHEMA change_test TO change_team;
RESET ROLE;

SELECT activate.create_sync('score', 'change_test.score', 'id', 'crm', object => 'score', mapping => 'email, points AS score',
	mode => 'mirror', on_removed => 'delete', owner => 'change_team') AS score,
	activate.create_sync('high', 'change_test.high', 'id', 'crm', object => 'high', mapping => 'email', owner => 'change_team') AS high,
	activate.create_sync('query', 'SELECT id, email FROM change_test.high', 'id', 'crm', object => 'query', mapping => 'email',
		owner => 'change_team') AS query;
CALL activate.run_sync('score');
CALL activate.run_sync('high');
CALL activate.run_sync('query');
CREATE VIEW change_test.waits AS SELECT sync, health, reason FROM activate.status ORDER BY sync;
CREATE VIEW change_test.told AS SELECT kind, severity, sync, message, details FROM activate.events
	WHERE kind LIKE 'model%' ORDER BY event_id;

-- given syncs, then what their models read is known
SELECT s.name, r.relation, r.relation_oid = r.relation::regclass AS current, r.is_model
FROM activate.sync_relation AS r JOIN activate.sync AS s USING (sync_id) ORDER BY 1, 2;

-- commands that leave the models as they are say nothing
SET ROLE change_dbt;
ALTER TABLE change_test.score ADD COLUMN extra int;
ALTER TABLE change_test.score DROP COLUMN extra, DROP COLUMN tier;
CREATE INDEX ON change_test.score (email);
COMMENT ON TABLE change_test.score IS 'scores';
DROP TABLE change_test.unrelated;
CREATE TEMPORARY TABLE score (id int);
DROP TABLE score;

-- a mapped column renamed: it goes through, and is told
ALTER TABLE change_test.score RENAME points TO health_points;
RESET ROLE;
TABLE change_test.waits;
TABLE change_test.told;
-- a person who calls the sync hears of it at once, and nobody hears of it twice
CALL activate.run_sync('score');
SET ROLE change_dbt;
ALTER TABLE change_test.score ADD COLUMN extra int;
RESET ROLE;
SELECT status, error FROM activate.runs WHERE sync = 'score' ORDER BY run_id;
SELECT count(*) FROM change_test.told;
-- the destination keeps all it had
\! $DESTINATION_ASK records score
-- back: it goes on
ALTER TABLE change_test.score RENAME health_points TO points;
SELECT kind, message FROM change_test.told;
CALL activate.run_sync('score');
TABLE change_test.waits;

-- who alters the sync ends the wait, too
ALTER TABLE change_test.score RENAME points TO health_points;
SELECT activate.alter_sync('score', mapping => 'email, health_points AS score');
TABLE change_test.waits;
ALTER TABLE change_test.score RENAME health_points TO points;
SELECT activate.alter_sync('score', mapping => 'email, points AS score');

-- within one transaction a model may be gone and come back
SET ROLE change_dbt;
BEGIN;
CREATE TABLE change_test.score__dbt_tmp AS SELECT * FROM change_test.score;
ALTER TABLE change_test.score RENAME TO score__dbt_backup;
ALTER TABLE change_test.score__dbt_tmp RENAME TO score;
GRANT SELECT ON change_test.score TO change_team;
COMMIT;
RESET ROLE;
-- what the sync reads now is known at once
SELECT relation_oid = relation::regclass AS current FROM activate.sync_relation WHERE relation = 'change_test.score' AND is_model;
-- with the old table goes the view over it
SET ROLE change_dbt;
DROP TABLE change_test.score__dbt_backup CASCADE;
-- a view that is not what it was says what is missing now, and one that is ends the wait
CREATE VIEW change_test.high AS SELECT id FROM change_test.score WHERE points > 1;
GRANT SELECT ON change_test.high TO change_team;
CREATE OR REPLACE VIEW change_test.high AS SELECT id, email FROM change_test.score WHERE points > 1;
RESET ROLE;
SELECT sync, kind, details FROM change_test.told WHERE sync = 'high';
CALL activate.run_sync('high');
CALL activate.run_sync('query');
TABLE change_test.waits;

-- rolled back is not done
BEGIN;
DROP TABLE change_test.score CASCADE;
ROLLBACK;
BEGIN;
SAVEPOINT s;
ALTER TABLE change_test.score DROP COLUMN points CASCADE;
ROLLBACK TO s;
COMMIT;
TABLE change_test.waits;

-- a missing right comes back after a rebuild: nobody is told
REVOKE SELECT ON change_test.score FROM change_team;
TABLE change_test.waits;
CALL activate.run_sync('score');
SELECT s.model_problem, s.model_problem_since IS NOT NULL AS waits FROM activate.sync_state AS s JOIN activate.sync USING (sync_id) WHERE name = 'score';
GRANT SELECT ON change_test.score TO change_team;
SELECT s.model_problem_since IS NOT NULL AS waits FROM activate.sync_state AS s JOIN activate.sync USING (sync_id) WHERE name = 'score';
REVOKE USAGE ON SCHEMA change_test FROM change_team;
CALL activate.run_sync('score');
GRANT USAGE ON SCHEMA change_test TO change_team;
SELECT s.model_problem_since IS NOT NULL AS waits FROM activate.sync_state AS s JOIN activate.sync USING (sync_id) WHERE name = 'score';
CALL activate.run_sync('score');

-- a table by the name of a view, a view by the name of a table
BEGIN;
DROP VIEW change_test.high;
CREATE TABLE change_test.high AS SELECT id, email FROM change_test.score;
GRANT SELECT ON change_test.high TO change_team;
COMMIT;
CALL activate.run_sync('high');
DROP TABLE change_test.high;
CREATE MATERIALIZED VIEW change_test.high AS SELECT id, email FROM change_test.score WHERE points > 1;
GRANT SELECT ON change_test.high TO change_team;
REFRESH MATERIALIZED VIEW change_test.high;
CREATE UNIQUE INDEX ON change_test.high (id);
REFRESH MATERIALIZED VIEW CONCURRENTLY change_test.high;
CALL activate.run_sync('high');
TABLE change_test.waits;

-- a schema goes by another name, and comes back
ALTER SCHEMA change_test RENAME TO change_other;
SELECT sync, health, reason FROM change_other.waits;
ALTER SCHEMA change_other RENAME TO change_test;
TABLE change_test.waits;

-- a column of another type: what needs no other rows is the same, what does is counted
DROP MATERIALIZED VIEW change_test.high;
ALTER TABLE change_test.score ALTER points TYPE bigint;
CALL activate.run_sync('score');
SELECT changed FROM activate.plan_sync('score');
ALTER TABLE change_test.score ALTER points TYPE int;
SELECT changed FROM activate.plan_sync('score');
SELECT activate.alter_sync('score', options => '{"max_changed": 2}');
ALTER TABLE change_test.score ALTER points TYPE float8;
SET client_min_messages = notice;
SELECT changed, guard FROM activate.plan_sync('score');
SET client_min_messages = warning;
CALL activate.run_sync('score');
ALTER TABLE change_test.score ALTER points TYPE bigint;
CALL activate.run_sync('score');
TABLE change_test.waits;
-- a key of a type that its table cannot take
ALTER TABLE change_test.score ALTER id TYPE text;
CALL activate.run_sync('score');
TABLE change_test.waits;
ALTER TABLE change_test.score ALTER id TYPE int USING id::int;
CALL activate.run_sync('score');

-- an expression that does not fit the new type
SELECT activate.alter_sync('score', mapping => 'email, points * 2 AS score', options => '{"max_changed": null}');
CALL activate.run_sync('score');
ALTER TABLE change_test.score ALTER points TYPE text;
ALTER TABLE change_test.score ALTER points TYPE numeric USING points::numeric;
SELECT details FROM change_test.told WHERE details ->> 'sqlstate' = '42883';

-- refuse: the change does not go through
SELECT activate.alter_sync('score', mapping => 'email, points AS score', options => '{"on_model_change": "refuse"}');
CREATE VIEW change_test.high AS SELECT id, email, points FROM change_test.score;
GRANT SELECT ON change_test.high TO change_team;
SET ROLE change_dbt;
ALTER TABLE change_test.score RENAME points TO health_points;
ALTER TABLE change_test.score DROP COLUMN email CASCADE;
ALTER TABLE change_test.score RENAME TO old;
DROP TABLE change_test.score CASCADE;
BEGIN;
ALTER TABLE change_test.score RENAME TO old;
COMMIT;
-- the way that dbt goes is free
BEGIN;
CREATE TABLE change_test.score__dbt_tmp AS SELECT * FROM change_test.score;
ALTER TABLE change_test.score RENAME TO score__dbt_backup;
ALTER TABLE change_test.score__dbt_tmp RENAME TO score;
GRANT SELECT ON change_test.score TO change_team;
COMMIT;
DROP TABLE change_test.score__dbt_backup CASCADE;
RESET ROLE;
TABLE change_test.waits;

-- not what goes with another relation, and not what is below a view
DROP VIEW IF EXISTS change_test.high;
CREATE VIEW change_test.high AS SELECT id, email, points FROM change_test.score;
GRANT SELECT ON change_test.high TO change_team;
SELECT activate.alter_sync('high', options => '{"on_model_change": "refuse"}');
SELECT activate.alter_sync('score', options => '{"on_model_change": null}');
ALTER TABLE change_test.score DROP COLUMN email CASCADE;
ALTER TABLE change_test.score ADD COLUMN email text;
CREATE VIEW change_test.high AS SELECT id, email, points FROM change_test.score;
GRANT SELECT ON change_test.high TO change_team;
DROP VIEW change_test.high;
-- not for a superuser who says so, not for a dump that is restored
SET pg_activate.ddl_protection = off;
ALTER VIEW change_test.high RENAME email TO mail;
ALTER VIEW change_test.high RENAME mail TO email;
RESET pg_activate.ddl_protection;
SET check_function_bodies = off;
ALTER VIEW change_test.high RENAME email TO mail;
ALTER VIEW change_test.high RENAME mail TO email;
RESET check_function_bodies;
SET ROLE change_dbt;
SET pg_activate.ddl_protection = off;
RESET ROLE;

-- fail: nobody is told but by runs
SELECT activate.alter_sync('high', options => '{"on_model_change": "fail"}');
ALTER VIEW change_test.high RENAME email TO mail;
CALL activate.run_sync('high');
SELECT health FROM change_test.waits WHERE sync = 'high';
ALTER VIEW change_test.high RENAME mail TO email;

-- a column that has its table's name: without it that is the row, which nobody mapped
CREATE TABLE change_test.plan (id int, plan text, iban text);
INSERT INTO change_test.plan VALUES (1, 'gold', 'FR76');
SELECT activate.create_sync('plan', 'change_test.plan', 'id', 'crm', object => 'plan', mapping => 'plan') IS NOT NULL AS made;
CALL activate.run_sync('plan');
ALTER TABLE change_test.plan DROP COLUMN plan;
CALL activate.run_sync('plan');
\! $DESTINATION_ASK records plan
SELECT activate.drop_sync('plan');

-- a superuser's sync over what becomes somebody else's
SELECT activate.create_sync('boss', 'SELECT 1 AS id, count(*) AS n FROM activate.sync', 'id', 'crm', object => 'boss', mapping => 'n') IS NOT NULL AS made;
CREATE TABLE change_test.boss (id int, n int);
SELECT activate.alter_sync('boss', model => 'change_test.boss');
ALTER TABLE change_test.boss OWNER TO change_dbt;
SELECT health, reason FROM change_test.waits WHERE sync = 'boss';
ALTER TABLE change_test.boss OWNER TO CURRENT_USER;
SELECT health, reason FROM change_test.waits WHERE sync = 'boss';

-- more syncs than anybody wants to read of
SELECT count(activate.create_sync('many' || i, 'change_test.boss', 'id', 'crm', object => 'many' || i, mapping => 'n')) FROM generate_series(1, 12) AS i;
\set VERBOSITY terse
ALTER TABLE change_test.boss DROP COLUMN n;
\set VERBOSITY default
SELECT count(*) FROM change_test.waits WHERE health = 'waiting' AND sync LIKE 'many%';
SELECT count(activate.drop_sync(name)) FROM activate.sync WHERE name LIKE 'many%' OR name = 'boss';
DROP TABLE change_test.boss;

-- a transaction of a procedure's own
DO $$ BEGIN
	ALTER VIEW change_test.high RENAME TO highest;
	COMMIT;
	ALTER VIEW change_test.highest RENAME TO high;
END $$;
SELECT count(*) FROM change_test.told WHERE sync = 'query';

-- with its schema the model goes, and with the sync what is known of it
SELECT activate.drop_sync('query');
SELECT activate.drop_sync('score');
SELECT count(*) FROM activate.sync_relation AS r WHERE NOT EXISTS (SELECT FROM activate.sync AS s WHERE s.sync_id = r.sync_id);
SELECT activate.alter_sync('high', options => '{"on_model_change": null}');
DROP SCHEMA change_test CASCADE;
SELECT sync, health, reason FROM activate.status;
SELECT activate.drop_sync('high');

-- the extension goes in the transaction that broke a model
CREATE TABLE public.change_last (id int, v text);
SELECT activate.create_sync('last', 'public.change_last', 'id', 'crm', mapping => 'v') IS NOT NULL AS made;
BEGIN;
ALTER TABLE public.change_last DROP COLUMN v;
DROP EXTENSION pg_activate CASCADE;
COMMIT;
DROP TABLE public.change_last;
DROP ROLE change_team, change_dbt;
