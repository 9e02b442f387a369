-- option canary: a few rows go first, and the others when all of them pass
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
\! $DESTINATION_ASK reset
SET pg_activate.allowed_hosts = '127.0.0.1';
SET pg_activate.progress_interval = 0;
SELECT format('CREATE SERVER mine FOREIGN DATA WRAPPER activate OPTIONS (connector ''webhook'', base_url %L)', :'url') \gexec
CREATE SCHEMA canary_test;
CREATE FUNCTION canary_test.last(sync text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', r.status, 'added ' || nullif(added, 0), 'changed ' || nullif(changed, 0),
		'removed ' || nullif(removed, 0), 'accepted ' || nullif(accepted, 0), 'rejected ' || nullif(rejected, 0),
		'delayed ' || nullif(delayed, 0), 'absent ' || nullif(absent, 0), 'skipped ' || nullif(skipped, 0),
		'unchanged ' || nullif(unchanged, 0), 'requests ' || requests,
		CASE WHEN first_batch_alone THEN 'canary again' END)
	FROM activate.run r JOIN activate.sync s USING (sync_id) WHERE s.name = last.sync ORDER BY run_id DESC LIMIT 1
$$;

-- all pass: the run goes on, and the next ones have no canary
CREATE TABLE canary_test.people AS SELECT i AS id, 'p' || i AS name, CASE WHEN i % 50 <> 0 THEN i END AS score
FROM generate_series(1, 300) AS i;
SELECT activate.create_sync('people', 'canary_test.people', 'id', 'mine', object => 'people', mode => 'mirror',
	on_removed => 'delete', options => '{"canary": 12, "max_removed": null, "remove_after": "0 s"}') > 0 AS created;
CALL activate.run_sync('people');
SELECT canary_test.last('people');
UPDATE canary_test.people SET name = 'q' WHERE id <= 20;
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- a change of mapping: rows of all kinds are among the first, and are the same each time
UPDATE canary_test.people SET name = repeat('long ', 100) WHERE id = 77;
DELETE FROM canary_test.people WHERE id BETWEEN 101 AND 110;
INSERT INTO canary_test.people SELECT i, 'new', i FROM generate_series(1001, 1010) AS i;
SELECT activate.alter_sync('people', mapping => 'id, upper(name) AS name, score');
\! $DESTINATION_ASK script '[{"match": {"path": "/people"}, "times": -1, "reject_rows": {"where": "\"id\":77", "error": "too long", "retry": true}}]'
CALL activate.run_sync('people');
SELECT canary_test.last('people');
SELECT activate_state, count(*), count(*) FILTER (WHERE id > 1000) AS new FROM activate_data.people GROUP BY 1 ORDER BY 1;
SELECT 10 - count(*) AS removed FROM activate_data.people WHERE id BETWEEN 101 AND 110;
SELECT count(*) AS with_null FROM activate_data.people WHERE id % 50 = 0 AND activate_accepted_at > (SELECT max(started_at) FROM activate.run);
SELECT count(*) FROM activate.events WHERE kind = 'run_held';
-- as long as it waits nothing goes, which the plan says, and nobody is told again
SELECT guard FROM activate.plan_sync('people');
CALL activate.run_sync('people');
SELECT canary_test.last('people');
SELECT count(*) FROM activate.events WHERE kind = 'run_held';
-- also when it was held for another reason meanwhile
CREATE TEMP TABLE gone AS SELECT * FROM canary_test.people WHERE id BETWEEN 200 AND 250;
DELETE FROM canary_test.people WHERE id BETWEEN 200 AND 250;
CALL activate.run_sync('people');
INSERT INTO canary_test.people SELECT * FROM gone;
CALL activate.run_sync('people');
SELECT canary_test.last('people');
-- approved: the others go, without another canary
SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = 'people' AND status = 'held';
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- approved when the refused row is due again by then: still the same approval
SELECT activate.alter_sync('people', mapping => 'id, lower(name) AS name, score');
CALL activate.run_sync('people');
SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = 'people' AND status = 'held';
UPDATE activate_data.people SET activate_next_attempt_at = now() WHERE activate_next_attempt_at IS NOT NULL;
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- approved, and then something else is to be sent: another canary
SELECT activate.alter_sync('people', mapping => 'id, initcap(name) AS name, score');
CALL activate.run_sync('people');
SELECT activate.approve_run(max(run_id)) FROM activate.runs WHERE sync = 'people' AND status = 'held';
UPDATE canary_test.people SET score = -1 WHERE id = 1 OR id = 77;
\! $DESTINATION_ASK script '[]'
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- it heals by itself when what was refused is accepted: that is asked first
\! $DESTINATION_ASK script '[{"match": {"path": "/people"}, "times": -1, "reject_rows": {"where": "\"id\":77", "error": "too long"}}]'
SELECT activate.alter_sync('people', mapping => 'id, name, score');
CALL activate.run_sync('people');
UPDATE activate_data.people SET activate_next_attempt_at = now() WHERE activate_next_attempt_at IS NOT NULL;
CALL activate.run_sync('people');
SELECT canary_test.last('people');
\! $DESTINATION_ASK script '[]'
UPDATE activate_data.people SET activate_next_attempt_at = now() WHERE activate_next_attempt_at IS NOT NULL;
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- discarded: the next run has a canary of its own
\! $DESTINATION_ASK script '[{"match": {"path": "/people"}, "times": 2, "reject_rows": {"where": "\"id\":77", "error": "too long", "retry": false}}]'
SELECT activate.alter_sync('people', mapping => 'id, name, score, 1 AS one');
CALL activate.run_sync('people');
SELECT activate.discard_run(max(run_id)) FROM activate.runs WHERE sync = 'people' AND status = 'held';
CALL activate.run_sync('people');
SELECT canary_test.last('people');

