/*-------------------------------------------------------------------------
 *
 * connector_job.c
 *	  Operations that hand rows over in steps and ask later what became of
 *	  them.
 *
 * Members steps, poll, results and abort of an operation, compiled; the
 * requests of a job, and what its answers say.  Compiling throws what
 * document.h throws, rendering 22023 where document and rows do not fit
 * together; reading does not throw because of an answer's contents.  Needs
 * neither database nor transaction; results are allocated in the current
 * memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_job.h"
#include "connector_private.h"
#include "duration.h"
#include "json_text.h"
#include "url.h"

#define MAX_STEPS 20
#define MAX_RESULTS 20
#define MAX_SAVED 2000			/* bytes of a value */
#define DEFAULT_TIMEOUT_MS (24 * ACT_HOUR_MS)

static const char *const step_members[] = {"request", "save", NULL};
static const char *const poll_members[] = {
	"request", "every", "timeout", "state", "running", "done", "failed", "message", NULL
};
static const char *const result_members[] = {"request", "when", "next", "answer", NULL};
static const char *const place_members[] = {"header", NULL};

static const int default_every_ms[] = {2000, 5000, 15000, 30000};

/* Where something stands in an answer: at a pointer or in a header. */
typedef struct AnswerPlace
{
	const char *name;			/* of what is saved */
	const JsonPointer *pointer;
	const char *header;
} AnswerPlace;

typedef struct JobStep
{
	const RequestTemplate *request;
	bool		has_rows;
	int			nsaves;
	AnswerPlace *saves;
} JobStep;

typedef struct JobResult
{
	const RequestTemplate *request;
	bool		has_when;
	AnswerTest	when;
	bool		has_next;
	AnswerPlace next;
	const RowAnswers *answer;
} JobResult;

struct JobPlan
{
	const char *name;			/* stands for it in the database */
	const Operation *operation; /* that it is of: its rules and its answer */
	int			nsteps;
	JobStep    *steps;
	const RequestTemplate *poll;	/* NULL: the answer to the last step says it all */
	int			nevery;
	const int  *every_ms;
	int			timeout_ms;
	const JsonPointer *state;
	const JsonPointer *message;
	const char **states[JOB_FAILED + 1];	/* by JobState, NULL-ended; NULL: none */
	int			nresults;
	JobResult  *results;
	const RequestTemplate *abort;	/* or NULL */
};

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

static bool
names_row(const char *text)
{
	while ((text = strstr(text, "{{")) != NULL)
	{
		text += 2;
		while (*text == ' ')
			text++;
		if (strncmp(text, "row.", 4) == 0 || strncmp(text, "rows.", 5) == 0)
			return true;
	}
	return false;
}

/* Whether a request has anything of its rows in it. */
static bool
has_rows(const cJSON *at)
{
	static const char *const members[] = {"$rows", "$row", "$spread", "columns", "lines"};

	if (cJSON_IsString(at) && names_row(at->valuestring))
		return true;
	for (const cJSON *child = at->child; child != NULL; child = child->next)
	{
		for (int i = 0; child->string != NULL && i < lengthof(members); i++)
		{
			if (strcmp(child->string, members[i]) == 0)
				return true;
		}
		if (has_rows(child))
			return true;
	}
	return false;
}

/* A pointer, or {"header": name} */
static AnswerPlace
compile_place(const Document *document, const cJSON *at)
{
	AnswerPlace place = {.name = at->string == NULL ? NULL : pstrdup(at->string)};

	if (cJSON_IsObject(at))
	{
		act_document_check(document, at, place_members, NULL);
		act_document_need(document, at, "header");
		place.header = act_document_string(document, at, "header");
		return place;
	}
	place.pointer = cJSON_IsString(at) ? act_json_pointer_compile(at->valuestring) : NULL;
	if (place.pointer == NULL)
		act_document_error(document, at, "As in \"/id\" or {\"header\": \"Location\"}.",
						   "a JSON pointer is expected");
	return place;
}

