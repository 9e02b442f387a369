/*-------------------------------------------------------------------------
 *
 * housekeeping.c
 *	  What is older than pg_activate.run_retention goes, and requests that are
 *	  older than pg_activate.request_log_retention.
 *
 * Runs, events and requests lie in the order of their numbers, about as they came: a
 * step looks at the next thousand rows, so that no transaction is long and
 * none scans a table.  The end is where all of a thousand are too young.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fault.h"
#include "housekeeping.h"
#include "identity.h"
#include "request_log.h"
#include "settings.h"
#include "sync_state_private.h"
#include "worker.h"

#define INTERVAL (10 * USECS_PER_MINUTE)
#define STEPS_AT_A_TIME 5

typedef enum Stage
{
	STAGE_RUNS,
	STAGE_EVENTS,
	STAGE_REQUESTS,
	STAGE_LEFTOVERS,
	STAGE_DONE
} Stage;

/* Of this process: another one begins anew. */
static Stage stage = STAGE_DONE;
static int64 position = 0;		/* number of the last row looked at */
static TimestampTz done_at = 0;
static int	done_retention = 0;
static int	done_log_retention = 0;

/*
 * For each sync these stay: what is under way, waits or is held, the newest
 * ten, and what the view status goes by however old it is.  A newer run takes
 * the place of one that says no more than it does; one that never began says
 * nothing.  Runs that were merged into another one are seen nowhere.
 *
 * Numbers above the newest sync's may belong to syncs that a restore has yet
 * to bring.
 */
#define RUNS_SQL \
	"WITH looked AS (SELECT r.run_id, r.sync_id, r.status, r.keyed, r.untried, r.merged_into, r.started_at," \
	"  COALESCE(r.finished_at, r.started_at, r.queued_at) AS at" \
	"  FROM activate.run AS r WHERE r.run_id > $1 ORDER BY r.run_id LIMIT 1000)," \
	" old AS (SELECT l.* FROM looked AS l WHERE l.at < $2 AND l.status NOT IN ('queued', 'running', 'held'))," \
	" gone AS (DELETE FROM activate.run WHERE run_id IN (" \
	"  SELECT r.run_id FROM activate.run AS r WHERE r.run_id IN (" \
	"   SELECT o.run_id FROM old AS o WHERE o.merged_into IS NOT NULL" \
	"    OR (SELECT pg_catalog.count(*) FROM (SELECT 1 FROM activate.run AS n WHERE n.sync_id = o.sync_id" \
	"     AND n.run_id > o.run_id AND n.merged_into IS NULL LIMIT 10) AS newer) = 10" \
	"    AND EXISTS (SELECT 1 FROM activate.run AS n WHERE n.sync_id = o.sync_id AND n.run_id > o.run_id" \
	"     AND n.started_at IS NOT NULL AND n.status NOT IN ('superseded', 'queued', 'running')" \
	"     AND (o.keyed OR o.started_at IS NULL OR o.status = 'superseded'" \
	"      OR NOT n.keyed AND CASE o.status" \
	"       WHEN 'succeeded' THEN n.status = 'succeeded'" \
	"       WHEN 'partial' THEN n.status IN ('succeeded', 'partial') AND (n.untried = 0 OR o.untried > 0)" \
	"       ELSE true END))" \
	"    OR o.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s)" \
	"     AND NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = o.sync_id))" \
	"  FOR UPDATE SKIP LOCKED))" \
	" SELECT pg_catalog.max(run_id), pg_catalog.min(at) < $2 FROM looked"

/* The newest hundred stay. */
#define EVENTS_SQL \
	"WITH looked AS (SELECT e.event_id, e.at FROM activate.event AS e" \
	"  WHERE e.event_id > $1 ORDER BY e.event_id LIMIT 1000)," \
	" gone AS (DELETE FROM activate.event WHERE event_id IN (SELECT l.event_id FROM looked AS l WHERE l.at < $2" \
	"  AND l.event_id < (SELECT e.event_id FROM activate.event AS e ORDER BY e.event_id DESC OFFSET 99 LIMIT 1)))" \
	" SELECT pg_catalog.max(event_id), pg_catalog.min(at) < $2 FROM looked"

