CREATE FUNCTION activate.approve_run(run_id pg_catalog.int8)
RETURNS pg_catalog.void LANGUAGE C
AS 'MODULE_PATHNAME', 'act_approve_run';
COMMENT ON FUNCTION activate.approve_run(pg_catalog.int8)
	IS 'lets a held run go out with the next run, provided that then it is still just what was held';

CREATE FUNCTION activate.discard_run(run_id pg_catalog.int8)
RETURNS pg_catalog.void LANGUAGE C
AS 'MODULE_PATHNAME', 'act_discard_run';
COMMENT ON FUNCTION activate.discard_run(pg_catalog.int8) IS 'gives up a held run';
