/*-------------------------------------------------------------------------
 *
 * answer_test.c
 *	  What answers mean: classes, what documents make of them, and how long
 *	  headers ask to wait.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * made-up headers (default 100000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "json_text.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

#define NOW INT64CONST(1795415400000)	/* 2026-11-23 06:30:00 UTC */
#define DAY INT64CONST(86400000)

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "answer_test.c:%d: %s\n", line, what);
	}
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)

static void
check_number_at(int64 got, int64 wanted, const char *of, int line)
{
	check_at(got == wanted, line, of);
	if (got != wanted)
		fprintf(stderr, "  got %lld, wanted %lld\n", (long long) got, (long long) wanted);
}

#define CHECK_NUMBER(got, wanted, of) check_number_at(got, wanted, of, __LINE__)

/* ----------------------------------------------------------------
 *		A world: documents, answers
 * ----------------------------------------------------------------
 */

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	ListCell   *cell;

	foreach(cell, response->headers)
	{
		HttpHeader *header = lfirst(cell);

		if (pg_strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

static ConnectorScope scope = {.sync_name = "s"};

/* A document with these members, beside what each must have. */
static Connector *
document(const char *members, const char *answer)
{
	return act_connector_compile("t", psprintf("{\"name\": \"t\"%s%s, \"operations\": {\"upsert\": {\"idempotent\": true,"
											   " \"batch\": {\"max_rows\": 100}, \"request\": {\"body\": {\"r\": {\"$rows\": \"{{row.key}}\"}}}%s%s}}}",
											   *members ? ", " : "", members, *answer ? ", \"answer\": " : "", answer));
}

static bool
compiles(const char *members, const char *answer)
{
	volatile bool threw = false;

	PG_TRY();
	{
		(void) document(members, answer);
	}
	PG_CATCH();
	{
		threw = true;
	}
	PG_END_TRY();
	return !threw;
}

static void
add_header(HttpResponse *response, const char *name, const char *value)
{
	HttpHeader *header = palloc(sizeof(HttpHeader));

	if (value == NULL)
		return;
	header->name = pstrdup(name);
	header->value = pstrdup(value);
	response->headers = lappend(response->headers, header);
}

static Row **
rows_of(int n)
{
	Row		  **rows = palloc(sizeof(Row *) * n);

	for (int i = 0; i < n; i++)
	{
		rows[i] = palloc0(sizeof(Row));
		rows[i]->op = ROW_OP_UPSERT;
		rows[i]->key = "{\"id\": 1}";
	}
	return rows;
}

/* name and value: one header beside the content type; value NULL: none */
static ConnectorAnswer
read_answer(const Connector *connector, int status, const char *body, const char *name, const char *value,
			Row **rows, int nrows)
{
	HttpResponse response = {
		.transport = HTTP_ANSWERED,.status = status,.body = pstrdup(body),.body_len = strlen(body)
	};
	ConnectorAnswer answer;

	add_header(&response, "Content-Type", "application/json");
	add_header(&response, name, value);
	act_connector_read(connector, &scope, &response, rows, nrows, NOW, &answer);
	return answer;
}

/* ----------------------------------------------------------------
 *		Tests
 * ----------------------------------------------------------------
 */

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

static void
check_in_reference(StringInfo table)
{
	char	   *reference = read_whole_file(SRC_DIR "/../doc/reference.md");
	bool		found;

	appendStringInfoChar(table, '\n');
	found = strstr(reference, table->data) != NULL;
	check_at(found, __LINE__, "doc/reference.md has this table word for word");
	if (!found)
		fprintf(stderr, "%s\n", table->data);
}

static char *
word(const char *name)
{
	const char *comma = name == NULL ? NULL : strchr(name, ',');

	if (name == NULL)
		return "";
	return comma == NULL ? psprintf("`%s`", name) : psprintf("`%s`%s", pnstrdup(name, comma - name), comma);
}

/* given the tables of the code, then the reference shows them and nothing else */
static void
test_reference_has_the_tables(void)
{
	StringInfoData table;

	initStringInfo(&table);
	appendStringInfoString(&table, "| class | `then` of a rule | `then` of a row | what happens |\n|---|---|---|---|\n");
	for (int i = 0; i < ANSWER_CLASS_COUNT; i++)
	{
		const AnswerClassInfo *class = &act_answer_classes[i];

		appendStringInfo(&table, "| %s | %s | %s | %s |\n", class->name, word(class->rule), word(class->outcome),
						 class->effect);
	}
	check_in_reference(&table);

	initStringInfo(&table);
	appendStringInfoString(&table, "| status | class | why |\n|---|---|---|\n");
	for (int i = 0; i < act_answer_status_count; i++)
	{
		const AnswerStatus *status = &act_answer_statuses[i];

		if (i == act_answer_status_count - 1)
			appendStringInfoString(&table, "| any other");
		else if (status->from % 100 == 0 && status->to == status->from + 99)
			appendStringInfo(&table, "| %s%dxx", i > 0 && act_answer_statuses[i - 1].from / 100 == status->from / 100 ? "any other " : "",
							 status->from / 100);
		else if (status->from != status->to)
			appendStringInfo(&table, "| %d, %d", status->from, status->to);
		else
			appendStringInfo(&table, "| %d", status->from);
		appendStringInfo(&table, "%s | %s | %s |\n", status->with_retry_after ? " with `Retry-After`" : "",
						 act_answer_classes[status->class].name, status->why);
	}
	check_in_reference(&table);

	initStringInfo(&table);
	appendStringInfoString(&table, "| what came | class | why |\n|---|---|---|\n");
	for (int i = HTTP_ANSWERED + 1; i < HTTP_TRANSPORT_COUNT; i++)
	{
		const AnswerTransport *transport = &act_answer_transports[i];

		appendStringInfo(&table, "| %s | %s | %s |\n", transport->what,
						 act_answer_classes[transport->class].name, transport->why);
	}
	check_in_reference(&table);
}

/* given any status, then it has one class, and the exceptions are those that were thought through */
static void
test_statuses_have_classes(void)
{
	static const struct
	{
		int			status;
		AnswerClass class;
	}			cases[] = {
		{200, ANSWER_ACCEPTED}, {202, ANSWER_ACCEPTED}, {204, ANSWER_ACCEPTED}, {207, ANSWER_ACCEPTED},
		{300, ANSWER_CONFIGURATION}, {304, ANSWER_CONFIGURATION}, {307, ANSWER_CONFIGURATION},
		{400, ANSWER_BATCH_REFUSED}, {401, ANSWER_AUTH}, {402, ANSWER_CONFIGURATION}, {403, ANSWER_AUTH},
		{404, ANSWER_CONFIGURATION}, {405, ANSWER_CONFIGURATION}, {406, ANSWER_CONFIGURATION}, {407, ANSWER_AUTH},
		{408, ANSWER_UNCERTAIN}, {409, ANSWER_BATCH_REFUSED}, {410, ANSWER_CONFIGURATION},
		{411, ANSWER_CONFIGURATION}, {412, ANSWER_BATCH_REFUSED}, {413, ANSWER_TOO_LARGE}, {414, ANSWER_TOO_LARGE},
		{415, ANSWER_CONFIGURATION}, {416, ANSWER_BATCH_REFUSED}, {417, ANSWER_CONFIGURATION},
		{421, ANSWER_TRANSIENT}, {422, ANSWER_BATCH_REFUSED}, {423, ANSWER_BATCH_REFUSED},
		{424, ANSWER_BATCH_REFUSED}, {425, ANSWER_TRANSIENT}, {426, ANSWER_CONFIGURATION},
		{428, ANSWER_CONFIGURATION}, {429, ANSWER_THROTTLED}, {431, ANSWER_CONFIGURATION},
		{451, ANSWER_BATCH_REFUSED}, {499, ANSWER_BATCH_REFUSED},
		{500, ANSWER_UNCERTAIN}, {501, ANSWER_CONFIGURATION}, {502, ANSWER_UNCERTAIN}, {503, ANSWER_UNCERTAIN},
		{504, ANSWER_UNCERTAIN}, {505, ANSWER_CONFIGURATION}, {507, ANSWER_UNCERTAIN}, {511, ANSWER_CONFIGURATION},
		{529, ANSWER_UNCERTAIN}, {599, ANSWER_UNCERTAIN},
		{-1, ANSWER_UNCERTAIN}, {0, ANSWER_UNCERTAIN}, {99, ANSWER_UNCERTAIN}, {100, ANSWER_UNCERTAIN},
		{101, ANSWER_UNCERTAIN}, {199, ANSWER_UNCERTAIN}, {600, ANSWER_UNCERTAIN}, {999, ANSWER_UNCERTAIN},
	};
	Connector  *plain = document("", "");

	for (int i = 0; i < lengthof(cases); i++)
	{
		int			status = cases[i].status;
		ConnectorAnswer answer = read_answer(plain, status, "{}", "X", NULL, rows_of(2), 2);

		CHECK_NUMBER(act_answer_status_class(status, false), cases[i].class, psprintf("class of %d", status));
		CHECK_NUMBER(act_answer_status_class(status, true), status == 503 ? ANSWER_THROTTLED : cases[i].class,
					 psprintf("class of %d with Retry-After", status));
		CHECK_NUMBER(answer.verdict, act_answer_classes[cases[i].class].verdict, psprintf("verdict on %d", status));
		CHECK(answer.renew == (status == 401) && !answer.final);
	}
	CHECK_NUMBER(read_answer(plain, 503, "", "Retry-After", "soon", rows_of(2), 2).verdict, VERDICT_UNCERTAIN,
				 "a Retry-After that says nothing is none");
}

/* given a rule, then it decides, whatever the status means by itself */
static void
test_document_overrides_each_class(void)
{
	for (int i = 0; i < ANSWER_CLASS_COUNT; i++)
	{
		const AnswerClassInfo *class = &act_answer_classes[i];
		bool		final = i == ANSWER_REFUSED_FOR_GOOD;
		Connector  *connector;

		if (class->rule == NULL)
			continue;
		connector = document(psprintf("\"rules\": [{\"status\": [200, 401, 500, 404], \"then\": \"%s\"%s}]",
									  final ? "refuse" : class->rule, final ? ", \"final\": true" : ""), "");
		for (int status = 200; status <= 500; status += 300)
		{
			ConnectorAnswer answer = read_answer(connector, status, "{}", "X", NULL, rows_of(2), 2);

			/* Only a success accepts rows of which it says nothing. */
			CHECK_NUMBER(answer.verdict, i == ANSWER_ACCEPTED && status == 500 ? VERDICT_UNCERTAIN : class->verdict,
						 psprintf("status %d as %s", status, class->name));
			CHECK(answer.final == final);
			CHECK(answer.renew == (i == ANSWER_AUTH));
		}
	}
}

/* given a rule that says how long, then it is so long, whatever the answer says */
static void
test_rule_says_how_long(void)
{
	Connector  *connector = document("\"rules\": ["
									 "{\"at\": \"/e\", \"in\": [\"day\"], \"then\": \"throttle\", \"until\": \"midnight\"},"
									 "{\"at\": \"/e\", \"in\": [\"fixed\"], \"then\": \"throttle\", \"wait\": \"30 s\"},"
									 "{\"at\": \"/e\", \"in\": [\"again\"], \"then\": \"retry\", \"wait\": \"2 min\"},"
									 "{\"at\": \"/e\", \"in\": [\"plain\"], \"then\": \"throttle\"}]", "");
	ConnectorAnswer answer;

	answer = read_answer(connector, 403, "{\"e\": \"day\"}", "Retry-After", "5", rows_of(1), 1);
	CHECK(answer.verdict == VERDICT_THROTTLED && answer.until_midnight);
	answer = read_answer(connector, 403, "{\"e\": \"fixed\"}", "Retry-After", "5", rows_of(1), 1);
	CHECK(answer.verdict == VERDICT_THROTTLED && answer.wait_ms == 30000 && !answer.until_midnight);
	answer = read_answer(connector, 200, "{\"e\": \"again\"}", "X", NULL, rows_of(1), 1);
	CHECK(answer.verdict == VERDICT_UNREACHED && answer.wait_ms == 120000);
	answer = read_answer(connector, 200, "{\"e\": \"plain\"}", "Retry-After", "5", rows_of(1), 1);
	CHECK(answer.verdict == VERDICT_THROTTLED && answer.wait_ms == 5000);
	answer = read_answer(connector, 200, "{\"e\": \"plain\"}", "X", NULL, rows_of(1), 1);
	CHECK(answer.verdict == VERDICT_THROTTLED && answer.wait_ms == -1);

	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"refuse\", \"wait\": \"1 s\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"throttle\", \"wait\": \"1 moon\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"throttle\", \"until\": \"noon\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"retry\", \"until\": \"midnight\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"throttle\", \"wait\": \"1 s\", \"until\": \"midnight\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"then\": \"halve\", \"final\": true}]", ""));
	CHECK(compiles("\"rules\": [{\"status\": [400], \"then\": \"halve\", \"final\": false}]", ""));
}

