/*
 * The tables behind the views.  Only the extension's owner writes them, with
 * built-in types only: no code of a user runs here.  Names instead of OIDs,
 * so that dump, restore and pg_upgrade keep them true.  No foreign keys: the
 * tables of an extension have them from the start, and pg_restore with several
 * jobs fills tables in any order.
 */
CREATE TABLE activate.connector (
	name		pg_catalog.text PRIMARY KEY,
	spec		pg_catalog.json NOT NULL,
	builtin		pg_catalog.bool NOT NULL DEFAULT false
);
COMMENT ON TABLE activate.connector IS 'connector documents; the built-in ones come with the extension';
SELECT pg_catalog.pg_extension_config_dump('activate.connector', 'WHERE NOT builtin');

CREATE TABLE activate.sync (
	sync_id		pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name		pg_catalog.text NOT NULL UNIQUE,
	model		pg_catalog.text NOT NULL,
	model_is_query pg_catalog.bool NOT NULL,
	key			pg_catalog.text[] NOT NULL,
	destination	pg_catalog.text NOT NULL,
	object		pg_catalog.text,
	match		pg_catalog.text[] NOT NULL DEFAULT '{}',
	mapping		pg_catalog.text NOT NULL,
	mode		pg_catalog.text NOT NULL,
	on_removed	pg_catalog.text NOT NULL,
	schedule	pg_catalog.text NOT NULL,
	options		pg_catalog.jsonb NOT NULL DEFAULT '{}',
	search_path	pg_catalog.text NOT NULL,
	time_zone	pg_catalog.text NOT NULL,
	system_identifier pg_catalog.int8 NOT NULL,
	database_oid pg_catalog.oid NOT NULL,
	host		pg_catalog.text NOT NULL,
	paused		pg_catalog.bool NOT NULL DEFAULT false,
	pause_reason pg_catalog.text,
	fingerprint_format pg_catalog.int4 NOT NULL,
	definition_changed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	first_batch_alone pg_catalog.bool NOT NULL DEFAULT true,
	first_run_pending pg_catalog.bool NOT NULL DEFAULT true,
	timeline	pg_catalog.int4 NOT NULL,
	in_doubt	pg_catalog.bool NOT NULL DEFAULT false,
	hold_next	pg_catalog.bool NOT NULL DEFAULT false,
	created_at	pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE activate.sync IS 'definitions of syncs; the owner of a sync is the owner of its table in activate_data';
COMMENT ON COLUMN activate.sync.system_identifier IS 'with database_oid and host: where this sync may run; recorded by create_sync() and confirm_cluster()';
COMMENT ON COLUMN activate.sync.timeline IS 'of the cluster when the sync last ran: another one means that a standby was promoted, or an older state recovered, since';
COMMENT ON COLUMN activate.sync.in_doubt IS 'the next run begins by putting every row in doubt';
COMMENT ON COLUMN activate.sync.hold_next IS 'the next run is held until a person approved it: the server was recovered';
COMMENT ON COLUMN activate.sync.first_run_pending IS 'no run has done yet what option first_run says';
COMMENT ON COLUMN activate.sync.first_batch_alone IS 'after creation or a change of definition the first batch of a run goes alone';
SELECT pg_catalog.pg_extension_config_dump('activate.sync', '');
SELECT pg_catalog.pg_extension_config_dump('activate.sync_sync_id_seq', '');

CREATE TABLE activate.run (
	run_id		pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sync_id		pg_catalog.int8 NOT NULL,
	cause		pg_catalog.text NOT NULL,
	status		pg_catalog.text NOT NULL,
	pid			pg_catalog.int4,
	queued_at	pg_catalog.timestamptz,
	started_at	pg_catalog.timestamptz,
	finished_at	pg_catalog.timestamptz,
	rows_in_model pg_catalog.int8 NOT NULL DEFAULT 0,
	added		pg_catalog.int8 NOT NULL DEFAULT 0,
	changed		pg_catalog.int8 NOT NULL DEFAULT 0,
	removed		pg_catalog.int8 NOT NULL DEFAULT 0,
	accepted	pg_catalog.int8 NOT NULL DEFAULT 0,
	rejected	pg_catalog.int8 NOT NULL DEFAULT 0,
	invalid		pg_catalog.int8 NOT NULL DEFAULT 0,
	delayed		pg_catalog.int8 NOT NULL DEFAULT 0,
	unknown		pg_catalog.int8 NOT NULL DEFAULT 0,
	waiting		pg_catalog.int8 NOT NULL DEFAULT 0,
	absent		pg_catalog.int8 NOT NULL DEFAULT 0,
	skipped		pg_catalog.int8 NOT NULL DEFAULT 0,
	held_out	pg_catalog.int8 NOT NULL DEFAULT 0,
	leaving		pg_catalog.int8 NOT NULL DEFAULT 0,
	unchanged	pg_catalog.int8 NOT NULL DEFAULT 0,
	keyed		pg_catalog.bool NOT NULL DEFAULT false,
	untried		pg_catalog.int8 NOT NULL DEFAULT 0,
	missed		pg_catalog.int8 NOT NULL DEFAULT 0,
	merged_into	pg_catalog.int8,
	rows_synced	pg_catalog.int8,
	duplicates	pg_catalog.int8 NOT NULL DEFAULT 0,
	requests	pg_catalog.int8 NOT NULL DEFAULT 0,
	retries		pg_catalog.int8 NOT NULL DEFAULT 0,
	bytes_sent	pg_catalog.int8 NOT NULL DEFAULT 0,
	requests_unlogged pg_catalog.int8 NOT NULL DEFAULT 0,
	error		pg_catalog.text,
	detail		pg_catalog.text,
	hint		pg_catalog.text,
	digest		pg_catalog.uuid,
	canary		pg_catalog.bool NOT NULL DEFAULT false,
	approved_by	pg_catalog.text,
	approved_at	pg_catalog.timestamptz
);
COMMENT ON TABLE activate.run IS 'runs of syncs, with what became of their rows';
COMMENT ON COLUMN activate.run.keyed IS 'the caller named the keys: it says nothing of the other rows';
COMMENT ON COLUMN activate.run.untried IS 'of delayed, those that were not sent or certainly not applied: pending does not list them';
COMMENT ON COLUMN activate.run.digest IS 'of a held run: order-independent digest of key, operation and fingerprint of each row to send that was not refused before; null: the run did not end held';
COMMENT ON COLUMN activate.run.canary IS 'it is or was held because the destination refused rows of its canary';
COMMENT ON COLUMN activate.run.missed IS 'planned starts before this one that passed without a run: one run stands for them all';
COMMENT ON COLUMN activate.run.merged_into IS 'of a queued run: the run that did its work, too';
COMMENT ON COLUMN activate.run.requests_unlogged IS 'requests that failed and are not in activate.request, as it has the first hundred of a run';
CREATE INDEX run_sync_idx ON activate.run (sync_id, run_id);
CREATE INDEX run_waiting_idx ON activate.run (sync_id) WHERE status OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'running', 'held']);
SELECT pg_catalog.pg_extension_config_dump('activate.run', '');
SELECT pg_catalog.pg_extension_config_dump('activate.run_run_id_seq', '');

