/*-------------------------------------------------------------------------
 *
 * template_measure.c
 *	  How large a row makes a request, without rendering it.
 *
 * For batches, which are filled until they are full: seldom less than what is
 * rendered then, and not much more.  Addresses, which are short, are measured
 * exactly.  Throws for want of memory only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"
#include "template_private.h"
#include "url.h"

#define SHORT_VALUE 40			/* ids, numbers, names of operations, times */
#define FILTERED_VALUE 64		/* at least, of a digest */

static size_t segment_bytes(const Segment *segment, const ConnectorScope *scope, const Row *row);

static size_t
text_bytes(const char *text)
{
	return text == NULL ? 0 : strlen(text) + 2;
}

static size_t
list_bytes(const List *values, const char *name)
{
	ListCell   *cell;

	foreach(cell, values)
	{
		const HttpHeader *value = lfirst(cell);

		if (strcmp(value->name, name) == 0)
			return text_bytes(value->value);
	}
	return 0;
}

static size_t
member_bytes(const char *object, char *const *names)
{
	Value		value = act_value_member(object, names);

	return value.kind == VALUE_MISSING ? 0 : value.len;
}

static size_t
path_bytes(const Expression *expression, const ConnectorScope *scope, const Row *row)
{
	char	   *column[2] = {unconstify(char *, expression->name), NULL};

	switch (expression->path)
	{
		case PATH_ROW_KEY:
			return text_bytes(row->key);
		case PATH_ROW_KEY_COLUMN:
			return member_bytes(row->key, column);
		case PATH_ROW_FIELD:
			return member_bytes(act_value_row_fields(row), expression->fields);
		case PATH_ROW_MATCH_FIELD:
			return member_bytes(row->fields, column);
		case PATH_ROW_MATCH:
			if (scope->nmatch == 1)
				column[0] = scope->match_names[0];
			if (scope->nmatch == 1)
				return member_bytes(row->fields, column);
			return text_bytes(row->fields);
		case PATH_ROW_MATCHED:
			return text_bytes(row->fields);
		case PATH_ROW_FIELDS:
		case PATH_ROW_REST:
		case PATH_ROW_LISTED:
		case PATH_ROW_UNLISTED:
			return text_bytes(act_value_row_fields(row));
		case PATH_ROW_EXTERNAL_ID:
			return text_bytes(row->external_id);
		case PATH_ROW_REMEMBERED:
			return list_bytes(row->remembered, expression->name);
		case PATH_ROW_FOUND:
			return list_bytes(row->found, expression->name);
		case PATH_OBJECT:
			return list_bytes(scope->object_parts, expression->name);
		case PATH_TOKEN:
			return list_bytes(scope->token, expression->name);
		case PATH_SAVED:
			return list_bytes(scope->saved, expression->name);
		case PATH_BATCH_BY:
			return text_bytes(scope->batch_by);
		case PATH_SYNC_NAME:
			return text_bytes(scope->sync_name);
		case PATH_SYNC_OBJECT:
			return text_bytes(scope->object);
		case PATH_SYNC_MATCH:
			return text_bytes(scope->match);
		case PATH_OPTION:
			return text_bytes(act_value_option(expression, scope));
		case PATH_VALUE:		/* counted with the whole */
			return 0;
		default:
			return SHORT_VALUE;
	}
}

static size_t
expression_bytes(const Expression *expression, const ConnectorScope *scope, const Row *row)
{
	size_t		len = path_bytes(expression, scope, row);
	size_t		most = len;

	for (int i = 0; i < expression->nfilters; i++)
	{
		const Filter *filter = expression->filters[i].filter;

		/* no filter makes more than three bytes of one, but for the digests and their like */
		if (filter->encodes || strcmp(filter->name, "url") == 0)
			most = Max(most, len * 3);
		else
			most = Max(most, len + FILTERED_VALUE);
	}
	if (expression->nfilters > 0)
		most = Max(most, len * 5 / 4);	/* quotes around each member */
	return most;
}

