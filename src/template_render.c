/*-------------------------------------------------------------------------
 *
 * template_render.c
 *	  Running compiled templates.
 *
 * Touches neither database nor network; output and scratch memory come from
 * the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"
#include "template_private.h"

static TemplateResult render_spread(const Expression *expression, TemplateInput *input, StringInfo out);
static TemplateResult render_piece(const Expression *expression, TemplateInput *input, StringInfo out,
								   bool is_json);

void
act_template_render_json(const Template *template, TemplateInput *input, StringInfo out)
{
	TemplateResult result = act_template_run(template, input, out);

	if (result == TEMPLATE_UNFIT || input->culprit_at != NULL)
		act_template_fail(template, input, result);
}

TemplateResult
act_template_try_json(const Template *template, TemplateInput *input, StringInfo out)
{
	return act_template_run(template, input, out);
}

static void
cut(StringInfo out, int len)
{
	out->len = len;
	out->data[len] = '\0';
}

TemplateResult
act_template_render_text(const Template *template, TemplateInput *input, StringInfo out)
{
	int			start = out->len;

	input->culprit_at = NULL;
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
			cut(out, start);
			return result;
		}
	}
	return TEMPLATE_DONE;
}

void
act_template_fail(const Template *template, const TemplateInput *input, TemplateResult result)
{
	const char *at = input->culprit_at != NULL ? input->culprit_at : template->pointer;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 result == TEMPLATE_MISSING
			 ? errmsg("connector \"%s\": {{%s}} at %s has no value", template->connector, input->culprit, at)
			 : errmsg("connector \"%s\": {{%s}} at %s has a value that cannot stand there",
					  template->connector, input->culprit, at),
			 input->row == NULL ? 0 : errdetail("The row is %s.", input->row->key)));
	pg_unreachable();
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

static TemplateResult
render_slot(const Expression *expression, TemplateInput *input, StringInfo out)
{
	Value		value;
	TemplateResult result;

	if (expression->nfilters == 0)	/* most are */
	{
		value = act_value_resolve(expression, input);
		if (value.kind == VALUE_MISSING)
			return TEMPLATE_MISSING;
		act_value_put_json(out, &value);
		return TEMPLATE_DONE;
	}
	result = act_value_of(expression, input, &value);
	if (result != TEMPLATE_DONE)
		return result;
	make_json_safe(expression, input, &value);
	act_value_put_json(out, &value);
	return TEMPLATE_DONE;
}

/*
 * A line, or a body, that is a single value that is missing, is MISSING; what
 * is missing where it may not be has culprit_at set.
 */
TemplateResult
act_template_run(const Template *template, TemplateInput *input, StringInfo out)
{
	int			start = out->len;
	int			mark = start;

	input->culprit_at = NULL;
	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];
		TemplateResult result = TEMPLATE_DONE;

		switch (segment->kind)
		{
			case SEGMENT_LITERAL:
				appendBinaryStringInfo(out, segment->bytes, segment->len);
				break;
			case SEGMENT_COMMA:
				act_template_append_comma(out);
				break;
			case SEGMENT_MARK:
				mark = out->len;
				break;
			case SEGMENT_NEWLINE:
				if (out->len > mark)
					appendStringInfoCharMacro(out, '\n');
				break;
			case SEGMENT_SLOT:
				result = render_slot(segment->expression, input, out);
				break;
			case SEGMENT_ROWS:
			case SEGMENT_ROW:
			case SEGMENT_VALUES:
			case SEGMENT_NAMES:
			case SEGMENT_FIELDS:
			case SEGMENT_WRAP:
				result = act_construct_render(segment, input, out);
				break;
			case SEGMENT_TEXT:
				result = render_piece(segment->expression, input, out, true);
				break;
			case SEGMENT_SPREAD:
				result = render_spread(segment->expression, input, out);
				break;
		}
		if (result == TEMPLATE_MISSING && segment->kind != SEGMENT_TEXT && input->culprit_at == NULL &&
			(segment->expression == NULL || !segment->expression->each))
		{
			cut(out, mark);
			result = template->nsegments == 1 ? TEMPLATE_MISSING : TEMPLATE_DONE;
			if (result == TEMPLATE_MISSING)
				return result;
		}
		if (result != TEMPLATE_DONE)
		{
			if (input->culprit_at == NULL)
				input->culprit_at = template->pointer;
			cut(out, start);
			return result;
		}
	}
	return TEMPLATE_DONE;
}

/* Merges the members of an object into the one that out ends in. */
static TemplateResult
render_spread(const Expression *expression, TemplateInput *input, StringInfo out)
{
	Value		value;
	TemplateResult result = TEMPLATE_DONE;
	const char *start;
	const char *end;

	if (expression->path == PATH_ROW_MATCH && expression->nfilters == 0 && !expression->each)
		value = act_value_match_fields(input->row, input);
	else
		result = act_value_of(expression, input, &value);
	if (result == TEMPLATE_DONE && value.kind == VALUE_MISSING)
		result = TEMPLATE_MISSING;
	if (result == TEMPLATE_MISSING || (result == TEMPLATE_DONE && act_value_is_null(&value)))
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
		act_template_append_comma(out);
		appendBinaryStringInfo(out, start, end - 1 - start);
	}
	return TEMPLATE_DONE;
}

/* A value as part of a string; null has no text. */
static TemplateResult
render_piece(const Expression *expression, TemplateInput *input, StringInfo out, bool is_json)
{
	Value		value;
	TemplateResult result = act_value_of(expression, input, &value);

	if (result == TEMPLATE_DONE && act_value_is_null(&value))
	{
		input->culprit = expression->source;
		result = TEMPLATE_MISSING;
	}
	if (result == TEMPLATE_MISSING && input->trial && act_value_comes_later(expression))
		return TEMPLATE_DONE;
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
