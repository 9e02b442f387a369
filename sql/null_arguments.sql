-- every function and procedure, with a null for each argument in turn and for
-- all of them, and with values that are huge, empty or negative: an SQLSTATE
-- that is no internal error, or an answer
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE TABLE null_routines AS
SELECT p.oid::regprocedure AS routine, p.prokind, p.pronargs, p.oid::regproc AS name,
	CASE WHEN p.prorettype = 'record'::regtype AND p.proretset AND p.proargmodes IS NULL THEN ' AS t (a int4)' ELSE '' END AS columns,
	ARRAY(SELECT CASE WHEN t.oid IN ('"any"'::regtype, 'anyelement'::regtype) THEN 'int4' ELSE format_type(t.oid, NULL) END
		FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) JOIN pg_type AS t ON t.oid = a.type ORDER BY a.n) AS types
FROM pg_proc AS p
WHERE p.pronamespace IN ('activate'::regnamespace, 'activate_data'::regnamespace) AND p.prorettype <> 'event_trigger'::regtype;

-- literals of a kind for a type
CREATE FUNCTION null_value(type text, kind text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s::%s', CASE kind
		WHEN 'usual' THEN CASE type
			WHEN 'text' THEN $q$'x'$q$ WHEN 'text[]' THEN $q$'{connector=webhook}'$q$ WHEN 'jsonb' THEN $q$'{}'$q$ WHEN 'json' THEN $q$'{"operations": {"upsert": {"request": {}}}}'$q$
			WHEN 'boolean' THEN 'true' WHEN 'uuid' THEN $q$'00000000-0000-0000-0000-000000000000'$q$
			WHEN 'tid' THEN $q$'(0,1)'$q$ WHEN 'regrole' THEN '10' WHEN 'interval' THEN $q$'1 ms'$q$ ELSE '1' END
		WHEN 'empty' THEN CASE type
			WHEN 'text' THEN $q$''$q$ WHEN 'text[]' THEN $q$'{}'$q$ WHEN 'jsonb' THEN $q$'[]'$q$ WHEN 'json' THEN $q$'[]'$q$
			WHEN 'boolean' THEN 'false' WHEN 'uuid' THEN $q$'00000000-0000-0000-0000-000000000000'$q$
			WHEN 'tid' THEN $q$'(0,0)'$q$ WHEN 'interval' THEN $q$'0'$q$ ELSE '0' END
		WHEN 'huge' THEN CASE type
			WHEN 'text' THEN $q$repeat('é"'';', 100000)$q$ WHEN 'text[]' THEN $q$ARRAY[[repeat('x=', 100000)], [NULL]]$q$
			WHEN 'jsonb' THEN $q$to_jsonb(repeat('x', 100000))$q$ WHEN 'json' THEN $q$to_json(repeat('x', 100000))$q$ WHEN 'boolean' THEN 'true'
			WHEN 'uuid' THEN $q$'ffffffff-ffff-ffff-ffff-ffffffffffff'$q$ WHEN 'tid' THEN $q$'(4294967295,65535)'$q$
			WHEN 'bigint' THEN '9223372036854775807' WHEN 'regrole' THEN '4294967295' WHEN 'oid' THEN '4294967295'
			WHEN 'interval' THEN $q$'178000000 years'$q$ ELSE '2147483647' END
		WHEN 'negative' THEN CASE type
			WHEN 'text' THEN $q$E'a\r\nHost: b'$q$ WHEN 'text[]' THEN $q$'{NULL}'$q$ WHEN 'jsonb' THEN $q$'null'$q$ WHEN 'json' THEN $q$'null'$q$
			WHEN 'boolean' THEN 'false' WHEN 'uuid' THEN $q$'ffffffff-ffff-ffff-ffff-ffffffffffff'$q$
			WHEN 'tid' THEN $q$'(4294967295,0)'$q$ WHEN 'bigint' THEN '(-9223372036854775808)'
			WHEN 'regrole' THEN '0' WHEN 'oid' THEN '0'
			WHEN 'interval' THEN $q$'-178000000 years'$q$ ELSE '(-2147483648)' END
		ELSE 'NULL' END, type)
