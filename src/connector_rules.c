/*-------------------------------------------------------------------------
 *
 * connector_rules.c
 *	  The part of a document that says what answers mean, compiled.
 *
 * Rules are ordered; the first that matches decides.  Allocates in the
 * current memory context, throws what document.h throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_equal.h"

static const char *const rule_members[] = {
	"status", "at", "header", "text", "in", "contains", "lt", "gt", "then", "final", "wait", "until", "external_id",
	"code", "message", NULL
};
static const char *const reason_members[] = {"code", "message", NULL};
static const char *const text_members[] = {"text", NULL};

static const char *const then_names[] = {
	"rows", "refuse", "halve", "throttle", "retry", "uncertain", "auth", "configuration",
	"found", "absent", NULL
};
static const AnswerClass then_classes[] = {
	ANSWER_ACCEPTED, ANSWER_BATCH_REFUSED, ANSWER_TOO_LARGE, ANSWER_THROTTLED, ANSWER_TRANSIENT,
	ANSWER_UNCERTAIN, ANSWER_AUTH, ANSWER_CONFIGURATION, ANSWER_FOUND, ANSWER_ABSENT
};
StaticAssertDecl(lengthof(then_names) == lengthof(then_classes) + 1, "every name means a class");

static const char *const until_names[] = {"midnight", NULL};

/* [401, "5xx"] */
StatusRanges
act_rules_compile_statuses(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *statuses = act_document_array(document, object, name);
	StatusRanges ranges = {0};

	if (statuses == NULL)
		return ranges;
	if (statuses->child == NULL)
		act_document_error(document, statuses, NULL, "an empty list");
	ranges.items = palloc0(cJSON_GetArraySize(statuses) * sizeof(StatusRange));
	for (const cJSON *status = statuses->child; status != NULL; status = status->next)
	{
		StatusRange *range = &ranges.items[ranges.count++];
		const char *text = cJSON_IsString(status) ? status->valuestring : "";

		if (strlen(text) == 3 && *text >= '1' && *text <= '5' && strcmp(text + 1, "xx") == 0)
		{
			range->from = (*text - '0') * 100;
			range->to = range->from + 99;
		}
		else if (cJSON_IsNumber(status) && status->valuedouble == (int) status->valuedouble &&
				 status->valuedouble >= 100 && status->valuedouble <= 599)
			range->from = range->to = (int) status->valuedouble;
		else
			act_document_error(document, status, NULL, "a status such as 429 or \"4xx\" is expected");
	}
	return ranges;
}

bool
act_rules_status_in(const StatusRanges *statuses, int status)
{
	for (int i = 0; i < statuses->count; i++)
	{
		if (status >= statuses->items[i].from && status <= statuses->items[i].to)
			return true;
	}
	return false;
}

/* A pointer into the answer, or {"text": what is said whatever the answer says} */
static void
compile_words(const Document *document, const cJSON *at, const char *name, const JsonPointer **pointer, const char **text)
{
	const cJSON *member = act_document_member(at, name);

	if (!cJSON_IsObject(member))
	{
		*pointer = act_document_pointer(document, at, name);
		return;
	}
	act_document_check(document, member, text_members, NULL);
	act_document_need(document, member, "text");
	*text = act_document_string(document, member, "text");
}

ReasonPointers
act_rules_compile_reason_members(const Document *document, const cJSON *at)
{
	ReasonPointers reason = {0};

	compile_words(document, at, "code", &reason.code, &reason.code_text);
	compile_words(document, at, "message", &reason.message, &reason.message_text);
	return reason;
}

ReasonPointers
act_rules_compile_reason(const Document *document, const cJSON *at)
{
	act_document_check(document, at, reason_members, NULL);
	return act_rules_compile_reason_members(document, at);
}

