/*-------------------------------------------------------------------------
 *
 * connector_lookup.c
 *	  Asking a destination which records it has, before anything is sent.
 *
 * operations.lookup of a document, compiled; requests for rows that are
 * looked up, and which of their records an answer tells.  Whose record it is
 * is told by the values of the match fields, by the row's key, or by the
 * place in the answer.  Needs neither database nor transaction; results are
 * allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_equal.h"
#include "json_text.h"

#define MAX_EXTERNAL_ID 1000

static const char *const lookup_members[] = {"batch", "request", "answer", NULL};
static const char *const answer_members[] = {
	"by", "items", "match", "compare", "key", "external_id", "fields", "absent", NULL
};

/* In the order of LookupBy. */
static const char *const lookup_by_names[] = {"match", "key", "position", NULL};
StaticAssertDecl(lengthof(lookup_by_names) == LOOKUP_BY_POSITION + 2, "every way to tell records apart has its name");

/* A token of a pointer that stands for the name of the match field. */
static const char match_token[] = "{{sync.match}}";

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

/* One pointer, or an array of them. */
static void
compile_match(const Document *document, const cJSON *answer, Lookup *lookup)
{
	const cJSON *match = act_document_member(answer, "match");
	const cJSON *first = cJSON_IsArray(match) ? match->child : match;

	if (match == NULL)
		act_document_error(document, answer, NULL, "\"by\": \"match\" without \"match\"");
	lookup->match = palloc0(sizeof(JsonPointer *) * Max(1, cJSON_GetArraySize(match)));
	for (const cJSON *at = first; at != NULL; at = cJSON_IsArray(match) ? at->next : NULL)
	{
		const JsonPointer *pointer = cJSON_IsString(at) ? act_json_pointer_compile(at->valuestring) : NULL;

		if (pointer == NULL)
			act_document_error(document, at, NULL, "a JSON pointer is expected");
		lookup->match[lookup->nmatch++] = pointer;
	}
	if (lookup->nmatch == 0)
		act_document_error(document, match, NULL, "an empty list");
}

static void
compile_compare(const Document *document, const cJSON *answer, Lookup *lookup)
{
	const cJSON *compare = act_document_array(document, answer, "compare");

	if (compare == NULL)
		return;
	lookup->compare = palloc0(sizeof(Filter *) * (cJSON_GetArraySize(compare) + 1));
	for (const cJSON *at = compare->child; at != NULL; at = at->next)
	{
		const Filter *filter = cJSON_IsString(at) ? act_filter_find(at->valuestring) : NULL;

		if (filter == NULL)
			act_document_unknown(document, at, "filter", cJSON_IsString(at) ? at->valuestring : "", act_filter_names());
		if (filter->takes_argument || filter->wants_json || filter->makes_bytes)
			act_document_error(document, at, NULL, "filter \"%s\", which cannot stand here,", filter->name);
		lookup->compare[lookup->ncompare++] = filter;
	}
}

const Lookup *
act_lookup_compile(const Document *document, const cJSON *at)
{
	Lookup	   *lookup = palloc0(sizeof(Lookup));
	const cJSON *answer;

	act_document_check(document, at, lookup_members, NULL);
	act_connector_compile_batch(document, act_document_member(at, "batch"), &lookup->batch);
	lookup->request = act_connector_compile_request(document, act_document_need(document, at, "request"),
													lookup->batch.max_rows);

	answer = act_document_need(document, at, "answer");
	act_document_check(document, answer, answer_members, NULL);
	act_document_need(document, answer, "by");
	lookup->by = (LookupBy) act_document_choice(document, answer, "by", lookup_by_names, NULL, LOOKUP_BY_MATCH);
	act_document_need(document, answer, "items");
	lookup->items = act_document_pointer(document, answer, "items");
	act_document_need(document, answer, "external_id");
	lookup->external_id = act_document_pointer(document, answer, "external_id");
	lookup->fields = act_document_pointer(document, answer, "fields");
	lookup->absent = act_rules_compile_statuses(document, answer, "absent");
	if (lookup->by == LOOKUP_BY_MATCH)
		compile_match(document, answer, lookup);
	else if (act_document_member(answer, "match") != NULL)
		act_document_error(document, act_document_member(answer, "match"), NULL, "\"match\", which goes with \"by\": \"match\",");
	compile_compare(document, answer, lookup);
	lookup->key = act_document_pointer(document, answer, "key");
	if ((lookup->by == LOOKUP_BY_KEY) != (lookup->key != NULL))
		act_document_error(document, answer, NULL, "\"key\" and \"by\": \"key\", of which one is missing,");
	return lookup;
}

