/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  SQL-callable: plan_sync(), what the next run would do, in numbers.
 *
 * The counts are those of the diff itself.  Requests and bytes are rendered
 * for the first rows and carried on to the rest.  A proposed mapping or model
 * is put over the definition as alter_sync() would, and stored nowhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "canary.h"
#include "definition.h"
#include "field_types.h"
#include "identity.h"
#include "mapping.h"
#include "preview.h"
#include "transaction.h"
#include "unit_run.h"

PG_FUNCTION_INFO_V1(act_plan_sync);

/* Rows that are rendered, or two full requests where those take more. */
#define SAMPLE_ROWS 1000

/* Runs that the duration is taken from: the largest of the last ones. */
#define DURATION_RUNS 5
#define RECENT_RUNS 50

/* What the requests of some rows come to. */
typedef struct Volume
{
	int64		rows;
	int64		requests;
	int64		bytes;
} Volume;

/* ------------------------------------------------------------------ volume */

static int64
sample_rows(const Run *run)
{
	int64		rows = SAMPLE_ROWS;

	for (int op = 0; op < ROW_OP_COUNT; op++)
	{
		const ConnectorOperation *operation = act_connector_operation(run->destination->connector, (RowOp) op);

		if (operation != NULL)
			rows = Max(rows, 2 * (int64) act_batch_limit(run, operation));
	}
	return rows;
}

/*
 * The sample ends somewhere in a batch, so the last one says nothing about
 * how much goes into a request, unless it is the last of all.
 */
static Volume
estimate_volume(Run *run)
{
	BatchReader reader = {.run = run,.done = run->unit != NULL && !run->unit->send};
	Volume		whole = {0};
	Volume		last = {0};
	int64		total = run->diff.counts.to_send;
	Batch	   *batch;

	act_connector_expect(run->destination->connector, total);
	while ((batch = act_batch_read(&reader)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (batch->lookup)
		{
			if (act_onward_assume_missing(&reader, batch))
			{
				act_batch_render(run, batch);
				whole.requests++;
				whole.bytes += batch->request.body_len;
			}
			act_batch_free(batch);
			continue;
		}
		act_batch_render(run, batch);
		whole.rows += last.rows;
		whole.requests += last.requests;
		whole.bytes += last.bytes;
		last = (Volume) {batch->nrows, 1, (int64) batch->request.body_len};
		act_batch_discard(batch);
	}
	if (whole.rows + last.rows >= total || run->unit != NULL)
		return (Volume) {total, whole.requests + last.requests, whole.bytes + last.bytes};
	if (whole.rows == 0)
		whole = last;
	return (Volume) {total, (int64) ceil((double) whole.requests * total / whole.rows),
					 (int64) ((double) whole.bytes * total / whole.rows)};
}

/*
 * Rows a second of earlier runs; 0: there were none.  Of the last ones the
 * largest: a run of a few rows says how long a run takes, not a row.
 */
static double
earlier_speed(int64 sync_id)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync_id), SQL_INT4(DURATION_RUNS), SQL_INT4(RECENT_RUNS)};
	char	   *speed;

	act_identity_extension(&identity);
	act_sql(SPI_OK_SELECT,
			"SELECT pg_catalog.sum(r.accepted + r.rejected)"
			" / NULLIF(pg_catalog.sum(EXTRACT(epoch FROM r.finished_at - r.started_at)), 0)"
			" FROM (SELECT * FROM (SELECT accepted, rejected, started_at, finished_at FROM activate.run"
			" WHERE sync_id = $1 AND status IN ('succeeded', 'partial') AND accepted > 0"
			" ORDER BY run_id DESC LIMIT $3) AS n ORDER BY n.accepted DESC LIMIT $2) AS r",
			lengthof(args), args);
	speed = act_sql_text(0, 1);
	act_identity_leave(&identity);
	return speed != NULL ? strtod(speed, NULL) : 0;
}