/*
 * When each sync is due.  Written by every run, so kept apart from the
 * definitions, with room in its pages and no index on what changes.
 */
CREATE TABLE activate.sync_state (
	sync_id		pg_catalog.int8 PRIMARY KEY,
	anchor		pg_catalog.timestamptz NOT NULL,
	next_run_at	pg_catalog.timestamptz,
	retry_at	pg_catalog.timestamptz,
	retry_rows	pg_catalog.bool NOT NULL DEFAULT false,
	failures	pg_catalog.int4 NOT NULL DEFAULT 0,
	after_runs	pg_catalog.int8[],
	waiting		pg_catalog.bool NOT NULL DEFAULT false,
	ids_new		pg_catalog.bool NOT NULL DEFAULT false,
	ids_moved	pg_catalog.int8 NOT NULL DEFAULT 0,
	ids_seen	pg_catalog.int8 NOT NULL DEFAULT 0,
	unit_digest	pg_catalog.uuid,
	unit_tried	pg_catalog.uuid,
	unit_attempts pg_catalog.int4 NOT NULL DEFAULT 0,
	unit_next_attempt_at pg_catalog.timestamptz,
	unit_late_until pg_catalog.timestamptz,
	model_problem pg_catalog.text,
	model_problem_since pg_catalog.timestamptz,
	field_types	pg_catalog.jsonb,
	trouble		pg_catalog.text,
	trouble_since pg_catalog.timestamptz
) WITH (fillfactor = 40);
COMMENT ON TABLE activate.sync_state IS 'when each sync is due';
COMMENT ON COLUMN activate.sync_state.anchor IS 'planned starts of an interval count from it';
COMMENT ON COLUMN activate.sync_state.next_run_at IS 'next planned start; in the past: it is due, or missed; null: none by time';
COMMENT ON COLUMN activate.sync_state.retry_at IS 'when to run without waiting for the schedule; null: not';
COMMENT ON COLUMN activate.sync_state.retry_rows IS 'the run at retry_at is one of the rows whose back-off ended, not of the whole model';
COMMENT ON COLUMN activate.sync_state.failures IS 'runs in a row that ended failed or interrupted';
COMMENT ON COLUMN activate.sync_state.waiting IS 'rows of it wait for rows of other syncs that they refer to';
COMMENT ON COLUMN activate.sync_state.ids_new IS 'rows of it were accepted that others may wait for, and the run that sent them has not ended';
COMMENT ON COLUMN activate.sync_state.ids_moved IS 'runs of it that had rows accepted which others may wait for';
COMMENT ON COLUMN activate.sync_state.ids_seen IS 'sum of ids_moved over the syncs it refers to, when a run last looked; less than now and rows waiting: it is due for those';
COMMENT ON COLUMN activate.sync_state.unit_digest IS 'mode replace: digest of the rows in the order in which they were last accepted; null: not known, or a request is under way';
COMMENT ON COLUMN activate.sync_state.unit_tried IS 'mode replace: the same of what was last tried and not accepted; null: none';
COMMENT ON COLUMN activate.sync_state.unit_attempts IS 'mode replace: how often the destination said no to it';
COMMENT ON COLUMN activate.sync_state.unit_late_until IS 'mode replace: until when a request whose answer was lost may still be applied: other rows do not go before; null: none was lost';
COMMENT ON COLUMN activate.sync_state.unit_next_attempt_at IS 'mode replace: when it may go again as it is; null: with the next run, or, when all attempts are used, not before it changes';
COMMENT ON COLUMN activate.sync_state.model_problem IS 'why the model cannot be read as it is now; the sync waits until it can; null: it can';
COMMENT ON COLUMN activate.sync_state.model_problem_since IS 'since when; with model_problem null: nobody was told yet, as a missing right may come back; null: it can be read';
COMMENT ON COLUMN activate.sync_state.trouble IS 'failing or rejecting, as events told of it last; null: neither';
COMMENT ON COLUMN activate.sync_state.trouble_since IS 'since when; null: trouble is';
COMMENT ON COLUMN activate.sync_state.field_types IS 'types of the fields when rows were last sent; null: none were';
COMMENT ON COLUMN activate.sync_state.after_runs IS 'schedule after: for each sync of it the run that was last followed';
SELECT pg_catalog.pg_extension_config_dump('activate.sync_state', '');

