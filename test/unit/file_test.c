/*-------------------------------------------------------------------------
 *
 * file_test.c
 *	  Objects that are files and sheets: their names, their size, and what is
 *	  asked before they are written.
 *
 * Run by make -C test/unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "connector_job.h"
#include "connector_object.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

static int	checks;
static int	failures;

static void
check_text_at(const char *got, const char *wanted, int line)
{
	bool		ok = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	checks++;
	if (ok)
		return;
	failures++;
	fprintf(stderr, "file_test.c:%d: texts differ\n  got    %s\n  wanted %s\n", line,
			got ? got : "(null)", wanted ? wanted : "(null)");
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)
#define CHECK(condition) check_text_at((condition) ? "yes" : "no", "yes", __LINE__)

/* What compiling or rendering throws; NULL: nothing. */
#define THROWN(statement) \
	({ \
		const char *volatile thrown = NULL; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			thrown = pstrdup(stub_error.message); \
		} \
		PG_END_TRY(); \
		(const char *) thrown; \
	})

/* All answers are JSON. */
const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return strcmp(name, "Content-Type") == 0 ? "application/json" : NULL;
}

static const char *
nothing(void *arg, const char *name)
{
	return NULL;
}

static ConnectorScope
file_scope(const char *object)
{
	return (ConnectorScope) {
		.sync_name = "s",.object = object,.run_id = 42,
		.run_started_ms = INT64CONST(1769840100123),.now_ms = INT64CONST(1769840101000),
		.option = nothing,.secret = nothing
	};
}

static Row *
make_row(const char *key)
{
	Row		   *row = palloc0(sizeof(Row));

	row->op = ROW_OP_REPLACE;
	row->key = pstrdup(key);
	row->fields = pstrdup("{\"a\":1,\"b\":null}");
	return row;
}

static const char *
unit_document(const char *more, const char *request)
{
	return psprintf("{\"base_url\":\"https://x.test\",\"operations\":{\"replace\":{%s\"request\":{%s}}}}", more, request);
}

/* The request for a unit of so many rows. */
static HttpRequest
render(const char *spec, const ConnectorScope *scope, int nrows)
{
	static const uint8 id[ACT_DIGEST_LEN] = {0xab, 0xcd};
	Connector  *connector = act_connector_compile("test", spec);
	Row		   *rows[3];
	HttpRequest request;

	for (int i = 0; i < nrows; i++)
		rows[i] = make_row(psprintf("{\"id\":%d}", i));
	act_connector_render_unit(connector, scope, rows, nrows, id, &request);
	return request;
}

static char *
address(const char *object)
{
	ConnectorScope scope = file_scope(object);

	return pstrdup(render(unit_document("", "\"path\":\"/{{sync.file|path}}\",\"body\":{\"$rows\":1}"), &scope, 1).url);
}

static void
test_names_of_files(void)
{
	CHECK_TEXT(address("a/b.csv"), "https://x.test/a/b.csv");
	CHECK_TEXT(address("a b/c+d=\303\274?#%/e"), "https://x.test/a%20b/c%2Bd%3D%C3%BC%3F%23%25/e");
	CHECK_TEXT(address("<date>/<time>-<run>"), "https://x.test/2026-01-31/20260131T061500Z-42");
	CHECK_TEXT(address("x<batch>.csv"), "https://x.test/xabcd0000000000000000000000000000.csv");
	CHECK_TEXT(address("<day><date"), "https://x.test/%3Cday%3E%3Cdate");
	CHECK(THROWN(address("a/../b")) != NULL);
	CHECK(THROWN(address("./b")) != NULL);
	CHECK(THROWN(address("a//b")) != NULL);
	CHECK(THROWN(address("a/")) != NULL);
	CHECK(THROWN(address("/a")) != NULL);
	CHECK_TEXT(address(".../..a"), "https://x.test/.../..a");
}

static void
test_sizes_of_grids(void)
{
	const char *spec = unit_document("", "\"body\":{\"n\":\"{{batch.size|plus:1|at_least:saved.rows}}\","
									 "\"m\":\"{{batch.fields|at_least:saved.columns}}\",\"r\":{\"$rows\":1}}");
	ConnectorScope scope = file_scope("x");
	HttpHeader	rows = {"rows", "3"};
	HttpHeader	columns = {"columns", "0"};
	ScopeField	field = {.name = "a"};

	scope.saved = lappend(list_make1(&rows), &columns);
	scope.fields = lappend(list_make1(&field), &field);
	CHECK_TEXT(render(spec, &scope, 1).body, "{\"n\":3,\"m\":2,\"r\":[1]}");
	CHECK_TEXT(render(spec, &scope, 3).body, "{\"n\":4,\"m\":2,\"r\":[1,1,1]}");
	CHECK_TEXT(render(spec, &scope, 0).body, "{\"n\":3,\"m\":2,\"r\":[]}");
	rows.value = "many";
	CHECK(THROWN(render(spec, &scope, 1)) != NULL);
	scope.saved = NIL;
	CHECK_TEXT(render(spec, &scope, 1).body, "{\"r\":[1]}");
	CHECK(THROWN(act_connector_compile("test", unit_document("", "\"body\":\"{{batch.size|at_least:3}}\""))) != NULL);
	CHECK(THROWN(act_connector_compile("test", unit_document("", "\"body\":\"{{batch.size|plus}}\""))) != NULL);
}

