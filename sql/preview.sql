-- what a run would do, and why a row is as it is: nothing of it sends or writes
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'UTC';
\! $DESTINATION_ASK reset

CREATE SCHEMA preview_test;
CREATE TABLE preview_test.customers (id int, name text, score numeric);
INSERT INTO preview_test.customers VALUES (1, 'Ann', 1), (2, 'O''Neil', 2.50), (3, E'two\nlines', 3), (4, 'Zoë', 4);
CREATE SERVER preview_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', batch_size '3',
	headers '{"X-Team": "it''s us"}');
CREATE USER MAPPING FOR PUBLIC SERVER preview_crm OPTIONS (bearer_token 'bearer-secret-1');
SELECT activate.create_sync(name => 'people', model => 'preview_test.customers', key => 'id', destination => 'preview_crm',
	object => 'people', mapping => 'id AS ref, name, score', mode => 'mirror', on_removed => 'delete',
	options => '{"max_removed": "5 %", "remove_after": "1 hour"}') > 0 AS created;

CREATE FUNCTION preview_test.plan(sync text, mapping text DEFAULT NULL, model text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
	SELECT format('added %s, changed %s, removed %s, leaving %s, unchanged %s, invalid %s, duplicates %s, to send %s in %s requests, %s: %s',
		added, changed, removed, leaving, unchanged, invalid, duplicates, to_send, requests, guard, changed_fields)
	FROM activate.plan_sync(sync, mapping, model)
$$;

-- given no run yet, then every row is added; bytes are those of the requests, and nobody knows how long it takes
SELECT * FROM activate.plan_sync('people') \gx
SELECT (SELECT sum(octet_length(body)) FROM activate.preview_requests('people', NULL)) = bytes AS same_bytes
	FROM activate.plan_sync('people');
SELECT * FROM activate.preview_sync('people');
SELECT * FROM activate.preview_sync('people', 2);

-- given rows that were accepted, then what differs is told by kind
SELECT activate.reset_sync('people', 'baseline');
SELECT preview_test.plan('people');
UPDATE preview_test.customers SET score = 30 WHERE id = 3;
DELETE FROM preview_test.customers WHERE id = 1;
INSERT INTO preview_test.customers VALUES (5, 'new', 5), (6, 'nan', 'NaN'), (7, 'twice', 7), (7, 'twice', 7),
	(8, 'two', 1), (8, 'values', 2), (NULL, 'no key', 0);
SELECT preview_test.plan('people');
SELECT * FROM activate.preview_sync('people');
SELECT * FROM activate.preview_sync('people', 3);
SELECT * FROM activate.preview_sync('people', NULL);
SELECT method, regexp_replace(url, '.*/', '.../') AS url, rows FROM activate.preview_requests('people', 10);

-- given rows gone for longer than remove_after, then they are removed
UPDATE activate_data.people SET activate_state = 'leaving', activate_missing_since = now() - interval '2 hours' WHERE id = 1;
SELECT preview_test.plan('people');
SELECT * FROM activate.preview_sync('people', 1);

-- given a proposed mapping, then the plan is that of alter_sync, and names the fields
SELECT preview_test.plan('people', mapping => 'id AS ref, name, score');
SELECT preview_test.plan('people', mapping => 'id AS ref, name, round(score, 1) AS score');
SELECT preview_test.plan('people', mapping => 'id AS ref, upper(name) AS name, score, true AS active');
SELECT preview_test.plan('people', mapping => '{"ref": "id", "person": {"name": "name"}, "score": "score", "list": 3}');
SELECT to_send FROM activate.plan_sync('people', mapping => '{"ref": "id", "person": ');
SELECT to_send FROM activate.plan_sync('people', mapping => 'id AS ref, nmae');
SELECT preview_test.plan('people', mapping => '*');
SELECT preview_test.plan('people', mapping => 'id AS ref, current_date AS today');

-- given a proposed model, then types count, and the key stays what it is
SELECT preview_test.plan('people', model => 'SELECT id, name, score::float8 AS score FROM preview_test.customers WHERE id < 5');
SELECT to_send FROM activate.plan_sync('people', model => 'SELECT id::text, name, score FROM preview_test.customers');
SELECT to_send FROM activate.plan_sync('people', model => 'preview_test.nowhere');
SELECT mapping, model FROM activate.syncs WHERE sync = 'people';

-- given more than a guard allows, then the plan says so, until that very run is approved
BEGIN;
INSERT INTO preview_test.customers SELECT i, 'bulk', i FROM generate_series(1001, 1200) i;
SELECT activate.reset_sync('people', 'baseline');
DELETE FROM preview_test.customers WHERE id BETWEEN 1001 AND 1100;
SELECT guard, leaving FROM activate.plan_sync('people');
DELETE FROM preview_test.customers;
SELECT guard FROM activate.plan_sync('people');
ROLLBACK;

CREATE TABLE preview_test.few AS SELECT i AS id, i AS v FROM generate_series(1, 3) i;
SELECT activate.create_sync(name => 'few', model => 'preview_test.few', key => 'id', destination => 'preview_crm',
	options => '{"max_changed": 1}') > 0 AS created;
SELECT activate.reset_sync('few', 'baseline');
UPDATE preview_test.few SET v = 0 WHERE id < 3;
SELECT preview_test.plan('few');
CALL activate.run_sync('few');
SELECT preview_test.plan('few');
SET client_min_messages = warning;
BEGIN;
SELECT activate.approve_run(run_id) IS NOT NULL AS approved FROM activate.runs WHERE sync = 'few' AND status = 'held';
UPDATE activate.sync_state SET retry_at = NULL;	-- a worker, where there is one, leaves it to us
COMMIT;
SET client_min_messages = notice;
SELECT preview_test.plan('few');
SELECT preview_test.plan('few', mapping => 'id, v + 1 AS v');

-- given many rows, then requests and bytes are carried on from the first ones
BEGIN;
INSERT INTO preview_test.customers SELECT i, 'bulk', i FROM generate_series(100001, 110000) i;
SELECT added, requests, requests = (SELECT count(*) FROM activate.preview_requests('people', NULL)) AS exactly,
	bytes BETWEEN 0.99 * (SELECT sum(octet_length(body)) FROM activate.preview_requests('people', NULL))
		AND 1.01 * (SELECT sum(octet_length(body)) FROM activate.preview_requests('people', NULL)) AS about
	FROM activate.plan_sync('people');
ROLLBACK;

-- given earlier runs, then their speed says how long it takes
BEGIN;
INSERT INTO activate.run (sync_id, cause, status, started_at, finished_at, accepted)
	SELECT sync_id, 'manual', 'succeeded', now() - interval '10 seconds', now(), n FROM activate.sync, unnest('{20,20,20,20,20,1,1}'::int[]) n
	WHERE name = 'people';
SELECT to_send, duration FROM activate.plan_sync('people');
ROLLBACK;

-- given each kind of credentials, then requests show none of it
CREATE FUNCTION preview_test.stable(text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace($1, '[0-9a-f]{32}', 'DIGEST', 'g'),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'CHANGE', 'g'), '\m[0-9]{10}\M', 'TIME', 'g'), '127.0.0.1:[0-9]+', 'HOST', 'g')
$$;
\a \t
SELECT preview_test.stable(headers::text) AS bearer FROM activate.preview_requests('people');
ALTER USER MAPPING FOR PUBLIC SERVER preview_crm OPTIONS (DROP bearer_token, ADD username 'loader', ADD password 'basic-secret-1');
SELECT preview_test.stable(headers::text) AS basic FROM activate.preview_requests('people');
ALTER USER MAPPING FOR PUBLIC SERVER preview_crm OPTIONS (DROP username, DROP password, ADD signing_secret 'whsec_c2lnbmluZy1zZWNyZXQtMQ==');
SELECT preview_test.stable(headers::text) AS hmac FROM activate.preview_requests('people');
SELECT count(*) FROM activate.preview_requests('people', NULL)
	WHERE preview_requests::text ~ 'secret-1|c2lnbmluZy|bG9hZGVy';

