/*-------------------------------------------------------------------------
 *
 * request_template.c
 *	  Compiling what a document says of a request: path, query, headers, body.
 *
 * Called while a document is compiled, for operations, lookups, checks and
 * whatever else asks.  Results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"

static const char *const request_members[] = {
	"method", "path", "query", "headers", "format", "body", "lines", "columns", "null_as", "empty_as",
	"content_type", "compress", NULL
};
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
static const char *const compressions[] = {"none", "gzip", NULL};

/* In the order of BodyFormat. */
static const char *const format_names[] = {"json", "ndjson", "form", "csv", "text", "none", NULL};
StaticAssertDecl(lengthof(format_names) == FORMAT_NONE + 2, "every format has its name");
static const char *const later_formats[] = {"multipart", NULL};

static const char *const content_types[] = {
	[FORMAT_JSON] = "application/json",
	[FORMAT_NDJSON] = "application/x-ndjson",
	[FORMAT_FORM] = "application/x-www-form-urlencoded",
	[FORMAT_CSV] = "text/csv",
	[FORMAT_TEXT] = "text/plain; charset=utf-8",
	[FORMAT_NONE] = NULL,
};
StaticAssertDecl(lengthof(content_types) == FORMAT_NONE + 1, "every format has its type");

/* Which member says what a body of the format is. */
static const char *const body_member[] = {
	[FORMAT_JSON] = "body",
	[FORMAT_NDJSON] = "lines",
	[FORMAT_FORM] = "body",
	[FORMAT_CSV] = "columns",
	[FORMAT_TEXT] = "body",
	[FORMAT_NONE] = "",
};

static void compile_path(const Document *document, const cJSON *at, RequestTemplate *request, int place);
static void compile_body(const Document *document, const cJSON *at, RequestTemplate *request, int place);
static void note_url(RequestTemplate *request);

const RequestTemplate *
act_connector_compile_request(const Document *document, const cJSON *at, int max_rows)
{
	RequestTemplate *request = palloc0(sizeof(RequestTemplate));
	int			place = max_rows == 1 ? TEMPLATE_IN_ROW | TEMPLATE_IN_BATCH :
		max_rows > 1 ? TEMPLATE_IN_BATCH : max_rows < 0 ? TEMPLATE_IN_AUTH : 0;

	act_document_check(document, at, request_members, NULL);
	request->method = methods[act_document_choice(document, at, "method", methods, NULL, 1)];
	request->format = (BodyFormat) act_document_choice(document, at, "format", format_names, later_formats, FORMAT_JSON);
	request->content_type = act_document_string(document, at, "content_type");
	if (request->content_type == NULL)
		request->content_type = content_types[request->format];
	request->gzip = act_document_choice(document, at, "compress", compressions, NULL, 0) == 1;
	compile_path(document, at, request, place);
	request->query = act_connector_compile_named(document, at, "query", place | TEMPLATE_IN_URL);
	request->headers = act_connector_compile_named(document, at, "headers", place);
	note_url(request);
	compile_body(document, at, request, place);
	if (max_rows <= 0 && request->several_rows)
		act_document_error(document, act_document_member(at, body_member[request->format]), NULL,
						   "\"%s\" in a request without rows",
						   request->format == FORMAT_NDJSON || request->format == FORMAT_CSV ?
						   body_member[request->format] : "$rows");
	if (max_rows > 1 && !request->several_rows)
		act_document_error(document, at, "Put {\"$rows\": ...} into the body, or let \"max_rows\" be 1.",
						   "a request for several rows that names none");
	return request;
}

/* What the templates of the address and the headers say about rows. */
static void
note_template(RequestTemplate *request, const Template *template, bool in_url)
{
	request->may_fail |= act_template_may_fail(template);
	request->may_lack |= act_template_may_lack(template);
	request->several_rows |= act_template_names_rows(template);
	request->rows_in_url |= in_url && act_template_names_rows(template);
}

