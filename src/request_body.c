/*-------------------------------------------------------------------------
 *
 * request_body.c
 *	  Rendering bodies: JSON, NDJSON, forms, CSV, text; and gzip.
 *
 * Called for each request, outside a transaction; allocates in the current
 * memory context.  Whatever the format, a value of a row ends neither its
 * line, nor its cell, nor its parameter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <zlib.h>

#include "miscadmin.h"

#include "connector_private.h"
#include "json_text.h"

/* Deeper than that a form has JSON as its value. */
#define MAX_FORM_DEPTH 32

#define PACK_CHUNK 65536
#define GZIP_WINDOW (15 + 16)	/* the largest window, and the header of gzip */

/* Names of columns, as JSON strings. */
typedef struct CsvHeader
{
	int			count;
	int			capacity;
	int			nfixed;			/* the first ones are columns of their own */
	const char **names;
	size_t	   *lens;
} CsvHeader;

static void render_lines(const RequestTemplate *template, TemplateInput *input, StringInfo body);
static void render_form(const RequestTemplate *template, TemplateInput *input, StringInfo body);
static void render_csv(const RequestTemplate *template, TemplateInput *input, StringInfo body);
static TemplateResult append_csv_row(const RequestTemplate *template, const CsvHeader *header, TemplateInput *input,
									 StringInfo scratch, StringInfo body);

void
act_body_render(const RequestTemplate *template, TemplateInput *input, StringInfo body)
{
	TemplateResult result;

	switch (template->format)
	{
		case FORMAT_JSON:
			if (template->body != NULL)
				act_template_render_json(template->body, input, body);
			break;
		case FORMAT_NDJSON:
			render_lines(template, input, body);
			break;
		case FORMAT_FORM:
			if (template->body != NULL)
				render_form(template, input, body);
			break;
		case FORMAT_CSV:
			render_csv(template, input, body);
			break;
		case FORMAT_TEXT:
			if (template->body == NULL)
				break;
			result = act_template_render_text(template->body, input, body);
			if (result != TEMPLATE_DONE)
				act_template_fail(template->body, input, result);
			break;
		case FORMAT_NONE:
			break;
	}
}

/* ----------------------------------------------------------------- NDJSON */

static const Template *
lines_of(const RequestTemplate *template, const TemplateInput *input, const Row *row)
{
	const Template *own = input->row_template == NULL ? NULL : input->row_template(input->row_template_of, row);

	return own != NULL ? own : template->lines;
}

static void
render_lines(const RequestTemplate *template, TemplateInput *input, StringInfo body)
{
	for (int i = 0; i < input->nrows; i++)
	{
		const Template *lines = lines_of(template, input, input->rows[i]);

		input->row = input->rows[i];
		input->row_index = i;
		act_template_render_json(lines, input, body);
	}
}

/* ------------------------------------------------------------------- forms */

static void
append_encoded(StringInfo out, const char *text, size_t len)
{
	const StringInfoData from = {.data = unconstify(char *, text),.len = (int) len};

	(void) act_filter_find("url")->apply(NULL, &from, out);
}

/* name=value; of objects and lists name[member]=value, name[0]=value */
static void
append_parameters(StringInfo body, StringInfo name, const char *value, size_t len, int depth)
{
	bool		is_object = *value == '{' && depth < MAX_FORM_DEPTH;
	bool		is_array = *value == '[' && depth < MAX_FORM_DEPTH;
	const char *next = value;
	int			name_len = name->len;
	int			count = 0;
	JsonMember	member;

	while (is_object ? act_json_next_member(&next, value + len, &member) :
		   is_array && act_json_next_element(&next, value + len, &member))
	{
		StringInfoData text;

		if (depth > 0)
			appendStringInfoChar(name, '[');
		if (is_array)
			appendStringInfo(name, "%d", count);
		else
		{
			initStringInfo(&text);
			act_json_append_unescaped(&text, member.name, member.name_len);
			append_encoded(name, text.data, text.len);
			pfree(text.data);
		}
		if (depth > 0)
			appendStringInfoChar(name, ']');
		append_parameters(body, name, member.value, member.value_len, depth + 1);
		name->len = name_len;
		name->data[name_len] = '\0';
		count++;
	}
	if (count > 0 || depth == 0)
		return;

	/* null, and what is empty, is told by an empty value: that is how forms take something away */
	if (body->len > 0)
		appendStringInfoChar(body, '&');
	appendBinaryStringInfo(body, name->data, name->len);
	appendStringInfoChar(body, '=');
	if (*value == '"')
	{
		StringInfoData text;

		initStringInfo(&text);
		act_json_append_unescaped(&text, value, len);
		append_encoded(body, text.data, text.len);
		pfree(text.data);
	}
	else if (!is_object && !is_array && !(len == 4 && memcmp(value, "null", 4) == 0))
		append_encoded(body, value, len);
}

