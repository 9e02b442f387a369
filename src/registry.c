/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Connectors as stored in activate.connector.
 *
 * Read like a catalog, without SPI and without asking for rights: the option
 * validator needs them on behalf of users who may read nothing of ours, and
 * in places (a restore, another identity) where SQL would not do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "connector_extend.h"
#include "nearest.h"
#include "registry.h"

/* Columns of activate.connector. */
#define ATTNUM_NAME 1
#define ATTNUM_SPEC 2

/*
 * NULL while the table is not there: pg_upgrade recreates what belongs to
 * the extension one by one.
 */
static Relation
connector_table_open(void)
{
	Oid			schema = get_namespace_oid("activate", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("connector", schema) : InvalidOid;

	return OidIsValid(table) ? table_open(table, AccessShareLock) : NULL;
}

/* As it is stored. */
static char *
read_spec(void *arg, const char *name)
{
	Relation	rel = connector_table_open();
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	char	   *spec = NULL;

	if (rel == NULL)
		return NULL;

	ScanKeyInit(&key, ATTNUM_NAME, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, ATTNUM_SPEC, RelationGetDescr(rel), &isnull);

		if (!isnull)
			spec = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return spec == NULL ? NULL : pg_server_to_any(spec, strlen(spec), PG_UTF8);
}

char *
act_registry_spec(const char *name)
{
	char	   *spec = read_spec(NULL, name);

	return spec == NULL ? NULL : act_registry_extend(name, spec);
}

bool
act_registry_missing(const char *name)
{
	return read_spec(NULL, name) == NULL;
}

char *
act_registry_extend(const char *name, const char *spec)
{
	return act_connector_extend(name, spec, read_spec, NULL);
}

/* The names of all, NULL-ended, for hints. */
static const char **
document_names(void)
{
	Relation	rel = connector_table_open();
	SysScanDesc scan;
	HeapTuple	tuple;
	const char **names = palloc0(sizeof(char *));
	int			n = 0;

	if (rel == NULL)
		return names;
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, ATTNUM_NAME, RelationGetDescr(rel), &isnull);

		names = repalloc(names, sizeof(char *) * (n + 2));
		names[n++] = TextDatumGetCString(value);
		names[n] = NULL;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return names;
}

static char *
require_spec(const char *name)
{
	char	   *spec = act_registry_spec(name);

	if (spec == NULL)
	{
		const char *nearest = act_nearest_name(name, document_names());

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("connector \"%s\" does not exist", name),
				 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
				 errhint("SELECT connector, title FROM activate.connectors;")));
	}
	return spec;
}

Connector *
act_registry_connector(const char *name)
{
	return act_connector_compile(name, require_spec(name));
}

Connector *
act_registry_connector_object(const char *name, const char *object)
{
	return act_connector_compile_object(name, require_spec(name),
										object == NULL ? NULL : pg_server_to_any(object, strlen(object), PG_UTF8));
}
