/*-------------------------------------------------------------------------
 *
 * job.c
 *	  Jobs that a destination works on: rows of activate.job.
 *
 * A row has all that is needed to ask for the job and to read what became of
 * its rows, without what was sent.  Values are text, so that no code of a
 * user runs as the extension.  Called inside transactions that the caller
 * commits, with SPI connected; enters and leaves the extension's identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "column.h"
#include "fault.h"
#include "identity.h"
#include "job.h"
#include "json_text.h"
#include "server_text.h"
#include "sync_state_private.h"
#include "transaction.h"
#include "value.h"

/* In the order of JobDurable. */
static const char *const state_names[] = {"filling", "sending", "starting", "polling", "aborting"};

/* Arrays with an element for each row; key_values has one for each of its key columns. */
typedef enum JobColumn
{
	JOB_OPS,
	JOB_KEY_VALUES,
	JOB_KEYS,
	JOB_FIELDS,
	JOB_PAYLOADS,
	JOB_HASHES,
	JOB_EXTERNAL_IDS,
	JOB_FINGERPRINTS,
	JOB_CHANGE_IDS,
	JOB_FLAGS,
	JOB_ATTEMPTS,
	JOB_LATE_UNTIL,
	JOB_ASKS,
	JOB_REMEMBERED
} JobColumn;
#define JOB_COLUMN_COUNT (JOB_REMEMBERED + 1)

static const Oid column_types[JOB_COLUMN_COUNT] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, UUIDOID, INT4OID, INT4OID, INT8OID,
	TEXTOID, TEXTOID
};

#define JOB_ROW_COLUMNS \
	"ops, key_values, keys, fields, payloads, hashes, external_ids, fingerprints, change_ids, flags, attempts, late_until, asks, remembered"

/* Of a row; its cause stands above them. */
#define FLAG_WAS_THERE	0x01
#define FLAG_IN_DOUBT	0x02
#define FLAG_ONCE		0x04
#define FLAG_UNCERTAIN	0x08
#define FLAG_LATE		0x10
#define FLAG_ID_CHANGED	0x20
#define FLAG_CAUSE_SHIFT 8

const char *
act_job_title(const Job *job)
{
	const HttpHeader *first = job->place.saved == NIL ? NULL : linitial(job->place.saved);

	return first == NULL ? "that is being begun" : first->value;
}

JobDurable
act_job_durable(const Job *job)
{
	int			last = act_job_steps(job->plan) - 1;

	if (job->place.stage == JOB_ABORT)
		return JOB_ABORTING;
	if (job->place.stage != JOB_STEP)
		return JOB_POLLING;
	if (job->place.number < last)
		return JOB_FILLING;
	return act_job_step_has_rows(job->plan, last) ? JOB_SENDING : JOB_STARTING;
}

/* ----------------------------------------------------------------
 *		Written
 * ----------------------------------------------------------------
 */

