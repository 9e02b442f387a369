/*-------------------------------------------------------------------------
 *
 * template_render.c
 *	  Running compiled templates.
 *
 * Values that are JSON already (key and fields of a row) are spliced as they
 * are, so that no number is ever read.  Touches neither database nor
 * network; output and scratch memory come from the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "json_text.h"
#include "template_private.h"

typedef enum ValueKind
{
	VALUE_MISSING,
	VALUE_JSON,					/* JSON text */
	VALUE_TEXT,					/* text that JSON has to escape */
	VALUE_PLAIN					/* text without anything to escape */
} ValueKind;

typedef struct Value
{
	ValueKind	kind;
	const char *data;
	size_t		len;
} Value;

static Value resolve(const Expression *expression, TemplateInput *input);
static Value resolve_message(const Expression *expression, const TemplateInput *input);
static TemplateResult evaluate(const Expression *expression, TemplateInput *input, Value *value);
static void render_segments(const Template *template, TemplateInput *input, StringInfo out);
static void render_rows(const Template *template, TemplateInput *input, StringInfo out);
static TemplateResult render_spread(const Expression *expression, TemplateInput *input, StringInfo out);
static TemplateResult render_piece(const Expression *expression, TemplateInput *input, StringInfo out,
								   bool is_json);

void
act_template_render_json(const Template *template, TemplateInput *input, StringInfo out)
{
	render_segments(template, input, out);
}

TemplateResult
act_template_render_text(const Template *template, TemplateInput *input, StringInfo out)
{
	int			start = out->len;

	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];
		TemplateResult result = TEMPLATE_DONE;

		if (segment->kind == SEGMENT_LITERAL)
			appendBinaryStringInfo(out, segment->bytes, segment->len);
		else
			result = render_piece(segment->expression, input, out, false);
		if (result != TEMPLATE_DONE)
		{
			out->len = start;
			out->data[start] = '\0';
			return result;
		}
	}
	return TEMPLATE_DONE;
}

void
act_template_fail(const Template *template, const TemplateInput *input, TemplateResult result)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 result == TEMPLATE_MISSING
			 ? errmsg("connector \"%s\": {{%s}} at %s has no value", template->connector,
					  input->culprit, template->pointer)
			 : errmsg("connector \"%s\": {{%s}} at %s has a value that cannot stand there",
					  template->connector, input->culprit, template->pointer),
			 input->row == NULL ? 0 : errdetail("The row is %s.", input->row->key)));
	pg_unreachable();
}

static bool
is_null(const Value *value)
{
	return value->kind == VALUE_JSON && value->len == 4 && memcmp(value->data, "null", 4) == 0;
}

static inline void
append_value(StringInfo out, const Value *value)
{
	if (value->kind == VALUE_TEXT)
		act_json_append_string(out, value->data, value->len);
	else if (value->kind == VALUE_PLAIN)
	{
		appendStringInfoCharMacro(out, '"');
		appendBinaryStringInfo(out, value->data, value->len);
		appendStringInfoCharMacro(out, '"');
	}
	else
		appendBinaryStringInfo(out, value->data, value->len);
}

/* A separator, unless the object or array that out ends in is still empty. */
static inline void
append_comma(StringInfo out)
{
	char		last = out->data[out->len - 1];

	if (last != '{' && last != '[')
		appendStringInfoCharMacro(out, ',');
}

/* What a filter made need not be text; it stands in input->from. */
static void
make_json_safe(const Expression *expression, TemplateInput *input, Value *value)
{
	if (!expression->makes_bytes || value->kind != VALUE_TEXT)
		return;
	resetStringInfo(&input->to);
	act_utf8_append(&input->to, value->data, value->len);
	value->data = input->to.data;
	value->len = input->to.len;
}

