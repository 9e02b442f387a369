/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Rows that are not accepted: behind the views pending and status.
 *
 * They stand in the syncs' own tables, which are read as their owners, one
 * after the other.  A table that its owner made unusable, or keeps locked, is
 * passed over: the sync's next run says what is wrong with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "compat.h"
#include "identity.h"
#include "sync.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_pending_rows);
PG_FUNCTION_INFO_V1(act_pending_counts);

#define PENDING_COLUMNS 12

/* All syncs whose table can be read; may NULL: whoever asks may see them. */
static List *
readable_syncs(bool statistics)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			user = GetUserId();
	bool		monitor = statistics && has_privs_of_role(user, ROLE_PG_MONITOR);
	Identity	identity;
	uint64		count;
	int64	   *ids;
	List	   *syncs = NIL;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT, "SELECT sync_id FROM activate.sync ORDER BY name", 0, NULL);
	ids = palloc(sizeof(int64) * (count + 1));
	for (uint64 i = 0; i < count; i++)
		ids[i] = act_sql_int64(i, 1);
	act_identity_leave(&identity);

	for (uint64 i = 0; i < count; i++)
	{
		Sync	   *sync;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		sync = act_sync_load_by_id(ids[i]);
		if (sync != NULL && OidIsValid(sync->owner) &&
			(monitor || has_privs_of_role(user, sync->owner)) &&
			ConditionalLockRelationOid(sync->table_oid, AccessShareLock) &&
			act_sync_table_problem(sync) == NULL)
			syncs = lappend(syncs, sync);
	}
	return syncs;
}

static char *
key_object(const Sync *sync)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "pg_catalog.jsonb_build_object(");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&buf, "%s%s, s.%s", i > 0 ? ", " : "",
						 quote_literal_cstr(sync->key[i]), quote_identifier(sync->key[i]));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static void
put_pending(ReturnSetInfo *result, const Sync *sync)
{
	uint64		count;
	Identity	identity;
	const char *removal = act_on_removed_name(sync->on_removed);
	SqlArgument args[] = {SQL_TEXT(removal)};

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	/* A row in doubt is one that waits for the next run; one that is muted waits for nothing. */
	count = act_sql(SPI_OK_SELECT,
					psprintf("SELECT %s, COALESCE(CASE s.activate_op WHEN 'update_removed' THEN 'update' WHEN 'replace_removed' THEN 'replace' ELSE s.activate_op END, CASE s.activate_state WHEN 'leaving' THEN $1 END),"
							 " CASE WHEN s.activate_muted_at IS NOT NULL THEN 'skipped'"
							 " WHEN s.activate_state = 'doubt' THEN 'delayed' ELSE s.activate_state END,"
							 " s.activate_attempts, s.activate_first_at, s.activate_last_at,"
							 " CASE WHEN s.activate_muted_at IS NULL THEN s.activate_next_attempt_at END, s.activate_http_status,"
							 " CASE WHEN s.activate_muted_at IS NOT NULL THEN 'muted'"
							 " ELSE COALESCE(s.activate_code, CASE WHEN s.activate_state = 'doubt' THEN"
							 " CASE WHEN s.activate_in_doubt THEN 'in_doubt' WHEN s.activate_late_until IS NOT NULL THEN 'late_request' END END) END,"
							 " CASE WHEN s.activate_muted_at IS NOT NULL THEN concat('muted by ', s.activate_muted_by, ' at ',"
							 " date_trunc('second', s.activate_muted_at), ': ' || s.activate_muted_reason)"
							 " ELSE s.activate_message END, s.activate_request_id"
							 " FROM %s AS s WHERE s.activate_state <> 'accepted'"
							 " AND s.activate_state NOT IN ('left', 'removed', 'gone') ORDER BY s.activate_last_at",
							 key_object(sync), act_sync_table_name(sync)), 1, args);
	act_identity_leave(&identity);
	for (uint64 i = 0; i < count; i++)
	{
		Datum		values[PENDING_COLUMNS];
		bool		nulls[PENDING_COLUMNS];

		values[0] = Int64GetDatum(sync->sync_id);
		nulls[0] = false;
		for (int column = 1; column < PENDING_COLUMNS; column++)
			values[column] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										   column, &nulls[column]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static void
put_counts(ReturnSetInfo *result, const Sync *sync)
{
	Identity	identity;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sql(SPI_OK_SELECT,
			psprintf("SELECT pg_catalog.count(*) FILTER (WHERE s.activate_state IN ('rejected', 'refused') AND s.activate_muted_at IS NULL),"
					 " pg_catalog.count(*) FROM %s AS s WHERE s.activate_state <> 'accepted'"
					 " AND s.activate_state NOT IN ('left', 'removed', 'gone') AND s.activate_muted_at IS NULL", act_sync_table_name(sync)), 0, NULL);
	act_identity_leave(&identity);
	values[0] = Int64GetDatum(sync->sync_id);
	values[1] = Int64GetDatum(act_sql_int64(0, 1));
	values[2] = Int64GetDatum(act_sql_int64(0, 2));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

typedef struct Asked
{
	ReturnSetInfo *result;
	const Sync *sync;
	void		(*put) (ReturnSetInfo *result, const Sync *sync);
} Asked;

static void
put_asked(void *arg)
{
	Asked	   *asked = arg;

	asked->put(asked->result, asked->sync);
}

static void
for_each_sync(FunctionCallInfo fcinfo, bool statistics,
			  void (*put) (ReturnSetInfo *result, const Sync *sync))
{
	ListCell   *cell;

	act_compat_materialize(fcinfo);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	foreach(cell, readable_syncs(statistics))
	{
		/*
		 * What the owner made of his table (a policy, a cast, a generated
		 * column) may raise; whoever asks about other syncs must not hear.
		 */
		Asked		asked = {(ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell), put};

		(void) act_transaction_try(put_asked, &asked);
	}
	SPI_finish();
}

Datum
act_pending_rows(PG_FUNCTION_ARGS)
{
	for_each_sync(fcinfo, false, put_pending);
	return (Datum) 0;
}

Datum
act_pending_counts(PG_FUNCTION_ARGS)
{
	for_each_sync(fcinfo, true, put_counts);
	return (Datum) 0;
}
