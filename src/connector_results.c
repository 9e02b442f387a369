/*-------------------------------------------------------------------------
 *
 * connector_results.c
 *	  What became of each row of a request, by the results in its answers.
 *
 * Results are read place by place, and a row keeps the worst that is said of
 * it.  Rows are written to once all answers are read and all rows decided;
 * where one is not, or where a failure may be any row's, nothing is known of
 * any and the caller has a reason to say so.  Touches neither database nor
 * network; allocates in the current memory context.  Nothing throws because
 * of what an answer says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_private.h"
#include "json_text.h"

#define MAX_EXTERNAL_ID 1000	/* longer than any; a cut one would be wrong */
#define MAX_REMEMBERED 4000		/* bytes of JSON */

/* What is known of one row so far. */
typedef struct RowReading
{
	ResultMeaning meaning;
	char	   *code;
	char	   *message;
	char	   *external_id;
	List	   *remembered;		/* of HttpHeader */
} RowReading;

struct RowResults
{
	const Connector *connector;
	const ConnectorScope *scope;
	const Operation *operation; /* that a job was of; NULL: of a request that was just made */
	Row		  **rows;
	int			nrows;
	RowReading *read;
	RowOutcome	fallback;		/* UNDECIDED: a row that nothing speaks of is in doubt */
	int			http_status;
};

/* One answer being read. */
typedef struct Page
{
	RowResults *results;
	const RowAnswers *answers;
	const HttpResponse *response;
	KnownRows **known;			/* by place, made when it is first needed */
	int			number;			/* of the result, from 1 */
	const char *doubt;			/* NULL: all is well so far */
} Page;

RowResults *
act_results_begin(const Connector *connector, const ConnectorScope *scope, const Operation *operation,
				  Row **rows, int nrows)
{
	RowResults *results = palloc0(sizeof(RowResults));

	results->connector = connector;
	results->scope = scope;
	results->operation = operation;
	results->rows = rows;
	results->nrows = nrows;
	results->read = palloc0(sizeof(RowReading) * Max(1, nrows));
	return results;
}

/* Of two that are said of one row the worse counts. */
static int
severity(const ResultMeaning *meaning)
{
	switch (meaning->outcome)
	{
		case ROW_UNDECIDED:
			return 0;
		case ROW_ACCEPTED:
			return 1;
		case ROW_ABSENT:
			return 2;
		case ROW_DELAYED:
			return meaning->throttles ? 4 : 3;
		case ROW_REJECTED:
			return meaning->found ? 5 : 6;
		default:
			return 7;
	}
}

/* The document speaks of updates of rows that the model has. */
static bool
is_removing_update(const Row *row)
{
	return act_row_op_removes(row->op) && act_row_op_sent(row->op) != row->op;
}

RowOutcome
act_results_absent(const Connector *connector, const Row *row)
{
	return is_removing_update(row) ? ROW_ACCEPTED : act_flow_operation(connector, row)->absent;
}

/* What was asked for the row: where that was a job it may be another than what would be now. */
static const Operation *
row_operation(const RowResults *results, int row)
{
	const Operation *operation = act_flow_operation(results->connector, results->rows[row]);

	return results->operation != NULL && (operation == NULL || operation->owner != results->operation) ?
		results->operation : operation;
}

/* The operation's own words. */
static void
mean_for_row(const RowResults *results, int row, const char *code, ResultMeaning *meaning)
{
	const Operation *operation = row_operation(results, row);

	if (meaning->outcome != ROW_ACCEPTED && act_shape_code(&operation->accepted_codes, code) != ROW_UNDECIDED)
		*meaning = (ResultMeaning) {ROW_ACCEPTED};
	if (meaning->outcome == ROW_ABSENT)
		meaning->outcome = is_removing_update(results->rows[row]) ? ROW_ACCEPTED : operation->absent;
}

/* ----------------------------------------------------------------
 *		Ids and other values to keep
 * ----------------------------------------------------------------
 */

char *
act_results_external_id(const cJSON *value)
{
	char	   *id = value == NULL ? NULL : act_json_scalar_text(value);

	return id == NULL || *id == '\0' || strlen(id) > MAX_EXTERNAL_ID ? NULL : id;
}

