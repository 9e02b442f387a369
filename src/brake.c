/*-------------------------------------------------------------------------
 *
 * brake.c
 *	  When to stop a run because of what the destination refuses (decision 6).
 *
 * A wrong field name makes every row poison: the run stops after a few
 * requests, nobody is charged an attempt, and the error says the
 * destination's reason.  So it does when a destination begins to refuse
 * everything in the middle of a run.  A few bad rows among good ones are none
 * of this file's business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "brake.h"
#include "canary.h"
#include "refused_field.h"

/* Rows with one reason, and none accepted in the run, after which all would be alike. */
#define SAME_REFUSALS 3

/*
 * The same for rows that were refused alone, out of batches: a search asks
 * rows from both ends of what is left, so that bad neighbours do not do it.
 */
#define SAME_PROBES 5

/* The same, whatever the reasons. */
#define ALL_PROBES 20

/*
 * The same for answers row by row once rows were accepted.  Bad rows are often
 * neighbours, one region or one import, so it takes more of them.
 */
#define STREAK_ROWS 500
#define STREAK_ANSWERS 2

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

/* Rows refused since one was accepted go again as if they had not been asked. */
static void
uncharge(Delivery *delivery)
{
	RunCounts  *counts = &delivery->run->counts;
	ListCell   *cell;

	foreach(cell, delivery->undecided)
	{
		Row		   *row = lfirst(cell);

		counts->outcomes[row->outcome]--;
		row->outcome = !row->uncertain ? ROW_DELAYED : row->at_most_once ? ROW_UNKNOWN : ROW_DOUBT;
		counts->outcomes[row->outcome]++;
	}
	act_delivery_decide(delivery);
}

/* What the last of them was refused for, and the field that it names. */
static void
stop_all_alike(Delivery *delivery)
{
	Run		   *run = delivery->run;
	const Row  *row = llast(delivery->undecided);
	const char *reason = psprintf("%s%s%s", row->code ? row->code : "", row->code ? ": " : "",
								  row->message ? row->message : psprintf("HTTP %d", row->http_status));
	char	   *field = act_refused_field(row);
	int			tried = list_length(delivery->undecided);
	int64		done = 0;

	for (int i = 0; i < ROW_OUTCOME_COUNT; i++)
		done += run->counts.outcomes[i];
	act_run_stop(run, RUN_FAILED,
				 psprintf(delivery->accepted == 0 ?
						  "run " INT64_FORMAT " of sync \"%s\" stopped: the destination refuses every row%s" :
						  "run " INT64_FORMAT " of sync \"%s\" stopped: the destination has begun to refuse every row%s",
						  run->run_id, run->sync->name,
						  delivery->same_refusals >= SAME_REFUSALS ? " for the same reason" : ""),
				 psprintf("%s%s. %s%d rows tried%s, " INT64_FORMAT " requests; "
						  INT64_FORMAT " rows not sent; nothing counts as an attempt.",
						  field ? psprintf("field \"%s\": ", field) : "", reason,
						  delivery->accepted == 0 ? "" : psprintf(INT64_FORMAT " rows were accepted, then ", delivery->accepted),
						  tried, delivery->accepted == 0 ? "" : " in vain", run->counts.requests,
						  run->diff.counts.to_send - done),
				 field != NULL ?
				 psprintf("Correct field \"%s\" or leave it out: SELECT activate.alter_sync(%s, mapping => '...');"
						  " what goes out: SELECT * FROM activate.preview_requests(%s);",
						  field, quote_literal_cstr(run->sync->name), quote_literal_cstr(run->sync->name)) :
				 psprintf("Compare the mapping with what the destination expects: SELECT * FROM activate.preview_requests(%s);",
						  quote_literal_cstr(run->sync->name)));
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

void
act_brake_note(Delivery *delivery, const Row *row)
{
	MemoryContext caller;
	char	   *reason;

	if (row->outcome == ROW_ACCEPTED || row->outcome == ROW_ABSENT)
		delivery->same_refusals = delivery->same_alone = delivery->same_answers = delivery->alone = 0;
	if (row->outcome != ROW_REJECTED && row->outcome != ROW_REFUSED)
		return;
	caller = MemoryContextSwitchTo(delivery->context);
	reason = mask(row);
	if (delivery->refusal == NULL || strcmp(delivery->refusal, reason) != 0)
		delivery->same_refusals = delivery->same_alone = delivery->same_answers = 0;
	if (delivery->refusal != NULL)
		pfree(delivery->refusal);
	delivery->refusal = reason;
	delivery->same_refusals++;
	MemoryContextSwitchTo(caller);
}

/* Was under way when the run stopped: nothing of it counts either. */
static bool
stopped_before(Delivery *delivery)
{
	if (delivery->all_alike)
		uncharge(delivery);
	return delivery->run->stop.set;
}

void
act_brake_refused(Delivery *delivery, bool probe)
{
	const Run  *run = delivery->run;
	bool		none = delivery->accepted == 0;

	if (stopped_before(delivery))
		return;
	if (probe)
	{
		delivery->alone++;
		delivery->same_alone++;
	}
	if (delivery->same_alone >= SAME_PROBES || delivery->alone >= ALL_PROBES ||
		(none && delivery->same_refusals >= SAME_PROBES) ||
		(none && run->sync->first_batch_alone && delivery->same_refusals >= SAME_REFUSALS &&
		 delivery->same_refusals >= run->diff.counts.to_send))
		stop_all_alike(delivery);
	check_rejected(delivery);
}

void
act_brake_answered(Delivery *delivery, int nrows)
{
	const Run  *run = delivery->run;
	bool		more = run->diff.counts.to_send > nrows || run->sync->first_batch_alone;

	if (stopped_before(delivery))
		return;
	delivery->same_answers = nrows > 0 && delivery->same_refusals >= nrows ? delivery->same_answers + 1 : 0;
	if ((delivery->accepted == 0 && more && delivery->same_refusals >= Max(SAME_REFUSALS, nrows)) ||
		(delivery->same_refusals >= STREAK_ROWS && delivery->same_answers >= STREAK_ANSWERS))
		stop_all_alike(delivery);
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