/* Of the fields no more than what tells rows apart. */
static char *
match_fields(const ConnectorScope *scope, const Row *row)
{
	StringInfoData json;

	if (row->fields == NULL || scope->nmatch == 0)
		return NULL;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < scope->nmatch; i++)
	{
		const char *value;
		size_t		len;

		if (!act_json_find_member(row->fields, strlen(row->fields), scope->match_names[i], &value, &len))
			continue;
		if (json.len > 1)
			appendStringInfoChar(&json, ',');
		act_json_append_string(&json, scope->match_names[i], strlen(scope->match_names[i]));
		appendStringInfoChar(&json, ':');
		appendBinaryStringInfo(&json, value, (int) len);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

static int
row_flags(const Row *row)
{
	return (row->was_there ? FLAG_WAS_THERE : 0) | (row->in_doubt ? FLAG_IN_DOUBT : 0) |
		(row->at_most_once ? FLAG_ONCE : 0) | (row->uncertain ? FLAG_UNCERTAIN : 0) |
		(row->late ? FLAG_LATE : 0) | (row->id_changed ? FLAG_ID_CHANGED : 0) | ((int) row->cause << FLAG_CAUSE_SHIFT);
}

/* JSON in the server's encoding. */
static char *
stored_json(const char *utf8)
{
	return utf8 == NULL ? NULL : act_text_to_server_escaped(utf8);
}

static void
add_row(const Run *run, Column *columns, const Row *row)
{
	const char *payload = row->payload != NULL ? row->payload : row->fields;

	act_column_add_text(&columns[JOB_OPS], act_row_op_name(row->op));
	for (int k = 0; k < run->sync->nkeys; k++)
		act_column_add_text(&columns[JOB_KEY_VALUES], row->key_values[k]);
	act_column_add_text(&columns[JOB_KEYS], stored_json(row->key));
	act_column_add_text(&columns[JOB_FIELDS], stored_json(match_fields(&run->scope, row)));
	act_column_add_text(&columns[JOB_PAYLOADS], run->sync->options.keep_payload ? stored_json(payload) : NULL);
	act_column_add_text(&columns[JOB_HASHES], row->field_hashes);
	act_column_add_text(&columns[JOB_EXTERNAL_IDS], act_text_to_server_exact(row->external_id));
	act_column_add_digest(&columns[JOB_FINGERPRINTS], row->fingerprint, false);
	act_column_add_digest(&columns[JOB_CHANGE_IDS], row->change_id, false);
	act_column_add(&columns[JOB_FLAGS], Int32GetDatum(row_flags(row)), false);
	act_column_add(&columns[JOB_ATTEMPTS], Int32GetDatum(row->attempts), false);
	act_column_add(&columns[JOB_LATE_UNTIL], Int64GetDatum(row->late_until), false);
	act_column_add_text(&columns[JOB_ASKS], row->ask == ROW_OP_NONE ? NULL : act_row_op_name(row->ask));
	act_column_add_text(&columns[JOB_REMEMBERED], stored_json(act_row_values_json(row->remembered)));
}

/* {name: text} as an array of both, one after the other. */
static SqlArgument
saved_argument(const Job *job)
{
	Column		column = act_column_make(TEXTOID, 2 * list_length(job->place.saved));
	ListCell   *cell;

	foreach(cell, job->place.saved)
	{
		const HttpHeader *saved = lfirst(cell);

		act_column_add_text(&column, act_text_to_server(saved->name));
		act_column_add_text(&column, act_text_to_server(saved->value));
	}
	return act_column_argument(&column);
}

static SqlArgument
time_argument(TimestampTz time)
{
	return (SqlArgument) {TIMESTAMPTZOID, TimestampTzGetDatum(time), time == 0};
}

static void
insert_job(Run *run, Job *job)
{
	SqlArgument args[11 + JOB_COLUMN_COUNT] = {
		SQL_INT8(run->sync->sync_id),
		SQL_INT8(run->run_id),
		SQL_TEXT(run->destination->name),
		SQL_TEXT(act_job_name(job->plan)),
		SQL_TEXT(state_names[act_job_durable(job)]),
		SQL_INT4(job->place.stage == JOB_STEP ? job->place.number : act_job_steps(job->plan)),
		saved_argument(job),
		time_argument(job->submitted_at),
		time_argument(job->next_poll_at),
		time_argument(job->deadline),
		SQL_INT4(job->nrows),
	};
	Column		columns[JOB_COLUMN_COUNT];

	for (int i = 0; i < JOB_COLUMN_COUNT; i++)
		columns[i] = act_column_make(column_types[i], job->nrows * (i == JOB_KEY_VALUES ? run->sync->nkeys : 1));
	for (int i = 0; i < job->nrows; i++)
		add_row(run, columns, job->rows[i]);
	for (int i = 0; i < JOB_COLUMN_COUNT; i++)
		args[11 + i] = act_column_argument(&columns[i]);
	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.job (sync_id, run_id, destination, operation, state, step, saved, submitted_at,"
			" next_poll_at, deadline, row_count, " JOB_ROW_COLUMNS ")"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)"
			" RETURNING job_id", lengthof(args), args);
	job->job_id = act_sql_int64(0, 1);
	SPI_freetuptable(SPI_tuptable);
}

