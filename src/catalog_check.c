/*-------------------------------------------------------------------------
 *
 * catalog_check.c
 *	  Whether a sync and what is known of its object agree.
 *
 * For create_sync(), alter_sync() and check_sync(): what a destination would
 * say row by row, or would quietly leave out, is said when the sync is
 * defined.  What nobody asked the destination for is not known, and then
 * nothing is said.  Inside a transaction with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog.h"
#include "connector.h"
#include "identity.h"
#include "mapping.h"

/* What PostgreSQL's types are, in the words of documents. */
typedef enum ValueClass
{
	CLASS_TEXT,
	CLASS_INTEGER,
	CLASS_NUMBER,
	CLASS_BOOLEAN,
	CLASS_DATE,
	CLASS_TIMESTAMP,
	CLASS_ARRAY,
	CLASS_OBJECT,
	CLASS_JSON
} ValueClass;

static ValueClass
class_of(Oid type)
{
	Oid			base = getBaseType(type);

	if (OidIsValid(get_element_type(base)))
		return CLASS_ARRAY;
	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return CLASS_INTEGER;
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return CLASS_NUMBER;
		case BOOLOID:
			return CLASS_BOOLEAN;
		case DATEOID:
			return CLASS_DATE;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return CLASS_TIMESTAMP;
		case JSONOID:
		case JSONBOID:
			return CLASS_JSON;
		default:
			return get_typtype(base) == TYPTYPE_COMPOSITE ? CLASS_OBJECT : CLASS_TEXT;
	}
}

/* A row: what a field of this type cannot take without losing something; casts that mend it. */
static const struct
{
	const char *field_type;
	ValueClass	value;
	const char *problem;
	const char *cast;			/* what follows the expression; NULL: nothing mends it */
}			misfits[] =
{
	{"text", CLASS_OBJECT, "an object is no text", "::text"},
	{"text", CLASS_JSON, "JSON may be no text", "::text"},
	{"integer", CLASS_NUMBER, "it may have a fraction", "::bigint"},
	{"integer", CLASS_TEXT, "text may be no whole number", "::bigint"},
	{"integer", CLASS_BOOLEAN, "a boolean is no number", "::int"},
	{"integer", CLASS_DATE, "a date is no number", NULL},
	{"integer", CLASS_TIMESTAMP, "a time is no number", NULL},
	{"integer", CLASS_ARRAY, "an array is no number", NULL},
	{"integer", CLASS_OBJECT, "an object is no number", NULL},
	{"number", CLASS_TEXT, "text may be no number", "::numeric"},
	{"number", CLASS_BOOLEAN, "a boolean is no number", "::int"},
	{"number", CLASS_DATE, "a date is no number", NULL},
	{"number", CLASS_TIMESTAMP, "a time is no number", NULL},
	{"number", CLASS_ARRAY, "an array is no number", NULL},
	{"number", CLASS_OBJECT, "an object is no number", NULL},
	{"boolean", CLASS_TEXT, "of texts it takes true and false only", "::boolean"},
	{"boolean", CLASS_INTEGER, "a number is no boolean", "::int::boolean"},
	{"boolean", CLASS_NUMBER, "a number is no boolean", NULL},
	{"boolean", CLASS_DATE, "a date is no boolean", NULL},
	{"boolean", CLASS_TIMESTAMP, "a time is no boolean", NULL},
	{"boolean", CLASS_ARRAY, "an array is no boolean", NULL},
	{"boolean", CLASS_OBJECT, "an object is no boolean", NULL},
	{"date", CLASS_TIMESTAMP, "a time that is not midnight UTC is no date", "::date"},
	{"date", CLASS_TEXT, "text may be no date", "::date"},
	{"date", CLASS_INTEGER, "a number is no date", NULL},
	{"date", CLASS_NUMBER, "a number is no date", NULL},
	{"date", CLASS_BOOLEAN, "a boolean is no date", NULL},
	{"date", CLASS_ARRAY, "an array is no date", NULL},
	{"date", CLASS_OBJECT, "an object is no date", NULL},
	{"timestamp", CLASS_TEXT, "text may be no time", "::timestamptz"},
	{"timestamp", CLASS_INTEGER, "a number is no time", NULL},
	{"timestamp", CLASS_NUMBER, "a number is no time", NULL},
	{"timestamp", CLASS_BOOLEAN, "a boolean is no time", NULL},
	{"timestamp", CLASS_ARRAY, "an array is no time", NULL},
	{"timestamp", CLASS_OBJECT, "an object is no time", NULL},
	{"array", CLASS_TEXT, "text is no array", NULL},
	{"array", CLASS_INTEGER, "a number is no array", NULL},
	{"array", CLASS_NUMBER, "a number is no array", NULL},
	{"array", CLASS_BOOLEAN, "a boolean is no array", NULL},
	{"array", CLASS_DATE, "a date is no array", NULL},
	{"array", CLASS_TIMESTAMP, "a time is no array", NULL},
	{"array", CLASS_OBJECT, "an object is no array", NULL},
	{"object", CLASS_TEXT, "text is no object", "::jsonb"},
	{"object", CLASS_INTEGER, "a number is no object", NULL},
	{"object", CLASS_NUMBER, "a number is no object", NULL},
	{"object", CLASS_BOOLEAN, "a boolean is no object", NULL},
	{"object", CLASS_DATE, "a date is no object", NULL},
	{"object", CLASS_TIMESTAMP, "a time is no object", NULL},
	{"object", CLASS_ARRAY, "an array is no object", NULL},
};

