/*-------------------------------------------------------------------------
 *
 * connector_check.c
 *	  SQL-callable: check_connector().
 *
 * What is wrong with a document; where nothing is, the requests that it makes
 * of made-up rows, and what an answer to them would mean for each row.  All
 * of it is the engine's own compiling, rendering and judging.  Nothing is
 * sent or written and no destination is looked at, so anybody may call it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "document_problem.h"
#include "connector_object.h"
#include "connector_sample.h"
#include "definition.h"
#include "fault.h"
#include "filter.h"
#include "json_text.h"
#include "nearest.h"
#include "registry.h"
#include "request_mask.h"
#include "server_text.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_check_connector);

static const char call_hint[] = "SELECT * FROM activate.check_connector('{\"operations\": {...}}', 207, '{\"failed\": []}');";

/* Made-up rows of a request that takes several. */
#define SAMPLE_ROWS 2

/* What is shown of an object where a document lets any text be one. */
#define ANY_OBJECT "object"

typedef enum CheckArgument
{
	CHECK_SPEC,
	CHECK_STATUS,
	CHECK_RESPONSE,
	CHECK_HEADERS,
	CHECK_OBJECT,
	CHECK_OPERATION,
	CHECK_ROWS
} CheckArgument;

/* A row of the result, in UTF-8; NULL and -1: null. */
typedef struct CheckLine
{
	const char *kind;
	const char *operation;
	int			row;
	const char *outcome;
	const char *code;
	const char *message;
	const char *hint;
	const char *pointer;
	const char *external_id;
	const char *request;		/* JSON */
} CheckLine;

#define CHECK_COLUMNS 11

typedef struct Check
{
	ReturnSetInfo *result;
	const char *name;
	const char *spec;			/* with all that it extends, once that is known */
	cJSON	   *document;
	const Connector *connector; /* for the object that is looked at */
	ConnectorSample *sample;
	const char *object;			/* that is looked at */
	const char *operation;		/* only this one; NULL: each */
	HttpResponse *response;		/* NULL: none was given */
	cJSON	   *rows;			/* NULL: made up */
	const char *secret;			/* what each secret is just now */

	/* of the attempt under way */
	RowOp		op;
	bool		is_lookup;
	bool		is_check;
	HttpRequest request;
} Check;

/* ----------------------------------------------------------------
 *		Result rows
 * ----------------------------------------------------------------
 */

static void
put_text(Datum *values, bool *nulls, int column, const char *utf8)
{
	nulls[column] = utf8 == NULL;
	if (utf8 != NULL)
		values[column] = CStringGetTextDatum(act_text_to_server_escaped(utf8));
}

static void
put_line(const Check *check, const CheckLine *line)
{
	Datum		values[CHECK_COLUMNS] = {0};
	bool		nulls[CHECK_COLUMNS] = {false};

	put_text(values, nulls, 0, line->kind);
	put_text(values, nulls, 1, line->operation == NULL ? NULL : check->object);
	put_text(values, nulls, 2, line->operation);
	nulls[3] = line->row < 0;
	values[3] = Int32GetDatum(line->row);
	put_text(values, nulls, 4, line->outcome);
	put_text(values, nulls, 5, line->code);
	put_text(values, nulls, 6, line->message);
	put_text(values, nulls, 7, line->hint);
	put_text(values, nulls, 8, line->pointer);
	put_text(values, nulls, 9, line->external_id);
	put_text(values, nulls, 10, line->request);
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

static const char *
operation_name(const Check *check)
{
	return check->is_check ? "check" : check->is_lookup ? "lookup" : act_row_op_sent_name(check->op);
}

/* The place that an error of rendering names, or NULL. */
static char *
pointer_in(const char *message)
{
	const char *at = strstr(message, " at /");

	return at == NULL ? NULL : pnstrdup(at + 4, strcspn(at + 4, " :;,"));
}

static void
put_error(const Check *check, const ErrorData *error)
{
	CheckLine	line = {
		.kind = "error",.operation = operation_name(check),.row = -1,
		.message = act_connector_bare_message(check->name, error->message),.hint = error->hint,
		.pointer = pointer_in(error->message)
	};

	if (error->detail != NULL)
		line.message = psprintf("%s: %s", line.message, error->detail);
	put_line(check, &line);
}

/* ----------------------------------------------------------------
 *		Arguments
 * ----------------------------------------------------------------
 */

static char *
utf8_argument(FunctionCallInfo fcinfo, CheckArgument argument)
{
	char	   *value;

	if (PG_ARGISNULL(argument))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	return pg_server_to_any(value, strlen(value), PG_UTF8);
}

static void
report_argument(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\": %s", name, problem),
			 errhint("%s", hint)));
}

