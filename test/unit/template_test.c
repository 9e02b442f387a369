/*-------------------------------------------------------------------------
 *
 * template_test.c
 *	  Templates, filters and the formats of bodies, without a server.
 *
 * Run by make -C test/unit.  HASH_VECTORS names a JSON file of values as ad
 * platforms want them before they are hashed; without it those are skipped,
 * and what stands here is held against the filters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <cjson/cJSON.h>
#include <zlib.h>

#include "connector.h"
#include "document.h"
#include "filter.h"
#include "pg_stub.h"
#include "template.h"

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
	fprintf(stderr, "template_test.c:%d: texts differ\n  got    %s\n  wanted %s\n", line,
			got ? got : "(null)", wanted ? wanted : "(null)");
}

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "template_test.c:%d: %s\n", line, what);
	}
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)
#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)

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

/* ------------------------------------------------------------------- a world */

static const char *
get_option(void *arg, const char *name)
{
	return strcmp(name, "base_url") == 0 ? "https://api.test" : strcmp(name, "region") == 0 ? "eu" : NULL;
}

static const char *
get_secret(void *arg, const char *name)
{
	return strcmp(name, "signing_secret") == 0 ? "key" : NULL;
}

static ConnectorScope scope;

static List *
one_value(List *values, char *name, char *value)
{
	HttpHeader *header = palloc0(sizeof(HttpHeader));

	header->name = name;
	header->value = value;
	return lappend(values, header);
}

static void
add_field(char *name, char *type, bool is_match)
{
	ScopeField *field = palloc0(sizeof(ScopeField));

	field->name = name;
	field->type = type;
	field->is_match = is_match;
	scope.fields = lappend(scope.fields, field);
}

static void
begin(void)
{
	static char *match[] = {"email"};
	static const char *listed[] = {"email", "plan", NULL};

	scope = (ConnectorScope) {
		.sync_name = "health",.object = "lists/7/members",.match = "email",.run_id = 42,
		.run_started_ms = INT64CONST(1700000000123),.now_ms = INT64CONST(1700000001000),
		.nmatch = 1,.match_names = match,.listed_fields = listed,
		.option = get_option,.secret = get_secret
	};
	scope.object_parts = one_value(NIL, "list", "7");
	scope.token = one_value(NIL, "instance_url", "https://na1.test");
	scope.saved = one_value(NIL, "job", "j 1");
}

static Row *
make_row(RowOp op, const char *key, const char *fields, const char *external_id)
{
	Row		   *row = palloc0(sizeof(Row));

	row->op = op;
	row->key = pstrdup(key);
	row->fields = fields == NULL ? NULL : pstrdup(fields);
	row->external_id = external_id == NULL ? NULL : pstrdup(external_id);
	return row;
}

#define ADA "{\"email\":\"Ada@Example.com\",\"plan\":\"pro\",\"score\":71.50,\"tags\":[\"a\",null,\"b\"],\"left\":null,\"vip\":true}"

static char *
document(const char *max_rows, const char *request)
{
	return psprintf("{\"base_url\":\"https://api.test\",\"options\":{\"region\":{}},"
					"\"operations\":{\"upsert\":{\"batch\":{\"max_rows\":%s},\"request\":{%s}}}}", max_rows, request);
}

static HttpRequest
render_document(const char *spec, Row **rows, int nrows)
{
	Connector  *connector = act_connector_compile("test", spec);
	HttpRequest request;

	act_connector_render(connector, &scope, rows, nrows, &request);
	return request;
}

/* The body of a request of one row with these fields. */
static char *
body_of(const char *body)
{
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\":7}", ADA, "x/1");

	row->remembered = one_value(NIL, "etag", "\"e1\"");
	row->found = one_value(NIL, "rev", "3");
	return render_document(document("1", psprintf("\"body\":%s", body)), &row, 1).body;
}

