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

CREATE FUNCTION activate.suggest_mapping(model pg_catalog.text, destination pg_catalog.text, object pg_catalog.text)
RETURNS pg_catalog.text
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_suggest_mapping';
COMMENT ON FUNCTION activate.suggest_mapping(pg_catalog.text, pg_catalog.text, pg_catalog.text)
	IS 'a mapping from the columns of a model to the fields of an object, by their names, as create_sync() takes it; what was not met, or does not fit, stands in comments';

CREATE PROCEDURE activate.check_sync(name pg_catalog.text, INOUT problems pg_catalog.jsonb DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_check_sync';
COMMENT ON PROCEDURE activate.check_sync(pg_catalog.text, pg_catalog.jsonb)
	IS 'asks the destination whether the sync can work there: unknown, read-only or mistyped fields, required ones that are not mapped, a match that is not unique, missing scopes; each in a warning and in problems (severity, field, problem, hint)';

CREATE PROCEDURE activate.send_row(name pg_catalog.text, key pg_catalog.jsonb, INOUT exchange pg_catalog.jsonb DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_send_row';
COMMENT ON PROCEDURE activate.send_row(pg_catalog.text, pg_catalog.jsonb, pg_catalog.jsonb)
	IS 'sends one row of a sync here and now, also when it was accepted as it is, and shows the requests and the answers, with credentials masked; key: the object that the views show or, for one column, the bare value';
