/*-------------------------------------------------------------------------
 *
 * model_text.c
 *	  What users write about a model, and the form in which it is stored.
 *
 * Called by definitions inside a transaction, under the caller's search_path
 * where it says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "compat.h"
#include "model_check.h"
#include "model_text.h"
#include "nearest.h"
#include "sql_text.h"

/* Relations a name can have meant, NULL-ended; in one schema or the path. */
static const char **
relation_names(Oid schema)
{
	List	   *schemas = OidIsValid(schema) ? list_make1_oid(schema) : fetch_search_path(false);
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple	tuple;
	List	   *found = NIL;
	ListCell   *cell;
	const char **names;
	int			count = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (list_member_oid(schemas, form->relnamespace) &&
			strchr("rvmfp", form->relkind) != NULL)
			found = lappend(found, pstrdup(NameStr(form->relname)));
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	names = palloc0(sizeof(char *) * (list_length(found) + 1));
	foreach(cell, found)
		names[count++] = lfirst(cell);
	return names;
}

static void
refuse_missing_relation(const RangeVar *name)
{
	Oid			schema = InvalidOid;
	const char *nearest;
	char	   *full;

	full = name->schemaname ? psprintf("%s.%s", name->schemaname, name->relname) : name->relname;
	if (name->schemaname != NULL)
	{
		schema = get_namespace_oid(name->schemaname, true);
		if (!OidIsValid(schema))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("model \"%s\" does not exist", full),
					 errdetail("There is no schema \"%s\".", name->schemaname),
					 errhint("model => 'schema.table', or model => 'SELECT ...'.")));
	}
	nearest = act_nearest_name(name->relname, relation_names(schema));
	if (nearest != NULL && name->schemaname != NULL)
		nearest = quote_qualified_identifier(name->schemaname, nearest);
	else if (nearest != NULL)
		nearest = quote_identifier(nearest);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("model \"%s\" does not exist", full),
			 name->schemaname ? 0 :
			 errdetail("No relation of this name is in the search_path."),
			 nearest ? errhint("Perhaps you meant model => %s.", quote_literal_cstr(nearest)) :
			 errhint("model => 'schema.table', or model => 'SELECT ...'.")));
}

void
act_model_require_schema(const char *name, Oid owner)
{
	Oid			schema = get_namespace_oid(name, true);
	char	   *role = GetUserNameFromId(owner, false);

	if (OidIsValid(schema) && act_compat_schema_aclcheck(schema, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("schema \"%s\" is not usable by role \"%s\"", name, role),
				 errhint("GRANT USAGE ON SCHEMA %s TO %s;", quote_identifier(name), quote_identifier(role))));
}

Oid
act_model_find_relation(const char *text, Oid owner)
{
	RangeVar   *name = makeRangeVarFromNameList(act_compat_name_list(text));
	Oid			relation;
	char		relkind;

	if (name->schemaname != NULL)
		act_model_require_schema(name->schemaname, owner);
	relation = RangeVarGetRelid(name, AccessShareLock, true);
	if (!OidIsValid(relation))
		refuse_missing_relation(name);
	relkind = get_rel_relkind(relation);
	if (relkind == '\0' || strchr("rvmfp", relkind) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" is not a table, view, materialized view or foreign table", text),
				 errhint("model => 'schema.table', or model => 'SELECT ...'.")));
	return relation;
}

char *
act_model_relation_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

static char *
name_model(void *arg, int offset)
{
	return pstrdup("model");
}

/* Nothing but letters, digits and dots outside of double quotes. */
static bool
looks_like_name(const char *text)
{
	bool		quoted = false;

	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '"')
			quoted = !quoted;
		else if (!quoted && !isalnum((unsigned char) *p) && !IS_HIGHBIT_SET(*p) &&
				 strchr("_$. \t\r\n\f", *p) == NULL)
			return false;
	}
	return true;
}