/* One pointer that names the match field serves for any number of them. */
static bool
names_match(const JsonPointer *pointer)
{
	for (int i = 0; i < pointer->ntokens; i++)
	{
		if (strcmp(pointer->tokens[i], match_token) == 0)
			return true;
	}
	return false;
}

char *
act_connector_lookup_problem(const Connector *connector, int nmatch)
{
	const Lookup *lookup = connector->lookup;

	if (lookup == NULL)
		return psprintf("connector \"%s\" cannot be asked for records", connector->name);
	if (lookup->by != LOOKUP_BY_MATCH)
		return NULL;
	if (nmatch == 0)
		return psprintf("connector \"%s\" is asked for records by match fields, and the sync has none", connector->name);
	if (lookup->nmatch != nmatch && !(lookup->nmatch == 1 && names_match(lookup->match[0])))
		return psprintf("connector \"%s\" is asked for records by %d match %s, and the sync has %d", connector->name,
						lookup->nmatch, lookup->nmatch == 1 ? "field" : "fields", nmatch);
	return NULL;
}

int
act_connector_lookup_rows(const Connector *connector, int wanted)
{
	const ConnectorOperation *batch = &connector->lookup->batch;

	return Max(1, Min(wanted > 0 ? wanted : batch->default_rows, batch->max_rows));
}

/* ----------------------------------------------------------------
 *		Who is who
 * ----------------------------------------------------------------
 */

/* A part of what a row is known by; numeric: compared as a number. */
static bool
append_part(StringInfo buf, const Lookup *lookup, const char *text, bool numeric)
{
	StringInfoData from;
	StringInfoData to;

	initStringInfo(&from);
	if (!numeric || !act_json_append_number(&from, text))
		appendStringInfoString(&from, text);
	for (int i = 0; i < lookup->ncompare; i++)
	{
		initStringInfo(&to);
		if (!lookup->compare[i]->apply(NULL, &from, &to))
			return false;
		from = to;
	}
	appendStringInfo(buf, "%d:%s", from.len, from.data);
	return from.len > 0;
}

static int
count_parts(const Lookup *lookup, const ConnectorScope *scope)
{
	return lookup->by == LOOKUP_BY_KEY ? scope->nkeys : scope->nmatch;
}

/* NULL: something of it is missing; numeric: which parts are numbers. */
static char *
row_identity(const Lookup *lookup, const ConnectorScope *scope, const Row *row, bool *numeric)
{
	const char *object = lookup->by == LOOKUP_BY_KEY ? row->key : row->fields;
	char	  **names = lookup->by == LOOKUP_BY_KEY ? scope->key_names : scope->match_names;
	StringInfoData buf;
	StringInfoData text;

	if (object == NULL)
		return NULL;
	initStringInfo(&buf);
	initStringInfo(&text);
	for (int i = 0; i < count_parts(lookup, scope); i++)
	{
		const char *value;
		size_t		len;

		if (!act_json_find_member(object, strlen(object), names[i], &value, &len) || len == 0 ||
			strchr("{[n", *value) != NULL)
			return NULL;
		resetStringInfo(&text);
		if (*value == '"')
			act_json_append_unescaped(&text, value, len);
		else
			appendBinaryStringInfo(&text, value, len);
		if (numeric != NULL)
			numeric[i] = *value == '-' || isdigit((unsigned char) *value);
		if (!append_part(&buf, lookup, text.data, *value == '-' || isdigit((unsigned char) *value)))
			return NULL;
	}
	return buf.data;
}

