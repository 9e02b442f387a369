/*-------------------------------------------------------------------------
 *
 * query_test.c
 *	  What addresses say of rows: "$match", and filters of each row's value.
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

static void
check_text_at(const char *got, const char *wanted, int line)
{
	bool		ok = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	checks++;
	if (ok)
		return;
	failures++;
	fprintf(stderr, "query_test.c:%d: texts differ\n  got    %s\n  wanted %s\n", line,
			got ? got : "(null)", wanted ? wanted : "(null)");
}

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)

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

static ConnectorScope
scope_of(char **names, int nmatch)
{
	return (ConnectorScope)
	{
		.sync_name = "s",.object = "people",.match_names = names,.nmatch = nmatch,.match = "m",
		.option = get_option,.secret = get_secret
	};
}

static Connector *
delete_by(const char *request)
{
	return act_connector_compile("test", psprintf("{\"name\": \"test\", \"operations\": {\"delete\": %s}}", request));
}

/* The address, or why there is none. */
static const char *
address_of(const char *operation, ConnectorScope *scope, Row **rows, int nrows)
{
	HttpRequest request;
	const char *volatile url = NULL;

	PG_TRY();
	{
		act_connector_render(delete_by(operation), scope, rows, nrows, &request);
		url = request.url;
	}
	PG_CATCH();
	{
		url = pstrdup(stub_error.message);
	}
	PG_END_TRY();
	return url;
}

static const char *
body_of(const char *operation, ConnectorScope *scope, Row **rows, int nrows)
{
	HttpRequest request;

	act_connector_render(delete_by(operation), scope, rows, nrows, &request);
	return request.body;
}

#define BY_MATCH "{\"request\": {\"method\": \"DELETE\", \"path\": \"/t\", \"format\": \"none\", \"query\": {\"$match\": \"eq.{{value}}\"}}}"
#define BY_FILTER "{\"batch\": {\"max_rows\": 9}, \"request\": {\"method\": \"DELETE\", \"path\": \"/t\", \"format\": \"none\"," \
	" \"query\": {\"f\": \"[{{rows.matched|json|join:,}}]\"}}}"

static void
test_match_fields_are_parameters(void)
{
	char	   *names[] = {"site", "sku no", NULL};
	ConnectorScope scope = scope_of(names, 2);
	Row			row = {.op = ROW_OP_DELETE,.key = "{\"id\": 1}",.fields = "{\"site\": \"a&b=c\", \"sku no\": 12345678901234567890, \"x\": 1}"};
	Row		   *rows[] = {&row};

	CHECK_TEXT(address_of(BY_MATCH, &scope, rows, 1), "https://api.test/t?site=eq.a%26b%3Dc&sku%20no=eq.12345678901234567890");
	scope.nmatch = 1;
	CHECK_TEXT(address_of(BY_MATCH, &scope, rows, 1), "https://api.test/t?site=eq.a%26b%3Dc");
}

/* A request for all records of the table would be about every one of them. */
static void
test_without_a_match_there_is_no_request(void)
{
	char	   *names[] = {"site", "sku", NULL};
	ConnectorScope scope = scope_of(names, 2);
	Row			row = {.op = ROW_OP_DELETE,.key = "{\"id\": 1}",.fields = "{\"site\": \"a\", \"sku\": null}"};
	Row		   *rows[] = {&row};
	const char *lacks = "connector \"test\": {{row.match}} at /operations/";

	for (int i = 0; i < 3; i++)
	{
		const char *got;

		row.fields = i == 0 ? "{\"site\": \"a\", \"sku\": null}" : "{\"site\": \"a\"}";
		scope.nmatch = i == 2 ? 0 : 2;
		got = address_of(BY_MATCH, &scope, rows, 1);
		CHECK_TEXT(pnstrdup(got, strlen(lacks)), lacks);
	}
}

static void
test_match_is_of_one_row(void)
{
	CHECK_TEXT(({
		const char *volatile text = NULL;

		PG_TRY();
		{
			(void) delete_by("{\"batch\": {\"max_rows\": 9}, \"request\": {\"body\": {\"$rows\": \"{{row.key}}\"}, \"query\": {\"$match\": \"{{value}}\"}}}");
		}
		PG_CATCH();
		{
			text = stub_error.message;
		}
		PG_END_TRY();
		text;
	}), "connector \"test\": \"$match\" in a request that is not of one row at /operations/delete/request/query/$match");
}

static void
test_filters_before_join_are_of_each_row(void)
{
	char	   *names[] = {"email", NULL};
	ConnectorScope scope = scope_of(names, 1);
	Row			a = {.op = ROW_OP_DELETE,.key = "{\"id\": 1}",.fields = "{\"email\":\"a,\\\"b\"}"};
	Row			b = {.op = ROW_OP_DELETE,.key = "{\"id\": 2}",.fields = "{\"email\":7,\"x\":1}"};
	Row		   *rows[] = {&a, &b};

	CHECK_TEXT(address_of(BY_FILTER, &scope, rows, 2),
			   "https://api.test/t?f=[%7B%22email%22%3A%22a%2C%5C%22b%22%7D%2C%7B%22email%22%3A7%7D]");
}

/* {} would be true of everything. */
static void
test_a_row_without_its_match_is_no_filter(void)
{
	char	   *names[] = {"site", "sku", NULL};
	ConnectorScope scope = scope_of(names, 2);
	Row			a = {.op = ROW_OP_DELETE,.key = "{\"id\": 1}",.fields = "{\"site\":\"a\"}"};
	Row		   *rows[] = {&a};

	CHECK_TEXT(pnstrdup(address_of(BY_FILTER, &scope, rows, 1), 35), "connector \"test\": {{rows.matched|js");
}

static void
test_names_of_destinations_may_begin_with_a_dollar(void)
{
	char	   *names[] = {"email", NULL};
	ConnectorScope scope = scope_of(names, 1);
	Row			a = {.op = ROW_OP_DELETE,.key = "{\"id\": 1}",.fields = "{\"email\":\"a\"}"};
	Row		   *rows[] = {&a};

	CHECK_TEXT(body_of("{\"batch\": {\"max_rows\": 9}, \"request\": {\"body\": {\"where\": {\"$$or\": {\"$rows\": \"{{row.matched}}\"}}}}}",
					   &scope, rows, 1), "{\"where\":{\"$or\":[{\"email\":\"a\"}]}}");
}

int
main(void)
{
	test_match_fields_are_parameters();
	test_without_a_match_there_is_no_request();
	test_match_is_of_one_row();
	test_filters_before_join_are_of_each_row();
	test_a_row_without_its_match_is_no_filter();
	test_names_of_destinations_may_begin_with_a_dollar();
	fprintf(stderr, "query_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