static void
render_form(const RequestTemplate *template, TemplateInput *input, StringInfo body)
{
	StringInfoData json;
	StringInfoData name;

	initStringInfo(&json);
	initStringInfo(&name);
	act_template_render_json(template->body, input, &json);
	if (json.len > 0)
		append_parameters(body, &name, json.data, json.len, 0);
	pfree(json.data);
	pfree(name.data);
}

/* --------------------------------------------------------------------- CSV */

static int
find_column(const CsvHeader *header, const char *name, size_t len, int hint)
{
	for (int n = 0; n < header->count; n++)
	{
		int			i = (hint + n) % header->count;

		if (header->lens[i] == len && memcmp(header->names[i], name, len) == 0)
			return i;
	}
	return -1;
}

static void
add_column(CsvHeader *header, const char *name, size_t len)
{
	if (header->count == header->capacity)
	{
		header->capacity = Max(16, header->capacity * 2);
		header->names = header->names == NULL ? palloc(sizeof(char *) * header->capacity) :
			repalloc(header->names, sizeof(char *) * header->capacity);
		header->lens = header->lens == NULL ? palloc(sizeof(size_t) * header->capacity) :
			repalloc(header->lens, sizeof(size_t) * header->capacity);
	}
	header->names[header->count] = pnstrdup(name, len);
	header->lens[header->count++] = len;
}

static void
add_named_columns(const RequestTemplate *template, TemplateInput *input, CsvHeader *header)
{
	StringInfoData text;
	StringInfoData json;

	initStringInfo(&text);
	initStringInfo(&json);
	for (int i = 0; i < template->ncolumns; i++)
	{
		const CsvColumn *column = &template->columns[i];
		TemplateResult result;

		if (column->name == NULL)
			continue;
		resetStringInfo(&text);
		resetStringInfo(&json);
		result = act_template_render_text(column->name, input, &text);
		if (result != TEMPLATE_DONE)
			act_template_fail(column->name, input, result);
		act_json_append_string(&json, text.data, text.len);
		if (find_column(header, json.data, json.len, 0) >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("two columns of a CSV body have the name \"%s\"", text.data)));
		add_column(header, json.data, json.len);
	}
	header->nfixed = header->count;
}

/* Of an object that is spread: names that are not there yet. */
static void
add_members(CsvHeader *header, const char *object, size_t len)
{
	const char *next = object;
	int			hint = header->nfixed;
	JsonMember	member;

	while (act_json_next_member(&next, object + len, &member))
	{
		int			found = header->count == 0 ? -1 :
			find_column(header, member.name, member.name_len, hint < header->count ? hint : 0);

		if (found < 0)
			add_column(header, member.name, member.name_len);
		hint = (found < 0 ? header->count - 1 : found) + 1;
	}
}

static const Template *
find_spread(const RequestTemplate *template)
{
	for (int i = 0; i < template->ncolumns; i++)
	{
		if (template->columns[i].name == NULL)
			return template->columns[i].value;
	}
	return NULL;
}

/* The columns of all rows: what one of them does not have stays an empty cell. */
static void
add_spread_columns(const Template *spread, TemplateInput *input, StringInfo scratch, CsvHeader *header)
{
	for (int i = 0; i < input->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		input->row = input->rows[i];
		input->row_index = i;
		resetStringInfo(scratch);
		act_template_render_json(spread, input, scratch);
		add_members(header, scratch->data, scratch->len);
	}
	for (int i = 0; input->nrows == 0 && i < list_length(input->scope->fields); i++)
	{
		const ScopeField *field = list_nth(input->scope->fields, i);

		resetStringInfo(scratch);
		act_json_append_string(scratch, field->name, strlen(field->name));
		if (header->count == 0 || find_column(header, scratch->data, scratch->len, 0) < 0)
			add_column(header, scratch->data, scratch->len);
	}
}

