/*-------------------------------------------------------------------------
 *
 * flow_test.c
 *	  Which operation is asked for a row, in runs with few and many of them.
 *
 * Run by make -C test/unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

static int	checks;
static int	failures;

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

static const char *
get_option(void *arg, const char *name)
{
	return strcmp(name, "base_url") == 0 ? "https://api.test" : NULL;
}

static const char *
get_secret(void *arg, const char *name)
{
	return NULL;
}

#define REQUEST(path) "\"request\": {\"path\": \"" path "\", \"body\": {\"$row\": \"{{row.fields}}\"}}"
#define DOCUMENT(nulls) \
	"{\"operations\": {\"upsert\": {" REQUEST("/one") ", \"large\": {\"from_rows\": 10, " nulls REQUEST("/many") "}}}}"

/* Where the row goes, in a run with so many. */
static void
check_way_at(const char *document, int64 rows, bool was_there, char *fields, const char *path, int line)
{
	Connector  *connector = act_connector_compile("test", document);
	ConnectorScope scope = {.sync_name = "s",.object = "people",.option = get_option,.secret = get_secret};
	Row			row = {.op = ROW_OP_UPSERT,.key = "{\"id\": 1}",.fields = fields,.was_there = was_there};
	Row		   *batch = &row;
	HttpRequest request;
	char	   *wanted = psprintf("https://api.test%s", path);

	act_connector_expect(connector, rows);
	act_connector_render(connector, &scope, &batch, 1, &request);
	checks++;
	if (strcmp(request.url, wanted) == 0)
		return;
	failures++;
	fprintf(stderr, "flow_test.c:%d: addresses differ\n  got    %s\n  wanted %s\n", line, request.url, wanted);
}

#define CHECK_WAY(document, rows, was_there, fields, path) check_way_at(document, rows, was_there, fields, path, __LINE__)

static void
test_large_runs_have_a_way_of_their_own(void)
{
	CHECK_WAY(DOCUMENT(""), 9, true, "{\"a\": 1}", "/one");
	CHECK_WAY(DOCUMENT(""), 10, true, "{\"a\": 1}", "/many");
	CHECK_WAY(DOCUMENT(""), 10, true, "{\"a\": null}", "/many");
}

static void
test_what_is_to_be_cleared_goes_where_that_is_possible(void)
{
	CHECK_WAY(DOCUMENT("\"nulls\": false, "), 10, true, "{\"a\": null}", "/one");
	CHECK_WAY(DOCUMENT("\"nulls\": false, "), 10, true, "{\"a\": 1}", "/many");
	/* There is nothing yet that could be cleared. */
	CHECK_WAY(DOCUMENT("\"nulls\": false, "), 10, false, "{\"a\": null}", "/many");
	CHECK_WAY(DOCUMENT("\"nulls\": true, "), 10, true, "{\"a\": null}", "/many");
}

int
main(void)
{
	test_large_runs_have_a_way_of_their_own();
	test_what_is_to_be_cleared_goes_where_that_is_possible();
	printf("flow_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
