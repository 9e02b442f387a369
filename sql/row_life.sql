-- rows that a person steers: retry_rows, mute_row, unmute_row, settle_row
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY default
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
\! $DESTINATION_ASK reset

CREATE SCHEMA life;
CREATE TABLE life.people (id int PRIMARY KEY, name text);
INSERT INTO life.people SELECT i, 'n' || i FROM generate_series(1, 6) AS i;
CREATE SERVER life_crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', timeout '300 ms');
SET client_min_messages = notice;
SELECT activate.create_sync('people', 'life.people', 'id', 'life_crm', 'people', mapping => 'name', mode => 'mirror',
	on_removed => 'delete', options => '{"remove_after": 0, "max_removed": null, "max_rejected": null, "max_attempts": 2}') > 0 AS created;
SET client_min_messages = warning;
CREATE FUNCTION life.last() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', sync, status, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'rejected ' || nullif(rejected, 0),
		'delayed ' || nullif(delayed, 0), 'skipped ' || nullif(skipped, 0), 'unknown ' || nullif(unknown, 0),
		'absent ' || nullif(absent, 0))
	FROM activate.runs ORDER BY run_id DESC LIMIT 1
$$;
CREATE VIEW life.pending AS
SELECT sync, key, op, state, attempts, next_attempt_at IS NULL AS parked, next_attempt_at <= clock_timestamp() AS due, code,
	regexp_replace(regexp_replace(message, ' by \S+ at \S+ [0-9:]+[+]00', ' by SOMEBODY at SOME TIME'), '\d+ millisec', 'N millisec') AS message
FROM activate.pending ORDER BY sync, key::text;

-- retry_rows: rejected, parked and refused rows go with the next run, as if never tried
\! $DESTINATION_ASK script '[{"reject_rows": [{"where": "n2", "error": "no"}, {"where": "n3", "error": "never", "retry": false}], "times": -1}]'
CALL activate.run_sync('people');
SELECT life.last();
CALL activate.run_sync('people', keys => '[2]');
SELECT state, attempts, parked, key FROM life.pending;
SELECT next_action, regexp_replace(explanation, ' at .* \(', ' at A TIME (') AS explanation FROM activate.explain_row('people', '2');
CALL activate.run_sync('people');
SELECT life.last();
SET client_min_messages = notice;
SELECT activate.retry_rows('people');
SET client_min_messages = warning;
SELECT * FROM life.pending;
CALL activate.run_sync('people');
SELECT life.last();
SELECT state, attempts, parked, key FROM life.pending;
-- with keys only those; an accepted one is not counted; one that nobody knows is named
SELECT activate.retry_rows('people', '[2, 1]');
SELECT due, key FROM life.pending;
SELECT activate.retry_rows('people', '[1]');
SELECT activate.retry_rows('people', '[2, {"id": 77}, 88]');
SELECT activate.retry_rows('people', '["x"]');
SELECT activate.retry_rows('people', '7');
SELECT activate.retry_rows('people', '[null]');
SELECT activate.retry_rows('peopel');
\! $DESTINATION_ASK script '[]'
SELECT activate.retry_rows('people');
CALL activate.run_sync('people');
SELECT life.last();
SELECT count(*) FROM life.pending;
SELECT activate.retry_rows('people');