/* By name, as the model has it: a sync that others refer to keeps its name. */
CREATE TABLE activate.sync_reference (
	sync_id		pg_catalog.int8,
	referenced_sync pg_catalog.text,
	PRIMARY KEY (sync_id, referenced_sync)
);
COMMENT ON TABLE activate.sync_reference IS 'which syncs a sync refers to by external_id()';
COMMENT ON COLUMN activate.sync_reference.sync_id IS 'the sync that refers';
COMMENT ON COLUMN activate.sync_reference.referenced_sync IS 'name of the sync whose ids it asks for; it may be the same';
CREATE INDEX sync_reference_name_idx ON activate.sync_reference (referenced_sync);
SELECT pg_catalog.pg_extension_config_dump('activate.sync_reference', '');

CREATE TABLE activate.destination_state (
	destination	pg_catalog.text PRIMARY KEY,
	closed		pg_catalog.bool NOT NULL DEFAULT false,
	down_since	pg_catalog.timestamptz,
	probe_at	pg_catalog.timestamptz,
	failures	pg_catalog.int4 NOT NULL DEFAULT 0,
	message		pg_catalog.text,
	throttled_until pg_catalog.timestamptz,
	throttle_message pg_catalog.text,
	throttled_since pg_catalog.timestamptz,
	paused_at	pg_catalog.timestamptz,
	paused_by	pg_catalog.text,
	day_used	pg_catalog.int8 NOT NULL DEFAULT 0,
	day_ends_at	pg_catalog.timestamptz
);
COMMENT ON TABLE activate.destination_state IS 'destinations that are down, paused, limit their rate for long, or are closed until their credentials are set here';
COMMENT ON COLUMN activate.destination_state.closed IS 'confirm_cluster(''sandbox''): nothing is sent until its credentials are set on this server';
COMMENT ON COLUMN activate.destination_state.down_since IS 'when it was first found not to answer; null: it is not down';
COMMENT ON COLUMN activate.destination_state.probe_at IS 'until then workers postpone its runs; the first one after it tries';
COMMENT ON COLUMN activate.destination_state.failures IS 'runs in a row that found it down';
COMMENT ON COLUMN activate.destination_state.message IS 'what the last of them found';
COMMENT ON COLUMN activate.destination_state.throttled_until IS 'until then it wants to be left alone: it said so, or its quota of the day is used; in the past: no run has got through since; null: it does not';
COMMENT ON COLUMN activate.destination_state.throttle_message IS 'what it said';
COMMENT ON COLUMN activate.destination_state.throttled_since IS 'since when runs end for it, for longer than a minute: that was an event; null: they do not';
COMMENT ON COLUMN activate.destination_state.paused_at IS 'since when pause_destination() keeps everything from it; null: it is not paused';
COMMENT ON COLUMN activate.destination_state.paused_by IS 'role that paused it';
COMMENT ON COLUMN activate.destination_state.day_used IS 'requests that count towards its quota of the day, as far as they were written down';
COMMENT ON COLUMN activate.destination_state.day_ends_at IS 'midnight, at which that day ends; null: no quota was used yet';
SELECT pg_catalog.pg_extension_config_dump('activate.destination_state', '');