static cJSON *
json_argument(FunctionCallInfo fcinfo, CheckArgument argument, const char *name, const char *hint)
{
	char	   *text = utf8_argument(fcinfo, argument);
	char	   *problem;
	cJSON	   *tree;

	if (text == NULL)
		return NULL;
	tree = act_json_parse(text, strlen(text), JSON_DOCUMENT, &problem);
	if (tree == NULL)
		report_argument(name, psprintf("as JSON, %s", problem), hint);
	return tree;
}

static void
read_headers(FunctionCallInfo fcinfo, HttpResponse *response)
{
	static const char hint[] = "headers => '{\"Retry-After\": \"30\"}'";
	cJSON	   *headers = json_argument(fcinfo, CHECK_HEADERS, "headers", hint);
	bool		good = headers == NULL || cJSON_IsObject(headers);
	bool		has_type = false;

	for (const cJSON *at = good && headers != NULL ? headers->child : NULL; at != NULL; at = at->next)
	{
		HttpHeader *header = palloc(sizeof(HttpHeader));

		good &= cJSON_IsString(at);
		header->name = pstrdup(at->string);
		header->value = cJSON_IsString(at) ? pstrdup(at->valuestring) : "";
		has_type |= pg_strcasecmp(header->name, "Content-Type") == 0;
		response->headers = lappend(response->headers, header);
	}
	cJSON_Delete(headers);
	if (!good)
		report_argument("headers", "an object of strings is expected", hint);
	if (!has_type && response->body_len > 0)
	{
		HttpHeader *header = palloc(sizeof(HttpHeader));

		header->name = "Content-Type";
		header->value = "application/json";
		response->headers = lappend(response->headers, header);
	}
}

static void
read_response(FunctionCallInfo fcinfo, Check *check)
{
	HttpResponse *response;

	if (PG_ARGISNULL(CHECK_STATUS) && PG_ARGISNULL(CHECK_RESPONSE) && PG_ARGISNULL(CHECK_HEADERS))
		return;
	response = palloc0(sizeof(HttpResponse));
	response->transport = HTTP_ANSWERED;
	response->status = PG_ARGISNULL(CHECK_STATUS) ? 200 : PG_GETARG_INT32(CHECK_STATUS);
	if (response->status < 100 || response->status > 999)
		report_argument("status", psprintf("%d is no status of HTTP", response->status), "status => 207");
	response->body = PG_ARGISNULL(CHECK_RESPONSE) ? pstrdup("") : utf8_argument(fcinfo, CHECK_RESPONSE);
	response->body_len = strlen(response->body);
	read_headers(fcinfo, response);
	check->response = response;
}

static void
read_operation(FunctionCallInfo fcinfo, Check *check)
{
	const char *names[ROW_OP_COUNT + 3] = {0};
	int			n = 0;
	bool		known = false;

	check->operation = utf8_argument(fcinfo, CHECK_OPERATION);
	if (check->operation == NULL)
		return;
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		if (act_row_op_sent((RowOp) op) == (RowOp) op)
			names[n++] = act_row_op_name((RowOp) op);
	}
	names[n++] = "lookup";
	names[n++] = "check";
	for (int i = 0; i < n; i++)
		known |= strcmp(names[i], check->operation) == 0;
	if (!known)
	{
		const char *nearest = act_nearest_name(check->operation, names);

		report_argument("operation_name", psprintf("there is no operation \"%s\"", check->operation),
						psprintf("operation_name => '%s'", nearest == NULL ? "upsert" : nearest));
	}
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static const char *
sample_option(void *arg, const char *name)
{
	return act_sample_option(((Check *) arg)->sample, name);
}

/* Every secret that the document names is set. */
static const char *
sample_secret(void *arg, const char *name)
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
static const ConnectorOperation *
sample_operation(const Check *check)
{
	return act_connector_row_operation(check->connector, check->sample->rows[0]);
}

