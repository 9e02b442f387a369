/*-------------------------------------------------------------------------
 *
 * object_test.c
 *	  Objects of a document: patterns, descriptions, what is refused; and
 *	  documents that extend another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_extend.h"
#include "connector_private.h"
#include "pg_stub.h"

#undef printf
#undef fprintf

static int	checks;
static int	failures;

static void
check_at(bool holds, int line, const char *what)
{
	checks++;
	if (holds)
		return;
	failures++;
	fprintf(stderr, "object_test.c:%d: %s\n", line, what);
}

static void
check_text_at(const char *got, const char *wanted, int line)
{
	bool		same = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	check_at(same, line, psprintf("got %s, wanted %s", got == NULL ? "NULL" : got, wanted == NULL ? "NULL" : wanted));
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

/* No answers are read. */
const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

/* "a=1 b=2", or NULL where the object does not fit. */
static char *
parts_of(const char *pattern, const char *object)
{
	StringInfoData buf;
	List	   *parts;
	ListCell   *cell;

	if (!act_object_fits(pattern, object, &parts))
		return NULL;
	initStringInfo(&buf);
	foreach(cell, parts)
	{
		const HttpHeader *part = lfirst(cell);

		appendStringInfo(&buf, "%s%s=%s", buf.len > 0 ? " " : "", part->name, part->value);
	}
	return buf.data;
}

static void
test_patterns_take_names_apart(void)
{
	static const struct
	{
		const char *pattern;
		const char *object;
		const char *parts;
	}			cases[] = {
		{"contacts", "contacts", ""},
		{"contacts", "contact", NULL},
		{"contacts", "contacts2", NULL},
		{"contacts", "Contacts", NULL},
		{"lists/{list}/members", "lists/7/members", "list=7"},
		{"lists/{list}/members", "lists//members", NULL},
		{"lists/{list}/members", "lists/7/8/members", NULL},
		{"lists/{list}/members", "lists/7/members/x", NULL},
		{"{spreadsheet}!{sheet}", "abc!Sheet 1", "spreadsheet=abc sheet=Sheet 1"},
		{"{spreadsheet}!{sheet}", "abc!a!b", "spreadsheet=abc sheet=a!b"},
		{"{spreadsheet}!{sheet}", "!a", NULL},
		{"{spreadsheet}!{sheet}", "a!", NULL},
		{"{a}-{b}", "--x", "a=- b=x"},
		{"{a}.csv", "x.csv.csv", "a=x.csv"},
		{"{a}.csv", ".csv", NULL},
		{"{path...}", "a/b/c", "path=a/b/c"},
		{"{path...}", "", NULL},
		{"files/{bucket}/{path...}", "files/b/x/y.csv", "bucket=b path=x/y.csv"},
		{"files/{bucket}/{path...}", "files/b/", NULL},
		{"files/{bucket}/{path...}", "files//x", NULL},
		{"{path...}.csv", "a/b.csv.csv", "path=a/b.csv"},
		{"{path...}.csv", "a/b.json", NULL},
		{"{a}", "\xc3\xa4 \xe2\x82\xac", "a=\xc3\xa4 \xe2\x82\xac"},
		{"{a}x{b}x{c}", "1x2x3x4", "a=1 b=2 c=3x4"},
	};

	for (int i = 0; i < lengthof(cases); i++)
		check_text_at(parts_of(cases[i].pattern, cases[i].object), cases[i].parts, __LINE__);
}

static void
test_what_is_no_pattern(void)
{
	static const char *const wrong[] = {
		"", "{", "}", "a}", "{a", "{}", "{A}", "{a b}", "{a}{b}", "{a}/{a}", "{a...}/{a}", "{...}", "{a}/{a...}"
	};
	static const char *const right[] = {"a", "{a}", "{a}/{b}", "{a1_}", "x{a...}", "{ab}/{a}", "{a...}x", "{a...}/{b}"};

	for (int i = 0; i < lengthof(wrong); i++)
	{
		CHECK(act_object_pattern_problem(wrong[i]) != NULL);
		if (act_object_pattern_problem(wrong[i]) == NULL)
			fprintf(stderr, "  %s\n", wrong[i]);
	}
	for (int i = 0; i < lengthof(right); i++)
		CHECK_TEXT(act_object_pattern_problem(right[i]), NULL);
}

#define OPERATIONS "\"operations\":{\"upsert\":{\"request\":{\"path\":\"/{{sync.object}}\",\"body\":{\"$spread\":\"row.fields\"}}}}"
#define DOCUMENT(objects) "{" OPERATIONS ",\"objects\":" objects "}"
#define OBJECT(members) DOCUMENT("[{\"object\":\"a\"," members "}]")

