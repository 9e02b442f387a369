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
#include "connector_check.h"
#include "connector_object.h"
#include "definition.h"
#include "document_problem.h"
#include "fault.h"
#include "json_text.h"
#include "nearest.h"
#include "registry.h"
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

void
act_check_line(const Check *check, const CheckLine *line)
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

const char *
act_check_operation_name(const Check *check)
{
	const char *name = act_row_op_sent_name(check->op);

	return check->is_check ? "check" : check->is_lookup ? "lookup" : check->is_large ? psprintf("%s/large", name) : name;
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
		.kind = "error",.operation = act_check_operation_name(check),.row = -1,
		.message = act_connector_bare_message(check->name, error->message),.hint = error->hint,
		.pointer = pointer_in(error->message)
	};

	if (error->detail != NULL)
		line.message = psprintf("%s: %s", line.message, error->detail);
	act_check_line(check, &line);
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
 *		One operation, one object, the document
 * ----------------------------------------------------------------
 */

/* false: it cannot be made. */
static bool
show_one_request(Check *check, const char *kind)
{
	CheckLine	line = {.kind = kind,.operation = act_check_operation_name(check),.row = -1};
	ErrorData  *error = act_transaction_attempt(act_check_render, check);

	if (error == NULL)
	{
		line.message = psprintf("%s %s", check->request.method, check->request.url);
		line.request = act_check_request_json(&check->request);
		line.external_id = check->is_check ? NULL : check->sample->rows[0]->external_id;
		act_check_line(check, &line);
	}
	else
		put_error(check, error);
	return error == NULL;
}

/* All that a job asks for, in its order. */
static bool
show_job(Check *check)
{
	bool		shown = true;
	List	   *saved = NIL;
	ListCell   *cell;

	/* The first page of results is no next one. */
	foreach(cell, check->sample->scope.saved)
	{
		if (strcmp(((const HttpHeader *) lfirst(cell))->name, "next") != 0)
			saved = lappend(saved, lfirst(cell));
	}
	for (int i = 0; i < act_job_steps(check->plan); i++)
	{
		check->place = (JobPlace) {.stage = JOB_STEP,.number = i,.saved = saved};
		shown &= show_one_request(check, "step");
	}
	check->place = (JobPlace) {.stage = JOB_POLL,.saved = saved};
	if (act_job_polls(check->plan))
		shown &= show_one_request(check, "poll");
	for (int i = 0; i < act_job_results(check->plan); i++)
	{
		check->place = (JobPlace) {.stage = JOB_RESULTS,.number = i,.saved = saved};
		shown &= show_one_request(check, "results");
	}
	check->place = (JobPlace) {.stage = JOB_ABORT,.saved = saved};
	if (act_job_aborts(check->plan, saved))
		shown &= show_one_request(check, "abort");
	return shown;
}

static void
show_request(Check *check)
{
	ErrorData  *error = NULL;

	check->plan = check->is_check || check->is_lookup || check->op == ROW_OP_REPLACE ? NULL :
		act_connector_job(check->connector, check->sample->rows[0]);
	if (!(check->plan != NULL ? show_job(check) : show_one_request(check, "request")))
		return;
	if (check->response != NULL)
		error = act_transaction_attempt(act_check_judge, check);
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

	if (check->operation != NULL && strcmp(check->operation, act_check_operation_name(check)) != 0 &&
		!(check->is_large && strcmp(check->operation, act_row_op_sent_name(check->op)) == 0))
		return;
	check->plan = NULL;
	if (check->is_check || check->is_lookup || check->rows != NULL)
	{
		act_sample_ask(check->sample, check->op, check->is_check ? 0 : check->sample->nrows, false);
		show_request(check);
		return;
	}
	act_sample_ask(check->sample, check->op, check->sample->nrows, true);
	with = act_check_operation(check);
	act_sample_ask(check->sample, check->op, check->sample->nrows, false);
	without = act_check_operation(check);
	/* Without an id some are looked up first, or not sent at all. */
	shown = without != NULL && without->op != ROW_OP_NONE && act_transaction_try(act_check_render, check);
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
	check->sample->scope.option = act_check_option;
	check->sample->scope.secret = act_check_secret;
	check->sample->scope.arg = check;
	check->sample->scope.now_ms = act_now() / 1000 +
		((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * SECS_PER_DAY * 1000;
	check->sample->scope.run_started_ms = check->sample->scope.now_ms;
}

/* Those of runs with many rows, where they are others. */
static void
show_large_operations(Check *check)
{
	const ConnectorOperation *usual[ROW_OP_COUNT];

	for (int op = 0; op < ROW_OP_COUNT; op++)
		usual[op] = act_connector_operation(check->connector, (RowOp) op);
	act_connector_expect(check->connector, INT64_MAX);
	check->is_large = true;
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		check->op = (RowOp) op;
		if (act_row_op_sent(check->op) == check->op && act_connector_operation(check->connector, check->op) != usual[op])
			show_operation(check);
	}
	check->is_large = false;
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
	show_large_operations(check);
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
			show_object(check, act_sample_object(check->document, objects[i]->pattern));
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

		act_check_line(check, &line);
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
		act_check_line(check, &line);
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
