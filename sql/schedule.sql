-- schedules: what is stored, what is said, what follows what
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
CREATE ROLE activate_admin SUPERUSER;
CREATE ROLE activate_analyst;
CREATE ROLE activate_other;
SET ROLE activate_admin;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET pg_activate.allowed_hosts = '127.0.0.1';
SET TimeZone = 'Europe/Paris';

CREATE TABLE public.health (id bigint PRIMARY KEY, email text);
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
GRANT USAGE ON FOREIGN SERVER crm TO activate_analyst, activate_other;
GRANT USAGE ON SCHEMA activate TO activate_analyst, activate_other;
GRANT SELECT ON public.health TO activate_analyst, activate_other;

-- What is stored of a schedule; the error, where it is none.
CREATE FUNCTION public.stored(new_schedule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	SET LOCAL client_min_messages = warning;
	PERFORM activate.alter_sync('tried', schedule => new_schedule);
	RETURN (SELECT schedule FROM activate.sync WHERE name = 'tried');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat(state, ' ', message, E'\n  detail: ' || nullif(detail, ''), E'\n  hint: ' || nullif(hint, ''));
END $$;

-- manual says so; what others say is tested with and without workers elsewhere
SELECT activate.create_sync('tried', 'health', 'id', 'crm', mapping => 'email');
SET client_min_messages = warning;
SELECT activate.create_sync('told', 'health', 'id', 'crm', mapping => 'email', schedule => '15 minutes');
SET client_min_messages = notice;
SELECT activate.alter_sync('told', schedule => 'manual');
-- and what leaves the schedule alone says nothing
SELECT activate.alter_sync('told', options => '{"priority": -5, "freshness": "2 hours"}');

-- each form has one way to be stored
SELECT format('%-40s %s', s, public.stored(s)) FROM unnest(ARRAY[
	'manual', ' MANUAL ',
	'15 minutes', '15min', '1 hour 30 minutes', '1.5 hours', '90 s', '1 second', '36 hours', '2 weeks', '365 days',
	'0 7 * * 1-5', '0 7 * * 1-5 europe/paris', '0 7 * * 1-5 UTC', E'\t0  7 * *\n1-5   America/New_York ',
	'*/15 0-6/2,22,23 1,15 jan-mar,DEC Mon-Fri,7', '0 0 * * fri-sun', '0 0 29 2 *',
	'@hourly', '@Daily', '@midnight UTC', '@weekly', '@monthly', '@yearly', '@annually Asia/Kathmandu',
	'0 7 * * * <-03>+03', '0 7 * * * Etc/GMT-3', '0 7 * * * PST8PDT',
	'after told', 'After TOLD']) s;

-- the zone of a schedule without one is the sync's, and stays
SET TimeZone = 'Asia/Kathmandu';
SELECT public.stored('0 7 * * *');
SELECT activate.alter_sync('tried', model => 'SELECT * FROM public.health');
SELECT public.stored('0 7 * * *');
SET TimeZone = 'Europe/Paris';
SELECT activate.alter_sync('tried', model => 'public.health');
SELECT schedule, time_zone FROM activate.sync WHERE name = 'tried';

-- each wrong text has its own error
SELECT format(E'%s\n  %s', left(s, 60), public.stored(s)) FROM unnest(ARRAY[
	'', 'often', 'manuel', 'every 5 minutes', '-5 minutes', 'live',
	'15', '15 furlongs', '1 hour -5 minutes', '1.. hour', '1 month', '2 years', '0 seconds', '0.5 s', '1.5 s', '366 days',
	'* * * *', '0 0 7 * * 1-5', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '* * * * someday',
	'* * L * *', 'mon * * * *', '1,,2 * * * *', '5/15 * * * *', '* 22-6 * * *', '* * * * fri-tue', '*/0 * * * *', '*/99 * * * *',
	'0 0 30 2 *', '0 0 31 4,jun,9,11 *', '@dayly', '@reboot', '@daily UTC UTC',
	'0 7 * * * Nowhere/AtAll', '0 7 * * * Kathmandu', '0 7 * * * europe/pariss', '0 7 * * * UTC+3',
	'after', 'after a b', 'after told,', 'after "told', 'after told, TOLD', 'after tried', 'after toll',
	'every ' || repeat('ä', 5000)]) s;

-- next_runs(): planned starts, strictly later than now and no others
SELECT public.stored('0 7 * * 1-5 Europe/Paris');
SELECT count(*), bool_and(t > clock_timestamp()),
	bool_and(to_char(t AT TIME ZONE 'Europe/Paris', 'HH24:MI:SS') = '07:00:00'),
	bool_and(extract(isodow FROM t AT TIME ZONE 'Europe/Paris') <= 5),
	max(t) - min(t) BETWEEN interval '2 days' - interval '1 hour' AND interval '4 days' + interval '1 hour'
FROM activate.next_runs('tried') t;
SELECT count(*), count(DISTINCT t), max(t) - min(t) > interval '364 days' FROM activate.next_runs('tried', n => 265) t;
SELECT public.stored('15 minutes');
SELECT count(*), bool_and(d = interval '15 minutes') FILTER (WHERE d IS NOT NULL), bool_and(date_trunc('second', t) = t)
FROM (SELECT t, t - lag(t) OVER (ORDER BY t) AS d FROM activate.next_runs('tried', 5) t) x;
SELECT count(*) FROM activate.next_runs('tried', 0);
SELECT public.stored('manual');
SELECT count(*) FROM activate.next_runs('tried');
SELECT public.stored('after told');
SELECT count(*) FROM activate.next_runs('tried');
SELECT * FROM activate.next_runs(NULL);
SELECT * FROM activate.next_runs('tried', NULL);
SELECT * FROM activate.next_runs('tried', -1);
SELECT * FROM activate.next_runs('tried', 1001);
SELECT * FROM activate.next_runs('tired');

-- what runs after others: no circle, however long
SET client_min_messages = warning;
SELECT activate.create_sync('b', 'health', 'id', 'crm', mapping => 'email', schedule => 'after tried') > 0;
SELECT activate.create_sync('C c', 'health', 'id', 'crm', mapping => 'email', schedule => 'after b, tried') > 0;
SELECT activate.create_sync('d', 'health', 'id', 'crm', mapping => 'email', schedule => 'after "C c"') > 0;
SELECT activate.create_sync('self', 'health', 'id', 'crm', mapping => 'email', schedule => 'after self');
SELECT activate.alter_sync('tried', schedule => 'after told, tried');
SELECT activate.alter_sync('tried', schedule => 'after d');
SELECT activate.alter_sync('tried', schedule => 'after told, b');
SELECT activate.create_sync('tried', 'health', 'id', 'crm', mapping => 'email', schedule => 'after d', if_exists => 'replace');
SELECT activate.alter_sync('tried', new_name => 'fresh', schedule => 'after fresh');

-- they keep what they follow, and follow its name
SELECT activate.drop_sync('b');
SELECT activate.drop_sync('tried');
SELECT activate.alter_sync('tried', new_name => 'Tried "now"');
SELECT name, schedule FROM activate.sync ORDER BY name;
SELECT activate.alter_sync('Tried "now"', new_name => 'tried');
SELECT activate.drop_sync('d');
SELECT activate.drop_sync('C c');
SELECT activate.drop_sync('b');

-- only with the rights of their owners
SET ROLE activate_analyst;
SELECT activate.create_sync('theirs', 'health', 'id', 'crm', mapping => 'email', schedule => '1 hour') > 0;
SET ROLE activate_other;
SELECT activate.create_sync('mine', 'health', 'id', 'crm', mapping => 'email', schedule => 'after theirs');
SELECT activate.create_sync('mine', 'health', 'id', 'crm', mapping => 'email', schedule => 'after thiers');
SELECT * FROM activate.next_runs('theirs');
SET ROLE activate_admin;
GRANT activate_analyst TO activate_other;
SET ROLE activate_other;
SELECT activate.create_sync('mine', 'health', 'id', 'crm', mapping => 'email', schedule => 'after theirs') > 0;
SET ROLE activate_admin;
REVOKE activate_analyst FROM activate_other;
SET ROLE activate_analyst;
SELECT activate.drop_sync('theirs');
SELECT activate.alter_sync('theirs', new_name => 'ours');
SET ROLE activate_admin;
SELECT activate.sync_sql('mine');
SELECT activate.drop_sync('mine');

-- the call that makes it again, and replace
SELECT public.stored('*/10 7-19 * * mon-fri');
SELECT activate.sync_sql('tried') AS again \gset
SELECT :'again';
SELECT activate.drop_sync('tried');
:again
SELECT schedule FROM activate.sync WHERE name = 'tried';
SET client_min_messages = notice;
SELECT activate.create_sync('tried', 'health', 'id', 'crm', mapping => 'email', if_exists => 'replace') > 0;
SELECT activate.create_sync('tried', 'health', 'id', 'crm', mapping => 'email', schedule => '1 hour', if_exists => 'keep') > 0;
SELECT schedule FROM activate.sync WHERE name = 'tried';

-- options that go with it
CREATE FUNCTION public.option_problem(options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text; detail text; hint text;
BEGIN
	PERFORM activate.alter_sync('told', options => options);
	RETURN (SELECT s.options FROM activate.sync s WHERE name = 'told');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat(message, E'\n  detail: ' || detail, E'\n  hint: ' || hint);
END $$;
SELECT public.option_problem(format('{"priority": %s}', v)::jsonb)
FROM unnest(ARRAY['0', '100', '-100', '"7"', '101', '-101', '1.5', '"-"', '"high"', 'true', 'null']) v;
SELECT public.option_problem(format('{"freshness": %s}', v)::jsonb)
FROM unnest(ARRAY['"1 hour"', '90', '"1 day 2 hours"', '"soon"', '-1', 'null']) v;

SET client_min_messages = error;
DROP EXTENSION pg_activate CASCADE;
DROP TABLE public.health;
DROP FUNCTION public.stored, public.option_problem;
RESET ROLE;
DROP OWNED BY activate_analyst, activate_other, activate_admin CASCADE;
DROP ROLE activate_analyst, activate_other, activate_admin;
