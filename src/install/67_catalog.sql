/* What destinations have, and how rows fit there. */
CREATE PROCEDURE activate.refresh_destination(destination pg_catalog.text, objects pg_catalog.text[] DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_refresh_destination';
COMMENT ON PROCEDURE activate.refresh_destination(pg_catalog.text, pg_catalog.text[])
	IS 'asks a destination for its objects, and for the fields of those that syncs use and of those named';

CREATE FUNCTION activate.objects(destination pg_catalog.text)
RETURNS TABLE (object pg_catalog.text, title pg_catalog.text, kind pg_catalog.text,
	match_fields pg_catalog.text[], modes pg_catalog.text[], on_removed pg_catalog.text[])
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'act_objects';
COMMENT ON FUNCTION activate.objects(pg_catalog.text)
	IS 'what a sync can name as object: objects of the connector, and those that the destination told refresh_destination(); match_fields: by what its records can be found, each one field or a combination, null: it is not known, or the model''s key does';

CREATE FUNCTION activate.fields(destination pg_catalog.text, object pg_catalog.text)
RETURNS TABLE (field pg_catalog.text, title pg_catalog.text, type pg_catalog.text, required pg_catalog.bool,
	writable pg_catalog.bool, is_unique pg_catalog.bool, "values" pg_catalog.text[])
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'act_fields';
COMMENT ON FUNCTION activate.fields(pg_catalog.text, pg_catalog.text)
	IS 'what a mapping can name: fields that the connector lists, and those that the destination told refresh_destination(); object may be a title; values: the only ones that it takes, null: any';
