/*-------------------------------------------------------------------------
 *
 * connector_lookup.c
 *	  Asking a destination which records it has, before anything is sent.
 *
 * operations.lookup of a document, compiled; requests for rows that are
 * looked up, and which of their records an answer tells.  Whose record it is
 * is told by the values of the match fields, by the row's key
 * (connector_identity.h), or by the place in the answer.  Needs neither
 * database nor transaction; results are allocated in the current memory
 * context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_equal.h"

#define MAX_EXTERNAL_ID 1000

static const char *const lookup_members[] = {"batch", "request", "answer", NULL};
static const char *const answer_members[] = {
	"by", "items", "match", "compare", "key", "external_id", "fields", "absent", "none", "where", "set", NULL
};

static const char *const test_members[] = {"at", "in", "contains", "lt", "gt", "not", NULL};

/* In the order of LookupBy. */
static const char *const lookup_by_names[] = {"match", "key", "position", NULL};
StaticAssertDecl(lengthof(lookup_by_names) == LOOKUP_BY_POSITION + 2, "every way to tell records apart has its name");

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

static void
compile_compare(const Document *document, const cJSON *answer, Identity *identity)
{
	const cJSON *names = act_document_array(document, answer, "compare");
	const Filter **compare;
	int			count = 0;

	if (names == NULL)
		return;
	identity->compare = compare = palloc0(sizeof(Filter *) * (cJSON_GetArraySize(names) + 1));
	for (const cJSON *at = names->child; at != NULL; at = at->next)
	{
		const Filter *filter = cJSON_IsString(at) ? act_filter_find(at->valuestring) : NULL;

		if (filter == NULL)
			act_document_unknown(document, at, "filter", cJSON_IsString(at) ? at->valuestring : "", act_filter_names());
		if (filter->takes_argument != FILTER_ALONE || filter->wants_json || filter->makes_bytes)
			act_document_error(document, at, NULL, "filter \"%s\", which cannot stand here,", filter->name);
		compare[count++] = filter;
	}
}

static void
compile_test(const Document *document, const cJSON *answer, const char *name, AnswerTest *test)
{
	const cJSON *at = act_document_member(answer, name);

	if (at == NULL)
		return;
	act_document_check(document, at, test_members, NULL);
	*test = act_rules_compile_test(document, at);
}

const Lookup *
act_lookup_compile(const Document *document, const cJSON *at, const Filter *const *match_compare)
{
	Lookup	   *lookup = palloc0(sizeof(Lookup));
	const cJSON *answer;
	const cJSON *match;
	const cJSON *key;

	act_document_check(document, at, lookup_members, NULL);
	act_connector_compile_batch(document, act_document_member(at, "batch"), &lookup->batch);
	/* It changes nothing. */
	lookup->batch.op = ROW_OP_NONE;
	lookup->batch.idempotent = true;
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
	lookup->set = act_shape_compile_remember(document, answer, "set");
	compile_test(document, answer, "where", &lookup->where);
	compile_test(document, answer, "none", &lookup->none);
	if (lookup->by != LOOKUP_BY_POSITION && act_document_member(answer, "none") != NULL)
		act_document_error(document, act_document_member(answer, "none"), NULL,
						   "\"none\", which goes with \"by\": \"position\",");
	lookup->identity.kind = lookup->by == LOOKUP_BY_KEY ? IDENTITY_KEY : IDENTITY_MATCH;
	if (lookup->by == LOOKUP_BY_MATCH)
		lookup->identity.compare = match_compare;
	compile_compare(document, answer, &lookup->identity);
	match = act_document_member(answer, "match");
	key = act_document_member(answer, "key");
	if (lookup->by == LOOKUP_BY_MATCH && match == NULL)
		act_document_error(document, answer, NULL, "\"by\": \"match\" without \"match\"");
	if (lookup->by != LOOKUP_BY_MATCH && match != NULL)
		act_document_error(document, match, NULL, "\"match\", which goes with \"by\": \"match\",");
	if ((lookup->by == LOOKUP_BY_KEY) != (key != NULL))
		act_document_error(document, answer, NULL, "\"key\" and \"by\": \"key\", of which one is missing,");
	if (key != NULL)
		(void) act_document_pointer(document, answer, "key");	/* one, not several */
	if (match != NULL || key != NULL)
		act_identity_compile(document, match != NULL ? match : key, &lookup->identity);
	return lookup;
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
	if (!act_identity_serves(&lookup->identity, nmatch))
		return psprintf("connector \"%s\" is asked for records by %d match %s, and the sync has %d", connector->name,
						lookup->identity.npointers, lookup->identity.npointers == 1 ? "field" : "fields", nmatch);
	return NULL;
}

