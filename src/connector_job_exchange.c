/*-------------------------------------------------------------------------
 *
 * connector_job_exchange.c
 *	  The requests of a job, and what its answers say.
 *
 * Rendering throws 22023 where document and rows do not fit together, reading
 * does not throw because of an answer's contents.  Needs neither database nor
 * transaction; results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_job_private.h"
#include "json_text.h"
#include "url.h"

#define MAX_SAVED 2000			/* bytes of a value */
#define MAX_NEXT 8000			/* no longer address is taken anywhere */

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static const RequestTemplate *
request_template(const JobPlan *plan, const JobPlace *place)
{
	switch (place->stage)
	{
		case JOB_STEP:
			return plan->steps[place->number].request;
		case JOB_POLL:
			return plan->poll;
		case JOB_RESULTS:
			return plan->results[place->number].request;
		case JOB_ABORT:
			return plan->abort;
	}
	return NULL;
}

static bool
is_address(const char *next)
{
	return *next == '/' || pg_strncasecmp(next, "http://", 7) == 0 || pg_strncasecmp(next, "https://", 8) == 0;
}

static HttpHeader *
saved_value(const char *name, const char *value)
{
	HttpHeader *saved = palloc(sizeof(HttpHeader));

	saved->name = pstrdup(name);
	saved->value = pstrdup(value);
	return saved;
}

void
act_job_render(const Connector *connector, const ConnectorScope *scope, const JobPlan *plan,
			   const JobPlace *place, Row **rows, int nrows, HttpRequest *request)
{
	const RequestTemplate *template = request_template(plan, place);
	ConnectorScope with_saved = *scope;
	TemplateInput input;
	bool		by_address = place->next != NULL && is_address(place->next);
	size_t		bytes = 0;

	with_saved.saved = place->saved;
	if (place->next != NULL && !by_address)
		with_saved.saved = lappend(list_copy(place->saved), saved_value("next", place->next));
	if (place->stage == JOB_STEP && nrows > 0)
		with_saved.batch_by = act_connector_batch_by(connector, rows[0]);
	if (place->stage == JOB_STEP && plan->steps[place->number].has_rows)
	{
		rows = act_connector_sent_rows(connector, scope, rows, nrows);
		bytes = 1024;
		for (int i = 0; i < nrows; i++)
			bytes += act_connector_row_bytes(connector, scope, rows[i]);
	}
	input = act_request_input(connector, &with_saved, rows, nrows);
	act_request_render(connector, template, &input, bytes, request);
	if (by_address)
		request->url = *place->next != '/' ? pstrdup(place->next) :
			psprintf("%s%s", act_url_origin(request->url), place->next);
}

/* What the steps before that of the rows save: each by its name, in place of what it will be. */
List *
act_job_assumed(const JobPlan *plan)
{
	List	   *saved = NIL;

	for (int n = 0; !plan->steps[n].has_rows; n++)
	{
		for (int i = 0; i < plan->steps[n].nsaves; i++)
			saved = lappend(saved, saved_value(plan->steps[n].saves[i].name, plan->steps[n].saves[i].name));
	}
	return saved;
}

/* The same of what is asked before a unit; numbers are among it. */
List *
act_job_assumed_prepared(const JobPlan *plan)
{
	List	   *saved = NIL;

	for (int i = 0; i < plan->steps[0].nsaves; i++)
		saved = lappend(saved, saved_value(plan->steps[0].saves[i].name, "0"));
	return saved;
}

