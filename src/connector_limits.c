/*-------------------------------------------------------------------------
 *
 * connector_limits.c
 *	  What a destination tells of its own limits: section "limits" of a
 *	  document.
 *
 * Compiled with the document, rendered and read before the first row of each
 * run (run_limits.c).  Touches neither database nor network; allocates in the
 * current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_limits.h"
#include "connector_private.h"

#define MAX_TOLD 1000000000

static const char *const limits_members[] = {"request", "into", NULL};

/* In the order of the members of ConnectorLimits. */
static const char *const into_members[] = {"batch.max_rows", "rate.requests", "rate.concurrency", "rate.rows", NULL};

struct LimitsSection
{
	const RequestTemplate *request;
	const JsonPointer *into[lengthof(into_members) - 1];	/* NULL: not told */
};

void
act_limits_compile(const Document *document, Connector *connector)
{
	const cJSON *at = act_document_member(document->root, "limits");
	struct LimitsSection *section;
	const cJSON *into;

	if (at == NULL)
		return;
	act_document_check(document, at, limits_members, NULL);
	section = palloc0(sizeof(struct LimitsSection));
	section->request = act_connector_compile_request(document, act_document_need(document, at, "request"), 0);
	into = act_document_need(document, at, "into");
	act_document_check(document, into, into_members, NULL);
	if (into->child == NULL)
		act_document_error(document, into, NULL, "limits of nothing");
	for (int i = 0; into_members[i] != NULL; i++)
		section->into[i] = act_document_pointer(document, into, into_members[i]);
	connector->limits = section;
}

bool
act_connector_tells_limits(const Connector *connector)
{
	return connector->limits != NULL;
}

void
act_connector_render_limits(const Connector *connector, const ConnectorScope *scope, HttpRequest *request)
{
	TemplateInput input = act_request_input(connector, scope, NULL, 0);

	act_request_render(connector, connector->limits->request, &input, 0, request);
}

typedef struct LimitsReading
{
	const struct LimitsSection *section;
	ConnectorLimits *limits;
} LimitsReading;

/* 0: it is not there, or no number that could be one. */
static int
told_number(const JsonPointer *pointer, const cJSON *root)
{
	const cJSON *value = pointer == NULL ? NULL : act_json_pointer_resolve(pointer, root);
	char	   *text = value == NULL ? NULL : act_json_scalar_text(value);
	char	   *end;
	double		number;

	if (text == NULL || *text == '\0')
		return 0;
	number = strtod(text, &end);
	return *end == '\0' && number >= 1 && number <= MAX_TOLD ? (int) number : 0;
}

static void
read_limits(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	const LimitsReading *reading = arg;

	if (root == NULL)
		return;
	reading->limits->max_rows = told_number(reading->section->into[0], root);
	reading->limits->requests = told_number(reading->section->into[1], root);
	reading->limits->concurrency = told_number(reading->section->into[2], root);
	reading->limits->rows = told_number(reading->section->into[3], root);
}

void
act_connector_read_limits(const Connector *connector, const HttpResponse *response, int64 now_ms,
						  ConnectorAnswer *answer, ConnectorLimits *limits)
{
	LimitsReading reading = {connector->limits, limits};

	memset(limits, 0, sizeof(ConnectorLimits));
	act_answer_read(connector, response, now_ms, read_limits, &reading, answer);
}
