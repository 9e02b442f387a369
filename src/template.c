/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Compiling templates.
 *
 * Called once per run for each template of a connector's document; what is
 * wrong is found here, with its JSON pointer, and not at the first row.
 * Results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_text.h"
#include "template_private.h"

typedef struct PathName
{
	const char *name;			/* ending in a dot: a name of the user's follows */
	PathKind	kind;
	int			place;			/* where it may be named; 0: everywhere */
} PathName;

static const PathName path_names[] = {
	{"sync.name", PATH_SYNC_NAME, 0},
	{"sync.object", PATH_SYNC_OBJECT, 0},
	{"sync.match", PATH_SYNC_MATCH, 0},
	{"run.id", PATH_RUN_ID, 0},
	{"batch.digest", PATH_BATCH_DIGEST, 0},
	{"batch.size", PATH_BATCH_SIZE, 0},
	{"row.op", PATH_ROW_OP, TEMPLATE_IN_ROW},
	{"row.key", PATH_ROW_KEY, TEMPLATE_IN_ROW},
	{"row.key.", PATH_ROW_KEY_COLUMN, TEMPLATE_IN_ROW},
	{"row.fields", PATH_ROW_FIELDS, TEMPLATE_IN_ROW},
	{"row.fields.", PATH_ROW_FIELD, TEMPLATE_IN_ROW},
	{"row.match", PATH_ROW_MATCH, TEMPLATE_IN_ROW},
	{"row.external_id", PATH_ROW_EXTERNAL_ID, TEMPLATE_IN_ROW},
	{"row.change_id", PATH_ROW_CHANGE_ID, TEMPLATE_IN_ROW},
	{"saved.", PATH_SAVED, 0},
	{"option.", PATH_OPTION, 0},
	{"token.", PATH_TOKEN, 0},
	{"secret.", PATH_SECRET, TEMPLATE_IN_AUTH},
	{"message.id", PATH_MESSAGE_ID, TEMPLATE_IN_AUTH},
	{"message.time", PATH_MESSAGE_TIME, TEMPLATE_IN_AUTH},
	{"message.body", PATH_MESSAGE_BODY, TEMPLATE_IN_AUTH},
	{"message.signature", PATH_MESSAGE_SIGNATURE, TEMPLATE_IN_AUTH},
};

static const char *const later_paths[] = {
	"row.ref", "rows.", "now", NULL
};

