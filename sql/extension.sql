-- the extension can be created, dropped and created again
CREATE EXTENSION pg_activate;
SELECT extname, extversion FROM pg_extension WHERE extname = 'pg_activate';
DROP EXTENSION pg_activate CASCADE;
CREATE EXTENSION pg_activate;
