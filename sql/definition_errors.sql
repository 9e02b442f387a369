-- each wrong input has its own error, with a hint that says what to type
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
CREATE ROLE activate_admin SUPERUSER;
SET ROLE activate_admin;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SET pg_activate.allowed_hosts = '127.0.0.1';

-- The error of a statement in full, or what it returns.
CREATE FUNCTION public.problem(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	EXECUTE statement;
	RAISE 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat(state, ' ', message, E'\n  detail: ' || nullif(detail, ''), E'\n  hint: ' || nullif(hint, ''));
END $$;
-- create_sync() with one argument changed
CREATE FUNCTION public.create_with(arguments text) RETURNS text LANGUAGE sql AS $$
	SELECT public.problem(format('SELECT activate.create_sync(%s)',
		concat_ws(', ',
			CASE WHEN arguments !~ '\mname =>' THEN $q$name => 'x'$q$ END,
			CASE WHEN arguments !~ '\mmodel =>' THEN $q$model => 'analytics.health'$q$ END,
			CASE WHEN arguments !~ '\mkey =>' THEN $q$key => 'customer_id'$q$ END,
			CASE WHEN arguments !~ '\mdestination =>' THEN $q$destination => 'crm'$q$ END,
			CASE WHEN arguments !~ '\mmapping =>' THEN $q$mapping => 'customer_id, email, score'$q$ END,
			nullif(arguments, ''))))
$$;

CREATE SCHEMA analytics;
CREATE TABLE analytics.health (customer_id bigint PRIMARY KEY, email text, score numeric(10,4), place point, "Tier" text,
	activate_id int);
CREATE SEQUENCE analytics.counter;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
CREATE TEMPORARY TABLE passing (id int);

-- null, for each argument
SELECT a, create_with(a || ' => NULL') FROM unnest(ARRAY['name', 'model', 'key', 'destination', 'mode', 'schedule', 'options', 'if_exists']) a;
SELECT a, problem(format('SELECT activate.%s', a)) FROM unnest(ARRAY[
	'alter_sync(NULL)', 'drop_sync(NULL)', 'drop_sync(''x'', NULL)', 'pause_sync(NULL)', 'resume_sync(NULL)',
	'reset_sync(NULL, ''resend'')', 'reset_sync(''x'', NULL)', 'sync_sql(NULL)']) a;

-- names
SELECT create_with($$ name => '' $$);
SELECT create_with($$ name => 'activate_mine' $$);
SELECT create_with(format('name => %L', repeat('x', 64)));

-- model
SELECT create_with($$ model => 'analytics.helth' $$);
SELECT create_with($$ model => 'analytiks.health' $$);
SELECT create_with($$ model => 'nothing_like_it' $$);
SELECT create_with($$ model => '' $$);
SELECT create_with($$ model => 'analytics health' $$);
SELECT create_with($$ model => 'analytics.counter' $$);
SELECT create_with($$ model => 'no_such_database.analytics.health' $$);
SELECT create_with($$ model => 'VALUES(1)' $$);
SELECT create_with($$ model => ' ; ' $$);
SELECT create_with($$ model => 'passing' $$);
SELECT create_with($$ model => 'SELECT 1 AS customer_id; SELECT 2' $$);
SELECT create_with($$ model => 'SELECT 1 AS customer_id INTO thing' $$);
SELECT create_with($$ model => 'SELECT * FROM analytics.health FOR UPDATE' $$);
SELECT create_with($$ model => 'SELECT * FROM (SELECT * FROM analytics.health FOR SHARE) x' $$);
SELECT create_with($$ model => 'WITH gone AS (DELETE FROM analytics.health RETURNING *) SELECT * FROM gone' $$);
SELECT create_with($$ model => 'DELETE FROM analytics.health' $$);
SELECT create_with($$ model => 'SELECT custmer_id FROM analytics.health' $$);
SELECT create_with($$ model => 'SELECT $1 AS customer_id' $$);
SELECT create_with($$ model => 'SELECT customer_id, email, email FROM analytics.health', mapping => NULL $$);
SELECT create_with($$ model => 'SELECT customer_id, 1 FROM analytics.health', mapping => NULL $$);

-- key
SELECT create_with($$ key => 'customr_id' $$);
SELECT create_with($$ key => 'Tier' $$);
SELECT create_with($$ key => 'customer_id, customer_id' $$);
SELECT create_with($$ key => '' $$);
SELECT create_with($$ key => 'a b' $$);
SELECT create_with($$ key => 'place' $$);
SELECT create_with($$ key => 'activate_id' $$);
SELECT create_with($$ key => 'ctid' $$);
SELECT create_with($$ model => 'SELECT 1 AS a, 2 AS a', key => 'a', mapping => '1 AS b' $$);

-- destination
SELECT create_with($$ destination => 'crn' $$);
SELECT create_with($$ destination => 'somewhere else' $$);

-- mapping
SELECT create_with($$ mapping => '' $$);
SELECT create_with($$ mapping => '-- nothing' $$);
SELECT create_with($$ mapping => 'customer_id, warehouse AS source' $$);
SELECT create_with($$ mapping => '{"customer_id": "customer_id", "source": "warehouse"}' $$);
SELECT create_with($$ mapping => 'customer_id, emial' $$);
SELECT create_with($$ mapping => 'customer_id, health.emial' $$);
SELECT create_with($$ mapping => 'customer_id, lowr(email) AS email' $$);
SELECT create_with($$ mapping => 'email, score AS email' $$);
SELECT create_with($$ mapping => 'email, 1' $$);
SELECT create_with($$ mapping => 'email, *' $$);
SELECT create_with($$ mapping => '* EXCEPT (iban)' $$);
SELECT create_with($$ mapping => '* EXCEPT email' $$);
SELECT create_with($$ mapping => 'email; DROP TABLE analytics.health' $$);
SELECT create_with($$ mapping => 'email FROM analytics.health' $$);
SELECT create_with($$ mapping => 'email WHERE true' $$);
SELECT create_with($$ mapping => 'email ORDER BY 1' $$);
SELECT create_with($$ mapping => 'email INTO thing' $$);
SELECT create_with($$ mapping => 'email UNION SELECT 1, 2' $$);
SELECT create_with($$ mapping => 'DISTINCT email' $$);
SELECT create_with($$ mapping => 'customer_id, lower(email' $$);
SELECT create_with($$ mapping => 'customer_id, ''open' $$);
SELECT create_with($$ mapping => 'customer_id, count(*) AS n' $$);
SELECT create_with($$ mapping => 'sum(score) AS total' $$);
SELECT create_with($$ mapping => 'customer_id, rank() OVER (ORDER BY score) AS n' $$);
SELECT create_with($$ mapping => 'customer_id, random() AS n' $$);
SELECT create_with($$ mapping => 'customer_id, nextval(''analytics.counter'') AS n' $$);
SELECT create_with($$ mapping => 'customer_id, unnest(ARRAY[1, 2]) AS n' $$);
SELECT create_with(format('mapping => %L', 'email AS ' || repeat('x', 64)));
SELECT create_with(format('mapping => %L', 'email AS "' || repeat('""', 64) || '"'));
SELECT create_with($$ mapping => 'email AS U&"a!0061" UESCAPE ''!''' $$);

-- mapping as JSON
SELECT create_with($$ mapping => '{"a": "email"' $$);
SELECT create_with($$ mapping => '{"a": "email",}' $$);
SELECT create_with($$ mapping => '{"a": "email"} x' $$);
SELECT create_with($$ mapping => '{a: "email"}' $$);
SELECT create_with($$ mapping => '{"a": "email", "a": "score"}' $$);
SELECT create_with($$ mapping => '{"a": {"b": "email", "b": 1}}' $$);
SELECT create_with($$ mapping => '{}' $$);
SELECT create_with($$ mapping => '{"a": 1}' $$);
SELECT create_with($$ mapping => '{"a": ""}' $$);
SELECT create_with($$ mapping => '{"a": "email AS b"}' $$);
SELECT create_with($$ mapping => '{"a": "email, score"}' $$);
SELECT create_with($$ mapping => '{"a": "email) , (score"}' $$);
SELECT create_with($$ mapping => '{"a": "*"}' $$);
SELECT create_with($$ mapping => '{"a": "email; DROP TABLE x"}' $$);
SELECT create_with($$ mapping => '{"a": "SELECT email"}' $$);
SELECT create_with($$ mapping => '{"a": {"b": ["lowr(email)"]}}' $$);
SELECT create_with($$ mapping => '{"phone": {"$reqired": true}}' $$);
SELECT create_with($$ mapping => '{"phone": {"$x": true}}' $$);

-- match
SELECT create_with($$ match => 'emial' $$);
SELECT create_with($$ match => 'a b' $$);
SELECT create_with($$ match => 'Tier', mapping => 'email, "Tier"' $$);
SELECT create_with($$ match => 'a', mapping => '{"a": {"b": "email"}}' $$);

-- match, where the connector finds records by it and knows few operations
INSERT INTO activate.connector (name, spec)
SELECT 'shop', regexp_replace(replace(replace(spec::text, '"webhook"', '"shop"'), '"takes_key": true,', ''),
	'"(insert|archive)": {[^}]*},', '', 'g')::json
FROM activate.connector WHERE name = 'webhook';
CREATE SERVER shop FOREIGN DATA WRAPPER activate OPTIONS (connector 'shop', base_url 'http://127.0.0.1:9/');
SELECT create_with($$ destination => 'shop', mapping => 'email, score' $$);
SELECT create_with($$ destination => 'shop', object => 'orders', mapping => 'email, score' $$);
SELECT create_with($$ destination => 'shop', mapping => 'email, score', match => 'email' $$);
SELECT create_with($$ destination => 'shop', mapping => 'email, score', match => 'email', mode => 'mirror', on_removed => 'clear' $$);
SELECT create_with($$ destination => 'shop', mapping => 'email, (SELECT customer_id) AS ref', match => 'ref', mode => 'mirror', on_removed => 'clear' $$);
SELECT create_with($$ destination => 'shop', mapping => 'email, customer_id + 1 AS ref', match => 'ref', mode => 'mirror', on_removed => 'clear' $$);
SELECT create_with($$ destination => 'shop', mapping => 'email, customer_id AS ref', mode => 'mirror', on_removed => 'ignore' $$);
SELECT create_with($$ destination => 'shop', mode => 'insert' $$);
SELECT create_with($$ destination => 'shop', mode => 'mirror' $$);
SELECT create_with($$ destination => 'shop', mode => 'mirror', on_removed => 'archive' $$);

-- mode and on_removed
SELECT create_with($$ mode => 'upsrt' $$);
SELECT create_with($$ mode => 'append' $$);
SELECT create_with($$ mode => 'mirror' $$);
SELECT create_with($$ mode => 'mirror', object => 'contacts' $$);
SELECT create_with($$ mode => 'mirror', on_removed => 'delet' $$);
SELECT create_with($$ mode => 'mirror', on_removed => 'update' $$);
SELECT create_with($$ mode => 'mirror', on_removed => 'remove' $$);
SELECT create_with($$ on_removed => 'delete' $$);

-- schedule (schedule.sql has the other ways to be wrong)
SELECT create_with($$ schedule => 'live' $$);
SELECT create_with($$ schedule => 'after a, b' $$);
SELECT create_with($$ schedule => 'often' $$);

-- options
SELECT create_with($$ options => '{"max_remove": 5}' $$);
SELECT create_with($$ options => '{"colour": 5}' $$);
SELECT create_with($$ options => '[]' $$);
SELECT create_with(format('options => %L', format('{"%s": 1}', o))) FROM unnest(ARRAY['first_run', 'removed_mapping', 'insert_mapping',
	'nulls', 'ignore_fields', 'changed_fields_only', 'keep_payload', 'log', 'delivery',
	'watch', 'confirm_every', 'on_model_change', 'subject', 'experiment']) o;
SELECT create_with(format('options => %L', o)) FROM unnest(ARRAY['{"max_removed": "many"}', '{"max_removed": -1}', '{"max_removed": "101 %"}',
	'{"max_removed": 1.5}', '{"max_changed": {}}', '{"max_changed": true}', '{"batch_size": 0}', '{"batch_size": "x"}', '{"batch_size": 1e9}',
	'{"max_attempts": 0}', '{"remove_after": "soon"}', '{"remove_after": "1 fortnight"}', '{"remove_after": "2 years"}',
	'{"max_run_time": "1 hour 5"}', '{"max_run_time": ""}', '{"max_changed": 1e1000}']) o;

-- if_exists
SELECT create_with($$ if_exists => 'kep' $$);
SELECT activate.create_sync('here', 'analytics.health', 'customer_id', 'crm', mapping => 'customer_id AS id, email');
SELECT create_with($$ name => 'here' $$);

-- the other functions
SELECT problem($$ SELECT activate.alter_sync('her') $$);
SELECT problem($$ SELECT activate.drop_sync('her') $$);
SELECT problem($$ SELECT activate.pause_sync('nowhere at all') $$);
SELECT problem($$ SELECT activate.alter_sync('here', resend => 'al') $$);
SELECT problem($$ SELECT activate.alter_sync('here', new_name => 'activate_x') $$);
SELECT problem($$ SELECT activate.alter_sync('here', mapping => 'email, "Tier" AS t', match => 'id') $$);
SELECT problem($$ SELECT activate.alter_sync('here', key => 'email') $$);
SELECT problem($$ SELECT activate.alter_sync('here', key => 'customer_id, email') $$);
SELECT problem($$ SELECT activate.alter_sync('here', mode => 'mirror') $$);
SELECT problem($$ SELECT activate.alter_sync('here', options => '{"max_remove": null}') $$);
SELECT problem($$ SELECT activate.alter_sync('here', options => '[]') $$);
SELECT problem($$ SELECT activate.reset_sync('here', 'resent') $$);
SELECT problem($$ SELECT activate.reset_sync('here', 'everything') $$);
SELECT activate.create_sync('there', 'analytics.health', 'customer_id', 'crm', mapping => 'customer_id AS id, email');
SELECT problem($$ SELECT activate.alter_sync('here', new_name => 'there') $$);

-- rights
CREATE ROLE activate_team;
CREATE ROLE activate_analyst;
GRANT USAGE ON SCHEMA activate TO activate_team, activate_analyst;
SET ROLE activate_analyst;
SELECT problem($$ SELECT activate.create_sync('y', 'analytics.health', 'customer_id', 'crm', owner => 'activate_team') $$);
SELECT problem($$ SELECT activate.create_sync('y', 'analytics.health', 'customer_id', 'crm') $$);
SELECT problem($$ SELECT activate.alter_sync('here', mode => 'update') $$);
SELECT problem($$ SELECT activate.drop_sync('here') $$);
SELECT problem($$ SELECT activate.pause_sync('here') $$);
SELECT problem($$ SELECT activate.sync_sql('here') $$);
SELECT problem($$ SELECT activate.create_sync('here', 'analytics.health', 'customer_id', 'crm', if_exists => 'keep') $$);
-- the grant that lacks is the owner's, also for a member who looks the name up
SET ROLE activate_admin;
GRANT activate_team TO activate_analyst;
SET ROLE activate_analyst;
SELECT problem($$ SELECT activate.create_sync('y', 'analytics.health', 'customer_id', 'crm', owner => 'activate_team') $$);
SET ROLE activate_admin;
-- a member that does not inherit
REVOKE activate_team FROM activate_analyst;
ALTER ROLE activate_analyst NOINHERIT;
GRANT activate_team TO activate_analyst;
SET ROLE activate_analyst;
SELECT problem($$ SELECT activate.create_sync('y', 'analytics.health', 'customer_id', 'crm', owner => 'activate_team') $$);
SET ROLE activate_admin;
SELECT create_with($$ owner => 987654321 $$);
SELECT create_with($$ owner => 'activate_team' $$);
GRANT USAGE ON FOREIGN SERVER crm TO activate_team;
SELECT create_with($$ owner => 'activate_team' $$);
GRANT USAGE ON SCHEMA analytics TO activate_team;
SELECT create_with($$ owner => 'activate_team' $$);
SELECT create_with($$ owner => 'activate_team', model => 'SELECT customer_id, email, score FROM analytics.health' $$);
GRANT SELECT (customer_id, email) ON analytics.health TO activate_team;
REVOKE USAGE ON SCHEMA activate FROM activate_team;
SELECT create_with($$ owner => 'activate_team', mapping => 'customer_id, email' $$);
GRANT USAGE ON SCHEMA activate TO activate_team;
SELECT create_with($$ owner => 'activate_team' $$);
SELECT create_with($$ owner => 'activate_team', mapping => 'customer_id, email' $$);

-- a superuser's sync over what others own would run their code as superuser
CREATE TABLE analytics.theirs (customer_id int PRIMARY KEY, email text);
ALTER TABLE analytics.theirs OWNER TO activate_team;
CREATE VIEW analytics.over_theirs AS SELECT * FROM analytics.theirs;
CREATE VIEW analytics.their_view AS SELECT 1 AS customer_id;
ALTER VIEW analytics.their_view OWNER TO activate_team;
CREATE FUNCTION analytics.their_function(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
ALTER FUNCTION analytics.their_function(int) OWNER TO activate_team;
CREATE OPERATOR analytics.#?# (PROCEDURE = analytics.their_function, RIGHTARG = int);
CREATE VIEW analytics.over_function AS SELECT customer_id FROM analytics.health WHERE analytics.their_function(1) = 1;
CREATE DOMAIN analytics.their_domain AS int CHECK (VALUE > 0);
ALTER DOMAIN analytics.their_domain OWNER TO activate_team;
CREATE TABLE analytics.parent (customer_id int, email text) PARTITION BY RANGE (customer_id);
CREATE TABLE analytics.child PARTITION OF analytics.parent DEFAULT;
ALTER TABLE analytics.child OWNER TO activate_team;
SELECT create_with($$ model => 'analytics.theirs', mapping => 'email' $$);
SELECT create_with($$ model => 'analytics.over_theirs', mapping => 'email' $$);
SELECT create_with($$ model => 'analytics.their_view', mapping => 'customer_id' $$);
SELECT create_with($$ model => 'analytics.over_function', mapping => 'customer_id' $$);
SELECT create_with($$ model => 'SELECT 1 AS customer_id FROM (SELECT * FROM analytics.their_view) x', mapping => 'customer_id' $$);
SELECT create_with($$ model => 'WITH c AS (SELECT * FROM analytics.their_view) SELECT * FROM c', mapping => 'customer_id' $$);
SELECT create_with($$ model => 'analytics.parent', mapping => 'customer_id' $$);
SELECT create_with($$ mapping => 'customer_id, analytics.their_function(3) AS n' $$);
SELECT create_with($$ mapping => 'customer_id, (SELECT analytics.their_function(3)) AS n' $$);
SELECT create_with($$ mapping => 'customer_id, OPERATOR(analytics.#?#) 3 AS n' $$);
SELECT create_with($$ mapping => 'customer_id, score::int::analytics.their_domain AS n' $$);
SELECT create_with($$ model => 'SELECT 1::analytics.their_domain AS customer_id', mapping => 'customer_id' $$);

-- every error left nothing behind
SELECT name FROM activate.sync ORDER BY 1;
SELECT relname FROM pg_class WHERE relnamespace = 'activate_data'::regnamespace AND relkind = 'r' ORDER BY 1;

SET client_min_messages = error;
DROP SCHEMA analytics CASCADE;
DROP EXTENSION pg_activate CASCADE;
DROP TABLE passing;
DROP FUNCTION public.create_with, public.problem;
DROP ROLE activate_team, activate_analyst;
RESET ROLE;
DROP ROLE activate_admin;
