/*-------------------------------------------------------------------------
 *
 * template_construct.c
 *	  Running $rows, $row, $values, $names, $fields and $wrap.
 *
 * Each appends one JSON value, or says that it is missing.  The order of
 * fields is that of the mapping, which the scope knows; where it does not,
 * that of the first row's fields.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"
#include "template_private.h"

const Template *
act_construct_row_template(const Segment *segment, const TemplateInput *input, const Row *row)
{
	const Template *own = NULL;

	if (segment->ops != 0 && (segment->ops & ((uint32) 1 << act_row_op_sent(row->op))) == 0)
		return NULL;
	if (input->row_template != NULL)
		own = input->row_template(input->row_template_of, row);
	return own != NULL ? own : segment->template;
}

static TemplateResult
render_rows(const Segment *segment, TemplateInput *input, StringInfo out)
{
	const Row  *outer = input->row;
	int			outer_index = input->row_index;
	int			opened;

	appendStringInfoCharMacro(out, '[');
	opened = out->len;
	for (int i = 0; i < input->nrows; i++)
	{
		const Template *template = act_construct_row_template(segment, input, input->rows[i]);
		int			before = out->len;
		TemplateResult result;

		if (template == NULL)
			continue;
		input->row = input->rows[i];
		input->row_index = i;
		act_template_append_comma(out);
		result = act_template_run(template, input, out);
		if (result == TEMPLATE_MISSING && input->culprit_at == NULL)
		{
			out->len = before;	/* a single value */
			out->data[before] = '\0';
		}
		else if (result != TEMPLATE_DONE)
			return result;		/* with the row, for the message */
	}
	input->row = outer;
	input->row_index = outer_index;
	input->culprit_at = NULL;
	if (segment->omit_empty && out->len == opened)
		return TEMPLATE_MISSING;
	appendStringInfoCharMacro(out, ']');
	return TEMPLATE_DONE;
}

static TemplateResult
render_row(const Segment *segment, TemplateInput *input, StringInfo out)
{
	return act_template_run(input->row == NULL ? segment->template :
							act_construct_row_template(segment, input, input->row), input, out);
}

/* In the order of JsonMember's first byte. */
static const char *
type_of(const char *value)
{
	switch (*value)
	{
		case '"':
			return "text";
		case '{':
			return "object";
		case '[':
			return "array";
		case 't':
		case 'f':
			return "boolean";
		case 'n':
			return "null";
		default:
			return "number";
	}
}

static const Template *
choose_wrap(const Wrap *wrap, const JsonMember *member)
{
	const Template *any = NULL;

	for (int i = 0; i < wrap->nitems; i++)
	{
		const WrapItem *item = &wrap->items[i];

		if (item->name == NULL)
			any = item->template;
		else if (wrap->by == WRAP_BY_TYPE ? strcmp(item->name, type_of(member->value)) == 0 :
				 act_json_name_is(member, item->name))
			return item->template;
	}
	return any;
}

/* A value in what is wrapped around it; as it is where nothing is. */
static TemplateResult
append_wrapped(const Wrap *wrap, const JsonMember *member, TemplateInput *input, StringInfo out)
{
	const Template *template = wrap == NULL ? NULL : choose_wrap(wrap, member);
	const char *outer = input->value;
	size_t		outer_len = input->value_len;
	TemplateResult result;

	if (template == NULL)
	{
		appendBinaryStringInfo(out, member->value, member->value_len);
		return TEMPLATE_DONE;
	}
	input->value = member->value;
	input->value_len = member->value_len;
	result = act_template_run(template, input, out);
	input->value = outer;
	input->value_len = outer_len;
	return result;
}

/*
 * The object that the path leads to.  What was made for it is copied, as
 * wrapping makes more.  MISSING where it is null, UNFIT where it is none.
 */
static TemplateResult
find_object(const Expression *expression, TemplateInput *input, Value *value, bool *copied)
{
	TemplateResult result = act_value_of(expression, input, value);

	*copied = false;
	if (result != TEMPLATE_DONE)
		return result;
	if (act_value_is_null(value))
		return TEMPLATE_MISSING;
	if (value->kind != VALUE_JSON || value->len == 0 || *value->data != '{')
	{
		input->culprit = expression->source;
		return TEMPLATE_UNFIT;
	}
	*copied = value->data == input->from.data || value->data == input->built.data;
	if (*copied)
		value->data = pnstrdup(value->data, value->len);
	return TEMPLATE_DONE;
}

static TemplateResult
append_element(const Wrap *wrap, const JsonMember *member, TemplateInput *input, StringInfo out)
{
	int			before = out->len;
	TemplateResult result;

	act_template_append_comma(out);
	result = append_wrapped(wrap, member, input, out);
	if (result != TEMPLATE_MISSING || input->culprit_at != NULL)
		return result;
	out->len = before;
	appendStringInfoString(out, before > 0 && out->data[before - 1] != '[' ? ",null" : "null");
	return TEMPLATE_DONE;
}

/* Of each mapped field, null where the row has none: columns stay columns. */
static TemplateResult
append_by_fields(const Wrap *wrap, const Value *object, TemplateInput *input, StringInfo out)
{
	StringInfoData name;
	TemplateResult result = TEMPLATE_DONE;
	ListCell   *cell;

	initStringInfo(&name);
	foreach(cell, input->scope->fields)
	{
		const ScopeField *field = lfirst(cell);
		JsonMember	member;

		if (result != TEMPLATE_DONE)
			break;
		resetStringInfo(&name);
		act_json_append_string(&name, field->name, strlen(field->name));
		member = (JsonMember) {.name = name.data,.name_len = name.len,.value = "null",.value_len = 4};
		(void) act_json_find_member(object->data, object->len, field->name, &member.value, &member.value_len);
		result = append_element(wrap, &member, input, out);
	}
	pfree(name.data);
	return result;
}

