/*-------------------------------------------------------------------------
 *
 * run_first.c
 *	  What option first_run says, before the first diff of a sync.
 *
 * A stage of run.c: no transaction is open when it is called, nor when it
 * returns, maybe with run->stop set.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "event.h"
#include "fault.h"
#include "link.h"
#include "progress.h"
#include "run.h"
#include "snapshot.h"
#include "transaction.h"

/* Taken as sent, and noted that it was, in one transaction: a run that dies leaves all of it to the next. */
static void
baseline(Run *run)
{
	Sync	   *sync = run->sync;
	Model	   *model;
	int64		rows;

	act_progress_phase(run, PHASE_DIFF);
	if (!act_run_begin_settling(run))
		return;
	run->resolving = run->reading = true;
	model = act_model_resolve(sync);
	run->resolving = false;
	act_diff_lock_model(model);
	rows = act_snapshot_baseline(sync, model);
	run->reading = false;
	act_ledger_first_run_done(run);
	act_event_record("baselined", "info", sync, run->run_id,
					 psprintf(INT64_FORMAT " rows of sync \"%s\" count as sent: first_run is baseline", rows, sync->name),
					 psprintf("{\"rows\": " INT64_FORMAT "}", rows));
	ACT_FAULT("before_baseline");
	act_transaction_commit(true);
	ACT_FAULT("after_baseline");
}

/* Whether this run comes to all rows that its sync has. */
static bool
comes_to_all(const Run *run)
{
	return run->keys == NULL && run->diff.counts.beyond == 0 && run->diff.counts.waiting == 0;
}

/*
 * Rows become those of the records that the destination has, and only what
 * then differs is sent: the diff is made anew.  It is done when it came to all
 * rows; until then each run begins by it, for those without a record.
 */
static void
run_link(Run *run)
{
	LinkCounts	counts;
	bool		all;

	act_run_diff(run);
	if (run->stop.set)
		return;
	all = comes_to_all(run);
	act_progress_phase(run, PHASE_LINK);
	act_link(run, &counts);
	act_diff_end(&run->diff);
	memset(&run->diff, 0, sizeof(run->diff));
	if (run->stop.set || !act_run_begin_settling(run))
		return;
	if (all)
		act_ledger_first_run_done(run);
	if (counts.same + counts.different + counts.none + counts.unclear > 0)
		act_event_record("linked", "info", run->sync, run->run_id,
						 psprintf(INT64_FORMAT " rows of sync \"%s\" have a record at the destination already: first_run is link",
								  counts.same + counts.different, run->sync->name),
						 psprintf("{\"same\": " INT64_FORMAT ", \"different\": " INT64_FORMAT ", \"none\": " INT64_FORMAT
								  ", \"unclear\": " INT64_FORMAT "}",
								  counts.same, counts.different, counts.none, counts.unclear));
	ACT_FAULT("before_linked");
	act_transaction_commit(true);
}

/* What option first_run says, once, before the first diff. */
void
act_run_first(Run *run)
{
	if (!run->sync->first_run_pending)
		return;
	switch (run->sync->options.first_run)
	{
		case FIRST_RUN_SEND:
			break;				/* over with the first run that gets past its guard */
		case FIRST_RUN_BASELINE:
			act_run_reading(run, baseline);
			break;
		case FIRST_RUN_LINK:
			run_link(run);
			break;
	}
}
