-- The fingerprint differs where what would be sent differs, and nowhere
-- else; values are sent exactly, in PostgreSQL's own JSON.  (The database is
-- in UTF-8; others are made below.)
CREATE EXTENSION pg_activate;

-- Values are looked at through functions that only the test build has.
LOAD 'pg_activate';
SELECT count(*) = 0 AS release_build FROM pg_settings WHERE name = 'pg_activate.debug_faults' \gset
\if :release_build
\echo skipped: this is no test build
DROP EXTENSION pg_activate;
\quit
\endif
CREATE SCHEMA fp_test;
SET client_min_messages = warning;
SELECT current_database() AS database \gset

-- Only the test build has these.  json() prints under the settings that the
-- engine fixes while it renders.
CREATE FUNCTION fp_test.json_bytes("any") RETURNS bytea LANGUAGE C STABLE PARALLEL SAFE
AS '$libdir/pg_activate', 'act_test_value_json';
CREATE FUNCTION fp_test.signature_of("any") RETURNS text LANGUAGE C STABLE
AS '$libdir/pg_activate', 'act_test_value_signature';
CREATE FUNCTION fp_test.numeric_long(numeric) RETURNS numeric LANGUAGE C STRICT
AS '$libdir/pg_activate', 'act_test_numeric_long';