static const cJSON *
item_part(const Lookup *lookup, const ConnectorScope *scope, const cJSON *item, int part)
{
	JsonPointer pointer;

	if (lookup->by == LOOKUP_BY_KEY)
	{
		const cJSON *key = act_json_pointer_resolve(lookup->key, item);

		return cJSON_IsObject(key) ? cJSON_GetObjectItemCaseSensitive(key, scope->key_names[part]) :
			scope->nkeys == 1 ? key : NULL;
	}
	pointer = *lookup->match[Min(part, lookup->nmatch - 1)];
	pointer.tokens = palloc(sizeof(char *) * Max(pointer.ntokens, 1));
	for (int i = 0; i < pointer.ntokens; i++)
	{
		pointer.tokens[i] = lookup->match[Min(part, lookup->nmatch - 1)]->tokens[i];
		if (strcmp(pointer.tokens[i], match_token) == 0)
			pointer.tokens[i] = scope->match_names[part];
	}
	return act_json_pointer_resolve(&pointer, item);
}

static char *
item_identity(const Lookup *lookup, const ConnectorScope *scope, const cJSON *item, const bool *numeric)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < count_parts(lookup, scope); i++)
	{
		const cJSON *value = item_part(lookup, scope, item, i);
		char	   *text = value == NULL ? NULL : act_json_scalar_text(value);

		if (text == NULL && cJSON_IsBool(value))
			text = pstrdup(cJSON_IsTrue(value) ? "true" : "false");
		if (text == NULL || !append_part(&buf, lookup, text, numeric[i]))
			return NULL;
	}
	return buf.data;
}

bool
act_connector_lookup_has(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	return connector->lookup->by == LOOKUP_BY_POSITION ||
		row_identity(connector->lookup, scope, row, NULL) != NULL;
}

/* ----------------------------------------------------------------
 *		Request
 * ----------------------------------------------------------------
 */

/* Its own, whatever the row's operation. */
static const Template *
row_template(const void *lookup, const Row *row)
{
	return ((const Lookup *) lookup)->request->row;
}

void
act_connector_render_lookup(const Connector *connector, const ConnectorScope *scope,
							Row **rows, int nrows, HttpRequest *request)
{
	const Lookup *lookup = connector->lookup;
	TemplateInput input = {
		.scope = scope,.rows = rows,.nrows = nrows,.row_template = row_template,.row_template_of = lookup
	};

	if (lookup->request->row == NULL)
		input.row = rows[0];
	act_request_render(connector, lookup->request, &input, 0, request);
}

/* ----------------------------------------------------------------
 *		Answer
 * ----------------------------------------------------------------
 */

/* By what a row is known, and which it is. */
typedef struct KnownRow
{
	const char *identity;
	int			row;
} KnownRow;

typedef struct LookupReading
{
	const Lookup *lookup;
	const ConnectorScope *scope;
	Row		  **rows;
	int			nrows;
	ConnectorFound *found;
} LookupReading;

static int
compare_known(const void *a, const void *b)
{
	return strcmp(((const KnownRow *) a)->identity, ((const KnownRow *) b)->identity);
}

/* Why the answer cannot be read, or NULL. */
static const char *
note_record(const LookupReading *reading, const cJSON *item, int row)
{
	const Lookup *lookup = reading->lookup;
	ConnectorFound *found = &reading->found[row];
	const Row  *wanted = reading->rows[row];
	const cJSON *id = act_json_pointer_resolve(lookup->external_id, item);
	const cJSON *fields = lookup->fields == NULL ? NULL : act_json_pointer_resolve(lookup->fields, item);
	char	   *text = id == NULL ? NULL : act_json_scalar_text(id);

	if (text == NULL || *text == '\0' || strlen(text) > MAX_EXTERNAL_ID)
		return "a record has no id";
	if (found->external_id != NULL && strcmp(found->external_id, text) == 0)
		return NULL;			/* told twice */
	found->count++;
	if (found->count > 1)
		return NULL;
	found->external_id = text;
	found->same = fields != NULL && wanted->fields != NULL &&
		act_json_contains(fields, wanted->fields, strlen(wanted->fields));
	return NULL;
}