const char *
act_catalog_type_problem(const char *field_type, Oid type, const char **cast)
{
	ValueClass	value = class_of(type);

	*cast = NULL;
	for (int i = 0; field_type != NULL && i < lengthof(misfits); i++)
	{
		if (misfits[i].value == value && strcmp(misfits[i].field_type, field_type) == 0)
		{
			*cast = misfits[i].cast;
			return misfits[i].problem;
		}
	}
	return NULL;
}

const char *
act_catalog_article(const char *field_type)
{
	return strchr("aio", field_type[0]) != NULL ? "an" : "a";
}

/* ----------------------------------------------------------------
 *		One thing after the other
 * ----------------------------------------------------------------
 */

typedef struct CatalogCheck
{
	const Sync *sync;
	const Model *model;
	const Catalog *catalog;
	const Connector *connector; /* of the sync's object */
	const List *match_fields;
	List	   *problems;
} CatalogCheck;

static void
add(CatalogCheck *check, bool is_error, const char *field, char *problem, char *hint)
{
	CatalogProblem *found = palloc0(sizeof(CatalogProblem));

	found->is_error = is_error;
	found->field = field;
	found->problem = problem;
	found->hint = hint;
	check->problems = lappend(check->problems, found);
}

/* contacts of crm */
static const char *
place(const CatalogCheck *check)
{
	return check->catalog->object[0] == '\0' ? check->catalog->destination :
		psprintf("%s of %s", check->catalog->object, check->catalog->destination);
}

static bool
is_match(const Sync *sync, const char *name)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], name) == 0)
			return true;
	}
	return false;
}

static void
check_unknown(CatalogCheck *check, const char *name)
{
	const char *nearest = act_catalog_nearest(check->catalog, name, true);

	if (!check->catalog->complete)
		return;
	add(check, true, name,
		nearest != NULL ?
		psprintf("%s has no writable field \"%s\"; nearest: %s", place(check), name, nearest) :
		psprintf("%s has no field \"%s\"", place(check), name),
		nearest != NULL ? psprintf("mapping => '... AS %s'", quote_identifier(nearest)) :
		psprintf("SELECT field, title FROM activate.fields(%s, %s) WHERE writable;",
				 quote_literal_cstr(check->catalog->destination), quote_literal_cstr(check->catalog->object)));
}

