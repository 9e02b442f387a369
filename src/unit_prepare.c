/*-------------------------------------------------------------------------
 *
 * unit_prepare.c
 *	  Mode replace: what a document asks before the unit, such as which id
 *	  the sheet of that title has.
 *
 * Called outside of transactions, when the unit is about to be sent.  What is
 * saved of the answer lives as long as the run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_job.h"
#include "fault.h"
#include "run_ask.h"
#include "unit_prepare.h"

static void
render(Run *run, HttpRequest *request, void *arg)
{
	JobPlace	place = {.stage = JOB_STEP};

	act_job_render(run->destination->connector, &run->scope, act_connector_preparation(run->destination->connector),
				   &place, NULL, 0, request);
}

static void
read_answer(Run *run, const HttpResponse *response, ConnectorAnswer *answer, void *arg)
{
	const Connector *connector = run->destination->connector;
	MemoryContext caller = MemoryContextSwitchTo(run->context);

	act_job_read_step(connector, act_connector_preparation(connector), 0, response, act_unix_ms(act_now()),
					  &run->scope.saved, answer);
	MemoryContextSwitchTo(caller);
}

void
act_unit_prepare(Run *run)
{
	RunQuestion question = {
		.render = render,.read = read_answer,
		.unanswered = "does not say what the rows need",
		.hint = "Nothing was sent."
	};

	if (act_connector_preparation(run->destination->connector) == NULL)
		return;
	run->scope.saved = NIL;
	(void) act_run_ask(run, &question);
}