int64
act_plan_seconds(int64 sync_id, int64 rows)
{
	double		speed = earlier_speed(sync_id);

	return speed > 0 ? (int64) rint(rows / speed) : -1;
}

static bool
estimate_duration(const Run *run, Interval *duration)
{
	double		speed;

	memset(duration, 0, sizeof(*duration));
	if (run->diff.counts.to_send == 0)
		return true;
	speed = earlier_speed(run->sync->sync_id);
	if (speed <= 0)
		return false;
	/* To the millisecond: more would be pretence. */
	duration->time = (TimeOffset) rint(run->diff.counts.to_send / speed * 1000) * 1000;
	return true;
}

/* ------------------------------------------------------ a proposed definition */

/* A field of a payload: the expression or constant that it is. */
typedef struct Field
{
	char	   *label;
	const char *text;
	const char *type;			/* NULL: a constant, or not known */
} Field;

/* Expressions are kept as written, with the blanks around them. */
static char *
trimmed(const char *text)
{
	int			len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	return pnstrdup(text, len);
}

static List *
list_fields(List *fields, const Mapping *mapping, const MappingNode *node, const char *label, char **types)
{
	Field	   *field;

	for (int i = 0; i < node->nchildren; i++)
	{
		const MappingNode *child = node->children[i];
		char	   *step = child->member ? child->member : psprintf("%d", i);

		fields = list_fields(fields, mapping, child,
							 label[0] == '\0' ? step : psprintf("%s.%s", label, step), types);
	}
	if (node->kind == NODE_OBJECT || node->kind == NODE_ARRAY)
		return fields;
	field = palloc0(sizeof(Field));
	field->label = pstrdup(label);
	field->text = trimmed(node->kind == NODE_CONSTANT ? node->constant :
						  mapping->leaves[node->leaf].expression);
	if (node->kind == NODE_LEAF && types != NULL)
		field->type = types[node->leaf];
	return lappend(fields, field);
}

static const Field *
find_field(List *fields, const char *label)
{
	ListCell   *cell;

	foreach(cell, fields)
	{
		const Field *field = lfirst(cell);

		if (strcmp(field->label, label) == 0)
			return field;
	}
	return NULL;
}

static void
append_member(StringInfo buf, const char *name, const char *value)
{
	if (buf->data[buf->len - 1] != '{')
		appendStringInfoString(buf, ", ");
	escape_json(buf, name);
	appendStringInfoString(buf, ": ");
	if (value != NULL)
		escape_json(buf, value);
	else
		appendStringInfoString(buf, "null");
}

/* "score": {"old": ..., "new": ...}; nothing where the two are the same. */
static void
append_change(StringInfo buf, const Field *old, const Field *new)
{
	bool		same_text = old != NULL && new != NULL && strcmp(old->text, new->text) == 0;
	bool		same_type = old == NULL || new == NULL || old->type == NULL || new->type == NULL ||
		strcmp(old->type, new->type) == 0;

	if (same_text && same_type)
		return;
	if (buf->len > 1)
		appendStringInfoString(buf, ", ");
	escape_json(buf, old != NULL ? old->label : new->label);
	appendStringInfoString(buf, ": {");
	append_member(buf, "old", old != NULL ? old->text : NULL);
	append_member(buf, "new", new != NULL ? new->text : NULL);
	if (!same_type)
	{
		append_member(buf, "old_type", old->type);
		append_member(buf, "new_type", new->type);
	}
	appendStringInfoChar(buf, '}');
}

/* {"score": {"rows": 17}}: in how many of the changed rows each field differs. */
static Datum
counted_fields(const Diff *diff, bool *isnull)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	foreach(cell, diff->fields)
	{
		const FieldChanges *field = lfirst(cell);

		appendStringInfo(&buf, "%s%s: {\"rows\": " INT64_FORMAT "}", buf.len > 1 ? ", " : "",
						 field->name, field->rows);
	}
	appendStringInfoChar(&buf, '}');
	return act_preview_changes(buf.data, isnull);
}

