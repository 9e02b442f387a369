/*-------------------------------------------------------------------------
 *
 * results_test.c
 *	  What vendors' answers say of single rows, and what hostile ones cannot.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * made-up answers (default 100000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "connector.h"
#include "json_text.h"
#include "pg_stub.h"
#include "records.h"

#undef printf
#undef fprintf
#undef snprintf

#define NOW INT64CONST(1795415400000)

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "results_test.c:%d: %s\n", line, what);
	}
}

static void
check_text_at(const char *got, const char *wanted, const char *of, int line)
{
	bool		ok = got == NULL || wanted == NULL ? got == wanted : strcmp(got, wanted) == 0;

	check_at(ok, line, of);
	if (!ok)
		fprintf(stderr, "  got    %s\n  wanted %s\n", got ? got : "(null)", wanted ? wanted : "(null)");
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)
#define CHECK_TEXT(got, wanted, of) check_text_at(got, wanted, of, __LINE__)

/* ----------------------------------------------------------------
 *		A world
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

static char *match_names[] = {"email", "id"};
static char *key_names[] = {"id"};
static ConnectorScope scope = {
	.sync_name = "s",.match = "email",.nmatch = 1,.match_names = match_names,.nkeys = 1,.key_names = key_names
};

/* more: members of the document; operation: of operation upsert */
static Connector *
document(const char *more, const char *operation)
{
	return act_connector_compile("t", psprintf("{\"match\": {\"compare\": [\"trim\", \"lower\"]}%s%s, \"operations\": {"
											   "\"upsert\": {\"mix\": \"all\", \"idempotent\": true, \"batch\": {\"max_rows\": 10000},"
											   " \"request\": {\"body\": {\"r\": {\"$rows\": \"{{row.key}}\"}}}%s%s},"
											   " \"delete\": {\"mix\": \"all\", \"absent\": \"accepted\", \"accepted_codes\": [\"ENTITY_IS_DELETED\"]},"
											   " \"insert\": {\"batch\": {\"max_rows\": 1}, \"request\": {}, \"remember\": {\"rev\": \"/rev\"},"
											   " \"answer\": {\"by\": \"none\", \"external_id\": \"/data/id\"}}}}",
											   *more ? ", " : "", more, *operation ? ", " : "", operation));
}

static Row **
rows_of(int n)
{
	Row		  **rows = palloc(sizeof(Row *) * n);

	for (int i = 0; i < n; i++)
	{
		rows[i] = palloc0(sizeof(Row));
		rows[i]->op = ROW_OP_UPSERT;
		rows[i]->key = psprintf("{\"id\": %d}", i);
		rows[i]->fields = psprintf("{\"email\": \"User%d@x.example\", \"id\": %d}", i, 9007199 + i);
		rows[i]->external_id = psprintf("e%d", i);
	}
	return rows;
}

static ConnectorAnswer
read_bytes(const Connector *connector, int status, const char *type, const char *body, size_t len, Row **rows, int nrows)
{
	HttpHeader	header = {"Content-Type", (char *) type};
	HttpHeader	reason = {"X-Reason", "the quota is used up"};
	HttpResponse response = {
		.transport = HTTP_ANSWERED,.status = status,.body_len = len,.headers = lappend(lappend(NIL, &header), &reason)
	};
	ConnectorAnswer answer;

	/* exactly as long as it is, so that sanitizers see each byte beyond */
	response.body = palloc(len + 1);
	memcpy(response.body, body, len);
	response.body[len] = '\0';
	act_connector_read(connector, &scope, &response, rows, nrows, NOW, &answer);
	return answer;
}

static ConnectorAnswer
read_answer(const Connector *connector, int status, const char *type, const char *body, Row **rows, int nrows)
{
	return read_bytes(connector, status, type, body, strlen(body), rows, nrows);
}

/* "accepted rejected(CODE) ..." or the verdict in words. */
static char *
told(const ConnectorAnswer *answer, Row **rows, int nrows)
{
	static const char *const verdicts[] = {
		"rows", "refused", "too large", "throttled", "retry", "doubt", "auth", "configuration"
	};
	static const char *const outcomes[] = {
		"undecided", "accepted", "rejected", "refused", "absent", "in doubt", "unknown", "delayed"
	};
	StringInfoData buf;

	if (answer->verdict != VERDICT_ROWS)
		return pstrdup(verdicts[answer->verdict]);
	initStringInfo(&buf);
	for (int i = 0; i < nrows; i++)
	{
		appendStringInfo(&buf, "%s%s", i == 0 ? "" : " ", rows[i]->exists ? "found" : outcomes[rows[i]->outcome]);
		if (rows[i]->code != NULL)
			appendStringInfo(&buf, "(%s)", rows[i]->code);
		if (rows[i]->new_external_id != NULL)
			appendStringInfo(&buf, "=%s", rows[i]->new_external_id);
	}
	return buf.data;
}

static bool
compiles(const char *more, const char *operation)
{
	volatile bool threw = false;

	PG_TRY();
	{
		(void) document(more, operation);
	}
	PG_CATCH();
	{
		threw = true;
	}
	PG_END_TRY();
	return !threw;
}

/* ----------------------------------------------------------------
 *		Vendors
 * ----------------------------------------------------------------
 */

typedef struct Vendor
{
	const char *name;
	const char *more;			/* members of the document */
	const char *operation;
	struct
	{
		int			status;
		const char *body;
		const char *wanted;
	}			answers[8];
} Vendor;

#define ROW_RULES "\"rules\": [{\"status\": [400], \"then\": \"rows\"}]"