/* What only some effects can have. */
static void
compile_details(const Document *document, const cJSON *at, AnswerRule *rule)
{
	bool		waits = rule->then == ANSWER_THROTTLED || rule->then == ANSWER_TRANSIENT ||
		rule->then == ANSWER_UNCERTAIN;

	rule->wait_ms = act_rate_compile_duration(document, at, "wait", 0, -1);
	if (rule->wait_ms >= 0 && !waits)
		act_document_error(document, act_document_member(at, "wait"), NULL,
						   "\"wait\", which belongs to \"throttle\", \"retry\" and \"uncertain\",");
	rule->until_midnight = act_document_member(at, "until") != NULL;
	(void) act_document_choice(document, at, "until", until_names, NULL, 0);
	if (rule->until_midnight && (rule->then != ANSWER_THROTTLED || rule->wait_ms >= 0))
		act_document_error(document, act_document_member(at, "until"), NULL,
						   "\"until\", which belongs to \"throttle\" without \"wait\",");
	rule->external_id = act_document_pointer(document, at, "external_id");
	if (rule->external_id != NULL && rule->then != ANSWER_FOUND)
		act_document_error(document, act_document_member(at, "external_id"), NULL,
						   "\"external_id\", which belongs to \"found\",");
	if (!act_document_bool(document, at, "final", false))
		return;
	if (rule->then != ANSWER_BATCH_REFUSED)
		act_document_error(document, act_document_member(at, "final"), NULL,
						   "\"final\", which belongs to \"refuse\",");
	rule->then = ANSWER_REFUSED_FOR_GOOD;
}

/* header and text: what only a rule looks at */
static AnswerTest
compile_rule_test(const Document *document, const cJSON *at)
{
	AnswerTest	test = act_rules_compile_test(document, at);

	if (test.header != NULL && (*test.header == '\0' || test.at != NULL))
		act_document_error(document, act_document_member(at, "header"), NULL, "a test that looks at two places, or at none,");
	if (!test.text)
		return test;
	if (test.at != NULL || test.header != NULL)
		act_document_error(document, act_document_member(at, "text"), NULL, "a test that looks at two places");
	if (test.nvalues == 0 && test.contains == NULL)
		act_document_error(document, act_document_member(at, "text"), "Say what it has in it, in \"contains\".",
						   "a test of the text that any would pass");
	return test;
}

void
act_rules_compile(const Document *document, const cJSON *rules, AnswerRules *into)
{
	int			more = rules == NULL ? 0 : cJSON_GetArraySize(rules);

	if (more == 0)
		return;
	into->items = into->items == NULL ? palloc0(more * sizeof(AnswerRule)) :
		repalloc(into->items, (into->count + more) * sizeof(AnswerRule));
	for (const cJSON *at = rules->child; at != NULL; at = at->next)
	{
		AnswerRule *rule = memset(&into->items[into->count++], 0, sizeof(AnswerRule));

		act_document_check(document, at, rule_members, NULL);
		rule->statuses = act_rules_compile_statuses(document, at, "status");
		rule->test = compile_rule_test(document, at);
		if (rule->statuses.count == 0 && !act_rules_is_test(&rule->test))
			act_document_error(document, at, NULL, "a rule with neither \"status\" nor \"at\"");
		act_document_need(document, at, "then");
		rule->then = then_classes[act_document_choice(document, at, "then", then_names, NULL, 0)];
		compile_details(document, at, rule);
		rule->reason = act_rules_compile_reason_members(document, at);
	}
}

/* A number of the document to compare with; false: there is none. */
static bool
compile_limit(const Document *document, const cJSON *at, const char *name, double *limit)
{
	const cJSON *member = act_document_member(at, name);

	if (member == NULL)
		return false;
	if (!cJSON_IsNumber(member))
		act_document_error(document, member, NULL, "a number is expected");
	*limit = member->valuedouble;
	return true;
}

bool
act_rules_is_test(const AnswerTest *test)
{
	return test->at != NULL || test->header != NULL || test->text;
}

