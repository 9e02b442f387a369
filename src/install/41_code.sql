/* Definitions as code. */
CREATE FUNCTION activate.apply(spec pg_catalog.jsonb, prune pg_catalog.bool DEFAULT false,
	dry_run pg_catalog.bool DEFAULT false, vars pg_catalog.jsonb DEFAULT '{}')
RETURNS TABLE (kind pg_catalog.text, name pg_catalog.text, action pg_catalog.text, changes pg_catalog.jsonb,
	plan pg_catalog.jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'act_apply';
COMMENT ON FUNCTION activate.apply(pg_catalog.jsonb, pg_catalog.bool, pg_catalog.bool, pg_catalog.jsonb)
	IS 'makes the syncs be what the spec says, all of them or none; prune drops those of the caller that it does not name, dry_run changes nothing and plans, ${name} stands for a value of vars. action is create, alter, pause, resume, drop or none, changes what differs, old and new, plan of a dry run what the next run would do';

CREATE FUNCTION activate.export(names pg_catalog.text[] DEFAULT NULL)
RETURNS pg_catalog.jsonb LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_export';
COMMENT ON FUNCTION activate.export(pg_catalog.text[])
	IS 'the spec that apply() takes, of all syncs of the caller or of those named; what is the default is left out';