/*
 * What destinations told of themselves when refresh_destination() asked.
 * Dumped: how values are written follows the types of fields, and a restored
 * database must not write them otherwise until somebody asks again.
 */
CREATE TABLE activate.destination_object (
	destination	pg_catalog.text,
	object		pg_catalog.text,
	title		pg_catalog.text,
	kind		pg_catalog.text,
	listed		pg_catalog.bool NOT NULL,
	asked_at	pg_catalog.timestamptz NOT NULL,
	fields_asked_at pg_catalog.timestamptz,
	fields_message pg_catalog.text,
	has_unique	pg_catalog.bool NOT NULL DEFAULT false,
	PRIMARY KEY (destination, object)
);
COMMENT ON TABLE activate.destination_object IS 'objects of destinations, as they told them to refresh_destination()';
COMMENT ON COLUMN activate.destination_object.destination IS 'name of the foreign server';
COMMENT ON COLUMN activate.destination_object.object IS 'what create_sync() takes as object';
COMMENT ON COLUMN activate.destination_object.title IS 'what people call it there; null: it did not say';
COMMENT ON COLUMN activate.destination_object.kind IS 'record, membership, association, event or file; null: it did not say';
COMMENT ON COLUMN activate.destination_object.listed IS 'the destination lists it; false: its fields alone were asked for';
COMMENT ON COLUMN activate.destination_object.asked_at IS 'when the destination was asked for it';
COMMENT ON COLUMN activate.destination_object.fields_asked_at IS 'when it told the fields; null: never';
COMMENT ON COLUMN activate.destination_object.fields_message IS 'why it did not tell them when it was asked last; null: it did, or never was asked';
COMMENT ON COLUMN activate.destination_object.has_unique IS 'it tells which of them are unique';
SELECT pg_catalog.pg_extension_config_dump('activate.destination_object', '');

