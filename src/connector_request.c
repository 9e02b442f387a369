/*-------------------------------------------------------------------------
 *
 * connector_request.c
 *	  Rendering requests: URL, headers and body of a batch or of a check.
 *
 * Credentials are added by connector_auth.c, for each try anew.  Requests
 * are allocated in the current memory context.  Throws 22023 where document
 * and rows do not fit together; nothing that a row or an option holds can
 * end a header line or a segment of the path.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_text.h"
#include "template_private.h"
#include "url.h"

/* That a value may grow by on its way through filters: a digest of nothing. */
#define FILTERED_BYTES 64

static char *render_url(const Connector *connector, const RequestTemplate *template, TemplateInput *input);
static char *base_url(const Connector *connector, const ConnectorScope *scope);
static void append_segment(const Template *segment, TemplateInput *input, StringInfo url);
static TemplateResult try_segment(const Template *segment, TemplateInput *input, StringInfo url);
static TemplateResult try_address(const RequestTemplate *request, TemplateInput *input);
static TemplateResult try_parameter(const NamedTemplate *item, TemplateInput *input, char separator, StringInfo url);
static void append_query(const NamedTemplates *query, TemplateInput *input, char *separator, StringInfo url);

void
act_connector_render(const Connector *connector, const ConnectorScope *scope,
					 Row **rows, int nrows, HttpRequest *request)
{
	const Operation *operation = act_flow_operation(connector, rows[0]);
	ConnectorScope own = *scope;
	TemplateInput input;
	size_t		bytes = 1024;

	for (int i = 0; i < nrows; i++)
	{
		const Operation *other = act_flow_operation(connector, rows[i]);

		if (operation == NULL || other == NULL || other->owner != operation->owner)
			elog(ERROR, "connector \"%s\" cannot %s these rows in one request",
				 connector->name, act_row_op_sent_name(rows[i]->op));
	}
	if (operation->owner->job != NULL)
	{
		act_job_render_rows(connector, scope, rows, nrows, request);
		return;
	}
	if (!operation->owner->request->several_rows && nrows > 1)
		elog(ERROR, "connector \"%s\" takes one row in a request", connector->name);
	rows = act_connector_sent_rows(connector, scope, rows, nrows);
	own.batch_by = act_connector_batch_by(connector, rows[0]);
	input = act_request_input(connector, &own, rows, nrows);
	for (int i = 0; i < nrows; i++)
		bytes += act_connector_row_bytes(connector, scope, rows[i]);
	act_request_render(connector, operation->owner->request, &input, bytes, request);
}

void
act_connector_render_unit(const Connector *connector, const ConnectorScope *scope,
						  Row **rows, int nrows, const uint8 *id, HttpRequest *request)
{
	const Operation *operation = connector->operations[ROW_OP_REPLACE];
	ConnectorScope own = *scope;
	TemplateInput input;
	size_t		bytes = 1024;

	if (operation == NULL)
		elog(ERROR, "connector \"%s\" cannot replace", connector->name);
	/* Not asked yet: a preview */
	if (operation->prepare != NULL && scope->saved == NIL)
		own.saved = act_job_assumed_prepared(operation->prepare);
	rows = act_connector_sent_rows(connector, scope, rows, nrows);
	input = act_request_input(connector, &own, rows, nrows);
	input.unit_id = id;
	for (int i = 0; i < nrows; i++)
		bytes += act_connector_row_bytes(connector, scope, rows[i]);
	act_request_render(connector, operation->request, &input, bytes, request);
}

/* bytes: of the body, about; one allocation instead of a dozen that double. */
void
act_request_render(const Connector *connector, const RequestTemplate *template, TemplateInput *input,
				   size_t bytes, HttpRequest *request)
{
	const Row  *row = input->row == NULL && input->nrows == 1 ? input->rows[0] : input->row;
	StringInfoData body;

	memset(request, 0, sizeof(HttpRequest));
	request->method = template->method;
	input->row = row;
	request->url = render_url(connector, template, input);
	if (template->format != FORMAT_NONE &&
		(template->body != NULL || template->format == FORMAT_NDJSON || template->format == FORMAT_CSV))
	{
		initStringInfo(&body);
		if (bytes > 0 && bytes < ACT_JSON_MAX_BYTES)
			enlargeStringInfo(&body, (int) bytes);
		act_body_render(template, input, &body);
		request->body = body.data;
		request->body_len = body.len;
		if (template->gzip)
			act_body_compress(request);
		act_request_set_header(connector->name, request, "Content-Type", template->content_type);
		if (template->gzip)
			act_request_set_header(connector->name, request, "Content-Encoding", "gzip");
	}
	input->row = row;
	input->row_index = 0;
	act_request_add_headers(connector, &connector->headers, input, request);
	act_request_add_headers(connector, &template->headers, input, request);
}

