/*-------------------------------------------------------------------------
 *
 * template_path.c
 *	  Compiling what stands in {{}}: a path, and filters behind it.
 *
 * Called while a template is compiled; what is wrong is found here, with its
 * JSON pointer, and not at the first row.  Results are allocated in the
 * current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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
	{"sync.file", PATH_SYNC_FILE, 0},
	{"sync.match", PATH_SYNC_MATCH, 0},
	{"object.", PATH_OBJECT, 0},
	{"run.id", PATH_RUN_ID, 0},
	{"run.started_at", PATH_RUN_STARTED_AT, 0},
	{"now", PATH_NOW, 0},
	{"batch.digest", PATH_BATCH_DIGEST, 0},
	{"batch.size", PATH_BATCH_SIZE, 0},
	{"batch.by", PATH_BATCH_BY, 0},
	{"batch.fields", PATH_BATCH_FIELDS, 0},
	{"row.op", PATH_ROW_OP, TEMPLATE_IN_ROW},
	{"row.key", PATH_ROW_KEY, TEMPLATE_IN_ROW},
	{"row.key.", PATH_ROW_KEY_COLUMN, TEMPLATE_IN_ROW},
	{"row.fields", PATH_ROW_FIELDS, TEMPLATE_IN_ROW},
	{"row.fields.", PATH_ROW_FIELD, TEMPLATE_IN_ROW},
	{"row.rest", PATH_ROW_REST, TEMPLATE_IN_ROW},
	{"row.listed", PATH_ROW_LISTED, TEMPLATE_IN_ROW},
	{"row.unlisted", PATH_ROW_UNLISTED, TEMPLATE_IN_ROW},
	{"row.match", PATH_ROW_MATCH, TEMPLATE_IN_ROW},
	{"row.match.", PATH_ROW_MATCH_FIELD, TEMPLATE_IN_ROW},
	{"row.matched", PATH_ROW_MATCHED, TEMPLATE_IN_ROW},
	{"row.external_id", PATH_ROW_EXTERNAL_ID, TEMPLATE_IN_ROW},
	{"row.remembered.", PATH_ROW_REMEMBERED, TEMPLATE_IN_ROW},
	{"row.found.", PATH_ROW_FOUND, TEMPLATE_IN_ROW},
	{"row.change_id", PATH_ROW_CHANGE_ID, TEMPLATE_IN_ROW},
	{"row.ref", PATH_ROW_REF, TEMPLATE_IN_ROW},
	{"option.", PATH_OPTION, 0},
	{"token.", PATH_TOKEN, 0},
	{"saved.", PATH_SAVED, 0},
	{"field.name", PATH_FIELD_NAME, TEMPLATE_IN_FIELD},
	{"field.type", PATH_FIELD_TYPE, TEMPLATE_IN_FIELD},
	{"field.is_match", PATH_FIELD_IS_MATCH, TEMPLATE_IN_FIELD},
	{"field.document", PATH_FIELD_DOCUMENT, TEMPLATE_IN_FIELD},
	{"value", PATH_VALUE, TEMPLATE_IN_WRAP},
	{"secret.", PATH_SECRET, TEMPLATE_IN_AUTH},
	{"message.id", PATH_MESSAGE_ID, TEMPLATE_IN_AUTH},
	{"message.time", PATH_MESSAGE_TIME, TEMPLATE_IN_AUTH},
	{"message.body", PATH_MESSAGE_BODY, TEMPLATE_IN_AUTH},
	{"message.signature", PATH_MESSAGE_SIGNATURE, TEMPLATE_IN_AUTH},
};

/* Begins what is said of all rows: rows.external_id is of each row's row.external_id. */
static const char all_rows[] = "rows.";

static const char *const *
known_paths(void)
{
	const char **names = palloc((lengthof(path_names) + 1) * sizeof(char *));

	for (int i = 0; i < lengthof(path_names); i++)
		names[i] = path_names[i].name;
	names[lengthof(path_names)] = NULL;
	return names;
}

static const PathName *
find_path(const char *path)
{
	for (int i = 0; i < lengthof(path_names); i++)
	{
		const char *name = path_names[i].name;
		size_t		len = strlen(name);

		if (name[len - 1] == '.' ? strncmp(name, path, len) == 0 && path[len] != '\0' : strcmp(name, path) == 0)
			return &path_names[i];
	}
	return NULL;
}

static void
check_secret(const PathContext *context, const char *name)
{
	for (const char *const *secret = context->document->secrets; secret != NULL && *secret != NULL; secret++)
	{
		if (strcmp(*secret, name) == 0)
			return;
	}
	act_document_error(context->document, context->at, "Declare it in \"secrets\".",
					   "undeclared secret \"%s\"", name);
}

