/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  What an answer makes of the snapshot.
 *
 * The snapshot is the owner's and is written as the owner, who may have types,
 * domains and triggers of his own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "column.h"
#include "diff_query.h"
#include "fault.h"
#include "identity.h"
#include "settle.h"
#include "snapshot.h"
#include "transaction.h"

/* Marks written with one statement. */
#define MARKS_PER_STATEMENT 1000

struct Settler
{
	const Sync *sync;
	Oid		   *key_type_oids;	/* of the table's columns */
	char	  **key_types;
	char	   *accepted_sql;
	char	   *refused_sql;
	char	   *delete_sql;
	char	   *forget_record_sql;
	char	   *gone_sql;
	char	   *mark_sql;
	char	   *hold_sql;
	char	   *wait_sql;
	SPIPlanPtr	accepted_plan;
	SPIPlanPtr	refused_plan;
	MemoryContextCallback on_reset;
	TimestampTz next_attempt_at;	/* first of the rows settled; 0: none */
	int64		parked;
};

static void
append_key_list(StringInfo buf, const Settler *settler, const char *format_prefix)
{
	for (int i = 0; i < settler->sync->nkeys; i++)
		appendStringInfo(buf, "%s%s%s", i > 0 ? ", " : "", format_prefix,
						 quote_identifier(settler->sync->key[i]));
}

/* "u.k1::type, u.k2::type" */
static void
append_cast_keys(StringInfo buf, const Settler *settler)
{
	for (int i = 0; i < settler->sync->nkeys; i++)
		appendStringInfo(buf, "%su.k%d::%s", i > 0 ? ", " : "", i + 1, settler->key_types[i]);
}

/* Unqualified, since only so it takes several arrays; pg_catalog comes first.
 * " FROM unnest($1, $2, ...) AS u(k1, k2, names)": keys first */
static void
append_unnest(StringInfo buf, const Settler *settler, const char *names, int ncolumns)
{
	int			nkeys = settler->sync->nkeys;

	appendStringInfoString(buf, " FROM unnest(");
	for (int i = 1; i <= nkeys + ncolumns; i++)
		appendStringInfo(buf, "%s$%d", i > 1 ? ", " : "", i);
	appendStringInfoString(buf, ") AS u(");
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(buf, "%sk%d", i > 1 ? ", " : "", i);
	appendStringInfo(buf, "%s%s)", ncolumns > 0 ? ", " : "", names);
}

static void
append_match_keys(StringInfo buf, const Settler *settler)
{
	for (int i = 0; i < settler->sync->nkeys; i++)
	{
		appendStringInfo(buf, "%ss.%s", i > 0 ? " AND " : "", quote_identifier(settler->sync->key[i]));
		act_diff_query_append_equality(buf, settler->key_type_oids[i]);
		appendStringInfo(buf, "u.k%d::%s", i + 1, settler->key_types[i]);
	}
}

static char *
accepted_sql(const Settler *settler)
{
	const SyncOptions *options = &settler->sync->options;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "INSERT INTO %s AS s (", act_sync_table_name(settler->sync));
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ", activate_external_id, activate_fingerprint, activate_accepted_at,"
						   " activate_state, activate_late_until, activate_remembered, activate_field_hashes,"
						   " activate_payload) SELECT ");
	append_cast_keys(&buf, settler);
	/* Columns of what is not kept are cleared, and none are made for them. */
	appendStringInfo(&buf, ", u.id, u.fp, u.at, 'accepted', u.late, u.remembered, %s, %s",
					 options->changed_fields_only ? "u.hashes" : "NULL",
					 options->keep_payload ? "u.payload" : "NULL");
	append_unnest(&buf, settler,
				  psprintf("id, fp, at, late, remembered%s%s", options->changed_fields_only ? ", hashes" : "",
						   options->keep_payload ? ", payload" : ""),
				  5 + options->changed_fields_only + options->keep_payload);
	appendStringInfoString(&buf, " ON CONFLICT (");
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ") DO UPDATE SET"
						   " activate_external_id = COALESCE(EXCLUDED.activate_external_id, s.activate_external_id),"
						   " activate_remembered = COALESCE(EXCLUDED.activate_remembered, s.activate_remembered),"
						   " activate_fingerprint = EXCLUDED.activate_fingerprint,"
						   " activate_accepted_at = EXCLUDED.activate_accepted_at,"
						   " activate_state = 'accepted', activate_in_doubt = false, activate_tried = NULL,"
						   " activate_op = NULL, activate_change_id = NULL, activate_attempts = 0,"
						   " activate_first_at = NULL, activate_last_at = NULL, activate_next_attempt_at = NULL,"
						   " activate_http_status = NULL, activate_code = NULL, activate_message = NULL,"
						   " activate_missing_since = NULL, activate_late_until = EXCLUDED.activate_late_until,"
						   " activate_request_id = NULL,"
						   " activate_field_hashes = EXCLUDED.activate_field_hashes,"
						   " activate_payload = EXCLUDED.activate_payload");
	return buf.data;
}