static void
test_the_first_that_fits_counts(void)
{
	const char *document = DOCUMENT("[{\"object\":\"lists/all\",\"kind\":\"event\"},{\"object\":\"lists/{list}\",\"title\":\"A list\"},"
									"{\"object\":\"{any...}\",\"types\":{\"null\":\"omit\"}}]");
	Connector  *connector = act_connector_compile_object("t", document, "lists/all");

	CHECK(act_connector_object(connector)->kind == OBJECT_EVENT);
	CHECK(act_connector_object_parts(connector) == NIL);
	connector = act_connector_compile_object("t", document, "lists/7");
	CHECK_TEXT(act_connector_object(connector)->title, "A list");
	CHECK(list_length(act_connector_object_parts(connector)) == 1);
	CHECK(act_connector_value_forms(connector)->null == NULL_FORM_NULL);
	connector = act_connector_compile_object("t", document, "x/y");
	CHECK(act_connector_value_forms(connector)->null == NULL_FORM_OMIT);
	CHECK(act_connector_objects(connector) == NULL);

	connector = act_connector_compile("t", document);
	CHECK(act_connector_object(connector) == NULL);
	CHECK_TEXT(act_connector_objects(connector)[2]->pattern, "{any...}");
	CHECK(act_connector_objects(connector)[3] == NULL);

	CHECK(THROWS(act_connector_compile_object("t", document, NULL)));
	CHECK(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE);
	connector = act_connector_compile_object("t", "{" OPERATIONS "}", NULL);
	CHECK(act_connector_object(connector)->pattern == NULL);
}

static void
test_an_object_says_what_holds_for_it(void)
{
	Connector  *connector = act_connector_compile_object("t",
														 "{\"takes_key\":true,\"match\":{\"compare\":[\"trim\"]},\"types\":{\"boolean\":{\"true\":\"y\",\"false\":\"n\"},\"date\":\"epoch\"},"
														 "\"rules\":[{\"status\":[400],\"then\":\"refuse\"}]," OPERATIONS ",\"objects\":[{\"object\":\"a\",\"takes_key\":false,"
														 "\"match\":{\"fields\":[\"x\",[\"y\",\"z\"]],\"default\":[\"z\",\"y\"],\"compare\":[\"lower\"]},"
														 "\"types\":{\"date\":\"iso\",\"array\":{\"join\":\";\"},\"null\":{\"text\":\"#N/A\"}},"
														 "\"rules\":[{\"status\":[400],\"then\":\"throttle\"}],"
														 "\"fields\":[{\"field\":\"x\",\"type\":\"integer\",\"values\":[1,\"b\",true],\"null\":\"empty\"},{\"field\":\"y\",\"writable\":false,\"filters\":\"trim|lower\"}]}]}", "a");
	const ConnectorObject *object = act_connector_object(connector);
	const ValueForms *forms = act_connector_value_forms(connector);
	ConnectorScope scope = {0};
	Row			row = {.op = ROW_OP_UPSERT,.key = "{}",.fields = "{\"x\":1,\"y\":\" A\\u00c4 \",\"z\":null}"};
	Row		   *sent;

	CHECK(!act_connector_takes_key(connector));
	CHECK_TEXT(act_connector_match_compare(connector)[0]->name, "lower");
	CHECK(object->nmatches == 2 && object->match_default == &object->matches[1]);
	CHECK(connector->rules.count == 2);
	CHECK(forms->date == TIME_FORM_ISO && forms->boolean == BOOLEAN_FORM_GIVEN && forms->array == ARRAY_FORM_JOIN);
	CHECK_TEXT(forms->true_text, "y");
	CHECK_TEXT(forms->null_text, "#N/A");
	CHECK(object->fields[0].type == FIELD_INTEGER && object->fields[0].null_form == NULL_FORM_EMPTY);
	CHECK_TEXT(object->fields[0].values[2], "true");
	CHECK(!object->fields[1].writable && object->more_fields);
	CHECK_TEXT(object->field_names[1], "y");

	sent = act_connector_sent_row(connector, &scope, &row);
	CHECK(sent != &row);
	CHECK_TEXT(sent->fields, "{\"x\":1,\"y\":\"a\xc3\x84\",\"z\":null}");
	CHECK_TEXT(act_connector_filter_problem(connector, &scope, &row), NULL);
	row.fields = "{\"y\":null}";
	CHECK_TEXT(act_connector_sent_row(connector, &scope, &row)->fields, "{\"y\":null}");
	row.fields = "{}";
	CHECK_TEXT(act_connector_sent_row(connector, &scope, &row)->fields, "{}");
	row.fields = NULL;
	CHECK(act_connector_sent_row(connector, &scope, &row) == &row);
}

