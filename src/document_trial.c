/*-------------------------------------------------------------------------
 *
 * document_trial.c
 *	  Requests of a document that is tried out, and what answers would mean.
 *
 * Called by connector_check.c for each operation; the engine's own rendering
 * and judging, of made-up rows and secrets.  Throws what is wrong with the
 * document; touches neither database nor network.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/json.h"

#include "connector_check.h"
#include "filter.h"
#include "json_text.h"
#include "request_mask.h"

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

const char *
act_check_option(void *arg, const char *name)
{
	return act_sample_option(((Check *) arg)->sample, name);
}

/* Every secret that the document names is set. */
const char *
act_check_secret(void *arg, const char *name)
{
	const Check *check = arg;

	for (const char *const *known = act_connector_secrets(check->connector); *known != NULL; known++)
	{
		if (strcmp(*known, name) == 0)
			return check->secret;
	}
	return NULL;
}

/* Depends on what is known of the rows. */
const ConnectorOperation *
act_check_operation(const Check *check)
{
	return act_connector_row_operation(check->connector, check->sample->rows[0]);
}

static int
row_count(const Check *check)
{
	const ConnectorOperation *operation = check->is_check || check->is_lookup ? NULL : act_check_operation(check);
	int			most = check->is_lookup ? act_connector_lookup_rows(check->connector, 0) :
		operation == NULL ? 1 : operation->max_rows;

	return Min(most, check->sample->nrows);
}

static void
render(void *arg)
{
	Check	   *check = arg;
	const ConnectorScope *scope = &check->sample->scope;
	int			nrows = check->is_check ? 0 : row_count(check);
	HttpRequest *request = &check->request;

	if (check->is_check)
		act_connector_render_check(check->connector, scope, request);
	else if (check->is_lookup)
		act_connector_render_lookup(check->connector, scope, check->sample->rows, nrows, request);
	else if (check->plan != NULL)
		act_job_render(check->connector, scope, check->plan, &check->place, check->sample->rows, nrows, request);
	else if (check->op == ROW_OP_REPLACE)
	{
		ConnectorScope own = *scope;

		own.saved = NIL;		/* as in a preview */
		act_connector_render_unit(check->connector, &own, check->sample->rows, nrows,
								  check->sample->rows[0]->change_id, request);
	}
	else
		act_connector_render(check->connector, scope, check->sample->rows, nrows, request);
}

/* Once with each of two secrets, so that what is made of them can be masked. */
void
act_check_render(void *arg)
{
	Check	   *check = arg;
	HttpRequest others[2];
	int64		now_s = check->sample->scope.now_ms / 1000;

	for (int i = 0; i < lengthof(others); i++)
	{
		check->secret = i == 0 ? ACT_REQUEST_ONE_SECRET : ACT_REQUEST_OTHER_SECRET;
		check->sample->scope.token = act_connector_sample_token(check->connector, &check->sample->scope, check->secret);
		render(check);
		act_connector_authorize(check->connector, &check->sample->scope, &check->request, now_s);
		others[i] = check->request;
	}
	act_request_mask(&others[0], &others[1]);
	check->request = others[0];
}

static void
append_string(StringInfo buf, const char *text)
{
	act_json_append_string(buf, text, strlen(text));
}

/* JSON as it is, text as a string, anything else as a string in base64. */
static void
append_body(StringInfo buf, const HttpRequest *request)
{
	char	   *problem;
	cJSON	   *tree;
	bool		is_text = true;

	for (size_t i = 0; i < request->body_len && is_text;)
	{
		int			len = act_utf8_length(request->body + i, request->body_len - i);

		is_text = len > 0;
		i += len;
	}
	if (!is_text)
	{
		appendStringInfoChar(buf, '"');
		act_base64_append(buf, request->body, request->body_len);
		appendStringInfoChar(buf, '"');
		return;
	}
	tree = act_json_parse(request->body, request->body_len, JSON_DOCUMENT, &problem);
	if (tree != NULL)
		appendBinaryStringInfo(buf, request->body, (int) request->body_len);
	else
		act_json_append_string(buf, request->body, request->body_len);
	cJSON_Delete(tree);
}

