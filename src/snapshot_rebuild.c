/*-------------------------------------------------------------------------
 *
 * snapshot_rebuild.c
 *	  A sync's table that somebody altered by hand, made anew.
 *
 * The owner of a sync owns its table and can do to it what he likes; whatever
 * that was, reset_sync(..., 'resend') puts a fresh one in its place.  Who owns
 * the table, and which rows are muted, is all that is taken over from the old
 * one.  Called inside a transaction with SPI connected; throws what DROP TABLE
 * and CREATE TABLE do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "column.h"
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

/* What is said of single rows and is no state of theirs: that they are muted. */
typedef struct MutedRows
{
	const Sync *sync;
	const Model *model;
	int			count;
	char	  **values;			/* of each row: its key columns, when it was muted, by whom, why */
	int			width;
	int			first;			/* of those to be written */
	int			last;
} MutedRows;

static void
read_muted(void *arg)
{
	MutedRows  *muted = arg;
	StringInfoData sql;
	Identity	identity;
	MemoryContext context = CurrentMemoryContext;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT");
	for (int i = 0; i < muted->sync->nkeys; i++)
		appendStringInfo(&sql, " %s::text,", quote_identifier(muted->sync->key[i]));
	appendStringInfo(&sql, " activate_muted_at::text, activate_muted_by::text, activate_muted_reason::text"
					 " FROM %s WHERE activate_muted_at IS NOT NULL", act_sync_table_name(muted->sync));
	act_identity_owner(&identity, muted->sync->owner, NULL, NULL);
	muted->count = (int) act_sql(SPI_OK_SELECT, sql.data, 0, NULL);
	MemoryContextSwitchTo(context);
	muted->values = MemoryContextAllocHuge(context, sizeof(char *) * Max(muted->count, 1) * muted->width);
	for (int i = 0; i < muted->count * muted->width; i++)
		muted->values[i] = act_sql_text(i / muted->width, i % muted->width + 1);
	act_identity_leave(&identity);
}

static void
write_muted(void *arg)
{
	const MutedRows *muted = arg;
	const Sync *sync = muted->sync;
	Column	   *columns = palloc(sizeof(Column) * muted->width);
	SqlArgument *args = palloc(sizeof(SqlArgument) * muted->width);
	StringInfoData into;
	StringInfoData from;
	Identity	identity;

	initStringInfo(&into);
	initStringInfo(&from);
	for (int i = 0; i < sync->nkeys; i++)
	{
		appendStringInfo(&into, "%s, ", quote_identifier(sync->key[i]));
		appendStringInfo(&from, "u.c%d::%s, ", i + 1, format_type_be_qualified(muted->model->key_types[i]));
	}
	appendStringInfo(&into, "activate_state, activate_muted_at, activate_muted_by, activate_muted_reason) SELECT ");
	appendStringInfo(&from, "'gone', u.c%d::timestamptz, u.c%d, u.c%d FROM unnest(",
					 sync->nkeys + 1, sync->nkeys + 2, sync->nkeys + 3);
	for (int i = 0; i < muted->width; i++)
	{
		columns[i] = act_column_make(TEXTOID, muted->last - muted->first);
		for (int row = muted->first; row < muted->last; row++)
			act_column_add_text(&columns[i], muted->values[row * muted->width + i]);
		args[i] = act_column_argument(&columns[i]);
		appendStringInfo(&from, "%s$%d", i > 0 ? ", " : "", i + 1);
	}
	appendStringInfoString(&from, ") AS u(");
	for (int i = 0; i < muted->width; i++)
		appendStringInfo(&from, "%sc%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&from, ") ON CONFLICT DO NOTHING");
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sql(SPI_OK_INSERT, psprintf("INSERT INTO %s (%s%s", act_sync_table_name(sync), into.data, from.data),
			muted->width, args);
	act_identity_leave(&identity);
}

/* All, or where some key is none of the model's any more, one by one; how many could not be. */
static int
keep_muted(MutedRows *muted)
{
	int			lost = 0;

	muted->last = muted->count;
	if (muted->count == 0 || act_transaction_try(write_muted, muted))
		return 0;
	for (muted->first = 0; muted->first < muted->count; muted->first++)
	{
		CHECK_FOR_INTERRUPTS();
		muted->last = muted->first + 1;
		if (!act_transaction_try(write_muted, muted))
			lost++;
	}
	return lost;
}

static void
tell_rebuilt(const char *table, bool read, int lost)
{
	const char *mutes = !read ? ", and which rows were muted (mute_row), are gone." :
		lost > 0 ? psprintf(", and that %d rows were muted (mute_row) whose keys the model cannot have any more, are gone.", lost) :
		" are gone.";

	ereport(NOTICE,
			(errmsg("table %s is not as it was made, and is made anew", table),
			 errdetail("Grants on it%s indexes that were added%s", !read || lost > 0 ? "," : " and", mutes)));
}

void
act_snapshot_rebuild(Sync *sync)
{
	char	   *table = act_sync_table_name(sync);
	char		kind = get_rel_relkind(sync->table_oid);
	MutedRows	muted = {.sync = sync,.width = sync->nkeys + 3};
	bool		read;
	Model	   *model;
	Identity	identity;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is in the place of the table of sync \"%s\"", table, sync->name),
				 errhint("Drop it, and then the sync: SELECT activate.drop_sync(%s);", quote_literal_cstr(sync->name))));
	muted.model = model = act_model_resolve(sync);
	/* All of its rows are to be seen. */
	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, psprintf("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY", table), 0, NULL);
	act_identity_leave(&identity);
	read = act_transaction_try(read_muted, &muted);
	act_identity_extension(&identity);
	act_sql(SPI_OK_UTILITY, psprintf("DROP TABLE %s", table), 0, NULL);
	act_identity_leave(&identity);
	act_snapshot_create(sync, model, sync->owner);
	sync->table_oid = get_relname_relid(sync->name, get_namespace_oid("activate_data", false));
	tell_rebuilt(table, read, read ? keep_muted(&muted) : 0);
}
