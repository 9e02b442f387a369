/*-------------------------------------------------------------------------
 *
 * job_test.c
 *	  Operations in steps: what a document may say of them, the requests of a
 *	  job, and what its answers mean.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * broken answers (default 20000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_job.h"
#include "connector_limits.h"
#include "connector_private.h"
#include "json_text.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "job_test.c:%d: %s\n", line, what);
	}
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)

static void
check_text_at(const char *got, const char *wanted, const char *of, int line)
{
	bool		same = got != NULL && wanted != NULL ? strcmp(got, wanted) == 0 : got == wanted;

	check_at(same, line, of);
	if (!same)
		fprintf(stderr, "  got    %s\n  wanted %s\n", got ? got : "(none)", wanted ? wanted : "(none)");
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, #got, __LINE__)

/* Whether the statement throws; what it says then stands in stub_error. */
#define THROWS(statement) \
	({ \
		volatile bool threw = false; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			threw = true; \
		} \
		PG_END_TRY(); \
		threw; \
	})

/* ----------------------------------------------------------------
 *		A world: documents, rows, answers
 * ----------------------------------------------------------------
 */

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	ListCell   *cell;

	foreach(cell, response->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

static const char *
find_option(void *arg, const char *name)
{
	return strcmp(name, "base_url") == 0 ? "https://api.test/v1" : NULL;
}

static const char *
find_secret(void *arg, const char *name)
{
	return NULL;
}

static char *key_names[] = {"id"};
static ConnectorScope scope = {
	.sync_name = "s",.object = "people",.nkeys = 1,.key_names = key_names,.option = find_option,.secret = find_secret
};

#define ROWS "{\"$rows\": {\"id\": \"{{row.key.id}}\"}}"
#define STEPS \
	"\"steps\": [{\"request\": {\"path\": \"/jobs\", \"body\": {\"object\": \"{{sync.object}}\"}}," \
	" \"save\": {\"job\": \"/id\", \"place\": {\"header\": \"Location\"}}}," \
	" {\"request\": {\"method\": \"PUT\", \"path\": \"/jobs/{{saved.job}}/rows\", \"body\": {\"rows\": " ROWS "}}}," \
	" {\"request\": {\"method\": \"PATCH\", \"path\": \"/jobs/{{saved.job}}\", \"body\": {\"state\": \"go\"}}}]"
#define POLL \
	"\"poll\": {\"request\": {\"method\": \"GET\", \"path\": \"/jobs/{{saved.job}}\"}, \"every\": [\"1 s\", \"5 s\"]," \
	" \"timeout\": \"1 h\", \"state\": \"/state\", \"running\": [\"working\", 1], \"done\": [\"done\"], \"failed\": [\"failed\"]," \
	" \"message\": \"/why\"}"
#define ANSWER \
	"{\"by\": \"key\", \"items\": \"/r\", \"is\": \"/id\", \"default\": \"accepted\", \"message\": \"/why\"," \
	" \"outcomes\": [{\"at\": \"/ok\", \"in\": [false], \"then\": \"rejected\"}, {\"at\": \"/ok\", \"in\": [true], \"then\": \"accepted\"}]}"
#define RESULTS \
	"\"results\": [{\"request\": {\"method\": \"GET\", \"path\": \"/jobs/{{saved.job}}/failed\", \"query\": {\"from\": \"{{saved.next}}\"}}," \
	" \"next\": \"/next\", \"answer\": " ANSWER "}," \
	" {\"request\": {\"method\": \"GET\", \"path\": \"/jobs/{{saved.job}}/left\"}, \"when\": {\"at\": \"/left\", \"gt\": 0}, \"answer\": " ANSWER "}]"

static Connector *
document(const char *operation)
{
	return act_connector_compile("t", psprintf("{\"name\": \"t\", \"takes_key\": true, \"operations\": {\"upsert\": {"
											   "\"batch\": {\"max_rows\": 10}, %s}}}", operation));
}

/* What is wrong with an operation, or NULL. */
static const char *
wrong(const char *operation)
{
	return THROWS(document(operation)) ? stub_error.message : NULL;
}

static bool
says(const char *operation, const char *what)
{
	const char *message = wrong(operation);
	bool		same = message != NULL && strstr(message, what) != NULL;

	if (!same)
		fprintf(stderr, "  got    %s\n  wanted ...%s\n", message ? message : "(none)", what);
	return same;
}

static Row	row_space[3];
static Row *rows[3];

static void
make_rows(void)
{
	static const char *const keys[] = {"{\"id\": 1}", "{\"id\": 2}", "{\"id\": 3}"};

	for (int i = 0; i < 3; i++)
	{
		memset(&row_space[i], 0, sizeof(Row));
		row_space[i].op = ROW_OP_UPSERT;
		row_space[i].key = pstrdup(keys[i]);
		row_space[i].fields = pstrdup("{}");
		rows[i] = &row_space[i];
	}
}

static HttpHeader *
header(const char *name, const char *value)
{
	HttpHeader *made = palloc(sizeof(HttpHeader));

	made->name = pstrdup(name);
	made->value = pstrdup(value);
	return made;
}

static HttpResponse
answered(int status, const char *body)
{
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = status};

	response.body = pstrdup(body);
	response.body_len = strlen(body);
	response.headers = lappend(lappend(NIL, header("Content-Type", "application/json")), header("Location", "/there"));
	return response;
}

