/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Compiling templates.
 *
 * Called once per run for each template of a connector's document; what is
 * wrong is found here, with its JSON pointer, and not at the first row.  What
 * stands in {{}} is compiled by template_path.c.  Results are allocated in
 * the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"
#include "template_private.h"
#include "url.h"

typedef struct Builder
{
	const Document *document;
	const cJSON *at;			/* what is compiled, for messages */
	int			place;
	bool		within_rows;
	bool		may_fail;
	bool		may_lack;
	bool		names_rows;
	bool		has_ops;
	const Template *row;		/* of the first $rows or $row met */
	Segment    *segments;
	int			nsegments;
	int			capacity;
	StringInfoData literal;		/* not yet a segment */
} Builder;

/* Have the members before this one left something behind? */
typedef enum Before
{
	BEFORE_NOTHING,
	BEFORE_MAYBE,
	BEFORE_SURE
} Before;

/* An object whose first member is one of these is not an object but what it makes. */
typedef struct Construct
{
	const char *name;
	void		(*compile) (Builder *builder, const cJSON *object, const cJSON *member);
	const char *const *members;
} Construct;

static Builder builder_start(const Document *document, const cJSON *at, int place);
static Template *builder_finish(Builder *builder);
static void add_segment(Builder *builder, SegmentKind kind, const Expression *expression);
static void compile_value(Builder *builder, const cJSON *value);
static void compile_object(Builder *builder, const cJSON *object);
static void compile_array(Builder *builder, const cJSON *array);
static void compile_string(Builder *builder, const char *text, size_t len, bool is_json);
static void compile_rows(Builder *builder, const cJSON *object, const cJSON *template);
static void compile_row(Builder *builder, const cJSON *object, const cJSON *template);
static void compile_values(Builder *builder, const cJSON *object, const cJSON *path);
static void compile_names(Builder *builder, const cJSON *object, const cJSON *which);
static void compile_fields(Builder *builder, const cJSON *object, const cJSON *template);
static void compile_wrapped(Builder *builder, const cJSON *object, const cJSON *path);
static Expression *compile_expression(Builder *builder, const char *source, size_t len);

static const char *const rows_members[] = {"$rows", "$of", "$omit_empty", NULL};
static const char *const row_members[] = {"$row", NULL};
static const char *const values_members[] = {"$values", "wrap", NULL};
static const char *const names_members[] = {"$names", "wrap", NULL};
static const char *const fields_members[] = {"$fields", NULL};
static const char *const wrap_members[] = {"$wrap", "with", NULL};

static const Construct constructs[] = {
	{"$rows", compile_rows, rows_members},
	{"$row", compile_row, row_members},
	{"$values", compile_values, values_members},
	{"$names", compile_names, names_members},
	{"$fields", compile_fields, fields_members},
	{"$wrap", compile_wrapped, wrap_members},
};

Template *
act_template_compile_json(const Document *document, const cJSON *at, int place, Template **rows)
{
	Builder		builder = builder_start(document, at, place);

	compile_value(&builder, at);
	if (rows != NULL)
		*rows = unconstify(Template *, builder.row);
	return builder_finish(&builder);
}

Template *
act_template_compile_lines(const Document *document, const cJSON *at, int place)
{
	Builder		builder = builder_start(document, at, place);

	if (!cJSON_IsArray(at) || at->child == NULL)
		act_document_error(document, at, NULL, "an array of templates, a line each, is expected");
	for (const cJSON *line = at->child; line != NULL; line = line->next)
	{
		if (!cJSON_IsObject(line) && !cJSON_IsArray(line) && !cJSON_IsString(line))
			act_document_error(document, line, NULL, "a line that is no object");
		add_segment(&builder, SEGMENT_MARK, NULL);
		compile_value(&builder, line);
		add_segment(&builder, SEGMENT_NEWLINE, NULL);
	}
	return builder_finish(&builder);
}

