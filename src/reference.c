/*-------------------------------------------------------------------------
 *
 * reference.c
 *	  SQL-callable: external_id(), the destination's id of another sync's row.
 *
 * Looks the key up in that sync's table, as the current user and under the
 * snapshot of the query that asks.  What it takes is prepared once for each
 * call in a query.  Within a diff a reference that is not known yet makes the
 * row wait; everywhere else it is null.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "definition.h"
#include "reference.h"

PG_FUNCTION_INFO_V1(act_external_id);

/* Of a key value, in what a row waits for. */
#define MAX_SHOWN_VALUE 200

/* A column of the key, and what it is compared with. */
typedef struct ReferenceKey
{
	char	   *name;
	Oid			type;			/* of the values that are looked up */
	Oid			equality;		/* operator: column, value */
	Oid			literal;		/* reads a text without a type; InvalidOid: a value of a type is given */
	Oid			literal_param;
	Oid			cast;			/* makes a value of that type; InvalidOid: it is one */
} ReferenceKey;

/* One call in a query, prepared; in the memory of its FmgrInfo. */
typedef struct ReferenceSite
{
	MemoryContext context;		/* of all that follows but the plan */
	char	   *name;			/* of the sync; NULL: not prepared */
	int			nkeys;
	ReferenceKey *keys;
	FmgrInfo   *converters;		/* of those that need one */
	SPIPlanPtr	plan;			/* or NULL */
	Datum	   *values;
	MemoryContextCallback callback;
} ReferenceSite;

/* What was found of a row. */
typedef struct Referenced
{
	bool		there;			/* the destination has it */
	Datum		id;				/* in the caller's context */
	bool		has_id;
} Referenced;

/* ----------------------------------------------------------------
 *		Keys
 * ----------------------------------------------------------------
 */

static void
refuse_count(const char *name, int nkeys, int ngiven, char **columns)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("activate.external_id(): sync \"%s\" has a key of %d %s, and %d %s given", name,
					nkeys, nkeys == 1 ? "column" : "columns", ngiven, ngiven == 1 ? "is" : "are"),
			 columns != NULL ?
			 errhint("activate.external_id(%s, %s)", quote_literal_cstr(name),
					 act_identifier_join(nkeys, columns)) :
			 errhint("Name a value for each column of its key, in their order.")));
}

static void
refuse_type(const char *name, int number, const char *column, Oid expected, Oid given)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("activate.external_id(): key %d of sync \"%s\" has type %s, and %s is given",
					number, name, format_type_be(expected), format_type_be(given)),
			 column != NULL ? errdetail("It is column \"%s\" of its key.", column) : 0,
			 errhint("Cast what is given: ...::%s.", format_type_be(expected))));
}

/*
 * How a value of one type is compared with a key column of another: as it is,
 * by an operator that an index can serve, or cast.  False: not at all.
 */
static bool
resolve_key(ReferenceKey *key, Oid column, Oid family, Oid operand, Oid given)
{
	Oid			base = getBaseType(column);

	memset(key, 0, sizeof(*key));
	key->type = base;
	key->equality = get_opfamily_member(family, operand, operand, BTEqualStrategyNumber);
	if (given == UNKNOWNOID)
	{
		getTypeInputInfo(base, &key->literal, &key->literal_param);
		return true;
	}
	given = getBaseType(given);
	if (given == base || IsBinaryCoercible(given, base))
		return true;
	if (OidIsValid(get_opfamily_member(family, operand, given, BTEqualStrategyNumber)))
	{
		key->equality = get_opfamily_member(family, operand, given, BTEqualStrategyNumber);
		key->type = given;
		return true;
	}
	switch (find_coercion_pathway(base, given, COERCION_IMPLICIT, &key->cast))
	{
		case COERCION_PATH_RELABELTYPE:
			key->cast = InvalidOid;
			return true;
		case COERCION_PATH_FUNC:
			return get_func_nargs(key->cast) == 1;
		default:
			return false;
	}
}