static int
row_count(const Check *check)
{
	const ConnectorOperation *operation = check->is_check || check->is_lookup ? NULL : sample_operation(check);
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
static void
render_masked(void *arg)
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

static char *
request_json(const HttpRequest *request)
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
	const ConnectorOperation *operation = sample_operation(check);

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
		.kind = "answer",.operation = operation_name(check),.row = -1,
		.outcome = verdict_name(answer),.code = answer->code,.message = answer->message,.hint = answer->hint
	};

	if (answer->wait_ms >= 0)
		line.message = psprintf("%s%sit asks to wait for %.3g s", answer->message == NULL ? "" : answer->message,
								answer->message == NULL ? "" : "; ", answer->wait_ms / 1000.0);
	put_line(check, &line);
}

static void
put_row(const Check *check, int number, const ConnectorAnswer *answer)
{
	const Row  *row = check->sample->rows[number];
	bool		judged = answer->verdict == VERDICT_ROWS;
	CheckLine	line = {
		.kind = "row",.operation = operation_name(check),.row = number,
		.outcome = outcome_name(judged ? row->outcome : outcome_of_batch(check, answer)),
		.code = judged ? row->code : NULL,.message = judged ? row->message : NULL,
		.external_id = judged ? row->new_external_id : NULL
	};

	if (answer->verdict == VERDICT_REFUSED && row_count(check) > 1)
		line.message = "the batch is searched for the row that is refused; the others go on";
	put_line(check, &line);
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
		put_line(check, &line);
	}
}

static void
judge(void *arg)
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
		put_line(check, &line);
	}
	else if (check->is_lookup)
		judge_lookup(check);
	else
		judge_rows(check);
}

/* ----------------------------------------------------------------
 *		One operation, one object, the document
 * ----------------------------------------------------------------
 */

static void
show_request(Check *check)
{
	CheckLine	line = {.kind = "request",.operation = operation_name(check),.row = -1};
	ErrorData  *error = act_transaction_attempt(render_masked, check);

	if (error == NULL)
	{
		line.message = psprintf("%s %s", check->request.method, check->request.url);
		line.request = request_json(&check->request);
		line.external_id = check->is_check ? NULL : check->sample->rows[0]->external_id;
		put_line(check, &line);
		if (check->response != NULL)
			error = act_transaction_attempt(judge, check);
	}
	if (error != NULL)
		put_error(check, error);
}

/* Once without ids, and once with them where that makes another request, or one at all. */
static void
show_operation(Check *check)
{
	const ConnectorOperation *without;
	const ConnectorOperation *with;
	bool		shown;

	if (check->operation != NULL && strcmp(check->operation, operation_name(check)) != 0)
		return;
	if (check->is_check || check->is_lookup || check->rows != NULL)
	{
		act_sample_ask(check->sample, check->op, check->is_check ? 0 : check->sample->nrows, false);
		show_request(check);
		return;
	}
	act_sample_ask(check->sample, check->op, check->sample->nrows, true);
	with = sample_operation(check);
	act_sample_ask(check->sample, check->op, check->sample->nrows, false);
	without = sample_operation(check);
	shown = without != NULL && act_transaction_try(render_masked, check);
	if (shown)
		show_request(check);
	if (with != NULL && (with != without || !shown))
	{
		act_sample_ask(check->sample, check->op, check->sample->nrows, true);
		show_request(check);
	}
}

static void
make_sample(Check *check, const cJSON *entry)
{
	static const char hint[] = "rows => '[{\"key\": {\"id\": 1}, \"fields\": {\"email\": \"ada@example.com\"}}]'";
	char	   *problem = NULL;

	check->sample = act_sample_make(check->document, entry, check->object, SAMPLE_ROWS);
	if (check->rows != NULL)
		problem = act_sample_take_rows(check->sample, check->rows);
	if (problem != NULL)
		report_argument("rows", problem, hint);
	check->sample->scope.object_parts = act_connector_object_parts(check->connector);
	check->sample->scope.option = sample_option;
	check->sample->scope.secret = sample_secret;
	check->sample->scope.arg = check;
	check->sample->scope.now_ms = act_now() / 1000 +
		((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * SECS_PER_DAY * 1000;
	check->sample->scope.run_started_ms = check->sample->scope.now_ms;
}

static void
show_operations(Check *check)
{
	const cJSON *own_check = cJSON_GetObjectItemCaseSensitive(check->document, "check");

	check->is_check = true;
	if (own_check != NULL)
		show_operation(check);
	check->is_check = false;
	check->is_lookup = true;
	check->op = ROW_OP_UPSERT;
	if (act_connector_lookup_problem(check->connector, check->sample->scope.nmatch) == NULL)
		show_operation(check);
	check->is_lookup = false;
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		CHECK_FOR_INTERRUPTS();
		check->op = (RowOp) op;
		if (act_row_op_sent(check->op) == check->op && act_connector_operation(check->connector, check->op) != NULL)
			show_operation(check);
	}
}

static const cJSON *
find_entry(const Check *check, const char *pattern)
{
	const cJSON *objects = cJSON_GetObjectItemCaseSensitive(check->document, "objects");
	const cJSON *at;

	cJSON_ArrayForEach(at, objects)
	{
		const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(at, "object"));

		if (text != NULL && pattern != NULL && strcmp(text, pattern) == 0)
			return at;
	}
	return NULL;
}