-- Expressions are given as text, so that each has its own types and call.
CREATE FUNCTION fp_test.fingerprint(expressions text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	result uuid;
BEGIN
	EXECUTE format('SELECT activate.fingerprint(%L, %s)', '00000000-0000-0000-0000-00000000002a', expressions) INTO result;
	RETURN result;
END $$;
CREATE FUNCTION fp_test.json(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format($q$SELECT pg_catalog.convert_from(fp_test.json_bytes(%s), 'UTF8')$q$, expression) INTO result;
	RETURN result;
END $$;
CREATE FUNCTION fp_test.signature(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT fp_test.signature_of(%s)', expression) INTO result;
	RETURN result;
END $$;

CREATE TYPE fp_test.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE fp_test.pair AS (a int, b text);
CREATE TYPE fp_test.moods AS (m fp_test.mood, n fp_test.mood[]);
CREATE DOMAIN fp_test.score AS numeric CHECK (VALUE >= 0);
CREATE TABLE fp_test.named (id int);

--
-- A change is detected.
--
-- Given values that "=" or hash functions take for equal, or that have the
-- same bytes, when one is put in the other's place, then the fingerprint
-- differs.
SELECT what, fp_test.fingerprint(before) <> fp_test.fingerprint(after) AS detected
FROM (VALUES
	('numeric scale', '1.0::numeric', '1.00::numeric'),
	('numeric scale of zero', '0::numeric', '0.0::numeric'),
	('numeric sign', '1.5::numeric', '-1.5::numeric'),
	('numeric weight', '1::numeric', '10000::numeric'),
	('numeric small weight', '0.0001::numeric(8,4)', '1.0000::numeric'),
	('numeric NaN', '''NaN''::numeric', '''Infinity''::numeric'),
	('numeric infinity', '''-Infinity''::numeric', '''Infinity''::numeric'),
	('interval', '''1 day''::interval', '''24 hours''::interval'),
	('float zero', '0::float8', '''-0''::float8'),
	('float4 zero', '0::float4', '''-0''::float4'),
	('bpchar width', '''a''::char(2)', '''a''::char(3)'),
	('jsonb scale', '''{"a":1.0}''::jsonb', '''{"a":1.00}''::jsonb'),
	('json blanks', '''{"a":1}''::json', '''{"a": 1}''::json'),
	('empty or null', '''''::text', 'NULL::text'),
	('zero or null', '0', 'NULL::int'),
	('false or null', 'false', 'NULL::bool'),
	('null position', '1, NULL::int', 'NULL::int, 1'),
	('null count', 'NULL::int', 'NULL::int, NULL::int'),
	('boundary', '''ab''::text, ''c''::text', '''a''::text, ''bc''::text'),
	('order', '1, 2', '2, 1'),
	('array dimensions', '''{1,2,3,4}''::int[]', '''{{1,2},{3,4}}''::int[]'),
	('array shape', '''{{1,2,3},{4,5,6}}''::int[]', '''{{1,2},{3,4},{5,6}}''::int[]'),
	('array null', '''{1,NULL}''::int[]', '''{NULL,1}''::int[]'),
	('array empty or null', '''{}''::int[]', 'NULL::int[]'),
	('array null or none', '''{NULL}''::int[]', '''{}''::int[]'),
	('array boundary', '''{ab,c}''::text[]', '''{a,bc}''::text[]'),
	('array or fields', 'ARRAY[1,2], 3', 'ARRAY[1], 2, 3'),
	('composite null', 'ROW(NULL,''1'')::fp_test.pair', 'ROW(1,NULL)::fp_test.pair'),
	('composite of nulls', 'ROW(NULL,NULL)::fp_test.pair', 'NULL::fp_test.pair'),
	('enum', '''sad''::fp_test.mood', '''ok''::fp_test.mood'),
	('enum in array', '''{sad}''::fp_test.mood[]', '''{ok}''::fp_test.mood[]'),
	('record of other columns', 'ROW(1)', 'ROW(1,NULL::int)'),
	('record of other types', 'ROW(1::int4)', 'ROW(date ''2000-01-02'')'),
	('range bound kept', 'numrange(1,2,''[]'')', 'numrange(1,2,''[)'')'),
	('range infinite', 'numrange(1,NULL)', 'numrange(NULL,1)'),
	('range empty', 'numrange(1,1)', 'numrange(NULL,NULL)'),
	('multirange', '''{[1,2),[5,6)}''::int4multirange', '''{[1,6)}''::int4multirange'),
	('text', '''a''::text', '''a ''::text'),
	('long text', 'repeat(''a'',5000)||''b''', 'repeat(''a'',5000)||''c'''),
	('long array', '(SELECT array_agg(i) FROM generate_series(1,90000) i)', '(SELECT array_agg(nullif(i,77)) FROM generate_series(1,90000) i)'),
	('bytea', '''\x00''::bytea', '''\x0000''::bytea'),
	('inet', '''10.0.0.1''::inet', '''10.0.0.1/31''::inet'),
	('timetz', '''12:00+00''::timetz', '''13:00+01''::timetz'),
	('bit', 'B''10''', 'B''100''')
) AS pair(what, before, after);

-- Where the text of a collation is not its identity, the text counts.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
		CREATE COLLATION fp_test.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		EXECUTE $q$SELECT 1 / ('Ann' COLLATE fp_test.loose = 'ANN')::int$q$;
		ASSERT fp_test.fingerprint($q$'Ann' COLLATE fp_test.loose$q$) <> fp_test.fingerprint($q$'ANN' COLLATE fp_test.loose$q$);
	END IF;
	IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext') THEN
		CREATE EXTENSION IF NOT EXISTS citext SCHEMA fp_test;
		ASSERT fp_test.fingerprint($q$'Ann'::fp_test.citext$q$) <> fp_test.fingerprint($q$'ANN'::fp_test.citext$q$);
		ASSERT fp_test.json($q$'Ann"'::fp_test.citext$q$) = '"Ann\""';
		DROP EXTENSION citext;
	END IF;
	-- hstore prints by its cast to json, as to_json() does
	IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore') THEN
		CREATE EXTENSION IF NOT EXISTS hstore SCHEMA fp_test;
		ASSERT fp_test.fingerprint($q$'a=>1'::fp_test.hstore$q$) <> fp_test.fingerprint($q$'a=>2'::fp_test.hstore$q$);
		ASSERT fp_test.json($q$'a=>1,b=>NULL'::fp_test.hstore$q$) = '{"a": "1", "b": null}';
		ASSERT fp_test.json($q$ARRAY['a=>1'::fp_test.hstore]$q$) = '[{"a": "1"}]';
		ASSERT fp_test.signature($q$'a=>1'::fp_test.hstore$q$) = '"fp_test"."hstore"::json';
		DROP EXTENSION hstore;
	END IF;
END $$;

-- Given types that print differently from the same bytes, when a column
-- changes between them, then the signature, which enters the seed, differs.
SELECT what, fp_test.signature(before) <> fp_test.signature(after) AS detected
FROM (VALUES
	('int or date', '1', 'date ''2000-01-02'''),
	('timestamp', 'timestamp ''2000-01-01''', 'timestamptz ''2000-01-01'''),
	('money', '1::int8', '1::money'),
	('text or json', '''1''::text', '''1''::json'),
	('json or jsonb', '''1''::json', '''1''::jsonb'),
	('oid or regclass', '1::oid', '1::regclass'),
	('composite member', 'NULL::fp_test.pair', 'NULL::fp_test.moods'),
	('array', '1', 'ARRAY[1]'),
	('range', 'int4range(1,2)', 'numrange(1,2)')
) AS pair(what, before, after);
SELECT expression, fp_test.signature(expression) FROM (VALUES
	('1::int2'), ('ARRAY[1::int8]'), ('''x''::varchar(3)'), ('''x''::name'), ('''x'''), ('''x''::"char"'),
	('1::fp_test.score'), ('NULL::fp_test.mood[]'), ('NULL::fp_test.moods'), ('ROW(1)'),
	('int8range(1,2)'), ('NULL::datemultirange'), ('1.5'), ('NULL::regclass')
) AS list(expression);

-- Given labels and names that values only point to, when they are renamed,
-- then the fingerprint (for attributes: the signature) differs.
CREATE TABLE fp_test.points (mood fp_test.mood, moods fp_test.mood[], row fp_test.moods, class regclass, role regrole);
CREATE ROLE regress_fp_before;
INSERT INTO fp_test.points VALUES ('ok', '{sad,ok}', ROW('sad','{ok}'), 'fp_test.named', 'regress_fp_before');
CREATE TABLE fp_test.was AS
SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', mood) AS mood,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', moods) AS moods,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', row) AS row,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', class) AS class,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', role) AS role,
	fp_test.signature_of(NULL::fp_test.pair) AS pair
FROM fp_test.points;
ALTER TYPE fp_test.mood RENAME VALUE 'ok' TO 'fine';
ALTER TABLE fp_test.named RENAME TO renamed;
ALTER ROLE regress_fp_before RENAME TO regress_fp_after;
ALTER TYPE fp_test.pair RENAME ATTRIBUTE b TO c;
SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', p.mood) <> w.mood AS enum,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', p.moods) <> w.moods AS enum_array,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', p.row) <> w.row AS enum_row,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', p.class) <> w.class AS regclass,
	activate.fingerprint('00000000-0000-0000-0000-00000000002a', p.role) <> w.role AS regrole,
	fp_test.signature_of(NULL::fp_test.pair) <> w.pair AS attribute
FROM fp_test.points p, fp_test.was w;
DROP TABLE fp_test.points;
DROP ROLE regress_fp_after;

-- Given a call site that lives on, when the label changes under it, then it
-- does not answer by the old one.
DO $$
DECLARE
	mood fp_test.mood := 'fine';
	seen uuid[];
BEGIN
	FOR i IN 1..3 LOOP
		seen := seen || activate.fingerprint('00000000-0000-0000-0000-00000000002a', mood);
		IF i = 2 THEN
			ALTER TYPE fp_test.mood RENAME VALUE 'fine' TO 'ok';
		END IF;
	END LOOP;
	ASSERT seen[1] = seen[2] AND seen[3] = (SELECT w.mood FROM fp_test.was w);
END $$;

--
-- No change where nothing would be sent differently.
--
SELECT what, fp_test.fingerprint(one) = fp_test.fingerprint(other) AS equal
FROM (VALUES
	('int2 int4', '1::int2', '1::int4'),
	('int4 int8', '-1::int4', '-1::int8'),
	('int arrays', 'ARRAY[1,2]::int2[]', 'ARRAY[1,2]::int8[]'),
	('int ranges', 'int4range(1,3)', 'int8range(1,3)'),
	('range canonical', 'int4range(1,2,''[]'')', 'int4range(1,3)'),
	('text varchar name', '''a''::text, ''b''::varchar', '''a''::name, ''b'''),
	('domain', '1.5::fp_test.score', '1.5::numeric'),
	('domain array', 'ARRAY[1.5]::fp_test.score[]', 'ARRAY[1.5]::numeric[]'),
	('array bounds', '''[0:1]={1,2}''::int[]', '''{1,2}''::int[]'),
	('array null bitmap', '(''{1,NULL,3}''::int[])[3:3]', '''{3}''::int[]'),
	('numeric header', 'fp_test.numeric_long(-12345.670)', '-12345.670'),
	('numeric header, negative weight', 'fp_test.numeric_long(0.00000001)', '0.00000001'),
	('numeric header of zero', 'fp_test.numeric_long(0.00)', '0.00'),
	('record or record', 'ROW(1,''a''::text)', 'ROW(1::int8,''a''::varchar)')
) AS pair(what, one, other);
-- (the pairs do differ underneath)
SELECT pg_column_size(('{1,NULL,3}'::int[])[3:3]) <> pg_column_size('{3}'::int[]) AS bitmap,
	pg_column_size(fp_test.numeric_long(1.5)) <> pg_column_size(1.5) AS header;

-- Given one value stored inline, compressed and out of line, then it is one.
CREATE TABLE fp_test.stored (how text, t text, j jsonb, a int[], n numeric, r fp_test.pair, b bytea);
CREATE FUNCTION fp_test.store(how text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO fp_test.stored
	SELECT how, repeat('abc', 3000), jsonb_build_object('a', repeat('x', 9000)),
		array_fill(7, ARRAY[5000]), repeat('12345', 2000)::numeric, ROW(1, repeat('y', 9000))::fp_test.pair, convert_to(repeat('z', 9000), 'UTF8')
$$;
SELECT fp_test.store('extended');
DO $$
DECLARE
	c text;
	storage text;
BEGIN
	FOREACH storage IN ARRAY ARRAY['external', 'main'] LOOP
		FOREACH c IN ARRAY ARRAY['t', 'j', 'a', 'n', 'r', 'b'] LOOP
			EXECUTE format('ALTER TABLE fp_test.stored ALTER %I SET STORAGE %s', c, storage);
		END LOOP;
		PERFORM fp_test.store(storage);
	END LOOP;
END $$;
SELECT count(DISTINCT how) AS ways, count(DISTINCT pg_column_size(t)) > 1 AS sizes,
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', t)) AS text,
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', j)) AS jsonb,
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', a)) AS "array",
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', n)) AS "numeric",
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', r)) AS composite,
	count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', b)) AS bytea,
	count(DISTINCT fp_test.json_bytes(stored)) = 3 AS json_names_them
FROM fp_test.stored;
SELECT count(*) AS as_computed FROM fp_test.stored
WHERE activate.fingerprint('00000000-0000-0000-0000-00000000002a', t, j, a)
	= fp_test.fingerprint($$repeat('abc', 3000), jsonb_build_object('a', repeat('x', 9000)), array_fill(7, ARRAY[5000])$$);

-- Given a table that lost and gained columns, then its row is the same from
-- the heap, old or new, and from ROW().
CREATE TABLE fp_test.layout (a int, gone text, b text);
INSERT INTO fp_test.layout VALUES (1, 'x', 'b');
ALTER TABLE fp_test.layout DROP gone, ADD c int DEFAULT 5;
INSERT INTO fp_test.layout VALUES (1, 'b', 5);
SELECT count(DISTINCT f) AS fingerprints, count(*) AS rows, min(j) AS json
FROM (SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', l) AS f, convert_from(fp_test.json_bytes(l), 'UTF8') AS j
	FROM fp_test.layout l
	UNION ALL
	SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', ROW(1, 'b', 5)::fp_test.layout), '{"a":1,"b":"b","c":5}') x;
SELECT fp_test.signature_of(NULL::fp_test.layout);

-- Given an enum that is dropped and made again, as a restore does, then its
-- labels, with other OIDs, are the same.
DROP TYPE fp_test.mood CASCADE;
CREATE TYPE fp_test.mood AS ENUM ('happy', 'ok', 'sad');
SELECT fp_test.fingerprint($$'ok'::fp_test.mood$$) = mood AS enum,
	fp_test.fingerprint($$'{sad,ok}'::fp_test.mood[]$$) = moods AS enum_array FROM fp_test.was;

-- Given records of changing shape in one call, then each is taken for what
-- it is.
SELECT count(DISTINCT f) AS shapes, array_agg(DISTINCT j ORDER BY j) AS json
FROM (SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', r) AS f, convert_from(fp_test.json_bytes(r), 'UTF8') AS j
	FROM (SELECT CASE i % 3 WHEN 0 THEN ROW(1, 'a'::text) WHEN 1 THEN ROW(1, ROW(2, NULL::int)) ELSE ROW(ARRAY[ROW(1), ROW(2)]) END AS r
		FROM generate_series(1, 30) i) x) y;

-- Given more enum labels than are kept at hand, then none is mistaken.
DO $$
BEGIN
	EXECUTE (SELECT format('CREATE TYPE fp_test.many AS ENUM (%s)', string_agg(quote_literal('l' || i), ',')) FROM generate_series(1, 300) i);
END $$;
SELECT count(DISTINCT activate.fingerprint('00000000-0000-0000-0000-00000000002a', m)) AS labels,
	bool_and(convert_from(fp_test.json_bytes(m), 'UTF8') = to_json(m::text)::text) AS json
FROM generate_series(1, 3), unnest(enum_range(NULL::fp_test.many)) m;

--
-- The session's settings do not matter.
--
CREATE TABLE fp_test.zoo AS SELECT
	1::int2 AS i2, -5 AS i4, 9223372036854775807 AS i8, 1234567890.0123456789::numeric AS n, 0.1::float4 AS f4, 0.1::float8 AS f8, 1e300::float8 AS big,
	true AS b, 'täxt "quoted" \ ' || chr(1) || E'\b\f\n\r\t/' || chr(127) || chr(128512) AS t, 'v'::varchar(5) AS v, 'c'::char(5) AS c, 'name'::name AS nm, 'x'::"char" AS ch,
	'\xdeadbeef'::bytea AS by, '2026-03-01'::date AS d, '0044-03-15 BC'::date AS bc, '2026-03-01 12:34:56.789'::timestamp AS ts,
	'2026-03-01 12:34:56.789+05'::timestamptz AS tz, '12:34:56.7'::time AS ti, '12:34:56+02'::timetz AS tt, '1 year 2 mons -3 days 04:05:06.7'::interval AS iv,
	1234.56::numeric::money AS mo, '550e8400-e29b-41d4-a716-446655440000'::uuid AS u, '10.1.2.3/8'::inet AS ip, '10.0.0.0/8'::cidr AS ci, '08:00:2b:01:02:03'::macaddr AS ma,
	B'101' AS bi, B'1010'::varbit AS vb, '(1.1,2.2)'::point AS p, '{"a": [1.50, null, "x"], "b": {}}'::jsonb AS jb, E'{"a" :\n 1.0}'::json AS js,
	'a b'::tsvector AS tv, 'a & b'::tsquery AS tq, '<a/>'::text AS x, '0/16B3748'::pg_lsn AS lsn, 7::oid AS o, '7'::xid8 AS xi,
	'{1,2,NULL}'::int[] AS ia, '{{a,"b c"},{NULL,"\""}}'::text[] AS ta, '{}'::text[] AS ea, '[0:1]={0.1,0.3}'::float8[] AS fa, ARRAY['2026-01-01 00:00+00'::timestamptz] AS za,
	'1 2'::int2vector AS iv2, ROW(1, 'x')::fp_test.pair AS pr, ARRAY[ROW(1, 'x')::fp_test.pair, NULL] AS pa,
	'happy'::fp_test.mood AS m, '{sad,ok}'::fp_test.mood[] AS mm, 1.50::fp_test.score AS sc, 'fp_test.renamed'::regclass AS rc, 'fp_test.mood'::regtype AS rt,
	'fp_test.store(text)'::regprocedure AS rp, 'pg_class'::regclass AS rcat, 'fp_test'::regnamespace AS rn, 'english'::regconfig AS cf,
	int4range(1, 5) AS r4, tstzrange('2026-01-01 00:00+00', '2026-02-01 00:00+00') AS rz, numrange(NULL, 1.50, '(]') AS rnum, '{[1,2),[5,6)}'::int4multirange AS mr,
	'{[2026-01-01,2026-01-05)}'::datemultirange AS md, NULL::int AS nil;

-- Given one row of every type, when it is fingerprinted and printed under 30
-- combinations of settings, then both stay what they were.
DO $$
DECLARE
	fields text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'fp_test.zoo'::regclass AND attnum > 0);
	query text := format($q$SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', %s) || '|' ||
		activate.fingerprint('00000000-0000-0000-0000-00000000002a', zoo) || '|' ||
		pg_catalog.convert_from(fp_test.json_bytes(zoo), 'UTF8') FROM fp_test.zoo$q$, fields);
	was text;
	now text;
	differ int := 0;
BEGIN
	SET LOCAL search_path = pg_catalog;
	EXECUTE query INTO was;
	FOR i IN 0..29 LOOP
		PERFORM set_config('TimeZone', (ARRAY['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia'])[1 + i % 4], true),
			set_config('DateStyle', (ARRAY['German', 'SQL, DMY', 'Postgres, MDY', 'ISO, YMD'])[1 + (i / 2) % 4], true),
			set_config('IntervalStyle', (ARRAY['iso_8601', 'sql_standard', 'postgres_verbose', 'postgres'])[1 + (i / 3) % 4], true),
			set_config('bytea_output', (ARRAY['escape', 'hex'])[1 + i % 2], true),
			set_config('extra_float_digits', (ARRAY['-15', '0', '1', '3', '-4'])[1 + i % 5], true),
			set_config('lc_monetary', (ARRAY['C', 'POSIX'])[1 + (i / 2) % 2], true),
			set_config('search_path', (ARRAY['fp_test', 'pg_catalog', 'public, fp_test'])[1 + i % 3], true);
		EXECUTE query INTO now;
		differ := differ + (now <> was)::int;
	END LOOP;
	ASSERT differ = 0, format('%s of 30 differ', differ);
END $$;

--
-- JSON: as PostgreSQL prints it.
--
SET TimeZone = 'UTC';
SET search_path = pg_catalog;
SELECT convert_from(fp_test.json_bytes(z), 'UTF8') = row_to_json(z)::text AS same_as_row_to_json FROM fp_test.zoo z;
RESET search_path;
SET TimeZone = 'America/New_York';
SELECT expression, fp_test.json(expression) FROM (VALUES
	('NULL::int'), ('9223372036854775807'), ('1.10'), ('0.1::float4'), ('''-0''::float8'), ('1e-7::float8'), ('12345678901234567890.123456789'),
	('timestamptz ''2026-07-01 12:00+02'''), ('timestamp ''2026-07-01 12:00'''), ('date ''2026-07-01'''), ('timetz ''12:00+02'''), ('interval ''1 day -2 hours'''),
	('''a"b\c''::text'), ('E''\x01\x1f\x7f\n''::text'), ('''12345678"''::text'), ('''1234567\''::text'), ('E''12345678901234567\t890''::text'),
	('ARRAY[[1,2],[3,NULL]]'), ('''{}''::int[]'), ('ROW(1, ROW(true, ''x''::text), ARRAY[1.0])'), ('ROW()'), ('''{"b": 1, "a": 1.00}''::jsonb'), ('''{"b":1,  "b":2}''::json'),
	('''\x00ff''::bytea'), ('''pg_class''::regclass'), ('''fp_test.renamed''::regclass'), ('ARRAY[''sad''::fp_test.mood]'), ('''[2026-01-01,infinity)''::daterange')
) AS list(expression);

-- What JSON cannot hold is said, wherever it stands.
SELECT expression, fp_test.json(expression) FROM (VALUES
	('''NaN''::float8'), ('''-Infinity''::float4'), ('''NaN''::numeric'), ('''Infinity''::numeric'), ('''infinity''::date'),
	('''-infinity''::timestamp'), ('''infinity''::timestamptz'), ('ARRAY[1, ''NaN''::float8]'), ('ROW(1, ARRAY[ROW(''infinity''::date)])'),
	('''NaN''::fp_test.score'), ('repeat(''x'', 270000000)'), ('array_fill(repeat(chr(1), 1000000), ARRAY[50])')
) AS list(expression);

-- A pseudo-type is no value to send.
SELECT fp_test.fingerprint($$(SELECT most_common_vals FROM pg_stats LIMIT 1)$$);

--
-- The function.
--
SELECT activate.fingerprint(NULL, 1) IS NULL AS null_seed,
	activate.fingerprint('00000000-0000-0000-0000-000000000001', 1) <> activate.fingerprint('00000000-0000-0000-0000-000000000002', 1) AS seed_counts,
	activate.fingerprint('00000000-0000-0000-0000-000000000001', NULL::int) IS NOT NULL AS null_value;
SELECT activate.fingerprint('00000000-0000-0000-0000-000000000001', VARIADIC ARRAY[1, 2]);
SELECT provolatile, proparallel, proisstrict, obj_description(oid, 'pg_proc') IS NOT NULL AS commented
FROM pg_proc WHERE oid = 'activate.fingerprint(uuid,"any")'::regprocedure;
-- The format, on a little-endian machine: a change here sends every row of
-- everybody again.
SELECT activate.fingerprint('00000000-0000-0000-0000-00000000002a', 1, 'a'::text, 1.50, NULL::date, ARRAY[true, NULL], numrange(1, 2), ROW(1, 'b'::text)) AS little_endian;

-- Given more fields than a call takes, when calls are chained, then a change
-- of any field is detected, and no change is none.
CREATE FUNCTION fp_test.chained(n int, changed int) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	call text := quote_literal('00000000-0000-0000-0000-00000000002a') || '::uuid';
	result uuid;
BEGIN
	FOR start IN 1..n BY 99 LOOP
		call := format('activate.fingerprint(%s, %s)', call,
			(SELECT string_agg(CASE WHEN i = changed THEN 'NULL::int' ELSE i::text END, ',' ORDER BY i) FROM generate_series(start, least(start + 98, n)) i));
	END LOOP;
	EXECUTE 'SELECT ' || call INTO result;
	RETURN result;
END $$;
SELECT n, count(DISTINCT fp_test.chained(n, changed)) = count(DISTINCT changed) AS each_detected,
	fp_test.chained(n, 0) = fp_test.chained(n, 0) AS stable
FROM (VALUES (101), (1000)) fields(n), LATERAL (SELECT generate_series(0, n, CASE n WHEN 101 THEN 1 ELSE 37 END)) c(changed)
GROUP BY n ORDER BY n;

-- Given a table worth a parallel scan, then the fingerprint is computed below
-- Gather, and parallel workers get what the leader would.
CREATE TABLE fp_test.rows AS
SELECT i, 'text ' || i AS t, (enum_range(NULL::fp_test.mood))[1 + i % 3] AS m, ROW(i, 'p')::fp_test.pair AS p, 'fp_test.renamed'::regclass AS c, 1.50 AS n
FROM generate_series(1, 20000) i;
ANALYZE fp_test.rows;
CREATE VIEW fp_test.prints AS
SELECT i, activate.fingerprint('00000000-0000-0000-0000-00000000002a', i, t, m, p, ROW(i, m), n, CASE WHEN i % 1000 = 0 THEN c END) AS f
FROM fp_test.rows OFFSET 0;
CREATE FUNCTION fp_test.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF, VERBOSE) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END $$;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 0;
SELECT md5(string_agg(f::text, ',' ORDER BY i)) AS serial FROM fp_test.prints \gset
SET max_parallel_workers_per_gather = 2;
SELECT fp_test.plan('SELECT * FROM fp_test.prints') ~ 'Gather.*Parallel Seq Scan on fp_test.rows\n *Output: [^\n]*activate.fingerprint' AS below_gather;
SET parallel_leader_participation = off;
SELECT md5(string_agg(f::text, ',' ORDER BY i)) = :'serial' AS same_in_parallel FROM fp_test.prints;
RESET parallel_leader_participation;
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;

DROP SCHEMA fp_test CASCADE;
DROP EXTENSION pg_activate CASCADE;

--
-- Databases that are not in UTF-8: what is sent is, or the reason says why
-- it cannot be.
--
CREATE DATABASE fp_test_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE fp_test_windows ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;

\c fp_test_ascii
CREATE EXTENSION pg_activate;
CREATE FUNCTION json_bytes("any") RETURNS bytea LANGUAGE C STABLE
AS '$libdir/pg_activate', 'act_test_value_json';
SELECT json_bytes(E'\xc3\xa4'::text) = '\x22c3a422' AS utf8_kept,
	encode(json_bytes(E'a\xff'::text), 'escape') AS other,
	encode(json_bytes(ARRAY[E'a\xff'::text]), 'escape') AS nested,
	encode(json_bytes(E'"\xff"'::json), 'escape') AS json;

\c fp_test_windows
CREATE EXTENSION pg_activate;
CREATE FUNCTION json_bytes("any") RETURNS bytea LANGUAGE C STABLE
AS '$libdir/pg_activate', 'act_test_value_json';
DO $$ BEGIN EXECUTE format('CREATE TABLE named AS SELECT %L::text AS %I', chr(228), chr(228)); END $$;
SELECT json_bytes(chr(128)) = '\x22e282ac22' AS euro,
	json_bytes(named) = '\x7b22c3a4223a22c3a4227d' AS member,
	json_bytes(to_jsonb(chr(228))) = '\x22c3a422' AS jsonb,
	encode(json_bytes(chr(129)), 'escape') AS undefined,
	length(json_bytes(repeat(chr(228), 3000000))) AS in_pieces
FROM named;

\c :database
DROP DATABASE fp_test_ascii;
DROP DATABASE fp_test_windows;