static void
compile_saves(const Document *document, const cJSON *at, JobStep *step)
{
	const cJSON *saves = act_document_member(at, "save");

	if (saves == NULL)
		return;
	if (!cJSON_IsObject(saves))
		act_document_error(document, saves, NULL, "an object is expected");
	step->saves = palloc0(sizeof(AnswerPlace) * (cJSON_GetArraySize(saves) + 1));
	for (const cJSON *save = saves->child; save != NULL; save = save->next)
	{
		if (act_document_member(saves, save->string) != save)
			act_document_error(document, save, NULL, "member \"%s\" given twice", save->string);
		step->saves[step->nsaves++] = compile_place(document, save);
	}
}

/* An array that has something in it, and not too much. */
static const cJSON *
filled_array(const Document *document, const cJSON *object, const char *name, int most)
{
	const cJSON *array = act_document_array(document, object, name);

	if (array == NULL)
		return NULL;
	if (array->child == NULL)
		act_document_error(document, array, NULL, "an empty list");
	if (cJSON_GetArraySize(array) > most)
		act_document_error(document, array, NULL, "more than %d elements", most);
	return array;
}

static void
compile_steps(const Document *document, const cJSON *holder, int max_rows, JobPlan *plan,
			  const RequestTemplate **rows_request)
{
	const cJSON *steps = filled_array(document, holder, "steps", MAX_STEPS);

	*rows_request = NULL;
	plan->steps = palloc0(sizeof(JobStep) * cJSON_GetArraySize(steps));
	for (const cJSON *at = steps->child; at != NULL; at = at->next)
	{
		JobStep    *step = &plan->steps[plan->nsteps++];
		const cJSON *request;

		act_document_check(document, at, step_members, NULL);
		request = act_document_need(document, at, "request");
		step->has_rows = has_rows(request);
		if (step->has_rows && *rows_request != NULL)
			act_document_error(document, request, "One step takes all rows of the batch.", "rows in a second step");
		step->request = act_connector_compile_request(document, request, step->has_rows ? max_rows : 0);
		if (step->has_rows)
			*rows_request = step->request;
		compile_saves(document, at, step);
	}
	if (*rows_request == NULL)
		act_document_error(document, steps, "One of them has {\"$rows\": ...}, \"lines\" or \"columns\".",
						   "steps of which none has the rows");
}

static const char **
compile_states(const Document *document, const cJSON *poll, const char *name)
{
	const cJSON *states = filled_array(document, poll, name, 100);
	const char **names;
	int			count = 0;

	if (states == NULL)
		return NULL;
	names = palloc0(sizeof(char *) * (cJSON_GetArraySize(states) + 1));
	for (const cJSON *state = states->child; state != NULL; state = state->next)
	{
		char	   *text = act_json_scalar_text(state);

		if (text == NULL)
			act_document_error(document, state, NULL, "a string or number is expected");
		names[count++] = text;
	}
	return names;
}

static void
compile_every(const Document *document, const cJSON *poll, JobPlan *plan)
{
	const cJSON *every = filled_array(document, poll, "every", 100);
	int		   *ms;

	plan->every_ms = default_every_ms;
	plan->nevery = lengthof(default_every_ms);
	if (every == NULL)
		return;
	ms = palloc(sizeof(int) * cJSON_GetArraySize(every));
	plan->nevery = 0;
	for (const cJSON *at = every->child; at != NULL; at = at->next)
	{
		if (!cJSON_IsString(at) || !act_duration_parse(at->valuestring, &ms[plan->nevery]) || ms[plan->nevery] < 1)
			act_document_error(document, at, "Such as \"10 s\", \"500 ms\" or \"2 min\".", "a duration is expected");
		plan->nevery++;
	}
	plan->every_ms = ms;
}

static void
compile_poll(const Document *document, const cJSON *poll, JobPlan *plan)
{
	act_document_check(document, poll, poll_members, NULL);
	plan->poll = act_connector_compile_request(document, act_document_need(document, poll, "request"), 0);
	compile_every(document, poll, plan);
	plan->timeout_ms = act_rate_compile_duration(document, poll, "timeout", 1, DEFAULT_TIMEOUT_MS);
	act_document_need(document, poll, "state");
	plan->state = act_document_pointer(document, poll, "state");
	plan->message = act_document_pointer(document, poll, "message");
	act_document_need(document, poll, "done");
	plan->states[JOB_RUNNING] = compile_states(document, poll, "running");
	plan->states[JOB_DONE] = compile_states(document, poll, "done");
	plan->states[JOB_FAILED] = compile_states(document, poll, "failed");
}