static void
render_segments(const Template *template, TemplateInput *input, StringInfo out)
{
	int			mark = out->len;

	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];
		TemplateResult result = TEMPLATE_DONE;
		Value		value;

		switch (segment->kind)
		{
			case SEGMENT_LITERAL:
				appendBinaryStringInfo(out, segment->bytes, segment->len);
				break;
			case SEGMENT_COMMA:
				append_comma(out);
				break;
			case SEGMENT_MARK:
				mark = out->len;
				break;
			case SEGMENT_SLOT:
				result = evaluate(segment->expression, input, &value);
				if (result == TEMPLATE_DONE)
				{
					make_json_safe(segment->expression, input, &value);
					append_value(out, &value);
				}
				else if (result == TEMPLATE_MISSING)
				{
					out->len = mark;
					out->data[mark] = '\0';
					result = TEMPLATE_DONE;
				}
				break;
			case SEGMENT_TEXT:
				result = render_piece(segment->expression, input, out, true);
				break;
			case SEGMENT_SPREAD:
				result = render_spread(segment->expression, input, out);
				break;
			case SEGMENT_ROWS:
				render_rows(template, input, out);
				break;
		}
		if (result != TEMPLATE_DONE)
			act_template_fail(template, input, result);
	}
}

static void
render_rows(const Template *template, TemplateInput *input, StringInfo out)
{
	const Row  *outer = input->row;

	for (int i = 0; i < input->nrows; i++)
	{
		const Template *row_template = input->row_template(input->row_template_of, input->rows[i]);
		int			before = out->len;
		int			start;

		input->row = input->rows[i];
		append_comma(out);
		start = out->len;
		render_segments(row_template, input, out);
		if (out->len == start)	/* a single value that is missing */
		{
			out->len = before;
			out->data[before] = '\0';
		}
	}
	input->row = outer;
}

/* Merges the members of an object into the one that out ends in. */
static TemplateResult
render_spread(const Expression *expression, TemplateInput *input, StringInfo out)
{
	Value		value;
	TemplateResult result = evaluate(expression, input, &value);
	const char *start;
	const char *end;

	if (result == TEMPLATE_MISSING || (result == TEMPLATE_DONE && is_null(&value)))
		return TEMPLATE_DONE;
	if (result != TEMPLATE_DONE)
		return result;
	start = value.data;
	end = value.data + value.len;
	if (value.kind != VALUE_JSON || value.len < 2 || *start != '{' || end[-1] != '}')
	{
		input->culprit = expression->source;
		return TEMPLATE_UNFIT;
	}
	for (start++; start < end - 1 && isspace((unsigned char) *start);)
		start++;
	if (start < end - 1)
	{
		append_comma(out);
		appendBinaryStringInfo(out, start, end - 1 - start);
	}
	return TEMPLATE_DONE;
}

/* A value as part of a string; null has no text. */
static TemplateResult
render_piece(const Expression *expression, TemplateInput *input, StringInfo out, bool is_json)
{
	Value		value;
	TemplateResult result = evaluate(expression, input, &value);

	if (result == TEMPLATE_DONE && is_null(&value))
	{
		input->culprit = expression->source;
		result = TEMPLATE_MISSING;
	}
	if (result != TEMPLATE_DONE)
		return result;
	if (is_json)
		make_json_safe(expression, input, &value);
	if (value.kind == VALUE_JSON && value.data[0] == '"')
	{
		if (is_json)			/* escaped already */
			appendBinaryStringInfo(out, value.data + 1, value.len - 2);
		else
			act_json_append_unescaped(out, value.data, value.len);
	}
	else if (is_json)
		act_json_append_escaped(out, value.data, value.len);
	else
		appendBinaryStringInfo(out, value.data, value.len);
	return TEMPLATE_DONE;
}

static void
swap_buffers(TemplateInput *input)
{
	StringInfoData other = input->from;

	input->from = input->to;
	input->to = other;
	resetStringInfo(&input->to);
}

static void
reset_buffers(TemplateInput *input)
{
	if (input->from.data == NULL)
	{
		initStringInfo(&input->from);
		initStringInfo(&input->to);
	}
	resetStringInfo(&input->from);
	resetStringInfo(&input->to);
}

/* Runs the filters; the value then stands in input->from. */
static TemplateResult
apply_filters(const Expression *expression, TemplateInput *input, Value *value)
{
	reset_buffers(input);
	if (expression->filters[0].filter->wants_json)
		append_value(&input->from, value);
	else if (value->kind == VALUE_JSON && value->data[0] == '"')
		act_json_append_unescaped(&input->from, value->data, value->len);
	else
		appendBinaryStringInfo(&input->from, value->data, value->len);

	for (int i = 0; i < expression->nfilters; i++)
	{
		const FilterCall *call = &expression->filters[i];

		if (i > 0 && call->filter->wants_json)
		{
			act_json_append_string(&input->to, input->from.data, input->from.len);
			swap_buffers(input);
		}
		if (!call->filter->apply(call->argument, &input->from, &input->to))
			return TEMPLATE_UNFIT;
		swap_buffers(input);
	}
	value->kind = VALUE_TEXT;
	value->data = input->from.data;
	value->len = input->from.len;
	return TEMPLATE_DONE;
}

