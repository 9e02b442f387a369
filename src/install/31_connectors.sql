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

CREATE FUNCTION activate.check_connector(
	spec		pg_catalog.json,
	status		pg_catalog.int4 DEFAULT NULL,
	response	pg_catalog.text DEFAULT NULL,
	headers		pg_catalog.json DEFAULT NULL,
	object_name	pg_catalog.text DEFAULT NULL,
	operation_name pg_catalog.text DEFAULT NULL,
	rows		pg_catalog.json DEFAULT NULL)
RETURNS TABLE (kind pg_catalog.text, object pg_catalog.text, operation pg_catalog.text, "row" pg_catalog.int4,
	outcome pg_catalog.text, code pg_catalog.text, message pg_catalog.text, hint pg_catalog.text,
	pointer pg_catalog.text, external_id pg_catalog.text, request pg_catalog.json)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_check_connector';
COMMENT ON FUNCTION activate.check_connector(pg_catalog.json, pg_catalog.int4, pg_catalog.text, pg_catalog.json,
	pg_catalog.text, pg_catalog.text, pg_catalog.json)
	IS 'what is wrong with a connector''s document, else its requests of made-up rows and, given an answer, what would become of each row; nothing is sent';