static const Vendor vendors[] = {
	{"salesforce: by position, the first error's code", "",
		"\"answer\": {\"by\": \"position\", \"items\": \"\", \"outcomes\": ["
		"{\"at\": \"/success\", \"in\": [true], \"then\": \"accepted\"}, {\"then\": \"rejected\"}],"
		"\"code\": \"/errors/0/statusCode\", \"message\": \"/errors/0/message\", \"external_id\": \"/id\","
		"\"retry_codes\": [\"UNABLE_TO_LOCK_ROW\", \"SERVER_UNAVAILABLE\"], \"final_codes\": [\"MALFORMED_ID\"]}",
		{{200, "[{\"id\": \"003A\", \"success\": true, \"errors\": [], \"created\": true},"
			"{\"success\": false, \"errors\": [{\"statusCode\": \"REQUIRED_FIELD_MISSING\", \"message\": \"m\", \"fields\": [\"LastName\"]}]},"
			"{\"success\": false, \"errors\": [{\"statusCode\": \"UNABLE_TO_LOCK_ROW\"}]},"
			"{\"success\": false, \"errors\": [{\"statusCode\": \"MALFORMED_ID\"}]}]",
		"accepted=003A rejected(REQUIRED_FIELD_MISSING) delayed(UNABLE_TO_LOCK_ROW) refused(MALFORMED_ID)"},
		{200, "[{\"id\": \"003A\", \"success\": true}]", "doubt"},
		{200, "{}", "doubt"},
		{400, "[{\"errorCode\": \"X\"}]", "refused"}}},
	{"hubspot: refs in arrays, successes apart, an empty success", "",
		"\"answer\": {\"by\": \"ref\", \"items\": \"/errors\", \"is\": \"/context/objectWriteTraceId\", \"then\": \"rejected\","
		"\"code\": \"/category\", \"message\": \"/message\", \"default\": \"accepted\", \"empty\": [\"/results\", \"/errors\"],"
		"\"saved\": {\"items\": \"/results\", \"is\": \"/objectWriteTraceId\", \"external_id\": \"/id\"}}",
		{{207, "{\"results\": [{\"id\": \"512\", \"objectWriteTraceId\": \"r2\"}, {\"id\": 12345678901234567890, \"objectWriteTraceId\": \"r0\"}],"
			"\"errors\": [{\"category\": \"VALIDATION_ERROR\", \"context\": {\"objectWriteTraceId\": [\"r1\", \"r3\"]}}]}",
		"accepted=12345678901234567890 rejected(VALIDATION_ERROR) accepted=512 rejected(VALIDATION_ERROR)"},
		{200, "{\"status\": \"COMPLETE\", \"results\": []}",
		"rejected(nothing_written) rejected(nothing_written) rejected(nothing_written) rejected(nothing_written)"},
		{200, "{\"results\": [{\"id\": \"1\", \"objectWriteTraceId\": \"r9\"}]}", "accepted accepted accepted accepted"},
		{207, "{\"results\": [], \"errors\": [{\"category\": \"X\", \"context\": {}}]}", "doubt"},
		{207, "{\"errors\": [{\"context\": {\"objectWriteTraceId\": [\"r4\"]}}]}", "doubt"},
		{207, "{\"errors\": [{\"context\": {\"objectWriteTraceId\": [\"r01\"]}}]}", "doubt"},
		{207, "{\"errors\": [{\"context\": {\"objectWriteTraceId\": []}}]}", "doubt"}}},
	{"hubspot, by the value of the match field", "",
		"\"answer\": {\"by\": \"match\", \"items\": \"/results\", \"is\": \"/properties/{{sync.match}}\", \"then\": \"accepted\","
		"\"default\": \"rejected\", \"external_id\": \"/id\"}",
		{{200, "{\"results\": [{\"id\": 7, \"properties\": {\"email\": \" user1@X.example\"}}]}",
		"rejected accepted=7 rejected rejected"}}},
	{"elasticsearch: the only member of each", "",
		"\"answer\": {\"by\": \"position\", \"items\": \"/items\", \"enter\": true, \"outcomes\": ["
		"{\"at\": \"/status\", \"lt\": 300, \"then\": \"accepted\"}, {\"at\": \"/status\", \"in\": [404], \"then\": \"absent\"},"
		"{\"at\": \"/status\", \"in\": [429], \"then\": \"throttled\"}, {\"at\": \"/status\", \"gt\": 499, \"then\": \"retry\"},"
		"{\"then\": \"rejected\"}], \"code\": \"/error/type\", \"message\": \"/error/reason\"}",
		{{200, "{\"errors\": true, \"items\": [{\"index\": {\"_id\": \"1\", \"status\": 201}},"
			"{\"update\": {\"status\": 400, \"error\": {\"type\": \"mapper_parsing_exception\", \"reason\": \"x\"}}},"
			"{\"delete\": {\"status\": 404, \"result\": \"not_found\"}}, {\"index\": {\"status\": 503, \"error\": {\"type\": \"u\"}}}]}",
		"accepted rejected(mapper_parsing_exception) absent delayed(u)"},
		{200, "{\"items\": [{}, {}, {}, {}]}", "doubt"},
		{200, "{\"items\": [{\"a\": {\"status\": 200}, \"b\": {\"status\": 200}}, 1, 2, 3]}", "doubt"}}},
	{"braze: an index, in the array that is ours", "\"rules\": [{\"status\": [400], \"then\": \"refuse\", \"message\": \"/message\"}]",
		"\"answer\": {\"by\": \"index\", \"items\": \"/errors\", \"where\": {\"at\": \"/input_array\", \"in\": [\"attributes\"]},"
		"\"is\": \"/index\", \"then\": \"rejected\", \"code\": \"/type\", \"message\": \"/type\", \"default\": \"accepted\"}",
		{{201, "{\"message\": \"success\", \"attributes_processed\": 4}", "accepted accepted accepted accepted"},
		{201, "{\"message\": \"success\", \"errors\": [{\"type\": \"bad\", \"input_array\": \"attributes\", \"index\": 1},"
		"{\"type\": \"other\", \"input_array\": \"events\", \"index\": 0}]}", "accepted rejected(bad) accepted accepted"},
		{202, "{\"message\": \"queued\", \"errors\": null}", "accepted accepted accepted accepted"},
		{400, "{\"message\": \"no\", \"errors\": [{\"input_array\": \"attributes\", \"index\": 1}]}", "refused"},
		{201, "{\"errors\": [{\"input_array\": \"attributes\", \"index\": 4}]}", "doubt"},
		{201, "{\"errors\": [{\"input_array\": \"attributes\", \"index\": -1}]}", "doubt"},
		{201, "{\"errors\": [{\"input_array\": \"attributes\", \"index\": 99999999999999999999}]}", "doubt"},
		{201, "not json", "doubt"}}},
	{"customer.io: a batch index in 207", "",
		"\"answer\": {\"by\": \"index\", \"items\": \"/errors\", \"is\": \"/batch_index\", \"then\": \"rejected\","
		"\"code\": \"/reason\", \"message\": \"/message\", \"default\": \"accepted\"}",
		{{207, "{\"errors\": [{\"batch_index\": 3, \"reason\": \"required\", \"field\": \"f\", \"message\": \"m\"}]}",
		"accepted accepted accepted rejected(required)"}, {200, "{}", "accepted accepted accepted accepted"}}},
	{"mixpanel: the others of a 400 are imported", ROW_RULES,
		"\"answer\": {\"by\": \"index\", \"items\": \"/failed_records\", \"is\": \"/index\", \"then\": \"rejected\","
		"\"code\": \"/field\", \"message\": \"/message\", \"default\": \"accepted\"}",
		{{400, "{\"code\": 400, \"num_records_imported\": 3, \"failed_records\": [{\"index\": 2, \"field\": \"properties.time\", \"message\": \"m\"}]}",
		"accepted accepted rejected(properties.time) accepted"},
		{400, "{\"error\": \"bad token\"}", "refused"}, {200, "{\"num_records_imported\": 4}", "accepted accepted accepted accepted"}}},
	{"amplitude: lists of indexes, the others go again", ROW_RULES,
		"\"answer\": {\"by\": \"index_lists\", \"lists\": [{\"items\": \"/events_with_invalid_fields\", \"then\": \"rejected\"},"
		"{\"items\": \"/events_with_missing_fields\", \"then\": \"rejected\"},"
		"{\"items\": \"/silenced_events\", \"then\": \"refused\", \"code\": {\"text\": \"silenced\"}},"
		"{\"items\": \"/throttled_events\", \"then\": \"throttled\"}], \"optional\": true, \"default\": \"retry\"}",
		{{400, "{\"code\": 400, \"events_with_invalid_fields\": {\"time\": [1]}, \"events_with_missing_fields\": {}, \"silenced_events\": [3]}",
		"delayed rejected(time) delayed refused(silenced)"},
		{200, "{\"code\": 200, \"events_ingested\": 4}", "accepted accepted accepted accepted"},
		{400, "{\"code\": 400, \"error\": \"invalid api key\"}", "refused"},
		{400, "{\"silenced_events\": [\"x\"]}", "doubt"}}},
	{"couchdb: by the match value, conflicts are put off", "\"takes_key\": true",
		"\"answer\": {\"by\": \"match\", \"items\": \"\", \"is\": \"/id\", \"outcomes\": [{\"at\": \"/ok\", \"in\": [true], \"then\": \"accepted\"},"
		"{\"at\": \"/error\", \"then\": \"rejected\"}], \"code\": \"/error\", \"message\": \"/reason\", \"retry_codes\": [\"conflict\"],"
		"\"remember\": {\"rev\": \"/rev\"}}",
		{{201, "[{\"ok\": true, \"id\": \"user0@x.example\", \"rev\": \"1-a\"}, {\"id\": \"user1@x.example\", \"error\": \"conflict\"},"
			"{\"id\": \"user2@x.example\", \"error\": \"forbidden\"}, {\"ok\": true, \"id\": \"user3@x.example\"}]",
		"accepted delayed(conflict) rejected(forbidden) accepted"},
		{201, "[{\"ok\": true, \"id\": \"user0@x.example\"}]", "doubt"}}},
	{"parse: success or error, by position", "",
		"\"answer\": {\"by\": \"position\", \"items\": \"\", \"outcomes\": [{\"at\": \"/success\", \"then\": \"accepted\"},"
		"{\"at\": \"/error/code\", \"in\": [101], \"then\": \"absent\"}, {\"at\": \"/error\", \"then\": \"rejected\"}],"
		"\"code\": \"/error/code\", \"message\": \"/error/error\", \"external_id\": \"/success/objectId\"}",
		{{200, "[{\"success\": {\"objectId\": \"a\"}}, {\"error\": {\"code\": 137, \"error\": \"dup\"}}, {\"error\": {\"code\": 101}}, {\"success\": {}}]",
		"accepted=a rejected(137) absent(101) accepted"}}},
	{"kafka rest: successes and failures by ref", "",
		"\"answer\": {\"by\": \"ref\", \"is\": \"/id\", \"lists\": [{\"items\": \"/successes\", \"then\": \"accepted\"},"
		"{\"items\": \"/failures\", \"outcomes\": [{\"at\": \"/error_code\", \"gt\": 499, \"then\": \"retry\"}, {\"then\": \"rejected\"}],"
		"\"code\": \"/error_code\", \"message\": \"/message\"}]}",
		{{207, "{\"successes\": [{\"id\": \"r0\", \"partition_id\": 1}, {\"id\": \"r2\"}], \"failures\": [{\"id\": \"r1\", \"error_code\": 400},"
		"{\"id\": \"r3\", \"error_code\": 503}]}", "accepted rejected(400) accepted delayed(503)"},
		{207, "{\"successes\": [{\"id\": \"r0\"}], \"failures\": []}", "doubt"}}},
	{"mailchimp: members and errors", "",
		"\"answer\": {\"by\": \"match\", \"lists\": [{\"items\": \"/new_members\", \"is\": \"/email_address\", \"then\": \"accepted\", \"external_id\": \"/id\"},"
		"{\"items\": \"/updated_members\", \"is\": \"/email_address\", \"then\": \"accepted\", \"external_id\": \"/id\"},"
		"{\"items\": \"/errors\", \"is\": \"/email_address\", \"then\": \"rejected\", \"code\": \"/error_code\", \"message\": \"/error\"}]}",
		{{200, "{\"new_members\": [{\"id\": \"x\", \"email_address\": \"user0@x.example\"}], \"updated_members\": [{\"email_address\": \"USER1@x.example\"},"
			"{\"email_address\": \"user3@x.example\"}], \"errors\": [{\"email_address\": \"user2@x.example\", \"error_code\": \"ERROR_CONTACT_EXISTS\"}]}",
		"accepted=x accepted rejected(ERROR_CONTACT_EXISTS) accepted"}}},
	{"mailchimp segments: errors with many addresses", "",
		"\"answer\": {\"by\": \"match\", \"lists\": [{\"items\": \"/members_added\", \"is\": \"/email_address\", \"then\": \"accepted\"},"
		"{\"items\": \"/errors\", \"is\": \"/email_addresses\", \"then\": \"rejected\", \"message\": \"/error\"}]}",
		{{200, "{\"members_added\": [{\"email_address\": \"user0@x.example\"}, {\"email_address\": \"user3@x.example\"}],"
		"\"errors\": [{\"email_addresses\": [\"user1@x.example\", \"user2@x.example\"], \"error\": \"not subscribed\"}]}",
		"accepted rejected rejected accepted"}}},
	{"iterable: lists of values", "",
		"\"answer\": {\"by\": \"value\", \"lists\": [{\"items\": \"/failedUpdates/invalidEmails\", \"then\": \"refused\", \"code\": {\"text\": \"invalid_email\"}},"
		"{\"items\": \"/failedUpdates/notFoundEmails\", \"then\": \"absent\"},"
		"{\"items\": \"/failedUpdates/conflictEmails\", \"then\": \"retry\", \"code\": {\"text\": \"conflict\"}}], \"default\": \"accepted\"}",
		{{200, "{\"failCount\": 2, \"failedUpdates\": {\"invalidEmails\": [\"user0@x.example\"], \"notFoundEmails\": [\"user2@x.example\"],"
		"\"conflictEmails\": [\"user0@x.example\"]}}", "refused(invalid_email) accepted absent accepted"},
		{200, "{\"failedUpdates\": {\"invalidEmails\": [\"stranger@x.example\"]}}", "doubt"},
		{200, "{\"failedUpdates\": {\"invalidEmails\": [{}]}}", "doubt"}}},
	{"census: by the key, silence is a no", "",
		"\"answer\": {\"by\": \"key\", \"items\": \"/result/record_results\", \"is\": \"/identifier\", \"outcomes\": ["
		"{\"at\": \"/success\", \"in\": [true], \"then\": \"accepted\"}, {\"then\": \"rejected\"}], \"message\": \"/error_message\", \"default\": \"rejected\"}",
		{{200, "{\"result\": {\"record_results\": [{\"identifier\": 1, \"success\": true}, {\"identifier\": \"0\", \"success\": true},"
		"{\"identifier\": 3.0, \"success\": false}]}}", "accepted accepted rejected rejected"}}},
	{"by external id, and what several say of one", "",
		"\"answer\": {\"by\": \"external_id\", \"items\": \"/r\", \"is\": \"/id\", \"outcomes\": [{\"at\": \"/s\", \"in\": [\"ok\"], \"then\": \"accepted\"},"
		"{\"at\": \"/s\", \"in\": [\"later\"], \"then\": \"retry\"}, {\"at\": \"/s\", \"in\": [\"there\"], \"then\": \"found\"}, {\"at\": \"/s\", \"then\": \"rejected\"}],"
		"\"code\": \"/s\", \"external_id\": \"/new\", \"retry\": \"/again\", \"default\": \"accepted\"}",
		{{200, "{\"r\": [{\"id\": \"e0\", \"s\": \"no\"}, {\"id\": \"e0\", \"s\": \"ok\", \"new\": \"n\"}, {\"id\": \"e1\", \"s\": \"ok\", \"new\": \"m\"},"
			"{\"id\": \"e2\", \"s\": \"later\"}, {\"id\": \"e2\", \"s\": \"never\", \"again\": false}, {\"id\": \"e3\", \"s\": \"there\", \"new\": \"7\"}]}",
		"rejected(no) accepted=m refused(never) found(there)=7"}}},
	{"zendesk: an index, or the place", "",
		"\"answer\": {\"by\": \"index\", \"items\": \"/results\", \"is\": \"/index\", \"outcomes\": [{\"at\": \"/error\", \"then\": \"rejected\"},"
		"{\"then\": \"accepted\"}], \"code\": \"/error\", \"message\": \"/details\", \"external_id\": \"/id\"}",
		{{200, "{\"results\": [{\"id\": 5, \"index\": 3}, {\"id\": 6, \"index\": 2}, {\"id\": 7, \"index\": 1}, {\"index\": 0, \"error\": \"E\"}]}",
		"rejected(E) accepted=7 accepted=6 accepted=5"},
		{200, "{\"results\": [{\"id\": 5, \"success\": true}, {\"id\": 6}, {\"error\": \"E\"}, {\"id\": 8}]}",
		"accepted=5 accepted=6 rejected(E) accepted=8"},
		{200, "{\"results\": [{\"error\": \"E\"}]}", "doubt"}}},
	{"slack: a no in a success", "\"rules\": [{\"at\": \"/ok\", \"in\": [false], \"then\": \"refuse\", \"code\": \"/error\"}]", "",
		{{200, "{\"ok\": false, \"error\": \"channel_not_found\"}", "refused"}, {200, "{\"ok\": true}", "accepted accepted accepted accepted"}}},
};