/* The primary key of a sync's table, column by column. */
static int
read_key(Oid table, ReferenceKey **keys, const char *name, int ngiven, const Oid *types)
{
	Relation	rel = relation_open(table, AccessShareLock);
	Relation	index;
	char	  **columns;
	int			nkeys;

	list_free(RelationGetIndexList(rel));
	if (!OidIsValid(rel->rd_pkindex))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table activate_data.%s of sync \"%s\" has no primary key", quote_identifier(name), name),
				 errhint("Only the extension changes this table. Put it back, or have it made anew, and every row sent again: SELECT activate.reset_sync(%s, 'resend');",
						 quote_literal_cstr(name))));
	index = index_open(rel->rd_pkindex, AccessShareLock);
	nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	columns = palloc(sizeof(char *) * nkeys);
	for (int i = 0; i < nkeys; i++)
		columns[i] = get_attname(table, index->rd_index->indkey.values[i], false);
	if (nkeys != ngiven)
		refuse_count(name, nkeys, ngiven, columns);
	*keys = palloc(sizeof(ReferenceKey) * nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		Oid			type = get_atttype(table, index->rd_index->indkey.values[i]);

		if (!resolve_key(&(*keys)[i], type, index->rd_opfamily[i], index->rd_opcintype[i], types[i]))
			refuse_type(name, i + 1, columns[i], type, types[i]);
		(*keys)[i].name = columns[i];
	}
	index_close(index, AccessShareLock);
	relation_close(rel, NoLock);
	return nkeys;
}

/* Readable by the current user, who need not be the sync's owner. */
static Oid
find_table(const char *name)
{
	Oid			schema = get_namespace_oid("activate_data", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	Oid			user = GetUserId();

	if (!OidIsValid(table) || get_rel_relkind(table) != RELKIND_RELATION ||
		pg_strncasecmp(name, "activate_", strlen("activate_")) == 0)
	{
		/* Both throw, with what is known of it. */
		(void) act_sync_table_open(act_sync_load(name, false), AccessShareLock, false);
		pg_unreachable();
	}
	if (pg_class_aclcheck(table, user, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(table, user, ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the ids of sync \"%s\"", name),
				 errdetail("They stand in table activate_data.%s.", quote_identifier(name)),
				 errhint("GRANT SELECT ON activate_data.%s TO %s;", quote_identifier(name),
						 quote_identifier(GetUserNameFromId(user, false)))));
	return table;
}

Oid
act_reference_check(const char *name, int nkeys, const Oid *types)
{
	Oid			table = find_table(name);
	ReferenceKey *keys;

	(void) read_key(table, &keys, name, nkeys, types);
	return table;
}

void
act_reference_check_types(const char *name, int nkeys, const Oid *columns, int ngiven, const Oid *types)
{
	if (nkeys != ngiven)
		refuse_count(name, nkeys, ngiven, NULL);
	for (int i = 0; i < nkeys; i++)
	{
		TypeCacheEntry *entry = lookup_type_cache(columns[i], TYPECACHE_BTREE_OPFAMILY);
		ReferenceKey key;

		if (!resolve_key(&key, columns[i], entry->btree_opf, entry->btree_opintype, types[i]))
			refuse_type(name, i + 1, NULL, columns[i], types[i]);
	}
}

/* ----------------------------------------------------------------
 *		Looking up
 * ----------------------------------------------------------------
 */

static void
append_operator(StringInfo buf, Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(buf, "OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname));
	ReleaseSysCache(tuple);
}

/* kept: the destination has the records of rows that left, too, and links to them must be able to name them. */
static SPIPlanPtr
prepare_plan(const char *name, const ReferenceKey *keys, int nkeys, bool kept)
{
	Oid		   *types = palloc(sizeof(Oid) * nkeys);
	StringInfoData sql;
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT s.activate_external_id, s.activate_accepted_at IS NOT NULL%s FROM %s AS s WHERE ",
					 kept ? " OR (s.activate_state OPERATOR(pg_catalog.=) 'removed' AND s.activate_external_id IS NOT NULL)" : "",
					 quote_qualified_identifier("activate_data", name));
	for (int i = 0; i < nkeys; i++)
	{
		types[i] = keys[i].type;
		appendStringInfo(&sql, "%ss.%s ", i > 0 ? " AND " : "", quote_identifier(keys[i].name));
		append_operator(&sql, keys[i].equality);
		appendStringInfo(&sql, " $%d", i + 1);
	}
	plan = SPI_prepare_cursor(sql.data, nkeys, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the lookup of a reference: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static void
release_plan(void *arg)
{
	ReferenceSite *site = arg;

	if (site->plan != NULL)
		(void) SPI_freeplan(site->plan);
	site->plan = NULL;
}

static ReferenceSite *
make_site(FmgrInfo *flinfo)
{
	ReferenceSite *site = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ReferenceSite));

	site->context = AllocSetContextCreate(flinfo->fn_mcxt, "pg_activate reference", ALLOCSET_SMALL_SIZES);
	site->callback.func = release_plan;
	site->callback.arg = site;
	MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &site->callback);
	flinfo->fn_extra = site;
	return site;
}

