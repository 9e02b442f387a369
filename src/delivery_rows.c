/*-------------------------------------------------------------------------
 *
 * delivery_rows.c
 *	  Rows whose fate is known: counted, and kept to be written down.
 *
 * Called by the loop of deliver.c and by what reads answers, outside of any
 * transaction.  What an answer said of a row is copied to the row's claim:
 * batches come and go, claims stay until all of their rows are written down.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "brake.h"
#include "canary.h"
#include "deliver_private.h"
#include "fault.h"

/* Refusals that wait at most: so many are not all alike. */
#define MAX_UNDECIDED 5000

static void
count_outcome(Delivery *delivery, const Row *row)
{
	RunCounts  *counts = &delivery->run->counts;

	counts->outcomes[row->outcome]++;
	if (row->outcome != ROW_ACCEPTED)
		return;
	delivery->accepted++;
	if (act_row_op_removes(row->op))
		counts->removals_accepted++;
	else if (row->cause == ROW_ADDED)
		counts->first_accepted++;
}

static void
finish_claim(Delivery *delivery, Claim *claim)
{
	delivery->finished_claims = lappend(delivery->finished_claims, claim);
	if (delivery->settled_since == 0)
		delivery->settled_since = act_delivery_now();
}

/* To be written down as it is. */
static void
settle(Delivery *delivery, Row *row)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);
	Claim	   *claim = row->claim;
	SettledRow *settled = MemoryContextAllocZero(claim->context, sizeof(SettledRow));

	settled->row = row;
	settled->uncertain = row->uncertain && !row->put_by;
	settled->late_ms = row->late && !row->put_by ? delivery->run->destination->policy.timeout_ms : 0;
	delivery->settled = lappend(delivery->settled, settled);
	if (delivery->settled_since == 0)
		delivery->settled_since = act_delivery_now();
	row->claim = NULL;
	if (--claim->open == 0)
		finish_claim(delivery, claim);
	else if (!claim->touched)
	{
		claim->touched = true;
		delivery->touched_claims = lappend(delivery->touched_claims, claim);
	}
	MemoryContextSwitchTo(caller);
}

static void
keep(const Claim *claim, char **text)
{
	if (*text != NULL)
		*text = MemoryContextStrdup(claim->context, *text);
}

void
act_delivery_decide(Delivery *delivery)
{
	ListCell   *cell;

	foreach(cell, delivery->undecided)
		settle(delivery, lfirst(cell));
	list_free(delivery->undecided);
	delivery->undecided = NIL;
}

void
act_delivery_decide_late(Delivery *delivery)
{
	if (delivery->undecided == NIL)
		return;
	if (delivery->run->stop.set || list_length(delivery->undecided) >= MAX_UNDECIDED ||
		(delivery->in_flight == NIL && delivery->ready == NIL && delivery->unclaimed == NIL &&
		 act_delivery_all_read(delivery)))
		act_delivery_decide(delivery);
}

void
act_delivery_finish_row(Delivery *delivery, Row *row)
{
	MemoryContext caller;

	keep(row->claim, &row->code);
	keep(row->claim, &row->message);
	keep(row->claim, &row->new_external_id);
	if (row->new_remembered != NIL)
	{
		caller = MemoryContextSwitchTo(row->claim->context);
		row->new_remembered = act_row_values_copy(row->new_remembered);
		MemoryContextSwitchTo(caller);
	}
#ifdef ACT_TEST
	if (act_fault_claims_off)
		row->uncertain = false;
	if (act_fault_late_off)
		row->late = false;
#endif
	if (row->outcome == ROW_DELAYED && row->uncertain && !row->put_by)
		row->outcome = row->at_most_once ? ROW_UNKNOWN : ROW_DOUBT;
	count_outcome(delivery, row);
	if (row->outcome == ROW_ACCEPTED)
		act_delivery_note_record(delivery, row);
	act_canary_note(delivery->run, row);
	act_brake_note(delivery, row);
	if ((row->outcome == ROW_REJECTED || row->outcome == ROW_REFUSED) && delivery->run->unit == NULL)
	{
		caller = MemoryContextSwitchTo(delivery->context);
		delivery->undecided = lappend(delivery->undecided, row);
		MemoryContextSwitchTo(caller);
		return;
	}
	/* One that is not refused says that the refusals are the rows' own. */
	if (row->outcome == ROW_ACCEPTED || row->outcome == ROW_ABSENT)
		act_delivery_decide(delivery);
	settle(delivery, row);
}