/* given each vendor's answers, then each row has its outcome */
static void
test_vendors(void)
{
	for (int i = 0; i < lengthof(vendors); i++)
	{
		const Vendor *vendor = &vendors[i];
		Connector  *connector = document(vendor->more, vendor->operation);

		for (int j = 0; j < lengthof(vendor->answers) && vendor->answers[j].body != NULL; j++)
		{
			const char *body = vendor->answers[j].body;
			Row		  **rows = rows_of(4);
			ConnectorAnswer answer = read_answer(connector, vendor->answers[j].status, "application/json", body, rows, 4);

			CHECK_TEXT(told(&answer, rows, 4), vendor->answers[j].wanted, psprintf("%s, answer %d", vendor->name, j));
			if (answer.verdict == VERDICT_ROWS)
				continue;
			for (int k = 0; k < 4; k++)
				CHECK(rows[k]->outcome == ROW_UNDECIDED && rows[k]->http_status == 0);
			CHECK(answer.message != NULL);
		}
	}
}

/* given several operations in a request, then each has its own words */
static void
test_operations_of_a_mix_have_their_own(void)
{
	Connector  *connector = document("", "\"rules\": [{\"at\": \"/own\", \"then\": \"halve\"}],"
									 " \"answer\": {\"by\": \"position\", \"items\": \"/r\","
									 "\"outcomes\": [{\"at\": \"\", \"in\": [\"gone\"], \"then\": \"absent\"}, {\"then\": \"rejected\"}], \"code\": \"\"}");
	Row		  **rows = rows_of(4);
	const char *body = "{\"r\": [\"gone\", \"gone\", \"ENTITY_IS_DELETED\", \"ENTITY_IS_DELETED\"]}";
	ConnectorAnswer answer;

	rows[1]->op = rows[3]->op = ROW_OP_DELETE;
	answer = read_answer(connector, 200, "application/json", body, rows, 4);
	CHECK_TEXT(told(&answer, rows, 4), "absent(gone) accepted rejected(ENTITY_IS_DELETED) accepted", "mix");
	body = "{\"own\": 1}";
	CHECK(read_answer(connector, 200, "application/json", body, rows, 4).verdict == VERDICT_TOO_LARGE);
	rows[0]->op = ROW_OP_INSERT;
	CHECK(read_answer(connector, 200, "application/json", body, rows, 1).verdict == VERDICT_ROWS);
}

