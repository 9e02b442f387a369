/*-------------------------------------------------------------------------
 *
 * connector_shape.c
 *	  Where in an answer the results of single rows stand, and what they
 *	  say: the member "answer" of an operation, compiled.
 *
 * Called while a document is compiled, in the memory context that the
 * connector lives in.  Throws what document.h throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_private.h"

#define MAX_REMEMBERED 20

static const char *const answer_members[] = {
	"by", "format", "items", "lists", "enter", "is", "where", "outcomes", "then", "default", "optional", "empty",
	"retry", "final_codes", "retry_codes", "accepted_codes", "absent_codes", "code", "message", "external_id",
	"remember", "saved", NULL
};
/* An answer by its status alone still has these. */
static const char *const none_members[] = {"by", "empty", "external_id", "remember", NULL};
static const char *const list_members[] = {
	"items", "by", "is", "where", "outcomes", "then", "code", "message", "external_id", "remember", NULL
};
static const char *const saved_members[] = {"items", "by", "is", "where", "external_id", "remember", NULL};
static const char *const outcome_members[] = {"at", "in", "contains", "lt", "gt", "not", "then", NULL};
static const char *const where_members[] = {"at", "in", "contains", "lt", "gt", "not", NULL};

/* In the order of AnswerBy. */
static const char *const by_names[] = {
	"none", "position", "index", "ref", "match", "key", "external_id", "value", "index_lists", NULL
};
StaticAssertDecl(lengthof(by_names) == BY_INDEX_LISTS + 2, "every way to tell results apart has its name");

static const char *const then_names[] = {
	"accepted", "rejected", "refused", "absent", "retry", "throttled", "found", NULL
};
static const ResultMeaning meanings[] = {
	{ROW_ACCEPTED, false, false}, {ROW_REJECTED, false, false}, {ROW_REFUSED, false, false}, {ROW_ABSENT, false, false},
	{ROW_DELAYED, false, false}, {ROW_DELAYED, true, false}, {ROW_REJECTED, false, true}
};
StaticAssertDecl(lengthof(then_names) == lengthof(meanings) + 1, "every name means something");

static const char *const default_names[] = {"accepted", "rejected", "absent", "retry", NULL};
static const RowOutcome defaults[] = {ROW_ACCEPTED, ROW_REJECTED, ROW_ABSENT, ROW_DELAYED};
StaticAssertDecl(lengthof(default_names) == lengthof(defaults) + 1, "every name means an outcome");

static void compile_places(const Document *document, const cJSON *answer, RowAnswers *answers,
						   const Filter *const *match_compare);
static void compile_place(const Document *document, const cJSON *at, const cJSON *answer, const RowAnswers *answers,
						  const Filter *const *match_compare, ResultPlace *place);

static bool
is_by_value(AnswerBy by)
{
	return by == BY_MATCH || by == BY_KEY || by == BY_EXTERNAL_ID || by == BY_VALUE;
}