/* With SPI connected. */
static void
prepare_site(FunctionCallInfo fcinfo, ReferenceSite *site, const char *name)
{
	int			ngiven = PG_NARGS() - 1;
	Oid		   *types = palloc(sizeof(Oid) * ngiven);
	MemoryContext caller;

	release_plan(site);
	site->name = NULL;
	MemoryContextReset(site->context);
	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("activate.external_id() takes the columns of a key one by one"),
				 errhint("Leave out VARIADIC: activate.external_id('companies', company_id)")));
	for (int i = 0; i < ngiven; i++)
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + 1);

	caller = MemoryContextSwitchTo(site->context);
	site->nkeys = read_key(find_table(name), &site->keys, name, ngiven, types);
	site->converters = palloc0(sizeof(FmgrInfo) * ngiven);
	site->values = palloc(sizeof(Datum) * ngiven);
	for (int i = 0; i < ngiven; i++)
	{
		const ReferenceKey *key = &site->keys[i];

		if (OidIsValid(key->literal) || OidIsValid(key->cast))
			fmgr_info_cxt(OidIsValid(key->literal) ? key->literal : key->cast, &site->converters[i], site->context);
	}
	MemoryContextSwitchTo(caller);
	site->plan = prepare_plan(name, site->keys, site->nkeys, act_reference_keeps_records(name));
	site->name = MemoryContextStrdup(site->context, name);
}

/* What is given as values of the types that are looked up. */
static void
convert_values(FunctionCallInfo fcinfo, ReferenceSite *site)
{
	for (int i = 0; i < site->nkeys; i++)
	{
		const ReferenceKey *key = &site->keys[i];
		Datum		value = PG_GETARG_DATUM(i + 1);

		if (OidIsValid(key->literal))
			value = InputFunctionCall(&site->converters[i], DatumGetCString(value),
									  key->literal_param, -1);
		else if (OidIsValid(key->cast))
			value = FunctionCall1Coll(&site->converters[i], PG_GET_COLLATION(), value);
		site->values[i] = value;
	}
}

/* Whoever owns the table can give the column another type. */
static void
check_id_type(const ReferenceSite *site)
{
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);

	if (type != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table activate_data.%s of sync \"%s\" cannot be used: its column \"%s\" has type %s",
						quote_identifier(site->name), site->name, "activate_external_id", format_type_be(type)),
				 errhint("Only the extension changes this table. Put it back, or have it made anew, and every row sent again: SELECT activate.reset_sync(%s, 'resend');",
						 quote_literal_cstr(site->name))));
}

/* With SPI connected. */
static Referenced
look_up(ReferenceSite *site, MemoryContext context)
{
	Referenced	referenced = {0};
	int			result = SPI_execute_plan(site->plan, site->values, NULL, true, 1);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of a reference", SPI_result_code_string(result));
	check_id_type(site);
	if (SPI_processed == 1)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		bool		isnull;
		Datum		id = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext caller = MemoryContextSwitchTo(context);

		referenced.has_id = !isnull;
		if (!isnull)
			referenced.id = datumCopy(id, false, -1);
		MemoryContextSwitchTo(caller);
		referenced.there = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull)) && !isnull;
	}
	return referenced;
}

/* ----------------------------------------------------------------
 *		Waiting
 * ----------------------------------------------------------------
 */

/* Digits alone: they stay what they are in upper case, in JSON, in an address. */
static void
make_nonce(DiffState *state)
{
	unsigned char random[ACT_REFERENCE_NONCE];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < ACT_REFERENCE_NONCE; i++)
		state->reference_nonce[i] = '0' + random[i] % 10;
	state->reference_nonce[ACT_REFERENCE_NONCE] = '\0';
}

static void
append_value(StringInfo buf, Oid type, Datum value)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;
	int			len;

	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	len = strlen(text);
	if (len > MAX_SHOWN_VALUE)
	{
		len = pg_mbcliplen(text, len, MAX_SHOWN_VALUE);
		text = psprintf("%.*s...", len, text);
	}
	if (type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID)
		appendStringInfoString(buf, text);
	else
		escape_json(buf, text);
}