/* How many a sync has at most is its runs' concern. */
#define REQUESTS_SQL \
	"WITH looked AS (SELECT r.request_id, r.at FROM activate.request AS r" \
	"  WHERE r.request_id > $1 ORDER BY r.request_id LIMIT 1000)," \
	" gone AS (DELETE FROM activate.request WHERE request_id IN (SELECT l.request_id FROM looked AS l WHERE l.at < $2))" \
	" SELECT pg_catalog.max(request_id), pg_catalog.min(at) < $2 FROM looked"

/*
 * Whatever a sync that is gone left behind: none do, but for what was done by
 * hand.  And destinations that are gone.
 */
static const char *const leftovers_sql[] = {
	"DELETE FROM activate.sync_state AS t WHERE NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = t.sync_id)"
	" AND t.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s)",
	"DELETE FROM activate.invalid_row AS t WHERE t.ctid = ANY (ARRAY(SELECT i.ctid FROM activate.invalid_row AS i"
	" WHERE NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = i.sync_id)"
	" AND i.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s) LIMIT 1000))",
	"DELETE FROM activate.request AS t WHERE t.request_id IN (SELECT r.request_id FROM activate.request AS r"
	" WHERE NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = r.sync_id)"
	" AND r.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s) LIMIT 1000)",
	"DELETE FROM activate.claim AS t WHERE t.claim_id IN (SELECT c.claim_id FROM activate.claim AS c"
	" WHERE NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = c.sync_id)"
	" AND c.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s) LIMIT 1000)",
	"DELETE FROM activate.job AS t WHERE t.job_id IN (SELECT j.job_id FROM activate.job AS j"
	" WHERE NOT EXISTS (SELECT 1 FROM activate.sync AS s WHERE s.sync_id = j.sync_id)"
	" AND j.sync_id < (SELECT pg_catalog.max(s.sync_id) FROM activate.sync AS s) LIMIT 1000)",
	"DELETE FROM activate.destination_state AS d WHERE NOT d.closed"
	" AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_foreign_server AS f WHERE f.srvname = d.destination::pg_catalog.name)",
};

/* False: that was all, or all that is old enough. */
static bool
next_rows(const char *sql, TimestampTz before)
{
	SqlArgument args[] = {SQL_INT8(position), SQL_TIME(before)};

	act_sql(SPI_OK_SELECT, sql, lengthof(args), args);
	position = act_sql_int64(0, 1);
	return position != 0 && act_sql_bool(0, 2);
}

static void
work(void)
{
	TimestampTz before = act_now() - (TimestampTz) act_run_retention * USECS_PER_MINUTE;
	Identity	identity;
	bool		more = false;

	act_identity_extension(&identity);
	if (stage == STAGE_RUNS)
		more = next_rows(RUNS_SQL, before);
	else if (stage == STAGE_EVENTS)
		more = next_rows(EVENTS_SQL, before);
	else if (stage == STAGE_REQUESTS)
		more = next_rows(REQUESTS_SQL, act_request_log_horizon());
	else
	{
		for (int i = 0; i < lengthof(leftovers_sql); i++)
			act_sql(SPI_OK_DELETE, leftovers_sql[i], 0, NULL);
	}
	act_identity_leave(&identity);
	if (more)
		return;
	stage++;
	position = 0;
}

static bool
is_time(TimestampTz now)
{
	return done_at == 0 || act_run_retention != done_retention ||
		act_request_log_retention != done_log_retention ||
		now - done_at >= INTERVAL || now < done_at;
}

bool
act_housekeeping_step(void)
{
	if (stage == STAGE_DONE)
	{
		if (!is_time(act_now()))
			return false;
		stage = STAGE_RUNS;
		position = 0;
		done_retention = act_run_retention;
		done_log_retention = act_request_log_retention;
	}
	for (int i = 0; i < STEPS_AT_A_TIME && stage != STAGE_DONE; i++)
	{
		if (!act_worker_begin())
			return false;
		act_worker_activity("removing what is older than its retention");
		work();
		ACT_FAULT("before_housekeeping");
		act_worker_commit();
		ACT_FAULT("after_housekeeping");
	}
	if (stage == STAGE_DONE)
		done_at = act_now();
	return stage != STAGE_DONE;
}
