CREATE FUNCTION activate.diff_keep(model_fingerprint pg_catalog.uuid, fingerprint pg_catalog.uuid,
	place pg_catalog.tid)
RETURNS pg_catalog.bool LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'act_diff_keep';
COMMENT ON FUNCTION activate.diff_keep(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.tid)
	IS 'part of the query that compares a model with its snapshot; not to be called by itself';

CREATE FUNCTION activate.diff_sieve(VARIADIC key "any")
RETURNS pg_catalog.bool LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'act_diff_sieve';
COMMENT ON FUNCTION activate.diff_sieve("any")
	IS 'part of the query that compares a model with its snapshot; not to be called by itself';