-- mute_row: the row is neither changed nor removed, counts as skipped while it differs, and holds no run
SELECT activate.mute_row('people', '1', 'asked not to be contacted');
SELECT activate.mute_row('people', '{"id": 2}');
SELECT activate.mute_row('people', '20', 'not there yet');
SET client_min_messages = notice;
SELECT activate.mute_row('people', '20', 'a better reason');
SET client_min_messages = warning;
CALL activate.run_sync('people');
SELECT life.last();
SELECT count(*) AS none_differs FROM life.pending;
UPDATE life.people SET name = 'changed' WHERE id IN (1, 3);
DELETE FROM life.people WHERE id = 2;
INSERT INTO life.people VALUES (20, 'n20');
SELECT activate.alter_sync('people', options => '{"max_changed": 1, "max_removed": 0}');
SELECT added, changed, removed, to_send, guard FROM activate.plan_sync('people');
SELECT op, key FROM activate.preview_sync('people');
CALL activate.run_sync('people');
SELECT life.last();
SELECT * FROM life.pending;
SELECT sync, rows_rejected, backlog, health FROM activate.status;
SELECT next_action, in_sync, regexp_replace(explanation, 'by \S+ since [-0-9: +]+', 'by SOMEBODY since A TIME') AS explanation FROM activate.explain_row('people', '20');
SELECT next_action, in_sync FROM activate.explain_row('people', '2');
-- named, it is still muted; nor is it retried
CALL activate.run_sync('people', keys => '[1, 2, 20]');
SELECT life.last();
SELECT activate.retry_rows('people', '[1]');
SELECT activate.retry_rows('people');
\! $DESTINATION_ASK records people
-- it survives a new name, a reset of either kind and a model that goes back
SELECT activate.alter_sync('people', new_name => 'folk');
SELECT activate.reset_sync('folk', 'baseline');
SELECT count(*) AS none_differs FROM life.pending;
UPDATE life.people SET name = 'n1' WHERE id = 1;
CALL activate.run_sync('folk');
SELECT life.last();
SELECT key, state, op FROM life.pending;
UPDATE life.people SET name = 'changed' WHERE id = 1;
CALL activate.run_sync('folk');
SELECT life.last();
SELECT count(*) AS none_differs FROM life.pending;
SELECT activate.reset_sync('folk', 'resend');
CALL activate.run_sync('folk');
SELECT life.last();
SELECT key, state, op FROM life.pending;
-- unmute_row: what changed meanwhile is sent
SET client_min_messages = notice;
SELECT activate.unmute_row('folk', '20');
SET client_min_messages = warning;
SELECT activate.unmute_row('folk', '1');
SELECT activate.unmute_row('folk', '2');
SELECT activate.unmute_row('folk', '2');
SELECT activate.unmute_row('folk', '4');
CALL activate.run_sync('folk');
SELECT life.last();
SELECT id, activate_state FROM activate_data.folk ORDER BY id;
SELECT count(*) FROM life.pending;
\! $DESTINATION_ASK records people
SELECT kind, regexp_replace(message, 'by \S+', 'by SOMEBODY') AS message FROM activate.events WHERE kind LIKE 'row_%' ORDER BY event_id;

-- a row that was removed while it was muted, and one whose removal is muted
SELECT activate.mute_row('folk', '5');
DELETE FROM life.people WHERE id IN (5, 6);
CALL activate.run_sync('folk');
SELECT life.last();
SELECT activate.unmute_row('folk', '5');
SELECT activate.alter_sync('folk', options => '{"max_removed": null}');
CALL activate.run_sync('folk');
SELECT life.last();
SELECT id, activate_state FROM activate_data.folk ORDER BY id;

-- a key of several columns, of types of their own
CREATE TABLE life.lines (a numeric, b text COLLATE "C", v int, PRIMARY KEY (a, b));
INSERT INTO life.lines VALUES (1.50, 'it''s', 1), (2, 'x', 2);
SELECT activate.create_sync('lines', 'life.lines', 'a, b', 'life_crm', 'lines', mapping => 'v') > 0 AS created;
SELECT activate.mute_row('lines', '{"a": 1.5, "b": "it''s"}');
SELECT activate.mute_row('lines', '1.5');
SELECT activate.mute_row('lines', '{"a": 1.5}');
SELECT activate.mute_row('lines', '{"a": "one", "b": "x"}');
CALL activate.run_sync('lines');
SELECT life.last();
SELECT key, state, code FROM life.pending;

-- mode replace sends all rows or none
SELECT activate.create_sync('sheet', 'life.people', 'id', 'life_crm', 'sheet', mapping => 'name', mode => 'replace') > 0 AS created;
SELECT activate.mute_row('sheet', '1');
SELECT activate.settle_row('sheet', '1', 'accepted');
SELECT activate.retry_rows('sheet', '[1]');
\! $DESTINATION_ASK script '[{"status": 422}]'
\set VERBOSITY terse
CALL activate.run_sync('sheet');
SELECT life.last();
CALL activate.run_sync('sheet');
SELECT life.last();
\set VERBOSITY default
SELECT activate.retry_rows('sheet');
CALL activate.run_sync('sheet');
SELECT life.last();
SELECT activate.alter_sync('lines', mode => 'replace');
SELECT activate.unmute_row('lines', '{"a": 1.5, "b": "it''s"}');
SELECT activate.alter_sync('lines', mode => 'replace');