static const JobPlan *
plan_of(const Connector *connector)
{
	make_rows();
	return act_connector_job(connector, rows[0]);
}

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

static void
test_documents(void)
{
	CHECK_TEXT(wrong(STEPS ", " POLL ", " RESULTS), NULL);
	CHECK(says(POLL, "\"poll\", which belongs to \"steps\""));
	CHECK(says(STEPS ", \"request\": {}", "\"request\" beside \"steps\""));
	CHECK(says("\"steps\": []", "an empty list at /operations/upsert/steps"));
	CHECK(says("\"steps\": [{\"request\": {\"path\": \"/a\"}}]", "steps of which none has the rows"));
	CHECK(says("\"steps\": [{\"request\": {\"body\": [" ROWS "]}}, {\"request\": {\"body\": [" ROWS "]}}]",
			   "rows in a second step at /operations/upsert/steps/1/request"));
	CHECK(says("\"steps\": [{\"request\": {\"body\": [" ROWS "]}, \"safe\": {}}]",
			   "unknown member \"safe\" at /operations/upsert/steps/0/safe"));
	CHECK(says("\"steps\": [{\"request\": {\"body\": [" ROWS "]}, \"save\": {\"a\": \"id\"}}]",
			   "a JSON pointer is expected at /operations/upsert/steps/0/save/a"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"method\": \"GET\"}, \"done\": [\"d\"]}", "member \"state\" is missing"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"method\": \"GET\"}, \"state\": \"/s\"}", "member \"done\" is missing"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"method\": \"GET\"}, \"state\": \"/s\", \"done\": [true]}",
			   "a string or number is expected at /operations/upsert/poll/done/0"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"method\": \"GET\"}, \"state\": \"/s\", \"done\": [1], \"every\": [\"soon\"]}",
			   "a duration is expected at /operations/upsert/poll/every/0"));
	CHECK(says(STEPS ", " RESULTS, "\"results\" without \"poll\""));
	CHECK(says(STEPS ", " POLL ", \"results\": [{\"request\": {}}]", "member \"answer\" is missing"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"path\": \"/{{row.key.id}}\"}, \"state\": \"/s\", \"done\": [1]}", "row.key"));
	CHECK(says(STEPS ", \"poll\": {\"request\": {\"path\": \"/{{saved.id}}\"}, \"state\": \"/s\", \"done\": [1]}",
			   "\"saved.id\", which nothing before saves, at /operations/upsert/poll/request"));
	CHECK(says("\"steps\": [{\"request\": {\"path\": \"/{{saved.a}}\", \"body\": [" ROWS "]}, \"save\": {\"a\": \"/id\"}}]",
			   "\"saved.a\", which nothing before saves, at /operations/upsert/steps/0/request"));
}

