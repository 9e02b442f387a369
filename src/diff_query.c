/*-------------------------------------------------------------------------
 *
 * diff_query.c
 *	  The SQL that reads a model and compares it with its snapshot.
 *
 * One statement, so that fingerprints and payloads are of one snapshot.  The
 * leaves are computed once, in a fenced sub-select (OFFSET 0), where parallel
 * workers can do it; what is decided per row is decided by
 * activate.diff_keep() above the join, in the leader.  Only rows that it
 * keeps are sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "diff_query.h"
#include "removal.h"

/* Arguments of one call: PostgreSQL has at most 100. */
#define LEAVES_PER_CALL 90

/* Of a row whose leaves could not be computed. */
#define NO_FINGERPRINT "00000000-0000-0000-0000-000000000000"

static void
append_uuid(StringInfo buf, const uint8 *digest)
{
	pg_uuid_t	uuid;

	memcpy(uuid.data, digest, UUID_LEN);
	appendStringInfo(buf, "'%s'::pg_catalog.uuid",
					 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid))));
}

static void
append_columns(StringInfo buf, const char *prefix, int count)
{
	for (int i = 1; i <= count; i++)
		appendStringInfo(buf, "%s%s%d", i > 1 ? ", " : "", prefix, i);
}

/* The leaf itself; a constant without a type is the text it is in a sub-select. */
static void
append_leaf(StringInfo buf, const Model *model, int leaf)
{
	appendStringInfo(buf, ", (%s\n)%s", act_mapping_leaf_expression(model->mapping, leaf),
					 model->leaf_types[leaf] == TEXTOID ? "::pg_catalog.text" : "");
}

/*
 * fingerprint(fingerprint(seed, l1 .. l90), l91 .. l180) and so on, of the
 * leaves that are compared.
 */
static void
append_fingerprint(StringInfo buf, const Model *model, bool expressions)
{
	int		   *compared = palloc(sizeof(int) * Max(model->nleaves, 1));
	int			count = 0;
	int			calls;

	for (int leaf = 0; leaf < model->nleaves; leaf++)
	{
		if (act_mapping_leaf_compared(model->mapping, leaf))
			compared[count++] = leaf;
	}
	calls = Max(1, (count + LEAVES_PER_CALL - 1) / LEAVES_PER_CALL);
	for (int call = 0; call < calls; call++)
		appendStringInfoString(buf, "activate.fingerprint(");
	append_uuid(buf, model->seed);
	for (int call = 0; call < calls; call++)
	{
		if (count == 0)
			appendStringInfoString(buf, ", 0");
		for (int i = call * LEAVES_PER_CALL; i < Min((call + 1) * LEAVES_PER_CALL, count); i++)
		{
			if (!expressions)
				appendStringInfo(buf, ", l%d", compared[i] + 1);
			else
				append_leaf(buf, model, compared[i]);
		}
		appendStringInfoChar(buf, ')');
	}
	pfree(compared);
}

/*
 * Where the heap lies in key order a merge join is cheapest; a fenced
 * sub-select is read in order only when it says so itself.
 */
static void
append_order(StringInfo buf, const Model *model)
{
	if (!model->key_ordered)
		return;
	appendStringInfoString(buf, " ORDER BY ");
	for (int i = 0; i < model->sync->nkeys; i++)
		appendStringInfo(buf, "%s%d", i > 0 ? ", " : "", i + 1);
}

/*
 * Only the keys a person named: they come as objects of strings
 * (key_argument.c) and are read as the key's own types, as the owner.  Without
 * length or precision: a key that has to be cut or rounded is another one.  On
 * either side of the join, where an index can serve.
 */
static void
append_key_filter(StringInfo buf, const Model *model, const char *alias, bool is_table)
{
	const Sync *sync = model->sync;

	appendStringInfoString(buf, " WHERE EXISTS (SELECT 1 FROM (SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%s(j.o OPERATOR(pg_catalog.->>) %s)::%s AS k%d", i > 0 ? ", " : "",
						 quote_literal_cstr(sync->key[i]),
						 format_type_extended(model->key_types[i], -1,
											  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY), i + 1);
	appendStringInfoString(buf, " FROM pg_catalog.jsonb_array_elements($1) AS j(o)) AS w WHERE ");
	for (int i = 0; i < sync->nkeys; i++)
	{
		appendStringInfo(buf, "%s%s.", i > 0 ? " AND " : "", alias);
		if (is_table)
			appendStringInfoString(buf, quote_identifier(sync->key[i]));
		else
			appendStringInfo(buf, "k%d", i + 1);
		act_diff_query_append_equality(buf, model->key_types[i]);
		appendStringInfo(buf, "w.k%d", i + 1);
	}
	appendStringInfoChar(buf, ')');
}

