/*-------------------------------------------------------------------------
 *
 * answer_fuzz_test.c
 *	  Answers that are wrong in every way, for each way to tell rows apart:
 *	  each is judged, and what is kept of it is valid text of bounded length.
 *
 * The answers are in the shapes that vendors give, made other in bytes and as
 * JSON.  SEED, FUZZ (rounds) and FUZZ_SECONDS in the environment; see fuzz.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "connector_sample.h"
#include "fuzz.h"
#include "json.h"
#include "json_text.h"
#include "pg_stub.h"

#undef printf

#define ROWS 3
#define MAX_KEPT 2200			/* of a message; a code and an id are shorter */

/* An operation with such an answer, and answers of that shape. */
typedef struct Shape
{
	const char *answer;
	const char *bodies[4];
} Shape;

static const Shape shapes[] = {
	{"{\"by\": \"none\", \"empty\": [\"/ok\", \"/results\"]}",
	{"{\"ok\": true, \"results\": []}", "{\"message\": \"invalid_auth\"}", ""}},
	{"{\"by\": \"position\", \"items\": \"/results\", \"optional\": true, \"outcomes\": [{\"at\": \"/success\", \"in\": [true],"
		" \"then\": \"accepted\"}, {\"at\": \"/n\", \"gt\": 3, \"lt\": 9, \"then\": \"absent\"}, {\"then\": \"rejected\"}],"
		" \"retry\": \"/retry\", \"code\": \"/errors/0/statusCode\", \"message\": \"/errors/0/message\", \"external_id\": \"/id\"}",
		{"{\"results\": [{\"id\": \"003xx\", \"success\": true, \"errors\": []}, {\"success\": false, \"n\": 12345678901234567890, \"errors\":"
			" [{\"statusCode\": \"DUPLICATE_VALUE\", \"message\": \"dup \\u00e9\\ud83d\\ude00\", \"fields\": [\"Email\"]}]}, {\"success\": \"true\", \"retry\": false}]}",
		"{\"results\": null}", "{\"results\": [1, [2], {\"n\": 4.5e0, \"id\": 12345678901234567890}]}"}},
	{"{\"by\": \"position\", \"items\": \"/items\", \"enter\": true, \"outcomes\": [{\"at\": \"/status\", \"lt\": 300, \"then\": \"accepted\"},"
		" {\"at\": \"/status\", \"in\": [429], \"then\": \"throttled\"}, {\"then\": \"rejected\"}], \"code\": \"/error/type\","
		" \"message\": \"/error/reason\", \"external_id\": \"/_id\", \"final_codes\": [\"mapper_parsing_exception\"]}",
		{"{\"took\": 3, \"errors\": true, \"items\": [{\"index\": {\"_id\": \"1\", \"status\": 201}}, {\"create\": {\"status\": 429, \"error\":"
			" {\"type\": \"es_rejected\", \"reason\": \"queue\"}}}, {\"update\": {\"status\": 400, \"error\": {\"type\": \"mapper_parsing_exception\"}}}]}",
		"{\"items\": [{}, {\"a\": 1, \"b\": 2}, [{\"status\": 200}]]}"}},
	{"{\"by\": \"index\", \"items\": \"/errors\", \"is\": \"/index\", \"then\": \"rejected\", \"default\": \"accepted\", \"message\": \"/type\"}",
		{"{\"message\": \"success\", \"errors\": [{\"type\": \"bad email\", \"input_array\": \"attributes\", \"index\": 1}]}",
		"{\"errors\": [{\"index\": \"0\"}, {\"index\": -1}, {\"index\": 99999999999}, {\"index\": 1.5}, {\"index\": [0, 2]}]}"}},
	{"{\"by\": \"index_lists\", \"items\": \"/failed\", \"then\": \"rejected\", \"default\": \"accepted\"}",
		{"{\"failed\": [[0, 2], []]}", "{\"failed\": {\"BAD\": [1], \"WORSE\": [\"2\", 9]}}"}},
	{"{\"by\": \"index\", \"items\": \"/errors\", \"is\": \"/error_indices\", \"then\": \"rejected\", \"default\": \"accepted\", \"message\": \"/message\"}",
		{"{\"errors\": [{\"message\": \"bad\", \"error_indices\": [0, 2]}, {\"message\": \"worse\", \"error_indices\": []}]}"}},
	{"{\"by\": \"ref\", \"items\": \"/operations\", \"is\": \"/bulkId\", \"default\": \"retry\", \"outcomes\": [{\"at\": \"/ok\", \"in\": [true], \"then\": \"accepted\"},"
		" {\"then\": \"refused\"}]}",
		{"{\"operations\": [{\"bulkId\": \"r0\", \"ok\": true}, {\"bulkId\": \"r2\"}, {\"bulkId\": \"r9\"}, {\"bulkId\": \"r00\"}, {}]}"}},
	{"{\"by\": \"match\", \"items\": \"/errors\", \"is\": \"/email_address\", \"then\": \"rejected\", \"default\": \"accepted\", \"code\": \"/error_code\", \"message\": \"/error\","
		" \"saved\": {\"items\": \"/new_members\", \"is\": \"/email_address\", \"external_id\": \"/id\"}}",
		{"{\"new_members\": [{\"id\": \"a1\", \"email_address\": \"ADA1@example.com\"}], \"updated_members\": [], \"errors\": [{\"email_address\":"
			" \"bob2@example.com\", \"error\": \"looks fake\", \"error_code\": \"ERROR_GENERIC\"}]}"}},
	{"{\"by\": \"key\", \"lists\": [{\"items\": \"/ok\", \"is\": \"\", \"then\": \"accepted\"}, {\"items\": \"/bad\", \"is\": \"/k\", \"then\": \"rejected\", \"message\": \"/m\"}],"
		" \"default\": \"retry\"}",
		{"{\"ok\": [1, \"2\"], \"bad\": [{\"k\": {\"id\": 3}, \"m\": \"no\"}, {\"k\": \"3\"}]}"}},
	{"{\"by\": \"external_id\", \"items\": \"/docs\", \"is\": \"/id\", \"default\": \"accepted\", \"outcomes\": [{\"at\": \"/error\", \"in\": [\"conflict\"], \"then\": \"found\"},"
		" {\"at\": \"/error\", \"then\": \"rejected\"}, {\"then\": \"accepted\"}], \"remember\": {\"rev\": \"/rev\"}}",
		{"{\"docs\": [{\"id\": \"external_id_1\", \"rev\": \"1-a\", \"ok\": true}, {\"id\": \"external_id_2\", \"error\": \"conflict\"}]}"}},
	{"{\"by\": \"value\", \"items\": \"/invalid\", \"then\": \"rejected\", \"default\": \"accepted\"}",
		{"{\"invalid\": [\"ada1@example.com\", 7, null, {\"a\": 1}], \"accepted\": 2}"}},
	{"{\"by\": \"position\", \"format\": \"csv\", \"external_id\": \"/sf__Id\", \"message\": \"/sf__Error\", \"outcomes\": [{\"at\": \"/sf__Error\","
		" \"contains\": \"REQUIRED\", \"then\": \"refused\"}, {\"then\": \"accepted\"}]}",
		{"\"sf__Id\",\"sf__Error\",Email\n\"003\",\"\",\"a@b\"\n\"\",\"REQUIRED_FIELD: \"\"x\"\"\nmore\",c@d\r\n004,,\n", "sf__Id\n", ""}},
	{"{\"by\": \"index\", \"format\": \"ndjson\", \"then\": \"rejected\", \"is\": \"/i\", \"default\": \"accepted\", \"message\": \"/m\"}",
		{"{\"i\": 0, \"m\": \"x\"}\n\n{\"i\": 2}\r\n{\"i\"", "null\n[]\n1\n"}},
};