static TemplateResult
evaluate(const Expression *expression, TemplateInput *input, Value *value)
{
	TemplateResult result = TEMPLATE_DONE;

	*value = resolve(expression, input);
	if (value->kind == VALUE_MISSING)
		result = TEMPLATE_MISSING;
	else if (expression->nfilters > 0 && !is_null(value))
		result = apply_filters(expression, input, value);
	if (result != TEMPLATE_DONE)
		input->culprit = expression->source;
	return result;
}

static Value
json_value(const char *text)
{
	return text == NULL ? (Value) {VALUE_MISSING} : (Value) {VALUE_JSON, text, strlen(text)};
}

static Value
text_value(const char *text)
{
	return text == NULL ? (Value) {VALUE_MISSING} : (Value) {VALUE_TEXT, text, strlen(text)};
}

/* 8-4-4-4-12 hex digits */
static Value
uuid_value(const uint8 *id, char *scratch)
{
	static const char digits[] = "0123456789abcdef";
	char	   *out = scratch;

	for (int i = 0; i < ACT_DIGEST_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[id[i] >> 4];
		*out++ = digits[id[i] & 15];
	}
	return (Value) {VALUE_PLAIN, scratch, out - scratch};
}

static void
append_hex(const uint8 *bytes, int len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 2 * len; i++)
		out[i] = digits[(bytes[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15];
	out[2 * len] = '\0';
}

/* The member that the names lead to, in an object that is JSON text. */
static Value
member_value(const char *object, char *const *names)
{
	Value		value = json_value(object);

	for (; *names != NULL && value.kind != VALUE_MISSING; names++)
	{
		if (!act_json_find_member(value.data, value.len, *names, &value.data, &value.len))
			value.kind = VALUE_MISSING;
	}
	return value;
}

/* The fields as the operation sends them. */
static const char *
row_fields(const Row *row)
{
	return act_row_op_has_fields(row->op) ? row->fields : NULL;
}

static const char *
option_text(const Expression *expression, const ConnectorScope *scope)
{
	const char *text = scope->option(scope->arg, expression->name);

	return text == NULL ? expression->fallback : text;
}

/* What was kept of the token's answer, or of those to earlier steps; NULL: nothing of that name. */
static const char *
kept_text(const Expression *expression, List *all)
{
	ListCell   *cell;

	foreach(cell, all)
	{
		const HttpHeader *kept = lfirst(cell);

		if (strcmp(kept->name, expression->name) == 0)
			return kept->value;
	}
	return NULL;
}

/* Of one match field; several have no one value. */
static Value
match_value(const Row *row, const ConnectorScope *scope)
{
	char	   *field[2] = {NULL, NULL};

	if (scope->nmatch != 1)
		return (Value) {VALUE_MISSING};
	field[0] = scope->match_names[0];
	return member_value(row->fields, field);
}

static Value
resolve(const Expression *expression, TemplateInput *input)
{
	const ConnectorScope *scope = input->scope;
	const Row  *row = input->row;
	char	   *column[2] = {unconstify(char *, expression->name), NULL};

	switch (expression->path)
	{
		case PATH_ROW_OP:
			return (Value) {VALUE_PLAIN, act_row_op_sent_name(row->op), strlen(act_row_op_sent_name(row->op))};
		case PATH_ROW_KEY:
			return json_value(row->key);
		case PATH_ROW_KEY_COLUMN:
			return member_value(row->key, column);
		case PATH_ROW_FIELDS:
			return json_value(row_fields(row));
		case PATH_ROW_FIELD:
			return member_value(row_fields(row), expression->fields);
		case PATH_ROW_MATCH:
			return match_value(row, scope);
		case PATH_ROW_EXTERNAL_ID:
			return text_value(row->external_id);
		case PATH_ROW_CHANGE_ID:
			return uuid_value(row->change_id, input->scratch);
		case PATH_SYNC_NAME:
			return text_value(scope->sync_name);
		case PATH_SYNC_OBJECT:
			return text_value(scope->object);
		case PATH_SYNC_MATCH:
			return text_value(scope->match);
		case PATH_RUN_ID:
			snprintf(input->scratch, sizeof(input->scratch), INT64_FORMAT, scope->run_id);
			return json_value(input->scratch);
		case PATH_BATCH_SIZE:
			snprintf(input->scratch, sizeof(input->scratch), "%d", input->nrows);
			return json_value(input->scratch);
		case PATH_BATCH_DIGEST:
			if (input->unit_id != NULL)
				append_hex(input->unit_id, ACT_DIGEST_LEN, input->scratch);
			else if (input->nrows == 0)
				return (Value) {VALUE_MISSING};
			else
				act_template_batch_digest(input->rows, input->nrows, input->scratch);
			return (Value) {VALUE_PLAIN, input->scratch, ACT_BATCH_DIGEST_LEN};
		case PATH_SAVED:
			return text_value(kept_text(expression, scope->saved));
		case PATH_OPTION:
			return text_value(option_text(expression, scope));
		case PATH_TOKEN:
			return text_value(kept_text(expression, scope->token));
		case PATH_SECRET:
			return text_value(scope->secret(scope->arg, expression->name));
		case PATH_MESSAGE_ID:
		case PATH_MESSAGE_TIME:
		case PATH_MESSAGE_BODY:
		case PATH_MESSAGE_SIGNATURE:
			return resolve_message(expression, input);
	}
	return (Value) {VALUE_MISSING};
}

static Value
resolve_message(const Expression *expression, const TemplateInput *input)
{
	const TemplateMessage *message = input->message;

	if (message == NULL)
		return (Value) {VALUE_MISSING};
	switch (expression->path)
	{
		case PATH_MESSAGE_ID:
			return text_value(message->id);
		case PATH_MESSAGE_TIME:
			return text_value(message->time);
		case PATH_MESSAGE_BODY:
			return (Value) {VALUE_TEXT, message->body, message->body_len};
		case PATH_MESSAGE_SIGNATURE:
			if (message->signature == NULL)
				return (Value) {VALUE_MISSING};
			return (Value) {VALUE_TEXT, (const char *) message->signature, message->signature_len};
		default:
			return (Value) {VALUE_MISSING};
	}
}

void
act_template_batch_digest(Row *const *rows, int nrows, char *digest)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	for (int i = 0; i < nrows && ok; i++)
		ok = EVP_DigestUpdate(context, rows[i]->change_id, ACT_DIGEST_LEN) == 1;
	ok = ok && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("SHA-256 is not available")));
	append_hex(hash, ACT_BATCH_DIGEST_LEN / 2, digest);
}

