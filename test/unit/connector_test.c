/*-------------------------------------------------------------------------
 *
 * connector_test.c
 *	  The connector engine and the webhook, without server or network.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * mutations (default 100000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "json_equal.h"
#include "json.h"
#include "json_text.h"
#include "nearest.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "connector_test.c:%d: %s\n", line, what);
	}
}

static void
check_text_at(const char *got, const char *wanted, int line)
{
	bool		ok = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	check_at(ok, line, "texts differ");
	if (!ok)
		fprintf(stderr, "  got    %s\n  wanted %s\n", got ? got : "(null)", wanted ? wanted : "(null)");
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)
#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)

/* Runs the statement and says whether it threw. */
#define THROWS(statement) \
	({ \
		volatile bool threw = false; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			threw = true; \
		} \
		PG_END_TRY(); \
		threw; \
	})

/*
 * A world: secrets and options by name, headers of answers.
 */
typedef struct Setting
{
	const char *name;
	const char *value;
} Setting;

static Setting options[8];
static Setting secrets[8];
static char *retry_after = NULL;	/* of the next answers */

static const char *
get_setting(const Setting *settings, const char *name)
{
	for (int i = 0; i < 8 && settings[i].name != NULL; i++)
	{
		if (strcmp(settings[i].name, name) == 0)
			return settings[i].value;
	}
	return NULL;
}

static const char *
get_option(void *arg, const char *name)
{
	return get_setting(options, name);
}

static const char *
get_secret(void *arg, const char *name)
{
	return get_setting(secrets, name);
}

static void
set(Setting *settings, const char *name, const char *value)
{
	int			i = 0;

	while (settings[i].name != NULL && strcmp(settings[i].name, name) != 0)
		i++;
	settings[i] = (Setting) {name, value};
}

static void
forget(Setting *settings)
{
	memset(settings, 0, sizeof(Setting) * 8);
}

static ConnectorScope scope = {
	.sync_name = "customer_health",.object = "contacts",.run_id = 42,
	.option = get_option,.secret = get_secret
};

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	ListCell   *cell;

	foreach(cell, response->headers)
	{
		HttpHeader *header = lfirst(cell);

		if (strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

static const char *
header_of(const HttpRequest *request, const char *name)
{
	HttpResponse shape = {.headers = request->headers};

	return act_http_header(&shape, name);
}

static char *
read_whole_file(const char *path)
{
	FILE	   *file = fopen(path, "r");
	StringInfoData buf;
	char		part[4096];
	size_t		n;

	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	initStringInfo(&buf);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		appendBinaryStringInfo(&buf, part, n);
	fclose(file);
	return buf.data;
}

static Connector *
webhook(void)
{
	return act_connector_compile("webhook", read_whole_file(SRC_DIR "/connectors/webhook.json"));
}

static Row *
make_row(RowOp op, const char *key, const char *fields, const char *external_id)
{
	Row		   *row = palloc0(sizeof(Row));

	row->op = op;
	row->key = pstrdup(key);
	row->fields = fields == NULL ? NULL : pstrdup(fields);
	row->external_id = external_id == NULL ? NULL : pstrdup(external_id);
	for (int i = 0; i < ACT_DIGEST_LEN; i++)
		row->change_id[i] = (uint8) (i * 17);
	return row;
}

static const char *
render_body(const Connector *connector, Row **rows, int nrows)
{
	HttpRequest request;

	act_connector_render(connector, &scope, rows, nrows, &request);
	CHECK(strlen(request.body) == request.body_len);
	return request.body;
}

#define CHANGE "\"change_id\":\"00112233-4455-6677-8899-aabbccddeeff\""
#define BODY(rows) "{\"sync\":\"customer_health\",\"run_id\":42,\"rows\":[" rows "]}"

static void
test_each_operation_renders_as_documented(void)
{
	static const struct
	{
		RowOp		op;
		const char *fields;
		const char *wanted;
	}			cases[] = {
		{ROW_OP_INSERT, "{\"a\":1}", BODY("{\"op\":\"insert\",\"key\":{\"id\": 7}," CHANGE ",\"fields\":{\"a\":1}}")},
		{ROW_OP_UPDATE, "{\"a\":1}", BODY("{\"op\":\"update\",\"key\":{\"id\": 7}," CHANGE ",\"fields\":{\"a\":1}}")},
		{ROW_OP_UPSERT, "{\"a\":1}", BODY("{\"op\":\"upsert\",\"key\":{\"id\": 7}," CHANGE ",\"fields\":{\"a\":1}}")},
		{ROW_OP_DELETE, "{\"a\":1}", BODY("{\"op\":\"delete\",\"key\":{\"id\": 7}," CHANGE "}")},
		{ROW_OP_ARCHIVE, NULL, BODY("{\"op\":\"archive\",\"key\":{\"id\": 7}," CHANGE "}")},
		{ROW_OP_CLEAR, "{\"a\":null}", BODY("{\"op\":\"clear\",\"key\":{\"id\": 7}," CHANGE ",\"fields\":{\"a\":null}}")},
		{ROW_OP_ADD, NULL, BODY("{\"op\":\"add\",\"key\":{\"id\": 7}," CHANGE "}")},
		{ROW_OP_REMOVE, NULL, BODY("{\"op\":\"remove\",\"key\":{\"id\": 7}," CHANGE "}")},
	};
	Connector  *connector = webhook();

	for (int i = 0; i < lengthof(cases); i++)
	{
		Row		   *row = make_row(cases[i].op, "{\"id\": 7}", cases[i].fields, NULL);

		CHECK_TEXT(render_body(connector, &row, 1), cases[i].wanted);
		CHECK(act_connector_row_bytes(connector, &scope, row) >= strlen(cases[i].wanted) - strlen(BODY("")));
		CHECK_TEXT(act_connector_operation(connector, cases[i].op)->mix, "rows");
		CHECK(act_connector_operation(connector, cases[i].op)->idempotent);
		CHECK(act_connector_operation(connector, cases[i].op)->default_rows == 100);
	}
	CHECK(act_connector_operation(connector, ROW_OP_NONE) == NULL);
	CHECK(act_connector_concurrency(connector) == 4);
	CHECK(act_connector_takes_key(connector));
	CHECK_TEXT(act_connector_options(connector)[0].name, "base_url");
	CHECK(act_connector_options(connector)[1].name == NULL);
	CHECK_TEXT(act_connector_secrets(connector)[3], "signing_secret");
}

static void
test_a_batch_mixes_operations(void)
{
	Connector  *connector = webhook();
	Row		   *rows[] = {
		make_row(ROW_OP_UPSERT, "{\"id\": 9007199254740993}",
				 "{\"n\":12345678901234567890.0123456789,\"t\":\"\\u00e9\\\"\"}", "a\"b\\c\n\x01\xc3\xa9"),
		make_row(ROW_OP_DELETE, "{\"id\": 8}", NULL, "77"),
		make_row(ROW_OP_UPSERT, "{\"id\": 9}", "{}", NULL),
	};
	HttpRequest request;

	act_connector_render(connector, &scope, rows, 3, &request);
	CHECK_TEXT(request.body,
			   BODY("{\"op\":\"upsert\",\"key\":{\"id\": 9007199254740993}," CHANGE
					",\"external_id\":\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\""
					",\"fields\":{\"n\":12345678901234567890.0123456789,\"t\":\"\\u00e9\\\"\"}},"
					"{\"op\":\"delete\",\"key\":{\"id\": 8}," CHANGE ",\"external_id\":\"77\"},"
					"{\"op\":\"upsert\",\"key\":{\"id\": 9}," CHANGE ",\"fields\":{}}"));
	CHECK_TEXT(request.method, "POST");
	CHECK_TEXT(request.url, "https://example.com/hook/contacts");
	CHECK_TEXT(header_of(&request, "content-type"), "application/json");
	CHECK(strlen(header_of(&request, "Idempotency-Key")) == 32);
}

static void
test_the_idempotency_key_belongs_to_rows_and_order(void)
{
	Connector  *connector = webhook();
	Row		   *a = make_row(ROW_OP_UPSERT, "{\"id\": 1}", "{}", NULL);
	Row		   *b = make_row(ROW_OP_UPSERT, "{\"id\": 2}", "{}", NULL);
	HttpRequest first;
	HttpRequest again;
	HttpRequest other;

	b->change_id[0] = 99;
	act_connector_render(connector, &scope, (Row *[]) {a, b}, 2, &first);
	scope.run_id = 43;
	act_connector_render(connector, &scope, (Row *[]) {a, b}, 2, &again);
	scope.run_id = 42;
	act_connector_render(connector, &scope, (Row *[]) {b, a}, 2, &other);
	CHECK_TEXT(header_of(&again, "Idempotency-Key"), header_of(&first, "Idempotency-Key"));
	CHECK(strcmp(header_of(&other, "Idempotency-Key"), header_of(&first, "Idempotency-Key")) != 0);
}

static void
test_a_unit_is_one_request(void)
{
	static const uint8 ids[2][ACT_DIGEST_LEN] = {{0xab, 0xcd}, {1}};
	Connector  *connector = webhook();
	Row		   *rows[] = {
		make_row(ROW_OP_REPLACE, "{\"id\": 8}", "{\"a\":1}", NULL),
		make_row(ROW_OP_REPLACE, "{\"id\": 7}", "{\"a\":null}", NULL),
	};
	HttpRequest request;
	ConnectorAnswer answer;
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = 200,.body = ""};

	act_connector_render_unit(connector, &scope, rows, 2, ids[0], &request);
	CHECK_TEXT(request.body, "{\"sync\":\"customer_health\",\"run_id\":42,\"op\":\"replace\",\"rows\":["
			   "{\"key\":{\"id\": 8},\"fields\":{\"a\":1}},{\"key\":{\"id\": 7},\"fields\":{\"a\":null}}]}");
	CHECK_TEXT(header_of(&request, "Idempotency-Key"), "abcd0000000000000000000000000000");
	act_connector_render_unit(connector, &scope, NULL, 0, ids[1], &request);
	CHECK_TEXT(request.body, "{\"sync\":\"customer_health\",\"run_id\":42,\"op\":\"replace\",\"rows\":[]}");
	CHECK_TEXT(header_of(&request, "Idempotency-Key"), "01000000000000000000000000000000");
	CHECK(act_connector_operation(connector, ROW_OP_REPLACE)->idempotent);
	CHECK(act_connector_operation(connector, ROW_OP_REPLACE_REMOVED) == act_connector_operation(connector, ROW_OP_REPLACE));
	CHECK(act_connector_operation(connector, ROW_OP_REPLACE)->mix == NULL);
	/* when only the order differs no row is counted, and there still is an answer */
	act_connector_read(connector, &scope, &response, NULL, 0, 0, &answer);
	CHECK(answer.verdict == VERDICT_ROWS);
}

static void
test_urls_cannot_be_broken_out_of(void)
{
	static const struct
	{
		const char *base;
		const char *object;
		const char *wanted;		/* NULL: refused */
	}			cases[] = {
		{"https://example.com", NULL, "https://example.com"},
		{"https://example.com/", NULL, "https://example.com/"},
		{"https://example.com/hook/", "contacts", "https://example.com/hook/contacts"},
		{"https://example.com/hook?token=x", "a", "https://example.com/hook/a?token=x"},
		{"https://example.com/hook?token=x#f", NULL, "https://example.com/hook?token=x"},
		{"https://example.com", "a/b?c#d e\r\n", "https://example.com/a%2Fb%3Fc%23d%20e%0D%0A"},
		{"https://example.com", "\xc3\xa9%2e", "https://example.com/%C3%A9%252e"},
		{"https://example.com", "..", NULL},
		{"https://example.com", ".", NULL},
		{"https://example.com", "", NULL},
		{"https://example.com/\r\nX: y", "a", NULL},
		{"https://exa mple.com/", "a", NULL},
		{NULL, "a", NULL},
	};
	Connector  *connector = webhook();
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\": 1}", "{}", NULL);

	for (int i = 0; i < lengthof(cases); i++)
	{
		HttpRequest request = {0};
		bool		threw;

		forget(options);
		set(options, "base_url", cases[i].base);
		scope.object = cases[i].object;
		threw = THROWS(act_connector_render(connector, &scope, &row, 1, &request));
		CHECK(threw == (cases[i].wanted == NULL));
		if (!threw)
			CHECK_TEXT(request.url, cases[i].wanted);
	}
	scope.object = "contacts";
	forget(options);
	set(options, "base_url", "https://example.com/hook");
}