$$;

-- which argument (0: each one) is of the kind, the others as usual
CREATE TABLE null_calls AS
SELECT r.routine, k.kind, a.argument,
	format('%s %s(%s)%s', CASE r.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT count(*) FROM' END, r.name,
		(SELECT string_agg(null_value(t.type, CASE WHEN a.argument IN (0, t.n) THEN k.kind ELSE 'usual' END), ', ' ORDER BY t.n)
		 FROM unnest(r.types) WITH ORDINALITY AS t (type, n)), r.columns) AS call
FROM null_routines AS r
	CROSS JOIN unnest('{null,empty,huge,negative}'::text[]) AS k (kind)
	CROSS JOIN LATERAL generate_series(0, r.pronargs) AS a (argument);

CREATE FUNCTION null_try(call text, OUT answer text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	answer := '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS answer = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;

-- a sync x, and who has nothing to do with it
CREATE ROLE null_owner;
CREATE ROLE null_stranger;
GRANT USAGE ON SCHEMA activate TO null_owner, null_stranger;
CREATE SERVER x FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://localhost:1');
GRANT USAGE ON FOREIGN SERVER x TO null_owner;
CREATE SCHEMA null_owned AUTHORIZATION null_owner;
SET ROLE null_owner;
CREATE TABLE null_owned.x (id int PRIMARY KEY, v text);
INSERT INTO null_owned.x SELECT n, 'v' FROM generate_series(1, 5) AS n;
SELECT activate.create_sync('x', 'null_owned.x', 'id', 'x') > 0 AS created;
RESET ROLE;

-- each call as each of them; what it did is undone, so that the next meets the same sync
CREATE TABLE null_answers (who text, routine regprocedure, kind text, argument int, call text, answer text, message text, hint text);
GRANT ALL ON null_calls, null_answers TO PUBLIC;
CREATE FUNCTION null_try_all(who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c null_calls;
	a record;
BEGIN
	FOR c IN SELECT * FROM null_calls ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument
	LOOP
		BEGIN
			a := null_try(c.call);
			RAISE SQLSTATE 'UNDO1';
		EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
			INSERT INTO null_answers VALUES (who, c.routine, c.kind, c.argument, c.call, a.answer, a.message, a.hint);
		END;
	END LOOP;
END $$;
SELECT null_try_all('superuser');
SET ROLE null_owner;
SELECT null_try_all('owner');
SET ROLE null_stranger;
SELECT null_try_all('stranger');
RESET ROLE;
SELECT who, count(*) > 300 AS many, count(DISTINCT routine) > 15 AS of_many_routines FROM null_answers GROUP BY who ORDER BY who;

-- no internal error
SELECT who, routine, kind, argument, answer, message FROM null_answers WHERE answer LIKE 'XX%' ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument;
-- each error says what to do; but for PostgreSQL's own of values that are none of the key's type,
-- of arrays with nulls and of what only an event trigger can call
SELECT DISTINCT name, answer, left(message, 120) AS message FROM null_answers JOIN null_routines USING (routine)
WHERE answer NOT IN ('00000', '39P03') AND coalesce(hint, '') = '' AND message !~ '^(invalid input syntax for type|null array element)' ORDER BY 1, 2, 3;
-- a stranger gets no further with a sync of another's
SELECT DISTINCT call, message FROM null_answers
WHERE who = 'stranger' AND answer = '00000' AND call LIKE '%(''x''::text%' ORDER BY 1, 2;

-- procedures outside of any block, with the sync x, whose destination nobody is
\set ECHO none
\set VERBOSITY sqlstate
SELECT call FROM null_calls WHERE call LIKE 'CALL%' ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument \gexec
\set ECHO all
\set VERBOSITY terse

DROP SERVER x CASCADE;
DROP TABLE null_routines, null_calls, null_answers;
DROP FUNCTION null_value, null_try, null_try_all;
DROP EXTENSION pg_activate CASCADE;
DROP SCHEMA null_owned CASCADE;
DROP ROLE null_owner, null_stranger;
