/*-------------------------------------------------------------------------
 *
 * connector_field.c
 *	  The fields that a document lists of an object, and the row as it is sent.
 *
 * What goes out may differ from what the mapping makes: values go through the
 * filters of their field, and an operation may go by another's name.  Both
 * happens to a copy, once for each request that the row goes in, so that what
 * is compared and kept is what the mapping made.  Needs neither database nor
 * network; results are allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "json_text.h"

#define MAX_FIELDS 10000

static const char *const field_members[] = {
	"field", "title", "type", "required", "writable", "unique", "values", "filters", "null", NULL
};

/* By what a chain of filters knows the value that it is given. */
#define VALUE_MEMBER "value"

const ObjectField *
act_object_field(const ConnectorObject *object, const char *name)
{
	for (int i = 0; i < object->nfields; i++)
	{
		if (strcmp(object->fields[i].name, name) == 0)
			return &object->fields[i];
	}
	return NULL;
}

static const char *const *
compile_values(const Document *document, const cJSON *values)
{
	const char **compiled;
	int			n = 0;

	if (values == NULL)
		return NULL;
	if (values->child == NULL)
		act_document_error(document, values, NULL, "an empty list");
	compiled = palloc0((cJSON_GetArraySize(values) + 1) * sizeof(char *));
	for (const cJSON *at = values->child; at != NULL; at = at->next)
	{
		char	   *text = act_json_scalar_text(at);

		if (text == NULL && cJSON_IsBool(at))
			text = pstrdup(cJSON_IsTrue(at) ? "true" : "false");
		if (text == NULL)
			act_document_error(document, at, NULL, "a string, number, true or false is expected");
		compiled[n++] = text;
	}
	return compiled;
}

/*
 * "email|sha256", as a template of a row that has nothing but the value: so
 * filters are what they are anywhere else, and errors name this place.  The
 * document's own text is replaced for it, since a template knows its place by
 * that.
 */