void
act_results_remember(const NamedPointers *pointers, const cJSON *item, List **remembered)
{
	for (int i = 0; i < pointers->count; i++)
	{
		const cJSON *value = act_json_pointer_resolve(pointers->items[i].at, item);
		StringInfoData json;
		HttpHeader *kept;

		if (value == NULL || cJSON_IsNull(value))
			continue;
		initStringInfo(&json);
		act_json_append(&json, value, MAX_REMEMBERED + 1);
		if (json.len > MAX_REMEMBERED)
			continue;			/* a part of it would be wrong */
		kept = palloc(sizeof(HttpHeader));
		kept->name = pstrdup(pointers->items[i].name);
		kept->value = json.data;
		*remembered = lappend(*remembered, kept);
	}
}

static void
keep_values(RowResults *results, int row, const JsonPointer *external_id, const NamedPointers *pointers, const cJSON *item)
{
	RowReading *read = &results->read[row];

	if (read->external_id == NULL && external_id != NULL)
		read->external_id = act_results_external_id(act_json_pointer_resolve(external_id, item));
	if (read->remembered != NIL)
		return;
	act_results_remember(pointers, item, &read->remembered);
	act_results_remember(&row_operation(results, row)->remember, item, &read->remembered);
}

/* ----------------------------------------------------------------
 *		One result
 * ----------------------------------------------------------------
 */

/* A result, and what it says of whatever row it is about. */
typedef struct Result
{
	const ResultPlace *place;
	const cJSON *item;
	ResultMeaning meaning;
	char	   *code;
	bool		told;			/* message is read */
	char	   *message;
	bool		kept;			/* a row has code and message */
} Result;

static void
doubt_result(Page *page, const cJSON *item, const char *what)
{
	if (page->doubt == NULL)
		page->doubt = psprintf("result %d of the answer %s: %s", page->number, what,
							   act_answer_shown(page->results->connector, item));
}

/* false: it has no known meaning, and the page is in doubt. */
static bool
mean(Page *page, Result *result, const char *list_name)
{
	const ResultPlace *place = result->place;
	const RowAnswers *answers = page->answers;
	const Connector *connector = page->results->connector;
	const cJSON *retry;
	RowOutcome	by_code;

	result->meaning = place->then;
	for (int i = 0; i < place->nrules && result->meaning.outcome == ROW_UNDECIDED; i++)
	{
		if (act_rules_test(&place->rules[i].test, result->item))
			result->meaning = place->rules[i].then;
	}
	if (result->meaning.outcome == ROW_UNDECIDED)
	{
		doubt_result(page, result->item, "has no known status");
		return false;
	}
	if (result->meaning.outcome == ROW_ACCEPTED)
		return true;

	result->code = place->reason.code_text != NULL ? pstrdup(place->reason.code_text) :
		act_answer_text(connector, place->reason.code, result->item, ACT_ANSWER_MAX_CODE);
	if (result->code == NULL && list_name != NULL && place->reason.code == NULL)
		result->code = act_answer_words(connector, list_name, ACT_ANSWER_MAX_CODE);
	retry = answers->retry == NULL ? NULL : act_json_pointer_resolve(answers->retry, result->item);
	if (result->meaning.outcome == ROW_REJECTED && !result->meaning.found && cJSON_IsFalse(retry))
		result->meaning.outcome = ROW_REFUSED;
	by_code = act_shape_code(&answers->codes, result->code);
	if (by_code != ROW_UNDECIDED)
		result->meaning = (ResultMeaning) {by_code};
	return true;
}

static char *
message_of(const Page *page, Result *result)
{
	if (!result->told)
		result->message = result->place->reason.message_text != NULL ? pstrdup(result->place->reason.message_text) :
			act_answer_text(page->results->connector, result->place->reason.message, result->item, ACT_ANSWER_MAX_MESSAGE);
	result->told = true;
	return result->message;
}