/* RFC 4180: in quotes where something in it would not be read back. */
static void
append_quoted(StringInfo body, const char *text, size_t len, bool always)
{
	bool		quote = always || len == 0 || text[0] == ' ' || text[len - 1] == ' ';

	for (size_t i = 0; i < len && !quote; i++)
		quote = text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
	if (!quote)
	{
		appendBinaryStringInfo(body, text, len);
		return;
	}
	appendStringInfoCharMacro(body, '"');
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '"')
			appendStringInfoCharMacro(body, '"');
		appendStringInfoCharMacro(body, text[i]);
	}
	appendStringInfoCharMacro(body, '"');
}

/* A text that would be taken for null is told from it by its quotes. */
static void
append_cell(const RequestTemplate *template, StringInfo body, StringInfo text, const char *value, size_t len)
{
	if (len == 0)				/* missing: nothing is said of it */
		return;
	if (len == 4 && memcmp(value, "null", 4) == 0)
	{
		appendStringInfoString(body, template->null_as);
		return;
	}
	resetStringInfo(text);
	if (*value == '"')
		act_json_append_unescaped(text, value, len);
	else
		appendBinaryStringInfo(text, value, len);
	if (text->len == 0 && template->empty_as != NULL)
		appendStringInfoString(body, template->empty_as);
	else
		append_quoted(body, text->data, text->len, *value == '"' && strcmp(text->data, template->null_as) == 0);
}

static void
append_header(const CsvHeader *header, StringInfo text, StringInfo body)
{
	for (int i = 0; i < header->count; i++)
	{
		resetStringInfo(text);
		act_json_append_unescaped(text, header->names[i], header->lens[i]);
		if (i > 0)
			appendStringInfoChar(body, ',');
		append_quoted(body, text->data, text->len, false);
	}
	appendStringInfoChar(body, '\n');
}

static void
render_csv(const RequestTemplate *template, TemplateInput *input, StringInfo body)
{
	const Template *spread = find_spread(template);
	CsvHeader	header = {0};
	StringInfoData scratch;

	initStringInfo(&scratch);
	add_named_columns(template, input, &header);
	if (spread != NULL)
		add_spread_columns(spread, input, &scratch, &header);
	append_header(&header, &scratch, body);
	for (int i = 0; i < input->nrows; i++)
	{
		TemplateResult result;

		CHECK_FOR_INTERRUPTS();
		input->row = input->rows[i];
		input->row_index = i;
		result = append_csv_row(template, &header, input, &scratch, body);
		if (result != TEMPLATE_DONE)
			act_template_fail(template->columns[0].value, input, result);
	}
	pfree(scratch.data);
}

/* The cells of the spread object, in the order of the header: mostly its own. */
static void
append_spread_cells(const RequestTemplate *template, const CsvHeader *header, const StringInfoData *object,
					bool first, StringInfo body)
{
	const char *start = object->data;
	const char *end = object->data + object->len;
	const char *next = start;
	StringInfoData text;
	JsonMember	member;
	bool		have = object->len > 0 && act_json_next_member(&next, end, &member);

	initStringInfo(&text);
	for (int i = header->nfixed; i < header->count; i++)
	{
		if (!first)
			appendStringInfoCharMacro(body, ',');
		first = false;
		/* those that are columns of their own stand between the others */
		while (have && find_column(&(CsvHeader) {.count = header->nfixed,.names = header->names,.lens = header->lens},
								   member.name, member.name_len, 0) >= 0)
			have = act_json_next_member(&next, end, &member);
		if (!have || member.name_len != header->lens[i] || memcmp(member.name, header->names[i], member.name_len) != 0)
		{
			const char *again = start;
			bool		found = false;
			JsonMember	other;

			while (!found && object->len > 0 && act_json_next_member(&again, end, &other))
				found = other.name_len == header->lens[i] && memcmp(other.name, header->names[i], other.name_len) == 0;
			if (found)
				append_cell(template, body, &text, other.value, other.value_len);
			continue;
		}
		append_cell(template, body, &text, member.value, member.value_len);
		have = act_json_next_member(&next, end, &member);
	}
	pfree(text.data);
}