/* The largest of what may stand around a value. */
static size_t
wrap_bytes(const Wrap *wrap, const ConnectorScope *scope, const Row *row)
{
	size_t		most = 0;

	for (int i = 0; wrap != NULL && i < wrap->nitems; i++)
		most = Max(most, act_template_row_bytes(wrap->items[i].template, scope, row));
	return most;
}

static size_t
count_members(const Row *row)
{
	const char *next = act_value_row_fields(row);
	const char *end = next == NULL ? NULL : next + strlen(next);
	size_t		count = 0;
	JsonMember	member;

	while (next != NULL && act_json_next_member(&next, end, &member))
		count++;
	return count;
}

/* Of all fields that the mapping names, or the row has. */
static size_t
fields_bytes(const Segment *segment, const ConnectorScope *scope, const Row *row)
{
	size_t		each = segment->template != NULL ? act_template_row_bytes(segment->template, scope, row) + 4 :
		wrap_bytes(segment->wrap, scope, row) + 4;
	size_t		bytes = 2;
	ListCell   *cell;

	if (scope->fields == NIL)
		return bytes + count_members(row) * each + text_bytes(act_value_row_fields(row));
	foreach(cell, scope->fields)
		bytes += each + strlen(((const ScopeField *) lfirst(cell))->name);
	return bytes;
}

static size_t
segment_bytes(const Segment *segment, const ConnectorScope *scope, const Row *row)
{
	switch (segment->kind)
	{
		case SEGMENT_ROW:
			return act_template_row_bytes(segment->template, scope, row);
		case SEGMENT_NAMES:
		case SEGMENT_FIELDS:
			return fields_bytes(segment, scope, row);
		case SEGMENT_VALUES:
		case SEGMENT_WRAP:
			return expression_bytes(segment->expression, scope, row) +
				(segment->wrap == NULL ? 0 : count_members(row) * wrap_bytes(segment->wrap, scope, row)) +
				5 * (size_t) list_length(scope->fields);
		case SEGMENT_COMMA:
		case SEGMENT_NEWLINE:
			return 1;
		default:
			return segment->len + (segment->expression == NULL ? 0 : expression_bytes(segment->expression, scope, row));
	}
}

size_t
act_template_row_bytes(const Template *template, const ConnectorScope *scope, const Row *row)
{
	size_t		bytes = 1;		/* the comma */

	for (int i = 0; i < template->nsegments; i++)
		bytes += segment_bytes(&template->segments[i], scope, row);
	return bytes;
}

size_t
act_template_body_row_bytes(const Template *template, const TemplateInput *input, const Row *row)
{
	size_t		bytes = 0;

	if (!template->names_rows)
		return act_template_row_bytes(template, input->scope, row);
	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];
		const Template *of_row = segment->kind == SEGMENT_ROWS ?
			act_construct_row_template(segment, input, row) : NULL;

		if (of_row != NULL)
			bytes += act_template_row_bytes(of_row, input->scope, row);
		else if (segment->expression != NULL && segment->expression->each)
			bytes += expression_bytes(segment->expression, input->scope, row);
	}
	return bytes;
}

/* Digits and letters stay one byte, all else becomes three. */
static size_t
encoded_bytes(const char *text, size_t len)
{
	size_t		bytes = 0;

	for (size_t i = 0; i < len; i++)
		bytes += act_url_unreserved((unsigned char) text[i]) ? 1 : 3;
	return bytes;
}

size_t
act_template_url_row_bytes(const Template *template, TemplateInput *input, const Row *row)
{
	const Row  *outer = input->row;
	size_t		bytes = 0;

	input->row = row;
	for (int i = 0; template->names_rows && i < template->nsegments; i++)
	{
		const Expression *expression = template->segments[i].expression;
		const char *separator;
		Value		value;

		if (expression == NULL || !expression->each)
			continue;
		separator = expression->filters[expression->neach].argument;
		bytes += encoded_bytes(separator, strlen(separator));
		if (act_value_of_each(expression, input, &value) != TEMPLATE_DONE)
			continue;
		if (value.kind == VALUE_JSON && value.len >= 2 && *value.data == '"')
			bytes += encoded_bytes(value.data + 1, value.len - 2);
		else
			bytes += encoded_bytes(value.data, value.len);
	}
	input->row = outer;
	return bytes;
}
