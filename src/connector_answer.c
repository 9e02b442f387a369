/*-------------------------------------------------------------------------
 *
 * connector_answer.c
 *	  Reading answers: what became of the batch and of each of its rows.
 *
 * An answer is hostile bytes.  Whatever is taken from it is valid UTF-8 of
 * bounded length, and rows are written to only once all of them are
 * decided.  When in doubt the verdict is VERDICT_UNCERTAIN: a row that may
 * have been applied is never called rejected.  Touches neither database nor
 * network; results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_text.h"

#define MAX_MESSAGE 2000
#define MAX_EXCERPT 500			/* of a body that is no message */
#define MAX_CODE 200
/* So far beyond a cut a secret that begins before it may go on, in any form (redact.c). */
#define SECRET_REACH (256 * 1024)

#define MAX_EXTERNAL_ID 1000	/* longer than any; a cut one would be wrong */

/* One answer being read. */
typedef struct Reading
{
	const Connector *connector;
	const HttpResponse *response;
	bool		is_json;
	cJSON	   *root;			/* NULL: no JSON, or none that can be read */
	char	   *problem;		/* why it cannot */
	Row		  **rows;
	int			nrows;
	const RowAnswers *answers;	/* NULL: those of the rows' operation */
	RateReading rate;
	AnswerReader reader;		/* of somebody else's results; NULL: of rows */
	void	   *reader_arg;
	ConnectorAnswer *answer;
} Reading;

/* What was read about one row, before any row is written to. */
typedef struct RowReading
{
	RowOutcome	outcome;
	char	   *code;
	char	   *message;
	char	   *external_id;
} RowReading;

static void read_transport(const HttpResponse *response, ConnectorAnswer *answer);
static bool is_json_type(const HttpResponse *response);
static void judge(Reading *reading);
static void read_rows(Reading *reading);
static bool read_row(Reading *reading, const RowAnswers *answers, const cJSON *item, int index,
					 RowReading *row);
static void accept_all(Reading *reading);
static void doubt(Reading *reading, const char *why);
static char *clipped(const Connector *connector, char *text, size_t limit);
static char *pointed_text(const Connector *connector, const JsonPointer *pointer, const cJSON *root, size_t limit);
static char *status_message(const Connector *connector, const HttpResponse *response, const char *text);
static char *hint_for(const Connector *connector, const HttpResponse *response, Verdict verdict);

static void
read_answer(Reading *reading, int64 now_ms)
{
	const HttpResponse *response = reading->response;
	ConnectorAnswer *answer = reading->answer;

	memset(answer, 0, sizeof(ConnectorAnswer));
	answer->http_status = response->status;
	answer->wait_ms = answer->limited_ms = -1;
	if (response->transport != HTTP_ANSWERED)
	{
		read_transport(response, answer);
		return;
	}
	reading->rate = act_rate_read(reading->connector, response, now_ms);
	answer->wait_ms = reading->rate.retry_after_ms;
	reading->is_json = is_json_type(response);
	if (reading->is_json)
		reading->root = act_json_parse(response->body, response->body_len, JSON_ANSWER, &reading->problem);
	PG_TRY();
	{
		judge(reading);
	}
	PG_FINALLY();
	{
		cJSON_Delete(reading->root);
	}
	PG_END_TRY();
	if ((answer->verdict == VERDICT_THROTTLED || answer->rows_throttled) &&
		answer->wait_ms < 0 && !answer->until_midnight)
		answer->wait_ms = reading->rate.reset_ms;
	if (answer->verdict == VERDICT_ROWS && reading->rate.used_up)
		answer->limited_ms = reading->rate.reset_ms;
}

void
act_connector_read(const Connector *connector, const HttpResponse *response,
				   Row **rows, int nrows, int64 now_ms, ConnectorAnswer *answer)
{
	Reading		reading = {
		.connector = connector,.response = response,.rows = rows,.nrows = nrows,.answer = answer
	};

	read_answer(&reading, now_ms);
}