/* given one row, then its record may be found or absent; given several, then it is searched */
static void
test_records_that_are_there_or_not(void)
{
	Connector  *connector = document("\"reason\": {\"code\": \"/code\"}, \"rules\": [{\"status\": [409], \"then\": \"found\", \"external_id\": \"/id\"},"
									 "{\"status\": [404], \"then\": \"absent\"},"
									 "{\"header\": \"x-reason\", \"contains\": \"quota\", \"status\": [403], \"then\": \"throttle\"},"
									 "{\"text\": true, \"contains\": \"too many parts\", \"then\": \"retry\"}]", "");
	const char *body = "{\"id\": 71, \"code\": \"dup\"}";
	Row		  **rows = rows_of(2);
	ConnectorAnswer answer;

	answer = read_answer(connector, 409, "application/json", body, rows, 1);
	CHECK_TEXT(told(&answer, rows, 1), "found(dup)=71", "found");
	CHECK(rows[0]->outcome == ROW_REJECTED && rows[0]->http_status == 409 && rows[0]->message != NULL);
	CHECK(read_answer(connector, 409, "application/json", body, rows, 2).verdict == VERDICT_REFUSED);
	answer = read_answer(connector, 404, "text/html", "<html>", rows, 1);
	CHECK_TEXT(told(&answer, rows, 1), "absent", "absent");
	rows[0]->op = ROW_OP_DELETE;
	answer = read_answer(connector, 404, "text/html", "<html>", rows, 1);
	CHECK_TEXT(told(&answer, rows, 1), "accepted", "a delete of what is not there");
	CHECK(read_answer(connector, 404, "text/html", "<html>", rows, 2).verdict == VERDICT_REFUSED);
	CHECK(read_answer(connector, 403, "text/html", "", rows, 1).verdict == VERDICT_THROTTLED);
	CHECK(read_answer(connector, 500, "text/plain", "DB: too many parts", rows, 1).verdict == VERDICT_UNREACHED);
	CHECK(read_answer(connector, 500, "text/plain", "DB: parts", rows, 1).verdict == VERDICT_UNCERTAIN);

	rows[1]->op = ROW_OP_INSERT;
	answer = read_answer(connector, 201, "application/json", "{\"data\": {\"id\": \"cus_1\"}, \"rev\": [1, \"x\"]}", rows + 1, 1);
	CHECK_TEXT(told(&answer, rows + 1, 1), "accepted=cus_1", "the id of a single record");
	CHECK(list_length(rows[1]->new_remembered) == 1);
	CHECK_TEXT(((HttpHeader *) linitial(rows[1]->new_remembered))->value, "[1,\"x\"]", "remembered");
}

