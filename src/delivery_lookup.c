/*-------------------------------------------------------------------------
 *
 * delivery_lookup.c
 *	  Lookups before the write, and rows that go another way by what is there.
 *
 * Called by the loop of deliver.c and by what reads answers, outside of any
 * transaction; only the ids that are in use are read in one of their own.  A
 * lookup changes nothing: its rows are not claimed for it, and one that is
 * lost leaves no doubt.  What was found is kept in the memory of the row's
 * claim, and written down with whatever becomes of the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver_private.h"
#include "record_owner.h"

/* Another row has the record: this one may not have it, too. */
static bool
is_taken(Delivery *delivery, Row *row, const char *id)
{
	const char *owner;

	if (row->external_id != NULL && strcmp(row->external_id, id) == 0)
		return false;
	if (delivery->owners == NULL)
		delivery->owners = act_owners_create(delivery->context);
	owner = act_owners_take(delivery->owners, delivery->run, id, row->key);
	if (owner == NULL)
		return false;
	row->outcome = ROW_REJECTED;
	row->code = pstrdup("record_taken");
	row->message = psprintf("record %s of the destination matches the row and is %s%s already", id,
							*owner != '\0' ? "that of row " : "another row's", owner);
	return true;
}

void
act_delivery_note_record(Delivery *delivery, const Row *row)
{
	const char *id = row->new_external_id != NULL ? row->new_external_id : row->id_changed ? row->external_id : NULL;

	if (id == NULL || act_row_op_removes(row->op) || !act_connector_finds(delivery->run->destination->connector))
		return;
	if (delivery->owners == NULL)
		delivery->owners = act_owners_create(delivery->context);
	act_owners_note(delivery->owners, id, row->key);
}

/* ----------------------------------------------------------------
 *		Lookups
 * ----------------------------------------------------------------
 */

/* Those that cannot be asked for are dealt with as if they were not there. */
bool
act_delivery_lookup_begin(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	const Connector *connector = run->destination->connector;
	bool		possible = act_connector_lookup_problem(connector, run->scope.nmatch) == NULL;
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];
		MemoryContext caller = MemoryContextSwitchTo(batch->context);

		if (possible && act_connector_lookup_has(connector, &run->scope, row))
		{
			MemoryContextSwitchTo(caller);
			batch->rows[kept++] = row;
			continue;
		}
		MemoryContextSwitchTo(row->claim->context);
		act_connector_row_missing(connector, row, false);
		MemoryContextSwitchTo(caller);
		if (row->outcome == ROW_UNDECIDED)
			act_onward_put(&delivery->reader, row);
		else
			act_delivery_finish_row(delivery, row);
	}
	batch->nrows = kept;
	if (kept > 0)
		return true;
	act_batch_free(batch);
	return false;
}

/* An id with a secret in it is none to be kept. */
static bool
is_safe(const Run *run, const char *id)
{
	return strcmp(act_destination_redact(run->destination, id), id) == 0;
}

static void
judge_row(Delivery *delivery, Row *row, const ConnectorFound *found, int http_status)
{
	const Connector *connector = delivery->run->destination->connector;
	ConnectorFound kept = *found;

	row->outcome = ROW_UNDECIDED;
	row->http_status = http_status;
	if (found->count == 0)
	{
		act_connector_row_missing(connector, row, true);
		return;
	}
	if (found->count > 1)
	{
		row->outcome = ROW_REJECTED;
		row->code = pstrdup("match_not_unique");
		row->message = psprintf("%d records of the destination match the row, and which one is its own cannot be told",
								found->count);
		return;
	}
	if (!is_safe(delivery->run, found->external_id))
	{
		row->outcome = ROW_REJECTED;
		row->code = pstrdup("lookup_incomplete");
		row->message = pstrdup("the id of the record that was found has a secret in it");
		return;
	}
	if (is_taken(delivery, row, found->external_id))
		return;
	kept.external_id = pstrdup(found->external_id);
	kept.values = act_row_values_copy(found->values);
	act_connector_row_found(connector, row, &kept);
}

