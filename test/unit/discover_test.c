/*-------------------------------------------------------------------------
 *
 * discover_test.c
 *	  What destinations tell of their objects, fields and accounts, in the
 *	  shapes that vendors' answers have, and in made-up ones.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * answers that are made other (default 20000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_discover.h"
#include "fuzz.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

#define NOW INT64CONST(1795415400000)	/* 2026-11-23 06:30:00 UTC */

static int	checks;
static int	failures;

static void
check_text_at(const char *got, const char *wanted, int line)
{
	checks++;
	if (strcmp(got, wanted) == 0)
		return;
	failures++;
	fprintf(stderr, "discover_test.c:%d:\n  got    %s\n  wanted %s\n", line, got, wanted);
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, __LINE__)

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return pg_strcasecmp(name, "Content-Type") == 0 ? "application/json" : NULL;
}

static const char *
option(void *arg, const char *name)
{
	return strcmp(name, "base_url") == 0 ? "https://api.example.com/v1" : NULL;
}

static const char *
secret(void *arg, const char *name)
{
	return NULL;
}

static ConnectorScope scope = {.object = "contacts",.option = option,.secret = secret};

static Connector *
document(const char *member, const char *section)
{
	return act_connector_compile("t", psprintf("{\"name\": \"t\", \"%s\": %s, \"operations\": {\"upsert\": {"
											   "\"idempotent\": true, \"batch\": {\"max_rows\": 100},"
											   " \"request\": {\"body\": {\"r\": {\"$rows\": \"{{row.key}}\"}}}}}}", member, section));
}

static HttpResponse
answer_of(const char *body, size_t len)
{
	return (HttpResponse)
	{
		.transport = HTTP_ANSWERED,.status = 200,.body = unconstify(char *, body),.body_len = len
	};
}

/* name[!=title]:type with ! required, - read-only, = unique, {values} */
static char *
shown(const Connector *connector, int number, const char *body, size_t len)
{
	HttpResponse response = answer_of(body, len);
	ConnectorAnswer answer;
	DiscoveredPage page;
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	act_connector_read_discovery(connector, &scope, number, &response, NOW, &answer, &page);
	if (answer.verdict != VERDICT_ROWS)
		return answer.message;
	foreach(cell, page.items)
	{
		const Discovered *item = lfirst(cell);
		ListCell   *value;

		appendStringInfo(&buf, "%s%s", buf.len > 0 ? " " : "", item->name);
		if (item->title != NULL)
			appendStringInfo(&buf, "(%s)", item->title);
		if (item->type != NULL)
			appendStringInfo(&buf, ":%s", item->type);
		appendStringInfo(&buf, "%s%s%s", item->required ? "!" : "", item->writable ? "" : "-", item->is_unique ? "=" : "");
		foreach(value, item->values)
			appendStringInfo(&buf, "%s%s%s", value == list_head(item->values) ? "{" : ",", (char *) lfirst(value),
							 value == list_tail(item->values) ? "}" : "");
	}
	if (page.passed_over > 0)
		appendStringInfo(&buf, " passed over: %d", page.passed_over);
	if (page.next != NULL)
		appendStringInfo(&buf, " next: %s", page.next);
	return buf.data;
}

#define FIELDS(section, body) shown(document("discover", "{\"fields\": " section "}"), DISCOVER_FIELDS, body, strlen(body))
#define OBJECTS(section, body) shown(document("discover", "{\"objects\": " section "}"), 0, body, strlen(body))

/* ----------------------------------------------------------------
 *		Tests
 * ----------------------------------------------------------------
 */

#define HUBSPOT "{\"request\": {\"method\": \"GET\"}, \"items\": \"/results\", \"next\": \"/paging/next/link\"," \
	" \"field\": \"/name\", \"title\": \"/label\", \"type\": [\"/fieldType\", \"/type\"]," \
	" \"types\": {\"string\": \"text\", \"enumeration\": \"text\", \"bool\": \"boolean\", \"datetime\": \"timestamp\", \"checkbox\": \"array\"}," \
	" \"writable\": {\"at\": \"/modificationMetadata/readOnlyValue\", \"not\": true}, \"unique\": \"/hasUniqueValue\"," \
	" \"values\": \"/options/*/value\"}"