void
act_delivery_delay_rows(Delivery *delivery, Row **rows, int nrows)
{
	for (int i = 0; i < nrows; i++)
	{
		rows[i]->outcome = ROW_DELAYED;
		rows[i]->code = rows[i]->message = rows[i]->new_external_id = NULL;
		rows[i]->new_remembered = NIL;
		rows[i]->http_status = 0;
		act_delivery_finish_row(delivery, rows[i]);
	}
}

void
act_delivery_finish(Delivery *delivery, Batch *batch)
{
	if (batch->unit != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(delivery->context);

		batch->unit->answered = true;
		batch->unit->uncertain = batch->uncertain;
		batch->unit->late_ms = batch->late ? delivery->run->destination->policy.timeout_ms : 0;
#ifdef ACT_TEST
		if (act_fault_claims_off)
			batch->unit->uncertain = false;
		if (act_fault_late_off)
			batch->unit->late_ms = 0;
#endif
		if (batch->nrows == 0)
			finish_claim(delivery, batch->fresh);
		MemoryContextSwitchTo(caller);
	}
	if (batch->job != NULL)
		act_delivery_job_done(delivery, batch);
	if (batch->nrows > 0 && !batch->lookup)
		delivery->first_batch_pending = false;
	act_search_dropped(&delivery->search, batch);
	for (int i = 0; i < batch->nrows; i++)
		act_delivery_finish_row(delivery, batch->rows[i]);
	act_batch_free(batch);
}

void
act_delivery_finish_with(Delivery *delivery, Batch *batch, RowOutcome outcome, const char *code,
						 const char *message, int http_status)
{
	if (batch->unit != NULL)
		batch->unit->outcome = outcome;
	if (batch->job != NULL && outcome == ROW_DELAYED)
		act_delivery_job_put_by(delivery, batch);
	for (int i = 0; i < batch->nrows; i++)
	{
		Row		   *row = batch->rows[i];

		row->outcome = outcome;
		row->code = unconstify(char *, code);
		row->message = unconstify(char *, message);
		row->new_external_id = NULL;
		row->http_status = http_status;
	}
	act_delivery_finish(delivery, batch);
}

/* What was read for a batch and is not claimed counts as delayed at the end of the run. */
static void
drop_unclaimed(Delivery *delivery, Batch *batch)
{
	for (int i = 0; i < batch->nrows; i++)
	{
		if (batch->rows[i]->claim != batch->fresh)
			act_delivery_delay_rows(delivery, &batch->rows[i], 1);
	}
	act_batch_free(batch);
}

void
act_delivery_drop_waiting(Delivery *delivery)
{
	BatchSearch *search = &delivery->search;
	Batch	   *waiting;
	ListCell   *cell;

	foreach(cell, delivery->unclaimed)
		drop_unclaimed(delivery, lfirst(cell));
	list_free(delivery->unclaimed);
	delivery->unclaimed = NIL;
	while ((waiting = act_batch_take_waiting(&delivery->reader)) != NULL)
		drop_unclaimed(delivery, waiting);
	act_delivery_delay_rows(delivery, delivery->reader.onward, delivery->reader.nonward);
	delivery->reader.nonward = delivery->reader.onward_claimed = 0;
	act_delivery_delay_rows(delivery, search->pool, search->npool);
	search->npool = 0;
}
