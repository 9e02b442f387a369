/*-------------------------------------------------------------------------
 *
 * snapshot_rebuild.c
 *	  A sync's table that somebody altered by hand, made anew.
 *
 * The owner of a sync owns its table and can do to it what he likes; whatever
 * that was, reset_sync(..., 'resend') puts a fresh one in its place.  Who owns
 * the table is the only thing taken over from the old one.  Called inside a
 * transaction with SPI connected; throws what DROP TABLE and CREATE TABLE do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "identity.h"
#include "snapshot.h"
#include "transaction.h"

/*
 * Of a plain table with all columns: what else could refuse, hide or redirect
 * a write.  NOT NULL is a constraint of its own from version 18 on ("n"), and
 * looked for as a column's in all.
 */
#define ALTERED_SQL \
	"SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.oid = $1" \
	" AND (c.relrowsecurity OR c.relispartition OR c.relhassubclass" \
	" OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)" \
	" OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname <> $2 AND k.contype <> 'n')" \
	" OR EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND NOT i.indisprimary)" \
	" OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname = $2 AND k.contype = 'p')" \
	" OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped" \
	" AND (a.attgenerated <> '' OR a.attidentity <> '' OR a.attnotnull AND NOT (a.attname = ANY ($3))" \
	" AND NOT (a.atthasdef AND a.attname NOT LIKE 'activate!_%' ESCAPE '!'))))"

/* That are never null. */
static const char *const full_columns[] = {"activate_state", "activate_in_doubt", "activate_attempts"};

typedef struct KeyCheck
{
	const Sync *sync;
	bool		same;
} KeyCheck;

static void
check_key(void *arg)
{
	KeyCheck   *check = arg;
	const Model *model = act_model_resolve(check->sync);

	/* An error, too, is a type that is not the model's. */
	check->same = false;
	check->same = act_snapshot_check_key(check->sync, model);
}

/* True where the model cannot be read, which says nothing of the table. */
static bool
key_is_of_model(const Sync *sync)
{
	KeyCheck	check = {sync, true};

	(void) act_transaction_try(check_key, &check);
	return check.same;
}

bool
act_snapshot_altered(const Sync *sync)
{
	int			ncolumns = sync->nkeys + lengthof(full_columns);
	Datum	   *columns = palloc(sizeof(Datum) * ncolumns);
	Identity	identity;
	bool		altered;

	if (!OidIsValid(sync->table_oid))
		return false;
	LockRelationOid(sync->table_oid, AccessExclusiveLock);
	if (act_sync_table_problem(sync) != NULL)
		return get_rel_name(sync->table_oid) != NULL;

	for (int i = 0; i < sync->nkeys; i++)
		columns[i] = CStringGetTextDatum(sync->key[i]);
	for (int i = 0; i < lengthof(full_columns); i++)
		columns[sync->nkeys + i] = CStringGetTextDatum(full_columns[i]);
	{
		SqlArgument args[] = {
			{OIDOID, ObjectIdGetDatum(sync->table_oid), false},
			SQL_TEXT(psprintf("activate_key_" INT64_FORMAT, sync->sync_id)),
			{TEXTARRAYOID, PointerGetDatum(construct_array(columns, ncolumns, TEXTOID, -1, false, TYPALIGN_INT)), false},
		};

		act_identity_extension(&identity);
		altered = act_sql(SPI_OK_SELECT, ALTERED_SQL, lengthof(args), args) > 0;
		act_identity_leave(&identity);
	}
	return altered || !key_is_of_model(sync);
}

void
act_snapshot_rebuild(Sync *sync)
{
	char	   *table = act_sync_table_name(sync);
	char		kind = get_rel_relkind(sync->table_oid);
	Model	   *model;
	Identity	identity;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is in the place of the table of sync \"%s\"", table, sync->name),
				 errhint("Drop it, and then the sync: SELECT activate.drop_sync(%s);", quote_literal_cstr(sync->name))));
	model = act_model_resolve(sync);
	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, psprintf("DROP TABLE %s", table), 0, NULL);
	act_identity_leave(&identity);
	act_snapshot_create(sync, model, sync->owner);
	sync->table_oid = get_relname_relid(sync->name, get_namespace_oid("activate_data", false));
	ereport(NOTICE,
			(errmsg("table %s is not as it was made, and is made anew", table),
			 errdetail("Grants on it, indexes that were added, and what was said of single rows (mute_row) are gone.")));
}