/* The step that has the rows, as it would go. */
void
act_job_render_rows(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows,
					HttpRequest *request)
{
	const JobPlan *plan = act_connector_job(connector, rows[0]);
	JobPlace	place = {.stage = JOB_STEP,.saved = act_job_assumed(plan)};

	while (!plan->steps[place.number].has_rows)
		place.number++;
	act_job_render(connector, scope, plan, &place, rows, nrows, request);
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

/* One answer being read by one of the readers below. */
typedef struct JobReading
{
	const Connector *connector;
	const JobPlan *plan;
	const HttpResponse *response;
	int			number;
	List	  **saved;
	JobPoll    *poll;
	JobResults *results;
	char	  **next;
} JobReading;

/* The text at a place, or NULL. */
static char *
place_text(const AnswerPlace *place, const HttpResponse *response, const cJSON *root)
{
	const cJSON *value;
	StringInfoData text;

	if (place->header != NULL)
	{
		const char *header = act_http_header(response, place->header);

		if (header == NULL)
			return NULL;
		initStringInfo(&text);
		act_utf8_append(&text, header, strlen(header));
		return text.data;
	}
	value = root == NULL ? NULL : act_json_pointer_resolve(place->pointer, root);
	return value == NULL ? NULL : act_json_scalar_text(value);
}

static void
doubt(ConnectorAnswer *answer, const HttpResponse *response, const char *why)
{
	answer->verdict = VERDICT_UNCERTAIN;
	answer->message = psprintf("HTTP %d, but %s", response->status, why);
}

static void
read_step(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	JobReading *reading = arg;
	const JobStep *step = &reading->plan->steps[reading->number];
	List	   *saved = NIL;
	ListCell   *cell;

	if (!act_answer_is_success(reading->response))
	{
		doubt(answer, reading->response, "the answer does not say that the step was done");
		return;
	}
	for (int i = 0; i < step->nsaves; i++)
	{
		const AnswerPlace *save = &step->saves[i];
		char	   *text = place_text(save, reading->response, root);

		if (text == NULL || *text == '\0' || strlen(text) > MAX_SAVED)
		{
			doubt(answer, reading->response,
				  root == NULL && save->header == NULL && problem != NULL ? psprintf("it cannot be read: %s", problem) :
				  psprintf("the answer has no %s", save->header != NULL ? save->header : save->pointer->text));
			return;
		}
		saved = lappend(saved, saved_value(save->name, text));
	}
	foreach(cell, saved)
		*reading->saved = lappend(*reading->saved, lfirst(cell));
}

void
act_job_read_step(const Connector *connector, const JobPlan *plan, int step, const HttpResponse *response,
				  int64 now_ms, List **saved, ConnectorAnswer *answer)
{
	JobReading	reading = {
		.connector = connector,.plan = plan,.response = response,.number = step,.saved = saved
	};

	act_answer_read_step(connector, plan->operation, response, now_ms, read_step, &reading, answer);
}

static void
read_nothing(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
}

void
act_job_read_any(const Connector *connector, const JobPlan *plan, const HttpResponse *response, int64 now_ms,
				 ConnectorAnswer *answer)
{
	act_answer_read_step(connector, plan->operation, response, now_ms, read_nothing, NULL, answer);
}

static JobState
state_of(const JobPlan *plan, const char *text)
{
	for (int state = JOB_RUNNING; text != NULL && state <= JOB_FAILED; state++)
	{
		for (const char **name = plan->states[state]; name != NULL && *name != NULL; name++)
		{
			if (strcmp(*name, text) == 0)
				return (JobState) state;
		}
	}
	return JOB_STRANGE;
}

static void
read_poll(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	JobReading *reading = arg;
	const JobPlan *plan = reading->plan;
	JobPoll    *poll = reading->poll;
	const cJSON *value;
	char	   *state;

	if (root == NULL || !act_answer_is_success(reading->response))
	{
		doubt(answer, reading->response,
			  root == NULL && problem != NULL ? psprintf("it cannot be read: %s", problem) : "the answer says nothing of the job");
		return;
	}
	value = act_json_pointer_resolve(plan->state, root);
	state = value == NULL ? NULL : act_json_scalar_text(value);
	poll->state = state_of(plan, state);
	/* Each row may get them. */
	poll->state_text = state == NULL ? NULL : act_answer_words(reading->connector, state, ACT_ANSWER_MAX_CODE);
	poll->message = act_answer_text(reading->connector, plan->message, root, ACT_ANSWER_MAX_MESSAGE);
	for (int i = 0; i < plan->nresults; i++)
	{
		const JobResult *result = &plan->results[i];

		poll->wanted[i] = !result->has_when || act_rules_test_answer(&result->when, reading->response, root);
		poll->tells = poll->tells || (result->has_when && poll->wanted[i]);
	}
}

void
act_job_read_poll(const Connector *connector, const JobPlan *plan, const HttpResponse *response,
				  int64 now_ms, JobPoll *poll, ConnectorAnswer *answer)
{
	JobReading	reading = {.connector = connector,.plan = plan,.response = response,.poll = poll};

	memset(poll, 0, sizeof(JobPoll));
	poll->state = JOB_STRANGE;
	poll->wanted = palloc0(sizeof(bool) * (plan->nresults + 1));
	act_answer_read_step(connector, plan->operation, response, now_ms, read_poll, &reading, answer);
}

/* ----------------------------------------------------------------
 *		Results
 * ----------------------------------------------------------------
 */

struct JobResults
{
	const Connector *connector;
	const ConnectorScope *scope;
	const Operation *operation;
	RowResults *results;
};

JobResults *
act_job_results_begin(const Connector *connector, const ConnectorScope *scope, const JobPlan *plan,
					  Row **rows, int nrows)
{
	JobResults *results = palloc0(sizeof(JobResults));

	results->connector = connector;
	results->scope = scope;
	results->operation = plan->operation;
	results->results = act_results_begin(connector, scope, plan->operation, rows, nrows);
	return results;
}

/* Whether there is more; an address must be one that the credentials may go to. */
static void
find_next(JobReading *reading, const JobResult *result, const cJSON *root, ConnectorAnswer *answer)
{
	char	   *text = result->has_next ? place_text(&result->next, reading->response, root) : NULL;

	if (text == NULL || *text == '\0' || strcmp(text, "null") == 0)
		return;
	if (strlen(text) > MAX_NEXT)
	{
		doubt(answer, reading->response, "it says of the next page more than an address can have");
		return;
	}
	if (is_address(text) && *text != '/')
	{
		char	   *origin = act_url_origin(text);
		char	   *base = act_url_origin(act_connector_base_url(reading->results->connector, reading->results->scope));

		if (origin == NULL || base == NULL || strcmp(origin, base) != 0)
		{
			doubt(answer, reading->response, psprintf("the next page is at another host: %s",
															  act_answer_words(reading->connector, text, ACT_ANSWER_MAX_CODE)));
			return;
		}
	}
	*reading->next = text;
}

static void
read_results(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	JobReading *reading = arg;
	const JobResult *result = reading->number < 0 ? NULL : &reading->plan->results[reading->number];
	const RowAnswers *shape = result == NULL ? reading->results->operation->answer : result->answer;
	const char *why = act_results_add(reading->results->results, shape, reading->response, root, problem);

	if (why != NULL)
		doubt(answer, reading->response, why);
	else if (result != NULL)
		find_next(reading, result, root, answer);
}

void
act_job_read_results(JobResults *results, int number, const HttpResponse *response, int64 now_ms,
					 char **next, ConnectorAnswer *answer)
{
	JobReading	reading = {
		.connector = results->connector,.plan = results->operation->job,.response = response,
		.number = number,.results = results,.next = next
	};

	*next = NULL;
	act_answer_read_step(results->connector, results->operation, response, now_ms, read_results, &reading, answer);
}

const char *
act_job_results_finish(JobResults *results, ConnectorAnswer *answer)
{
	return act_results_finish(results->results, answer);
}
