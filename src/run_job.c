/*-------------------------------------------------------------------------
 *
 * run_job.c
 *	  What earlier runs left to the destination, before anything is compared.
 *
 * A stage of run.c: no transaction is open when it is called, nor when it
 * returns, maybe with run->stop set.  Rows of a job are settled first, so that
 * the diff that follows sees what the destination has: beside it they would
 * have to be kept out of every comparison, and a newer version of one could
 * overtake the one that the job still works on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "deliver.h"
#include "fault.h"
#include "job.h"
#include "progress.h"
#include "run.h"
#include "run_event.h"
#include "run_job.h"
#include "schedule.h"
#include "transaction.h"

/* Rows of a job that cannot be asked for any more: whether it was done is not known. */
static List *
lost_rows(Run *run, const Job *job)
{
	List	   *rows = NIL;

	for (int i = 0; i < job->nrows; i++)
	{
		SettledRow *settled = palloc0(sizeof(SettledRow));
		Row		   *row = job->rows[i];

		row->outcome = row->at_most_once ? ROW_UNKNOWN : ROW_DOUBT;
		row->code = "job_lost";
		row->message = psprintf("job %s cannot be asked for any more: its destination or connector is another one", act_job_title(job));
		settled->row = row;
		settled->uncertain = true;
		/* The destination may still be at it. */
		settled->late_ms = run->destination->policy.timeout_ms;
		rows = lappend(rows, settled);
		run->counts.outcomes[row->outcome]++;
	}
	return rows;
}

/* False: the run is to end first. */
static bool
load(Run *run)
{
	int64	   *lost;
	int			nlost = 0;
	int64		unknown = 0;
	ListCell   *cell;
	List	   *jobs;

	if (!act_run_begin_settling(run))
		return false;
	jobs = act_job_load(run, run->context);
	lost = palloc(sizeof(int64) * (list_length(jobs) + 1));
	foreach(cell, jobs)
	{
		Job		   *job = lfirst(cell);

		for (int i = 0; i < job->nrows; i++)
			run->resumed_causes[job->rows[i]->cause]++;
		if (job->plan != NULL)
		{
			run->jobs = lappend(run->jobs, job);
			continue;
		}
		act_settler_rows(run->settler, lost_rows(run, job));
		for (int i = 0; i < job->nrows; i++)
			unknown += job->rows[i]->outcome == ROW_UNKNOWN;
		lost[nlost++] = job->job_id;
	}
	act_job_remove(lost, nlost);
	act_run_event_unknown(run, unknown);
	act_transaction_commit(nlost > 0);
	return true;
}

/* What came of them is counted with the rest of the run, when that is known. */
static void
count(Run *run)
{
	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
	{
		run->resumed.outcomes[i] += run->counts.outcomes[i];
		run->counts.outcomes[i] = 0;
	}
	run->resumed.first_accepted += run->counts.first_accepted;
	run->resumed.removals_accepted += run->counts.removals_accepted;
	run->counts.first_accepted = run->counts.removals_accepted = 0;
}

void
act_run_jobs(Run *run)
{
	MemoryContext caller = MemoryContextSwitchTo(run->context);

	if (run->has_jobs && load(run) && run->jobs != NIL)
	{
		act_progress_phase(run, PHASE_DELIVER);
		run->resuming = true;
		act_deliver_jobs(run);
		act_deliver_end(run);
		run->resuming = false;
		run->jobs = NIL;
	}
	count(run);
	/* Nobody asked for more than that. */
	run->only_jobs = act_schedule_is_manual(run->sync->schedule) && run->retry_rows;
	MemoryContextSwitchTo(caller);
}

void
act_run_jobs_counted(Run *run)
{
	DiffCounts *counts = &run->diff.counts;

	counts->added += run->resumed_causes[ROW_ADDED];
	counts->changed += run->resumed_causes[ROW_CHANGED];
	counts->removed += run->resumed_causes[ROW_REMOVED];
	for (int i = 0; i <= ROW_REMOVED; i++)
		counts->to_send += run->resumed_causes[i];
	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
		run->counts.outcomes[i] += run->resumed.outcomes[i];
	run->counts.first_accepted += run->resumed.first_accepted;
	run->counts.removals_accepted += run->resumed.removals_accepted;
	memset(&run->resumed, 0, sizeof(run->resumed));
	memset(run->resumed_causes, 0, sizeof(run->resumed_causes));
}
