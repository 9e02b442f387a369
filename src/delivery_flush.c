/*-------------------------------------------------------------------------
 *
 * delivery_flush.c
 *	  The transactions of a delivery: claims, and answers written down.
 *
 * Group commit: whatever has come together since the last one.  A claim is
 * durable before its request's first byte goes out.  What takes the place of
 * a request that was answered is claimed by the transaction that writes down
 * the answer, so that never more is claimed than may be under way at a time,
 * and a crash costs no more than that.  An answer alone may be lost in a
 * crash, which then leaves its rows in doubt, so it is flushed without
 * waiting, unless it brought ids that we will need.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "deliver_private.h"
#include "destination_state.h"
#include "fault.h"
#include "job.h"
#include "reference.h"
#include "request_log.h"
#include "run_lock.h"
#include "standby.h"
#include "transaction.h"

/* How long a claim waits for a synchronous standby, and how often it looks. */
#define STANDBY_PATIENCE_MS 10000
#define STANDBY_PAUSE_MS 1

/*
 * Rows that are claimed and not to be written down now.  Those whose answer
 * was lost, and that wait to be tried again, are in doubt whatever happens
 * next, and those that were refused are not there: neither keeps others
 * waiting; nor do those of jobs, which a crash leaves where they are.
 */
static int64
claimed_rows(const Delivery *delivery)
{
	int64		count = delivery->search.npool + delivery->reader.onward_claimed;
	ListCell   *cell;

	foreach(cell, delivery->in_flight)
	{
		const Batch *batch = lfirst(cell);

		if (!batch->lookup && !act_delivery_job_waits(batch))
			count += batch->nrows + batch->nrest;
	}
	foreach(cell, delivery->ready)
	{
		const Batch *batch = lfirst(cell);

		if (!batch->uncertain && !batch->lookup && !act_delivery_job_waits(batch))
			count += batch->nrows + batch->nrest;
	}
	foreach(cell, delivery->unclaimed)
	{
		const Batch *batch = lfirst(cell);

		count += batch->nrows - batch->fresh->nrows;
	}
	return count;
}

/*
 * As many as may be under way: concurrency times batch_size rows.  Where
 * nothing is, the first one goes in any case.
 */
int
act_delivery_claimable(const Delivery *delivery)
{
	bool		idle = delivery->in_flight == NIL && delivery->ready == NIL;
	int64		rows = claimed_rows(delivery);
	int			count = 0;
	ListCell   *cell;

	foreach(cell, delivery->unclaimed)
	{
		const Batch *batch = lfirst(cell);

		rows += batch->fresh->nrows;
		if (rows > (int64) delivery->concurrency * batch->limit && !(idle && count == 0))
			break;
		count++;
	}
	return count;
}

/* What is to be claimed, into writes. */
static int
add_new_claims(const Delivery *delivery, int nbatches, ClaimWrite *writes)
{
	int			count = 0;

#ifdef ACT_TEST
	if (act_fault_claims_off)
		return 0;
#endif
	for (int i = 0; i < nbatches; i++)
	{
		const Batch *batch = list_nth(delivery->unclaimed, i);
		Claim	   *claim = batch->fresh;

		/* A unit of which only the order differs has no rows, and may be lost all the same. */
		if (claim->nrows > 0 || batch->unit != NULL)
			writes[count++] = (ClaimWrite) {claim->rows, claim->nrows, &claim->claim_id};
		if (batch->unit != NULL)
			act_unit_claim(delivery->run->sync, batch->unit);
	}
	return count;
}

/* Without the rows that are settled: a crash has nothing to say of those any more. */
static ClaimWrite
renewed_claim(Claim *claim)
{
	int			kept = 0;

	for (int i = 0; i < claim->nrows; i++)
	{
		if (claim->rows[i]->claim == claim)
			claim->rows[kept++] = claim->rows[i];
	}
	claim->nrows = kept;
	return (ClaimWrite) {claim->rows, kept, &claim->renewed_id};
}