#define EMPTY_ROWS \
	" ops = '{}', key_values = '{}', keys = '{}', fields = '{}', payloads = '{}', hashes = '{}', external_ids = '{}'," \
	" fingerprints = '{}', change_ids = '{}', flags = '{}', attempts = '{}', late_until = '{}', asks = '{}', remembered = '{}', row_count = 0"

/* Its rows are as they were, or gone.  False: it is not in the table. */
static bool
update_job(Run *run, const Job *job)
{
	Column		flags = act_column_make(INT4OID, job->nrows);
	SqlArgument args[] = {
		SQL_INT8(job->job_id),
		SQL_TEXT(state_names[act_job_durable(job)]),
		SQL_INT4(job->place.stage == JOB_STEP ? job->place.number : act_job_steps(job->plan)),
		saved_argument(job),
		time_argument(job->submitted_at),
		time_argument(job->next_poll_at),
		time_argument(job->deadline),
		{0},
	};

	for (int i = 0; i < job->nrows; i++)
		act_column_add(&flags, Int32GetDatum(row_flags(job->rows[i])), false);
	args[7] = act_column_argument(&flags);
	return act_sql(SPI_OK_UPDATE,
			job->nrows > 0 ?
			"UPDATE activate.job SET state = $2, step = $3, saved = $4, submitted_at = $5, next_poll_at = $6,"
			" deadline = $7, flags = $8 WHERE job_id = $1" :
			"UPDATE activate.job SET state = $2, step = $3, saved = $4, submitted_at = $5, next_poll_at = $6,"
			" deadline = $7," EMPTY_ROWS " WHERE job_id = $1",
			job->nrows > 0 ? lengthof(args) : lengthof(args) - 1, args) > 0;
}

void
act_job_write(Run *run, Job *job)
{
	Identity	identity;

	act_identity_extension(&identity);
	/* A commit that failed took it along. */
	if (job->job_id == 0 || !update_job(run, job))
		insert_job(run, job);
	act_identity_leave(&identity);
}

void
act_job_remove(const int64 *ids, int count)
{
	Column		column = act_column_make(INT8OID, count);
	Identity	identity;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		act_column_add(&column, Int64GetDatum(ids[i]), false);
	{
		SqlArgument args[] = {act_column_argument(&column)};

		act_identity_extension(&identity);
		act_sql(SPI_OK_DELETE, "DELETE FROM activate.job WHERE job_id = ANY ($1)", 1, args);
		act_identity_leave(&identity);
	}
}

int
act_job_count_others(const Run *run)
{
	SqlArgument args[] = {SQL_TEXT(run->destination->name), SQL_INT8(run->sync->sync_id), SQL_TIME(act_now())};
	Identity	identity;
	int			count;

	act_identity_extension(&identity);
	act_sql(SPI_OK_SELECT,
			"SELECT pg_catalog.count(*) FROM activate.job WHERE destination = $1 AND sync_id <> $2"
			" AND state <> 'aborting' AND (deadline > $3) IS NOT FALSE", lengthof(args), args);
	count = (int) act_sql_int64(0, 1);
	act_identity_leave(&identity);
	return count;
}

/* ----------------------------------------------------------------
 *		After a crash
 * ----------------------------------------------------------------
 */

struct JobKeys
{
	HTAB	   *digests;
	int			nkeys;
};

static void
key_digest(char *const *key_values, int nkeys, uint8 *digest)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int k = 0; k < nkeys; k++)
	{
		appendStringInfoString(&text, key_values[k]);
		appendStringInfoChar(&text, '\0');
	}
	act_digest(text.data, text.len, digest);
	pfree(text.data);
}

