/*-------------------------------------------------------------------------
 *
 * sync_relation.c
 *	  Which relations the models of syncs read: activate.sync_relation.
 *
 * A cache.  Whoever resolved a model as it is now compares, and writes only
 * what differs.  Event triggers ask it for each command of everybody's, which
 * is why they do so without SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model_text.h"
#include "sync_relation.h"
#include "transaction.h"

/* Columns of the table, as the install script has them. */
#define COLUMN_SYNC_ID 1
#define COLUMN_RELATION 2
#define COLUMN_RELATION_OID 3
#define COLUMN_IS_MODEL 4

/* ----------------------------------------------------------------
 *		What is kept
 * ----------------------------------------------------------------
 */

typedef struct Reading
{
	char	   *name;
	Oid			oid;
	bool		is_model;
} Reading;

static int
by_name(const ListCell *a, const ListCell *b)
{
	return strcmp(((const Reading *) lfirst(a))->name, ((const Reading *) lfirst(b))->name);
}

static List *
readings(const Model *model)
{
	List	   *list = NIL;
	ListCell   *cell;

	foreach(cell, model->relations)
	{
		Reading    *reading;

		/* A temporary one can be read by a query, but is nobody else's. */
		if (get_rel_name(lfirst_oid(cell)) == NULL || get_rel_persistence(lfirst_oid(cell)) == RELPERSISTENCE_TEMP)
			continue;
		reading = palloc(sizeof(Reading));
		reading->name = act_model_relation_name(lfirst_oid(cell));
		reading->oid = lfirst_oid(cell);
		reading->is_model = reading->oid == model->relation;
		list = lappend(list, reading);
	}
	list_sort(list, by_name);
	return list;
}

/* One line for each, as the statement below makes it of the table. */
static char *
image(const List *list)
{
	StringInfoData buf;
	const ListCell *cell;

	initStringInfo(&buf);
	foreach(cell, list)
	{
		const Reading *reading = lfirst(cell);

		appendStringInfo(&buf, "%s %u %c\n", reading->name, reading->oid, reading->is_model ? 't' : 'f');
	}
	return buf.data;
}

bool
act_sync_relation_current(const Model *model)
{
	SqlArgument args[] = {SQL_INT8(model->sync->sync_id)};

	act_sql(SPI_OK_SELECT,
			"SELECT COALESCE(pg_catalog.string_agg(r.relation || ' ' || r.relation_oid::pg_catalog.text || ' ' ||"
			" CASE WHEN r.is_model THEN 't' ELSE 'f' END || E'\\n', '' ORDER BY r.relation), '')"
			" FROM activate.sync_relation AS r WHERE r.sync_id = $1", lengthof(args), args);
	return strcmp(act_sql_text(0, 1), image(readings(model))) == 0;
}

void
act_sync_relation_store(const Model *model)
{
	SqlArgument args[] = {SQL_INT8(model->sync->sync_id)};
	ListCell   *cell;

	act_sql(SPI_OK_DELETE, "DELETE FROM activate.sync_relation WHERE sync_id = $1", lengthof(args), args);
	foreach(cell, readings(model))
	{
		const Reading *reading = lfirst(cell);
		SqlArgument row[] = {
			SQL_INT8(model->sync->sync_id),
			SQL_TEXT(reading->name),
			{OIDOID, ObjectIdGetDatum(reading->oid), false},
			SQL_BOOL(reading->is_model),
		};

		act_sql(SPI_OK_INSERT,
				"INSERT INTO activate.sync_relation (sync_id, relation, relation_oid, is_model)"
				" VALUES ($1, $2, $3, $4)", lengthof(row), row);
	}
}

/* ----------------------------------------------------------------
 *		Who reads it
 * ----------------------------------------------------------------
 */