int
act_connector_lookup_rows(const Connector *connector, int wanted)
{
	const ConnectorOperation *batch = &connector->lookup->batch;

	return Max(1, Min(wanted > 0 ? wanted : batch->default_rows, batch->max_rows));
}

bool
act_connector_lookup_has(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	return connector->lookup->by == LOOKUP_BY_POSITION ||
		act_identity_of_row(&connector->lookup->identity, scope, row) != NULL;
}

/* ----------------------------------------------------------------
 *		Request
 * ----------------------------------------------------------------
 */

void
act_connector_render_lookup(const Connector *connector, const ConnectorScope *scope,
							Row **rows, int nrows, HttpRequest *request)
{
	const Lookup *lookup = connector->lookup;
	TemplateInput input = {
		.scope = scope,.rows = act_connector_sent_rows(connector, scope, rows, nrows),.nrows = nrows
	};

	act_request_render(connector, lookup->request, &input, 0, request);
}

/* ----------------------------------------------------------------
 *		Answer
 * ----------------------------------------------------------------
 */

typedef struct LookupReading
{
	const Lookup *lookup;
	const ConnectorScope *scope;
	Row		  **rows;
	int			nrows;
	ConnectorFound *found;
} LookupReading;

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

	if (!act_rules_test(&lookup->where, item))
		return NULL;
	if (text == NULL || *text == '\0' || strlen(text) > MAX_EXTERNAL_ID)
		return "a record has no id";
	if (found->external_id != NULL && strcmp(found->external_id, text) == 0)
		return NULL;			/* told twice */
	found->count++;
	if (found->count > 1)
		return NULL;
	found->external_id = text;
	act_results_remember(&lookup->set, item, &found->values);
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

		if (problem != NULL)
			break;
		if (id != NULL && !cJSON_IsNull(id))
			problem = note_record(reading, item, i);
		else if (act_rules_is_test(&reading->lookup->none) && !act_rules_test(&reading->lookup->none, item))
			problem = psprintf("result %d neither is a record nor says that there is none", i + 1);
		i++;
	}
	return problem;
}

static const char *
read_identities(const LookupReading *reading, const cJSON *items)
{
	const cJSON *item = cJSON_IsArray(items) ? items->child : items;
	KnownRows  *known;

	if (!cJSON_IsArray(items) && !cJSON_IsObject(items))
		return "the records of the answer are no array";
	known = act_known_rows(&reading->lookup->identity, reading->scope, reading->rows, reading->nrows);
	for (; item != NULL; item = cJSON_IsArray(items) ? item->next : NULL)
	{
		const int  *rows;
		int			count = act_known_rows_find(known, item, &rows);

		for (int i = 0; i < count; i++)
		{
			const char *problem = note_record(reading, item, rows[i]);

			if (problem != NULL)
				return problem;
		}
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
	LookupReading reading = {.lookup = lookup,.scope = scope,.nrows = nrows,.found = found};

	memset(found, 0, sizeof(ConnectorFound) * nrows);
	if (response->transport == HTTP_ANSWERED && lookup->absent.count > 0 &&
		act_rules_status_in(&lookup->absent, response->status))
	{
		memset(answer, 0, sizeof(ConnectorAnswer));
		answer->verdict = VERDICT_ROWS;
		answer->http_status = response->status;
		return;
	}
	reading.rows = act_connector_sent_rows(connector, scope, rows, nrows);
	act_answer_read(connector, response, now_ms, read_results, &reading, answer);
}