static ConnectorSample *sample;
static const Connector *connectors[lengthof(shapes)];
static int	judged;

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	ListCell   *cell;

	foreach(cell, response->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (pg_strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

static const char *
get_nothing(void *arg, const char *name)
{
	return NULL;
}

static char *
document_of(const Shape *shape)
{
	return psprintf("{\"base_url\": \"https://example.com\", \"match\": {\"compare\": [\"lower\"]}, \"rate\": {\"retry_after\": \"Retry-After\","
					" \"reset\": {\"header\": \"X-Reset\"}, \"remaining\": \"X-Remaining\"}, \"reason\": {\"code\": \"/error/code\", \"message\": \"/message\"},"
					" \"rules\": [{\"status\": [400, 422], \"at\": \"/errors\", \"then\": \"rows\"}, {\"status\": [404], \"then\": \"refuse\", \"final\": true}],"
					" \"operations\": {\"upsert\": {\"idempotent\": true, \"batch\": {\"max_rows\": 100},"
					" \"request\": {\"body\": [{\"$rows\": \"{{row.key}}\"}]}, \"answer\": %s}}}", shape->answer);
}

/* NULL: this shape is not built yet; that it is wrong is a failure. */
static const Connector *
compile(const Shape *shape)
{
	const Connector *volatile connector = NULL;

	PG_TRY();
	{
		connector = act_connector_compile("fuzzed", document_of(shape));
	}
	PG_CATCH();
	{
		if (stub_error.sqlstate != ERRCODE_FEATURE_NOT_SUPPORTED)
			fuzz_fail("a shape does not compile", stub_error.message);
	}
	PG_END_TRY();
	return connector;
}

static char *
next_body(const Shape *shape, size_t *len)
{
	int			count = 0;
	const char *body;
	cJSON	   *tree;
	char	   *text;
	char	   *bytes;

	while (count < lengthof(shape->bodies) && shape->bodies[count] != NULL)
		count++;
	body = shape->bodies[fuzz_random(count)];
	*len = strlen(body);
	tree = fuzz_random(3) > 0 ? cJSON_Parse(body) : NULL;
	if (tree == NULL)
		return fuzz_bytes(body, len);
	fuzz_tree(tree, NULL);
	text = cJSON_PrintUnformatted(tree);
	cJSON_Delete(tree);
	*len = strlen(text);
	if (fuzz_random(4) == 0)
		bytes = fuzz_bytes(text, len);
	else
		bytes = pstrdup(text);
	cJSON_free(text);
	return bytes;
}

static List *
next_headers(void)
{
	static char *const names[] = {"Retry-After", "X-Reset", "X-Remaining", "Content-Type"};
	static char *const values[] = {
		"30", "-1", "1e400", "", "Mon, 23 Nov 2026 09:00:00 GMT", "99999999999999999999", "\xff", "application/json",
		"text/html; charset=utf-8", "text/csv", "application/x-ndjson", "0", "1795424940", "1795424940000"
	};
	List	   *headers = NIL;

	for (int i = fuzz_random(4); i > 0; i--)
	{
		HttpHeader *header = palloc(sizeof(HttpHeader));

		header->name = names[fuzz_random(lengthof(names))];
		header->value = values[fuzz_random(lengthof(values))];
		headers = lappend(headers, header);
	}
	return headers;
}

static void
check_kept(const char *kept, const char *what)
{
	size_t		len = kept == NULL ? 0 : strlen(kept);

	if (len > MAX_KEPT)
		fuzz_fail("too long", what);
	for (size_t i = 0; i < len;)
	{
		int			width = act_utf8_length(kept + i, len - i);

		if (width == 0)
		{
			fuzz_fail("no UTF-8", what);
			return;
		}
		i += width;
	}
}

static void
check_rows(const ConnectorAnswer *answer)
{
	check_kept(answer->message, "message of the answer");
	check_kept(answer->code, "code of the answer");
	if (answer->verdict != VERDICT_ROWS && answer->message == NULL)
		fuzz_fail("an answer that is no success says nothing", NULL);
	for (int i = 0; i < ROWS; i++)
	{
		const Row  *row = sample->rows[i];
		ListCell   *cell;

		if ((row->outcome == ROW_UNDECIDED) != (answer->verdict != VERDICT_ROWS))
			fuzz_fail("a row is judged or not, unlike its request", NULL);
		check_kept(row->message, "message of a row");
		check_kept(row->code, "code of a row");
		check_kept(row->new_external_id, "id of a row");
		foreach(cell, row->new_remembered)
			check_kept(((HttpHeader *) lfirst(cell))->value, "what is remembered of a row");
	}
}

static void
judge(const Shape *shape, const Connector *connector)
{
	static const int statuses[] = {200, 201, 207, 400, 404, 409, 413, 422, 429, 500, 503, 302, 100, 999};
	HttpResponse response = {.transport = HTTP_ANSWERED};
	ConnectorAnswer answer = {0};

	response.status = statuses[fuzz_random(2) ? fuzz_random(3) : fuzz_random(lengthof(statuses))];
	response.headers = next_headers();
	response.body = next_body(shape, &response.body_len);
	fuzz_subject(psprintf("%s\nHTTP %d\n%s", shape->answer, response.status, response.body));
	act_sample_ask(sample, ROW_OP_UPSERT, ROWS, true);
	act_connector_read(connector, &sample->scope, &response, sample->rows, ROWS, INT64CONST(1795424940000), &answer);
	check_rows(&answer);
	judged++;
}

int
main(void)
{
	int			later = 0;

	fuzz_begin("answer_fuzz_test", 60000, 8);
	while (fuzz_next())
	{
		int			which = fuzz_random(lengthof(shapes));
		cJSON	   *document = cJSON_CreateObject();

		connectors[which] = compile(&shapes[which]);
		sample = act_sample_make(document, NULL, "object", ROWS);
		sample->scope.option = get_nothing;
		sample->scope.secret = get_nothing;
		for (int i = 0; i < ROWS; i++)
			sample->rows[i]->external_id = psprintf("external_id_%d", i + 1);
		if (connectors[which] == NULL)
			later++;
		else
			judge(&shapes[which], connectors[which]);
		cJSON_Delete(document);
	}
	printf("answer_fuzz_test: %d judged, %d in shapes that are not built yet\n", judged, later);
	return fuzz_end();
}
