-- events: each key once and never again; what was there before the first run is sent or taken as sent
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\set VERBOSITY default
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset

CREATE SCHEMA append_test;
CREATE TABLE append_test.orders (id int PRIMARY KEY, what text, amount int);
INSERT INTO append_test.orders VALUES (1, 'pear', 10), (2, 'fig', 20), (3, 'plum', 30);
CREATE SERVER append_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url');
CREATE VIEW append_test.runs AS
SELECT sync, status, added, changed, removed, accepted, delayed, unknown,
	(SELECT r.unchanged FROM activate.run AS r WHERE r.run_id = runs.run_id) AS unchanged
FROM activate.runs ORDER BY run_id;

-- given nobody says what becomes of the rows that are there, then append is refused, by create and by alter
SELECT activate.create_sync('placed', 'append_test.orders', 'id', 'append_crm', 'placed', mapping => 'what, amount', mode => 'append');
SELECT activate.create_sync('placed', 'append_test.orders', 'id', 'append_crm', 'placed', mapping => 'what, amount', mode => 'append',
	options => '{"first_run": "link"}');
SELECT activate.create_sync('placed', 'append_test.orders', 'id', 'append_crm', 'placed', mapping => 'what, amount', mode => 'append',
	options => '{"first_run": "sent"}');
SELECT activate.create_sync('placed', 'append_test.orders', 'id', 'append_crm', 'placed', mapping => 'what, amount', mode => 'append',
	on_removed => 'delete', options => '{"first_run": "send"}');
SELECT activate.create_sync('plain', 'append_test.orders', 'id', 'append_crm', 'plain', mapping => 'what') > 0 AS created;
SELECT activate.alter_sync('plain', mode => 'append');
SELECT activate.alter_sync('plain', mode => 'append', options => '{"first_run": "baseline"}');
SELECT activate.alter_sync('plain', options => '{"first_run": null}');
SELECT activate.drop_sync('plain');

-- given first_run send, then each row is sent once
SELECT activate.create_sync('placed', 'append_test.orders', 'id', 'append_crm', 'placed', mapping => 'what, amount', mode => 'append',
	options => '{"first_run": "send"}') > 0 AS created;
SELECT first_run_pending FROM activate.sync;
CALL activate.run_sync('placed');
SELECT first_run_pending FROM activate.sync;

-- given accepted rows change, leave and come back, then nothing is sent and nothing counted
UPDATE append_test.orders SET amount = 11 WHERE id = 1;
DELETE FROM append_test.orders WHERE id = 2;
SELECT op, key FROM activate.preview_sync('placed');
CALL activate.run_sync('placed');
SELECT id, activate_state FROM activate_data.placed ORDER BY id;
INSERT INTO append_test.orders VALUES (2, 'fig', 21), (4, 'date', 40);
CALL activate.run_sync('placed');
SELECT id, activate_state FROM activate_data.placed ORDER BY id;
CALL activate.run_sync('placed', keys => '[1]');
SELECT next_action, explanation ~ 'mode append never sends a key again' AS explained FROM activate.explain_row('placed', '1');
TABLE append_test.runs;
\! $DESTINATION_ASK rows placed

-- given the destination said no, then the row goes again, changed or not, until it is accepted
\! $DESTINATION_ASK script '[{"reject_rows": {"where": "lime", "error": "too sour"}}]'
INSERT INTO append_test.orders VALUES (5, 'lime', 50);
\set VERBOSITY terse
CALL activate.run_sync('placed');
UPDATE append_test.orders SET what = 'lemon' WHERE id = 5;
CALL activate.run_sync('placed');
\set VERBOSITY default
SELECT id, activate_state FROM activate_data.placed WHERE id = 5;

-- given first_run baseline, then before the first run plan, preview and explanation say that all is unchanged
SELECT activate.create_sync('later', 'append_test.orders', 'id', 'append_crm', 'later', mapping => 'what, amount', mode => 'append',
	options => '{"first_run": "baseline"}') > 0 AS created;
SELECT added, changed, removed, unchanged, to_send, guard FROM activate.plan_sync('later');
SELECT op, key FROM activate.preview_sync('later');
SELECT method FROM activate.preview_requests('later');
SELECT in_model, in_sync, next_action, explanation FROM activate.explain_row('later', '1');

