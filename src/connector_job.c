/*-------------------------------------------------------------------------
 *
 * connector_job.c
 *	  Operations that hand rows over in steps and ask later what became of
 *	  them.
 *
 * Members steps, poll, results and abort of an operation, compiled, and what
 * they say of themselves.  Throws what document.h throws.  Needs neither
 * database nor transaction; allocates in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_job_private.h"
#include "duration.h"
#include "fault.h"

#define MAX_STEPS 20
#define MAX_RESULTS 20
#define DEFAULT_TIMEOUT_MS (24 * ACT_HOUR_MS)

static const char *const step_members[] = {"request", "save", NULL};
static const char *const poll_members[] = {
	"request", "every", "timeout", "state", "running", "done", "failed", "message", NULL
};
static const char *const result_members[] = {"request", "when", "next", "answer", NULL};
static const char *const place_members[] = {"header", NULL};

int			act_poll_pause_ms = 0;	/* of the test build, see fault.h */

static const int default_every_ms[] = {2000, 5000, 15000, 30000};

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

/* The names of what is saved that the strings of a request have in them: added to names, of char *. */
static List *
saved_names(const cJSON *at, List *names)
{
	static const char prefix[] = "saved.";
	const char *text = cJSON_IsString(at) ? at->valuestring : NULL;

	while (text != NULL && (text = strstr(text, "{{")) != NULL)
	{
		text += 2 + strspn(text + 2, " ");
		if (strncmp(text, prefix, strlen(prefix)) != 0)
			continue;
		text += strlen(prefix);
		names = lappend(names, pnstrdup(text, strcspn(text, " |}")));
	}
	for (const cJSON *child = at->child; child != NULL; child = child->next)
		names = saved_names(child, names);
	return names;
}

static bool
is_saved_before(const JobPlan *plan, int steps, const char *name)
{
	for (int n = 0; n < steps; n++)
	{
		for (int i = 0; i < plan->steps[n].nsaves; i++)
		{
			if (strcmp(plan->steps[n].saves[i].name, name) == 0)
				return true;
		}
	}
	return false;
}

/* A request after so many steps names nothing that they do not save. */
static void
check_saved(const Document *document, const cJSON *request, const JobPlan *plan, int steps, bool has_next)
{
	List	   *names = saved_names(request, NIL);
	ListCell   *cell;

	foreach(cell, names)
	{
		const char *name = lfirst(cell);

		if (!is_saved_before(plan, steps, name) && !(has_next && strcmp(name, "next") == 0))
			act_document_error(document, request, "It is in \"save\" of an earlier step.",
							   "\"saved.%s\", which nothing before saves,", name);
	}
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
		check_saved(document, request, plan, plan->nsteps - 1, false);
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
	check_saved(document, act_document_member(poll, "request"), plan, plan->nsteps, false);
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
		check_saved(document, act_document_member(at, "request"), plan, plan->nsteps, next != NULL);
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

/* The operation, and which variant of it: upsert, upsert/large. */
static const char *
plan_name(const Document *document, const cJSON *at, const Operation *operation)
{
	static const char before[] = "/operations/";
	const char *pointer = act_document_pointer_to(document, at);
	const char *found = strstr(pointer, before);
	const char *variant = found == NULL ? NULL : strchr(found + strlen(before), '/');

	return psprintf("%s%s", act_row_op_name(operation->public.op), variant == NULL ? "" : variant);
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
	plan->name = plan_name(document, at, operation);
	plan->operation = operation;
	compile_steps(document, holder, max_rows, plan, rows_request);
	if (poll != NULL)
		compile_poll(document, poll, plan);
	holder = holder_of(at, like, "results");
	if (act_document_member(holder, "results") != NULL && poll == NULL)
		act_document_error(document, act_document_member(holder, "results"), NULL, "\"results\" without \"poll\"");
	compile_results(document, holder, match_compare, plan);
	if (abort != NULL)
	{
		plan->abort = act_connector_compile_request(document, abort, 0);
		plan->abort_names = saved_names(abort, NIL);
		check_saved(document, abort, plan, plan->nsteps, false);
	}
	return plan;
}

/* The one step that goes before a unit. */
const JobPlan *
act_job_compile_prepare(const Document *document, const cJSON *at, const Operation *operation)
{
	JobPlan    *plan = palloc0(sizeof(JobPlan));
	const cJSON *request;

	act_document_check(document, at, step_members, NULL);
	request = act_document_need(document, at, "request");
	act_document_need(document, at, "save");
	plan->name = "replace/prepare";
	plan->operation = operation;
	plan->nsteps = 1;
	plan->steps = palloc0(sizeof(JobStep));
	plan->steps[0].request = act_connector_compile_request(document, request, 0);
	compile_saves(document, at, &plan->steps[0]);
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
act_connector_preparation(const Connector *connector)
{
	const Operation *operation = connector->operations[ROW_OP_REPLACE];

	return operation == NULL ? NULL : operation->prepare;
}

const JobPlan *
act_connector_job_named(const Connector *connector, const char *name)
{
	ListCell   *cell;

	foreach(cell, connector->jobs)
	{
		const JobPlan *plan = lfirst(cell);

		if (strcmp(plan->name, name) == 0)
			return plan;
	}
	return NULL;
}

const char *
act_job_name(const JobPlan *plan)
{
	return plan->name;
}

static bool
is_saved(List *saved, const char *name)
{
	ListCell   *cell;

	foreach(cell, saved)
	{
		if (strcmp(((const HttpHeader *) lfirst(cell))->name, name) == 0)
			return true;
	}
	return false;
}

bool
act_job_has_saved(const JobPlan *plan, List *saved)
{
	for (int n = 0; n < plan->nsteps; n++)
	{
		for (int i = 0; i < plan->steps[n].nsaves; i++)
		{
			if (!is_saved(saved, plan->steps[n].saves[i].name))
				return false;
		}
	}
	return true;
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

/* Before there is anything that it could name there is nothing to be aborted. */
bool
act_job_aborts(const JobPlan *plan, List *saved)
{
	ListCell   *cell;

	foreach(cell, plan->abort_names)
	{
		if (!is_saved(saved, lfirst(cell)))
			return false;
	}
	return plan->abort != NULL && saved != NIL;
}

int
act_job_timeout_ms(const JobPlan *plan)
{
	return plan->timeout_ms;
}

int
act_job_pause_ms(const JobPlan *plan, int polls)
{
	if (plan->poll == NULL)
		return 0;
	return act_poll_pause_ms > 0 ? act_poll_pause_ms : plan->every_ms[Min(polls, plan->nevery - 1)];
}