/* A record that is not there (any more) has no payload; one in doubt has the last we know of. */
static char *
refused_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "INSERT INTO %s AS s (", act_sync_table_name(settler->sync));
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ", activate_state, activate_in_doubt, activate_tried, activate_op,"
						   " activate_change_id, activate_attempts, activate_first_at, activate_last_at,"
						   " activate_next_attempt_at, activate_http_status, activate_code, activate_message,"
						   " activate_late_until, activate_request_id, activate_external_id, activate_remembered) SELECT ");
	append_cast_keys(&buf, settler);
	appendStringInfoString(&buf, ", u.state, u.doubt, u.tried, u.op, u.change, u.attempts, u.at, u.at,"
						   " u.next, u.status, u.code, u.message, u.late, u.request, u.id, u.remembered");
	append_unnest(&buf, settler,
				  "state, doubt, tried, op, change, attempts, at, next, status, code, message, late, request, id, remembered", 15);
	appendStringInfoString(&buf, " ON CONFLICT (");
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ") DO UPDATE SET activate_state = EXCLUDED.activate_state,"
						   " activate_in_doubt = EXCLUDED.activate_in_doubt,"
						   " activate_fingerprint = CASE WHEN EXCLUDED.activate_in_doubt"
						   " OR EXCLUDED.activate_state IN ('absent', 'removed') THEN NULL ELSE s.activate_fingerprint END,"
						   " activate_accepted_at = CASE WHEN EXCLUDED.activate_state IN ('absent', 'removed') THEN NULL"
						   " ELSE s.activate_accepted_at END,"
						   " activate_field_hashes = CASE WHEN EXCLUDED.activate_in_doubt"
						   " OR EXCLUDED.activate_state IN ('absent', 'removed') THEN NULL ELSE s.activate_field_hashes END,"
						   " activate_payload = CASE WHEN EXCLUDED.activate_state IN ('absent', 'removed') THEN NULL"
						   " ELSE s.activate_payload END,"
						   " activate_tried = EXCLUDED.activate_tried, activate_op = EXCLUDED.activate_op,"
						   " activate_change_id = EXCLUDED.activate_change_id,"
						   " activate_attempts = EXCLUDED.activate_attempts,"
						   " activate_first_at = COALESCE(s.activate_first_at, EXCLUDED.activate_first_at),"
						   " activate_last_at = EXCLUDED.activate_last_at,"
						   " activate_next_attempt_at = EXCLUDED.activate_next_attempt_at,"
						   " activate_http_status = EXCLUDED.activate_http_status,"
						   " activate_code = EXCLUDED.activate_code, activate_message = EXCLUDED.activate_message,"
						   " activate_late_until = GREATEST(s.activate_late_until, EXCLUDED.activate_late_until),"
						   " activate_request_id = EXCLUDED.activate_request_id,"
						   " activate_external_id = COALESCE(EXCLUDED.activate_external_id, s.activate_external_id),"
						   " activate_remembered = COALESCE(EXCLUDED.activate_remembered, s.activate_remembered)");
	return buf.data;
}

/* The record is gone, or another one: what was known of it goes before what is known now is written. */
static char *
forget_record_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "UPDATE %s AS s SET activate_external_id = NULL, activate_remembered = NULL",
					 act_sync_table_name(settler->sync));
	appendStringInfoString(&buf, " FROM (SELECT u.*");
	append_unnest(&buf, settler, "", 0);
	appendStringInfoString(&buf, ") AS u WHERE ");
	append_match_keys(&buf, settler);
	return buf.data;
}