static void
test_credentials_by_the_secret_present(void)
{
	Connector  *connector = webhook();
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\": 1}", "{}", NULL);
	HttpRequest request;

	act_connector_render(connector, &scope, &row, 1, &request);
	CHECK(act_connector_secret_problem(connector, &scope) == NULL);
	act_connector_authorize(connector, &scope, &request, 1);
	CHECK(header_of(&request, "Authorization") == NULL);

	set(secrets, "bearer_token", "t0ken");
	CHECK(act_connector_secret_problem(connector, &scope) == NULL);
	act_connector_authorize(connector, &scope, &request, 1);
	act_connector_authorize(connector, &scope, &request, 2);
	CHECK_TEXT(header_of(&request, "Authorization"), "Bearer t0ken");
	CHECK(list_length(request.headers) == 4);

	set(secrets, "username", "u");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope),
			   "secrets \"bearer_token\" and \"username\" exclude each other: drop \"username\" to go on with \"bearer_token\"");
	set(secrets, "bearer_token", NULL);
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "secret \"username\" is set without \"password\"");
	set(secrets, "password", "p");
	CHECK(act_connector_secret_problem(connector, &scope) == NULL);
	act_connector_authorize(connector, &scope, &request, 1);
	CHECK_TEXT(header_of(&request, "Authorization"), "Basic dTpw");
	set(secrets, "username", "u:x");
	CHECK(act_connector_secret_problem(connector, &scope) != NULL);
	set(secrets, "username", NULL);
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "secret \"password\" is set without \"username\"");

	forget(secrets);
	set(secrets, "bearer_token", "line\nbreak");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "the value of secret \"bearer_token\" has a line break in it");
	CHECK(THROWS(act_connector_authorize(connector, &scope, &request, 1)));
	CHECK(strstr(stub_error.message, "break\"") == NULL);
	forget(secrets);
	set(secrets, "signing_secret", "whsec_not base64!");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "the value of secret \"signing_secret\" is no signing key");
	forget(secrets);
}