static void
apply(Page *page, Result *result, int row)
{
	RowReading *read = &page->results->read[row];
	ResultMeaning meaning = result->meaning;

	mean_for_row(page->results, row, result->code, &meaning);
	if (meaning.outcome == ROW_ACCEPTED || meaning.found)
		keep_values(page->results, row, result->place->external_id, &result->place->remember, result->item);
	if (severity(&meaning) <= severity(&read->meaning))
		return;
	read->meaning = meaning;
	read->code = read->message = NULL;
	if (meaning.outcome == ROW_ACCEPTED)
		return;
	read->code = result->code;
	read->message = message_of(page, result);
	result->kept = true;
}

/* A result that names no row of the request: of a single row it can be no other's. */
static void
apply_to_none(Page *page, Result *result)
{
	if (page->results->nrows == 1)
		apply(page, result, 0);
	else if (result->meaning.outcome != ROW_ACCEPTED)
		doubt_result(page, result->item, "is a failure of no row that was sent");
}

/* A whole number in a number or text, or -1. */
static int
index_in(const char *text)
{
	size_t		len = text == NULL ? 0 : strlen(text);

	return len > 0 && len <= 9 && strspn(text, "0123456789") == len ? atoi(text) : -1;
}

/* Numbers and refs: a scalar, or an array of them. */
static void
apply_numbers(Page *page, Result *result, const cJSON *value)
{
	const cJSON *first = cJSON_IsArray(value) ? value->child : value;

	if (first == NULL)
		apply_to_none(page, result);
	for (const cJSON *one = first; one != NULL; one = cJSON_IsArray(value) ? one->next : NULL)
	{
		char	   *text = act_json_scalar_text(one);
		int			row = -1;

		if (result->place->by != BY_REF)
			row = index_in(text);
		else if (text != NULL && *text == 'r' && (text[1] != '0' || text[2] == '\0'))
			row = index_in(text + 1);
		if (row >= 0 && row < page->results->nrows)
			apply(page, result, row);
		else
			apply_to_none(page, result);
		if (text != NULL)
			pfree(text);
	}
}

static void
apply_values(Page *page, Result *result)
{
	const ResultPlace *place = result->place;
	KnownRows **known = &page->known[place - page->answers->places];
	const cJSON *value = place->by == BY_VALUE ? NULL :
		act_identity_value(&place->identity, page->results->scope, result->item);
	const cJSON *one = cJSON_IsArray(value) ? value->child : result->item;

	if (*known == NULL)
		*known = act_known_rows(&place->identity, page->results->scope,
								act_connector_sent_rows(page->results->connector, page->results->scope,
														page->results->rows, page->results->nrows),
								page->results->nrows);
	if (one == NULL)
		apply_to_none(page, result);
	for (; one != NULL; one = cJSON_IsArray(value) ? one->next : NULL)
	{
		const int  *rows;
		int			count = cJSON_IsArray(value) ? act_known_rows_find_value(*known, one, &rows) :
			act_known_rows_find(*known, one, &rows);

		for (int i = 0; i < count; i++)
			apply(page, result, rows[i]);
		if (count == 0)
			apply_to_none(page, result);
	}
}

/* nresults: how many there are in its place, or -1: not known yet */
static void
read_result(Page *page, const ResultPlace *place, const cJSON *item, int nresults)
{
	Result		result = {.place = place,.item = item};
	const cJSON *is;

	if (page->answers->enter)
	{
		if (!cJSON_IsObject(item) || item->child == NULL || item->child->next != NULL)
		{
			doubt_result(page, item, "has not one member");
			return;
		}
		result.item = item->child;
	}
	if (!act_rules_test(&place->where, result.item) || !mean(page, &result, NULL))
		return;
	switch (place->by)
	{
		case BY_POSITION:
			if (page->number <= page->results->nrows)
				apply(page, &result, page->number - 1);
			break;
		case BY_INDEX:
		case BY_REF:
			is = act_json_pointer_resolve(place->is, result.item);
			if ((is == NULL || cJSON_IsNull(is)) && place->by == BY_INDEX && nresults == page->results->nrows)
				apply(page, &result, page->number - 1);
			else if (is == NULL || cJSON_IsNull(is))
				apply_to_none(page, &result);
			else
				apply_numbers(page, &result, is);
			break;
		default:
			apply_values(page, &result);
			break;
	}
	/* what is said of many results need not stay */
	if (result.code != NULL && !result.kept)
		pfree(result.code);
	if (result.message != NULL && !result.kept)
		pfree(result.message);
}

