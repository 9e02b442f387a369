/*
 * PARALLEL RESTRICTED: within a diff it answers for the diff, which the
 * leader makes.
 */
CREATE FUNCTION activate.external_id(sync pg_catalog.text, VARIADIC key pg_catalog."any")
RETURNS pg_catalog.text LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'act_external_id';
COMMENT ON FUNCTION activate.external_id(pg_catalog.text, pg_catalog."any")
	IS 'the destination''s id of a row of another sync, by its key; null: a key column is null, or the destination does not know the row (yet). In a mapping or a model a row whose reference is not known yet waits for it';