static void
test_signatures_are_those_of_standard_webhooks(void)
{
	static const struct
	{
		const char *secret;
		const char *id;
		int64		time;
		const char *body;
		const char *wanted;
	}			vectors[] = {
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
			"{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "act_000000000042", 1767323045,
			"{\"type\":\"row.upsert\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"data\":{\"id\":7}}",
		"v1,p+5gPwzWSBEw+uaDL9TljNiWCiuNeKZLun7NKqhjclY="},
		/* a key that is taken as it is */
		{"Jefe", "what", 0, "for nothing?", "v1,/BObELaUsn1sT+82PzFdSYBmCB8uHcsMCbpdojYipkQ="},
	};
	Connector  *connector = webhook();

	for (int i = 0; i < lengthof(vectors); i++)
	{
		HttpRequest request = {.method = "POST",.body = pstrdup(vectors[i].body),.body_len = strlen(vectors[i].body)};
		HttpHeader	header = {"Idempotency-Key", pstrdup(vectors[i].id)};

		request.headers = lappend(NIL, &header);
		set(secrets, "signing_secret", vectors[i].secret);
		CHECK(act_connector_secret_problem(connector, &scope) == NULL);
		act_connector_authorize(connector, &scope, &request, vectors[i].time);
		CHECK_TEXT(header_of(&request, "webhook-id"), vectors[i].id);
		CHECK_TEXT(header_of(&request, "webhook-signature"), vectors[i].wanted);
	}
	forget(secrets);
}

/*
 * Answers
 */
static HttpResponse
make_answer(int status, const char *type, const char *body, size_t len)
{
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = status};
	HttpHeader *header = palloc(sizeof(HttpHeader));

	response.body = palloc(len + 1);
	memcpy(response.body, body, len);
	response.body[len] = '\0';
	response.body_len = len;
	if (type != NULL)
	{
		header->name = "content-type";
		header->value = pstrdup(type);
		response.headers = lappend(NIL, header);
	}
	if (retry_after != NULL)
	{
		HttpHeader *header = palloc(sizeof(HttpHeader));

		header->name = "Retry-After";
		header->value = retry_after;
		response.headers = lappend(response.headers, header);
	}
	return response;
}

static Row **
three_rows(void)
{
	Row		  **rows = palloc(3 * sizeof(Row *));

	rows[0] = make_row(ROW_OP_UPSERT, "{\"id\": 1}", "{}", NULL);
	rows[1] = make_row(ROW_OP_DELETE, "{\"id\": 2}", NULL, NULL);
	rows[2] = make_row(ROW_OP_UPDATE, "{\"id\": 3}", "{}", NULL);
	return rows;
}

static ConnectorAnswer
read_answer(const Connector *connector, Row **rows, int status, const char *type, const char *body)
{
	HttpResponse response = make_answer(status, type, body, strlen(body));
	ConnectorAnswer answer;

	act_connector_read(connector, &scope, &response, rows, 3, 0, &answer);
	CHECK(answer.verdict == VERDICT_ROWS || answer.message != NULL);
	return answer;
}

#define JSON "application/json; charset=utf-8"

static void
test_results_decide_row_by_row(void)
{
	Connector  *connector = webhook();
	Row		  **rows = three_rows();

	CHECK(read_answer(connector, rows, 200, JSON,
					  "{\"results\":[{\"status\":\"accepted\",\"id\":12345678901234567890},"
					  "{\"status\":\"absent\"},{\"status\":\"absent\",\"error\":\"gone\"}]}").verdict == VERDICT_ROWS);
	CHECK(rows[0]->outcome == ROW_ACCEPTED && rows[0]->http_status == 200);
	CHECK_TEXT(rows[0]->new_external_id, "12345678901234567890");
	CHECK(rows[1]->outcome == ROW_ACCEPTED);
	CHECK(rows[2]->outcome == ROW_ABSENT);
	CHECK_TEXT(rows[2]->message, "gone");

	rows = three_rows();
	CHECK(read_answer(connector, rows, 207, "application/vnd.api+json",
					  "{\"results\":[{\"status\":\"rejected\",\"error\":{\"code\":7,\"why\":[\"a\\u0000b\",null,true]}},"
					  "{\"status\":\"rejected\",\"retry\":false,\"error\":\"never \\ud800\"},"
					  "{\"status\":\"accepted\",\"id\":\"x\"}]}").verdict == VERDICT_ROWS);
	CHECK(rows[0]->outcome == ROW_REJECTED);
	CHECK_TEXT(rows[0]->message, "{\"code\":7,\"why\":[\"a\xef\xbf\xbd" "b\",null,true]}");
	CHECK(rows[1]->outcome == ROW_REFUSED);
	CHECK_TEXT(rows[1]->message, "never \xef\xbf\xbd");
	CHECK_TEXT(rows[2]->new_external_id, "x");

	rows = three_rows();
	read_answer(connector, rows, 200, JSON,
				"{\"results\":[{\"status\":\"accepted\",\"id\":1e400},{\"status\":\"accepted\",\"id\":1.50},"
				"{\"status\":\"accepted\",\"id\":{}}]}");
	CHECK_TEXT(rows[0]->new_external_id, "1e400");
	CHECK_TEXT(rows[1]->new_external_id, "1.50");
	CHECK_TEXT(rows[2]->new_external_id, NULL);
}

static void
test_silence_accepts(void)
{
	static const struct
	{
		int			status;
		const char *type;
		const char *body;
	}			cases[] = {
		{200, NULL, ""}, {204, NULL, ""}, {200, "text/html", "<html>"}, {200, "text/plain", "{\"results\":[]}"},
		{202, JSON, "{}"}, {200, JSON, "null"}, {200, JSON, "[]"}, {201, JSON, " \"ok\" "},
		{200, JSON, "{\"result\":[{\"status\":\"x\"}]}"}, {200, JSON, "\xef\xbb\xbf{}"}
	};
	Connector  *connector = webhook();

	for (int i = 0; i < lengthof(cases); i++)
	{
		Row		  **rows = three_rows();

		CHECK(read_answer(connector, rows, cases[i].status, cases[i].type, cases[i].body).verdict == VERDICT_ROWS);
		for (int j = 0; j < 3; j++)
			CHECK(rows[j]->outcome == ROW_ACCEPTED && rows[j]->new_external_id == NULL);
	}
}

static void
test_what_cannot_be_read_leaves_rows_in_doubt(void)
{
	static const struct
	{
		const char *body;
		const char *message;
	}			cases[] = {
		{"{\"results\":[]}", "HTTP 200, but the answer has 0 results for 3 rows"},
		{"{\"results\":[1,2,3,4]}", "HTTP 200, but the answer has 4 results for 3 rows"},
		{"{\"results\":null}", "HTTP 200, but the results of the answer are no array"},
		{"{\"results\":{\"a\":1,\"b\":2,\"c\":3}}", "HTTP 200, but the results of the answer are no array"},
		{"{\"results\":[{\"status\":\"accepted\"},{\"status\":\"maybe\"},{}]}",
		"HTTP 200, but result 2 of the answer has no known status: {\"status\":\"maybe\"}"},
		{"{\"results\":[null,null,null]}", "HTTP 200, but result 1 of the answer has no known status: null"},
		{"{\"results\":[{\"status\":\"acc", "HTTP 200, but the answer cannot be read as JSON: it is cut off (line 1, column 27)"},
		{"{\"results\":[{\"status\":1.", NULL}, {"{\"results\":[{\"status\":tru", NULL},
		{"{\"results\":[{\"status\":\"a\\", NULL}, {"<html>oops</html>", NULL}, {"", NULL}, {"{} {}", NULL},
		{"{\"a\":01}", NULL}, {"{'a':1}", NULL}, {"{\"a\":1,}", NULL}, {"]", NULL}, {"{]", NULL}, {"nul", NULL},
		{"{\"a\":\"\\x\"}", NULL}, {"{\"a\":\"\\u12\"}", NULL}, {"NaN", NULL}, {"-", NULL}, {"{\"a\"}", NULL},
	};
	Connector  *connector = webhook();

	for (int i = 0; i < lengthof(cases); i++)
	{
		Row		  **rows = three_rows();
		ConnectorAnswer answer = read_answer(connector, rows, 200, JSON, cases[i].body);

		CHECK(answer.verdict == VERDICT_UNCERTAIN);
		if (answer.verdict != VERDICT_UNCERTAIN)
			fprintf(stderr, "  %s\n", cases[i].body);
		if (cases[i].message != NULL)
			CHECK_TEXT(answer.message, cases[i].message);
		for (int j = 0; j < 3; j++)
			CHECK(rows[j]->outcome == ROW_UNDECIDED && rows[j]->http_status == 0);
	}
}