CREATE TABLE activate.destination_field (
	destination	pg_catalog.text,
	object		pg_catalog.text,
	field		pg_catalog.text,
	position	pg_catalog.int4 NOT NULL,
	title		pg_catalog.text,
	type		pg_catalog.text,
	required	pg_catalog.bool NOT NULL,
	writable	pg_catalog.bool NOT NULL,
	is_unique	pg_catalog.bool NOT NULL,
	"values"	pg_catalog.text[],
	document	pg_catalog.text,
	PRIMARY KEY (destination, object, field)
);
COMMENT ON TABLE activate.destination_field IS 'fields of those objects';
COMMENT ON COLUMN activate.destination_field.destination IS 'name of the foreign server';
COMMENT ON COLUMN activate.destination_field.object IS 'the object that has it';
COMMENT ON COLUMN activate.destination_field.field IS 'its name, as mappings have it';
COMMENT ON COLUMN activate.destination_field.position IS 'which it was among those that the destination told';
COMMENT ON COLUMN activate.destination_field.title IS 'what people call it there; null: it did not say';
COMMENT ON COLUMN activate.destination_field.type IS 'text, integer, number, boolean, date, timestamp, array, object, json, or another name that it told; null: it did not say';
COMMENT ON COLUMN activate.destination_field.required IS 'a new record must have it';
COMMENT ON COLUMN activate.destination_field.writable IS 'it can be set';
COMMENT ON COLUMN activate.destination_field.is_unique IS 'no two records have the same value of it';
COMMENT ON COLUMN activate.destination_field."values" IS 'the only values that it takes; null: any, or too many';
COMMENT ON COLUMN activate.destination_field.document IS 'the field as the destination told it, JSON; null: too long to keep';
SELECT pg_catalog.pg_extension_config_dump('activate.destination_field', '');