-- given quotes, line ends and other letters, then the command is one that a shell reads as it was meant
SELECT preview_test.stable(body) AS body FROM activate.preview_requests('people');
SELECT preview_test.stable(curl) AS curl FROM activate.preview_requests('people', 2);
CREATE TABLE preview_test.letters (id int PRIMARY KEY, "it's" text);
INSERT INTO preview_test.letters VALUES (1, E'it''s $(date) `date` \\ "x" !! \x7f\t' || 'Zoë');
SELECT activate.create_sync(name => 'it''s', model => 'preview_test.letters', key => 'id', destination => 'preview_crm',
	object => 'let''s go/{now}', mapping => '"it''s"') > 0 AS created;
SELECT preview_test.stable(curl) AS curl FROM activate.preview_requests('it''s');
SELECT replace(curl, 'curl --', 'printf ''[%s]\n'' --') AS command FROM activate.preview_requests('it''s') \gset
\setenv COMMAND :command
\! bash -c "$COMMAND" | sed 's/[0-9a-f]\{8\}\(-[0-9a-f]\{4\}\)\{3\}-[0-9a-f]\{12\}/CHANGE/g; s/[0-9a-f]\{32\}/DIGEST/g; s/[0-9]\{10\}/TIME/; s/127.0.0.1:[0-9]*/HOST/'
INSERT INTO preview_test.letters SELECT 2, repeat('x', 200000);
SELECT left(curl, 30) AS begins, right(curl, 20) AS ends FROM activate.preview_requests('it''s');