/* given a single row, then a failure that names nobody is its own */
static void
test_a_single_row_is_meant(void)
{
	Connector  *connector = document("", "\"answer\": {\"by\": \"match\", \"items\": \"/e\", \"is\": \"/m\", \"then\": \"rejected\", \"default\": \"accepted\"}");
	Row		  **rows = rows_of(2);
	const char *body = "{\"e\": [{\"m\": \"who?\"}]}";
	ConnectorAnswer answer = read_answer(connector, 200, "application/json", body, rows, 1);

	CHECK_TEXT(told(&answer, rows, 1), "rejected", "single");
	answer = read_answer(connector, 200, "application/json", body, rows, 2);
	CHECK_TEXT(answer.message, "HTTP 200, but result 1 of the answer is a failure of no row that was sent: {\"m\":\"who?\"}", "message");
}

/* given match values that are numbers, then they are compared as such, of any length */
static void
test_numbers_are_exact(void)
{
	Connector  *connector = document("", "\"answer\": {\"by\": \"match\", \"items\": \"\", \"is\": [\"/e\", \"/n\"], \"then\": \"rejected\", \"default\": \"accepted\"}");
	Row		  **rows = rows_of(3);
	const char *body = "[{\"e\": \"user0@x.example\", \"n\": 9007199254740993.0}, {\"e\": \"user1@x.example\", \"n\": \"1e2\"}]";
	ConnectorAnswer answer;

	scope.nmatch = 2;
	rows[0]->fields = "{\"email\": \"user0@x.example\", \"id\": 9007199254740993}";
	rows[1]->fields = "{\"email\": \"user1@x.example\", \"id\": 100.00}";
	rows[2]->fields = "{\"email\": \"user2@x.example\", \"id\": null}";
	answer = read_answer(connector, 200, "application/json", body, rows, 3);
	CHECK_TEXT(told(&answer, rows, 3), "rejected rejected accepted", "numbers");
	rows[0]->fields = "{\"email\": \"user0@x.example\", \"id\": 9007199254740992}";
	answer = read_answer(connector, 200, "application/json", body, rows, 3);
	CHECK(answer.verdict == VERDICT_UNCERTAIN);
	scope.nmatch = 1;
}