/* What a destination would drop without a word is never sent. */
static void
test_one_of_several_fields_has_a_value(void)
{
	Connector  *connector = act_connector_compile_object("t", "{\"takes_key\":true," OPERATIONS ",\"objects\":[{\"object\":\"a\",\"any_of\":[\"x\",\"y\"]}]}", "a");
	Row			row = {.op = ROW_OP_INSERT,.key = "{}",.fields = "{\"z\":1,\"y\":0}"};

	CHECK_TEXT(act_connector_any_of_problem(connector, &row), NULL);
	row.fields = "{\"x\":null,\"y\":\"\",\"z\":1}";
	CHECK_TEXT(act_connector_any_of_problem(connector, &row), "none of the fields \"x\", \"y\" has a value, and t needs one");
	row.op = ROW_OP_CLEAR;
	CHECK_TEXT(act_connector_any_of_problem(connector, &row), NULL);
	row = (Row) {.op = ROW_OP_UPSERT,.key = "{}",.fields = "{}"};
	CHECK(act_connector_any_of_problem(connector, &row) != NULL);
	row = (Row) {.op = ROW_OP_DELETE,.key = "{}"};
	CHECK_TEXT(act_connector_any_of_problem(connector, &row), NULL);
}

static void
test_operations_stand_in_for_each_other(void)
{
	Connector  *connector = act_connector_compile_object("t", DOCUMENT(
																	   "[{\"object\":\"m\",\"kind\":\"membership\",\"key_fields\":[\"email\"],\"operations\":{\"add\":{\"request\":{}}}},"
																	   "{\"object\":\"e\",\"operations\":{\"upsert\":{\"append\":true,\"request\":{}}}},"
																	   "{\"object\":\"r\"}]"), "m");
	ConnectorScope scope = {0};
	Row			row = {.op = ROW_OP_UPSERT,.key = "{}",.fields = "{}"};

	CHECK(act_connector_operation(connector, ROW_OP_UPSERT) == act_connector_operation(connector, ROW_OP_ADD));
	CHECK(act_connector_sent_row(connector, &scope, &row)->op == ROW_OP_ADD);
	CHECK(act_connector_operation(connector, ROW_OP_INSERT) == NULL);
	CHECK(!act_connector_object(connector)->more_fields);

	connector = act_connector_compile_object("t", DOCUMENT("[{\"object\":\"e\",\"operations\":{\"upsert\":{\"append\":true,\"request\":{}}}}]"), "e");
	row.op = ROW_OP_INSERT;
	CHECK(act_connector_sent_row(connector, &scope, &row)->op == ROW_OP_UPSERT);

	connector = act_connector_compile_object("t", DOCUMENT("[{\"object\":\"r\"}]"), "r");
	CHECK(act_connector_operation(connector, ROW_OP_INSERT) == NULL);
	CHECK(act_connector_operation(connector, ROW_OP_ADD) == NULL);
}

