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

static const char *const rule_members[] = {
	"status", "at", "in", "contains", "lt", "gt", "then", "final", "wait", "until", "code", "message", NULL
};
static const char *const reason_members[] = {"code", "message", NULL};
static const char *const outcome_members[] = {"at", "in", "contains", "lt", "gt", "then", NULL};
static const char *const answer_members[] = {
	"by", "items", "optional", "outcomes", "retry", "external_id", "code", "message", NULL
};
static const char *const later_answer_members[] = {
	"index", "ref", "key", "lists", "value", "where", "enter", "default", "fail_if", "from", "saved", NULL
};

static const char *const then_names[] = {
	"rows", "refuse", "halve", "throttle", "retry", "uncertain", "auth", "configuration", NULL
};
static const AnswerClass then_classes[] = {
	ANSWER_ACCEPTED, ANSWER_BATCH_REFUSED, ANSWER_TOO_LARGE, ANSWER_THROTTLED, ANSWER_TRANSIENT,
	ANSWER_UNCERTAIN, ANSWER_AUTH, ANSWER_CONFIGURATION
};
StaticAssertDecl(lengthof(then_names) == lengthof(then_classes) + 1, "every name means a class");

static const char *const until_names[] = {"midnight", NULL};

/* In the order of AnswerBy. */
static const char *const by_names[] = {"none", "position", NULL};
static const char *const later_by_names[] = {"index", "ref", "key", "value", "index_lists", NULL};

static const char *const outcome_names[] = {
	"accepted", "rejected", "refused", "absent", "retry", "throttled", NULL
};
static const RowOutcome outcomes[] = {
	ROW_ACCEPTED, ROW_REJECTED, ROW_REFUSED, ROW_ABSENT, ROW_DELAYED, ROW_DELAYED
};
StaticAssertDecl(lengthof(outcome_names) == lengthof(outcomes) + 1, "every name means an outcome");
#define OUTCOME_THROTTLED 5

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

static ReasonPointers
compile_pointers(const Document *document, const cJSON *at)
{
	return (ReasonPointers)
	{
		.code = act_document_pointer(document, at, "code"),
		.message = act_document_pointer(document, at, "message")
	};
}

ReasonPointers
act_rules_compile_reason(const Document *document, const cJSON *at)
{
	act_document_check(document, at, reason_members, NULL);
	return compile_pointers(document, at);
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
	if (!act_document_bool(document, at, "final", false))
		return;
	if (rule->then != ANSWER_BATCH_REFUSED)
		act_document_error(document, act_document_member(at, "final"), NULL,
						   "\"final\", which belongs to \"refuse\",");
	rule->then = ANSWER_REFUSED_FOR_GOOD;
}

void
act_rules_compile(const Document *document, const cJSON *rules, Connector *connector)
{
	if (rules == NULL)
		return;
	connector->rules = palloc0((cJSON_GetArraySize(rules) + 1) * sizeof(AnswerRule));
	for (const cJSON *at = rules->child; at != NULL; at = at->next)
	{
		AnswerRule *rule = &connector->rules[connector->nrules++];

		act_document_check(document, at, rule_members, NULL);
		rule->statuses = act_rules_compile_statuses(document, at, "status");
		rule->test = act_rules_compile_test(document, at);
		if (rule->statuses.count == 0 && rule->test.at == NULL)
			act_document_error(document, at, NULL, "a rule with neither \"status\" nor \"at\"");
		act_document_need(document, at, "then");
		rule->then = then_classes[act_document_choice(document, at, "then", then_names, NULL, 0)];
		compile_details(document, at, rule);
		rule->reason = compile_pointers(document, at);
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

/* {"at": pointer, "in": [scalars]}; without "in" and its like, that something is there */
AnswerTest
act_rules_compile_test(const Document *document, const cJSON *at)
{
	AnswerTest	test = {.at = act_document_pointer(document, at, "at")};
	const cJSON *values = act_document_array(document, at, "in");

	test.contains = act_document_string(document, at, "contains");
	test.has_lt = compile_limit(document, at, "lt", &test.lt);
	test.has_gt = compile_limit(document, at, "gt", &test.gt);
	if (test.at == NULL && (values != NULL || test.contains != NULL || test.has_lt || test.has_gt))
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
is_one_of(const AnswerTest *test, const cJSON *found, const char *text)
{
	for (int i = 0; i < test->nvalues; i++)
	{
		const TestValue *wanted = &test->values[i];

		if (wanted->text != NULL ? text != NULL && strcmp(text, wanted->text) == 0 :
			wanted->type == (found->type & 0xFF))
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
		return false;
	text = act_json_scalar_text(found);
	holds = is_one_of(test, found, text) && is_within(test, text) && has_text(test, found, text);
	if (text != NULL)
		pfree(text);
	return holds;
}

const RowAnswers *
act_rules_compile_rows(const Document *document, const cJSON *at)
{
	RowAnswers *answers = palloc0(sizeof(RowAnswers));
	const cJSON *rules;

	if (at == NULL)
		return answers;
	act_document_check(document, at, answer_members, later_answer_members);
	act_document_need(document, at, "by");
	answers->by = (AnswerBy) act_document_choice(document, at, "by", by_names, later_by_names, BY_NONE);
	answers->optional = act_document_bool(document, at, "optional", false);
	answers->items = act_document_pointer(document, at, "items");
	answers->retry = act_document_pointer(document, at, "retry");
	answers->external_id = act_document_pointer(document, at, "external_id");
	answers->reason = compile_pointers(document, at);
	rules = act_document_array(document, at, "outcomes");
	if (answers->by == BY_NONE)
	{
		if (at->child->next != NULL)
			act_document_error(document, at, NULL, "\"by\": \"none\" with other members beside it");
		return answers;
	}
	act_document_need(document, at, "items");
	if (rules == NULL || rules->child == NULL)
		act_document_error(document, at, NULL, "results without \"outcomes\"");
	answers->rules = palloc0(cJSON_GetArraySize(rules) * sizeof(RowRule));
	for (const cJSON *rule = rules->child; rule != NULL; rule = rule->next)
	{
		int			then;

		act_document_check(document, rule, outcome_members, NULL);
		act_document_need(document, rule, "then");
		then = act_document_choice(document, rule, "then", outcome_names, NULL, 0);
		answers->rules[answers->nrules++] = (RowRule)
		{
			.test = act_rules_compile_test(document, rule),
			.then = outcomes[then],
			.throttles = then == OUTCOME_THROTTLED
		};
	}
	return answers;
}