#define HUBSPOT_ANSWER "{\"results\": [{\"name\": \"email\", \"label\": \"E-mail\", \"type\": \"string\", \"fieldType\": \"text\"," \
	" \"hasUniqueValue\": true, \"options\": [], \"modificationMetadata\": {\"readOnlyValue\": false}}," \
	" {\"name\": \"stage\", \"type\": \"enumeration\", \"fieldType\": \"select\", \"options\": [{\"value\": \"lead\"}, {\"value\": \"customer\"}]}," \
	" {\"name\": \"tags\", \"type\": \"enumeration\", \"fieldType\": \"checkbox\"}," \
	" {\"name\": \"createdate\", \"type\": \"datetime\", \"fieldType\": \"date\", \"modificationMetadata\": {\"readOnlyValue\": true}}," \
	" {\"label\": \"nameless\"}], \"paging\": {\"next\": {\"link\": \"https://api.example.com/v1/p?after=2\"}}}"

static void
test_results_with_metadata(void)
{
	CHECK_TEXT(FIELDS(HUBSPOT, HUBSPOT_ANSWER),
			   "email(E-mail):text= stage:text{lead,customer} tags:array createdate:date- passed over: 1"
			   " next: https://api.example.com/v1/p?after=2");
	CHECK_TEXT(FIELDS(HUBSPOT, "{\"results\": []}"), "");
	CHECK_TEXT(FIELDS(HUBSPOT, "{\"results\": null}"), "");
	CHECK_TEXT(FIELDS(HUBSPOT, "{\"status\": \"error\"}"), "HTTP 200, but the answer has no such list");
	CHECK_TEXT(FIELDS(HUBSPOT, "{\"results\": 7}"), "HTTP 200, but the list of the answer is no array and no object");
}

static void
test_describe_with_several_flags(void)
{
	CHECK_TEXT(FIELDS("{\"request\": {\"method\": \"GET\"}, \"items\": \"/fields\", \"field\": \"/name\", \"title\": \"/label\","
					  " \"type\": \"/type\", \"types\": {\"string\": \"text\", \"double\": \"number\", \"picklist\": \"text\"},"
					  " \"required\": {\"all\": [\"/createable\", {\"at\": \"/nillable\", \"in\": [false]}, {\"at\": \"/defaultedOnCreate\", \"not\": true}]},"
					  " \"writable\": {\"any\": [\"/createable\", \"/updateable\"]},"
					  " \"unique\": {\"any\": [\"/externalId\", \"/unique\", {\"at\": \"/name\", \"in\": [\"Id\"]}]}, \"values\": \"/picklistValues/*/value\"}",
					  "{\"fields\": [{\"name\": \"Id\", \"type\": \"id\", \"createable\": false, \"updateable\": false, \"nillable\": false, \"defaultedOnCreate\": true},"
					  " {\"name\": \"LastName\", \"label\": \"Last Name\", \"type\": \"string\", \"createable\": true, \"updateable\": true, \"nillable\": false, \"defaultedOnCreate\": false},"
					  " {\"name\": \"Ref__c\", \"type\": \"double\", \"createable\": true, \"updateable\": false, \"nillable\": true, \"externalId\": true},"
					  " {\"name\": \"Rating\", \"type\": \"picklist\", \"createable\": true, \"nillable\": true, \"picklistValues\": [{\"value\": \"Hot\"}, {\"value\": \"Cold\"}]}]}"),
			   "Id:id-= LastName(Last Name):text! Ref__c:number= Rating:text{Hot,Cold}");
}

