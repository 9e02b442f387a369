-- alter_sync(), argument by argument: what is said to be sent again is what
-- the next run sends
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
CREATE ROLE regress_alter_boss SUPERUSER;
CREATE ROLE regress_alter_team NOLOGIN;
SET ROLE regress_alter_boss;
CREATE SCHEMA alter_test;
GRANT USAGE ON SCHEMA activate, alter_test TO regress_alter_team;
CREATE TABLE alter_test.health (id int PRIMARY KEY, email text, score numeric, visits int, last_seen date);
INSERT INTO alter_test.health SELECT i, 'u' || i, i + 0.25, i, '2026-11-01' FROM generate_series(1, 250) i;
SELECT format('CREATE SERVER alter_%s FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', name, :'url')
FROM unnest(ARRAY['crm', 'shop']) AS name \gexec
\pset format unaligned
\pset tuples_only on
-- as if ten rows a second were sent, so that what is said is the same everywhere
\set ran 'UPDATE activate.run SET finished_at = started_at + make_interval(secs => accepted / 10.0); SELECT status, added, changed, removed, accepted FROM activate.runs ORDER BY run_id DESC LIMIT 1;'
SELECT activate.create_sync('h', 'alter_test.health', 'id', 'alter_crm', object => 'people', mapping => 'id, email, score, visits') > 0;
CALL activate.run_sync('h');
:ran
SET client_min_messages = notice;

-- nothing differs: nothing is done
SELECT max(event_id) AS last FROM activate.event \gset
SELECT xmin AS written FROM activate.sync WHERE name = 'h' \gset
SELECT activate.alter_sync('h');
SELECT activate.alter_sync('h', model => 'alter_test.health', key => 'id', destination => 'alter_crm', object => 'people', match => 'id',
	mapping => ' id, email, score, visits ', mode => 'upsert', on_removed => 'ignore', owner => 'regress_alter_boss', options => '{"max_attempts": 10}', new_name => 'h');
SELECT count(*) FROM activate.event WHERE event_id > :last;
SELECT xmin = :written FROM activate.sync WHERE name = 'h';

-- a new field: all rows, how many requests, how long
SELECT activate.alter_sync('h', mapping => 'id, email, score, visits, last_seen');
SELECT message, details FROM activate.event WHERE event_id > :last;
CALL activate.run_sync('h');
:ran
-- as large as life
CREATE TABLE alter_test.large AS SELECT i AS id, 'u' || i AS email, current_date AS last_seen FROM generate_series(1, 184220) i;
SELECT activate.create_sync('large', 'alter_test.large', 'id', 'alter_crm', mapping => 'id, email') > 0;
SELECT activate.reset_sync('large', 'baseline');
INSERT INTO activate.run (sync_id, cause, status, started_at, finished_at, accepted)
SELECT sync_id, 'manual', 'succeeded', now() - interval '100 s', now(), 102400 FROM activate.sync WHERE name = 'large';
SELECT activate.alter_sync('large', mapping => 'id, email, last_seen');
SELECT activate.alter_sync('large', options => '{"batch_size": 1000}', resend => 'all');
SELECT activate.drop_sync('large');

-- a field gone, a constant that is right there already: not with resend => 'none'
SELECT activate.alter_sync('h', mapping => 'id, email, score, visits');
SELECT activate.alter_sync('h', mapping => $$ id, email, score, visits, last_seen, 'warehouse' AS source $$);
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mapping => $$ id, email, score, visits, 'warehouse' AS source $$, resend => 'none');
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mapping => $$ id, email, score, visits, 'warehouse' AS source, 'eu' AS region $$, resend => 'none');
CALL activate.run_sync('h');
:ran
-- what changed before that is sent all the same
UPDATE alter_test.health SET email = upper(email) WHERE id <= 3;
SELECT activate.alter_sync('h', mapping => 'id, email, score, visits', resend => 'none');
CALL activate.run_sync('h');
:ran