/* The one that the row travels in, or would; NULL: the operation has none. */
static const RequestTemplate *
row_request(const Connector *connector, const Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);

	if (row->in_lookup)
		return connector->lookup != NULL ? connector->lookup->request : NULL;
	return operation == NULL ? NULL : operation->owner->request;
}

size_t
act_connector_row_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	const RequestTemplate *request = row_request(connector, row);
	const TemplateInput input = act_request_input(connector, scope, NULL, 0);
	size_t		filtered = connector->object == NULL ? 0 : connector->object->nfiltered * FILTERED_BYTES;

	if (request == NULL)
		return 0;
	return filtered + act_body_row_bytes(request, &input, row);
}

/* ------------------------------------------------------------------ addresses */

static const RequestTemplate *
request_with_url_rows(const Connector *connector, const Row *row)
{
	const RequestTemplate *request = row_request(connector, row);

	return request != NULL && request->rows_in_url ? request : NULL;
}

size_t
act_connector_row_url_bytes(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	const RequestTemplate *request = request_with_url_rows(connector, row);
	TemplateInput input = act_request_input(connector, scope, NULL, 0);
	size_t		bytes = 0;

	if (request == NULL)
		return 0;
	for (int i = 0; i < request->nsegments; i++)
		bytes += act_template_url_row_bytes(request->segments[i], &input, row);
	for (int i = 0; i < request->query.count; i++)
		bytes += act_template_url_row_bytes(request->query.items[i].value, &input, row);
	return bytes;
}

size_t
act_connector_url_room(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	const RequestTemplate *request = request_with_url_rows(connector, row);
	TemplateInput input = act_request_input(connector, scope, NULL, 0);
	size_t		bare;

	if (request == NULL)
		return SIZE_MAX;
	input.trial = true;
	bare = strlen(render_url(connector, request, &input));
	return bare < ACT_MAX_URL ? ACT_MAX_URL - bare : 1;
}

/* ------------------------------------------------------------------ single rows */

static bool
may_fail(const Operation *operation)
{
	return operation != NULL && operation->owner->request != NULL &&
		(operation->owner->request->may_fail || (operation->row != NULL && act_template_may_fail(operation->row)));
}

/* trial: what comes later may be missing. */
static char *
render_problem(const Connector *connector, const ConnectorScope *scope, Row *row, bool trial)
{
	const Operation *owner = act_flow_operation(connector, row)->owner;
	const RequestTemplate *request = owner->request;
	ConnectorScope own = *scope;
	TemplateInput input;
	TemplateResult result;

	/* Of its request, and not of the row. */
	own.batch_by = act_connector_batch_by(connector, row);
	own.now_ms = Max(scope->now_ms, 1);
	if (owner->job != NULL)
		own.saved = act_job_assumed(owner->job);
	row = act_connector_sent_row(connector, scope, row);
	input = act_request_input(connector, &own, &row, 1);
	input.trial = trial;
	input.row = row;
	result = act_body_try_row(request, &input);
	if (result == TEMPLATE_DONE)
		result = try_address(request, &input);
	if (result == TEMPLATE_DONE)
		return NULL;
	return result == TEMPLATE_MISSING ?
		psprintf("{{%s}} has no value, and the request cannot do without", input.culprit) :
		psprintf("the value of {{%s}} cannot stand where the request has it", input.culprit);
}

/* Why it cannot be rendered, whatever comes later, or NULL. */
char *
act_connector_row_problem(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	char	   *problem = act_connector_any_of_problem(connector, row);

	if (problem == NULL)
		problem = act_connector_filter_problem(connector, scope, row);
	if (problem != NULL || !may_fail(act_flow_operation(connector, row)))
		return problem;
	return render_problem(connector, scope, row, true);
}

