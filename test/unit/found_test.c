/*-------------------------------------------------------------------------
 *
 * found_test.c
 *	  Rows whose record turns out to be there, to be gone, or another's; what
 *	  a tombstone has of its row, and what addresses are made of.
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
	return pg_strcasecmp(name, "Content-Type") == 0 ? "application/json" : NULL;
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

static void
check_text_at(const char *got, const char *wanted, int line)
{
	checks++;
	if (got != NULL && strcmp(got, wanted) == 0)
		return;
	failures++;
	fprintf(stderr, "found_test.c:%d: texts differ\n  got    %s\n  wanted %s\n", line, got ? got : "(null)", wanted);
}

static void
check_at(bool holds, const char *what, int line)
{
	checks++;
	if (holds)
		return;
	failures++;
	fprintf(stderr, "found_test.c:%d: %s\n", line, what);
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)
#define CHECK(holds) check_at(holds, #holds, __LINE__)

static char *id_match[] = {"id", NULL};
static char *two_match[] = {"id", "tenant", NULL};

static ConnectorScope
scope_of(char **names, int nmatch)
{
	return (ConnectorScope)
	{
		.sync_name = "s",.object = "people",.match_names = names,.nmatch = nmatch,.match = "id",
		.option = get_option,.secret = get_secret
	};
}

/* As CouchDB has it: a revision goes with each write. */
static const char revisions[] =
"{\"operations\": {"
"\"lookup\": {\"batch\": {\"max_rows\": 10}, \"request\": {\"path\": \"/keys\", \"body\": {\"keys\": {\"$rows\": \"{{row.match}}\"}}},"
" \"answer\": {\"by\": \"position\", \"items\": \"/rows\", \"external_id\": \"/id\", \"none\": {\"at\": \"/error\"},"
" \"where\": {\"at\": \"/deleted\", \"in\": [true], \"not\": true}, \"set\": {\"rev\": \"/rev\"}}},"
"\"upsert\": {\"batch\": {\"max_rows\": 10}, \"needs\": [\"rev\"], \"missing\": \"send\","
" \"request\": {\"path\": \"/docs\", \"body\": {\"docs\": {\"$rows\": {\"rev\": \"{{row.remembered.rev}}\", \"$spread\": \"row.fields\"}}}},"
" \"answer\": {\"by\": \"position\", \"items\": \"/docs\", \"external_id\": \"/id\", \"remember\": {\"rev\": \"/rev\"}, \"code\": \"/error\","
" \"outcomes\": [{\"at\": \"/error\", \"in\": [\"conflict\"], \"then\": \"found\"}, {\"at\": \"/error\", \"not\": true, \"then\": \"accepted\"},"
" {\"at\": \"/error\", \"then\": \"rejected\"}]}}}}";

static void
read_answer(Connector *connector, const ConnectorScope *scope, Row *row, char *body)
{
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = 200,.body = body,.body_len = strlen(body)};
	ConnectorAnswer answer = {0};

	act_connector_read(connector, scope, &response, &row, 1, 0, &answer);
}

static ConnectorFound
look_up(Connector *connector, const ConnectorScope *scope, Row *row, char *body)
{
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = 200,.body = body,.body_len = strlen(body)};
	ConnectorAnswer answer = {0};
	ConnectorFound found = {0};

	act_connector_read_lookup(connector, scope, &response, &row, 1, 0, &answer, &found);
	return found;
}

static const char *
rendered(Connector *connector, const ConnectorScope *scope, Row *row)
{
	HttpRequest request;

	act_connector_render(connector, scope, &row, 1, &request);
	return request.body;
}

