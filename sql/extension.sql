-- the extension can be created, dropped and created again
CREATE EXTENSION pg_activate;
SELECT extname, extversion FROM pg_extension WHERE extname = 'pg_activate';
DROP EXTENSION pg_activate CASCADE;
CREATE EXTENSION pg_activate;

-- then everything it brought says what it is
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS without_comment
FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pg_activate'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass,
		'pg_foreign_data_wrapper'::regclass, 'pg_event_trigger'::regclass)
	AND NOT EXISTS (SELECT FROM pg_description AS c
		WHERE c.classoid = d.classid AND c.objoid = d.objid AND c.objsubid = 0)
	AND NOT EXISTS (SELECT FROM pg_class AS c WHERE d.classid = 'pg_class'::regclass
		AND c.oid = d.objid AND c.relkind NOT IN ('r', 'v', 'S'))
ORDER BY 1;

-- and so do all columns, those of a sync's table included
SET pg_activate.allowed_hosts = '127.0.0.1';
SET client_min_messages = warning;
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'http://127.0.0.1:9/');
CREATE TABLE commented ("Region" text, id int, email text, PRIMARY KEY ("Region", id));
SELECT activate.create_sync('commented', 'commented', '"Region", id', 'crm');
SELECT a.attrelid::regclass AS relation, a.attname AS without_comment
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace IN ('activate'::regnamespace, 'activate_data'::regnamespace) AND c.relkind IN ('r', 'v')
	AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, a.attnum;
SELECT activate.drop_sync('commented');
DROP TABLE commented;
DROP SERVER crm;
RESET client_min_messages;

-- a view that repeats a column says the same of it
SELECT p.attname AS says_other
FROM pg_attribute AS p JOIN pg_attribute AS r ON r.attname = p.attname AND r.attrelid = 'activate.rejections'::regclass
WHERE p.attrelid = 'activate.pending'::regclass AND p.attnum > 0
	AND col_description(p.attrelid, p.attnum) IS DISTINCT FROM col_description(r.attrelid, r.attnum);

-- no column follows an OID that a dump does not carry
SELECT attrelid::regclass, attname, atttypid::regtype FROM pg_attribute
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('activate'::regnamespace, 'activate_data'::regnamespace))
	AND atttypid::regtype::text LIKE 'reg%';

-- settings go with a dump: every table but requests, of which the numbers go, and what the event triggers write again
SELECT c.relname AS not_dumped FROM pg_class AS c
WHERE c.relnamespace = 'activate'::regnamespace AND c.relkind IN ('r', 'S')
	AND NOT c.oid = ANY ((SELECT extconfig FROM pg_extension WHERE extname = 'pg_activate')::oid[])
ORDER BY 1;
DROP EXTENSION pg_activate;
