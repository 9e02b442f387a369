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

#define MAX_EXCERPT 500			/* of a body that is no message */
/* So far beyond a cut a secret that begins before it may go on, in any form (redact.c). */
#define SECRET_REACH (256 * 1024)

/* One answer being read. */
typedef struct Reading
{
	const Connector *connector;
	const ConnectorScope *scope;
	const Operation *operation; /* that was asked for; NULL: none that has rows */
	const HttpResponse *response;
	bool		is_json;
	cJSON	   *root;			/* NULL: no JSON, or none that can be read */
	char	   *problem;		/* why it cannot */
	Row		  **rows;
	int			nrows;
	const AnswerRules *rules;	/* NULL: those of the operation */
	RateReading rate;
	AnswerReader reader;		/* of somebody else's results; NULL: of rows */
	void	   *reader_arg;
	ConnectorAnswer *answer;
} Reading;

static void read_transport(const HttpResponse *response, ConnectorAnswer *answer);
static bool is_json_type(const HttpResponse *response);
static void judge(Reading *reading);
static void read_rows(Reading *reading);
static char *clipped(const Connector *connector, char *text, size_t limit);
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
act_connector_read(const Connector *connector, const ConnectorScope *scope, const HttpResponse *response,
				   Row **rows, int nrows, int64 now_ms, ConnectorAnswer *answer)
{
	/* Only a unit can have no row that differs. */
	const Operation *operation = nrows > 0 ? act_flow_operation(connector, rows[0]) :
		connector->operations[ROW_OP_REPLACE];
	Reading		reading = {
		.connector = connector,.scope = scope,.operation = operation->owner,
		.response = response,.rows = rows,.nrows = nrows,.answer = answer
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

void
act_answer_read_step(const Connector *connector, const Operation *operation, const HttpResponse *response,
					 int64 now_ms, AnswerReader reader, void *arg, ConnectorAnswer *answer)
{
	Reading		reading = {
		.connector = connector,.rules = &operation->owner->rules,.response = response,
		.reader = reader,.reader_arg = arg,.answer = answer
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

bool
act_answer_is_success(const HttpResponse *response)
{
	return response->status >= 200 && response->status <= 299;
}

/* An error says something of rows only where it has results. */
static bool
fits(const Reading *reading, const AnswerRule *rule)
{
	if (rule->statuses.count > 0 && !act_rules_status_in(&rule->statuses, reading->response->status))
		return false;
	if (!act_rules_test_answer(&rule->test, reading->response, reading->root))
		return false;
	return rule->then != ANSWER_ACCEPTED || reading->operation == NULL || act_answer_is_success(reading->response) ||
		act_results_present(reading->operation->answer, reading->response, reading->root);
}

/* The operation's rules go before those of its object and document. */
static const AnswerRule *
find_rule(const Reading *reading)
{
	const AnswerRules *all[] = {
		reading->rules != NULL ? reading->rules : reading->operation == NULL ? NULL : &reading->operation->rules,
		&reading->connector->rules
	};

	for (int i = 0; i < lengthof(all); i++)
	{
		for (int j = 0; all[i] != NULL && j < all[i]->count; j++)
		{
			if (fits(reading, &all[i]->items[j]))
				return &all[i]->items[j];
		}
	}
	return NULL;
}

static void
read_reason(Reading *reading, const AnswerRule *rule)
{
	const Connector *connector = reading->connector;
	ReasonPointers why = connector->reason;
	char	   *text;

	if (rule != NULL && (rule->reason.code != NULL || rule->reason.code_text != NULL))
	{
		why.code = rule->reason.code;
		why.code_text = rule->reason.code_text;
	}
	if (rule != NULL && (rule->reason.message != NULL || rule->reason.message_text != NULL))
	{
		why.message = rule->reason.message;
		why.message_text = rule->reason.message_text;
	}
	reading->answer->code = why.code_text != NULL ? pstrdup(why.code_text) :
		act_answer_text(connector, why.code, reading->root, ACT_ANSWER_MAX_CODE);
	text = why.message_text != NULL ? pstrdup(why.message_text) :
		act_answer_text(connector, why.message, reading->root, ACT_ANSWER_MAX_MESSAGE);
	reading->answer->message = status_message(connector, reading->response, text);
	reading->answer->hint = hint_for(connector, reading->response, reading->answer->verdict);
}

/* A record that is there already, or not there: of one row that is an outcome. */
static void
decide_single(Reading *reading, AnswerClass class, const AnswerRule *rule)
{
	ConnectorAnswer *answer = reading->answer;
	Row		   *row = reading->rows[0];
	const cJSON *id = rule == NULL || rule->external_id == NULL || reading->root == NULL ? NULL :
		act_json_pointer_resolve(rule->external_id, reading->root);

	answer->verdict = VERDICT_ROWS;
	row->outcome = class == ANSWER_FOUND ? ROW_REJECTED : act_results_absent(reading->connector, row);
	row->exists = class == ANSWER_FOUND;
	row->http_status = reading->response->status;
	row->code = row->outcome == ROW_ACCEPTED ? NULL : answer->code;
	row->message = row->outcome == ROW_ACCEPTED ? NULL : answer->message;
	row->new_external_id = act_results_external_id(id);
	row->new_remembered = NIL;
}

static void
judge(Reading *reading)
{
	const HttpResponse *response = reading->response;
	ConnectorAnswer *answer = reading->answer;
	const AnswerRule *rule = find_rule(reading);
	AnswerClass class;

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
		reading->reader(reading->root, reading->is_json || reading->rules != NULL ? reading->problem : "it is no JSON",
						answer, reading->reader_arg);
		return;
	}
	if (answer->verdict == VERDICT_ROWS)
	{
		read_rows(reading);
		return;
	}
	read_reason(reading, rule);
	if ((class == ANSWER_FOUND || class == ANSWER_ABSENT) && reading->nrows == 1 && reading->operation != NULL &&
		reading->operation->public.op != ROW_OP_REPLACE)
		decide_single(reading, class, rule);
}

static void
read_rows(Reading *reading)
{
	RowResults *results = act_results_begin(reading->connector, reading->scope, NULL, reading->rows, reading->nrows);
	const char *why = act_results_add(results, reading->operation->answer, reading->response, reading->root,
									  reading->problem);

	if (why == NULL)
		why = act_results_finish(results, reading->answer);
	if (why == NULL)
		return;
	reading->answer->verdict = VERDICT_UNCERTAIN;
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

char *
act_answer_words(const Connector *connector, const char *text, size_t limit)
{
	return clipped(connector, pstrdup(text), limit);
}

/* A value as messages show it. */
char *
act_answer_shown(const Connector *connector, const cJSON *value)
{
	StringInfoData shown;

	initStringInfo(&shown);
	act_json_append(&shown, value, ACT_ANSWER_MAX_CODE + SECRET_REACH);
	return clipped(connector, shown.data, ACT_ANSWER_MAX_CODE);
}

char *
act_answer_text(const Connector *connector, const JsonPointer *pointer, const cJSON *root, size_t limit)
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

static bool
read_check_rules(Reading *reading, bool *fails, char **problem)
{
	const AnswerRules *rules = &reading->connector->check_rules;
	const AnswerRule *rule = NULL;

	for (int i = 0; rule == NULL && i < rules->count; i++)
	{
		if (fits(reading, &rules->items[i]))
			rule = &rules->items[i];
	}
	*fails = rule != NULL && rule->then != ANSWER_ACCEPTED;
	if (*fails)
	{
		read_reason(reading, rule);
		*problem = reading->answer->code == NULL ? reading->answer->message :
			psprintf("%s (%s)", reading->answer->message, reading->answer->code);
	}
	return rule != NULL;
}

/* Whether a rule of the check itself says how it went; false: none speaks of the answer. */
static bool
check_by_rules(const Connector *connector, const HttpResponse *response, bool *fails, char **problem)
{
	ConnectorAnswer answer = {0};
	Reading		reading = {.connector = connector,.response = response,.answer = &answer};
	volatile bool found;

	if (is_json_type(response))
		reading.root = act_json_parse(response->body, response->body_len, JSON_ANSWER, &reading.problem);
	PG_TRY();
	{
		found = read_check_rules(&reading, fails, problem);
	}
	PG_FINALLY();
	{
		cJSON_Delete(reading.root);
	}
	PG_END_TRY();
	return found;
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
	if (check_by_rules(connector, response, &fails, problem))
		return !fails;
	fails = connector->check_fails.count > 0
		? act_rules_status_in(&connector->check_fails, response->status)
		: !act_answer_is_success(response);
	if (fails)
		*problem = status_message(connector, response, NULL);
	return !fails;
}