/* The same of what is known of its record, when it is about to be sent. */
char *
act_connector_row_unready(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);
	const RequestTemplate *request = operation == NULL ? NULL : operation->owner->request;

	if (request == NULL || !(request->may_lack || (operation->row != NULL && act_template_may_lack(operation->row))))
		return NULL;
	return render_problem(connector, scope, row, false);
}

/* Its own part of the body; the whole of it where nothing else is in there. */
static char *
row_size_problem(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);
	const Template *template = operation->row != NULL ? operation->row : operation->owner->request->row;
	size_t		size;

	if (operation->public.max_row_bytes == 0 ||
		act_connector_row_bytes(connector, scope, row) < operation->public.max_row_bytes / 2)
		return NULL;
	if (template == NULL)
	{
		HttpRequest request;

		act_connector_render(connector, scope, &row, 1, &request);
		size = request.body_len;
	}
	else
	{
		Row		   *sent = act_connector_sent_row(connector, scope, row);
		TemplateInput input = act_request_input(connector, scope, &sent, 1);
		StringInfoData body;

		initStringInfo(&body);
		input.row = sent;
		act_template_render_json(template, &input, &body);
		size = body.len;
	}
	if (size <= operation->public.max_row_bytes)
		return NULL;
	return psprintf("the row takes %zu bytes, at most %d can be sent", size, operation->public.max_row_bytes);
}

/* Near the limit, what counts is the request itself. */
char *
act_connector_size_problem(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);
	HttpRequest request;
	char	   *problem;

	if (operation == NULL)
		return NULL;
	if (operation->owner->request->rows_in_url &&
		act_connector_row_url_bytes(connector, scope, row) > act_connector_url_room(connector, scope, row))
		return psprintf("the row makes an address of more than %d bytes", ACT_MAX_URL);
	problem = row_size_problem(connector, scope, row);
	if (problem != NULL || operation->public.max_bytes == 0 ||
		act_connector_row_bytes(connector, scope, row) < operation->public.max_bytes / 2)
		return problem;
	act_connector_render(connector, scope, &row, 1, &request);
	if (request.body_len <= operation->public.max_bytes)
		return NULL;
	return psprintf("the row takes %zu bytes as a request, at most %d can be sent",
					request.body_len, operation->public.max_bytes);
}

void
act_connector_render_check(const Connector *connector, const ConnectorScope *scope, HttpRequest *request)
{
	TemplateInput input = act_request_input(connector, scope, NULL, 0);

	if (connector->check == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("connector \"%s\" describes no check of the destination", connector->name)));
	act_request_render(connector, connector->check, &input, 0, request);
}

static const Template *
row_template(const void *connector, const Row *row)
{
	return act_flow_operation(connector, row)->row;
}

TemplateInput
act_request_input(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows)
{
	return (TemplateInput)
	{
		.scope = scope,.rows = rows,.nrows = nrows,.row_template = row_template,.row_template_of = connector
	};
}

/*
 * The path goes between the path and the query of the base: many an address
 * of a hook carries its token as a parameter.
 */
static char *
render_url(const Connector *connector, const RequestTemplate *template, TemplateInput *input)
{
	char	   *base = base_url(connector, input->scope);
	size_t		path_len = strcspn(base, "?#");
	char	   *query = base[path_len] == '?' ? pnstrdup(base + path_len, strcspn(base + path_len, "#")) : NULL;
	char		separator = query == NULL ? '?' : '&';
	StringInfoData url;
	int			bare_len;

	initStringInfo(&url);
	appendBinaryStringInfo(&url, base, path_len);
	while (url.len > 0 && url.data[url.len - 1] == '/')
		url.data[--url.len] = '\0';
	bare_len = url.len;
	for (int i = 0; i < template->nsegments; i++)
		append_segment(template->segments[i], input, &url);
	if (url.len == bare_len)	/* no path: the address exactly as it was given */
	{
		resetStringInfo(&url);
		appendBinaryStringInfo(&url, base, path_len);
	}
	if (query != NULL)
		appendStringInfoString(&url, query);
	append_query(&template->query, input, &separator, &url);
	return url.data;
}