static void
note_url(RequestTemplate *request)
{
	for (int i = 0; i < request->nsegments; i++)
		note_template(request, request->segments[i], true);
	for (int i = 0; i < request->query.count; i++)
		note_template(request, request->query.items[i].value, true);
	for (int i = 0; i < request->headers.count; i++)
		note_template(request, request->headers.items[i].value, false);
}

static void
compile_columns(const Document *document, const cJSON *columns, RequestTemplate *request, int place)
{
	if (!cJSON_IsObject(columns) || columns->child == NULL)
		act_document_error(document, columns, NULL, "an object of columns is expected");
	request->columns = palloc0(cJSON_GetArraySize(columns) * sizeof(CsvColumn));
	for (const cJSON *at = columns->child; at != NULL; at = at->next)
	{
		CsvColumn  *column = &request->columns[request->ncolumns++];

		if (act_document_member(columns, at->string) != at)
			act_document_error(document, at, NULL, "member \"%s\" given twice", at->string);
		if (!cJSON_IsString(at))
			act_document_error(document, at, NULL, "a string is expected");
		if (strcmp(at->string, "$spread") == 0)
			column->value = act_template_compile_path(document, at, TEMPLATE_IN_ROW);
		else
		{
			column->name = act_template_compile_text(document, at, at->string, strlen(at->string),
													 place & ~TEMPLATE_IN_ROW);
			column->value = act_template_compile_json(document, at, place | TEMPLATE_IN_ROW, NULL);
		}
		request->may_fail |= act_template_may_fail(column->value);
		request->may_lack |= act_template_may_lack(column->value);
	}
	request->several_rows = true;
}

/* A member that says something else than the format does. */
static void
refuse_other_bodies(const Document *document, const cJSON *at, BodyFormat format)
{
	static const char *const members[] = {"body", "lines", "columns"};

	for (int i = 0; i < lengthof(members); i++)
	{
		const cJSON *member = act_document_member(at, members[i]);

		if (member != NULL && strcmp(members[i], body_member[format]) != 0)
			act_document_error(document, member,
							   *body_member[format] == '\0' ? NULL :
							   psprintf("What it sends stands in \"%s\".", body_member[format]),
							   "\"%s\", which format \"%s\" does not have,", members[i], format_names[format]);
	}
	if (format != FORMAT_CSV && act_document_member(at, "null_as") != NULL)
		act_document_error(document, act_document_member(at, "null_as"), "How nulls are written is said in \"types\".",
						   "\"null_as\", which format \"%s\" does not have,", format_names[format]);
	if (format != FORMAT_CSV && act_document_member(at, "empty_as") != NULL)
		act_document_error(document, act_document_member(at, "empty_as"), NULL,
						   "\"empty_as\", which format \"%s\" does not have,", format_names[format]);
	if (format == FORMAT_NONE && act_document_member(at, "compress") != NULL)
		act_document_error(document, act_document_member(at, "compress"), NULL,
						   "\"compress\", where there is no body,");
}

static void
compile_body(const Document *document, const cJSON *at, RequestTemplate *request, int place)
{
	const cJSON *body = act_document_member(at, body_member[request->format]);

	refuse_other_bodies(document, at, request->format);
	request->null_as = act_document_string(document, at, "null_as");
	if (request->null_as == NULL)
		request->null_as = "";
	request->empty_as = act_document_string(document, at, "empty_as");
	if (body == NULL)
	{
		if (request->format == FORMAT_NDJSON || request->format == FORMAT_CSV)
			(void) act_document_need(document, at, body_member[request->format]);
		return;
	}
	switch (request->format)
	{
		case FORMAT_NDJSON:
			request->row = request->lines = act_template_compile_lines(document, body, place | TEMPLATE_IN_ROW);
			request->several_rows = true;
			request->may_fail |= act_template_may_fail(request->lines);
			request->may_lack |= act_template_may_lack(request->lines);
			return;
		case FORMAT_CSV:
			compile_columns(document, body, request, place);
			return;
		case FORMAT_TEXT:
			request->body = act_template_compile_member(document, at, "body", place);
			break;
		default:
			if (!cJSON_IsObject(body) && !cJSON_IsArray(body) && !cJSON_IsString(body))
				act_document_error(document, body, NULL, "an object or array is expected");
			request->body = act_template_compile_json(document, body, place, (Template **) &request->row);
			if (cJSON_IsString(body) && !act_template_is_value(request->body))
				act_document_error(document, body, "Other text is of format \"text\".",
								   "a body that is neither an object, an array nor one expression");
	}
	note_template(request, request->body, false);
}