-- fewer rows than the canary has: nothing is left that could be held
CREATE TABLE canary_test.few AS SELECT i AS id FROM generate_series(1, 5) AS i;
SELECT activate.create_sync('few', 'canary_test.few', 'id', 'mine', object => 'few', options => '{"canary": 5}') > 0 AS created;
\! $DESTINATION_ASK script '[{"match": {"path": "/few"}, "times": 1, "reject_rows": {"where": "\"id\":3", "error": "no"}}]'
CALL activate.run_sync('few');
SELECT canary_test.last('few');
-- keys that a person names have no canary, and are none
INSERT INTO canary_test.few SELECT i FROM generate_series(6, 20) AS i;
CALL activate.run_sync('few', keys => '[6, 7]');
SELECT canary_test.last('few');
CALL activate.run_sync('few');
SELECT canary_test.last('few');

-- absent is no refusal
CREATE TABLE canary_test.absent AS SELECT i AS id FROM generate_series(1, 20) AS i;
SELECT activate.create_sync('absent', 'canary_test.absent', 'id', 'mine', object => 'absent', mode => 'update',
	options => '{"canary": 4}') > 0 AS created;
CALL activate.run_sync('absent');
SELECT canary_test.last('absent');

-- the brake comes first: all alike is charged to nobody, and the canary is still to come
CREATE TABLE canary_test.alike AS SELECT i AS id FROM generate_series(1, 200) AS i;
SELECT activate.create_sync('alike', 'canary_test.alike', 'id', 'mine', object => 'alike', options => '{"canary": 20}') > 0 AS created;
\! $DESTINATION_ASK script '[{"match": {"path": "/alike"}, "times": 1, "reject_rows": {"where": "id", "error": "no such field"}}]'
CALL activate.run_sync('alike');
SELECT canary_test.last('alike');
-- max_rejected does not come before it: a canary is held, however much of it was refused
\! $DESTINATION_ASK script '[{"match": {"path": "/alike"}, "times": 1, "reject_rows": [{"where": "1}", "error": "a"}, {"where": "3}", "error": "b"}, {"where": "5}", "error": "c"}, {"where": "6}", "error": "d"}, {"where": "7}", "error": "e"}, {"where": "9}", "error": "f"}]}]'
SELECT activate.alter_sync('alike', options => '{"max_rejected": "1 %"}');
CALL activate.run_sync('alike');
SELECT status, rejected > 2 AS many_rejected, accepted > 0 AS some_accepted FROM activate.runs WHERE sync = 'alike' ORDER BY run_id DESC LIMIT 1;

SELECT run_id FROM activate.run WHERE added + changed + removed
	<> accepted + rejected + delayed + unknown + waiting + absent + skipped + held_out;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA canary_test CASCADE;
