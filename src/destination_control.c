/*-------------------------------------------------------------------------
 *
 * destination_control.c
 *	  SQL-callable: pause_destination(), resume_destination().
 *
 * In the caller's transaction, with its commit: then runs under way look
 * (act_run_poll) and end, and schedulers go on with what is due.  For members
 * of the server's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "definition.h"
#include "destination_state.h"
#include "event.h"
#include "fault.h"
#include "identity.h"
#include "stored_secret.h"
#include "sync_state_private.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_pause_destination);
PG_FUNCTION_INFO_V1(act_resume_destination);
PG_FUNCTION_INFO_V1(act_destination_forget_gone);

/* A destination that the caller may pause. */
static char *
destination_argument(FunctionCallInfo fcinfo, const char *hint)
{
	char	   *name;
	const ForeignServer *server;

	act_require_argument(PG_ARGISNULL(0), "destination", hint);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	server = act_destination_server(name, GetUserId());
	if (!has_privs_of_role(GetUserId(), server->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of destination \"%s\"", name),
				 errdetail("It concerns everybody who uses it."),
				 errhint("Its owner is \"%s\". One sync is paused by its own owner: SELECT activate.pause_sync('...');",
						 GetUserNameFromId(server->owner, false))));
	return name;
}

/* Those that are locked have a run that ends just now, and says itself when to try again. */
#define RETRY_NOW_SQL \
	"UPDATE activate.sync_state SET retry_at = $2 WHERE sync_id IN" \
	" (SELECT t.sync_id FROM activate.sync AS s JOIN activate.sync_state AS t USING (sync_id)" \
	" WHERE s.destination = $1 AND t.retry_at > $2 AND NOT t.retry_rows AND t.model_problem_since IS NULL" \
	" FOR UPDATE OF t SKIP LOCKED)"

void
act_destination_go_on(const char *destination)
{
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(act_now())};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, RETRY_NOW_SQL, lengthof(args), args);
	act_identity_leave(&identity);
	act_destination_changed_at_commit();
}

/* False: somebody had paused it. */
static bool
note_pause(const char *destination, const char *role)
{
	Identity	identity;
	bool		paused;
	SqlArgument args[] = {SQL_TEXT(destination), SQL_TIME(act_now()), SQL_TEXT(role)};

	act_identity_extension(&identity);
	paused = act_sql(SPI_OK_INSERT,
					 "INSERT INTO activate.destination_state AS d (destination, paused_at, paused_by)"
					 " VALUES ($1, $2, $3) ON CONFLICT (destination) DO UPDATE SET paused_at = $2, paused_by = $3"
					 " WHERE d.paused_at IS NULL", lengthof(args), args) > 0;
	act_identity_leave(&identity);
	return paused;
}

static bool
note_resume(const char *destination)
{
	Identity	identity;
	bool		resumed;
	SqlArgument args[] = {SQL_TEXT(destination)};

	act_identity_extension(&identity);
	resumed = act_sql(SPI_OK_UPDATE,
					  "UPDATE activate.destination_state SET paused_at = NULL, paused_by = NULL"
					  " WHERE destination = $1 AND paused_at IS NOT NULL", lengthof(args), args) > 0;
	act_identity_leave(&identity);
	return resumed;
}

Datum
act_pause_destination(PG_FUNCTION_ARGS)
{
	char	   *name = destination_argument(fcinfo, "SELECT activate.pause_destination('crm');");
	char	   *role = GetUserNameFromId(GetUserId(), false);

	SPI_connect();
	if (note_pause(name, role))
	{
		act_event_record_destination("destination_paused", "info", name, 0,
									 psprintf("destination \"%s\" was paused by %s", name, role), NULL);
		act_destination_changed_at_commit();
	}
	else
		ereport(NOTICE,
				(errmsg("destination \"%s\" was paused already", name)));
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
act_resume_destination(PG_FUNCTION_ARGS)
{
	char	   *name = destination_argument(fcinfo, "SELECT activate.resume_destination('crm');");

	SPI_connect();
	if (note_resume(name))
	{
		act_event_record_destination("destination_resumed", "info", name, 0,
									 psprintf("destination \"%s\" was resumed by %s", name,
											  GetUserNameFromId(GetUserId(), false)), NULL);
		act_destination_go_on(name);
	}
	else
		ereport(NOTICE,
				(errmsg("destination \"%s\" is not paused", name)));
	SPI_finish();
	PG_RETURN_VOID();
}

/* In an event trigger: servers were dropped.  What is closed stays so, whoever makes it again. */
Datum
act_destination_forget_gone(PG_FUNCTION_ARGS)
{
	Identity	identity;

	SPI_connect();
	act_identity_extension(&identity);
	act_sql(SPI_OK_DELETE,
			"DELETE FROM activate.destination_state AS d WHERE NOT d.closed AND NOT EXISTS"
			" (SELECT 1 FROM pg_catalog.pg_foreign_server AS f WHERE f.srvname = d.destination::pg_catalog.name)", 0, NULL);
	act_stored_secrets_clean_up();
	act_catalog_forget_gone();
	act_identity_leave(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}
