/*-------------------------------------------------------------------------
 *
 * destination_quota.c
 *	  What is written down of a destination's limits: the requests of its day.
 *
 * Never with each request: every few seconds of a delivery, and when a run
 * ends.  Each process adds what it has sent itself, so that sessions without
 * shared memory use up the same quota.  A crash of the server forgets what
 * was sent since it was written down last.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "destination_limit.h"
#include "destination_quota.h"
#include "identity.h"
#include "sync_state_private.h"
#include "transaction.h"

#define KEEP_INTERVAL (10 * USECS_PER_SEC)

void
act_quota_load(Destination *destination)
{
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(destination->name)};

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT,
				"SELECT down_since IS NOT NULL, day_used, day_ends_at FROM activate.destination_state"
				" WHERE destination = $1", lengthof(args), args) > 0)
	{
		destination->down = act_sql_bool(0, 1);
		destination->day_used = act_sql_int64(0, 2);
		destination->day_ends_at = act_sync_state_time(0, 3);
	}
	act_identity_leave(&identity);
}

typedef struct Usage
{
	const char *destination;
	int64		used;
	TimestampTz ends_at;
	bool		written;		/* false: somebody else is at the row; later */
} Usage;

/* A pause that is not committed yet may have made the row. */
static void
write_down(void *arg)
{
	Usage	   *usage = arg;
	SqlArgument args[] = {SQL_TEXT(usage->destination), SQL_INT8(usage->used), SQL_TIME(usage->ends_at)};
	Identity	identity;

	act_identity_extension(&identity);
	act_sql(SPI_OK_INSERT,
			"INSERT INTO activate.destination_state (destination) VALUES ($1) ON CONFLICT DO NOTHING", 1, args);
	usage->written =
		act_sql(SPI_OK_UPDATE,
				"UPDATE activate.destination_state AS d SET day_ends_at = $3,"
				" day_used = CASE WHEN d.day_ends_at = $3 THEN d.day_used ELSE 0 END + $2"
				" WHERE d.destination = (SELECT e.destination FROM activate.destination_state AS e"
				" WHERE e.destination = $1 FOR NO KEY UPDATE SKIP LOCKED)", lengthof(args), args) > 0;
	act_identity_leave(&identity);
}

void
act_quota_keep(Run *run, bool all)
{
	static TimestampTz kept_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext caller = CurrentMemoryContext;
	Usage		usage = {0};
	ErrorData  *error;

	if (!all && now >= kept_at && now - kept_at < KEEP_INTERVAL)
		return;
	if (run->limit == NULL || !act_limit_day(run->limit, &usage.used, &usage.ends_at) || usage.used == 0)
		return;
	usage.destination = run->destination->name;
	act_transaction_writable();
	error = act_transaction_probe(write_down, &usage);
	if (error != NULL && !act_transaction_locked_out(error))
		ReThrowError(error);
	act_transaction_commit(false);
	MemoryContextSwitchTo(caller);
	if (error == NULL && usage.written)
		act_limit_day_kept(run->limit, usage.used);
	kept_at = now;
}