/* The index that answers may be called otherwise than the alias that was asked for. */
static void
test_members_are_fields(void)
{
	CHECK_TEXT(FIELDS("{\"request\": {\"method\": \"GET\"}, \"items\": \"/*/mappings/properties\", \"field\": \"$key\", \"type\": \"/type\","
					  " \"types\": {\"keyword\": \"text\", \"long\": \"integer\"}}",
					  "{\"contacts-000001\": {\"mappings\": {\"properties\": {\"email\": {\"type\": \"keyword\"}, \"age\": {\"type\": \"long\"}, \"place\": {\"type\": \"geo_point\"}}}}}"),
			   "email:text age:integer place:geo_point");
	CHECK_TEXT(FIELDS("{\"request\": {\"method\": \"GET\"}, \"items\": \"/definitions/{{sync.object}}/properties\", \"field\": \"$key\","
					  " \"type\": [\"/format\", \"/type\"], \"types\": {\"character varying\": \"text\", \"timestamp with time zone\": \"timestamp\"},"
					  " \"required\": {\"names\": \"/definitions/{{sync.object}}/required\"}, \"unique\": {\"at\": \"/description\", \"contains\": \"<pk/>\"}, \"values\": \"/enum\"}",
					  "{\"definitions\": {\"other\": {\"properties\": {\"x\": {}}}, \"contacts\": {\"required\": [\"id\"], \"properties\": {"
					  "\"id\": {\"type\": \"integer\", \"format\": \"int8\", \"description\": \"Note:\\nThis is a Primary Key.<pk/>\"},"
					  " \"mail\": {\"format\": \"character varying\"}, \"mood\": {\"type\": \"string\", \"format\": \"mood\", \"enum\": [\"ok\", \"sad\"]}}}}}"),
			   "id:integer!= mail:text mood:mood{ok,sad}");
}

static void
test_fields_with_schemas(void)
{
	CHECK_TEXT(FIELDS("{\"request\": {\"method\": \"GET\", \"path\": \"/fields/{{sync.object}}\"}, \"items\": \"/data\", \"field\": \"/field\", \"type\": \"/type\","
					  " \"types\": {\"string\": \"text\", \"uuid\": \"text\"}, \"unique\": {\"any\": [\"/schema/is_primary_key\", \"/schema/is_unique\"]},"
					  " \"required\": {\"all\": [{\"at\": \"/schema/is_nullable\", \"in\": [false]}, {\"at\": \"/schema/default_value\", \"in\": [null]}]},"
					  " \"writable\": {\"at\": \"/meta/readonly\", \"not\": true}}",
					  "{\"data\": [{\"field\": \"id\", \"type\": \"uuid\", \"schema\": {\"is_primary_key\": true, \"is_nullable\": false, \"default_value\": null}},"
					  " {\"field\": \"name\", \"type\": \"string\", \"schema\": {\"is_nullable\": false, \"default_value\": \"x\"}, \"meta\": {\"readonly\": true}}]}"),
			   "id:text!= name:text-");
}

static void
test_json_rpc(void)
{
	static const char section[] = "{\"fields\": {\"request\": {\"body\": {\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"list_fields\","
		" \"params\": {\"object\": {\"object_api_name\": \"{{sync.object}}\"}}}}, \"items\": \"/result/fields\","
		" \"field\": \"/field_api_name\", \"title\": \"/label\", \"type\": \"/type\", \"writable\": {\"any\": [\"/createable\", \"/updateable\"]},"
		" \"unique\": \"/identifier\", \"required\": \"/required\"}}";
	Connector  *connector = document("discover", section);
	const char *body = "{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {\"fields\": [{\"field_api_name\": \"ref\", \"label\": \"Ref\","
		" \"identifier\": true, \"required\": true, \"createable\": true, \"updateable\": false, \"type\": \"integer\", \"array\": false}]}}";
	HttpRequest request;

	act_connector_render_discovery(connector, &scope, DISCOVER_FIELDS, NULL, &request);
	CHECK_TEXT(request.method, "POST");
	CHECK_TEXT(pnstrdup(request.body, request.body_len),
			   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list_fields\",\"params\":{\"object\":{\"object_api_name\":\"contacts\"}}}");
	CHECK_TEXT(shown(connector, DISCOVER_FIELDS, body, strlen(body)), "ref(Ref):integer!=");
}