static void
compile_filters(const Document *document, const cJSON *at, ObjectField *field)
{
	const cJSON *member = act_document_member(at, "filters");
	char	   *chain = act_document_string(document, at, "filters");
	char	   *text;
	Template   *rows = NULL;

	if (chain == NULL)
		return;
	if (*chain == '\0' || strpbrk(chain, "{}") != NULL)
		act_document_error(document, member, "Such as \"trim|lower|sha256\".", "malformed filters \"%s\"", chain);
	text = psprintf("{{row.fields." VALUE_MEMBER "|%s}}", chain);
	if (cJSON_SetValuestring(unconstify(cJSON *, member), text) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	field->filters = act_template_compile_json(document, member, TEMPLATE_IN_ROW, &rows);
	if (cJSON_SetValuestring(unconstify(cJSON *, member), chain) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

void
act_object_compile_fields(const Document *document, const cJSON *at, ConnectorObject *object)
{
	const cJSON *fields = act_document_array(document, at, "fields");
	const char **names;

	if (fields == NULL)
		return;
	if (cJSON_GetArraySize(fields) > MAX_FIELDS)
		act_document_error(document, fields, NULL, "more than %d fields", MAX_FIELDS);
	object->fields = palloc0((cJSON_GetArraySize(fields) + 1) * sizeof(ObjectField));
	names = palloc0((cJSON_GetArraySize(fields) + 1) * sizeof(char *));
	for (const cJSON *item = fields->child; item != NULL; item = item->next)
	{
		ObjectField *field = &object->fields[object->nfields];

		act_document_check(document, item, field_members, NULL);
		act_document_need(document, item, "field");
		field->name = act_document_string(document, item, "field");
		if (*field->name == '\0')
			act_document_error(document, act_document_member(item, "field"), NULL, "an empty name");
		if (act_object_field(object, field->name) != NULL)
			act_document_error(document, act_document_member(item, "field"), NULL,
							   "field \"%s\" given twice", field->name);
		field->title = act_document_string(document, item, "title");
		field->type = act_field_type_compile(document, item, "type");
		field->required = act_document_bool(document, item, "required", false);
		field->writable = act_document_bool(document, item, "writable", true);
		field->unique = act_document_bool(document, item, "unique", false);
		if (field->required && !field->writable)
			act_document_error(document, item, NULL, "a field that is required and cannot be written");
		field->values = compile_values(document, act_document_array(document, item, "values"));
		compile_filters(document, item, field);
		object->nfiltered += field->filters != NULL;
		field->has_null = act_document_member(item, "null") != NULL;
		field->null_form = act_null_form_compile(document, item, NULL_FORM_NULL, &field->null_text);
		names[object->nfields++] = field->name;
	}
	object->field_names = names;
}

/* ----------------------------------------------------------------
 *		The row as it is sent
 * ----------------------------------------------------------------
 */

/* A row of this value alone, for the field's filters. */
static TemplateInput
filter_input(const ConnectorScope *scope, const Row *row, const JsonMember *member, Row *alone)
{
	memcpy(alone, row, sizeof(Row));
	alone->op = ROW_OP_UPSERT;
	alone->fields = psprintf("{\"" VALUE_MEMBER "\":%.*s}", (int) member->value_len, member->value);
	return (TemplateInput)
	{
		.scope = scope,.row = alone
	};
}

static const ObjectField *
member_field(const ConnectorObject *object, const JsonMember *member)
{
	StringInfoData name;
	const ObjectField *field;

	initStringInfo(&name);
	act_json_append_unescaped(&name, member->name, member->name_len);
	field = act_object_field(object, name.data);
	pfree(name.data);
	return field;
}

static char *
filter_fields(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	const char *next = row->fields;
	const char *end = row->fields + strlen(row->fields);
	JsonMember	member;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	while (act_json_next_member(&next, end, &member))
	{
		const ObjectField *field = member_field(connector->object, &member);
		int			before = buf.len;
		int			start;

		if (buf.len > 1)
			appendStringInfoChar(&buf, ',');
		appendBinaryStringInfo(&buf, member.name, member.name_len);
		appendStringInfoChar(&buf, ':');
		start = buf.len;
		if (field != NULL && field->filters != NULL)
		{
			Row			alone;
			TemplateInput input = filter_input(scope, row, &member, &alone);

			act_template_render_json(field->filters, &input, &buf);
			if (buf.len == start)	/* the filters took it away */
			{
				buf.len = before;
				buf.data[before] = '\0';
			}
		}
		else
			appendBinaryStringInfo(&buf, member.value, member.value_len);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static bool
is_match(const ConnectorScope *scope, const char *name)
{
	for (int i = 0; i < scope->nmatch; i++)
	{
		if (strcmp(scope->match_names[i], name) == 0)
			return true;
	}
	return false;
}

char *
act_connector_filter_problem(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	const char *next = row->fields;
	const char *end;
	JsonMember	member;

	if (connector->object == NULL || connector->object->nfiltered == 0 || row->fields == NULL)
		return NULL;
	end = row->fields + strlen(row->fields);
	while (act_json_next_member(&next, end, &member))
	{
		const ObjectField *field = member_field(connector->object, &member);
		Row			alone;
		TemplateInput input;
		StringInfoData out;

		if (field == NULL || field->filters == NULL ||
			(member.value_len == 4 && memcmp(member.value, "null", 4) == 0))
			continue;
		input = filter_input(scope, row, &member, &alone);
		initStringInfo(&out);
		if (act_template_try_json(field->filters, &input, &out) != TEMPLATE_DONE)
			return psprintf("field \"%s\" has a value that %s cannot make anything of", field->name, connector->name);
		if (strcmp(out.data, "null") == 0 && is_match(scope, field->name))
			return psprintf("field \"%s\", which the row is found by, has a value that stands for none", field->name);
	}
	return NULL;
}

/* Neither null nor the empty text. */
static bool
has_value(const Row *row, const char *name)
{
	const char *value;
	size_t		len;

	return act_json_find_member(row->fields, strlen(row->fields), name, &value, &len) &&
		!(len == 4 && memcmp(value, "null", 4) == 0) && !(len == 2 && memcmp(value, "\"\"", 2) == 0);
}

char *
act_connector_any_of_problem(const Connector *connector, const Row *row)
{
	const char *const *any_of = connector->object == NULL ? NULL : connector->object->any_of;
	RowOp		op = act_row_op_sent(row->op);
	StringInfoData names;

	if (any_of == NULL || row->fields == NULL || (op != ROW_OP_INSERT && op != ROW_OP_UPSERT && op != ROW_OP_ADD))
		return NULL;
	initStringInfo(&names);
	for (const char *const *name = any_of; *name != NULL; name++)
	{
		if (has_value(row, *name))
			return NULL;
		appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", *name);
	}
	return psprintf("none of the fields %s has a value, and %s needs one", names.data, connector->name);
}

Row *
act_connector_sent_row(const Connector *connector, const ConnectorScope *scope, Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);
	bool		renamed = operation != NULL && operation->public.op != act_row_op_sent(row->op);
	bool		filtered = connector->object != NULL && connector->object->nfiltered > 0 && row->fields != NULL;
	Row		   *sent;

	if (!renamed && !filtered)
		return row;
	sent = memcpy(palloc(sizeof(Row)), row, sizeof(Row));
	if (renamed)
		sent->op = operation->public.op;
	if (filtered)
		sent->fields = filter_fields(connector, scope, row);
	return sent;
}

Row **
act_connector_sent_rows(const Connector *connector, const ConnectorScope *scope, Row **rows, int nrows)
{
	Row		  **sent = rows;

	for (int i = 0; i < nrows; i++)
	{
		Row		   *row = act_connector_sent_row(connector, scope, rows[i]);

		if (row != rows[i] && sent == rows)
		{
			sent = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Row *) * nrows);
			memcpy(sent, rows, sizeof(Row *) * nrows);
		}
		sent[i] = row;
	}
	return sent;
}

/* ----------------------------------------------------------------
 *		What rows of a request share, or must not
 * ----------------------------------------------------------------
 */

char *
act_connector_batch_by(const Connector *connector, const Row *row)
{
	const Operation *operation = act_flow_operation(connector, row);
	const char *value;
	size_t		len;

	if (operation == NULL || operation->public.by == NULL || row->fields == NULL ||
		!act_json_find_member(row->fields, strlen(row->fields), operation->public.by, &value, &len))
		return NULL;
	return pnstrdup(value, len);
}

char *
act_connector_match_text(const Connector *connector, const ConnectorScope *scope, const Row *row)
{
	Identity	identity = {.kind = IDENTITY_MATCH,.compare = connector->match_compare};

	return act_identity_of_row(&identity, scope, row);
}