static void
compile_results(const Document *document, const cJSON *holder, const Filter *const *match_compare, JobPlan *plan)
{
	const cJSON *results = filled_array(document, holder, "results", MAX_RESULTS);

	if (results == NULL)
		return;
	plan->results = palloc0(sizeof(JobResult) * cJSON_GetArraySize(results));
	for (const cJSON *at = results->child; at != NULL; at = at->next)
	{
		JobResult  *result = &plan->results[plan->nresults++];
		const cJSON *when = act_document_member(at, "when");
		const cJSON *next = act_document_member(at, "next");

		act_document_check(document, at, result_members, NULL);
		result->request = act_connector_compile_request(document, act_document_need(document, at, "request"), 0);
		result->answer = act_shape_compile(document, act_document_need(document, at, "answer"), match_compare);
		if (when != NULL)
		{
			result->has_when = true;
			result->when = act_rules_compile_test(document, when);
		}
		if (next != NULL)
		{
			result->has_next = true;
			result->next = compile_place(document, next);
		}
	}
}

/* The operation, or the one that it is like, where that has the member and this one does not. */
static const cJSON *
holder_of(const cJSON *at, const cJSON *like, const char *name)
{
	return like != NULL && act_document_member(at, name) == NULL ? like : at;
}

/* As it stands among the operations: upsert, upsert/large. */
static const char *
plan_name(const Document *document, const cJSON *at)
{
	static const char before[] = "/operations/";
	const char *pointer = act_document_pointer_to(document, at);
	const char *found = strstr(pointer, before);

	return found == NULL ? pstrdup(pointer) : pstrdup(found + strlen(before));
}

const JobPlan *
act_job_compile(const Document *document, const cJSON *at, const cJSON *like, int max_rows,
				const Filter *const *match_compare, const Operation *operation,
				const RequestTemplate **rows_request)
{
	static const char *const others[] = {"poll", "results", "abort"};
	const cJSON *holder = holder_of(at, like, "steps");
	const cJSON *poll = act_document_member(holder_of(at, like, "poll"), "poll");
	const cJSON *abort = act_document_member(holder_of(at, like, "abort"), "abort");
	JobPlan    *plan;

	if (act_document_member(holder, "steps") == NULL || (holder == like && act_document_member(at, "request") != NULL))
	{
		for (int i = 0; i < lengthof(others); i++)
		{
			if (act_document_member(at, others[i]) != NULL)
				act_document_error(document, act_document_member(at, others[i]), NULL,
								   "\"%s\", which belongs to \"steps\",", others[i]);
		}
		return NULL;
	}
	if (act_document_member(at, "request") != NULL)
		act_document_error(document, act_document_member(at, "request"), NULL, "\"request\" beside \"steps\"");
	plan = palloc0(sizeof(JobPlan));
	plan->name = plan_name(document, at);
	plan->operation = operation;
	compile_steps(document, holder, max_rows, plan, rows_request);
	if (poll != NULL)
		compile_poll(document, poll, plan);
	holder = holder_of(at, like, "results");
	if (act_document_member(holder, "results") != NULL && poll == NULL)
		act_document_error(document, act_document_member(holder, "results"), NULL, "\"results\" without \"poll\"");
	compile_results(document, holder, match_compare, plan);
	if (abort != NULL)
		plan->abort = act_connector_compile_request(document, abort, 0);
	return plan;
}

/* ----------------------------------------------------------------
 *		What it says of itself
 * ----------------------------------------------------------------
 */

const JobPlan *
act_connector_job(const Connector *connector, const Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);

	return operation == NULL ? NULL : operation->owner->job;
}

const JobPlan *
act_connector_job_named(const Connector *connector, const char *name)
{
	for (int op = 0; op < ROW_OP_COUNT; op++)
	{
		const Operation *operation = connector->operations[op];

		if (operation != NULL && operation->job != NULL && strcmp(operation->job->name, name) == 0)
			return operation->job;
	}
	return NULL;
}

const char *
act_job_name(const JobPlan *plan)
{
	return plan->name;
}

int
act_job_steps(const JobPlan *plan)
{
	return plan->nsteps;
}