-- written otherwise, the same: nothing is said, nothing sent
SELECT activate.alter_sync('h', mapping => '{"id": "id", "email": "email", "score": "score", "visits": "visits"}');
SELECT activate.alter_sync('h', mapping => 'health.id, email AS email, score, /* all of them */ visits');
CALL activate.run_sync('h');
:ran
-- a source column renamed
ALTER TABLE alter_test.health RENAME email TO mail;
SELECT activate.alter_sync('h', mapping => 'id, mail AS email, score, visits');
CALL activate.run_sync('h');
:ran
-- another expression: those whose value it changes
SELECT activate.alter_sync('h', mapping => 'id, lower(mail) AS email, score, visits');
CALL activate.run_sync('h');
:ran

-- types: integers by value, other numbers not
SELECT activate.alter_sync('h', mapping => 'id, lower(mail) AS email, score, visits::bigint AS visits');
CALL activate.run_sync('h');
:ran
ALTER TABLE alter_test.health ALTER visits TYPE bigint;
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mapping => 'id, lower(mail) AS email, score::float8 AS score, visits');
CALL activate.run_sync('h');
:ran

-- another model with the same values, whose key has another name
CREATE VIEW alter_test.same AS SELECT id AS customer, mail AS email, score, visits, last_seen FROM alter_test.health;
SELECT activate.alter_sync('h', model => 'alter_test.same', key => 'customer', mapping => 'customer AS id, lower(email) AS email, score::float8 AS score, visits');
SELECT min(customer), max(customer) FROM activate_data.h;
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', key => 'email');
SELECT activate.alter_sync('h', key => 'customer, email');
-- what is still there was not renamed
CREATE VIEW alter_test.both AS SELECT customer + 1 AS number, * FROM alter_test.same;
BEGIN;
SELECT activate.alter_sync('h', model => 'alter_test.both', key => 'number');
ROLLBACK;
SELECT activate.alter_sync('h', model => 'alter_test.health', key => 'id', mapping => 'id', resend => 'none');

-- match: records are found otherwise, nothing is sent for it
SELECT activate.alter_sync('h', match => 'email');
SELECT match FROM activate.syncs;
SELECT activate.alter_sync('h', match => 'mail');
SELECT activate.alter_sync('h', match => '');
SELECT match FROM activate.syncs;
CALL activate.run_sync('h');
:ran

-- options, schedule: nothing is sent for them, and only the schedule answers
SELECT activate.alter_sync('h', options => '{"max_changed": "50 %", "batch_size": 200}');
SELECT activate.alter_sync('h', schedule => 'manual');
SELECT activate.alter_sync('h', options => '{"max_changed": null, "batch_size": null}');
SELECT options FROM activate.syncs;

-- mode and on_removed: what left while nothing was done about it goes now, and that is said
DELETE FROM alter_test.health WHERE id > 248;
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mode => 'mirror');
SELECT activate.alter_sync('h', on_removed => 'clear');
SELECT activate.alter_sync('h', mode => 'mirror', on_removed => 'clear');
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', on_removed => 'delete');
SELECT activate.alter_sync('h', mode => 'insert', on_removed => 'delete');
SELECT activate.alter_sync('h', mode => 'insert');
-- insert sends each key once: a new field is nothing to it
SELECT activate.alter_sync('h', mapping => 'customer AS id, lower(email) AS email, visits');
UPDATE alter_test.health SET visits = 0 WHERE id <= 5;
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mode => 'upsert');
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', mode => 'update', resend => 'all');
CALL activate.run_sync('h');
:ran

-- elsewhere nothing is known of what was sent, unless somebody says so
SELECT activate.alter_sync('h', object => 'humans');
SELECT count(*) FROM activate_data.h;
SELECT activate.alter_sync('h', mode => 'upsert');
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', destination => 'alter_shop', object => 'customers', resend => 'none');
CALL activate.run_sync('h');
:ran
SELECT activate.alter_sync('h', object => '');
SELECT object FROM activate.syncs;
CALL activate.run_sync('h');
:ran
-- a server that got another name
ALTER SERVER alter_shop RENAME TO alter_store;
CALL activate.run_sync('h');
SELECT activate.alter_sync('h', destination => 'alter_store', resend => 'none');
CALL activate.run_sync('h');
:ran

