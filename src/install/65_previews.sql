/*
 * What a run would do, and why a row is as it is.  VOLATILE, since the model
 * may be, but nothing can be written while one of these runs.
 */
CREATE FUNCTION activate.plan_sync(name pg_catalog.text, mapping pg_catalog.text DEFAULT NULL,
	model pg_catalog.text DEFAULT NULL)
RETURNS TABLE (added pg_catalog.int8, changed pg_catalog.int8, removed pg_catalog.int8,
	leaving pg_catalog.int8, unchanged pg_catalog.int8, invalid pg_catalog.int8, duplicates pg_catalog.int8,
	to_send pg_catalog.int8, requests pg_catalog.int8, bytes pg_catalog.int8, duration pg_catalog.interval,
	guard pg_catalog.text, changed_fields pg_catalog.jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'act_plan_sync';
COMMENT ON FUNCTION activate.plan_sync(pg_catalog.text, pg_catalog.text, pg_catalog.text)
	IS 'what the next run would do, in numbers and without sending: as defined, or with a proposed mapping or model; requests and bytes are estimated from the first rows, duration from the largest of the last runs (null: there were none), guard is ok or why the run would be held, changed_fields what a proposal makes otherwise, without one in how many of the changed rows each field differs (null without option changed_fields_only or keep_payload)';

CREATE FUNCTION activate.preview_sync(name pg_catalog.text, max_rows pg_catalog.int4 DEFAULT 10)
RETURNS TABLE (op pg_catalog.text, key pg_catalog.jsonb, changed pg_catalog.jsonb, payload pg_catalog.json,
	problem pg_catalog.text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'act_preview_sync';
COMMENT ON FUNCTION activate.preview_sync(pg_catalog.text, pg_catalog.int4)
	IS 'the first rows, in key order, that the next run would send; those it could not send have op invalid and a problem (at most 1000); changed is the fields of a changed row that differ, old and new with option keep_payload, new with changed_fields_only, else null';

CREATE FUNCTION activate.preview_requests(name pg_catalog.text, max_requests pg_catalog.int4 DEFAULT 1)
RETURNS TABLE (method pg_catalog.text, url pg_catalog.text, headers pg_catalog.jsonb, body pg_catalog.text,
	rows pg_catalog.int4, curl pg_catalog.text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'act_preview_requests';
COMMENT ON FUNCTION activate.preview_requests(pg_catalog.text, pg_catalog.int4)
	IS 'the first HTTP requests of the next run, exactly, and as curl commands; secrets and what is made of them stand as ********, run_id is 0, and the run makes change_ids of its own (with them idempotency keys), but for versions it sends again';

CREATE FUNCTION activate.explain_row(name pg_catalog.text, key pg_catalog.jsonb)
RETURNS TABLE (in_model pg_catalog.bool, problem pg_catalog.text, payload pg_catalog.json, state pg_catalog.text,
	accepted_at pg_catalog.timestamptz, external_id pg_catalog.text, in_sync pg_catalog.bool, op pg_catalog.text,
	attempts pg_catalog.int4, last_at pg_catalog.timestamptz, next_attempt_at pg_catalog.timestamptz,
	http_status pg_catalog.int4, code pg_catalog.text, message pg_catalog.text,
	next_action pg_catalog.text, explanation pg_catalog.text, accepted_payload pg_catalog.json,
	changed pg_catalog.jsonb, request_id pg_catalog.int8)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'act_explain_row';
COMMENT ON FUNCTION activate.explain_row(pg_catalog.text, pg_catalog.jsonb)
	IS 'why a row is or is not at the destination: what the model says, what was accepted when, what was tried last, what the next run does, and where they are kept the payload accepted last and the fields that differ from it, and the last request that was not plainly accepted, in activate.requests; key: the object that the views show or, for one column, the bare value';
