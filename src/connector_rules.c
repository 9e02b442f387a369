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

static const char *const rule_members[] = {"status", "at", "in", "then", "code", "message", NULL};
static const char *const later_rule_members[] = {"contains", "lt", "gt", NULL};
static const char *const reason_members[] = {"code", "message", NULL};
static const char *const outcome_members[] = {"at", "in", "then", NULL};
static const char *const answer_members[] = {
	"by", "items", "optional", "outcomes", "retry", "external_id", "code", "message", NULL
};
static const char *const later_answer_members[] = {
	"index", "ref", "key", "lists", "value", "where", "enter", "default", "fail_if", "from", "saved", NULL
};

/* In the order of RuleEffect. */
static const char *const then_names[] = {
	"rows", "refuse", "halve", "throttle", "retry", "uncertain", "auth", "configuration", NULL
};
StaticAssertDecl(lengthof(then_names) == THEN_CONFIGURATION + 2, "every effect has its name");

/* In the order of AnswerBy. */
static const char *const by_names[] = {"none", "position", NULL};
static const char *const later_by_names[] = {"index", "ref", "key", "value", "index_lists", NULL};

static const char *const outcome_names[] = {"accepted", "rejected", "refused", "absent", NULL};
static const RowOutcome outcomes[] = {ROW_ACCEPTED, ROW_REJECTED, ROW_REFUSED, ROW_ABSENT};

static AnswerTest compile_test(const Document *document, const cJSON *at);

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

void
act_rules_compile(const Document *document, const cJSON *rules, Connector *connector)
{
	if (rules == NULL)
		return;
	connector->rules = palloc0((cJSON_GetArraySize(rules) + 1) * sizeof(AnswerRule));
	for (const cJSON *at = rules->child; at != NULL; at = at->next)
	{
		AnswerRule *rule = &connector->rules[connector->nrules++];

		act_document_check(document, at, rule_members, later_rule_members);
		rule->statuses = act_rules_compile_statuses(document, at, "status");
		rule->test = compile_test(document, at);
		if (rule->statuses.count == 0 && rule->test.at == NULL)
			act_document_error(document, at, NULL, "a rule with neither \"status\" nor \"at\"");
		act_document_need(document, at, "then");
		rule->then = (RuleEffect) act_document_choice(document, at, "then", then_names, NULL, 0);
		rule->reason = compile_pointers(document, at);
	}
}

/* {"at": pointer, "in": [scalars]}; without "in", that something is there */
static AnswerTest
compile_test(const Document *document, const cJSON *at)
{
	AnswerTest	test = {.at = act_document_pointer(document, at, "at")};
	const cJSON *values = act_document_array(document, at, "in");

	if (values == NULL)
		return test;
	if (test.at == NULL)
		act_document_error(document, values, NULL, "\"in\" without \"at\"");
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
bool
act_rules_test(const AnswerTest *test, const cJSON *value)
{
	const cJSON *found = test->at == NULL ? value : act_json_pointer_resolve(test->at, value);
	char	   *text;
	bool		equal = false;

	if (test->at == NULL)
		return true;
	if (found == NULL || test->nvalues == 0)
		return found != NULL;
	text = act_json_scalar_text(found);
	for (int i = 0; i < test->nvalues && !equal; i++)
	{
		const TestValue *wanted = &test->values[i];

		if (wanted->text != NULL)
			equal = text != NULL && strcmp(text, wanted->text) == 0;
		else
			equal = wanted->type == (found->type & 0xFF);
	}
	if (text != NULL)
		pfree(text);
	return equal;
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
		act_document_check(document, rule, outcome_members, NULL);
		act_document_need(document, rule, "then");
		answers->rules[answers->nrules++] = (RowRule)
		{
			.test = compile_test(document, rule),
			.then = outcomes[act_document_choice(document, rule, "then", outcome_names, NULL, 0)]
		};
	}
	return answers;
}