static void
test_plan(void)
{
	Connector  *connector = document(STEPS ", " POLL ", " RESULTS);
	const JobPlan *plan = plan_of(connector);

	CHECK(plan != NULL && act_connector_job_named(connector, "upsert") == plan);
	CHECK(act_connector_job_named(connector, "insert") == NULL);
	CHECK(act_job_steps(plan) == 3 && act_job_step_has_rows(plan, 1) && !act_job_step_has_rows(plan, 2));
	CHECK(act_job_pause_ms(plan, 0) == 1000 && act_job_pause_ms(plan, 1) == 5000 && act_job_pause_ms(plan, 9) == 5000);
	CHECK(act_job_timeout_ms(plan) == 3600 * 1000 && !act_job_aborts(plan, NIL));
	CHECK(plan_of(document("\"request\": {\"body\": [" ROWS "]}")) == NULL);
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static HttpRequest
rendered(const Connector *connector, JobStage stage, int number, const char *next, List *saved)
{
	JobPlace	place = {.stage = stage,.number = number,.next = next == NULL ? NULL : pstrdup(next),.saved = saved};
	HttpRequest request;

	act_job_render(connector, &scope, plan_of(connector), &place, rows, 3, &request);
	return request;
}

static void
test_requests(void)
{
	Connector  *connector = document(STEPS ", " POLL ", " RESULTS);
	List	   *saved = lappend(NIL, header("job", "a/b"));
	HttpRequest request = rendered(connector, JOB_STEP, 0, NULL, NIL);

	CHECK_TEXT(request.url, "https://api.test/v1/jobs");
	CHECK_TEXT(request.body, "{\"object\":\"people\"}");
	request = rendered(connector, JOB_STEP, 1, NULL, saved);
	CHECK_TEXT(request.url, "https://api.test/v1/jobs/a%2Fb/rows");
	CHECK_TEXT(request.body, "{\"rows\":[{\"id\":1},{\"id\":2},{\"id\":3}]}");
	CHECK_TEXT(rendered(connector, JOB_POLL, 0, NULL, saved).url, "https://api.test/v1/jobs/a%2Fb");
	CHECK_TEXT(rendered(connector, JOB_RESULTS, 0, NULL, saved).url, "https://api.test/v1/jobs/a%2Fb/failed");
	CHECK_TEXT(rendered(connector, JOB_RESULTS, 0, "c 2", saved).url, "https://api.test/v1/jobs/a%2Fb/failed?from=c%202");
	CHECK_TEXT(rendered(connector, JOB_RESULTS, 0, "/x?y=2", saved).url, "https://api.test:443/x?y=2");
	CHECK_TEXT(rendered(connector, JOB_RESULTS, 0, "https://api.test/z", saved).url, "https://api.test/z");
	/* Not what all jobs have in common. */
	CHECK(THROWS(rendered(connector, JOB_POLL, 0, NULL, NIL)));
	CHECK(act_job_has_saved(plan_of(connector), lappend(list_copy(saved), header("place", "/jobs/1"))));
	CHECK(!act_job_has_saved(plan_of(connector), saved));

	/* What a preview shows. */
	make_rows();
	act_connector_render(connector, &scope, rows, 3, &request);
	CHECK_TEXT(request.url, "https://api.test/v1/jobs/job/rows");
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

static void
test_steps(void)
{
	Connector  *connector = document(STEPS ", " POLL);
	HttpResponse response = answered(201, "{\"id\": 12345678901234567890}");
	List	   *saved = NIL;
	ConnectorAnswer answer;

	act_job_read_step(connector, plan_of(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_ROWS && list_length(saved) == 2);
	CHECK_TEXT(((HttpHeader *) linitial(saved))->value, "12345678901234567890");
	CHECK_TEXT(((HttpHeader *) lsecond(saved))->value, "/there");

	/* Without what it is to save it may have been done, and nobody can ask. */
	saved = NIL;
	response = answered(200, "{\"id\": null}");
	act_job_read_step(connector, plan_of(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_UNCERTAIN && saved == NIL);
	response = answered(200, "{\"id\":");
	act_job_read_step(connector, plan_of(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_UNCERTAIN);
	response = answered(422, "{}");
	act_job_read_step(connector, plan_of(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_REFUSED);
}

static JobState
state_of(const Connector *connector, const char *body, JobPoll *poll)
{
	HttpResponse response = answered(200, body);
	ConnectorAnswer answer;

	act_job_read_poll(connector, plan_of(connector), &response, 0, poll, &answer);
	CHECK(answer.verdict == VERDICT_ROWS);
	return poll->state;
}

static void
test_polls(void)
{
	Connector  *connector = document(STEPS ", " POLL ", " RESULTS);
	JobPoll		poll;

	CHECK(state_of(connector, "{\"state\": \"working\"}", &poll) == JOB_RUNNING);
	CHECK(state_of(connector, "{\"state\": 1}", &poll) == JOB_RUNNING);
	CHECK(state_of(connector, "{\"state\": \"strange\"}", &poll) == JOB_STRANGE);
	CHECK(state_of(connector, "{}", &poll) == JOB_STRANGE);
	CHECK(state_of(connector, "{\"state\": \"failed\", \"why\": \"no\"}", &poll) == JOB_FAILED && !poll.tells);
	CHECK_TEXT(poll.message, "no");
	CHECK(state_of(connector, "{\"state\": \"done\", \"left\": 0}", &poll) == JOB_DONE && poll.wanted[0] && !poll.wanted[1]);
	CHECK(state_of(connector, "{\"state\": \"done\", \"left\": 2}", &poll) == JOB_DONE && poll.wanted[1]);
	CHECK(state_of(connector, "{\"state\": \"failed\", \"left\": 2}", &poll) == JOB_FAILED && poll.tells);

	/* What each row gets of it is no longer than what any other answer says of a row. */
	CHECK(state_of(connector, psprintf("{\"state\": \"failed\", \"why\": \"%0*d\"}", 500000, 0), &poll) == JOB_FAILED);
	CHECK(strlen(poll.message) == ACT_ANSWER_MAX_MESSAGE);
	CHECK(state_of(connector, psprintf("{\"state\": \"%0*d\"}", 500000, 0), &poll) == JOB_STRANGE);
	CHECK(strlen(poll.state_text) == ACT_ANSWER_MAX_CODE);
	CHECK(state_of(connector, "{\"state\": \"failed\", \"why\": {\"code\": 7}}", &poll) == JOB_FAILED);
	CHECK_TEXT(poll.message, "{\"code\":7}");
}

static ConnectorAnswer
add_page(JobResults *results, int number, const char *body, char **next)
{
	HttpResponse response = answered(200, body);
	ConnectorAnswer answer;

	act_job_read_results(results, number, &response, 0, next, &answer);
	return answer;
}

static void
test_results(void)
{
	Connector  *connector = document(STEPS ", " POLL ", " RESULTS);
	const JobPlan *plan = plan_of(connector);
	JobResults *results = act_job_results_begin(connector, &scope, plan, rows, 3);
	ConnectorAnswer answer;
	char	   *next;

	answer = add_page(results, 0, "{\"r\": [{\"id\": 2, \"ok\": false, \"why\": \"bad\"}], \"next\": \"c2\"}", &next);
	CHECK(answer.verdict == VERDICT_ROWS);
	CHECK_TEXT(next, "c2");
	CHECK(rows[1]->outcome == ROW_UNDECIDED);
	answer = add_page(results, 0, "{\"r\": [{\"id\": 2, \"ok\": true}, {\"id\": 3, \"ok\": true}], \"next\": null}", &next);
	CHECK(answer.verdict == VERDICT_ROWS && next == NULL);
	CHECK(act_job_results_finish(results, &answer) == NULL);
	CHECK(rows[0]->outcome == ROW_ACCEPTED && rows[2]->outcome == ROW_ACCEPTED);
	CHECK(rows[1]->outcome == ROW_REJECTED);
	CHECK_TEXT(rows[1]->message, "bad");

	/* Credentials go to no other host. */
	plan = plan_of(connector);
	results = act_job_results_begin(connector, &scope, plan, rows, 3);
	answer = add_page(results, 0, "{\"r\": [], \"next\": \"https://evil.test/steal\"}", &next);
	CHECK(answer.verdict == VERDICT_UNCERTAIN && next == NULL && strstr(answer.message, "another host") != NULL);
	answer = add_page(results, 0, psprintf("{\"r\": [], \"next\": \"https://evil.test/%0*d\"}", 5000, 0), &next);
	CHECK(next == NULL && strlen(answer.message) < 400);
	answer = add_page(results, 0, psprintf("{\"r\": [], \"next\": \"/%0*d\"}", 500000, 0), &next);
	CHECK(answer.verdict == VERDICT_UNCERTAIN && next == NULL);
	answer = add_page(results, 0, "{\"r\": [], \"next\": \"https://api.test/v1/jobs?page=2\"}", &next);
	CHECK_TEXT(next, "https://api.test/v1/jobs?page=2");
	answer = add_page(results, 0, "{\"r\": 7}", &next);
	CHECK(answer.verdict == VERDICT_UNCERTAIN);
}

static void
test_limits(void)
{
	static const char text[] = "{\"name\": \"t\", \"limits\": {\"request\": {\"method\": \"GET\", \"path\": \"/limits\"},"
		" \"into\": {\"batch.max_rows\": \"/rows\", \"rate.requests\": \"/rate\", \"rate.rows\": \"/a second\"}},"
		" \"operations\": {\"upsert\": {\"request\": {\"body\": {}}}}}";
	Connector  *connector = act_connector_compile("t", text);
	HttpResponse response = answered(200, "{\"rows\": \"50\", \"rate\": -1, \"a second\": 100}");
	HttpRequest request;
	ConnectorAnswer answer;
	ConnectorLimits limits;

	CHECK(act_connector_tells_limits(connector) && !act_connector_tells_limits(document("\"request\": {\"body\": [" ROWS "]}")));
	act_connector_render_limits(connector, &scope, &request);
	CHECK_TEXT(request.url, "https://api.test/v1/limits");
	act_connector_read_limits(connector, &response, 0, &answer, &limits);
	CHECK(answer.verdict == VERDICT_ROWS && limits.max_rows == 50 && limits.requests == 0 && limits.concurrency == 0 && limits.rows == 100);
	response = answered(500, "{\"rows\": 50}");
	act_connector_read_limits(connector, &response, 0, &answer, &limits);
	CHECK(answer.verdict != VERDICT_ROWS && limits.max_rows == 0);
}

/* Whatever an answer says, no row is decided that it does not speak of, and nothing is read beyond it. */
static void
test_broken_answers(void)
{
	static const char whole[] = "{\"r\": [{\"id\": 2, \"ok\": false, \"why\": \"bad\"}, {\"id\": 1, \"ok\": true}],"
		" \"next\": \"c2\", \"state\": \"done\", \"left\": 2, \"id\": \"j1\"}";
	int			count = getenv("FUZZ") ? atoi(getenv("FUZZ")) : 20000;

	srand(getenv("SEED") ? atoi(getenv("SEED")) : 1);
	for (int i = 0; i < count; i++)
	{
		Connector  *connector = document(STEPS ", " POLL ", " RESULTS);
		const JobPlan *plan = plan_of(connector);
		JobResults *results = act_job_results_begin(connector, &scope, plan, rows, 3);
		HttpResponse response = answered(rand() % 4 == 0 ? 400 : 200, whole);
		ConnectorAnswer answer;
		JobPoll		poll;
		List	   *saved = NIL;
		char	   *next;

		for (int n = rand() % 6; n >= 0; n--)
			response.body[rand() % (sizeof(whole) - 1)] = (char) (rand() % 256);
		if (rand() % 4 == 0)
			response.body_len = rand() % sizeof(whole);
		response.body[response.body_len] = '\0';
		act_job_read_step(connector, plan, 0, &response, 0, &saved, &answer);
		if ((answer.verdict == VERDICT_ROWS) != (list_length(saved) == 2))
			CHECK(answer.verdict == VERDICT_ROWS);
		act_job_read_poll(connector, plan, &response, 0, &poll, &answer);
		act_job_read_results(results, rand() % 3 - 1, &response, 0, &next, &answer);
		if (answer.verdict != VERDICT_ROWS && next != NULL)
			CHECK(next == NULL);
		if (act_job_results_finish(results, &answer) == NULL && rows[0]->outcome == ROW_UNDECIDED)
			CHECK(rows[0]->outcome != ROW_UNDECIDED);
		stub_reset();
	}
}

int
main(void)
{
	test_documents();
	test_plan();
	test_requests();
	test_steps();
	test_polls();
	test_results();
	test_limits();
	test_broken_answers();
	stub_reset();
	printf("job_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