/* Without those that something is still to be known of: they follow with gone_sql. */
static char *
delete_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "DELETE FROM %s AS s USING (SELECT u.*", act_sync_table_name(settler->sync));
	append_unnest(&buf, settler, "late", 1);
	appendStringInfoString(&buf, ") AS u WHERE u.late IS NULL AND s.activate_muted_at IS NULL AND ");
	append_match_keys(&buf, settler);
	return buf.data;
}

/* A lost request may still make them anew, or they are muted: nothing else is left of them. */
static char *
gone_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "UPDATE %s AS s SET activate_state = 'gone', activate_late_until = u.late,"
					 " activate_external_id = NULL, activate_remembered = NULL," ACT_SNAPSHOT_NOTHING_THERE, act_sync_table_name(settler->sync));
	appendStringInfoString(&buf, " FROM (SELECT u.*");
	append_unnest(&buf, settler, "late", 1);
	appendStringInfoString(&buf, ") AS u WHERE ");
	append_match_keys(&buf, settler);
	return buf.data;
}

/*
 * What was tried and refused of a version that is no longer wanted goes, too.
 * What may have been applied, and is not to be asked for again, stays known.
 */
static char *
mark_sql(const Settler *settler)
{
	static const struct
	{
		const char *name;
		const char *skipped;	/* what it is of a row that begins to be skipped; NULL: nothing */
	}			tried[] = {
		{"tried"}, {"op", "u.op"}, {"change_id"}, {"first_at", "u.at"}, {"last_at", "u.at"},
		{"http_status"}, {"code"}, {"message"}, {"request_id"}
	};
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "UPDATE %s AS s SET activate_state = u.state,"
					 " activate_missing_since = CASE u.state WHEN 'leaving' THEN u.at ELSE NULL END,"
					 " activate_attempts = 0, activate_next_attempt_at = NULL",
					 act_sync_table_name(settler->sync));
	for (int i = 0; i < lengthof(tried); i++)
		appendStringInfo(&buf, ", activate_%s = CASE WHEN u.state = 'unknown'"
						 " OR u.state = 'leaving' AND s.activate_state = 'unknown' THEN s.activate_%s"
						 " WHEN u.state = 'skipped' THEN %s END",
						 tried[i].name, tried[i].name, tried[i].skipped != NULL ? tried[i].skipped : "NULL");
	appendStringInfoString(&buf, " FROM (SELECT u.*");
	append_unnest(&buf, settler, "state, at, op", 3);
	appendStringInfoString(&buf, ") AS u WHERE ");
	append_match_keys(&buf, settler);
	return buf.data;
}

/*
 * A newer version that waits until a lost request can no longer come: the row
 * is one to be looked at then, and everything else of it stays.
 */
static char *
hold_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "UPDATE %s AS s SET activate_state = 'doubt', activate_next_attempt_at = u.late,"
					 " activate_first_at = COALESCE(s.activate_first_at, u.at),"
					 " activate_last_at = COALESCE(s.activate_last_at, u.at),"
					 " activate_message = COALESCE(s.activate_message,"
					 " 'an earlier request, whose answer was lost, may still be applied') FROM (SELECT u.*",
					 act_sync_table_name(settler->sync));
	append_unnest(&buf, settler, "late, at", 2);
	appendStringInfoString(&buf, ") AS u WHERE ");
	append_match_keys(&buf, settler);
	return buf.data;
}