static void
test_wrong_objects_are_refused_by_name(void)
{
	static const struct
	{
		const char *spec;
		const char *message;
		const char *hint;
	}			cases[] = {
		{DOCUMENT("{}"), "connector \"t\": an array is expected at /objects", NULL},
		{DOCUMENT("[]"), "connector \"t\": an empty list at /objects", NULL},
		{DOCUMENT("[1]"), "connector \"t\": an object is expected at /objects/0", NULL},
		{DOCUMENT("[{}]"), "connector \"t\": member \"object\" is missing at /objects/0", NULL},
		{DOCUMENT("[{\"object\":\"{a\"}]"), "connector \"t\": \"{\" without \"}\" at /objects/0/object", NULL},
		{DOCUMENT("[{\"object\":\"a\"},{\"object\":\"a\"}]"), "connector \"t\": object \"a\" given twice at /objects/1/object", NULL},
		{OBJECT("\"titel\":\"A\""), "connector \"t\": unknown member \"titel\" at /objects/0/titel", "Perhaps you mean \"title\"."},
		{OBJECT("\"kind\":\"recrod\""), "connector \"t\": unknown kind \"recrod\" at /objects/0/kind", "Perhaps you mean \"record\"."},
		{OBJECT("\"kind\":\"membership\""), "connector \"t\": a membership without \"key_fields\" at /objects/0", NULL},
		{OBJECT("\"key_fields\":[\"x\"]"), "connector \"t\": \"key_fields\", which belongs to memberships and associations, at /objects/0/key_fields", NULL},
		{OBJECT("\"kind\":\"membership\",\"key_fields\":[\"x\",\"x\"]"), "connector \"t\": field \"x\" given twice at /objects/0/key_fields/1", NULL},
		{OBJECT("\"more_fields\":false"), "connector \"t\": an object without fields at /objects/0/more_fields", NULL},
		{OBJECT("\"match\":{\"fields\":[]}"), "connector \"t\": an empty list at /objects/0/match/fields", NULL},
		{OBJECT("\"match\":{\"fields\":[[]]}"), "connector \"t\": an empty list at /objects/0/match/fields/0", NULL},
		{OBJECT("\"match\":{\"fields\":[1]}"), "connector \"t\": the name of a field, or an array of them, is expected at /objects/0/match/fields/0", NULL},
		{OBJECT("\"match\":{\"fields\":[\"x\"],\"default\":\"y\"}"), "connector \"t\": a default that records are not matched by at /objects/0/match/default", NULL},
		{OBJECT("\"match\":{\"compare\":[\"trimm\"]}"), "connector \"t\": unknown filter \"trimm\" at /objects/0/match/compare/0", "Perhaps you mean \"trim\"."},
		{OBJECT("\"fields\":[{}]"), "connector \"t\": member \"field\" is missing at /objects/0/fields/0", NULL},
		{OBJECT("\"fields\":[{\"field\":\"x\"},{\"field\":\"x\"}]"), "connector \"t\": field \"x\" given twice at /objects/0/fields/1/field", NULL},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"type\":\"txt\"}]"), "connector \"t\": unknown type \"txt\" at /objects/0/fields/0/type", "Perhaps you mean \"text\"."},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"values\":[]}]"), "connector \"t\": an empty list at /objects/0/fields/0/values", NULL},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"values\":[{}]}]"), "connector \"t\": a string, number, true or false is expected at /objects/0/fields/0/values/0", NULL},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"filters\":\"trimm\"}]"), "connector \"t\": unknown filter \"trimm\" at /objects/0/fields/0/filters", "Perhaps you mean \"trim\"."},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"filters\":\"trim}}{{row.op\"}]"), "connector \"t\": malformed filters \"trim}}{{row.op\" at /objects/0/fields/0/filters", NULL},
		{OBJECT("\"fields\":[{\"field\":\"x\",\"required\":true,\"writable\":false}]"), "connector \"t\": a field that is required and cannot be written at /objects/0/fields/0", NULL},
		{OBJECT("\"types\":{\"nul\":\"omit\"}"), "connector \"t\": unknown member \"nul\" at /objects/0/types/nul", "Perhaps you mean \"null\"."},
		{OBJECT("\"types\":{\"null\":\"ommit\"}"), "connector \"t\": unknown null \"ommit\" at /objects/0/types/null", "Perhaps you mean \"omit\"."},
		{OBJECT("\"types\":{\"boolean\":{\"true\":\"1\"}}"), "connector \"t\": member \"false\" is missing at /objects/0/types/boolean", NULL},
		{OBJECT("\"types\":{\"date\":\"iso_ms\"}"), "connector \"t\": unknown date \"iso_ms\" at /objects/0/types/date", NULL},
		{OBJECT("\"operations\":{}"), "connector \"t\": no operation at /objects/0/operations", NULL},
		{OBJECT("\"operations\":{\"upsert\":{\"like\":\"insert\"}}"), "connector \"t\": nothing to be like at /objects/0/operations/upsert/like", NULL},
		{OBJECT("\"operations\":{\"insert\":{\"append\":true,\"request\":{}}}"), "connector \"t\": \"append\", which belongs to \"upsert\", at /objects/0/operations/insert/append", NULL},
		{OBJECT("\"operations\":{\"upsert\":{\"request\":{},\"batch\":{\"unique\":\"key\"}}}"), "connector \"t\": unknown unique \"key\" at /objects/0/operations/upsert/batch/unique", NULL},
		{"{\"objects\":[{\"object\":\"a\"}]}", "connector \"t\": an object without operations at /objects/0", NULL},
		{"{\"operations\":{\"upsrt\":{}},\"objects\":[{\"object\":\"a\"," OPERATIONS "}]}", "connector \"t\": unknown member \"upsrt\" at /operations/upsrt", "Perhaps you mean \"upsert\"."},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		CHECK(THROWS(act_connector_compile("t", cases[i].spec)));
		CHECK_TEXT(stub_error.message, cases[i].message);
		if (cases[i].hint != NULL)
			CHECK_TEXT(stub_error.hint, cases[i].hint);
		CHECK(stub_error.sqlstate == ERRCODE_INVALID_PARAMETER_VALUE);
	}
}

