/*-------------------------------------------------------------------------
 *
 * definition_state.c
 *	  SQL-callable: drop_sync(), pause_sync(), resume_sync(), reset_sync().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "definition.h"
#include "event.h"
#include "identity.h"
#include "nearest.h"
#include "reference.h"
#include "run.h"
#include "run_lock.h"
#include "settle.h"
#include "snapshot.h"
#include "sync_state.h"
#include "transaction.h"

/* How long drop_sync() waits for the run that it cancelled, and how often it looks. */
#define DROP_PATIENCE (5 * USECS_PER_SEC)
#define DROP_PAUSE_MS 20

PG_FUNCTION_INFO_V1(act_drop_sync);
PG_FUNCTION_INFO_V1(act_pause_sync);
PG_FUNCTION_INFO_V1(act_resume_sync);
PG_FUNCTION_INFO_V1(act_reset_sync);

static char *
name_argument(FunctionCallInfo fcinfo, const char *hint)
{
	act_require_argument(PG_ARGISNULL(0), "name", hint);
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static void
refuse_while_running(const Sync *sync, const char *what)
{
	int			pid = act_run_lock_holder(sync->sync_id);

	if (pid != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("sync \"%s\" cannot be %s while it is running", sync->name, what),
				 errdetail("It runs in process %d.", pid),
				 errhint("Wait until the run has ended, or end it: SELECT activate.cancel_run(run_id) FROM activate.progress WHERE sync = %s;",
						 quote_literal_cstr(sync->name))));
}

/* One of ours with the sync's id and a text. */
static void
update_sync(const Sync *sync, int expected, const char *sql, const char *text)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(sync->sync_id), SQL_TEXT(text)};

	act_identity_extension(&identity);
	act_sql(expected, sql, text != NULL ? 2 : 1, args);
	act_identity_leave(&identity);
}

/* Everything that is kept of it. */
static void
forget_sync(const Sync *sync)
{
	static const char *const statements[] = {
		"DELETE FROM activate.sync_relation WHERE sync_id = $1",
		"DELETE FROM activate.claim WHERE sync_id = $1",
		"DELETE FROM activate.job WHERE sync_id = $1",
		"DELETE FROM activate.invalid_row WHERE sync_id = $1",
		"DELETE FROM activate.request WHERE sync_id = $1",
		"DELETE FROM activate.event WHERE sync_id = $1",
		"DELETE FROM activate.run WHERE sync_id = $1",
		"DELETE FROM activate.sync WHERE sync_id = $1"
	};

	act_sync_state_drop(sync->sync_id);
	act_reference_forget(sync->sync_id);
	for (int i = 0; i < lengthof(statements); i++)
		update_sync(sync, SPI_OK_DELETE, statements[i], NULL);
}

/* A run that is under way ends at its next step; one of a session, too. */
static void
cancel_run(const Sync *sync)
{
	TimestampTz until = GetCurrentTimestamp() + DROP_PATIENCE;

	if (!act_run_cancel(sync->sync_id, 0))
		return;
	ereport(NOTICE,
			(errmsg("the run of sync \"%s\" that is under way is cancelled", sync->name)));
	while (act_run_lock_holder(sync->sync_id) != 0 && GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, DROP_PAUSE_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
act_definition_drop(const char *name, bool missing_ok, bool rehearsal)
{
	/* Before the sync is locked: a run that ends writes there, too. */
	Sync	   *sync = act_sync_load(name, missing_ok);

	if (sync == NULL)
		return false;
	act_definition_refuse_followed(sync);
	act_reference_refuse_drop(sync);
	if (!rehearsal)
		cancel_run(sync);
	sync = act_sync_load_locked(name, missing_ok, true);
	if (sync == NULL)
		return false;
	if (!rehearsal)
		refuse_while_running(sync, "dropped");
	act_definition_refuse_followed(sync);
	act_reference_refuse_drop(sync);
	act_event_record("dropped", "info", NULL, 0, psprintf("sync \"%s\" was dropped", name), NULL);
	if (OidIsValid(sync->table_oid) && !rehearsal)
		act_snapshot_drop(sync);
	forget_sync(sync);
	return true;
}

Datum
act_drop_sync(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo, "SELECT activate.drop_sync('customer_health');");

	act_require_argument(PG_ARGISNULL(1), "missing_ok", "missing_ok => true or false.");
	SPI_connect();
	if (!act_definition_drop(name, PG_GETARG_BOOL(1), false))
		ereport(NOTICE,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sync \"%s\" does not exist, nothing to drop", name)));
	SPI_finish();
	PG_RETURN_VOID();
}