/* {"at": pointer, "in": [scalars]}; without "in" and its like, that something is there */
AnswerTest
act_rules_compile_test(const Document *document, const cJSON *at)
{
	AnswerTest	test = {.at = act_document_pointer(document, at, "at")};
	const cJSON *values = act_document_array(document, at, "in");

	test.header = act_document_string(document, at, "header");
	test.text = act_document_bool(document, at, "text", false);
	test.contains = act_document_string(document, at, "contains");
	test.has_lt = compile_limit(document, at, "lt", &test.lt);
	test.has_gt = compile_limit(document, at, "gt", &test.gt);
	test.negated = act_document_bool(document, at, "not", false);
	if (!act_rules_is_test(&test) &&
		(values != NULL || test.contains != NULL || test.has_lt || test.has_gt || test.negated))
		act_document_error(document, at, "It names what is looked at by a JSON pointer.",
						   "a test without \"at\"");
	if (values == NULL)
		return test;
	if (values->child == NULL)
		act_document_error(document, values, NULL, "an empty list");
	test.values = palloc0(cJSON_GetArraySize(values) * sizeof(TestValue));
	for (const cJSON *value = values->child; value != NULL; value = value->next)
	{
		if (cJSON_IsObject(value) || cJSON_IsArray(value))
			act_document_error(document, value, NULL, "a string, number, true, false or null is expected");
		test.values[test.nvalues++] = (TestValue)
		{
			.type = value->type & 0xFF,.text = act_json_scalar_text(value)
		};
	}
	return test;
}

/*
 * Numbers of an answer may have become strings on their way here, so those
 * two are compared by their text.
 */
static bool
is_one_of(const AnswerTest *test, int type, const char *text)
{
	for (int i = 0; i < test->nvalues; i++)
	{
		const TestValue *wanted = &test->values[i];

		if (wanted->text == NULL)
		{
			if (text == NULL && wanted->type == type)
				return true;
		}
		else if (text != NULL && (strcmp(text, wanted->text) == 0 ||
								  (wanted->type == cJSON_Number && act_json_same_number(text, wanted->text))))
			return true;
	}
	return test->nvalues == 0;
}

/* Texts that are numbers are compared as such, others are neither below nor above. */
static bool
is_within(const AnswerTest *test, const char *text)
{
	char	   *end;
	double		number;

	if (!test->has_lt && !test->has_gt)
		return true;
	if (text == NULL || *text == '\0')
		return false;
	number = strtod(text, &end);
	return *end == '\0' && (!test->has_lt || number < test->lt) && (!test->has_gt || number > test->gt);
}

/* Objects and arrays by their JSON. */
static bool
has_text(const AnswerTest *test, const cJSON *found, const char *text)
{
	StringInfoData json;
	bool		has;

	if (test->contains == NULL)
		return true;
	if (text != NULL)
		return strstr(text, test->contains) != NULL;
	initStringInfo(&json);
	act_json_append(&json, found, 0);
	has = strstr(json.data, test->contains) != NULL;
	pfree(json.data);
	return has;
}

bool
act_rules_test(const AnswerTest *test, const cJSON *value)
{
	const cJSON *found = test->at == NULL ? value : act_json_pointer_resolve(test->at, value);
	char	   *text;
	bool		holds;

	if (test->at == NULL)
		return true;
	if (found == NULL)
		return test->negated;
	text = act_json_scalar_text(found);
	holds = is_one_of(test, found->type & 0xFF, text) && is_within(test, text) && has_text(test, found, text);
	if (text != NULL)
		pfree(text);
	return holds != test->negated;
}

bool
act_rules_test_answer(const AnswerTest *test, const HttpResponse *response, const cJSON *root)
{
	const char *text;

	if (test->at != NULL)
		return root != NULL && act_rules_test(test, root);
	if (test->header == NULL && !test->text)
		return true;
	text = test->text ? response->body : act_http_header(response, test->header);
	return text != NULL && is_one_of(test, cJSON_String, text) && is_within(test, text) &&
		(test->contains == NULL || strstr(text, test->contains) != NULL);
}
