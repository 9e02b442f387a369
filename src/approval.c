/*-------------------------------------------------------------------------
 *
 * approval.c
 *	  Held runs: what only a person decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "event.h"
#include "fault.h"
#include "identity.h"
#include "settings.h"
#include "sync_state.h"
#include "transaction.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_approve_run);
PG_FUNCTION_INFO_V1(act_discard_run);

static void
connect(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* The sync of a held run; errors unless the caller owns it and it is held. */
static Sync *
held_run(FunctionCallInfo fcinfo, int64 *run_id)
{
	Identity	identity;
	Sync	   *sync = NULL;
	char	   *status = NULL;
	int64		sync_id = 0;
	SqlArgument args[1];

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the run must not be null"),
				 errhint("SELECT run_id, sync FROM activate.runs WHERE status = 'held';")));
	*run_id = PG_GETARG_INT64(0);
	args[0] = (SqlArgument) SQL_INT8(*run_id);

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, "SELECT sync_id, status FROM activate.run WHERE run_id = $1", 1, args) == 1)
	{
		sync_id = act_sql_int64(0, 1);
		status = act_sql_text(0, 2);
	}
	act_identity_leave(&identity);
	if (status != NULL)
		sync = act_sync_load_by_id(sync_id);
	if (sync == NULL || !OidIsValid(sync->owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("run " INT64_FORMAT " does not exist", *run_id),
				 errhint("SELECT run_id, sync FROM activate.runs WHERE status = 'held';")));
	act_require_membership(sync->owner, sync->name);
	if (strcmp(status, "held") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("run " INT64_FORMAT " of sync \"%s\" is not held: it is %s", *run_id, sync->name, status),
				 errhint("SELECT run_id, sync FROM activate.runs WHERE status = 'held';")));
	return sync;
}

static void
require_approver(void)
{
	Oid			role;

	if (act_approver_role == NULL || act_approver_role[0] == '\0')
		return;
	role = get_role_oid(act_approver_role, true);
	if (!OidIsValid(role) || !has_privs_of_role(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only members of role \"%s\" may approve runs", act_approver_role),
				 errdetail("The setting pg_activate.approver_role says so.")));
}

Datum
act_approve_run(PG_FUNCTION_ARGS)
{
	int64		run_id;
	Sync	   *sync;
	Identity	identity;
	char	   *user = GetUserNameFromId(GetUserId(), false);
	const char *hint;
	bool		served = act_workers_problem(&hint) == NULL;

	connect();
	sync = held_run(fcinfo, &run_id);
	require_approver();
	{
		SqlArgument args[] = {SQL_INT8(run_id), SQL_TEXT(user),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false}};

		act_identity_extension(&identity);
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.run SET approved_by = $2, approved_at = $3 WHERE run_id = $1",
				lengthof(args), args);
		act_identity_leave(&identity);
	}
	act_event_record("run_approved", "info", sync, run_id,
					 psprintf("run " INT64_FORMAT " of sync \"%s\" was approved by %s", run_id, sync->name, user),
					 NULL);
	if (served)
		act_sync_state_run_now(sync);
	if (sync->paused)
		ereport(NOTICE,
				(errmsg("run " INT64_FORMAT " goes out when sync \"%s\" is resumed, if it still is what was held",
						run_id, sync->name),
				 errhint("SELECT activate.resume_sync(%s);", quote_literal_cstr(sync->name))));
	else if (served)
		ereport(NOTICE,
				(errmsg("run " INT64_FORMAT " of sync \"%s\" goes out now, if it still is what was held",
						run_id, sync->name)));
	else
		ereport(NOTICE,
				(errmsg("run " INT64_FORMAT " goes out with the next run of sync \"%s\", if it still is what was held",
						run_id, sync->name),
				 errhint("CALL activate.run_sync(%s);", quote_literal_cstr(sync->name))));
	/* The sync goes with it. */
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
act_discard_run(PG_FUNCTION_ARGS)
{
	int64		run_id;
	Sync	   *sync;
	Identity	identity;

	connect();
	sync = held_run(fcinfo, &run_id);
	{
		SqlArgument args[] = {SQL_INT8(run_id)};

		act_identity_extension(&identity);
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.run SET status = 'cancelled', approved_by = NULL, approved_at = NULL"
				" WHERE run_id = $1", 1, args);
		act_identity_leave(&identity);
	}
	act_event_record("run_discarded", "info", sync, run_id,
					 psprintf("held run " INT64_FORMAT " of sync \"%s\" was discarded", run_id, sync->name),
					 NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