static TemplateResult
append_by_members(const Wrap *wrap, const Value *object, TemplateInput *input, StringInfo out)
{
	const char *next = object->data;
	const char *end = object->data + object->len;
	TemplateResult result = TEMPLATE_DONE;
	JsonMember	member;

	while (result == TEMPLATE_DONE && act_json_next_member(&next, end, &member))
		result = append_element(wrap, &member, input, out);
	return result;
}

static TemplateResult
render_values(const Segment *segment, TemplateInput *input, StringInfo out)
{
	bool		all_fields = segment->expression->path == PATH_ROW_FIELDS && input->scope->fields != NIL;
	bool		copied;
	Value		object;
	TemplateResult result = find_object(segment->expression, input, &object, &copied);

	if (result != TEMPLATE_DONE)
		return result;
	appendStringInfoCharMacro(out, '[');
	result = all_fields ? append_by_fields(segment->wrap, &object, input, out) :
		append_by_members(segment->wrap, &object, input, out);
	appendStringInfoCharMacro(out, ']');
	if (copied)
		pfree(unconstify(char *, object.data));
	return result;
}

static TemplateResult
render_wrap(const Segment *segment, TemplateInput *input, StringInfo out)
{
	bool		copied;
	Value		object;
	TemplateResult result = find_object(segment->expression, input, &object, &copied);
	const char *next = object.data;
	JsonMember	member;

	if (result != TEMPLATE_DONE)
		return result;
	appendStringInfoCharMacro(out, '{');
	while (result == TEMPLATE_DONE && act_json_next_member(&next, object.data + object.len, &member))
	{
		int			before = out->len;

		act_template_append_comma(out);
		appendBinaryStringInfo(out, member.name, member.name_len);
		appendStringInfoCharMacro(out, ':');
		result = append_wrapped(segment->wrap, &member, input, out);
		if (result == TEMPLATE_MISSING && input->culprit_at == NULL)
		{
			out->len = before;
			out->data[before] = '\0';
			result = TEMPLATE_DONE;
		}
	}
	appendStringInfoCharMacro(out, '}');
	if (copied)
		pfree(unconstify(char *, object.data));
	return result;
}

/* The mapped fields; without the mapping, those of the row, or of the first one. */
static List *
mapped_fields(const TemplateInput *input)
{
	const Row  *row = input->row != NULL ? input->row : input->nrows > 0 ? input->rows[0] : NULL;
	const char *next = row == NULL ? NULL : act_value_row_fields(row);
	const char *end = next == NULL ? NULL : next + strlen(next);
	List	   *fields = NIL;
	JsonMember	member;

	if (input->scope->fields != NIL)
		return input->scope->fields;
	while (next != NULL && act_json_next_member(&next, end, &member))
	{
		ScopeField *field = palloc0(sizeof(ScopeField));
		StringInfoData name;

		initStringInfo(&name);
		act_json_append_unescaped(&name, member.name, member.name_len);
		field->name = name.data;
		for (int i = 0; i < input->scope->nmatch; i++)
			field->is_match |= strcmp(name.data, input->scope->match_names[i]) == 0;
		fields = lappend(fields, field);
	}
	return fields;
}

static TemplateResult
render_names(const Segment *segment, TemplateInput *input, StringInfo out)
{
	TemplateResult result = TEMPLATE_DONE;
	StringInfoData name;
	ListCell   *cell;

	initStringInfo(&name);
	appendStringInfoCharMacro(out, '[');
	foreach(cell, mapped_fields(input))
	{
		const ScopeField *field = lfirst(cell);
		JsonMember	member;

		if (result != TEMPLATE_DONE)
			break;
		resetStringInfo(&name);
		act_json_append_string(&name, field->name, strlen(field->name));
		member = (JsonMember) {.name = name.data,.name_len = name.len,.value = name.data,.value_len = name.len};
		result = append_element(segment->wrap, &member, input, out);
	}
	appendStringInfoCharMacro(out, ']');
	pfree(name.data);
	return result;
}

static TemplateResult
render_fields(const Segment *segment, TemplateInput *input, StringInfo out)
{
	const ScopeField *outer = input->field;
	TemplateResult result = TEMPLATE_DONE;
	ListCell   *cell;

	appendStringInfoCharMacro(out, '{');
	foreach(cell, mapped_fields(input))
	{
		int			before = out->len;

		if (result != TEMPLATE_DONE)
			break;
		input->field = lfirst(cell);
		act_template_append_comma(out);
		act_json_append_string(out, input->field->name, strlen(input->field->name));
		appendStringInfoCharMacro(out, ':');
		result = act_template_run(segment->template, input, out);
		if (result == TEMPLATE_MISSING && input->culprit_at == NULL)
		{
			out->len = before;
			out->data[before] = '\0';
			result = TEMPLATE_DONE;
		}
	}
	appendStringInfoCharMacro(out, '}');
	input->field = outer;
	return result;
}

TemplateResult
act_construct_render(const Segment *segment, TemplateInput *input, StringInfo out)
{
	switch (segment->kind)
	{
		case SEGMENT_ROWS:
			return render_rows(segment, input, out);
		case SEGMENT_ROW:
			return render_row(segment, input, out);
		case SEGMENT_VALUES:
			return render_values(segment, input, out);
		case SEGMENT_NAMES:
			return render_names(segment, input, out);
		case SEGMENT_FIELDS:
			return render_fields(segment, input, out);
		default:
			return render_wrap(segment, input, out);
	}
}