/* ----------------------------------------------------------------
 *		Records
 * ----------------------------------------------------------------
 */

/* given a job's files, then each row has its outcome, whatever their order and quoting */
static void
test_csv_results(void)
{
	Connector  *connector = document("", "\"answer\": {\"by\": \"match\", \"format\": \"csv\", \"is\": \"/Email__c\", \"then\": \"rejected\","
									 "\"message\": \"/sf__Error\", \"code\": \"/sf__Id\", \"default\": \"accepted\"}");
	static const char csv[] = "\xef\xbb\xbf\"sf__Id\",\"sf__Error\",Email__c,Note\r\n"
		"\"\",\"REQUIRED_FIELD_MISSING:a, \"\"b\"\"\n:--\",user2@x.example,\"x\"\r\n"
		"003,,USER0@x.example,";
	Row		  **rows = rows_of(3);
	ConnectorAnswer answer = read_answer(connector, 200, "text/csv", csv, rows, 3);

	CHECK_TEXT(told(&answer, rows, 3), "rejected(003) accepted rejected", "csv");
	CHECK_TEXT(rows[2]->message, "REQUIRED_FIELD_MISSING:a, \"b\"\n:--", "csv message");
	CHECK(rows[0]->message == NULL);
	answer = read_answer(connector, 200, "text/csv", "Email__c\n", rows, 3);
	CHECK_TEXT(told(&answer, rows, 3), "accepted accepted accepted", "csv with a header only");
	answer = read_answer(connector, 200, "text/csv", "", rows, 3);
	CHECK_TEXT(answer.message, "HTTP 200, but the answer cannot be read as CSV: it is empty, without even a header line (line 1)", "empty");

	connector = document("", "\"answer\": {\"by\": \"index\", \"format\": \"ndjson\", \"is\": \"/i\", \"where\": {\"at\": \"/i\"},"
						 "\"outcomes\": [{\"at\": \"/ok\", \"in\": [true], \"then\": \"accepted\"}, {\"then\": \"rejected\"}]}");
	answer = read_answer(connector, 200, "application/x-ndjson", "{\"i\":2,\"ok\":true}\r\n\n{\"done\":3}\n{\"i\":0,\"ok\":false}\n{\"i\":1,\"ok\":true}", rows, 3);
	CHECK_TEXT(told(&answer, rows, 3), "rejected accepted accepted", "ndjson");
	answer = read_answer(connector, 200, "application/x-ndjson", "{\"i\":2,\"ok\":true}\n{\"i\":", rows, 3);
	CHECK_TEXT(answer.message, "HTTP 200, but the answer cannot be read as lines of JSON: line 2: it is cut off (line 1, column 6)", "cut off");
}