static void
check_type(CatalogCheck *check, const CatalogField *field, int leaf)
{
	const char *cast;
	const char *problem = act_catalog_type_problem(field->type, check->model->leaf_types[leaf], &cast);

	if (problem == NULL)
		return;
	add(check, false, field->name,
		psprintf("field \"%s\" on %s is %s %s and what is mapped to it is of type %s: %s", field->name, place(check),
				 act_catalog_article(field->type), field->type, check->model->leaf_type_names[leaf], problem),
		cast == NULL ? NULL :
		psprintf("mapping => '(...)%s AS %s'", cast, quote_identifier(field->name)));
}

/* What 'text' stands for where that is the whole of an expression, else NULL. */
static char *
literal_text(const char *expression)
{
	StringInfoData text;
	const char *next = expression + strspn(expression, " \t\r\n");

	if (*next++ != '\'')
		return NULL;
	initStringInfo(&text);
	for (; *next != '\0'; next++)
	{
		if (*next == '\'' && *++next != '\'')
			return next[strspn(next, " \t\r\n")] == '\0' ? text.data : NULL;
		appendStringInfoCharMacro(&text, *next);
	}
	return NULL;
}

/* What every row has in a field: a constant of JSON, or a text in SQL.  NULL: it is not known, or null. */
static const char *
constant_text(const Mapping *mapping, int index)
{
	const MappingNode *node = mapping->root->children[index];
	int			leaf = act_mapping_field_leaf(mapping, index);

	if (leaf >= 0)
		return literal_text(mapping->leaves[leaf].expression);
	return node->kind == NODE_CONSTANT && strcmp(node->constant, "null") != 0 ? node->constant : NULL;
}

/* One of the values, or several as fields of several are written: a;b.  No text at all empties a field. */
static bool
is_among(const char *text, const List *values)
{
	ListCell   *cell;

	foreach(cell, values)
	{
		if (strcmp(text, lfirst(cell)) == 0)
			return true;
	}
	while (*text != '\0')
	{
		size_t		len = strcspn(text, ";");
		bool		found = false;

		CHECK_FOR_INTERRUPTS();
		foreach(cell, values)
		{
			const char *value = lfirst(cell);

			found = found || (strlen(value) == len && strncmp(text, value, len) == 0);
		}
		if (!found)
			return false;
		text += text[len] == ';' ? len + 1 : len;
	}
	return true;
}

/* A constant that is none of the values that there are. */
static void
check_constant(CatalogCheck *check, const CatalogField *field, int index)
{
	const char *text = constant_text(check->model->mapping, index);
	StringInfoData list;
	ListCell   *cell;

	if (text == NULL || field->values == NIL || is_among(text, field->values))
		return;
	initStringInfo(&list);
	foreach(cell, field->values)
	{
		if (list_length(field->values) <= 20)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (char *) lfirst(cell));
	}
	add(check, true, field->name,
		psprintf("field \"%s\" on %s does not take \"%s\"", field->name, place(check), text),
		list.len > 0 ? psprintf("It takes: %s.", list.data) : NULL);
}

static void
check_field(CatalogCheck *check, int index)
{
	const Mapping *mapping = check->model->mapping;
	const char *name = act_mapping_field_name(mapping, index);
	const CatalogField *field = act_catalog_field(check->catalog, name);
	int			leaf = act_mapping_field_leaf(mapping, index);

	if (field == NULL)
	{
		check_unknown(check, name);
		return;
	}
	/* A record can be found by what nobody can set. */
	if (!field->writable && !is_match(check->sync, name))
		add(check, true, name, psprintf("field \"%s\" on %s is read-only", name, place(check)),
			pstrdup("Leave it out of the mapping."));
	if (leaf >= 0)
		check_type(check, field, leaf);
	check_constant(check, field, index);
}