/* Only the keys that the sieve holds: asked before anything else of the row. */
static void
append_sieve_filter(StringInfo buf, const Sync *sync, const char *prefix)
{
	appendStringInfoString(buf, " WHERE activate.diff_sieve(");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%s%s%s", i > 0 ? ", " : "", prefix, quote_identifier(sync->key[i]));
	appendStringInfoChar(buf, ')');
}

void
act_diff_query_append_type(StringInfo buf, Oid type, Oid collation)
{
	appendStringInfo(buf, " %s", format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(collation) && collation != get_typcollation(type))
	{
		HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
		Form_pg_collation form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for collation %u", collation);
		form = (Form_pg_collation) GETSTRUCT(tuple);
		appendStringInfo(buf, " COLLATE %s",
						 quote_qualified_identifier(get_namespace_name(form->collnamespace),
													NameStr(form->collname)));
		ReleaseSysCache(tuple);
	}
}

/* The alias by which mappings can name the model. */
static const char *
model_name(const Model *model)
{
	return OidIsValid(model->relation) ? quote_identifier(get_rel_name(model->relation)) : MODEL_ALIAS;
}

char *
act_diff_query_raw(const Model *model, bool keys)
{
	const Sync *sync = model->sync;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT * FROM (SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&buf, "%s%s AS k%d", i > 0 ? ", " : "", quote_identifier(sync->key[i]), i + 1);
	for (int i = 0; i < model->ncolumns; i++)
		appendStringInfo(&buf, ", %s AS c%d", quote_identifier(model->columns[i].name), i + 1);
	appendStringInfo(&buf, " FROM %s%s) AS q", model->from,
					 OidIsValid(model->relation) ? "" : " AS " MODEL_ALIAS);
	if (keys)
		append_key_filter(&buf, model, "q", false);
	return buf.data;
}

/*
 * A function can take the row as a whole for what it is only where the set is
 * one of the relation's own type.
 */
static void
append_block(StringInfo buf, const Model *model)
{
	appendStringInfoString(buf, "activate.diff_block(");
	if (model->whole_row && OidIsValid(model->relation))
	{
		appendStringInfo(buf, "NULL::%s) AS %s", model->from, model_name(model));
		return;
	}
	appendStringInfo(buf, ") AS %s(", model_name(model));
	for (int i = 0; i < model->ncolumns; i++)
	{
		appendStringInfo(buf, "%s%s", i > 0 ? ", " : "", quote_identifier(model->columns[i].name));
		act_diff_query_append_type(buf, model->columns[i].type, model->columns[i].collation);
	}
	/* Leaves that read nothing still stand in a row. */
	appendStringInfo(buf, "%s)", model->ncolumns == 0 ? "nothing pg_catalog.int4" : "");
}

char *
act_diff_query_leaves(const Model *model, int leaf)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (leaf >= 0)
	{
		appendStringInfo(&buf, "SELECT (%s\n)%s FROM ", act_mapping_leaf_expression(model->mapping, leaf),
						 model->leaf_types[leaf] == TEXTOID ? "::pg_catalog.text" : "");
		append_block(&buf, model);
		return buf.data;
	}
	appendStringInfoString(&buf, "SELECT ");
	append_columns(&buf, "l", model->nleaves);
	appendStringInfoString(&buf, ", ");
	append_fingerprint(&buf, model, false);
	appendStringInfoString(&buf, " FROM (SELECT ");
	act_mapping_append_select(&buf, model->mapping);
	appendStringInfoString(&buf, "\nFROM ");
	append_block(&buf, model);
	appendStringInfoString(&buf, " OFFSET 0) AS q(");
	append_columns(&buf, "l", model->nleaves);
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* What a careful diff found; a row that cannot be sent has no fingerprint, but a problem. */
static void
append_careful(StringInfo buf, const Model *model, bool leaves)
{
	const Sync *sync = model->sync;

	appendStringInfoString(buf, "(SELECT ");
	append_columns(buf, "k", sync->nkeys);
	if (leaves)
	{
		appendStringInfoString(buf, ", ");
		append_columns(buf, "l", model->nleaves);
	}
	appendStringInfo(buf, ", fp, problem FROM activate.diff_rows(%d) AS q(", model->careful);
	for (int i = 0; i < sync->nkeys; i++)
	{
		appendStringInfo(buf, "k%d", i + 1);
		act_diff_query_append_type(buf, model->key_types[i], model->key_collations[i]);
		appendStringInfoString(buf, ", ");
	}
	for (int i = 0; i < model->nleaves; i++)
	{
		appendStringInfo(buf, "l%d", i + 1);
		act_diff_query_append_type(buf, model->leaf_types[i], InvalidOid);
		appendStringInfoString(buf, ", ");
	}
	appendStringInfoString(buf, "fp pg_catalog.uuid, problem pg_catalog.text) OFFSET 0)");
}

