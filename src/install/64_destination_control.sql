/* What a person does about a destination, for all syncs that use it. */
CREATE FUNCTION activate.pause_destination(destination pg_catalog.text)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_pause_destination';
COMMENT ON FUNCTION activate.pause_destination(pg_catalog.text)
	IS 'nothing is sent to a destination until resume_destination(): runs under way end, others are postponed';

CREATE FUNCTION activate.resume_destination(destination pg_catalog.text)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_resume_destination';
COMMENT ON FUNCTION activate.resume_destination(pg_catalog.text)
	IS 'ends the pause of a destination: what is due goes at once';

CREATE FUNCTION activate.probe_destination(destination pg_catalog.text)
	RETURNS TABLE (ok pg_catalog.bool, account pg_catalog.text, environment pg_catalog.text,
		scopes pg_catalog.text, missing pg_catalog.text, detail pg_catalog.text)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_probe_destination';
COMMENT ON FUNCTION activate.probe_destination(pg_catalog.text)
	IS 'check_destination(), and when it is ok nobody waits any longer for a destination that was down or limited its rate';
