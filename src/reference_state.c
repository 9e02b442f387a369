/*-------------------------------------------------------------------------
 *
 * reference_state.c
 *	  Which syncs refer to which, and that rows of one may have what rows of
 *	  another wait for.
 *
 * Nobody writes into the state of another sync, so that syncs which refer to
 * each other never wait for each other.  Each run that had rows accepted adds
 * one to its own sync's ids_moved; a sync with rows waiting is due when that
 * sum, over the syncs it refers to, is more than it was when it last looked.
 * That such a run is under way is written with the first of the rows: when it
 * dies, who notices that adds the one.
 *
 * As the extension, inside a transaction with SPI connected that the caller
 * commits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "identity.h"
#include "reference.h"
#include "transaction.h"

static bool
is_stored(const char *name, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		if (strcmp(act_sql_text(i, 1), name) == 0)
			return true;
	}
	return false;
}

static bool
stored_differ(const Sync *sync, const Model *model)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	uint64		count = act_sql(SPI_OK_SELECT,
								"SELECT referenced_sync FROM activate.sync_reference WHERE sync_id = $1", 1, args);
	ListCell   *cell;

	if (count != list_length(model->references))
		return true;
	foreach(cell, model->references)
	{
		if (!is_stored(lfirst(cell), count))
			return true;
	}
	return false;
}

/* Neither dropped nor renamed until it is stored who refers to it. */
static void
keep_sync(const char *name)
{
	SqlArgument args[] = {SQL_TEXT(name)};

	if (act_sql(SPI_OK_SELECT, "SELECT 1 FROM activate.sync WHERE name = $1 FOR KEY SHARE", 1, args) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sync \"%s\" does not exist", name),
				 errhint("Call it again: it was dropped or renamed just now.")));
}

void
act_reference_store(const Sync *sync, const Model *model)
{
	Identity	identity;
	ListCell   *cell;

	act_identity_extension(&identity);
	if (stored_differ(sync, model))
	{
		SqlArgument id[] = {SQL_INT8(sync->sync_id)};

		act_sql(SPI_OK_DELETE, "DELETE FROM activate.sync_reference WHERE sync_id = $1", 1, id);
		foreach(cell, model->references)
		{
			SqlArgument args[] = {SQL_INT8(sync->sync_id), SQL_TEXT((char *) lfirst(cell))};

			keep_sync(lfirst(cell));
			act_sql(SPI_OK_INSERT,
					"INSERT INTO activate.sync_reference (sync_id, referenced_sync) VALUES ($1, $2)",
					lengthof(args), args);
		}
		/* Another sum than the one that was seen. */
		act_sql(SPI_OK_UPDATE, "UPDATE activate.sync_state SET ids_seen = -1 WHERE sync_id = $1", 1, id);
	}
	act_identity_leave(&identity);
}

void
act_reference_forget(int64 sync_id)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync_id)};

	act_identity_extension(&identity);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.sync_reference WHERE sync_id = $1", 1, args);
	act_identity_leave(&identity);
}

bool
act_reference_keeps_records(const char *name)
{
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(name)};
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT, "SELECT 1 FROM activate.sync WHERE name = $1 AND on_removed IN ('clear', 'update')", 1, args);
	act_identity_leave(&identity);
	return count > 0;
}

/* "a", "b" and "c"; NULL: nobody refers to it. */
static char *
referring_syncs(const Sync *sync, bool itself, char **first)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Identity	identity;
	StringInfoData buf;
	SqlArgument args[] = {SQL_TEXT(sync->name), SQL_INT8(itself ? 0 : sync->sync_id)};
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT s.name FROM activate.sync_reference AS r JOIN activate.sync AS s USING (sync_id)"
					" WHERE r.referenced_sync = $1 AND r.sync_id <> $2 ORDER BY 1", lengthof(args), args);
	inside = MemoryContextSwitchTo(context);
	initStringInfo(&buf);
	for (uint64 i = 0; i < count; i++)
	{
		if (i == 0)
			*first = act_sql_text(i, 1);
		appendStringInfo(&buf, "%s\"%s\"", i == 0 ? "" : i == count - 1 ? " and " : ", ", act_sql_text(i, 1));
	}
	MemoryContextSwitchTo(inside);
	act_identity_leave(&identity);
	return count > 0 ? buf.data : NULL;
}

static void
refuse(const Sync *sync, const char *what, bool itself)
{
	char	   *first = NULL;
	char	   *names = referring_syncs(sync, itself, &first);

	if (names == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("sync \"%s\" cannot be %s: %s", sync->name, what,
					itself ? "it is referred to by its name" : "other syncs refer to it"),
			 errdetail("Its ids are asked for in %s.", names),
			 errhint("SELECT activate.alter_sync(%s, mapping => '...'); without activate.external_id(%s, ...) first.",
					 quote_literal_cstr(first), quote_literal_cstr(sync->name))));
}

void
act_reference_refuse_drop(const Sync *sync)
{
	refuse(sync, "dropped", false);
}

/* Its own name stands in its own mapping, too. */
void
act_reference_refuse_rename(const Sync *sync)
{
	refuse(sync, "renamed", true);
}

void
act_reference_note_ids(const Sync *sync)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, "UPDATE activate.sync_state SET ids_new = true WHERE sync_id = $1 AND NOT ids_new", 1, args);
	act_identity_leave(&identity);
}