void
act_definition_pause(const Sync *sync, const char *reason)
{
	update_sync(sync, SPI_OK_UPDATE,
				reason != NULL ?
				"UPDATE activate.sync SET paused = true, pause_reason = $2 WHERE sync_id = $1" :
				"UPDATE activate.sync SET paused = true, pause_reason = NULL WHERE sync_id = $1",
				reason);
	if (!sync->paused)
		act_event_record("paused", "info", sync, 0,
						 psprintf("sync \"%s\" was paused by %s%s%s", sync->name,
								  GetUserNameFromId(GetUserId(), false),
								  reason ? ": " : "", reason ? reason : ""), NULL);
}

void
act_definition_resume(const Sync *sync)
{
	update_sync(sync, SPI_OK_UPDATE,
				"UPDATE activate.sync SET paused = false, pause_reason = NULL WHERE sync_id = $1", NULL);
	act_sync_state_define(sync, false);
	act_event_record("resumed", "info", sync, 0,
					 psprintf("sync \"%s\" was resumed by %s", sync->name,
							  GetUserNameFromId(GetUserId(), false)), NULL);
}

Datum
act_pause_sync(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo, "SELECT activate.pause_sync('customer_health', reason => '...');");
	char	   *reason = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Sync	   *sync;

	SPI_connect();
	sync = act_sync_load_locked(name, false, true);
	if (sync->paused)
		ereport(NOTICE,
				(errmsg("sync \"%s\" was paused already", name)));
	act_definition_pause(sync, reason);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
act_resume_sync(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo, "SELECT activate.resume_sync('customer_health');");
	Sync	   *sync;

	SPI_connect();
	sync = act_sync_load_locked(name, false, true);
	if (!sync->paused)
		ereport(NOTICE,
				(errmsg("sync \"%s\" is not paused", name)));
	else
		act_definition_resume(sync);
	SPI_finish();
	PG_RETURN_VOID();
}

/* Requests of a run that died may be under way still. */
static void
recover(const Sync *sync)
{
	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	(void) act_claim_recover(sync, act_settler_create(sync));
}

static void
reset_resend(Sync *sync)
{
	if (act_snapshot_altered(sync))
		act_snapshot_rebuild(sync);
	else
		recover(sync);
	act_snapshot_forget(sync, false);
	act_unit_forget(sync, true);
	update_sync(sync, SPI_OK_UPDATE,
				"UPDATE activate.sync SET first_batch_alone = true, first_run_pending = false WHERE sync_id = $1", NULL);
	ereport(NOTICE,
			(errmsg("every row of sync \"%s\" will be sent again", sync->name),
			 errdetail("removals since the last run will be forgotten")));
	act_event_record("reset", "info", sync, 0,
					 psprintf("sync \"%s\" was reset: every row is sent again", sync->name), NULL);
}

static void
reset_baseline(const Sync *sync)
{
	int64		rows = act_snapshot_baseline(sync, act_model_resolve(sync));

	act_cluster_trust(sync);
	act_unit_forget(sync, false);
	update_sync(sync, SPI_OK_UPDATE,
				"UPDATE activate.sync SET first_run_pending = false WHERE sync_id = $1", NULL);
	ereport(NOTICE,
			(errmsg(INT64_FORMAT " rows of sync \"%s\" count as sent as they are now", rows, sync->name)));
	act_event_record("reset", "info", sync, 0,
					 psprintf("sync \"%s\" was reset: " INT64_FORMAT " rows count as sent", sync->name, rows), NULL);
}

Datum
act_reset_sync(PG_FUNCTION_ARGS)
{
	static const char *const choices[] = {"resend", "baseline", NULL};
	char	   *name = name_argument(fcinfo, "SELECT activate.reset_sync('customer_health', 'resend');");
	char	   *how;
	const char *nearest;
	Sync	   *sync;

	act_require_argument(PG_ARGISNULL(1), "how",
						 "'resend' forgets everything sent, 'baseline' accepts today's rows as sent.");
	how = text_to_cstring(PG_GETARG_TEXT_PP(1));

	SPI_connect();
	sync = act_sync_load_locked(name, false, true);
	if (strcmp(how, "resend") != 0 && strcmp(how, "baseline") != 0)
	{
		nearest = act_nearest_name(how, choices);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown way \"%s\" to reset a sync", how),
				 nearest ? errhint("Perhaps you meant '%s'.", nearest) :
				 errhint("'resend' forgets everything sent, 'baseline' accepts today's rows as sent.")));
	}
	refuse_while_running(sync, "reset");
	if (strcmp(how, "resend") == 0)
		reset_resend(sync);
	else
		reset_baseline(sync);
	act_sync_state_define(sync, false);
	SPI_finish();
	PG_RETURN_VOID();
}
