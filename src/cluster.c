/*-------------------------------------------------------------------------
 *
 * cluster.c
 *	  A copy does not send (design decision 8): where a sync may run.
 *
 * Each sync has written down where it may run: system identifier, database
 * and host.  Whatever is restored, cloned or upgraded from there differs in
 * one of them and holds still until confirm_cluster() says what it is.
 *
 * A standby that was promoted, and a server that was recovered to an older
 * state, do not differ, but may not know all that was sent: each begins a new
 * timeline, and the first run of a sync on it puts every row in doubt.
 *
 * What changes tables runs as the extension, or as the sync's owner where it
 * is his table, inside the caller's transaction with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_type.h"
#include "common/ip.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "storage/fd.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/varlena.h"

#include "cluster.h"
#include "event.h"
#include "identity.h"
#include "nearest.h"
#include "run.h"
#include "settings.h"
#include "snapshot.h"
#include "transaction.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_confirm_cluster);
PG_FUNCTION_INFO_V1(act_home_problem);

#define CONFIRM_HINT \
	"If this server sends from now on: SELECT activate.confirm_cluster('move');" \
	" if it was set back to an older state: 'recovered'; if it is a copy to try things with: 'sandbox'."

/* How a server came to be. */
typedef enum ClusterKind
{
	CLUSTER_MOVED,				/* it takes the place of the other one */
	CLUSTER_SANDBOX,			/* as MOVED, but no credentials that came with it are used */
	CLUSTER_RECOVERED			/* as MOVED, but what was sent is not known for certain */
} ClusterKind;

static const char *const kind_names[] = {
	[CLUSTER_MOVED] = "move",
	[CLUSTER_SANDBOX] = "sandbox",
	[CLUSTER_RECOVERED] = "recovered",
	NULL
};

/* Syncs of roles whose rights user $1 has: whoever owns the others decides on them. */
#define SYNCS_OF_USER \
	" pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace" \
	" WHERE c.relname = s.name::pg_catalog.name AND n.nspname = 'activate_data'" \
	" AND pg_catalog.pg_has_role($1, c.relowner, 'USAGE')"

#define IS_AWAY "(s.system_identifier, s.database_oid, s.host) IS DISTINCT FROM ($2, $3, $4)"

/* $5 timeline, $6 every row in doubt, $7 also syncs that may run here already */
#define MOVE \
	"UPDATE activate.sync AS s SET system_identifier = $2, database_oid = $3, host = $4," \
	" timeline = CASE WHEN s.system_identifier = $2 THEN s.timeline ELSE $5 END," \
	" in_doubt = s.in_doubt OR $6, hold_next = s.hold_next OR $6 FROM" SYNCS_OF_USER \
	" AND ($7 OR " IS_AWAY ")"

/*
 * Destinations of syncs that come from elsewhere, and all that are the user's
 * own, whether a sync uses them yet or not: their credentials came along, too.
 * Others' may be at home here, and nobody closes those where they work.
 */
#define CLOSE \
	"INSERT INTO activate.destination_state AS d (destination, closed)" \
	" SELECT a.destination, true FROM" \
	" (SELECT s.destination FROM activate.sync AS s," SYNCS_OF_USER " AND " IS_AWAY \
	" UNION SELECT f.srvname::pg_catalog.text FROM pg_catalog.pg_foreign_server AS f" \
	" JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = f.srvfdw" \
	" WHERE w.fdwname = 'activate' AND pg_catalog.pg_has_role($1, f.srvowner, 'USAGE')) AS a" \
	" ORDER BY 1 ON CONFLICT (destination) DO UPDATE SET closed = true RETURNING d.destination"

/* What somebody set here while it was closed before came with this copy, too. */
#define CLOSE_CREDENTIALS \
	"UPDATE activate.credential AS c SET closed = NULL FROM pg_catalog.pg_foreign_server AS f" \
	" JOIN activate.destination_state AS d ON d.destination = f.srvname::pg_catalog.text" \
	" WHERE f.oid = c.server_oid AND d.closed AND NOT c.closed"

/* Rows whose back-off ends are no longer known to be those that it was about. */
#define FORGET_BACK_OFF \
	"UPDATE activate.sync_state SET retry_rows = false WHERE retry_rows AND sync_id IN" \
	" (SELECT s.sync_id FROM activate.sync AS s WHERE s.hold_next)"

/* ------------------------------------------------------------ where this is */