/* Elements of an array in the current SPI_tuptable; absent where it is null. */
static int
read_array(uint64 row, int column, Oid type, Datum **elements, bool **nulls)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	int			count = 0;
	int16		len;
	bool		byval;
	char		align;

	if (isnull)
		return 0;
	get_typlenbyvalalign(type, &len, &byval, &align);
	deconstruct_array(DatumGetArrayTypePCopy(value), type, len, byval, align, elements, nulls, &count);
	return count;
}

static void
add_keys(JobKeys *keys, uint64 row)
{
	Datum	   *values;
	bool	   *nulls;
	int			count = read_array(row, 1, TEXTOID, &values, &nulls);
	char	  **key = palloc(sizeof(char *) * keys->nkeys);

	for (int i = 0; i + keys->nkeys <= count; i += keys->nkeys)
	{
		uint8		digest[ACT_DIGEST_LEN];

		for (int k = 0; k < keys->nkeys; k++)
			key[k] = nulls[i + k] ? "" : TextDatumGetCString(values[i + k]);
		key_digest(key, keys->nkeys, digest);
		(void) hash_search(keys->digests, digest, HASH_ENTER, NULL);
	}
}

JobKeys *
act_job_recover(const Sync *sync)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	HASHCTL		control = {.keysize = ACT_DIGEST_LEN,.entrysize = ACT_DIGEST_LEN,.hcxt = CurrentMemoryContext};
	JobKeys    *keys = NULL;
	Identity	identity;
	uint64		count;

	act_identity_extension(&identity);
	/* What may have been begun is in doubt, by its claims. */
	count = act_sql(SPI_OK_SELECT,
					"SELECT key_values FROM activate.job WHERE sync_id = $1 AND state <> 'sending' AND row_count > 0",
					1, args);
	if (count > 0)
	{
		keys = palloc0(sizeof(JobKeys));
		keys->nkeys = sync->nkeys;
		keys->digests = hash_create("pg_activate rows of jobs", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_keys(keys, i);
	}
	SPI_freetuptable(SPI_tuptable);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.job SET state = 'aborting'," EMPTY_ROWS
			" WHERE sync_id = $1 AND state IN ('filling', 'sending')", 1, args);
	act_identity_leave(&identity);
	return keys;
}

bool
act_job_knows(const JobKeys *keys, char *const *key_values)
{
	uint8		digest[ACT_DIGEST_LEN];

	if (keys == NULL)
		return false;
	key_digest(key_values, keys->nkeys, digest);
	return hash_search(keys->digests, digest, HASH_FIND, NULL) != NULL;
}

void
act_job_distrust(const Sync *sync)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, "UPDATE activate.job SET trusted = false WHERE sync_id = $1 AND trusted", lengthof(args), args);
	act_identity_leave(&identity);
}

bool
act_job_exists(int64 sync_id)
{
	SqlArgument args[] = {SQL_INT8(sync_id)};
	Identity	identity;
	bool		exists;

	act_identity_extension(&identity);
	exists = act_sql(SPI_OK_SELECT, "SELECT 1 FROM activate.job WHERE sync_id = $1 LIMIT 1", 1, args) > 0;
	act_identity_leave(&identity);
	return exists;
}

/* ----------------------------------------------------------------
 *		Loaded
 * ----------------------------------------------------------------
 */

typedef struct RowArrays
{
	Datum	   *values[JOB_COLUMN_COUNT];
	bool	   *nulls[JOB_COLUMN_COUNT];
	int			counts[JOB_COLUMN_COUNT];
} RowArrays;

static char *
text_element(const RowArrays *arrays, JobColumn column, int n)
{
	return n >= arrays->counts[column] || arrays->nulls[column][n] ? NULL :
		TextDatumGetCString(arrays->values[column][n]);
}

static char *
utf8_element(const RowArrays *arrays, JobColumn column, int n)
{
	char	   *text = text_element(arrays, column, n);

	return text == NULL ? NULL : pg_server_to_any(text, strlen(text), PG_UTF8);
}