static void
show_object(Check *check, const char *object)
{
	const ConnectorObject *compiled;

	check->object = object;
	check->connector = act_connector_compile_object(check->name, check->spec, object);
	compiled = act_connector_object(check->connector);
	make_sample(check, find_entry(check, compiled == NULL ? NULL : compiled->pattern));
	if (compiled != NULL)
		check->sample->scope.listed_fields = compiled->field_names;
	show_operations(check);
}

static void
show_document(Check *check, const char *object)
{
	const Connector *connector = act_connector_compile(check->name, check->spec);
	const ConnectorObject *const *objects = act_connector_objects(connector);

	if (object != NULL || objects == NULL)
		show_object(check, object == NULL ? ANY_OBJECT : object);
	else
		for (int i = 0; objects[i] != NULL; i++)
			show_object(check, act_sample_object(objects[i]->pattern));
}

/* false: there are none. */
static bool
show_problems(Check *check)
{
	cJSON	   *copy = cJSON_Duplicate(check->document, true);
	List	   *volatile problems = NIL;
	ListCell   *cell;

	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		problems = act_connector_problems(check->name, copy);
	}
	PG_FINALLY();
	{
		cJSON_Delete(copy);
	}
	PG_END_TRY();
	foreach(cell, problems)
	{
		const FoundProblem *problem = lfirst(cell);
		CheckLine	line = {
			.kind = "error",.row = -1,.message = problem->message,.hint = problem->hint,.pointer = problem->pointer
		};

		put_line(check, &line);
	}
	return problems != NIL;
}

/* As JSON it may be none that the engine takes: too deep, half a character. */
static bool
read_document(Check *check)
{
	char	   *problem;
	const char *name;
	CheckLine	line = {.kind = "error",.row = -1,.pointer = ""};

	check->document = act_json_parse(check->spec, strlen(check->spec), JSON_DOCUMENT, &problem);
	if (check->document == NULL)
	{
		line.message = psprintf("the document cannot be read: as JSON, %s", problem);
		put_line(check, &line);
		return false;
	}
	name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(check->document, "name"));
	check->name = name == NULL ? "unnamed" : pstrdup(name);
	return true;
}

/* From here on it is looked at with all that it extends. */
static void
extend_document(Check *check)
{
	char	   *problem;

	check->spec = act_registry_extend(check->name, check->spec);
	cJSON_Delete(check->document);
	check->document = act_json_parse(check->spec, strlen(check->spec), JSON_DOCUMENT, &problem);
	if (check->document == NULL)
		elog(ERROR, "a document that compiled cannot be read: %s", problem);
}

/* activate.check_connector(spec json, status, response, headers, object_name, operation_name, rows) */
Datum
act_check_connector(PG_FUNCTION_ARGS)
{
	Check		check = {0};
	char	   *object;

	act_require_argument(PG_ARGISNULL(CHECK_SPEC), "spec", call_hint);
	act_compat_materialize(fcinfo);
	check.result = (ReturnSetInfo *) fcinfo->resultinfo;
	check.spec = utf8_argument(fcinfo, CHECK_SPEC);
	object = utf8_argument(fcinfo, CHECK_OBJECT);
	read_response(fcinfo, &check);
	read_operation(fcinfo, &check);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PG_TRY();
	{
		check.rows = json_argument(fcinfo, CHECK_ROWS, "rows", "rows => '[{\"key\": {\"id\": 1}}]'");
		if (read_document(&check) && !show_problems(&check))
		{
			extend_document(&check);
			show_document(&check, object);
		}
	}
	PG_FINALLY();
	{
		cJSON_Delete(check.document);
		cJSON_Delete(check.rows);
	}
	PG_END_TRY();
	SPI_finish();
	return (Datum) 0;
}