int64
act_system_identifier(void)
{
	return (int64) GetSystemIdentifier();
}

int
act_timeline(void)
{
	return (int) GetWALInsertionTimeLine();
}

char *
act_host_name(void)
{
	char		name[NI_MAXHOST + 1];

	if (gethostname(name, sizeof(name) - 1) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not get the name of this host: %m")));
	name[sizeof(name) - 1] = '\0';
	return pstrdup(name);
}

bool
act_host_may_send(const char *host, const char *recorded)
{
	List	   *names;
	ListCell   *cell;

	if (act_hosts == NULL || act_hosts[0] == '\0')
		return recorded == NULL || strcmp(host, recorded) == 0;
	if (!SplitGUCList(pstrdup(act_hosts), ',', &names))
		return false;
	foreach(cell, names)
	{
		const char *name = lfirst(cell);

		if (strcmp(name, "*") == 0 || strcmp(name, host) == 0)
			return true;
	}
	return false;
}

void
act_require_enabled(void)
{
	if (!act_enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_activate is switched off on this server"),
				 errhint("LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.enabled = on; SELECT pg_reload_conf();")));
}

const char *
act_sync_home_problem(int64 system_identifier, Oid database_oid, const char *recorded, const char **hint)
{
	char	   *host = act_host_name();

	*hint = CONFIRM_HINT;
	if (system_identifier != act_system_identifier())
		return "It was created in another cluster: this one was restored, upgraded or cloned from it.";
	if (database_oid != MyDatabaseId)
		return "It was created in another database of this cluster: this one is a copy.";
	if (act_host_may_send(host, recorded))
		return NULL;
	if (act_hosts == NULL || act_hosts[0] == '\0')
		return psprintf("It may run on host \"%s\", and this is \"%s\".", recorded, host);

	/* Which confirm_cluster() would not change. */
	*hint = "If it is to send: name it, too. LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.hosts = ...; SELECT pg_reload_conf();";
	return psprintf("The setting pg_activate.hosts (%s) does not name this host, \"%s\".", act_hosts, host);
}

void
act_sync_require_home(const Sync *sync)
{
	const char *hint;
	const char *problem;

	act_require_enabled();
	problem = act_sync_home_problem(sync->system_identifier, sync->database_oid, sync->host, &hint);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" may not send from here", sync->name),
				 errdetail_internal("%s", problem),
				 errhint("%s", hint)));
}

static char *
json_text(const char *text)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, text);
	return buf.data;
}

/* activate.sync_home_problem(system_identifier int8, database_oid oid, host text) */
Datum
act_home_problem(PG_FUNCTION_ARGS)
{
	const char *problem;
	const char *hint;

	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("where a sync may run must not be null"),
					 errhint("They are columns of activate.sync: system_identifier, database_oid and host.")));
	}
	problem = act_sync_home_problem(PG_GETARG_INT64(0), PG_GETARG_OID(1),
									text_to_cstring(PG_GETARG_TEXT_PP(2)), &hint);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

void
act_cluster_note_fenced(const char *problem)
{
	static bool noted = false;	/* by this process */
	char	   *place = psprintf("{\"system_identifier\": " INT64_FORMAT ", \"database\": %u, \"host\": %s}",
								 act_system_identifier(), MyDatabaseId, json_text(act_host_name()));
	SqlArgument args[] = {SQL_TEXT(place)};
	Identity	identity;
	bool		known;

	if (noted)
		return;
	noted = true;
	act_identity_extension(&identity);
	known = act_sql(SPI_OK_SELECT,
					"SELECT 1 FROM activate.event WHERE kind = 'fence' AND details @> $1::pg_catalog.jsonb LIMIT 1",
					1, args) > 0;
	act_identity_leave(&identity);
	if (!known)
		act_event_record("fence", "warning", NULL, 0,
						 psprintf("there are syncs that may not send from here: %s", problem), place);
}

/* --------------------------------------------------------- confirm_cluster */