char *
act_connector_base_url(const Connector *connector, const ConnectorScope *scope)
{
	TemplateInput input = act_request_input(connector, scope, NULL, 0);
	const char *option = scope->option(scope->arg, "base_url");
	TemplateResult result;
	StringInfoData url;

	if (option != NULL)
		return pstrdup(option);
	if (connector->base_url == NULL)
		return NULL;
	initStringInfo(&url);
	result = act_template_render_text(connector->base_url, &input, &url);
	if (result == TEMPLATE_MISSING && scope->token == NIL && strncmp(input.culprit, "token.", 6) == 0)
		return NULL;
	if (result != TEMPLATE_DONE)
		act_template_fail(connector->base_url, &input, result);
	return url.data;
}

bool
act_connector_token_leads(const Connector *connector)
{
	return connector->base_url != NULL && act_template_names_token(connector->base_url);
}

static char *
base_url(const Connector *connector, const ConnectorScope *scope)
{
	char	   *url = act_connector_base_url(connector, scope);

	/* For previews and sizes; nothing is sent before there is a token. */
	if (url == NULL && act_connector_token_leads(connector))
		return pstrdup("https://{token}");

	/* What a token's answer chose was not looked at before. */
	if (url != NULL && scope->token != NIL && act_url_problem(url) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the answer of the token endpoint leads to no address to send to", connector->name),
				 errdetail("\"%s\": %s.", url, act_url_problem(url))));
	if (url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("connector \"%s\" needs the option \"base_url\"", connector->name),
				 errhint("ALTER SERVER ... OPTIONS (ADD base_url 'https://...');")));
	for (const char *c = url; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("base_url has white space or a control character in it")));
	}
	return url;
}

/*
 * With its slash; a segment that is one value that is missing drops out.  But
 * one that tells which record is meant: without, all of them would be.
 */
static TemplateResult
try_segment(const Template *segment, TemplateInput *input, StringInfo url)
{
	int			start = url->len;
	const char *text;
	TemplateResult result;

	appendStringInfoChar(url, '/');
	result = act_template_render_text(segment, input, url);
	if (result == TEMPLATE_MISSING && act_template_is_optional(segment) && !act_template_names_record(segment))
	{
		url->len = start;
		url->data[start] = '\0';
		return TEMPLATE_DONE;
	}

	/* "." and ".." would address something else, and so would nothing at all */
	text = url->data + start + 1;
	if (result == TEMPLATE_DONE && !act_template_is_constant(segment) && !(input->trial && *text == '\0') &&
		(*text == '\0' || strcmp(text, ".") == 0 || strcmp(text, "..") == 0))
	{
		input->culprit = "path";
		result = TEMPLATE_UNFIT;
	}
	return result;
}

static void
append_segment(const Template *segment, TemplateInput *input, StringInfo url)
{
	TemplateResult result = try_segment(segment, input, url);

	if (result != TEMPLATE_DONE)
		act_template_fail(segment, input, result);
}

/* The address and headers of a request, as far as they speak of its row. */
static TemplateResult
try_address(const RequestTemplate *request, TemplateInput *input)
{
	TemplateResult result = TEMPLATE_DONE;
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < request->nsegments && result == TEMPLATE_DONE; i++)
		result = try_segment(request->segments[i], input, &text);
	for (int i = 0; i < request->query.count + request->headers.count && result == TEMPLATE_DONE; i++)
	{
		bool		in_query = i < request->query.count;
		const NamedTemplate *item = in_query ? &request->query.items[i] :
			&request->headers.items[i - request->query.count];

		resetStringInfo(&text);
		result = in_query ? try_parameter(item, input, '&', &text) :
			act_template_render_text(item->value, input, &text);
		if (result == TEMPLATE_MISSING && act_template_is_optional(item->value) && !item->of_match)
			result = TEMPLATE_DONE;
		if (result != TEMPLATE_DONE || in_query || act_request_value_problem(text.data, text.len) == NULL)
			continue;
		input->culprit = item->name;
		result = TEMPLATE_UNFIT;
	}
	pfree(text.data);
	return result;
}

/*
 * "$match": a parameter for each match field.  A row without one of them must
 * not do with the others: it would be about more records than its own.
 */