/* {name: pointer} */
NamedPointers
act_shape_compile_remember(const Document *document, const cJSON *at, const char *name)
{
	const cJSON *members = act_document_member(at, name);
	NamedPointers pointers = {0};

	if (members == NULL)
		return pointers;
	if (!cJSON_IsObject(members))
		act_document_error(document, members, NULL, "an object is expected");
	if (cJSON_GetArraySize(members) > MAX_REMEMBERED)
		act_document_error(document, members, NULL, "more than %d values to remember", MAX_REMEMBERED);
	pointers.items = palloc0((cJSON_GetArraySize(members) + 1) * sizeof(NamedPointer));
	for (const cJSON *member = members->child; member != NULL; member = member->next)
	{
		size_t		len = strlen(member->string);

		if (len == 0 || len >= NAMEDATALEN || strspn(member->string, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
			act_document_error(document, member, "Letters a to z, digits and _ are.",
							   "a name that is no plain identifier");
		if (act_document_member(members, member->string) != member)
			act_document_error(document, member, NULL, "member \"%s\" given twice", member->string);
		pointers.items[pointers.count++] = (NamedPointer)
		{
			.name = pstrdup(member->string),
			.at = act_document_pointer(document, members, member->string)
		};
	}
	return pointers;
}

/* ----------------------------------------------------------------
 *		Codes
 * ----------------------------------------------------------------
 */

static void
add_codes(const Document *document, const cJSON *at, const char *name, RowOutcome outcome, ResultCodes *codes)
{
	const cJSON *values = act_document_array(document, at, name);
	int			more = values == NULL ? 0 : cJSON_GetArraySize(values);

	if (more == 0)
		return;
	codes->items = codes->items == NULL ? palloc(more * sizeof(*codes->items)) :
		repalloc(codes->items, (codes->count + more) * sizeof(*codes->items));
	for (const cJSON *value = values->child; value != NULL; value = value->next)
	{
		char	   *code = act_json_scalar_text(value);
		int			place = codes->count;

		CHECK_FOR_INTERRUPTS();
		if (code == NULL)
			act_document_error(document, value, NULL, "a string or number is expected");
		while (place > 0 && strcmp(codes->items[place - 1].code, code) > 0)
		{
			codes->items[place] = codes->items[place - 1];
			place--;
		}
		if (place > 0 && strcmp(codes->items[place - 1].code, code) == 0)
			act_document_error(document, value, NULL, "code \"%s\" given twice", code);
		codes->items[place].code = code;
		codes->items[place].outcome = outcome;
		codes->count++;
	}
}

ResultCodes
act_shape_compile_codes(const Document *document, const cJSON *at, const char *name, RowOutcome outcome)
{
	ResultCodes codes = {0};

	add_codes(document, at, name, outcome, &codes);
	return codes;
}

RowOutcome
act_shape_code(const ResultCodes *codes, const char *code)
{
	int			low = 0;
	int			high = codes->count;

	while (code != NULL && low < high)
	{
		int			middle = low + (high - low) / 2;
		int			order = strcmp(codes->items[middle].code, code);

		if (order == 0)
			return codes->items[middle].outcome;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return ROW_UNDECIDED;
}

/* ----------------------------------------------------------------
 *		The whole of it
 * ----------------------------------------------------------------
 */

static void
compile_empty(const Document *document, const cJSON *answer, RowAnswers *answers)
{
	const cJSON *empty = act_document_array(document, answer, "empty");

	if (empty == NULL)
		return;
	if (empty->child == NULL)
		act_document_error(document, empty, NULL, "an empty list");
	answers->empty = palloc(cJSON_GetArraySize(empty) * sizeof(JsonPointer *));
	for (const cJSON *at = empty->child; at != NULL; at = at->next)
	{
		const JsonPointer *pointer = cJSON_IsString(at) ? act_json_pointer_compile(at->valuestring) : NULL;

		if (pointer == NULL)
			act_document_error(document, at, NULL, "a JSON pointer is expected");
		answers->empty[answers->nempty++] = pointer;
	}
}

const RowAnswers *
act_shape_compile(const Document *document, const cJSON *answer, const Filter *const *match_compare)
{
	RowAnswers *answers = palloc0(sizeof(RowAnswers));

	if (answer == NULL)
		return answers;
	act_document_check(document, answer, answer_members, NULL);
	act_document_need(document, answer, "by");
	answers->by = (AnswerBy) act_document_choice(document, answer, "by", by_names, NULL, BY_NONE);
	compile_empty(document, answer, answers);
	if (answers->by == BY_NONE)
	{
		act_document_check(document, answer, none_members, NULL);
		answers->external_id = act_document_pointer(document, answer, "external_id");
		answers->remember = act_shape_compile_remember(document, answer, "remember");
		return answers;
	}
	answers->format = (RecordFormat) act_document_choice(document, answer, "format", act_record_formats, NULL, RECORDS_JSON);
	answers->optional = act_document_bool(document, answer, "optional", false);
	answers->enter = act_document_bool(document, answer, "enter", false);
	answers->retry = act_document_pointer(document, answer, "retry");
	if (act_document_member(answer, "default") != NULL)
		answers->fallback = defaults[act_document_choice(document, answer, "default", default_names, NULL, 0)];
	add_codes(document, answer, "accepted_codes", ROW_ACCEPTED, &answers->codes);
	add_codes(document, answer, "absent_codes", ROW_ABSENT, &answers->codes);
	add_codes(document, answer, "final_codes", ROW_REFUSED, &answers->codes);
	add_codes(document, answer, "retry_codes", ROW_DELAYED, &answers->codes);
	if (answers->format == RECORDS_CSV && (answers->by == BY_VALUE || answers->by == BY_INDEX_LISTS))
		act_document_error(document, act_document_member(answer, "by"), NULL,
						   "\"%s\", which records of CSV cannot be,", by_names[answers->by]);
	if (answers->by == BY_POSITION && answers->fallback != ROW_UNDECIDED)
		act_document_error(document, act_document_member(answer, "default"), NULL,
						   "\"default\", where each row has its result,");
	compile_places(document, answer, answers, match_compare);
	return answers;
}

/* items, or lists; then saved */
static void
compile_places(const Document *document, const cJSON *answer, RowAnswers *answers, const Filter *const *match_compare)
{
	const cJSON *lists = act_document_array(document, answer, "lists");
	const cJSON *saved = act_document_member(answer, "saved");
	int			room = (lists == NULL ? 1 : cJSON_GetArraySize(lists)) + 1;

	answers->places = palloc0(room * sizeof(ResultPlace));
	if (lists == NULL)
		compile_place(document, answer, answer, answers, match_compare, &answers->places[answers->nplaces++]);
	else
	{
		if (act_document_member(answer, "items") != NULL)
			act_document_error(document, lists, NULL, "\"lists\" beside \"items\"");
		if (answers->by == BY_POSITION)
			act_document_error(document, lists, NULL, "several places for results by their position");
		if (lists->child == NULL)
			act_document_error(document, lists, NULL, "an empty list");
		for (const cJSON *at = lists->child; at != NULL; at = at->next)
		{
			act_document_check(document, at, list_members, NULL);
			compile_place(document, at, answer, answers, match_compare, &answers->places[answers->nplaces++]);
		}
	}
	if (saved == NULL)
		return;
	act_document_check(document, saved, saved_members, NULL);
	if (answers->by == BY_POSITION || answers->format != RECORDS_JSON)
		act_document_error(document, saved, NULL, "\"saved\" beside results that are all in one place");
	compile_place(document, saved, NULL, answers, match_compare, &answers->places[answers->nplaces]);
	answers->places[answers->nplaces++].then = meanings[0];
}

/* What a list does not say of itself is said by the answer. */
static const cJSON *
holder_of(const cJSON *at, const cJSON *answer, const char *name)
{
	return answer == NULL || act_document_member(at, name) != NULL ? at : answer;
}

static void
compile_outcomes(const Document *document, const cJSON *at, const cJSON *answer, ResultPlace *place)
{
	const cJSON *holder = act_document_member(at, "outcomes") != NULL || act_document_member(at, "then") != NULL ? at : answer;
	const cJSON *outcomes = act_document_array(document, holder, "outcomes");

	if (outcomes != NULL && act_document_member(holder, "then") != NULL)
		act_document_error(document, holder, NULL, "\"then\" beside \"outcomes\"");
	if (act_document_member(holder, "then") != NULL)
	{
		place->then = meanings[act_document_choice(document, holder, "then", then_names, NULL, 0)];
		return;
	}
	if (outcomes == NULL || outcomes->child == NULL)
		act_document_error(document, at, "What all results of a place mean is said by \"then\".",
						   "results without \"outcomes\"");
	place->rules = palloc0(cJSON_GetArraySize(outcomes) * sizeof(RowRule));
	for (const cJSON *rule = outcomes->child; rule != NULL; rule = rule->next)
	{
		act_document_check(document, rule, outcome_members, NULL);
		act_document_need(document, rule, "then");
		place->rules[place->nrules++] = (RowRule)
		{
			.test = act_rules_compile_test(document, rule),
			.then = meanings[act_document_choice(document, rule, "then", then_names, NULL, 0)]
		};
	}
}

/* How a result names its row. */
static void
compile_is(const Document *document, const cJSON *at, const cJSON *answer, const Filter *const *match_compare,
		   ResultPlace *place)
{
	const cJSON *holder = holder_of(at, answer, "is");
	const cJSON *is = act_document_member(holder, "is");
	bool		by_itself = place->by == BY_POSITION || place->by == BY_VALUE || place->by == BY_INDEX_LISTS;

	if (by_itself && is != NULL)
		act_document_error(document, is, NULL, "\"is\", which results by \"%s\" do not have,", by_names[place->by]);
	if (!by_itself && is == NULL)
		act_document_error(document, at, "It is the JSON pointer of what a result has of its row.",
						   "results by \"%s\" without \"is\"", by_names[place->by]);
	if (place->by == BY_INDEX || place->by == BY_REF)
		place->is = act_document_pointer(document, holder, "is");
	if (!is_by_value(place->by))
		return;
	place->identity.kind = place->by == BY_KEY ? IDENTITY_KEY :
		place->by == BY_EXTERNAL_ID ? IDENTITY_EXTERNAL_ID : IDENTITY_MATCH;
	if (place->identity.kind == IDENTITY_MATCH)
		place->identity.compare = match_compare;
	if (is == NULL)
		return;
	act_identity_compile(document, is, &place->identity);
	if (place->identity.npointers > 1 && place->by != BY_MATCH)
		act_document_error(document, is, NULL, "several pointers for what is one value");
}

static void
compile_place(const Document *document, const cJSON *at, const cJSON *answer, const RowAnswers *answers,
			  const Filter *const *match_compare, ResultPlace *place)
{
	const cJSON *where = act_document_member(holder_of(at, answer, "where"), "where");
	bool		by_record = answers->format != RECORDS_JSON;
	ReasonPointers reason;

	place->by = (AnswerBy) act_document_choice(document, holder_of(at, answer, "by"), "by", by_names, NULL, answers->by);
	if (place->by == BY_NONE || (place->by == BY_POSITION && at != answer))
		act_document_error(document, act_document_member(at, "by"), NULL, "\"by\" that cannot stand here");
	if (!by_record)
		act_document_need(document, at, "items");
	else if (act_document_member(at, "items") != NULL)
		act_document_error(document, act_document_member(at, "items"), NULL,
						   "\"items\", where each record is a result,");
	place->items = act_document_pointer(document, at, "items");
	compile_is(document, at, answer, match_compare, place);
	if (where != NULL)
	{
		if (place->by == BY_POSITION)
			act_document_error(document, where, NULL, "\"where\", where each row has its result,");
		act_document_check(document, where, where_members, NULL);
		act_document_need(document, where, "at");
		place->where = act_rules_compile_test(document, where);
	}
	place->external_id = act_document_pointer(document, holder_of(at, answer, "external_id"), "external_id");
	place->remember = act_shape_compile_remember(document, holder_of(at, answer, "remember"), "remember");
	if (answer == NULL)
		return;
	compile_outcomes(document, at, answer, place);
	place->reason = act_rules_compile_reason_members(document, answer);
	reason = act_rules_compile_reason_members(document, at);
	if (act_document_member(at, "code") != NULL)
	{
		place->reason.code = reason.code;
		place->reason.code_text = reason.code_text;
	}
	if (act_document_member(at, "message") != NULL)
	{
		place->reason.message = reason.message;
		place->reason.message_text = reason.message_text;
	}
}
