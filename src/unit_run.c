/*-------------------------------------------------------------------------
 *
 * unit_run.c
 *	  Mode replace: what a run does with the unit, beside its rows.
 *
 * Called by run.c between its stages and by delivery; reads the model in the
 * diff's transaction, and is otherwise pure but for run->stop.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "unit_run.h"

void
act_unit_run_read(Run *run)
{
	const ConnectorOperation *operation;

	if (run->sync->mode != MODE_REPLACE)
		return;
	/* Known to the run at once: an error leaves its files to be released. */
	run->unit = palloc0(sizeof(Unit));
	if (run->destination == NULL)
	{
		act_unit_read(run->model, &run->diff, 0, 0, run->unit);
		return;
	}
	operation = act_connector_operation(run->destination->connector, ROW_OP_REPLACE);
	if (operation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connector \"%s\" of destination \"%s\" knows no operation \"replace\"",
						run->destination->connector_name, run->destination->name)));
	act_unit_read(run->model, &run->diff, operation->max_rows, operation->max_bytes, run->unit);
}

char *
act_unit_run_problem(const Run *run)
{
	if (run->unit == NULL || run->diff.counts.invalid == 0)
		return NULL;
	return psprintf(INT64_FORMAT " of " INT64_FORMAT " rows cannot be sent, and mode replace sends all or none",
					run->diff.counts.invalid, run->diff.counts.rows_in_model);
}

void
act_unit_run_guard(Run *run)
{
	char	   *problem = act_unit_run_problem(run);

	if (problem == NULL)
		return;
	act_run_stop(run, RUN_FAILED,
				 psprintf("run " INT64_FORMAT " of sync \"%s\" failed: %s", run->run_id, run->sync->name, problem),
				 act_guard_invalid_examples(run),
				 psprintf("Leave them out of the model, or mend them there: SELECT key, message FROM activate.rejections WHERE sync = %s;",
						  quote_literal_cstr(run->sync->name)));
}

void
act_unit_run_wait(Run *run)
{
	const Unit *unit = run->unit;
	char	   *why;

	if (unit == NULL || !unit->waits)
		return;
	if (run->diff.counts.waiting > 0)
		why = "the rows are sent when all records that they refer to are known";
	else if (unit->late)
		why = psprintf("an earlier request, whose answer was lost, may still be applied; the rows are sent after %s",
					   timestamptz_to_str(unit->before.late_until));
	else if (unit->before.attempts >= run->sync->options.max_attempts)
		why = psprintf("the destination refused these rows %d times; they are sent when one of them changes",
					   unit->before.attempts);
	else
		why = psprintf("the destination refused these rows; they are sent again after %s, or when one of them changes",
					   timestamptz_to_str(unit->before.next_attempt_at));
	act_run_stop(run, RUN_PARTIAL, why, NULL, NULL);
}

void
act_unit_run_refused(Run *run, const ConnectorAnswer *answer)
{
	const char *destination = run->destination->name;

	if (run->stop.set)
		return;
	if (answer->verdict == VERDICT_TOO_LARGE)
		act_run_stop(run, RUN_FAILED,
					 psprintf("the rows of sync \"%s\" are more than destination \"%s\" takes in one request",
							  run->sync->name, destination),
					 answer->message,
					 "Let the model return fewer rows, map fewer fields, or take mode => 'mirror'.");
	else
		act_run_stop(run, RUN_PARTIAL,
					 psprintf("destination \"%s\" refuses the rows of sync \"%s\": %s",
							  destination, run->sync->name, answer->message),
					 NULL, NULL);
}