/* The table, or NULL; DROP EXTENSION may have it. */
static Relation
open_table(Oid *name_index, Oid *oid_index)
{
	Oid			schema = get_namespace_oid("activate", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("sync_relation", schema) : InvalidOid;
	Relation	rel;

	if (!OidIsValid(table) || !ConditionalLockRelationOid(table, AccessShareLock))
		return NULL;
	rel = try_relation_open(table, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(table, AccessShareLock);
		return NULL;
	}
	*name_index = get_relname_relid("sync_relation_name_idx", schema);
	*oid_index = get_relname_relid("sync_relation_oid_idx", schema);
	if (OidIsValid(*name_index) && OidIsValid(*oid_index) &&
		RelationGetNumberOfAttributes(rel) >= COLUMN_IS_MODEL)
		return rel;
	relation_close(rel, AccessShareLock);
	return NULL;
}

static SyncRelation *
read_tuple(HeapTuple tuple, TupleDesc desc)
{
	SyncRelation *found = palloc(sizeof(SyncRelation));
	bool		isnull;

	found->sync_id = DatumGetInt64(heap_getattr(tuple, COLUMN_SYNC_ID, desc, &isnull));
	found->is_model = DatumGetBool(heap_getattr(tuple, COLUMN_IS_MODEL, desc, &isnull));
	return found;
}

static List *
scan(Relation rel, Oid index, ScanKey key, List *found)
{
	SysScanDesc desc = systable_beginscan(rel, index, true, NULL, 1, key);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(desc)))
		found = lappend(found, read_tuple(tuple, RelationGetDescr(rel)));
	systable_endscan(desc);
	return found;
}

List *
act_sync_relation_find(Oid relation, const char *name)
{
	Oid			name_index;
	Oid			oid_index;
	Relation	rel = open_table(&name_index, &oid_index);
	ScanKeyData key;
	List	   *found = NIL;

	if (rel == NULL)
		return NIL;
	if (OidIsValid(relation))
	{
		ScanKeyInit(&key, COLUMN_RELATION_OID, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
		found = scan(rel, oid_index, &key, found);
	}
	if (name != NULL)
	{
		/* The key's collation is "C", which is the column's. */
		ScanKeyInit(&key, COLUMN_RELATION, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
		found = scan(rel, name_index, &key, found);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

List *
act_sync_relation_find_schema(Oid schema)
{
	Oid			name_index;
	Oid			oid_index;
	Relation	rel = open_table(&name_index, &oid_index);
	SysScanDesc desc;
	HeapTuple	tuple;
	List	   *found = NIL;

	if (rel == NULL)
		return NIL;
	desc = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(desc)))
	{
		bool		isnull;
		Oid			relation = DatumGetObjectId(heap_getattr(tuple, COLUMN_RELATION_OID,
														 RelationGetDescr(rel), &isnull));

		CHECK_FOR_INTERRUPTS();
		if (get_rel_namespace(relation) == schema)
			found = lappend(found, read_tuple(tuple, RelationGetDescr(rel)));
	}
	systable_endscan(desc);
	relation_close(rel, AccessShareLock);
	return found;
}

void
act_sync_relation_lock(int64 sync_id)
{
	Oid			name_index;
	Oid			oid_index;
	Relation	rel = open_table(&name_index, &oid_index);
	Oid			index = rel != NULL ? get_relname_relid("sync_relation_pkey", RelationGetNamespace(rel)) : InvalidOid;
	ScanKeyData key;
	SysScanDesc desc;
	HeapTuple	tuple;
	bool		locked = rel != NULL;

	if (rel == NULL)
		return;
	ScanKeyInit(&key, COLUMN_SYNC_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(sync_id));
	desc = systable_beginscan(rel, index, OidIsValid(index), NULL, 1, &key);
	while (locked && HeapTupleIsValid(tuple = systable_getnext(desc)))
	{
		bool		isnull;

		locked = ConditionalLockRelationOid(DatumGetObjectId(heap_getattr(tuple, COLUMN_RELATION_OID,
																		  RelationGetDescr(rel), &isnull)),
											AccessShareLock);
	}
	systable_endscan(desc);
	relation_close(rel, AccessShareLock);
	if (!locked)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("a relation that a sync reads is locked"),
				 errhint("The sync's next run waits for it.")));
}