char *
act_model_canonical(const char *model, Oid owner, bool *is_query)
{
	SqlOrigin	origin = {
		.sql = model,
		.text = model,
		.name_part = name_model,
		.hint = "model => 'schema.table', or model => 'SELECT ...'."
	};
	List	   *parts;
	List	   *statements;
	RawStmt    *statement;
	int			start;
	int			end;

	if (looks_like_name(model) &&
		SplitIdentifierString(pstrdup(model), '.', &parts) && parts != NIL && list_length(parts) <= 3)
	{
		Oid			relation = act_model_find_relation(model, owner);

		if (isTempOrTempToastNamespace(get_rel_namespace(relation)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("model \"%s\" is a temporary relation", model),
					 errdetail("It is gone when this session ends, and no run would find it."),
					 errhint("CREATE TABLE it without TEMPORARY, or pass its query: model => 'SELECT ...'.")));
		*is_query = false;
		return act_model_relation_name(relation);
	}

	statements = act_sql_text_parse(&origin);
	act_model_check_statement(statements);
	*is_query = true;

	statement = linitial_node(RawStmt, statements);
	start = statement->stmt_location;
	end = statement->stmt_len > 0 ? start + statement->stmt_len : strlen(model);
	while (start < end && isspace((unsigned char) model[start]))
		start++;
	while (end > start && isspace((unsigned char) model[end - 1]))
		end--;
	return pnstrdup(model + start, end - start);
}

char **
act_identifier_list(const char *what, const char *text, int *count)
{
	List	   *list;
	ListCell   *cell;
	char	  **names;

	*count = 0;
	if (!SplitIdentifierString(pstrdup(text), ',', &list) || list == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s \"%s\" is not a list of names", what, text),
				 errhint("%s => 'a', or 'a, b'; a name with capitals or other characters in double quotes: 'a, \"B c\"'.", what)));
	names = palloc0(sizeof(char *) * (list_length(list) + 1));
	foreach(cell, list)
	{
		for (int i = 0; i < *count; i++)
		{
			if (strcmp(names[i], lfirst(cell)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("%s names \"%s\" twice", what, names[i]),
						 errhint("Name it once.")));
		}
		names[(*count)++] = lfirst(cell);
	}
	return names;
}

/*
 * '*' and '* EXCEPT (a, b)': which columns are left out, NULL-ended.  NULL:
 * the text is something else.
 */
static char **
parse_star(const char *text, int *nexcept)
{
	static char *nothing[] = {NULL};
	const char *blank = " \t\r\n\f";
	const char *p = text + strspn(text, blank);
	const char *end = p + strlen(p);
	char	  **names;

	*nexcept = 0;
	if (*p++ != '*')
		return NULL;
	p += strspn(p, blank);
	while (end > p && strchr(blank, end[-1]) != NULL)
		end--;
	if (p == end)
		return nothing;
	if (pg_strncasecmp(p, "except", 6) != 0)
		return NULL;
	p += 6 + strspn(p + 6, blank);
	if (*p != '(' || end[-1] != ')' || end - p < 2)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("mapping \"%s\" does not say which columns to leave out", text),
				 errhint("Write * EXCEPT (a, \"B\").")));
	names = act_identifier_list("mapping => * EXCEPT", pnstrdup(p + 1, end - p - 2), nexcept);
	return names;
}

static bool
is_among(const char *name, char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
	{
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static void
check_star_columns(const Sync *sync, char **columns, char **except)
{
	for (int i = 0; except[i] != NULL; i++)
	{
		const char *nearest;

		if (is_among(except[i], columns))
			continue;
		nearest = act_nearest_name(except[i], (const char *const *) columns);
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("mapping of sync \"%s\": column \"%s\" of EXCEPT does not exist", sync->name, except[i]),
				 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
				 errhint("Capitals need double quotes.")));
	}
	for (int i = 0; columns[i] != NULL; i++)
	{
		if (strcmp(columns[i], "?column?") == 0 && !is_among(columns[i], except))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column %d of the model of sync \"%s\" has no name", i + 1, sync->name),
					 errhint("Give it one with AS in the model.")));
	}
}

char *
act_mapping_canonical(const Sync *sync, const char *mapping)
{
	int			nexcept;
	int			ncolumns;
	char	  **except = parse_star(mapping != NULL ? mapping : "*", &nexcept);
	char	  **columns;
	StringInfoData list;

	if (except == NULL)
		return pstrdup(mapping);
	columns = act_model_columns(sync, &ncolumns);
	check_star_columns(sync, columns, except);

	initStringInfo(&list);
	for (int i = 0; i < ncolumns; i++)
	{
		if (is_among(columns[i], except))
			continue;
		if (list.len > 0)
			appendStringInfoString(&list, ", ");
		appendStringInfoString(&list, quote_identifier(columns[i]));
	}
	if (list.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping of sync \"%s\": no column is left", sync->name),
				 errhint("Name what to send: mapping => 'email, score AS health_score'.")));
	return list.data;
}

char *
act_identifier_join(int count, char **names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < count; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(names[i]));
	return buf.data;
}