static void
test_a_conflict_with_the_record_it_went_as_is_looked_up(void)
{
	Connector  *connector = act_connector_compile("test", revisions);
	ConnectorScope scope = scope_of(id_match, 1);
	HttpHeader	rev = {"rev", "\"1-a\""};
	Row			row = {
		.op = ROW_OP_UPSERT,.key = "{\"id\": 7}",.fields = "{\"id\":\"7\"}",.external_id = "7",.remembered = list_make1(&rev)
	};
	ConnectorFound found;

	CHECK_TEXT(rendered(connector, &scope, &row), "{\"docs\":[{\"rev\":\"1-a\",\"id\":\"7\"}]}");
	read_answer(connector, &scope, &row, "{\"docs\": [{\"id\": \"7\", \"error\": \"conflict\"}]}");
	CHECK(act_connector_row_is_there(connector, &row));
	CHECK(row.look_up);
	CHECK(row.external_id == NULL && row.remembered == NIL);

	found = look_up(connector, &scope, &row, "{\"rows\": [{\"id\": \"7\", \"rev\": \"2-b\"}]}");
	row.outcome = ROW_UNDECIDED;
	act_connector_row_found(connector, &row, &found);
	CHECK(row.outcome == ROW_UNDECIDED);
	CHECK_TEXT(rendered(connector, &scope, &row), "{\"docs\":[{\"rev\":\"2-b\",\"id\":\"7\"}]}");
	read_answer(connector, &scope, &row, "{\"docs\": [{\"id\": \"7\", \"rev\": \"3-c\"}]}");
	CHECK(row.outcome == ROW_ACCEPTED);
}

static void
test_a_record_that_the_test_is_not_for_is_none(void)
{
	Connector  *connector = act_connector_compile("test", revisions);
	ConnectorScope scope = scope_of(id_match, 1);
	Row			row = {.op = ROW_OP_UPSERT,.key = "{\"id\": 7}",.fields = "{\"id\":\"7\"}"};

	CHECK(look_up(connector, &scope, &row, "{\"rows\": [{\"id\": \"7\", \"rev\": \"2-b\", \"deleted\": true}]}").count == 0);
	CHECK(look_up(connector, &scope, &row, "{\"rows\": [{\"id\": \"7\", \"rev\": \"2-b\", \"deleted\": false}]}").count == 1);
	CHECK(look_up(connector, &scope, &row, "{\"rows\": [{\"id\": \"7\", \"rev\": \"2-b\"}]}").count == 1);
	CHECK(look_up(connector, &scope, &row, "{\"rows\": [{\"key\": \"7\", \"error\": \"not_found\"}]}").count == 0);
}

#define REMOVES \
	"{\"operations\": {\"delete\": {\"batch\": {\"max_rows\": 10}, \"request\": {\"path\": \"/a b\", " \
	"\"query\": {\"q\": \"INSERT INTO `t` {{sync.object}} ä%20\"}, \"format\": \"ndjson\", " \
	"\"lines\": [{\"gone\": 1, \"$spread\": \"row.match\"}]}}}}"

static void
test_a_tombstone_has_the_match_fields(void)
{
	Connector  *connector = act_connector_compile("test", REMOVES);
	ConnectorScope one = scope_of(id_match, 1);
	ConnectorScope two = scope_of(two_match, 2);
	Row			row = {.op = ROW_OP_DELETE,.key = "{\"id\": 7}",.fields = "{\"id\":7,\"tenant\":\"x\"}"};

	CHECK_TEXT(rendered(connector, &one, &row), "{\"gone\":1,\"id\":7}\n");
	CHECK_TEXT(rendered(connector, &two, &row), "{\"gone\":1,\"id\":7,\"tenant\":\"x\"}\n");
}

static void
test_an_address_has_only_what_can_stand_in_one(void)
{
	Connector  *connector = act_connector_compile("test", REMOVES);
	ConnectorScope scope = scope_of(id_match, 1);
	Row			row = {.op = ROW_OP_DELETE,.key = "{\"id\": 7}",.fields = "{\"id\":7}"};
	Row		   *batch = &row;
	HttpRequest request;

	act_connector_render(connector, &scope, &batch, 1, &request);
	CHECK_TEXT(request.url, "https://api.test/a%20b?q=INSERT%20INTO%20%60t%60%20people%20%C3%A4%20");
}

int
main(void)
{
	test_a_conflict_with_the_record_it_went_as_is_looked_up();
	test_a_record_that_the_test_is_not_for_is_none();
	test_a_tombstone_has_the_match_fields();
	test_an_address_has_only_what_can_stand_in_one();
	printf("found_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