bool
act_job_step_has_rows(const JobPlan *plan, int step)
{
	return plan->steps[step].has_rows;
}

bool
act_job_polls(const JobPlan *plan)
{
	return plan->poll != NULL;
}

int
act_job_results(const JobPlan *plan)
{
	return plan->nresults;
}

bool
act_job_aborts(const JobPlan *plan)
{
	return plan->abort != NULL;
}

int
act_job_timeout_ms(const JobPlan *plan)
{
	return plan->timeout_ms;
}

int
act_job_pause_ms(const JobPlan *plan, int polls)
{
	return plan->poll == NULL ? 0 : plan->every_ms[Min(polls, plan->nevery - 1)];
}

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
	if (place->stage == JOB_STEP && plan->steps[place->number].has_rows)
	{
		rows = act_connector_sent_rows(connector, scope, rows, nrows);
		bytes = 1024;
		for (int i = 0; i < nrows; i++)
			bytes += act_connector_row_bytes(connector, scope, rows[i]);
	}
	input = act_request_input(connector, &with_saved, rows, nrows);
	if (bytes > 0 && template->row == NULL && nrows == 1)
		input.row = rows[0];
	act_request_render(connector, template, &input, bytes, request);
	if (by_address)
		request->url = *place->next != '/' ? pstrdup(place->next) :
			psprintf("%s%s", act_url_origin(request->url), place->next);
}

/* The step that has the rows, as it would go: what earlier ones save stands there by its name. */
void
act_job_render_rows(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows,
					HttpRequest *request)
{
	const JobPlan *plan = act_connector_job(connector, rows[0]);
	JobPlace	place = {.stage = JOB_STEP};

	while (!plan->steps[place.number].has_rows)
	{
		const JobStep *step = &plan->steps[place.number++];

		for (int i = 0; i < step->nsaves; i++)
			place.saved = lappend(place.saved, saved_value(step->saves[i].name, step->saves[i].name));
	}
	act_job_render(connector, scope, plan, &place, rows, nrows, request);
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

/* One answer being read by one of the readers below. */
typedef struct JobReading
{
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
	*reading->saved = list_concat(*reading->saved, saved);
}

void
act_job_read_step(const Connector *connector, const JobPlan *plan, int step, const HttpResponse *response,
				  int64 now_ms, List **saved, ConnectorAnswer *answer)
{
	JobReading	reading = {
		.plan = plan,.response = response,.number = step,.saved = saved
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

	if (root == NULL || !act_answer_is_success(reading->response))
	{
		doubt(answer, reading->response,
			  root == NULL && problem != NULL ? psprintf("it cannot be read: %s", problem) : "the answer says nothing of the job");
		return;
	}
	value = act_json_pointer_resolve(plan->state, root);
	poll->state_text = value == NULL ? NULL : act_json_scalar_text(value);
	poll->state = state_of(plan, poll->state_text);
	value = plan->message == NULL ? NULL : act_json_pointer_resolve(plan->message, root);
	poll->message = value == NULL ? NULL : act_json_scalar_text(value);
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
	JobReading	reading = {.plan = plan,.response = response,.poll = poll};

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
	results->results = act_results_begin(connector, scope, rows, nrows);
	return results;
}

/* Whether there is more; an address must be one that the credentials may go to. */
static void
find_next(JobReading *reading, const JobResult *result, const cJSON *root, ConnectorAnswer *answer)
{
	char	   *text = result->has_next ? place_text(&result->next, reading->response, root) : NULL;

	if (text == NULL || *text == '\0' || strcmp(text, "null") == 0)
		return;
	if (is_address(text) && *text != '/')
	{
		char	   *origin = act_url_origin(text);
		char	   *base = act_url_origin(act_connector_base_url(reading->results->connector, reading->results->scope));

		if (origin == NULL || base == NULL || strcmp(origin, base) != 0)
		{
			doubt(answer, reading->response, psprintf("the next page is at another host: %s", text));
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
		.plan = results->operation->job,.response = response,.number = number,.results = results,.next = next
	};

	*next = NULL;
	act_answer_read_step(results->connector, results->operation, response, now_ms, read_results, &reading, answer);
}

const char *
act_job_results_finish(JobResults *results, ConnectorAnswer *answer)
{
	return act_results_finish(results->results, answer);
}