/* Columns of their own first, then those that are spread. */
static TemplateResult
append_csv_row(const RequestTemplate *template, const CsvHeader *header, TemplateInput *input,
			   StringInfo scratch, StringInfo body)
{
	const Template *spread = find_spread(template);
	bool		first = true;
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < template->ncolumns; i++)
	{
		TemplateResult result;

		if (template->columns[i].name == NULL)
			continue;
		if (!first)
			appendStringInfoCharMacro(body, ',');
		first = false;
		resetStringInfo(scratch);
		result = act_template_try_json(template->columns[i].value, input, scratch);
		if (result == TEMPLATE_UNFIT || input->culprit_at != NULL)
			return result;
		append_cell(template, body, &text, scratch->data, scratch->len);
	}
	pfree(text.data);
	if (spread != NULL)
	{
		resetStringInfo(scratch);
		act_template_render_json(spread, input, scratch);
		append_spread_cells(template, header, scratch, first, body);
	}
	appendStringInfoCharMacro(body, '\n');
	return TEMPLATE_DONE;
}

/* -------------------------------------------------------------- single rows */

TemplateResult
act_body_try_row(const RequestTemplate *template, TemplateInput *input)
{
	TemplateResult result = TEMPLATE_DONE;
	StringInfoData scratch;

	initStringInfo(&scratch);
	switch (template->format)
	{
		case FORMAT_JSON:
		case FORMAT_FORM:
			if (template->body != NULL)
				result = act_template_try_json(template->body, input, &scratch);
			break;
		case FORMAT_NDJSON:
			result = act_template_try_json(lines_of(template, input, input->row), input, &scratch);
			break;
		case FORMAT_CSV:
			for (int i = 0; i < template->ncolumns && result != TEMPLATE_UNFIT && input->culprit_at == NULL; i++)
			{
				resetStringInfo(&scratch);
				result = act_template_try_json(template->columns[i].value, input, &scratch);
			}
			break;
		case FORMAT_TEXT:
			if (template->body != NULL)
				result = act_template_render_text(template->body, input, &scratch);
			if (result == TEMPLATE_MISSING)
				input->culprit_at = "body";
			break;
		case FORMAT_NONE:
			break;
	}
	pfree(scratch.data);

	/* a single value that drops out is no mistake */
	return result == TEMPLATE_MISSING && input->culprit_at == NULL ? TEMPLATE_DONE : result;
}

size_t
act_body_row_bytes(const RequestTemplate *template, const TemplateInput *input, const Row *row)
{
	size_t		bytes = 0;

	switch (template->format)
	{
		case FORMAT_NDJSON:
			return act_template_row_bytes(lines_of(template, input, row), input->scope, row);
		case FORMAT_CSV:
			for (int i = 0; i < template->ncolumns; i++)
				bytes += act_template_row_bytes(template->columns[i].value, input->scope, row);
			return bytes + 1;
		case FORMAT_FORM:		/* what is percent-encoded triples */
			return template->body == NULL ? 0 : 3 * act_template_body_row_bytes(template->body, input, row);
		case FORMAT_JSON:
		case FORMAT_TEXT:
			return template->body == NULL ? 0 : act_template_body_row_bytes(template->body, input, row);
		case FORMAT_NONE:
			break;
	}
	return 0;
}

/* -------------------------------------------------------------------- gzip */

/* In the current memory context, so that an error leaves nothing behind. */
static voidpf
pack_alloc(voidpf opaque, uInt items, uInt size)
{
	return palloc((Size) items * size);
}

static void
pack_free(voidpf opaque, voidpf address)
{
	pfree(address);
}

/* The same body gives the same bytes: gzip's header has no time in it. */
void
act_body_compress(HttpRequest *request)
{
	z_stream	stream = {.zalloc = pack_alloc,.zfree = pack_free};
	StringInfoData packed;
	size_t		left = request->body_len;
	int			status = Z_OK;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("zlib cannot compress")));
	initStringInfo(&packed);
	stream.next_in = (Bytef *) request->body;
	while (status == Z_OK)
	{
		CHECK_FOR_INTERRUPTS();
		if (stream.avail_in == 0)
		{
			stream.avail_in = (uInt) Min(left, PACK_CHUNK);
			left -= stream.avail_in;
		}
		enlargeStringInfo(&packed, PACK_CHUNK);
		stream.next_out = (Bytef *) packed.data + packed.len;
		stream.avail_out = PACK_CHUNK;
		status = deflate(&stream, left == 0 ? Z_FINISH : Z_NO_FLUSH);
		packed.len += PACK_CHUNK - stream.avail_out;
	}
	deflateEnd(&stream);
	if (status != Z_STREAM_END)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("zlib cannot compress: status %d", status)));
	request->packed = packed.data;
	request->packed_len = packed.len;
}