/* What the destination has of a row that waits stays as it is. */
static char *
wait_sql(const Settler *settler)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "INSERT INTO %s AS s (", act_sync_table_name(settler->sync));
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ", activate_state, activate_op, activate_first_at, activate_last_at,"
						   " activate_code, activate_message) SELECT ");
	append_cast_keys(&buf, settler);
	appendStringInfoString(&buf, ", 'waiting', u.op, u.at, u.at, 'reference', u.message");
	append_unnest(&buf, settler, "op, at, message", 3);
	appendStringInfoString(&buf, " ON CONFLICT (");
	append_key_list(&buf, settler, "");
	appendStringInfoString(&buf, ") DO UPDATE SET activate_state = 'waiting', activate_op = EXCLUDED.activate_op,"
						   " activate_first_at = COALESCE(s.activate_first_at, EXCLUDED.activate_first_at),"
						   " activate_last_at = EXCLUDED.activate_last_at,"
						   " activate_code = EXCLUDED.activate_code, activate_message = EXCLUDED.activate_message,"
						   " activate_tried = NULL, activate_change_id = NULL, activate_attempts = 0,"
						   " activate_next_attempt_at = NULL, activate_http_status = NULL, activate_request_id = NULL,"
						   " activate_missing_since = CASE WHEN EXCLUDED.activate_op IN ('update_removed', 'clear')"
						   " THEN s.activate_missing_since END");
	return buf.data;
}

/* Kept plans are nobody's children. */
static void
free_plans(void *arg)
{
	Settler    *settler = arg;

	if (settler->accepted_plan != NULL)
		SPI_freeplan(settler->accepted_plan);
	if (settler->refused_plan != NULL)
		SPI_freeplan(settler->refused_plan);
}

Settler *
act_settler_create(const Sync *sync)
{
	Settler    *settler = palloc0(sizeof(Settler));
	Relation	rel;

	settler->sync = sync;
	settler->key_types = palloc(sizeof(char *) * sync->nkeys);
	settler->key_type_oids = palloc(sizeof(Oid) * sync->nkeys);
	if (!act_settler_lock(settler))
		return NULL;
	rel = relation_open(sync->table_oid, NoLock);
	for (int i = 0; i < sync->nkeys; i++)
	{
		AttrNumber	attnum = get_attnum(sync->table_oid, sync->key[i]);
		Form_pg_attribute att;

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table %s of sync \"%s\" has no key column \"%s\"",
							act_sync_table_name(sync), sync->name, sync->key[i]),
					 errhint("Only the extension changes this table. %s", act_sync_table_hint(sync))));
		att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
		settler->key_type_oids[i] = att->atttypid;
		settler->key_types[i] = format_type_extended(att->atttypid, att->atttypmod,
													 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	}
	relation_close(rel, NoLock);
	settler->accepted_sql = accepted_sql(settler);
	settler->refused_sql = refused_sql(settler);
	settler->delete_sql = delete_sql(settler);
	settler->forget_record_sql = forget_record_sql(settler);
	settler->gone_sql = gone_sql(settler);
	settler->mark_sql = mark_sql(settler);
	settler->hold_sql = hold_sql(settler);
	settler->wait_sql = wait_sql(settler);
	settler->on_reset.func = free_plans;
	settler->on_reset.arg = settler;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &settler->on_reset);
	return settler;
}

bool
act_settler_lock(Settler *settler)
{
	return act_sync_table_open(settler->sync, RowExclusiveLock, true);
}

TimestampTz
act_settler_next_attempt(const Settler *settler)
{
	return settler->next_attempt_at;
}

int64
act_settler_parked(const Settler *settler)
{
	return settler->parked;
}

static void
add_keys(Column *keys, int nkeys, char *const *values)
{
	for (int i = 0; i < nkeys; i++)
		act_column_add_text(&keys[i], values[i]);
}

static Column *
make_keys(int nkeys, int capacity)
{
	Column	   *keys = palloc(sizeof(Column) * nkeys);

	for (int i = 0; i < nkeys; i++)
		keys[i] = act_column_make(TEXTOID, capacity);
	return keys;
}

/*
 * What stands in the way was put there: a trigger, a constraint, a key that is
 * gone.  Nothing of what the statement was to write is lost: its claim stays.
 */
static void
explain_refusal(const Sync *sync, ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (error->hint != NULL || category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR ||
		category == ERRCODE_TRANSACTION_ROLLBACK)
		return;
	error->message = psprintf("table %s of sync \"%s\" does not take what the destination answered: %s",
							  act_sync_table_name(sync), sync->name, error->message);
	error->hint = psprintf("Only the extension changes this table. %s", act_sync_table_hint(sync));
}

