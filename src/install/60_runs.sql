CREATE PROCEDURE activate.run_sync(name pg_catalog.text, max_rows pg_catalog.int8 DEFAULT NULL,
	keys pg_catalog.jsonb DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_run_sync';
COMMENT ON PROCEDURE activate.run_sync(pg_catalog.text, pg_catalog.int8, pg_catalog.jsonb)
	IS 'runs a sync here and now, committing as it goes; max_rows: only the first so many rows; keys: only these';