void
act_answer_read_rows(const Connector *connector, const RowAnswers *answers, const HttpResponse *response,
					 Row **rows, int nrows, int64 now_ms, ConnectorAnswer *answer)
{
	Reading		reading = {
		.connector = connector,.response = response,.rows = rows,.nrows = nrows,.answers = answers,.answer = answer
	};

	read_answer(&reading, now_ms);
}

void
act_answer_read(const Connector *connector, const HttpResponse *response, int64 now_ms,
				AnswerReader reader, void *arg, ConnectorAnswer *answer)
{
	Reading		reading = {
		.connector = connector,.response = response,.reader = reader,.reader_arg = arg,.answer = answer
	};

	read_answer(&reading, now_ms);
}

static void
read_transport(const HttpResponse *response, ConnectorAnswer *answer)
{
	answer->verdict = act_answer_classes[act_answer_transports[response->transport].class].verdict;
	answer->message = pstrdup(response->problem == NULL ? "no answer" : response->problem);
	answer->hint = response->hint == NULL ? NULL : pstrdup(response->hint);
}

/* application/json, text/json, application/problem+json; charset=utf-8 */
static bool
is_json_type(const HttpResponse *response)
{
	const char *type = act_http_header(response, "Content-Type");
	size_t		len;

	if (type == NULL)
		return false;
	len = strcspn(type, "; \t");
	return (len == 16 && pg_strncasecmp(type, "application/json", len) == 0) ||
		(len == 9 && pg_strncasecmp(type, "text/json", len) == 0) ||
		(len > 5 && pg_strncasecmp(type + len - 5, "+json", 5) == 0);
}

static bool
is_success(const HttpResponse *response)
{
	return response->status >= 200 && response->status <= 299;
}

static const AnswerRule *
find_rule(const Reading *reading)
{
	for (int i = 0; i < reading->connector->nrules; i++)
	{
		const AnswerRule *rule = &reading->connector->rules[i];

		if (rule->statuses.count > 0 && !act_rules_status_in(&rule->statuses, reading->response->status))
			continue;
		if (rule->test.at != NULL &&
			(reading->root == NULL || !act_rules_test(&rule->test, reading->root)))
			continue;
		return rule;
	}
	return NULL;
}

static void
judge(Reading *reading)
{
	const HttpResponse *response = reading->response;
	ConnectorAnswer *answer = reading->answer;
	const AnswerRule *rule = find_rule(reading);
	const ReasonPointers *fallback = &reading->connector->reason;
	AnswerClass class;
	char	   *text;

	class = rule != NULL ? rule->then : act_answer_status_class(response->status, answer->wait_ms >= 0);
	answer->verdict = act_answer_classes[class].verdict;
	answer->final = class == ANSWER_REFUSED_FOR_GOOD;
	/* Of 403 only the document can know that it is about the credentials. */
	answer->renew = class == ANSWER_AUTH && (rule != NULL || response->status == 401);
	if (rule != NULL && (rule->wait_ms >= 0 || rule->until_midnight))
	{
		answer->wait_ms = rule->wait_ms;
		answer->until_midnight = rule->until_midnight;
	}
	if (answer->verdict == VERDICT_ROWS && reading->reader != NULL)
	{
		reading->reader(reading->root, reading->is_json ? reading->problem : "it is no JSON",
						answer, reading->reader_arg);
		return;
	}
	if (answer->verdict == VERDICT_ROWS)
	{
		read_rows(reading);
		return;
	}
	answer->code = pointed_text(reading->connector,
								rule != NULL && rule->reason.code != NULL ? rule->reason.code : fallback->code,
								reading->root, MAX_CODE);
	text = pointed_text(reading->connector,
						rule != NULL && rule->reason.message != NULL ? rule->reason.message : fallback->message,
						reading->root, MAX_MESSAGE);
	answer->message = status_message(reading->connector, response, text);
	answer->hint = hint_for(reading->connector, response, answer->verdict);
}