void
act_request_refuse_row(const Document *document, const cJSON *at)
{
	static const char *const members[] = {"row", "lines"};

	for (int i = 0; i < lengthof(members); i++)
	{
		const cJSON *member = act_document_member(at, members[i]);

		if (member != NULL)
			act_document_error(document, member, NULL, "\"%s\", which is for later operations of a mix,", members[i]);
	}
}

void
act_request_check_takes(const Document *document, const cJSON *at, const RequestTemplate *request, RowOp op)
{
	if (request->body != NULL && !act_template_takes(request->body, op))
		act_document_error(document, at, "Name it in the \"$of\" of one of them.",
						   "operation \"%s\", which no \"$rows\" of its request takes,", act_row_op_name(op));
}

const Template *
act_request_compile_row(const Document *document, const cJSON *at, const RequestTemplate *request, RowOp op)
{
	bool		wants_lines = request->format == FORMAT_NDJSON;
	const cJSON *row = act_document_member(at, wants_lines ? "lines" : "row");
	const cJSON *other = act_document_member(at, wants_lines ? "row" : "lines");
	Template   *nested;
	Template   *template;

	if (other != NULL)
		act_document_error(document, other, NULL, "\"%s\", where the request of its mix is of format \"%s\",",
						   wants_lines ? "row" : "lines", format_names[request->format]);
	act_request_check_takes(document, at, request, op);
	if (row == NULL)
		return NULL;
	if (wants_lines)
		return act_template_compile_lines(document, row, TEMPLATE_IN_ROW | TEMPLATE_IN_BATCH);
	if (request->row == NULL)
		act_document_error(document, row, NULL, "\"row\", where the request of its mix has no \"$rows\",");
	template = act_template_compile_json(document, row, TEMPLATE_IN_ROW | TEMPLATE_IN_BATCH, &nested);
	if (nested != NULL)
		act_document_error(document, row, NULL, "\"$rows\" within a row");
	return template;
}

static const char *
segment_end(const char *start)
{
	const char *end = start;

	while (*end != '\0' && *end != '/')
	{
		const char *close = strncmp(end, "{{", 2) == 0 ? strstr(end, "}}") : NULL;

		end = close == NULL ? end + 1 : close + 2;
	}
	return end;
}

/*
 * The path is cut into segments here, so that what a row puts into one
 * cannot become two, and a segment without a value drops out.
 */
static void
compile_path(const Document *document, const cJSON *at, RequestTemplate *request, int place)
{
	char	   *path = act_document_string(document, at, "path");
	const cJSON *member = act_document_member(at, "path");
	int			most = 0;

	if (path == NULL || *path == '\0')
		return;
	if (*path != '/')
		act_document_error(document, member, NULL, "a path that does not begin with \"/\"");
	for (const char *c = path; *c != '\0'; c++)
	{
		if (*c == '?' || *c == '#' || (unsigned char) *c < 0x20 || (unsigned char) *c >= 0x7f)
			act_document_error(document, member, "Parameters stand in \"query\".",
							   "a path with a character that cannot stand there");
		most += *c == '/';
	}
	request->segments = palloc0(most * sizeof(Template *));
	while (*path == '/')
	{
		const char *end = segment_end(path + 1);

		request->segments[request->nsegments++] =
			act_template_compile_text(document, member, path + 1, end - path - 1, place | TEMPLATE_IN_URL);
		path += end - path;
	}
}