Template *
act_template_compile_text(const Document *document, const cJSON *at,
						  const char *text, size_t len, int place)
{
	Builder		builder = builder_start(document, at, place);

	compile_string(&builder, text, len, false);
	return builder_finish(&builder);
}

Template *
act_template_compile_path(const Document *document, const cJSON *at, int place)
{
	Builder		builder = builder_start(document, at, place);

	if (!cJSON_IsString(at))
		act_document_error(document, at, NULL, "a path such as \"row.fields\" is expected");
	add_segment(&builder, SEGMENT_SLOT, compile_expression(&builder, at->valuestring, strlen(at->valuestring)));
	return builder_finish(&builder);
}

Template *
act_template_compile_member(const Document *document, const cJSON *object,
							const char *name, int place)
{
	char	   *text = act_document_string(document, object, name);

	if (text == NULL)
		return NULL;
	return act_template_compile_text(document, act_document_member(object, name),
									 text, strlen(text), place);
}

bool
act_template_is_optional(const Template *template)
{
	return template->nsegments == 1 && template->segments[0].kind == SEGMENT_TEXT &&
		!template->segments[0].expression->each;
}

/* What is known of a row's record, as far as it is. */
static bool
tells_record(const Expression *expression)
{
	return expression->path == PATH_ROW_EXTERNAL_ID || expression->path == PATH_ROW_REMEMBERED ||
		expression->path == PATH_ROW_FOUND;
}

bool
act_template_names_record(const Template *template)
{
	return act_template_is_optional(template) &&
		(tells_record(template->segments[0].expression) || template->segments[0].expression->path == PATH_SAVED);
}

bool
act_template_may_lack(const Template *template)
{
	return template->may_lack;
}

bool
act_template_is_value(const Template *template)
{
	return template->nsegments == 1 && template->segments[0].kind >= SEGMENT_SLOT &&
		template->segments[0].kind <= SEGMENT_WRAP;
}

bool
act_template_is_constant(const Template *template)
{
	return template->nsegments == 0 ||
		(template->nsegments == 1 && template->segments[0].kind == SEGMENT_LITERAL);
}

bool
act_template_names_secret(const Template *template, const char *secret)
{
	for (int i = 0; i < template->nsegments; i++)
	{
		const Expression *expression = template->segments[i].expression;

		if (expression == NULL)
			continue;
		if (expression->path == PATH_SECRET && strcmp(expression->name, secret) == 0)
			return true;
		for (int j = 0; j < expression->nfilters; j++)
		{
			if (expression->filters[j].filter->takes_argument == FILTER_SECRET &&
				strcmp(expression->filters[j].argument, secret) == 0)
				return true;
		}
	}
	return false;
}

bool
act_template_names_rows(const Template *template)
{
	return template->names_rows;
}

bool
act_template_may_fail(const Template *template)
{
	return template->may_fail;
}

bool
act_template_takes(const Template *template, RowOp op)
{
	uint32		bit = (uint32) 1 << act_row_op_sent(op);

	if (!template->has_ops)
		return true;
	for (int i = 0; i < template->nsegments; i++)
	{
		const Segment *segment = &template->segments[i];

		if (segment->kind == SEGMENT_ROWS && (segment->ops == 0 || (segment->ops & bit) != 0))
			return true;
	}
	return false;
}

bool
act_template_names_token(const Template *template)
{
	for (int i = 0; i < template->nsegments; i++)
	{
		const Expression *expression = template->segments[i].expression;

		if (expression != NULL && expression->path == PATH_TOKEN)
			return true;
	}
	return false;
}

static Builder
builder_start(const Document *document, const cJSON *at, int place)
{
	Builder		builder = {.document = document,.at = at,.place = place,.capacity = 8};

	builder.segments = palloc(builder.capacity * sizeof(Segment));
	initStringInfo(&builder.literal);
	return builder;
}

