/*-------------------------------------------------------------------------
 *
 * preview.c
 *	  SQL-callable: preview_sync() and preview_requests().
 *
 * Rows and requests are those of the engine: the same diff, the same batches,
 * the same rendering.  Nothing is sent and nothing is written, so that all of
 * it works in a READ ONLY transaction, on a paused sync and on a copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "catalog.h"
#include "compat.h"
#include "curl_command.h"
#include "definition.h"
#include "fault.h"
#include "mapping_form.h"
#include "preview.h"
#include "request_mask.h"
#include "transaction.h"
#include "unit_run.h"

PG_FUNCTION_INFO_V1(act_preview_sync);
PG_FUNCTION_INFO_V1(act_preview_requests);

/* ----------------------------------------------------------------
 *		What all of them need
 * ----------------------------------------------------------------
 */

Preview *
act_preview_begin(FunctionCallInfo fcinfo, const char *hint)
{
	Preview    *preview;
	char	   *name;

	act_require_argument(PG_ARGISNULL(0), "name", hint);
	act_compat_materialize(fcinfo);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	preview = palloc0(sizeof(Preview));
	preview->result = (ReturnSetInfo *) fcinfo->resultinfo;
	preview->writes_before = act_transaction_forbid_writes();
	preview->run.context = CurrentMemoryContext;
	preview->run.sync = act_sync_load(name, false);
	preview->run.sync->in_doubt = act_cluster_doubt(preview->run.sync) != NULL;
	(void) act_sync_table_open(preview->run.sync, AccessShareLock, false);
	if (preview->run.sync->first_run_pending && preview->run.sync->options.first_run == FIRST_RUN_BASELINE)
		act_definition_tell_baseline(preview->run.sync);
	return preview;
}

void
act_preview_end(Preview *preview)
{
	act_transaction_allow_writes(preview->writes_before);
	SPI_finish();
}

void
act_preview_destination(Preview *preview)
{
	Run		   *run = &preview->run;
	const Sync *sync = run->sync;

	run->destination = act_destination_load_object(sync->destination, sync->owner, sync->object, false);
	act_destination_require_allowed(run->destination, sync->object,
									act_sync_mode_name(sync->mode), act_on_removed_name(sync->on_removed));
	act_run_scope(run);
	run->scope.token = act_connector_sample_token(run->destination->connector, &run->scope, ACT_REQUEST_MASK);
}

static void
load_destination(void *arg)
{
	act_preview_destination(arg);
}

void
act_preview_tell_model(Preview *preview)
{
	Run		   *run = &preview->run;

	if (run->destination == NULL && !act_transaction_try(load_destination, preview))
	{
		run->destination = NULL;
		return;
	}
	act_catalog_scope(run->sync, run->model, run->destination->connector, &run->scope);
	act_model_set_destination(run->model, run->destination->connector, &run->scope);
}

void
act_preview_put(Preview *preview, Datum *values, bool *nulls)
{
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc, values, nulls);
}

int
act_preview_limit(FunctionCallInfo fcinfo, int argument, const char *name)
{
	int			limit;

	if (PG_ARGISNULL(argument))
		return 0;
	limit = PG_GETARG_INT32(argument);
	if (limit <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than zero", name),
				 errhint("NULL shows all of them.")));
	return limit;
}

Datum
act_preview_json(const char *utf8)
{
	return CStringGetTextDatum(act_text_to_server(utf8));
}

Datum
act_preview_jsonb(const char *utf8)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(act_text_to_server(utf8)));
}

typedef struct JsonbTrial
{
	const char *utf8;
	Datum		value;
} JsonbTrial;

static void
try_jsonb(void *arg)
{
	JsonbTrial *trial = arg;

	trial->value = act_preview_jsonb(trial->utf8);
}

/* \u0000 as \\u0000 */
static char *
show_escapes(const char *utf8)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *at = utf8; *at != '\0'; at++)
	{
		if (*at != '\\')
		{
			appendStringInfoChar(&buf, *at);
			continue;
		}
		appendStringInfoString(&buf, at[1] == 'u' ? "\\\\" : "\\");
		appendStringInfoChar(&buf, *++at);
	}
	return buf.data;
}