/* ----------------------------------------------------------------
 *		Places
 * ----------------------------------------------------------------
 */

/* Lists of numbers, and objects of them, as deep as they are; name: of the list. */
static void
read_index_lists(Page *page, const ResultPlace *place, const cJSON *list, const char *name)
{
	Result		result = {.place = place,.item = list};

	if (cJSON_IsArray(list) || cJSON_IsObject(list))
	{
		for (const cJSON *child = list->child; child != NULL && page->doubt == NULL; child = child->next)
		{
			CHECK_FOR_INTERRUPTS();
			read_index_lists(page, place, child, child->string != NULL ? child->string : name);
		}
		return;
	}
	page->number++;
	if (!mean(page, &result, name))
		return;
	apply_numbers(page, &result, list);
}

static void
read_place(Page *page, const ResultPlace *place, const cJSON *items)
{
	int			count;

	page->number = 0;
	if (place->by == BY_INDEX_LISTS)
	{
		read_index_lists(page, place, items, NULL);
		return;
	}
	count = cJSON_GetArraySize(items);
	if (!cJSON_IsArray(items))
		page->doubt = "the results of the answer are no array";
	else if (place->by == BY_POSITION && count != page->results->nrows)
		page->doubt = psprintf("the answer has %d results for %d rows", count, page->results->nrows);
	if (page->doubt != NULL)
		return;
	for (const cJSON *item = items->child; item != NULL && page->doubt == NULL; item = item->next)
	{
		CHECK_FOR_INTERRUPTS();
		page->number++;
		read_result(page, place, item, count);
	}
}

static void
read_records(Page *page)
{
	Records    *records = act_records_open(page->answers->format, page->response->body, page->response->body_len);
	const cJSON *record;
	char	   *problem;

	PG_TRY();
	{
		while (page->doubt == NULL && (record = act_records_next(records, &problem)) != NULL)
		{
			page->number++;
			for (int i = 0; i < page->answers->nplaces && page->doubt == NULL; i++)
				read_result(page, &page->answers->places[i], record, -1);
		}
		if (page->doubt == NULL && problem != NULL)
			page->doubt = psprintf("the answer cannot be read as %s: %s",
								   page->answers->format == RECORDS_CSV ? "CSV" : "lines of JSON", problem);
	}
	PG_FINALLY();
	{
		act_records_close(records);
	}
	PG_END_TRY();
	if (page->doubt == NULL && page->answers->by == BY_POSITION && page->number != page->results->nrows)
		page->doubt = psprintf("the answer has %d results for %d rows", page->number, page->results->nrows);
}

/* Nothing, or nothing in it. */
static bool
is_empty(const cJSON *value)
{
	return value == NULL || cJSON_IsNull(value) ||
		((cJSON_IsArray(value) || cJSON_IsObject(value)) && value->child == NULL) ||
		(cJSON_IsString(value) && *value->valuestring == '\0');
}

static bool
says_nothing_was_written(const RowAnswers *answers, const cJSON *root)
{
	for (int i = 0; i < answers->nempty; i++)
	{
		if (root != NULL && !is_empty(act_json_pointer_resolve(answers->empty[i], root)))
			return false;
	}
	return answers->nempty > 0;
}

/* What is at a place, or NULL.  null is nothing, but where each row has to have its result. */
static const cJSON *
items_at(const ResultPlace *place, const cJSON *root)
{
	const cJSON *items = root == NULL ? NULL : act_json_pointer_resolve(place->items, root);

	return place->by != BY_POSITION && cJSON_IsNull(items) ? NULL : items;
}

bool
act_results_present(const RowAnswers *answers, const HttpResponse *response, const cJSON *root)
{
	if (answers->by != BY_NONE && answers->format != RECORDS_JSON)
		return response->body_len > 0;
	for (int i = 0; i < answers->nplaces; i++)
	{
		if (items_at(&answers->places[i], root) != NULL)
			return true;
	}
	return false;
}