static void
test_objects(void)
{
	CHECK_TEXT(OBJECTS("{\"request\": {\"method\": \"GET\"}, \"items\": \"/lists\", \"object\": \"/id\", \"as\": \"lists/{list}/members\", \"title\": \"/name\"}",
					   "{\"lists\": [{\"id\": 17, \"name\": \"Winback\"}, {\"id\": \"a1\"}]}"),
			   "lists/17/members(Winback) lists/a1/members");
	CHECK_TEXT(OBJECTS("[{\"request\": {\"method\": \"GET\"}, \"items\": \"\", \"object\": \"$key\"}]", "{\"a\": {}, \"b\": {}}"), "a b");
}

static char *
next_url(const char *section, const char *next)
{
	HttpRequest request;
	char	   *volatile url = NULL;

	PG_TRY();
	{
		act_connector_render_discovery(document("discover", section), &scope, DISCOVER_FIELDS, next, &request);
		url = request.url;
	}
	PG_CATCH();
	{
		url = pstrdup(stub_error.message);
	}
	PG_END_TRY();
	return url;
}

static void
test_next_page_is_at_the_same_destination(void)
{
	static const char by_address[] = "{\"fields\": {\"request\": {\"method\": \"GET\", \"path\": \"/f\"}, \"items\": \"/x\", \"field\": \"/n\", \"next\": \"/next\"}}";
	static const char by_cursor[] = "{\"fields\": {\"request\": {\"method\": \"GET\", \"path\": \"/f\", \"query\": {\"limit\": \"2\"}}, \"items\": \"/x\","
		" \"field\": \"/n\", \"next\": \"/next\", \"cursor\": \"after\"}}";

	CHECK_TEXT(next_url(by_address, NULL), "https://api.example.com/v1/f");
	CHECK_TEXT(next_url(by_address, "https://api.example.com/v1/f?p=2"), "https://api.example.com/v1/f?p=2");
	CHECK_TEXT(next_url(by_address, "/v2/f?p=2"), "https://api.example.com:443/v2/f?p=2");
	CHECK_TEXT(next_url(by_address, "https://evil.example.com/f"),
			   "connector \"t\": the answer says that its next page is at \"https://evil.example.com/f\", which is another destination");
	CHECK_TEXT(next_url(by_address, "http://api.example.com/f"),
			   "connector \"t\": the answer says that its next page is at \"http://api.example.com/f\", which is another destination");
	CHECK_TEXT(next_url(by_address, "https://api.example.com@evil.example.com/f"),
			   "connector \"t\": the answer says that its next page is at \"https://api.example.com@evil.example.com/f\", which is no address");
	CHECK_TEXT(next_url(by_address, "/f\r\nHost: x"), "connector \"t\": the answer says that its next page is at \"...\", which is no address");
	CHECK_TEXT(next_url(by_cursor, "a&b=/?#%"), "https://api.example.com/v1/f?limit=2&after=a%26b%3D%2F%3F%23%25");
}

static char *
account_of(const char *section, const char *body)
{
	Connector  *connector = document("account", section);
	HttpResponse response = answer_of(body, strlen(body));
	ConnectorAnswer answer;
	ConnectorAccount account;
	StringInfoData buf;
	ListCell   *cell;

	act_connector_read_account(connector, &scope, &response, NOW, &answer, &account);
	if (answer.verdict != VERDICT_ROWS)
		return answer.message;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s|%s|%s", account.id, account.name ? account.name : "", account.environment ? account.environment : "");
	foreach(cell, account.scopes)
		appendStringInfo(&buf, " +%s", (char *) lfirst(cell));
	foreach(cell, account.missing)
		appendStringInfo(&buf, " -%s", (char *) lfirst(cell));
	return buf.data;
}