/* Without the fence and the order where a filter on few keys is to reach the model. */
static void
append_model(StringInfo buf, const Model *model, bool leaves, DiffScope scope)
{
	bool		keys = scope == DIFF_KEYS;
	bool		ordered = scope == DIFF_WHOLE;
	const Sync *sync = model->sync;

	if (model->careful != 0)
	{
		append_careful(buf, model, leaves);
		return;
	}
	appendStringInfoString(buf, "(SELECT ");
	append_columns(buf, "k", sync->nkeys);
	if (leaves && model->nleaves > 0)
	{
		appendStringInfoString(buf, ", ");
		append_columns(buf, "l", model->nleaves);
	}
	appendStringInfoString(buf, ", ");
	append_fingerprint(buf, model, false);
	appendStringInfoString(buf, " AS fp FROM (SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%s%s", i > 0 ? ", " : "", quote_identifier(sync->key[i]));
	if (model->nleaves > 0)
	{
		appendStringInfoString(buf, ", ");
		act_mapping_append_select(buf, model->mapping);
	}
	/* A newline: the mapping may end in a comment. */
	appendStringInfo(buf, "\nFROM %s%s", model->from,
					 OidIsValid(model->relation) ? "" : " AS " MODEL_ALIAS);
	if (scope == DIFF_SIEVED)
		append_sieve_filter(buf, sync, "");
	if (ordered)
		append_order(buf, model);
	if (!keys)
		appendStringInfoString(buf, " OFFSET 0");
	appendStringInfoString(buf, ") AS q(");
	append_columns(buf, "k", sync->nkeys);
	if (model->nleaves > 0)
	{
		appendStringInfoString(buf, ", ");
		append_columns(buf, "l", model->nleaves);
	}
	appendStringInfoChar(buf, ')');
	if (keys)
		append_key_filter(buf, model, "q", false);
	if (ordered)
		append_order(buf, model);
	appendStringInfoString(buf, " OFFSET 0)");
}

char *
act_diff_query_match(const Model *model, int nleaves, const int *leaves)
{
	const Sync *sync = model->sync;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	if (model->careful != 0)
	{
		append_columns(&buf, "k", sync->nkeys);
		for (int i = 0; i < nleaves; i++)
			appendStringInfo(&buf, ", l%d", leaves[i] + 1);
		appendStringInfoString(&buf, " FROM ");
		append_careful(&buf, model, true);
		appendStringInfoString(&buf, " AS m WHERE m.problem IS NULL");
		return buf.data;
	}
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(sync->key[i]));
	for (int i = 0; i < nleaves; i++)
		append_leaf(&buf, model, leaves[i]);
	appendStringInfo(&buf, " FROM %s%s", model->from,
					 OidIsValid(model->relation) ? "" : " AS " MODEL_ALIAS);
	return buf.data;
}

char *
act_diff_query_keys(const Model *model)
{
	int			nkeys = model->sync->nkeys;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT * FROM ");
	append_model(&buf, model, true, DIFF_KEYS);
	appendStringInfoString(&buf, " AS m");
	if (model->careful != 0)
	{
		append_key_filter(&buf, model, "m", false);
		appendStringInfoString(&buf, " AND m.problem IS NULL");
	}
	appendStringInfoString(&buf, " ORDER BY ");
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&buf, "%s%d", i > 1 ? ", " : "", i);
	return buf.data;
}

void
act_diff_query_append_model(StringInfo buf, const Model *model, bool leaves)
{
	append_model(buf, model, leaves, DIFF_WHOLE);
}

void
act_diff_query_append_model_sieve(StringInfo buf, const Model *model)
{
	appendStringInfoString(buf, "SELECT ");
	for (int i = 0; i < model->sync->nkeys; i++)
		appendStringInfo(buf, "%s, ", quote_identifier(model->sync->key[i]));
	append_fingerprint(buf, model, true);
	appendStringInfo(buf, " FROM %s", model->from);
}

/* OPERATOR(schema.=) of the type's default order, whatever the search_path. */
void
act_diff_query_append_equality(StringInfo buf, Oid type)
{
	Oid			op = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(op));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s", format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(buf, " OPERATOR(%s.%s) ",
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname));
	ReleaseSysCache(tuple);
}

void
act_diff_query_append_key_match(StringInfo buf, const Model *model,
								const char *left, const char *right, bool right_is_table)
{
	const Sync *sync = model->sync;

	for (int i = 0; i < sync->nkeys; i++)
	{
		appendStringInfo(buf, "%s%s.k%d", i > 0 ? " AND " : "", left, i + 1);
		act_diff_query_append_equality(buf, model->key_types[i]);
		if (right_is_table)
			appendStringInfo(buf, "%s.%s", right, quote_identifier(sync->key[i]));
		else
			appendStringInfo(buf, "%s.k%d", right, i + 1);
	}
}