static void
test_hostile_answers(void)
{
	Connector  *connector = webhook();
	Row		  **rows = three_rows();
	int			len = 1024 * 1024;
	char	   *body = palloc(len + 1);
	HttpResponse response;
	ConnectorAnswer answer;
	static const char nul[] = "{\"error\":\"a\0b\xff\xfe\xc3\"}";

	memset(body, '[', len);
	body[len] = '\0';
	CHECK(read_answer(connector, rows, 200, JSON, body).verdict == VERDICT_UNCERTAIN);
	memset(body + 100000, ']', 100000);
	body[200000] = '\0';
	CHECK(read_answer(connector, rows, 200, JSON, body).verdict == VERDICT_UNCERTAIN);
	for (int i = 0; i < len; i++)
		body[i] = i % 2 == 0 ? '[' : ',';
	CHECK(read_answer(connector, rows, 200, JSON, body).verdict == VERDICT_UNCERTAIN);
	memset(body, '9', len);
	answer = read_answer(connector, rows, 400, JSON, body);
	CHECK(strlen(answer.message) < 600);

	response = make_answer(400, JSON, nul, sizeof(nul) - 1);
	act_connector_read(connector, &scope, &response, rows, 3, 0, &answer);
	CHECK_TEXT(answer.message, "HTTP 400: a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	response = make_answer(400, "text/plain", "\xf0\x9f\x98\x80\0 \xed\xa0\x80 x\r\n y", 15);
	act_connector_read(connector, &scope, &response, rows, 3, 0, &answer);
	CHECK_TEXT(answer.message, "HTTP 400: \xf0\x9f\x98\x80\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd x y");

	/* cut at a character: 2000 bytes do not end in the middle of one */
	body = palloc0(9000);
	strcpy(body, "{\"error\":\"");
	for (int i = 0; i < 1000; i++)
		strcat(body, "\xe2\x82\xac");
	strcat(body, "\"}");
	answer = read_answer(connector, rows, 422, JSON, body);
	CHECK(strlen(answer.message) == strlen("HTTP 422: ") + 1998);
}

static void
test_statuses_have_meanings(void)
{
	static const struct
	{
		int			status;
		Verdict		verdict;
		Verdict		with_retry_after;
	}			cases[] = {
		{429, VERDICT_THROTTLED, VERDICT_THROTTLED}, {503, VERDICT_UNCERTAIN, VERDICT_THROTTLED},
		{500, VERDICT_UNCERTAIN, VERDICT_UNCERTAIN}, {408, VERDICT_UNCERTAIN, VERDICT_UNCERTAIN},
		{401, VERDICT_AUTH, VERDICT_AUTH}, {403, VERDICT_AUTH, VERDICT_AUTH}, {407, VERDICT_AUTH, VERDICT_AUTH},
		{301, VERDICT_CONFIGURATION, VERDICT_CONFIGURATION}, {404, VERDICT_CONFIGURATION, VERDICT_CONFIGURATION},
		{405, VERDICT_CONFIGURATION, VERDICT_CONFIGURATION}, {410, VERDICT_CONFIGURATION, VERDICT_CONFIGURATION},
		{413, VERDICT_TOO_LARGE, VERDICT_TOO_LARGE}, {400, VERDICT_REFUSED, VERDICT_REFUSED},
		{409, VERDICT_REFUSED, VERDICT_REFUSED}, {422, VERDICT_REFUSED, VERDICT_REFUSED},
		{100, VERDICT_UNCERTAIN, VERDICT_UNCERTAIN}, {999, VERDICT_UNCERTAIN, VERDICT_UNCERTAIN},
	};
	static const struct
	{
		HttpTransport transport;
		Verdict		verdict;
	}			transports[] = {
		{HTTP_UNREACHED, VERDICT_UNREACHED}, {HTTP_FORBIDDEN, VERDICT_CONFIGURATION},
		{HTTP_UNRESOLVED, VERDICT_CONFIGURATION}, {HTTP_UNTRUSTED, VERDICT_CONFIGURATION},
		{HTTP_LOST, VERDICT_UNCERTAIN}, {HTTP_TOO_LARGE, VERDICT_UNCERTAIN},
	};
	Connector  *connector = webhook();
	char	   *problem;

	for (int i = 0; i < lengthof(cases); i++)
	{
		HttpResponse response = make_answer(cases[i].status, NULL, "no", 2);
		bool		ok = act_connector_read_check(connector, &response, &problem);

		CHECK(read_answer(connector, three_rows(), cases[i].status, "text/plain", "no").verdict == cases[i].verdict);
		retry_after = "5";
		CHECK(read_answer(connector, three_rows(), cases[i].status, NULL, "no").verdict == cases[i].with_retry_after);
		retry_after = NULL;
		CHECK(ok == (cases[i].verdict != VERDICT_AUTH && cases[i].status / 100 != 5));
		CHECK(ok == (problem == NULL));
	}
	for (int i = 0; i < lengthof(transports); i++)
	{
		HttpResponse response = {.transport = transports[i].transport,.problem = "said so",.body = ""};
		ConnectorAnswer answer;

		act_connector_read(connector, &scope, &response, three_rows(), 3, 0, &answer);
		CHECK(answer.verdict == transports[i].verdict && answer.wait_ms == -1);
		CHECK_TEXT(answer.message, "said so");
		CHECK(!act_connector_read_check(connector, &response, &problem));
		CHECK_TEXT(problem, "said so");
	}
	CHECK_TEXT(read_answer(connector, three_rows(), 400, NULL, "  bad\n\trequest ").message, "HTTP 400: bad request");
	CHECK_TEXT(read_answer(connector, three_rows(), 400, NULL, "").message, "HTTP 400");
	CHECK_TEXT(read_answer(connector, three_rows(), 400, JSON, "{\"error\":\"no\"}").message, "HTTP 400: no");
}

static void
test_the_check_request(void)
{
	Connector  *connector = webhook();
	HttpRequest request;

	set(secrets, "signing_secret", "abc");
	act_connector_render_check(connector, &scope, &request);
	act_connector_authorize(connector, &scope, &request, 1614265330);
	CHECK_TEXT(request.method, "GET");
	CHECK_TEXT(request.url, "https://example.com/hook");
	CHECK(request.body == NULL);
	CHECK_TEXT(header_of(&request, "webhook-id"), "check_1614265330");
	forget(secrets);
}

/*
 * Documents
 */
#define DOCUMENT(rest) "{\"options\":{\"o\":{\"default\":\"dflt\"}},\"base_url\":\"https://x.example\"," rest "}"
#define ONE(request) DOCUMENT("\"operations\":{\"upsert\":{\"request\":{" request "}}}")
#define MANY(body) DOCUMENT("\"operations\":{\"upsert\":{\"batch\":{\"max_rows\":9},\"request\":{\"body\":" body "}}}")
#define UNIT(operation) DOCUMENT("\"operations\":{\"replace\":{" operation "}}")

static void
test_templates_render_typed_values(void)
{
	static const struct
	{
		const char *spec;
		const char *wanted;		/* URL, then body; NULL: throws */
	}			cases[] = {
		{ONE("\"body\":{\"a\":1,\"$spread\":\"row.fields\",\"z\":[true,null,\"x\",1.5]}"),
		"https://x.example {\"a\":1,\"e\":\"A\\\"b \",\"n\":12345678901234567890,\"nil\":null,\"o\":{\"p\":[1,{}]},\"z\":[true,null,\"x\",1.5]}"},
		{ONE("\"body\":{\"$spread\":\"row.key\"}"), "https://x.example {\"id\": 7}"},
		{ONE("\"body\":{\"$spread\":\"row.fields.nil\",\"a\":\"{{row.external_id}}\"}"), "https://x.example {}"},
		{ONE("\"body\":{\"$spread\":\"row.fields.e\"}"), NULL},
		{ONE("\"body\":{\"a\":\"{{row.fields.n}}\",\"b\":\"{{row.fields.n|string}}\",\"c\":\"{{row.fields.nil}}\",\"d\":\"{{row.fields.none}}\",\"e\":\"{{row.fields.o.p}}\"}"),
		"https://x.example {\"a\":12345678901234567890,\"b\":\"12345678901234567890\",\"c\":null,\"e\":[1,{}]}"},
		{ONE("\"body\":[\"{{row.fields.none}}\",\"{{row.op}}\",\"{{row.fields.none}}\",2]"), "https://x.example [\"upsert\",2]"},
		{ONE("\"body\":{\"{{row.op}}\":\"{{row.fields.none}}\",\"k{{row.key.id}}\":\"<{{row.fields.e}}>\"}"),
		"https://x.example {\"k7\":\"<A\\\"b >\"}"},
		{ONE("\"body\":{\"a\":\"{{row.fields.e | trim | lower}}\",\"b\":\"{{row.fields.e|md5}}\",\"c\":\"{{row.fields.o|json}}\",\"d\":\"{{row.fields.e|json|base64}}\"}"),
			"https://x.example {\"a\":\"a\\\"b\",\"b\":\"5a3116ae3f04595b2710d7e7d0415c3d\",\"c\":\"{\\\"p\\\":[1,{}]}\",\"d\":\"IkFcImIgIg==\"}"},
		{ONE("\"body\":{\"a\":\"{{option.o|base64|unbase64|upper}}\",\"b\":\"{{option.o|after:fl|hex}}\",\"c\":\"{{option.o|unbase64}}\"}"),
		"https://x.example {\"a\":\"DFLT\",\"b\":\"74\",\"c\":\"u\xef\xbf\xbdm\"}"},
		{ONE("\"body\":{\"a\":\"{{row.fields.e|unbase64}}\"}"), NULL},
		{ONE("\"body\":{\"a\":\"x{{row.fields.nil}}\"}"), NULL},
		{ONE("\"body\":{\"a\":\"x{{row.fields.none}}\"}"), NULL},
		{ONE("\"path\":\"/v1/{{row.fields.e}}/x{{row.key.id|url}}/{{row.fields.none}}/end\",\"query\":{\"q\":\"{{row.fields.e}}\",\"r\":\"{{row.external_id}}\",\"s\":\"{{batch.size}}\"}"),
		"https://x.example/v1/A%22b%20/x7/end?q=A%22b%20&s=1 -"},
		{ONE("\"path\":\"/v1/x{{row.external_id}}\""), NULL},
		{ONE("\"path\":\"/v1/{{row.external_id}}\""), NULL},
		{ONE("\"headers\":{\"X-A\":\"{{row.fields.e}}\",\"X-B\":\"{{row.fields.none}}\"}"), "https://x.example -"},
		{ONE("\"headers\":{\"X-A\":\"{{row.fields.o|json|unbase64}}\"}"), NULL},
		{ONE("\"headers\":{\"X-A\":\"{{row.fields.crlf}}\"}"), "https://x.example -"},
		{MANY("{\"$rows\":\"{{row.fields.n}}\"}"), "https://x.example [12345678901234567890]"},
		{MANY("{\"a\":{\"$rows\":\"{{row.fields.none}}\"}}"), "https://x.example {\"a\":[]}"},
		{MANY("{\"a\":[{\"$rows\":[\"{{row.op}}\"]}]}"), "https://x.example {\"a\":[[[\"upsert\"]]]}"},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Connector  *volatile connector = NULL;
		Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\": 7}",
								   "{\"e\":\"A\\\"b \",\"n\":12345678901234567890,\"nil\":null,\"o\":{\"p\":[1,{}]}}", NULL);
		HttpRequest request = {0};
		bool		threw;

		if (THROWS(connector = act_connector_compile("test", cases[i].spec)))
		{
			CHECK_TEXT(stub_error.message, "");
			continue;
		}
		forget(options);
		threw = THROWS(act_connector_render(connector, &scope, &row, 1, &request));
		CHECK(threw == (cases[i].wanted == NULL));
		if (threw != (cases[i].wanted == NULL))
			fprintf(stderr, "  case %d: %s\n", i, stub_error.message);
		if (!threw && cases[i].wanted != NULL)
			CHECK_TEXT(psprintf("%s %s", request.url, request.body ? request.body : "-"), cases[i].wanted);
		if (threw)
			CHECK(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE);
	}
	set(options, "base_url", "https://example.com/hook");
}