char *
act_check_request_json(const HttpRequest *request)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"method\": ");
	append_string(&buf, request->method);
	appendStringInfoString(&buf, ", \"url\": ");
	append_string(&buf, request->url);
	appendStringInfoString(&buf, ", \"headers\": {");
	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		appendStringInfoString(&buf, foreach_current_index(cell) > 0 ? ", " : "");
		append_string(&buf, header->name);
		appendStringInfoString(&buf, ": ");
		append_string(&buf, header->value);
	}
	appendStringInfoChar(&buf, '}');
	if (request->body != NULL)
	{
		appendStringInfoString(&buf, ", \"body\": ");
		append_body(&buf, request);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

static const char *
verdict_name(const ConnectorAnswer *answer)
{
	for (int i = 0; i < ANSWER_CLASS_COUNT; i++)
	{
		const AnswerClassInfo *class = &act_answer_classes[i];

		if (class->verdict == answer->verdict &&
			(answer->verdict != VERDICT_REFUSED || (i == ANSWER_REFUSED_FOR_GOOD) == answer->final))
			return class->name;
	}
	return NULL;
}

/* What becomes of a row when no row is told apart: the table of doc/reference.md. */
static RowOutcome
outcome_of_batch(const Check *check, const ConnectorAnswer *answer)
{
	const ConnectorOperation *operation = act_check_operation(check);

	switch (answer->verdict)
	{
		case VERDICT_REFUSED:
			return answer->final ? ROW_REFUSED : ROW_REJECTED;
		case VERDICT_UNCERTAIN:
			return operation != NULL && !operation->idempotent ? ROW_UNKNOWN : ROW_DOUBT;
		default:
			return ROW_DELAYED;
	}
}

static const char *
outcome_name(RowOutcome outcome)
{
	static const char *const names[ROW_OUTCOME_COUNT] = {
		[ROW_ACCEPTED] = "accepted", [ROW_REJECTED] = "rejected", [ROW_REFUSED] = "refused",
		[ROW_ABSENT] = "absent", [ROW_DOUBT] = "in doubt", [ROW_UNKNOWN] = "unknown",
		[ROW_DELAYED] = "delayed", [ROW_SKIPPED] = "skipped", [ROW_WAITING] = "waiting",
		[ROW_HELD_OUT] = "held_out"
	};

	return names[outcome];
}

static void
put_answer(const Check *check, const ConnectorAnswer *answer)
{
	CheckLine	line = {
		.kind = "answer",.operation = act_check_operation_name(check),.row = -1,
		.outcome = verdict_name(answer),.code = answer->code,.message = answer->message,.hint = answer->hint
	};

	if (answer->wait_ms >= 0)
		line.message = psprintf("%s%sit asks to wait for %.3g s", answer->message == NULL ? "" : answer->message,
								answer->message == NULL ? "" : "; ", answer->wait_ms / 1000.0);
	act_check_line(check, &line);
}

static void
put_row(const Check *check, int number, const ConnectorAnswer *answer)
{
	const Row  *row = check->sample->rows[number];
	bool		judged = answer->verdict == VERDICT_ROWS;
	CheckLine	line = {
		.kind = "row",.operation = act_check_operation_name(check),.row = number,
		.outcome = outcome_name(judged ? row->outcome : outcome_of_batch(check, answer)),
		.code = judged ? row->code : NULL,.message = judged ? row->message : NULL,
		.external_id = judged ? row->new_external_id : NULL
	};

	if (answer->verdict == VERDICT_REFUSED && row_count(check) > 1)
		line.message = "the batch is searched for the row that is refused; the others go on";
	act_check_line(check, &line);
}

static void
judge_rows(Check *check)
{
	ConnectorAnswer answer = {0};
	int			nrows = row_count(check);

	act_connector_read(check->connector, &check->sample->scope, check->response, check->sample->rows, nrows,
					   check->sample->scope.now_ms, &answer);
	put_answer(check, &answer);
	for (int i = 0; i < nrows; i++)
		put_row(check, i, &answer);
}

static void
judge_lookup(Check *check)
{
	ConnectorAnswer answer = {0};
	int			nrows = row_count(check);
	ConnectorFound *found = palloc0(sizeof(ConnectorFound) * nrows);

	act_connector_read_lookup(check->connector, &check->sample->scope, check->response, check->sample->rows,
							  nrows, check->sample->scope.now_ms, &answer, found);
	put_answer(check, &answer);
	for (int i = 0; i < nrows && answer.verdict == VERDICT_ROWS; i++)
	{
		CheckLine	line = {
			.kind = "row",.operation = "lookup",.row = i,.outcome = found[i].count > 0 ? "found" : "absent",
			.external_id = found[i].external_id
		};

		if (found[i].count > 1)
			line.message = psprintf("%d records match", found[i].count);
		act_check_line(check, &line);
	}
}

/* What a job's results, or where it has none of its own its last answer, say of the rows. */
static void
judge_results(Check *check, int number)
{
	ConnectorAnswer answer = {0};
	int			nrows = row_count(check);
	int64		now_ms = check->sample->scope.now_ms;
	JobResults *results = act_job_results_begin(check->connector, &check->sample->scope, check->plan,
												check->sample->rows, nrows);
	const char *why = NULL;
	char	   *next;

	act_job_read_results(results, number, check->response, now_ms, &next, &answer);
	if (answer.verdict == VERDICT_ROWS)
		why = act_job_results_finish(results, &answer);
	if (why != NULL)
	{
		answer.verdict = VERDICT_UNCERTAIN;
		answer.message = pstrdup(why);
	}
	put_answer(check, &answer);
	for (int i = 0; i < nrows; i++)
		put_row(check, i, &answer);
}

/* An answer that has the state of the job is one to the question for it; else it is results. */
static void
judge_job(Check *check)
{
	static const char *const states[] = {"running", "done", "failed"};
	ConnectorAnswer answer = {0};
	JobPoll		poll = {.state = JOB_STRANGE};

	if (act_job_polls(check->plan))
		act_job_read_poll(check->connector, check->plan, check->response, check->sample->scope.now_ms, &poll, &answer);
	if (poll.state != JOB_STRANGE)
	{
		CheckLine	line = {
			.kind = "answer",.operation = act_check_operation_name(check),.row = -1,
			.outcome = states[poll.state],.code = poll.state_text,.message = poll.message
		};

		act_check_line(check, &line);
	}
	if (act_job_results(check->plan) == 0 && (poll.state == JOB_DONE || !act_job_polls(check->plan)))
		judge_results(check, -1);
	else if (poll.state == JOB_STRANGE)
		for (int i = 0; i < act_job_results(check->plan); i++)
			judge_results(check, i);
}

void
act_check_judge(void *arg)
{
	Check	   *check = arg;

	if (check->is_check)
	{
		CheckLine	line = {.kind = "answer",.operation = "check",.row = -1,.outcome = "ok"};
		char	   *problem = NULL;

		if (!act_connector_read_check(check->connector, check->response, &problem))
		{
			line.outcome = "failed";
			line.message = problem;
		}
		act_check_line(check, &line);
	}
	else if (check->is_lookup)
		judge_lookup(check);
	else if (check->plan != NULL)
		judge_job(check);
	else
		judge_rows(check);
}