/* What is asked before a unit, what of the answer it saves, and what previews have. */
static void
test_what_is_asked_before_a_unit(void)
{
	const char *spec = unit_document("\"prepare\":{\"request\":{\"method\":\"GET\",\"path\":\"/sheets\"},\"save\":{\"id\":\"/0/id\"}},",
									 "\"path\":\"/{{saved.id}}\",\"body\":{\"id\":\"{{saved.id|int}}\",\"r\":{\"$rows\":1}}");
	Connector  *connector = act_connector_compile("test", spec);
	ConnectorScope scope = file_scope("x");
	JobPlace	place = {.stage = JOB_STEP};
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = 200};
	ConnectorAnswer answer;
	HttpRequest request;
	List	   *saved = NIL;

	CHECK(act_connector_preparation(connector) != NULL);
	act_job_render(connector, &scope, act_connector_preparation(connector), &place, NULL, 0, &request);
	CHECK_TEXT(request.url, "https://x.test/sheets");
	CHECK_TEXT(render(spec, &scope, 1).url, "https://x.test/0");

	response.body = "[{\"id\":77}]";
	response.body_len = strlen(response.body);
	act_job_read_step(connector, act_connector_preparation(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_ROWS && list_length(saved) == 1);
	scope.saved = saved;
	CHECK_TEXT(render(spec, &scope, 1).body, "{\"id\":77,\"r\":[1]}");

	response.body = "[]";
	response.body_len = 2;
	act_job_read_step(connector, act_connector_preparation(connector), 0, &response, 0, &saved, &answer);
	CHECK(answer.verdict == VERDICT_UNCERTAIN && list_length(saved) == 1);

	CHECK(act_connector_preparation(act_connector_compile("test", unit_document("", "\"body\":{\"$rows\":1}"))) == NULL);
	CHECK(THROWN(act_connector_compile("test", unit_document("\"prepare\":{\"request\":{}},", "\"body\":{\"$rows\":1}"))) != NULL);
	CHECK(THROWN(act_connector_compile("test", "{\"base_url\":\"https://x.test\",\"operations\":{\"upsert\":{"
									   "\"prepare\":{\"request\":{},\"save\":{}},\"request\":{\"body\":{\"$row\":1}}}}}")) != NULL);
}

static const char *
part(const char *pattern, const char *object, int n)
{
	List	   *parts;

	if (act_object_pattern_problem(pattern) != NULL || !act_object_fits(pattern, object, &parts))
		return NULL;
	return ((const HttpHeader *) list_nth(parts, n))->value;
}

/* A part that may have slashes may have text behind it. */
static void
test_patterns_of_files(void)
{
	CHECK_TEXT(part("{key...}.csv", "a/b.csv", 0), "a/b");
	CHECK_TEXT(part("{key...}.csv", "a/b.csv/c.csv", 0), "a/b.csv/c");
	CHECK_TEXT(part("{key...}.csv", "a/b.csv.gz", 0), NULL);
	CHECK_TEXT(part("{key...}.csv", ".csv", 0), NULL);
	CHECK_TEXT(part("{before...}<batch>.csv", "a/b/<batch>.csv", 0), "a/b/");
	CHECK_TEXT(part("{before...}<batch>.csv", "a/b.csv", 0), NULL);
	CHECK_TEXT(part("{book}!{sheet...}", "x!a/b!c", 1), "a/b!c");
	CHECK_TEXT(part("{book}!{sheet...}", "x/y!a", 1), NULL);
}

int
main(void)
{
	static void (*const tests[]) (void) = {
		test_names_of_files, test_sizes_of_grids, test_what_is_asked_before_a_unit, test_patterns_of_files
	};

	for (int i = 0; i < lengthof(tests); i++)
	{
		PG_TRY();
		{
			tests[i] ();
		}
		PG_CATCH();
		{
			failures++;
			fprintf(stderr, "test %d threw: %s\n", i, stub_error.message);
		}
		PG_END_TRY();
		stub_reset();
	}
	printf("file_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
