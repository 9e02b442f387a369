-- how many requests a destination takes: option rate_limit
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';
\! $DESTINATION_ASK reset
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', batch_size '1');

CREATE FUNCTION try(rate_limit text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	problem text;
	hint text;
BEGIN
	EXECUTE format('ALTER SERVER crm OPTIONS (ADD rate_limit %L)', rate_limit);
	ALTER SERVER crm OPTIONS (DROP rate_limit);
	RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN format('%s %s (%s)', SQLSTATE, problem, hint);
END $$;

-- given what can be said in words of the field, then it is taken
SELECT t AS rate_limit, try(t) FROM unnest('{10/s,100/min,5000/h,250000/day,100/10s,"10 / 2 minutes","10/s, 5000/h,250000/day",1/SECOND,1000/24h}'::text[]) AS t;

-- given anything else, then the error says what is wrong and what would be right
SELECT t AS rate_limit, try(t) FROM unnest(ARRAY['10', 'ten/s', '0/s', '-1/s', '1.5/s', '10/', '10/fortnight', '10/s;', '10/s,', ',10/s',
	'10/2 days', '10/48h', '10/0s', '99999999999999999999/s', '10/99999999999999999999s', '1/s,2/s,3/s,4/s,5/s', '10/day,20/day', ' ', '10/s 10/min']) AS t;

-- given a rate, then it is kept, seen, and told from none
CREATE TABLE accounts AS SELECT i AS id, 'a' AS name FROM generate_series(1, 12) AS i;
ALTER TABLE accounts ADD PRIMARY KEY (id);
SELECT activate.create_sync('s', 'accounts', 'id', 'crm', 'accounts', mapping => 'name') > 0 AS created;
ALTER SERVER crm OPTIONS (ADD rate_limit '40/s, 100000/day');
SELECT rate_limit FROM activate.destinations;
SELECT clock_timestamp() AS began \gset
CALL activate.run_sync('s');
SELECT clock_timestamp() - :'began' > '0.2 s' AS took_its_time;
SELECT rate_limit, requests, retries, breaker IS NULL OR breaker = 'closed' AS not_down, throttled_until IS NULL AS not_throttled,
	paused, down_since FROM activate.destinations;
SELECT day_used, day_ends_at > now() AND day_ends_at <= now() + '1 day' AS ends_today FROM activate.destination_state;

-- given a quota of the day that is used up, then the rest waits for midnight
ALTER SERVER crm OPTIONS (SET rate_limit '15/day');
INSERT INTO accounts SELECT i, 'b' FROM generate_series(21, 30) AS i;
\set VERBOSITY terse
CALL activate.run_sync('s');
\set VERBOSITY default
SELECT status, accepted, delayed, requests, error FROM activate.runs ORDER BY run_id DESC LIMIT 1;
SELECT day_used FROM activate.destination_state;

-- and a higher one ends the waiting
ALTER SERVER crm OPTIONS (DROP rate_limit);
CALL activate.run_sync('s');
SELECT status, accepted FROM activate.runs ORDER BY run_id DESC LIMIT 1;
DROP EXTENSION pg_activate CASCADE;
DROP TABLE accounts;
DROP FUNCTION try(text);