-- settle_row: what became of events whose answer was lost
CREATE TABLE life.orders (id int PRIMARY KEY, what text);
INSERT INTO life.orders VALUES (1, 'pear'), (2, 'fig'), (3, 'plum');
SELECT activate.create_sync('orders', 'life.orders', 'id', 'life_crm', 'orders', mapping => 'what', mode => 'append',
	options => '{"first_run": "send", "delivery": "at_most_once", "batch_size": 1}') > 0 AS created;
CALL activate.run_sync('orders', max_rows => 1);
\! $DESTINATION_ASK script '[{"hang": true, "match": {"contains": "fig"}}, {"hang": true, "apply": "before", "match": {"contains": "plum"}}]'
\set VERBOSITY terse
CALL activate.run_sync('orders', keys => '[2]');
CALL activate.run_sync('orders', keys => '[3]');
\set VERBOSITY default
SELECT * FROM life.pending WHERE sync = 'orders';
SELECT next_action, explanation ~ 'settle_row\(''orders'', ''{"id": 2}'', ''accepted''\)' AS says_how FROM activate.explain_row('orders', '2');
SET client_min_messages = notice;
SELECT activate.retry_rows('orders');
SET client_min_messages = warning;
SELECT activate.retry_rows('orders', '[2]');
SELECT activate.settle_row('orders', '2', 'acepted');
SELECT activate.settle_row('orders', '2', 'not_applied');
SELECT activate.settle_row('orders', '1', 'accepted');
SELECT activate.settle_row('orders', '9', 'accepted');
SELECT activate.settle_row('orders', '2', 'resend', 'r9');
SET client_min_messages = notice;
SELECT activate.settle_row('orders', '2', 'resend');
SET client_min_messages = warning;
SELECT activate.settle_row('orders', '3', 'accepted', 'r77');
SELECT id, activate_state, activate_external_id FROM activate_data.orders WHERE id > 1 ORDER BY id;
CALL activate.run_sync('orders');
SELECT life.last();
SELECT id, activate_state, activate_in_doubt FROM activate_data.orders ORDER BY id;
\! $DESTINATION_ASK rows orders
SELECT activate.settle_row('orders', '2', 'accepted');
SELECT count(*) FROM life.pending WHERE sync = 'orders';

-- a removal in doubt, settled as done; an update in doubt, which a person knows to have arrived
DELETE FROM life.people WHERE id = 3;
UPDATE life.people SET name = 'new' WHERE id = 4;
SELECT activate.alter_sync('folk', options => '{"batch_size": 1, "delivery": "at_most_once"}');
\! $DESTINATION_ASK script '[{"hang": true, "apply": "before", "times": 2}]'
\set VERBOSITY terse
CALL activate.run_sync('folk', keys => '[3]');
CALL activate.run_sync('folk', keys => '[4]');
\set VERBOSITY default
SELECT key, op, state FROM life.pending WHERE sync = 'folk';
SELECT activate.settle_row('folk', '3', 'accepted', 'r3');
SELECT activate.settle_row('folk', '3', 'accepted');
SELECT activate.settle_row('folk', '4', 'accepted');
SELECT in_sync, next_action FROM activate.explain_row('folk', '4');
SELECT pg_sleep(greatest(0, extract(epoch FROM max(activate_late_until) - clock_timestamp()))) FROM activate_data.folk \g /dev/null
CALL activate.run_sync('folk');
SELECT life.last();
SELECT id, activate_state FROM activate_data.folk ORDER BY id;

-- other people's rows
CREATE ROLE life_stranger;
GRANT USAGE ON SCHEMA activate TO life_stranger;
SET ROLE life_stranger;
SELECT activate.retry_rows('folk');
SELECT activate.mute_row('folk', '1');
SELECT activate.unmute_row('folk', '1');
SELECT activate.settle_row('folk', '1', 'accepted');
RESET ROLE;

DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA life CASCADE;
DROP ROLE life_stranger;
