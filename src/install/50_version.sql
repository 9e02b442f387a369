CREATE FUNCTION activate.version()
RETURNS pg_catalog.text LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'act_version';
COMMENT ON FUNCTION activate.version() IS 'version of the loaded library';