/* given tests for texts and numbers, then they hold for those, and for nothing that is neither */
static void
test_rules_look_at_texts_and_numbers(void)
{
	static const struct
	{
		const char *test;
		const char *body;
		bool		holds;
	}			cases[] = {
		{"\"contains\": \"quota\"", "{\"e\": \"the quota is used up\"}", true},
		{"\"contains\": \"quota\"", "{\"e\": \"Quota\"}", false},
		{"\"contains\": \"quota\"", "{\"e\": [{\"m\": \"no quota\"}]}", true},
		{"\"contains\": \"quota\"", "{\"f\": \"quota\"}", false},
		{"\"contains\": \"42\"", "{\"e\": 1420}", true},
		{"\"lt\": 10", "{\"e\": 9}", true}, {"\"lt\": 10", "{\"e\": 10}", false},
		{"\"lt\": 10", "{\"e\": \"9.5\"}", true}, {"\"lt\": 10", "{\"e\": \"9 apples\"}", false},
		{"\"lt\": 10", "{\"e\": \"\"}", false}, {"\"lt\": 10", "{\"e\": null}", false},
		{"\"lt\": 10", "{\"e\": {}}", false},
		{"\"gt\": 600", "{\"e\": 601}", true}, {"\"gt\": 600", "{\"e\": 12345678901234567890}", true},
		{"\"gt\": 600, \"lt\": 700", "{\"e\": 650}", true}, {"\"gt\": 600, \"lt\": 700", "{\"e\": 700}", false},
		{"\"gt\": 600, \"in\": [650]", "{\"e\": 651}", false},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		Connector  *connector = document(psprintf("\"rules\": [{\"at\": \"/e\", %s, \"then\": \"halve\"}]", cases[i].test), "");

		CHECK_NUMBER(read_answer(connector, 200, cases[i].body, "X", NULL, rows_of(1), 1).verdict == VERDICT_TOO_LARGE,
					 cases[i].holds, psprintf("%s of %s", cases[i].test, cases[i].body));
	}
	CHECK(!compiles("\"rules\": [{\"status\": [400], \"contains\": \"x\", \"then\": \"halve\"}]", ""));
	CHECK(!compiles("\"rules\": [{\"at\": \"/e\", \"lt\": \"5\", \"then\": \"halve\"}]", ""));
}

