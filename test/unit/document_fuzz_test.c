/*-------------------------------------------------------------------------
 *
 * document_fuzz_test.c
 *	  Documents that are wrong in every way: each is refused with a place in
 *	  it, or compiles and makes requests; nothing crashes, hangs or leaks.
 *
 * Starts from the built-in documents and from documents made by the schema.
 * SEED, FUZZ (rounds) and FUZZ_SECONDS in the environment; see fuzz.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <glob.h>

#include "connector.h"
#include "connector_sample.h"
#include "fuzz.h"
#include "json.h"
#include "json_text.h"
#include "pg_stub.h"

#undef printf

#define MAX_SEEDS 100

static cJSON *schema;
static cJSON *seeds[MAX_SEEDS];
static int	nseeds;
static int	compiled;

static ConnectorSample *sample;

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

static const char *
get_option(void *arg, const char *name)
{
	return act_sample_option(sample, name);
}

static const char *
get_secret(void *arg, const char *name)
{
	return "QUFBQUFBQUFBQUFB";
}

static void
load(void)
{
	glob_t		found;
	char	   *text = fuzz_read_file(SRC_DIR "/../doc/connector.schema.json");

	schema = cJSON_Parse(text);
	free(text);
	if (schema == NULL || glob(SRC_DIR "/connectors/*.json", 0, NULL, &found) != 0)
	{
		fuzz_fail("there is no schema, or there are no documents", NULL);
		exit(fuzz_end());
	}
	for (size_t i = 0; i < found.gl_pathc && nseeds < MAX_SEEDS; i++)
	{
		text = fuzz_read_file(found.gl_pathv[i]);
		seeds[nseeds] = cJSON_Parse(text);
		if (seeds[nseeds++] == NULL)
			fuzz_fail("cannot be read", found.gl_pathv[i]);
		free(text);
	}
	globfree(&found);
}

static bool
is_utf8(const char *text)
{
	size_t		len = strlen(text);

	for (size_t i = 0; i < len;)
	{
		int			width = act_utf8_length(text + i, len - i);

		if (width == 0)
			return false;
		i += width;
	}
	return true;
}

static bool
is_clear(void)
{
	return (stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE ||
			stub_error.sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED) &&
		stub_error.message[0] != '\0' && is_utf8(stub_error.message) && is_utf8(stub_error.hint);
}

/* An error names a place that the document has, unless it cannot be read at all. */
static void
check_error(const char *spec, const ConnectorProblem *problem)
{
	char	   *unread;
	cJSON	   *tree = act_json_parse(spec, strlen(spec), JSON_DOCUMENT, &unread);
	JsonPointer *pointer;

	if (!is_clear())
		fuzz_fail("an unclear error", stub_error.message);
	else if (tree == NULL)
	{
		if (strstr(stub_error.message, "cannot be read") == NULL)
			fuzz_fail("no JSON, and the error says something else", stub_error.message);
	}
	else if (problem->pointer == NULL || problem->what == NULL)
		fuzz_fail("an error without a place", stub_error.message);
	else
	{
		pointer = act_json_pointer_compile(problem->pointer);
		if (pointer == NULL || act_json_pointer_resolve(pointer, tree) == NULL)
			fuzz_fail("a place that is not in the document", problem->pointer);
	}
	cJSON_Delete(tree);
}

/* Rendering may fail by an error, and by none without an SQLSTATE of its own. */
static void
render_all(const Connector *connector, const cJSON *document)
{
	HttpRequest request;

	sample = act_sample_make(document, NULL, "object", 2);
	sample->scope.option = get_option;
	sample->scope.secret = get_secret;
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		const ConnectorOperation *operation = act_connector_operation(connector, (RowOp) op);

		if (operation == NULL)
			continue;
		act_sample_ask(sample, (RowOp) op, 2, fuzz_random(2));
		PG_TRY();
		{
			(void) act_connector_row_bytes(connector, &sample->scope, sample->rows[0]);
			if (op == ROW_OP_REPLACE || op == ROW_OP_REPLACE_REMOVED)
				act_connector_render_unit(connector, &sample->scope, sample->rows, 2, sample->rows[0]->change_id, &request);
			else
				act_connector_render(connector, &sample->scope, sample->rows, Min(2, operation->max_rows), &request);
			act_connector_authorize(connector, &sample->scope, &request, 1795424940);
		}
		PG_CATCH();
		{
			if (stub_error.sqlstate == ERRCODE_INTERNAL_ERROR || stub_error.sqlstate == 0 || !is_utf8(stub_error.message))
				fuzz_fail("rendering fails without a reason", stub_error.message);
		}
		PG_END_TRY();
	}
}

static void
try_document(const char *spec)
{
	Connector  *volatile connector = NULL;
	volatile bool threw = false;
	ConnectorProblem problem = {0};
	const char *name = "fuzzed";
	char	   *unread;
	cJSON	   *document = act_json_parse(spec, strlen(spec), JSON_DOCUMENT, &unread);

	if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(document, "name")))
		name = pstrdup(cJSON_GetObjectItemCaseSensitive(document, "name")->valuestring);
	PG_TRY();
	{
		connector = act_connector_check(name, spec, &problem);
	}
	PG_CATCH();
	{
		threw = true;
	}
	PG_END_TRY();
	if (threw)
		check_error(spec, &problem);
	else
	{
		compiled++;
		render_all(connector, document);
	}
	cJSON_Delete(document);
}

/* One that is good at first, so that the rest of it can be reached. */
static cJSON *
next_document(void)
{
	cJSON	   *document;

	if (fuzz_random(10) == 0)
		return fuzz_instance(schema, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(schema, "$defs"), "document"), 0);
	document = cJSON_Duplicate(seeds[fuzz_random(nseeds)], true);
	fuzz_tree(document, schema);
	return document;
}

int
main(void)
{
	fuzz_begin("document_fuzz_test", 15000, 8);
	load();
	while (fuzz_next())
	{
		cJSON	   *document = next_document();
		char	   *text = cJSON_PrintUnformatted(document);
		size_t		len = strlen(text);
		char	   *spec = fuzz_random(10) == 0 ? fuzz_bytes(text, &len) : pstrdup(text);

		cJSON_free(text);
		cJSON_Delete(document);
		fuzz_subject(spec);
		try_document(spec);
	}
	for (int i = 0; i < nseeds; i++)
		cJSON_Delete(seeds[i]);
	cJSON_Delete(schema);
	printf("document_fuzz_test: %d compiled\n", compiled);
	return fuzz_end();
}
