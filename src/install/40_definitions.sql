/*
 * Definitions.  Not STRICT: a null where none may be has its own error.
 * EXECUTE stays with PUBLIC: USAGE on the schema is the door, and each
 * function checks membership in the sync's owner.
 */
CREATE FUNCTION activate.create_sync(
	name		pg_catalog.text,
	model		pg_catalog.text,
	key			pg_catalog.text,
	destination	pg_catalog.text,
	object		pg_catalog.text DEFAULT NULL,
	match		pg_catalog.text DEFAULT NULL,
	mapping		pg_catalog.text DEFAULT NULL,
	mode		pg_catalog.text DEFAULT 'upsert',
	on_removed	pg_catalog.text DEFAULT NULL,
	schedule	pg_catalog.text DEFAULT 'manual',
	owner		pg_catalog.regrole DEFAULT NULL,
	options		pg_catalog.jsonb DEFAULT '{}',
	if_exists	pg_catalog.text DEFAULT 'error')
RETURNS pg_catalog.int8 LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_create_sync';
COMMENT ON FUNCTION activate.create_sync(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
	pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
	pg_catalog.regrole, pg_catalog.jsonb, pg_catalog.text)
	IS 'defines a sync: keeps an object of a destination equal to a model; returns its id';

CREATE FUNCTION activate.alter_sync(
	name		pg_catalog.text,
	model		pg_catalog.text DEFAULT NULL,
	key			pg_catalog.text DEFAULT NULL,
	destination	pg_catalog.text DEFAULT NULL,
	object		pg_catalog.text DEFAULT NULL,
	match		pg_catalog.text DEFAULT NULL,
	mapping		pg_catalog.text DEFAULT NULL,
	mode		pg_catalog.text DEFAULT NULL,
	on_removed	pg_catalog.text DEFAULT NULL,
	schedule	pg_catalog.text DEFAULT NULL,
	owner		pg_catalog.regrole DEFAULT NULL,
	options		pg_catalog.jsonb DEFAULT NULL,
	new_name	pg_catalog.text DEFAULT NULL,
	resend		pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_alter_sync';
COMMENT ON FUNCTION activate.alter_sync(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
	pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text,
	pg_catalog.regrole, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text)
	IS 'changes a sync; null leaves as it is, options are merged, and a NOTICE says what will be sent again';

CREATE FUNCTION activate.drop_sync(name pg_catalog.text, missing_ok pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_drop_sync';
COMMENT ON FUNCTION activate.drop_sync(pg_catalog.text, pg_catalog.bool)
	IS 'removes a sync and its table; what the destination has stays';

CREATE FUNCTION activate.pause_sync(name pg_catalog.text, reason pg_catalog.text DEFAULT NULL)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_pause_sync';
COMMENT ON FUNCTION activate.pause_sync(pg_catalog.text, pg_catalog.text)
	IS 'no run begins until resume_sync()';

CREATE FUNCTION activate.resume_sync(name pg_catalog.text)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_resume_sync';
COMMENT ON FUNCTION activate.resume_sync(pg_catalog.text)
	IS 'ends the pause of a sync';

CREATE FUNCTION activate.reset_sync(name pg_catalog.text, how pg_catalog.text)
RETURNS pg_catalog.void LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_reset_sync';
COMMENT ON FUNCTION activate.reset_sync(pg_catalog.text, pg_catalog.text)
	IS 'resend: forgets everything sent; baseline: accepts today''s rows as sent';

CREATE FUNCTION activate.sync_sql(name pg_catalog.text)
RETURNS pg_catalog.text LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_sync_sql';
COMMENT ON FUNCTION activate.sync_sql(pg_catalog.text)
	IS 'the create_sync() call that creates the sync again exactly as it is';

CREATE FUNCTION activate.next_runs(name pg_catalog.text, n pg_catalog.int4 DEFAULT 3)
RETURNS SETOF pg_catalog.timestamptz LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'act_next_runs';
COMMENT ON FUNCTION activate.next_runs(pg_catalog.text, pg_catalog.int4)
	IS 'the next planned starts of a sync; none where it runs only when called, or after others';