void
act_diff_query_require_type(const Model *model, const char *what, Oid expected, Oid type)
{
	if (type != expected && !IsBinaryCoercible(type, getBaseType(expected)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("\"%s\" of sync \"%s\" has type %s instead of %s", what, model->sync->name,
						format_type_be(type), format_type_be(expected)),
				 errdetail("The model changed while it was read, or the key has another type in table %s.",
						   act_sync_table_name(model->sync)),
				 errhint("Call it again. If it stays so, drop the sync and create it again.")));
}

/*
 * What of the snapshot takes part in the join: a few dozen bytes of each row.
 * Only a fingerprint that a row of the model may equal for nothing to be done.
 */
static void
append_snapshot(StringInfo buf, const Model *model, DiffScope scope)
{
	const Sync *sync = model->sync;

	appendStringInfoString(buf, "(SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "t.%s AS k%d, ", quote_identifier(sync->key[i]), i + 1);
	appendStringInfoString(buf, sync->in_doubt ? "NULL::pg_catalog.uuid" :
						   "CASE WHEN t.activate_state OPERATOR(pg_catalog.=) 'accepted' THEN t.activate_fingerprint END");
	appendStringInfo(buf, " AS fp, t.ctid AS place FROM %s AS t", act_sync_table_name(sync));
	if (scope == DIFF_KEYS)
		append_key_filter(buf, model, "t", true);
	if (scope == DIFF_SIEVED)
		append_sieve_filter(buf, sync, "t.");
	appendStringInfoChar(buf, ')');
}

void
act_diff_query_append_snapshot_sieve(StringInfo buf, const Model *model)
{
	const Sync *sync = model->sync;

	appendStringInfoString(buf, "SELECT ");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "t.%s, ", quote_identifier(sync->key[i]));
	appendStringInfo(buf, "t.activate_fingerprint, t.activate_accepted_at, t.activate_state FROM %s AS t",
					 act_sync_table_name(sync));
}

/*
 * The join is narrow, so that it stays in memory; what else the snapshot
 * says is fetched, by its place, for the rows that are kept.
 */
char *
act_diff_query(const Model *model, DiffScope scope)
{
	int			nkeys = model->sync->nkeys;
	/* A row with a problem is in the model, too. */
	const char *fingerprint = model->careful == 0 ? "m.fp" :
		"COALESCE(m.fp, CASE WHEN m.problem IS NOT NULL THEN '" NO_FINGERPRINT "'::pg_catalog.uuid END)";
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&buf, "j.k%d, ", i);
	for (int i = 1; i <= model->nleaves; i++)
		appendStringInfo(&buf, "j.l%d, ", i);
	for (int i = 1; i <= act_removal_leaves(model); i++)
		appendStringInfo(&buf, "r.r%d, ", i);
	appendStringInfoString(&buf,
						   "j.fp, j.place, d.activate_state, d.activate_in_doubt, d.activate_accepted_at,"
						   " d.activate_fingerprint, d.activate_external_id, d.activate_remembered, d.activate_tried, d.activate_op,"
						   " d.activate_change_id, d.activate_attempts, d.activate_next_attempt_at,"
						   " d.activate_missing_since, d.activate_field_hashes, d.activate_payload, d.activate_message,"
						   " d.activate_late_until, d.activate_muted_at, j.problem FROM (SELECT ");
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&buf, "COALESCE(m.k%d, s.k%d) AS k%d, ", i, i, i);
	for (int i = 1; i <= model->nleaves; i++)
		appendStringInfo(&buf, "m.l%d, ", i);
	appendStringInfo(&buf, "%s AS fp, %s AS problem, s.place FROM ", fingerprint,
					 model->careful == 0 ? "NULL::pg_catalog.text" : "m.problem");
	append_model(&buf, model, true, scope);
	appendStringInfoString(&buf, " AS m FULL JOIN ");
	append_snapshot(&buf, model, scope);
	appendStringInfoString(&buf, " AS s ON ");
	act_diff_query_append_key_match(&buf, model, "m", "s", false);
	appendStringInfo(&buf, " WHERE activate.diff_keep(%s, s.fp, s.place) OFFSET 0) AS j"
					 " LEFT JOIN LATERAL (SELECT * FROM %s AS t"
					 " WHERE t.ctid OPERATOR(pg_catalog.=) j.place OFFSET 0) AS d ON true",
					 fingerprint, act_sync_table_name(model->sync));
	act_removal_append_join(&buf, model);
	appendStringInfoString(&buf, " ORDER BY ");
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&buf, "%s%d", i > 1 ? ", " : "", i);
	return buf.data;
}