-- several at once
SELECT activate.alter_sync('h', new_name => 'Health', owner => 'regress_alter_team', key => 'customer', mode => 'mirror', on_removed => 'archive', object => 'all');
GRANT SELECT ON alter_test.same, alter_test.health TO regress_alter_team;
GRANT USAGE ON FOREIGN SERVER alter_store TO regress_alter_team;
SELECT activate.alter_sync('h', new_name => 'Health', owner => 'regress_alter_team', mode => 'mirror', on_removed => 'archive', object => 'all');
SELECT sync, owner, mode, on_removed, object FROM activate.syncs;
SELECT message, details FROM activate.event WHERE kind = 'altered' ORDER BY event_id DESC LIMIT 1;
CALL activate.run_sync('Health');
:ran

-- a new name: pending runs, what runs after it, its table and its events follow
SET client_min_messages = warning;
SELECT activate.create_sync('later', 'alter_test.health', 'id', 'alter_crm', mapping => 'visits', schedule => 'after "Health"') > 0;
-- where there are workers, too, it does not run in between
SELECT activate.pause_sync('later');
SET client_min_messages = notice;
SELECT activate.alter_sync('Health', new_name => 'o''ne "two"');
SELECT sync, schedule FROM activate.syncs ORDER BY 1;
SELECT sync, count(*) > 5 FROM activate.runs GROUP BY 1;
SELECT to_regclass('activate_data."Health"'), count(*) FROM activate_data."o'ne ""two""";
SELECT kind, sync, message FROM activate.events WHERE message ~ 'two' ORDER BY event_id;
SELECT activate.alter_sync('o''ne "two"', new_name => 'later');
SELECT activate.alter_sync('o''ne "two"', new_name => 'activate_x');
SELECT activate.alter_sync('o''ne "two"', new_name => '');
SELECT activate.alter_sync('o''ne "two"', new_name => repeat('x', 64));
-- a name whose table somebody left behind
CREATE TABLE activate_data.left_behind ();
SELECT activate.alter_sync('o''ne "two"', new_name => 'left_behind');
DROP TABLE activate_data.left_behind;
SELECT activate.alter_sync('o''ne "two"', new_name => repeat('x', 63));
SELECT activate.create_sync('gone', 'alter_test.health', 'id', 'alter_crm', mapping => 'visits') > 0;
SELECT activate.alter_sync(repeat('x', 63), new_name => 'select');
CALL activate.run_sync('select');
:ran
-- swapped in a chain
SELECT activate.alter_sync('gone', new_name => 'interim');
SELECT activate.alter_sync('select', new_name => 'gone');
SELECT activate.alter_sync('interim', new_name => 'select');
SELECT sync, schedule FROM activate.syncs ORDER BY 1;
SELECT activate.drop_sync('gone');

-- in a block that is rolled back: nothing of it remains
SELECT max(event_id) AS last FROM activate.event \gset
CREATE TABLE alter_test.before AS SELECT * FROM activate.sync;
CALL activate.run_sync('select');
:ran
SELECT event_id AS last FROM activate.event ORDER BY 1 DESC LIMIT 1 \gset
TRUNCATE alter_test.before;
INSERT INTO alter_test.before SELECT * FROM activate.sync;
GRANT USAGE ON FOREIGN SERVER alter_crm TO regress_alter_team;
BEGIN;
SELECT activate.alter_sync('select', new_name => 'other', mapping => 'id, visits', owner => 'regress_alter_team', object => 'else', resend => 'all');
SELECT sync, owner, mapping, object FROM activate.syncs WHERE sync = 'other';
SELECT count(*) FROM activate_data.other;
SAVEPOINT a;
SELECT activate.alter_sync('other', new_name => 'another', mode => 'mirror', on_removed => 'delete', destination => 'alter_store');
ROLLBACK TO a;
SELECT activate.alter_sync('other', options => '{"max_changed": 1}');
SELECT sync, mode, options FROM activate.syncs WHERE sync IN ('other', 'another');
ROLLBACK;
SELECT count(*) FROM activate.event WHERE event_id > :last;
SELECT count(*) FROM (TABLE alter_test.before EXCEPT SELECT * FROM activate.sync) AS d;
SELECT count(*), count(activate_fingerprint) FROM activate_data.select;
CALL activate.run_sync('select');
:ran

SET client_min_messages = error;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA alter_test CASCADE;
RESET ROLE;
DROP ROLE regress_alter_boss, regress_alter_team;