static TemplateResult
try_match_parameters(const NamedTemplate *item, TemplateInput *input, char separator, StringInfo url)
{
	const ConnectorScope *scope = input->scope;
	TemplateResult result = scope->nmatch > 0 && input->row != NULL ? TEMPLATE_DONE : TEMPLATE_MISSING;

	input->culprit = "row.match";
	for (int i = 0; i < scope->nmatch && result == TEMPLATE_DONE; i++)
	{
		char	   *name[2] = {scope->match_names[i], NULL};
		const Value value = act_value_member(input->row->fields, name);

		if (value.kind == VALUE_MISSING || act_value_is_null(&value))
			result = TEMPLATE_MISSING;
		else
		{
			const StringInfoData text = {.data = name[0],.len = strlen(name[0])};

			appendStringInfoChar(url, separator);
			(void) act_filter_find("url")->apply(NULL, &text, url);
			appendStringInfoChar(url, '=');
			input->value = value.data;
			input->value_len = value.len;
			result = act_template_render_text(item->value, input, url);
			input->value = NULL;
			separator = '&';
		}
	}
	return result;
}

/* Other names are constants of the document, values are escaped by their templates. */
static TemplateResult
try_parameter(const NamedTemplate *item, TemplateInput *input, char separator, StringInfo url)
{
	int			start = url->len;
	TemplateResult result;

	if (item->of_match)
		result = try_match_parameters(item, input, separator, url);
	else
	{
		appendStringInfo(url, "%c%s=", separator, item->name);
		result = act_template_render_text(item->value, input, url);
	}
	if (result != TEMPLATE_DONE)
	{
		url->len = start;
		url->data[start] = '\0';
	}
	return result;
}

static void
append_query(const NamedTemplates *query, TemplateInput *input, char *separator, StringInfo url)
{
	for (int i = 0; i < query->count; i++)
	{
		const NamedTemplate *item = &query->items[i];
		TemplateResult result = try_parameter(item, input, *separator, url);

		if (result == TEMPLATE_MISSING && act_template_is_optional(item->value) && !item->of_match)
			continue;
		if (result != TEMPLATE_DONE)
			act_template_fail(item->value, input, result);
		*separator = '&';
	}
}

void
act_request_add_headers(const Connector *connector, const NamedTemplates *headers,
						TemplateInput *input, HttpRequest *request)
{
	for (int i = 0; i < headers->count; i++)
	{
		const NamedTemplate *item = &headers->items[i];
		StringInfoData value;
		TemplateResult result;

		initStringInfo(&value);
		result = act_template_render_text(item->value, input, &value);
		if (result == TEMPLATE_MISSING && act_template_is_optional(item->value))
			continue;
		if (result == TEMPLATE_DONE && act_request_value_problem(value.data, value.len) != NULL)
		{
			input->culprit = item->name;
			result = TEMPLATE_UNFIT;
		}
		if (result != TEMPLATE_DONE)
			act_template_fail(item->value, input, result);
		act_request_set_header(connector->name, request, item->name, value.data);
	}
}

/* Bytes that could end a header, or that a reader could take for an end. */
const char *
act_request_value_problem(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];
		bool		is_c1 = c == 0xC2 && i + 1 < len && ((unsigned char) value[i + 1] & 0xE0) == 0x80;

		if (c == '\r' || c == '\n')
			return "has a line break in it";
		if (c < 0x20 || c == 0x7f || is_c1)
			return "has a control character in it";
		if (c >= 0x80)
		{
			int			width = act_utf8_length(value + i, len - i);

			if (width == 0)
				return "is not valid UTF-8";
			i += width - 1;
		}
	}
	return NULL;
}

const char *
act_request_header(const HttpRequest *request, const char *name)
{
	ListCell   *cell;

	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (pg_strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

void
act_request_set_header(const char *connector, HttpRequest *request, const char *name, const char *value)
{
	const char *problem = act_request_value_problem(value, strlen(value));
	HttpHeader *header;
	ListCell   *cell;

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the value of header \"%s\" %s", connector, name, problem)));
	foreach(cell, request->headers)
	{
		header = lfirst(cell);
		if (pg_strcasecmp(header->name, name) == 0)
			break;
	}

	/* Another one takes its place: who made the list may share it with other requests. */
	header = palloc(sizeof(HttpHeader));
	header->name = pstrdup(name);
	header->value = pstrdup(value);
	if (cell != NULL)
		lfirst(cell) = header;
	else
		request->headers = lappend(request->headers, header);
}