static void
mean_all(RowResults *results, RowOutcome outcome, char *code, char *message)
{
	for (int i = 0; i < results->nrows; i++)
	{
		RowReading *read = &results->read[i];
		ResultMeaning meaning = {outcome};

		if (severity(&meaning) <= severity(&read->meaning))
			continue;
		read->meaning = meaning;
		read->code = code;
		read->message = message;
	}
}

/* The status alone speaks of the rows. */
static const char *
read_silence(Page *page, const cJSON *root)
{
	RowResults *results = page->results;

	if (!act_answer_is_success(page->response))
		return "the answer says nothing about its rows";
	mean_all(results, ROW_ACCEPTED, NULL, NULL);
	if (results->nrows == 1 && root != NULL)
		keep_values(results, 0, page->answers->external_id, &page->answers->remember, root);
	return NULL;
}

static const char *
read_places(Page *page, const cJSON *root)
{
	const RowAnswers *answers = page->answers;
	bool		success = act_answer_is_success(page->response);

	if (!act_results_present(answers, page->response, root))
	{
		/* an error that speaks for no row is not taken for silent consent */
		if (success && answers->optional)
			page->results->fallback = ROW_ACCEPTED;
		else if (!success || root == NULL || answers->fallback == ROW_UNDECIDED)
			return "the answer has no results";
		return NULL;
	}
	page->known = palloc0(sizeof(KnownRows *) * answers->nplaces);
	for (int i = 0; i < answers->nplaces && page->doubt == NULL; i++)
	{
		const cJSON *items = items_at(&answers->places[i], root);

		if (items != NULL)
			read_place(page, &answers->places[i], items);
	}
	return page->doubt;
}

const char *
act_results_add(RowResults *results, const RowAnswers *answers, const HttpResponse *response,
				const cJSON *root, const char *problem)
{
	Page		page = {.results = results,.answers = answers,.response = response};

	results->http_status = response->status;
	if (results->fallback == ROW_UNDECIDED)
		results->fallback = answers->fallback;
	if (answers->by != BY_NONE && answers->format != RECORDS_JSON)
	{
		page.known = palloc0(sizeof(KnownRows *) * answers->nplaces);
		read_records(&page);
		return page.doubt;
	}
	if (root == NULL && problem != NULL && (answers->by != BY_NONE || answers->nempty > 0))
		return psprintf("the answer cannot be read as JSON: %s", problem);
	if (act_answer_is_success(response) && says_nothing_was_written(answers, root))
	{
		mean_all(results, ROW_REJECTED, pstrdup("nothing_written"), psprintf("HTTP %d, but nothing was written", response->status));
		return NULL;
	}
	return answers->by == BY_NONE ? read_silence(&page, root) : read_places(&page, root);
}

const char *
act_results_finish(RowResults *results, ConnectorAnswer *answer)
{
	for (int i = 0; i < results->nrows; i++)
	{
		RowReading *read = &results->read[i];

		if (read->meaning.outcome != ROW_UNDECIDED)
			continue;
		if (results->fallback == ROW_UNDECIDED)
			return psprintf("the answer says nothing of row %d of %d", i + 1, results->nrows);
		read->meaning.outcome = results->fallback;
		mean_for_row(results, i, NULL, &read->meaning);
		if (read->meaning.outcome == ROW_REJECTED)
			read->message = pstrdup("the answer says nothing of this row");
	}
	for (int i = 0; i < results->nrows; i++)
	{
		const RowReading *read = &results->read[i];
		Row		   *row = results->rows[i];
		bool		keeps = read->meaning.outcome == ROW_ACCEPTED || read->meaning.found;

		row->outcome = read->meaning.outcome;
		row->exists = read->meaning.found;
		row->http_status = results->http_status;
		row->code = read->code;
		row->message = read->message;
		row->new_external_id = keeps ? read->external_id : NULL;
		row->new_remembered = keeps ? read->remembered : NIL;
		answer->rows_put_off |= row->outcome == ROW_DELAYED;
		answer->rows_throttled |= read->meaning.throttles;
	}
	return NULL;
}