static void
push_segment(Builder *builder, Segment segment)
{
	if (builder->nsegments == builder->capacity)
	{
		builder->capacity *= 2;
		builder->segments = repalloc(builder->segments, builder->capacity * sizeof(Segment));
	}
	builder->segments[builder->nsegments++] = segment;
}

static void
flush_literal(Builder *builder)
{
	if (builder->literal.len == 0)
		return;
	push_segment(builder, (Segment)
	{
		.kind = SEGMENT_LITERAL,.bytes = pnstrdup(builder->literal.data, builder->literal.len),
		.len = builder->literal.len
	});
	resetStringInfo(&builder->literal);
}

/* Whether a row of the model can be without it. */
static bool
may_be_absent(const Expression *expression)
{
	switch (expression->path)
	{
		case PATH_ROW_KEY_COLUMN:
		case PATH_ROW_FIELDS:
		case PATH_ROW_FIELD:
		case PATH_ROW_REST:
		case PATH_ROW_LISTED:
		case PATH_ROW_UNLISTED:
		case PATH_ROW_MATCH:
		case PATH_ROW_MATCH_FIELD:
		case PATH_ROW_MATCHED:
		case PATH_VALUE:
			return true;
		default:
			return false;
	}
}

static void
add_segment(Builder *builder, SegmentKind kind, const Expression *expression)
{
	flush_literal(builder);
	push_segment(builder, (Segment) {.kind = kind,.expression = expression});
	if (expression == NULL)
		return;
	builder->names_rows |= expression->each;
	builder->may_lack |= tells_record(expression) && (expression->may_fail || kind == SEGMENT_TEXT);
	builder->may_fail |= expression->may_fail || expression->each ||
		(kind == SEGMENT_TEXT && may_be_absent(expression)) ||
		((kind == SEGMENT_SPREAD || kind == SEGMENT_WRAP || kind == SEGMENT_VALUES) &&
		 expression->path != PATH_ROW_FIELDS && may_be_absent(expression));
}

/* One that is made of others. */
static void
add_construct(Builder *builder, Segment segment)
{
	flush_literal(builder);
	push_segment(builder, segment);
	if (segment.template != NULL)
	{
		builder->may_fail |= segment.template->may_fail;
		builder->may_lack |= segment.template->may_lack;
	}
	for (int i = 0; segment.wrap != NULL && i < segment.wrap->nitems; i++)
	{
		builder->may_fail |= segment.wrap->items[i].template->may_fail;
		builder->may_lack |= segment.wrap->items[i].template->may_lack;
	}
	if (segment.expression != NULL)
		builder->may_fail |= segment.expression->may_fail || segment.expression->path == PATH_ROW_FIELD;
}

static Template *
builder_finish(Builder *builder)
{
	Template   *template = palloc0(sizeof(Template));

	flush_literal(builder);
	template->connector = builder->document->connector;
	template->pointer = act_document_pointer_to(builder->document, builder->at);
	template->nsegments = builder->nsegments;
	template->segments = builder->segments;
	template->may_fail = builder->may_fail;
	template->may_lack = builder->may_lack;
	template->names_rows = builder->names_rows;
	template->has_ops = builder->has_ops;
	template->row = builder->row;
	return template;
}

/* The end of the expression that begins after "{{", or NULL. */
static const char *
find_close(const char *text, const char *end)
{
	for (; end - text >= 2; text++)
	{
		if (text[0] == '}' && text[1] == '}')
			return text;
	}
	return NULL;
}

static const char *
find_open(const char *text, const char *end)
{
	for (; end - text >= 2; text++)
	{
		if (text[0] == '{' && text[1] == '{')
			return text;
	}
	return NULL;
}

static bool
is_one_expression(const char *text, size_t len)
{
	return len >= 4 && memcmp(text, "{{", 2) == 0 && find_close(text + 2, text + len) == text + len - 2;
}

