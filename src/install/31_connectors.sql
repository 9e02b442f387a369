/* Connectors as data: for who may make destinations (USAGE on the wrapper). */
CREATE FUNCTION activate.create_connector(name pg_catalog.text, spec pg_catalog.json)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_create_connector';
COMMENT ON FUNCTION activate.create_connector(pg_catalog.text, pg_catalog.json)
	IS 'a kind of destination by its document: how an API is written to and how its answers are read';

CREATE FUNCTION activate.alter_connector(name pg_catalog.text, spec pg_catalog.json)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_alter_connector';
COMMENT ON FUNCTION activate.alter_connector(pg_catalog.text, pg_catalog.json)
	IS 'gives a connector another document, by which all destinations and syncs that use it must still work; runs under way end with the one they began with';

CREATE FUNCTION activate.drop_connector(name pg_catalog.text, missing_ok pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_drop_connector';
COMMENT ON FUNCTION activate.drop_connector(pg_catalog.text, pg_catalog.bool)
	IS 'removes a connector that no destination and no other document uses';