-- and the first run takes them as sent, those of other keys too, and tells so once
CALL activate.run_sync('later', keys => '[1]');
SELECT count(*), min(activate_state) FROM activate_data.later;
INSERT INTO append_test.orders VALUES (6, 'kiwi', 60);
UPDATE append_test.orders SET amount = 0 WHERE id = 3;
CALL activate.run_sync('later');
SELECT added, unchanged, to_send FROM activate.plan_sync('later');
SELECT kind, message, details FROM activate.events WHERE kind = 'baselined';
SELECT sync, status, added, changed, accepted, unchanged FROM append_test.runs WHERE sync = 'later';
\! $DESTINATION_ASK rows later

-- given rows that cannot be sent, then the baseline leaves them out and the run names them
CREATE TABLE append_test.messy (id int, what text);
INSERT INTO append_test.messy VALUES (1, 'a'), (2, 'b'), (2, 'c'), (3, 'd'), (3, 'd'), (NULL, 'e');
SELECT activate.create_sync('messy', 'append_test.messy', 'id', 'append_crm', 'messy', mapping => 'what', mode => 'append',
	options => '{"first_run": "baseline", "max_invalid": "100 %"}') > 0 AS created;
SET client_min_messages = warning;
SELECT unchanged, invalid, duplicates, to_send FROM activate.plan_sync('messy');
SET client_min_messages = notice;
\set VERBOSITY terse
CALL activate.run_sync('messy');
\set VERBOSITY default
SELECT id FROM activate_data.messy ORDER BY id;
SELECT key, code FROM activate.pending WHERE sync = 'messy' ORDER BY code;

-- given the definition of events changes, then nobody is told that accepted ones are sent again
SELECT activate.alter_sync('placed', mapping => 'what, amount, id AS number');
SELECT activate.alter_sync('placed', resend => 'all');
SELECT activate.alter_sync('placed', options => '{"first_run": "baseline"}');
SELECT activate.alter_sync('placed', options => '{"first_run": "send"}');
SELECT added, changed, unchanged FROM activate.plan_sync('placed');
SELECT activate.alter_sync('placed', object => 'placed_too');
SELECT added, changed, unchanged FROM activate.plan_sync('placed');

-- baseline is for other modes, too: changes after it are sent
SELECT activate.create_sync('mirrored', 'append_test.orders', 'id', 'append_crm', 'mirrored', mapping => 'what, amount',
	mode => 'mirror', on_removed => 'delete', options => '{"first_run": "baseline", "remove_after": 0, "max_removed": "100 %"}') > 0 AS created;
CALL activate.run_sync('mirrored');
UPDATE append_test.orders SET amount = 12 WHERE id = 1;
DELETE FROM append_test.orders WHERE id = 6;
CALL activate.run_sync('mirrored');
\! $DESTINATION_ASK rows mirrored

-- given it goes elsewhere, then the first run there is a first run again
SELECT activate.alter_sync('mirrored', object => 'elsewhere');
SELECT first_run_pending FROM activate.sync WHERE name = 'mirrored';
CALL activate.run_sync('mirrored');
SELECT sync, status, added, changed, removed, accepted, unchanged FROM append_test.runs WHERE sync = 'mirrored';

-- given a person says what to send, then first_run has no say any more
SELECT activate.alter_sync('mirrored', object => 'third');
SELECT activate.reset_sync('mirrored', 'resend');
SELECT first_run_pending FROM activate.sync WHERE name = 'mirrored';
SELECT added FROM activate.plan_sync('mirrored');
SELECT activate.alter_sync('mirrored', object => 'fourth');
SELECT activate.reset_sync('mirrored', 'baseline');
SELECT first_run_pending FROM activate.sync WHERE name = 'mirrored';
SELECT activate.alter_sync('mirrored', object => 'fifth', resend => 'all');
SELECT first_run_pending FROM activate.sync WHERE name = 'mirrored';
SELECT added, changed, unchanged FROM activate.plan_sync('mirrored');
SELECT activate.alter_sync('mirrored', object => 'sixth');
SELECT activate.alter_sync('mirrored', resend => 'all');
SELECT added + changed AS sent, unchanged FROM activate.plan_sync('mirrored');

-- given a run is held, then the first run is still to come
INSERT INTO append_test.messy SELECT i, 'x' FROM generate_series(1, 200) AS i;
SELECT activate.create_sync('held', 'append_test.messy', 'id', 'append_crm', 'held', mapping => 'what', mode => 'append',
	options => '{"first_run": "send", "max_invalid": 0}') > 0 AS created;
\set VERBOSITY terse
CALL activate.run_sync('held');
\set VERBOSITY default
SELECT first_run_pending FROM activate.sync WHERE name = 'held';

SELECT run_id FROM activate.runs WHERE added + changed + removed
	<> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA append_test CASCADE;