static const Construct *
find_construct(const cJSON *value)
{
	for (int i = 0; cJSON_IsObject(value) && i < lengthof(constructs); i++)
	{
		if (act_document_member(value, constructs[i].name) != NULL)
			return &constructs[i];
	}
	return NULL;
}

/* May the member or element with this value be missing? */
static bool
may_be_missing(const cJSON *value)
{
	const Construct *construct = find_construct(value);

	if (construct != NULL)
		return construct->compile != compile_rows || act_document_member(value, "$omit_empty") != NULL;
	return cJSON_IsString(value) && is_one_expression(value->valuestring, strlen(value->valuestring));
}

static void
compile_value(Builder *builder, const cJSON *value)
{
	const cJSON *outer = builder->at;
	const Construct *construct = find_construct(value);

	builder->at = value;
	if (construct != NULL)
	{
		act_document_check(builder->document, value, construct->members, NULL);
		construct->compile(builder, value, act_document_member(value, construct->name));
	}
	else if (cJSON_IsObject(value))
		compile_object(builder, value);
	else if (cJSON_IsArray(value))
		compile_array(builder, value);
	else if (may_be_missing(value))
		add_segment(builder, SEGMENT_SLOT,
					compile_expression(builder, value->valuestring + 2, strlen(value->valuestring) - 4));
	else if (cJSON_IsString(value))
	{
		appendStringInfoChar(&builder->literal, '"');
		compile_string(builder, value->valuestring, strlen(value->valuestring), true);
		appendStringInfoChar(&builder->literal, '"');
	}
	else
		act_json_append(&builder->literal, value, 0);
	builder->at = outer;
}

/* What stands between the members before and this one. */
static void
compile_separator(Builder *builder, Before before, bool may_be_missing_here)
{
	if (may_be_missing_here)
		add_segment(builder, SEGMENT_MARK, NULL);
	if (before == BEFORE_SURE)
		appendStringInfoChar(&builder->literal, ',');
	else if (before == BEFORE_MAYBE)
		add_segment(builder, SEGMENT_COMMA, NULL);
}

static void
compile_object(Builder *builder, const cJSON *object)
{
	Before		before = BEFORE_NOTHING;

	appendStringInfoChar(&builder->literal, '{');
	for (const cJSON *member = object->child; member != NULL; member = member->next)
	{
		bool		optional = may_be_missing(member);
		const char *name = member->string + (member->string[0] == '$');	/* $$ stands for $ */

		if (act_document_member(object, member->string) != member)
			act_document_error(builder->document, member, NULL, "member \"%s\" given twice", member->string);
		if (strcmp(member->string, "$spread") == 0)
		{
			if (!cJSON_IsString(member))
				act_document_error(builder->document, member, NULL, "a path such as \"row.fields\" is expected");
			builder->at = member;
			add_segment(builder, SEGMENT_SPREAD,
						compile_expression(builder, member->valuestring, strlen(member->valuestring)));
			builder->at = object;
			before = Max(before, BEFORE_MAYBE);
			continue;
		}
		if (member->string[0] == '$' && member->string[1] != '$')
			act_document_error(builder->document, member, "Known here: $rows, $row, $spread, $values, $names, $fields, $wrap; $$x is the name $x.",
							   "unknown member \"%s\"", member->string);
		compile_separator(builder, before, optional);
		appendStringInfoChar(&builder->literal, '"');
		compile_string(builder, name, strlen(name), true);
		appendStringInfoString(&builder->literal, "\":");
		compile_value(builder, member);
		before = Max(before, optional ? BEFORE_MAYBE : BEFORE_SURE);
	}
	appendStringInfoChar(&builder->literal, '}');
}

static void
compile_array(Builder *builder, const cJSON *array)
{
	Before		before = BEFORE_NOTHING;

	appendStringInfoChar(&builder->literal, '[');
	for (const cJSON *element = array->child; element != NULL; element = element->next)
	{
		bool		optional = may_be_missing(element);

		compile_separator(builder, before, optional);
		compile_value(builder, element);
		before = Max(before, optional ? BEFORE_MAYBE : BEFORE_SURE);
	}
	appendStringInfoChar(&builder->literal, ']');
}