/*
 * Runs a statement over key columns followed by others; how many rows it met.
 * plan: where its plan is kept, or NULL.
 */
static uint64
run_planned(const Sync *sync, SPIPlanPtr *plan, int expected, const char *sql, const Column *keys, int nkeys,
			const Column *columns, int ncolumns)
{
	MemoryContext context = CurrentMemoryContext;
	SqlArgument *args = palloc(sizeof(SqlArgument) * (nkeys + ncolumns));
	volatile uint64 met = 0;

	if (keys[0].count == 0)
		return 0;
	for (int i = 0; i < nkeys; i++)
		args[i] = act_column_argument(&keys[i]);
	for (int i = 0; i < ncolumns; i++)
		args[nkeys + i] = act_column_argument(&columns[i]);
	PG_TRY();
	{
		met = plan != NULL ?
			act_sql_kept(plan, CURSOR_OPT_GENERIC_PLAN, expected, sql, nkeys + ncolumns, args) :
			act_sql(expected, sql, nkeys + ncolumns, args);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		explain_refusal(sync, error);
		ReThrowError(error);
	}
	PG_END_TRY();
	return met;
}

static uint64
run_columns(const Sync *sync, int expected, const char *sql, const Column *keys, int nkeys,
			const Column *columns, int ncolumns)
{
	return run_planned(sync, NULL, expected, sql, keys, nkeys, columns, ncolumns);
}

/* What is known of the record now; NULL: nothing that the table does not have. */
static char *
record_id(const Row *row)
{
	const char *id = row->new_external_id != NULL ? row->new_external_id : row->id_changed ? row->external_id : NULL;

	return act_text_to_server_exact(unconstify(char *, id));
}

static char *
record_values(const Row *row)
{
	if (row->new_remembered == NIL && !row->id_changed)
		return NULL;
	return act_text_to_server_exact(act_row_values_json(act_row_values_over(row->remembered, row->new_remembered)));
}

static void
forget_records(const Settler *settler, List *rows)
{
	int			nkeys = settler->sync->nkeys;
	Column	   *keys = make_keys(nkeys, list_length(rows));
	ListCell   *cell;

	foreach(cell, rows)
	{
		const Row  *row = ((SettledRow *) lfirst(cell))->row;

		if (row->id_changed)
			add_keys(keys, nkeys, row->key_values);
	}
	(void) run_columns(settler->sync, SPI_OK_UPDATE, settler->forget_record_sql, keys, nkeys, NULL, 0);
}

/* What is made or found by its key is so in the same way, whatever the table's size. */
static void
settle_accepted(Settler *settler, List *rows, TimestampTz now)
{
	const SyncOptions *options = &settler->sync->options;
	int			nkeys = settler->sync->nkeys;
	int			capacity = list_length(rows);
	Column	   *keys = make_keys(nkeys, capacity);
	Column		columns[7] = {act_column_make(TEXTOID, capacity), act_column_make(UUIDOID, capacity),
		act_column_make(TIMESTAMPTZOID, capacity), act_column_make(TIMESTAMPTZOID, capacity),
	act_column_make(JSONOID, capacity)};
	int			ncolumns = 5;
	Column	   *hashes = options->changed_fields_only ? &columns[ncolumns++] : NULL;
	Column	   *payloads = options->keep_payload ? &columns[ncolumns++] : NULL;
	ListCell   *cell;

	if (hashes != NULL)
		*hashes = act_column_make(TEXTOID, capacity);
	if (payloads != NULL)
		*payloads = act_column_make(JSONOID, capacity);
	foreach(cell, rows)
	{
		const SettledRow *settled = lfirst(cell);
		const Row  *row = settled->row;
		const char *payload = row->payload != NULL ? row->payload : row->fields;

		if (row->outcome != ROW_ACCEPTED || act_row_op_removes(row->op))
			continue;
		add_keys(keys, nkeys, row->key_values);
		act_column_add_text(&columns[0], record_id(row));
		act_column_add_digest(&columns[1], row->fingerprint, settled->differs);
		act_column_add_time(&columns[2], now);
		act_column_add_time(&columns[3], act_late_until(row, settled->late_ms, now));
		act_column_add_text(&columns[4], record_values(row));
		if (hashes != NULL)
			act_column_add_text(hashes, settled->differs ? NULL : row->field_hashes);
		if (payloads != NULL)
			act_column_add_text(payloads, payload && !settled->differs ? act_text_to_server(payload) : NULL);
	}
	run_planned(settler->sync, &settler->accepted_plan, SPI_OK_INSERT, settler->accepted_sql, keys, nkeys,
				columns, ncolumns);
}