static int64
int_element(const RowArrays *arrays, JobColumn column, int n)
{
	if (n >= arrays->counts[column] || arrays->nulls[column][n])
		return 0;
	return column_types[column] == INT8OID ? DatumGetInt64(arrays->values[column][n]) :
		DatumGetInt32(arrays->values[column][n]);
}

static void
digest_element(const RowArrays *arrays, JobColumn column, int n, uint8 *digest)
{
	if (n < arrays->counts[column] && !arrays->nulls[column][n])
		memcpy(digest, DatumGetUUIDP(arrays->values[column][n])->data, ACT_DIGEST_LEN);
}

/* NULL: the arrays are not those of such a sync. */
static Row *
load_row(const RowArrays *arrays, int n, int nkeys)
{
	Row		   *row = palloc0(sizeof(Row));
	int			flags = (int) int_element(arrays, JOB_FLAGS, n);
	char	   *op = text_element(arrays, JOB_OPS, n);
	char	   *ask = text_element(arrays, JOB_ASKS, n);

	row->op = op == NULL ? ROW_OP_NONE : act_row_op_parse(op);
	if (row->op == ROW_OP_NONE || (n + 1) * nkeys > arrays->counts[JOB_KEY_VALUES])
		return NULL;
	row->cause = (RowCause) (flags >> FLAG_CAUSE_SHIFT);
	row->was_there = (flags & FLAG_WAS_THERE) != 0;
	row->in_doubt = (flags & FLAG_IN_DOUBT) != 0;
	row->at_most_once = (flags & FLAG_ONCE) != 0;
	row->uncertain = (flags & FLAG_UNCERTAIN) != 0;
	row->late = (flags & FLAG_LATE) != 0;
	row->id_changed = (flags & FLAG_ID_CHANGED) != 0;
	row->ask = ask == NULL ? ROW_OP_NONE : act_row_op_parse(ask);
	row->nkeys = nkeys;
	row->key_values = palloc0(sizeof(char *) * nkeys);
	for (int k = 0; k < nkeys; k++)
		row->key_values[k] = text_element(arrays, JOB_KEY_VALUES, n * nkeys + k);
	row->key = utf8_element(arrays, JOB_KEYS, n);
	row->fields = utf8_element(arrays, JOB_FIELDS, n);
	row->payload = utf8_element(arrays, JOB_PAYLOADS, n);
	row->field_hashes = text_element(arrays, JOB_HASHES, n);
	row->external_id = utf8_element(arrays, JOB_EXTERNAL_IDS, n);
	row->remembered = act_row_values_parse(utf8_element(arrays, JOB_REMEMBERED, n));
	digest_element(arrays, JOB_FINGERPRINTS, n, row->fingerprint);
	digest_element(arrays, JOB_CHANGE_IDS, n, row->change_id);
	row->attempts = (int) int_element(arrays, JOB_ATTEMPTS, n);
	row->late_until = int_element(arrays, JOB_LATE_UNTIL, n);
	return row;
}

/* Its rows, as those of a claim that stands nowhere. */
static void
load_rows(Job *job, uint64 result_row, int first_column, int nkeys, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_activate rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Claim	   *claim = palloc0(sizeof(Claim));
	RowArrays	arrays = {0};

	for (int i = 0; i < JOB_COLUMN_COUNT; i++)
		arrays.counts[i] = read_array(result_row, first_column + i, column_types[i], &arrays.values[i], &arrays.nulls[i]);
	claim->context = context;
	claim->rows = MemoryContextAllocHuge(context, sizeof(Row *) * Max(arrays.counts[JOB_OPS], 1));
	for (int n = 0; n < arrays.counts[JOB_OPS]; n++)
	{
		Row		   *row = load_row(&arrays, n, nkeys);

		CHECK_FOR_INTERRUPTS();
		if (row == NULL)
			break;
		row->claim = claim;
		claim->rows[claim->nrows++] = row;
	}
	claim->open = claim->nrows;
	job->batch = act_batch_make(parent, claim->rows, claim->nrows);
	MemoryContextSwitchTo(job->context);
	job->nrows = claim->nrows;
	job->rows = MemoryContextAllocHuge(job->context, sizeof(Row *) * Max(job->nrows, 1));
	memcpy(job->rows, claim->rows, sizeof(Row *) * job->nrows);
	MemoryContextSwitchTo(caller);
}