void
act_delivery_lookup_read(Delivery *delivery, Batch *batch, const HttpResponse *response,
						 int64 now_ms, ConnectorAnswer *answer)
{
	Run		   *run = delivery->run;
	MemoryContext caller = CurrentMemoryContext;

	batch->found = palloc0(sizeof(ConnectorFound) * batch->nrows);
	act_connector_read_lookup(run->destination->connector, &run->scope, response, batch->rows, batch->nrows,
							  now_ms, answer, batch->found);
	for (int i = 0; i < batch->nrows && answer->verdict == VERDICT_ROWS; i++)
	{
		MemoryContextSwitchTo(batch->rows[i]->claim->context);
		judge_row(delivery, batch->rows[i], &batch->found[i], answer->http_status);
	}
	MemoryContextSwitchTo(caller);
}

void
act_delivery_looked_up(Delivery *delivery, Batch *batch)
{
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];

		if (row->outcome == ROW_UNDECIDED)
			act_onward_put(&delivery->reader, row);
		else
			batch->rows[kept++] = row;
	}
	batch->nrows = kept;
}

/* ----------------------------------------------------------------
 *		Before the write
 * ----------------------------------------------------------------
 */

/* The request may want of a row what nobody found out. */
bool
act_delivery_ready(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	MemoryContext caller = MemoryContextSwitchTo(batch->context);
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];
		char	   *problem = act_connector_row_unready(run->destination->connector, &run->scope, row);

		if (problem == NULL)
		{
			batch->rows[kept++] = row;
			continue;
		}
		row->outcome = ROW_REJECTED;
		row->code = "not_rendered";
		row->message = problem;
		row->http_status = 0;
		act_delivery_finish_row(delivery, row);
	}
	batch->nrows = kept;
	MemoryContextSwitchTo(caller);
	if (kept > 0)
		return true;
	act_delivery_finish(delivery, batch);
	return false;
}

/* ----------------------------------------------------------------
 *		Answers that send rows another way
 * ----------------------------------------------------------------
 */

/* An id that the row is to be found by anew is still its own: the lookup may find just that one. */
static bool
goes_on(Delivery *delivery, Row *row, bool exists)
{
	const Connector *connector = delivery->run->destination->connector;
	char	   *id = row->external_id != NULL ? pstrdup(row->external_id) : NULL;

	if (exists ? !act_connector_row_is_there(connector, row) : !act_connector_row_forgets(connector, row))
		return false;
	if (id == NULL || row->external_id != NULL)
		return true;
	if (delivery->owners == NULL)
		delivery->owners = act_owners_create(delivery->context);
	act_owners_note(delivery->owners, id, row->key);
	return true;
}

static bool
turns(Delivery *delivery, Row *row)
{
	bool		exists = row->outcome == ROW_REJECTED && row->exists;

	if (!exists && row->outcome != ROW_ABSENT)
		return false;
	row->new_external_id = row->new_external_id != NULL ? pstrdup(row->new_external_id) : NULL;
	row->code = row->code != NULL ? pstrdup(row->code) : NULL;
	row->message = row->message != NULL ? pstrdup(row->message) : NULL;
	if (exists && row->new_external_id != NULL && is_taken(delivery, row, row->new_external_id))
	{
		row->new_external_id = NULL;
		return false;
	}
	return goes_on(delivery, row, exists);
}

/*
 * Of a row that an earlier run handed over no more is there than what it is
 * known by: what follows goes with the version that is compared next.
 */
static void
put_back(Delivery *delivery, Row *row)
{
	if (row->outcome == ROW_ABSENT && act_connector_row_forgets(delivery->run->destination->connector, row))
	{
		row->outcome = ROW_DELAYED;
		row->code = row->message = NULL;
	}
	row->new_external_id = row->exists ? NULL : row->new_external_id;
}

void
act_delivery_turn(Delivery *delivery, Batch *batch)
{
	MemoryContext caller = CurrentMemoryContext;
	int			kept = 0;

	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];
		bool		turned;

		/* Whose the record is was not asked. */
		if (row->exists && delivery->run->stop.set)
			row->new_external_id = NULL;
		MemoryContextSwitchTo(row->claim->context);
		turned = !delivery->run->stop.set && !delivery->run->resuming && turns(delivery, row);
		if (delivery->run->resuming)
			put_back(delivery, row);
		MemoryContextSwitchTo(caller);
		if (turned)
			act_onward_put(&delivery->reader, row);
		else
			batch->rows[kept++] = row;
	}
	batch->nrows = kept;
}