/*
 * A value of type json can hold what jsonb cannot: escapes of NUL and of half
 * a character, and numbers beyond numeric; for those nothing is shown.
 */
Datum
act_preview_changes(const char *utf8, bool *isnull)
{
	JsonbTrial	trial = {.utf8 = utf8};

	*isnull = utf8 == NULL;
	if (utf8 == NULL || act_transaction_try(try_jsonb, &trial))
		return trial.value;
	trial.utf8 = show_escapes(utf8);
	*isnull = !act_transaction_try(try_jsonb, &trial);
	return trial.value;
}

/* ----------------------------------------------------------------
 *		preview_sync
 * ----------------------------------------------------------------
 */

#define ROW_COLUMNS 5

static void
put_row(Preview *preview, const Row *row)
{
	Datum		values[ROW_COLUMNS] = {0};
	bool		nulls[ROW_COLUMNS] = {false, false, true, false, true};

	values[0] = CStringGetTextDatum(act_row_op_sent_name(row->op));
	values[1] = act_preview_jsonb(row->key);
	values[2] = act_preview_changes(row->changed, &nulls[2]);
	nulls[3] = row->fields == NULL;
	if (row->fields != NULL)
		values[3] = act_preview_json(row->fields);
	act_preview_put(preview, values, nulls);
}

static void
put_invalid(Preview *preview, const InvalidRow *row)
{
	Datum		values[ROW_COLUMNS] = {0};
	bool		nulls[ROW_COLUMNS] = {false, false, true, true, false};

	values[0] = CStringGetTextDatum("invalid");
	values[1] = act_preview_jsonb(row->key);
	values[4] = CStringGetTextDatum(act_text_to_server(row->message));
	act_preview_put(preview, values, nulls);
}