static const char *
read_positions(const LookupReading *reading, const cJSON *items)
{
	const cJSON *item;
	const char *problem = NULL;
	int			i = 0;

	if (!cJSON_IsArray(items) || cJSON_GetArraySize(items) != reading->nrows)
		return psprintf("the answer has %d records for %d rows",
						cJSON_IsArray(items) ? cJSON_GetArraySize(items) : 0, reading->nrows);
	cJSON_ArrayForEach(item, items)
	{
		const cJSON *id = act_json_pointer_resolve(reading->lookup->external_id, item);

		if (id != NULL && !cJSON_IsNull(id) && problem == NULL)
			problem = note_record(reading, item, i);
		i++;
	}
	return problem;
}

static const char *
read_identities(const LookupReading *reading, const cJSON *items)
{
	KnownRow   *known = palloc(sizeof(KnownRow) * reading->nrows);
	bool	   *numeric = palloc0(sizeof(bool) * Max(1, count_parts(reading->lookup, reading->scope)));
	int			nknown = 0;
	const cJSON *item = cJSON_IsArray(items) ? items->child : items;

	if (!cJSON_IsArray(items) && !cJSON_IsObject(items))
		return "the records of the answer are no array";
	for (int i = 0; i < reading->nrows; i++)
	{
		known[nknown].identity = row_identity(reading->lookup, reading->scope, reading->rows[i], numeric);
		known[nknown].row = i;
		nknown += known[nknown].identity != NULL;
	}
	qsort(known, nknown, sizeof(KnownRow), compare_known);
	for (; item != NULL; item = cJSON_IsArray(items) ? item->next : NULL)
	{
		KnownRow	wanted = {item_identity(reading->lookup, reading->scope, item, numeric), 0};
		KnownRow   *match = wanted.identity == NULL ? NULL :
			bsearch(&wanted, known, nknown, sizeof(KnownRow), compare_known);
		const char *problem = NULL;

		/* Some of the rows around may be known by the same. */
		while (match != NULL && match > known && compare_known(match - 1, &wanted) == 0)
			match--;
		for (; match != NULL && match < known + nknown && compare_known(match, &wanted) == 0 && problem == NULL; match++)
			problem = note_record(reading, item, match->row);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

static void
read_results(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	const LookupReading *reading = arg;
	const cJSON *items = root == NULL ? NULL : act_json_pointer_resolve(reading->lookup->items, root);

	if (root != NULL)
		problem = items == NULL ? "the answer has no records" :
			reading->lookup->by == LOOKUP_BY_POSITION ? read_positions(reading, items) :
			read_identities(reading, items);
	if (problem == NULL)
		return;
	answer->verdict = VERDICT_UNCERTAIN;
	answer->message = psprintf("HTTP %d, but %s", answer->http_status, problem);
}

void
act_connector_read_lookup(const Connector *connector, const ConnectorScope *scope,
						  const HttpResponse *response, Row **rows, int nrows,
						  int64 now_ms, ConnectorAnswer *answer, ConnectorFound *found)
{
	const Lookup *lookup = connector->lookup;
	LookupReading reading = {.lookup = lookup,.scope = scope,.rows = rows,.nrows = nrows,.found = found};

	memset(found, 0, sizeof(ConnectorFound) * nrows);
	if (response->transport == HTTP_ANSWERED && lookup->absent.count > 0 &&
		act_rules_status_in(&lookup->absent, response->status))
	{
		memset(answer, 0, sizeof(ConnectorAnswer));
		answer->verdict = VERDICT_ROWS;
		answer->http_status = response->status;
		return;
	}
	act_answer_read(connector, response, now_ms, read_results, &reading, answer);
}