typedef struct Builder
{
	const Document *document;
	const cJSON *at;			/* what is compiled, for messages */
	int			place;
	bool		within_rows;
	Template   *rows;			/* of the $rows met */
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

static Builder builder_start(const Document *document, const cJSON *at, int place);
static Template *builder_finish(Builder *builder);
static void compile_value(Builder *builder, const cJSON *value);
static void compile_object(Builder *builder, const cJSON *object);
static void compile_array(Builder *builder, const cJSON *array);
static void compile_string(Builder *builder, const char *text, size_t len, bool is_json);
static void compile_rows(Builder *builder, const cJSON *rows, const cJSON *template);
static Expression *compile_expression(Builder *builder, const char *source, size_t len);

Template *
act_template_compile_json(const Document *document, const cJSON *at, int place, Template **rows)
{
	Builder		builder = builder_start(document, at, place);

	compile_value(&builder, at);
	*rows = builder.rows;
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
	return template->nsegments == 1 && template->segments[0].kind == SEGMENT_TEXT;
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

		if (expression != NULL && expression->path == PATH_SECRET &&
			strcmp(expression->name, secret) == 0)
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
push_segment(Builder *builder, SegmentKind kind, const char *bytes, int len,
			 const Expression *expression)
{
	if (builder->nsegments == builder->capacity)
	{
		builder->capacity *= 2;
		builder->segments = repalloc(builder->segments, builder->capacity * sizeof(Segment));
	}
	builder->segments[builder->nsegments++] = (Segment)
	{
		.kind = kind,.bytes = bytes,.len = len,.expression = expression
	};
}

static void
flush_literal(Builder *builder)
{
	if (builder->literal.len == 0)
		return;
	push_segment(builder, SEGMENT_LITERAL, pnstrdup(builder->literal.data, builder->literal.len),
				 builder->literal.len, NULL);
	resetStringInfo(&builder->literal);
}

static void
add_segment(Builder *builder, SegmentKind kind, const Expression *expression)
{
	flush_literal(builder);
	push_segment(builder, kind, NULL, 0, expression);
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

/* May the member or element with this value be missing? */
static bool
may_be_missing(const cJSON *value)
{
	return cJSON_IsString(value) && is_one_expression(value->valuestring, strlen(value->valuestring));
}

static void
compile_value(Builder *builder, const cJSON *value)
{
	const cJSON *outer = builder->at;

	builder->at = value;
	if (cJSON_IsObject(value))
	{
		const cJSON *rows = act_document_member(value, "$rows");

		if (rows != NULL)
			compile_rows(builder, value, rows);
		else
			compile_object(builder, value);
	}
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
		if (member->string[0] == '$')
			act_document_error(builder->document, member, "Known here: $rows, $spread.",
							   "unknown member \"%s\"", member->string);
		compile_separator(builder, before, optional);
		appendStringInfoChar(&builder->literal, '"');
		compile_string(builder, member->string, strlen(member->string), true);
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

static void
compile_rows(Builder *builder, const cJSON *object, const cJSON *template)
{
	Builder		row = builder_start(builder->document, template, builder->place | TEMPLATE_IN_ROW);

	if (object->child->next != NULL)
		act_document_error(builder->document, object, NULL, "\"$rows\" has other members beside it");
	if (builder->within_rows || builder->rows != NULL)
		act_document_error(builder->document, template, NULL, "a second \"$rows\"");
	row.within_rows = true;
	compile_value(&row, template);
	builder->rows = builder_finish(&row);
	appendStringInfoChar(&builder->literal, '[');
	add_segment(builder, SEGMENT_ROWS, NULL);
	appendStringInfoChar(&builder->literal, ']');
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

static char *
trimmed_copy(const char *text, size_t len)
{
	while (len > 0 && *text == ' ')
	{
		text++;
		len--;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	return pnstrdup(text, len);
}

static void
compile_filter(Builder *builder, Expression *expression, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	char	   *name = trimmed_copy(text, colon == NULL ? len : colon - text);
	const Filter *filter = act_filter_find(name);
	FilterCall *call = &expression->filters[expression->nfilters++];

	if (filter == NULL)
		act_document_unknown(builder->document, builder->at, "filter", name, act_filter_names());
	if (filter->takes_argument != (colon != NULL && colon + 1 < text + len))
		act_document_error(builder->document, builder->at, NULL,
						   filter->takes_argument ? "filter \"%s\" without its argument"
						   : "an argument to filter \"%s\", which takes none", name);
	call->filter = filter;
	if (colon != NULL)
		call->argument = pnstrdup(colon + 1, text + len - colon - 1);
	expression->makes_bytes |= filter->makes_bytes;
}

static const char *const *
known_paths(void)
{
	const char **names = palloc((lengthof(path_names) + 1) * sizeof(char *));

	for (int i = 0; i < lengthof(path_names); i++)
		names[i] = path_names[i].name;
	names[lengthof(path_names)] = NULL;
	return names;
}

static bool
path_matches(const char *name, const char *path)
{
	size_t		len = strlen(name);

	if (name[len - 1] == '.')
		return strncmp(name, path, len) == 0 && path[len] != '\0';
	return strcmp(name, path) == 0;
}

static void
check_secret(Builder *builder, const char *name)
{
	for (const char *const *secret = builder->document->secrets; secret != NULL && *secret != NULL; secret++)
	{
		if (strcmp(*secret, name) == 0)
			return;
	}
	act_document_error(builder->document, builder->at, "Declare it in \"secrets\".",
					   "undeclared secret \"%s\"", name);
}

/* The default of an option that the document declares. */
static const char *
option_default(Builder *builder, const char *name)
{
	for (const ConnectorOption *option = builder->document->options; option != NULL && option->name != NULL; option++)
	{
		if (strcmp(option->name, name) == 0)
			return option->default_value;
	}
	act_document_error(builder->document, builder->at, "Declare it in \"options\".",
					   "undeclared option \"%s\"", name);
}

/* a.b.c as a NULL-ended list */
static char **
split_fields(const char *path)
{
	char	   *copy = pstrdup(path);
	int			n = 1;
	char	  **fields;

	for (const char *c = path; *c != '\0'; c++)
		n += *c == '.';
	fields = palloc0((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		fields[i] = copy;
		copy += strcspn(copy, ".");
		if (*copy == '.')
			*copy++ = '\0';
	}
	return fields;
}

static void
compile_path(Builder *builder, Expression *expression, const char *path)
{
	const PathName *known = NULL;

	for (int i = 0; i < lengthof(path_names) && known == NULL; i++)
	{
		if (path_matches(path_names[i].name, path))
			known = &path_names[i];
	}
	for (int i = 0; known == NULL && later_paths[i] != NULL; i++)
	{
		if (path_matches(later_paths[i], path))
			act_document_unsupported(builder->document, builder->at, "{{%s}}", path);
	}
	if (known == NULL)
		act_document_unknown(builder->document, builder->at, "name", path, known_paths());
	if (known->place == TEMPLATE_IN_ROW && (builder->place & TEMPLATE_IN_ROW) == 0)
		act_document_error(builder->document, builder->at,
						   "Name the row inside \"$rows\", or let \"max_rows\" be 1.",
						   "{{%s}} outside \"$rows\", in a request of several rows,", path);
	if (known->place == TEMPLATE_IN_AUTH && (builder->place & TEMPLATE_IN_AUTH) == 0)
		act_document_error(builder->document, builder->at, NULL, "{{%s}} outside \"auth\"", path);
	expression->path = known->kind;
	expression->name = pstrdup(path + strlen(known->name));
	if (known->kind == PATH_OPTION)
		expression->fallback = option_default(builder, expression->name);
	if (known->kind == PATH_SECRET)
		check_secret(builder, expression->name);
	if (known->kind == PATH_ROW_FIELD)
		expression->fields = split_fields(expression->name);
}

/* path|filter|filter:argument */
static Expression *
compile_expression(Builder *builder, const char *source, size_t len)
{
	Expression *expression = palloc0(sizeof(Expression));
	const char *end = source + len;
	const char *bar = memchr(source, '|', len);
	int			most = 1;		/* the one that a URL asks for */
	const char *path = trimmed_copy(source, (bar == NULL ? end : bar) - source);

	for (const char *c = source; c < end; c++)
		most += *c == '|';
	expression->source = pnstrdup(source, len);
	expression->filters = palloc0(most * sizeof(FilterCall));
	compile_path(builder, expression, path);
	while (bar != NULL)
	{
		const char *start = bar + 1;

		bar = memchr(start, '|', end - start);
		compile_filter(builder, expression, start, (bar == NULL ? end : bar) - start);
	}

	/* nothing gets into a URL unescaped, whether or not the author thought of it */
	if ((builder->place & TEMPLATE_IN_URL) != 0 &&
		(expression->nfilters == 0 ||
		 strcmp(expression->filters[expression->nfilters - 1].filter->name, "url") != 0))
		expression->filters[expression->nfilters++].filter = act_filter_find("url");
	return expression;
}