static void
test_accounts(void)
{
	static const char section[] = "{\"request\": {\"method\": \"GET\"}, \"id\": \"/id\", \"name\": \"/name\","
		" \"environment\": {\"at\": \"/sandbox\", \"map\": {\"true\": \"sandbox\", \"false\": \"production\"}}, \"scopes\": \"/scope\", \"needs\": [\"a\", \"b\"]}";

	CHECK_TEXT(account_of(section, "{\"id\": 2512345, \"name\": \"Ltd\", \"sandbox\": true, \"scope\": \"a, c\"}"), "2512345|Ltd|sandbox +a +c -b");
	CHECK_TEXT(account_of(section, "{\"id\": \"x\", \"scope\": [\"a\", \"b\"]}"), "x|| +a +b");
	CHECK_TEXT(account_of(section, "{\"name\": \"Ltd\"}"), "HTTP 200, but the answer does not say which account it is");
	CHECK_TEXT(account_of(section, "[]"), "HTTP 200, but the answer does not say which account it is");
}

/* The secret is 4711. */
static char *
hide(void *arg, const char *text)
{
	char	   *hidden = pstrdup(text);
	char	   *at;

	while ((at = strstr(hidden, "4711")) != NULL)
		hidden = psprintf("%.*s****%s", (int) (at - hidden), hidden, at + 4);
	return hidden;
}

static const char *
document_of(const char *body)
{
	Connector  *connector = document("discover", "{\"fields\": {\"request\": {\"method\": \"GET\"}, \"items\": \"\", \"field\": \"/f\"}}");
	HttpResponse response = answer_of(body, strlen(body));
	ConnectorAnswer answer;
	DiscoveredPage page;

	act_connector_set_redactor(connector, hide, NULL);
	act_connector_read_discovery(connector, &scope, DISCOVER_FIELDS, &response, NOW, &answer, &page);
	return ((Discovered *) linitial(page.items))->document ? ((Discovered *) linitial(page.items))->document : "not kept";
}

/* A secret that is told goes out of what is kept, and what is kept of JSON is JSON. */
static void
test_secrets_that_are_told(void)
{
	Connector  *connector = document("account", "{\"request\": {\"method\": \"GET\"}, \"id\": \"/id\", \"scopes\": \"/scope\"}");
	static const char body[] = "{\"id\": \"n4711\", \"scope\": \"read key-4711\"}";
	HttpResponse response = answer_of(body, strlen(body));
	ConnectorAnswer answer;
	ConnectorAccount account;

	CHECK_TEXT(document_of("[{\"f\": \"a\", \"by\": \"u4711\", \"at\": 17}]"), "{\"f\":\"a\",\"by\":\"u****\",\"at\":17}");
	CHECK_TEXT(document_of("[{\"f\": \"a\", \"at\": 47110}]"), "not kept");

	act_connector_set_redactor(connector, hide, NULL);
	act_connector_read_account(connector, &scope, &response, NOW, &answer, &account);
	CHECK_TEXT(account.id, "n****");
	CHECK_TEXT(lsecond(account.scopes), "key-****");
}

/* Whatever a destination answers, nothing is thrown and nothing read that is not there. */
static void
test_any_answer_is_read(void)
{
	fuzz_begin("discover_test", 20000, 20);
	while (fuzz_next())
	{
		size_t		len = strlen(HUBSPOT_ANSWER);
		char	   *body = fuzz_bytes(HUBSPOT_ANSWER, &len);
		char	   *copy = palloc0(len + 1);

		memcpy(copy, body, len);
		fuzz_subject(copy);
		(void) shown(document("discover", "{\"fields\": " HUBSPOT "}"), DISCOVER_FIELDS, copy, len);
	}
	failures += fuzz_end();
}

int
main(void)
{
	static void (*const tests[]) (void) = {
		test_results_with_metadata,
		test_describe_with_several_flags,
		test_members_are_fields,
		test_fields_with_schemas,
		test_json_rpc,
		test_objects,
		test_next_page_is_at_the_same_destination,
		test_accounts,
		test_secrets_that_are_told,
		test_any_answer_is_read,
	};

	for (int i = 0; i < lengthof(tests); i++)
	{
		tests[i] ();
		stub_reset();
	}
	printf("discover_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