static size_t
expression_bytes(const Expression *expression, const ConnectorScope *scope, const Row *row)
{
	const char *text = NULL;
	size_t		len;

	switch (expression->path)
	{
		case PATH_ROW_KEY:
		case PATH_ROW_KEY_COLUMN:
			text = row->key;
			break;
		case PATH_ROW_FIELDS:
		case PATH_ROW_FIELD:
		case PATH_ROW_MATCH:
			text = row_fields(row);
			break;
		case PATH_ROW_EXTERNAL_ID:
			text = row->external_id;
			break;
		case PATH_SYNC_NAME:
			text = scope->sync_name;
			break;
		case PATH_SYNC_OBJECT:
			text = scope->object;
			break;
		case PATH_SYNC_MATCH:
			text = scope->match;
			break;
		case PATH_OPTION:
			text = option_text(expression, scope);
			break;
		default:				/* ids, numbers, names of operations */
			return 40;
	}
	len = text == NULL ? 0 : strlen(text) + 2;

	/* no filter makes more than three bytes of one, but for the digests */
	return expression->nfilters == 0 ? len : len * 3 + 64;
}

size_t
act_template_row_bytes(const Template *template, const ConnectorScope *scope, const Row *row)
{
	size_t		bytes = 1;		/* the comma */

	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];

		bytes += segment->len + (segment->kind == SEGMENT_COMMA ? 1 : 0);
		if (segment->expression != NULL)
			bytes += expression_bytes(segment->expression, scope, row);
	}
	return bytes;
}