/* given answers for single rows, then each has its class, and what is put off is known to be */
static void
test_rows_have_classes(void)
{
	Connector  *connector = document("\"rate\": {\"throttle\": \"7 s\"}",
									 "{\"by\": \"position\", \"items\": \"/r\", \"outcomes\": ["
									 "{\"at\": \"/s\", \"in\": [\"ok\"], \"then\": \"accepted\"},"
									 "{\"at\": \"/s\", \"in\": [\"bad\"], \"then\": \"rejected\"},"
									 "{\"at\": \"/s\", \"in\": [\"never\"], \"then\": \"refused\"},"
									 "{\"at\": \"/s\", \"in\": [\"busy\"], \"then\": \"retry\"},"
									 "{\"at\": \"/s\", \"in\": [\"limit\"], \"then\": \"throttled\"}], \"code\": \"/s\"}");
	Row		  **rows = rows_of(4);
	ConnectorAnswer answer;

	answer = read_answer(connector, 200, "{\"r\": [{\"s\": \"ok\"}, {\"s\": \"bad\"}, {\"s\": \"never\"}, {\"s\": \"busy\"}]}",
						 "X", NULL, rows, 4);
	CHECK(answer.verdict == VERDICT_ROWS && answer.rows_put_off && !answer.rows_throttled);
	CHECK(rows[0]->outcome == ROW_ACCEPTED && rows[1]->outcome == ROW_REJECTED && rows[2]->outcome == ROW_REFUSED);
	CHECK(rows[3]->outcome == ROW_DELAYED && strcmp(rows[3]->code, "busy") == 0);
	answer = read_answer(connector, 200, "{\"r\": [{\"s\": \"ok\"}, {\"s\": \"limit\"}]}", "X", NULL, rows, 2);
	CHECK(answer.rows_put_off && answer.rows_throttled && answer.wait_ms == 7000);
	answer = read_answer(connector, 200, "{\"r\": [{\"s\": \"ok\"}, {\"s\": \"limit\"}]}", "Retry-After", "3", rows, 2);
	CHECK(answer.rows_throttled && answer.wait_ms == 3000);

	/* What is not known of one row is known of none. */
	rows = rows_of(2);
	answer = read_answer(connector, 200, "{\"r\": [{\"s\": \"busy\"}, {\"s\": \"?\"}]}", "X", NULL, rows, 2);
	CHECK(answer.verdict == VERDICT_UNCERTAIN && !answer.rows_put_off && rows[0]->outcome == ROW_UNDECIDED);
}