static ClusterKind
kind_argument(FunctionCallInfo fcinfo)
{
	static const char *const ways =
		"'move': this server sends from now on, the one it was copied from no longer."
		" 'sandbox': as 'move', but each destination stays closed until its credentials are set here."
		" 'recovered': as 'move', with every row in doubt, and each sync's next run held for approval.";
	const char *nearest;
	char	   *how;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("how this server came to be must be said"),
				 errhint("%s", ways)));
	how = text_to_cstring(PG_GETARG_TEXT_PP(0));
	for (int i = 0; kind_names[i] != NULL; i++)
	{
		if (strcmp(how, kind_names[i]) == 0)
			return (ClusterKind) i;
	}
	nearest = act_nearest_name(how, kind_names);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown way \"%s\" to confirm a cluster", how),
			 nearest != NULL ? errhint("Perhaps you meant: SELECT activate.confirm_cluster('%s');", nearest) :
			 errhint("%s", ways)));
	return CLUSTER_MOVED;
}

/* Names of those that are closed now, for people; NULL: none. */
static char *
close_destinations(const SqlArgument *args)
{
	uint64		count = act_sql(SPI_OK_INSERT_RETURNING, CLOSE, 4, args);
	StringInfoData buf;

	if (count == 0)
		return NULL;
	initStringInfo(&buf);
	for (uint64 i = 0; i < count; i++)
		appendStringInfo(&buf, "%s\"%s\"", i > 0 ? ", " : "", act_sql_text(i, 1));
	act_sql(SPI_OK_UPDATE, CLOSE_CREDENTIALS, 0, NULL);
	return buf.data;
}

static void
record_confirmation(ClusterKind kind, int64 syncs, const char *host, const char *closed)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, INT64_FORMAT " syncs send from host \"%s\" from now on, confirmed by %s", syncs, host,
					 GetUserNameFromId(GetUserId(), false));
	if (closed != NULL)
		appendStringInfo(&buf, " as a sandbox: closed until their credentials are set here: %s", closed);
	if (kind == CLUSTER_RECOVERED)
		appendStringInfoString(&buf, " as recovered: every row is in doubt, and the next run of each is held");
	act_event_record("fence", "info", NULL, 0, buf.data, NULL);
}

/* Syncs of the caller's roles only: whoever owns the others decides on them. */
Datum
act_confirm_cluster(PG_FUNCTION_ARGS)
{
	ClusterKind kind = kind_argument(fcinfo);
	char	   *host;
	char	   *closed = NULL;
	Identity	identity;
	int64		syncs;

	PreventCommandDuringRecovery("confirm_cluster()");
	host = act_host_name();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	{
		SqlArgument args[] = {
			{OIDOID, ObjectIdGetDatum(GetUserId()), false},
			SQL_INT8(act_system_identifier()),
			{OIDOID, ObjectIdGetDatum(MyDatabaseId), false},
			SQL_TEXT(host),
			SQL_INT4(act_timeline()),
			SQL_BOOL(kind == CLUSTER_RECOVERED),
			/* Said of what looks like the original, too: it may well not be. */
			SQL_BOOL(kind != CLUSTER_MOVED),
		};

		act_identity_extension(&identity);
		if (kind == CLUSTER_SANDBOX)
			closed = close_destinations(args);
		syncs = act_sql(SPI_OK_UPDATE, MOVE, lengthof(args), args);
		if (kind == CLUSTER_RECOVERED)
			act_sql(SPI_OK_UPDATE, FORGET_BACK_OFF, 0, NULL);
		act_identity_leave(&identity);
	}
	if (syncs > 0 || closed != NULL)
	{
		record_confirmation(kind, syncs, host, closed);
		act_wake_at_commit();
	}
	if (closed != NULL)
		ereport(NOTICE,
				(errmsg("closed until their credentials are set here: %s", closed),
				 errhint("ALTER USER MAPPING FOR ... SERVER ... OPTIONS (SET ...); for one without credentials ALTER SERVER ... OPTIONS (SET base_url ...);")));
	SPI_finish();
	PG_RETURN_INT64(syncs);
}

/* ------------------------------------------------------------ every row in doubt */

/*
 * Whether the present timeline came, from one given before, by replaying all
 * that had arrived each time, and not by stopping at a chosen point: the
 * history says so in words of the server's own.
 */
static bool
replayed_to_the_end(int since)
{
	char		path[MAXPGPATH];
	char		line[MAXPGPATH];
	FILE	   *file;
	bool		found = false;
	bool		to_the_end = true;

	TLHistoryFilePath(path, (TimeLineID) act_timeline());
	file = AllocateFile(path, "r");
	if (file == NULL)
		return false;
	while (to_the_end && fgets(line, sizeof(line), file) != NULL)
	{
		TimeLineID	timeline;
		uint32		high;
		uint32		low;

		if (sscanf(line, "%u\t%X/%X", &timeline, &high, &low) != 3 || timeline < (TimeLineID) since)
			continue;
		found = found || timeline == (TimeLineID) since;
		to_the_end = strstr(line, "\tno recovery target specified") != NULL;
	}
	FreeFile(file);
	return found && to_the_end;
}