/* Documents by name, one after the other. */
static char *
find_document(void *arg, const char *name)
{
	for (const char *const *pair = arg; *pair != NULL; pair += 2)
	{
		if (strcmp(pair[0], name) == 0)
			return pstrdup(pair[1]);
	}
	return NULL;
}

static void
test_documents_extend_others(void)
{
	static const char *const documents[] = {
		"base", "{\"name\":\"base\",\"a\":{\"b\":1,\"c\":[1,2],\"n\":null},\"d\":0.25,\"t\":\"\\u00e4\"}",
		"middle", "{\"extends\":\"base\",\"a\":{\"b\":null,\"c\":[3]},\"e\":{\"x\":null,\"y\":{\"z\":null}}}",
		"self", "{\"extends\":\"self\"}",
		"one", "{\"extends\":\"two\"}", "two", "{\"extends\":\"one\"}",
		"lost", "{\"extends\":\"nothing\"}",
		"text", "[]",
		"broken", "{",
		NULL
	};
	void	   *arg = (void *) documents;
	const char *plain = "{\"title\":\"no extends\"}";

	CHECK(act_connector_extend("x", plain, find_document, arg) == plain);
	CHECK_TEXT(act_connector_extend("x", "{\"extends\":\"base\",\"name\":\"x\",\"a\":{\"c\":null},\"d\":{\"f\":1}}", find_document, arg),
			   "{\"a\":{\"b\":1,\"n\":null},\"d\":{\"f\":1},\"t\":\"\xc3\xa4\",\"name\":\"x\"}");
	CHECK_TEXT(act_connector_extend("x", "{\"extends\":\"middle\",\"g\":7}", find_document, arg),
			   "{\"a\":{\"c\":[3],\"n\":null},\"d\":0.25,\"t\":\"\xc3\xa4\",\"e\":{\"y\":{}},\"g\":7}");
	CHECK(THROWS(act_connector_extend("self", "{\"extends\":\"self\"}", find_document, arg)));
	CHECK_TEXT(stub_error.message, "connector \"self\" extends itself");
	CHECK(THROWS(act_connector_extend("one", documents[7], find_document, arg)));
	CHECK_TEXT(stub_error.message, "connector \"one\" extends itself");
	CHECK(THROWS(act_connector_extend("x", "{\"extends\":\"lost\"}", find_document, arg)));
	CHECK_TEXT(stub_error.message, "connector \"lost\" extends \"nothing\", which does not exist");
	CHECK(stub_error.sqlstate == ERRCODE_UNDEFINED_OBJECT);
	CHECK(THROWS(act_connector_extend("x", "{\"extends\":\"text\"}", find_document, arg)));
	CHECK_TEXT(stub_error.message, "connector \"text\": an object is expected at the top level");
	CHECK(THROWS(act_connector_extend("x", "{\"extends\":\"broken\"}", find_document, arg)));
	CHECK(THROWS(act_connector_extend("x", "{\"extends\":\"\"}", find_document, arg)));
	CHECK(THROWS(act_connector_extend("x", "{\"extends\":{}}", find_document, arg)));
	/* in a text it is no member */
	CHECK_TEXT(act_connector_extend("x", "{\"title\":\"\\\"extends\\\"\"}", find_document, arg), "{\"title\":\"\\\"extends\\\"\"}");
}

static const char *
get_region(void *arg, const char *name)
{
	return strcmp(name, "region") == 0 ? arg : NULL;
}

#define OPTION(option) "{\"options\":{\"region\":" option "},\"base_url\":\"https://{{option.region}}.test\"," OPERATIONS "}"