/* Both lists are in key order, and an invalid row knows its place. */
static void
put_rows(Preview *preview, int max_rows)
{
	Diff	   *diff = &preview->run.diff;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate preview",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Unit	   *unit = preview->run.unit;
	bool		kept_back = unit != NULL && (unit->waits || diff->counts.invalid > 0);
	int64		sent = 0;
	int			invalid = 0;

	while (max_rows == 0 || sent + invalid < max_rows)
	{
		Row		   *row;

		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		if (invalid < list_length(diff->invalid) &&
			(kept_back || ((InvalidRow *) list_nth(diff->invalid, invalid))->place <= sent))
		{
			put_invalid(preview, list_nth(diff->invalid, invalid++));
			continue;
		}
		row = kept_back ? NULL : act_diff_next(diff);
		if (row == NULL)
			break;
		put_row(preview, row);
		sent++;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* activate.preview_sync(name text, max_rows int) */
Datum
act_preview_sync(PG_FUNCTION_ARGS)
{
	int			max_rows = act_preview_limit(fcinfo, 1, "max_rows");
	Preview    *preview = act_preview_begin(fcinfo, "SELECT * FROM activate.preview_sync('customer_health');");
	Run		   *run = &preview->run;

	run->model = act_model_resolve(run->sync);
	act_preview_tell_model(preview);
	PG_TRY();
	{
		act_diff_preview(run->model, max_rows, run->sync->mode != MODE_REPLACE, &run->diff);
		act_unit_run_read(run);
		put_rows(preview, max_rows);
	}
	PG_FINALLY();
	{
		act_diff_end(&run->diff);
		if (run->unit != NULL)
			act_unit_end(run->unit);
	}
	PG_END_TRY();
	act_preview_end(preview);
	return (Datum) 0;
}

/* ----------------------------------------------------------------
 *		preview_requests
 * ----------------------------------------------------------------
 */

static char *
headers_json(const HttpRequest *request)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (buf.len > 1)
			appendStringInfoString(&buf, ", ");
		escape_json(&buf, header->name);
		appendStringInfoString(&buf, ": ");
		escape_json(&buf, header->value);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

#define REQUEST_COLUMNS 6

static void
put_request(Preview *preview, const Batch *batch)
{
	HttpRequest request = act_request_masked(&preview->run, &batch->request,
											 act_now() / USECS_PER_SEC +
											 (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	Datum		values[REQUEST_COLUMNS] = {0};
	bool		nulls[REQUEST_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(request.method);
	values[1] = CStringGetTextDatum(act_text_to_server(request.url));
	values[2] = act_preview_jsonb(headers_json(&request));
	nulls[3] = request.body == NULL;
	if (request.body != NULL)
		values[3] = CStringGetTextDatum(act_text_to_server(pnstrdup(request.body, request.body_len)));
	values[4] = Int32GetDatum(batch->unit != NULL ? (int) batch->unit->nrows : batch->nrows);
	values[5] = CStringGetTextDatum(act_text_to_server(act_curl_command(&request)));
	act_preview_put(preview, values, nulls);
}

/* Rows that would be rejected, since their request lacks something of them, are not in it; false: none is left. */
static bool
leave_unready(const Run *run, Batch *batch)
{
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		if (act_connector_row_unready(run->destination->connector, &run->scope, batch->rows[i]) == NULL)
			batch->rows[kept++] = batch->rows[i];
	}
	batch->nrows = kept;
	return kept > 0;
}

static void
put_requests(Preview *preview, int max_requests)
{
	Run		   *run = &preview->run;
	BatchReader reader = {.run = run};

	for (int i = 0; max_requests == 0 || i < max_requests; i++)
	{
		Batch	   *batch;
		MemoryContext caller;

		CHECK_FOR_INTERRUPTS();
		batch = run->unit != NULL && !run->unit->send ? NULL : act_batch_read(&reader);
		if (batch == NULL)
			break;
		if (batch->lookup && !act_onward_assume_missing(&reader, batch))
		{
			act_batch_free(batch);
			i--;
			continue;
		}
		if (run->unit == NULL && !batch->lookup && !leave_unready(run, batch))
		{
			act_batch_discard(batch);
			i--;
			continue;
		}
		act_batch_render(run, batch);
		caller = MemoryContextSwitchTo(batch->context);
		put_request(preview, batch);
		MemoryContextSwitchTo(caller);
		/* The rows of a lookup go on. */
		if (batch->lookup)
			act_batch_free(batch);
		else
			act_batch_discard(batch);
	}
}

/* Rows that so many requests take at most, and one more that ends the last. */
static int64
rows_for(const Run *run, int max_requests)
{
	int64		most = 1;

	for (int op = 0; op < ROW_OP_COUNT; op++)
	{
		const ConnectorOperation *operation = act_connector_operation(run->destination->connector, (RowOp) op);

		if (operation != NULL)
			most = Max(most, act_batch_limit(run, operation));
	}
	return max_requests == 0 ? 0 : max_requests * most + 1;
}

/* The whole diff, since one row that cannot be sent keeps all of them back. */
static void
preview_unit(Run *run)
{
	char	   *problem;

	act_diff_preview(run->model, 0, false, &run->diff);
	act_unit_run_read(run);
	problem = act_unit_run_problem(run);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("there is no request of sync \"%s\": %s", run->sync->name, problem),
				 errdetail("%s", act_guard_invalid_examples(run)),
				 errhint("Leave them out of the model, or mend them there.")));
}

/* activate.preview_requests(name text, max_requests int) */
Datum
act_preview_requests(PG_FUNCTION_ARGS)
{
	int			max_requests = act_preview_limit(fcinfo, 1, "max_requests");
	Preview    *preview = act_preview_begin(fcinfo, "SELECT curl FROM activate.preview_requests('customer_health');");
	Run		   *run = &preview->run;

	act_preview_destination(preview);
	run->model = act_model_resolve(run->sync);
	act_preview_tell_model(preview);
	PG_TRY();
	{
		if (run->sync->mode == MODE_REPLACE)
			preview_unit(run);
		else
			act_diff_preview(run->model, rows_for(run, max_requests), true, &run->diff);
		act_connector_expect(run->destination->connector, run->diff.counts.to_send);
		put_requests(preview, max_requests);
	}
	PG_FINALLY();
	{
		act_diff_end(&run->diff);
		if (run->unit != NULL)
			act_unit_end(run->unit);
	}
	PG_END_TRY();
	act_preview_end(preview);
	return (Datum) 0;
}