/* The results of an answer, in the order of the rows, or NULL with *why set. */
static const cJSON *
find_results(const Reading *reading, const RowAnswers *answers, const char **why)
{
	const cJSON *items = NULL;
	int			count;

	*why = NULL;
	if (reading->is_json && reading->root == NULL)
	{
		*why = psprintf("the answer cannot be read as JSON: %s", reading->problem);
		return NULL;
	}
	if (reading->root != NULL)
		items = act_json_pointer_resolve(answers->items, reading->root);
	if (items == NULL)
	{
		/* an error that speaks for no row is not taken for silent consent */
		if (!answers->optional || !is_success(reading->response))
			*why = "the answer has no results";
		return NULL;
	}
	count = cJSON_GetArraySize(items);
	if (!cJSON_IsArray(items))
		*why = "the results of the answer are no array";
	else if (count != reading->nrows)
		*why = psprintf("the answer has %d results for %d rows", count, reading->nrows);
	return *why == NULL ? items : NULL;
}

static void
read_rows(Reading *reading)
{
	/* Only a unit can have no row that differs. */
	RowOp		op = reading->nrows > 0 ? reading->rows[0]->op : ROW_OP_REPLACE;
	const RowAnswers *answers = reading->answers != NULL ? reading->answers :
		reading->connector->operations[op]->owner->answer;
	const char *why = NULL;
	const cJSON *items = NULL;
	const cJSON *item;
	RowReading *read;
	int			i = 0;

	if (answers->by != BY_NONE)
		items = find_results(reading, answers, &why);
	else if (!is_success(reading->response))
		why = "the answer says nothing about its rows";
	if (items == NULL)
	{
		if (why == NULL)
			accept_all(reading);
		else
			doubt(reading, why);
		return;
	}

	read = palloc0(reading->nrows * sizeof(RowReading));
	cJSON_ArrayForEach(item, items)
	{
		if (!read_row(reading, answers, item, i, &read[i]))
			return;
		i++;
	}
	for (i = 0; i < reading->nrows; i++)
	{
		Row		   *row = reading->rows[i];

		row->outcome = read[i].outcome;
		row->http_status = reading->response->status;
		row->code = read[i].code;
		row->message = read[i].message;
		row->new_external_id = read[i].external_id;
	}
}

/* The document speaks of updates of rows that the model has. */
static bool
is_removing_update(const Row *row)
{
	return act_row_op_removes(row->op) && act_row_op_sent(row->op) != row->op;
}

static bool
read_row(Reading *reading, const RowAnswers *answers, const cJSON *item, int index, RowReading *row)
{
	const Operation *operation = reading->connector->operations[reading->rows[index]->op];
	const cJSON *retry;

	for (int i = 0; i < answers->nrules && row->outcome == ROW_UNDECIDED; i++)
	{
		if (!act_rules_test(&answers->rules[i].test, item))
			continue;
		row->outcome = answers->rules[i].then;
		reading->answer->rows_put_off |= row->outcome == ROW_DELAYED;
		reading->answer->rows_throttled |= answers->rules[i].throttles;
	}
	if (row->outcome == ROW_UNDECIDED)
	{
		StringInfoData shown;

		initStringInfo(&shown);
		act_json_append(&shown, item, MAX_CODE + SECRET_REACH);
		doubt(reading, psprintf("result %d of the answer has no known status: %s", index + 1,
								clipped(reading->connector, shown.data, MAX_CODE)));
		return false;
	}

	retry = answers->retry == NULL ? NULL : act_json_pointer_resolve(answers->retry, item);
	if (row->outcome == ROW_REJECTED && cJSON_IsFalse(retry))
		row->outcome = ROW_REFUSED;
	if (row->outcome == ROW_ABSENT)
		row->outcome = is_removing_update(reading->rows[index]) ? ROW_ACCEPTED : operation->absent;
	if (row->outcome == ROW_ACCEPTED)
	{
		const cJSON *id = answers->external_id == NULL ? NULL
			: act_json_pointer_resolve(answers->external_id, item);

		row->external_id = id == NULL ? NULL : act_json_scalar_text(id);
		if (row->external_id != NULL &&
			(*row->external_id == '\0' || strlen(row->external_id) > MAX_EXTERNAL_ID))
			row->external_id = NULL;
		return true;
	}
	row->code = pointed_text(reading->connector, answers->reason.code, item, MAX_CODE);
	row->message = pointed_text(reading->connector, answers->reason.message, item, MAX_MESSAGE);
	return true;
}