static void
check_required(CatalogCheck *check)
{
	ListCell   *cell;

	if (check->sync->mode == MODE_UPDATE)
		return;
	foreach(cell, check->catalog->fields)
	{
		const CatalogField *field = lfirst(cell);
		bool		mapped = !field->required || !field->writable;

		for (int i = 0; i < act_mapping_nfields(check->model->mapping) && !mapped; i++)
			mapped = strcmp(act_mapping_field_name(check->model->mapping, i), field->name) == 0;
		if (!mapped)
			add(check, true, field->name,
				psprintf("a new record on %s must have field \"%s\", which is not mapped", place(check), field->name),
				psprintf("mapping => '... AS %s'%s", quote_identifier(field->name),
						 act_connector_operation(check->connector, ROW_OP_UPDATE) != NULL ?
						 ", or mode => 'update', which makes no records" : ""));
	}
}

static void
check_match(CatalogCheck *check)
{
	const Sync *sync = check->sync;
	const CatalogField *field = sync->nmatch == 1 ? act_catalog_field(check->catalog, sync->match[0]) : NULL;
	StringInfoData list;
	ListCell   *cell;

	if (field == NULL || field->is_unique || !check->catalog->tells_unique)
		return;
	initStringInfo(&list);
	foreach(cell, check->match_fields)
	{
		if (strcmp(lfirst(cell), quote_identifier(field->name)) == 0)
			return;
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (char *) lfirst(cell));
	}
	add(check, false, field->name,
		psprintf("field \"%s\" on %s is not unique: a row may match several records", field->name, place(check)),
		list.len > 0 ? psprintf("Unique are: %s.", list.data) : NULL);
}

List *
act_catalog_problems(const Sync *sync, const Model *model, const Connector *connector)
{
	Catalog    *catalog = act_catalog_load(sync->destination, connector, sync->object);
	CatalogCheck check = {.sync = sync,.model = model,.catalog = catalog,.connector = connector};

	check.match_fields = act_catalog_match_fields(catalog, connector);
	if (catalog->fields == NIL)
		return NIL;
	for (int i = 0; i < act_mapping_nfields(model->mapping); i++)
		check_field(&check, i);
	check_required(&check);
	check_match(&check);
	return check.problems;
}

void
act_catalog_report(const Sync *sync, const List *problems)
{
	StringInfoData others;
	ListCell   *cell;

	if (problems == NIL)
		return;
	initStringInfo(&others);
	foreach(cell, problems)
	{
		const CatalogProblem *problem = lfirst(cell);

		if (sync->options.strict)
		{
			if (cell != list_head(problems))
				appendStringInfo(&others, "%s%s.", others.len > 0 ? " " : "", problem->problem);
			continue;
		}
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg_internal("%s", problem->problem),
				 problem->hint ? errhint("%s", problem->hint) : 0));
	}
	if (sync->options.strict)
	{
		const CatalogProblem *first = linitial(problems);

		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_internal("%s", first->problem),
				 others.len > 0 ? errdetail_internal("%s", others.data) : 0,
				 errhint("%s%soptions => '{\"strict\": false}' makes warnings of it.",
						 first->hint ? first->hint : "", first->hint ? "; " : "")));
	}
}

void
act_catalog_warn(const Sync *sync, const Model *model, const Connector *connector)
{
	act_catalog_report(sync, act_catalog_problems(sync, model, connector));
}

void
act_catalog_apply_title(Sync *sync)
{
	char	   *found;

	if (sync->object == NULL || !OidIsValid(get_foreign_server_oid(sync->destination, true)))
		return;
	(void) act_destination_server(sync->destination, sync->owner);
	found = act_catalog_find_object(sync->destination, sync->object);
	if (found == NULL || strcmp(found, sync->object) == 0)
		return;
	ereport(NOTICE,
			(errmsg("object of sync \"%s\": %s", sync->name, found),
			 errdetail("It is called \"%s\" in destination \"%s\".", sync->object, sync->destination)));
	sync->object = found;
}
