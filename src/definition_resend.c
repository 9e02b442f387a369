/*-------------------------------------------------------------------------
 *
 * definition_resend.c
 *	  What a change of a definition sends again, said before it does.
 *
 * Called by alter_sync() and its like once the new definition is complete and
 * before it is stored, inside a transaction with SPI connected.  Counts rows
 * of the sync's table, and reads no model: what a run would really send is
 * plan_sync()'s to say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "definition.h"
#include "identity.h"
#include "preview.h"
#include "transaction.h"

/* A shorter run is over before this was read. */
#define MIN_SECONDS_TOLD 10

static int64
count_rows(const Sync *sync, const char *state)
{
	Identity	identity;
	int64		count;
	SqlArgument args[] = {SQL_TEXT(state)};

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sync_table_open(sync, AccessShareLock, false);
	act_sql(SPI_OK_SELECT,
			psprintf("SELECT pg_catalog.count(*) FROM %s WHERE activate_state OPERATOR(pg_catalog.=) $1",
					 act_sync_table_name(sync)), lengthof(args), args);
	count = act_sql_int64(0, 1);
	act_identity_leave(&identity);
	return count;
}

/* As many as full batches make, or one of mode replace; 0: the connector knows no such operation. */
static int64
count_requests(const Sync *sync, int64 rows)
{
	Run			run = {.sync = unconstify(Sync *, sync)};
	const ConnectorOperation *operation;
	int64		requests = 0;

	if (sync->mode == MODE_REPLACE)
		return 1;
	run.destination = act_destination_load_object(sync->destination, sync->owner, sync->object, false);
	operation = act_connector_operation(run.destination->connector,
										act_sync_mode_op(sync->mode, sync->on_removed));
	if (operation != NULL)
		requests = (rows + act_batch_limit(&run, operation) - 1) / act_batch_limit(&run, operation);
	act_destination_wipe(run.destination);
	return requests;
}

/* ", about 1843 requests, 3 min"; the time where earlier runs tell it and it is one to wait. */
static char *
describe_volume(const Sync *old, const Sync *new, int64 rows)
{
	int64		requests = count_requests(new, rows);
	int64		seconds = act_plan_seconds(old->sync_id, rows);
	StringInfoData buf;

	initStringInfo(&buf);
	if (requests > 0)
		appendStringInfo(&buf, ", about " INT64_FORMAT " %s", requests, requests == 1 ? "request" : "requests");
	if (seconds >= 2 * SECS_PER_HOUR)
		appendStringInfo(&buf, ", " INT64_FORMAT " h", (seconds + SECS_PER_HOUR / 2) / SECS_PER_HOUR);
	else if (seconds >= 2 * SECS_PER_MINUTE)
		appendStringInfo(&buf, ", " INT64_FORMAT " min", (seconds + SECS_PER_MINUTE / 2) / SECS_PER_MINUTE);
	else if (seconds >= MIN_SECONDS_TOLD)
		appendStringInfo(&buf, ", " INT64_FORMAT " s", seconds);
	return buf.data;
}

static void
tell_whole(const Sync *old, const Sync *new, const char *why, Resend resend)
{
	int64		synced = count_rows(old, "accepted");

	if (synced == 0)
		return;
	ereport(NOTICE,
			(errmsg(INT64_FORMAT " of " INT64_FORMAT " rows of sync \"%s\" will be sent again (%s)%s",
					synced, synced, new->name, why, describe_volume(old, new, synced)),
			 resend == RESEND_ALL ? 0 :
			 errhint("If the destination has these values already: resend => 'none'.")));
}

static void
tell_part(const Sync *old, const Sync *new)
{
	int64		synced = count_rows(old, "accepted");

	if (synced == 0)
		return;
	ereport(NOTICE,
			(errmsg("of " INT64_FORMAT " rows of sync \"%s\" those whose values are now others will be sent again",
					synced, new->name),
			 errhint("SELECT * FROM activate.plan_sync(%s); counts them.", quote_literal_cstr(new->name))));
}

/* Rows that left while nothing was done about it are removed now. */
static void
tell_removals(const Sync *old, const Sync *new)
{
	int64		left;

	if (act_on_removed_op(old->on_removed) != ROW_OP_NONE || act_on_removed_op(new->on_removed) == ROW_OP_NONE)
		return;
	left = count_rows(old, "left");
	if (left > 0)
		ereport(NOTICE,
				(errmsg_plural("%lld row that left the model of sync \"%s\" so far will be removed, too (on_removed %s)",
							   "%lld rows that left the model of sync \"%s\" so far will be removed, too (on_removed %s)",
							   left, (long long) left, new->name, act_on_removed_name(new->on_removed)),
				 errhint("To leave what left as it is: SELECT activate.reset_sync(%s, 'baseline');",
						 quote_literal_cstr(new->name))));
}

static bool
sends_once(SyncMode mode)
{
	return mode == MODE_INSERT || mode == MODE_APPEND;
}

void
act_definition_tell_resend(const Sync *old, const Sync *new, const char *why, Resend resend, bool same_values)
{
	bool		moved = strcmp(old->destination, new->destination) != 0 ||
		strcmp(old->object ? old->object : "", new->object ? new->object : "") != 0;

	if (!moved)
		tell_removals(old, new);
	if (resend == RESEND_NONE || (sends_once(new->mode) && !moved))
		return;
	if (resend == RESEND_ALL)
		why = "resend is all";
	if (why != NULL)
		tell_whole(old, new, why, resend);
	else if (!same_values || sends_once(old->mode))
		tell_part(old, new);
}