/* Which fields the proposed definition makes otherwise, as jsonb. */
static Datum
changed_fields(const Sync *sync, const Model *model)
{
	Model	   *old_model = act_definition_try_resolve(sync);
	Mapping    *old_mapping = old_model != NULL ? old_model->mapping : act_mapping_parse(sync->mapping);
	List	   *old = list_fields(NIL, old_mapping, old_mapping->root, "",
								  old_model != NULL ? old_model->leaf_type_names : NULL);
	List	   *new = list_fields(NIL, model->mapping, model->mapping->root, "", model->leaf_type_names);
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	foreach(cell, new)
		append_change(&buf, find_field(old, ((Field *) lfirst(cell))->label), lfirst(cell));
	foreach(cell, old)
	{
		if (find_field(new, ((Field *) lfirst(cell))->label) == NULL)
			append_change(&buf, lfirst(cell), NULL);
	}
	appendStringInfoChar(&buf, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

/* What was accepted is known by the key as it is. */
static void
check_key_types(const Sync *sync, const Model *model)
{
	for (int i = 0; i < sync->nkeys; i++)
	{
		Oid			type = get_atttype(sync->table_oid, get_attnum(sync->table_oid, sync->key[i]));

		if (type != model->key_types[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the proposed model does not fit the key of sync \"%s\"", sync->name),
					 errdetail("Column \"%s\" has type %s, and in the proposed model %s.", sync->key[i],
							   format_type_be(type), format_type_be(model->key_types[i])),
					 errhint("Cast it in the model: model => 'SELECT %s::%s, ...'.",
							 quote_identifier(sync->key[i]), format_type_be(type))));
	}
}

/* The sync as alter_sync() would make it; which fields change. */
static Datum
propose(Run *run, char *mapping, char *model)
{
	Sync	   *sync = run->sync;
	Sync	   *proposed = memcpy(palloc(sizeof(Sync)), sync, sizeof(Sync));
	DefinitionInput input = {.name = sync->name,.mapping = mapping,.model = model};

	run->model = act_definition_apply(proposed, &input);
	check_key_types(sync, run->model);
	act_definition_tell(proposed, run->model, mapping != NULL ? mapping : sync->mapping);
	run->sync = proposed;
	return changed_fields(sync, run->model);
}

/* ----------------------------------------------------------------- plan_sync */

static Datum
guard_text(Run *run, bool proposed)
{
	char	   *detail;
	const char *problem = act_guard_problem(run, &detail);
	bool		approved = !proposed && act_ledger_approved(run);

	if (approved)
		problem = NULL;
	else if (!proposed && problem == NULL)
	{
		run->canary_pending = act_ledger_canary_pending(run);
		if (act_canary_refused(run) > 0)
			problem = CANARY_REFUSED;
	}
	if (act_unit_run_problem(run) != NULL)
		problem = act_unit_run_problem(run);
	return CStringGetTextDatum(problem != NULL ? problem : "ok");
}

static void
put_plan(Preview *preview, Datum fields, bool proposed)
{
	Run		   *run = &preview->run;
	const DiffCounts *counts = &run->diff.counts;
	Volume		volume = estimate_volume(run);
	Interval	duration;
	bool		has_duration = estimate_duration(run, &duration);
	Datum		values[] = {
		Int64GetDatum(counts->added), Int64GetDatum(counts->changed), Int64GetDatum(counts->removed),
		Int64GetDatum(counts->leaving), Int64GetDatum(counts->unchanged), Int64GetDatum(counts->invalid),
		Int64GetDatum(counts->duplicates), Int64GetDatum(counts->to_send),
		Int64GetDatum(volume.requests), Int64GetDatum(volume.bytes),
		IntervalPGetDatum(&duration), guard_text(run, proposed), fields
	};
	bool		nulls[lengthof(values)] = {false};

	nulls[10] = !has_duration;
	nulls[12] = !proposed;
	if (!proposed && (run->sync->options.changed_fields_only || run->sync->options.keep_payload))
		values[12] = counted_fields(&run->diff, &nulls[12]);
	act_preview_put(preview, values, nulls);
}

/* Of what nobody proposed: the model itself is another one than the last run's. */
static void
tell_types(Run *run)
{
	char	   *change;

	run->model = act_model_resolve(run->sync);
	change = act_field_types_change(run->model);
	if (change != NULL)
		ereport(NOTICE,
				(errmsg("%s since rows of sync \"%s\" were last sent", change, run->sync->name),
				 errhint("Where the destination has these values all the same: SELECT activate.reset_sync(%s, 'baseline');",
						 quote_literal_cstr(run->sync->name))));
}

static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/* activate.plan_sync(name text, mapping text, model text) */
Datum
act_plan_sync(PG_FUNCTION_ARGS)
{
	Preview    *preview = act_preview_begin(fcinfo, "SELECT * FROM activate.plan_sync('customer_health');");
	Run		   *run = &preview->run;
	char	   *mapping = text_argument(fcinfo, 1);
	char	   *model = text_argument(fcinfo, 2);
	bool		proposed = mapping != NULL || model != NULL;
	Datum		fields = (Datum) 0;

	if (proposed)
		fields = propose(run, mapping, model);
	else
		tell_types(run);
	act_preview_destination(preview);
	act_preview_tell_model(preview);
	PG_TRY();
	{
		act_diff_preview(run->model, sample_rows(run), false, &run->diff);
		act_unit_run_read(run);
		put_plan(preview, fields, proposed);
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

static char *
plan_text(Run *run)
{
	const DiffCounts *counts = &run->diff.counts;
	Volume		volume = estimate_volume(run);
	Interval	duration;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"rows\": " INT64_FORMAT ", \"added\": " INT64_FORMAT ", \"changed\": " INT64_FORMAT
					 ", \"removed\": " INT64_FORMAT ", \"leaving\": " INT64_FORMAT ", \"unchanged\": " INT64_FORMAT
					 ", \"invalid\": " INT64_FORMAT ", \"duplicates\": " INT64_FORMAT ", \"to_send\": " INT64_FORMAT
					 ", \"requests\": " INT64_FORMAT ", \"bytes\": " INT64_FORMAT ", \"duration\": ",
					 counts->rows_in_model, counts->added, counts->changed, counts->removed, counts->leaving,
					 counts->unchanged, counts->invalid, counts->duplicates, counts->to_send,
					 volume.requests, volume.bytes);
	if (estimate_duration(run, &duration))
		escape_json(&buf, DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&duration))));
	else
		appendStringInfoString(&buf, "null");
	appendStringInfoString(&buf, ", \"guard\": ");
	escape_json(&buf, TextDatumGetCString(guard_text(run, true)));
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

char *
act_plan_json(Sync *sync)
{
	Preview		preview = {.run = {.sync = sync, .context = CurrentMemoryContext}};
	Run		   *run = &preview.run;
	bool		writes_before = act_transaction_forbid_writes();
	char	   *volatile plan = NULL;

	sync->in_doubt = act_cluster_doubt(sync) != NULL;
	(void) act_sync_table_open(sync, AccessShareLock, false);
	/* What was changed a moment ago is to be seen. */
	CommandCounterIncrement();
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	run->model = act_model_resolve(sync);
	act_preview_destination(&preview);
	PG_TRY();
	{
		act_diff_preview(run->model, sample_rows(run), false, &run->diff);
		act_unit_run_read(run);
		plan = plan_text(run);
	}
	PG_FINALLY();
	{
		act_diff_end(&run->diff);
		if (run->unit != NULL)
			act_unit_end(run->unit);
	}
	PG_END_TRY();
	PopActiveSnapshot();
	act_transaction_allow_writes(writes_before);
	return plan;
}