/* An option that the document declares. */
static const ConnectorOption *
declared_option(const PathContext *context, const char *name)
{
	for (const ConnectorOption *option = context->document->options;
		 option != NULL && option->name != NULL; option++)
	{
		if (strcmp(option->name, name) == 0)
			return option;
	}
	act_document_error(context->document, context->at, "Declare it in \"options\".",
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

/* The path may stand somewhere, but not here. */
static void
check_place(const PathContext *context, const PathName *known, bool each, const char *path)
{
	int			needed = each ? TEMPLATE_IN_BATCH : known->place;

	if (needed == 0 || (context->place & needed) != 0)
		return;
	switch (needed)
	{
		case TEMPLATE_IN_ROW:
			act_document_error(context->document, context->at,
							   "Name the row inside \"$rows\", or let \"max_rows\" be 1.",
							   "{{%s}} outside \"$rows\", in a request of several rows,", path);
		case TEMPLATE_IN_BATCH:
			act_document_error(context->document, context->at, NULL, "{{%s}} where there are no rows", path);
		case TEMPLATE_IN_FIELD:
			act_document_error(context->document, context->at, NULL, "{{%s}} outside \"$fields\"", path);
		case TEMPLATE_IN_WRAP:
			act_document_error(context->document, context->at, NULL, "{{%s}} outside \"wrap\" and \"with\"", path);
		default:
			act_document_error(context->document, context->at, NULL, "{{%s}} outside \"auth\"", path);
	}
}

static void
compile_path(const PathContext *context, Expression *expression, const char *path)
{
	const char *of_row = path;
	const PathName *known;

	expression->each = strncmp(path, all_rows, sizeof(all_rows) - 1) == 0;
	if (expression->each)
		of_row = psprintf("row.%s", path + sizeof(all_rows) - 1);
	known = find_path(of_row);
	if (known == NULL)
		act_document_unknown(context->document, context->at, "name", path, known_paths());
	check_place(context, known, expression->each, path);
	expression->path = known->kind;
	expression->name = pstrdup(of_row + strlen(known->name));
	if (known->kind == PATH_OPTION)
		expression->option = declared_option(context, expression->name);
	if (known->kind == PATH_SECRET)
		check_secret(context, expression->name);
	if (known->kind == PATH_ROW_FIELD)
		expression->fields = split_fields(expression->name);
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
check_argument(const PathContext *context, const Filter *filter, const char *argument)
{
	bool		fits = argument != NULL;

	switch (filter->takes_argument)
	{
		case FILTER_ALONE:
			if (argument != NULL)
				act_document_error(context->document, context->at, NULL,
								   "an argument to filter \"%s\", which takes none", filter->name);
			return;
		case FILTER_ANY_TEXT:
			break;
		case FILTER_TEXT:
			fits = fits && *argument != '\0';
			break;
		case FILTER_SECRET:
			if ((context->place & TEMPLATE_IN_AUTH) == 0)
				act_document_error(context->document, context->at, NULL, "filter \"%s\" outside \"auth\"", filter->name);
			if (fits)
				check_secret(context, argument);
			break;
		case FILTER_SAVED:
			fits = fits && strncmp(argument, "saved.", 6) == 0 && argument[6] != '\0';
			break;
	}
	if (!fits)
		act_document_error(context->document, context->at,
						   psprintf("As in {{...|%s:%s}}.", filter->name, filter->takes_argument == FILTER_SAVED ? "saved.x" : "x"),
						   "filter \"%s\" without its argument", filter->name);
}

static void
compile_filter(const PathContext *context, Expression *expression, const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	char	   *name = trimmed_copy(text, colon == NULL ? len : colon - text);
	const Filter *filter = act_filter_find(name);
	FilterCall *call = &expression->filters[expression->nfilters++];

	if (filter == NULL)
		act_document_unknown(context->document, context->at, "filter", name, act_filter_names());
	call->filter = filter;
	call->argument = colon == NULL ? NULL : pnstrdup(colon + 1, text + len - colon - 1);
	check_argument(context, filter, call->argument);
}

/* Where what stands beside a filter makes another of it. */
static void
settle_filters(Expression *expression)
{
	bool		of_people = false;

	for (int i = 0; i < expression->nfilters; i++)
	{
		FilterCall *call = &expression->filters[i];

		if (of_people && call->filter->once != NULL)
			call->filter = call->filter->once;
		if (i + 1 < expression->nfilters && expression->filters[i + 1].filter->encodes && call->filter->raw != NULL)
			call->filter = call->filter->raw;
		of_people = of_people || call->filter->of_people;
		expression->makes_bytes |= call->filter->makes_bytes;
		expression->may_fail |= call->filter->may_fail;
	}
}

/* What precedes the first "join" is done to each row's value, the rest to all of them. */
static void
settle_each(const PathContext *context, Expression *expression, const char *path)
{
	while (expression->neach < expression->nfilters &&
		   strcmp(expression->filters[expression->neach].filter->name, "join") != 0)
		expression->neach++;
	if (expression->neach == expression->nfilters)
		act_document_error(context->document, context->at,
						   "As in {{rows.external_id|join:,}}; an array of them is {\"$rows\": \"{{row...}}\"}.",
						   "{{%s}} without filter \"join\"", path);
}

/* path|filter|filter:argument */
Expression *
act_expression_compile(const PathContext *context, const char *source, size_t len)
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
	compile_path(context, expression, path);
	while (bar != NULL)
	{
		const char *start = bar + 1;

		bar = memchr(start, '|', end - start);
		compile_filter(context, expression, start, (bar == NULL ? end : bar) - start);
	}
	if (expression->each)
		settle_each(context, expression, path);

	/* nothing gets into a URL unescaped, whether or not the author thought of it */
	if ((context->place & TEMPLATE_IN_URL) != 0 &&
		(expression->nfilters == 0 || !expression->filters[expression->nfilters - 1].filter->escapes))
		expression->filters[expression->nfilters++].filter = act_filter_find("url");
	settle_filters(expression);
	return expression;
}

const FilterChain *
act_filter_chain_compile(const Document *document, const cJSON *at, const char *text)
{
	PathContext context = {.document = document,.at = at,.place = TEMPLATE_IN_WRAP};
	char	   *source = psprintf("value|%s", text);

	return act_expression_compile(&context, source, strlen(source));
}
