/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Held before, not alerted after (design decision 7).
 *
 * Looks at what the diff counted, before the first byte goes out.  Inside a
 * transaction with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"

#include "field_types.h"
#include "run.h"

/* Percentages say nothing about a handful of rows. */
#define PERCENT_APPLIES_FROM 100

/* How many rows the limit allows; applies false: it does not count here. */
int64
act_guard_limit(const GuardLimit *limit, int64 base, bool *applies)
{
	*applies = limit->set && (!limit->percent || base >= PERCENT_APPLIES_FROM);
	if (!*applies)
		return 0;
	return limit->percent ? (int64) floor(limit->value * base / 100.0) : (int64) limit->value;
}

static char *
describe_limit(const GuardLimit *limit)
{
	return limit->percent ? psprintf("%g %%", limit->value) : psprintf("%g rows", limit->value);
}

/* base: what the percentage is of.  NULL: within the limit. */
static char *
excess(const GuardLimit *limit, int64 rows, int64 base, const char *what)
{
	bool		applies;
	int64		allowed = act_guard_limit(limit, base, &applies);

	if (!applies || rows <= allowed)
		return NULL;
	return psprintf(INT64_FORMAT " of " INT64_FORMAT " rows %s (%.1f %%, limit %s)",
					rows, base, what, base > 0 ? 100.0 * rows / base : 100.0,
					describe_limit(limit));
}

static char *
removed_examples(const Run *run)
{
	StringInfoData buf;
	ListCell   *cell;

	if (run->diff.removed_keys == NIL)
		return NULL;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "Among them: ");
	foreach(cell, run->diff.removed_keys)
		appendStringInfo(&buf, "%s%s", foreach_current_index(cell) > 0 ? ", " : "",
						 act_text_to_server(lfirst(cell)));
	appendStringInfoString(&buf, ". Nothing was sent.");
	return buf.data;
}

char *
act_guard_invalid_examples(const Run *run)
{
	const InvalidRow *first;

	if (run->diff.invalid == NIL)
		return NULL;
	first = linitial(run->diff.invalid);
	return psprintf("The first is %s: %s. Nothing was sent.",
					act_text_to_server(first->key),
					act_text_to_server(act_destination_redact(run->destination, first->message)));
}

/* Only for a whole diff: keys named by a person are few and meant. */
static char *
limit_problem(const Run *run, char **detail)
{
	const DiffCounts *counts = &run->diff.counts;
	const SyncOptions *options = &run->sync->options;
	bool		replaces = run->sync->mode == MODE_REPLACE;
	bool		removes = replaces || (run->sync->mode == MODE_MIRROR && run->sync->on_removed != REMOVED_IGNORE);
	char	   *problem;

	if (run->keys != NULL)
		return NULL;
	if (removes && counts->rows_in_model == 0 &&
		(counts->synced > 0 || (run->unit != NULL && run->unit->send)))
	{
		*detail = psprintf("It would remove all " INT64_FORMAT " rows that are synced. Nothing was sent.",
						   counts->synced);
		return pstrdup("the model came back empty");
	}
	/* Those leaving for longer were let go when they began to. */
	problem = excess(&options->max_removed, counts->removed_there + counts->leaving_first, counts->synced,
					 "would be removed");
	if (problem != NULL)
	{
		*detail = removed_examples(run);
		return problem;
	}
	problem = excess(&options->max_changed, counts->changed_certain, counts->synced, "would be changed");
	if (problem != NULL)
	{
		char	   *change = act_field_types_change(run->model);

		*detail = change == NULL ? pstrdup("Nothing was sent.") : psprintf("The %s. Nothing was sent.", change);
		return problem;
	}
	problem = excess(&options->max_invalid, counts->invalid, counts->rows_in_model, "are invalid");
	if (problem != NULL)
		*detail = act_guard_invalid_examples(run);
	return problem;
}

/*
 * After confirm_cluster('recovered') a person has to have seen what goes out
 * first.  Where nothing does there is nothing to be seen, and the next run
 * that has something is the one.
 */
char *
act_guard_problem(const Run *run, char **detail)
{
	const DiffCounts *counts = &run->diff.counts;
	char	   *problem;

	*detail = NULL;
	problem = limit_problem(run, detail);
	if (problem != NULL || !run->sync->hold_next ||
		(run->unit != NULL ? !run->unit->send : counts->to_send == 0))
		return problem;
	*detail = psprintf("It would send " INT64_FORMAT " rows: " INT64_FORMAT " added, " INT64_FORMAT
					   " changed or in doubt, " INT64_FORMAT " removed. Nothing was sent.",
					   counts->to_send, counts->added, counts->changed, counts->removed);
	return pstrdup("this server was confirmed as recovered");
}

void
act_guard_check(Run *run)
{
	char	   *detail;
	char	   *problem = act_guard_problem(run, &detail);
	const char *until = run->sync->hold_next ? "each run is held until one was approved" :
		"it is superseded by itself when a later diff is within limits";

	if (problem == NULL)
		return;
	act_run_stop(run, RUN_HELD,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" is held: %s",
						  run->run_id, run->sync->name, problem),
				 detail,
				 psprintf("SELECT activate.approve_run(" INT64_FORMAT "); or SELECT activate.discard_run("
						  INT64_FORMAT "); %s.", run->run_id, run->run_id, until));
}