static void
test_rows_of_a_mix_may_look_different(void)
{
	Connector  *connector = act_connector_compile("test", DOCUMENT(
		"\"operations\":{\"upsert\":{\"mix\":\"m\",\"batch\":{\"max_rows\":5},\"request\":{\"body\":{\"$rows\":[\"up\",\"{{row.key}}\"]}}},"
		"\"delete\":{\"mix\":\"m\",\"irreversible\":true,\"row\":\"{{row.key.id}}\"}}"));
	Row		   *rows[] = {
		make_row(ROW_OP_DELETE, "{\"id\":1}", NULL, NULL),
		make_row(ROW_OP_UPSERT, "{\"id\":2}", "{}", NULL),
		make_row(ROW_OP_DELETE, "{\"nothing\":1}", NULL, NULL),
	};

	CHECK_TEXT(render_body(connector, rows, 3), "[1,[\"up\",{\"id\":2}]]");
	CHECK(act_connector_operation(connector, ROW_OP_DELETE)->irreversible);
	CHECK(act_connector_operation(connector, ROW_OP_DELETE)->max_rows == 5);
	CHECK(!act_connector_operation(connector, ROW_OP_UPSERT)->irreversible);
}

static void
test_rules_come_before_the_defaults(void)
{
	static const struct
	{
		int			status;
		const char *body;
		Verdict		verdict;
		const char *code;
		const char *message;
	}			cases[] = {
		{200, "{\"ok\":false,\"error\":\"limited\"}", VERDICT_THROTTLED, "limited", "HTTP 200: {\"ok\":false,\"error\":\"limited\"}"},
		{200, "{\"ok\":false,\"error\":\"other\"}", VERDICT_REFUSED, NULL, "HTTP 200: other"},
		{200, "{\"ok\":true}", VERDICT_ROWS, NULL, NULL},
		{403, "{\"e\":[{\"code\":601}]}", VERDICT_UNREACHED, NULL, "HTTP 403: {\"e\":[{\"code\":601}]}"},
		{403, "{\"e\":[{\"code\":\"602\"}]}", VERDICT_UNREACHED, NULL, "HTTP 403: {\"e\":[{\"code\":\"602\"}]}"},
		{403, "{}", VERDICT_AUTH, NULL, "HTTP 403: {}"},
		{418, "", VERDICT_TOO_LARGE, NULL, "HTTP 418"},
		{502, "", VERDICT_CONFIGURATION, NULL, "HTTP 502"},
	};
	Connector  *connector = act_connector_compile("test", DOCUMENT(
		"\"rules\":[{\"at\":\"/error\",\"in\":[\"limited\"],\"then\":\"throttle\",\"code\":\"/error\"},"
		"{\"status\":[\"2xx\"],\"at\":\"/ok\",\"in\":[false],\"then\":\"refuse\",\"message\":\"/error\"},"
		"{\"status\":[403],\"at\":\"/e/0/code\",\"in\":[601,602],\"then\":\"retry\"},"
		"{\"status\":[418],\"then\":\"halve\"},{\"status\":[500,502],\"then\":\"configuration\"}],"
		"\"operations\":{\"upsert\":{\"mix\":\"m\",\"request\":{}},\"update\":{\"mix\":\"m\"},\"delete\":{\"mix\":\"m\"}}"));

	for (int i = 0; i < lengthof(cases); i++)
	{
		ConnectorAnswer answer = read_answer(connector, three_rows(), cases[i].status, JSON, cases[i].body);

		CHECK(answer.verdict == cases[i].verdict);
		CHECK_TEXT(answer.code, cases[i].code);
		CHECK_TEXT(answer.message, cases[i].message);
	}
}