/* Rows muted while this ran are not forgotten either, so what the first leaves the second finds. */
static void
forget_rows(const Settler *settler, const Column *keys, const Column *late)
{
	uint64		gone;

	if (keys[0].count == 0)
		return;
	gone = run_columns(settler->sync, SPI_OK_DELETE, settler->delete_sql, keys, settler->sync->nkeys, late, 1);
	if (gone < (uint64) keys[0].count)
		(void) run_columns(settler->sync, SPI_OK_UPDATE, settler->gone_sql, keys, settler->sync->nkeys, late, 1);
}

static void
settle_gone(const Settler *settler, List *rows, TimestampTz now)
{
	int			nkeys = settler->sync->nkeys;
	Column	   *keys = make_keys(nkeys, list_length(rows));
	Column		late = act_column_make(TIMESTAMPTZOID, list_length(rows));
	ListCell   *cell;

	foreach(cell, rows)
	{
		const SettledRow *settled = lfirst(cell);
		const Row  *row = settled->row;

		if (row->outcome != ROW_ACCEPTED || !act_row_op_removes(row->op) || act_row_op_keeps(row->op))
			continue;
		add_keys(keys, nkeys, row->key_values);
		act_column_add_time(&late, act_late_until(row, settled->late_ms, now));
	}
	forget_rows(settler, keys, &late);
}

static void
settle_refused(Settler *settler, List *rows, TimestampTz now)
{
	int			nkeys = settler->sync->nkeys;
	int			capacity = list_length(rows);
	Column	   *keys = make_keys(nkeys, capacity);
	Oid			types[] = {TEXTOID, BOOLOID, UUIDOID, TEXTOID, UUIDOID, INT4OID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, TEXTOID, JSONOID};
	Column		columns[lengthof(types)];
	ListCell   *cell;

	for (int i = 0; i < lengthof(types); i++)
		columns[i] = act_column_make(types[i], capacity);
	foreach(cell, rows)
	{
		const SettledRow *settled = lfirst(cell);
		const Row  *row = settled->row;
		RowState	state = {.exists = true, .in_doubt = row->in_doubt};
		bool		accepted = row->outcome == ROW_ACCEPTED;

		/* Records that stay, archived or cleared, are known by their ids. */
		if (accepted && !act_row_op_keeps(row->op))
			continue;
		if (row->outcome == ROW_DELAYED && !settled->uncertain)
			continue;
		act_settle_state(row, settled->uncertain, settled->late_ms, settler->sync->options.max_attempts, now, &state);
		if (state.next_attempt_at != 0 &&
			(settler->next_attempt_at == 0 || state.next_attempt_at < settler->next_attempt_at))
			settler->next_attempt_at = state.next_attempt_at;
		if (state.state == STATE_REJECTED && state.next_attempt_at == 0)
			settler->parked++;
		add_keys(keys, nkeys, row->key_values);
		act_column_add_text(&columns[0], act_state_name(state.state));
		act_column_add(&columns[1], BoolGetDatum(state.in_doubt), false);
		act_column_add_digest(&columns[2], state.tried, accepted);
		act_column_add_text(&columns[3], accepted ? NULL : act_row_op_name(row->op));
		act_column_add_digest(&columns[4], state.change_id, accepted);
		act_column_add(&columns[5], Int32GetDatum(state.attempts), false);
		act_column_add_time(&columns[6], now);
		act_column_add_time(&columns[7], state.next_attempt_at);
		act_column_add(&columns[8], Int32GetDatum(row->http_status), row->http_status == 0);
		act_column_add_text(&columns[9], row->code ? act_text_to_server(row->code) : NULL);
		act_column_add_text(&columns[10], row->message ? act_text_to_server(row->message) : NULL);
		act_column_add_time(&columns[11], state.late_until);
		act_column_add(&columns[12], Int64GetDatum(row->request_id ? *row->request_id : 0),
					   accepted || row->request_id == NULL);
		act_column_add_text(&columns[13], record_id(row));
		act_column_add_text(&columns[14], record_values(row));
	}
	run_planned(settler->sync, &settler->refused_plan, SPI_OK_INSERT, settler->refused_sql, keys, nkeys,
				columns, lengthof(columns));
}