/*
 * Where commits wait for a synchronous standby, the one promoted has the claim
 * of every request that was begun: what the lost primary did not settle is in
 * doubt by that, and everything else is certain.  That the servers are
 * configured alike, and that it was such a standby that was promoted, cannot
 * be seen from here: the documentation says so.
 */
static bool
claims_were_synchronous(void)
{
	const char *level = GetConfigOptionResetString("synchronous_commit");

	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0' &&
		level != NULL && (strcmp(level, "on") == 0 || strcmp(level, "remote_apply") == 0);
}

/* The sync as it is now, which stays so until the transaction ends; false: it is gone. */
static bool
lock_doubts(Sync *sync)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	Identity	identity;
	bool		found;

	act_identity_extension(&identity);
	found = act_sql(SPI_OK_SELECT,
					"SELECT in_doubt, timeline, hold_next FROM activate.sync WHERE sync_id = $1 FOR NO KEY UPDATE",
					1, args) == 1;
	if (found)
	{
		sync->in_doubt = act_sql_bool(0, 1);
		sync->timeline = (int) act_sql_int64(0, 2);
		sync->hold_next = act_sql_bool(0, 3);
	}
	act_identity_leave(&identity);
	return found;
}

void
act_cluster_trust(const Sync *sync)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id), SQL_INT4(act_timeline())};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync SET in_doubt = false, timeline = $2 WHERE sync_id = $1",
			lengthof(args), args);
	act_identity_leave(&identity);
}

const char *
act_cluster_doubt(const Sync *sync)
{
	if (sync->in_doubt)
		return "this server was confirmed as recovered";
	if (sync->system_identifier != act_system_identifier() || RecoveryInProgress() ||
		sync->timeline == act_timeline() ||
		(claims_were_synchronous() && replayed_to_the_end(sync->timeline)))
		return NULL;
	return psprintf("a standby was promoted, or an older state recovered, since the sync last ran (timeline %d, then %d)",
					act_timeline(), sync->timeline);
}

/* Which rows were to be tried again is not known any more: the run is one of all. */
static void
widen_run(Run *run)
{
	SqlArgument args[] = {SQL_INT8(run->run_id)};
	Identity	identity;

	if (!run->retry_rows)
		return;
	run->retry_rows = false;
	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, "UPDATE activate.run SET keyed = false WHERE run_id = $1", 1, args);
	act_identity_leave(&identity);
}

bool
act_cluster_doubts(Run *run)
{
	Sync	   *sync = run->sync;
	const char *reason = NULL;

	if (!sync->in_doubt && sync->timeline == act_timeline())
		return false;
	if (lock_doubts(sync))
	{
		reason = act_cluster_doubt(sync);
		act_cluster_trust(sync);
	}
	if (reason != NULL)
	{
		int64		rows = act_snapshot_doubt(sync, reason);

		widen_run(run);
		if (rows > 0)
			act_event_record("in_doubt", "warning", sync, run->run_id,
							 psprintf("all rows of sync \"%s\" are in doubt and are sent again: %s", sync->name, reason),
							 psprintf("{\"rows\": " INT64_FORMAT "}", rows));
	}
	sync->in_doubt = false;
	sync->timeline = act_timeline();
	return reason != NULL;
}

/* ---------------------------------------------------------- held for approval */

void
act_cluster_require_released(const Sync *sync)
{
	const char *name = quote_literal_cstr(sync->name);

	if (!sync->hold_next)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("sync \"%s\" sends nothing before a run of all its rows was approved", sync->name),
			 errdetail("This server was confirmed as recovered."),
			 errhint("CALL activate.run_sync(%s); which is held, and then SELECT activate.approve_run(...); with its run_id.",
					 name)));
}

void
act_cluster_release(Run *run)
{
	SqlArgument args[] = {SQL_INT8(run->sync->sync_id)};
	Identity	identity;

	if (!run->sync->hold_next)
		return;
	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, "UPDATE activate.sync SET hold_next = false WHERE sync_id = $1", 1, args);
	act_identity_leave(&identity);
	run->sync->hold_next = false;
}