static void
test_documents_are_refused_by_name(void)
{
	static const struct
	{
		const char *spec;
		int			sqlstate;
		const char *message;
		const char *hint;
	}			cases[] = {
		{"", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": the document cannot be read", NULL},
		{"[]", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": an object is expected at the top level", NULL},
		{"{\"name\":\"other\",\"operations\":{}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{}", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": member \"operations\" is missing at the top level", NULL},
		{"{\"operations\":{}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"spec_version\":2}", ERRCODE_FEATURE_NOT_SUPPORTED, NULL, NULL},
		{"{\"operation\":{}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": unknown member \"operation\" at /operation", "Perhaps you mean \"operations\"."},
		{"{\"a/b~c\":1}", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": unknown member \"a/b~c\" at /a~1b~0c", NULL},
		{"{\"title\":\"a\",\"title\":\"b\"}", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": member \"title\" given twice at /title", NULL},
		{"{\"title\":1e5}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"title\":\"\\u0000\"}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"extends\":\"x\"}", ERRCODE_INVALID_PARAMETER_VALUE, "connector \"test\": \"extends\" that was not followed at /extends", NULL},
		{"{\"options\":{\"password\":{}}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, "Name it in \"secrets\"."},
		{"{\"options\":{\"Bad\":{}}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"options\":{\"a\":{\"kind\":\"integr\"}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": unknown kind \"integr\" at /options/a/kind", "Perhaps you mean \"integer\"."},
		{"{\"options\":{\"a\":{},\"b\":{},\"a\":{}}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"secrets\":[\"acess_token\"]}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": unknown secret \"acess_token\" at /secrets/0", "Perhaps you mean \"access_token\"."},
		{"{\"auth\":[{\"kind\":\"oauth2\"}]}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": member \"grant\" is missing at /auth/0", NULL},
		{"{\"auth\":[{\"kind\":\"sigv4\"}]}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"auth\":[{\"kind\":\"bearer\",\"token\":\"{{secret.x}}\"}]}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": undeclared secret \"x\" at /auth/0/token", NULL},
		{"{\"auth\":[{\"kind\":\"none\"},{\"kind\":\"none\"}]}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"rules\":[{\"status\":[700],\"then\":\"refuse\"}]}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"rules\":[{\"status\":[400],\"then\":\"refuze\"}]}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, "Perhaps you mean \"refuse\"."},
		{"{\"rules\":[{\"then\":\"refuse\"}]}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"rules\":[{\"at\":\"x\",\"then\":\"refuse\"}]}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": malformed JSON pointer \"x\" at /rules/0/at", NULL},
		{"{\"operations\":{\"upsrt\":{}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": unknown member \"upsrt\" at /operations/upsrt", "Perhaps you mean \"upsert\"."},
		{"{\"operations\":{\"upsert\":{\"poll\":{}}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": \"poll\", which belongs to \"steps\", at /operations/upsert/poll", NULL},
		{"{\"operations\":{\"upsert\":{\"like\":\"insert\"}}}", ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{"{\"operations\":{\"upsert\":{\"batch\":{\"max_rows\":0}}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": an integer from 1 to 1000000 is expected at /operations/upsert/batch/max_rows", NULL},
		{"{\"operations\":{\"upsert\":{\"answer\":{\"by\":\"none\"}}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": member \"request\" is missing at /operations/upsert", NULL},
		{"{\"operations\":{\"upsert\":{\"request\":{},\"answer\":{\"by\":\"index\"}}}}", ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": member \"items\" is missing at /operations/upsert/answer", NULL},
		{ONE("\"format\":\"multipart\""), ERRCODE_FEATURE_NOT_SUPPORTED,
		"connector \"test\": format \"multipart\" at /operations/upsert/request/format is not supported yet", NULL},
		{ONE("\"path\":\"x\""), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"path\":\"/x?y=1\""), ERRCODE_INVALID_PARAMETER_VALUE, NULL, "Parameters stand in \"query\"."},
		{ONE("\"headers\":{\"Content-length\":\"1\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"headers\":{\"A\\nB\":\"1\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"headers\":{\"A\":\"{{secret.password}}\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"body\":{\"a\":\"{{row.feilds}}\"}"), ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": unknown name \"row.feilds\" at /operations/upsert/request/body/a", "Perhaps you mean \"row.fields\"."},
		{ONE("\"body\":{\"a\":\"{{row.op|trimm}}\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, "Perhaps you mean \"trim\"."},
		{ONE("\"body\":{\"a\":\"{{row.op|after}}\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"body\":{\"a\":\"{{row.op\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"body\":{\"a\":\"{{}}\"}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"body\":{\"$if\":1}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{ONE("\"body\":\"all {{row.fields}}\""), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{MANY("{}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{MANY("{\"a\":\"{{row.op}}\",\"b\":{\"$rows\":1}}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{MANY("{\"b\":{\"$rows\":{\"$rows\":1}}}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{UNIT("\"request\":{\"body\":{\"a\":1}}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL,
		"Put {\"$rows\": ...} into the body, or let \"max_rows\" be 1."},
		{UNIT("\"mix\":\"m\",\"request\":{\"body\":{\"$rows\":1}}"), ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": \"mix\", which operation \"replace\" does not have, at /operations/replace/mix", NULL},
		{UNIT("\"idempotent\":false,\"request\":{\"body\":{\"$rows\":1}}"), ERRCODE_INVALID_PARAMETER_VALUE, NULL, NULL},
		{UNIT("\"request\":{\"body\":{\"$rows\":1}},\"answer\":{\"by\":\"position\",\"items\":\"/r\",\"outcomes\":[{\"then\":\"accepted\"}]}"),
		ERRCODE_INVALID_PARAMETER_VALUE,
		"connector \"test\": results for single rows of a unit at /operations/replace/answer", NULL},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		bool		threw = THROWS(act_connector_compile("test", cases[i].spec));

		CHECK(threw);
		if (!threw)
			fprintf(stderr, "  %s\n", cases[i].spec);
		CHECK(stub_error.sqlstate == cases[i].sqlstate);
		if (stub_error.sqlstate != cases[i].sqlstate)
			fprintf(stderr, "  %s\n  %s\n", cases[i].spec, stub_error.message);
		if (cases[i].message != NULL)
			CHECK_TEXT(stub_error.message, cases[i].message);
		if (cases[i].hint != NULL)
			CHECK_TEXT(stub_error.hint, cases[i].hint);
	}
}

static void
test_small_tools(void)
{
	static const char *const names[] = {"rate_limit", "concurrency", NULL};
	JsonPointer *pointer = act_json_pointer_compile("/a~1b/1/~01");
	char	   *problem;
	cJSON	   *root = act_json_parse("{\"a/b\":[0,{\"~1\":\"yes\"}]}", 24, JSON_ANSWER, &problem);
	const char *value;
	size_t		len;

	CHECK_TEXT(act_nearest_name("ratelimit", names), "rate_limit");
	CHECK_TEXT(act_nearest_name("x", names), NULL);
	CHECK_TEXT(act_nearest_name("", names), NULL);
	CHECK_TEXT(act_json_scalar_text(act_json_pointer_resolve(pointer, root)), "yes");
	cJSON_Delete(root);
	CHECK(act_json_pointer_compile("a") == NULL && act_json_pointer_compile("/~2") == NULL);

	CHECK(act_json_find_member("{\"a\\\"\":1,\"b\": {\"c\":\"}\"} ,\"d\":2}", 33, "b", &value, &len));
	CHECK_TEXT(pnstrdup(value, len), "{\"c\":\"}\"}");
	CHECK(act_json_find_member("{\"a\\\"\":12 }", 11, "a\"", &value, &len) && len == 2);
	CHECK(!act_json_find_member("{\"a\":1", 6, "b", &value, &len));
	CHECK(!act_json_find_member("[1]", 3, "b", &value, &len));
	for (RowOp op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
		CHECK(act_row_op_parse(act_row_op_name(op)) == op);
	CHECK(act_row_op_parse("none") == ROW_OP_NONE);
}

/*
 * Mutations: nothing may be read or written out of bounds, hang or leak, and
 * what is kept of an answer is valid.
 */
static uint64 random_state;

static uint32
next_random(uint32 below)
{
	random_state = random_state * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (uint32) (random_state >> 33) % below;
}

static char *
mutate(const char *from, size_t *len)
{
	static const char interesting[] = "{}[]\",:\\u0dD8-.eE19tfn/~\x80\xff\xc3\xe2 \n|$";
	size_t		capacity = *len * 2 + 64;
	char	   *text = palloc(capacity);

	memcpy(text, from, *len);
	for (int n = 1 + next_random(4); n > 0; n--)
	{
		size_t		at = next_random(*len + 1);
		size_t		span = next_random(20);

		span = Min(span, *len - at);
		switch (next_random(5))
		{
			case 0:				/* another byte */
				if (at < *len)
					text[at] = interesting[next_random(sizeof(interesting))];
				break;
			case 1:				/* one more */
				memmove(text + at + 1, text + at, *len - at);
				text[at] = interesting[next_random(sizeof(interesting))];
				(*len)++;
				break;
			case 2:				/* some less */
				memmove(text + at, text + at + span, *len - at - span);
				*len -= span;
				break;
			case 3:				/* some twice */
				if (*len + span + 8 > capacity)
					break;
				memmove(text + at + span, text + at, *len - at);
				*len += span;
				break;
			default:			/* cut off */
				if (next_random(4) == 0)
					*len = at;
				break;
		}
	}
	text[*len] = '\0';
	return text;
}

static void
check_kept(const char *kept, size_t limit)
{
	size_t		len = kept == NULL ? 0 : strlen(kept);

	CHECK(len <= limit);
	for (size_t i = 0; i < len;)
	{
		int			width = act_utf8_length(kept + i, len - i);

		if (width == 0)
		{
			CHECK(width > 0);
			return;
		}
		i += width;
	}
}

static void
fuzz_answer(const Connector *connector, const char *seed)
{
	size_t		len = strlen(seed);
	char	   *body = mutate(seed, &len);
	HttpResponse response = make_answer(next_random(2) == 0 ? 200 : 400, JSON, body, len);
	Row		  **rows = three_rows();
	ConnectorAnswer answer;

	/* exactly the bytes there are, so that one too many is seen */
	response.body = palloc(len + 1);
	memcpy(response.body, body, len);
	response.body[len] = '\0';
	act_connector_read(connector, &scope, &response, rows, 3, 0, &answer);
	check_kept(answer.message, 2100);
	for (int i = 0; i < 3; i++)
	{
		CHECK((rows[i]->outcome == ROW_UNDECIDED) == (answer.verdict != VERDICT_ROWS));
		check_kept(rows[i]->message, 2000);
		check_kept(rows[i]->new_external_id, 1000);
	}
}

/* ------------------------------------------------------------------ lookups */

#define LOOKUP_DOCUMENT(answer) \
	"{\"options\": {\"base_url\": {\"kind\": \"url\"}}, \"operations\": {\"upsert\": {\"request\": {\"method\": \"POST\"}}," \
	" \"lookup\": {\"batch\": {\"max_rows\": 10}, \"request\": {\"method\": \"POST\", \"body\": {\"values\":" \
	" {\"$rows\": \"{{row.match}}\"}}}, \"answer\": " answer "}}}"

#define BY_MATCH "{\"by\": \"match\", \"match\": \"/{{sync.match}}\", \"compare\": [\"trim\", \"lower\"]," \
	" \"items\": \"/r\", \"external_id\": \"/id\", \"fields\": \"\"}"

static Row **
looked_up_rows(void)
{
	Row		  **rows = palloc(3 * sizeof(Row *));

	rows[0] = make_row(ROW_OP_UPSERT, "{\"id\": 1}", "{\"m\":\"Ann \",\"v\":1.50}", NULL);
	rows[1] = make_row(ROW_OP_UPSERT, "{\"id\": 2}", "{\"m\":\"bob\",\"v\":true}", NULL);
	rows[2] = make_row(ROW_OP_UPSERT, "{\"id\": 3}", "{\"m\":\"eve\",\"v\":{\"a\":[null,1]}}", NULL);
	return rows;
}

static ConnectorScope
lookup_scope(void)
{
	static char *match[] = {"m"};
	static char *key[] = {"id"};
	ConnectorScope by_match = scope;

	by_match.nmatch = 1;
	by_match.match_names = match;
	by_match.nkeys = 1;
	by_match.key_names = key;
	return by_match;
}

static Verdict
look_up(const char *document, const char *body, size_t len, ConnectorFound *found)
{
	ConnectorScope by_match = lookup_scope();
	Connector  *connector = act_connector_compile("x", document);
	HttpResponse response = make_answer(200, JSON, body, len);
	ConnectorAnswer answer;

	act_connector_read_lookup(connector, &by_match, &response, looked_up_rows(), 3, 0, &answer, found);
	check_kept(answer.message, 2100);
	return answer.verdict;
}

static void
test_lookups_find_whose_record_it_is(void)
{
	static const char by_match[] = LOOKUP_DOCUMENT(BY_MATCH);
	static const char by_default[] = "{\"match\": {\"compare\": [\"lower\"]}, "
		"\"operations\": {\"upsert\": {\"request\": {\"method\": \"POST\"}}, \"lookup\": {\"request\": {\"method\": \"GET\"},"
		" \"answer\": {\"by\": \"match\", \"match\": \"/m\", \"items\": \"/r\", \"external_id\": \"/id\"}}}}";
	static const char by_place[] = LOOKUP_DOCUMENT("{\"by\": \"position\", \"items\": \"/r\", \"external_id\": \"/id\"}");
	static const char told[] = LOOKUP_DOCUMENT("{\"by\": \"position\", \"items\": \"/r\", \"external_id\": \"/id\","
											   " \"none\": {\"at\": \"/status\", \"in\": [404]}}");
	static const char by_key[] = LOOKUP_DOCUMENT("{\"by\": \"key\", \"key\": \"/k\", \"items\": \"/r\", \"external_id\": \"/id\"}");
	ConnectorFound found[3];
	const char *body;

	body = "{\"r\": [{\"m\": \"BOB\", \"id\": 9, \"v\": \"true\"}, {\"m\": \" ann\", \"id\": \"x\", \"v\": \"1.5\"}, {\"m\": \"zoe\", \"id\": 1}]}";
	CHECK(look_up(by_match, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[0].count == 1 && !found[0].same);	/* its name is spelt otherwise */
	check_text_at(found[1].external_id, "9", __LINE__);
	CHECK(found[1].count == 1 && !found[1].same && found[2].count == 0);

	body = "{\"r\": [{\"m\": \"bob\", \"id\": 9, \"v\": \"true\"}, {\"m\": \"eve\", \"id\": 8, \"v\": {\"a\": [null, \"1\"], \"b\": 2}}]}";
	CHECK(look_up(by_match, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[1].same && found[2].same && found[0].count == 0);

	body = "{\"r\": [{\"m\": \"bob\", \"id\": 9}, {\"m\": \"bob\", \"id\": 8}, {\"m\": \"eve\", \"id\": 7}, {\"m\": \"eve\", \"id\": 7}]}";
	CHECK(look_up(by_match, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[1].count == 2 && found[2].count == 1);

	body = "{\"r\": [{\"m\": \"BOB\", \"id\": 9}]}";	/* as the document compares match values */
	CHECK(look_up(by_default, body, strlen(body), found) == VERDICT_ROWS && found[1].count == 1);

	body = "{\"r\": [null, {\"id\": 5}, {\"id\": null}]}";
	CHECK(look_up(by_place, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[0].count == 0 && found[1].count == 1 && found[2].count == 0);
	body = "{\"r\": [{\"id\": 5}]}";
	CHECK(look_up(by_place, body, strlen(body), found) == VERDICT_UNCERTAIN);

	body = "{\"r\": [{\"status\": 404}, {\"id\": 5}, {\"status\": 404}]}";
	CHECK(look_up(told, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[0].count == 0 && found[1].count == 1 && found[2].count == 0);
	body = "{\"r\": [{\"status\": 404}, {\"id\": 5}, {\"status\": 503}]}";
	CHECK(look_up(told, body, strlen(body), found) == VERDICT_UNCERTAIN);

	body = "{\"r\": [{\"k\": {\"id\": 3}, \"id\": 5}, {\"k\": 1, \"id\": 6}]}";
	CHECK(look_up(by_key, body, strlen(body), found) == VERDICT_ROWS);
	CHECK(found[0].count == 1 && found[1].count == 0 && found[2].count == 1);

	body = "{\"r\": [{\"m\": \"bob\"}]}";
	CHECK(look_up(by_match, body, strlen(body), found) == VERDICT_UNCERTAIN);
	CHECK(look_up(by_match, "{\"x\": 1}", 8, found) == VERDICT_UNCERTAIN);
	CHECK(look_up(by_match, "{\"r\"", 4, found) == VERDICT_UNCERTAIN);
}

static void
check_number(const char *a, const char *b, bool same)
{
	StringInfoData x;
	StringInfoData y;

	initStringInfo(&x);
	initStringInfo(&y);
	CHECK(act_json_append_number(&x, a) && act_json_append_number(&y, b));
	CHECK((strcmp(x.data, y.data) == 0) == same);
}

static void
test_numbers_are_the_same_by_value(void)
{
	static const char *const no_numbers[] = {"", "-", "007", "1.", ".5", "1e", "1e+", "0x1", "1 ", "+1", "1e+-5", "1e999999999999"};
	StringInfoData buf;

	check_number("1.50", "1.5", true);
	check_number("100", "1e2", true);
	check_number("0.010", "1E-2", true);
	check_number("-0", "0.000", true);
	check_number("12345678901234567890.10", "12345678901234567890.1", true);
	check_number("12345678901234567890", "12345678901234567891", false);
	check_number("1", "-1", false);
	check_number("10", "1", false);
	initStringInfo(&buf);
	for (int i = 0; i < lengthof(no_numbers); i++)
		CHECK(!act_json_append_number(&buf, no_numbers[i]));
}

static void
fuzz_lookup(const char *seed)
{
	static const char document[] = LOOKUP_DOCUMENT(BY_MATCH);
	ConnectorFound found[3];
	size_t		len = strlen(seed);
	char	   *body = mutate(seed, &len);
	char	   *exact = palloc(len + 1);

	memcpy(exact, body, len);
	exact[len] = '\0';
	(void) look_up(document, exact, len, found);
	for (int i = 0; i < 3; i++)
		CHECK((found[i].external_id != NULL) == (found[i].count > 0));
}

static void
fuzz_document(const char *seed)
{
	size_t		len = strlen(seed);
	char	   *spec = mutate(seed, &len);
	Connector  *volatile connector = NULL;
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\": 7}", "{\"a\":[1,\"x\"]}", "id");
	HttpRequest request;

	if (THROWS(connector = act_connector_compile("webhook", spec)))
	{
		CHECK(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE ||
			  stub_error.sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED);
		return;
	}
	(void) THROWS(act_connector_render(connector, &scope, &row, 1, &request));
	(void) THROWS(act_connector_secret_problem(connector, &scope));
	(void) act_connector_row_bytes(connector, &scope, row);
}

static void
test_mutations(void)
{
	static const char *const answers[] = {
		"{\"results\":[{\"status\":\"accepted\",\"id\":12345678901234567890},{\"status\":\"absent\"},"
		"{\"status\":\"rejected\",\"error\":{\"a\":[1,2.5,\"\\ud83d\\ude00\"]},\"retry\":false}]}",
		"{\"error\":\"\\u00e9\xe2\x82\xac \\n\",\"results\":[null,true,-1e5]}",
	};
	const char *count = getenv("FUZZ");
	const char *seed = getenv("SEED");
	int			n = count == NULL ? 100000 : atoi(count);
	Connector  *connector = NULL;
	char	   *webhook_seed = strdup(read_whole_file(SRC_DIR "/connectors/webhook.json"));

	random_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	for (int i = 0; i < n; i++)
	{
		if (i % 100 == 0)
		{
			stub_reset();
			connector = webhook();
		}
		if (i % 10 == 0)
			fuzz_document(webhook_seed);
		else if (i % 7 == 3)
			fuzz_lookup("{\"r\": [{\"m\": \"BOB\", \"id\": 9, \"v\": \"true\"}, {\"m\": \"eve\", \"id\": \"x\", \"v\": {\"a\": [null, 1e0]}}]}");
		else
			fuzz_answer(connector, answers[i % lengthof(answers)]);
	}
	free(webhook_seed);
}

#define RUN(test) (test(), stub_reset())

int
main(void)
{
	set(options, "base_url", "https://example.com/hook");
	RUN(test_each_operation_renders_as_documented);
	RUN(test_a_batch_mixes_operations);
	RUN(test_the_idempotency_key_belongs_to_rows_and_order);
	RUN(test_a_unit_is_one_request);
	RUN(test_urls_cannot_be_broken_out_of);
	RUN(test_credentials_by_the_secret_present);
	RUN(test_signatures_are_those_of_standard_webhooks);
	RUN(test_results_decide_row_by_row);
	RUN(test_silence_accepts);
	RUN(test_what_cannot_be_read_leaves_rows_in_doubt);
	RUN(test_hostile_answers);
	RUN(test_statuses_have_meanings);
	RUN(test_the_check_request);
	RUN(test_templates_render_typed_values);
	RUN(test_rows_of_a_mix_may_look_different);
	RUN(test_rules_come_before_the_defaults);
	RUN(test_documents_are_refused_by_name);
	RUN(test_small_tools);
	RUN(test_lookups_find_whose_record_it_is);
	RUN(test_numbers_are_the_same_by_value);
	RUN(test_mutations);
	printf("connector_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