static void
test_options_stand_for_other_texts(void)
{
	Connector  *connector = act_connector_compile("t", OPTION("{\"default\":\"us\",\"values\":{\"us\":\"api\",\"eu\":\"api-eu\"}}"));
	ConnectorScope scope = {.option = get_region,.arg = "eu"};
	static const char *const wrong[] = {
		OPTION("{\"values\":{}}"), OPTION("{\"values\":[\"us\"]}"), OPTION("{\"values\":{\"us\":1}}"),
		OPTION("{\"kind\":\"integer\",\"values\":{\"1\":\"one\"}}"), OPTION("{\"default\":\"uk\",\"values\":{\"us\":\"api\"}}")
	};

	CHECK_TEXT(act_connector_base_url(connector, &scope), "https://api-eu.test");
	scope.arg = NULL;
	CHECK_TEXT(act_connector_base_url(connector, &scope), "https://api.test");
	CHECK_TEXT(act_connector_options(connector)[0].values[1], "eu");
	for (int i = 0; i < lengthof(wrong); i++)
		CHECK(THROWS(act_connector_compile("t", wrong[i])));
	CHECK_TEXT(stub_error.message, "connector \"t\": unknown value \"uk\" at /options/region/default");
	CHECK(!THROWS(act_connector_compile("t", "{\"rate\":{\"reset\":{\"header\":\"X\",\"as\":\"seconds\"}}," OPERATIONS "}")));
	CHECK(!THROWS(act_connector_compile("t", "{\"rate\":{\"reset\":{\"header\":\"X\",\"as\":\"epoch\"}}," OPERATIONS "}")));
}

static char *
body_of(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	HttpRequest request = {0};

	act_connector_render(connector, scope, &row, 1, &request);
	return pnstrdup(request.body, request.body_len);
}

static void
test_a_match_that_is_the_id(void)
{
	static const char document[] = "{\"base_url\": \"https://api.test\", \"objects\": [{\"object\": \"{type}\", \"match\": {\"any\": true, \"id\": \"own\"},"
		" \"operations\": {\"upsert\": {\"request\": {\"body\": {\"$row\": {\"new\": \"{{row.fields}}\"}}}, \"by_id\": {\"absent\": \"match\","
		" \"request\": {\"body\": {\"$row\": {\"id\": \"{{row.external_id}}\", \"fields\": \"{{row.fields}}\"}}}}}}}]}";
	Connector  *connector = act_connector_compile_object("t", document, "x");
	char	   *own = "own";
	char	   *email = "email";
	ConnectorScope scope = {.object = "x",.match = "own",.nmatch = 1,.match_names = &own,.option = get_region,.arg = "eu"};
	Row			row = {.op = ROW_OP_UPSERT,.key = "{\"k\":1}",.fields = "{\"own\":9007199254740993,\"email\":\"a\"}"};
	Row			without = {.op = ROW_OP_UPSERT,.key = "{\"k\":1}",.fields = "{\"own\":null}"};
	Row			other;

	scope.match_is_id = act_connector_match_is_id(connector, &scope);
	CHECK(scope.match_is_id);
	act_connector_row_own_id(&scope, &row);
	act_connector_row_own_id(&scope, &without);
	CHECK_TEXT(row.external_id, "9007199254740993");
	CHECK(row.id_changed && without.external_id == NULL);
	CHECK_TEXT(body_of(connector, &scope, &row), "{\"id\":\"9007199254740993\",\"fields\":{\"email\":\"a\"}}");

	/* there is nothing else that it could be found by */
	row.outcome = ROW_ABSENT;
	CHECK(!act_connector_row_forgets(connector, &row) && row.external_id != NULL);

	/* another record than before */
	other = row;
	other.fields = "{\"own\":\"z\"}";
	act_connector_row_own_id(&scope, &other);
	CHECK_TEXT(other.external_id, "z");

	/* matched by anything else it is a field like others */
	scope.match = email;
	scope.match_names = &email;
	scope.match_is_id = act_connector_match_is_id(connector, &scope);
	CHECK(!scope.match_is_id);
	row.external_id = NULL;
	act_connector_row_own_id(&scope, &row);
	CHECK(row.external_id == NULL);
	CHECK_TEXT(body_of(connector, &scope, &row), "{\"new\":{\"own\":9007199254740993,\"email\":\"a\"}}");
}

#define RUN(test) (test(), stub_reset())

int
main(void)
{
	RUN(test_patterns_take_names_apart);
	RUN(test_what_is_no_pattern);
	RUN(test_the_first_that_fits_counts);
	RUN(test_an_object_says_what_holds_for_it);
	RUN(test_one_of_several_fields_has_a_value);
	RUN(test_operations_stand_in_for_each_other);
	RUN(test_wrong_objects_are_refused_by_name);
	RUN(test_documents_extend_others);
	RUN(test_options_stand_for_other_texts);
	RUN(test_a_match_that_is_the_id);
	printf("object_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