CREATE TABLE activate.claim (
	claim_id	pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sync_id		pg_catalog.int8 NOT NULL,
	run_id		pg_catalog.int8 NOT NULL,
	ops			pg_catalog.text[] NOT NULL,
	key_values	pg_catalog.text[] NOT NULL,
	fingerprints pg_catalog.uuid[] NOT NULL,
	change_ids	pg_catalog.uuid[] NOT NULL,
	once		pg_catalog.bool[] NOT NULL DEFAULT '{}',
	timeout_ms	pg_catalog.int4 NOT NULL DEFAULT 0,
	claimed_at	pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE activate.claim IS 'batches whose request may be under way: written before the first byte goes out, gone when the answer is settled';
COMMENT ON COLUMN activate.claim.once IS 'rows that are not sent again once they may have been applied';
COMMENT ON COLUMN activate.claim.timeout_ms IS 'timeout of its destination, in milliseconds: so long after the loss of its answer a request may still be applied there';
COMMENT ON COLUMN activate.claim.key_values IS 'key columns of the rows, row after row, as text';
ALTER TABLE activate.claim ALTER key_values SET STORAGE EXTERNAL,	-- compressing costs more than it saves
	ALTER fingerprints SET STORAGE EXTERNAL, ALTER change_ids SET STORAGE EXTERNAL;
CREATE INDEX claim_sync_idx ON activate.claim (sync_id);
SELECT pg_catalog.pg_extension_config_dump('activate.claim', '');
SELECT pg_catalog.pg_extension_config_dump('activate.claim_claim_id_seq', '');

CREATE TABLE activate.job (
	job_id		pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sync_id		pg_catalog.int8 NOT NULL,
	run_id		pg_catalog.int8 NOT NULL,
	destination	pg_catalog.text NOT NULL,
	operation	pg_catalog.text NOT NULL,
	state		pg_catalog.text NOT NULL CHECK (state IN ('filling', 'sending', 'starting', 'polling', 'aborting')),
	step		pg_catalog.int4 NOT NULL,
	saved		pg_catalog.text[] NOT NULL,
	submitted_at pg_catalog.timestamptz,
	next_poll_at pg_catalog.timestamptz,
	deadline	pg_catalog.timestamptz,
	trusted		pg_catalog.bool NOT NULL DEFAULT true,
	row_count	pg_catalog.int4 NOT NULL,
	ops			pg_catalog.text[] NOT NULL,
	key_values	pg_catalog.text[] NOT NULL,
	keys		pg_catalog.text[] NOT NULL,
	fields		pg_catalog.text[] NOT NULL,
	payloads	pg_catalog.text[] NOT NULL,
	hashes		pg_catalog.text[] NOT NULL,
	external_ids pg_catalog.text[] NOT NULL,
	fingerprints pg_catalog.uuid[] NOT NULL,
	change_ids	pg_catalog.uuid[] NOT NULL,
	flags		pg_catalog.int4[] NOT NULL,
	attempts	pg_catalog.int4[] NOT NULL,
	late_until	pg_catalog.int8[] NOT NULL,
	asks		pg_catalog.text[] NOT NULL,
	remembered	pg_catalog.text[] NOT NULL
);
COMMENT ON TABLE activate.job IS 'rows that a destination was handed in steps and works on: written before each request after the first, gone when what became of the rows is settled';
COMMENT ON COLUMN activate.job.job_id IS 'number of the job; later ones have higher ones';
COMMENT ON COLUMN activate.job.sync_id IS 'the sync whose rows it has';
COMMENT ON COLUMN activate.job.run_id IS 'the run that handed them over';
COMMENT ON COLUMN activate.job.destination IS 'where they are';
COMMENT ON COLUMN activate.job.operation IS 'operation of the connector that describes the job';
COMMENT ON COLUMN activate.job.state IS 'filling: nothing is applied yet; sending: the request that begins it has the rows; starting: it has not; polling: it is asked for; aborting: given up, and the destination is still to be told';
COMMENT ON COLUMN activate.job.step IS 'which of its steps is next, from 0';
COMMENT ON COLUMN activate.job.saved IS 'what the answers to its steps gave, names and values in turn';
COMMENT ON COLUMN activate.job.submitted_at IS 'when its last step was done';
COMMENT ON COLUMN activate.job.next_poll_at IS 'when it is asked for next';
COMMENT ON COLUMN activate.job.deadline IS 'when it is given up';
COMMENT ON COLUMN activate.job.trusted IS 'false: the server was set back since, so that what it says of its rows may be older than what was sent; they are in doubt once it is over';
COMMENT ON COLUMN activate.job.row_count IS 'how many rows it has';
COMMENT ON COLUMN activate.job.ops IS 'operation on each row';
COMMENT ON COLUMN activate.job.key_values IS 'key columns of the rows, row after row, as text';
COMMENT ON COLUMN activate.job.keys IS 'of each row, its key as JSON';
COMMENT ON COLUMN activate.job.fields IS 'of each row, its match fields as JSON: what results name it by';
COMMENT ON COLUMN activate.job.payloads IS 'of each row, all that was sent, where option keep_payload keeps it';
COMMENT ON COLUMN activate.job.hashes IS 'of each row, hashes of its fields, where option changed_fields_only keeps them';
COMMENT ON COLUMN activate.job.external_ids IS 'of each row, the id of its record, where it was known';
COMMENT ON COLUMN activate.job.fingerprints IS 'of each row, digest of the values sent';
COMMENT ON COLUMN activate.job.change_ids IS 'of each row, the id of the version sent; another one for each version';
COMMENT ON COLUMN activate.job.flags IS 'of each row, what its run knew of it (job.c)';
COMMENT ON COLUMN activate.job.attempts IS 'of each row, how often its version was refused before';
COMMENT ON COLUMN activate.job.late_until IS 'of each row, until when a lost request may still be applied, in microseconds since 2000; 0: none may';
COMMENT ON COLUMN activate.job.asks IS 'of each row, what was asked for instead of its operation, by what a lookup found; null: its operation';
COMMENT ON COLUMN activate.job.remembered IS 'of each row, what else was known of its record, as JSON';
CREATE INDEX job_sync_idx ON activate.job (sync_id);
SELECT pg_catalog.pg_extension_config_dump('activate.job', '');
SELECT pg_catalog.pg_extension_config_dump('activate.job_job_id_seq', '');

CREATE TABLE activate.invalid_row (
	sync_id		pg_catalog.int8 NOT NULL,
	key			pg_catalog.jsonb NOT NULL,
	code		pg_catalog.text NOT NULL,
	message		pg_catalog.text NOT NULL,
	run_id		pg_catalog.int8 NOT NULL,
	at			pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE activate.invalid_row IS 'rows of the model that could not be sent, as the latest run found them; at most 1000 a sync';
CREATE INDEX invalid_row_sync_idx ON activate.invalid_row (sync_id);
SELECT pg_catalog.pg_extension_config_dump('activate.invalid_row', '');

CREATE TABLE activate.event (
	event_id	pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at			pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	kind		pg_catalog.text NOT NULL,
	severity	pg_catalog.text NOT NULL,
	sync_id		pg_catalog.int8,
	sync		pg_catalog.text,
	destination	pg_catalog.text,
	run_id		pg_catalog.int8,
	message		pg_catalog.text NOT NULL,
	details		pg_catalog.jsonb
);
COMMENT ON TABLE activate.event IS 'changes of state, one row each';
CREATE INDEX event_sync_idx ON activate.event (sync_id);
SELECT pg_catalog.pg_extension_config_dump('activate.event', '');
SELECT pg_catalog.pg_extension_config_dump('activate.event_event_id_seq', '');

/*
 * What was sent and answered, for people; nothing depends on it.  Not dumped:
 * it holds payloads, and is gone in days anyway.  Its numbers go on, since
 * rows that were refused name them.  Rows come and go at the ends of the
 * table, so vacuum has little to do, but often.
 */
CREATE TABLE activate.request (
	request_id	pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sync_id		pg_catalog.int8 NOT NULL,
	run_id		pg_catalog.int8 NOT NULL,
	at			pg_catalog.timestamptz NOT NULL,
	method		pg_catalog.text NOT NULL,
	url			pg_catalog.text NOT NULL,
	request_headers pg_catalog.jsonb NOT NULL,
	request_body pg_catalog.text,
	request_bytes pg_catalog.int8 NOT NULL,
	request_cut	pg_catalog.bool NOT NULL,
	http_status	pg_catalog.int4,
	response_headers pg_catalog.jsonb,
	response_body pg_catalog.text,
	response_bytes pg_catalog.int8,
	rows		pg_catalog.int8 NOT NULL,
	attempt		pg_catalog.int4 NOT NULL,
	duration	pg_catalog.interval,
	ops			pg_catalog.text NOT NULL,
	class		pg_catalog.text NOT NULL,
	problem		pg_catalog.text,
	failed		pg_catalog.bool NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
	toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE activate.request IS 'requests and their answers, as option log of their syncs says: behind the view requests';
CREATE INDEX request_sync_idx ON activate.request (sync_id, failed, request_id);
SELECT pg_catalog.pg_extension_config_dump('activate.request_request_id_seq', '');

/*
 * Which host a stored credential was meant for.  Keyed by OIDs, so rows of
 * another cluster mean nothing: the event trigger writes new ones when a dump
 * is restored, and the system identifier tells those that pg_upgrade carried.
 */
CREATE TABLE activate.credential (
	mapping_oid	pg_catalog.oid PRIMARY KEY,
	server_oid	pg_catalog.oid NOT NULL,
	system_identifier pg_catalog.int8 NOT NULL,
	host		pg_catalog.text NOT NULL,
	closed		pg_catalog.bool
);
COMMENT ON TABLE activate.credential IS 'the host that each stored credential was stored for';

/*
 * Secrets that set_secret() stored, and what destinations gave in place of
 * others: sealed with a key that is not in the database.  OIDs tell the server
 * within this database of this cluster; a restored row belongs to the server
 * of the destination's name, until it is first used.
 */
CREATE TABLE activate.secret (
	secret_id	pg_catalog.uuid PRIMARY KEY,
	destination	pg_catalog.text NOT NULL,
	server_oid	pg_catalog.oid NOT NULL,
	database_oid pg_catalog.oid NOT NULL,
	system_identifier pg_catalog.int8 NOT NULL,
	name		pg_catalog.text NOT NULL,
	replaces	pg_catalog.bytea NOT NULL,
	host		pg_catalog.text NOT NULL,
	key_id		pg_catalog.bytea NOT NULL,
	sealed		pg_catalog.bytea NOT NULL,
	closed		pg_catalog.bool NOT NULL,
	changed_at	pg_catalog.timestamptz NOT NULL
);
COMMENT ON TABLE activate.secret IS 'secrets of destinations, sealed with the key in pg_activate.key_file';
SELECT pg_catalog.pg_extension_config_dump('activate.secret', '');

REVOKE ALL ON ALL TABLES IN SCHEMA activate FROM PUBLIC;