/* The template of a row, a field or a value, on its own. */
static const Template *
compile_inner(Builder *builder, const cJSON *template, int place)
{
	Builder		inner = builder_start(builder->document, template, builder->place | place);

	inner.within_rows = builder->within_rows || place == TEMPLATE_IN_ROW;
	compile_value(&inner, template);
	return builder_finish(&inner);
}

/* Operations by name, as bits. */
static uint32
compile_of(Builder *builder, const cJSON *object)
{
	const cJSON *names = act_document_array(builder->document, object, "$of");
	const char *known[ROW_OP_COUNT + 1] = {0};
	int			nknown = 0;
	uint32		ops = 0;

	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		if (act_row_op_sent((RowOp) op) == (RowOp) op)
			known[nknown++] = act_row_op_name((RowOp) op);
	}
	for (const cJSON *name = names == NULL ? NULL : names->child; name != NULL; name = name->next)
	{
		RowOp		op;

		if (!cJSON_IsString(name))
			act_document_error(builder->document, name, NULL, "the name of an operation is expected");
		op = act_row_op_parse(name->valuestring);
		if (op == ROW_OP_NONE || act_row_op_sent(op) != op)
			act_document_unknown(builder->document, name, "operation", name->valuestring, known);
		ops |= (uint32) 1 << op;
	}
	if (names != NULL && ops == 0)
		act_document_error(builder->document, names, NULL, "no operation");
	return ops;
}

static void
compile_rows(Builder *builder, const cJSON *object, const cJSON *template)
{
	Segment		segment = {.kind = SEGMENT_ROWS};

	if (builder->within_rows)
		act_document_error(builder->document, template, NULL, "\"$rows\" within a row");
	segment.ops = compile_of(builder, object);
	segment.omit_empty = act_document_bool(builder->document, object, "$omit_empty", false);
	segment.template = compile_inner(builder, template, TEMPLATE_IN_ROW);
	add_construct(builder, segment);
	builder->names_rows = true;
	builder->has_ops |= segment.ops != 0;
	if (builder->row == NULL)
		builder->row = segment.template;
}

static void
compile_row(Builder *builder, const cJSON *object, const cJSON *template)
{
	Segment		segment = {.kind = SEGMENT_ROW};

	if (builder->within_rows)
		act_document_error(builder->document, template, NULL, "\"$row\" within a row");
	if ((builder->place & TEMPLATE_IN_ROW) == 0)
		act_document_error(builder->document, template, "Let \"max_rows\" be 1, or make it \"$rows\".",
						   "\"$row\" in a request of several rows,");
	segment.template = compile_inner(builder, template, TEMPLATE_IN_ROW);
	add_construct(builder, segment);
	if (builder->row == NULL)
		builder->row = segment.template;
}

