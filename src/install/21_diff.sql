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

CREATE FUNCTION activate.diff_block()
RETURNS SETOF pg_catalog.record LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_diff_block';
COMMENT ON FUNCTION activate.diff_block()
	IS 'part of the query that finds the rows on which a mapping fails; not to be called by itself';

CREATE FUNCTION activate.diff_block(type_of anyelement)
RETURNS SETOF anyelement LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_diff_block';
COMMENT ON FUNCTION activate.diff_block(anyelement)
	IS 'part of the query that finds the rows on which a mapping fails; not to be called by itself';

CREATE FUNCTION activate.diff_rows(number pg_catalog.int4)
RETURNS SETOF pg_catalog.record LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_diff_rows';
COMMENT ON FUNCTION activate.diff_rows(pg_catalog.int4)
	IS 'part of the query that compares a model with its snapshot; not to be called by itself';