static text *
waiting_text(DiffState *state, const ReferenceSite *site, const Referenced *referenced)
{
	StringInfoData buf;

	if (state->reference_nonce[0] == '\0')
		make_nonce(state);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%swaits for %srow {", state->reference_nonce, referenced->there ? "the id of " : "");
	for (int i = 0; i < site->nkeys; i++)
	{
		appendStringInfoString(&buf, i > 0 ? ", " : "");
		escape_json(&buf, site->keys[i].name);
		appendStringInfoString(&buf, ": ");
		append_value(&buf, site->keys[i].type, site->values[i]);
	}
	appendStringInfo(&buf, "} of sync \"%s\"%s%s", site->name,
					 referenced->there ? ", which the destination has not told" : "", state->reference_nonce);
	return cstring_to_text_with_len(buf.data, buf.len);
}

/* A function that the model calls may ask, too, and nobody would see it. */
static void
require_known_call(const DiffState *state, const ReferenceSite *site)
{
	ListCell   *cell;

	foreach(cell, state->model->references)
	{
		if (strcmp(lfirst(cell), site->name) == 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a function that the model of sync \"%s\" calls asks for ids of sync \"%s\"",
					state->model->sync->name, site->name),
			 errdetail("Rows wait for those that they refer to, which the sync must be able to see."),
			 errhint("Call activate.external_id() in the mapping or in the model itself.")));
}

/*
 * What stands between two nonces.  Where the text became a part of JSON,
 * quotes have a backslash before them, or several.
 */
char *
act_reference_waits_for(const DiffState *state, const char *text)
{
	const char *start;
	const char *end;
	StringInfoData buf;

	if (state->reference_nonce[0] == '\0')
		return NULL;
	start = strstr(text, state->reference_nonce);
	if (start == NULL)
		return NULL;
	start += ACT_REFERENCE_NONCE;
	end = strstr(start, state->reference_nonce);
	if (end == NULL)
		return pstrdup("waits for a row of another sync");
	initStringInfo(&buf);
	for (const char *c = start; c < end; c++)
	{
		if (*c != '\\')
			appendStringInfoChar(&buf, *c);
	}
	return buf.data;
}

/*
 * The destination's id is text; a cast to anything else meets this text, too.
 */
void
act_reference_rethrow(const DiffState *state)
{
	ErrorData  *error;
	char	   *waits_for;

	if (state->reference_nonce[0] == '\0')
		PG_RE_THROW();
	error = CopyErrorData();
	waits_for = error->message != NULL ? act_reference_waits_for(state, error->message) : NULL;
	if (waits_for == NULL)
		PG_RE_THROW();
	FlushErrorState();
	error->message = psprintf("sync \"%s\" makes something else of an external id that is not known yet",
							  state->model->sync->name);
	error->detail = psprintf("A row %s; until then activate.external_id() is a text that says so.", waits_for);
	error->hint = pstrdup("External ids are text: leave out the cast, or what else is done with it. Such rows wait by themselves.");
	ThrowErrorData(error);
	pg_unreachable();
}

/* activate.external_id(sync text, VARIADIC key "any") */
Datum
act_external_id(PG_FUNCTION_ARGS)
{
	ReferenceSite *site = fcinfo->flinfo->fn_extra;
	DiffState  *state = act_diff_current;
	MemoryContext caller = CurrentMemoryContext;
	Referenced	referenced;
	text	   *name;

	act_require_argument(PG_ARGISNULL(0), "sync", "activate.external_id('companies', company_id)");
	name = PG_GETARG_TEXT_PP(0);
	if (site == NULL)
		site = make_site(fcinfo->flinfo);
	if (site->name == NULL || strlen(site->name) != VARSIZE_ANY_EXHDR(name) ||
		memcmp(site->name, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) != 0)
	{
		SPI_connect();
		prepare_site(fcinfo, site, text_to_cstring(name));
		SPI_finish();
		MemoryContextSwitchTo(caller);
	}
	for (int i = 1; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	convert_values(fcinfo, site);
	SPI_connect();
	referenced = look_up(site, caller);
	SPI_finish();
	MemoryContextSwitchTo(caller);

	if (referenced.there && referenced.has_id)
		PG_RETURN_DATUM(referenced.id);
	if (state == NULL)
		PG_RETURN_NULL();
	require_known_call(state, site);
	PG_RETURN_TEXT_P(waiting_text(state, site, &referenced));
}