static void
load_saved(Job *job, uint64 row, int column)
{
	Datum	   *values;
	bool	   *nulls;
	int			count = read_array(row, column, TEXTOID, &values, &nulls);

	for (int i = 0; i + 1 < count; i += 2)
	{
		HttpHeader *saved = palloc(sizeof(HttpHeader));
		char	   *name = TextDatumGetCString(values[i]);
		char	   *value = TextDatumGetCString(values[i + 1]);

		saved->name = pg_server_to_any(name, strlen(name), PG_UTF8);
		saved->value = pg_server_to_any(value, strlen(value), PG_UTF8);
		job->place.saved = lappend(job->place.saved, saved);
	}
}

/* plan NULL: its destination or connector is another one by now. */
static void
load_place(const Run *run, Job *job, const char *state, int step, const char *operation, const char *destination)
{
	bool		aborting = strcmp(state, state_names[JOB_ABORTING]) == 0;

	if (strcmp(destination, run->destination->name) == 0)
		job->plan = act_connector_job_named(run->destination->connector, operation);
	job->place.stage = aborting ? JOB_ABORT : strcmp(state, state_names[JOB_POLLING]) == 0 ? JOB_POLL : JOB_STEP;
	job->place.number = job->place.stage == JOB_STEP ? step : 0;
	job->last_sent = job->place.stage == JOB_STEP;
	if (job->plan == NULL)
		return;
	if ((job->place.stage == JOB_ABORT && !act_job_aborts(job->plan, job->place.saved)) ||
		(job->place.stage == JOB_POLL && !(act_job_polls(job->plan) && act_job_has_saved(job->plan, job->place.saved))) ||
		(job->place.stage == JOB_STEP &&
		 (step != act_job_steps(job->plan) - 1 || act_job_step_has_rows(job->plan, step))))
		job->plan = NULL;
}

List *
act_job_load(Run *run, MemoryContext parent)
{
	SqlArgument args[] = {SQL_INT8(run->sync->sync_id)};
	MemoryContext caller = CurrentMemoryContext;
	List	   *jobs = NIL;
	Identity	identity;
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT job_id, operation, state, step, destination, saved, submitted_at, next_poll_at, deadline, trusted, "
					JOB_ROW_COLUMNS " FROM activate.job WHERE sync_id = $1 ORDER BY job_id", 1, args);
	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext context = AllocSetContextCreate(parent, "pg_activate job", ALLOCSET_DEFAULT_SIZES);
		Job		   *job = MemoryContextAllocZero(context, sizeof(Job));

		MemoryContextSwitchTo(context);
		job->context = context;
		job->job_id = act_sql_int64(i, 1);
		load_saved(job, i, 6);
		job->submitted_at = act_sync_state_time(i, 7);
		job->next_poll_at = act_sync_state_time(i, 8);
		job->deadline = act_sync_state_time(i, 9);
		job->trusted = act_sql_bool(i, 10);
		load_rows(job, i, 11, run->sync->nkeys, parent);
		load_place(run, job, act_sql_text(i, 3), (int) act_sql_int64(i, 4), act_sql_text(i, 2), act_sql_text(i, 5));
		job->batch->job = job;
		MemoryContextSwitchTo(parent);
		jobs = lappend(jobs, job);
	}
	MemoryContextSwitchTo(caller);
	SPI_freetuptable(SPI_tuptable);
	act_identity_leave(&identity);
	return jobs;
}