/* What stands for each value; NULL: the value itself. */
static const Wrap *
compile_wrap(Builder *builder, const cJSON *with)
{
	static const char *const types[] = {"text", "number", "boolean", "null", "array", "object", NULL};
	const cJSON *by = cJSON_IsObject(with) ? act_document_member(with, "by") : NULL;
	Wrap	   *wrap;
	WrapItem   *items;
	bool		by_type = cJSON_IsObject(with) && with->child != NULL;

	if (with == NULL)
		return NULL;
	for (const cJSON *child = by_type ? with->child : NULL; child != NULL; child = child->next)
	{
		bool		known = false;

		for (int i = 0; types[i] != NULL; i++)
			known = known || strcmp(types[i], child->string) == 0;
		by_type = by_type && known;
	}
	if (by != NULL && (!cJSON_IsString(by) || strcmp(by->valuestring, "field") != 0))
		act_document_error(builder->document, by, NULL, "\"field\" is expected");
	wrap = palloc0(sizeof(Wrap));
	wrap->by = by != NULL ? WRAP_BY_FIELD : by_type ? WRAP_BY_TYPE : WRAP_BY_NOTHING;
	wrap->items = items = palloc0((cJSON_IsObject(with) ? cJSON_GetArraySize(with) + 1 : 1) * sizeof(WrapItem));
	if (wrap->by == WRAP_BY_NOTHING)
		items[wrap->nitems++].template = compile_inner(builder, with, TEMPLATE_IN_WRAP);
	for (const cJSON *child = wrap->by == WRAP_BY_NOTHING ? NULL : with->child; child != NULL; child = child->next)
	{
		if (act_document_member(with, child->string) != child)
			act_document_error(builder->document, child, NULL, "member \"%s\" given twice", child->string);
		if (child == by)
			continue;
		items[wrap->nitems].name = strcmp(child->string, "*") == 0 && by != NULL ? NULL : pstrdup(child->string);
		items[wrap->nitems++].template = compile_inner(builder, child, TEMPLATE_IN_WRAP);
	}
	return wrap;
}

static const Expression *
compile_values_path(Builder *builder, const cJSON *path)
{
	if (!cJSON_IsString(path))
		act_document_error(builder->document, path, NULL, "a path such as \"row.fields\" is expected");
	builder->at = path;
	return compile_expression(builder, path->valuestring, strlen(path->valuestring));
}

static void
compile_values(Builder *builder, const cJSON *object, const cJSON *path)
{
	Segment		segment = {.kind = SEGMENT_VALUES};

	segment.expression = compile_values_path(builder, path);
	segment.wrap = compile_wrap(builder, act_document_member(object, "wrap"));
	add_construct(builder, segment);
}

static void
compile_names(Builder *builder, const cJSON *object, const cJSON *which)
{
	Segment		segment = {.kind = SEGMENT_NAMES};

	if (!cJSON_IsString(which) || strcmp(which->valuestring, "fields") != 0)
		act_document_error(builder->document, which, NULL, "\"fields\" is expected");
	segment.wrap = compile_wrap(builder, act_document_member(object, "wrap"));
	add_construct(builder, segment);
}

static void
compile_fields(Builder *builder, const cJSON *object, const cJSON *template)
{
	Segment		segment = {.kind = SEGMENT_FIELDS};

	segment.template = compile_inner(builder, template, TEMPLATE_IN_FIELD);
	add_construct(builder, segment);
}

static void
compile_wrapped(Builder *builder, const cJSON *object, const cJSON *path)
{
	Segment		segment = {.kind = SEGMENT_WRAP};

	segment.expression = compile_values_path(builder, path);
	segment.wrap = compile_wrap(builder, act_document_need(builder->document, object, "with"));
	add_construct(builder, segment);
}

/* Text with expressions in it; within a JSON string, escaped as such. */
static void
compile_string(Builder *builder, const char *text, size_t len, bool is_json)
{
	const char *end = text + len;

	while (text < end)
	{
		const char *open = find_open(text, end);
		const char *stop = open == NULL ? end : open;
		const char *close;

		if (is_json)
			act_json_append_escaped(&builder->literal, text, stop - text);
		else if ((builder->place & TEMPLATE_IN_URL) != 0)
			act_url_append(&builder->literal, text, stop - text);
		else
			appendBinaryStringInfo(&builder->literal, text, stop - text);
		if (open == NULL)
			return;
		close = find_close(open + 2, end);
		if (close == NULL)
			act_document_error(builder->document, builder->at, NULL, "\"{{\" without \"}}\"");
		add_segment(builder, SEGMENT_TEXT, compile_expression(builder, open + 2, close - open - 2));
		text = close + 2;
	}
}

static Expression *
compile_expression(Builder *builder, const char *source, size_t len)
{
	PathContext context = {.document = builder->document,.at = builder->at,.place = builder->place};

	return act_expression_compile(&context, source, len);
}