\a \t

-- given a row in each state, then explain_row says why it is there or not
CREATE FUNCTION preview_test.explain(sync text, key jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(format(E'%s in model, %s in sync, state %s, payload %s, problem %s\n  %s: %s', in_model, in_sync, state, payload, problem,
		next_action, explanation), '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00', 'TIME', 'g')
	FROM activate.explain_row(sync, key)
$$;
SELECT preview_test.explain('people', k) FROM unnest('{1,2,3,5,6,7,8,99}'::jsonb[]) k;
SELECT preview_test.explain('people', '{"id": 2}');
UPDATE activate_data.people SET activate_missing_since = NULL, activate_state = 'accepted' WHERE id = 1;
SELECT preview_test.explain('people', '1');
UPDATE activate_data.people SET activate_missing_since = now() - interval '1 minute', activate_state = 'leaving' WHERE id = 1;
SELECT preview_test.explain('people', '1');

-- an answer to the row as it is now: changed means that it was another version
SELECT activate.reset_sync('people', 'baseline');
CREATE PROCEDURE preview_test.answer(answered text, next interval, attempts int, status int, changed boolean DEFAULT false)
LANGUAGE sql AS $$
	UPDATE activate_data.people SET activate_state = answered, activate_op = 'upsert',
		activate_in_doubt = answered IN ('doubt', 'unknown'), activate_attempts = attempts, activate_last_at = now(),
		activate_tried = CASE WHEN changed THEN '00000000-0000-0000-0000-000000000002'
			ELSE COALESCE(activate_fingerprint, activate_tried) END,
		activate_fingerprint = NULL, activate_accepted_at = NULL,
		activate_change_id = '00000000-0000-0000-0000-000000000001',
		activate_next_attempt_at = now() + next, activate_http_status = status,
		activate_code = CASE WHEN status > 0 THEN 'INVALID_EMAIL' END, activate_message = 'the e-mail is invalid'
	WHERE id = 3
$$;
CALL preview_test.answer('rejected', '1 hour', 1, 422);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('rejected', '-1 hour', 2, 422);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('rejected', NULL, 10, 422);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('refused', NULL, 1, NULL);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('absent', '1 hour', 1, 200);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('unknown', NULL, 1, NULL);
SELECT preview_test.explain('people', '3');
CALL preview_test.answer('doubt', NULL, 1, NULL);
SELECT preview_test.explain('people', '3');
SELECT op, attempts, last_at IS NOT NULL AS tried, next_attempt_at, http_status, code, message FROM activate.explain_row('people', '3');
SELECT key FROM activate.preview_sync('people');
CALL preview_test.answer('rejected', '1 hour', 1, 422, changed => true);
SELECT preview_test.explain('people', '3');
INSERT INTO activate_data.people (id) VALUES (1);
UPDATE activate_data.people SET activate_state = 'removed', activate_accepted_at = NULL, activate_fingerprint = NULL WHERE id = 1;
SELECT preview_test.explain('people', '1');
SELECT activate.pause_sync('people', 'holidays');
SELECT preview_test.explain('people', '5');
SELECT preview_test.plan('people');

-- given a key that is none, then the error says what one looks like
SELECT * FROM activate.explain_row('people', NULL);
SELECT * FROM activate.explain_row('people', 'null');
SELECT * FROM activate.explain_row('people', '[1]');
SELECT * FROM activate.explain_row('people', '{"ID": 1}');
SELECT * FROM activate.explain_row('people', '{"id": null}');
SELECT * FROM activate.explain_row('people', '{"id": 1, "name": "x"}');
SELECT * FROM activate.explain_row('people', '"x"');

-- given a key of two columns, then it is an object
CREATE TABLE preview_test.parts (a int, "B" text, v int);
INSERT INTO preview_test.parts VALUES (1, 'x', 1), (1, 'y', 2);
SELECT activate.create_sync(name => 'parts', model => 'preview_test.parts', key => 'a, "B"', destination => 'preview_crm',
	mapping => 'parts.v', mode => 'upsert') > 0 AS created;
SELECT * FROM activate.explain_row('parts', '1');
SELECT preview_test.explain('parts', '{"B": "y", "a": 1}');
DELETE FROM activate_data.parts;
INSERT INTO activate_data.parts (a, "B", activate_accepted_at, activate_state) VALUES (2, 'z', now(), 'left');
SELECT preview_test.explain('parts', '{"B": "z", "a": 2}');
INSERT INTO activate.claim (sync_id, run_id, ops, key_values, fingerprints, change_ids)
	SELECT sync_id, 1, '{upsert,upsert}', '{1,x,1,y}', '{}', '{}' FROM activate.sync WHERE name = 'parts';
SELECT preview_test.explain('parts', '{"B": "y", "a": 1}');
SELECT preview_test.explain('parts', '{"B": "z", "a": 2}');

-- given wrong arguments, then they are named
SELECT * FROM activate.plan_sync(NULL);
SELECT * FROM activate.preview_sync(NULL);
SELECT * FROM activate.preview_requests(NULL);
SELECT * FROM activate.explain_row(NULL, '1');
SELECT * FROM activate.plan_sync('peopel');
SELECT * FROM activate.preview_sync('people', 0);
SELECT * FROM activate.preview_requests('people', -1);

-- given a READ ONLY transaction or a function, then all of it works
BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT preview_test.plan('people', mapping => 'id AS ref');
SELECT count(*) FROM activate.preview_sync('people');
SELECT count(*) FROM activate.preview_requests('people');
SELECT count(*) FROM activate.explain_row('people', '1');
COMMIT;
DO $$
BEGIN
	RAISE NOTICE '%', preview_test.plan('people');
	BEGIN
		PERFORM * FROM activate.preview_sync('nowhere');
	EXCEPTION WHEN undefined_object THEN
		RAISE NOTICE '%', SQLERRM;
	END;
	INSERT INTO preview_test.customers VALUES (9, 'inside', 9);
	RAISE NOTICE '%', (SELECT payload FROM activate.explain_row('people', '9'));
END $$;

-- given a model whose function writes, then it cannot; afterwards the transaction can
CREATE FUNCTION preview_test.write(int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO preview_test.parts VALUES ($1, 'written', 0);
	RETURN $1;
END $$;
CREATE VIEW preview_test.writing AS SELECT preview_test.write(id) AS id, name FROM preview_test.customers;
SELECT activate.create_sync(name => 'writing', model => 'preview_test.writing', key => 'id', destination => 'preview_crm') > 0 AS created;
BEGIN;
SAVEPOINT before;
SELECT * FROM activate.plan_sync('writing');
ROLLBACK TO before;
SHOW transaction_read_only;
SELECT count(*) FROM activate.preview_sync('people');
SHOW transaction_read_only;
DELETE FROM preview_test.customers WHERE id = 9;
COMMIT;

-- given a model that previews another sync, then neither disturbs the other
CREATE FUNCTION preview_test.rows_of(text) RETURNS int LANGUAGE sql AS $$ SELECT count(*)::int FROM activate.preview_sync($1, NULL) $$;
CREATE VIEW preview_test.nested AS SELECT a AS id, preview_test.rows_of('people') AS n FROM preview_test.parts WHERE "B" = 'x';
SELECT activate.create_sync(name => 'nested', model => 'preview_test.nested', key => 'id', destination => 'preview_crm') > 0 AS created;
SELECT * FROM activate.preview_sync('nested');

-- given a role that does not own the sync, then it is refused
SET client_min_messages = error;
CREATE ROLE regress_preview_stranger;
SET client_min_messages = notice;
GRANT USAGE ON SCHEMA activate TO regress_preview_stranger;
SET ROLE regress_preview_stranger;
SELECT * FROM activate.plan_sync('people');
SELECT * FROM activate.preview_sync('people');
SELECT * FROM activate.preview_requests('people');
SELECT * FROM activate.explain_row('people', '1');
RESET ROLE;

-- given that it may not send from here, then it may be looked at all the same
UPDATE activate.sync SET system_identifier = 1 WHERE name = 'people';
SELECT count(*) FROM activate.preview_sync('people');

-- then nothing of all this was sent
\! $DESTINATION_ASK stats

SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA preview_test CASCADE;
DROP ROLE regress_preview_stranger;