/* given what vendors and strangers write into headers, then it is read, or it says nothing, but never more than a day */
static void
test_headers_say_how_long(void)
{
	static const struct
	{
		HttpTimeForm form;
		const char *value;
		int64		wait_ms;
	}			cases[] = {
		{HTTP_TIME_AUTO, "0", 0}, {HTTP_TIME_AUTO, "2", 2000}, {HTTP_TIME_AUTO, "1.5", 1500},
		{HTTP_TIME_AUTO, "0.0001", 1}, {HTTP_TIME_AUTO, "2.", 2000}, {HTTP_TIME_AUTO, "2 ", 2000},
		{HTTP_TIME_AUTO, "-5", -1}, {HTTP_TIME_AUTO, "+5", -1}, {HTTP_TIME_AUTO, "", -1}, {HTTP_TIME_AUTO, "soon", -1},
		{HTTP_TIME_AUTO, "5 minutes", -1}, {HTTP_TIME_AUTO, "1e3", -1}, {HTTP_TIME_AUTO, "0x10", -1},
		{HTTP_TIME_AUTO, "NaN", -1}, {HTTP_TIME_AUTO, "inf", -1}, {HTTP_TIME_AUTO, "5,6", 5000},
		{HTTP_TIME_AUTO, "86400", DAY}, {HTTP_TIME_AUTO, "86401", DAY}, {HTTP_TIME_AUTO, "1000000000", DAY},
		{HTTP_TIME_AUTO, "1795415460", 60000}, {HTTP_TIME_AUTO, "1795415460000", 60000},
		{HTTP_TIME_AUTO, "1795415000", 0}, {HTTP_TIME_AUTO, "1795415000000", 0},
		{HTTP_TIME_AUTO, "99999999999999999999999999999999999", DAY},
		{HTTP_TIME_DELTA_S, "1795415460", DAY}, {HTTP_TIME_DELTA_S, "12", 12000},
		{HTTP_TIME_DELTA_MS, "250", 250}, {HTTP_TIME_DELTA_MS, "0.5", 1}, {HTTP_TIME_DELTA_MS, "9223372036854775807", DAY},
		{HTTP_TIME_EPOCH_S, "1795415460", 60000}, {HTTP_TIME_EPOCH_S, "1795415400.25", 250}, {HTTP_TIME_EPOCH_S, "60", 0},
		{HTTP_TIME_EPOCH_S, "99999999999999999999", DAY}, {HTTP_TIME_EPOCH_MS, "1795415460000", 60000},
		{HTTP_TIME_EPOCH_MS, "1", 0}, {HTTP_TIME_DATE, "5", -1},
		{HTTP_TIME_AUTO, "Mon, 23 Nov 2026 06:31:00 GMT", 60000},
		{HTTP_TIME_AUTO, "Monday, 23-Nov-26 06:31:00 GMT", 60000},
		{HTTP_TIME_AUTO, "Mon Nov 23 06:31:00 2026", 60000},
		{HTTP_TIME_DATE, "Mon, 23 Nov 2026 06:31:00 GMT", 60000},
		{HTTP_TIME_AUTO, "Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{HTTP_TIME_AUTO, "Fri, 31 Dec 9999 23:59:59 GMT", DAY},
		{HTTP_TIME_AUTO, "Mon, 99 Nov 2026 06:31:00 GMT", -1},
		{HTTP_TIME_AUTO, "2026-11-23T06:31:00Z", 60000}, {HTTP_TIME_AUTO, "2026-11-23T07:31:00.123+01:00", 60000},
		{HTTP_TIME_AUTO, "2026-11-23T01:01:00-05:30", 60000}, {HTTP_TIME_AUTO, "2026-11-23T06:31:00", -1},
		{HTTP_TIME_AUTO, "2026-13-23T06:31:00Z", -1}, {HTTP_TIME_AUTO, "9999-12-31T23:59:59Z", DAY},
		{HTTP_TIME_AUTO, "limit=100, remaining=0, reset=30", 30000}, {HTTP_TIME_AUTO, "\"default\";r=0;t=30", 30000},
		{HTTP_TIME_AUTO, "limit=100, preset=30", -1}, {HTTP_TIME_AUTO, "reset=", -1},
	};
	static const struct
	{
		const char *value;
		int64		remaining;
	}			remaining[] = {
		{"0", 0}, {"17", 17}, {"-3", 0}, {"0.4", 0}, {"", -1}, {"none", -1}, {"-", -1},
		{"limit=100, remaining=0, reset=30", 0}, {"\"default\";r=5;t=30", 5}, {"limit=100", -1},
	};

	for (int i = 0; i < lengthof(cases); i++)
		CHECK_NUMBER(act_http_time_wait(cases[i].value, cases[i].form, NOW), cases[i].wait_ms, cases[i].value);
	for (int i = 0; i < lengthof(remaining); i++)
		CHECK_NUMBER(act_http_time_remaining(remaining[i].value), remaining[i].remaining, remaining[i].value);
}

/* given section rate, then its headers count, and what is said of the pace is kept */
static void
test_document_names_headers(void)
{
	Connector  *connector = document("\"rate\": {\"requests\": 100, \"per\": \"10 s\", \"concurrency\": 3, \"day\": {\"requests\": 5000},"
									 " \"retry_after\": \"X-Wait\", \"reset\": {\"header\": \"X-Reset\", \"as\": \"epoch_ms\"},"
									 " \"remaining\": \"X-Left\", \"throttle\": \"30 s\"}, \"time_zone\": \"Europe/Paris\"", "");
	Connector  *plain = document("", "");
	const ConnectorRate *rate = act_connector_rate(connector);
	HttpResponse used_up = {.transport = HTTP_ANSWERED,.status = 200,.body = ""};
	ConnectorAnswer answer;

	CHECK(rate->requests == 100 && rate->per_ms == 10000 && rate->concurrency == 3 && rate->day_requests == 5000);
	CHECK(strcmp(act_connector_time_zone(connector), "Europe/Paris") == 0);
	CHECK(act_connector_rate(plain)->requests == 0 && act_connector_rate(plain)->concurrency == 1 &&
		  act_connector_time_zone(plain) == NULL);

	CHECK(read_answer(connector, 429, "", "X-Wait", "3", rows_of(1), 1).wait_ms == 3000);
	CHECK(read_answer(connector, 429, "", "Retry-After", "3", rows_of(1), 1).wait_ms == 30000);
	CHECK(read_answer(connector, 429, "", "X-Reset", "1795415409000", rows_of(1), 1).wait_ms == 9000);
	CHECK(read_answer(connector, 429, "", "X", NULL, rows_of(1), 1).wait_ms == 30000);
	CHECK(read_answer(connector, 500, "", "X", NULL, rows_of(1), 1).wait_ms == -1);
	CHECK(read_answer(plain, 429, "", "X-Wait", "3", rows_of(1), 1).wait_ms == -1);
	CHECK(read_answer(plain, 429, "", "RateLimit-Reset", "3", rows_of(1), 1).wait_ms == -1);

	CHECK(read_answer(connector, 200, "", "X-Left", "1", rows_of(1), 1).limited_ms == -1);
	CHECK(read_answer(connector, 200, "", "X-Left", "0", rows_of(1), 1).limited_ms == 30000);
	CHECK(read_answer(plain, 200, "", "X-Left", "0", rows_of(1), 1).limited_ms == -1);
	add_header(&used_up, "x-left", "0");
	add_header(&used_up, "x-reset", "1795415402500");
	act_connector_read(connector, &scope, &used_up, rows_of(1), 1, NOW, &answer);
	CHECK(answer.verdict == VERDICT_ROWS && answer.limited_ms == 2500 && answer.wait_ms == -1);

	CHECK(!compiles("\"rate\": {\"requests\": 5}", ""));
	CHECK(!compiles("\"rate\": {\"per\": \"1 s\"}", ""));
	CHECK(!compiles("\"rate\": {\"requests\": 5, \"per\": \"0 s\"}", ""));
	CHECK(!compiles("\"rate\": {\"requests\": 0, \"per\": \"1 s\"}", ""));
	CHECK(!compiles("\"rate\": {\"reset\": {\"as\": \"auto\"}}", ""));
	CHECK(!compiles("\"rate\": {\"reset\": {\"header\": \"X\", \"as\": \"moon\"}}", ""));
	CHECK(!compiles("\"rate\": {\"day\": {}}", ""));
	CHECK(!compiles("\"rate\": {\"concurrency\": 2}, \"concurrency\": 3", ""));
	CHECK(compiles("\"rate\": {}", ""));
}

static char *
redact(void *arg, const char *text)
{
	const char *secret = arg;
	StringInfoData buf;

	initStringInfo(&buf);
	while (*text != '\0')
	{
		bool		found = strncmp(text, secret, strlen(secret)) == 0;

		appendStringInfoString(&buf, found ? "***" : psprintf("%c", *text));
		text += found ? strlen(secret) : 1;
	}
	return buf.data;
}

/* given a secret in an answer, wherever the text is cut, then no part of it stays */
static void
test_secrets_go_before_the_cut(void)
{
	const char *secret = "Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7";
	static const char *const bodies[] = {
		"{\"e\": \"%s%s and more\"}", "{\"e\": {\"o\": \"%s%s\"}}", "%s%s plain", "{\"x\": \"%s%s\"}"
	};
	Connector  *connector = document("\"reason\": {\"message\": \"/e\", \"code\": \"/e\"}", "");

	act_connector_set_redactor(connector, redact, (void *) secret);
	for (int i = 0; i < lengthof(bodies); i++)
	{
		for (int before = 150; before < 2010; before += before < 210 || (before > 470 && before < 505) || before > 1960 ? 1 : 20)
		{
			char	   *filler = palloc(before + 1);
			ConnectorAnswer answer;

			memset(filler, 'a', before);
			filler[before] = '\0';
			answer = read_answer(connector, 400, psprintf(bodies[i], filler, secret), "X", NULL, rows_of(1), 1);
			if (strstr(answer.message, "Zq") != NULL || (answer.code != NULL && strstr(answer.code, "Zq") != NULL))
				check_at(false, __LINE__, psprintf("body %d, %d bytes before the secret", i, before));
		}
		checks++;
		stub_reset();
		connector = document("\"reason\": {\"message\": \"/e\", \"code\": \"/e\"}", "");
		act_connector_set_redactor(connector, redact, (void *) secret);
	}
}

static uint64 seed = 1;

static int
random_below(int n)
{
	seed = seed * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (int) ((seed >> 33) % n);
}

/* given any bytes as a header, then the wait is within its bounds */
static void
test_any_header_is_bounded(void)
{
	static const char *const parts[] = {
		"0", "9", "99999999", "18446744073709551616", "-", "+", ".", ",", ";", "=", " ", "reset=", "t=", "r=", "remaining=",
		"Mon", "Monday", ", ", "23", " Nov ", "2026", "06:31:00", " GMT", "T", "Z", "+01:00", "\xff", "\xe2\x82\xac", "e9", "x"
	};
	const char *count = getenv("FUZZ");
	int64		n = count != NULL ? atoll(count) : 100000;

	if (getenv("SEED") != NULL)
		seed = strtoull(getenv("SEED"), NULL, 10);
	for (int64 i = 0; i < n; i++)
	{
		StringInfoData value;
		HttpTimeForm form = (HttpTimeForm) random_below(HTTP_TIME_DATE + 1);
		int64		wait;

		initStringInfo(&value);
		for (int part = random_below(12); part > 0; part--)
		{
			if (random_below(4) == 0)
				appendStringInfoChar(&value, (char) (1 + random_below(255)));
			else
				appendStringInfoString(&value, parts[random_below(lengthof(parts))]);
		}
		wait = act_http_time_wait(value.data, form, NOW);
		if (wait < -1 || wait > HTTP_MAX_WAIT_MS)
			check_at(false, __LINE__, value.data);
		if (act_http_time_remaining(value.data) < -1)
			check_at(false, __LINE__, value.data);
		if (i % 1000 == 0)
			stub_reset();
	}
	checks++;
}

static bool
check_is_ok(const Connector *connector, int status, const char *body, char **problem)
{
	HttpHeader	type = {"Content-Type", "application/json"};
	HttpResponse response = {
		.transport = HTTP_ANSWERED,.status = status,.headers = list_make1(&type),.body = (char *) body,.body_len = strlen(body)
	};

	return act_connector_read_check(connector, &response, problem);
}

/* What a check's own rules say counts, before its status; the document's rules are about rows. */
static void
test_check_has_rules(void)
{
	Connector  *connector = document("\"rules\": [{\"status\": [\"2xx\"], \"then\": \"uncertain\"}],"
									 " \"check\": {\"request\": {\"method\": \"GET\"}, \"fails\": [401], \"rules\": ["
									 "{\"at\": \"/ok\", \"in\": [true], \"then\": \"rows\"},"
									 "{\"at\": \"/ok\", \"in\": [false], \"then\": \"auth\", \"code\": \"/error\", \"message\": \"/why\"}]}", "");
	char	   *problem;

	CHECK(check_is_ok(connector, 200, "{\"ok\": true}", &problem) && problem == NULL);
	CHECK(check_is_ok(connector, 401, "{\"ok\": true}", &problem));
	CHECK(!check_is_ok(connector, 200, "{\"ok\": false, \"error\": \"revoked\", \"why\": \"no more\"}", &problem));
	CHECK(strcmp(problem, "HTTP 200: no more (revoked)") == 0);
	CHECK(check_is_ok(connector, 200, "{\"ok\": ", &problem));
	CHECK(!check_is_ok(connector, 401, "{}", &problem));
}

int
main(void)
{
	static void (*const tests[]) (void) = {
		test_reference_has_the_tables,
		test_statuses_have_classes,
		test_document_overrides_each_class,
		test_rule_says_how_long,
		test_rules_look_at_texts_and_numbers,
		test_rows_have_classes,
		test_headers_say_how_long,
		test_document_names_headers,
		test_secrets_go_before_the_cut,
		test_any_header_is_bounded,
		test_check_has_rules,
	};

	for (int i = 0; i < lengthof(tests); i++)
	{
		tests[i] ();
		stub_reset();
	}
	printf("answer_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