/* All that is new or gone, or no longer all of what it was. */
static void
write_claims(Delivery *delivery, int nbatches)
{
	Run		   *run = delivery->run;
	int			ntouched = list_length(delivery->touched_claims);
	ClaimWrite *writes = palloc(sizeof(ClaimWrite) * (nbatches + ntouched + 1));
	int64	   *removed = palloc(sizeof(int64) * (list_length(delivery->finished_claims) + ntouched + 1));
	int			nwrites = add_new_claims(delivery, nbatches, writes);
	int			nremoved = 0;
	ListCell   *cell;

	foreach(cell, delivery->touched_claims)
	{
		Claim	   *claim = lfirst(cell);

		claim->renewed_id = claim->claim_id;
		if (claim->open == 0 || claim->claim_id == 0)
			continue;
		removed[nremoved++] = claim->claim_id;
		writes[nwrites++] = renewed_claim(claim);
	}
	foreach(cell, delivery->finished_claims)
	{
		const Claim *claim = lfirst(cell);

		if (claim->claim_id != 0)
			removed[nremoved++] = claim->claim_id;
	}
	act_claim_write(run->sync, run->run_id, writes, nwrites, removed, nremoved,
					run->destination->policy.timeout_ms);
}

static bool
brings_ids(const Delivery *delivery)
{
	ListCell   *cell;

	foreach(cell, delivery->settled)
	{
		const Row  *row = ((SettledRow *) lfirst(cell))->row;

		if (row->new_external_id != NULL || row->new_remembered != NIL || row->id_changed)
			return true;
	}
	return false;
}

/* What rows of other syncs may wait for: a record that is there now, or its id. */
static bool
brings_references(const Delivery *delivery)
{
	ListCell   *cell;

	foreach(cell, delivery->settled)
	{
		const Row  *row = ((SettledRow *) lfirst(cell))->row;

		if (row->outcome == ROW_ACCEPTED && !act_row_op_removes(row->op) &&
			(!row->was_there || row->id_changed ||
			 (row->new_external_id != NULL &&
			  (row->external_id == NULL || strcmp(row->external_id, row->new_external_id) != 0))))
			return true;
	}
	return false;
}

/* Jobs as they are now; those that are over leave the table with what became of their rows. */
static void
write_jobs(Delivery *delivery)
{
	int64	   *removed = palloc(sizeof(int64) * (list_length(delivery->jobs_over) + 1));
	int			nremoved = 0;
	ListCell   *cell;

	foreach(cell, delivery->job_writes)
		act_job_write(delivery->run, lfirst(cell));
	foreach(cell, delivery->jobs_over)
	{
		const Job  *job = lfirst(cell);

		if (job->job_id != 0)
			removed[nremoved++] = job->job_id;
	}
	act_job_remove(removed, nremoved);
	if (act_connector_rate(delivery->run->destination->connector)->jobs > 0 &&
		(delivery->jobs_full || delivery->jobs_looked_at == 0))
	{
		delivery->jobs_elsewhere = act_job_count_others(delivery->run);
		delivery->jobs_looked_at = act_delivery_now();
	}
}

/* What one transaction writes down. */
typedef struct FlushWork
{
	Delivery   *delivery;
	int			nbatches;		/* so many of the unclaimed are claimed */
} FlushWork;

/* May fail, and be done once more. */
static void
record(void *arg)
{
	FlushWork  *work = arg;
	Delivery   *delivery = work->delivery;
	Run		   *run = delivery->run;

	act_request_log_write(run);
	/* Before its rows, so that its time is not after theirs. */
	if (run->unit != NULL && run->unit->answered)
		act_run_note_retry(run, act_unit_settle(run->sync, run->unit));
	act_settler_rows(run->settler, delivery->settled);
	write_claims(delivery, work->nbatches);
	write_jobs(delivery);
	act_destination_state_came_through(run);
	/* Who is not told of a pause looks. */
	if (act_shared == NULL)
		act_destination_state_look(run);
	if (!run->ids_noted && brings_references(delivery))
		act_reference_note_ids(run->sync);
}

/* What is not committed has no number. */
static void
keep_numbers(Delivery *delivery, bool back)
{
	ListCell   *cell;

	foreach(cell, delivery->job_writes)
	{
		Job		   *job = lfirst(cell);

		if (back)
			job->job_id = job->stored_id;
		else
			job->stored_id = job->job_id;
	}
}

/* False: somebody has locked what it is to write, for longer than a moment; and nothing is waited for. */
static bool
try_to_record(FlushWork *work)
{
	Run		   *run = work->delivery->run;
	bool		tries_destination = run->tries_destination;
	ErrorData  *error;

	if (!act_settler_lock(run->settler))
		return false;
	keep_numbers(work->delivery, false);
	error = act_transaction_probe(record, work);
	if (error == NULL)
		return true;
	if (!act_transaction_locked_out(error))
		ReThrowError(error);
	run->tries_destination = tries_destination;
	keep_numbers(work->delivery, true);
	return false;
}