static const char *
header_of(const HttpRequest *request, const char *name)
{
	ListCell   *cell;

	foreach(cell, request->headers)
	{
		HttpHeader *header = lfirst(cell);

		if (strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

/* A value that is JSON, through filters; NULL: they cannot do with it. */
static char *
filtered(const char *filters, const char *value)
{
	cJSON		root = {.type = cJSON_String,.valuestring = unconstify(char *, filters)};
	Document	document = {.connector = "test",.root = &root};
	const FilterChain *chain;
	StringInfoData out;

	initStringInfo(&out);
	chain = act_filter_chain_compile(&document, &root, filters);
	return act_filter_chain_apply(chain, value, strlen(value), &out) ? out.data : NULL;
}

/* ------------------------------------------------------------------- tests */

static void
test_paths(void)
{
	begin();
	CHECK_TEXT(body_of("{\"a\":\"{{row.rest}}\",\"b\":\"{{row.match.email}}\",\"c\":\"{{row.match.plan}}\"}"),
			   "{\"a\":{\"plan\":\"pro\",\"score\":71.50,\"tags\":[\"a\",null,\"b\"],\"left\":null,\"vip\":true},"
			   "\"b\":\"Ada@Example.com\"}");
	CHECK_TEXT(body_of("{\"l\":\"{{row.listed}}\",\"$spread\":\"row.unlisted\"}"),
			   "{\"l\":{\"email\":\"Ada@Example.com\",\"plan\":\"pro\"},\"score\":71.50,\"tags\":[\"a\",null,\"b\"],\"left\":null,\"vip\":true}");
	CHECK_TEXT(body_of("{\"e\":\"{{row.remembered.etag}}\",\"n\":\"{{row.remembered.none}}\",\"r\":\"{{row.found.rev}}\"}"),
			   "{\"e\":\"e1\",\"r\":3}");
	CHECK_TEXT(body_of("{\"ref\":\"{{row.ref}}\",\"list\":\"{{object.list}}\",\"no\":\"{{object.none}}\"}"),
			   "{\"ref\":\"r0\",\"list\":\"7\"}");
	CHECK_TEXT(render_document(document("1,\"by\":\"plan\"", "\"body\":[\"{{batch.by}}\"]"), (Row *[]) {make_row(ROW_OP_UPSERT, "{}", ADA, NULL)}, 1).body,
			   "[\"pro\"]");
	CHECK_TEXT(body_of("{\"s\":\"{{run.started_at}}\",\"n\":\"{{now|epoch}}\",\"t\":\"{{token.instance_url}}/x\",\"j\":\"{{saved.job}}\"}"),
			   "{\"s\":\"2023-11-14T22:13:20.123Z\",\"n\":1700000001,\"t\":\"https://na1.test/x\",\"j\":\"j 1\"}");
	CHECK_TEXT(body_of("{\"{{sync.match}}\":\"{{row.match}}\",\"{{object.list}}s\":1}"),
			   "{\"email\":\"Ada@Example.com\",\"7s\":1}");
	scope.match_names = (char *[]) {"email", "plan"};
	scope.nmatch = 2;
	CHECK_TEXT(body_of("{\"m\":\"{{row.match}}\",\"p\":\"{{row.match.plan}}\"}"),
			   "{\"m\":{\"email\":\"Ada@Example.com\",\"plan\":\"pro\"},\"p\":\"pro\"}");
	scope.nmatch = 0;
	CHECK_TEXT(body_of("{\"m\":\"{{row.match}}\"}"), "{}");
}

static void
test_values_of_all_rows_are_joined_in_the_address(void)
{
	Row		   *rows[400];
	char	   *spec = document("400", "\"method\":\"DELETE\",\"path\":\"/records\",\"query\":{\"ids\":\"{{rows.external_id|join:,}}\"},\"format\":\"none\"");
	Connector  *connector = act_connector_compile("test", spec);
	size_t		bytes = 0;
	int			n = 0;
	HttpRequest request;

	begin();
	for (int i = 0; i < 400; i++)
		rows[i] = make_row(ROW_OP_UPSERT, "{\"id\":7}", "{}", psprintf("0015000000Gv%04d/", i));
	request = render_document(spec, rows, 2);
	CHECK_TEXT(request.url, "https://api.test/records?ids=0015000000Gv0000%2F%2C0015000000Gv0001%2F");
	CHECK(request.body == NULL);

	/* what is measured is what is rendered */
	while (n < 400 && bytes + act_connector_row_url_bytes(connector, &scope, rows[n]) <=
		   act_connector_url_room(connector, &scope, rows[0]))
		bytes += act_connector_row_url_bytes(connector, &scope, rows[n++]);
	act_connector_render(connector, &scope, rows, n, &request);
	CHECK(n > 100 && n < 400);
	CHECK(strlen(request.url) <= ACT_MAX_URL && strlen(request.url) > ACT_MAX_URL - 40);

	rows[1]->external_id = NULL;
	CHECK(THROWS(act_connector_render(connector, &scope, rows, 2, &request)));
	CHECK_TEXT(stub_error.message, "connector \"test\": {{rows.external_id|join:,}} at /operations/upsert/request/query/ids has no value");
	CHECK(THROWS(render_document(document("9", "\"body\":{\"ids\":\"{{rows.external_id|join:,}}\"}"), rows, 2)));
	rows[0]->external_id = psprintf("%09000d", 1);
	CHECK_TEXT(act_connector_size_problem(connector, &scope, rows[0]), "the row makes an address of more than 8000 bytes");
	CHECK(act_connector_size_problem(connector, &scope, rows[2]) == NULL);
}

static void
test_rows_by_operation(void)
{
	static const char spec[] = "{\"base_url\":\"https://api.test\",\"operations\":{"
		"\"add\":{\"mix\":\"m\",\"batch\":{\"max_rows\":9},\"request\":{\"body\":{"
		"\"plus\":{\"$rows\":\"{{row.external_id}}\",\"$of\":[\"add\"],\"$omit_empty\":true},"
		"\"minus\":{\"$rows\":{\"id\":\"{{row.external_id}}\",\"r\":\"{{row.ref}}\"},\"$of\":[\"remove\"]}}}},"
		"\"remove\":{\"mix\":\"m\"%s}}}";
	Row		   *rows[3] = {
		make_row(ROW_OP_ADD, "1", "{}", "a"), make_row(ROW_OP_REMOVE, "2", NULL, "b"), make_row(ROW_OP_ADD, "3", "{}", "c")
	};

	begin();
	CHECK_TEXT(render_document(psprintf(spec, ""), rows, 3).body,
			   "{\"plus\":[\"a\",\"c\"],\"minus\":[{\"id\":\"b\",\"r\":\"r1\"}]}");
	CHECK_TEXT(render_document(psprintf(spec, ""), rows + 1, 1).body, "{\"minus\":[{\"id\":\"b\",\"r\":\"r0\"}]}");
	CHECK_TEXT(render_document(psprintf(spec, ""), rows, 1).body, "{\"plus\":[\"a\"],\"minus\":[]}");
	CHECK_TEXT(render_document(psprintf(spec, ",\"row\":[\"{{row.op}}\"]"), rows, 2).body,
			   "{\"plus\":[\"a\"],\"minus\":[[\"remove\"]]}");
	CHECK(THROWS(act_connector_compile("test", psprintf(spec, "},\"upsert\":{\"mix\":\"m\""))));
	CHECK_TEXT(stub_error.message, "connector \"test\": operation \"upsert\", which no \"$rows\" of its request takes, at /operations/upsert");
	CHECK(THROWS(body_of("{\"a\":{\"$rows\":1,\"$of\":[\"ad\"]}}")));
	CHECK_TEXT(stub_error.hint, "Perhaps you mean \"add\".");
	CHECK(THROWS(body_of("{\"a\":{\"$rows\":1,\"b\":1}}")));
}

static void
test_constructs(void)
{
	begin();
	CHECK_TEXT(body_of("{\"$row\":{\"k\":\"{{row.key.id}}\"}}"), "{\"k\":7}");
	CHECK_TEXT(body_of("{\"v\":{\"$values\":\"row.rest\"},\"n\":{\"$values\":\"row.found.none\"}}"),
			   "{\"v\":[\"pro\",71.50,[\"a\",null,\"b\"],null,true]}");
	CHECK_TEXT(body_of("{\"$wrap\":\"row.rest|strings\",\"with\":{\"v\":\"{{value|upper}}\"}}"),
			   "{\"plan\":{\"v\":\"PRO\"},\"score\":{\"v\":\"71.50\"},\"tags\":{\"v\":\"[\\\"A\\\",NULL,\\\"B\\\"]\"},"
			   "\"left\":{\"v\":null},\"vip\":{\"v\":\"TRUE\"}}");
	CHECK_TEXT(body_of("{\"$wrap\":\"row.rest\",\"with\":{\"text\":{\"stringValue\":\"{{value}}\"},\"number\":{\"doubleValue\":\"{{value}}\"},\"null\":{\"nullValue\":null}}}"),
			   "{\"plan\":{\"stringValue\":\"pro\"},\"score\":{\"doubleValue\":71.50},\"tags\":[\"a\",null,\"b\"],\"left\":{\"nullValue\":null},\"vip\":true}");
	CHECK_TEXT(body_of("{\"$wrap\":\"row.rest\",\"with\":{\"by\":\"field\",\"plan\":{\"number\":\"{{value}}\"},\"left\":\"{{value|default:gone}}\",\"*\":\"{{value}}\"}}"),
			   "{\"plan\":{\"number\":\"pro\"},\"score\":71.50,\"tags\":[\"a\",null,\"b\"],\"left\":\"gone\",\"vip\":true}");

	/* without the mapping, the fields of the row; with it, its order, and null for what is not there */
	CHECK_TEXT(body_of("[{\"$names\":\"fields\"}]"), "[[\"email\",\"plan\",\"score\",\"tags\",\"left\",\"vip\"]]");
	add_field("score", "number", false);
	add_field("email", "text", true);
	add_field("gone", NULL, false);
	CHECK_TEXT(body_of("[{\"$names\":\"fields\",\"wrap\":\"{{value|upper}}\"},{\"$values\":\"row.fields\",\"wrap\":{\"v\":\"{{value}}\"}}]"),
			   "[[\"SCORE\",\"EMAIL\",\"GONE\"],[{\"v\":71.50},{\"v\":\"Ada@Example.com\"},{\"v\":null}]]");
	CHECK_TEXT(body_of("{\"$fields\":{\"t\":\"{{field.type}}\",\"m\":\"{{field.is_match}}\",\"d\":\"{{field.document}}\"}}"),
			   "{\"score\":{\"t\":\"number\",\"m\":false},\"email\":{\"t\":\"text\",\"m\":true},\"gone\":{\"m\":false}}");
	CHECK(THROWS(body_of("{\"a\":\"{{value}}\"}")));
	CHECK_TEXT(stub_error.message, "connector \"test\": {{value}} outside \"wrap\" and \"with\" at /operations/upsert/request/body/a");
	CHECK(THROWS(body_of("{\"a\":\"{{field.name}}\"}")));
	CHECK(THROWS(body_of("{\"a\":{\"$names\":\"rows\"}}")));
	CHECK(THROWS(body_of("{\"a\":{\"$wrap\":\"row.fields\"}}")));
	CHECK_TEXT(stub_error.message, "connector \"test\": member \"with\" is missing at /operations/upsert/request/body/a");
}

static void
test_filters(void)
{
	static const struct
	{
		const char *filters;
		const char *value;
		const char *wanted;		/* NULL: it cannot do with it */
	}			cases[] = {
		{"default:x", "null", "\"x\""}, {"default:x", "7", "7"}, {"default:7|int", "null", "7"}, {"default:", "null", "\"\""},
		{"nullif:", "\"\"", "null"}, {"nullif:n/a", "\"n/a\"", "null"}, {"nullif:1", "1", "null"}, {"nullif:1", "[1]", "[1]"},
		{"nullif:|default:y", "\"\"", "\"y\""}, {"upper", "null", "null"},
		{"digits", "\"a1-2\"", "\"12\""}, {"digits", "\"a\"", NULL},
		{"after:@", "\"a@b@c\"", "\"b@c\""}, {"before:@", "\"a@b@c\"", "\"a\""}, {"before:@", "\"abc\"", "\"abc\""},
		{"first", "[{\"a\":1},2]", "{\"a\":1}"}, {"first", "[]", "null"}, {"first", "3", "3"},
		{"number", "\" 0012.50 \"", "12.50"}, {"number", "\"12345678901234567890.123456789\"", "12345678901234567890.123456789"},
		{"number", "\"-.5\"", "-0.5"}, {"number", "\"5.\"", "5"}, {"number", "\"1e400\"", "1e400"}, {"number", "\"1e\"", NULL},
		{"number", "\"\"", NULL}, {"number", "\"1,5\"", NULL}, {"number", "\"NaN\"", NULL}, {"number", "true", "1"},
		{"int", "\"12.0\"", "12"}, {"int", "12.5", NULL}, {"int", "\"1.25e2\"", "125"}, {"int", "\"1.25e1\"", NULL},
		{"int", "123456789012345678901234567890", "123456789012345678901234567890"}, {"int", "\"-0.0\"", "0"},
		{"int", "\"100e-2\"", "1"}, {"int", "\"1e-1\"", NULL}, {"int", "\"1e99999999\"", NULL}, {"int", "\"0e9\"", "0"}, {"int", "false", "0"},
		{"bool", "\" Yes\"", "true"}, {"bool", "0", "false"}, {"bool", "true", "true"}, {"bool", "2", NULL}, {"bool", "\"\"", NULL},
		{"json", "{\"a\":1}", "\"{\\\"a\\\":1}\""}, {"strings", "{\"a\":1,\"b\":null,\"c\":\"x\",\"d\":true}", "{\"a\":\"1\",\"b\":null,\"c\":\"x\",\"d\":\"true\"}"},
		{"nest:.", "{\"a.b\":1,\"c\":null,\"a.d\":[2],\"e.f.g\":3,\".h\":4,\"i.\":5}", "{\"a\":{\"b\":1,\"d\":[2]},\"c\":null,\"e\":{\"f.g\":3},\".h\":4,\"i.\":5}"},
		{"nest:.", "{}", "{}"}, {"nest:__", "{\"a__b\":1}", "{\"a\":{\"b\":1}}"}, {"nest:.", "7", "7"},
		{"strings", "[1,[2]]", "[\"1\",\"[2]\"]"}, {"strings", "7", "\"7\""}, {"strings", "{}", "{}"},
		{"join:;", "[\"a\",null,2]", "\"a;2\""}, {"join:", "[1,2]", "\"12\""}, {"join:, ", "[1,2]", "\"1, 2\""}, {"join:,", "\"a\"", "\"a\""},
		{"split:,", "\"a,,b\"", "[\"a\",\"\",\"b\"]"}, {"split:,", "\"\"", "[]"}, {"split:,|first", "\"a,b\"", "\"a\""}, {"split:,|join:+", "\"a,b\"", "\"a+b\""},
		{"md5", "\"ada@example.com\"", "\"3e3417d7ef77d5932a6734b916515ed5\""},
		{"sha256", "\"abc\"", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""},
		{"sha256|base64", "\"abc\"", "\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\""},
		{"sha256|base64url", "\"abc\"", "\"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0\""}, {"sha256|hex|upper|after:BA", "\"abc\"", "\"7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\""},
		{"hex", "\"az\"", "\"617a\""}, {"base64url", "\"a?>\"", "\"YT8-\""}, {"unbase64", "\"YT8-\"", "\"a?>\""}, {"unbase64", "\"%\"", NULL},
		{"url", "\"a b/\"", "\"a%20b%2F\""},
		{"epoch", "\"2026-11-23\"", "1795392000"}, {"epoch", "\"1969-12-31T23:59:59.5Z\"", "-1"}, {"epoch_ms", "\"1969-12-31T23:59:59.5Z\"", "-500"},
		{"epoch_ms", "\"2026-11-23T01:02:03.456789+02:00\"", "1795388523456"}, {"epoch", "\"2026-11-23 01:02:03+02\"", "1795388523"},
		{"iso", "\"2026-11-23 01:02:03.450000-0330\"", "\"2026-11-23T04:32:03.45Z\""}, {"iso", "\"2026-11-23 01:02:03\"", "\"2026-11-23T01:02:03Z\""},
		{"iso_ms", "\"2026-11-23\"", "\"2026-11-23T00:00:00.000Z\""}, {"date", "\"2026-11-23T23:30:00-01:00\"", "\"2026-11-24\""},
		{"date", "\"2024-02-29\"", "\"2024-02-29\""}, {"date", "\"2023-02-29\"", NULL}, {"date", "\"0000-01-01\"", NULL}, {"date", "\"infinity\"", NULL},
		{"date", "\"2026-11-23 BC\"", NULL}, {"date", "1700000000", NULL}, {"date", "\"2026-11-23T24:00:00Z\"", "\"2026-11-24\""}, {"date", "\"2026-11-23T24:00:01Z\"", NULL},
		{"date", "\"\"", NULL}, {"iso", "\"12026-01-01\"", "\"12026-01-01T00:00:00Z\""}, {"iso", "\"2026-11-23T01:02:03+\"", NULL}, {"iso", "\"2026-11-23T01\"", NULL},
		{"email", "\" Ada@Example.COM \"", "\"ada@example.com\""}, {"email", "\"ada\"", NULL}, {"email", "\"a b@c\"", NULL}, {"email", "\"@c\"", NULL},
		{"email|gmail", "\"ada.love.lace@Gmail.com\"", "\"adalovelace@gmail.com\""}, {"gmail", "\"a.b@x.com\"", "\"a.b@x.com\""}, {"gmail", "\"..@gmail.com\"", NULL},
		{"phone", "\"+44 (0)20 7946 0018\"", "\"4402079460018\""}, {"phone", "\"0049 30 123456\"", "\"4930123456\""}, {"phone", "\"12\"", NULL},
		{"e164", "\"+1 650-555-0123\"", "\"+16505550123\""}, {"e164", "\"001 650 555 0123\"", "\"+16505550123\""}, {"e164", "\"650-555-0123\"", NULL}, {"e164", "\"+01234567\"", NULL},
		{"name", "\" O'Brien \"", "\"obrien\""}, {"name", "\"Jos\xc3\xa9 Maria\"", "\"jos\xc3\xa9maria\""}, {"name", "\"--\"", NULL}, {"city", "\"New_York\"", "\"newyork\""},
		{"state", "\"C.A.\"", "\"ca\""}, {"zip", "\" 94025-1234\"", "\"94025\""}, {"zip", "\"SW1A 1AA\"", "\"sw1a1aa\""}, {"zip", "\"\"", NULL},
		{"country", "\" US\"", "\"us\""}, {"country", "\"USA\"", NULL}, {"country", "\"\"", NULL}, {"gender", "\"Female\"", "\"f\""}, {"gender", "\"x\"", NULL},

		/* what is a digest already is not hashed again, after a filter of people; elsewhere it is text like any */
		{"email|sha256", "\"B5FC85E55755F9E0D030A10AB4429B6B2944855F9A0D60077FE832BECBC41D72\"", "\"b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72\""},
		{"email|sha256|base64", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"", "\"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\""},
		{"sha256", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"", "\"dfe7a23fefeea519e9bbfdd1a6be94c4b2e4529dd6b7cbea83f9959c2621b13c\""},
	};

	begin();
	for (int i = 0; i < lengthof(cases); i++)
	{
		char	   *got = filtered(cases[i].filters, cases[i].value);

		CHECK_TEXT(got, cases[i].wanted);
		if (got == NULL ? cases[i].wanted != NULL : cases[i].wanted == NULL || strcmp(got, cases[i].wanted) != 0)
			fprintf(stderr, "  %s of %s\n", cases[i].filters, cases[i].value);
	}
	CHECK(THROWS(filtered("hmac_sha256:signing_secret", "1")));
	CHECK_TEXT(stub_error.message, "connector \"test\": filter \"hmac_sha256\" outside \"auth\" at the top level");
	CHECK(THROWS(filtered("before", "1")));
	CHECK(THROWS(filtered("split:", "1")));
	CHECK(THROWS(filtered("lower:x", "1")));
}

/* A value through a filter of a vector's rule, without and with the digest. */
static void
check_vector(const cJSON *vector, const char *filter)
{
	const char *in = cJSON_GetObjectItem(vector, "in")->valuestring;
	const cJSON *sha256 = cJSON_GetObjectItem(vector, "sha256");
	const cJSON *md5 = cJSON_GetObjectItem(vector, "md5");

	CHECK_TEXT(filtered(filter, psprintf("\"%s\"", in)), psprintf("\"%s\"", cJSON_GetObjectItem(vector, "norm")->valuestring));
	if (sha256 != NULL)
		CHECK_TEXT(filtered(psprintf("%s|sha256", filter), psprintf("\"%s\"", in)), psprintf("\"%s\"", sha256->valuestring));
	if (md5 != NULL)
		CHECK_TEXT(filtered(psprintf("%s|md5", filter), psprintf("\"%s\"", in)), psprintf("\"%s\"", md5->valuestring));
}

static void
test_hash_vectors(void)
{
	static const char *const rules[][2] = {
		{"gmail", "gmail"}, {"subscriber_hash", "lower"}, {"google phone", "e164"}, {"email", "email"}, {"phone", "phone"}, {"name", "name"}, {"city", "city"}
	};
	const char *path = getenv("HASH_VECTORS");
	FILE	   *file = path == NULL ? NULL : fopen(path, "r");
	static char text[65536];
	cJSON	   *root;
	const cJSON *vector;

	if (file == NULL)
	{
		printf("template_test: HASH_VECTORS names no file, those are skipped\n");
		return;
	}
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	root = cJSON_Parse(text);
	CHECK(cJSON_GetArraySize(root) > 0);
	cJSON_ArrayForEach(vector, root)
	{
		const char *rule = cJSON_GetObjectItem(vector, "rule")->valuestring;
		const char *filter = NULL;

		for (int i = 0; i < lengthof(rules) && filter == NULL; i++)
			filter = strstr(rule, rules[i][0]) != NULL ? rules[i][1] : NULL;
		CHECK(filter != NULL);
		if (filter != NULL)
			check_vector(vector, filter);
	}
	cJSON_Delete(root);
}

static void
test_lines(void)
{
	static const char spec[] = "{\"base_url\":\"https://api.test\",\"operations\":{"
		"\"upsert\":{\"mix\":\"m\",\"batch\":{\"max_rows\":9},\"request\":{\"format\":\"ndjson\",\"lines\":["
		"{\"index\":{\"_id\":\"{{row.key.id|string}}\"}},\"{{row.fields}}\"]}},"
		"\"delete\":{\"mix\":\"m\"%s}}}";
	Row		   *rows[2] = {make_row(ROW_OP_UPSERT, "{\"id\":7}", "{\"a\":\"x\\ny\"}", NULL), make_row(ROW_OP_DELETE, "{\"id\":8}", NULL, NULL)};
	HttpRequest request;

	begin();
	request = render_document(psprintf(spec, ",\"lines\":[{\"delete\":{\"_id\":\"{{row.key.id|string}}\"}}]"), rows, 2);
	CHECK_TEXT(request.body, "{\"index\":{\"_id\":\"7\"}}\n{\"a\":\"x\\ny\"}\n{\"delete\":{\"_id\":\"8\"}}\n");
	CHECK_TEXT(header_of(&request, "Content-Type"), "application/x-ndjson");
	/* a line without a value is none */
	CHECK_TEXT(render_document(psprintf(spec, ""), rows + 1, 1).body, "{\"index\":{\"_id\":\"8\"}}\n");
	CHECK(THROWS(act_connector_compile("test", psprintf(spec, ",\"row\":{}"))));
	CHECK_TEXT(stub_error.message, "connector \"test\": \"row\", where the request of its mix is of format \"ndjson\", at /operations/delete/row");
	CHECK(THROWS(act_connector_compile("test", document("9", "\"format\":\"ndjson\",\"body\":{}"))));
	CHECK_TEXT(stub_error.hint, "What it sends stands in \"lines\".");
}

static void
test_forms(void)
{
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\":7}", "{\"a b\":\"x&y=\xc3\xa9\",\"n\":null,\"e\":[],\"o\":{\"p\":[1,{\"q\":true}],\"r\":\"\"}}", NULL);
	HttpRequest request;

	begin();
	request = render_document(document("1", "\"format\":\"form\",\"body\":{\"$spread\":\"row.fields\",\"gone\":\"{{row.external_id}}\"}"), &row, 1);
	CHECK_TEXT(request.body, "a%20b=x%26y%3D%C3%A9&n=&e=&o[p][0]=1&o[p][1][q]=true&o[r]=");
	CHECK_TEXT(header_of(&request, "Content-Type"), "application/x-www-form-urlencoded");
	CHECK_TEXT(render_document(document("1", "\"format\":\"form\",\"body\":{}"), &row, 1).body, "");
}

static void
test_csv(void)
{
	Row		   *rows[3] = {
		make_row(ROW_OP_UPSERT, "{\"id\":7}", "{\"email\":\"a\",\"t\":\"x,\\\"y\\\"\\nz\",\"n\":null,\"e\":\"\",\"w\":\" s\"}", NULL),
		make_row(ROW_OP_UPSERT, "{\"id\":8}", "{\"n\":\"#N/A\",\"email\":\"b\",\"j\":[1,2],\"b\":true}", NULL),
		make_row(ROW_OP_UPSERT, "{\"id\":9}", "{}", NULL)
	};
	HttpRequest request;

	begin();
	request = render_document(document("9", "\"format\":\"csv\",\"null_as\":\"#N/A\",\"columns\":{\"{{sync.match}}\":\"{{row.match}}\",\"id\":\"k{{row.key.id}}\",\"$spread\":\"row.fields\"}"), rows, 3);
	CHECK_TEXT(request.body,
			   "email,id,t,n,e,w,j,b\n"
			   "a,k7,\"x,\"\"y\"\"\nz\",#N/A,\"\",\" s\",,\n"
			   "b,k8,,\"#N/A\",,,\"[1,2]\",true\n"
			   ",k9,,,,,,\n");
	CHECK_TEXT(header_of(&request, "Content-Type"), "text/csv");
	CHECK_TEXT(render_document(document("9", "\"format\":\"csv\",\"null_as\":\"#N/A\",\"empty_as\":\"#N/A\",\"columns\":{\"$spread\":\"row.rest\"}"), rows, 1).body,
			   "t,n,e,w\n\"x,\"\"y\"\"\nz\",#N/A,#N/A,\" s\"\n");
	/* with nothing for null, an empty text is told from it */
	CHECK_TEXT(render_document(document("9", "\"format\":\"csv\",\"columns\":{\"$spread\":\"row.rest\"},\"content_type\":\"text/csv; charset=UTF-8\""), rows, 1).body,
			   "t,n,e,w\n\"x,\"\"y\"\"\nz\",,\"\",\" s\"\n");
	CHECK(THROWS(render_document(document("9", "\"format\":\"csv\",\"columns\":{\"email\":\"a\",\"{{sync.match}}\":\"b\"}"), rows, 1)));
	CHECK_TEXT(stub_error.message, "two columns of a CSV body have the name \"email\"");
	CHECK(THROWS(act_connector_compile("test", document("9", "\"empty_as\":\"x\",\"body\":{\"$rows\":1}"))));
	CHECK(THROWS(act_connector_compile("test", document("9", "\"null_as\":\"x\",\"body\":{\"$rows\":1}"))));
}

static void
test_text_and_gzip(void)
{
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\":7}", "{\"email\":\"a\"}", NULL);
	static char plain[1000];
	z_stream	stream = {0};
	HttpRequest request;

	begin();
	request = render_document(document("1", "\"format\":\"text\",\"body\":\"hello {{row.fields.email}}\",\"compress\":\"gzip\""), &row, 1);
	CHECK_TEXT(request.body, "hello a");
	CHECK_TEXT(header_of(&request, "Content-Type"), "text/plain; charset=utf-8");
	CHECK_TEXT(header_of(&request, "Content-Encoding"), "gzip");
	CHECK(inflateInit2(&stream, 15 + 16) == Z_OK);
	stream.next_in = (Bytef *) request.packed;
	stream.avail_in = request.packed_len;
	stream.next_out = (Bytef *) plain;
	stream.avail_out = sizeof(plain);
	CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
	inflateEnd(&stream);
	CHECK_TEXT(plain, "hello a");
	CHECK_TEXT(render_document(document("1", "\"body\":\"{{row.fields}}\""), &row, 1).body, "{\"email\":\"a\"}");
}

static void
test_rows_that_cannot_be_rendered(void)
{
	Row		   *row = make_row(ROW_OP_UPSERT, "{\"id\":7}", "{\"phone\":\"none\",\"empty\":\"\"}", NULL);
	static const struct
	{
		const char *request;
		const char *problem;
	}			cases[] = {
		{"\"body\":{\"p\":\"{{row.fields.phone|phone|sha256}}\"}", "the value of {{row.fields.phone|phone|sha256}} cannot stand where the request has it"},
		{"\"body\":{\"p\":\"+{{row.fields.fax}}\"}", "{{row.fields.fax}} has no value, and the request cannot do without"},
		{"\"body\":{\"p\":\"{{row.fields.fax|phone}}\"}", NULL},
		{"\"path\":\"/x/{{row.fields.empty}}\"", NULL},	/* an empty segment is seen when it is known to be all */
		{"\"path\":\"/x/{{row.external_id}}/y-{{row.external_id}}\"", NULL},
		{"\"body\":{\"$spread\":\"row.fields.phone\"}", "the value of {{row.fields.phone}} cannot stand where the request has it"},
		{"\"body\":{\"$wrap\":\"row.fields\",\"with\":\"{{value|int}}\"}", "the value of {{value|int}} cannot stand where the request has it"},
		{"\"format\":\"csv\",\"columns\":{\"a\":\"{{row.fields.phone|int}}\"}", "the value of {{row.fields.phone|int}} cannot stand where the request has it"},
		{"\"format\":\"ndjson\",\"lines\":[{\"a\":\"{{row.fields.phone|int}}\"}]", "the value of {{row.fields.phone|int}} cannot stand where the request has it"},
		{"\"body\":{\"p\":\"{{row.fields.phone|upper}}\"}", NULL},
	};

	begin();
	for (int i = 0; i < lengthof(cases); i++)
		CHECK_TEXT(act_connector_row_problem(act_connector_compile("test", document("1", cases[i].request)), &scope, row),
				   cases[i].problem);
	CHECK(THROWS(render_document(document("9", "\"body\":{\"a\":{\"$rows\":{\"p\":\"{{row.fields.phone|int}}\"}}}"), &row, 1)));
	CHECK_TEXT(stub_error.message, "connector \"test\": {{row.fields.phone|int}} at /operations/upsert/request/body/a/$rows has a value that cannot stand there");
	CHECK_TEXT(stub_error.detail, "The row is {\"id\":7}.");
}

/* What a batch is measured with is seldom less than what is rendered, and not much more. */
static void
test_measures(void)
{
	static const char *const requests[] = {
		"\"body\":{\"inputs\":{\"$rows\":{\"id\":\"{{row.match}}\",\"ref\":\"{{row.ref}}\",\"properties\":{\"$spread\":\"row.fields|strings\"}}}}",
		"\"format\":\"ndjson\",\"lines\":[{\"index\":{\"_id\":\"{{row.key.id}}\"}},\"{{row.fields}}\"]",
		"\"format\":\"csv\",\"columns\":{\"$spread\":\"row.fields\"}",
		"\"body\":{\"data\":{\"$rows\":{\"$values\":\"row.fields\",\"wrap\":{\"text\":{\"stringValue\":\"{{value}}\"}}}}}",
		"\"body\":{\"a\":{\"$rows\":{\"e\":\"{{row.fields.email}}\",\"p\":\"{{row.fields.plan}}\",\"s\":\"{{row.fields.score}}\"}}}",
		"\"format\":\"form\",\"body\":{\"a\":{\"$rows\":{\"e\":\"{{row.fields.email}}\"}}}",
	};
	Row		   *rows[100];

	begin();
	for (int i = 0; i < 100; i++)
		rows[i] = make_row(ROW_OP_UPSERT, psprintf("{\"id\":%d}", 100 + i), ADA, NULL);
	for (int i = 0; i < lengthof(requests); i++)
	{
		Connector  *connector = act_connector_compile("test", document("100", requests[i]));
		size_t		measured = 100 * act_connector_row_bytes(connector, &scope, rows[0]);
		HttpRequest request;

		act_connector_render(connector, &scope, rows, 100, &request);
		CHECK(measured + 100 >= request.body_len);
		CHECK(measured < 4 * request.body_len);
		if (measured + 100 < request.body_len || measured >= 4 * request.body_len)
			fprintf(stderr, "  %s: measured %zu, rendered %zu\n", requests[i], measured, request.body_len);
	}
}

int
main(void)
{
	static void (*const tests[]) (void) = {
		test_paths, test_values_of_all_rows_are_joined_in_the_address, test_rows_by_operation, test_constructs,
		test_filters, test_hash_vectors, test_lines, test_forms, test_csv, test_text_and_gzip,
		test_rows_that_cannot_be_rendered, test_measures
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
	printf("template_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
