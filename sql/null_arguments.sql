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
	ARRAY(SELECT CASE t.oid WHEN '"any"'::regtype THEN 'int4' ELSE format_type(t.oid, NULL) END
		FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) JOIN pg_type AS t ON t.oid = a.type ORDER BY a.n) AS types
FROM pg_proc AS p
WHERE p.pronamespace IN ('activate'::regnamespace, 'activate_data'::regnamespace) AND p.prorettype <> 'event_trigger'::regtype;

-- literals of a kind for a type
CREATE FUNCTION null_value(type text, kind text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s::%s', CASE kind
		WHEN 'usual' THEN CASE type
			WHEN 'text' THEN $q$'x'$q$ WHEN 'text[]' THEN $q$'{connector=webhook}'$q$ WHEN 'jsonb' THEN $q$'{}'$q$
			WHEN 'boolean' THEN 'true' WHEN 'uuid' THEN $q$'00000000-0000-0000-0000-000000000000'$q$
			WHEN 'tid' THEN $q$'(0,1)'$q$ WHEN 'regrole' THEN '10' WHEN 'interval' THEN $q$'1 ms'$q$ ELSE '1' END
		WHEN 'empty' THEN CASE type
			WHEN 'text' THEN $q$''$q$ WHEN 'text[]' THEN $q$'{}'$q$ WHEN 'jsonb' THEN $q$'[]'$q$
			WHEN 'boolean' THEN 'false' WHEN 'uuid' THEN $q$'00000000-0000-0000-0000-000000000000'$q$
			WHEN 'tid' THEN $q$'(0,0)'$q$ WHEN 'interval' THEN $q$'0'$q$ ELSE '0' END
		WHEN 'huge' THEN CASE type
			WHEN 'text' THEN $q$repeat('é"'';', 100000)$q$ WHEN 'text[]' THEN $q$ARRAY[[repeat('x=', 100000)], [NULL]]$q$
			WHEN 'jsonb' THEN $q$to_jsonb(repeat('x', 100000))$q$ WHEN 'boolean' THEN 'true'
			WHEN 'uuid' THEN $q$'ffffffff-ffff-ffff-ffff-ffffffffffff'$q$ WHEN 'tid' THEN $q$'(4294967295,65535)'$q$
			WHEN 'bigint' THEN '9223372036854775807' WHEN 'regrole' THEN '4294967295' WHEN 'oid' THEN '4294967295'
			WHEN 'interval' THEN $q$'178000000 years'$q$ ELSE '2147483647' END
		WHEN 'negative' THEN CASE type
			WHEN 'text' THEN $q$E'a\r\nHost: b'$q$ WHEN 'text[]' THEN $q$'{NULL}'$q$ WHEN 'jsonb' THEN $q$'null'$q$
			WHEN 'boolean' THEN 'false' WHEN 'uuid' THEN $q$'ffffffff-ffff-ffff-ffff-ffffffffffff'$q$
			WHEN 'tid' THEN $q$'(4294967295,0)'$q$ WHEN 'bigint' THEN '(-9223372036854775808)'
			WHEN 'regrole' THEN '0' WHEN 'oid' THEN '0'
			WHEN 'interval' THEN $q$'-178000000 years'$q$ ELSE '(-2147483648)' END
		ELSE 'NULL' END, type)
$$;

-- which argument (0: each one) is of the kind, the others as usual
CREATE TABLE null_calls AS
SELECT r.routine, k.kind, a.argument,
	format('%s %s(%s)', CASE r.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT count(*) FROM' END, r.name,
		(SELECT string_agg(null_value(t.type, CASE WHEN a.argument IN (0, t.n) THEN k.kind ELSE 'usual' END), ', ' ORDER BY t.n)
		 FROM unnest(r.types) WITH ORDINALITY AS t (type, n))) AS call
FROM null_routines AS r
	CROSS JOIN unnest('{null,empty,huge,negative}'::text[]) AS k (kind)
	CROSS JOIN LATERAL generate_series(0, r.pronargs) AS a (argument);

CREATE FUNCTION null_try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	RETURN '00000';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE TABLE null_answers AS SELECT *, null_try(call) AS answer FROM null_calls ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument;
SELECT routine, kind, argument, answer FROM null_answers WHERE answer LIKE 'XX%' ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument;
SELECT count(*) > 300 AS many, count(DISTINCT routine) > 15 AS of_many_routines FROM null_answers;

-- procedures outside of any block
\set ECHO none
\set VERBOSITY sqlstate
SELECT call FROM null_calls WHERE call LIKE 'CALL%' ORDER BY routine::text COLLATE "C", kind COLLATE "C", argument \gexec
\set ECHO all
\set VERBOSITY terse

DROP TABLE null_routines, null_calls, null_answers;
DROP FUNCTION null_value, null_try;
DROP EXTENSION pg_activate CASCADE;