static bool
write_down(Delivery *delivery, int nbatches)
{
	Run		   *run = delivery->run;
	FlushWork	work = {delivery, nbatches};
	bool		note = !run->ids_noted && brings_references(delivery);

	act_transaction_writable();
	if (!try_to_record(&work))
	{
		act_transaction_commit(false);
		return false;
	}
	act_transaction_commit(nbatches > 0 || delivery->job_writes != NIL || brings_ids(delivery));
	act_request_log_written(run);
	run->counts.parked += act_settler_parked(run->settler);
	run->ids_noted = run->ids_noted || note;
	return true;
}

static void
forget_settled(Delivery *delivery)
{
	ListCell   *cell;

	list_free(delivery->settled);
	foreach(cell, delivery->touched_claims)
	{
		Claim	   *claim = lfirst(cell);

		claim->touched = false;
		claim->claim_id = claim->renewed_id;
		if (claim->left)
			MemoryContextDelete(claim->context);
	}
	list_free(delivery->touched_claims);
	delivery->touched_claims = NIL;
	foreach(cell, delivery->finished_claims)
		MemoryContextDelete(((Claim *) lfirst(cell))->context);
	list_free(delivery->finished_claims);
	delivery->finished_claims = delivery->settled = NIL;
	if (delivery->run->unit != NULL)
		delivery->run->unit->answered = false;
	delivery->settled_since = 0;
}

/*
 * Where commits wait for a synchronous standby, so do claims, since the one
 * that is promoted must know of every request that was begun: but no longer
 * than a while, and whoever wants the run to end is heard.  What is claimed
 * by then is ready, so that it counts as never sent.
 */
static void
await_standby(Delivery *delivery)
{
	static uint32 wait_event = 0;
	Run		   *run = delivery->run;
	int64		until = act_delivery_now() + STANDBY_PATIENCE_MS;

	while (!run->stop.set && !act_standby_has_commit())
	{
		act_run_poll(run);
		if (run->stop.set)
			return;
		if (act_delivery_now() >= until)
		{
			act_run_stop(run, RUN_FAILED, "no synchronous standby confirms what is to be sent",
						 psprintf("synchronous_standby_names is \"%s\", and for %d s it was not confirmed that a request is about to go out."
								  " Without that a promoted standby would not know of it.",
								  act_standby_names(), STANDBY_PATIENCE_MS / 1000),
						 "Bring the standby back, or take it out of synchronous_standby_names;"
						 " or let runs do without: ALTER ROLE ... SET synchronous_commit = local; for who runs the sync.");
			return;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 STANDBY_PAUSE_MS, act_compat_wait_event(&wait_event, "PgActivateStandby"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
act_delivery_flush(Delivery *delivery)
{
	Run		   *run = delivery->run;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	int			nbatches = act_delivery_claimable(delivery);
	bool		jobs = delivery->job_writes != NIL;
	bool		written;

	if (!act_run_lock_held(run->sync->sync_id))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the lock of sync \"%s\" was lost", run->sync->name),
				 errdetail("Something in the model released it: pg_advisory_unlock_all() or DISCARD ALL.")));
	if (nbatches > 0)
		ACT_FAULT("before_claim");
	if (jobs)
		ACT_FAULT("before_job");
	if (delivery->settled != NIL || delivery->finished_claims != NIL)
		ACT_FAULT("before_settle");

	context = AllocSetContextCreate(delivery->context, "pg_activate flush", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	written = write_down(delivery, nbatches);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	if (!written)
		return false;

	forget_settled(delivery);
	MemoryContextSwitchTo(delivery->context);
	if (jobs)
		ACT_FAULT("after_job");
	act_delivery_jobs_written(delivery);
	for (int i = 0; i < nbatches; i++)
	{
		Batch	   *batch = linitial(delivery->unclaimed);

		batch->fresh->claimed = true;
		delivery->ready = lappend(delivery->ready, batch);
		delivery->unclaimed = list_delete_first(delivery->unclaimed);
	}
	MemoryContextSwitchTo(caller);
	if (nbatches > 0)
		ACT_FAULT("after_claim");
	if (nbatches > 0 || jobs)
		await_standby(delivery);
	else
		ACT_FAULT("after_settle");
	return true;
}
