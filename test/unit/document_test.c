/*-------------------------------------------------------------------------
 *
 * document_test.c
 *	  Large documents: whoever waits for one to be read can be interrupted.
 *
 * Members are looked for among all others, so time grows with the square of
 * their number.  Run by make -C test/unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_extend.h"
#include "connector_private.h"
#include "pg_stub.h"

#undef printf
#undef fprintf

#define MEMBERS 300
#define OPERATIONS "\"operations\": {\"upsert\": {\"idempotent\": true, \"request\": {\"body\": \"{{row.key}}\"}}}"
#define REQUEST(request) "\"operations\": {\"upsert\": {\"idempotent\": true, \"request\": {" request "}}}"

static int	checks;
static int	failures;

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

/* "m0": value, "m1": value, ...; value NULL: only the names */
static char *
many(const char *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < MEMBERS; i++)
	{
		appendStringInfo(&buf, "%s\"m%d\"", i > 0 ? ", " : "", i);
		if (value != NULL)
			appendStringInfo(&buf, ": %s", value);
	}
	return buf.data;
}

static void
check_interrupts(const char *what)
{
	checks++;
	if (stub_interrupts < MEMBERS)
	{
		failures++;
		fprintf(stderr, "document_test.c: %s: %d members, interrupts were looked for %d times\n", what, MEMBERS, stub_interrupts);
	}
	stub_interrupts = 0;
}

static char *
find(void *arg, const char *name)
{
	return psprintf("{\"headers\": {%s}, " OPERATIONS "}", many("\"x\""));
}

/* given a document with many members wherever it may have them, then reading it can be interrupted at each */
static void
test_interrupts(void)
{
	static const struct
	{
		const char *what;
		const char *format;
		const char *value;
	}			cases[] = {
		{"headers", "{\"headers\": {%s}, " OPERATIONS "}", "\"x\""},
		{"options", "{\"options\": {%s}, " OPERATIONS "}", "{\"kind\": \"text\"}"},
		{"query", "{" REQUEST("\"query\": {%s}, \"body\": \"{{row.key}}\"") "}", "\"x\""},
		{"body", "{" REQUEST("\"body\": {%s}") "}", "\"{{row.key}}\""},
		{"columns", "{" REQUEST("\"format\": \"csv\", \"columns\": {%s}") "}", "\"{{row.key.id}}\""},
		{"accepted_codes", "{\"operations\": {\"upsert\": {\"idempotent\": true, \"accepted_codes\": [%s], \"request\": {\"body\": \"{{row.key}}\"}}}}", NULL},
		{"any_of", "{\"objects\": [{\"object\": \"o\", \"any_of\": [%s], " OPERATIONS "}]}", NULL},
	};

	InterruptPending = true;
	for (int i = 0; i < lengthof(cases); i++)
	{
		char	   *members = many(cases[i].value);
		const char *at = strstr(cases[i].format, "%s");

		stub_interrupts = 0;
		(void) act_connector_compile("t", psprintf("%.*s%s%s", (int) (at - cases[i].format), cases[i].format, members, at + 2));
		check_interrupts(cases[i].what);
	}
	(void) act_connector_extend("t", psprintf("{\"extends\": \"base\", \"headers\": {%s}}", many("\"y\"")), find, NULL);
	check_interrupts("extends");
}

int
main(void)
{
	test_interrupts();
	stub_reset();
	printf("document_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