void
act_settler_rows(Settler *settler, List *rows)
{
	const Sync *sync = settler->sync;
	TimestampTz now = act_now();
	Identity	identity;

	settler->parked = 0;
	if (rows == NIL)
		return;
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	forget_records(settler, rows);
	settle_accepted(settler, rows, now);
	settle_gone(settler, rows, now);
	settle_refused(settler, rows, now);
	act_identity_leave(&identity);
}

void
act_settler_marks(Settler *settler, Diff *diff)
{
	const Sync *sync = settler->sync;
	int			nkeys = sync->nkeys;
	TimestampTz now = act_now();
	Identity	identity;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate marks",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool		more = true;

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	while (more)
	{
		Column	   *changed = make_keys(nkeys, MARKS_PER_STATEMENT);
		Column	   *forgotten = make_keys(nkeys, MARKS_PER_STATEMENT);
		Column	   *waiting = make_keys(nkeys, MARKS_PER_STATEMENT);
		Column	   *held = make_keys(nkeys, MARKS_PER_STATEMENT);
		Column		columns[3] = {act_column_make(TEXTOID, MARKS_PER_STATEMENT),
		act_column_make(TIMESTAMPTZOID, MARKS_PER_STATEMENT), act_column_make(TEXTOID, MARKS_PER_STATEMENT)};
		Column		nothing = act_column_make(TIMESTAMPTZOID, MARKS_PER_STATEMENT);
		Column		holds[2] = {act_column_make(TIMESTAMPTZOID, MARKS_PER_STATEMENT),
		act_column_make(TIMESTAMPTZOID, MARKS_PER_STATEMENT)};
		Column		waits[3] = {act_column_make(TEXTOID, MARKS_PER_STATEMENT),
		act_column_make(TIMESTAMPTZOID, MARKS_PER_STATEMENT), act_column_make(TEXTOID, MARKS_PER_STATEMENT)};

		for (int i = 0; i < MARKS_PER_STATEMENT; i++)
		{
			DiffMark   *mark = act_diff_next_mark(diff);

			if (mark == NULL)
			{
				more = false;
				break;
			}
			if (mark->state == STATE_FORGOTTEN)
			{
				add_keys(forgotten, nkeys, mark->key_values);
				act_column_add_time(&nothing, 0);
				continue;
			}
			if (mark->state == STATE_HELD_BACK)
			{
				add_keys(held, nkeys, mark->key_values);
				act_column_add_time(&holds[0], mark->late_until);
				act_column_add_time(&holds[1], now);
				continue;
			}
			if (mark->state == STATE_WAITING)
			{
				add_keys(waiting, nkeys, mark->key_values);
				act_column_add_text(&waits[0], act_row_op_name(mark->op));
				act_column_add_time(&waits[1], now);
				act_column_add_text(&waits[2], act_text_to_server(mark->message));
				continue;
			}
			add_keys(changed, nkeys, mark->key_values);
			act_column_add_text(&columns[0], act_state_name(mark->state));
			act_column_add_time(&columns[1], now);
			act_column_add_text(&columns[2], mark->op != ROW_OP_NONE ? act_row_op_name(mark->op) : NULL);
		}
		run_columns(settler->sync, SPI_OK_UPDATE, settler->mark_sql, changed, nkeys, columns, lengthof(columns));
		forget_rows(settler, forgotten, &nothing);
		run_columns(settler->sync, SPI_OK_UPDATE, settler->hold_sql, held, nkeys, holds, lengthof(holds));
		run_columns(settler->sync, SPI_OK_INSERT, settler->wait_sql, waiting, nkeys, waits, lengthof(waits));
		MemoryContextReset(context);
	}
	act_identity_leave(&identity);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
