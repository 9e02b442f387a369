/*-------------------------------------------------------------------------
 *
 * brake.c
 *	  When to stop a run because of what the destination refuses (decision 6).
 *
 * A wrong field name makes every row poison: the run stops after one batch,
 * nobody is charged an attempt, and the error says the destination's reason.
 * A few bad rows among good ones are none of this file's business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "brake.h"
#include "canary.h"

/* Rows with one reason, and none accepted, after which all would be alike. */
#define SAME_REFUSALS 3

/* The same for rows that were refused alone, out of batches. */
#define SAME_PROBES 5

/* Requests in a row that are lost and may not be sent again. */
#define MAX_LOST 3

/* The reason without what differs from row to row: digits and quoted values. */
static char *
mask(const Row *row)
{
	const char *text = row->code != NULL ? row->code : row->message != NULL ? row->message : "";
	char	   *masked = palloc(strlen(text) + 1);
	char	   *out = masked;
	char		quote = '\0';

	for (const char *p = text; *p != '\0'; p++)
	{
		if (quote != '\0')
		{
			if (*p == quote)
				quote = '\0';
			continue;
		}
		if (*p == '"' || *p == '\'' || *p == '`')
			quote = *p;
		else if (!(*p >= '0' && *p <= '9'))
			*out++ = *p;
	}
	*out = '\0';
	return masked;
}

static void
uncharge(Delivery *delivery)
{
	RunCounts  *counts = &delivery->run->counts;
	ListCell   *cell;

	foreach(cell, delivery->settled)
	{
		Row		   *row = ((SettledRow *) lfirst(cell))->row;

		if (row->outcome != ROW_REJECTED && row->outcome != ROW_REFUSED)
			continue;
		counts->outcomes[row->outcome]--;
		row->outcome = ROW_DELAYED;
		counts->outcomes[ROW_DELAYED]++;
	}
}

static void
stop_all_alike(Delivery *delivery, const Row *row)
{
	Run		   *run = delivery->run;
	int64		tried = run->counts.outcomes[ROW_REJECTED] + run->counts.outcomes[ROW_REFUSED];

	act_run_stop(run, RUN_FAILED,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" stopped: the destination refuses every row for the same reason",
						  run->run_id, run->sync->name),
				 psprintf("%s%s%s. " INT64_FORMAT " rows tried, " INT64_FORMAT " requests; "
						  INT64_FORMAT " rows not sent; nothing counts as an attempt.",
						  row->code ? row->code : "", row->code ? ": " : "",
						  row->message ? row->message : psprintf("HTTP %d", row->http_status),
						  tried, run->counts.requests, run->diff.counts.to_send - tried),
				 psprintf("Compare the mapping with what the destination expects: SELECT * FROM activate.preview_requests('%s');",
						  run->sync->name));
	delivery->all_alike = true;
	uncharge(delivery);
}

/* max_rejected: of what is synced, or of what this run set out to send. */
static void
check_rejected(Delivery *delivery)
{
	Run		   *run = delivery->run;
	int64		rejected = run->counts.outcomes[ROW_REJECTED] + run->counts.outcomes[ROW_REFUSED];
	int64		base = Max(run->diff.counts.synced, run->diff.counts.to_send);
	bool		applies;
	int64		allowed = act_guard_limit(&run->sync->options.max_rejected, base, &applies);

	/* What a canary's refusals mean is decided when all of it is there. */
	if (run->stop.set || !applies || rejected <= allowed || act_canary_under_way(run))
		return;
	act_run_stop(run, RUN_FAILED,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" stopped: " INT64_FORMAT " rows were refused",
						  run->run_id, run->sync->name, rejected),
				 psprintf("max_rejected allows " INT64_FORMAT "; what was not sent yet is delayed.", allowed),
				 psprintf("SELECT key, code, message FROM activate.rejections WHERE sync = '%s';", run->sync->name));
}

/* Counts rows that were refused one after the other for the same reason. */
static void
note_refusal(Delivery *delivery, const Row *row)
{
	MemoryContext caller = MemoryContextSwitchTo(delivery->context);
	char	   *reason = mask(row);

	if (delivery->refusal == NULL || strcmp(delivery->refusal, reason) != 0)
		delivery->same_refusals = 0;
	if (delivery->refusal != NULL)
		pfree(delivery->refusal);
	delivery->refusal = reason;
	delivery->same_refusals++;
	MemoryContextSwitchTo(caller);
}

void
act_brake_refused(Delivery *delivery, Row *row)
{
	int64		to_send;

	if (delivery->all_alike)
	{
		/* Was under way when the run stopped. */
		uncharge(delivery);
		return;
	}
	note_refusal(delivery, row);
	to_send = delivery->run->diff.counts.to_send;
	if (!delivery->run->stop.set && delivery->accepted == 0 &&
		(delivery->same_refusals >= SAME_PROBES ||
		 (delivery->run->sync->first_batch_alone && delivery->same_refusals >= SAME_REFUSALS &&
		  delivery->same_refusals >= to_send)))
		stop_all_alike(delivery, row);
	check_rejected(delivery);
}

void
act_brake_answered(Delivery *delivery, Batch *batch)
{
	Run		   *run = delivery->run;
	bool		more = run->diff.counts.to_send > batch->nrows || run->sync->first_batch_alone;

	if (delivery->all_alike)
	{
		uncharge(delivery);
		return;
	}
	for (int i = 0; i < batch->nrows; i++)
	{
		const Row  *row = batch->rows[i];

		if (row->outcome == ROW_REJECTED || row->outcome == ROW_REFUSED)
			note_refusal(delivery, row);
		else
			delivery->same_refusals = 0;
	}
	if (more && !run->stop.set && delivery->accepted == 0 &&
		delivery->same_refusals >= Max(SAME_REFUSALS, batch->nrows))
		stop_all_alike(delivery, batch->rows[0]);
	check_rejected(delivery);
}

/*
 * All tries are used, and nothing else came through meanwhile.  Where each
 * lost answer leaves rows to a person, a few in a row are enough, or the first.
 */
bool
act_brake_lost(Delivery *delivery, const Batch *batch)
{
	if (batch->at_most_once && batch->uncertain)
		return ++delivery->lost >= MAX_LOST || delivery->accepted == 0;
	return delivery->accepted == batch->accepted_before;
}
