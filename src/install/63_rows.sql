/*
 * Rows that a person steers.  Like definitions: not STRICT, and each checks
 * membership in the sync's owner.
 */
CREATE FUNCTION activate.retry_rows(name pg_catalog.text, keys pg_catalog.jsonb DEFAULT NULL)
RETURNS pg_catalog.int8 LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_retry_rows';
COMMENT ON FUNCTION activate.retry_rows(pg_catalog.text, pg_catalog.jsonb)
	IS 'rows that were rejected, refused, absent or are in doubt are tried again at once, as if never tried; keys: only these; returns how many';

CREATE FUNCTION activate.mute_row(name pg_catalog.text, key pg_catalog.jsonb, reason pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_mute_row';
COMMENT ON FUNCTION activate.mute_row(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text)
	IS 'a row that is never sent, changed or removed until unmute_row()';

CREATE FUNCTION activate.unmute_row(name pg_catalog.text, key pg_catalog.jsonb)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_unmute_row';
COMMENT ON FUNCTION activate.unmute_row(pg_catalog.text, pg_catalog.jsonb)
	IS 'what changed of a muted row meanwhile is sent';

CREATE FUNCTION activate.settle_row(name pg_catalog.text, key pg_catalog.jsonb, how pg_catalog.text,
	external_id pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_settle_row';
COMMENT ON FUNCTION activate.settle_row(pg_catalog.text, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text)
	IS 'says what became of a row whose answer was lost: accepted, the destination has it; resend, it does not and gets it once more';