static void
accept_all(Reading *reading)
{
	for (int i = 0; i < reading->nrows; i++)
	{
		Row		   *row = reading->rows[i];

		row->outcome = ROW_ACCEPTED;
		row->http_status = reading->response->status;
		row->code = NULL;
		row->message = NULL;
		row->new_external_id = NULL;
	}
}

static void
doubt(Reading *reading, const char *why)
{
	reading->answer->verdict = VERDICT_UNCERTAIN;
	reading->answer->rows_put_off = reading->answer->rows_throttled = false;
	reading->answer->message = psprintf("HTTP %d, but %s", reading->response->status, why);
}

/* At most so many bytes of it, without secrets; a part of one is none that could be found. */
static char *
clipped(const Connector *connector, char *text, size_t limit)
{
	size_t		len;

	if (connector->redact != NULL)
		text = connector->redact(connector->redact_arg, text);
	len = strlen(text);
	if (len > limit)
		text[act_utf8_clip(text, len, limit)] = '\0';
	return text;
}

/* The text at a pointer, or NULL; objects and arrays as JSON. */
static char *
pointed_text(const Connector *connector, const JsonPointer *pointer, const cJSON *root, size_t limit)
{
	const cJSON *value = pointer == NULL || root == NULL ? NULL : act_json_pointer_resolve(pointer, root);
	char	   *text;

	if (value == NULL || cJSON_IsNull(value))
		return NULL;
	text = act_json_scalar_text(value);
	if (text == NULL)
	{
		StringInfoData json;

		initStringInfo(&json);
		act_json_append(&json, value, (int) limit + SECRET_REACH);
		text = json.data;
	}
	text = clipped(connector, text, limit);
	return *text == '\0' ? NULL : text;
}

/* "HTTP 400: ...", with the beginning of the body where nothing better is known */
static char *
status_message(const Connector *connector, const HttpResponse *response, const char *text)
{
	StringInfoData message;
	StringInfoData excerpt;
	bool		space = false;

	initStringInfo(&message);
	appendStringInfo(&message, "HTTP %d", response->status);
	if (text != NULL)
	{
		appendStringInfo(&message, ": %s", text);
		return message.data;
	}

	initStringInfo(&excerpt);
	act_utf8_append(&excerpt, response->body,
					act_utf8_clip(response->body, response->body_len, MAX_EXCERPT + SECRET_REACH));
	for (const char *c = clipped(connector, excerpt.data, MAX_EXCERPT); *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || *c == 0x7f)
		{
			space = true;
			continue;
		}
		if (message.len < 10)	/* nothing of the body is there yet */
			appendStringInfoString(&message, ": ");
		else if (space)
			appendStringInfoChar(&message, ' ');
		space = false;
		appendStringInfoChar(&message, *c);
	}
	return message.data;
}

static char *
hint_for(const Connector *connector, const HttpResponse *response, Verdict verdict)
{
	const char *location = act_http_header(response, "Location");
	StringInfoData hint;

	if (verdict == VERDICT_AUTH)
		return pstrdup("Check the secrets in the user mapping of the server, and what they may do there.");
	if (verdict != VERDICT_CONFIGURATION)
		return NULL;
	if (response->status < 300 || response->status > 399 || location == NULL)
		return pstrdup("Check the server's option base_url and the object of the sync.");
	initStringInfo(&hint);
	act_utf8_append(&hint, location, strlen(location));
	return psprintf("Redirects are not followed; this one leads to %s.", clipped(connector, hint.data, MAX_EXCERPT));
}

bool
act_connector_read_check(const Connector *connector, const HttpResponse *response, char **problem)
{
	bool		fails;

	*problem = NULL;
	if (response->transport != HTTP_ANSWERED)
	{
		*problem = pstrdup(response->problem == NULL ? "no answer" : response->problem);
		return false;
	}
	fails = connector->check_fails.count > 0
		? act_rules_status_in(&connector->check_fails, response->status)
		: !is_success(response);
	if (fails)
		*problem = status_message(connector, response, NULL);
	return !fails;
}