/* given text that is no strict CSV, then it is said where, and nothing is guessed */
static void
test_csv_is_strict(void)
{
	static const struct
	{
		const char *text;
		const char *wanted;		/* records as JSON, then the problem */
	}			cases[] = {
		{"a,b\n1,2\n3,4\n", "{\"a\":\"1\",\"b\":\"2\"}{\"a\":\"3\",\"b\":\"4\"}"},
		{"a,b\r\n1,\"2\r\n\"\r\n", "{\"a\":\"1\",\"b\":\"2\\r\\n\"}"},
		{"a\n\n1", "{}{\"a\":\"1\"}"}, {"\"a\"\n\"\"\"\"", "{\"a\":\"\\\"\"}"}, {"a b, c\n x ,\n", "{\"a b\":\" x \"}"},
		{"a,b\n1\n", "a line has not as many columns as the header (line 2)"},
		{"a,b\n1,2\n1,2,3\n", "{\"a\":\"1\",\"b\":\"2\"}a line has not as many columns as the header (line 3)"},
		{"a\n\"1\n\n", "it is cut off within quotes (line 4)"}, {"a\n\"1\"2\n", "something follows a closing quote (line 2)"},
		{"a\n1\"2\n", "a quote or a carriage return stands within a column without quotes (line 2)"},
		{"a\n1\r2\n", "a quote or a carriage return stands within a column without quotes (line 2)"},
		{"a,a\n", "two columns have one name (line 1)"}, {"a,\n", "a column has no name (line 1)"},
		{"\n", "a column has no name (line 1)"}, {"a\n\xff\xc3\n", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"},
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		size_t		len = strlen(cases[i].text);
		char	   *text = memcpy(palloc(Max(len, 1)), cases[i].text, len);
		Records    *records = act_records_open(RECORDS_CSV, text, len);
		const cJSON *record;
		char	   *problem;
		StringInfoData all;

		initStringInfo(&all);
		while ((record = act_records_next(records, &problem)) != NULL)
			act_json_append(&all, record, 0);
		appendStringInfoString(&all, problem == NULL ? "" : problem);
		CHECK_TEXT(all.data, cases[i].wanted, cases[i].text);
		act_records_close(records);
	}
}

/* ----------------------------------------------------------------
 *		Documents
 * ----------------------------------------------------------------
 */

/* given a document that means nothing, then it is refused */
static void
test_documents_are_strict(void)
{
	static const char *const bad[] = {
		"{\"by\": \"index\", \"items\": \"/e\", \"then\": \"rejected\"}",
		"{\"by\": \"index\", \"items\": \"/e\", \"is\": \"/i\"}",
		"{\"by\": \"index\", \"items\": \"/e\", \"is\": [\"/i\"], \"then\": \"rejected\"}",
		"{\"by\": \"index\", \"items\": \"/e\", \"is\": \"/i\", \"then\": \"rejected\", \"outcomes\": [{\"then\": \"rejected\"}]}",
		"{\"by\": \"index\", \"items\": \"/e\", \"lists\": [{\"items\": \"/f\"}], \"is\": \"/i\", \"then\": \"rejected\"}",
		"{\"by\": \"index\", \"lists\": [], \"is\": \"/i\", \"then\": \"rejected\"}",
		"{\"by\": \"index\", \"lists\": [{}], \"is\": \"/i\", \"then\": \"rejected\"}",
		"{\"by\": \"position\", \"items\": \"/e\", \"is\": \"/i\", \"then\": \"rejected\"}",
		"{\"by\": \"position\", \"items\": \"/e\", \"then\": \"rejected\", \"default\": \"accepted\"}",
		"{\"by\": \"position\", \"items\": \"/e\", \"then\": \"rejected\", \"where\": {\"at\": \"/x\"}}",
		"{\"by\": \"position\", \"lists\": [{\"items\": \"/e\"}], \"then\": \"rejected\"}",
		"{\"by\": \"value\", \"items\": \"/e\", \"is\": \"/i\", \"then\": \"rejected\"}",
		"{\"by\": \"key\", \"items\": \"/e\", \"is\": [\"/i\", \"/j\"], \"then\": \"rejected\"}",
		"{\"by\": \"value\", \"format\": \"csv\", \"then\": \"rejected\"}",
		"{\"by\": \"match\", \"format\": \"csv\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\"}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"final_codes\": [\"a\"], \"retry_codes\": [\"a\"]}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"final_codes\": [true]}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"code\": {\"txt\": \"a\"}}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"code\": \"a\"}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"saved\": {\"items\": \"/s\"}}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"rejected\", \"remember\": {\"A\": \"/s\"}}",
		"{\"by\": \"ref\", \"items\": \"/e\", \"is\": \"/a\", \"then\": \"unknown\"}",
		"{\"by\": \"none\", \"items\": \"/e\"}",
		"{\"by\": \"none\", \"external_id\": \"/e\"}",
		"{\"by\": \"none\", \"empty\": []}",
	};
	static const char *const bad_rules[] = {
		"{\"header\": \"X\", \"at\": \"/a\", \"then\": \"retry\"}", "{\"text\": true, \"then\": \"retry\"}",
		"{\"text\": true, \"header\": \"X\", \"contains\": \"a\", \"then\": \"retry\"}", "{\"text\": false, \"then\": \"retry\"}",
		"{\"status\": [409], \"then\": \"absent\", \"external_id\": \"/a\"}", "{\"header\": \"\", \"then\": \"retry\"}",
	};

	for (int i = 0; i < lengthof(bad); i++)
		check_at(!compiles("", psprintf("\"answer\": %s", bad[i])), __LINE__, bad[i]);
	for (int i = 0; i < lengthof(bad_rules); i++)
	{
		check_at(!compiles(psprintf("\"rules\": [%s]", bad_rules[i]), ""), __LINE__, bad_rules[i]);
		check_at(!compiles("", psprintf("\"rules\": [%s]", bad_rules[i])), __LINE__, bad_rules[i]);
	}
	CHECK(compiles("", "\"answer\": {\"by\": \"none\", \"empty\": [\"/a\"]}"));
}

/* ----------------------------------------------------------------
 *		Against a naive model
 * ----------------------------------------------------------------
 */
static uint64 seed = 1;

static int
random_below(int n)
{
	seed = seed * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (int) ((seed >> 33) % n);
}

/* As worse and worse. */
static const struct
{
	const char *said;
	RowOutcome	outcome;
}			ways[] = {
	{NULL, ROW_UNDECIDED}, {"ok", ROW_ACCEPTED}, {"none", ROW_ABSENT}, {"later", ROW_DELAYED}, {"no", ROW_REJECTED}, {"never", ROW_REFUSED}
};

#define WAYS "\"outcomes\": [{\"at\": \"/s\", \"in\": [\"ok\"], \"then\": \"accepted\"}, {\"at\": \"/s\", \"in\": [\"none\"], \"then\": \"absent\"}," \
	"{\"at\": \"/s\", \"in\": [\"later\"], \"then\": \"retry\"}, {\"at\": \"/s\", \"in\": [\"no\"], \"then\": \"rejected\"}," \
	"{\"at\": \"/s\", \"in\": [\"never\"], \"then\": \"refused\"}]"

static const char *const shapes[] = {"index", "ref", "match", "key", "external_id"};

static char *
naming(int shape, int row)
{
	static const char *const forms[][2] = {
		{"%d", "\"%d\""}, {"\"r%d\"", "[\"r%d\"]"}, {"\"user%d@X.EXAMPLE\"", "\" USER%d@x.example \""}, {"%d", "{\"id\": \"%d.0\"}"}, {"\"e%d\"", "\"e%d\""}
	};

	return psprintf(forms[shape][random_below(2)], row);
}

/* given any results in any order, then the model and the reader agree on each row */
static void
test_any_results_are_as_the_model_has_them(int64 n)
{
	Connector  *connectors[2][lengthof(shapes)];

	for (int i = 0; i < lengthof(shapes); i++)
	{
		for (int silent = 0; silent < 2; silent++)
			connectors[silent][i] = document("", psprintf("\"answer\": {\"by\": \"%s\", \"items\": \"/r\", \"is\": \"/i\", %s%s}", shapes[i], WAYS,
														  silent ? ", \"default\": \"accepted\"" : ""));
	}
	for (int64 i = 0; i < n; i++)
	{
		int			shape = random_below(lengthof(shapes));
		int			silent = random_below(2);
		int			nrows = 1 + random_below(6);
		int			worst[6] = {0};
		bool		doubt = false;
		Row		  **rows = rows_of(nrows);
		StringInfoData body;
		ConnectorAnswer answer;

		initStringInfo(&body);
		appendStringInfoString(&body, "{\"r\": [");
		for (int nresults = random_below(10); nresults > 0; nresults--)
		{
			int			row = random_below(8) == 0 ? 50 + random_below(9) : random_below(nrows);
			int			way = 1 + random_below(lengthof(ways) - 1);

			if (way > 1 && random_below(2) == 0)
				way = 1;
			appendStringInfo(&body, "%s{\"i\": %s, \"s\": \"%s\"}", body.data[body.len - 1] == '[' ? "" : ",", naming(shape, row), ways[way].said);
			if (nrows == 1)
				row = 0;
			if (row < nrows)
				worst[row] = Max(worst[row], way);
			else
				doubt = doubt || way > 1;
		}
		appendStringInfoString(&body, "]}");
		for (int row = 0; row < nrows; row++)
		{
			if (worst[row] == 0 && silent)
				worst[row] = 1;
			doubt = doubt || worst[row] == 0;
		}
		answer = read_answer(connectors[silent][shape], 200, "application/json", body.data, rows, nrows);
		if ((answer.verdict == VERDICT_UNCERTAIN) != doubt)
			check_at(false, __LINE__, body.data);
		for (int row = 0; row < nrows; row++)
		{
			if (rows[row]->outcome != (doubt ? ROW_UNDECIDED : ways[worst[row]].outcome))
				check_at(false, __LINE__, psprintf("row %d of %s", row, body.data));
		}
		for (int row = 0; row < nrows; row++)
		{
			pfree(rows[row]->key);
			pfree(rows[row]->fields);
			pfree(rows[row]->external_id);
		}
		pfree(body.data);
	}
	checks++;
}

/* given an answer of any shape with bytes changed, then nothing breaks, and all that is kept is text */
static void
test_any_bytes_are_survived(int64 n)
{
	Connector  *connectors[lengthof(vendors)];

	for (int i = 0; i < lengthof(vendors); i++)
		connectors[i] = document(vendors[i].more, vendors[i].operation);
	for (int64 i = 0; i < n; i++)
	{
		int			vendor = random_below(lengthof(vendors));
		int			j = 0;
		const char *from;
		size_t		len;
		char	   *body;
		Row		  **rows = rows_of(4);
		ConnectorAnswer answer;

		while (j < lengthof(vendors[vendor].answers) - 1 && vendors[vendor].answers[j + 1].body != NULL && random_below(2))
			j++;
		from = vendors[vendor].answers[j].body;
		len = strlen(from);
		body = pstrdup(from);
		for (int changes = random_below(4); changes > 0 && len > 0; changes--)
			body[random_below(len)] = random_below(3) == 0 ? (char) random_below(256) : from[random_below(strlen(from))];
		if (random_below(4) == 0)
			len = random_below(len + 1);
		answer = read_bytes(connectors[random_below(8) == 0 ? random_below(lengthof(vendors)) : vendor],
							 vendors[vendor].answers[j].status, "application/json", body, len, rows, 4);
		for (int row = 0; row < 4; row++)
		{
			const char *texts[] = {rows[row]->code, rows[row]->message, rows[row]->new_external_id};

			if ((answer.verdict == VERDICT_ROWS) != (rows[row]->outcome != ROW_UNDECIDED))
				check_at(false, __LINE__, body);
			for (int k = 0; k < lengthof(texts); k++)
			{
				for (const char *c = texts[k]; c != NULL && *c != '\0'; c += act_utf8_length(c, strlen(c)))
				{
					if (act_utf8_length(c, strlen(c)) == 0)
					{
						check_at(false, __LINE__, "no UTF-8");
						break;
					}
				}
			}
		}
	}
	checks++;
}

/* given any bytes as CSV, then reading ends, within its bounds */
static void
test_any_csv_is_survived(int64 n)
{
	static const char parts[] = "a,b\"\"\n\n\r\n,,1\xff\xc3\xa9";

	for (int64 i = 0; i < n; i++)
	{
		size_t		len = random_below(40);
		char	   *text = palloc(Max(len, 1));
		Records    *records;
		char	   *problem;

		for (size_t at = 0; at < len; at++)
			text[at] = at < 3 ? "ab\n"[at] : parts[random_below(sizeof(parts))];
		records = act_records_open(i % 4 == 0 ? RECORDS_NDJSON : RECORDS_CSV, text, len);
		while (act_records_next(records, &problem) != NULL)
			;
		act_records_close(records);
	}
	checks++;
}

/* given ten thousand rows, then reading their results takes no time that anybody notices */
static void
test_many_rows_are_linear(void)
{
	Connector  *connector = document("", "\"answer\": {\"by\": \"match\", \"items\": \"\", \"is\": \"/e\", \"then\": \"accepted\"}");
	Row		  **rows = rows_of(10000);
	StringInfoData body;
	ConnectorAnswer answer;
	clock_t		start;

	initStringInfo(&body);
	for (int i = 0; i < 10000; i++)
		appendStringInfo(&body, "%s{\"e\": \"USER%d@x.example\"}", i == 0 ? "[" : ",", (i * 7919) % 10000);
	appendStringInfoChar(&body, ']');
	start = clock();
	answer = read_answer(connector, 200, "application/json", body.data, rows, 10000);
	CHECK(answer.verdict == VERDICT_ROWS && rows[9999]->outcome == ROW_ACCEPTED);
	CHECK((clock() - start) / CLOCKS_PER_SEC < 5);
}

int
main(void)
{
	const char *count = getenv("FUZZ");
	int64		n = count != NULL ? atoll(count) : 100000;
	static void (*const tests[]) (void) = {
		test_vendors, test_operations_of_a_mix_have_their_own, test_records_that_are_there_or_not, test_a_single_row_is_meant,
		test_numbers_are_exact, test_csv_results, test_csv_is_strict, test_documents_are_strict, test_many_rows_are_linear
	};
	static void (*const made_up[]) (int64 n) = {
		test_any_results_are_as_the_model_has_them, test_any_bytes_are_survived, test_any_csv_is_survived
	};

	if (getenv("SEED") != NULL)
		seed = strtoull(getenv("SEED"), NULL, 10);
	for (int i = 0; i < lengthof(tests); i++)
	{
		tests[i] ();
		stub_reset();
	}
	for (int i = 0; i < lengthof(made_up); i++)
	{
		for (int64 done = 0; done < n; done += 1000)
		{
			made_up[i] (Min(1000, n - done));
			stub_reset();
		}
	}
	printf("results_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
